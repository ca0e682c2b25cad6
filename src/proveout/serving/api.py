"""The API for programs: /api/v1, described by /openapi.json. `answers` holds the bodies, `worker` does the work."""

import json
import re
from datetime import date
from enum import StrEnum
from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, File, Form, Path, Query, Request, Response, UploadFile
from fastapi.openapi.utils import get_openapi
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from proveout.documents import page_png
from proveout.records import Route
from proveout.serving import answers
from proveout.serving.case_index import CaseStatus, Search
from proveout.serving.guards import COOKIE, needed
from proveout.serving.intake import aside, hand_in
from proveout.serving.problems import PROBLEM, Problem, Refusal
from proveout.serving.worker import CaseHistory, Worker

V1 = "/api/v1"
CHANGED = "The case changed since `digest` was read, or it is not decided yet, or no release is promoted."
MALFORMED, UNREADABLE, FULL = "The body is malformed.", "This type of file cannot be read.", "The disk is full."
CaseId = Annotated[
    str,
    Path(pattern=answers.CASE, examples=[answers.EXAMPLE], description="SHA-256 of the document, as returned by POST /cases."),
]
Document = Annotated[UploadFile, File(description="PDF, PNG, JPEG, TIFF or plain text in UTF-8.")]


def _segment_name(text: str) -> str:
    """Allows letters of every script, which a JSON Schema pattern cannot express."""
    if not re.fullmatch(r"(\w[\w .&/()-]*)?", text):
        raise ValueError("use only letters, digits, spaces and _.&/()-, starting with a letter or digit")
    return text


Segment = Annotated[
    str,
    AfterValidator(_segment_name),
    Form(
        max_length=64,
        description="Group that bias reports compare: letters, digits, spaces and _.&/()-, starting with a letter or digit.",
    ),
]


def _iso_day(text: str | None) -> str | None:
    """Rejects numbers, which pydantic would read as seconds since 1970."""
    if text and not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise ValueError("write the day as YYYY-MM-DD")
    return text or None


DAY = WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "maxLength": 0}, {"type": "null"}]})
Day = Annotated[
    date | None,
    BeforeValidator(_iso_day),
    DAY,
    Form(ge=date(1970, 1, 1), le=date(2200, 1, 1), description="When it was received, YYYY-MM-DD; by default today."),
]


class Memory(StrEnum):
    LIVE = "live"
    RELEASE = "release"


def problems(**own: str) -> dict[int | str, dict[str, Any]]:
    """The error responses of a call: those of every call, and `_404="..."` of its own."""
    common = {
        "401": "Not signed in, or the token is invalid.",
        "403": "The account's role does not allow this, or the request comes from a page of another site.",
        "413": "The body is too large.",
        "422": "A part of the request is invalid; `errors` says which.",
        "429": "Too many requests; `Retry-After` says how many seconds to wait.",
        "503": "The request took too long, or a run is in progress; try again later.",
    }
    responses = common | {name.removeprefix("_"): text for name, text in own.items()}
    return {int(status): {"model": Problem, "description": text} for status, text in sorted(responses.items())}


def _location() -> dict[str, Any]:
    return {"Location": {"description": "Path of the case.", "required": True, "schema": {"type": "string"}}}


def routers(worker: Worker) -> list[APIRouter]:
    """The calls under /api/v1, and those that check the server, in the order of the OpenAPI document."""
    api = APIRouter(prefix=V1)
    submitting = _asking if hasattr(worker.index.kind, "case_file") else _submitting
    for add in (submitting, _listing, _reading, _answering, _pictures, _previewing, _stopping):
        add(api, worker)
    return [api, _health(worker)]


def _submitting(api: APIRouter, worker: Worker) -> None:
    @api.post(
        "/cases",
        status_code=202,
        summary="Submit a document",
        responses={
            200: {
                "model": answers.Case,
                "description": "The document is already a case.",
                "headers": _location(),
            },
            202: {"description": "The document is in the inbox and will be decided soon.", "headers": _location()},
            **problems(_400=MALFORMED, _415=UNREADABLE, _507=FULL),
        },
    )
    def submit(request: Request, response: Response, file: Document, day: Day = None, segment: Segment = "") -> answers.Case:
        """The same bytes are the same case, whatever the file name: submitting them twice decides nothing twice."""
        with aside(file.file, worker.incoming) as upload:
            summary = worker.index.find(upload.case)
            if summary is not None:
                response.status_code = 200
            else:
                hand_in(upload, worker.inbox, file.filename or "", day, segment)
                worker.wake()
                summary = worker.index.find(upload.case)
        assert summary is not None
        response.headers["Location"] = f"{request.scope.get('root_path', '')}{V1}/cases/{summary.case}"
        return answers.case(summary)


