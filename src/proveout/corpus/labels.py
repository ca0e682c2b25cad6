"""Read a `labels.csv`, the labels of each document. Entry points: `read_labels`, and `check_labels` before a build.

    file_id, <the mission's fields>, split, day (or received), layout, segment, class (or title), source, licence

Only `file_id`, the file's name, is required; its extension may be left out. Every error names the line.
Covered: a missing or malformed file, contradictory rows, headers that nearly match (refused, with the correct names), unknown
columns (listed and ignored).
Not covered: whether a value is correct or of its field's kind: people write `02/235/20`. Only flags are checked.
"""

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from proveout.corpus.headers import match_headers
from proveout.errors import BadLabels
from proveout.mission import Mission
from proveout.records import FLAGS

OPTIONAL = ("split", "day", "received", "layout", "class", "title", "source", "licence")  # columns
FOLDERS = ("pdf", "files", ".")  # beside labels.csv: where its documents may be
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
MIN_DOCUMENTS = 4  # so that no split is empty
ANSWERED = "answered by "  # begins the source of a live case that a person answered
# Splits that models also learn from, and by which nothing is judged: labelled documents unlike the live ones, such as older or
# drawn ones, and documents without labels, as a teacher reads them (`models.distillation`).
AUXILIARY, UNLABELLED = "auxiliary", "unlabelled"
UNJUDGED = ("stream", AUXILIARY, UNLABELLED)
SPLIT_COLOURS = {  # in every plot
    "train": "#2b6cb0",
    "calibration": "#dd6b20",
    "test": "#2f855a",
    "test-seen": "#2f855a",
    "test-unseen": "#805ad5",
    "stream": "#a0aec0",
    AUXILIARY: "#38b2ac",
    UNLABELLED: "#718096",
}
SPLITS = tuple(SPLIT_COLOURS)
HINT = "expected a UTF-8 CSV with a column `file_id` (the file's name) and one column per labelled field"


@dataclass(frozen=True, slots=True)
class Row:
    """The labels of one document; "" or None: unknown."""

    fields: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    day: date | None = None
    layout: str = ""
    segment: str = ""
    document_class: str = ""
    source: str = ""
    licence: str = ""
    before_audit: Mapping[str, str] = field(default_factory=dict)  # the labels that a person replaced (`corpus.audit`)


@dataclass(frozen=True, slots=True)
class Labels:
    """A labels.csv."""

    rows: Mapping[str, Row]  # by file_id
    columns: tuple[str, ...]  # as in the file
    unknown: tuple[str, ...]  # columns that are ignored


def read_labels(path: Path, mission: Mission) -> Labels:
    """Read a labels.csv. Raises BadLabels with the file, the line and what was expected."""
    rows: dict[str, Row] = {}
    lines: dict[str, int] = {}
    columns: tuple[str, ...] = ()
    files = {file.name for folder in FOLDERS for file in (path.parent / folder).glob("*")}
    for number, values in table(path):
        if not columns:
            columns = _columns(path, values, mission)
            continue
        if not any(values):
            continue
        if len(values) != len(columns):
            raise BadLabels(
                f"{path}, line {number}: {len(values)} values, the header has {len(columns)}; quote values that contain commas"
            )
        row = dict(zip(columns, (value.strip() for value in values), strict=True))
        name = Path(row["file_id"]).stem if row["file_id"] in files else row["file_id"]
        if not name:
            raise BadLabels(f"{path}, line {number}: no file_id; expected the file's name")
        if name in lines:
            raise BadLabels(f"{path}, line {number}: file_id {name!r} is already in line {lines[name]}; keep one of them")
        lines[name] = number
        rows[name] = _row(row, mission, f"{path}, line {number}")
    if not columns:
        raise BadLabels(f"{path}: empty; {HINT}")
    expected = {"file_id", *OPTIONAL, mission.segment, *mission.fields}
    return Labels(rows, columns, tuple(column for column in columns if column not in expected))


def check_labels(path: Path, mission: Mission, answers: Path | None = None) -> None:
    """Raise BadLabels if no build can use a labels.csv: a required field has no column, or a split would have no documents.

    `answers`: path of a second labels.csv that counts too if it exists. A column may be empty.
    """
    labels = read_labels(path, mission)
    columns = set(labels.columns)
    if answers and answers.exists():
        columns |= {name for row in read_labels(answers, mission).rows.values() for name in row.fields}
    if missing := _required_without(columns, mission):
        raise BadLabels(
            f"{path}, line 1: no column for {missing}, which the mission {mission.mission} requires before it acts; "
            f"found {_listed(labels.columns)}; expected file_id, {_listed(tuple(mission.fields))}. "
            "Add the column (leave unknown values empty), or set `required: false` for the field in mission.yaml"
        )
    splits = Counter(row.split.partition("-")[0] for row in labels.rows.values() if row.split not in UNJUDGED)
    if not any(row.fields for row in labels.rows.values()) and not (answers and answers.exists()):
        raise BadLabels(f"{path}: no row has a value for any of {_listed(tuple(mission.fields))}; label some documents first")
    if set(splits) - {""}:
        if empty := [name for name in ("train", "calibration", "test") if not splits[name]]:
            raise BadLabels(
                f"{path}: no row has the split {' or '.join(empty)}; a build needs documents to train, to calibrate and to "
                "test. Add rows with that split, or remove the column `split` to split by day"
            )
    elif splits.total() < MIN_DOCUMENTS:
        raise BadLabels(
            f"{path}: {splits.total()} documents besides live cases; a build needs at least {MIN_DOCUMENTS} to train, "
            "calibrate and test, and a useful one a few hundred"
        )


