"""Run one job as a command in its own process. Entry point: `run`.

A job that crashes or exhausts the memory takes nothing else with it. Its process holds the home's job lock while it lives,
so that a job whose scheduler was killed delays the next scheduler's jobs instead of running beside them.
Covered: a job that takes too long (SIGTERM, then SIGKILL, also for its children), a log that grows.
Not covered: grandchildren that left the job's process group.
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

LOG = 5_000_000  # bytes of schedule.log; then it becomes schedule.log.1, and the one before is deleted
POLL = 0.2  # seconds between two checks of a process
GRACE = 20.0  # seconds from SIGTERM to SIGKILL


@dataclass(frozen=True)
class Ended:
    """How a job's process ended."""

    code: int  # exit code; negative for a signal
    stdout: Sequence[str]  # lines that are not blank
    stderr: Sequence[str]
    timed_out: bool


def run(home: Path, name: str, command: Sequence[str], seconds: float, leave: Callable[[], bool]) -> Ended | None:
    """Run a command to its end, for `seconds` at most. None if `leave` said to end it early, or not to begin.

    First waits for a job that a killed scheduler left behind, and ends it when its own time is up.
    Its output is appended to schedule.log: standard error as it comes, standard output at the end.
    """
    with (home / ".schedule.job.lock").open("a+", encoding="utf-8") as held:
        if not _take(held, seconds, leave):
            return None
        log = _log(home)
        log.write(f"--- {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC {name}\n".encode())
        log.flush()
        begins = log.tell()
        held.truncate(0)  # forget the last holder
        with log, tempfile.TemporaryFile() as stdout:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=log,
                pass_fds=(held.fileno(),),  # it holds the lock too, even when this process is gone
                start_new_session=True,  # Ctrl-C reaches only the scheduler, and the job's children can be ended with it
            )
            held.write(f"{child.pid} {time.time()}")
            held.flush()
            timed_out, left = _wait(child, seconds, leave)
            stdout.seek(0)
            output = stdout.read()
            log.seek(0, os.SEEK_END)
            log.write(output)
            log.flush()
            log.seek(begins)
            stderr = log.read()[: -len(output) or None]
    if left:
        return None
    return Ended(child.returncode, _lines(output), _lines(stderr), timed_out)


def _wait(child: subprocess.Popen[bytes], seconds: float, leave: Callable[[], bool]) -> tuple[bool, bool]:
    """Wait for the process. Whether it timed out, and whether `leave` said to end it; in both cases it is ended."""
    until = time.monotonic() + seconds
    while child.poll() is None:
        left, timed_out = leave(), time.monotonic() > until
        if left or timed_out:
            _end(child.pid, lambda: child.poll() is not None)
            child.wait()
            return timed_out, left
        time.sleep(POLL)
    return False, False


def _end(group: int, gone: Callable[[], bool]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGTERM)
        until = time.monotonic() + GRACE
        while not gone() and time.monotonic() < until:
            time.sleep(POLL)
        os.killpg(group, signal.SIGKILL)


def _take(held: IO[str], seconds: float, leave: Callable[[], bool]) -> bool:
    """Take the job lock, which names its last holder and since when. False if `leave` says so first."""
    while not lock(held, wait=False):
        if leave():
            return False
        held.seek(0)
        group, _, since = held.read().partition(" ")
        if since and time.time() - float(since) > seconds:  # the lock is held, so this is still its holder
            _end(int(group), lambda: lock(held, wait=False))
        time.sleep(POLL)
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
