"""How commands print: lines, counts, paths, and who is at the keyboard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def say(text: str = "") -> None:
    print(text, flush=True)


def short(path: Path) -> str:
    """Relative to where the person stands, when that is shorter."""
    return os.path.relpath(path) if len(os.path.relpath(path)) < len(str(path)) else str(path)


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "case"), counted(0, "case")
    ('1 case', '0 cases')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def minute(at: str) -> str:
    """
    >>> minute("2026-11-25T09:13:20+00:00")
    '2026-11-25 09:13 UTC'
    """
    return f"{at[:16].replace('T', ' ')} UTC"


def person() -> str:
    import getpass

    return os.environ.get("PROVEOUT_USER") or getpass.getuser()
