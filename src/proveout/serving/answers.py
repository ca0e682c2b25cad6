"""The bodies of the API: plain data with units, converted from the records of the journal and the agent."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from proveout import records
from proveout.journal import Event
from proveout.journal.log import utf8
from proveout.journal.prose import event_line, history, printed
from proveout.records import Decision, Kind, Route, Ruling
from proveout.release import Release
from proveout.review import approvals
from proveout.serving.case_index import CaseStatus, CaseSummary
from proveout.serving.worker import CaseHistory
from proveout.values import written
from proveout.values.rankings import titles_of

CASE = r"^[0-9a-f]{64}$"
EXAMPLE = "ddae77570773f4d700d6d1e844475f44bd1cf110acf8dbf0646b9868baaf1c39"


class Case(BaseModel):
    """A case and its status."""

    id: str = Field(pattern=CASE, examples=[EXAMPLE], description="SHA-256 of the document: the same bytes are the same case.")
    state: CaseStatus
    document: str = Field(examples=["march-invoice.pdf"], description="File name.")
    at: datetime = Field(description="When it was decided or, while it waits, submitted.")
    day: date | None = Field(description="When it was received, if known.")
    segment: str = Field(examples=["broadcast"], description='The group that bias reports compare; "" if unknown.')
    document_class: str = Field(examples=["invoice"], description='"" while it waits, or if it is unreadable.')
    route: Route | None = Field(description="act: the agent may act; review: a person decides; refuse: it is unreadable.")
    release: str = Field(description='The release that decided it; "" while it waits.')
    effects: dict[str, Literal["waiting", "failed", "unreachable", "unknown", "dead", "done", "refused", "taken back"]] = Field(
        examples=[{"file_document": "done"}], description="State of each allowed action."
    )
    escalated_to: str = Field(examples=["operator"], description='The role that has to approve an action; "" for none.')


class Cases(BaseModel):
    cases: list[Case]
    total: int = Field(description="Number of cases on all pages.")
    next: str | None = Field(description="Path of the next page.")


class Box(BaseModel):
    """Points (1/72 inch), origin at the top left of the page."""

    x0: float
    y0: float
    x1: float
    y1: float


class Item(BaseModel):
    id: str
    title: str


class FieldAnswer(BaseModel):
    text: str = Field(examples=["$19,340.00"], description="As printed on the document.")
    value: str = Field(examples=["19340.00"], description="Normalised: amounts with cents, dates as ISO 8601.")
    kind: Kind
    confidence: float | None = Field(ge=0, le=1, description="Calibrated probability of being right; null if not calibrated.")
    automated: bool = Field(description="Whether the confidence passes the certified threshold.")
    tier: str = Field(examples=["ranker"], description="The tier of the cascade that found it.")
    page: int | None = Field(ge=0, description="From 0; null if the value has no place.")
    box: Box | None
    speaks_for: list[str] = Field(examples=[["right of “Total”"]])
    speaks_against: list[str]
    items: list[Item] = Field(default=[], description="Of a ranking, best first.")


class Asked(BaseModel):
    """A text to decide."""

    text: str = Field(min_length=1, max_length=2000, examples=["wireless headset"])
    request: str = Field(
        default="", max_length=100, description="Id of the request, if it has one: the same id is decided once."
    )
    day: date | None = Field(default=None, ge=date(1970, 1, 1), le=date(2200, 1, 1), description="By default today.")
    segment: str = Field(default="", max_length=64, pattern=r"^[^\x00-\x1f]*$", description="Group that bias reports compare.")


class Check(BaseModel):
    name: str
    passed: bool | None = Field(description="null if there was nothing to compare.")
    because: str


class Similar(BaseModel):
    case: str
    similarity: float | None = Field(description="Cosine, -1 to 1.")
    fields: dict[str, str]


class Action(BaseModel):
    """A proposed side effect and the verdict of the control plane."""

    name: str
    arguments: dict[str, str]
    allowed: bool
    because: str
    escalate_to: str = Field(examples=["operator"], description='The role whose approval would be allowed; "" for none.')


class DecisionAnswer(BaseModel):
    case: str = Field(pattern=CASE, examples=[EXAMPLE])
    release: str
    document_class: str
    class_confidence: float | None
    route: Route
    because: list[str] = Field(min_length=2, max_length=2, description="Two sentences for a person.")
    fields: dict[str, FieldAnswer] = Field(description="A missing field is an abstention.")
    checks: list[Check]
    similar: list[Similar]
    actions: list[Action]
    memory_position: int = Field(description="Position in the memory that the decision used.")
    descriptors: dict[str, float | None] = Field(description="Measures of the input; for a document pages, words, ocr_share.")
    dollars: float = Field(ge=0, description="Cost of the tiers in dollars.")
    turn: int = Field(ge=0, description="Turn of the case, from 0; most cases have one.")
    digest: str = Field(
        examples=[EXAMPLE],
        description='Send it with an approval: covers this decision and all later events; "" for a preview.',
    )


class Seen(BaseModel):
    digest: str = Field(pattern=CASE, examples=[EXAMPLE], description="As returned by GET .../decision.")


class Approval(Seen):
    """A person's answer to a case."""

    values: dict[str, Annotated[str, Field(max_length=2000)]] = Field(
        default={},
        examples=[{"gross_amount": "$19,340.00"}],
        description='Corrected values, as printed; "" if the document has none.',
    )
    document_class: str = Field(default="", max_length=100, examples=["invoice"], description='Corrected class; "" if right.')


