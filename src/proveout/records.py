"""The nouns, in the order of the work: documents, case, output, decision, ruling, answer.

Frozen data, almost without behaviour. Imports no other module of Proveout.
Not covered: a file's name, folder and date. They belong to the case, never to its content, so that no model can read them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Literal, Protocol

Kind = Literal["number", "name", "amount", "date", "flag", "ranking"]  # how a field is printed, normalised and compared
Value = Decimal | date | str
DateOrder = Literal["inferred", "day_first", "month_first"]  # of days in numbers; inferred: from each document
# a flag as people write it, to its value
FLAGS: Mapping[str, str] = {"yes": "yes", "true": "yes", "1": "yes", "no": "no", "false": "no", "0": "no"}
# the business terms of an e-invoice (EN 16931) that a mission's field may take, with their kind
E_INVOICE_TERMS: Mapping[str, Kind] = {
    "invoice_number": "number",  # BT-1
    "issue_date": "date",  # BT-2
    "type_code": "number",  # BT-3, such as 380 for an invoice and 381 for a credit note
    "currency": "name",  # BT-5
    "due_date": "date",  # BT-9
    "order_number": "number",  # BT-13
    "seller": "name",  # BT-27
    "seller_trading_name": "name",  # BT-28
    "seller_vat": "number",  # BT-31
    "buyer": "name",  # BT-44
    "delivery_date": "date",  # BT-72
    "account": "number",  # BT-84, that is to be paid to
    "net_total": "amount",  # BT-109
    "tax_total": "amount",  # BT-110
    "total": "amount",  # BT-112
    "amount_due": "amount",  # BT-115
}
# type codes of documents that ask for no payment (UNTDID 1001)
CREDIT_NOTES = frozenset({"81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "502", "503", "532"})
PRO_FORMA = "325"
TEXT_WORDS = 400  # of a document's first page; notebooks/invoices/retrieval.py: they find layouts as well as all words do


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a page: points (1/72 inch), origin at the top left, x0 <= x1 and y0 <= y1."""

    x0: float
    y0: float
    x1: float
    y1: float

    @classmethod
    def around(cls, words: Sequence["Word"]) -> "Box":
        """The smallest box that holds all the words; at least one is needed."""
        boxes = [word.box for word in words]
        return cls(min(b.x0 for b in boxes), min(b.y0 for b in boxes), max(b.x1 for b in boxes), max(b.y1 for b in boxes))


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a value in a document."""

    page: int  # from 0
    box: Box


class Source(StrEnum):
    """How a word was read."""

    TEXT_LAYER = "text layer"
    OCR = "ocr"
    PLAIN_TEXT = "plain text"


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it was read, with its place."""

    text: str
    box: Box
    page: int  # from 0
    line: int  # reading-order line within the page, from 0
    document: str  # SHA-256 of the file
    source: Source
    confidence: float = 1.0  # of the OCR engine, 0..1; 1 for a text layer


@dataclass(frozen=True, slots=True)
class Page:
    """One page, upright."""

    number: int  # from 0
    width: float  # points
    height: float  # points
    words: tuple[Word, ...]  # in reading order
    turned: float = 0.0  # degrees clockwise that make the file's page upright; for a scan, including its skew


CUT_OFF = "…"  # behind a word whose end nobody sees, because its cell is too short


