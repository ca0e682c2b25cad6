"""A journal and its keys after a write that ended anywhere: they open, verify, and have everything that was acknowledged."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from proveout.journal import Event, Journal
from proveout.vault import Vault

HEADER, FRAME = 32, 24 + 4096  # bytes, of SQLite's write-ahead log
TAILS = {"cut off": lambda rest: b"", "zeros": lambda rest: bytes(len(rest))}  # what a file system may leave behind a tear


def append(journal: Journal, number: int) -> None:
    """Two or three events in one transaction, of cases that have a key and of one that has none yet."""
    cases = [f"case {number}", "case 0", *(["case 1"] if number % 2 else [])]
    journal.append([Event(case, "label", {"labels": {"total": f"{number}.50"}, "text": "x" * 700}) for case in cases])


@pytest.fixture(scope="module", params=["plain", "encrypted"])
def written(request, tmp_path_factory) -> tuple[Path, list[tuple[int, int, int]]]:
    """A home as a kill left it, its logs not merged; after each append the sizes of both logs and the journal's position."""
    home, left = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("left")
    if request.param == "encrypted":
        Vault.create(home)
    acknowledged = []
    with Journal(home / "journal.db") as journal:
        append(journal, 0)
        for database in (journal._engine.raw_connection().cursor(), *([vault._db] if (vault := Vault.at(home)) else [])):
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        for number in range(1, 4):
            append(journal, number)
            logs = [home / f"{name}-wal" for name in ("journal.db", "keys.db")]
            sizes = [log.stat().st_size if log.exists() else 0 for log in logs]
            acknowledged.append((sizes[0], sizes[1], journal.position))
        for file in home.glob("*.db*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, left)
    assert len({sizes for sizes, _, _ in acknowledged}) == 3, "each append reached the log"
    return left, acknowledged


def tears(length: int, everywhere: bool) -> Iterable[int]:
    """Where a write may have ended: at every byte, or at some and all that lie about a boundary of the log's frames."""
    if everywhere:
        return range(length + 1)
    frames = range(HEADER, length, FRAME)
    edges = {at + offset for at in frames for offset in (-1, 0, 1, 8, 16, 23, 24, 25, 24 + 2048, FRAME - 1)}
    return sorted(
        {0, 1, HEADER - 1, length, *random.Random(1).sample(range(length), 60)} | {at for at in edges if at <= length}
    )


def torn(left: Path, folder: Path, log: str, at: int, tail: str) -> Path:
    """A copy of the home whose log was written up to a byte."""
    home = folder / "torn"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(left, home)
    whole = (left / log).read_bytes()
    (home / log).write_bytes(whole[:at] + TAILS[tail](whole[at:]))
    return home


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: thousands of copies are opened."""
    folder = Path("/dev/shm", f"torn-{os.getpid()}") if os.access("/dev/shm", os.W_OK) else tmp_path / "torn"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("everywhere", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_journal_that_was_torn_at_any_byte_has_all_that_was_acknowledged(written, memory: Path, everywhere, tail) -> None:
    left, acknowledged = written
    positions = {2, *(position for _, _, position in acknowledged)}
    for at in tears((left / "journal.db-wal").stat().st_size, everywhere):
        home = torn(left, memory, "journal.db-wal", at, tail)
        with Journal(home / "journal.db") as journal:
            position = journal.position
            assert position >= max([2, *(position for size, _, position in acknowledged if size <= at)]), at
            assert position in positions, f"torn at {at}: part of an append"
            assert journal.verify().whole, at
            assert [event.position for event in journal.events()] == list(range(1, position + 1)), "all of them can be read"
            append(journal, 9)
            assert journal.verify().events == position + 3


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("everywhere", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_keys_that_were_torn_at_any_byte_open_all_that_was_acknowledged(written, memory: Path, everywhere, tail) -> None:
    left, acknowledged = written
    if not (left / "keys.db").exists():
        pytest.skip("not encrypted")
    for at in tears((left / "keys.db-wal").stat().st_size, everywhere):
        home = torn(left, memory, "keys.db-wal", at, tail)
        vault = Vault.at(home)
        assert vault
        made = sum(size <= at for _, size, _ in acknowledged)  # appends whose keys were on disk before their events were
        known = vault.ciphers([f"case {number}" for number in range(made + 1)])
        assert len(known) == made + 1 and None not in known.values(), at
        sealed = vault.seal("another", b"content", "x")
        assert vault.open("another", sealed, "x") == b"content"


WRITER = """
import sys
from pathlib import Path
from proveout.journal import Journal
sys.path.append(sys.argv[2])
from test_torn_writes import append
with Journal(Path(sys.argv[1])) as journal:
    for number in range(1000):
        append(journal, number)
        print(journal.position, flush=True)
"""


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_writer_that_is_killed_at_any_moment_loses_nothing_that_it_acknowledged(tmp_path: Path, encrypted: bool) -> None:
    if encrypted:
        Vault.create(tmp_path)
    rng, acknowledged = random.Random(3), 0
    for _ in range(8):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "journal.db"), str(Path(__file__).parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout
            first = int(writer.stdout.readline())
            time.sleep(rng.random() * 0.05)
            writer.send_signal(signal.SIGKILL)
            acknowledged = max([first, *(int(line) for line in writer.stdout.read().splitlines() if line)])
        with Journal(tmp_path / "journal.db") as journal:
            assert journal.position >= acknowledged and journal.verify().whole
            assert len(list(journal.events())) == journal.position
