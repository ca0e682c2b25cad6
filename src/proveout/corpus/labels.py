"""Read a `labels.csv`: what people know of each document. Doors: `read_labels`, and `check_labels` before a build.

    file_id, <the mission's fields>, split, day (or received), layout, segment, class (or title), source, licence

Only `file_id`, the file's name without its ending, has to be there. Every mistake names the line.
Covered: a missing or malformed file, rows that contradict each other, headers that nearly fit (refused, with the names that
would fit), columns that nobody knows (kept apart, named).
Not covered: whether a value is right, or even of its field's kind. People write `02/235/20`. Only a flag has to be one.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from proveout.corpus.headers import meant
from proveout.errors import BadLabels
from proveout.mission import Mission
from proveout.records import FLAGS

BESIDE = ("split", "day", "received", "layout", "class", "title", "source", "licence")  # columns that may be there
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
FEWEST = 4  # documents, so that no split is empty
SPLITS = ("train", "calibration", "test", "test-seen", "test-unseen", "stream")
HINT = (
    "expected a CSV in UTF-8 with a column `file_id` (the file's name without its ending) and one column for each known field"
)


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one document; "" or None: not known."""

    fields: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    day: date | None = None
    layout: str = ""
    segment: str = ""
    document_class: str = ""
    source: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Labels:
    rows: Mapping[str, Row]  # by file_id
    columns: tuple[str, ...]  # as in the file
    unknown: tuple[str, ...]  # columns that mean nothing here


def read_labels(path: Path, mission: Mission) -> Labels:
    """The rows of a labels.csv.

    Raises BadLabels with the file, the line and what was expected.
    """
    rows: dict[str, Row] = {}
    lines: dict[str, int] = {}
    columns: tuple[str, ...] = ()
    for number, cells in _table(path):
        if not columns:
            columns = _columns(path, cells, mission)
            continue
        if not any(cells):
            continue
        if len(cells) != len(columns):
            raise BadLabels(
                f"{path}, line {number}: {len(cells)} cells, the header has {len(columns)}; quote values with commas"
            )
        row = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
        name = row["file_id"]
        if not name:
            raise BadLabels(f"{path}, line {number}: no file_id; every row names its file, without the ending")
        if name in lines:
            raise BadLabels(f"{path}, line {number}: file_id {name!r} stands in line {lines[name]} already; keep one of them")
        lines[name] = number
        rows[name] = _row(row, mission, f"{path}, line {number}")
    if not columns:
        raise BadLabels(f"{path}: empty; {HINT}")
    known = {"file_id", *BESIDE, mission.segment, *mission.fields}
    return Labels(rows, columns, tuple(each for each in columns if each not in known))


def check_labels(path: Path, mission: Mission, answers: Path | None = None) -> None:
    """Refuse a labels.csv that no build can use: no column for a required field, or nothing to learn, calibrate or test on.

    `answers`: another labels.csv that counts too, where it exists. A column that is there may be empty.
    Raises BadLabels with what was found and what the mission expects.
    """
    labels = read_labels(path, mission)
    columns = set(labels.columns)
    if answers and answers.exists():
        columns |= {name for row in read_labels(answers, mission).rows.values() for name in row.fields}
    if missing := [f"`{name}`" for name, spec in mission.fields.items() if spec.required and name not in columns]:
        raise BadLabels(
            f"{path}, line 1: no column for {', '.join(missing)}, which the mission {mission.mission} requires before it acts; "
            f"found {_listed(labels.columns)}; expected file_id, {_listed(tuple(mission.fields))}. "
            "Add the column (it may be empty where nobody knows the value yet), "
            "or set `required: false` for the field in mission.yaml"
        )
    splits = Counter(row.split.partition("-")[0] for row in labels.rows.values() if row.split != "stream")
    if not any(row.fields for row in labels.rows.values()) and not (answers and answers.exists()):
        raise BadLabels(f"{path}: not one labelled value of {_listed(tuple(mission.fields))}; label some documents first")
    if set(splits) - {""}:
        if lacking := [name for name in ("train", "calibration", "test") if not splits[name]]:
            raise BadLabels(
                f"{path}: no row has the split {' or '.join(lacking)}; a build needs documents to learn from, others to "
                "calibrate on and others to test on. Name them, or leave the column `split` out: then they are chosen by day"
            )
    elif splits.total() < FEWEST:
        raise BadLabels(
            f"{path}: {splits.total()} documents that are no live cases; a build needs {FEWEST} at least, to learn from, "
            "to calibrate on and to test on, and a useful one some hundred"
        )


