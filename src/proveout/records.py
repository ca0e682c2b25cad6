"""The nouns: what a case is, what a decision says of it, and what may follow.

Frozen data without behaviour. Knows no other module.
Not covered: a file's name, folder or day. They belong to the case, never to its content, so that no model can read them.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Literal, Protocol

Kind = Literal["number", "name", "amount", "date", "flag"]  # how a field is printed, normalised and compared
Value = Decimal | date | str
FLAGS: Mapping[str, str] = {
    "yes": "yes",
    "true": "yes",
    "1": "yes",
    "no": "no",
    "false": "no",
    "0": "no",
}  # as people write them


class Source(StrEnum):
    """Where a word was read."""

    TEXT_LAYER = "text layer"
    OCR = "ocr"
    PLAIN_TEXT = "plain text"


class Role(StrEnum):
    """What a person may do. Each role includes the ones before it."""

    READER = "reader"  # sees cases and reports
    REVIEWER = "reviewer"  # answers and approves
    OPERATOR = "operator"  # submits cases, stops effects, approves what is escalated

    def includes(self, needed: "Role") -> bool:
        """
        >>> Role.REVIEWER.includes(Role.READER), Role.REVIEWER.includes(Role.OPERATOR)
        (True, False)
        """
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who answers, approves and undoes, as policy and journal know them."""

    name: str
    role: Role


class Route(StrEnum):
    ACT = "act"
    REVIEW = "review"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a page: points (1/72 inch), origin at the top left, x0 <= x1 and y0 <= y1."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands on the pages of a document."""

    page: int  # from 0
    box: Box


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    box: Box
    page: int  # from 0
    line: int  # reading-order line within the page, from 0
    document: str  # SHA-256 of the file
    source: Source
    confidence: float = 1.0  # the recogniser's, 0..1; 1 for a text layer


@dataclass(frozen=True, slots=True)
class Page:
    number: int  # from 0
    width: float  # points
    height: float  # points
    words: tuple[Word, ...]  # in reading order
    turned: float = 0.0  # degrees clockwise by which the page as the file shows it was turned to be read (scans: with the skew)


class Content(Protocol):
    """What was read of one case, whatever its kind: a document, a query, the turns of a conversation so far."""

    @property
    def id(self) -> str:
        """SHA-256 of the bytes that were read."""

    @property
    def text(self) -> str:
        """The words by which the memory recognises a case like it; "" when there is nothing to read."""


RECOGNISED_BY = 400  # words of a document's first page; notebooks/invoices/retrieval.py: layouts are found as well as with all


@dataclass(frozen=True, slots=True)
class Document:
    """A kind of `Content`: pages of words with their places."""

    sha256: str
    pages: tuple[Page, ...]

    @property
    def id(self) -> str:
        return self.sha256

    @property
    def text(self) -> str:
        """The words of the first page that has any, in reading order: what a document is recognised by."""
        words = next((page.words for page in self.pages if page.words), ())
        return " ".join(word.text for word in words[:RECOGNISED_BY])

    @property
    def words(self) -> list[Word]:
        """Every word, page after page, in reading order."""
        return [word for page in self.pages for word in page.words]


def turn_key(case: str, turn: int) -> str:
    """
    >>> turn_key("c1", 0), turn_key("c1", 2)
    ('c1', 'c1#2')
    """
    return f"{case}#{turn}" if turn else case


@dataclass(frozen=True, slots=True)
class Case:
    """One turn of one unit of live work. Most kinds of case have a single turn, 0."""

    id: str  # of a document, the SHA-256 of its bytes: the same bytes are the same case, whatever the file is called
    path: str  # where it was found, relative to its folder; shown to people, never an input
    day: date | None = None  # when it was received
    segment: str = ""  # the group whose treatment is compared; "" when unknown
    turn: int = 0
    content: str = ""  # SHA-256 of the bytes that this turn is decided on; "" where it is the id

    @property
    def key(self) -> str:
        """Names this turn of this case."""
        return turn_key(self.id, self.turn)

    @property
    def sha256(self) -> str:
        return self.content or self.id


