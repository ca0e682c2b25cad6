"""The audit of a data set's labels: what a person read on the page. Entry points: `read_audit`, `record`, `corrected`.

    audit.csv, beside labels.csv: file_id, field, label, model, answer, drawn, by, on, reason

`label` and `model` are what the label and the model said when the question was asked; `answer` is the value as printed, nothing
if the document has none, or `?` if the person could not tell. `drawn` is yes for a value on which label and model agreed and
that was drawn at random. labels.csv never changes: an answer replaces the label from the next build on, and the file says who
replaced it, when and why. The latest answer counts.
Covered: an answer about a label that has changed since is ignored; a kill leaves the old file intact.
Not covered: several readers of the same value; the person who reads is taken to be right.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from pathlib import Path

from proveout.corpus.labels import Row, table
from proveout.errors import BadLabels
from proveout.files import replacing
from proveout.mission import Mission
from proveout.records import BlindSample
from proveout.values import same

CANNOT_TELL = "?"
FILE = "audit.csv"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a person read in answer to one question."""

    file_id: str
    field: str
    label: str
    model: str
    answer: str
    drawn: bool  # at random, from the values on which label and model agreed
    by: str
    on: date
    reason: str = ""

    def verdict(self, mission: Mission) -> str:
        """label wrong, model wrong, both wrong, both right or cannot tell."""
        if self.answer == CANNOT_TELL:
            return "cannot tell"
        label, model = (
            same(mission.kinds[self.field], self.answer, text) if self.answer and text else self.answer == text
            for text in (self.label, self.model)
        )
        return {(True, True): "both right", (False, True): "label wrong", (True, False): "model wrong"}.get(
            (label, model), "both wrong"
        )


COLUMNS = tuple(column.name for column in fields(Reading))


def read_audit(folder: Path, mission: Mission) -> list[Reading]:
    """The answers in a folder's audit.csv, the oldest first; none without the file. Raises BadLabels, naming the line."""
    path = folder / FILE
    if not path.exists():
        return []
    lines = table(path)
    _, header = next(lines, (1, []))
    if tuple(header) != COLUMNS:
        raise BadLabels(f"{path}, line 1: the columns are {', '.join(header)}; expected {', '.join(COLUMNS)}")
    return [_reading(values, mission, f"{path}, line {number}") for number, values in lines if any(values)]


def record(folder: Path, mission: Mission, readings: Iterable[Reading]) -> None:
    """Add answers to a folder's audit.csv."""
    rows = [*read_audit(folder, mission), *readings]
    with replacing(folder / FILE) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({**asdict(row), "drawn": "yes" if row.drawn else "no"} for row in rows)


def latest(readings: Iterable[Reading]) -> list[Reading]:
    """The last answer about each value."""
    return list({(reading.file_id, reading.field): reading for reading in readings}.values())


def blind_sample(readings: Sequence[Reading], mission: Mission) -> BlindSample:
    """The values that were drawn at random: how many were read, and on how many label and model were wrong alike."""
    drawn = [reading for reading in latest(readings) if reading.drawn]
    return BlindSample(len(drawn), sum(reading.verdict(mission) != "both right" for reading in drawn))


def corrected(rows: Mapping[str, Row], readings: Sequence[Reading], mission: Mission) -> dict[str, Row]:
    """The rows of a labels.csv with the labels that a person replaced; `before_audit` keeps those."""
    result = dict(rows)
    for reading in latest(readings):
        row = result.get(reading.file_id)
        if row is None or row.fields.get(reading.field, "") != reading.label:
            continue
        if reading.verdict(mission) in ("label wrong", "both wrong"):
            labels = {**row.fields, reading.field: reading.answer}
            before = {**row.before_audit, reading.field: reading.label}
            result[reading.file_id] = replace(row, fields={n: text for n, text in labels.items() if text}, before_audit=before)
    return result


def _reading(values: Sequence[str], mission: Mission, place: str) -> Reading:
    if len(values) != len(COLUMNS):
        raise BadLabels(f"{place}: {len(values)} values, expected {len(COLUMNS)}; quote values that contain commas")
    row = dict(zip(COLUMNS, values, strict=True))
    if row["field"] not in mission.fields:
        raise BadLabels(f"{place}: no field {row['field']!r}; expected one of {', '.join(mission.fields)}")
    if row["drawn"] not in ("yes", "no"):
        raise BadLabels(f"{place}: drawn is {row['drawn']!r}; expected yes or no")
    try:
        on = date.fromisoformat(row["on"])
    except ValueError as error:
        raise BadLabels(f"{place}: on is {row['on']!r}; expected YYYY-MM-DD, such as 2020-02-29") from error
    return Reading(**{**row, "drawn": row["drawn"] == "yes", "on": on})  # type: ignore[arg-type]
