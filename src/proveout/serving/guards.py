"""What every request passes before anything looks at it: who asks, from which page, for what, how often, how much, how long.

Silence means no: a path that `needed` does not name as open needs an account, and whatever changes something an operator.
Covered: pages and programs, websockets (asked again while they are open), pages of other sites that a signed-in browser visits
(SameSite, Origin, Sec-Fetch-Site), a body that is larger than it says, a visitor that never ends its request.
Not covered: floods that fill the line, and slow headers; a server that faces the internet stands behind a proxy.
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
DOCUMENTS = frozenset({"/api/v1/cases", "/api/v1/preview"})  # take a document in their body
ANSWERED = re.compile(r"/api/v1/cases/[^/]+/(approve|undo)")  # what may follow, the policy says
FORM = 65_536  # bytes of any other body
NOTEBOOK = 10_000_000  # bytes of what the review page sends
ASKED_AGAIN = 5.0  # seconds between two looks at whether an open websocket's visitor is still let in


def needed(method: str, path: str) -> Role | None:
    """The role that a request needs; None where nobody has to sign in.

    >>> needed("GET", "/login"), needed("GET", "/"), needed("GET", "/nowhere").value, needed("PUT", "/nowhere").value
    (None, <Role.READER: 'reader'>, 'reader', 'operator')
    >>> needed("POST", "/review/api/kernel/run").value, needed("POST", "/api/v1/stop").value, needed("POST", "/logout").value
    ('reviewer', 'operator', 'reader')
    >>> needed("POST", "/api/v1/cases/ddae/approve").value, needed("POST", "/api/v1/cases").value
    ('reviewer', 'operator')
    """
    if path in OPEN:
        return None
    if path == "/review" or path.startswith("/review/"):
        return Role.REVIEWER
    if method == "POST" and ANSWERED.fullmatch(path):
        return Role.REVIEWER
    return Role.READER if method in SAFE or path == "/logout" else Role.OPERATOR


@dataclass(frozen=True, slots=True)
class Limits:
    """What one visitor may ask of the server."""

    document: int = 20_000_000  # bytes
    seconds: float = 120.0  # of one request, its upload included
    per_second: float = 60.0  # plain requests of one account or address; the review page loads a few hundred files at once
    burst: float = 600.0


@dataclass(frozen=True)
class Visitor(BaseUser):
    """`request.user` of whoever signed in or shows a token."""

    account: Account

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def display_name(self) -> str:
        return self.account.name

    @property
    def identity(self) -> str:
        return self.account.name

    @property
    def username(self) -> str:
        return self.account.name

    @property
    def name(self) -> str:
        return self.account.name

    @property
    def role(self) -> Role:
        return self.account.role

    @property
    def person(self) -> Person:
        return Person(self.name, self.role)


class AuthBackend(AuthenticationBackend):
    """By which sign a visitor is known: a token, or else the cookie of a session. A token that is wrong is not forgiven."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def authenticate(self, connection: HTTPConnection) -> tuple[AuthCredentials, BaseUser]:
        account = await run_in_threadpool(self.known, connection.headers)
        if account is None:
            return AuthCredentials(), UnauthenticatedUser()
        return AuthCredentials([account.role.value]), Visitor(account)

    def known(self, headers: Headers, using: bool = True) -> Account | None:
        if said := headers.get("authorization"):
            scheme, _, token = said.partition(" ")
            return self._accounts.by_token(token.strip()) if scheme.lower() == "bearer" else None
        key = session_key(headers)
        return self._accounts.session(key, using) if key else None


def session_key(headers: Headers) -> str:
    """The session that a browser shows; "" without one."""
    for said in headers.getlist("cookie"):
        for one in said.split(";"):
            name, _, value = one.strip().partition("=")
            if name == COOKIE:
                return value
    return ""


class Buckets:
    """Tokens that fill up again, a bucket for each visitor; of the visitors that were seen last."""

    KEPT = 10_000

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, burst, clock
        self._filled: OrderedDict[str, tuple[float, float]] = OrderedDict()  # visitor to tokens, and when

    def take(self, visitor: str, price: float) -> float:
        """Seconds to wait until there is enough; 0 when it was taken.

        >>> buckets = Buckets(per_second=2, burst=3, clock=lambda: 0.0)
        >>> [buckets.take("ada", 1) for _ in range(5)]
        [0.0, 0.0, 0.0, 0.5, 0.5]
        """
        now = self._clock()
        tokens, at = self._filled.pop(visitor, (self._burst, now))
        tokens = min(tokens + (now - at) * self._rate, self._burst)
        wait = max(price - tokens, 0.0) / self._rate
        self._filled[visitor] = (tokens if wait else tokens - price, now)
        while len(self._filled) > self.KEPT:
            self._filled.popitem(last=False)
        return wait


