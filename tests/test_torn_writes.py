"""A journal and its keys after a write that ended anywhere: they open, verify, and have everything that was acknowledged.

`pytest -m slow tests/test_torn_writes.py` ends the writes at every byte: some 500,000 tears, in about ten minutes of one core.
"""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
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


def laid(folder: Path, files: dict[str, bytes]) -> Path:
    """A home of these files and no others."""
    home = folder / "torn"
    home.mkdir(exist_ok=True)
    for file in home.iterdir():
        file.unlink()
    for name, content in files.items():
        (home / name).write_bytes(content)
    return home


def torn(content: bytes, at: int, tail: str) -> bytes:
    """What was written up to a byte, and what the file system put after it."""
    return content[:at] + TAILS[tail](content[at:])


def files_of(left: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in left.iterdir()}


def recovered(home: Path) -> list[tuple[object, ...]]:
    """The events as SQLite gives them after a tear; its tables, indexes and the journal's tip fit them."""
    with closing(sqlite3.connect(home / "journal.db")) as database:
        rows = database.execute("SELECT * FROM events ORDER BY position").fetchall()
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT position, hash FROM tip").fetchall() == [(len(rows), rows[-1][-1])]
    return rows


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: thousands of copies are opened."""
    folder = Path("/dev/shm", f"torn-{os.getpid()}") if os.access("/dev/shm", os.W_OK) else tmp_path / "torn"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


EVERYWHERE = pytest.mark.parametrize("everywhere", [False, pytest.param(True, marks=pytest.mark.slow)])


@pytest.mark.parametrize("tail", TAILS)
@EVERYWHERE
def test_a_journal_that_was_torn_at_any_byte_is_one_that_was_acknowledged(written, memory: Path, everywhere, tail) -> None:
    left, acknowledged = written
    files, log = files_of(left), "journal.db-wal"
    whole = recovered(laid(memory, files))
    positions = {2, *(position for _, _, position in acknowledged)}
    for at in tears(len(files[log]), everywhere):
        rows = recovered(laid(memory, {"journal.db": files["journal.db"], log: torn(files[log], at, tail)}))
        assert len(rows) >= max([2, *(position for size, _, position in acknowledged if size <= at)]), at
        assert len(rows) in positions, f"torn at {at}: part of an append"
        assert rows == whole[: len(rows)], at


@pytest.mark.parametrize("tail", TAILS)
def test_a_torn_journal_opens_verifies_and_goes_on(written, memory: Path, tail) -> None:
    left, _ = written
    files, log = files_of(left), "journal.db-wal"
    for at in tears(len(files[log]), everywhere=False):
        home = laid(memory, files | {log: torn(files[log], at, tail)})
        with Journal(home / "journal.db") as journal:
            position = journal.position
            assert journal.verify().whole, at
            assert [event.position for event in journal.events()] == list(range(1, position + 1)), "all of them can be read"
            append(journal, 9)
            assert journal.verify().events == position + 3


@EVERYWHERE
def test_a_log_whose_merging_ended_at_any_byte_is_merged_again(written, memory: Path, everywhere) -> None:
    left, _ = written
    files = files_of(left)
    home = laid(memory, files)
    whole = recovered(home)  # which merges the log as the last connection closes
    merged = (home / "journal.db").read_bytes()
    assert merged != files["journal.db"] and not (home / "journal.db-wal").exists()
    for at in tears(len(merged), everywhere):
        torn = merged[:at] + files["journal.db"][at:]
        assert recovered(laid(memory, {"journal.db": torn, "journal.db-wal": files["journal.db-wal"]})) == whole, at


@pytest.mark.parametrize("tail", TAILS)
@EVERYWHERE
def test_keys_that_were_torn_at_any_byte_open_all_that_was_acknowledged(written, memory: Path, everywhere, tail) -> None:
    left, acknowledged = written
    files, log = files_of(left), "keys.db-wal"
    if log not in files:
        pytest.skip("not encrypted")
    for at in tears(len(files[log]), everywhere):
        vault = Vault.at(laid(memory, files | {log: torn(files[log], at, tail)}))
        assert vault
        made = sum(size <= at for _, size, _ in acknowledged)  # appends whose keys were on disk before their events were
        ciphers = vault.ciphers([f"case {number}" for number in range(made + 1)])
        assert len(ciphers) == made + 1 and None not in ciphers.values(), at
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
