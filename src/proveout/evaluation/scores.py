"""How good answers are, as numbers. Pure functions over labels, answers, scores and routes; `nan` where undefined.

Precision: right / answered. Recall: right / labelled. F1: their harmonic mean; `micro` pools the fields.
A field without a usable gold label (`values.has_value`) counts nowhere, whatever the answer. `values.same` decides which
values are the same, and its module says what that means; a benchmark can pass another match.
Not covered: fitting confidences and thresholds (`calibration`); they are only measured.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

from proveout.records import DateOrder, Decision, Kind, Route
from proveout.values import NONE, flag_of, has_value, same, same_as_read

Match = Callable[[Kind, str, str], bool]  # whether a label and an answer mean the same
Labels = Mapping[str, Mapping[str, str | None]]  # document id to field to text; None or "" is no label, or no answer


@dataclass(frozen=True)
class Counts:
    """Values of one field, or of several pooled, and the rates that follow."""

    right: int = 0
    answered: int = 0
    labelled: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.right + other.right, self.answered + other.answered, self.labelled + other.labelled)

    @property
    def precision(self) -> float:
        return self.right / self.answered if self.answered else math.nan

    @property
    def recall(self) -> float:
        return self.right / self.labelled if self.labelled else math.nan

    @property
    def f1(self) -> float:
        """
        >>> Counts(right=8, answered=10, labelled=12).f1, Counts(answered=3, labelled=3).f1, Counts(labelled=3).f1
        (0.7272727272727272, 0.0, nan)
        """
        if self.right:
            return 2 * self.precision * self.recall / (self.precision + self.recall)
        return 0.0 if self.answered else math.nan

    @property
    def coverage(self) -> float:
        """Share of the labelled values that were answered at all."""
        return self.answered / self.labelled if self.labelled else math.nan

    def as_plain(self) -> dict[str, float | None]:
        """The four rates for JSON: None where undefined."""
        rates = {"precision": self.precision, "recall": self.recall, "f1": self.f1, "coverage": self.coverage}
        return {name: None if math.isnan(rate) else rate for name, rate in rates.items()}


@dataclass(frozen=True)
class Score:
    """Counts over a set of documents."""

    documents: int
    whole_documents: int  # with every labelled field right
    fields: Mapping[str, Counts]

    @property
    def micro(self) -> Counts:
        return reduce(Counts.__add__, self.fields.values(), Counts())

    @property
    def whole_document_right(self) -> float:
        return self.whole_documents / self.documents if self.documents else math.nan

    def as_plain(self) -> dict[str, Any]:
        """Documents, the share of them with every field right, and the rates of each field and of `micro`, for JSON."""
        fields = {name: counts.as_plain() for name, counts in [*self.fields.items(), ("micro", self.micro)]}
        whole = self.whole_document_right if self.documents else None
        return {"documents": self.documents, "whole_document_right": whole, "fields": fields}


def score(labels: Labels, answers: Labels, kinds: Mapping[str, Kind], match: Match = same) -> Score:
    """Compare answers with labels, field by field. A document without answers abstained on every field.

    `match`: by default `values.same`, which knows no order of days: 3/4/26 then matches 03/04/2026 only; see `by_dates`.

    >>> gold = {"a": {"total": "$5.00", "day": "1/2/20"}, "b": {"total": "7", "day": ""}}
    >>> result = score(gold, {"a": {"total": "5", "day": "2020-01-03"}}, {"total": "amount", "day": "date"})
    >>> result.fields["total"], result.micro.f1, result.whole_documents
    (Counts(right=1, answered=1, labelled=2), 0.4, 0)
    """
    fields = [name for name in kinds if any(name in gold for gold in labels.values())]
    counts = {name: Counts() for name in fields}
    whole = 0
    for document, gold in labels.items():
        given = answers.get(document) or {}
        verdicts = {name: _count(kinds[name], gold.get(name), given.get(name), match) for name in fields}
        for name, verdict in verdicts.items():
            counts[name] += verdict
        whole += all(verdict.right == verdict.labelled for verdict in verdicts.values())
    return Score(len(labels), whole, counts)


def yes_only(labels: Labels, answers: Labels, kinds: Mapping[str, Kind]) -> dict[str, Counts]:
    """Counts of yes alone, for each labelled flag: `answered` counts the answers yes, `labelled` the labels yes.

    Where yes is rare, answering no to everything is nearly always right but finds nothing; here its recall is 0.

    >>> gold = {"a": {"urgent": "yes"}, "b": {"urgent": "no"}, "c": {"urgent": "yes"}}
    >>> yes_only(gold, {"a": {"urgent": "yes"}, "b": {"urgent": "yes"}}, {"urgent": "flag"})
    {'urgent': Counts(right=1, answered=2, labelled=2)}
    """
    counts: dict[str, Counts] = {}
    for document, gold in labels.items():
        given = answers.get(document) or {}
        for name, label in gold.items():
            if kinds.get(name) == "flag" and has_value("flag", label or ""):
                labelled, answered = flag_of(label or "") == "yes", flag_of(given.get(name) or "") == "yes"
                counts[name] = counts.get(name, Counts()) + Counts(labelled and answered, answered, labelled)
    return counts


def commonest(labels: Sequence[str]) -> tuple[str, float]:
    """The most frequent label and its share, the accuracy of a constant answer; ("", `nan`) without labels.

    >>> commonest(["no", "yes", "no", "no"])
    ('no', 0.75)
    """
    if not labels:
        return "", math.nan
    label, count = Counter(labels).most_common(1)[0]
    return label, count / len(labels)


def by_dates(dates: DateOrder) -> Match:
    """`values.same` in a mission that declares this order of days.

    >>> by_dates("day_first")("date", "3/4/26", "2026-04-03"), by_dates("inferred")("date", "3/4/26", "2026-04-03")
    (True, False)
    """
    return partial(same, conventions=NONE.declaring(dates))


def _count(kind: Kind, gold: object, given: object, match: Match) -> Counts:
    label, answer = str(gold or "").strip(), str(given or "").strip()
    if not has_value(kind, label):
        return Counts()
    return Counts(bool(answer) and match(kind, label, answer), bool(answer), 1)


def answers(predictions: Mapping[str, Mapping[str, Any]], automated_only: bool = False) -> dict[str, dict[str, str | None]]:
    """The plain answers of predictions in the scorer's file format: all values, or only the automated ones.

    >>> given = {"a": {"total": {"value": "5", "confidence": 0.99, "automated": True}, "name": "One Nation"}}
    >>> answers(given), answers(given, automated_only=True)
    ({'a': {'total': '5', 'name': 'One Nation'}}, {'a': {'total': '5', 'name': None}})
    """
    return {
        document: {name: _answer(prediction, automated_only) for name, prediction in fields.items()}
        for document, fields in predictions.items()
    }


def _answer(prediction: Any, automated_only: bool) -> str | None:
    if not isinstance(prediction, Mapping):
        return None if automated_only else prediction
    value: str | None = prediction.get("value")
    return value if prediction.get("automated") or not automated_only else None


@dataclass(frozen=True)
class RiskCoverage:
    """Risk and coverage as the threshold falls: one point for each distinct score, the strictest first."""

    thresholds: tuple[float, ...]  # answer where score >= threshold
    coverage: tuple[float, ...]  # share answered
    risk: tuple[float, ...]  # share wrong among the answered

    @property
    def area(self) -> float:
        """The area under the step curve, that is the mean risk over all coverages; 0 is best.

        >>> risk_coverage([0.9, 0.8, 0.1, 0.1], [True, True, True, False]).area
        0.125
        """
        if not self.coverage:
            return math.nan
        widths = [now - before for now, before in zip(self.coverage, (0.0, *self.coverage), strict=False)]
        return sum(width * risk for width, risk in zip(widths, self.risk, strict=True))

    def coverage_at(self, precision: float) -> float:
        """The largest coverage with at least this precision; 0 if no threshold gives it.

        An oracle's number: the threshold is chosen on the same data.

        >>> risk_coverage([0.9, 0.8, 0.1], [True, True, False]).coverage_at(0.98)
        0.6666666666666666
        """
        if not self.coverage:
            return math.nan
        return max((c for c, r in zip(self.coverage, self.risk, strict=True) if 1 - r >= precision - 1e-12), default=0.0)


def risk_coverage(scores: Sequence[float], right: Sequence[bool]) -> RiskCoverage:
    """The risk-coverage curve (El-Yaniv and Wiener 2010). Equal scores are one point: no threshold separates them.

    >>> risk_coverage([0.9, 0.2, 0.9], [True, False, True])
    RiskCoverage(thresholds=(0.9, 0.2), coverage=(0.6666666666666666, 1.0), risk=(0.0, 0.3333333333333333))
    """
    ordered = sorted(zip(scores, right, strict=True), key=lambda pair: -pair[0])
    points, wrong = [], 0
    for number, (threshold, is_right) in enumerate(ordered, start=1):
        wrong += not is_right
        if number == len(ordered) or ordered[number][0] != threshold:
            points.append((float(threshold), number / len(ordered), wrong / number))
    columns = tuple(zip(*points, strict=True)) or ((), (), ())
    return RiskCoverage(*columns)


def f1_by_class(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> dict[Hashable, float]:
    """F1 of each class that occurs in the gold labels.

    >>> f1_by_class(["order", "order", "invoice"], ["order", "invoice", "invoice"])
    {'order': 0.6666666666666666, 'invoice': 0.6666666666666666}
    """
    pairs = list(zip(gold, predicted, strict=True))
    return {
        name: 2 * sum(g == p == name for g, p in pairs) / sum((g == name) + (p == name) for g, p in pairs)
        for name in dict.fromkeys(gold)
    }


def macro_f1(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """Unweighted mean F1 of the classes that occur in the gold labels.

    >>> macro_f1(["order", "order", "invoice"], ["order", "order", "order"])
    0.4
    """
    by_class = f1_by_class(gold, predicted)
    return sum(by_class.values()) / len(by_class) if by_class else math.nan


def automation_rate(routes: Sequence[Route]) -> float:
    """Share of cases that no person touched; `nan` without cases.

    >>> automation_rate([Route.ACT, Route.REVIEW])
    0.5
    """
    return sum(route is Route.ACT for route in routes) / len(routes) if routes else math.nan


def interval(right: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of the share `right / of` (Wilson 1927); (0, 1) if `of` is 0.

    >>> tuple(round(end, 3) for end in interval(95, 100))
    (0.888, 0.978)
    """
    from statistics import NormalDist

    if of == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, scale = right / of, 1 + z * z / of
    middle = (share + z * z / (2 * of)) / scale
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error over bins of equal width (Guo et al. 2017); `nan` without answers.

    >>> round(calibration_error([0.9, 0.9, 0.6, 0.6], [True, True, True, False]), 3)
    0.1
    """
    if not confidences:
        return math.nan
    gaps = [0.0] * bins
    for confidence, is_right in zip(confidences, right, strict=True):
        gaps[min(int(confidence * bins), bins - 1)] += is_right - confidence
    return sum(abs(gap) for gap in gaps) / len(confidences)


def verdicts(labels: Mapping[str, str], decision: Decision, kinds: Mapping[str, Kind]) -> dict[str, bool]:
    """Labelled field to whether the decision has it right; a label "" means that the document has no such value.

    A label in the order of the printed text is taken as the text was read; `values.same_as_read`.
    """
    given = decision.fields
    right = {
        name: name in given and same_as_read(kinds[name], label, given[name].text, given[name].value)
        for name, label in labels.items()
        if name in kinds and has_value(kinds[name], label)
    }
    return right | {name: name not in given for name in kinds if labels.get(name) == ""}
