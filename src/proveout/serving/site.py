"""The pages for people: sign-in, start page, cases, reports, API calls, and the review page.

Covered: use by keyboard alone; all but the review page without JavaScript; after signing in, a visitor returns to the requested
page of this server and to no other server. A report's scripts run in an origin of their own.
"""

import logging
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Form, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from proveout.control.restrictions import Kind
from proveout.errors import NoEntry
from proveout.identity import Accounts
from proveout.journal.log import csv_of
from proveout.monitoring.channels import failures
from proveout.records import Role, Route
from proveout.review.reviewers import reviewers, together
from proveout.serving.answers import without_home
from proveout.serving.case_index import CaseStatus, Overview, Search
from proveout.serving.case_page import case_pages
from proveout.serving.costing import cost_pages
from proveout.serving.guards import COOKIE, needed, session_key
from proveout.serving.operations import last_jobs
from proveout.serving.pages import STYLE, page, root_of
from proveout.serving.problems import Refusal
from proveout.serving.releasing import release_pages
from proveout.serving.reporting import TREND, report_pages, trends
from proveout.serving.trying import what_if_pages
from proveout.serving.worker import Worker

LOG = logging.getLogger("proveout.serving")
RECENT, LISTED = 12, 50  # cases on the start page and in a list
FEWEST = 3  # people whose numbers together tell of none of them
RECENT_REPORTS, RUNS = 5, 5  # on the start page
SOUGHT = ("q", "state", "route", "document_class", "segment", "since", "until")  # the parts of a search
TELLING = ("name", "amount")  # the kinds of fields that a list of cases shows


def add_pages(app: FastAPI, worker: Worker, accounts: Accounts) -> None:
    """Add the pages and the reports."""
    reports = worker.space.reports
    app.include_router(_sign_in_pages(accounts), include_in_schema=False)
    app.include_router(_signed_in_pages(app, worker), include_in_schema=False)
    app.include_router(case_pages(worker, accounts, _respond), include_in_schema=False)
    for pages in (report_pages, release_pages, what_if_pages, cost_pages):
        app.include_router(pages(worker, _respond), include_in_schema=False)
    reports.mkdir(parents=True, exist_ok=True)
    app.mount("/reports", StaticFiles(directory=reports))


