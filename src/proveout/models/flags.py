"""A flag: yes or no of a whole document, from phrases that speak for either and what labelled documents taught.

One door: `answer`. The prompts' `labels` speak for yes, `not_labels` for no; `classes` learns how far, and which words do too.
The score is the probability of the answer said, so 0.5 is a coin and a yes is as good as a no.
Covered: labels of one side alone, labels that no phrase supports, a document that says nothing of it (mostly a no).
Not covered: irony, and a no that stands far from what it denies. A document without a word gets no answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proveout.models.classes import Classes
from proveout.models.text_segments import TextSegments

HEARD = 0.4  # log odds from which a line is worth telling a person: 10 points in the middle
UNSURE = 0.75
_MOST = 3  # lines for, and against
_LONGEST = 60  # characters of one


@dataclass(frozen=True)
class FlagAnswer:
    text: str  # yes or no
    score: float  # probability, 0.5..1, raw
    segments: tuple[int, ...]  # where it stands: the segment that says most for it, or all of page 1 where none does
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]


def flag_of(labels: Sequence[str], not_labels: Sequence[str]) -> Classes:
    """The flag as the prompts alone have it. No is the last class: what a document says nothing of is not so."""
    return Classes.of({"yes": labels, "no": not_labels}, whole=True)


def answer(flag: Classes, segments: TextSegments) -> FlagAnswer | None:
    """What a document says to a flag, and because of what."""
    if not segments.texts:
        return None
    text, score = flag.tell(segments)
    other = "no" if text == "yes" else "yes"
    weight: defaultdict[int, float] = defaultdict(float)  # of each segment, in log odds
    quoted: dict[
        int, str
    ] = {}  # the phrase of the prompts in a segment that says most there, on the side that the segment is on
    said = flag.speaks(segments, text)
    for odds, _, places in said:
        for at in places:
            weight[at] += odds
    for odds, phrase, places in sorted(said, key=lambda each: abs(each[0])):
        if phrase in flag.phrases:
            quoted |= {at: phrase for at in places if odds * weight[at] > 0}
    strongest = sorted(weight, key=lambda at: (-weight[at], at))
    pros = [at for at in strongest if weight[at] >= HEARD]
    cons = [at for at in reversed(strongest) if weight[at] <= -HEARD]
    front = tuple(at for at, page in enumerate(segments.page.tolist()) if page == segments.page[0])
    return FlagAnswer(
        text,
        score,
        segments=tuple(pros[:1]) or front,
        speaks_for=_quotes(segments, quoted, pros) or (f"{'too little' if cons else 'nothing'} in it speaks for {other}",),
        speaks_against=_quotes(segments, quoted, cons) or ((f"{other} is nearly as likely",) if score < UNSURE else ()),
    )


def _quotes(segments: TextSegments, quoted: dict[int, str], places: Iterable[int]) -> tuple[str, ...]:
    texts = dict.fromkeys(quoted.get(at, segments.texts[at]) for at in places)
    return tuple(f"says “{text if len(text) <= _LONGEST else f'{text[:_LONGEST].rstrip()}…'}”" for text in list(texts)[:_MOST])
