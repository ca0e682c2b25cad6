"""Keep the file of every case under the case's id, so that decisions can be reviewed and replayed after the inbox is emptied.

A file is copied once, hashed while it is copied, and named by the hash of the copy. Only the copy is read afterwards.
In an encrypted workspace each file is encrypted with a key of its own, and `path` gives a decrypted copy of it: in memory where
the system has such a folder (/dev/shm), for this process only and for as long as it lives.
Covered: a file that changes while it is copied (StillWritten, nothing is kept), a kill at any point (files are written whole
or not at all, and the next process removes decrypted copies), a file that is submitted again under another name, any name and
ending.
Not covered: retention and access control. Without encryption the folder is as private as the inbox.
"""

import atexit
import hashlib
import io
import os
import re
import shutil
import tempfile
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from proveout.documents.files import sha256_of
from proveout.errors import BadInput, StillWritten, UnreadableDocument
from proveout.files import has_writer, open_file, write_whole
from proveout.vault import Vault

CHUNK = 1 << 20  # bytes
WRITER_FORGOTTEN = 3600.0  # seconds after its last change from which a file counts as complete, though a program has it open
SEALED = ".sealed"  # after the ending of an encrypted file
MOST_BYTES = 1 << 30  # of a file that is encrypted as a whole, in memory
VIEWS = 1024  # decrypted copies at a time
ENDING = re.compile(r"\.[a-z0-9]{1,10}")


def link(source: Path, target: Path) -> None:
    """Hard-link `target` to `source`, or copy it where no link is possible; an existing target is left alone."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def ending(path: Path) -> str:
    """The ending of a file's name in lower case; "" for one that no kind of document has.

    >>> ending(Path("March.PDF")), ending(Path("scan." + "x" * 220)), ending(Path("v1.2 final"))
    ('.pdf', '', '')
    """
    suffix = path.suffix.lower()
    return suffix if ENDING.fullmatch(suffix) else ""


def _copy_still(source: BinaryIO, target: BinaryIO) -> str:
    """Copy a file that nobody writes to meanwhile; returns the SHA-256 of what was copied. Raises StillWritten."""
    before, digest = os.fstat(source.fileno()), hashlib.sha256()
    if has_writer(source) and time.time() - before.st_mtime < WRITER_FORGOTTEN:
        raise StillWritten("a program still has it open for writing")
    while target.tell() <= before.st_size and (chunk := source.read(CHUNK)):  # a file may grow faster than it is copied
        digest.update(chunk)
        target.write(chunk)
    after = os.fstat(source.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or target.tell() != after.st_size:
        raise StillWritten("it changed while it was copied")
    return digest.hexdigest()


class Originals:
    """Files as `folder/ab/abcdef…01.pdf`: the first two digits of the id, the id, the ending; `.sealed` behind if encrypted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._vault = Vault.at(folder.parent)

    def prepare(self, cases: Iterable[str]) -> None:
        """Make the keys of files that will be kept, in one write."""
        if self._vault is not None:
            self._vault.ciphers([*cases], create=True)

    def keep(self, source: Path) -> tuple[str, Path]:
        """Copy a file, unless its bytes are kept already; returns the SHA-256 of the copied bytes and `path` of the copy.

        Raises StillWritten if the file is being written, UnreadableDocument if it is not a file or was erased, OSError if it
        cannot be read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._vault is not None:
            return self._keep_sealed(self._vault, source)
        part = self.folder / f".{uuid.uuid4().hex}.part"
        try:
            with open_file(source, follow=False) as file, part.open("xb") as copy:
                sha256 = _copy_still(file, copy)
                copy.flush()
                os.fsync(copy.fileno())
            if (existing := self._find(sha256)) is not None:
                return sha256, existing
            target = self.folder / sha256[:2] / f"{sha256}{ending(source)}"
            target.parent.mkdir(exist_ok=True)
            return sha256, part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def keep_bytes(self, content: bytes, ending: str) -> tuple[str, Path]:
        """Keep the content of a case that has no file of its own; returns its SHA-256 and `path`.

        Raises UnreadableDocument if it was erased.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        if self._vault is not None:
            self._seal(self._vault, sha256, content, ending)
        elif self._find(sha256) is None:
            write_whole(self.folder / sha256[:2] / f"{sha256}{ending}", content)
        return sha256, self.path(sha256)

    def _keep_sealed(self, vault: Vault, source: Path) -> tuple[str, Path]:
        content = io.BytesIO()
        with open_file(source, follow=False) as file:
            if (size := os.fstat(file.fileno()).st_size) > MOST_BYTES:
                raise UnreadableDocument(f"oversized: {size:,} bytes, at most {MOST_BYTES:,} can be encrypted; split it")
            sha256 = _copy_still(file, content)
        self._seal(vault, sha256, content.getvalue(), ending(source))
        return sha256, self.path(sha256)

    def _seal(self, vault: Vault, sha256: str, content: bytes, ending: str) -> None:
        if vault.erased(sha256):
            raise UnreadableDocument("it was erased, so it is not taken again")
        if self._find(sha256) is None:
            sealed = vault.seal(sha256, content, f"original {sha256}")
            write_whole(self.folder / sha256[:2] / f"{sha256}{ending}{SEALED}", sealed)

    def path(self, case: str) -> Path:
        """A path of a case's file, decrypted. Raises BadInput if there is none, or it was erased."""
        if (path := self._find(case)) is None:
            raise BadInput(f"{self.folder}: no file for case {case[:12]}; put it back into the inbox, then: proveout run")
        return path if path.suffix != SEALED else _views.view(path, lambda: self._opened(path))

    def size(self, case: str) -> int:
        """The bytes that a case's file takes here; 0 if it is not kept."""
        path = self._find(case)
        return path.stat().st_size if path else 0

    def __contains__(self, case: str) -> bool:
        return self._find(case) is not None and not (self._vault and self._vault.erased(case))

    def whole(self, sha256: str) -> bool:
        """Whether a file is kept, and has the bytes that it was kept with."""
        path = self._find(sha256)
        if path is None or path.suffix != SEALED:
            return path is not None and sha256_of(path) == sha256
        try:
            return hashlib.sha256(self._opened(path)).hexdigest() == sha256
        except BadInput:
            return False

    def encrypt(self) -> int:
        """Encrypt the files that were kept before the workspace was; returns how many."""
        plain = [path for path in self.folder.glob("*/*") if path.suffix != SEALED]
        for path in plain:
            sha256 = path.name.partition(".")[0]
            assert self._vault is not None
            sealed = self._vault.seal(sha256, path.read_bytes(), f"original {sha256}")
            write_whole(path.with_name(f"{path.name}{SEALED}"), sealed)
            path.unlink()
        return len(plain)

    def remove(self, case: str) -> list[Path]:
        """Remove a case's file and its decrypted copy; returns what was removed."""
        paths = [*(self.folder / case[:2]).glob(f"{case}*")]
        for path in paths:
            _views.drop(path)
            path.unlink(missing_ok=True)
        return paths

    def _opened(self, path: Path) -> bytes:
        sha256 = path.name.partition(".")[0]
        if self._vault is None:
            raise BadInput(f"{path}: is encrypted, and the workspace's keys.db is missing; put it back")
        content = self._vault.open(sha256, path.read_bytes(), f"original {sha256}")
        if content is None:
            raise BadInput(f"the file of case {sha256[:12]} was erased")
        return content

    def _find(self, case: str) -> Path | None:
        return next((self.folder / case[:2]).glob(f"{case}*"), None) if case.isalnum() else None


