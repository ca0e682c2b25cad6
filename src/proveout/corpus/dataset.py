"""A data set: documents that were read, their labels and their splits. Entry point: `Dataset`.

On disk it is a folder with manifest.parquet (one row per file), pages.parquet, words.parquet, card.md, dataset.json and
files/, a copy of every original. It is written whole or not at all, and can be moved. Its version is a content id: the same
words and labels give the same version, whatever the file names.
Covered: files with the same bytes (one case, the others point to it), near-duplicate texts, unreadable files (refused, with
the reason), files without a row (unlabelled live cases).
Not covered: access control. The copies are as private as the originals.
"""

import gc
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from proveout.corpus.folds import Fold, folds
from proveout.corpus.labels import ANSWERED, AUXILIARY, UNLABELLED
from proveout.corpus.near_duplicates import ALIKE, near_duplicates
from proveout.documents.columns import PageColumns, anomaly, document, e_invoice
from proveout.errors import BadInput
from proveout.records import Anomaly, Case, Document, EInvoice, Source

SCHEMA = 3  # version of the file formats
LEARN_FROM = ("train", "calibration")  # the splits whose labels train and calibrate


@dataclass(frozen=True, slots=True)
class LabelledDocument:
    """One file of the data set."""

    case: Case
    split: str
    layout: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)  # field to the correct value, as labelled
    document_class: str = ""  # "": unknown
    source: str = ""
    licence: str = ""
    duplicate_of: str = ""  # path of the first file with the same bytes
    near_duplicate_of: str = ""  # id of the earliest case with nearly the same text
    refused: str = ""  # why the file cannot be read
    anomalies: tuple[Anomaly, ...] = ()  # places where what was read differs from what a person sees
    e_invoice: EInvoice | None = None
    before_audit: Mapping[str, str] = field(default_factory=dict)  # the labels that a person replaced (`corpus.audit`)


