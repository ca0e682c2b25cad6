"""The calls behind the review page: which cases wait, all that a person needs to answer one, and the words of its pages.

The page is `review.html.j2` with `review.js`. It keeps nothing on the server: every answer carries the digest of the case as it
was shown.
Covered: cases of every kind; the page shows those without pages in a frame, as their kind draws them.
Two people may still open the same case, on purpose; the first answer counts, and the second person gets an error that says so.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from proveout import records
from proveout.agent.wording import sureness
from proveout.calibration import Calibrations
from proveout.errors import BadInput, ProveoutError, UnreadableDocument
from proveout.journal import APPROVAL, INTENDED, LABEL, SETTLED, UNDOING
from proveout.journal.log import utf8
from proveout.journal.prose import dated_line, reasoned_line, ruling_line
from proveout.models.tiers import ScoredValue
from proveout.records import Document, Person, Place, Ruling
from proveout.review.approvals import CaseView
from proveout.review.assignments import Assignment
from proveout.serving.answers import Approval, Box, Check, box, check, without_home
from proveout.serving.api import MALFORMED, V1, CaseId, decided_case, problems
from proveout.serving.case_index import CaseStatus, Order
from proveout.serving.problems import Refusal
from proveout.serving.worker import Worker
from proveout.values.rankings import items_of, titles_of

LISTED = 500  # waiting cases; a person answers about a hundred per hour
MOST_PAGES = 60  # of a document on the review page
OFFERED = 3  # values of a field beside its own
# what a second reader does not see of a field
UNSEEN = {"text": "", "certain": False, "read": "", "sure": "", "confidence": None, "needed": None}
UNSEEN |= {"speaks_for": [], "speaks_against": [], "spot": None, "suggestions": []}
SINCE = (APPROVAL, UNDOING, INTENDED, SETTLED, LABEL)


class Holder(BaseModel):
    """Who has a case, so that nobody else gets it as the next one."""

    assigned_to: str = Field(examples=["rita"], description='"" for nobody.')
    until: datetime | None
    yours: bool


class WaitingCase(Holder):
    case: str
    document: str = Field(examples=["march-invoice.pdf"])


class WaitingCases(BaseModel):
    cases: list[WaitingCase] = Field(
        description="At most 500 that wait for this account's role: those assigned to it, those that nobody else has,"
        " the others'; each in the order asked for, then those to read again, blind."
    )
    total: int


class Spot(BaseModel):
    """A place in a document."""

    page: int = Field(ge=0, description="From 0.")
    box: Box


class Suggestion(BaseModel):
    text: str = Field(description="As printed.")
    spot: Spot | None


class ItemToGrade(BaseModel):
    id: str
    title: str
    grade: str = Field(description='0 for what does not fit to 3; "" for none yet.')


class FieldToAnswer(BaseModel):
    name: str
    kind: records.Kind
    text: str = Field(description='The value that counts now, as printed; "" for none.')
    certain: bool = Field(description="Whether the agent automated it or, for a second person, the first one answered it.")
    read: str = Field(description='What the agent read; "" for none.')
    sure: str = Field(examples=["86% sure, 97% needed"], description="The agent's confidence in what it read, for people.")
    confidence: float | None = Field(ge=0, le=1, description="The same as a number.")
    needed: float | None = Field(ge=0, le=1, description="The one above which it is automated, where that is known.")
    speaks_for: list[str]
    speaks_against: list[str]
    spot: Spot | None
    suggestions: list[Suggestion] = Field(description="Other likely values, the likeliest first.")
    items: list[ItemToGrade] = Field(description="Of a ranking: those that were given, or, for none, the likeliest.")


class Line(BaseModel):
    text: str
    good: bool = Field(description="false: refused, or another person is needed.")


class Anomaly(BaseModel):
    because: str
    spot: Spot | None


class PageSize(BaseModel):
    width: float = Field(description="Points.")
    height: float


class CaseToAnswer(BaseModel):
    """All that a person needs to answer a case."""

    case: str
    document: str
    day: str
    digest: str = Field(description="Send it with the answer.")
    blind: bool = Field(description="Whether it is to be read again, without what agent and first reader found: see `second`.")
    because: str = Field(description="Why it needs a person, in one line.")
    document_class: str
    classes: list[str]
    fields: list[FieldToAnswer]
    checks: list[Check]
    similar: list[str]
    expected: list[Line] = Field(description="What follows if it is approved as it is.")
    effects: list[str] = Field(description="What was done so far.")
    undoable: bool = Field(description="Whether an effect stands.")
    since: list[str] = Field(description="What happened since it was decided.")
    pages: list[PageSize] = Field(description="At most 60 pages of a document; empty for other kinds of case.")
    more_pages: int
    anomalies: list[Anomaly]


class Reading(BaseModel):
    values: dict[str, str] = Field(description='Every field as read on the document; "" for none.')
    document_class: str


class Recorded(BaseModel):
    what: str
    lines: list[str]


class Expected(BaseModel):
    lines: list[Line]


class PrintedWord(BaseModel):
    text: str
    box: Box


class Words(BaseModel):
    words: list[PrintedWord] = Field(description="In reading order.")


def reviewing(worker: Worker) -> APIRouter:
    """The calls under /api/v1."""
    api = APIRouter(prefix=V1)
    undecided = {"_404": "No case has this id.", "_409": "The case is not decided yet."}

    @api.get("/reviews", summary="List the cases that wait for you", responses=problems())
    def reviews(request: Request, order: Order = Order.WAIT) -> WaitingCases:
        """First comes, by `order`: wait, the longest wait; amount, the largest amount; doubt, the least certain value."""
        with suppress(ProveoutError):  # without a release there is nothing to finish
            worker.approvals.finish()  # effects that a killed process left unfinished
        cases = worker.index.waiting_for(request.user.role, order)
        cases += worker.index.to_read_again(request.user.name, worker.space.mission.second_readings)
        person = request.user.name
        cases.sort(key=lambda one: _place(one.holder, person))
        listed = [
            WaitingCase(case=one.case, document=utf8(one.document), **_holder(one.holder, person)) for one in cases[:LISTED]
        ]
        return WaitingCases(cases=listed, total=len(cases))

    @api.get("/cases/{case}/review", summary="Get all that is needed to answer a case", responses=problems(**undecided))
    def review(request: Request, case: CaseId) -> CaseToAnswer:
        decided_case(worker, case)
        view, person = worker.approvals.show(case), request.user.person
        summary = worker.index.find(case)
        blind = summary is not None and summary.may_be_read_again(person.name, worker.space.mission.second_readings)
        answer = _blinded(to_answer(worker, view, None)) if blind else to_answer(worker, view, person)
        asked = summary is not None and summary.sought and summary.status is not CaseStatus.LABELLED
        return answer.model_copy(update={"because": f"Asked for by a labelling batch. {answer.because}"}) if asked else answer

    @api.post("/cases/{case}/take", summary="Take a case that waits for you", responses=problems(**undecided))
    def take(request: Request, case: CaseId) -> Holder:
        """For as long as `review_minutes:` in mission.yaml says, unless somebody else has it. A case that waits for nobody, or
        for another role, is not taken."""
        decided_case(worker, case)
        summary, person = worker.index.find(case), request.user.person
        share = worker.space.mission.second_readings
        if summary is None or not (summary.waits_for(person.role) or summary.may_be_read_again(person.name, share)):
            return Holder(**_holder(None, person.name))
        return Holder(**_holder(worker.assignments.take(case, person), person.name))

    @api.post("/cases/{case}/put_back", summary="Put a case back in the queue", responses=problems(**undecided))
    def put_back(request: Request, case: CaseId) -> Holder:
        """An operator may put back a case that somebody else has."""
        decided_case(worker, case)
        worker.assignments.put_back(case, request.user.person)
        return Holder(**_holder(None, request.user.name))

    @api.post(
        "/cases/{case}/expected",
        summary="Ask what an approval would lead to",
        responses=problems(_400=MALFORMED, **undecided),
    )
    def expected(request: Request, case: CaseId, approval: Approval) -> Expected:
        """Records nothing, whatever the digest."""
        decided_case(worker, case)
        view, person = worker.approvals.show(case), request.user.person
        rulings, checks = worker.approvals.expected(view, person, approval.values, approval.document_class)
        return Expected(lines=[*_lines(rulings), *_new_failures(checks, view)])

    @api.post(
        "/cases/{case}/second",
        summary="Record a blind second reading",
        responses=problems(_400=MALFORMED, **undecided),
    )
    def second(request: Request, case: CaseId, reading: Reading) -> Recorded:
        """No action follows; the agreement with the first reader is reported."""
        decided_case(worker, case)
        worker.approvals.read_again(case, request.user.person, reading.values, reading.document_class)
        return Recorded(what="read again", lines=["your reading is recorded beside the first one"])

    @api.get(
        "/cases/{case}/page/{number}.json",
        summary="Get the words of a page of the document",
        responses=problems(_404="No case has this id, or it has no such page.", _409="The case is not decided yet."),
    )
    def words(case: CaseId, number: Annotated[int, Path(ge=0, le=10_000, description="From 0.")]) -> Words:
        content = worker.content(decided_case(worker, case).decided)
        if not isinstance(content, Document) or number >= len(content.pages):
            raise Refusal(404, "this case has no such page; pages count from 0")
        return Words(words=[PrintedWord(text=utf8(word.text), box=box(word.box)) for word in content.pages[number].words])

    return api


def to_answer(worker: Worker, view: CaseView, person: Person | None) -> CaseToAnswer:
    """A case as this person would answer it; for None, as it is looked at, without what only the release can tell."""
    decided, decision = view.decided, view.decided.decision
    content, suggestions, expected = None, {}, []
    with suppress(BadInput):  # its file is not kept
        content = worker.content(decided)
    kinds, calibrations = worker.space.mission.kinds, _calibrations(worker, decision.release)
    if person:
        if content and not isinstance(content, UnreadableDocument):
            with suppress(ProveoutError):  # nothing is promoted, or a run takes long: the answer can still be given
                suggestions = worker.suggestions(content)
        try:
            expected = _lines(worker.approvals.expected(view, person)[0])
        except ProveoutError as error:
            expected = [Line(text=f"cannot tell: {error}", good=False)]
    document = content if isinstance(content, Document) else None
    pages = document.pages if document else ()
    return CaseToAnswer(
        case=decided.case.id,
        document=utf8(decided.case.path),
        day=decided.case.day.isoformat() if decided.case.day else "",
        digest=view.digest,
        blind=False,
        because=utf8(_because(view)),
        document_class=view.document_class,
        classes=list(worker.space.mission.classes),
        fields=[_field(view, name, kinds[name], suggestions.get(name, ()), calibrations) for name in view.fields],
        checks=[*map(check, decision.checks)],
        similar=[utf8(f"{one.similarity:.2f}  {', '.join(one.fields.values())}") for one in decision.similar[:3]],
        expected=expected,
        effects=[without_home(str(effect), worker.space.home) for effect in view.effects],
        undoable=any(effect.stands for effect in view.effects),
        since=[without_home(dated_line(event), worker.space.home) for event in view.events if event.kind in SINCE],
        pages=[PageSize(width=page.width, height=page.height) for page in pages[:MOST_PAGES]],
        more_pages=max(len(pages) - MOST_PAGES, 0),
        anomalies=[
            Anomaly(because=utf8(anomaly.because), spot=_spot(anomaly.place))
            for anomaly in (document.anomalies if document else ())
        ],
    )


def _place(assignment: Assignment | None, person: str) -> int:
    """Where a case comes in this person's queue: assigned by another first, others' cases last."""
    if assignment is None or assignment.to != person:
        return 2 if assignment else 1
    return 0 if assignment.by != person else 1


def _holder(assignment: Assignment | None, person: str) -> dict[str, Any]:
    """The parts of a `Holder`, as this person gets it."""
    if assignment is None:
        return {"assigned_to": "", "until": None, "yours": False}
    return {"assigned_to": assignment.to, "until": datetime.fromisoformat(assignment.until), "yours": assignment.to == person}


def _blinded(case: CaseToAnswer) -> CaseToAnswer:
    """The case as a second reader gets it: the document alone."""
    fields = [field.model_copy(update=UNSEEN | {"items": _ungraded(field.items)}) for field in case.fields]
    nothing = {"checks": [], "similar": [], "expected": [], "effects": [], "since": [], "anomalies": [], "undoable": False}
    because = "A blind second reading: say what the document says; you do not see what was answered."
    return case.model_copy(update={"blind": True, "because": because, "document_class": "", "fields": fields, **nothing})


def _ungraded(items: Sequence[ItemToGrade]) -> list[ItemToGrade]:
    return [item.model_copy(update={"grade": ""}) for item in sorted(items, key=lambda item: item.id)]


def _because(view: CaseView) -> str:
    if view.escalated:
        return "; ".join(map(reasoned_line, view.escalated))
    return view.decided.decision.because[0]


def _field(
    view: CaseView, name: str, kind: records.Kind, suggestions: Sequence[ScoredValue], calibrations: Calibrations | None
) -> FieldToAnswer:
    decision, text = view.decided.decision, view.values[name]
    output = decision.fields.get(name)
    of_agent = output is not None and output.text == text
    needed = calibrations.floor(output.tier, name) if output and calibrations else None
    others = [value for value in suggestions if value.text != text][:OFFERED]
    return FieldToAnswer(
        name=name,
        kind=kind,
        text=utf8(text),
        certain=name in decision.automated or bool(view.escalated and view.answer and name in view.answer.fields),
        read=utf8(output.text) if output else "",
        sure=sureness(output, needed) if output else "",
        confidence=output.confidence if output and output.calibrated else None,
        needed=needed,
        speaks_for=[*map(utf8, output.speaks_for[:2])] if output else [],
        speaks_against=[*map(utf8, output.speaks_against[:2])] if output else [],
        spot=_spot(output.place) if output and of_agent else None,
        suggestions=[Suggestion(text=utf8(value.text), spot=_spot(value.place)) for value in others],
        items=_items(text, [*([output.text] if output else []), *(value.text for value in others)])
        if kind == "ranking"
        else [],
    )


def _items(answered: str, rankings: Iterable[str]) -> list[ItemToGrade]:
    """The items of the first ranking that has any, with the grades of an answer."""
    grades = items_of(answered)
    first = next(filter(None, map(titles_of, rankings)), [])
    return [ItemToGrade(id=utf8(id), title=utf8(title), grade=grades.get(id, "")) for id, title in first]


def _calibrations(worker: Worker, release: str) -> Calibrations | None:
    """Those of a release, if it is the promoted one, which is open already."""
    with suppress(ProveoutError):
        promoted = worker.release()
        if promoted.id == release:
            return promoted.calibrations
    return None


def _lines(rulings: Iterable[Ruling]) -> list[Line]:
    """What would follow, an action a line."""
    lines = [
        Line(text=utf8(ruling_line(ruling).removesuffix(" allowed")), good=True)
        if ruling.verdict.allowed
        else Line(text=utf8(reasoned_line(ruling)), good=False)
        for ruling in rulings
    ]
    return lines or [Line(text="your answer is recorded; no action follows", good=True)]


def _new_failures(checks: Iterable[records.Check], view: CaseView) -> list[Line]:
    """The checks that fail by a person's values, and did not by the agent's."""
    before = {check.name for check in view.decided.decision.checks if check.passed is False}
    failed = [check for check in checks if check.passed is False and check.name not in before]
    return [Line(text=utf8(f"the check “{check.name}” fails: {check.because}"), good=False) for check in failed]


def _spot(place: Place | None) -> Spot | None:
    return Spot(page=place.page, box=box(place.box)) if place else None
