"""A data set: documents that were read, what people know of them, and where each of them belongs. One noun: `Dataset`.

On disk a folder of manifest.parquet (a row a file), pages.parquet, words.parquet, card.md, dataset.json and files/, a copy
of every original; written whole or not at all, and whole wherever it is moved. Its version is an id of what it says: the
same words and labels have the same version, whatever the files are called.
Covered: duplicates by content (one case, the others point to it) and by near-duplicate text, files that nobody can read
(refused, with the reason), files without a row (unlabelled: live cases).
Not covered: who may see it. The copies are as private as the originals.
"""

import gc
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from proveout.corpus.near_duplicates import ALIKE, near_duplicates
from proveout.documents.columns import PageColumns, document
from proveout.errors import BadInput
from proveout.records import Case, Document, Source

SCHEMA = 1  # of the files of a data set


@dataclass(frozen=True, slots=True)
class LabelledDocument:
    """One file of the data set."""

    case: Case
    split: str
    layout: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)  # field to the value that people say is right
    document_class: str = ""  # "" unknown
    source: str = ""
    licence: str = ""
    duplicate_of: str = ""  # path of the first file with the same bytes
    near_duplicate_of: str = ""  # case that says nearly the same and came before
    refused: str = ""  # why it cannot be read


class Dataset:
    """Entries and documents: what `build_dataset` left."""

    def __init__(self, root: Path) -> None:
        """Open the data set at `root`; `load` says why one cannot be opened."""
        import pyarrow.parquet as parquet  # type: ignore[import-untyped]

        self.root = root
        about = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
        self.version: str = about["version"]
        self.name: str = about["name"]  # of the folder it was built from
        self.folder: Path = root / "files"
        self.notes: Mapping[str, Any] = about["notes"]  # unlabelled files, unknown columns
        self.entries: tuple[LabelledDocument, ...] = tuple(
            map(_entry, parquet.read_table(root / "manifest.parquet").to_pylist())
        )

    @classmethod
    def load(cls, out: Path | str) -> Self:
        """Open a data set.

        Raises BadInput when the folder holds none, or one of another schema.
        """
        out = Path(out)
        try:
            schema = json.loads((out / "dataset.json").read_text(encoding="utf-8"))["schema"]
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"{out}: not a data set (dataset.json: {error}); build it: proveout build --only curate") from error
        if schema != SCHEMA:
            raise BadInput(f"{out}: a data set of schema {schema}, this Proveout reads {SCHEMA}; build it anew: proveout build")
        return cls(out)

    def chosen(self, split: str | None = None) -> tuple[LabelledDocument, ...]:
        """One entry for every case of a split, in the order of the files.

        `test` means all tests; `stream`, the live cases, means the tests where no case says `stream`.
        """
        cases = [entry for entry in self.entries if not entry.duplicate_of]
        if split is None:
            return tuple(cases)
        if split == "stream" and all(entry.split != "stream" for entry in cases):
            split = "test"
        return tuple(e for e in cases if e.split == split or (split == "test" and e.split.startswith("test-")))

    def documents(self, split: str | None = None) -> list[Document]:
        """The readable documents of a split (see `chosen`)."""
        with without_collecting():
            return [self.document(entry.case.id) for entry in self.chosen(split) if not entry.refused]

    def document(self, case: str) -> Document:
        """The document of a readable case. The same object every time it is asked for."""
        if case not in self._documents:
            self._documents[case] = document(case, [self._page_columns(row) for row in self._pages[case]])
        return self._documents[case]

    def labels(self, split: str | None = None) -> dict[str, dict[str, str]]:
        """Case id to the fields that people labelled, refused cases too: they were live, and somebody knows the answer."""
        return {entry.case.id: dict(entry.labels) for entry in self.chosen(split) if entry.labels}

    def classes(self, split: str | None = None) -> dict[str, str]:
        """Case id to its class, where it is known."""
        return {entry.case.id: entry.document_class for entry in self.chosen(split) if entry.document_class}

    def path_of(self, case: str) -> Path:
        """Where the data set's copy of a case's file lies; there is none of a file too large to be read."""
        return self.folder / Path(self._by_case[case].case.path).name

    def entry(self, case: str) -> LabelledDocument:
        return self._by_case[case]

    def near_duplicates(self, alike: float = ALIKE) -> list[tuple[LabelledDocument, LabelledDocument]]:
        """Pairs of cases that say nearly the same, the later one first; `alike` is their Jaccard similarity or more."""
        earlier = earliest_near_duplicates(self.entries, self.documents(), alike)
        return [(self._by_case[one], self._by_case[other]) for one, other in earlier.items()]

    @cached_property
    def card(self) -> str:
        """The data card, Markdown."""
        return (self.root / "card.md").read_text(encoding="utf-8")

    @cached_property
    def pages(self) -> int:
        """Pages that were read."""
        return sum(len(pages) for pages in self._pages.values())

    @cached_property
    def words(self) -> int:
        """Words that were read."""
        return sum(page["words"] for pages in self._pages.values() for page in pages)

    @cached_property
    def ocr_share(self) -> float:
        """Share of the words that were read by OCR, 0..1."""
        recognised: int = sum(page["words"] for pages in self._pages.values() for page in pages if page["source"] == Source.OCR)
        return recognised / max(self.words, 1)

    @cached_property
    def _by_case(self) -> dict[str, LabelledDocument]:
        return {entry.case.id: entry for entry in self.chosen()}

    @cached_property
    def _documents(self) -> dict[str, Document]:
        return {}

    @cached_property
    def _pages(self) -> dict[str, list[dict[str, Any]]]:
        """Case to the rows of its pages, in order."""
        import pyarrow.parquet as parquet

        pages: dict[str, list[dict[str, Any]]] = {}
        for row in parquet.read_table(self.root / "pages.parquet").to_pylist():
            pages.setdefault(row["case"], []).append(row)
        return pages

    @cached_property
    def _words(self) -> tuple[list[str], dict[str, Any]]:
        import pyarrow.parquet as parquet

        table = parquet.read_table(self.root / "words.parquet")
        return table["text"].to_pylist(), {name: table[name].to_numpy() for name in table.column_names if name != "text"}

    def _page_columns(self, row: Mapping[str, Any]) -> PageColumns:
        texts, columns = self._words
        part = slice(row["start"], row["start"] + row["words"])
        boxes = np.stack([columns[name][part] for name in ("x0", "y0", "x1", "y1")], axis=1).astype(np.float64)
        return PageColumns(
            width=row["width"],
            height=row["height"],
            turned=row["turned"],
            source=Source(row["source"]),
            texts=texts[part],
            boxes=np.round(boxes / 100, 2),
            lines=columns["line"][part].astype(np.int64),
            confidence=np.round(columns["confidence"][part] / 10_000, 4),
        )


def earliest_near_duplicates(entries: Iterable[LabelledDocument], read: Iterable[Document], alike: float) -> dict[str, str]:
    """Case to the earliest one, by day, that says nearly the same."""
    days = {entry.case.id: entry.case.day or date.min for entry in entries}
    by_day = sorted(read, key=lambda each: (days[each.sha256], each.sha256))
    found = near_duplicates([[word.text for word in each.words] for each in by_day], alike)
    return {each.sha256: by_day[other].sha256 for each, other in zip(by_day, found, strict=True) if other is not None}


def _entry(row: dict[str, Any]) -> LabelledDocument:
    case = Case(row.pop("id"), row.pop("path"), row.pop("day"), row.pop("segment"))
    return LabelledDocument(case=case, **row | {"labels": json.loads(row["labels"])})


@contextmanager
def without_collecting() -> Iterator[None]:
    """Hundreds of thousands of words are made at once and none of them is garbage: do not look for it meanwhile."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
