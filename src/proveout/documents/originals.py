"""The files of cases, each under its id: a decision can be read, answered and made again after the inbox was emptied.

Covered: a kill at any point (a file is there whole or not at all), a file that is handed in again under another name.
Not covered: how long they are kept, and who may see them; they are as private as the inbox.
"""

import os
import shutil
from pathlib import Path

from proveout.errors import BadInput
from proveout.files import replacing


def link(source: Path, target: Path) -> None:
    """A file under another name too, unless that is taken; a copy where the file system, or its border, allows no link."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


class Originals:
    """`folder/ab/abcdef…01.pdf`: the id's first two digits, the id, and the ending that the file came with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, case: str, source: Path) -> Path:
        """Copy a file, unless it is kept already, and give where it lies."""
        target = self.folder / case[:2] / f"{case}{source.suffix.lower()}"
        if (there := self._find(case)) is not None:
            return there
        with replacing(target) as part:
            shutil.copyfile(source, part)
        return target

    def path(self, case: str) -> Path:
        """Where the file of a case lies. Raises BadInput where none is kept."""
        found = self._find(case)
        if found is None:
            raise BadInput(f"{self.folder}: no file of case {case[:12]}; put it back into the inbox, then: proveout run")
        return found

    def __contains__(self, case: str) -> bool:
        return self._find(case) is not None

    def _find(self, case: str) -> Path | None:
        return next((self.folder / case[:2]).glob(f"{case}*"), None) if case.isalnum() else None
