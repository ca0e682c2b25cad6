"""From raw scores to probabilities, and to thresholds with a guarantee.

Entry points: `Calibration.fit`, for one tier, from the (score, right) pairs of the calibration split, each field separately;
and `Calibrations`, one for each tier of a mission.
Covered: few points, ties, fields without an error, abstentions (score None: a case, but no answer), fields that were never
calibrated (their confidence is nan). No automated value is below the mission's lowest confidence.
Where the data cannot certify the promised precision, the threshold is None and the certificate says why.
Not covered: drift. The guarantee needs calibration and live cases to be exchangeable: one stream, in any order.
When the stream changes, the certificate describes the old one; `monitoring` detects that.
"""

import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from proveout.errors import BadInput, BadModel
from proveout.files import write_whole
from proveout.mission import SLO

Pair = tuple[float | None, bool]  # raw score 0..1 (None: no answer was given), and whether the answer was right

FORMAT = 2  # of the file that `save` writes


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the calibration split proves about one field, and what it does not."""

    field: str
    threshold: float | None  # raw score; values at or above it are automated. None: not certifiable
    n: int  # calibrated values: answered, at or above the threshold (all of them when there is no threshold)
    errors: int  # wrong among those n
    bound: float  # lower bound of their precision, Clopper-Pearson at the stated confidence; 0 without values
    coverage: float  # share of the calibration cases that would be automated
    because: str
    confidence: float  # of the bound


@dataclass(frozen=True, slots=True)
class Statement:
    """Coverage and precision of the values at or above one threshold."""

    threshold: float
    n: int
    errors: int
    coverage: float  # share of the cases, abstentions counted as cases
    precision: float  # as observed; nan without values
    lower: float  # one-sided Clopper-Pearson bounds of the precision, each at the stated confidence
    upper: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Values of similar confidence: their mean confidence and the share that is right."""

    confidence: float  # mean
    right: float  # share
    lower: float  # two-sided 95 % Clopper-Pearson interval of `right`
    upper: float
    n: int


@dataclass(frozen=True, slots=True)
class Quality:
    """How reliable the confidences are; each value is judged by a curve that was fitted without it."""

    ece: float  # expected calibration error, 0 is best; nan without values
    brier: float  # mean squared distance to the truth, 0 is best; nan without values
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """Beta calibration (Kull, Silva Filho, Flach 2017): logit p = a ln s - b ln(1 - s) + c, never falling in s.

    By the rule of succession, `n` values support confidences from 1 / (n + 2) to (n + 1) / (n + 2); others are clipped.

    >>> Curve(a=1.0, b=1.0, c=0.0, n=98)(0.8)
    0.8
    >>> Curve(a=1.0, b=1.0, c=0.0, n=98)(1.0)
    0.99
    """

    a: float
    b: float
    c: float
    n: int

    def __call__(self, score: float) -> float:
        s = min(max(score, 1e-6), 1 - 1e-6)
        odds = self.a * math.log(s) - self.b * math.log1p(-s) + self.c
        p = 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))
        return min(max(round(p, 12), 1 / (self.n + 2)), (self.n + 1) / (self.n + 2))

    def least_score(self, confidence: float) -> float:
        """The lowest raw score with at least this confidence; infinity if there is none.

        >>> round(Curve(a=1.0, b=1.0, c=0.0, n=98).least_score(0.8), 6), Curve(a=1.0, b=1.0, c=0.0, n=98).least_score(0.999)
        (0.8, inf)
        """
        if self(1.0) < confidence:
            return math.inf
        low, high = 0.0, 1.0
        while low < high - 1e-9 and self(low) < confidence:
            middle = (low + high) / 2
            low, high = (low, middle) if self(middle) >= confidence else (middle, high)
        return low if self(low) >= confidence else high


