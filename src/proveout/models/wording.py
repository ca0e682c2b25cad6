"""What speaks for and against a choice, in short phrases for a person. They explain; they decide nothing."""

from collections.abc import Sequence

from proveout.models.features import SLOTS, CandidateFeatures
from proveout.models.ranker import Choice, Groups
from proveout.models.text_segments import TextSegments
from proveout.records import Kind

LIKE, PLACES = (
    0.55,
    {"near": "stands right of", "above": "stands under", "heading": "stands in the column", "row": "in the row"},
)
_CLOSE = 0.25  # a runner-up within that of the best score is named
_UNSURE = 0.85  # recogniser's confidence
_NEW_FORM = 0.25  # likeness of the nearest known form
_MOST = 4  # phrases


def reasons(
    segments: TextSegments, evidence: CandidateFeatures, choices: Sequence[Choice], groups: Groups, kind: Kind, familiar: float
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Phrases for and against the first choice, the strongest first."""
    at = choices[0].candidate
    said = dict(zip(evidence.names, evidence.base[at].tolist(), strict=True))
    pros = [*_labels(evidence, at, groups.labels), *_of_kind(said, kind, groups), *_repeated(said)]
    cons = [
        *_runner_up(evidence, choices),
        *_labels(evidence, at, groups.not_labels, but=groups.labels),
        *_doubts(segments, evidence, at),
    ]
    if familiar < _NEW_FORM:
        cons.append("a form unlike all that were learned from")
    if choices[0].score < 0.5:
        cons.append("nothing here looks much like it")
    return tuple(pros[:_MOST]), tuple(cons[:_MOST])


def _labels(evidence: CandidateFeatures, at: int, group: int, but: int | None = None) -> list[str]:
    """Where phrases of a group stand; `but` leaves out texts that are nearer to another group."""
    found = []
    for slot, place in PLACES.items():
        n = SLOTS.index(slot)
        likeness = evidence.similar[at, n, group]
        if likeness >= LIKE and (but is None or evidence.similar[at, n, but] < likeness):
            found.append((likeness, f"{place} “{_short(evidence.neighbours[at][n])}”"))
    texts = [text for _, text in sorted(found, key=lambda pair: -pair[0])]
    return texts[:2]


def _of_kind(said: dict[str, float], kind: Kind, groups: Groups) -> list[str]:
    found = []
    if kind == "amount":
        if said["of_largest"] >= 1:
            found.append("the largest amount of the document")
        if said["column_sum"] >= 2:
            found.append(f"the sum of the {said['column_sum']:.0f} amounts above it")
        if said["net_of"]:
            found.append("what is left of it after the usual deduction is printed too")
    if kind == "date" and said["role"]:
        days = f"a range of {said['length'] + 1:.0f} days"
        found.append(f"the {'first' if said['role'] == 1 else 'last'} day of {days}")
        if said["covers"] > 0.5:
            found.append(f"{said['covers']:.0%} of the document's dates lie in that range")
    return found


def _repeated(said: dict[str, float]) -> list[str]:
    if said["on_pages"] > 1:
        return [f"printed on {said['on_pages']:.0f} pages"]
    return [f"printed {said['times']:.0f} times"] if said["times"] > 1 else []


def _runner_up(evidence: CandidateFeatures, choices: Sequence[Choice]) -> list[str]:
    if len(choices) < 2 or choices[1].score < _CLOSE * choices[0].score:
        return []
    other = choices[1].candidate
    label = next((text for text in evidence.neighbours[other][:1] if text), "")
    return [f"the runner-up “{_short(f'{label} {evidence.candidates[other].text}'.strip())}” scores {choices[1].score:.2f}"]


def _doubts(segments: TextSegments, evidence: CandidateFeatures, at: int) -> list[str]:
    candidate = evidence.candidates[at]
    sure = min(word.confidence for word in segments.words[candidate.segment])
    return [f"the recogniser was unsure of it ({sure:.2f})"] if sure < _UNSURE else []


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:38]}…"
