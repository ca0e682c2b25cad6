"""A flag: yes or no of a whole document, from phrases that speak for either and what labelled documents taught.

One door: `answer`. The prompts' `labels` speak for yes, `not_labels` for no; `classes` learns how far, and which words do too.
The score is the probability of the answer said, so 0.5 is a coin and a yes is as good as a no.
Covered: labels of one side alone, labels that no phrase supports, a document that says nothing of it (mostly a no).
Not covered: irony, and a no that stands far from what it denies. A document without a word gets no answer.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from proveout.models.cells import Cells
from proveout.models.classes import Classes

HEARD = 0.2  # log odds from which a phrase or a word is worth telling a person: 5 points in the middle
UNSURE = 0.75
_MOST = 4  # phrases for, and against


@dataclass(frozen=True)
class Answer:
    text: str  # yes or no
    score: float  # probability, 0.5..1, raw
    cells: tuple[int, ...]  # where it stands: the cell that says most for it, or all of page 1 where none does
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]


def flag_of(labels: Sequence[str], not_labels: Sequence[str]) -> Classes:
    """The flag as the prompts alone have it. No is the last class: what a document says nothing of is not so."""
    return Classes.of({"yes": labels, "no": not_labels}, whole=True)


def answer(flag: Classes, cells: Cells) -> Answer | None:
    """What a document says to a flag, and because of what."""
    if not cells.texts:
        return None
    text, score = flag.tell(cells)
    other = "no" if text == "yes" else "yes"
    said = flag.speaks(cells, text)
    weight: defaultdict[int, float] = defaultdict(float)
    for odds, _, places in said:
        for at in places:
            weight[at] += odds
    front = tuple(at for at, page in enumerate(cells.page.tolist()) if page == cells.page[0])
    strongest = max(weight, key=lambda at: (weight[at], -at), default=0)
    pros = _phrases([each for odds, each, _ in said if odds >= HEARD])
    cons = _phrases([each for odds, each, _ in reversed(said) if odds <= -HEARD])
    return Answer(
        text,
        score,
        cells=(strongest,) if weight[strongest] >= HEARD else front,
        speaks_for=pros or (f"{'too little' if cons else 'nothing'} in it speaks for {other}",),
        speaks_against=cons or ((f"{other} is nearly as likely",) if score < UNSURE else ()),
    )


def _phrases(texts: Sequence[str]) -> tuple[str, ...]:
    """In the order given, without what only repeats a part of another.

    >>> _phrases(["final notice", "notice", "refund"])
    ('says “final notice”', 'says “refund”')
    """
    parts = [set(text.lower().split()) for text in texts]
    told = [text for at, text in enumerate(texts) if not any(parts[at] < other for other in parts)]
    return tuple(f"says “{text}”" for text in told[:_MOST])