@dataclass(frozen=True)
class Calibration:
    """Per field: score to confidence, the certified threshold, and the evidence for both."""

    precision: float  # promised, of the automated values of each field
    confidence_level: float  # of that promise
    lowest_confidence: float  # of any automated value
    evidence: Mapping[str, tuple[Pair, ...]]
    curves: Mapping[str, Curve]
    certificates: Mapping[str, Certificate]

    @classmethod
    def fit(
        cls, scores: Mapping[str, Sequence[Pair]], slo: SLO, error_budgets: Mapping[str, float] | None = None
    ) -> "Calibration":
        """Fit the curves and test the thresholds. Raises BadInput for a score outside 0..1.

        `error_budgets`: field to the probability with which its promise may break; by default 1 - the SLO's confidence.

        >>> clean = [(i / 400, True) for i in range(400)]
        >>> fitted = Calibration.fit({"total": clean, "payee": clean[:52]}, SLO(precision=0.98, confidence=0.95))
        >>> fitted.threshold("total"), round(fitted.confidence("total", 0.9), 2)
        (0.0, 1.0)
        >>> print(fitted.certificates["payee"].because)
        not certifiable: 52 calibrated values, at least 149 are needed even without an error;
        the most they can certify: 94.4 % of all answers at 95 % confidence
        """
        evidence = {field: tuple(_checked(field, pair) for pair in pairs) for field, pairs in scores.items()}
        curves = {field: _fit_curve(_answered(pairs)) for field, pairs in evidence.items()}
        levels = {field: 1 - (error_budgets or {}).get(field, 1 - slo.confidence) for field in evidence}
        return cls(
            precision=slo.precision,
            confidence_level=slo.confidence,
            lowest_confidence=slo.lowest_confidence,
            evidence=evidence,
            curves=curves,
            certificates={
                field: certify(field, pairs, slo.precision, levels[field], curves[field].least_score(slo.lowest_confidence))
                for field, pairs in evidence.items()
            },
        )

    def confidence(self, field: str, score: float) -> float:
        """Probability, 0..1, that a value with this raw score is right; nan for a field without calibrated values."""
        curve = self.curves.get(field)
        return math.nan if curve is None or not curve.n else curve(score if score == score else 0.0)

    def threshold(self, field: str) -> float | None:
        """The lowest raw score that is automated; None if not certifiable or never calibrated."""
        certificate = self.certificates.get(field)
        return certificate.threshold if certificate else None

    def automates(self, field: str, score: float) -> bool:
        """Whether a value with this raw score needs no person."""
        threshold = self.threshold(field)
        return threshold is not None and score >= threshold

    def floor(self, field: str) -> float | None:
        """The lowest confidence of an automated value; None if nothing is automated."""
        threshold = self.threshold(field)
        return None if threshold is None else self.confidence(field, threshold)

    def at(self, field: str, threshold: float) -> Statement:
        """Coverage and precision at any threshold. No guarantee: unlike the certificate's, it may be chosen after looking."""
        pairs = self.evidence.get(field, ())
        above = [right for score, right in _answered(pairs) if score >= threshold]
        return _statement(threshold, len(above), above.count(False), len(pairs), self.confidence_level)

    def best_statement(self, field: str) -> Statement | None:
        """The highest precision, in steps of 0.1 %, that these data would have certified if it had been promised.

        `lower` is that precision. It is no guarantee for these data: to promise it, collect new labels.
        None if not even 50 % can be certified.
        """
        return _best_statement(self.evidence.get(field, ()), self.confidence_level)

    def quality(self, field: str) -> Quality:
        """Calibration error and reliability by five-fold cross-fitting: no value is judged by a curve fitted on it."""
        answered = _answered(self.evidence.get(field, ()))
        folds = min(5, len(answered))
        curves = [_fit_curve([v for i, v in enumerate(answered) if i % folds != fold]) for fold in range(folds)]
        confidences = [curves[i % folds](score) for i, (score, _) in enumerate(answered)]
        return quality_of(confidences, [right for _, right in answered])

    def thresholds_tried(self, field: str) -> int:
        """The number of possible outcomes of the test: each threshold, or none. It depends on the scores, not on the labels."""
        certificate, steps = self.certificates[field], _steps(_answered(self.evidence[field]))
        return 1 + len(_grid([n for _, n, _ in steps], self.precision, 1 - certificate.confidence))

    def as_plain(self) -> dict[str, Any]:
        """For JSON; `from_plain` reads it."""
        return {
            "precision": self.precision,
            "confidence": self.confidence_level,
            "lowest_confidence": self.lowest_confidence,
            "fields": {
                field: {
                    "certificate": asdict(self.certificates[field]),
                    "curve": asdict(self.curves[field]),
                    "evidence": [[score, right] for score, right in pairs],
                }
                for field, pairs in self.evidence.items()
            },
        }

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "Calibration":
        """Raises BadModel for a threshold that does not follow from its evidence."""
        fields = content["fields"]
        loaded = cls(
            precision=float(content["precision"]),
            confidence_level=float(content["confidence"]),
            lowest_confidence=float(content["lowest_confidence"]),
            evidence={
                name: tuple(_checked(name, (score, right)) for score, right in f["evidence"]) for name, f in fields.items()
            },
            curves={name: Curve(**f["curve"]) for name, f in fields.items()},
            certificates={name: Certificate(**f["certificate"]) for name, f in fields.items()},
        )
        for field, stored in loaded.certificates.items():
            least = loaded.curves[field].least_score(loaded.lowest_confidence)
            proven = certify(field, loaded.evidence[field], loaded.precision, stored.confidence, least)
            if (proven.threshold, proven.n, proven.errors) != (stored.threshold, stored.n, stored.errors):
                raise BadModel(
                    f"the threshold {stored.threshold} of {field!r} does not follow from its evidence, "
                    f"which gives {proven.threshold}; calibrate again"
                )
        return loaded


