"""Effects at an HTTP service. One request performs the effect; an idempotency key in a header makes it happen once.

    actions:
      pay_invoice:
        connector: http
        settings:
          url: https://bank.example/payments
          lookup: https://bank.example/payments/{key}       # 404: it did not happen
          undo: {url: "https://bank.example/payments/{key}"}
          headers: {Authorization: "Bearer ${BANK_TOKEN}"}  # from an environment variable

The request body is JSON: action, case, key, arguments. A 2xx with JSON or an empty body means done. 408, 409, 425, 429, 5xx and
connection errors are retried with exponential backoff and full jitter (Brooker, "Exponential backoff and jitter", AWS 2015).
After a request that may have arrived, `lookup` is called before the next one; without `lookup` only the key prevents a second
effect. Other 4xx are permanent refusals, except those about our access or the address (`OUR_FAULTS`).
Covered: a slow or incomplete answer, a web page instead of JSON, Retry-After, a secret in a message (masked).
Not covered: redirects (a failed attempt; its message names the target), a service with neither keys nor lookup (refused), and a
service without keys where a request arrives only after `lookup` reported that none did.
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
from pydantic import BaseModel, Field, field_validator, model_validator

from proveout.connectors.effects import Connector, amount_in_cents
from proveout.errors import BadInput
from proveout.journal.intentions import FINAL, Outcome, State
from proveout.records import Action

RETRYABLE = {408, 409, 425, 429}  # besides 5xx; 409: a request with this key is being processed
NOT_HANDLED = {408, 425, 429, 503}  # the service did not process it; with other retryable statuses it may have
OUR_FAULTS = {401, 403, 404, 405, 407}  # wrong credentials or address; says nothing about the effect
GONE = {404, 410}
LONGEST_WAIT = 30.0  # seconds between two requests; if Retry-After asks for more, a later run tries again
LONGEST_ANSWER = 1_000_000  # bytes
SECRET = re.compile(r"auth|cookie|token|secret|key|password", re.IGNORECASE)
VARIABLE = re.compile(r"\$\{(\w+)\}")
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def _address(url: str) -> str:
    """Raises ValueError for an invalid address or one with a password in it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an address such as https://bank.example/payments")
    if parts.username or parts.password:
        raise ValueError('found a password in the address; use headers such as {Authorization: "Basic ${BANK_LOGIN}"}')
    return url


class Undo(BaseModel, extra="forbid"):
    """The request that undoes an effect."""

    url: str  # {key}: of the effect to undo
    method: Literal["DELETE", "POST", "PUT", "PATCH"] = "DELETE"

    _url = field_validator("url")(_address)


class HttpSettings(BaseModel, extra="forbid"):
    """Settings of `HttpConnector`."""

    url: str
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, str] = Field(default_factory=dict)  # ${NAME}: the value of an environment variable
    idempotency_header: str = "Idempotency-Key"  # "" if the service has none
    lookup: str = ""  # address that reports whether {key} happened; "" if there is none
    undo: Undo | None = None
    receipt: str = "id"  # the JSON key that identifies the effect in the answer
    timeout_seconds: float = Field(default=10, gt=0, le=300)  # per request, from its first byte to the last byte of the answer
    attempts: int = Field(default=3, ge=1, le=10)  # requests per run
    backoff_seconds: float = Field(default=0.5, ge=0, le=60)  # longest pause after the first request; doubles with each request

    _url = field_validator("url")(_address)

    @field_validator("lookup")
    @classmethod
    def _lookup_by_key(cls, url: str) -> str:
        if url and "{key}" not in url:
            raise ValueError("expected an address with {key}, such as https://bank.example/payments/{key}")
        return _address(url) if url else url

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if SECRET.search(name) and not VARIABLE.search(value):
                raise ValueError(f"{name} contains a secret; use an environment variable instead, such as ${{BANK_TOKEN}}")
        return headers

    @model_validator(mode="after")
    def _once(self) -> "HttpSettings":
        if not (self.lookup or self.idempotency_header):
            raise ValueError("nothing prevents an effect from happening twice; expected `lookup` or `idempotency_header`")
        return self


class _NoAnswer(Exception):
    """A request that may have arrived got no usable answer."""


