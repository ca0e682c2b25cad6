"""The label audit: which labels a person should read again, and what certificates may rest on afterwards.

Entry points: `judged` compares every label with the answer of a model that did not learn from it; `questions` chooses what to
ask, `options` the texts to choose from; `worth` says what the answers could change; `evidence` says on which labels
certificates rest. `corpus.audit` keeps the answers.

Confident disagreements are asked first, because most of them are wrong labels. An audit that asks only those is one-sided: it
removes errors from the evidence and never finds one where label and model are wrong alike, so a certificate made afterwards
promises too much (tests/test_label_audit.py measures by how much). Therefore values on which both agree are drawn at random,
too, and all questions look alike: a page, a field, and a few texts of it in an order by chance.
What is assumed: the person reads rightly, and where label and model agree they are wrong alike no more often in one field, or
among high scores, than on average over the values that were drawn.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from proveout.calibration.thresholds import Pair, certify, fewest_blind
from proveout.corpus import Dataset
from proveout.corpus.audit import Reading, blind_sample
from proveout.corpus.dataset import LEARN_FROM
from proveout.corpus.folds import Fold, by_chance
from proveout.mission import SLO, Mission
from proveout.models.candidates import candidates_of
from proveout.models.text_segments import text_segments
from proveout.models.tiers import ScoredValue, Tier
from proveout.prompts import Prompts
from proveout.records import BlindSample, Document, Kind, Place
from proveout.values import conventions, has_value, same, same_as_read

OTHERS = 2  # texts of the page beside the answers, so that a question does not give away what label and model say
MOST = 12  # doubtful labels of a field that are worth a person's time at once


@dataclass(frozen=True)
class Judged:
    """One label beside the answer of a model that did not learn from it."""

    case: str
    file_id: str
    field: str
    label: str
    value: ScoredValue | None  # None: the model found no value
    agree: bool

    @property
    def score(self) -> float:
        return self.value.score if self.value else 0.0


@dataclass(frozen=True)
class Option:
    """A text that may be the answer, and where it stands."""

    text: str
    place: Place | None


@dataclass(frozen=True)
class Question:
    """One value to read; `options` are its possible answers."""

    judged: Judged
    drawn: bool  # at random, from the values on which label and model agree

    def reading(self, answer: str, by: str, on: date, reason: str = "") -> Reading:
        """The answer, as audit.csv keeps it."""
        each = self.judged
        model = each.value.text if each.value else ""
        return Reading(each.file_id, each.field, each.label, model, answer, self.drawn, by, on, reason)


@dataclass(frozen=True)
class Worth:
    """What the doubtful labels of one field could change."""

    field: str
    labels: int  # to read: those of the highest scores on which label and model disagree; 0 if none would change anything
    now: float  # share of the cases that is automated with the labels as they are
    then: float  # and if all of those labels are wrong


def judged(tiers: Mapping[str, Tier], dataset: Dataset, folds: Sequence[Fold], mission: Mission) -> list[Judged]:
    """Every label that certificates rest on, beside the first tier's answer that there is. Labels of tests are left out."""
    documents = dataset.evidence(folds)
    answers: list[dict[str, ScoredValue]] = [{} for _ in documents]
    for tier in tiers.values():
        for answer, extraction in zip(answers, tier.extract(documents), strict=True):
            answer |= {name: value for name, value in extraction.fields.items() if name not in answer}
    result = []
    for document, answer in zip(documents, answers, strict=True):
        entry, printed = dataset.entry(document.id), conventions(document, mission.dates)
        for field, kind in mission.kinds.items():
            label, value = entry.labels.get(field, ""), answer.get(field)
            if has_value(kind, label):
                agree = value is not None and same_as_read(kind, label, value.text, value.value, printed)
                result.append(Judged(document.id, Path(entry.case.path).stem, field, label, value, agree))
    return result