def class_by_title(title: str, classes: tuple[str, ...]) -> str:
    """The class that a title names; "" if it names none, or several.

    A weak label for training the classifier. Models never see the title.

    >>> names = ("invoice", "order", "contract", "other")
    >>> [class_by_title(title, names) for title in ("Inv. 4711", "ORDER 12 CONTRACT 13", "Payment Contract 64532", "Biden")]
    ['invoice', '', 'contract', '']
    """
    words = set(re.findall(r"[a-z]+", title.lower()))
    short = {"inv": "invoice", "ord": "order"}
    named = {short.get(word, word.removesuffix("s")) for word in words} & (set(classes) - {"other"})
    return named.pop() if len(named) == 1 else ""


def table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and values of every row. Raises BadLabels for a file that cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            try:
                for values in rows:
                    yield rows.line_num, values
            except csv.Error as error:
                raise BadLabels(f"{path}, line {rows.line_num}: malformed CSV: {error}; {HINT}") from error
            except UnicodeDecodeError as error:
                raise BadLabels(f"{path}, after line {rows.line_num}: not UTF-8: {error.reason}; save it as UTF-8") from error
    except OSError as error:
        raise BadLabels(f"{path}: cannot be read ({error.strerror}); {HINT}") from error


def _required_without(columns: Collection[str], mission: Mission) -> str:
    """The required fields that none of the columns has, in words; "" if there are none."""
    return ", ".join(f"`{name}`" for name in mission.fields if name in mission.required and name not in columns)


def _columns(path: Path, header: Sequence[str], mission: Mission) -> tuple[str, ...]:
    columns, faults = tuple(column.strip() for column in header), []
    if len(columns) == 1 and (separator := max(SEPARATORS, key=columns[0].count)) in columns[0]:
        faults.append(f"the columns are separated by {SEPARATORS[separator]}; save it as CSV with commas")
        columns = tuple(column.strip().strip('"') for column in columns[0].split(separator))
    if mapping := match_headers(columns, ("file_id", *mission.fields), (*OPTIONAL, mission.segment)):
        renamed = ", ".join(f"{column} -> {name}" for column, name in mapping.items())
        faults.append(
            f"{'a header is' if len(mapping) == 1 else 'headers are'} nearly right; rename {renamed} "
            "(or remove a column that means something else)"
        )
        if missing := _required_without({*columns, *mapping.values()}, mission):
            faults.append(f"no column looks like {missing}; found {_listed(columns)}")
    if "file_id" not in (*columns, *mapping.values()):
        faults.append(f"no column `file_id`; found {_listed(columns)}; {HINT}")
    if repeated := sorted({column for column in columns if columns.count(column) > 1}):
        faults.append(f"column `{repeated[0]}` appears twice; keep one of them")
    if faults:
        raise BadLabels(f"{path}, line 1: {'. Also, '.join(faults)}")
    return columns


def _listed(columns: Sequence[str]) -> str:
    """The first dozen, and how many follow."""
    more = f" and {len(columns) - 12} more" if len(columns) > 12 else ""
    return ", ".join(columns[:12]) + more


def _row(row: dict[str, str], mission: Mission, place: str) -> Row:
    day_text = row.get("day") or row.get("received") or ""
    try:
        day = date.fromisoformat(day_text) if day_text else None
    except ValueError as error:
        raise BadLabels(f"{place}: day {day_text!r}; expected YYYY-MM-DD, such as 2020-02-29") from error
    split = row.get("split", "")
    if split and split not in SPLITS:
        raise BadLabels(f"{place}: split {split!r}; expected one of {', '.join(SPLITS)}")
    document_class = row.get("class", "")
    if document_class and document_class not in mission.classes:
        raise BadLabels(f"{place}: class {document_class!r}; expected one of {', '.join(mission.classes)}")
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


def _value(name: str, text: str, mission: Mission, place: str) -> str:
    """The text unchanged; for a flag "yes" or "no"."""
    if mission.kinds[name] != "flag":
        return text
    if (flag := FLAGS.get(text.lower())) is None:
        raise BadLabels(f"{place}: flag `{name}` is {text!r}; expected yes or no (or true, false, 1, 0), or no value")
    return flag
