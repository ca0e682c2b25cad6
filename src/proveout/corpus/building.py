"""Build a data set: read every document of a folder with its labels.csv, once. One door: `build_dataset`."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from proveout import documents
from proveout.corpus.card import card
from proveout.corpus.dataset import SCHEMA, Dataset, LabelledDocument, earliest_near_duplicates, without_collecting
from proveout.corpus.labels import Labels, Row, read_labels
from proveout.corpus.near_duplicates import ALIKE
from proveout.errors import BadLabels, NoDocuments, UnreadableDocument
from proveout.mission import Mission
from proveout.records import Case, Document, Source

SHARES = {"train": 0.5, "calibration": 0.2, "test": 0.3}  # where labels.csv has no splits; see `_with_splits`
BESIDE = (".csv", ".json", ".md", ".yaml", ".yml")  # what lies beside documents and is none

Progress = Callable[[int, int], None]  # files done, files in all


def build_dataset(
    folder: Path | str,
    mission: Mission,
    out: Path | str,
    progress: Progress | None = None,
    cache: Path | None = None,
    answers: Path | str | None = None,
) -> Dataset:
    """Read every document of a folder with its labels.csv, and write the data set to `out`.

    `answers`: a folder of answered live cases (`live.label_export`), which join the training split.
    Raises NoDocuments for a folder in which nothing can be read, BadLabels for a labels.csv that contradicts itself
    or the folder. With a `cache` folder, files that were read before are not read again.
    """
    folder, out = Path(folder), Path(out)
    files = _files(folder)
    labels = read_labels(folder / "labels.csv", mission)
    missing = [name for name in labels.rows if name not in files]
    if missing:
        ending = f" (a file_id has no ending: {Path(missing[0]).stem!r})" if Path(missing[0]).stem in files else ""
        raise BadLabels(
            f"{folder / 'labels.csv'}: {len(missing)} of {len(labels.rows)} rows have no file, "
            f"the first is {missing[0]!r}{ending}; remove the rows or add the files"
        )
    with without_collecting():
        read = list(documents.read_many(list(files.values()), cache, progress))
    if all(isinstance(each, UnreadableDocument) for each in read):
        raise NoDocuments(
            f"{folder}: none of {len(files)} files can be read; the first: {files[next(iter(files))].name}: {read[0]}"
        )
    entries, kept = _entries(folder, files, labels.rows, read)
    answered = Path(answers) if answers and (Path(answers) / "labels.csv").exists() else None
    more = _files(answered) if answered else {}
    told = read_labels(answered / "labels.csv", mission).rows if answered else {}
    taught = len(told) and _answer(entries, kept, more, told, list(documents.read_many(list(more.values()), cache)))
    entries = _with_near_duplicates(entries, kept)
    notes = {
        "unlabelled": sorted(name for name in files if name not in labels.rows),
        "unknown_columns": list(labels.unknown),
        "columns": list(labels.columns),
        "answers": taught,
        "splits": _how_split(labels),
    }
    with _whole(out) as staging:
        _write(staging, entries, kept, folder.resolve().name, notes)
        _copy([*files.values(), *more.values()], staging / "files")
        (staging / "card.md").write_text(card(Dataset(staging), mission), encoding="utf-8")
    return Dataset(out)


def _files(folder: Path) -> dict[str, Path]:
    """The documents of a folder, or of its `pdf/` or `files/`, by the stem of their names."""
    inside = next((folder / each for each in ("pdf", "files") if (folder / each).is_dir()), folder)
    if not inside.is_dir():
        raise NoDocuments(f"{folder}: no such folder; expected one with PDFs, images or texts and a labels.csv")
    found = sorted(p for p in inside.iterdir() if p.is_file() and p.suffix.lower() not in BESIDE and not p.name.startswith("."))
    if not found:
        raise NoDocuments(f"{inside}: no documents; expected PDF, PNG, JPEG, TIFF or text files")
    files: dict[str, Path] = {}
    for path in found:
        if path.stem in files:
            raise BadLabels(
                f"{inside}: {files[path.stem].name} and {path.name} have the same file_id {path.stem!r}; rename one"
            )
        files[path.stem] = path
    return files


def _entries(
    folder: Path, files: Mapping[str, Path], rows: Mapping[str, Row], read: Sequence[Document | UnreadableDocument]
) -> tuple[list[LabelledDocument], list[Document]]:
    """An entry for every file, and the documents that are kept: the readable ones, each once."""
    entries: list[LabelledDocument] = []
    kept: list[Document] = []
    first: dict[str, str] = {}
    for (name, path), answer in zip(files.items(), read, strict=True):
        row = rows.get(name, Row(split="stream"))
        place = path.relative_to(folder).as_posix()
        sha256 = answer.sha256 if isinstance(answer, Document) else _id_of_unread(path)
        entries.append(
            LabelledDocument(
                case=Case(sha256, place, row.day, row.segment),
                split=row.split,
                layout=row.layout,
                labels=row.fields,
                document_class=row.document_class,
                source=row.source,
                licence=row.licence,
                duplicate_of=first.get(sha256, ""),
                refused=str(answer) if isinstance(answer, UnreadableDocument) else "",
            )
        )
        if sha256 not in first and isinstance(answer, Document):
            kept.append(answer)
        first.setdefault(sha256, place)
    return _with_splits(entries), kept


def _answer(
    entries: list[LabelledDocument],
    kept: list[Document],
    files: Mapping[str, Path],
    rows: Mapping[str, Row],
    read: Sequence[Document | UnreadableDocument],
) -> int:
    """Add answered live cases to the training documents, and give how many; where one is here, what people answered counts.

    What calibrates and tests stays as it is: it is there to judge, and an answer about it teaches nothing.
    """
    taught, places = 0, {entry.case.id: at for at, entry in enumerate(entries) if not entry.duplicate_of}
    for path, found in zip(files.values(), read, strict=True):
        row = rows.get(path.stem)
        if row is None or not isinstance(found, Document):
            continue
        at = places.get(found.sha256)
        if at is None:
            case = Case(found.sha256, f"answers/{path.name}", row.day, row.segment)
            entries.append(LabelledDocument(case, "train", "", row.fields, row.document_class, row.source))
            kept.append(found)
        elif (entry := entries[at]).split in ("train", "stream"):
            fields, document_class = {**entry.labels, **row.fields}, row.document_class or entry.document_class
            entries[at] = replace(entry, split="train", labels=fields, document_class=document_class, source=row.source)
        else:
            continue
        taught += 1
    return taught


def _id_of_unread(path: Path) -> str:
    try:
        return documents.sha256_of(path)
    except OSError:  # not even its bytes can be read, so the name has to do
        return hashlib.sha256(path.name.encode()).hexdigest()


def _with_near_duplicates(entries: list[LabelledDocument], kept: list[Document]) -> list[LabelledDocument]:
    earliest = earliest_near_duplicates(entries, kept, ALIKE)
    return [replace(entry, near_duplicate_of=earliest.get(entry.case.id, "")) for entry in entries]


def _with_splits(entries: list[LabelledDocument]) -> list[LabelledDocument]:
    """Where labels.csv gives no split at all: by day, oldest first; cases without a day first, by their id, which is a hash."""
    if any(entry.split not in ("", "stream") for entry in entries):
        return [entry if entry.split else replace(entry, split="stream") for entry in entries]
    open_ids = {entry.case.id: entry.case.day or date.min for entry in entries if not entry.split and not entry.duplicate_of}
    order = sorted(open_ids, key=lambda case: (open_ids[case], case))
    split: dict[str, str] = {}
    start, share = 0, 0.0
    for name, part in SHARES.items():
        share += part
        end = round(share * len(order))
        split.update(dict.fromkeys(order[start:end], name))
        start = end
    return [entry if entry.split else replace(entry, split=split.get(entry.case.id, "stream")) for entry in entries]


def _how_split(labels: Labels) -> str:
    """What `_with_splits` does, for the data card."""
    if any(row.split not in ("", "stream") for row in labels.rows.values()):
        return "labels.csv"
    days = [row.day is not None for row in labels.rows.values() if not row.split]
    if not any(days):
        return "by chance: labels.csv has no days"
    undated = "" if all(days) else f"; before them the {days.count(False)} cases without a day, by chance"
    return f"by day, oldest first{undated}"


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place when everything in it is written."""
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = out.with_name(f".{out.name}-{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        yield staging
        if out.exists():
            shutil.rmtree(out)
        staging.replace(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _copy(files: Iterable[Path], folder: Path) -> None:
    folder.mkdir()
    for path in files:
        with suppress(OSError):  # what cannot be opened is a refused case already
            if path.stat().st_size <= documents.MAX_BYTES:
                shutil.copyfile(path, folder / path.name)


def _write(staging: Path, entries: list[LabelledDocument], kept: list[Document], name: str, notes: Mapping[str, Any]) -> None:
    import pyarrow as arrow  # type: ignore[import-untyped]
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    words = [word for each in kept for word in each.words]
    boxes = np.array([[w.box.x0, w.box.y0, w.box.x1, w.box.y1] for w in words], dtype=np.float64).reshape(-1, 4)
    hundredths = np.round(boxes * 100).astype(np.int32)
    columns: dict[str, Any] = {
        "text": arrow.array([word.text for word in words], arrow.string()),
        **{name: hundredths[:, i] for i, name in enumerate(("x0", "y0", "x1", "y1"))},
        "line": np.array([word.line for word in words], dtype=np.int32),
        "confidence": np.round(np.array([word.confidence for word in words]) * 10_000).astype(np.int16),
    }
    pages: list[dict[str, Any]] = []
    start = 0
    for each in kept:
        for page in each.pages:
            source = page.words[0].source if page.words else Source.TEXT_LAYER
            place = {"case": each.sha256, "page": page.number, "start": start, "words": len(page.words), "source": source.value}
            pages.append(place | {"width": page.width, "height": page.height, "turned": page.turned})
            start += len(page.words)
    parquet.write_table(arrow.table(columns), staging / "words.parquet")
    parquet.write_table(arrow.Table.from_pylist(pages), staging / "pages.parquet")
    parquet.write_table(arrow.Table.from_pylist([_plain(entry) for entry in entries]), staging / "manifest.parquet")
    about = {"schema": SCHEMA, "version": _version(entries, columns, pages), "name": name, "notes": notes}
    (staging / "dataset.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _version(entries: list[LabelledDocument], columns: Mapping[str, Any], pages: list[dict[str, Any]]) -> str:
    """An id of what the data set says. Names of files and the order in which they were read do not count."""
    digest = hashlib.sha256()
    rows = [_plain(entry) | {"path": None, "duplicate_of": bool(entry.duplicate_of)} for entry in entries]
    for row in sorted(json.dumps(row, sort_keys=True, default=str) for row in rows):
        digest.update(row.encode())
    texts = columns["text"].to_pylist()
    for page in sorted(pages, key=lambda page: (page["case"], page["page"])):
        part = slice(page["start"], page["start"] + page["words"])
        digest.update(json.dumps({**page, "start": None}, sort_keys=True).encode())
        digest.update("\n".join(texts[part]).encode())
        for name in ("x0", "y0", "x1", "y1", "line", "confidence"):
            digest.update(columns[name][part].tobytes())
    return digest.hexdigest()[:16]


def _plain(entry: LabelledDocument) -> dict[str, Any]:
    """A row of the manifest."""
    row, case = asdict(entry), entry.case
    del row["case"]
    known = {"id": case.id, "path": case.path, "day": case.day, "segment": case.segment}
    return {**known, **row, "labels": json.dumps(dict(entry.labels), sort_keys=True, ensure_ascii=False)}
