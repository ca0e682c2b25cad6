"""A flag: yes or no for a whole document, from the prompts' phrases and from what labelled documents taught.

Entry point: `answer`. The prompts' `labels` support yes, `not_labels` support no; `classes` learns the weights of the phrases
and of further words. The score is the probability of the answer given, yes or no, so 0.5 is a coin toss.
Covered: training labels that are all yes or all no, labels that no phrase supports, a document without a clue (mostly a no).
Not covered: irony, and a no that is printed far from what it denies. A document without words gets no answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proveout.models.classes import Classes
from proveout.models.text_segments import TextSegments

QUOTED_ABOVE = 0.4  # log odds from which a segment is quoted to a reviewer: 10 percentage points around 0.5
UNSURE = 0.75
_MOST = 3  # quotes for, and against
_LONGEST = 60  # characters of a quote


@dataclass(frozen=True)
class FlagAnswer:
    """A flag's answer for one document, and the reasons for it."""

    text: str  # yes or no
    score: float  # probability, 0.5..1, raw
    segments: tuple[int, ...]  # the segment that supports the answer most; all of page 1 if none does
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]


def flag_of(labels: Sequence[str], not_labels: Sequence[str]) -> Classes:
    """An untrained flag, from the prompts alone. No is the last class, so it is the answer where nothing supports yes."""
    return Classes.of({"yes": labels, "no": not_labels}, whole=True)


def answer(flag: Classes, segments: TextSegments) -> FlagAnswer | None:
    """A document's answer to a flag and the reasons for it; None for a document without words."""
    if not segments.texts:
        return None
    text, score = flag.classify(segments)
    other = "no" if text == "yes" else "yes"
    evidence = flag.evidence_for(segments, text)
    weight: defaultdict[int, float] = defaultdict(float)  # of each segment, in log odds
    for odds, _, places in evidence:
        for at in places:
            weight[at] += odds
    quoted: dict[int, str] = {}  # for each segment the strongest prompt phrase that supports the same answer as the segment
    for odds, phrase, places in sorted(evidence, key=lambda clue: abs(clue[0])):
        if phrase in flag.phrases:
            quoted |= {at: phrase for at in places if odds * weight[at] > 0}
    strongest = sorted(weight, key=lambda at: (-weight[at], at))
    pros = [at for at in strongest if weight[at] >= QUOTED_ABOVE]
    cons = [at for at in reversed(strongest) if weight[at] <= -QUOTED_ABOVE]
    front = tuple(at for at, page in enumerate(segments.page.tolist()) if page == segments.page[0])
    return FlagAnswer(
        text,
        score,
        segments=tuple(pros[:1]) or front,
        speaks_for=_quotes(segments, quoted, pros)
        or (f"{'too little' if cons else 'nothing'} in the document supports {other}",),
        speaks_against=_quotes(segments, quoted, cons) or ((f"{other} is nearly as likely",) if score <= UNSURE else ()),
    )


def _quotes(segments: TextSegments, quoted: dict[int, str], places: Iterable[int]) -> tuple[str, ...]:
    texts = dict.fromkeys(quoted.get(at, segments.texts[at]) for at in places)
    return tuple(f"says “{text if len(text) <= _LONGEST else f'{text[:_LONGEST].rstrip()}…'}”" for text in list(texts)[:_MOST])
