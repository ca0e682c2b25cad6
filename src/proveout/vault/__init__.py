"""A data key for each case, and what it encrypts; to erase a case is to destroy its key. Entry point: `Vault`.

AES-256-GCM throughout. The keys lie in `keys.db` of a workspace, each wrapped by the workspace's key, which is wrapped by a
master key from outside of it (`master`). A destroyed key leaves an empty row behind, so that its case never gets another.
Covered: several processes and threads, rows exchanged with each other, a kill at any point; what a database keeps of deleted
rows (overwritten, and the file is written anew).
Not covered: what a disk or file system keeps of overwritten blocks, and copies of keys.db: who keeps one, with the master key,
can read what was erased since. Keep few of them, and not for long (docs/erasure.md).
"""

import hashlib
import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from proveout.errors import BadInput
from proveout.vault.master import MasterKey, master_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FILE = "keys.db"
NONCE = 12  # bytes
NAMES = 500  # per query
CACHED = 100_000  # ciphers, some 30 MB
SCHEMA = """
CREATE TABLE workspace (id INTEGER PRIMARY KEY CHECK (id = 1), master TEXT NOT NULL, wrapped BLOB NOT NULL);
CREATE TABLE keys (name TEXT PRIMARY KEY, wrapped BLOB NOT NULL) WITHOUT ROWID;
"""

_OPEN: "WeakValueDictionary[tuple[str, int, int], Vault]" = WeakValueDictionary()  # by path, inode and process