def class_by_title(title: str, classes: tuple[str, ...]) -> str:
    """The class that a title names; "" when it names none, or several.

    A weak label to learn the class from. A title is never shown to a model.

    >>> names = ("invoice", "order", "contract", "other")
    >>> [class_by_title(title, names) for title in ("Inv. 4711", "ORDER 12 CONTRACT 13", "Payment Contract 64532", "Biden")]
    ['invoice', '', 'contract', '']
    """
    words = set(re.findall(r"[a-z]+", title.lower()))
    short = {"inv": "invoice", "ord": "order"}
    said = {short.get(word, word.removesuffix("s")) for word in words} & (set(classes) - {"other"})
    return said.pop() if len(said) == 1 else ""


def _table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.reader(file, strict=True)
            try:
                for cells in table:
                    yield table.line_num, cells
            except csv.Error as error:
                raise BadLabels(f"{path}, line {table.line_num}: malformed CSV: {error}; {HINT}") from error
            except UnicodeDecodeError as error:
                raise BadLabels(f"{path}, after line {table.line_num}: not UTF-8: {error.reason}; save it as UTF-8") from error
    except OSError as error:
        raise BadLabels(f"{path}: cannot be read ({error.strerror}); {HINT}") from error


def _columns(path: Path, cells: Sequence[str], mission: Mission) -> tuple[str, ...]:
    columns, faults = tuple(cell.strip() for cell in cells), []
    if len(columns) == 1 and (separator := max(SEPARATORS, key=columns[0].count)) in columns[0]:
        faults.append(f"{SEPARATORS[separator]} stand between the columns; save it as CSV with commas")
        columns = tuple(cell.strip().strip('"') for cell in columns[0].split(separator))
    if mapping := meant(columns, ("file_id", *mission.fields), (*BESIDE, mission.segment)):
        renamed = ", ".join(f"{column} -> {name}" for column, name in mapping.items())
        faults.append(
            f"{'a header is' if len(mapping) == 1 else 'headers are'} nearly right; rename {renamed} "
            "(or remove a column that means something else)"
        )
    if "file_id" not in (*columns, *mapping.values()):
        faults.append(f"no column `file_id`; found {_listed(columns)}; {HINT}")
    if twice := sorted({each for each in columns if columns.count(each) > 1}):
        faults.append(f"column `{twice[0]}` stands there twice; keep one of them")
    if faults:
        raise BadLabels(f"{path}, line 1: {'. Also, '.join(faults)}")
    return columns


def _listed(columns: Sequence[str]) -> str:
    """At most a dozen of them."""
    more = f" and {len(columns) - 12} more" if len(columns) > 12 else ""
    return ", ".join(columns[:12]) + more


def _row(row: dict[str, str], mission: Mission, place: str) -> Row:
    written = row.get("day") or row.get("received") or ""
    try:
        day = date.fromisoformat(written) if written else None
    except ValueError as error:
        raise BadLabels(f"{place}: day {written!r}; expected YYYY-MM-DD, such as 2020-02-29") from error
    split = row.get("split", "")
    if split and split not in SPLITS:
        raise BadLabels(f"{place}: split {split!r}; expected one of {', '.join(SPLITS)}")
    document_class = row.get("class", "")
    if document_class and document_class not in mission.classes:
        raise BadLabels(f"{place}: class {document_class!r}; the mission knows {', '.join(mission.classes)}")
    layout = row.get("layout", "")
    return Row(
        fields={name: _value(name, row[name], mission, place) for name in mission.fields if row.get(name)},
        split=split,
        day=day,
        layout=layout,
        segment=row.get(mission.segment, layout),
        document_class=document_class or class_by_title(row.get("title", ""), mission.classes),
        source=row.get("source", ""),
        licence=row.get("licence", ""),
    )


def _value(name: str, written: str, mission: Mission, place: str) -> str:
    """As it stands there; a flag as yes or no, whatever the person's word for it."""
    if mission.kinds[name] != "flag":
        return written
    if (flag := FLAGS.get(written.lower())) is None:
        raise BadLabels(
            f"{place}: `{name}` is {written!r}; it is a flag: expected yes or no (or true, false, 1, 0), or nothing"
        )
    return flag
