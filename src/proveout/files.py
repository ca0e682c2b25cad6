"""Atomic file writes, and locks between processes.

Entry points: `replacing`, `write_whole` and `read_object` for files, `lock` and `alone` for locks.
Covered: a kill or a full disk at any point (the old file stays), concurrent readers (they see the old file or the new one), a
lock after its holder died (the system releases it).
Not covered: folders shared by several machines, and Windows.
"""

import fcntl
import json
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from proveout.errors import Busy

POLL = 0.05  # seconds between two attempts to take a lock


def is_part(name: str) -> bool:
    """Whether a file name is one that `replacing` writes to; a kill leaves such a file behind."""
    return name.startswith(".") and name.endswith(".part")


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