@dataclass(frozen=True)
class Calibrations:
    """The calibration of each tier of a mission, in the order of the cascade."""

    by_tier: Mapping[str, Calibration]

    def confidence(self, tier: str, field: str, score: float) -> float:
        """Probability, 0..1, that a value of this tier is right; nan if the tier was never calibrated."""
        calibration = self.by_tier.get(tier)
        return calibration.confidence(field, score) if calibration else math.nan

    def automates(self, tier: str, field: str, score: float) -> bool:
        """Whether a value with this raw score needs no person."""
        calibration = self.by_tier.get(tier)
        return calibration is not None and calibration.automates(field, score)

    def floor(self, tier: str, field: str) -> float | None:
        """The lowest confidence of an automated value of this tier; None if it automates nothing."""
        calibration = self.by_tier.get(tier)
        return calibration.floor(field) if calibration else None

    def certified(self, field: str) -> bool:
        """Whether any tier may answer this field without a person."""
        return any(calibration.threshold(field) is not None for calibration in self.by_tier.values())

    def because(self, field: str) -> str:
        """What the data prove about a field, by the first tier that was calibrated for it."""
        certificates = (calibration.certificates.get(field) for calibration in self.by_tier.values())
        return next((certificate.because for certificate in certificates if certificate), "not calibrated")

    def save(self, path: Path | str) -> None:
        """Write one JSON file with the evidence, atomically."""
        path = Path(path)
        content = {"format": FORMAT, "tiers": {tier: part.as_plain() for tier, part in self.by_tier.items()}}
        write_whole(path, json.dumps(content, indent=1))

    @classmethod
    def load(cls, path: Path | str) -> "Calibrations":
        """Read what `save` wrote. Raises BadModel for any other file, and as `from_plain` does."""
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise BadModel(f"calibration of format {content['format']}, expected {FORMAT}; calibrate again")
            return cls({tier: Calibration.from_plain(part) for tier, part in content["tiers"].items()})
        except BadModel as error:
            raise BadModel(f"{path}: {error}") from None
        except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, BadInput) as error:
            raise BadModel(
                f"{path}: not a calibration ({type(error).__name__}: {error}); make one: notebooks/<mission>/calibrate.py"
            ) from error


