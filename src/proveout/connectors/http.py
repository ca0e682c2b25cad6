"""Effects at a service that is asked by HTTP. One request makes the effect; a key in a header makes it happen once.

    actions:
      pay_invoice:
        connector: http
        settings:
          url: https://bank.example/payments
          lookup: https://bank.example/payments/{key}       # 404: it did not happen
          undo: {url: "https://bank.example/payments/{key}"}
          headers: {Authorization: "Bearer ${BANK_TOKEN}"}  # an environment variable's value

The body is JSON: action, case, key, arguments. 2xx with JSON or nothing in it is done. 408, 409, 425, 429, 5xx and what breaks
the connection is tried again, with exponential backoff and full jitter (Brooker, "Exponential backoff and jitter", AWS 2015).
After a request that may have arrived, `lookup` is asked before the next one; without it the key alone keeps it from
happening twice. Other 4xx are a refusal for good, except those that speak of our access or the address (`OURS`).
Covered: a slow or torn answer, a page instead of JSON, Retry-After, a secret in a message (masked).
Not covered: redirects (a failed attempt says where to), a service that neither knows keys nor can be asked (refused), and
one without keys where a request arrives only after `lookup` said that none did.
"""

import os
import random
import re
import time
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal
from urllib.parse import quote, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from proveout.connectors.effects import Connector, amount_in_cents
from proveout.errors import BadInput
from proveout.journal.intentions import FINAL, Outcome, State
from proveout.records import Action