class Dataset:
    """Entries and documents of a data set that `build_dataset` wrote."""

    def __init__(self, root: Path) -> None:
        """Open the data set at `root`, unchecked; use `load` for clear errors."""
        import pyarrow.parquet as parquet  # type: ignore[import-untyped]

        self.root = root
        about = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
        self.version: str = about["version"]
        self.name: str = about["name"]  # of the source folder
        self.folder: Path = root / "files"
        self.notes: Mapping[str, Any] = about["notes"]  # unlabelled files, unknown columns
        self.entries: tuple[LabelledDocument, ...] = tuple(
            map(_entry, parquet.read_table(root / "manifest.parquet").to_pylist())
        )

    @classmethod
    def load(cls, out: Path | str) -> Self:
        """Open the data set at `out`. Raises BadInput if there is none, or one of another schema."""
        out = Path(out)
        try:
            schema = json.loads((out / "dataset.json").read_text(encoding="utf-8"))["schema"]
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"{out}: not a data set (dataset.json: {error}); build it: proveout build --only curate") from error
        if schema != SCHEMA:
            raise BadInput(
                f"{out}: the data set has schema {schema}, this version of Proveout reads {SCHEMA}; rebuild it: proveout build"
            )
        return cls(out)

    def chosen(self, *splits: str) -> tuple[LabelledDocument, ...]:
        """One entry per case of the splits, in the order of the files; without splits, of all of them.

        `test` includes every `test-…` split.
        """
        cases = tuple(entry for entry in self.entries if not entry.duplicate_of)
        if not splits:
            return cases
        return tuple(e for e in cases if e.split in splits or ("test" in splits and e.split.startswith("test-")))

    def documents(self, *splits: str) -> list[Document]:
        """The readable documents of the splits (see `chosen`)."""
        with gc_paused():
            return [self.document(entry.case.id) for entry in self.chosen(*splits) if not entry.refused]

    def document(self, case: str) -> Document:
        """The document of a readable case; the same object on every call."""
        if case not in self._documents:
            pages = [self._page_columns(row) for row in self._pages[case]]
            entry = self._by_case[case]
            self._documents[case] = document(case, pages, entry.anomalies, entry.e_invoice)
        return self._documents[case]

    def beside(self, split: str) -> list[Document]:
        """The readable documents of the split `auxiliary` or `unlabelled`, without near-duplicates of those in other splits."""
        others = {self._first(entry).case.id for entry in self.chosen() if entry.split not in (AUXILIARY, UNLABELLED)}
        return [
            self.document(entry.case.id)
            for entry in self.chosen(split)
            if not entry.refused and self._first(entry).case.id not in others
        ]

    def labels(self, *splits: str) -> dict[str, dict[str, str]]:
        """Case id to its labels by field. Includes refused cases, which may be labelled too."""
        return {entry.case.id: dict(entry.labels) for entry in self.chosen(*splits) if entry.labels}

    def classes(self, *splits: str) -> dict[str, str]:
        """Case id to its class, for cases with a known class."""
        return {entry.case.id: entry.document_class for entry in self.chosen(*splits) if entry.document_class}

    def folds(self, enough: float) -> list[Fold]:
        """The folds of the labelled documents to learn from; `corpus.folds` says which, and what `enough` is."""
        train, calibration = (
            [entry.case.id for entry in self.chosen(split) if entry.labels and not entry.refused] for split in LEARN_FROM
        )
        return folds(train, calibration, {entry.case.id: self._group(entry) for entry in self.chosen(*LEARN_FROM)}, enough)

    def evidence(self, folds: Sequence[Fold]) -> list[Document]:
        """The documents that certificates rest on: one of each group of near-duplicates.

        Live cases that people answered are left out: they are the doubtful ones, and the person saw the agent's values.
        """
        return [self.document(id) for id in self.evidence_ids(folds)]

    def evidence_ids(self, folds: Sequence[Fold]) -> list[str]:
        """The ids of the documents of `evidence`."""
        ids = [group[0] for fold in folds for group in fold]
        return [id for id in ids if not self.entry(id).source.startswith(ANSWERED)]

    def _group(self, entry: LabelledDocument) -> tuple[str, ...]:
        """The same for near-duplicates with the same labels; a form with other values on it is another document."""
        return self._first(entry).case.id, *map(str, sorted(entry.labels.items()))

    def _first(self, entry: LabelledDocument) -> LabelledDocument:
        """The earliest of the near-duplicates of an entry."""
        while entry.near_duplicate_of:  # an earlier document by day and id, so this ends
            entry = self._by_case[entry.near_duplicate_of]
        return entry

    def path_of(self, case: str) -> Path:
        """Path of the data set's copy of a case's file. Files over MAX_BYTES are not copied."""
        return self.folder / Path(self._by_case[case].case.path).name

    def original(self, case: str) -> Path | None:
        """Path of the data set's copy of a case's file; None for a case that it does not have."""
        return self.path_of(case) if case in self._by_case else None

    def entry(self, case: str) -> LabelledDocument:
        """The entry of a case. Raises KeyError for an unknown id."""
        return self._by_case[case]

    def near_duplicates(self, alike: float = ALIKE) -> list[tuple[LabelledDocument, LabelledDocument]]:
        """Pairs of near-duplicates, the later case first; `alike`: the least Jaccard similarity."""
        earliest = earliest_near_duplicates(self.entries, self.documents(), alike)
        return [(self._by_case[later], self._by_case[earlier]) for later, earlier in earliest.items()]

    @cached_property
    def card(self) -> str:
        """The data card as Markdown."""
        return (self.root / "card.md").read_text(encoding="utf-8")

    @cached_property
    def pages(self) -> int:
        """Number of pages read."""
        return sum(len(pages) for pages in self._pages.values())

    @cached_property
    def words(self) -> int:
        """Number of words read."""
        return sum(page["words"] for pages in self._pages.values() for page in pages)

    @cached_property
    def ocr_share(self) -> float:
        """Share of the words that were read by OCR, 0..1."""
        by_ocr: int = sum(page["words"] for pages in self._pages.values() for page in pages if page["source"] == Source.OCR)
        return by_ocr / max(self.words, 1)

    @cached_property
    def _by_case(self) -> dict[str, LabelledDocument]:
        return {entry.case.id: entry for entry in self.chosen()}

    @cached_property
    def _documents(self) -> dict[str, Document]:
        return {}

    @cached_property
    def _pages(self) -> dict[str, list[dict[str, Any]]]:
        """Case id to the rows of its pages, in order."""
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


def earliest_near_duplicates(
    entries: Iterable[LabelledDocument], documents: Iterable[Document], alike: float
) -> dict[str, str]:
    """Case id to the id of its earliest near-duplicate, by day. Cases without one are left out."""
    days = {entry.case.id: entry.case.day or date.min for entry in entries}
    by_day = sorted(documents, key=lambda document: (days[document.sha256], document.sha256))
    earliest = near_duplicates([[word.text for word in document.words] for document in by_day], alike)
    return {later.sha256: by_day[at].sha256 for later, at in zip(by_day, earliest, strict=True) if at is not None}


def _entry(row: dict[str, Any]) -> LabelledDocument:
    case = Case(row.pop("id"), row.pop("path"), row.pop("day"), row.pop("segment"))
    anomalies = tuple(map(anomaly, json.loads(row["anomalies"])))
    embedded = e_invoice(json.loads(row["e_invoice"]))
    labels = {name: json.loads(row[name]) for name in ("labels", "before_audit")}
    return LabelledDocument(case=case, **row | labels | {"anomalies": anomalies, "e_invoice": embedded})


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause garbage collection while hundreds of thousands of words are created, none of them garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
