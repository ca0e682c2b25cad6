"""Read many files: in processes that may die, and never the same bytes twice.

Covered: a file that crashes the reader or makes it hang is refused and the batch goes on; answers come in the order of
the paths; a cache entry that is damaged, or of another reader, is read again; entries appear whole or not at all.
Not covered: the size of the cache. Delete its folder and it comes back.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache as once
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from threading import Timer
from typing import IO

from proveout.documents import columns
from proveout.documents.files import sha256_of
from proveout.documents.worker import FRAME
from proveout.errors import UnreadableDocument
from proveout.files import write_whole
from proveout.records import Document

READER = "2"  # raise it when the same bytes would be read differently
PATIENCE = 60.0  # seconds without a page, after which a file is given up; OCR takes 2 to 6 on a busy machine
WORKER = "from proveout.documents.worker import main; main()"  # the program of a reading process
AHEAD = 64  # files that are read before the first of them was asked for

Progress = Callable[[int, int], None]  # files done, files in all


def read_many(
    paths: Sequence[Path | str],
    cache: Path | str | None = None,
    progress: Progress | None = None,
    *,
    processes: int | None = None,
    patience: float = PATIENCE,
) -> Generator[Document | UnreadableDocument, None, None]:
    """Every file's document, or why it cannot be read, in the order of the paths.

    With a `cache` folder, bytes that were read before are not read again.
    """
    count = min(processes or os.cpu_count() or 1, max(len(paths), 1))
    threads = max((os.cpu_count() or 1) // count, 1)
    readers = [_Reader(threads, patience) for _ in range(count)]
    free: SimpleQueue[_Reader] = SimpleQueue()
    for reader in readers:
        free.put(reader)
    folder = Path(cache) if cache is not None else None
    waiting: deque[Future[Document | UnreadableDocument]] = deque()
    pool = ThreadPoolExecutor(count)
    try:
        submitted = done = 0
        while done < len(paths):
            while submitted < len(paths) and len(waiting) < AHEAD:
                waiting.append(pool.submit(_one, Path(paths[submitted]), folder, free))
                submitted += 1
            answer = waiting.popleft().result()
            done += 1
            if progress is not None:
                progress(done, len(paths))
            yield answer
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for reader in readers:
            reader.stop()


def _one(path: Path, cache: Path | None, free: "SimpleQueue[_Reader]") -> Document | UnreadableDocument:
    entry = None
    if cache is not None:
        with contextlib.suppress(OSError):  # the reader says why a file cannot be opened
            entry = cache / _reader_version() / f"{sha256_of(path)}.json"
    if entry is not None and (payload := _kept(entry)) is not None:
        return columns.from_json(payload)
    reader = free.get()
    try:
        answer = reader.read(path)
    finally:
        free.put(reader)
    if isinstance(answer, UnreadableDocument):
        return answer
    if entry is not None:
        _keep(entry, answer)
    return columns.from_json(answer)


@once
def _reader_version() -> str:
    """What the words depend on beside the bytes."""
    return f"{READER}-pypdfium2-{version('pypdfium2')}-rapidocr-{version('rapidocr')}"


def _kept(entry: Path) -> bytes | None:
    """What a cache entry holds; None where there is none or it is not what was written."""
    try:
        digest, _, payload = entry.read_bytes().partition(b"\n")
    except OSError:
        return None
    return payload if digest == hashlib.sha256(payload).hexdigest().encode() else None


def _keep(entry: Path, payload: bytes) -> None:
    write_whole(entry, hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


class _Reader:
    """One process that reads. Started when first needed, and again when it died."""

    def __init__(self, threads: int, patience: float) -> None:
        self._threads = threads
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def read(self, path: Path) -> bytes | UnreadableDocument:
        """A document as JSON, or why there is none."""
        process = self._process or self._start()
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            process.kill()

        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(str(path)).encode() + b"\n")
            process.stdin.flush()
            while True:
                timer = Timer(self._patience, give_up)
                timer.start()
                try:
                    kind, payload = _frame(process.stdout)
                finally:
                    timer.cancel()
                if kind == b"d":
                    return payload
                if kind == b"r":
                    return UnreadableDocument(payload.decode())
        except (EOFError, OSError):
            process.kill()
            code = process.wait()
            self._process = None
            if late:
                return UnreadableDocument(
                    f"the reader hung on it: no page in {self._patience:g} seconds; ask for the file again"
                )
            return UnreadableDocument(f"the reader crashed on it (exit code {code}); ask for the file again")

    def stop(self) -> None:
        self._stopped = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        source = str(Path(__file__).parents[2])
        known = os.environ.get("PYTHONPATH")
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "OMP_NUM_THREADS": str(self._threads),
                "PYTHONPATH": source + (os.pathsep + known if known else ""),
            },
        )
        if self._stopped:  # the batch was given up while this process started
            self._process.kill()
        return self._process


def _frame(stream: IO[bytes]) -> tuple[bytes, bytes]:
    head = stream.read(FRAME.size)
    if len(head) < FRAME.size:
        raise EOFError
    kind, length = FRAME.unpack(head)
    payload = stream.read(length)
    if len(payload) < length:
        raise EOFError
    return kind, payload