AGAIN = {408, 409, 425, 429}  # besides 5xx; 409: a request under this key is being processed
NOT_HANDLED = {408, 425, 429, 503}  # says the service itself; after another failure it may have happened
OURS = {401, 403, 404, 405, 407}  # our access or our address, and no word on the effect
GONE = {404, 410}
LONGEST_WAIT = 30.0  # seconds between two requests; whoever asks for more is asked by a later run
LONGEST_ANSWER = 1_000_000  # bytes
SECRET = re.compile(r"auth|cookie|token|secret|key|password", re.IGNORECASE)
VARIABLE = re.compile(r"\$\{(\w+)\}")
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _address(url: str) -> str:
    """Raises ValueError for what is no address, or has a password in it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an address as https://bank.example/payments")
    if parts.username or parts.password:
        raise ValueError('a password stands in no mission; expected headers as {Authorization: "Basic ${BANK_LOGIN}"}')
    return url


class Undo(_Strict):
    url: str  # {key}: of the effect that is taken back
    method: Literal["DELETE", "POST", "PUT", "PATCH"] = "DELETE"

    _url = field_validator("url")(_address)


class HttpSettings(_Strict):
    url: str
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, str] = Field(default_factory=dict)  # ${NAME}: the value of an environment variable
    idempotency_header: str = "Idempotency-Key"  # "" where the service knows none
    lookup: str = ""  # address that says whether {key} happened
    undo: Undo | None = None
    receipt: str = "id"  # what the answer calls the effect
    timeout_seconds: float = Field(default=10, gt=0, le=300)  # of one request, from its first byte to the answer's last
    attempts: int = Field(default=3, ge=1, le=10)  # requests a run
    backoff_seconds: float = Field(default=0.5, ge=0, le=60)  # longest pause after the first request; it doubles

    _url = field_validator("url")(_address)

    @field_validator("lookup")
    @classmethod
    def _lookup_by_key(cls, url: str) -> str:
        if url and "{key}" not in url:
            raise ValueError("expected {key} in it, as https://bank.example/payments/{key}")
        return _address(url) if url else url

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if SECRET.search(name) and not VARIABLE.search(value):
                raise ValueError(f"{name} has a secret in it; name an environment variable instead, as ${{BANK_TOKEN}}")
        return headers

    @model_validator(mode="after")
    def _once(self) -> "HttpSettings":
        if not (self.lookup or self.idempotency_header):
            raise ValueError("nothing would keep an effect from happening twice; expected `lookup` or `idempotency_header`")
        return self


class _Lost(Exception):
    """No usable answer came to a request that may have arrived."""


class HttpConnector(Connector):
    """Makes an effect by one request, and asks and takes back by others."""

    Settings: ClassVar = HttpSettings
    may_take: ClassVar[Mapping[str, str]] = {"amount": "amount"}  # counted against the budget

    settings: HttpSettings

    @classmethod
    def reversible(cls, settings: HttpSettings) -> bool:
        return settings.undo is not None

    def compensation(self) -> Connector:
        if self.settings.undo is None:
            raise BadInput("the settings name no `undo`")
        return _HttpUndo(self.settings, self.place, self.original)

    def cents(self, action: Action) -> int:
        return amount_in_cents(action) if "amount" in action.arguments else 0

    def done(self, case: str, action: Action) -> str | None:
        """As `lookup` says; None without it."""
        return self._look_up(action.key)

    def perform(self, case: str, action: Action) -> Outcome:
        self.cents(action)
        return self._insist(self.settings.method, self.settings.url, case, action)

    def _insist(self, method: str, url: str, case: str, action: Action) -> Outcome:
        """Ask until there is a word on the effect, as often as the settings allow."""
        body = {"action": action.name, "case": case, "key": action.key, "arguments": dict(action.arguments)}
        headers = {self.settings.idempotency_header: action.key} if self.settings.idempotency_header else {}
        outcome, doubt = Outcome(State.UNREACHABLE, ""), False  # doubt: an earlier request may have arrived
        for attempt in range(self.settings.attempts):
            outcome, wait = self._once(method, url, body, headers)
            if wait is None:
                break
            doubt = doubt or outcome.state is State.UNKNOWN
            pause = max(random.uniform(0, self.settings.backoff_seconds * 2**attempt), wait)
            if attempt + 1 < self.settings.attempts and pause <= LONGEST_WAIT:
                time.sleep(pause)
            if doubt and self.settings.lookup:
                try:
                    where = self._happened(action)
                except ConnectionError as error:
                    return Outcome(State.UNKNOWN, f"{outcome.because}; {error}")
                if where is not None:
                    return Outcome(State.DONE, where)
                outcome, doubt = Outcome(State.UNREACHABLE, outcome.because), False
            if pause > LONGEST_WAIT:
                break
        return Outcome(State.UNKNOWN, outcome.because) if doubt and outcome.state not in FINAL else outcome

    def _once(self, method: str, url: str, body: object, headers: Mapping[str, str]) -> tuple[Outcome, float | None]:
        """One request: what came of it, and after how many seconds at least another makes sense; None: never."""
        try:
            response = self._ask(method, url, headers=headers, json=body)
        except ConnectionError as error:
            return Outcome(State.UNREACHABLE, str(error)), 0
        except _Lost as error:
            return Outcome(State.UNKNOWN, str(error)), 0
        status, said = response.status_code, self._said(response)
        if response.is_success:
            receipt = self._receipt(response)
            return (Outcome(State.DONE, receipt), None) if receipt else (Outcome(State.UNKNOWN, f"{said}, which is no JSON"), 0)
        if status in AGAIN or status >= 500:
            state = State.UNREACHABLE if status in NOT_HANDLED else State.UNKNOWN
            return Outcome(state, said), _retry_after(response)
        if status in OURS or status < 400:
            moved = f", which sends elsewhere: {response.headers.get('location', '')}" if status < 400 else ""
            return Outcome(State.FAILED, f"{said}{moved}"), None
        return Outcome(State.REFUSED, said), None

    def _happened(self, action: Action) -> str | None:
        """What `lookup` says after a request that may have arrived."""
        return self._look_up(action.key)

    def _look_up(self, key: str) -> str | None:
        if not self.settings.lookup:
            return None
        try:
            response = self._ask("GET", _filled(self.settings.lookup, key))
        except _Lost as error:
            raise ConnectionError(f"lookup: {error}") from error
        if response.status_code in GONE:
            return None
        receipt = self._receipt(response) if response.is_success else ""
        if not receipt:
            raise ConnectionError(f"lookup: {self._said(response)}")
        return receipt

    def _receipt(self, response: httpx.Response) -> str:
        """Where the effect is to be found; "" for an answer that is none."""
        where = response.headers.get("location", "")
        if response.content:
            try:
                content = response.json()
            except ValueError:
                return ""
            where = where or (str(content.get(self.settings.receipt, "")) if isinstance(content, dict) else "")
        return self._masked(f"HTTP {response.status_code}{where and f', {self.settings.receipt} {where}'}")

    def _ask(self, method: str, url: str, headers: Mapping[str, str] | None = None, json: object = None) -> httpx.Response:
        """The whole answer. Raises ConnectionError where the request was not sent, _Lost where it may have arrived."""
        until = time.monotonic() + self.settings.timeout_seconds
        secret = {name: self._filled_in(value) for name, value in self.settings.headers.items()}
        content = b""
        try:
            with self._client.stream(method, url, headers={**secret, **(headers or {})}, json=json) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    if time.monotonic() > until or len(content) > LONGEST_ANSWER:
                        raise _Lost(f"no whole answer within {self.settings.timeout_seconds:g} s and {LONGEST_ANSWER:,} bytes")
            return httpx.Response(response.status_code, headers=_plain(response.headers), content=content)
        except NOT_SENT as error:
            raise ConnectionError(self._masked(f"{urlsplit(url).netloc} cannot be reached: {error}")) from error
        except httpx.TimeoutException as error:
            raise _Lost(f"no answer within {self.settings.timeout_seconds:g} s") from error
        except httpx.RequestError as error:
            raise _Lost(self._masked(f"the connection broke: {error}")) from error

    @cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=self.settings.timeout_seconds)

    def _filled_in(self, value: str) -> str:
        """A header's value with its environment variables. No error says what they hold."""
        text = VARIABLE.sub(lambda found: self._variable(found[1]), value)
        if not text.isascii() or not text.isprintable():
            raise ValueError(f"{value} has characters that no header may have")
        return text

    @staticmethod
    def _variable(name: str) -> str:
        if name not in os.environ:
            raise LookupError(f"the environment variable {name} is not set; the mission's headers name it")
        return os.environ[name].strip()

    def _said(self, response: httpx.Response) -> str:
        return self._masked(f"HTTP {response.status_code}: {' '.join(response.text[:300].split())}".rstrip(": "))

    def _masked(self, text: str) -> str:
        names = [name for value in self.settings.headers.values() for name in VARIABLE.findall(value)]
        for value in sorted(filter(None, (os.environ.get(name, "").strip() for name in names)), key=len, reverse=True):
            text = text.replace(value, "***")
        return text


class _HttpUndo(HttpConnector):
    """Takes an effect back by the request that the settings name."""

    def cents(self, action: Action) -> int:
        return 0

    def done(self, case: str, action: Action) -> str | None:
        """Where `lookup` says that there is nothing to take back."""
        gone = self.settings.lookup and self._look_up(action.arguments.get("undoes", "")) is None
        return "nothing there to take back" if gone else None

    def perform(self, case: str, action: Action) -> Outcome:
        assert self.settings.undo is not None  # else nobody makes one
        url = _filled(self.settings.undo.url, action.arguments.get("undoes", ""))
        return self._insist(self.settings.undo.method, url, case, action)

    def _happened(self, action: Action) -> str | None:
        return self.done("", action)


def _filled(url: str, key: str) -> str:
    return url.replace("{key}", quote(key, safe=""))


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the service asks to wait; 0 where it says nothing, or names a moment."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdigit() else 0.0


def _plain(headers: httpx.Headers) -> dict[str, str]:
    """Those of a body that is decoded already."""
    return {name: value for name, value in headers.items() if name not in ("content-encoding", "content-length")}