def _asking(api: APIRouter, worker: Worker) -> None:
    @api.post(
        "/decisions",
        summary="Decide a text now",
        responses=problems(_400=MALFORMED, _409="No release is promoted.", _507=FULL),
    )
    def decide(asked: answers.Asked) -> answers.DecisionAnswer:
        """Records the decision. Each call is a case of its own, unless `request` names one that was decided before."""
        if not asked.text.strip():
            raise Refusal(422, "the text is empty; send what was asked")
        decided = worker.decide_now(asked.text, asked.request, asked.day, asked.segment)
        return answers.decision(decided.decision, decided.rulings, worker.space.mission.kinds)


def _listing(api: APIRouter, worker: Worker) -> None:
    @api.get("/cases", summary="Search the cases, newest first", responses=problems())
    def cases(
        request: Request,
        q: Annotated[str, Query(max_length=200, description="In the file name or a value, or the start of the id.")] = "",
        state: Annotated[CaseStatus | None, Query(description="Only cases with this status.")] = None,
        route: Annotated[Route | None, Query(description="Only cases with this route.")] = None,
        document_class: Annotated[str, Query(max_length=100, description="Only cases of this class.")] = "",
        segment: Annotated[str, Query(max_length=64, description="Only cases of this group.")] = "",
        since: Annotated[
            date | None, BeforeValidator(_iso_day), DAY, Query(description="Received on this day or later.")
        ] = None,
        until: Annotated[
            date | None, BeforeValidator(_iso_day), DAY, Query(description="Received on this day or before.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        after: Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$", description="Last case of the previous page.")] = "",
    ) -> answers.Cases:
        summaries = worker.index.newest(Search(q, state, route, document_class, segment, since, until))
        ids = [summary.case for summary in summaries]
        start = ids.index(after) + 1 if after in ids else len(ids) if after else 0
        listed = summaries[start : start + limit]
        next_page = None
        if start + limit < len(summaries):
            query = urlencode({**request.query_params, "after": listed[-1].case})
            next_page = f"{request.scope.get('root_path', '')}{V1}/cases?{query}"
        return answers.Cases(cases=[answers.case(summary) for summary in listed], total=len(summaries), next=next_page)


def _reading(api: APIRouter, worker: Worker) -> None:
    @api.get("/cases/{case}", summary="Get a case and its status", responses=problems(_404="No case has this id."))
    def one_case(case: CaseId) -> answers.Case:
        if (summary := worker.index.find(case)) is None:
            raise unknown_case()
        return answers.case(summary)

    @api.get(
        "/cases/{case}/decision",
        summary="Get the decision on a case",
        responses=problems(_404="No case has this id.", _409="The case is not decided yet."),
    )
    def decision(case: CaseId) -> answers.DecisionAnswer:
        """Fields with value, place and confidence; checks; similar cases; actions with their verdicts."""
        decided, digest = decided_case(worker, case).decided, worker.approvals.show(case).digest
        return answers.decision(decided.decision, decided.rulings, worker.space.mission.kinds, digest)

    @api.get(
        "/cases/{case}/explanation",
        summary="Get the reasons for a decision and its history",
        responses=problems(_404="No case has this id.", _409="The case is not decided yet."),
    )
    def explanation(case: CaseId) -> answers.Explanation:
        return answers.explanation(decided_case(worker, case), worker.space.home)


def _answering(api: APIRouter, worker: Worker) -> None:
    failures = problems(_400=MALFORMED, _404="No case has this id.", _409=CHANGED)

    @api.post(
        "/cases/{case}/approve",
        summary="Approve a case, as shown or corrected",
        responses=failures,
    )
    def approve(request: Request, case: CaseId, approval: answers.Approval) -> answers.Receipt:
        """Records a label and proposes the mission's actions as this person's; those that the policy allows happen at once."""
        decided_case(worker, case)
        receipt = worker.approvals.approve(case, request.user.person, approval.digest, approval.values, approval.document_class)
        return answers.receipt(receipt, worker.space.home)

    @api.post(
        "/cases/{case}/reject",
        summary="Reject a case: it does not belong to this mission",
        responses=failures,
    )
    def reject(request: Request, case: CaseId, rejection: answers.Rejection) -> answers.Receipt:
        """Records a label without values. No action follows."""
        decided_case(worker, case)
        return answers.receipt(worker.approvals.reject(case, request.user.person, rejection.digest), worker.space.home)

    @api.post(
        "/cases/{case}/undo",
        summary="Undo the actions of a case",
        responses=failures,
    )
    def undo(request: Request, case: CaseId, undo_request: answers.Undo) -> answers.Receipt:
        """Runs each action's compensation. An action that was already undone stays undone."""
        decided_case(worker, case)
        receipt = worker.approvals.undo(case, request.user.person, undo_request.digest, undo_request.action)
        return answers.receipt(receipt, worker.space.home)


