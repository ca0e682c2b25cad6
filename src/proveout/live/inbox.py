"""What lies in an inbox: the files that are cases, those that wait for the next run, and those that no run can take.

Entry points: `listed` for a run, `files_in` without cases, `documents_in` for the bare files. Everything that is listed can be
read without waiting.
Covered: files that are still being written, named pipes, sockets, devices, folders with the name of a document, links that
lead out of the inbox, nowhere or in a circle, files without permission, names that are not UTF-8 or span several lines. Each
costs only itself and is named with the reason. A link within the inbox counts as the file that it leads to.
Hidden files and folders are left out.
Not covered: hard links to files outside, which look like any other file; several machines with one inbox.
"""

import csv
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from proveout.cases import CaseKind, Part
from proveout.documents import MAX_BYTES
from proveout.errors import BadInput, NoDocuments, UnreadableDocument
from proveout.files import SPECIAL, is_unfinished, open_file, printable
from proveout.records import Case

INBOX_CSV = "inbox.csv"  # file, day, segment: what the bytes of a case do not say
TABLES = {INBOX_CSV, "labels.csv", "truth.json"}
DOCUMENT_ENDINGS = {".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".txt"}
YOUNG = 2.0  # seconds since its last change in which a file may still be growing
SETTLED = 0.5  # seconds without a change after which a young file is complete


@dataclass(frozen=True, slots=True)
class InboxFile:
    """A regular file that can be read."""

    name: str  # within the inbox, as the file system has it
    path: Path  # of the file, without links below the inbox
    size: int  # bytes
    modified: int  # nanoseconds since 1970


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file with a case that it held when it was listed."""

    case: Case
    file: InboxFile
    part: bytes | None = None  # of a file that holds several cases, the content of the one that holds this case alone


@dataclass
class Inbox:
    """What one run takes from an inbox. `waiting` and `refused`: the reason by printable name."""

    files: list[InboxFile] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)  # oldest first; two copies of a file are one
    waiting: dict[str, str] = field(default_factory=dict)  # the next run looks again
    refused: dict[str, str] = field(default_factory=dict)  # has no case, because nothing can be read
    at: float = field(default_factory=time.time)

    def settled(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Those of these files that nobody is writing. Looks twice at files that changed a moment ago; the others wait."""
        if any(time.time() - arrival.file.modified / 1e9 < YOUNG for arrival in arrivals):
            time.sleep(max(0.0, self.at + SETTLED - time.time()))
        return [arrival for arrival in arrivals if self._is_still(arrival.file)]

    def _is_still(self, file: InboxFile) -> bool:
        try:
            now = os.lstat(file.path)
        except OSError:
            self.waiting[printable(file.name)] = "it disappeared after it was listed"
            return False
        if (now.st_size, now.st_mtime_ns) == (file.size, file.modified):
            return True
        self.waiting[printable(file.name)] = "it is still being written"
        return False


def listed(folder: Path, kind: CaseKind) -> Inbox:
    """The inbox of a run, its cases identified.

    `inbox.csv` in the inbox may give the day and segment of each file; the default day is the file's modification date.
    Raises NoDocuments for a folder that is missing or has no documents, BadInput for an `inbox.csv` that cannot be used.
    """
    inbox = files_in(folder)
    details = _read_inbox_csv(folder / INBOX_CSV)
    arrivals: dict[str, Arrival] = {}
    for file in inbox.files:
        try:
            cases = list(cases_in(kind, file.path))
        except FileNotFoundError:
            inbox.waiting[printable(file.name)] = "it disappeared after it was listed"
        except (OSError, UnreadableDocument) as error:
            inbox.refused[printable(file.name)] = reason(error)
        else:
            day, segment = details.get(file.name, (_day(file.modified), ""))
            for id, turn, part in cases:
                name = f"{file.name}:{part.name}" if part else file.name
                of_part = (part.day or day, part.segment or segment) if part else (day, segment)
                case = Case(id, printable(name), *of_part, turn)
                arrivals.setdefault(case.key, Arrival(case, file, part.content if part else None))
    inbox.arrivals = sorted(
        arrivals.values(), key=lambda arrival: (arrival.case.day or date.max, arrival.case.turn, arrival.case.id)
    )
    return inbox


def files_in(folder: Path) -> Inbox:
    """The files that a run would find, without their cases. Raises NoDocuments if there is no file, not even a refused one."""
    if not folder.is_dir():
        raise NoDocuments(f"{printable(str(folder))}: no such folder; put documents there, or name another folder")
    inbox = _walked(folder)
    if not (inbox.files or inbox.waiting or inbox.refused):
        expected = "expected PDFs, scans (PNG, JPEG, TIFF) or plain text files"
        raise NoDocuments(f"{printable(str(folder))}: no documents in it; {expected}")
    return inbox


def documents_in(folder: Path) -> list[InboxFile]:
    """Every file that a run would take up, in the order of their names."""
    return _walked(folder).files


def identity(kind: CaseKind, path: Path) -> tuple[str, int]:
    """The case and turn that a file holds. Raises UnreadableDocument if its kind of case cannot tell, or OSError."""
    try:
        return kind.identify(path)
    except (OSError, UnreadableDocument):
        raise
    except Exception as error:  # a kind of case may be a user's own code, and the file anything
        raise UnreadableDocument(f"its case cannot be identified ({type(error).__name__}: {error}); check the file") from error


def cases_in(kind: CaseKind, path: Path) -> Iterator[tuple[str, int, Part | None]]:
    """The case and turn of each case in a file, with its part if a file may hold several. Raises as `identity`."""
    parts = getattr(kind, "parts", None)
    if parts is None:
        yield *identity(kind, path), None
        return
    for part in parts(path):
        yield hashlib.sha256(part.content).hexdigest(), 0, part


def _walked(folder: Path) -> Inbox:
    """The files below a folder, without their cases, and what is refused or waits."""
    inbox, root, pending = Inbox(), folder.resolve(), [folder]
    while pending:
        current = pending.pop()
        try:
            with os.scandir(current) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".") and entry.name not in TABLES]
        except OSError as error:
            inbox.refused[_name(folder, current)] = reason(error)
            continue
        for entry in visible:
            try:
                _sort(entry, folder, root, inbox, pending.append)
            except FileNotFoundError:
                inbox.waiting[_name(folder, entry.path)] = "it disappeared while the inbox was listed"
            except (OSError, UnreadableDocument) as error:
                inbox.refused[_name(folder, entry.path)] = reason(error)
    inbox.files.sort(key=lambda file: file.name)
    return inbox


