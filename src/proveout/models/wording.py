"""Short phrases for and against a choice, for a reviewer. They explain a choice and do not affect it."""

from collections.abc import Sequence

from proveout.models.features import SLOTS, CandidateFeatures
from proveout.models.ranker import Choice, Groups
from proveout.models.text_segments import TextSegments
from proveout.records import Kind

LIKE = 0.55  # similarity from which a neighbour counts as a label
PLACES = {"near": "right of", "above": "below", "heading": "in the column", "row": "in the row"}
_CLOSE = 0.25  # a runner-up is named if it reaches this share of the best score
_UNSURE = 0.85  # OCR confidence
_NEW_LAYOUT = 0.25  # similarity of the nearest known layout
_MOST = 4  # phrases


def reasons(
    segments: TextSegments, features: CandidateFeatures, choices: Sequence[Choice], groups: Groups, kind: Kind, familiar: float
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Phrases for and against the first choice, the strongest first."""
    at = choices[0].candidate
    row = dict(zip(features.names, features.base[at].tolist(), strict=True))
    pros = [*_labels(features, at, groups.labels), *_of_kind(row, kind), *_repeated(row)]
    cons = [
        *_runner_up(features, choices),
        *_labels(features, at, groups.not_labels, but=groups.labels),
        *_doubts(segments, features, at),
    ]
    if familiar < _NEW_LAYOUT:
        cons.append("unlike any layout in the training data")
    if choices[0].score < 0.5:
        cons.append("only a weak match")
    return tuple(pros[:_MOST]), tuple(cons[:_MOST])


def _labels(features: CandidateFeatures, at: int, group: int, but: int | None = None) -> list[str]:
    """Where phrases of a group are printed; `but` leaves out texts that are closer to another group."""
    phrases = []
    for slot, place in PLACES.items():
        n = SLOTS.index(slot)
        similarity = features.similar[at, n, group]
        if similarity >= LIKE and (but is None or features.similar[at, n, but] < similarity):
            phrases.append((similarity, f"{place} “{_short(features.neighbours[at][n])}”"))
    return [text for _, text in sorted(phrases, key=lambda pair: -pair[0])][:2]


def _of_kind(row: dict[str, float], kind: Kind) -> list[str]:
    phrases = []
    if kind == "amount":
        if row["of_largest"] >= 1:
            phrases.append("the largest amount in the document")
        if row["column_sum"] >= 2:
            phrases.append(f"the sum of the {row['column_sum']:.0f} amounts above it")
        if row["net_of"]:
            phrases.append("the amount after the usual deduction is printed too")
    if kind == "date" and row["role"]:
        days = f"a range of {row['length'] + 1:.0f} days"
        phrases.append(f"the {'first' if row['role'] == 1 else 'last'} day of {days}")
        if row["covers"] > 0.5:
            phrases.append(f"{row['covers']:.0%} of the document's dates fall in that range")
    return phrases


def _repeated(row: dict[str, float]) -> list[str]:
    if row["on_pages"] > 1:
        return [f"printed on {row['on_pages']:.0f} pages"]
    return [f"printed {row['times']:.0f} times"] if row["times"] > 1 else []


def _runner_up(features: CandidateFeatures, choices: Sequence[Choice]) -> list[str]:
    if len(choices) < 2 or choices[1].score < _CLOSE * choices[0].score:
        return []
    other = choices[1].candidate
    text = f"{features.neighbours[other][0]} {features.candidates[other].text}".strip()
    return [f"the runner-up “{_short(text)}” scores {choices[1].score:.2f}"]


def _doubts(segments: TextSegments, features: CandidateFeatures, at: int) -> list[str]:
    confidence = min(word.confidence for word in segments.words[features.candidates[at].segment])
    return [f"low OCR confidence ({confidence:.2f})"] if confidence < _UNSURE else []


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:38]}…"
