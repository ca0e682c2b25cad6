"""Inspect a folder of documents before anything acts on them.

Entry points: `inspect` reads the folder, `as_json` is its result for programs, `page.html` for people.
Each file gets its anomalies (where what was read differs from what a person sees), or the reason why it is refused, the formats
of its amounts and dates, its copies among the other files, and its size.
Covered: names that are not UTF-8, files that vanish, hang or crash the reader: each is a row of the report.
Not covered: what the words mean. No release is needed, and no value is extracted.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from proveout.documents import read_many, sha256_of
from proveout.errors import UnreadableDocument
from proveout.files import printable
from proveout.inspection.formats import Formats, formats_of
from proveout.live.inbox import files_in
from proveout.records import Anomaly, AnomalyKind, Document, Page, Source
from proveout.values import conventions

FORMAT = 1  # of the JSON; a key is added without a new number, but never renamed or removed


@dataclass(frozen=True)
class Inspected:
    """What was noticed about one file."""

    name: str  # within the folder, printable
    path: Path
    id: str = ""  # SHA-256 of its bytes; "" if they cannot be read
    refused: str = ""  # why it cannot be read
    anomalies: tuple[Anomaly, ...] = ()
    pages: tuple[Page, ...] = ()  # without their words
    words: int = 0
    ocr_share: float = 0.0  # of the words
    formats: Formats = field(default_factory=Formats)
    same_bytes_as: str = ""  # name of the first file with these bytes
    near_duplicate_of: str = ""  # name of the first file with nearly the same words

    @property
    def needs_a_look(self) -> bool:
        """Whether a person should see it before it is decided."""
        return bool(self.anomalies or self.refused or self.same_bytes_as or self.near_duplicate_of or self.formats.split)

    @property
    def badness(self) -> tuple[int, ...]:
        """Sorts the worst file first: what may be misread, then what cannot be read, copies, split votes."""
        copy = bool(self.same_bytes_as or self.near_duplicate_of)
        return (-len(self.anomalies), -bool(self.refused), -copy, -len(self.formats.split))


@dataclass(frozen=True)
class Inspection:
    """The files of a folder, the worst first."""

    folder: str
    files: tuple[Inspected, ...]

    @property
    def kinds(self) -> dict[AnomalyKind, int]:
        """Number of anomalies of each kind; kinds without any are left out."""
        counts = Counter(anomaly.kind for file in self.files for anomaly in file.anomalies)
        return {kind: counts[kind] for kind in AnomalyKind if counts[kind]}

    @property
    def summary(self) -> dict[str, int]:
        """Number of files, and of those with each finding."""
        files = self.files
        return {
            "files": len(files),
            "pages": sum(len(file.pages) for file in files),
            "needs_a_look": sum(file.needs_a_look for file in files),
            "with_anomalies": sum(bool(file.anomalies) for file in files),
            "refused": sum(bool(file.refused) for file in files),
            "same_bytes": sum(bool(file.same_bytes_as) for file in files),
            "near_duplicates": sum(bool(file.near_duplicate_of) for file in files),
            "split_formats": sum(bool(file.formats.split) for file in files),
        }


def inspect(folder: Path, cache: Path | None = None, progress: Callable[[], None] = lambda: None) -> Inspection:
    """Read every document in a folder and below. `progress` is called after each file; `cache` is that of the reader.

    Raises NoDocuments if the folder is missing or has no documents.
    """
    inbox = files_in(folder)
    results = read_many([file.path for file in inbox.files], cache=cache, progress=lambda *_: progress())
    files: list[Inspected] = []
    texts: list[list[str]] = []
    for file, result in zip(inbox.files, results, strict=True):
        files.append(_inspected(printable(file.name), file.path, result))
        # one object per different word: the words of 20,000 invoices fit in memory
        texts.append([sys.intern(word.text) for word in result.words] if isinstance(result, Document) else [])
    files = _with_copies(files, texts)
    files += [Inspected(name, folder / name, refused=because) for name, because in (inbox.refused | inbox.waiting).items()]
    return Inspection(printable(str(folder)), tuple(sorted(files, key=lambda file: (file.badness, file.name))))


def as_json(inspection: Inspection) -> dict[str, Any]:
    """The inspection as JSON objects. docs/inspect.md describes the keys."""
    return {
        "format": FORMAT,
        "folder": inspection.folder,
        "summary": inspection.summary,
        "anomalies": {kind.name.lower(): count for kind, count in inspection.kinds.items()},
        "files": [_file_as_json(file) for file in inspection.files],
    }


def _file_as_json(file: Inspected) -> dict[str, Any]:
    return {
        "file": file.name,
        "id": file.id,
        "needs_a_look": file.needs_a_look,
        "refused": file.refused,
        "anomalies": [_anomaly_as_json(anomaly) for anomaly in file.anomalies],
        "pages": len(file.pages),
        "words": file.words,
        "ocr_share": round(file.ocr_share, 4),
        "formats": asdict(file.formats) | {"split": file.formats.split},
        "same_bytes_as": file.same_bytes_as,
        "near_duplicate_of": file.near_duplicate_of,
    }


def _anomaly_as_json(anomaly: Anomaly) -> dict[str, Any]:
    place = anomaly.place
    return {
        "kind": anomaly.kind.name.lower(),
        "because": anomaly.because,
        "text": anomaly.text,
        "page": place.page + 1 if place else None,
        "box": [place.box.x0, place.box.y0, place.box.x1, place.box.y1] if place else None,
    }


def _inspected(name: str, path: Path, result: Document | UnreadableDocument) -> Inspected:
    if isinstance(result, UnreadableDocument):
        return Inspected(name, path, _id(path), refused=str(result))
    words = result.words
    ocr = sum(word.source is Source.OCR for word in words)
    return Inspected(
        name,
        path,
        result.sha256,
        anomalies=result.anomalies,
        pages=tuple(Page(page.number, page.width, page.height, (), page.turned) for page in result.pages),
        words=len(words),
        ocr_share=ocr / len(words) if words else 0.0,
        formats=formats_of(conventions(result)),
    )


def _id(path: Path) -> str:
    try:
        return sha256_of(path)
    except (OSError, UnreadableDocument):
        return ""


def _with_copies(files: Sequence[Inspected], texts: Sequence[Sequence[str]]) -> list[Inspected]:
    """The files, each with the first earlier one of the same bytes, or else of nearly the same words."""
    from proveout.corpus.near_duplicates import near_duplicates

    first: dict[str, str] = {}
    with_copies = []
    for file, alike in zip(files, near_duplicates(texts), strict=True):
        same = first.setdefault(file.id, file.name) if file.id else file.name
        if same != file.name:
            file = replace(file, same_bytes_as=same)
        elif alike is not None:
            file = replace(file, near_duplicate_of=files[alike].name)
        with_copies.append(file)
    return with_copies
