"""What a home's scheduler did: one row per job, written before it begins and when it ends.

Entry points: `History`, the rows, a table in the schedule's database (SQLite or PostgreSQL); and `Note`, schedule.json in the
home, which says what is scheduled and whether a scheduler is running. Reading both is cheap and does not need DBOS.
Covered: homes that share a database; each has its own id, which moves with its folder.
Not covered: two copies of one home with one PostgreSQL. Each would take the other's rows for its own.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from proveout.errors import BadInput
from proveout.files import alone, lock, write_whole

OPEN = ("queued", "running")  # the other states: done, nothing, failed
TIMES = ("tick", "began", "ended")
KEPT = 2000  # characters of a job's last output


@dataclass(frozen=True)
class JobRun:
    """One run of a job."""

    id: str  # home, job and tick: unique for each tick of a job
    job: str  # `run`, `monitor`
    tick: datetime  # when it was due
    missed: int = 0  # ticks that it makes up for
    state: str = "queued"  # then running; finally done, nothing (to do) or failed
    began: datetime | None = None
    ended: datetime | None = None
    resumed: int = 0  # restarts after its scheduler was killed
    code: int | None = None  # exit code of its last process
    result: str = ""  # in one line
    tail: str = ""  # the end of its output

    def __str__(self) -> str:
        """One line: job, state, duration, result, and what it makes up for."""
        took = f" in {(self.ended - self.began).total_seconds():.0f} s" if self.began and self.ended else ""
        state = {"failed": "FAILED", "nothing": "done"}.get(self.state, self.state)
        made_up = f"; made up for {self.missed} missed" if self.missed else ""
        resumed = "; resumed after its scheduler ended" if self.resumed else ""
        return f"{self.job:8} {state}{took}{': ' if self.result else ''}{self.result}{made_up}{resumed}"


class History:
    """Every job of one home."""

    def __init__(self, database: str | Path, home: str) -> None:
        """Open the table, or create it. Raises BadInput for a database that cannot be opened."""
        from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text, create_engine
        from sqlalchemy.exc import DBAPIError

        url = sqlalchemy_url(database)
        self.home, self._engine = home, create_engine(url, connect_args={"timeout": 30} if url.startswith("sqlite") else {})
        self._table = Table(
            "proveout_schedule",
            MetaData(),
            Column("id", String, primary_key=True),
            Column("home", String, nullable=False, index=True),
            Column("job", String, nullable=False),
            Column("tick", Float, nullable=False),  # seconds since 1970, like every time in this table
            Column("missed", Integer, nullable=False),
            Column("state", String, nullable=False),
            Column("began", Float),
            Column("ended", Float),
            Column("resumed", Integer, nullable=False),
            Column("code", Integer),
            Column("said", Text, key="result", nullable=False),
            Column("tail", Text, nullable=False),
        )
        try:
            self._table.create(self._engine, checkfirst=True)
        except DBAPIError as error:
            self._engine.dispose()
            raise BadInput(
                f"{redacted(database)}: cannot be opened ({str(error.orig).strip()}); expected a file, or "
                "postgresql://user@host/database of a running server; set it with --database or PROVEOUT_DATABASE"
            ) from error

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, entry: JobRun) -> None:
        """Insert or update the entry's row. Writing the same entry twice changes nothing."""
        row = {**asdict(entry), "home": self.home}
        row |= {name: at.timestamp() if (at := row[name]) else None for name in TIMES}
        with self._engine.begin() as connection:
            same = self._table.c.id == entry.id
            if not connection.execute(self._table.update().where(same).values(row)).rowcount:
                connection.execute(self._table.insert().values(row))

    def entry(self, id: str) -> JobRun:
        """The entry with this id, which must exist."""
        (entry,) = self._read(self._table.c.id == id)
        return entry

    def open(self, job: str | None = None) -> list[JobRun]:
        """Queued and running jobs, oldest first."""
        unfinished = self._table.c.state.in_(OPEN)
        return self._read(unfinished if job is None else unfinished & (self._table.c.job == job))[::-1]

    def last(self, count: int = 1, job: str | None = None) -> list[JobRun]:
        """The newest jobs, newest first."""
        return self._read(None if job is None else self._table.c.job == job, count)

    def _read(self, where: Any, count: int | None = None) -> list[JobRun]:
        table = self._table
        query = table.select().where(table.c.home == self.home).order_by(table.c.tick.desc(), table.c.job.desc()).limit(count)
        with self._engine.connect() as connection:
            rows = connection.execute(query if where is None else query.where(where)).mappings().all()
        return [_entry(row) for row in rows]


