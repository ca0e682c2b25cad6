"""Authentication: local accounts with a role, sessions for people, tokens for programs.

Entry point: `Accounts(path)`, an SQLite file that only its owner may read. There are no default accounts or passwords.
It stores only hashes: of passwords (argon2id), of session keys and tokens (SHA-256 of 256 random bits).
Covered: guessing passwords (a growing wait per account and per address, stored, so that a restart does not reset it), probing
for names (an unknown name costs the same work and gets the same answer), stolen files, sessions that outlive a password or
an account.
Not covered: a company's directory, second factors, forgotten passwords (an operator sets a new one).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.errors import BadInput, NoEntry
from proveout.records import Role

if TYPE_CHECKING:
    from argon2 import PasswordHasher
    from sqlalchemy.engine import Connection

SHORTEST, LONGEST = 12, 1024  # characters of a password; NIST SP 800-63B asks for length and against rules of composition
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
WHOLE_SESSION, IDLE_SESSION = 12 * 3600.0, 3600.0  # seconds: a working day, and a meeting
SEEN_EVERY = 60.0  # seconds between two updates of a session's last use, so that most requests write nothing
FREE_TRIES = {"account": 5, "address": 20}  # an address may be a whole office
FIRST_WAIT, LONGEST_WAIT = 15.0, 900.0  # seconds; doubles with every further failure
FORGIVEN = 3600.0  # seconds after the last failure, beyond the wait
TOKEN = "pvo_"  # prefix, so that a leaked token is recognized as one
AT_ONCE = 2  # passwords hashed at the same time, 64 MiB each, so that signing in cannot exhaust the memory


@dataclass(frozen=True, slots=True)
class Account:
    """A person's account, or the one that a program's token belongs to."""

    name: str
    role: Role
    since: float  # seconds since 1970
    tokens: tuple[str, ...] = ()  # their labels


class Accounts:
    """The accounts of one workspace. Safe to use from several threads and processes."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, hasher: PasswordHasher | None = None) -> None:
        """Open the file, or create an empty one. `hasher`: argon2id with other parameters. Raises BadInput for another file."""
        from argon2 import PasswordHasher

        self.path, self._clock, self._hasher = path, clock, hasher or PasswordHasher()
        self._decoy = self._hasher.hash(secrets.token_hex())  # checked when a name is unknown
        self._hashing = threading.BoundedSemaphore(AT_ONCE)
        self._engine = _connect(path)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Accounts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- accounts ---

    def __len__(self) -> int:
        with self._reading() as sql:
            return int(sql("SELECT count(*) FROM accounts").scalar_one())

    def __iter__(self) -> Iterator[Account]:
        """Every account, by name."""
        with self._reading() as sql:
            tokens = sql("SELECT account, label FROM tokens ORDER BY made").all()
            rows = sql("SELECT name, role, since FROM accounts ORDER BY name").all()
        for name, role, since in rows:
            yield Account(name, Role(role), since, tuple(label for account, label in tokens if account == name))

    def add(self, name: str, role: Role, password: str) -> Account:
        """Create an account. Raises BadInput for a name that is taken or not valid, and for an unsuitable password."""
        if not NAME.fullmatch(name):
            raise BadInput(f"{name!r} is not an account name; expected up to 32 lowercase letters, digits, `.`, `_`, `-`")
        hashed, now = self._hash(password, name), self._clock()
        with self._writing() as sql:
            if sql("SELECT 1 FROM accounts WHERE name = :name", name=name).first():
                raise BadInput(f"account {name!r} already exists; choose another name, or: proveout user password {name}")
            insert = "INSERT INTO accounts (name, role, password, since) VALUES (:name, :role, :password, :since)"
            sql(insert, name=name, role=role.value, password=hashed, since=now)
        return Account(name, role, now)

    def remove(self, name: str) -> None:
        """Delete an account with its sessions and tokens. Raises BadInput if it does not exist."""
        with self._writing() as sql:
            self._require(sql, name)
            for table in ("sessions", "tokens"):
                sql(f"DELETE FROM {table} WHERE account = :name", name=name)
            sql("DELETE FROM accounts WHERE name = :name", name=name)

    def change_password(self, name: str, password: str) -> None:
        """Set a new password and end every session of the account. Its tokens stay valid; revoke them one by one."""
        hashed = self._hash(password, name)
        with self._writing() as sql:
            self._require(sql, name)
            sql("UPDATE accounts SET password = :password WHERE name = :name", name=name, password=hashed)
            sql("DELETE FROM sessions WHERE account = :name", name=name)
            sql("DELETE FROM attempts WHERE subject = :subject", subject=f"account {name}")

    # --- people ---

    def sign_in(self, name: str, password: str, address: str) -> str:
        """Sign in and return the session's key. Raises NoEntry, with `wait` in seconds (0 unless too many tries failed)."""
        name = name.strip().lower()
        subjects = {"account": f"account {name[:64]}", "address": f"address {_network(address)}"}
        self._count_try(subjects)  # before checking the password, so that parallel tries gain nothing
        with self._reading() as sql:
            row = sql("SELECT password FROM accounts WHERE name = :name", name=name).first()
        if not self._fits(row[0] if row else self._decoy, password) or row is None:
            raise NoEntry("wrong name or password; try again, or ask an operator to run: proveout user password NAME")
        key, now = secrets.token_urlsafe(32), self._clock()
        renewed = self._hash(password, name) if self._hasher.check_needs_rehash(row[0]) else row[0]
        with self._writing() as sql:
            same = sql("SELECT 1 FROM accounts WHERE name = :name AND password = :was", name=name, was=row[0]).first()
            if not same:
                raise NoEntry("the password was changed a moment ago; sign in with the new one")
            sql("UPDATE accounts SET password = :password WHERE name = :name", name=name, password=renewed)
            sql("DELETE FROM attempts WHERE subject = :subject", subject=subjects["account"])
            sql("UPDATE attempts SET failures = failures - 1 WHERE subject = :subject", subject=subjects["address"])
            sql("DELETE FROM sessions WHERE made < :old OR seen < :idle", old=now - WHOLE_SESSION, idle=now - IDLE_SESSION)
            insert = "INSERT INTO sessions (id, account, made, seen) VALUES (:id, :name, :now, :now)"
            sql(insert, id=_digest(key), name=name, now=now)
        return key

    def session(self, key: str) -> Account | None:
        """The account of a session, which this keeps open; None if the key is unknown, too old, idle or signed out."""
        now = self._clock()
        with self._reading() as sql:
            row = sql(
                "SELECT a.name, a.role, a.since, s.seen FROM sessions s JOIN accounts a ON a.name = s.account"
                " WHERE s.id = :id AND s.made > :old AND s.seen > :idle",
                id=_digest(key),
                old=now - WHOLE_SESSION,
                idle=now - IDLE_SESSION,
            ).first()
        if row is None:
            return None
        if now - row[3] >= SEEN_EVERY:
            with self._writing() as sql:
                sql("UPDATE sessions SET seen = :now WHERE id = :id", id=_digest(key), now=now)
        return Account(row[0], Role(row[1]), row[2])

    def sign_out(self, key: str) -> None:
        """End a session. An unknown key changes nothing."""
        with self._writing() as sql:
            sql("DELETE FROM sessions WHERE id = :id", id=_digest(key))

    # --- programs ---

    def new_token(self, name: str, label: str) -> str:
        """Create a token for the account, valid until it is revoked. It is not stored, so this is the only copy.

        Raises BadInput for an unknown account, and for a label that is taken or not valid.
        """
        if not LABEL.fullmatch(label):
            raise BadInput(f"{label!r} cannot label a token; expected up to 64 letters, digits, spaces, `.`, `_`, `-`")
        token = TOKEN + secrets.token_urlsafe(32)
        with self._writing() as sql:
            self._require(sql, name)
            if sql("SELECT 1 FROM tokens WHERE account = :name AND label = :label", name=name, label=label).first():
                raise BadInput(f"{name} already has a token {label!r}; revoke it first: proveout user revoke {name} {label!r}")
            insert = "INSERT INTO tokens (id, account, label, made) VALUES (:id, :name, :label, :now)"
            sql(insert, id=_digest(token), name=name, label=label, now=self._clock())
        return token

    def revoke(self, name: str, label: str) -> None:
        """Revoke a token immediately. Raises BadInput if the account or the token does not exist."""
        with self._writing() as sql:
            self._require(sql, name)
            if not sql("DELETE FROM tokens WHERE account = :name AND label = :label", name=name, label=label).rowcount:
                labels = sql("SELECT label FROM tokens WHERE account = :name ORDER BY made", name=name).scalars().all()
                raise BadInput(f"{name} has no token {label!r}; there are: {', '.join(labels) or 'none'}")

    def by_token(self, token: str) -> Account | None:
        """The account of a token; None if the token is unknown or revoked."""
        with self._reading() as sql:
            query = "SELECT a.name, a.role, a.since FROM tokens t JOIN accounts a ON a.name = t.account WHERE t.id = :id"
            row = sql(query, id=_digest(token)).first()
        return Account(row[0], Role(row[1]), row[2]) if row else None

    # --- internals ---

    def _count_try(self, subjects: dict[str, str]) -> None:
        """Record a try as failed before its outcome is known. Raises NoEntry if it comes too early."""
        now = self._clock()
        with self._writing() as sql:
            sql("DELETE FROM attempts WHERE last < :old", old=now - FORGIVEN - LONGEST_WAIT)
            for kind, subject in subjects.items():
                row = sql("SELECT failures, last FROM attempts WHERE subject = :subject", subject=subject).first()
                if row and (wait := row[1] + _pause(row[0] - FREE_TRIES[kind]) - now) > 0:
                    raise NoEntry(f"too many failed sign-ins; wait {wait:.0f} seconds, then try again", wait)
            for subject in subjects.values():
                sql(
                    "INSERT INTO attempts (subject, failures, last) VALUES (:subject, 1, :now)"
                    " ON CONFLICT (subject) DO UPDATE SET failures = failures + 1, last = :now",
                    subject=subject,
                    now=now,
                )

    def _hash(self, password: str, name: str) -> str:
        if not SHORTEST <= len(password) <= LONGEST:
            fault = f"the password has {len(password)} characters, expected {SHORTEST} to {LONGEST}"
            raise BadInput(f"{fault}; four unrelated words make a good password")
        if password.strip().lower() == name:
            raise BadInput("the password is the account's name; choose one that is hard to guess")
        with self._hashing:
            return self._hasher.hash(_normal(password))

    def _fits(self, hashed: str, password: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        try:
            with self._hashing:
                return self._hasher.verify(hashed, _normal(password[:LONGEST]))
        except (VerificationError, InvalidHashError):
            return False

    def _require(self, sql: Callable[..., Any], name: str) -> None:
        if not sql("SELECT 1 FROM accounts WHERE name = :name", name=name).first():
            names = sql("SELECT name FROM accounts ORDER BY name").scalars().all()
            raise BadInput(f"no account {name!r}; there are: {', '.join(names) or 'none'}")

    @contextmanager
    def _reading(self) -> Iterator[Callable[..., Any]]:
        with self._engine.connect() as connection:
            yield _executor(connection)

    @contextmanager
    def _writing(self) -> Iterator[Callable[..., Any]]:
        with self._engine.execution_options(writes=True).begin() as connection:
            yield _executor(connection)


def _executor(connection: Connection) -> Callable[..., Any]:
    from sqlalchemy import text

    return lambda question, **values: connection.execute(text(question), values)


SCHEMA = 1
TABLES = (
    "CREATE TABLE accounts (name TEXT PRIMARY KEY, role TEXT NOT NULL, password TEXT NOT NULL, since REAL NOT NULL)",
    "CREATE TABLE sessions (id TEXT PRIMARY KEY, account TEXT NOT NULL, made REAL NOT NULL, seen REAL NOT NULL)",
    "CREATE TABLE tokens (id TEXT PRIMARY KEY, account TEXT NOT NULL, label TEXT NOT NULL, made REAL NOT NULL,"
    " UNIQUE (account, label))",
    "CREATE TABLE attempts (subject TEXT PRIMARY KEY, failures INTEGER NOT NULL, last REAL NOT NULL)",
)


def _connect(path: Path) -> Any:
    """An engine for the accounts' file, which is created if it is missing, and readable only by its owner in either case."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import DatabaseError

    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)  # SQLite creates its other files with the same mode
    engine = create_engine(f"sqlite:///{path}")

    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where `begin` says
        for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar()
            if version not in (0, SCHEMA):
                raise BadInput(f"{path}: accounts of schema {version}, but this version expects {SCHEMA}; update proveout")
            if not version:
                for table in TABLES:
                    connection.exec_driver_sql(table)
                connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
    except DatabaseError as error:
        engine.dispose()
        raise BadInput(f"{path}: cannot be opened as accounts ({error.orig}); restore the file, or move it away") from error
    return engine


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _normal(password: str) -> bytes:
    """Normalize a password, so that it does not depend on how a keyboard composes letters (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace")


def _network(address: str) -> str:
    """The addresses that one visitor controls: an IPv4 address, or the 2^64 of an IPv6 subnet.

    >>> _network("192.0.2.7"), _network("2001:db8:0:1:2:3:4:5"), _network("a pipe")
    ('192.0.2.7', '2001:db8:0:1::/64', 'elsewhere')
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "elsewhere"
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)


def _pause(failures: int) -> float:
    """Seconds to wait after this many failures beyond the free ones.

    >>> [_pause(failures) for failures in (-1, 0, 1, 2, 99)]
    [0.0, 15.0, 30.0, 60.0, 900.0]
    """
    return 0.0 if failures < 0 else min(FIRST_WAIT * 2 ** min(failures, 32), LONGEST_WAIT)