class _Views:
    """The decrypted copies of one process, the newest `VIEWS` of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = 0
        self._folder = Path()
        self._recent: OrderedDict[Path, Path] = OrderedDict()  # encrypted file to its copy

    def view(self, path: Path, content: Callable[[], bytes]) -> Path:
        """The copy of an encrypted file, under the name that the original had."""
        with self._lock:
            if self._process != os.getpid():
                self._begin()
            copy = self._recent.pop(path, self._folder / uuid.uuid4().hex / path.name.removesuffix(SEALED))
            if not copy.exists():
                copy.parent.mkdir(mode=0o700)
                handle = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(content())
            self._recent[path] = copy
            while len(self._recent) > VIEWS:
                _, oldest = self._recent.popitem(last=False)
                shutil.rmtree(oldest.parent, ignore_errors=True)
            return copy

    def drop(self, path: Path) -> None:
        with self._lock:
            if copy := self._recent.pop(path, None):
                shutil.rmtree(copy.parent, ignore_errors=True)

    def _begin(self) -> None:
        """A folder for this process; those of processes that have ended are removed."""
        import psutil  # type: ignore[import-untyped]

        memory = Path("/dev/shm")
        base = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
        mine = f"proveout-{os.getuid()}-"
        for left in base.glob(f"{mine}*"):
            process = left.name.removeprefix(mine).partition("-")[0]
            if process.isdecimal() and not psutil.pid_exists(int(process)):
                shutil.rmtree(left, ignore_errors=True)
        self._process, self._recent = os.getpid(), OrderedDict()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{mine}{self._process}-", dir=base))
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)


_views = _Views()
