"""Checks on every request before any other code sees it: account, origin, role, rate, size, duration.

Access is denied by default: every path needs an account unless `needed` names it as open, and every change an operator.
Covered: pages and programs, pages of other sites in a signed-in browser (SameSite, Origin, Sec-Fetch-Site), a body larger than
declared, a client that never finishes its request. Websockets are refused.
Not covered: floods that fill the line, and slow headers; put a proxy in front of a server on the internet.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, UnauthenticatedUser
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response

from proveout.identity import Account, Accounts
from proveout.records import Person, Role
from proveout.serving.problems import Refusal, answer, wants_page

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "proveout_session"
OPEN = frozenset({"/login", "/health", "/openapi.json", "/style.css"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
DOCUMENTS = frozenset({"/api/v1/cases", "/api/v1/preview"})  # their body is a document
# by an answer, whose effects the policy decides, or before it
ANSWERED = re.compile(r"/api/v1/cases/[^/]+/(approve|expected|put_back|reject|second|take|undo)")
WORKED_ON = re.compile(r"/cases/[^/]+/(again|put_back)")  # by the buttons of its page that decide nothing
CONCLUDED = re.compile(r"/reports/[0-9a-f]+/(conclude|sign)")  # the report's own rules decide who may
ERASING = re.compile(r"/cases/[0-9a-f]+/erase")  # the page that asks, too
FORM = 65_536  # bytes of any other body


def needed(method: str, path: str) -> Role | None:
    """The role that a request needs; None if it needs no account.

    >>> needed("GET", "/login"), needed("GET", "/"), needed("GET", "/nowhere").value, needed("PUT", "/nowhere").value
    (None, <Role.READER: 'reader'>, 'reader', 'operator')
    >>> needed("GET", "/review/").value, needed("POST", "/api/v1/stop").value, needed("POST", "/logout").value
    ('reviewer', 'operator', 'reader')
    >>> needed("POST", "/api/v1/cases/ddae/approve").value, needed("POST", "/api/v1/cases").value
    ('reviewer', 'operator')
    """
    if path in OPEN:
        return None
    if path == "/review" or path.startswith("/review/"):
        return Role.REVIEWER
    if method == "POST" and any(paths.fullmatch(path) for paths in (ANSWERED, WORKED_ON, CONCLUDED)):
        return Role.REVIEWER
    reads = method in SAFE and not ERASING.fullmatch(path)
    return Role.READER if reads or path == "/logout" else Role.OPERATOR


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one visitor's requests."""

    document: int = 20_000_000  # bytes
    seconds: float = 120.0  # for one request, including its upload
    per_second: float = 60.0  # plain requests per account or address
    burst: float = 600.0


@dataclass(frozen=True)
class Visitor(BaseUser):
    """`request.user` of a request with a session or a token."""

    account: Account

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return self.account.name

    display_name = identity = name  # as Starlette calls it

    @property
    def role(self) -> Role:
        return self.account.role

    @property
    def person(self) -> Person:
        return Person(self.name, self.role)


class AuthBackend(AuthenticationBackend):
    """Finds the account by token or session cookie. An invalid token fails; there is no fallback to the cookie."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def authenticate(self, connection: HTTPConnection) -> tuple[AuthCredentials, BaseUser]:
        """The credentials and user of a request, as Starlette's middleware expects them."""
        account = await run_in_threadpool(self.account, connection.headers)
        if account is None:
            return AuthCredentials(), UnauthenticatedUser()
        return AuthCredentials([account.role.value]), Visitor(account)

    def account(self, headers: Headers) -> Account | None:
        """The account of a request, whose session stays open by this."""
        if authorization := headers.get("authorization"):
            scheme, _, token = authorization.partition(" ")
            return self._accounts.by_token(token.strip()) if scheme.lower() == "bearer" else None
        key = session_key(headers)
        return self._accounts.session(key) if key else None


def session_key(headers: Headers) -> str:
    """The key in the session's cookie; "" without one."""
    cookies = (cookie.strip().partition("=") for header in headers.getlist("cookie") for cookie in header.split(";"))
    return next((key for name, _, key in cookies if name == COOKIE), "")


class Buckets:
    """A token bucket for each visitor (rate limiting); keeps the visitors seen last."""

    KEPT = 10_000

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # visitor to tokens, and when they were counted

    def take(self, visitor: str, price: float) -> float:
        """Take tokens. Returns 0, or the seconds until there are enough; then none is taken.

        >>> buckets = Buckets(per_second=2, burst=3, clock=lambda: 0.0)
        >>> [buckets.take("ada", 1) for _ in range(5)]
        [0.0, 0.0, 0.0, 0.5, 0.5]
        """
        now = self._clock()
        tokens, counted = self._buckets.pop(visitor, (self._burst, now))
        tokens = min(tokens + (now - counted) * self._rate, self._burst)
        wait = max(price - tokens, 0.0) / self._rate
        self._buckets[visitor] = (tokens if wait else tokens - price, now)
        while len(self._buckets) > self.KEPT:
            self._buckets.popitem(last=False)
        return wait


