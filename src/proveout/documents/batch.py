"""Read many files in worker processes, and the same bytes only once.

Covered: a file that crashes or hangs its worker is refused and the batch goes on; results come in the order of the paths; a
cache entry that is damaged or written by another reader version is read again; entries are written whole or not at all, and
only under the hash of the bytes that were read. Each is encrypted with a key made of those bytes, so only who has the file can
read it: one cache serves all workspaces, and when the file is erased, so is the key.
Not covered: the size of the cache. Its folder can be deleted at any time.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache as once
from importlib.metadata import version
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, TYPE_CHECKING

from proveout.documents import columns, limits, ocr
from proveout.documents.files import content
from proveout.documents.worker import FRAME
from proveout.errors import BadInput, UnreadableDocument
from proveout.files import replacing
from proveout.records import Document
from proveout.vault import cipher_of, open_sealed, seal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

READER = "5"  # increase it when the same bytes would be read differently
PAGE_TIMEOUT = 60.0  # seconds without a page and almost without computing before a file is refused
IDLE = 0.01  # share of a core; a process that uses less is not at work
WORKER = "from proveout.documents.worker import main; main()"  # the program that a worker process runs
AHEAD = 64  # files submitted before the caller consumes the first result

Progress = Callable[[int, int], None]  # files done, files in all


def read_many(
    paths: Sequence[Path | str],
    cache: Path | str | None = None,
    progress: Progress | None = None,
    *,
    processes: int | None = None,
    timeout: float = PAGE_TIMEOUT,
) -> Generator[Document | UnreadableDocument, None, None]:
    """Yield each file's document, or why it cannot be read, in the order of the paths.

    With a `cache` folder, bytes that were read before are not read again. `processes`: by default one per CPU.
    Raises BadModel if the models for OCR are not the published ones.
    """
    count = min(processes or os.cpu_count() or 1, max(len(paths), 1))
    threads = max((os.cpu_count() or 1) // count, 1)
    workers = [WorkerProcess(threads, timeout) for _ in range(count)]
    idle: SimpleQueue[WorkerProcess] = SimpleQueue()
    for worker in workers:
        idle.put(worker)
    folder = Path(cache) if cache is not None else None
    pending: deque[Future[Document | UnreadableDocument]] = deque()
    pool = ThreadPoolExecutor(count)
    try:
        submitted = done = 0
        while done < len(paths):
            while submitted < len(paths) and len(pending) < AHEAD:
                pending.append(pool.submit(_read_file, Path(paths[submitted]), folder, idle))
                submitted += 1
            result = pending.popleft().result()
            done += 1
            if progress is not None:
                progress(done, len(paths))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.stop()


def _read_file(path: Path, cache: Path | None, idle: "SimpleQueue[WorkerProcess]") -> Document | UnreadableDocument:
    entry = cache_entry(cache, path)
    if entry is not None and (payload := load(entry)) is not None:
        return columns.from_json(payload)
    worker = idle.get()
    try:
        result = worker.ask(str(path))
    finally:
        idle.put(worker)
    if isinstance(result, UnreadableDocument):
        return result
    document = columns.from_json(result)
    if entry is not None and entry.path.stem == document.sha256:  # otherwise the file changed before it was read
        keep(entry, result)
    return document


@dataclass(frozen=True)
class CacheEntry:
    """One file of a cache, and what encrypts it."""

    path: Path
    cipher: "AESGCM" = field(compare=False)


def cache_entry(cache: Path | None, path: Path, question: object = None) -> CacheEntry | None:
    """Where a cache keeps the document that a file is, or the answer to a question about it; None if it cannot."""
    if cache is None:
        return None
    asked = f"-{hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]}" if question else ""
    with contextlib.suppress(OSError, UnreadableDocument):  # the worker reports why a file cannot be opened
        data = content(path)
        name = f"{hashlib.sha256(data).hexdigest()}{asked}.sealed"
        return CacheEntry(cache / _reader_version() / name, cipher_of(data))
    return None


def cached(cache: Path, sha256: str) -> list[Path]:
    """What a cache keeps of a file, for every version of the reader."""
    return sorted(cache.glob(f"*/{sha256}*"))


@once
def _reader_version() -> str:
    """Everything besides the bytes that the words depend on."""
    return f"{READER}-pypdfium2-{version('pypdfium2')}-rapidocr-{version('rapidocr')}"


def keep(entry: CacheEntry, payload: bytes) -> None:
    """Write a cache entry."""
    with replacing(entry.path, sync=False) as part:  # an entry that a power cut tears cannot be decrypted and is read again
        part.touch(0o600)
        part.write_bytes(seal(entry.cipher, payload, entry.path.name))


def load(entry: CacheEntry) -> bytes | None:
    """The payload of a cache entry; None if the entry is missing or damaged."""
    try:
        return open_sealed(entry.cipher, entry.path.read_bytes(), entry.path.name)
    except (OSError, BadInput):
        return None


class WorkerProcess:
    """One worker process, started on first use and restarted after it died."""

    def __init__(self, threads: int, timeout: float) -> None:
        self._threads = threads
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._watcher = ThreadPoolExecutor(1)

    def ask(self, request: object) -> bytes | UnreadableDocument:
        """The payload that answers a request (see `worker`), or why there is none."""
        process = self._process or self._start()
        heard: SimpleQueue[bool] = SimpleQueue()
        watch = self._watcher.submit(self._kill_if_idle, process, heard)
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            while True:
                kind, payload = _read_frame(process.stdout)
                heard.put(kind == b"b")
                if kind == b"d":
                    return payload
                if kind == b"r":
                    return UnreadableDocument(payload.decode())
        except (EOFError, OSError):
            process.kill()
            code = process.wait()
            self._process = None
            heard.put(False)
            if watch.result():
                return UnreadableDocument(f"the reader hung: no page in {self._timeout:g} seconds; ask for the file again")
            if code == -signal.SIGPROF:
                return UnreadableDocument(
                    f"oversized: it takes more than {limits.SECONDS:g} seconds of computing; print it to a new PDF, or scan it"
                )
            memory = f"{limits.MEMORY >> 20:,} MiB of memory"
            return UnreadableDocument(
                f"the reader crashed (exit code {code}); either the file is damaged or it needs more than {memory}; "
                "ask for it again, or print it to a new PDF"
            )

    def _kill_if_idle(self, process: "subprocess.Popen[bytes]", heard: "SimpleQueue[bool]") -> bool:
        """Kill a process that sends nothing and computes nothing within the timeout, or nothing within ten of them.

        One that is slow because others use the cores goes on; `limits` bounds its computing. Returns whether it was killed.
        """
        used, silent = _cpu_seconds(process), 0
        while process.poll() is None:
            try:
                if not heard.get(timeout=self._timeout):
                    return False
                silent = 0
            except Empty:
                before, used, silent = used, _cpu_seconds(process), silent + 1
                if used - before < IDLE * self._timeout or silent == 10:
                    process.kill()
                    return True
        return False

    def stop(self) -> None:
        self._stopped = True
        self._watcher.shutdown(wait=False)
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        ocr.check_models()  # here, because the worker would take it for a fault of the file
        source = str(Path(__file__).parents[2])
        python_path = os.environ.get("PYTHONPATH")
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "OMP_NUM_THREADS": str(self._threads),
                "PYTHONPATH": source + (os.pathsep + python_path if python_path else ""),
            },
        )
        if self._stopped:  # the batch was abandoned while this process started
            self._process.kill()
        return self._process


def _cpu_seconds(process: "subprocess.Popen[bytes]") -> float:
    import psutil  # type: ignore[import-untyped]

    try:
        times = psutil.Process(process.pid).cpu_times()
    except psutil.Error:  # it has ended
        return 0.0
    return float(times.user + times.system)


def _read_frame(stream: IO[bytes]) -> tuple[bytes, bytes]:
    """Kind and payload of the next frame (see `worker`). Raises EOFError when the worker died."""
    head = stream.read(FRAME.size)
    if len(head) < FRAME.size:
        raise EOFError
    kind, length = FRAME.unpack(head)
    payload = stream.read(length)
    if len(payload) < length:
        raise EOFError
    return kind, payload
