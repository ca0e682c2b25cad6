"""Keep the file of every case under the case's id, so that decisions can be reviewed and replayed after the inbox is emptied.

Covered: a kill at any point (files are written whole or not at all), a file that is submitted again under another name.
Not covered: retention and access control. The folder is as private as the inbox.
"""

import os
import shutil
from pathlib import Path

from proveout.errors import BadInput
from proveout.files import replacing


def link(source: Path, target: Path) -> None:
    """Hard-link `target` to `source`, or copy it where no link is possible; an existing target is left alone."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


class Originals:
    """Files as `folder/ab/abcdef…01.pdf`: the first two digits of the id, the id, and the original extension."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, case: str, source: Path) -> Path:
        """Copy a case's file, unless there is a copy already; returns the path of the copy."""
        if (existing := self._find(case)) is not None:
            return existing
        target = self.folder / case[:2] / f"{case}{source.suffix.lower()}"
        with replacing(target) as part:
            shutil.copyfile(source, part)
        return target

    def path(self, case: str) -> Path:
        """The path of a case's file. Raises BadInput if there is none."""
        if (path := self._find(case)) is None:
            raise BadInput(f"{self.folder}: no file for case {case[:12]}; put it back into the inbox, then: proveout run")
        return path

    def __contains__(self, case: str) -> bool:
        return self._find(case) is not None

    def _find(self, case: str) -> Path | None:
        return next((self.folder / case[:2]).glob(f"{case}*"), None) if case.isalnum() else None