class Guard:
    """The one middleware behind the authentication. Websockets that may not be opened are refused before they are."""

    def __init__(self, app: ASGIApp, signs: AuthBackend, limits: Limits) -> None:
        self.app, self._signs, self._limits = app, signs, limits
        self._buckets = Buckets(limits.per_second, limits.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            path = self._allowed(scope, headers)
        except Refusal as no:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": "not allowed"})
            else:
                await self._refusal(scope, no)(scope, receive, send)
            return
        if path.startswith("/review"):
            scope = _for_notebook(scope)
        if scope["type"] == "websocket":
            await self.app(scope, receive, self._while_known(headers, send))
        else:
            await self._bounded(scope, headers, receive, send, self._largest(path))

    def _allowed(self, scope: Scope, headers: Headers) -> str:
        """The path under this server's root. Raises Refusal."""
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        method = scope.get("method", "POST")  # a websocket changes things
        visitor = scope["user"]
        address = (scope.get("client") or ("",))[0]
        who = f"account {visitor.name}" if visitor.is_authenticated else f"address {address}"
        if wait := self._buckets.take(who, price(method, path)):
            raise Refusal(429, "too many requests; wait as long as Retry-After says", {"Retry-After": str(int(wait) + 1)})
        role = needed(method, path)
        if role is not None:
            if not visitor.is_authenticated:
                raise Refusal(401, "sign in, or send a token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
            if not visitor.role.includes(role):
                raise Refusal(403, f"this needs the role {role}, and this account has the role {visitor.role}")
        if method not in SAFE and not same_site(headers, scope):
            raise Refusal(403, "this request came from a page of another site; behind a proxy, start with --proxy ADDRESS")
        return path

    def _refusal(self, scope: Scope, no: Refusal) -> Response:
        if no.status_code == 401 and wants_page(scope):
            wanted = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope.get("query_string") else "")
            root = scope.get("root_path", "")
            return RedirectResponse(f"{root}/login?next={quote(wanted.removeprefix(root), safe='/')}", 303)
        return answer(scope, no.status_code, no.detail, no.headers)

    def _largest(self, path: str) -> int:
        if path in DOCUMENTS:
            return self._limits.document + FORM
        return NOTEBOOK if path.startswith("/review/") else FORM

    async def _bounded(self, scope: Scope, headers: Headers, receive: Receive, send: Send, largest: int) -> None:
        """Serve a request within its limits of bytes and seconds."""
        too_large = Refusal(413, f"at most {largest:,} bytes are taken here; split the document, or scan it at 150 dpi")
        begun, taken = False, 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > largest:
                raise too_large
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            said = headers.get("content-length", "0")
            if not said.isdecimal() or int(said) > largest:
                raise too_large
            async with asyncio.timeout(self._limits.seconds):
                await self.app(scope, counted, noted)
        except (Refusal, TimeoutError) as error:
            if begun:
                raise
            late = Refusal(503, "this took too long; try again later, or with less", {"Retry-After": "30"})
            no = error if isinstance(error, Refusal) else late
            await answer(scope, no.status_code, no.detail, {**(no.headers or {}), "Connection": "close"})(scope, receive, send)

    def _while_known(self, headers: Headers, send: Send) -> Send:
        """Ends a websocket when its visitor signed out, was removed, or was away for too long."""
        asked, ended = time.monotonic(), False

        async def checked(message: Message) -> None:
            nonlocal asked, ended
            if ended:
                return
            if message["type"] == "websocket.send" and time.monotonic() - asked >= ASKED_AGAIN:
                asked = time.monotonic()
                account = await run_in_threadpool(self._signs.known, headers, False)
                if account is None or not account.role.includes(Role.REVIEWER):
                    ended = True
                    message = {"type": "websocket.close", "code": 1008, "reason": "signed out"}
            await send(message)

        return checked


def price(method: str, path: str) -> float:
    """In plain requests: what is computed for one visitor is not computed for another.

    >>> price("GET", "/"), price("POST", "/api/v1/preview"), price("POST", "/review/api/kernel/set_ui_element_value")
    (1.0, 10.0, 1.0)
    """
    if path.endswith(".png") and path.startswith("/api/"):
        return 5.0
    return 10.0 if method not in SAFE and not path.startswith("/review/") else 1.0


def same_site(headers: Headers, scope: Scope) -> bool:
    """Whether a request comes from one of this server's own pages, or from no page at all.

    SameSite cookies do not tell apart two servers on one machine; Origin does. A program sends neither header.
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
    return origin is None or origin == f"{scheme}://{headers.get('host', '')}"


def _for_notebook(scope: Scope) -> Scope:
    """What a notebook may know of a visitor: name and role, and never the session's key or a token."""
    secret = (b"cookie", b"authorization")
    headers = [(name, value) for name, value in scope["headers"] if name not in secret]
    return {**scope, "headers": headers, "meta": {"role": scope["user"].role.value}}


OWN = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
REPORT = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
RECORD = (  # a record or a library's report runs scripts: they get an origin of their own, without a session to use
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'unsafe-inline'; img-src data: blob:;"
    " font-src data:; worker-src blob:; frame-ancestors 'none'; base-uri 'none'; sandbox allow-scripts"
)
REVIEW = (  # marimo's front end
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'self'; object-src 'none'"
)


def content_policy(path: str) -> str:
    if path.startswith("/review/"):
        return REVIEW
    if path.startswith("/reports/"):
        return REPORT if path == "/reports/report.html" else RECORD
    return OWN


class Sealed:
    """The outermost layer: headers that keep a page to itself, on every answer, refusals too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        sealed = {
            "Content-Security-Policy": content_policy(path),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "same-origin",  # `no-referrer` would send `Origin: null` with our own forms
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        }
        if scope["scheme"] == "https":
            sealed["Strict-Transport-Security"] = "max-age=31536000"

        async def sealing(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in sealed.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                for name in [name for name in headers if name.startswith("access-control-")]:
                    del headers[name]  # marimo would let pages of every site read its answers
            await send(message)

        await self.app(scope, receive, sealing)