def fewest_values(precision: float, confidence: float) -> int:
    """The fewest values that certify a precision, all of them right: ln(1 - confidence) / ln(precision), rounded up.

    >>> fewest_values(0.98, 0.95)
    149
    """
    return math.ceil(math.log(1 - confidence) / math.log(precision))


def precision_bounds(n: int, errors: int, confidence: float) -> tuple[float, float]:
    """One-sided lower and upper bounds of a precision, each at `confidence` (Clopper and Pearson 1934).

    >>> low, high = precision_bounds(149, 0, 0.95)
    >>> round(low, 4), high
    (0.9801, 1.0)
    """
    from scipy.special import betaincinv  # type: ignore[import-untyped]

    right = n - errors
    low = float(betaincinv(right, errors + 1, 1 - confidence)) if right else 0.0
    high = float(betaincinv(right + 1, errors, confidence)) if errors else 1.0
    return low, high


def risk_coverage(pairs: Sequence[Pair], confidence: float = 0.95) -> list[Statement]:
    """The risk-coverage curve: one statement for each distinct score, from the highest down. It certifies nothing.

    >>> [(s.coverage, s.precision) for s in risk_coverage([(0.9, True), (0.5, False), (None, False), (0.9, True)])]
    [(0.5, 1.0), (0.75, 0.6666666666666666)]
    """
    return [_statement(score, n, errors, len(pairs), confidence) for score, n, errors in _steps(_answered(pairs))]


