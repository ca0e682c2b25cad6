"""Build a data set from a folder of documents and its labels.csv. Entry point: `build_dataset`."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from proveout import documents
from proveout.corpus.audit import blind_sample, corrected, latest, read_audit
from proveout.corpus.card import card
from proveout.corpus.dataset import SCHEMA, Dataset, LabelledDocument, earliest_near_duplicates, gc_paused
from proveout.corpus.labels import FOLDERS, UNJUDGED, Labels, Row, read_labels
from proveout.corpus.near_duplicates import ALIKE
from proveout.documents.batch import Progress
from proveout.errors import BadLabels, NoDocuments, UnreadableDocument
from proveout.files import is_unfinished, open_file, printable
from proveout.mission import Mission
from proveout.records import Case, Document, Source

SPLIT_SHARES = {"train": 0.5, "calibration": 0.2, "test": 0.3}  # if labels.csv has no splits; see `_with_splits`
MAX_NAME = 255  # bytes; the limit of most file systems
SIDECARS = (".csv", ".json", ".md", ".yaml", ".yml")  # files of a folder that are not documents


def build_dataset(
    folder: Path | str,
    mission: Mission,
    out: Path | str,
    progress: Progress | None = None,
    cache: Path | None = None,
    answers: Path | str | None = None,
) -> Dataset:
    """Read every document of a folder and its labels.csv, and write the data set to `out`.

    `answers`: a folder of reviewed live cases (`live.label_export`), which join the training split.
    With a `cache` folder, files that were read before are not read again.
    Raises NoDocuments if no file of the folder can be read, BadLabels if labels.csv is malformed, contradicts itself or names
    missing files.
    """
    folder, out = Path(folder), Path(out)
    files = _files(folder)
    labels = read_labels(folder / "labels.csv", mission)
    missing = [name for name in labels.rows if name not in files]
    if missing:
        raise BadLabels(
            f"{folder / 'labels.csv'}: {len(missing)} of {len(labels.rows)} rows have no file, "
            f"the first is {missing[0]!r}; remove the rows or add the files"
        )
    with _replacing_folder(out) as staging:
        copies = _copy(files.values(), staging / "files")
        with gc_paused():
            results = list(documents.read_many(copies, cache, progress))
        if all(isinstance(result, UnreadableDocument) for result in results):
            raise NoDocuments(
                f"{folder}: none of {len(files)} files can be read; the first: {files[next(iter(files))].name}: {results[0]}"
            )
        audit = read_audit(folder, mission)
        entries, readable = _entries(folder, files, copies, corrected(labels.rows, audit, mission), results)
        answered = 0
        if answers and (Path(answers) / "labels.csv").exists():
            answer_files = _files(Path(answers))
            answer_rows = read_labels(Path(answers) / "labels.csv", mission).rows
            answer_copies = _copy(answer_files.values(), staging / "files")
            answered = _add_answers(entries, readable, answer_files, answer_rows, documents.read_many(answer_copies, cache))
        earliest = earliest_near_duplicates(entries, readable, ALIKE)
        entries = [replace(entry, near_duplicate_of=earliest.get(entry.case.id, "")) for entry in entries]
        notes = {
            "unlabelled": sorted(name for name in files if name not in labels.rows),
            "unknown_columns": list(labels.unknown),
            "columns": list(labels.columns),
            "answers": answered,
            "splits": _how_split(labels),
            "audit": dict(Counter(reading.verdict(mission) for reading in latest(audit))),
            "blind": asdict(blind_sample(audit, mission)),
        }
        _write(staging, entries, readable, folder.resolve().name, notes)
        (staging / "card.md").write_text(card(Dataset(staging), mission), encoding="utf-8")
    return Dataset(out)


def _files(folder: Path) -> dict[str, Path]:
    """The documents of a folder, or of its subfolder `pdf` or `files`, by file_id."""
    inside = next((folder / name for name in FOLDERS if (folder / name).is_dir()), folder)
    if not inside.is_dir():
        raise NoDocuments(f"{folder}: no such folder; expected one with PDFs, images or texts and a labels.csv")
    paths = sorted(
        path
        for path in inside.iterdir()
        if path.is_file()
        and path.suffix.lower() not in SIDECARS
        and not (path.name.startswith(".") or is_unfinished(path.name))
    )
    if not paths:
        raise NoDocuments(f"{inside}: no documents; expected PDF, PNG, JPEG, TIFF or text files")
    files: dict[str, Path] = {}
    for path in paths:
        id = printable(path.stem)
        if id in files:
            raise BadLabels(
                f"{inside}: {printable(files[id].name)} and {printable(path.name)} have the same file_id {id!r}; rename one"
            )
        files[id] = path
    return files


def _entries(
    folder: Path,
    files: Mapping[str, Path],
    copies: Sequence[Path],
    rows: Mapping[str, Row],
    results: Sequence[Document | UnreadableDocument],
) -> tuple[list[LabelledDocument], list[Document]]:
    """One entry per file, and the readable documents without duplicates."""
    entries: list[LabelledDocument] = []
    readable: list[Document] = []
    first: dict[str, str] = {}
    for (name, path), copy, result in zip(files.items(), copies, results, strict=True):
        row = rows.get(name, Row(split="stream"))
        place = path.with_name(_name(path)).relative_to(folder).as_posix()
        sha256 = result.sha256 if isinstance(result, Document) else _id_of_unreadable(copy)
        entries.append(
            LabelledDocument(
                case=Case(sha256, place, row.day, row.segment),
                split=row.split,
                layout=row.layout,
                labels=row.fields,
                before_audit=row.before_audit,
                document_class=row.document_class,
                source=row.source,
                licence=row.licence,
                duplicate_of=first.get(sha256, ""),
                refused=str(result) if isinstance(result, UnreadableDocument) else "",
                anomalies=result.anomalies if isinstance(result, Document) else (),
                e_invoice=result.e_invoice if isinstance(result, Document) else None,
            )
        )
        if sha256 not in first and isinstance(result, Document):
            readable.append(result)
        first.setdefault(sha256, place)
    return _with_splits(entries), readable


def _add_answers(
    entries: list[LabelledDocument],
    readable: list[Document],
    files: Mapping[str, Path],
    rows: Mapping[str, Row],
    results: Iterable[Document | UnreadableDocument],
) -> int:
    """Add reviewed live cases to the training split and return how many. Answers override the labels of existing entries.

    Calibration and test cases stay unchanged, so that answers never train on them.
    """
    answered, places = 0, {entry.case.id: at for at, entry in enumerate(entries) if not entry.duplicate_of}
    for path, document in zip(files.values(), results, strict=True):
        row = rows.get(printable(path.stem))
        if row is None or not isinstance(document, Document):
            continue
        at = places.get(document.sha256)
        if at is None:
            case = Case(document.sha256, f"answers/{path.name}", row.day, row.segment)
            entry = LabelledDocument(case, "train", "", row.fields, row.document_class, row.source)
            entries.append(replace(entry, anomalies=document.anomalies, e_invoice=document.e_invoice))
            readable.append(document)
        elif (entry := entries[at]).split in ("train", *UNJUDGED):
            fields, document_class = {**entry.labels, **row.fields}, row.document_class or entry.document_class
            entries[at] = replace(entry, split="train", labels=fields, document_class=document_class, source=row.source)
        else:
            continue
        answered += 1
    return answered


def _id_of_unreadable(path: Path) -> str:
    try:
        return documents.sha256_of(path)
    except (OSError, UnreadableDocument):  # the bytes are inaccessible, so the id comes from the name
        return hashlib.sha256(os.fsencode(path.name)).hexdigest()


def _with_splits(entries: list[LabelledDocument]) -> list[LabelledDocument]:
    """If labels.csv has no splits at all, split by day, oldest first; cases without a day come first, ordered by their hash."""
    if any(entry.split not in ("", *UNJUDGED) for entry in entries):
        return [entry if entry.split else replace(entry, split="stream") for entry in entries]
    open_ids = {entry.case.id: entry.case.day or date.min for entry in entries if not entry.split and not entry.duplicate_of}
    order = sorted(open_ids, key=lambda case: (open_ids[case], case))
    split: dict[str, str] = {}
    start, share = 0, 0.0
    for name, part in SPLIT_SHARES.items():
        share += part
        end = round(share * len(order))
        split.update(dict.fromkeys(order[start:end], name))
        start = end
    return [entry if entry.split else replace(entry, split=split.get(entry.case.id, "stream")) for entry in entries]


def _how_split(labels: Labels) -> str:
    """How the cases were split, for the data card."""
    if any(row.split not in ("", *UNJUDGED) for row in labels.rows.values()):
        return "labels.csv"
    days = [row.day is not None for row in labels.rows.values() if not row.split]
    if not any(days):
        return "at random: labels.csv has no days"
    undated = "" if all(days) else f"; before them the {days.count(False)} cases without a day, at random"
    return f"by day, oldest first{undated}"


@contextmanager
def _replacing_folder(out: Path) -> Iterator[Path]:
    """A temporary folder that replaces `out` on success."""
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


def _copy(files: Iterable[Path], folder: Path) -> list[Path]:
    """Copy files into a folder; returns what is read in their place, so that the words belong to the bytes that are kept.

    A file that is oversized or cannot be opened is not copied; reading it gives the reason.
    """
    folder.mkdir(exist_ok=True)
    copies = []
    for path in files:
        copy = folder / _name(path)
        try:
            with open_file(path) as source, copy.open("wb") as target:
                if too_large := os.fstat(source.fileno()).st_size > documents.MAX_BYTES:
                    copy.unlink()
                else:
                    shutil.copyfileobj(source, target)
            copies.append(path if too_large else copy)
        except (OSError, UnreadableDocument):
            copy.unlink(missing_ok=True)
            copies.append(path)
    return copies


def _name(path: Path) -> str:
    """The name of a file's copy: printable, and no longer than file systems allow."""
    name = printable(path.name)
    if len(name.encode()) <= MAX_NAME:
        return name
    return f"{name[:50]}-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}"


