"""What durability costs over the bare minimum: writing the same bytes with fdatasync, hashing the same lines.

`journal_append`: 64 events a commit, on SQLite with synchronous=FULL, against one write of the same 64 lines and fdatasync;
`sqlite` is what the ratio would be if SQLite alone inserted the finished rows, with its indexes and nothing else.
`journal_append_encrypted`: the same in an encrypted workspace, each event of a case of its own.
`verify`: the whole chain out of the database, against SHA-256 over the same lines in memory. Both in events/s a core.
"""

import hashlib
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proveout.journal import SEPARATOR, Event, Journal
from proveout.journal.codec import canonical
from proveout.vault import Vault

BATCH, BATCHES = 64, 60
PAYLOAD = {"document_class": "invoice", "route": "review", "because": "gross_amount is not certified at 98 % precision"}


def run() -> dict[str, dict[str, Any]]:
    plain, encrypted = _measured(encrypted=False), _measured(encrypted=True)
    peer = f"write + fdatasync of the same {BATCH} lines"
    return {
        "journal_append": plain["append"] | {"peer_name": peer},
        "journal_append_encrypted": encrypted["append"] | {"peer_name": f"{peer}, in the clear"},
        "verify": plain["verify"] | {"peer_name": "SHA-256 over the same lines in memory"},
    }


def _measured(encrypted: bool) -> dict[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault.create(Path(folder)) if encrypted else None
        with Journal(Path(folder) / "journal.db") as journal:
            batches = [[_event(batch, number) for number in range(BATCH)] for batch in range(BATCHES)]
            ours, bare, alone = [], [], []
            other = Path(folder) / "alone.db"
            Journal(other).close()  # the same tables
            database = sqlite3.connect(other, isolation_level=None)
            database.execute("PRAGMA synchronous = FULL")
            with (Path(folder) / "lines").open("ab", buffering=0) as file:
                for events in batches:
                    if vault:  # as a run does, before it reads the documents
                        vault.ciphers([event.case for event in events], create=True)
                    seconds, written = _timed(journal.append, events)
                    ours.append(seconds)
                    bare.append(_timed(_write, file, b"".join(_line(event) for event in written))[0])
                    alone.append(_timed(_insert, database, [_row(event) for event in written])[0])
            lines = [_line(event) for event in journal.events()]
            verify = min(_timed(journal.verify)[0] for _ in range(3))
            plain = min(_timed(_chain, lines)[0] for _ in range(3))
    append, peer = statistics.median(ours), statistics.median(bare)
    rate, peer_rate = len(lines) / verify, len(lines) / plain
    return {
        "append": {
            "ours": append,
            "peer": peer,
            "unit": f"s a commit of {BATCH} events",
            "ratio": append / peer,
            "sqlite": statistics.median(alone) / peer,
        },
        "verify": {"ours": rate, "peer": peer_rate, "unit": "events/s a core", "ratio": peer_rate / rate},
    }


def _event(batch: int, number: int) -> Event:
    case = hashlib.sha256(f"{batch} {number}".encode()).hexdigest()
    return Event(case, "decision", {**PAYLOAD, "number": number}, key=case)


def _row(event: Event) -> tuple[int | str, ...]:
    names = (event.case, event.kind, event.key, event.at)
    return event.position, *names, canonical(event.payload), event.previous, event.hash


def _line(event: Event) -> bytes:
    position, *names, previous, digest = map(str, _row(event))
    return (SEPARATOR.join((previous, position, *names, digest)) + "\n").encode()


def _insert(database: sqlite3.Connection, rows: list[tuple[int | str, ...]]) -> None:
    database.execute("BEGIN IMMEDIATE")
    database.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    database.execute("COMMIT")


def _write(file: Any, content: bytes) -> None:
    file.write(content)
    os.fdatasync(file.fileno())


def _chain(lines: list[bytes]) -> None:
    for line in lines:
        hashlib.sha256(line).digest()


def _timed(does: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    result = does(*arguments)
    return time.perf_counter() - began, result