class Vault:
    """The keys of one workspace, by name: the id of a case, the SHA-256 of a file, or what else is encrypted as a whole."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.RLock()
        self._db = sqlite3.connect(file, timeout=60, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA secure_delete = ON")
        self._own: AESGCM | None = None  # the workspace's key
        self._ciphers: dict[str, AESGCM | None] = {}  # None: destroyed
        self._version = 0  # of the database when the ciphers were read

    @classmethod
    def at(cls, home: Path) -> "Vault | None":
        """The vault of a workspace; None if the workspace is not encrypted."""
        file = home / FILE
        try:
            inode = file.stat().st_ino
        except OSError:
            return None
        place = str(file.resolve()), inode, os.getpid()
        if (vault := _OPEN.get(place)) is None:
            vault = _OPEN[place] = cls(file)
        return vault

    @classmethod
    def create(cls, home: Path) -> "Vault | None":
        """A new vault, or the one that is there; None if PROVEOUT_MASTER_KEY is `none`.

        Raises BadInput if there is no master key and none can be made.
        """
        if (vault := cls.at(home)) or (master := master_key(create=True)) is None:
            return vault
        home.mkdir(parents=True, exist_ok=True)
        part = home / f".{FILE}.{os.getpid()}.part"
        part.touch(mode=0o600)
        try:
            db = sqlite3.connect(part)
            db.executescript(SCHEMA)
            db.execute("INSERT INTO workspace VALUES (1, ?, ?)", (master.name, master.wrap(os.urandom(32))))
            db.commit()
            db.close()
            os.link(part, home / FILE)  # fails if another process was first
        except FileExistsError:
            pass
        finally:
            part.unlink(missing_ok=True)
        return cls.at(home)

    @property
    def master(self) -> str:
        """The master key that the workspace's key is wrapped by, in words."""
        return str(self._db.execute("SELECT master FROM workspace").fetchone()[0])

    def counts(self) -> tuple[int, int]:
        """How many keys there are, and how many were destroyed."""
        row = self._db.execute("SELECT count(*), coalesce(sum(length(wrapped) = 0), 0) FROM keys").fetchone()
        return row[0] - row[1], row[1]

    def ciphers(self, names: Collection[str], create: bool = False) -> "Mapping[str, AESGCM | None]":
        """The cipher of each of these keys that exists; None if it was destroyed. `create`: the missing ones, too."""
        with self._lock:
            self._forget_what_changed()
            missing = [name for name in names if name not in self._ciphers]
            if missing:
                self._read(missing)
            if create and (new := list(dict.fromkeys(name for name in missing if name not in self._ciphers))):
                self._create(new)
            return {name: self._ciphers[name] for name in names if name in self._ciphers}

    def seal(self, name: str, content: bytes, about: str) -> bytes:
        """Encrypt with a key, made if needed. `about`: what it is; to be given again. Raises BadInput if it was destroyed."""
        if (cipher := self.ciphers([name], create=True)[name]) is None:
            raise BadInput(f"{name[:12]} was erased, so nothing can be added to it")
        return seal(cipher, content, about)

    def open(self, name: str, sealed: bytes, about: str) -> bytes | None:
        """The inverse of `seal`; None if the key was destroyed. Raises BadInput for a changed content or a missing key."""
        try:
            cipher = self.ciphers([name])[name]
        except KeyError:
            raise BadInput(f"{self.file}: no key for {name[:12]}; put the right {FILE} back") from None
        return None if cipher is None else open_sealed(cipher, sealed, about)

    def secret(self, name: str) -> bytes:
        """A key itself, 32 bytes, made if needed, for a format that has its own encryption."""
        with self._lock:
            self.ciphers([name], create=True)
            (wrapped,) = self._db.execute("SELECT wrapped FROM keys WHERE name = ?", [name]).fetchone()
            return open_sealed(self._workspace_key(), wrapped, name)

    def erased(self, name: str) -> bool:
        """Whether this key was destroyed."""
        return self.ciphers([name]).get(name, self) is None

    def destroy(self, names: Collection[str]) -> None:
        """Destroy keys for ever, of names that have none yet, too."""
        with self._lock:
            with self._writing():
                self._db.executemany("INSERT OR REPLACE INTO keys VALUES (?, x'')", [(name,) for name in names])
            self._rewrite()

    def rotate(self, master: MasterKey) -> int:
        """Wrap all keys anew, by a new key of the workspace, which this master key wraps; returns how many.

        What the keys encrypt stays as it is. Raises BadInput if the master key so far is not there.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        with self._lock:
            before, key = self._workspace_key(), os.urandom(32)
            after, count = AESGCM(key), 0
            with self._writing():
                rows = self._db.execute("SELECT name, wrapped FROM keys WHERE length(wrapped) > 0").fetchall()
                for name, wrapped in rows:
                    anew = seal(after, open_sealed(before, wrapped, name), name)
                    self._db.execute("UPDATE keys SET wrapped = ? WHERE name = ?", (anew, name))
                    count += 1
                self._db.execute("UPDATE workspace SET master = ?, wrapped = ?", (master.name, master.wrap(key)))
            self._own = after
            self._rewrite()
        return count

    def _create(self, names: list[str]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        own, keys = self._workspace_key(), [os.urandom(32) for _ in names]
        rows = [(name, seal(own, key, name)) for name, key in zip(names, keys, strict=True)]
        with self._writing():
            made = self._db.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?)", rows).rowcount
        if made == len(names):
            self._ciphers |= zip(names, map(AESGCM, keys), strict=True)
        else:
            self._read(names)  # another process was first with some of them

    def _read(self, names: list[str]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(self._ciphers) + len(names) > CACHED:
            self._ciphers.clear()
        for start in range(0, len(names), NAMES):
            some = names[start : start + NAMES]
            query = f"SELECT name, wrapped FROM keys WHERE name IN ({','.join('?' * len(some))})"
            for name, wrapped in self._db.execute(query, some).fetchall():
                own = self._workspace_key()
                self._ciphers[name] = AESGCM(open_sealed(own, wrapped, name)) if wrapped else None

    def _workspace_key(self) -> "AESGCM":
        if self._own is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            name, wrapped = self._db.execute("SELECT master, wrapped FROM workspace").fetchone()
            master = master_key()
            if master is None or (key := master.unwrap(wrapped)) is None:
                here = f"PROVEOUT_MASTER_KEY gives {master.name}" if master else "PROVEOUT_MASTER_KEY is `none`"
                raise BadInput(f"{self.file}: encrypted with the master key {name}, and {here}; put that key back, or name it")
            self._own = AESGCM(key)
        return self._own

    def _forget_what_changed(self) -> None:
        """Another process may have destroyed a key, or rotated."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._ciphers.clear()
            self._own = None
        self._version = version

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _rewrite(self) -> None:
        """Leave no copy of an old row in the file or beside it."""
        self._ciphers.clear()
        self._db.execute("VACUUM")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def seal(cipher: "AESGCM", content: bytes, about: str) -> bytes:
    """A random nonce, then the encrypted content with its tag."""
    nonce = os.urandom(NONCE)
    return nonce + cipher.encrypt(nonce, content, about.encode())


def open_sealed(cipher: "AESGCM", sealed: bytes, about: str) -> bytes:
    """The inverse of `seal`. Raises BadInput if it was changed, or is about something else."""
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(sealed[:NONCE], sealed[NONCE:], about.encode())
    except (InvalidTag, ValueError):
        raise BadInput(f"what is encrypted about {about[:40]!r} was changed; put the right file back") from None


def cipher_of(content: bytes) -> "AESGCM":
    """A cipher that only who has this content can make: for what is derived from it, such as a cache that is shared.

    Nothing has to be kept or destroyed: when the content is erased, so is the key.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(hashlib.blake2b(content, digest_size=32, person=b"proveout cache").digest())