def _write(
    staging: Path, entries: list[LabelledDocument], readable: list[Document], name: str, notes: Mapping[str, Any]
) -> None:
    import pyarrow as arrow  # type: ignore[import-untyped]
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    words = [word for document in readable for word in document.words]
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
    for document in readable:
        for page in document.pages:
            source = page.words[0].source if page.words else Source.TEXT_LAYER
            row = {"case": document.sha256, "page": page.number, "start": start, "words": len(page.words)}
            row |= {"source": source.value, "width": page.width, "height": page.height, "turned": page.turned}
            pages.append(row)
            start += len(page.words)
    parquet.write_table(arrow.table(columns), staging / "words.parquet")
    parquet.write_table(arrow.Table.from_pylist(pages), staging / "pages.parquet")
    parquet.write_table(arrow.Table.from_pylist([_plain(entry) for entry in entries]), staging / "manifest.parquet")
    about = {"schema": SCHEMA, "version": _version(entries, columns, pages), "name": name, "notes": notes}
    (staging / "dataset.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _version(entries: list[LabelledDocument], columns: Mapping[str, Any], pages: list[dict[str, Any]]) -> str:
    """A content id of the data set, independent of the names and the order of the files."""
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
    columns = {"id": case.id, "path": case.path, "day": case.day, "segment": case.segment}
    columns |= {name: json.dumps(row.pop(name), ensure_ascii=False) for name in ("anomalies", "e_invoice")}
    columns |= {name: json.dumps(dict(row[name]), sort_keys=True, ensure_ascii=False) for name in ("labels", "before_audit")}
    return {**row, **columns}
