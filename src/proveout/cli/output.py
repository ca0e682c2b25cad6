"""How commands print lines, counts, paths and times, and which user runs them."""

import os
from pathlib import Path


def say(text: str = "") -> None:
    """Print a line immediately, also into a pipe."""
    print(text, flush=True)


def short(path: Path) -> str:
    """The path, relative to the working directory if that is shorter."""
    return min(str(path), os.path.relpath(path), key=len)


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
    """The name under which a command is recorded: PROVEOUT_USER, or the user of the operating system."""
    import getpass

    return os.environ.get("PROVEOUT_USER") or getpass.getuser()
