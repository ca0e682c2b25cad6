"""The digest of a file's or folder's content, remembered as long as nothing touches the file. One door: `Contents`.

A remembered digest holds while size, times and inode are the same, and only if the file was older than the moment it was
read: a file that changes twice within one tick of the clock is read again, as git does.
Not covered: a change that restores size, times and inode. Nothing but the clock set back does that.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proveout.files import write_whole

TICK = 50_000_000  # ns; coarser than the clock of any file system in use but FAT
PASSED_OVER = {"__pycache__", ".ipynb_checkpoints", ".DS_Store"}


class Contents:
    def __init__(self, memory: Path, root: Path) -> None:
        """`memory` is the file of remembered digests; paths in it are relative to `root`."""
        self._memory, self._root = memory, str(root)
        self._known: dict[str, list[Any]] = remembered(memory)
        self._new = False

    def digest(self, path: Path) -> str:
        """Of a file's bytes, or of a folder's names and bytes; "missing" if there is nothing.

        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a").write_text("1")
        >>> contents = Contents(folder / "memory.json", folder)
        >>> contents.digest(folder / "a") == contents.digest(folder / "a")
        True
        """
        if not path.is_dir():
            return self._file(str(path))
        total = hashlib.sha256()
        for name, digest in self.each(path).items():
            total.update(f"{name}\0{digest}\n".encode())
        return total.hexdigest()[:32]

    def each(self, folder: Path) -> dict[str, str]:
        """Of every file in a folder, by its name within."""
        return {name: self._file(full) for name, full in sorted(_files(str(folder), ""))}

    def save(self) -> None:
        if self._new:
            write_whole(self._memory, json.dumps(self._known, separators=(",", ":")))
            self._new = False

    def _file(self, path: str) -> str:
        try:
            stat = os.stat(path)  # noqa: PTH116 - a hundred thousand files
        except OSError:
            return "missing"
        marks = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        key = os.path.relpath(path, self._root)
        known = self._known.get(key)
        if known and known[:4] == marks and max(marks[1:3]) + TICK < known[4]:
            return str(known[5])
        now = time.time_ns()
        with open(path, "rb") as stream:  # noqa: PTH123
            digest = hashlib.file_digest(stream, "sha256").hexdigest()[:32]
        self._known[key] = [*marks, now, digest]
        self._new = True
        return digest


def _files(folder: str, within: str) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in PASSED_OVER:
                continue
            if entry.is_dir():
                yield from _files(entry.path, f"{within}{entry.name}/")
            else:
                yield within + entry.name, entry.path


def remembered(file: Path) -> dict[str, Any]:
    """A memory that is gone or broken is an empty one."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