def _pictures(api: APIRouter, worker: Worker) -> None:
    @api.get(
        "/cases/{case}/page/{number}.png",
        response_class=Response,
        summary="Get a page of the document as an image",
        responses={
            200: {"description": "The whole page; scale boxes (in points) to its size.", "content": {"image/png": {}}},
            **problems(_404="No case has this id, or the document has no such page.", _409="The document cannot be rendered."),
        },
    )
    def page(case: CaseId, number: Annotated[int, Path(ge=0, le=10_000, description="From 0.")]) -> Response:
        if worker.index.find(case) is None or (path := worker.file(case)) is None:
            raise unknown_case()
        picture = page_png(path, number, worker.space.cache)
        if picture is None:
            raise Refusal(404, "this document has no such page; pages count from 0")
        return Response(picture, media_type="image/png", headers={"Cache-Control": "private, max-age=3600, immutable"})


def _previewing(api: APIRouter, worker: Worker) -> None:
    @api.post(
        "/preview",
        summary="Preview the decision on a document",
        responses=problems(_400=MALFORMED, _409="No release is promoted.", _415=UNREADABLE, _507=FULL),
    )
    def preview(
        file: Document,
        memory: Annotated[
            Memory, Query(description="live: the current memory; release: the memory frozen with the release.")
        ] = Memory.LIVE,
    ) -> answers.DecisionAnswer:
        """Records nothing and takes no action."""
        with aside(file.file, worker.incoming) as upload:
            decision, rulings = worker.preview(upload.path, frozen=memory is Memory.RELEASE)
        return answers.decision(decision, rulings, worker.space.mission.kinds)

    @api.get("/release", summary="Get the promoted release", responses=problems(_409="No release is promoted."))
    def release() -> answers.ReleaseAnswer:
        return answers.release(worker.release())


def _stopping(api: APIRouter, worker: Worker) -> None:
    @api.post("/stop", summary="Stop all side effects", responses=problems(_400=MALFORMED))
    def stop(request: Request, reason: answers.Because) -> answers.Stopped:
        """Cases are still decided; allowed actions wait until the stop is lifted. A second stop changes nothing."""
        worker.switch.stop(request.user.name, reason.because)
        return answers.Stopped(stopped=worker.switch.stopped())

    @api.post("/lift", summary="Allow side effects again", responses=problems())
    def lift() -> answers.Stopped:
        worker.switch.lift()
        worker.wake()
        return answers.Stopped(stopped=worker.switch.stopped())


def _health(worker: Worker) -> APIRouter:
    api = APIRouter()

    @api.get("/health", summary="Check that the server responds", responses=_open())
    def health() -> answers.Health:
        return answers.Health(status="ok", version=version("proveout"))

    @api.get("/ready", summary="Check that waiting cases are decided", responses=problems())
    def ready() -> answers.Ready:
        return answers.Ready(ready=not worker.trouble, because=worker.trouble)

    return api


def _open() -> dict[int | str, dict[str, Any]]:
    """The error responses of a call that needs no account."""
    return {status: response for status, response in problems().items() if status in (413, 429, 503)}


def decided_case(worker: Worker, case: str) -> CaseHistory:
    """The history of a decided case. Raises Refusal if there is none (404), it is not decided yet (409) or erased (410)."""
    if (history := worker.history(case)) is not None:
        return history
    if (summary := worker.index.find(case)) is None:
        raise unknown_case()
    if summary.status is CaseStatus.ERASED:
        raise Refusal(410, "the content of this case was erased")
    raise Refusal(409, "this case is not decided yet; ask again later", {"Retry-After": "5"})


def unknown_case() -> Refusal:
    return Refusal(404, "no case has this id; see GET /api/v1/cases")


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, plus the media type of problems and the role that each call needs."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        document["components"]["securitySchemes"] = {
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Set by /login, for browsers."},
            "token": {"type": "http", "scheme": "bearer", "description": "Created by `proveout user token NAME LABEL`."},
        }
        for path, calls in document["paths"].items():
            for method, call in calls.items():
                role = needed(method.upper(), path)
                call["security"] = [{"token": []}, {"session": []}] if role else []
                if role:
                    call["description"] = f"{call.get('description', '')}\n\nNeeds the role {role}.".strip()
                for status, response in call["responses"].items():
                    if int(status) >= 400:
                        response["content"] = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
                        if status in ("429", "503"):
                            response["headers"] = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds."}}
        app.openapi_schema = json.loads(json.dumps(document))
    return app.openapi_schema
