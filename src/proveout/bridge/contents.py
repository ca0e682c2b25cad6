"""The digest of a file's or folder's content, cached until the file changes. Entry point: `Contents`.

A cached digest is valid while size, times and inode are the same, and only if the file was already older than the resolution
of the file system's time stamps when it was read. So a file that changes twice within one time stamp is read again, as in git.
Not covered: a change that restores size, times and inode, which takes a clock that is set back.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proveout.errors import UnreadableDocument
from proveout.files import is_part, open_file, read_object, write_whole

RESOLUTION = 50_000_000  # ns; coarser than the time stamps of any file system in use except FAT
IGNORED = {"__pycache__", ".ipynb_checkpoints", ".DS_Store"}


class Contents:
    def __init__(self, cache: Path, root: Path) -> None:
        """`cache` is the file of cached digests; paths in it are relative to `root`."""
        self._file, self._root = cache, str(root)
        self._cache: dict[str, list[Any]] = read_object(cache)
        self._changed = False

    def digest(self, path: Path) -> str:
        """128 bits in hex of SHA-256 over a file's bytes, or a folder's names and bytes; "missing" if the path does not exist.

        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a").write_text("1")
        >>> contents = Contents(folder / "cache.json", folder)
        >>> contents.digest(folder / "a") == contents.digest(folder / "a")
        True
        """
        if not path.is_dir():
            return self._digest(str(path))
        total = hashlib.sha256()
        for name, digest in self.digests(path).items():
            total.update(os.fsencode(name) + f"\0{digest}\n".encode())
        return total.hexdigest()[:32]

    def digests(self, folder: Path) -> dict[str, str]:
        """Path within the folder to digest, for every file in it."""
        return {name: self._digest(path) for name, path in sorted(_files(str(folder), "", ()))}

    def save(self) -> None:
        """Write the cache, if it has changed."""
        if self._changed:
            write_whole(self._file, json.dumps(self._cache, separators=(",", ":")))
            self._changed = False

    def _digest(self, path: str) -> str:
        try:
            stat = os.stat(path)  # noqa: PTH116 - a hundred thousand files
        except OSError:
            return "missing"
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        key = os.path.relpath(path, self._root)
        cached = self._cache.get(key)
        if cached and cached[:4] == stamp and max(stamp[1:3]) + RESOLUTION < cached[4]:
            return str(cached[5])
        now = time.time_ns()
        try:
            with open_file(path) as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()[:32]
        except (OSError, UnreadableDocument):  # not permitted, a named pipe, a device: there are no bytes to compare
            return "unreadable"
        self._cache[key] = [*stamp, now, digest]
        self._changed = True
        return digest


def _files(folder: str, within: str, above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Name and path of every file below a folder. Links are followed, but not to a folder `above`, which would be a circle."""
    above = (*above, os.path.realpath(folder))
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name in IGNORED or is_part(entry.name):
                    continue
                if entry.is_symlink() and os.path.realpath(entry.path) in above:
                    continue
                if _is_dir(entry):
                    yield from _files(entry.path, f"{within}{entry.name}/", above)
                else:
                    yield within + entry.name, entry.path
    except PermissionError:
        yield within, folder


def _is_dir(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