def _sign_in_pages(accounts: Accounts) -> APIRouter:
    pages = APIRouter()

    @pages.get("/style.css")
    def style() -> Response:
        return FileResponse(STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

    @pages.get("/login")
    def login(request: Request, next: str = "/") -> Response:
        return HTMLResponse(page("login.html.j2", root=root_of(request), next=_local_path(next), name="", message=""))

    @pages.post("/login")
    async def sign_in(request: Request) -> Response:
        async with request.form(max_files=0, max_fields=8) as form:
            name, password, target = (str(form.get(field, "")) for field in ("name", "password", "next"))
        return await run_in_threadpool(_signed_in, request, accounts, name, password, _local_path(target))

    @pages.post("/logout")
    def logout(request: Request) -> Response:
        accounts.sign_out(session_key(request.headers))
        response = RedirectResponse(f"{root_of(request)}/login", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return response

    return pages


def _signed_in(request: Request, accounts: Accounts, name: str, password: str, target: str) -> Response:
    root, address = root_of(request), request.client.host if request.client else ""
    try:
        key = accounts.sign_in(name, password, address)
    except NoEntry as error:
        LOG.warning("a sign-in from %s was refused", address)
        message = f"{str(error)[:1].upper()}{str(error)[1:]}."
        html = page("login.html.j2", root=root, next=target, name=name[:64], message=message)
        return HTMLResponse(html, 429 if error.wait else 401, {"Retry-After": f"{error.wait:.0f}"} if error.wait else {})
    if before := session_key(request.headers):
        accounts.sign_out(before)
    response = RedirectResponse(f"{root}{target}", 303)
    response.set_cookie(COOKIE, key, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return response


def _signed_in_pages(app: FastAPI, worker: Worker) -> APIRouter:
    pages = APIRouter()
    columns = [name for name, kind in worker.space.mission.kinds.items() if kind in TELLING]

    @pages.get("/")
    def home(request: Request) -> Response:
        cases, filed = worker.index.newest(), worker.reports.list()
        jobs, no_jobs = last_jobs(worker.space.home)
        return _respond(
            request,
            "home.html.j2",
            mission=worker.space.mission,
            release=next((release for release in worker.releases.list() if release.promoted), None),
            stopped=worker.switch.stopped(),
            restrictions=[one for one in worker.restrictions.active() if one.kind is not Kind.STOP],
            may_stop=request.user.role.includes(Role.OPERATOR),
            trouble=worker.trouble,
            runs=worker.index.last_runs(RUNS),
            budget=worker.budget(),
            jobs=jobs,
            no_jobs=without_home(no_jobs, worker.space.home),
            unreached=failures(worker.space.home),
            overview=Overview.of(cases),
            recent=cases[:RECENT],
            columns=columns,
            reports=filed[:RECENT_REPORTS],
            trends=trends(filed[:TREND][::-1]),
            today=date.today(),
        )

    @pages.post("/stop")
    def stop(request: Request, because: Annotated[str, Form()] = "") -> Response:
        if not because.strip():
            raise Refusal(422, "say why all effects have to stop; whoever allows them again reads it")
        worker.restrictions.stop(request.user.name, because, worker.space.mission)
        return RedirectResponse(f"{root_of(request)}/", 303)

    @pages.post("/lift")
    def lift(request: Request, restriction: Annotated[str, Form()] = "", because: Annotated[str, Form()] = "") -> Response:
        if restriction:
            worker.restrictions.lift(restriction, request.user.name, because)
        else:
            worker.restrictions.lift_stop(request.user.name)
        worker.wake()
        return RedirectResponse(f"{root_of(request)}/", 303)

    @pages.get("/cases")
    def cases(request: Request, page: Annotated[int, Query(ge=1, le=1_000_000)] = 1) -> Response:
        wanted, everything = _wanted(request), worker.index.newest()
        matching = _search(wanted).among(everything)
        first = (page - 1) * LISTED
        return _respond(
            request,
            "cases.html.j2",
            wanted=wanted,
            query=urlencode({name: text for name, text in wanted.items() if text}),
            states=list(CaseStatus),
            routes=list(Route),
            classes=worker.space.mission.classes,
            segments=sorted({case.segment for case in everything} - {""}),
            columns=columns,
            total=len(matching),
            first=first + 1,
            page=page,
            cases=matching[first : first + LISTED],
        )

    @pages.get("/cases.csv")
    def cases_as_csv(request: Request) -> Response:
        """The search's cases as a table for a spreadsheet."""
        matching = worker.index.newest(_search(_wanted(request)))
        fields = list(worker.space.mission.fields)
        rows: list[list[object]] = [
            ["case", "document", "day", "segment", "class", "route", "status", "release", *fields, "effects"]
        ]
        for case in matching:
            effects = "; ".join(f"{name} {state}" for name, state in case.effects.items())
            about = [case.case, case.document, case.day or "", case.segment, case.document_class, case.route or "", case.status]
            rows.append([*about, case.release, *(case.values.get(name, "") for name in fields), effects])
        text = csv_of(rows)
        return Response(text, media_type="text/csv", headers={"Content-Disposition": 'attachment; filename="cases.csv"'})

    @pages.get("/review")
    def without_slash(request: Request) -> Response:
        return RedirectResponse(f"{root_of(request)}/review/", 307)

    @pages.get("/review/")
    def review(request: Request) -> Response:
        return _respond(request, "review.html.j2")

    @pages.get("/review/review.{ending}")
    def beside_the_page(ending: Literal["js", "css"]) -> Response:
        kind = {"js": "text/javascript", "css": "text/css"}[ending]
        return FileResponse(STYLE.with_name(f"review.{ending}"), media_type=kind, headers={"Cache-Control": "no-cache"})

    @pages.get("/reviewers")
    def people(request: Request) -> Response:
        """A person's own numbers; to operators everybody's."""
        everybody = reviewers(worker.journal)
        lead = request.user.role.includes(Role.OPERATOR)
        rows = [one for one in everybody if lead or one.name == request.user.name]
        if lead or len(everybody) >= FEWEST:
            rows = [*([together(everybody)] if everybody else []), *rows]
        return _respond(request, "reviewers.html.j2", rows=rows, lead=lead)

    @pages.get("/api")
    def programs(request: Request) -> Response:
        calls = [
            {"method": method.upper(), "path": path, "summary": call["summary"], "answers": sorted(call["responses"])}
            | {"role": needed(method.upper(), path)}
            for path, methods in app.openapi()["paths"].items()
            for method, call in methods.items()
        ]
        address = f"{request.url.scheme}://{request.headers.get('host', '')}{root_of(request)}"
        return _respond(request, "api.html.j2", calls=calls, address=address)

    return pages


def _respond(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page for whoever is signed in."""
    visitor = request.user
    reviews = visitor.role.includes(Role.REVIEWER)
    return HTMLResponse(page(template, root=root_of(request), visitor=visitor, reviews=reviews, **values), status)


def _wanted(request: Request) -> dict[str, str]:
    """Each part of a search as it was typed; "" for one that was left out."""
    return {name: request.query_params.get(name, "") for name in SOUGHT}


def _search(wanted: Mapping[str, str]) -> Search:
    """What a search form asks for. Raises Refusal for a word that it does not offer."""
    try:
        return Search(
            text=wanted["q"],
            status=CaseStatus(wanted["state"]) if wanted["state"] else None,
            route=Route(wanted["route"]) if wanted["route"] else None,
            document_class=wanted["document_class"],
            segment=wanted["segment"],
            since=date.fromisoformat(wanted["since"]) if wanted["since"] else None,
            until=date.fromisoformat(wanted["until"]) if wanted["until"] else None,
        )
    except ValueError as error:
        raise Refusal(422, f"this search cannot be understood: {error}; use the form above the list of cases") from error


def _local_path(target: str) -> str:
    """The target if it is a path of this server, else "/"; never an address of another server.

    >>> [_local_path(to) for to in ("/reports/report.html", "//evil.example", "/\\\\evil.example", "https://evil.example", "")]
    ['/reports/report.html', '/', '/', '/', '/']
    """
    safe = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable() and "\\" not in target
    return target if safe else "/"
