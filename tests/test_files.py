"""A file is there whole or not at all; a lock says who holds it, and a process that dies holds none."""

import os
import signal
from pathlib import Path

import pytest

from program import exit_code
from proveout.errors import Busy
from proveout.files import alone, lock, replacing, write_whole


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for content in ("old", b"new"):
        write_whole(tmp_path / "deep" / "note.json", content)
    assert [(path.name, path.read_text()) for path in (tmp_path / "deep").iterdir()] == [("note.json", "new")]


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "note", "old")
    with pytest.raises(OSError, match="disk full"), replacing(tmp_path / "note") as part:
        part.write_text("half")
        raise OSError("disk full")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("note", "old")]


def hold(path: str) -> None:
    with alone(Path(path)):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with alone(path):
        with pytest.raises(Busy, match=rf"{tmp_path}: process {os.getpid()}, since .* UTC, builds here"):
            alone(path, busy="builds here").__enter__()
        with path.open() as file:
            assert not lock(file, wait=False, shared=True)
    assert exit_code(hold, path) == -signal.SIGKILL
    with alone(path):
        pass