class Rejection(Seen):
    """That a case does not belong to the mission."""


class Undo(Seen):
    action: str = Field(default="", max_length=100, examples=["pay_invoice"], description='"" for every action that was done.')


class Effect(BaseModel):
    """An allowed action and its outcome."""

    name: str
    state: str = Field(examples=["done"], description="waiting, done or refused.")
    because: str = Field(examples=["effects/archive/invoice/ddae7757.pdf"], description="Where the result is, or the reason.")
    taken_back: str = Field(description='Outcome of an undo: waiting, done or refused; "" if none was requested.')


class Receipt(BaseModel):
    what: str = Field(examples=["approved"], description="approved, corrected, rejected or undone.")
    verdicts: list[Action] = Field(description="On the actions proposed by this call.")
    effects: list[Effect] = Field(description="Current effects of the case.")
    digest: str = Field(description="For the next call on this case.")
    lines: list[str] = Field(examples=[["pay_invoice done: payments/1.json"]], description="The same, for people.")


class Happened(BaseModel):
    at: datetime
    what: str = Field(examples=["file_document done: archive/invoice/ddae7757.pdf"])


class Explanation(BaseModel):
    case: str = Field(pattern=CASE, examples=[EXAMPLE])
    text: str = Field(description="As printed by `proveout show`.")
    because: list[str]
    evidence: dict[str, dict[Literal["for", "against"], list[str]]] = Field(description="By field.")
    verdicts: list[Action]
    history: list[Happened]


class ReleaseAnswer(BaseModel):
    id: str = Field(pattern=CASE)
    mission: str
    headline: str = Field(description="Summary of its evaluation.")
    frozen: datetime
    parts: dict[str, str] = Field(description="Name to content id.")


class Health(BaseModel):
    status: Literal["ok"]
    version: str = Field(examples=["0.1.0"])


class Ready(BaseModel):
    ready: bool
    because: str = Field(description='Why waiting cases are not decided; "" if they are.')


class Because(BaseModel):
    because: str = Field(min_length=1, max_length=500, examples=["amounts look wrong since noon"])


class Stopped(BaseModel):
    stopped: str = Field(description='Who stopped all effects, when and why; "" if effects are allowed.')


def case(summary: CaseSummary) -> Case:
    """A row of the case index, as the API returns it."""
    same = ("at", "day", "segment", "document_class", "route", "release", "effects", "escalated_to")
    row = {"id": summary.case, "state": summary.status, "document": utf8(summary.document)}
    return Case.model_validate(row | {name: getattr(summary, name) for name in same})