@dataclass(frozen=True, slots=True)
class Output:
    """One thing that a decision says: a value with its confidence, its evidence and, where it has one, its place."""

    text: str  # as printed; of a flag, which is printed nowhere, `yes` or `no`
    value: Value
    confidence: float  # calibrated probability of being right, 0..1; nan where nothing calibrated it
    place: Place | None = None
    tier: str = ""  # which tier of the mission's cascade said so
    speaks_for: tuple[str, ...] = ()  # short phrases, strongest first
    speaks_against: tuple[str, ...] = ()

    @property
    def calibrated(self) -> bool:
        return not math.isnan(self.confidence)


@dataclass(frozen=True, slots=True)
class SimilarCase:
    case: str
    similarity: float  # cosine, -1..1
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Action:
    """A proposed side effect. Proposing it does nothing."""

    name: str
    arguments: Mapping[str, str]
    key: str  # idempotency key: the same key takes effect at most once
    compensation: str | None = None  # the action that undoes it


@dataclass(frozen=True, slots=True)
class Verdict:
    """The policy's answer: allow, deny, or escalate, which is a no that names who may say yes."""

    allowed: bool
    because: str
    escalate_to: str = ""  # the lowest role whose approval would be allowed; "" where nobody's would


@dataclass(frozen=True, slots=True)
class Check:
    """One test of a decision: arithmetic, order of dates, duplicates, agreement with similar cases."""

    name: str
    passed: bool | None  # None: there was nothing to compare
    because: str


@dataclass(frozen=True)
class Decision:
    case: str
    release: str
    document_class: str  # "" when the file could not be read
    class_confidence: float
    fields: Mapping[str, Output]  # a field that is missing is an abstention
    automated: frozenset[str]  # fields whose confidence passes the certified threshold
    checks: tuple[Check, ...]
    similar: tuple[SimilarCase, ...]
    route: Route
    because: tuple[str, str]  # two sentences for a person
    actions: tuple[Action, ...] = ()
    memory_position: int = 0  # how much of the memory this decision could see
    descriptors: Mapping[str, float] = field(
        default_factory=dict
    )  # of the input, for monitoring; a document's pages, words ...
    dollars: float = 0.0  # what its tiers cost
    turn: int = 0

    @property
    def key(self) -> str:
        """Names the turn of the case that it decides."""
        return turn_key(self.case, self.turn)


@dataclass(frozen=True, slots=True)
class Ruling:
    """A proposed action and what the control plane says to it."""

    action: Action
    verdict: Verdict
    cents: int = 0  # what it would spend; reserved in the budget when the verdict is yes


@dataclass(frozen=True, slots=True)
class Decided:
    """A case, what was decided, and what the control plane said to each proposed action."""

    case: Case
    decision: Decision
    rulings: tuple[Ruling, ...] = ()
    seconds: float = 0.0  # that the case waited: from when its batch was taken up until its decision went to the journal
    at: str = ""  # ISO 8601, UTC; set by the journal
    position: int = 0  # of its event; set by the journal

    def in_order(self, names: Iterable[str]) -> "Decided":
        """With its fields in this order; the journal keeps them by their names."""
        fields = {name: self.decision.fields[name] for name in names if name in self.decision.fields}
        return replace(self, decision=replace(self.decision, fields=fields))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says of a decided case. A field that is missing was not asked; "" says that the document has none."""

    case: str  # its id
    fields: Mapping[str, str]
    by: str
    document_class: str = ""  # "" not said
    right: Mapping[str, bool] = field(default_factory=dict)  # which fields the decision had right
    at: str = ""  # ISO 8601, UTC; set by the journal
    turn: int = 0

    @property
    def key(self) -> str:
        """Names the turn of the case that it answers."""
        return turn_key(self.case, self.turn)
