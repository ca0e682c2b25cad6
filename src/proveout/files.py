"""Whole files, and locks between processes.

Doors: `replacing` and `write_whole` for files, `lock` and `alone` for locks.
Covered: a kill or a full disk at any point (the old file stays), readers meanwhile (they see the old file or the new one), a
lock whose holder died (the system releases it).
Not covered: folders that several machines share, and Windows.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from proveout.errors import Busy

LOOK = 0.05  # seconds between two attempts to take a lock


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to. The file there is synced and takes the target's place if the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write_whole(target: Path, content: str | bytes) -> None:
    """Write a file so that every reader, and a kill, finds the old content or the new."""
    with replacing(target) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock(file: IO[Any], wait: bool = True, shared: bool = False) -> bool:
    """Lock an open file until it is closed; whether that succeeded. `wait`: until whoever holds it is done."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def alone(path: Path, patience: float = 0.0, busy: str = "is at work here; wait for it and try again") -> Iterator[None]:
    """Hold the lock file at `path`, which says who holds it. After `patience` seconds raises Busy: the folder, who, `busy`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        until = time.monotonic() + patience
        while not lock(file, wait=False):
            if time.monotonic() >= until:
                file.seek(0)
                raise Busy(f"{path.parent}: {file.read() or 'another process'} {busy}")
            time.sleep(LOOK)
        file.truncate(0)
        file.write(f"process {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC,")
        file.flush()
        yield
