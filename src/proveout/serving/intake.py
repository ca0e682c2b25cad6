"""Put a submitted document into the inbox, whole or not at all. Entry points: `aside`, then `hand_in`.

Covered: a kill or a full disk at any point (written aside, synced, renamed), the same bytes submitted again (one case), file
names that contain paths or are too long, two submissions at the same time.
Not covered: what the document says and whether it can be read; a release decides that.
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

from proveout.documents.files import kind_of, sha256_of
from proveout.errors import BadInput, UnreadableDocument
from proveout.files import alone, sync_folder, write_whole
from proveout.live import INBOX_CSV

CHUNK = 1 << 20
NAME_BYTES = 150  # with the case id and the suffix it stays below 255, the limit of most file systems
STALE_AFTER = 86_400.0  # seconds after which an unfinished file was left by a killed server
SUFFIXES = {"pdf": ".pdf", "text": ".txt", "image": ".png", "xml": ".xml"}
MAGIC = {b"\xff\xd8\xff": ".jpg", b"II*\x00": ".tif", b"MM\x00*": ".tif"}


@dataclass(frozen=True, slots=True)
class Upload:
    """A submitted document that is stored on this machine but not yet in the inbox."""

    case: str  # SHA-256 of the document
    path: Path


@contextmanager
def aside(source: BinaryIO, folder: Path) -> Iterator[Upload]:
    """Store a document in a folder that no run reads. It is deleted afterwards, unless it was moved.

    Raises BadInput for an empty document, UnreadableDocument for an unknown type of file.
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
        path = path.rename(path.with_suffix(_suffix(path)))
        yield Upload(digest.hexdigest(), path)
    finally:
        path.unlink(missing_ok=True)


def hand_in(upload: Upload, inbox: Path, name: str, day: date | None = None, segment: str = "") -> Path:
    """Move a document from `aside` into the inbox, its case id before its name, and return its path there."""
    target = inbox / f"{upload.case}-{_safe(name)}{upload.path.suffix}"
    with alone(inbox.parent / ".intake.lock", patience=math.inf):
        if existing := next((path for path in inbox.glob(f"{upload.case}-*") if _holds(path, upload.case)), None):
            return existing
        if day or segment:
            _note(inbox / INBOX_CSV, target.name, day, segment)
        upload.path.replace(target)
    sync_folder(inbox)
    return target


def _holds(path: Path, case: str) -> bool:
    """Whether a file of the inbox has the bytes of a case; its name may have been given by anyone."""
    try:
        return not path.is_symlink() and sha256_of(path) == case
    except (OSError, UnreadableDocument):
        return False


def _sweep(folder: Path) -> None:
    """Delete what a killed server left."""
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - STALE_AFTER:
                path.unlink()


def _note(listing: Path, name: str, day: date | None, segment: str) -> None:
    """Add a document's day and segment to the inbox's CSV file, which is replaced as a whole."""
    before = listing.read_text(encoding="utf-8") if listing.exists() else "file,day,segment\n"
    header = next(csv.reader([before.partition("\n")[0]]))
    line = io.StringIO()
    row = {"file": name, "day": day.isoformat() if day else "", "segment": segment}
    csv.DictWriter(line, header, restval="", extrasaction="ignore", lineterminator="\n").writerow(row)
    write_whole(listing, before + ("" if before.endswith("\n") else "\n") + line.getvalue())


def _safe(name: str) -> str:
    """A file name without its path, its suffix and its special characters.

    >>> _safe("../../etc/passwd"), _safe("March invoice (2).PDF"), _safe("C:\\\\temp\\\\.htaccess"), _safe("")
    ('passwd', 'March-invoice-2', 'htaccess', 'document')
    """
    last = unicodedata.normalize("NFKC", name).replace("\\", "/").rpartition("/")[2]
    stem = re.sub(r"(?<=.)\.[A-Za-z0-9]{1,5}$", "", last)
    return (
        re.sub(r"[^\w.]+", "-", stem).strip("-._")[:60].encode("utf-8", "ignore")[:NAME_BYTES].decode("utf-8", "ignore")
        or "document"
    )


def _suffix(path: Path) -> str:
    """By the content of the file; its name may be wrong."""
    data = path.read_bytes()
    suffix = SUFFIXES[kind_of(data)]
    return next((image for magic, image in MAGIC.items() if suffix == ".png" and data.startswith(magic)), suffix)
