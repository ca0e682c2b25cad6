"""The bodies of the API: plain data with units, converted from the records of the journal and the agent."""

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from proveout import records
from proveout.journal.prose import history, printed
from proveout.records import Decision, Kind, Route, Ruling
from proveout.release import Release
from proveout.review import approvals
from proveout.serving.case_index import CaseStatus, CaseSummary
from proveout.serving.worker import CaseHistory
from proveout.values import written

CASE = r"^[0-9a-f]{64}$"
EXAMPLE = "ddae77570773f4d700d6d1e844475f44bd1cf110acf8dbf0646b9868baaf1c39"


class Case(BaseModel):
    """Where a case stands."""

    id: str = Field(pattern=CASE, examples=[EXAMPLE], description="SHA-256 of the document: the same bytes are the same case.")
    state: CaseStatus
    document: str = Field(examples=["march-invoice.pdf"], description="What the file is called here.")
    at: datetime = Field(description="When it was decided; while it waits, when it was handed in.")
    day: date | None = Field(description="When it was received, as far as somebody said so.")
    segment: str = Field(examples=["broadcast"], description='The group whose treatment is compared; "" when unknown.')
    document_class: str = Field(examples=["invoice"], description='"" while it waits, and when it could not be read.')
    route: Route | None = Field(description="act: the agent may; review: a person sees it; refuse: it cannot be read.")
    release: str = Field(description='Who decided; "" while it waits.')
    effects: dict[str, Literal["waiting", "failed", "unreachable", "unknown", "dead", "done", "refused", "taken back"]] = Field(
        examples=[{"file_document": "done"}], description="What was allowed, and what came of it."
    )
    escalated_to: str = Field(examples=["operator"], description='The role whose approval an action waits for; "" for none.')


class Cases(BaseModel):
    cases: list[Case]
    total: int = Field(description="How many there are, on all pages.")
    next: str | None = Field(description="The path of the next page.")


class Box(BaseModel):
    """Points (1/72 inch), origin at the top left of the page."""

    x0: float
    y0: float
    x1: float
    y1: float


class FieldAnswer(BaseModel):
    text: str = Field(examples=["$19,340.00"], description="As printed.")
    value: str = Field(examples=["19340.00"], description="Normalised: amounts with cents, days as ISO 8601.")
    kind: Kind
    confidence: float | None = Field(ge=0, le=1, description="Calibrated probability of being right; null: not calibrated.")
    automated: bool = Field(description="Whether the confidence passes the certified threshold.")
    tier: str = Field(examples=["ranker"], description="Which tier of the cascade says so.")
    page: int | None = Field(ge=0, description="From 0; null where the value has no place.")
    box: Box | None
    speaks_for: list[str] = Field(examples=[["stands right of “Total”"]])
    speaks_against: list[str]


class Check(BaseModel):
    name: str
    passed: bool | None = Field(description="null: there was nothing to compare.")
    because: str


class Similar(BaseModel):
    case: str
    similarity: float | None = Field(description="Cosine, -1 to 1.")
    fields: dict[str, str]


class Action(BaseModel):
    """A proposed side effect, and what the control plane says to it."""

    name: str
    arguments: dict[str, str]
    allowed: bool
    because: str
    escalate_to: str = Field(examples=["operator"], description='Whose approval would be allowed; "" where nobody\'s would.')


class DecisionAnswer(BaseModel):
    case: str = Field(pattern=CASE, examples=[EXAMPLE])
    release: str
    document_class: str
    class_confidence: float | None
    route: Route
    because: list[str] = Field(min_length=2, max_length=2, description="Two sentences for a person.")
    fields: dict[str, FieldAnswer] = Field(description="A field that is missing is an abstention.")
    checks: list[Check]
    similar: list[Similar]
    actions: list[Action]
    memory_position: int = Field(description="How much of the memory this decision could see.")
    descriptors: dict[str, float | None] = Field(description="Of the input; of a document pages, words, ocr_share.")
    dollars: float = Field(ge=0, description="What the tiers cost.")
    turn: int = Field(ge=0, description="Of the case; most have one, 0.")
    digest: str = Field(
        examples=[EXAMPLE], description='What an approval rests on: this decision and all that happened since; "" of a preview.'
    )


class Approval(BaseModel):
    """What a person says of a case."""

    digest: str = Field(pattern=CASE, examples=[EXAMPLE], description="As GET .../decision gave it.")
    values: dict[str, Annotated[str, Field(max_length=2000)]] = Field(
        default={},
        examples=[{"gross_amount": "$19,340.00"}],
        description='Where they differ from what was shown: as printed, "" where the document has none.',
    )
    document_class: str = Field(default="", max_length=100, examples=["invoice"], description='"" as it was shown.')


class Undo(BaseModel):
    digest: str = Field(pattern=CASE, examples=[EXAMPLE], description="As GET .../decision gave it.")
    action: str = Field(default="", max_length=100, examples=["pay_invoice"], description='"" for all that was done.')


class Effect(BaseModel):
    """An action that was allowed, and what came of it."""

    name: str
    state: str = Field(examples=["done"], description="waiting, done or refused.")
    because: str = Field(examples=["effects/archive/invoice/ddae7757.pdf"], description="Where it is, or why it is not.")
    taken_back: str = Field(description='"" nobody asked for it; waiting, done or refused.')