class Guard:
    """Middleware after the authentication."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self._limits = app, limits
        self._buckets = Buckets(limits.per_second, limits.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "not allowed"})
        elif scope["type"] != "http":
            await self.app(scope, receive, send)
        else:
            headers = Headers(scope=scope)
            try:
                path = self._allowed(scope, headers)
            except Refusal as refusal:
                await self._response(scope, refusal)(scope, receive, send)
            else:
                await self._bounded(scope, headers, receive, send, self._largest(path))

    def _allowed(self, scope: Scope, headers: Headers) -> str:
        """The path under this server's root. Raises Refusal if the request is not allowed."""
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        method = scope["method"]
        visitor = scope["user"]
        address = (scope.get("client") or ("",))[0]
        client = f"account {visitor.name}" if visitor.is_authenticated else f"address {address}"
        if wait := self._buckets.take(client, price(method, path)):
            raise Refusal(429, "too many requests; wait for the seconds in Retry-After", {"Retry-After": str(int(wait) + 1)})
        role = needed(method, path)
        if role is not None:
            if not visitor.is_authenticated:
                raise Refusal(401, "sign in, or send a token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
            if not visitor.role.includes(role):
                raise Refusal(403, f"this needs the role {role}; this account has the role {visitor.role}")
        if method not in SAFE and not same_site(headers, scope):
            raise Refusal(403, "this request came from a page of another site; behind a proxy, start with --proxy ADDRESS")
        return path

    def _response(self, scope: Scope, refusal: Refusal) -> Response:
        if refusal.status_code == 401 and wants_page(scope) and scope["method"] in SAFE:  # a form would be lost
            target = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope.get("query_string") else "")
            root = scope.get("root_path", "")
            return RedirectResponse(f"{root}/login?next={quote(target.removeprefix(root), safe='/')}", 303)
        return answer(scope, refusal.status_code, refusal.detail, refusal.headers)

    def _largest(self, path: str) -> int:
        return self._limits.document + FORM if path in DOCUMENTS else FORM

    async def _bounded(self, scope: Scope, headers: Headers, receive: Receive, send: Send, largest: int) -> None:
        """Serve a request within its limits of bytes and seconds."""
        too_large = Refusal(413, f"the body is larger than {largest:,} bytes; split the document, or scan it at 150 dpi")
        answering, size = False, 0

        async def receive_bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > largest:
                raise too_large
            return message

        async def send_noted(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            declared = headers.get("content-length", "0")
            if not declared.isdecimal() or int(declared) > largest:
                raise too_large
            async with asyncio.timeout(self._limits.seconds):
                await self.app(scope, receive_bounded, send_noted)
        except (Refusal, TimeoutError) as error:
            if answering:
                raise
            late = Refusal(503, "this took too long; try again later, or with a smaller document", {"Retry-After": "30"})
            refusal = error if isinstance(error, Refusal) else late
            headers_sent = {**(refusal.headers or {}), "Connection": "close"}
            await answer(scope, refusal.status_code, refusal.detail, headers_sent)(scope, receive, send)


def price(method: str, path: str) -> float:
    """What a request costs of the rate limit, in plain requests. Requests that compute more cost more.

    >>> price("GET", "/"), price("POST", "/api/v1/preview")
    (1.0, 10.0)
    """
    if path.endswith(".png") and path.startswith("/api/"):
        return 5.0
    return 10.0 if method not in SAFE else 1.0


def same_site(headers: Headers, scope: Scope) -> bool:
    """Whether a request comes from one of this server's own pages, or from no page.

    SameSite cookies cannot distinguish two servers on one machine; Origin can. A program sends neither header.
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or origin == f"{scope['scheme']}://{headers.get('host', '')}"


OWN = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'"
)
REPORT = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
RECORD = (  # records and Evidently's reports run scripts: in an origin of their own, without access to the session
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'unsafe-inline'; img-src data: blob:;"
    " font-src data:; worker-src blob:; frame-ancestors 'none'; base-uri 'none'; sandbox allow-scripts"
)
REVIEW = f"{OWN}; script-src 'self'; connect-src 'self'"  # the only page with a script of its own
SIGNED = OWN.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")  # a report with its plots; no script
FILED = re.compile(r"/reports/(latest|[0-9a-f]{12,64})(/(conclude|sign))?")
SHOWN = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; base-uri 'none'; sandbox"
FRAMED = re.compile(r"/cases/[0-9a-f]{64}/shown")  # a case of a kind without pages, in a frame of the review page


def content_policy(path: str) -> str:
    """The Content-Security-Policy of a path."""
    if path == "/review/":
        return REVIEW
    if FRAMED.fullmatch(path):
        return SHOWN
    if path.startswith("/reports/"):
        return SIGNED if FILED.fullmatch(path) else REPORT if path.endswith("/report.html") else RECORD
    return OWN


class SecurityHeaders:
    """The outermost middleware: sets security headers on every answer, also on refusals."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        security = {
            "Content-Security-Policy": content_policy(path),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "SAMEORIGIN" if FRAMED.fullmatch(path) else "DENY",
            "Referrer-Policy": "same-origin",  # `no-referrer` would send `Origin: null` with the server's own forms
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        }
        if scope["scheme"] == "https":
            security["Strict-Transport-Security"] = "max-age=31536000"

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in security.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_secured)