def decision(decision: Decision, rulings: Sequence[Ruling], kinds: Mapping[str, Kind], digest: str = "") -> DecisionAnswer:
    """A decision, its fields in the order of `kinds`."""
    return DecisionAnswer(
        case=decision.case,
        release=decision.release,
        document_class=decision.document_class,
        class_confidence=_number(decision.class_confidence),
        route=decision.route,
        because=[*map(utf8, decision.because)],
        fields={
            name: _field(decision.fields[name], kind, name in decision.automated)
            for name, kind in kinds.items()
            if name in decision.fields
        },
        checks=[*map(check, decision.checks)],
        similar=[
            Similar(case=similar.case, similarity=_number(similar.similarity), fields=_plain(similar.fields))
            for similar in decision.similar
        ],
        actions=actions(rulings),
        memory_position=decision.memory_position,
        descriptors={name: _number(value) for name, value in decision.descriptors.items()},
        dollars=decision.dollars,
        turn=decision.turn,
        digest=digest,
    )


def receipt(receipt: approvals.Receipt, home: Path) -> Receipt:
    """A receipt; `home` is removed from its texts."""
    effects = [
        Effect(
            name=effect.action.name,
            state=effect.state,
            because=without_home(effect.taken_back_because or effect.because, home),
            taken_back=effect.taken_back,
        )
        for effect in receipt.effects
    ]
    lines = [without_home(line, home) for line in receipt.lines]
    return Receipt(what=receipt.what, verdicts=actions(receipt.rulings), effects=effects, digest=receipt.digest, lines=lines)


def check(check: records.Check) -> Check:
    return Check(name=check.name, passed=check.passed, because=utf8(check.because))


def without_home(text: str, home: Path) -> str:
    """A text for a visitor, who need not know this machine's paths."""
    return utf8(text.replace(f"{home}/", ""))


def actions(rulings: Sequence[Ruling]) -> list[Action]:
    """The proposed actions with their verdicts."""
    return [
        Action(
            name=ruling.action.name,
            arguments=_plain(ruling.action.arguments),
            allowed=ruling.verdict.allowed,
            because=utf8(ruling.verdict.because),
            escalate_to=ruling.verdict.escalate_to,
        )
        for ruling in rulings
    ]


def explanation(case_history: CaseHistory, home: Path) -> Explanation:
    """What `proveout show` prints of a case, with its history; `home` is removed from it."""
    decision, rulings = case_history.decided.decision, case_history.decided.rulings
    return Explanation(
        case=decision.case,
        text=f"{utf8(printed(decision, rulings))}\n\n{without_home(history(case_history.events), home)}",
        because=[*map(utf8, decision.because)],
        evidence={
            name: {"for": [*map(utf8, value.speaks_for)], "against": [*map(utf8, value.speaks_against)]}
            for name, value in decision.fields.items()
        },
        verdicts=actions(rulings),
        history=happened(case_history.events, home),
    )


def happened(events: Iterable[Event], home: Path) -> list[Happened]:
    return [Happened.model_validate({"at": event.at, "what": without_home(event_line(event), home)}) for event in events]


def release(opened: Release) -> ReleaseAnswer:
    """A release's manifest, without the parts that only this machine needs."""
    manifest = opened.manifest
    return ReleaseAnswer.model_validate(
        {
            "id": opened.id,
            "mission": opened.mission.mission,
            "headline": manifest["headline"],
            "frozen": manifest["frozen"],
            "parts": manifest["content"]["parts"],
        }
    )


def _field(value: records.Output, kind: Kind, automated: bool) -> FieldAnswer:
    place = value.place
    return FieldAnswer(
        text=utf8(value.text),
        value=utf8(written(value.value)),
        kind=kind,
        confidence=_number(value.confidence),
        automated=automated,
        tier=value.tier,
        page=place.page if place else None,
        box=box(place.box) if place else None,
        speaks_for=[*map(utf8, value.speaks_for)],
        speaks_against=[*map(utf8, value.speaks_against)],
        items=[Item(id=utf8(id), title=utf8(title)) for id, title in titles_of(value.text)] if kind == "ranking" else [],
    )


def box(box: records.Box) -> Box:
    return Box(x0=box.x0, y0=box.y0, x1=box.x1, y1=box.y1)


def _plain(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: utf8(text) for name, text in texts.items()}


def _number(value: float) -> float | None:
    """JSON has no `nan` and no infinity: null."""
    return float(value) if math.isfinite(value) else None
