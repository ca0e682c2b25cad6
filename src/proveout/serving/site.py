"""The pages for people: sign in, the first page, the reports, the calls for programs, and the reviewers' notebook.

Covered: the keyboard alone, no script; a visitor who is sent to sign in comes back to the page that was asked for, and to no
other server. A report runs its scripts, if it has any, in an origin of its own.
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
RECENT, SHOWN = 12, 5  # cases on the first page, pages of a case
REPORTS = {
    "What changed, and whom it hurts": "report.html",
    "Every column, by Evidently": "drift/drift.html",
    "Every segment, by Evidently": "bias/bias.html",
}


def add_pages(app: FastAPI, worker: Worker, accounts: Accounts) -> None:
    reports, review = worker.space.reports, worker.space.root / "monitoring" / "review.py"
    app.include_router(_entrance(accounts), include_in_schema=False)
    app.include_router(_rooms(app, worker, review.exists()), include_in_schema=False)
    reports.mkdir(parents=True, exist_ok=True)
    app.mount("/reports", StaticFiles(directory=reports))
    if review.exists():
        mount_notebook(app, "/review", review)


def mount_notebook(app: FastAPI, path: str, notebook: Path) -> None:
    """A marimo notebook as an app. It knows its visitor: `mo.app_meta().request.user["username"]` and `.meta["role"]`."""
    import marimo

    @app.get(path, include_in_schema=False)
    def with_slash(request: Request) -> Response:
        return RedirectResponse(f"{_root(request)}{path}/", 307)

    pages = marimo.create_asgi_app(quiet=True, include_code=False).with_app(path="", root=str(notebook)).build()
    app.mount(path, Owned(pages))
    app.state.sessions = pages.routes[0].app.state.session_manager  # type: ignore[attr-defined]


class Owned:
    """A notebook's session belongs to whoever began it: nobody answers in the name of somebody who sat here before."""

    KEPT = 10_000

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._owners: OrderedDict[str, str] = OrderedDict()  # marimo's session to the account's name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not self._is_own(HTTPConnection(scope)):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": "somebody else's"})
                return
            raise Refusal(403, "this page was opened by somebody else; load it again")
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


def _entrance(accounts: Accounts) -> APIRouter:
    pages = APIRouter()

    @pages.get("/style.css")
    def style() -> Response:
        return FileResponse(STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

    @pages.get("/login")
    def login(request: Request, next: str = "/") -> Response:
        return HTMLResponse(page("login.html.j2", root=_root(request), next=_inside(next), name="", message=""))

    @pages.post("/login")
    async def sign_in(request: Request) -> Response:
        async with request.form(max_files=0, max_fields=8) as form:
            name, password, wanted = (str(form.get(field, "")) for field in ("name", "password", "next"))
        return await run_in_threadpool(_let_in, request, accounts, name, password, _inside(wanted))

    @pages.post("/logout")
    def logout(request: Request) -> Response:
        accounts.sign_out(session_key(request.headers))
        left = RedirectResponse(f"{_root(request)}/login", 303)
        left.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return left

    return pages


def _let_in(request: Request, accounts: Accounts, name: str, password: str, wanted: str) -> Response:
    root, address = _root(request), request.client.host if request.client else ""
    try:
        key = accounts.sign_in(name, password, address)
    except NoEntry as no:
        LOG.warning("a sign-in from %s was refused", address)
        message = f"{str(no)[:1].upper()}{str(no)[1:]}."
        said = page("login.html.j2", root=root, next=wanted, name=name[:64], message=message)
        return HTMLResponse(said, 429 if no.wait else 401, {"Retry-After": f"{no.wait:.0f}"} if no.wait else {})
    if before := session_key(request.headers):
        accounts.sign_out(before)
    came_in = RedirectResponse(f"{root}{wanted}", 303)
    came_in.set_cookie(COOKIE, key, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return came_in


def _rooms(app: FastAPI, worker: Worker, has_review: bool) -> APIRouter:
    pages = APIRouter()

    def shown(request: Request, template: str, **said: Any) -> Response:
        visitor = request.user
        reviews = has_review and visitor.role.includes(Role.REVIEWER)
        return HTMLResponse(page(template, root=_root(request), visitor=visitor, reviews=reviews, **said))

    @pages.get("/")
    def home(request: Request) -> Response:
        entries = worker.index.newest()
        waiting = sum(one.status is CaseStatus.WAITING for one in entries)
        return shown(
            request,
            "home.html.j2",
            mission=worker.space.mission,
            release=next((one for one in worker.releases.list() if one.promoted), None),
            stopped=worker.switch.stopped(),
            trouble=worker.trouble,
            waiting=waiting,
            decided=len(entries) - waiting,
            to_review=sum(one.asks for one in entries),
            recent=entries[:RECENT],
            reports=[(title, path) for title, path in REPORTS.items() if (worker.space.reports / path).exists()],
        )

    @pages.get("/cases/{case}")
    def one_case(request: Request, case: CaseId) -> Response:
        entry, told = worker.index.find(case), worker.history(case)
        if entry is None:
            raise Refusal(404, "no case has this id; the first page lists the newest")
        text = answers.explanation(told, worker.space.home).text if told else "It waits, and is decided next."
        count = int(told.decided.decision.descriptors.get("pages", 0)) if told else 0
        return shown(request, "case.html.j2", entry=entry, text=text, pages=min(count, SHOWN), more=max(count - SHOWN, 0))

    @pages.get("/api")
    def programs(request: Request) -> Response:
        calls = [
            {"method": method.upper(), "path": path, "summary": call["summary"], "answers": sorted(call["responses"])}
            | {"role": needed(method.upper(), path)}
            for path, some in app.openapi()["paths"].items()
            for method, call in some.items()
        ]
        here = f"{request.url.scheme}://{request.headers.get('host', '')}{_root(request)}"
        return shown(request, "api.html.j2", calls=calls, here=here)

    return pages


def _root(request: Request) -> str:
    """The path under which a proxy shows this server."""
    return str(request.scope.get("root_path", ""))


def _inside(wanted: str) -> str:
    """Where to go after signing in: a path of this server, and of no other.

    >>> [_inside(path) for path in ("/reports/report.html", "//evil.example", "/\\\\evil.example", "https://evil.example", "")]
    ['/reports/report.html', '/', '/', '/', '/']
    """
    safe = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable() and "\\" not in wanted
    return wanted if safe else "/"
