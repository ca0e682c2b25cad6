"""One job in a process of its own, as a person would have typed it. One door: `Child`.

A job that crashes, or eats the memory, ends alone. Its process holds the home's job lock for as long as it lives, so that a
job whose scheduler was killed keeps the next scheduler's jobs waiting instead of working beside them.
Covered: a job that takes too long (it is asked to end, then killed, with its children), a log that grows.
Not covered: what a job's grandchildren do after they left its process group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from proveout.files import lock

LOG = 5_000_000  # bytes of schedule.log; then it becomes schedule.log.1, and the one before goes
LOOK = 0.2  # seconds between two looks at a process
GRACE = 20.0  # seconds from "end" to "die"


@dataclass(frozen=True)
class Ended:
    code: int  # exit code; negative for a signal
    said: Sequence[str]  # lines of its standard output
    complained: Sequence[str]  # lines of its standard error
    late: bool  # it took longer than it may, and was ended


def run(home: Path, name: str, command: Sequence[str], seconds: float, leave: Callable[[], bool]) -> Ended | None:
    """Run a command to its end, at most for so many seconds. None where `leave` told to end it, or not to begin.

    Waits first for a job that an earlier scheduler left behind, and ends it when it has had its own time.
    What is said goes to schedule.log, complaints while they are made.
    """
    with (home / ".schedule.job.lock").open("a+", encoding="utf-8") as held:
        if not _taken(held, seconds, leave):
            return None
        log = _log(home)
        log.write(f"--- {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC {name}\n".encode())
        log.flush()
        begins = log.tell()
        held.truncate(0)  # whose it was last is nobody's business from here on
        with log, tempfile.TemporaryFile() as said:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=log,
                pass_fds=(held.fileno(),),  # it holds the lock too, also when we are gone
                start_new_session=True,  # Ctrl-C is for the scheduler; and its children can be ended with it
            )
            held.write(f"{child.pid} {time.time()}")
            held.flush()
            late, left = _wait(child, seconds, leave)
            said.seek(0)
            output = said.read()
            log.seek(0, os.SEEK_END)
            log.write(output)
            log.flush()
            log.seek(begins)
            complained = log.read()[: -len(output) or None]
    if left:
        return None
    return Ended(child.returncode, _lines(output), _lines(complained), late)


def _wait(child: subprocess.Popen[bytes], seconds: float, leave: Callable[[], bool]) -> tuple[bool, bool]:
    """Until it ends. Whether it took too long, and whether it was left."""
    until = time.monotonic() + seconds
    while child.poll() is None:
        left, late = leave(), time.monotonic() > until
        if left or late:
            _end(child.pid, lambda: child.poll() is not None)
            child.wait()
            return late, left
        time.sleep(LOOK)
    return False, False


def _end(group: int, gone: Callable[[], bool]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGTERM)
        until = time.monotonic() + GRACE
        while not gone() and time.monotonic() < until:
            time.sleep(LOOK)
        os.killpg(group, signal.SIGKILL)


def _taken(held: IO[str], seconds: float, leave: Callable[[], bool]) -> bool:
    """Take the job lock, which says whose it was last and since when. False where we are to leave first."""
    while not lock(held, wait=False):
        if leave():
            return False
        held.seek(0)
        group, _, since = held.read().partition(" ")
        if since and time.time() - float(since) > seconds:  # the lock is held, so this is its holder still
            _end(int(group), lambda: lock(held, wait=False))
        time.sleep(LOOK)
    return True


def _log(home: Path) -> IO[bytes]:
    path = home / "schedule.log"
    if path.exists() and path.stat().st_size > LOG:
        path.replace(path.with_suffix(".log.1"))
    log = path.open("ab+")
    log.seek(0, os.SEEK_END)
    return log


def _lines(output: bytes) -> list[str]:
    return [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
