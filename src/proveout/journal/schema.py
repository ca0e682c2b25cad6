"""The tables of the journal, and how a database comes to have them.

`events` is append-only, and triggers refuse everything else. `tip` holds one row, the end of the chain: writers lock it,
and a journal that lost its last events no longer agrees with it.
The schema's version is alembic's; a database of a newer one is refused, an older one is migrated when it is opened.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Column, Engine, Index, Integer, MetaData, String, Table, Text, create_engine, event, inspect, text
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.types import BigInteger

from proveout.errors import BadInput, BadJournal

HEAD = "0001"  # of migrations/versions
KNOWN = ("0001",)

KEYED = text("key <> ''")
NOT_DECISION = text("kind <> 'decision'")  # a decision's key is its case: one random page less for each to be written

metadata = MetaData()
_Position = BigInteger().with_variant(Integer, "sqlite")  # SQLite's row id is an INTEGER PRIMARY KEY and nothing else

events = Table(
    "events",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=False),  # 1, 2, 3 ... without a gap
    Column("case", String, nullable=False),  # SHA-256 of the file; "" for an event of no case
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False),  # an event of one kind happens once under a key; "" may happen again
    Column("at", String, nullable=False),  # ISO 8601, UTC, microseconds
    Column("payload", Text, nullable=False),  # canonical JSON
    Column("previous", String, nullable=False),  # hash of the event before, 64 hex digits
    Column("hash", String, nullable=False),  # SHA-256 of this event's line, 64 hex digits
    Index("one_event_a_key", "key", "kind", unique=True, sqlite_where=KEYED, postgresql_where=KEYED),
    Index("events_by_case", "case", sqlite_where=NOT_DECISION, postgresql_where=NOT_DECISION),
    Index("events_by_kind", "kind", "position"),
)
tip = Table(
    "tip",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("position", _Position, nullable=False),
    Column("hash", String, nullable=False),
)


def connect(url: str | Path) -> Engine:
    """An engine for a journal of this version's schema, made or migrated where needed. Raises BadJournal and BadInput."""
    place = _url(url)
    engine = create_engine(place, pool_pre_ping=place.get_backend_name() != "sqlite")
    if place.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        _bring_up_to_date(engine)
    except DBAPIError as error:
        engine.dispose()
        raise BadJournal(f"{shown(place)}: cannot be opened as a journal: {error.orig}") from error
    except BadJournal as error:
        engine.dispose()
        raise BadJournal(f"{shown(place)}: {error}") from None
    return engine


def shown(url: URL) -> str:
    """The URL without its password."""
    return url.render_as_string(hide_password=True)


def writing(engine: Engine) -> Engine:
    """The same engine for transactions that write: SQLite takes its lock at once, so that none fails half-way."""
    return engine.execution_options(writes=True)


def _url(url: str | Path) -> URL:
    """A path means SQLite; `postgresql://` means psycopg."""
    if isinstance(url, Path) or "://" not in url:
        url = f"sqlite:///{url}"
    try:
        place = make_url(url)
        if place.drivername == "postgresql":
            place = place.set(drivername="postgresql+psycopg")
        place.get_dialect()
    except (ArgumentError, NoSuchModuleError) as error:
        raise BadInput(
            f"{url}: not a database ({error}); expected a file, sqlite:///<file> or postgresql://host/name"
        ) from error
    if place.get_backend_name() not in ("sqlite", "postgresql"):
        raise BadInput(f"{shown(place)}: a journal lives in SQLite or PostgreSQL, not in {place.get_backend_name()}")
    if place.get_backend_name() == "sqlite" and place.database and place.database != ":memory:":
        Path(place.database).parent.mkdir(parents=True, exist_ok=True)
    return place


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says
    connection.execute("PRAGMA busy_timeout = 60000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def _bring_up_to_date(engine: Engine) -> None:
    with engine.connect() as connection:
        if _version(connection) == HEAD:
            return
    with writing(engine).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(74726573)"))  # one process migrates, the others wait
        found = _version(connection)
        if found not in (None, *KNOWN):
            raise BadJournal(
                f"a journal of schema {found}; this version knows up to {HEAD}. "
                "Update proveout, make a new release (proveout build), or name another journal"
            )
        if found is None and (theirs := set(inspect(connection).get_table_names()) & {"events", "tip"}):
            raise BadJournal(f"a database with {', '.join(sorted(theirs))} that no journal made; name another one")
        if found != HEAD:
            _migrate(connection)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