def _sort(entry: os.DirEntry[str], folder: Path, root: Path, inbox: Inbox, descend: Callable[[Path], None]) -> None:
    """Put one entry where it belongs. Raises UnreadableDocument for what is no file of this inbox."""
    path = _target(entry, folder, root) if entry.is_symlink() else Path(entry.path)
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        if not entry.is_symlink():  # the files of a folder are listed where they are
            descend(path)
        if path.suffix.lower() in DOCUMENT_ENDINGS:
            raise UnreadableDocument("a folder with the name of a document; only the files in it are taken")
    elif not stat.S_ISREG(status.st_mode):
        raise UnreadableDocument(f"{SPECIAL[stat.S_IFMT(status.st_mode)]}, not a file; put the document itself there")
    elif is_unfinished(entry.name):
        inbox.waiting[_name(folder, entry.path)] = "its name is that of a file that is not complete yet"
    elif status.st_size > MAX_BYTES:
        raise UnreadableDocument(f"oversized: {status.st_size:,} bytes, the limit is {MAX_BYTES:,}; split it or scan it again")
    else:
        name = Path(entry.path).relative_to(folder).as_posix()
        inbox.files.append(InboxFile(name, path, status.st_size, status.st_mtime_ns))


def _target(link: os.DirEntry[str], folder: Path, root: Path) -> Path:
    """Where a link leads, within the inbox. Raises UnreadableDocument if it leads anywhere else."""
    try:
        real = Path(link.path).resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a circle is a RuntimeError before Python 3.13
        raise UnreadableDocument("a link that leads nowhere or in a circle; put the document itself there") from error
    if not real.is_relative_to(root):
        raise UnreadableDocument("a link that leads out of the inbox; put the document itself there")
    return folder / real.relative_to(root)


def _name(folder: Path, path: Path | str) -> str:
    return printable(Path(path).relative_to(folder).as_posix())


def reason(error: OSError | UnreadableDocument) -> str:
    """Why a file is refused, for a person."""
    if isinstance(error, UnreadableDocument):
        return str(error)
    return f"cannot be opened: {error.strerror or error}; check its permissions"


def _day(modified: int) -> date | None:
    try:
        return date.fromtimestamp(modified / 1e9)
    except (OverflowError, ValueError, OSError):  # a date outside the calendar
        return None


def _read_inbox_csv(path: Path) -> dict[str, tuple[date | None, str]]:
    if not path.exists():
        return {}
    try:
        with open_file(path) as file:
            return dict(_rows(path, file.read().decode("utf-8-sig").splitlines(keepends=True)))
    except (OSError, UnreadableDocument, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: {error}; expected a CSV file in UTF-8 with the columns file, day, segment") from error


def _rows(path: Path, lines: Sequence[str]) -> Iterator[tuple[str, tuple[date | None, str]]]:
    rows = csv.DictReader(lines)
    if missing := {"file", "day", "segment"} - set(rows.fieldnames or ()):
        raise BadInput(f"{path}: missing column {', '.join(sorted(missing))}; expected file, day, segment")
    try:
        for row in rows:
            yield row["file"], (date.fromisoformat(row["day"]) if row["day"] else None, row["segment"] or "")
    except ValueError as error:
        raise BadInput(f"{path}:{rows.line_num}: {error}; expected a day such as 2020-06-05") from error