def questions(labels: Sequence[Judged], mission: Mission, readings: Sequence[Reading], slo: SLO) -> list[Question]:
    """What to ask next, in an order by chance: the doubtful labels that are worth it, and values drawn at random.

    Values that were answered before are not asked again.
    """
    answered = {(reading.file_id, reading.field) for reading in readings}
    blind, largest = blind_sample(readings, mission), max(Counter(each.field for each in labels).values(), default=0)
    needed = fewest_blind(slo.precision, slo.confidence, blind.wrong, largest)
    asked = []
    for field in mission.fields:
        doubtful = sorted((each for each in labels if each.field == field and not each.agree), key=lambda each: -each.score)
        asked += [(each, False) for each in doubtful[:MOST]]
    agreeing = sorted((each for each in labels if each.agree), key=lambda each: by_chance(each.case + each.field))
    asked += [(each, True) for each in agreeing[:needed]]
    return [
        Question(each, drawn)
        for each, drawn in sorted(asked, key=lambda one: by_chance(f"{one[0].field} of {one[0].case}"))
        if (each.file_id, each.field) not in answered
    ]


def worth(labels: Sequence[Judged], slo: SLO) -> list[Worth]:
    """For each field, the fewest doubtful labels that would certify more if all of them are wrong, up to MOST."""
    result = []
    for field in dict.fromkeys(each.field for each in labels):
        ordered = sorted((each for each in labels if each.field == field), key=lambda each: -each.score)
        now = _coverage(field, [_pair(each) for each in ordered], slo)
        doubtful = [at for at, each in enumerate(ordered) if each.value and not each.agree][:MOST]
        for count in range(1, len(doubtful) + 1):
            pairs = [(each.score, at in doubtful[:count] or each.agree) for at, each in enumerate(ordered) if each.value]
            if (then := _coverage(field, pairs, slo)) > now + 0.01:
                result.append(Worth(field, count, now, then))
                break
        else:
            result.append(Worth(field, 0, now, now))
    return result


def evidence(dataset: Dataset, slo: SLO) -> tuple[dict[str, dict[str, str]], BlindSample | None]:
    """The labels that certificates rest on, and the blind sample of the audit if they are the corrected ones.

    With too few values read blind to certify anything, they are the labels as they were before the audit.
    """
    blind = BlindSample(**dataset.notes["blind"])
    enough = fewest_blind(slo.precision, slo.confidence) or 0
    if blind.read >= enough or blind.wrong:  # one error alike is reason enough to doubt the labels as they were
        return dataset.labels(*LEARN_FROM), blind
    return {entry.case.id: {**entry.labels, **entry.before_audit} for entry in dataset.chosen(*LEARN_FROM)}, None


def _pair(each: Judged) -> Pair:
    return (each.value.score if each.value else None), each.agree


def _coverage(field: str, pairs: Sequence[Pair], slo: SLO) -> float:
    return certify(field, pairs, slo.precision, slo.confidence).coverage


def options(each: Judged, document: Document, mission: Mission, prompts: Prompts) -> tuple[Option, ...]:
    """The possible answers about a value, in an order by chance: what label and model say, and other texts of its document."""
    kind = mission.kinds[each.field]
    if kind == "flag":
        return Option("yes", None), Option("no", None)
    places = _places(document, kind, mission, prompts)
    texts = [each.label] if not each.value else [each.value.text] if each.agree else [each.label, each.value.text]
    at = {each.value.text: each.value.place} if each.value else {}
    answers = [
        Option(text, at.get(text) or next((place for other, place in places.items() if same(kind, text, other)), None))
        for text in texts
    ]
    others = [text for text in places if not any(same(kind, text, answer.text) for answer in answers)]
    others.sort(key=lambda text: by_chance(each.case + each.field + text))
    answers += [Option(text, places[text]) for text in others[:OTHERS]]
    return tuple(sorted(answers, key=lambda option: by_chance(f"{option.text} of {each.field} in {each.case}")))


def _places(document: Document, kind: Kind, mission: Mission, prompts: Prompts) -> dict[str, Place]:
    """The texts of a document that may be values of this kind, each with its first place."""
    fields = [prompts.fields[name] for name, other in mission.kinds.items() if other == kind]
    phrases = sorted({phrase for field in fields for phrase in (*field.labels, *field.not_labels)})
    cut = candidates_of(text_segments(document, phrases), kind, phrases, conventions(document, mission.dates), mission.lines)
    return {candidate.text: Place(candidate.page, candidate.box) for candidate in reversed(cut)}
