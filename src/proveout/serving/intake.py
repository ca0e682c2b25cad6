"""A document that is handed in lies whole in the inbox, or not at all.

Covered: a kill or a full disk at any point (written aside, synced, renamed), the same bytes handed in again (one case), names
that try to be paths, two that hand in at the same time.
Not covered: what the document says, and whether it can be read: a release decides that.
"""

import csv
import hashlib
import io
import math
import os
import re
import time
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO

from proveout.documents.files import kind_of
from proveout.errors import BadInput
from proveout.files import alone, sync_folder, write_whole
from proveout.live import INBOX_CSV

CHUNK = 1 << 20
LEFT = 86_400.0  # seconds after which nobody is still at work on a file
ENDINGS = {"pdf": ".pdf", "text": ".txt", "image": ".png"}
HEADS = {b"\xff\xd8\xff": ".jpg", b"II*\x00": ".tif", b"MM\x00*": ".tif"}


@dataclass(frozen=True, slots=True)
class Kept:
    """A document on this machine, of known bytes."""

    case: str  # SHA-256
    path: Path


@contextmanager
def aside(source: BinaryIO, folder: Path) -> Iterator[Kept]:
    """Write a document down in a folder that no run looks into; it is gone afterwards, unless it was moved.

    Raises BadInput for an empty one, UnreadableDocument for a kind of file that nothing here reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    path, digest = folder / f"{uuid.uuid4().hex}.part", hashlib.sha256()
    try:
        with path.open("xb") as file:
            path.chmod(0o600)
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if not path.stat().st_size:
            raise BadInput("the file is empty: 0 bytes; choose the document again")
        named = path.with_suffix(_ending(path))
        path = path.rename(named)
        yield Kept(digest.hexdigest(), path)
    finally:
        path.unlink(missing_ok=True)


def hand_in(kept: Kept, inbox: Path, name: str, day: date | None = None, segment: str = "") -> Path:
    """Move a document that lies `aside` into the inbox, under its content's id, and give where it lies now."""
    target = inbox / f"{kept.case}-{_safe(name)}{kept.path.suffix}"
    with alone(inbox.parent / ".intake.lock", patience=math.inf):
        if there := next(inbox.glob(f"{kept.case}-*"), None):
            return there
        if day or segment:
            _note(inbox / INBOX_CSV, target.name, day, segment)
        kept.path.replace(target)
    sync_folder(inbox)
    return target


def _sweep(folder: Path) -> None:
    """What a killed server left."""
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - LEFT:
                path.unlink()


def _note(sheet: Path, name: str, day: date | None, segment: str) -> None:
    """Add what is known of a document to the inbox's sheet, which is replaced as a whole."""
    before = sheet.read_text(encoding="utf-8") if sheet.exists() else "file,day,segment\n"
    head = next(csv.reader([before.partition("\n")[0]]))
    row = io.StringIO()
    known = {"file": name, "day": day.isoformat() if day else "", "segment": segment}
    csv.DictWriter(row, head, restval="", extrasaction="ignore", lineterminator="\n").writerow(known)
    write_whole(sheet, before + ("" if before.endswith("\n") else "\n") + row.getvalue())


def _safe(name: str) -> str:
    """What is left of a name that may stand in a folder, without its ending.

    >>> _safe("../../etc/passwd"), _safe("March invoice (2).PDF"), _safe("C:\\\\temp\\\\.htaccess"), _safe("")
    ('passwd', 'March-invoice-2', 'htaccess', 'document')
    """
    last = unicodedata.normalize("NFKC", name).replace("\\", "/").rpartition("/")[2]
    stem = re.sub(r"(?<=.)\.[A-Za-z0-9]{1,5}$", "", last)
    return re.sub(r"[^\w.]+", "-", stem).strip("-._")[:60].encode("utf-8", "ignore").decode() or "document"


def _ending(path: Path) -> str:
    """By the bytes: a name that lies about its kind fools nobody."""
    data = path.read_bytes()
    plain = ENDINGS[kind_of(data)]
    return next((ending for head, ending in HEADS.items() if plain == ".png" and data.startswith(head)), plain)
