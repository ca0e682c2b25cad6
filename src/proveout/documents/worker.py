"""The worker process: reads files one by one, so that a hostile file can crash only this process.

Input: one JSON-encoded path per line. Output: frames of a letter, a length and that many bytes.
`b` is the heartbeat after every page, `d` a document as JSON, `r` the reason for a refusal.
"""

import contextlib
import hashlib
import json
import os
import struct
import sys
from pathlib import Path
from typing import BinaryIO

FRAME = struct.Struct(">cI")
MAX_MEMORY = 8 << 30  # bytes of address space; a file that needs more is hostile


def main() -> None:
    """Answer paths from standard input until it closes."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries must not mix with the frames
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    for line in sys.stdin.buffer:
        kind, payload = _read(Path(json.loads(line)), out)
        _send(out, kind, payload)


def _read(path: Path, out: BinaryIO) -> tuple[bytes, bytes]:
    from proveout.documents import columns, files
    from proveout.errors import UnreadableDocument

    try:
        data = files.content(path)
        pages = []
        for page in files.pages(data):
            pages.append(page)
            _send(out, b"b", b"")
        return b"d", columns.to_json(hashlib.sha256(data).hexdigest(), pages, *files.embedded(data, pages))
    except UnreadableDocument as error:
        return b"r", str(error).encode()
    except Exception as error:
        return b"r", f"the reader failed: {type(error).__name__}: {error}; ask for the file again".encode()


def _send(out: BinaryIO, kind: bytes, payload: bytes) -> None:
    out.write(FRAME.pack(kind, len(payload)))
    out.write(payload)
    out.flush()
