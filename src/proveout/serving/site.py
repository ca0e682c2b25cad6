"""The pages for people: sign-in, start page, cases, reports, API calls, and the review page.

Covered: use by keyboard alone; all but the review page without JavaScript; after signing in, a visitor returns to the requested
page of this server and to no other server. A report's scripts run in an origin of their own.
"""

import logging
from typing import Any, Literal

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from proveout.errors import NoEntry
from proveout.identity import Accounts
from proveout.records import Role
from proveout.serving import answers
from proveout.serving.api import CaseId
from proveout.serving.case_index import CaseStatus
from proveout.serving.guards import COOKIE, needed, session_key
from proveout.serving.pages import STYLE, page
from proveout.serving.problems import Refusal
from proveout.serving.worker import Worker

LOG = logging.getLogger("proveout.serving")
RECENT, PAGES = 12, 5  # cases on the start page, pages shown of a document
REPORTS = {
    "Drift, bias and performance": "report.html",
    "Every column, by Evidently": "drift/drift.html",
    "Every segment, by Evidently": "bias/bias.html",
}


def add_pages(app: FastAPI, worker: Worker, accounts: Accounts) -> None:
    """Add the pages and the reports."""
    reports = worker.space.reports
    app.include_router(_sign_in_pages(accounts), include_in_schema=False)
    app.include_router(_signed_in_pages(app, worker), include_in_schema=False)
    reports.mkdir(parents=True, exist_ok=True)
    app.mount("/reports", StaticFiles(directory=reports))


def _sign_in_pages(accounts: Accounts) -> APIRouter:
    pages = APIRouter()

    @pages.get("/style.css")
    def style() -> Response:
        return FileResponse(STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

    @pages.get("/login")
    def login(request: Request, next: str = "/") -> Response:
        return HTMLResponse(page("login.html.j2", root=_root(request), next=_local_path(next), name="", message=""))

    @pages.post("/login")
    async def sign_in(request: Request) -> Response:
        async with request.form(max_files=0, max_fields=8) as form:
            name, password, target = (str(form.get(field, "")) for field in ("name", "password", "next"))
        return await run_in_threadpool(_signed_in, request, accounts, name, password, _local_path(target))

    @pages.post("/logout")
    def logout(request: Request) -> Response:
        accounts.sign_out(session_key(request.headers))
        response = RedirectResponse(f"{_root(request)}/login", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return response

    return pages


def _signed_in(request: Request, accounts: Accounts, name: str, password: str, target: str) -> Response:
    root, address = _root(request), request.client.host if request.client else ""
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

    def response(request: Request, template: str, **values: Any) -> Response:
        visitor = request.user
        reviews = visitor.role.includes(Role.REVIEWER)
        return HTMLResponse(page(template, root=_root(request), visitor=visitor, reviews=reviews, **values))

    @pages.get("/")
    def home(request: Request) -> Response:
        cases = worker.index.newest()
        waiting = sum(case.status is CaseStatus.WAITING for case in cases)
        return response(
            request,
            "home.html.j2",
            mission=worker.space.mission,
            release=next((release for release in worker.releases.list() if release.promoted), None),
            stopped=worker.switch.stopped(),
            trouble=worker.trouble,
            waiting=waiting,
            decided=len(cases) - waiting,
            to_review=sum(case.asks for case in cases),
            recent=cases[:RECENT],
            reports=[(title, path) for title, path in REPORTS.items() if (worker.space.reports / path).exists()],
        )

    @pages.get("/cases/{case}")
    def one_case(request: Request, case: CaseId) -> Response:
        summary, history = worker.index.find(case), worker.history(case)
        if summary is None:
            raise Refusal(404, "no case has this id; the start page lists the newest cases")
        text = answers.explanation(history, worker.space.home).text if history else "This case waits and will be decided soon."
        count = int(history.decided.decision.descriptors.get("pages", 0)) if history else 0
        number = {"pages": min(count, PAGES), "more": max(count - PAGES, 0)}
        return response(request, "case.html.j2", case=summary, text=text, **number)

    @pages.get("/cases/{case}/shown")
    def shown(case: CaseId) -> Response:
        """A case of a kind without pages, for a frame of the review page."""
        history = worker.history(case)
        if history is None or (path := worker.file(case)) is None:
            raise Refusal(404, "no decided case has this id")
        return HTMLResponse(worker.index.kind.show(history.decided.decision, path, worker.space.cache))

    @pages.get("/review")
    def without_slash(request: Request) -> Response:
        return RedirectResponse(f"{_root(request)}/review/", 307)

    @pages.get("/review/")
    def review(request: Request) -> Response:
        return response(request, "review.html.j2")

    @pages.get("/review/review.{ending}")
    def beside_the_page(ending: Literal["js", "css"]) -> Response:
        kind = {"js": "text/javascript", "css": "text/css"}[ending]
        return FileResponse(STYLE.with_name(f"review.{ending}"), media_type=kind, headers={"Cache-Control": "no-cache"})

    @pages.get("/api")
    def programs(request: Request) -> Response:
        calls = [
            {"method": method.upper(), "path": path, "summary": call["summary"], "answers": sorted(call["responses"])}
            | {"role": needed(method.upper(), path)}
            for path, methods in app.openapi()["paths"].items()
            for method, call in methods.items()
        ]
        address = f"{request.url.scheme}://{request.headers.get('host', '')}{_root(request)}"
        return response(request, "api.html.j2", calls=calls, address=address)

    return pages


def _root(request: Request) -> str:
    """The path under which a proxy serves this server."""
    return str(request.scope.get("root_path", ""))


def _local_path(target: str) -> str:
    """The target if it is a path of this server, else "/"; never an address of another server.

    >>> [_local_path(to) for to in ("/reports/report.html", "//evil.example", "/\\\\evil.example", "https://evil.example", "")]
    ['/reports/report.html', '/', '/', '/', '/']
    """
    safe = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable() and "\\" not in target
    return target if safe else "/"
