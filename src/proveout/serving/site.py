"""The pages for people: sign-in, start page, cases, reports, API calls, and the review notebook.

Covered: use by keyboard alone, without JavaScript; after signing in, a visitor returns to the requested page of this server and
to no other server. A report's scripts run in an origin of their own.
"""

import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

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
    """Add the pages, the reports and, if the project has it, the review notebook."""
    reports, review = worker.space.reports, worker.space.root / "monitoring" / "review.py"
    app.include_router(_sign_in_pages(accounts), include_in_schema=False)
    app.include_router(_signed_in_pages(app, worker, review.exists()), include_in_schema=False)
    reports.mkdir(parents=True, exist_ok=True)
    app.mount("/reports", StaticFiles(directory=reports))
    if review.exists():
        mount_notebook(app, "/review", review)


def mount_notebook(app: FastAPI, path: str, notebook: Path) -> None:
    """Serve a marimo notebook. It finds its visitor in `mo.app_meta().request`: `.user["username"]` and `.meta["role"]`."""
    import marimo

    @app.get(path, include_in_schema=False)
    def with_slash(request: Request) -> Response:
        return RedirectResponse(f"{_root(request)}{path}/", 307)

    pages = marimo.create_asgi_app(quiet=True, include_code=False).with_app(path="", root=str(notebook)).build()
    app.mount(path, OwnSessionsOnly(pages))
    app.state.sessions = pages.routes[0].app.state.session_manager  # type: ignore[attr-defined]


class OwnSessionsOnly:
    """Middleware: only the account that started a notebook session may use it, so that no answer gets another person's name."""

    KEPT = 10_000

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._owners: OrderedDict[str, str] = OrderedDict()  # marimo's session id to account name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not self._is_own(HTTPConnection(scope)):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": "not your session"})
                return
            raise Refusal(403, "another account opened this page; reload it")
        await self.app(scope, receive, send)

    def _is_own(self, connection: HTTPConnection) -> bool:
        name = connection.user.name
        for session in filter(None, (connection.headers.get("marimo-session-id"), connection.query_params.get("session_id"))):
            if self._owners.setdefault(session, name) != name:
                return False
            self._owners.move_to_end(session)
        while len(self._owners) > self.KEPT:
            self._owners.popitem(last=False)
        return True


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


def _signed_in_pages(app: FastAPI, worker: Worker, has_review: bool) -> APIRouter:
    pages = APIRouter()

    def response(request: Request, template: str, **values: Any) -> Response:
        visitor = request.user
        reviews = has_review and visitor.role.includes(Role.REVIEWER)
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
