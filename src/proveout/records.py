"""The nouns: what a document is, what is said of it, and what may follow.

Frozen data without behaviour. Knows no other module.
Not covered: a file's name, folder or day. They belong to the case, never to the document, so that no model can read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Literal

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


@dataclass(frozen=True, slots=True)
class Document:
    sha256: str
    pages: tuple[Page, ...]

    @property
    def words(self) -> list[Word]:
        """Every word, page after page, in reading order."""
        return [word for page in self.pages for word in page.words]


@dataclass(frozen=True, slots=True)
class Case:
    """One unit of live work. The same bytes are the same case, whatever the file is called."""

    id: str  # SHA-256 of the file
    path: str  # where it was found, relative to its folder; shown to people, never an input
    day: date | None = None  # when it was received
    segment: str = ""  # the group whose treatment is compared; "" when unknown


@dataclass(frozen=True, slots=True)
class FieldValue:
    text: str  # as printed on the page; of a flag, which is printed nowhere, `yes` or `no`
    value: Value
    confidence: float  # calibrated probability of being right, 0..1
    page: int  # from 0
    box: Box
    speaks_for: tuple[str, ...] = ()  # short phrases, strongest first
    speaks_against: tuple[str, ...] = ()


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
    allowed: bool
    because: str


@dataclass(frozen=True, slots=True)
class Check:
    """One test that a decision had to pass: arithmetic, order of dates, duplicates, agreement with similar cases."""

    name: str
    passed: bool
    because: str


@dataclass(frozen=True, slots=True)
class Decision:
    case: str
    release: str
    document_class: str  # "" when the file could not be read
    class_confidence: float
    fields: Mapping[str, FieldValue]  # a field that is missing is an abstention
    automated: frozenset[str]  # fields whose confidence passes the certified threshold
    checks: tuple[Check, ...]
    similar: tuple[SimilarCase, ...]
    route: Route
    because: tuple[str, str]  # two sentences for a person
    actions: tuple[Action, ...] = ()
    memory_position: int = 0  # how much of the memory this decision could see
    descriptors: Mapping[str, float] = field(default_factory=dict)  # of the input, for monitoring: pages, words, ocr_share