def quality_of(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> Quality:
    """Expected calibration error and Brier score of confidences, over bins of equal count (15 values or more in each).

    >>> quality_of([0.5, 0.5], [True, False]).ece
    0.0
    """
    n = len(confidences)
    if not n:
        return Quality(ece=math.nan, brier=math.nan, bins=())
    order = sorted(range(n), key=lambda i: confidences[i])
    bins = max(1, min(bins, n // 15))
    cuts = [round(n * k / bins) for k in range(bins + 1)]
    rows = tuple(_bin([confidences[i] for i in order[a:b]], [right[i] for i in order[a:b]]) for a, b in pairwise(cuts))
    return Quality(
        ece=sum(row.n * abs(row.confidence - row.right) for row in rows) / n,
        brier=sum((p - r) ** 2 for p, r in zip(confidences, right, strict=True)) / n,
        bins=rows,
    )


def _bin(confidences: Sequence[float], right: Sequence[bool]) -> Bin:
    n = len(right)
    low, high = precision_bounds(n, list(right).count(False), 0.975)
    return Bin(sum(confidences) / n, sum(right) / n, low, high, n)


def _statement(threshold: float, n: int, errors: int, cases: int, confidence: float) -> Statement:
    low, high = precision_bounds(n, errors, confidence) if n else (0.0, 1.0)
    observed = (n - errors) / n if n else math.nan
    return Statement(threshold, n, errors, n / cases if cases else math.nan, observed, low, high)


def _checked(field: str, pair: Sequence[Any]) -> Pair:
    score, right = pair
    if score is not None and not 0 <= score <= 1:
        raise BadInput(f"calibration of {field!r}: found score {score!r}, expected 0..1, or None for an abstention")
    return (None if score is None else float(score), bool(right))


def _answered(pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
    return [(score, right) for score, right in pairs if score is not None]


def _steps(answered: Sequence[tuple[float, bool]]) -> list[tuple[float, int, int]]:
    """(score, values at or above it, errors among them) for each distinct score, from the highest down."""
    steps: list[tuple[float, int, int]] = []
    n = errors = 0
    for score, right in sorted(answered, key=lambda value: -value[0]):
        n, errors = n + 1, errors + (not right)
        if steps and steps[-1][0] == score:
            steps.pop()
        steps.append((score, n, errors))
    return steps


def _fit_curve(answered: Sequence[tuple[float, bool]]) -> Curve:
    """Penalised maximum likelihood, with one right and one wrong pseudo-answer spread over the scores (Platt 1999)."""
    import numpy as np
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    n = len(answered)
    if n == 0:
        return Curve(a=0.0, b=0.0, c=0.0, n=0)
    s = np.clip(np.array([score for score, _ in answered]), 1e-6, 1 - 1e-6)
    right = np.array([float(r) for _, r in answered])
    x = np.stack([np.log(s), -np.log1p(-s), np.ones(n)], axis=1)  # (n, 3)
    positive, negative = right + 1 / n, 1 - right + 1 / n  # weights of right and wrong at each score
    start = np.array([1.0, 1.0, 0.0])

    def loss(w: Any) -> tuple[float, Any]:
        z = x @ w
        p = 1 / (1 + np.exp(-np.clip(z, -35, 35)))
        value = positive @ np.logaddexp(0, -z) + negative @ np.logaddexp(0, z)
        pull = np.array([0.1, 0.1, 0.0]) * (w - start)  # weak, towards the identity, so that few points do not give a step
        return float(value + 0.5 * pull @ (w - start)), x.T @ ((positive + negative) * p - positive) + pull

    fit = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)])
    a, b, c = (round(float(w), 9) for w in fit.x)
    return Curve(a=a, b=b, c=c, n=n)


def certify(field: str, pairs: Sequence[Pair], precision: float, confidence: float, least_score: float = 0.0) -> Certificate:
    """Test the thresholds of one field. The guarantee holds for this field separately, not for several pooled.

    `least_score`: the lowest threshold allowed.

    >>> certify("total", [(0.9, True)] * 200 + [(0.2, False)], 0.98, 0.95).n
    200
    """
    answered = _answered(pairs)
    chosen = _learn_then_test(answered, len(pairs), precision, confidence, least_score)
    if chosen is None:
        n, errors = len(answered), sum(not right for _, right in answered)
        bound = precision_bounds(n, errors, confidence)[0] if n else 0.0
        because = _not_certifiable(pairs, precision, confidence)
        return Certificate(field, None, n, errors, bound, 0.0, because, confidence)
    which = (
        f"all {chosen.n} answers"
        if chosen.n == len(answered)
        else f"{chosen.n} calibrated values score at least {chosen.threshold:.4g}"
    )
    because = (
        f"certified: {which}, {chosen.errors} of them wrong; "
        f"their precision is at least {_percent(precision)} at {_percent(confidence)} confidence"
    )
    return Certificate(field, chosen.threshold, chosen.n, chosen.errors, chosen.lower, chosen.coverage, because, confidence)


def _not_certifiable(pairs: Sequence[Pair], precision: float, confidence: float) -> str:
    n, needed, at = len(_answered(pairs)), fewest_values(precision, confidence), f"at {_percent(confidence)} confidence"
    if n < needed:
        why = f"at least {needed} are needed even without an error"
    else:
        why = f"with too many errors among the highest scores to prove {_percent(precision)} {at}"
    best = _best_statement(pairs, confidence)
    if best is None:
        provable = "the data cannot certify even 50 %"
    else:
        covered = "all answers" if best.n == n else f"the highest {best.n} scores"
        provable = f"the most they can certify: {_percent(best.lower)} of {covered} {at}"
    return f"not certifiable: {n} calibrated values, {why}; {provable}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _learn_then_test(
    answered: Sequence[tuple[float, bool]], cases: int, precision: float, confidence: float, least_score: float = 0.0
) -> Statement | None:
    """The lowest threshold whose precision is certified, or None (Learn-then-Test, Angelopoulos et al. 2021).

    The hypotheses "precision above this threshold is lower than promised" are tested one after the other, from high scores
    to low, with exact binomial p-values. A rejected one passes its error budget on to the next; the first one that is not
    rejected ends the run: fixed-sequence testing, or with several starts the fallback procedure (Wiens and Dmitrienko 2005).
    Sizes and starts depend on the number of values and on ties among the scores, not on which values are right.
    All rejections hold jointly, so any of their thresholds may be used: the lowest is. If `least_score` is higher, the values
    in between go to people; those above it must pass the same test on their own, or a stricter threshold of the sequence
    is used. Where precision is not monotone in the score, this last step is an approximation; tests/test_calibration.py
    measures how often the promise breaks.
    A set is "strictly above the next lower score", so that its values are an independent sample of all values above it.
    """
    from scipy.special import bdtr

    steps = _steps(answered)
    carried, passed = 0.0, []
    for index, budget in _grid([n for _, n, _ in steps], precision, 1 - confidence):
        level = carried + budget
        if not level:
            continue
        _, n, errors = steps[index]
        carried = level if bdtr(errors, n, 1 - precision) <= level * (1 + 1e-12) else 0.0
        passed += [index] if carried else []
    above = [index for index, (score, _, _) in enumerate(steps) if score >= least_score]
    if passed and above and above[-1] < passed[-1]:
        _, n, errors = steps[above[-1]]
        if bdtr(errors, n, 1 - precision) <= (1 - confidence) * (1 + 1e-12):
            return _statement(least_score, n, errors, cases, confidence)
    passed = [index for index in passed if index in above]
    if not passed:
        return None
    index = passed[-1]
    # One float above the next lower score; if every score is in the set, its lowest, as lower ones were never observed.
    threshold = math.nextafter(steps[index + 1][0], math.inf) if index + 1 < len(steps) else steps[index][0]
    _, n, errors = steps[index]
    return _statement(max(threshold, least_score), n, errors, cases, confidence)


