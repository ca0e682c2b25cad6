"""The worker process: reads files one by one, so that a hostile file can crash only this process.

Input: one line of JSON per request: a path to read, or a list of a path, what to do with boxes on a page (`draw` or
`recognise`, see `pictures`), the page and the boxes.
Output: frames of a letter, a length and that many bytes. `b` is the heartbeat after every page, `d` a document as JSON, the
drawn pictures as a JSON list of base64 or the recognised texts with their confidence, `r` the reason for a refusal.
"""

import base64
import hashlib
import json
import os
import struct
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from proveout.documents import limits

FRAME = struct.Struct(">cI")


def main() -> None:
    """Answer requests from standard input until it closes."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries must not mix with the frames
    limits.limit_memory()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        kind, payload = _answer(partial(_read, Path(request), out) if isinstance(request, str) else partial(_at, *request))
        _send(out, kind, payload)


def _read(path: Path, out: BinaryIO) -> bytes:
    """The document as JSON."""
    from proveout.documents import columns, files

    data = files.content(path)
    pages = []
    for page in files.pages(data):
        pages.append(page)
        limits.extend()
        _send(out, b"b", b"")
    return columns.to_json(hashlib.sha256(data).hexdigest(), pages, *files.of_whole(data, pages))


def _at(
    path: str, purpose: str, page: tuple[int, float, float, float], boxes: list[tuple[float, float, float, float]]
) -> bytes:
    """Pictures of the surroundings of boxes on one page, or what OCR reads in the boxes."""
    from proveout.documents import cutout, painted
    from proveout.records import Box, Page

    number, width, height, turned = page
    arguments = path, Page(number, width, height, (), turned), [Box(*box) for box in boxes]
    if purpose == "recognise":
        return json.dumps(painted.read(*arguments)).encode()
    return json.dumps([base64.b64encode(picture).decode() for picture in cutout.cutouts(*arguments)]).encode()


def _answer(work: Callable[[], bytes]) -> tuple[bytes, bytes]:
    """The frame that answers a request: the work's result, or why there is none."""
    from proveout.errors import UnreadableDocument

    limits.start()
    try:
        return b"d", work()
    except UnreadableDocument as error:
        return b"r", str(error).encode()
    except Exception as error:
        if isinstance(error, MemoryError) or "alloc" in str(error):  # a library's own words: bad_alloc, failed to allocate
            reason = f"oversized: it needs more than {limits.MEMORY >> 20:,} MiB of memory; split it or scan it again"
        else:
            reason = f"the reader failed: {type(error).__name__}: {error}; ask for the file again"
        return b"r", reason.encode()
    finally:
        limits.start(0)


def _send(out: BinaryIO, kind: bytes, payload: bytes) -> None:
    out.write(FRAME.pack(kind, len(payload)))
    out.write(payload)
    out.flush()
