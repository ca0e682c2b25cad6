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

from proveout.documents.batch import WorkerProcess, cache_entry, keep, load, read_many
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


def recognised(places: Sequence[Places], cache: Path | None = None) -> Iterator[list[tuple[str, float]]]:
    """For each page, in order, what OCR reads in each of its boxes, with its confidence; none if the page cannot be drawn.

    With a `cache` folder, the same boxes of the same bytes are read once.
    """
    return _asked("recognise", places, cache=cache)


def _asked(
    purpose: str, places: Sequence[Places], processes: int | None = None, cache: Path | None = None
) -> Iterator[list[Any]]:
    count = min(processes or os.cpu_count() or 1, max(len(places), 1))
    workers = [WorkerProcess(1, TIMEOUT) for _ in range(count)]
    idle: SimpleQueue[WorkerProcess] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def ask(place: Places) -> list[Any]:
        page = place.page
        boxes = [(box.x0, box.y0, box.x1, box.y1) for box in place.boxes]
        # all boxes of a page are one question: OCR reads them as a batch, so an answer depends on the others
        question = (purpose, (page.number, page.width, page.height, page.turned), boxes)
        entry = cache_entry(cache, place.path, question)
        if entry is not None and (payload := load(entry)) is not None:
            return list(json.loads(payload))
        worker = idle.get()
        try:
            answer = worker.ask((str(place.path), *question))
        finally:
            idle.put(worker)
        if isinstance(answer, UnreadableDocument):
            return []
        if entry is not None and entry == cache_entry(cache, place.path, question):  # the file did not change meanwhile
            keep(entry, answer)
        return list(json.loads(answer))

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