class HttpConnector(Connector):
    """Performs, looks up and undoes an effect, each with its own request."""

    Settings: ClassVar = HttpSettings
    may_take: ClassVar[Mapping[str, str]] = {"amount": "amount"}  # counted against the budget

    settings: HttpSettings

    @classmethod
    def reversible(cls, settings: HttpSettings) -> bool:
        return settings.undo is not None

    def compensation(self) -> Connector:
        if self.settings.undo is None:
            raise BadInput("the settings have no `undo`")
        return _HttpUndo(self.settings, self.place, self.original)

    def cents(self, action: Action) -> int:
        return amount_in_cents(action) if "amount" in action.arguments else 0

    def done(self, case: str, action: Action) -> str | None:
        """What `lookup` reports; None without it."""
        return self._look_up(action.key)

    def perform(self, case: str, action: Action) -> Outcome:
        self.cents(action)
        return self._try_until_known(self.settings.method, self.settings.url, case, action)

    def _try_until_known(self, method: str, url: str, case: str, action: Action) -> Outcome:
        """Send the request until the outcome is known, as often as the settings allow."""
        body = {"action": action.name, "case": case, "key": action.key, "arguments": dict(action.arguments)}
        headers = {self.settings.idempotency_header: action.key} if self.settings.idempotency_header else {}
        outcome, doubt = Outcome(State.UNREACHABLE, ""), False  # doubt: an earlier request may have arrived
        for attempt in range(self.settings.attempts):
            outcome, wait = self._request_once(method, url, body, headers)
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

    def _request_once(self, method: str, url: str, body: object, headers: Mapping[str, str]) -> tuple[Outcome, float | None]:
        """One request: its outcome, and the least number of seconds before another one; None: no other request."""
        try:
            response = self._request(method, url, headers=headers, json=body)
        except ConnectionError as error:
            return Outcome(State.UNREACHABLE, str(error)), 0
        except _NoAnswer as error:
            return Outcome(State.UNKNOWN, str(error)), 0
        status, summary = response.status_code, self._summary(response)
        if response.is_success:
            receipt = self._receipt(response)
            return (Outcome(State.DONE, receipt), None) if receipt else (Outcome(State.UNKNOWN, f"{summary} (not JSON)"), 0)
        if status in RETRYABLE or status >= 500:
            state = State.UNREACHABLE if status in NOT_HANDLED else State.UNKNOWN
            return Outcome(state, summary), _retry_after(response)
        if status in OUR_FAULTS or status < 400:
            moved = f" (redirects to {response.headers.get('location', '')})" if status < 400 else ""
            return Outcome(State.FAILED, f"{summary}{moved}"), None
        return Outcome(State.REFUSED, summary), None

    def _happened(self, action: Action) -> str | None:
        """What `lookup` reports after a request that may have arrived."""
        return self._look_up(action.key)

    def _look_up(self, key: str) -> str | None:
        if not self.settings.lookup:
            return None
        try:
            response = self._request("GET", _filled(self.settings.lookup, key))
        except _NoAnswer as error:
            raise ConnectionError(f"lookup: {error}") from error
        if response.status_code in GONE:
            return None
        receipt = self._receipt(response) if response.is_success else ""
        if not receipt:
            raise ConnectionError(f"lookup: {self._summary(response)}")
        return receipt

    def _receipt(self, response: httpx.Response) -> str:
        """Where to find the effect; "" for an answer that is not JSON."""
        where = response.headers.get("location", "")
        if response.content:
            try:
                content = response.json()
            except ValueError:
                return ""
            where = where or (str(content.get(self.settings.receipt, "")) if isinstance(content, dict) else "")
        return self._masked(f"HTTP {response.status_code}{where and f', {self.settings.receipt} {where}'}")

    def _request(self, method: str, url: str, headers: Mapping[str, str] | None = None, json: object = None) -> httpx.Response:
        """The whole answer. Raises ConnectionError if the request was not sent, _NoAnswer if it may have arrived."""
        seconds, began = self.settings.timeout_seconds, time.monotonic()
        secret = {name: self._expanded(value) for name, value in self.settings.headers.items()}
        content = b""
        try:
            with self._client.stream(method, url, headers={**secret, **(headers or {})}, json=json) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    if time.monotonic() > began + seconds or len(content) > LONGEST_ANSWER:
                        raise _NoAnswer(f"no complete answer within {seconds:g} s and {LONGEST_ANSWER:,} bytes")
            return httpx.Response(response.status_code, headers=_plain(response.headers), content=content)
        except NOT_SENT as error:
            raise ConnectionError(self._masked(f"{urlsplit(url).netloc} cannot be reached: {error}")) from error
        except httpx.TimeoutException as error:
            raise _NoAnswer(f"no answer within {seconds:g} s") from error
        except httpx.RequestError as error:
            raise _NoAnswer(self._masked(f"the connection broke: {error}")) from error

    @cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=self.settings.timeout_seconds)

    def _expanded(self, value: str) -> str:
        """A header's value with its environment variables expanded. Errors never contain their values."""
        text = VARIABLE.sub(lambda match: self._variable(match[1]), value)
        if not text.isascii() or not text.isprintable():
            raise ValueError(f"{value} has characters that are not allowed in a header")
        return text

    @staticmethod
    def _variable(name: str) -> str:
        if name not in os.environ:
            raise LookupError(f"the environment variable {name} is not set; the mission's headers use it")
        return os.environ[name].strip()

    def _summary(self, response: httpx.Response) -> str:
        return self._masked(f"HTTP {response.status_code}: {' '.join(response.text[:300].split())}".rstrip(": "))

    def _masked(self, text: str) -> str:
        names = [name for value in self.settings.headers.values() for name in VARIABLE.findall(value)]
        for value in sorted(filter(None, (os.environ.get(name, "").strip() for name in names)), key=len, reverse=True):
            text = text.replace(value, "***")
        return text


class _HttpUndo(HttpConnector):
    """Undoes an effect with the request in the settings."""

    def cents(self, action: Action) -> int:
        return 0

    def done(self, case: str, action: Action) -> str | None:
        """Done if `lookup` reports that there is nothing to undo."""
        gone = self.settings.lookup and self._look_up(action.arguments.get("undoes", "")) is None
        return "nothing to undo" if gone else None

    def perform(self, case: str, action: Action) -> Outcome:
        assert self.settings.undo is not None  # otherwise `compensation` raises
        url = _filled(self.settings.undo.url, action.arguments.get("undoes", ""))
        return self._try_until_known(self.settings.undo.method, url, case, action)

    def _happened(self, action: Action) -> str | None:
        return self.done("", action)


def _filled(url: str, key: str) -> str:
    return url.replace("{key}", quote(key, safe=""))


def _retry_after(response: httpx.Response) -> float:
    """The seconds to wait, as the service asks; 0 without the header, or with a date in it."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdigit() else 0.0


def _plain(headers: httpx.Headers) -> dict[str, str]:
    """Without the headers of the encoded body: httpx has decoded it."""
    return {name: value for name, value in headers.items() if name not in ("content-encoding", "content-length")}