class AnomalyKind(StrEnum):
    """How what was read of a document differs from what a person sees."""

    HIDDEN = "read but not visible"
    UNREAD = "visible but not read"
    STAMP = "stamp"  # VOID, PAID, COPY ...
    GARBLED = "garbled text"
    SEVERAL = "several documents in one file"
    INCOMPLETE = "part of a document"
    CONTRADICTION = "embedded data contradict the page"
    UNUSABLE = "embedded data that cannot be used"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A reason not to believe what was read of a document. It sends the case to a person."""

    kind: AnomalyKind
    because: str  # a sentence for a person: what was found, and where
    text: str = ""  # the words concerned
    place: Place | None = None  # None: the whole document


@dataclass(frozen=True, slots=True)
class EInvoice:
    """What an e-invoice states in XML: embedded in a document, or the document itself."""

    syntax: str  # CII, UBL or ZUGFeRD 1
    profile: str  # as it names itself, such as urn:cen.eu:en16931:2017; "" if it names none
    attachment: str  # name of the embedded file; "" if the whole document is XML
    # names of E_INVOICE_TERMS to texts: ISO 8601 dates; amounts with a dot, as the buyer owes them: negative in a credit note
    terms: tuple[tuple[str, str], ...]

    def term(self, name: str) -> str:
        """The text of a term; "" if it is not stated."""
        return dict(self.terms).get(name, "")

    @property
    def is_credit_note(self) -> bool:
        return self.term("type_code") in CREDIT_NOTES


class Content(Protocol):
    """What was read of a case of any kind: a document, a query, the turns of a conversation so far."""

    @property
    def id(self) -> str:
        """SHA-256 of the bytes that were read."""

    @property
    def text(self) -> str:
        """The words by which memory finds similar cases; "" if there is nothing to read."""


@dataclass(frozen=True, slots=True)
class Document:
    """A kind of `Content`: pages of words with their places."""

    sha256: str
    pages: tuple[Page, ...]
    anomalies: tuple[Anomaly, ...] = ()
    e_invoice: EInvoice | None = None

    @property
    def id(self) -> str:
        return self.sha256

    @property
    def text(self) -> str:
        """The first 400 words, in reading order, of the first page that has any."""
        words = next((page.words for page in self.pages if page.words), ())
        return " ".join(word.text for word in words[:TEXT_WORDS])

    @property
    def words(self) -> list[Word]:
        """All words, page by page, in reading order."""
        return [word for page in self.pages for word in page.words]


def turn_key(case: str, turn: int) -> str:
    """The key of one turn of a case.

    >>> turn_key("c1", 0), turn_key("c1", 2)
    ('c1', 'c1#2')
    """
    return f"{case}#{turn}" if turn else case


def case_of(key: str) -> str:
    """The case that a `turn_key` is of.

    >>> case_of("c1#2"), case_of("c1")
    ('c1', 'c1')
    """
    return key.partition("#")[0]


@dataclass(frozen=True, slots=True)
class Case:
    """One turn of one unit of live work. Most kinds of case have a single turn, 0."""

    id: str  # for a document, the SHA-256 of its bytes: equal bytes are the same case, whatever the file name
    path: str  # relative to the input folder; shown to people, never an input
    day: date | None = None  # when it was received
    segment: str = ""  # the group whose treatment is compared; "" when unknown
    turn: int = 0
    content: str = ""  # SHA-256 of the bytes that this turn is decided on; "" where it equals the id

    @property
    def key(self) -> str:
        """Identifies this turn of this case."""
        return turn_key(self.id, self.turn)

    @property
    def sha256(self) -> str:
        """Of the bytes that this turn is decided on."""
        return self.content or self.id


@dataclass(frozen=True, slots=True)
class Output:
    """One result of a decision: a value with its confidence, its evidence and, where it has one, its place."""

    text: str  # as printed; for a flag, which is not printed, `yes` or `no`
    value: Value
    confidence: float  # calibrated probability of being right, 0..1; nan if not calibrated
    place: Place | None = None
    tier: str = ""  # the tier of the mission's cascade that produced it
    speaks_for: tuple[str, ...] = ()  # short phrases, strongest first
    speaks_against: tuple[str, ...] = ()

    @property
    def calibrated(self) -> bool:
        return not math.isnan(self.confidence)


@dataclass(frozen=True, slots=True)
class Check:
    """One test of a decision: arithmetic, order of dates, duplicates, agreement with similar cases."""

    name: str
    passed: bool | None  # None: there was nothing to compare
    because: str


@dataclass(frozen=True, slots=True)
class SimilarCase:
    """A past case that resembles this one."""

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


class Route(StrEnum):
    """What happens to a case: the agent acts, a person reviews it, or it is refused as unreadable."""

    ACT = "act"
    REVIEW = "review"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Decision:
    """What a release says about one turn of a case."""

    case: str
    release: str
    document_class: str  # "" when the file could not be read
    class_confidence: float
    fields: Mapping[str, Output]  # a missing field is an abstention
    automated: frozenset[str]  # fields whose confidence passes the certified threshold
    checks: tuple[Check, ...]
    similar: tuple[SimilarCase, ...]
    route: Route
    because: tuple[str, str]  # two sentences for a person
    actions: tuple[Action, ...] = ()
    memory_position: int = 0  # how many memory records this decision could see
    descriptors: Mapping[str, float] = field(default_factory=dict)  # of the input, for monitoring: pages, words ...
    dollars: float = 0.0  # cost of its tiers
    turn: int = 0

    @property
    def key(self) -> str:
        """Identifies the turn of the case that it decides."""
        return turn_key(self.case, self.turn)


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
    """A user who answers, approves and undoes, as policy and journal identify them."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Verdict:
    """The policy's answer: allow, deny, or escalate (not allowed now, but a higher role may approve it)."""

    allowed: bool
    because: str
    escalate_to: str = ""  # the lowest role that may approve it; "" if none may


@dataclass(frozen=True, slots=True)
class Ruling:
    """A proposed action with the control plane's verdict."""

    action: Action
    verdict: Verdict
    cents: int = 0  # what it would spend; reserved in the budget if it is allowed


@dataclass(frozen=True, slots=True)
class Decided:
    """A case, its decision, and the control plane's ruling on each proposed action."""

    case: Case
    decision: Decision
    rulings: tuple[Ruling, ...] = ()
    seconds: float = 0.0  # from the start of the case's batch until its decision went to the journal
    at: str = ""  # ISO 8601, UTC; set by the journal
    position: int = 0  # of its event; set by the journal
    run: str = ""  # that decided it; set by the journal

    def in_order(self, names: Iterable[str]) -> "Decided":
        """The same with its fields in this order; the journal sorts them by name."""
        fields = {name: self.decision.fields[name] for name in names if name in self.decision.fields}
        return replace(self, decision=replace(self.decision, fields=fields))


@dataclass(frozen=True, slots=True)
class BlindSample:
    """Values drawn at random among those on which label and model agree, and read by a person who sees neither."""

    read: int = 0
    wrong: int = 0  # the label and the model alike; a value that the person could not tell counts, too


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's answer to a decided case. A missing field was not asked; "" means that the document has no such value."""

    case: str  # its id
    fields: Mapping[str, str]
    by: str
    document_class: str = ""  # "" if not given
    right: Mapping[str, bool] = field(default_factory=dict)  # for each field, whether the decision had it right
    at: str = ""  # ISO 8601, UTC; set by the journal
    turn: int = 0

    @property
    def key(self) -> str:
        """Identifies the turn of the case that it answers."""
        return turn_key(self.case, self.turn)
