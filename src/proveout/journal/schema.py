"""The tables of the journal, and their creation and migration.

`events` is append-only: triggers refuse updates and deletes, except that a payload may be emptied, to erase it. `tip` holds one
row, the end of the chain. Writers lock it, and it reveals a journal that lost its last events.
Alembic keeps the schema's version. Opening refuses a newer one and leaves an older one as it is: a release that was frozen with
earlier code must be able to read it. What needs the newest calls `upgrade`.
"""

from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    inspect,
    literal_column,
    text,
)
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.types import BigInteger

from proveout.errors import BadInput, BadJournal

HEAD = "0002"  # of migrations/versions
VERSIONS = ("0001", "0002")

KEYED = text("key <> ''")
NOT_DECISION = text("kind <> 'decision'")  # found by its key, which is its case; saves one random page write per decision

metadata = MetaData()
_Position = BigInteger().with_variant(Integer, "sqlite")  # in SQLite only INTEGER PRIMARY KEY is the row id

events = Table(
    "events",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=False),  # 1, 2, 3 ... without gaps
    Column("case", String, nullable=False),  # SHA-256 of the file; "" for an event without a case
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False),  # unique per kind; "" may repeat
    Column("at", String, nullable=False),  # ISO 8601, UTC, microseconds
    Column("payload", Text, nullable=False),  # canonical JSON
    Column("previous", String, nullable=False),  # hash of the previous event, 64 hex digits
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
    """An engine for a journal with the current schema, created if needed. Raises BadJournal and BadInput."""
    address = _url(url)
    engine = create_engine(address, pool_pre_ping=address.get_backend_name() != "sqlite")
    if address.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        _bring_up_to_date(engine)
    except DBAPIError as error:
        engine.dispose()
        raise BadJournal(f"{without_password(address)}: cannot be opened as a journal: {error.orig}") from error
    except BadJournal as error:
        engine.dispose()
        raise BadJournal(f"{without_password(address)}: {error}") from None
    return engine


def without_password(url: URL) -> str:
    """The URL with its password masked."""
    return url.render_as_string(hide_password=True)


def writing(engine: Engine) -> Engine:
    """The engine for transactions that write: SQLite locks at their start, so that none fails half-way."""
    return engine.execution_options(writes=True)


def rewrite(engine: Engine) -> None:
    """Write the database anew, so that no copy of what was emptied stays in its files."""
    if engine.dialect.name == "sqlite":
        with closing(engine.raw_connection()) as connection:
            cursor = connection.cursor()
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    else:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM FULL events")


def run_of(engine: Engine) -> ColumnElement[str]:
    """The run of an intended effect, as the index has it."""
    if engine.dialect.name == "sqlite":
        return literal_column("CASE WHEN json_valid(payload) THEN json_extract(payload, '$.run') END")
    return literal_column("""substring(payload from '.*"run":"([^"]*)"')""")


def _url(url: str | Path) -> URL:
    """A path means SQLite; `postgresql://` means psycopg."""
    if isinstance(url, Path) or "://" not in url:
        url = f"sqlite:///{url}"
    try:
        address = make_url(url)
        if address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError) as error:
        expected = "a file, sqlite:///<file> or postgresql://host/name"
        scheme = str(url).partition("://")[0]  # the rest may hold a password, and so may SQLAlchemy's own message
        raise BadInput(f"a URL that begins with {scheme}:// is not a database; expected {expected}") from error
    if (backend := address.get_backend_name()) not in ("sqlite", "postgresql"):
        raise BadInput(f"{without_password(address)}: expected SQLite or PostgreSQL for the journal, found {backend}")
    if backend == "sqlite" and address.database and address.database != ":memory:":
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
    return address


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # `_begin_sqlite` starts the transactions
    connection.execute("PRAGMA busy_timeout = 60000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def _bring_up_to_date(engine: Engine) -> None:
    with engine.connect() as connection:
        if _version(connection) in VERSIONS:
            return
    with writing(engine).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(74726573)"))  # one process migrates, the others wait
        version = _version(connection)
        if version not in (None, *VERSIONS):
            raise BadJournal(
                f"found a journal with schema {version}, expected {HEAD} or older. "
                "Update proveout and make a new release (proveout build), or use another journal"
            )
        if version is None and (tables := set(inspect(connection).get_table_names()) & {"events", "tip"}):
            raise BadJournal(f"the database has tables ({', '.join(sorted(tables))}) of another program; use another database")
        if version is None:
            _migrate(connection)


def upgrade(engine: Engine) -> None:
    """Bring an older journal to the newest schema, which earlier code refuses."""
    with engine.connect() as connection:
        if _version(connection) == HEAD:
            return
    with writing(engine).begin() as connection:
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
