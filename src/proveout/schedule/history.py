"""What the scheduler of a home did: one row a job, written before it begins and when it ends.

Two places: the rows (`History`, a table in the schedule's database, SQLite or PostgreSQL) and a note in the home
(`Note`, schedule.json) of what is scheduled there and whether somebody is at it. Reading both is cheap: no DBOS.
Covered: homes that share a database; each has an id of its own, which moves with its folder.
Not covered: two copies of one home at one PostgreSQL. They would take each other's rows for their own.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.errors import BadInput
from proveout.files import alone, lock, write_whole

if TYPE_CHECKING:
    pass

OPEN = ("queued", "running")  # the other states: done, nothing, failed
KEPT = 2000  # characters of a job's last output


@dataclass(frozen=True)
class JobRun:
    """A job that was due once."""

    id: str  # home, job and tick: the same tick is the same job, whoever asks
    job: str  # `run`, `monitor`
    tick: datetime  # when it was due
    missed: int = 0  # ticks that it makes up for
    state: str = "queued"  # then running; in the end done, nothing or failed
    began: datetime | None = None
    ended: datetime | None = None
    resumed: int = 0  # times that it was begun again after its scheduler was killed
    code: int | None = None  # exit code of its last process
    said: str = ""  # its result in one line
    tail: str = ""  # the end of its output

    @property
    def seconds(self) -> float | None:
        return (self.ended - self.began).total_seconds() if self.began and self.ended else None


class History:
    """Every job of one home, oldest first."""

    def __init__(self, database: str | Path, home: str) -> None:
        """Opens or makes the table. Raises BadInput for a database that cannot be reached."""
        from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text, create_engine
        from sqlalchemy.exc import DBAPIError

        url = place(database)
        self.home, self._engine = home, create_engine(url, connect_args={"timeout": 30} if url.startswith("sqlite") else {})
        self._table = Table(
            "proveout_schedule",
            MetaData(),
            Column("id", String, primary_key=True),
            Column("home", String, nullable=False, index=True),
            Column("job", String, nullable=False),
            Column("tick", Float, nullable=False),  # seconds since 1970, as every time here
            Column("missed", Integer, nullable=False),
            Column("state", String, nullable=False),
            Column("began", Float),
            Column("ended", Float),
            Column("resumed", Integer, nullable=False),
            Column("code", Integer),
            Column("said", Text, nullable=False),
            Column("tail", Text, nullable=False),
        )
        try:
            self._table.create(self._engine, checkfirst=True)
        except DBAPIError as error:
            self._engine.dispose()
            raise BadInput(
                f"{shown(database)}: cannot be opened ({str(error.orig).strip()}); expected a file or "
                "postgresql://user@host/database of a server that runs; name it with --database or PROVEOUT_DATABASE"
            ) from error

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, entry: JobRun) -> None:
        """Put a row, or what is new of it. Writing the same twice changes nothing."""
        row = {**asdict(entry), "home": self.home}
        row |= {name: at.timestamp() if (at := row[name]) else None for name in ("tick", "began", "ended")}
        with self._engine.begin() as connection:
            same = self._table.c.id == entry.id
            if not connection.execute(self._table.update().where(same).values(row)).rowcount:
                connection.execute(self._table.insert().values(row))

    def one(self, id: str) -> JobRun:
        (entry,) = self._read(self._table.c.id == id)
        return entry

    def open(self, job: str | None = None) -> list[JobRun]:
        """Jobs that wait or run, oldest first."""
        asked = self._table.c.state.in_(OPEN)
        return self._read(asked if job is None else asked & (self._table.c.job == job))[::-1]

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
    for name in ("tick", "began", "ended"):
        values[name] = None if values[name] is None else datetime.fromtimestamp(values[name], UTC)
    return JobRun(**values)


def place(database: str | Path) -> str:
    """The URL as SQLAlchemy takes it: a path means SQLite, `postgresql://` means psycopg. Raises BadInput for others."""
    text = str(database)
    if "://" not in text:
        return f"sqlite:///{Path(text).resolve()}"
    kind, _, rest = text.partition("://")
    if kind not in ("sqlite", "postgresql", "postgresql+psycopg"):
        raise BadInput(f"--database {shown(text)}: expected a file, sqlite:///<file> or postgresql://user@host/database")
    return f"postgresql+psycopg://{rest}" if kind == "postgresql" else text


def shown(database: str | Path) -> str:
    """Without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(str(database)).render_as_string(hide_password=True) if "://" in str(database) else str(database)
    except ArgumentError:
        return "the database's URL"


@dataclass(frozen=True)
class Planned:
    """A job as it is scheduled: its cron fields, and since when they are these."""

    cron: str
    since: datetime


@dataclass(frozen=True)
class Note:
    """What is scheduled in a home. schedule.json holds it."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    zone: str = "UTC"
    database: str = ""  # "" for schedule.db in the home; never with a password
    jobs: Mapping[str, Planned] = field(default_factory=dict)
    once: bool = False  # somebody else's clock calls `proveout schedule --once`
    pid: int = 0  # of the last scheduler
    began: datetime | None = None
    stopped: datetime | None = None  # None while it is at work, and for ever when it was killed

    @classmethod
    def read(cls, home: Path) -> Note | None:
        file = home / "schedule.json"
        if not file.exists():
            return None
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
            said["jobs"] = {name: Planned(job["cron"], _moment(job["since"])) for name, job in said["jobs"].items()}
            return cls(**{**said, "began": _moment(said["began"]), "stopped": _moment(said["stopped"])})
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"{file}: not what `proveout schedule` writes ({error}); delete it, and the schedule begins anew; "
                "what was decided is safe in the journal"
            ) from error

    def write(self, home: Path) -> None:
        write_whole(home / "schedule.json", json.dumps(asdict(self), indent=1, default=datetime.isoformat) + "\n")

    def at_work(self, pid: int, now: datetime, **changed: Any) -> Note:
        return replace(self, pid=pid, began=now, stopped=None, **changed)


def _moment(text: str | None) -> Any:
    return text and datetime.fromisoformat(text)


LOCK = ".schedule.lock"


def sole(home: Path, patience: float = 2.0) -> AbstractContextManager[None]:
    """The one scheduler of a home. Raises Busy, which says who is; `proveout status` takes the lock for an instant, too."""
    busy = "schedules here already; stop it first, or give this one a home of its own with --home"
    return alone(home / LOCK, patience, busy)


def alive(home: Path) -> bool:
    """Whether a scheduler is at work in this home."""
    if not (home / LOCK).exists():
        return False
    with (home / LOCK).open(encoding="utf-8") as file:
        return not lock(file, wait=False, shared=True)