class Receipt(BaseModel):
    what: str = Field(examples=["approved"], description="approved, corrected or undone.")
    verdicts: list[Action] = Field(description="On what was proposed now.")
    effects: list[Effect] = Field(description="Of the case, as they stand.")
    digest: str = Field(description="For what this person says next.")


class Happened(BaseModel):
    at: datetime
    what: str = Field(examples=["file_document done: archive/invoice/ddae7757.pdf"])


class Explanation(BaseModel):
    case: str = Field(pattern=CASE, examples=[EXAMPLE])
    text: str = Field(description="As `proveout show` prints it.")
    because: list[str]
    evidence: dict[str, dict[Literal["for", "against"], list[str]]] = Field(description="Of each field.")
    verdicts: list[Action]
    history: list[Happened]


class ReleaseAnswer(BaseModel):
    id: str = Field(pattern=CASE)
    mission: str
    headline: str = Field(description="What its evaluation says.")
    frozen: datetime
    parts: dict[str, str] = Field(description="Name to content id.")


class Health(BaseModel):
    status: Literal["ok"]
    version: str = Field(examples=["0.1.0"])


class Ready(BaseModel):
    ready: bool
    because: str = Field(description='Why what waits is not decided; "" when it is.')


class Because(BaseModel):
    because: str = Field(min_length=1, max_length=500, examples=["amounts look wrong since noon"])


class Stopped(BaseModel):
    stopped: str = Field(description='Who stopped every effect, when and why; "" when effects happen.')


def case(summary: CaseSummary) -> Case:
    """A row of the case index, as the API returns it."""
    return Case.model_validate(
        {
            "id": summary.case,
            "state": summary.status,
            "document": _utf8(summary.document),
            "at": summary.at,
            "day": summary.day,
            "segment": summary.segment,
            "document_class": summary.document_class,
            "route": summary.route,
            "release": summary.release,
            "effects": summary.effects,
            "escalated_to": summary.escalated_to,
        }
    )


def decision(decision: Decision, rulings: Sequence[Ruling], kinds: Mapping[str, Kind], digest: str = "") -> DecisionAnswer:
    """A decision, its fields in the order of `kinds`."""
    return DecisionAnswer(
        case=decision.case,
        release=decision.release,
        document_class=decision.document_class,
        class_confidence=_number(decision.class_confidence),
        route=decision.route,
        because=[*map(_utf8, decision.because)],
        fields={
            name: _field(decision.fields[name], kind, name in decision.automated)
            for name, kind in kinds.items()
            if name in decision.fields
        },
        checks=[Check(name=check.name, passed=check.passed, because=_utf8(check.because)) for check in decision.checks],
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
            because=_utf8((effect.taken_back_because or effect.because).replace(f"{home}/", "")),
            taken_back=effect.taken_back,
        )
        for effect in receipt.effects
    ]
    return Receipt(what=receipt.what, verdicts=actions(receipt.rulings), effects=effects, digest=receipt.digest)


def actions(rulings: Sequence[Ruling]) -> list[Action]:
    """The proposed actions with their verdicts."""
    return [
        Action(
            name=ruling.action.name,
            arguments=_plain(ruling.action.arguments),
            allowed=ruling.verdict.allowed,
            because=_utf8(ruling.verdict.because),
            escalate_to=ruling.verdict.escalate_to,
        )
        for ruling in rulings
    ]


def explanation(case_history: CaseHistory, home: Path) -> Explanation:
    """What `proveout show` prints of a case. `home` is removed: a visitor need not know this machine's paths."""
    decision, rulings = case_history.decided.decision, case_history.decided.rulings
    text = history(case_history.events).replace(f"{home}/", "")
    lines = [line.split("  ", 2)[2] for line in text.splitlines()[1:]]
    return Explanation(
        case=decision.case,
        text=_utf8(f"{printed(decision, rulings)}\n\n{text}"),
        because=[*map(_utf8, decision.because)],
        evidence={
            name: {"for": [*map(_utf8, value.speaks_for)], "against": [*map(_utf8, value.speaks_against)]}
            for name, value in decision.fields.items()
        },
        verdicts=actions(rulings),
        history=[
            Happened.model_validate({"at": event.at, "what": _utf8(line)})
            for event, line in zip(case_history.events, lines, strict=True)
        ],
    )


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
        text=_utf8(value.text),
        value=_utf8(written(value.value)),
        kind=kind,
        confidence=_number(value.confidence),
        automated=automated,
        tier=value.tier,
        page=place.page if place else None,
        box=Box(x0=place.box.x0, y0=place.box.y0, x1=place.box.x1, y1=place.box.y1) if place else None,
        speaks_for=[*map(_utf8, value.speaks_for)],
        speaks_against=[*map(_utf8, value.speaks_against)],
    )


def _plain(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: _utf8(text) for name, text in texts.items()}


def _number(value: float) -> float | None:
    """JSON has no `nan` and no infinity: null."""
    return float(value) if math.isfinite(value) else None


def _utf8(text: str) -> str:
    """Broken PDFs contain half surrogate pairs; each becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
