"""A payment service to try connectors on: it honours idempotency keys and fails on request.

    python -m proveout.connectors.counterparty --port 8400 --database payments.db

    POST   /payments         {"key", "case", "action", "arguments": {"amount", ...}}, with an Idempotency-Key; pays once per key
    GET    /payments/KEY     that payment, or 404
    DELETE /payments/KEY     take it back
    GET    /payments         all payments
    PUT    /faults           {"fault": "503", "requests": 2}: affects the next two payments

Faults: a status from 400 to 599 (with `retry_after` in seconds), or one of `FAULTS` (the time-outs and `slow` take `seconds`).
Covered: concurrent requests under one key, another amount under a key (422), a kill of this process at any instant.
Not covered: authorization, and real money.
"""

import argparse
import json
import socket
import sqlite3
import struct
import time
from contextlib import closing
from decimal import Decimal, InvalidOperation
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import unquote

FAULTS = {
    "time-out before": "no answer, and no payment",
    "time-out after": "no answer, but the payment is made",
    "torn": "the payment is made, and the answer ends half-way",
    "reset": "the connection is reset, and no payment is made",
    "slow": "the payment is made, and the answer comes byte by byte",
    "not json": "the payment is made, and the answer is a web page",
}
TABLE = """CREATE TABLE IF NOT EXISTS payments (
    key TEXT PRIMARY KEY, id INTEGER, "case" TEXT, cents INTEGER, state TEXT, requests INTEGER)"""


class Refused(Exception):
    """The request is invalid: status 422."""


class Payments:
    """The table of payments: one row per key, with the number of requests."""

    def __init__(self, database: Path) -> None:
        self.database = database
        with closing(self._connect()) as connection:
            connection.execute(TABLE)

    def pay(self, key: str, case: str, cents: int) -> dict[str, Any]:
        """Pay once per key. Raises Refused for another amount or case under the same key."""
        with closing(self._connect()) as connection:
            connection.execute(
                "INSERT INTO payments VALUES (?, (SELECT 1 + COUNT(*) FROM payments), ?, ?, 'paid', 1) "
                "ON CONFLICT (key) DO UPDATE SET requests = requests + 1",
                (key, case, cents),
            )
        payment = self.find(key)
        if payment is None or (payment["case"], payment["cents"]) != (case, cents):
            raise Refused("this key was used for another payment")
        return payment

    def take_back(self, key: str) -> dict[str, Any] | None:
        """Mark a payment as taken back and return it; None for an unknown key."""
        with closing(self._connect()) as connection:
            connection.execute("UPDATE payments SET state = 'taken back' WHERE key = ?", (key,))
        return self.find(key)

    def find(self, key: str) -> dict[str, Any] | None:
        """The row with this key, column to value, or None."""
        return next(iter(self._select("WHERE key = ?", key)), None)

    def all(self) -> list[dict[str, Any]]:
        """All rows, in order of payment."""
        return self._select("ORDER BY id")

    def _select(self, rest: str, *values: str) -> list[dict[str, Any]]:
        with closing(self._connect()) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM payments {rest}", values)]

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.database, timeout=30, isolation_level=None)


class Service(ThreadingHTTPServer):
    """Listens as soon as it is created, on `port` or, for 0, on a free one."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, database: Path) -> None:
        super().__init__(("127.0.0.1", port), _Requests)
        self.payments = Payments(database)
        self.fault: dict[str, Any] = {"fault": "", "requests": 0}
        self._lock = Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_fault(self) -> dict[str, Any]:
        """The fault for the next payment, counted down; {} for none."""
        with self._lock:
            if self.fault["requests"] < 1:
                return {}
            self.fault = {**self.fault, "requests": self.fault["requests"] - 1}
            return self.fault


class _Requests(BaseHTTPRequestHandler):
    server: Service
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        key = self._key()
        if key:
            payment = self.server.payments.find(key)
            self._answer(200 if payment else 404, payment or {"reason": "no payment has this key"})
        else:
            self._answer(200, self.server.payments.all())

    def do_DELETE(self) -> None:
        payment = self.server.payments.take_back(self._key())
        self._answer(200 if payment else 404, payment or {"reason": "no payment has this key"})

    def do_PUT(self) -> None:
        body = self._body()
        name = str(body.get("fault", ""))
        if self.path != "/faults" or not (name in FAULTS or (name.isdigit() and 400 <= int(name) < 600)):
            self._answer(422, {"reason": f"expected a status from 400 to 599 or one of {', '.join(FAULTS)}; found {name!r}"})
            return
        self.server.fault = {"requests": 1, **body, "fault": name}
        self._answer(200, self.server.fault)

    def do_POST(self) -> None:
        body, fault = self._body(), self.server.next_fault()
        name = fault.get("fault", "")
        if name.isdigit():
            retry = {"Retry-After": str(fault["retry_after"])} if "retry_after" in fault else {}
            self._answer(int(name), {"reason": f"fault {name}"}, retry)
        elif name == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST, not FIN
            self._hang_up()
        elif name == "time-out before":
            self._hang_up(fault.get("seconds", 1))
        else:
            self._pay(body, name, fault.get("seconds", 1))

    def _pay(self, body: dict[str, Any], fault: str, seconds: float) -> None:
        key = self.headers.get("Idempotency-Key") or body.get("key", "")
        try:
            payment = self.server.payments.pay(key, body.get("case", ""), _cents(body))
        except Refused as error:
            self._answer(422, {"reason": str(error)})
            return
        if fault == "time-out after":
            self._hang_up(seconds)
        elif fault == "torn":
            self._send(201, json.dumps(payment).encode(), torn=True)
        elif fault == "not json":
            self._send(200, b"<html>Down for maintenance</html>", kind="text/html")
        else:
            self._send(201, json.dumps(payment).encode(), seconds=seconds if fault == "slow" else 0)

    def _key(self) -> str:
        return unquote(self.path.removeprefix("/payments").removeprefix("/"))

    def _body(self) -> dict[str, Any]:
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    def _answer(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(content).encode(), headers=headers)

    def _send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        kind: str = "application/json",
        torn: bool = False,
        seconds: float = 0,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        for byte in content if seconds else b"":
            self.wfile.write(bytes([byte]))
            time.sleep(seconds / len(content))
        if not seconds:
            self.wfile.write(content[: len(content) // 2] if torn else content)
        if torn:
            self._hang_up()

    def _hang_up(self, after: float = 0) -> None:
        time.sleep(after)
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):  # the client is gone, or we closed the connection
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: the payments are in the database."""


def _cents(body: dict[str, Any]) -> int:
    try:
        cents = Decimal(body["arguments"]["amount"]) * 100
    except (KeyError, TypeError, InvalidOperation):
        cents = Decimal(0)
    if not cents.is_finite() or not 0 < cents < 10**15 or cents % 1:
        raise Refused("arguments.amount: expected dollars and cents above 0")
    return int(cents)


def main() -> None:
    about = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m proveout.connectors.counterparty", description=about)
    parser.add_argument("--port", type=int, default=8400, help="0: any free port")
    parser.add_argument("--database", type=Path, default=Path("payments.db"), help="SQLite file")
    options = parser.parse_args()
    service = Service(options.port, options.database)
    print(f"payments at {service.url}/payments, stored in {options.database}", flush=True)
    try:
        service.serve_forever()
    except KeyboardInterrupt:
        service.server_close()


if __name__ == "__main__":
    main()
