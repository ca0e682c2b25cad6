"""The limits of a worker process: memory, and CPU time for a file. Elsewhere there are none.

CPU time, because a busy machine must not make a file unreadable. The kernel ends a process that exceeds its time, also in the
middle of a C library.
Covered: recognition (`unhurried`) is not counted, because its input is small whatever the file is.
Not covered: a process that waits without working, which `batch` ends by the wall clock; the memory limit on macOS.
"""

import contextlib
import os
import signal
from collections.abc import Iterator

THREAD = 12 << 20  # bytes more for each thread of the OCR engines, which they reserve and hardly use
MEMORY = 1800 << 20  # bytes; OCR takes 0.6 GB, and decoding the largest picture allowed 1.2 GB more
SECONDS = 4.0  # of CPU time to open a file and read its first page; an ordinary one takes 0.02
PAGE_SECONDS = 1.0  # more for each page that has been read


def limit_memory() -> None:
    """Let allocations fail beyond these limits. Address space has none: OCR engines reserve more than they use."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        limit = MEMORY + THREAD * int(os.environ.get("OMP_NUM_THREADS", "1"))
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def start(seconds: float = SECONDS) -> None:
    """End this process after so much CPU time; 0 for no limit."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def extend(seconds: float = PAGE_SECONDS) -> None:
    """Add to the time that is left."""
    start(signal.getitimer(signal.ITIMER_PROF)[0] + seconds)


@contextlib.contextmanager
def unhurried() -> Iterator[None]:
    """Stop the clock meanwhile. Also a decorator."""
    left, _ = signal.getitimer(signal.ITIMER_PROF)
    if not left:
        yield
        return
    start(0)
    try:
        yield
    finally:
        start(left)
