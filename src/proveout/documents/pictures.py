"""Draw pages in separate processes, so that a hostile file cannot crash the caller.

Entry points: `page_png` for a whole page, `cutouts` for the surroundings of places on many pages, `recognised` for what OCR
reads at them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from proveout.documents.batch import WorkerProcess, read_many
from proveout.errors import UnreadableDocument
from proveout.records import Box, Document, Page

LONGEST_SIDE = 1600  # pixels; a letter at 145 dpi
TIMEOUT = 30.0  # seconds
RENDER = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from proveout.documents import page_image
from proveout.records import Page
path, number, width, height, turned, scale = sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:])
page_image(path, Page(number, width, height, (), turned), scale).save(sys.stdout.buffer, "PNG")
"""


def page_png(path: Path, number: int, cache: Path | None = None) -> bytes | None:
    """Page `number`, from 0, of a file; None if the file has no such page. Raises UnreadableDocument."""
    result = read_once(path, cache)
    if isinstance(result, UnreadableDocument):
        raise result
    return _render(path, result.pages[number]) if number < len(result.pages) else None


@dataclass(frozen=True)
class Places:
    """Boxes on one page of a file."""

    path: Path
    page: Page
    boxes: tuple[Box, ...]


def cutouts(places: Sequence[Places], processes: int | None = None) -> Iterator[list[str]]:
    """For each page, in order, a small JPEG around each of its boxes, as base64; none if the page cannot be drawn."""
    return _asked("draw", places, processes)


def recognised(places: Sequence[Places], processes: int | None = None) -> Iterator[list[tuple[str, float]]]:
    """For each page, in order, what OCR reads in each of its boxes, with its confidence; none if the page cannot be drawn."""
    return _asked("recognise", places, processes)


def _asked(purpose: str, places: Sequence[Places], processes: int | None) -> Iterator[list[Any]]:
    count = min(processes or os.cpu_count() or 1, max(len(places), 1))
    workers = [WorkerProcess(1, TIMEOUT) for _ in range(count)]
    idle: SimpleQueue[WorkerProcess] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def ask(place: Places) -> list[Any]:
        page, worker = place.page, idle.get()
        try:
            boxes = [(box.x0, box.y0, box.x1, box.y1) for box in place.boxes]
            answer = worker.ask((purpose, str(place.path), (page.number, page.width, page.height, page.turned), boxes))
        finally:
            idle.put(worker)
        return [] if isinstance(answer, UnreadableDocument) else json.loads(answer)

    try:
        with ThreadPoolExecutor(count) as pool:
            yield from pool.map(ask, places)
    finally:
        for worker in workers:
            worker.stop()


@lru_cache(maxsize=32)
def read_once(path: Path, cache: Path | None) -> Document | UnreadableDocument:
    """A document, or why it cannot be read. Cached by path, because originals never change."""
    return next(read_many([path], cache=cache))


def _render(path: Path, page: Page) -> bytes:
    scale = LONGEST_SIDE / max(page.width, page.height, 1.0)
    arguments = map(str, (path, page.number, page.width, page.height, page.turned, scale))
    try:
        run = subprocess.run([sys.executable, "-c", RENDER, *arguments], capture_output=True, timeout=TIMEOUT, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        raise UnreadableDocument("this page cannot be rendered; open the file itself") from error
    return run.stdout
