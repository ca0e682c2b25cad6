"""Keep the file of every case under the case's id, so that decisions can be reviewed and replayed after the inbox is emptied.

A file is copied once, hashed while it is copied, and named by the hash of the copy. Only the copy is read afterwards.
Covered: a file that changes while it is copied (StillWritten, nothing is kept), a kill at any point (files are written whole
or not at all), a file that is submitted again under another name, any name and ending.
Not covered: retention and access control. The folder is as private as the inbox.
"""

import hashlib
import os
import re
import shutil
import time
import uuid
from pathlib import Path
from typing import BinaryIO

from proveout.documents.files import sha256_of
from proveout.errors import BadInput, StillWritten
from proveout.files import has_writer, open_file, write_whole

CHUNK = 1 << 20  # bytes
WRITER_FORGOTTEN = 3600.0  # seconds after its last change from which a file counts as complete, though a program has it open
ENDING = re.compile(r"\.[a-z0-9]{1,10}")


def link(source: Path, target: Path) -> None:
    """Hard-link `target` to `source`, or copy it where no link is possible; an existing target is left alone."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def ending(path: Path) -> str:
    """The ending of a file's name in lower case; "" for one that no kind of document has.

    >>> ending(Path("March.PDF")), ending(Path("scan." + "x" * 220)), ending(Path("v1.2 final"))
    ('.pdf', '', '')
    """
    suffix = path.suffix.lower()
    return suffix if ENDING.fullmatch(suffix) else ""


def _copy_still(source: BinaryIO, target: BinaryIO) -> str:
    """Copy a file that nobody writes to meanwhile; returns the SHA-256 of what was copied. Raises StillWritten."""
    before, digest = os.fstat(source.fileno()), hashlib.sha256()
    if has_writer(source) and time.time() - before.st_mtime < WRITER_FORGOTTEN:
        raise StillWritten("a program still has it open for writing")
    while target.tell() <= before.st_size and (chunk := source.read(CHUNK)):  # a file may grow faster than it is copied
        digest.update(chunk)
        target.write(chunk)
    after = os.fstat(source.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or target.tell() != after.st_size:
        raise StillWritten("it changed while it was copied")
    return digest.hexdigest()


class Originals:
    """Files as `folder/ab/abcdef…01.pdf`: the first two digits of the id, the id, and the original ending."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, source: Path) -> tuple[str, Path]:
        """Copy a file, unless its bytes are kept already; returns the SHA-256 of the copied bytes and the path of the copy.

        Raises StillWritten if the file is being written, UnreadableDocument if it is not a file, OSError if it cannot be read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{uuid.uuid4().hex}.part"
        try:
            with open_file(source, follow=False) as file, part.open("xb") as copy:
                sha256 = _copy_still(file, copy)
                copy.flush()
                os.fsync(copy.fileno())
            if (existing := self._find(sha256)) is not None:
                return sha256, existing
            target = self.folder / sha256[:2] / f"{sha256}{ending(source)}"
            target.parent.mkdir(exist_ok=True)
            return sha256, part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def keep_bytes(self, content: bytes, ending: str) -> tuple[str, Path]:
        """Keep the content of a case that has no file of its own; returns its SHA-256 and the path."""
        sha256 = hashlib.sha256(content).hexdigest()
        if (existing := self._find(sha256)) is not None:
            return sha256, existing
        target = self.folder / sha256[:2] / f"{sha256}{ending}"
        write_whole(target, content)
        return sha256, target

    def path(self, case: str) -> Path:
        """The path of a case's file. Raises BadInput if there is none."""
        if (path := self._find(case)) is None:
            raise BadInput(f"{self.folder}: no file for case {case[:12]}; put it back into the inbox, then: proveout run")
        return path

    def __contains__(self, case: str) -> bool:
        return self._find(case) is not None

    def whole(self, sha256: str) -> bool:
        """Whether a file is kept, and has the bytes that it was kept with."""
        path = self._find(sha256)
        return path is not None and sha256_of(path) == sha256

    def _find(self, case: str) -> Path | None:
        return next((self.folder / case[:2]).glob(f"{case}*"), None) if case.isalnum() else None