def _grid(sizes: Sequence[int], precision: float, alpha: float) -> list[tuple[int, float]]:
    """The steps to test, in order, each with the error budget that enters there. `sizes` ascend.

    Only sizes that allow one more error than the last are worth a test; beyond the last of them every size is, because none
    of those tests can fail before the one of all values would. Up to three times the fewest values there is one
    start; beyond that four, so that a single error among the highest scores does not end the test.
    """
    total = sizes[-1] if sizes else 0
    starts = 4 if total >= 3 * fewest_values(precision, 1 - alpha) else 1
    indices = sorted({bisect_left(sizes, size) for size in _sizes_that_allow_one_more(total, precision, alpha / starts)})
    if not indices:
        return []
    first = sizes[indices[0]]
    targets = [first * (total / first) ** (k / max(starts - 1, 1)) for k in range(starts)]
    entering = [min(indices, key=lambda index: abs(sizes[index] - target)) for target in targets]
    return [(index, alpha * entering.count(index) / starts) for index in indices]


@cache
def _sizes_that_allow_one_more(total: int, precision: float, alpha: float) -> tuple[int, ...]:
    """The fewest values that certify with 0, 1, 2 ... errors, up to `total`; beyond the last of them, every size."""
    import numpy as np
    from scipy.special import bdtr

    errors = np.arange(total)
    errors = errors[bdtr(errors, total, 1 - precision) <= alpha]
    low, high = errors + 1, np.full(len(errors), total)
    while (low < high).any():  # bisection, for every number of errors at once
        middle = (low + high) // 2
        enough = bdtr(errors, middle, 1 - precision) <= alpha
        low, high = np.where(enough, low, np.minimum(middle + 1, high)), np.where(enough, middle, high)
    return tuple(sorted({*low.tolist(), *range(int(low[-1]), total + 1)})) if len(errors) else ()


def _best_statement(pairs: Sequence[Pair], confidence: float) -> Statement | None:
    answered = _answered(pairs)
    lower = [precision_bounds(n, errors, confidence)[0] for _, n, errors in _steps(answered)]
    for permille in range(math.floor(1000 * max(lower, default=0) + 1e-9), 499, -1):  # no test can pass above the best bound
        statement = _learn_then_test(answered, len(pairs), permille / 1000, confidence)
        if statement is not None:
            return replace(statement, lower=permille / 1000)
    return None
