"""The pages of monitoring reports: those on file, and one to read, conclude on and sign.

Covered: use by keyboard and without scripts; a form that is refused comes back with what was typed.
Not covered: signing by a token. A signature is a person's, given on the page that shows the report.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from proveout.control.restrictions import Kind, Restriction
from proveout.errors import BadInput, Changed, ProveoutError
from proveout.files import read_object
from proveout.journal import BATCH
from proveout.live.trial import roll_back
from proveout.monitoring import Alerts, read
from proveout.monitoring.labelling import choose, scope
from proveout.monitoring.page import parts
from proveout.monitoring.signing import AGAIN, FINDINGS, PAGE, Conclusion, FiledReport, examples
from proveout.records import Person, Role
from proveout.review.batches import ask, batches
from proveout.serving.pages import root_of
from proveout.serving.problems import Refusal
from proveout.serving.worker import Worker

LISTED, TREND = 100, 52  # reports of the list, and of a trend
AT_ONCE = (Conclusion.TIGHTENED, Conclusion.REVIEW_ONLY, Conclusion.STOPPED, Conclusion.ROLLED_BACK)
CASE = re.compile(r'<code title="([0-9a-f]{64})">[^<]*</code>')  # as a report names a case

Respond = Callable[..., Response]  # (request, template, status=200, **values)


def report_pages(worker: Worker, respond: Respond) -> APIRouter:
    """The pages under /reports."""
    pages = APIRouter(prefix="/reports")
    reports = worker.reports

    @pages.get("")
    def listed(request: Request, page: Annotated[int, Query(ge=1, le=1_000_000)] = 1) -> Response:
        filed, first = reports.list(), (page - 1) * LISTED
        return respond(
            request,
            "reports.html.j2",
            reports=filed[first : first + LISTED],
            total=len(filed),
            first=first + 1,
            page=page,
            trends=trends(filed[:TREND][::-1]),
            today=date.today(),
        )

    @pages.get("/report.html")  # as pages from before reports went on file linked to it
    @pages.get("/latest")
    def latest(request: Request) -> Response:
        newest = reports.list()[:1]
        return _to(request, f"/{newest[0].id}" if newest else "")

    def answer(request: Request, report: FiledReport, against: str = "", message: str = "", typed: Any = None) -> Response:
        filed = reports.list()
        place = next(place for place, each in enumerate(filed) if each.id == report.id)
        older = filed[place + 1 :]
        other = next((each for each in filed if against and each.id.startswith(against)), older[0] if older else None)
        folder = reports.filed / report.id
        changed = reports.changed(report)
        style, body = ("", "") if changed else parts((folder / PAGE).read_text(encoding="utf-8"))
        return respond(
            request,
            "report.html.j2",
            422 if message else 200,
            report=report,
            style=style,
            body=CASE.sub(lambda case: f'<a href="{root_of(request)}/cases/{case[1]}">case {case[1][:12]}</a>', body),
            evidently={} if place else read_object(folder / FINDINGS).get("reports", {}),  # older ones are overwritten
            changed=changed,
            other=other,
            others=[each for each in filed if each.id != report.id][:TREND],
            last={key: other.conclusions[key] for key in report.findings if other and key in other.conclusions},
            batches=[batch for batch in batches(worker.journal.of_kind(BATCH)) if batch.report == report.id],
            answers=worker.journal.answers(),
            refusal=report.refusal(request.user.person),
            unread=report.unread(request.user.name),
            to_read={} if changed else examples(reports.data(report), report.rules.cases - report.rules.blind),
            conclusions=list(Conclusion),
            wanted=0 if changed else Alerts.model_validate(reports.data(report)["alerts"]).labelling.cases,
            message=message,
            typed=typed or {},
            today=date.today(),
        )

    def named(report: str) -> FiledReport:
        try:
            return reports.find(report)
        except BadInput as error:
            raise Refusal(404, "no report has this id; see the list of reports") from error

    @pages.get("/{report}")
    def one(request: Request, report: str, against: str = "") -> Response:
        return answer(request, named(report), against)

    @pages.post("/{report}/conclude")
    def conclude(
        request: Request,
        report: str,
        what: Annotated[str, Form()] = "",
        note: Annotated[str, Form()] = "",
        finding: Annotated[Sequence[str], Form()] = (),
        confidence: Annotated[str, Form()] = "",
    ) -> Response:
        filed, person = named(report), request.user.person
        try:
            if what not in [*Conclusion]:
                raise BadInput("choose a conclusion from the list")
            conclusion = Conclusion(what)
            if changed := reports.changed(filed):
                raise BadInput(f"{'; '.join(changed)}; {AGAIN}")
            if fault := filed.refusal(person) or filed.fault(finding, conclusion, note):
                raise BadInput(fault)
            _act(worker, filed, [*finding], conclusion, note.strip(), person, confidence)
            reports.conclude(filed.id, [*finding], conclusion, note, person)
        except ProveoutError as error:
            typed = {"what": what, "note": note, "finding": [*finding], "confidence": confidence}
            return answer(request, filed, message=f"Nothing was recorded: {error}.", typed=typed)
        return _to(request, f"/{filed.id}#findings")

    @pages.post("/{report}/sign")
    def sign(
        request: Request, report: str, digest: Annotated[str, Form()] = "", because: Annotated[str, Form()] = ""
    ) -> Response:
        filed = named(report)
        try:
            reports.sign(filed.id, request.user.person, digest, because)
        except (BadInput, Changed) as error:
            return answer(request, named(report), message=f"Not signed: {error}.", typed={"because": because})
        return _to(request, f"/{filed.id}#signatures")

    return pages


def _to(request: Request, path: str) -> Response:
    return RedirectResponse(f"{root_of(request)}/reports{path}", 303)


def _act(
    worker: Worker,
    report: FiledReport,
    findings: Sequence[str],
    conclusion: Conclusion,
    because: str,
    person: Person,
    confidence: str,
) -> None:
    """What a conclusion leads to at once. Raises BadInput for a person who may not, NoRelease if none was promoted before."""
    if conclusion is Conclusion.TO_LABEL:
        _ask_for_labels(worker, report, findings, person)
    if conclusion not in AT_ONCE:
        return
    if not person.role.includes(Role.OPERATOR):
        raise BadInput(f"“{conclusion}” needs the role {Role.OPERATOR}; assign the finding to a person who has it")
    mission = worker.space.mission
    if conclusion is Conclusion.STOPPED:
        worker.restrictions.impose(Restriction(Kind.STOP, because, person.name, report=report.id, finding=findings[0]), mission)
    elif conclusion is Conclusion.ROLLED_BACK:
        roll_back(worker.releases, worker.journal, person.name, because)
    else:
        kind, level = Kind.REVIEW, 0.0
        if conclusion is Conclusion.TIGHTENED:
            kind, level = Kind.STRICTER, _share(confidence)
        data = worker.reports.data(report)
        for key in findings:
            field, segment = scope(data, key, mission)
            wanted = Restriction(kind, because, person.name, field, segment, level, report.id, key)
            worker.restrictions.impose(wanted, mission)


def _share(text: str) -> float:
    """A typed confidence, 0..1; "99.5" and "99.5 %" are in percent. Raises BadInput for anything else."""
    try:
        share = float(text.strip().removesuffix("%").strip())
    except ValueError:
        raise BadInput(f"{text!r} is no confidence; type the least that a value needs, such as 99.5 %") from None
    return share / 100 if share > 1 else share


def _ask_for_labels(worker: Worker, report: FiledReport, findings: Sequence[str], person: Person) -> None:
    """Begin a labelling batch. Raises BadInput if no case of the findings is left to label."""
    data, mission = worker.reports.data(report), worker.space.mission
    log = read(worker.journal.to_parquet(worker.space.logs, mission))
    reference = read(worker.space.releases / report.release / "evidence" / "reference.parquet")
    chosen = choose(data, findings, reference, log, mission, Alerts.model_validate(data["alerts"]).labelling)
    ask(worker.journal, report.id, findings, chosen.teach, chosen.judge, person)


def trends(oldest_first: Sequence[FiledReport]) -> list[dict[str, Any]]:
    """For each objective of the last report: its row, and a line over all reports in a box 100 wide and 20 high."""
    lines = []
    for name, row in oldest_first[-1].objectives.items() if oldest_first else ():
        values = [
            (place, each["measured"]) for place, report in enumerate(oldest_first) if (each := report.objectives.get(name))
        ]
        low, high = min(value for _, value in values), max(value for _, value in values)
        points = " ".join(
            f"{100 * place / max(1, len(oldest_first) - 1):.1f},{18 - 16 * (value - low) / (high - low or 1):.1f}"
            for place, value in values
        )
        lines.append({"name": name, "row": row, "points": points, "reports": len(values)})
    return lines