def _entry(row: Mapping[Any, Any]) -> JobRun:
    values = {name: row[name] for name in JobRun.__dataclass_fields__}
    for name in TIMES:
        values[name] = None if values[name] is None else datetime.fromtimestamp(values[name], UTC)
    return JobRun(**values)


def sqlalchemy_url(database: str | Path) -> str:
    """A path means SQLite, `postgresql://` means psycopg. Raises BadInput for anything else."""
    text = str(database)
    if "://" not in text:
        return f"sqlite:///{Path(text).resolve()}"
    kind, _, rest = text.partition("://")
    if kind not in ("sqlite", "postgresql", "postgresql+psycopg"):
        raise BadInput(f"--database {redacted(text)}: expected a file, sqlite:///<file> or postgresql://user@host/database")
    return f"postgresql+psycopg://{rest}" if kind == "postgresql" else text


def redacted(database: str | Path) -> str:
    """The path, or the URL without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(str(database)).render_as_string(hide_password=True) if "://" in str(database) else str(database)
    except ArgumentError:
        return "the database's URL"


@dataclass(frozen=True)
class Planned:
    """A scheduled job."""

    cron: str
    since: datetime  # when it was first scheduled with these cron fields


@dataclass(frozen=True)
class Note:
    """What is scheduled in a home, as schedule.json holds it."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    zone: str = "UTC"
    database: str = ""  # "" for schedule.db in the home; never with a password
    jobs: Mapping[str, Planned] = field(default_factory=dict)
    once: bool = False  # an external timer calls `proveout schedule --once`
    pid: int = 0  # of the last scheduler
    began: datetime | None = None
    stopped: datetime | None = None  # None while it is at work, and after it was killed

    @classmethod
    def read(cls, home: Path) -> Note | None:
        """The home's note; None if nothing was scheduled yet. Raises BadInput for a file that is damaged."""
        file = home / "schedule.json"
        if not file.exists():
            return None
        try:
            note = json.loads(file.read_text(encoding="utf-8"))
            note["jobs"] = {name: Planned(job["cron"], _moment(job["since"])) for name, job in note["jobs"].items()}
            return cls(**{**note, "began": _moment(note["began"]), "stopped": _moment(note["stopped"])})
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"{file}: not a file that `proveout schedule` wrote ({error}); delete it to start a new schedule; "
                "all decisions are safe in the journal"
            ) from error

    def write(self, home: Path) -> None:
        """Replace the home's note."""
        write_whole(home / "schedule.json", json.dumps(asdict(self), indent=1, default=datetime.isoformat) + "\n")

    def at_work(self, pid: int, now: datetime, **changes: Any) -> Note:
        """The note of a scheduler that begins now."""
        return replace(self, pid=pid, began=now, stopped=None, **changes)


def _moment(text: str | None) -> Any:
    return text and datetime.fromisoformat(text)


LOCK = ".schedule.lock"


def scheduler_lock(home: Path, patience: float = 2.0) -> AbstractContextManager[None]:
    """Allow one scheduler per home. Waits `patience` seconds, as `proveout status` takes the lock briefly; then raises Busy."""
    return alone(home / LOCK, patience, "already schedules jobs here; stop it first, or choose another home with --home")


def alive(home: Path) -> bool:
    """Whether a scheduler is at work in this home."""
    if not (home / LOCK).exists():
        return False
    with (home / LOCK).open(encoding="utf-8") as file:
        return not lock(file, wait=False, shared=True)
