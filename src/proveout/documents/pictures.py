"""Render a page as a PNG in a separate process, so that a hostile file cannot crash the caller. Entry point: `page_png`."""

import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from proveout.documents.batch import read_many
from proveout.errors import UnreadableDocument
from proveout.records import Document, Page

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
