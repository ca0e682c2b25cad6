"""The log that monitoring reads: Parquet, one row per case; in an encrypted workspace with Parquet's own encryption.

Columns: case, release, day, segment, document_class, class_confidence, route; the descriptors of the mission's kind of case,
marked as such in the schema (for documents pages, words, ocr_share, familiar); seconds (the case's waiting time), dollars (for
language models), spent (in dollars, by the actions that were allowed), similarity (of the most similar past case; null: none),
memory_position, decided_at, answered_at, turn; then for each field F: F (as printed, or null), F.value (its value as
`values.written` writes it), F.confidence (null: not calibrated), F.automated, F.tier (the tier or layer that read it), F.label
(a person's answer, or null) and F.right (null: not labelled).
"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from proveout.errors import BadInput
from proveout.files import replacing
from proveout.records import turn_key
from proveout.values import written
from proveout.vault import Vault

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    from proveout.mission import Mission
    from proveout.records import Decided

DESCRIPTOR = b"descriptor"  # marks, in a column's metadata, a number that describes the input
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of one
KEY = "log"  # its name among the workspace's keys
ENCRYPTED = b"PARE"  # how such a file begins
ROWS = 10_000  # per row group, so that memory use does not grow with the journal


def log_schema(fields: Sequence[str], descriptors: Mapping[str, type[int] | type[float]]) -> "pa.Schema":
    """The columns above, for these fields and descriptors (name to type), in order."""
    import pyarrow as pa

    text, number, flag = pa.string(), pa.float64(), pa.bool_()
    columns = [("case", text), ("release", text), ("day", pa.date32()), ("segment", text), ("document_class", text)]
    columns += [("class_confidence", number), ("route", text)]
    for name, kind in descriptors.items():
        columns.append(pa.field(name, pa.int32() if kind is int else number, metadata={DESCRIPTOR: b"1"}))
    columns += [("seconds", number), ("dollars", number), ("spent", number), ("similarity", number)]
    columns += [("memory_position", pa.int64())]
    moment = pa.timestamp("us", tz="UTC")
    columns += [("decided_at", moment), ("answered_at", moment), ("turn", pa.int32())]
    for name in fields:
        columns += [(name, text), (f"{name}.value", text), (f"{name}.confidence", number), (f"{name}.automated", flag)]
        columns += [(f"{name}.tier", text)]
        columns += [(f"{name}.label", text), (f"{name}.right", flag)]
    return pa.schema(columns)


def log_row(
    decided: "Decided",
    fields: Sequence[str],
    descriptors: Mapping[str, type[int] | type[float]],
    answer: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One row of the log. `answer` holds `labels` and `right`, each by field."""
    decision = decided.decision
    row = {
        "case": decided.case.id,
        "release": decision.release,
        "day": decided.case.day,
        "segment": decided.case.segment,
        "document_class": decision.document_class,
        "class_confidence": decision.class_confidence,
        "route": decision.route.value,
        "seconds": decided.seconds,
        "dollars": decision.dollars,
        "spent": sum(ruling.cents for ruling in decided.rulings if ruling.verdict.allowed) / 100,
        "similarity": max((similar.similarity for similar in decision.similar), default=None),
        "memory_position": decision.memory_position,
        "decided_at": datetime.fromisoformat(decided.at) if decided.at else None,
        "answered_at": datetime.fromisoformat(answer["at"]) if answer and answer.get("at") else None,
        "turn": decided.case.turn,
    }
    for name, kind in descriptors.items():
        number = decision.descriptors.get(name)
        row[name] = None if number is None else kind(number)
    labels, right = (answer["labels"], answer["right"]) if answer else ({}, {})
    for name in fields:
        value = decision.fields.get(name)
        row[name] = utf8(value.text) if value else None
        row[f"{name}.value"] = utf8(written(value.value)) if value else None
        row[f"{name}.confidence"] = value.confidence if value and value.calibrated else None
        row[f"{name}.automated"] = name in decision.automated
        row[f"{name}.tier"] = value.tier if value else None
        row[f"{name}.label"] = labels.get(name)
        row[f"{name}.right"] = right.get(name)
    return row


class Latest(NamedTuple):
    """How far a log goes."""

    file: "pq.ParquetFile"  # open, so that it stays the same if another process replaces the log
    key: str  # `Case.key` of the last decision
    at: str  # ISO 8601, UTC: when that was made
    answered: str  # ISO 8601, UTC: when the last answer was given; "" without any


class Revision(NamedTuple):
    """What has changed in a log since it was written, apart from what was decided since."""

    file: "pq.ParquetFile"  # the log
    answered: "Sequence[Decided]"
    gone: Collection[str]  # ids of cases that were erased


def latest(path: Path, mission: "Mission") -> Latest | None:
    """How far a log goes; None if there is none with this mission's columns that can be read."""
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    fields, descriptors = _columns(mission)
    with suppress(OSError, ValueError):  # of a damaged file, too
        log = _opened(path)
        if log.num_row_groups and log.schema_arrow.equals(log_schema(fields, descriptors), check_metadata=True):
            (last,) = log.read_row_group(log.num_row_groups - 1, ["case", "turn", "decided_at"])[-1:].to_pylist()
            answered = pc.max(log.read(["answered_at"])["answered_at"]).as_py()
            at, answered_at = (
                time.isoformat(timespec="microseconds") if time else "" for time in (last["decided_at"], answered)
            )
            return Latest(log, turn_key(last["case"], last["turn"]), at, answered_at)
    return None


def write_log(
    decided: Iterable["Decided"],
    path: Path,
    mission: "Mission",
    answers: Mapping[str, Mapping[str, Any]] | None = None,
    revision: Revision | None = None,
) -> Path:
    """Write the log atomically, replacing one with other content.

    `answers`: by `Case.key`, `labels` and `right`, each by field, and `at`, when it was given.
    `revision`: its log is revised, and what was decided is added to it, as if all of it were written anew. Raises Damaged if
    that log cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    import pyarrow.parquet.encryption as pe  # type: ignore[import-untyped]

    fields, descriptors = _columns(mission)
    schema, labels = log_schema(fields, descriptors), answers or {}
    vault = Vault.at(path.parent.parent)
    encryption = pe.create_encryption_properties(vault.secret(KEY)) if vault else None

    def rows(some: Iterable["Decided"]) -> "Iterator[pa.Table]":
        rest = (log_row(each, fields, descriptors, labels.get(each.case.key)) for each in some)
        while group := list(islice(rest, ROWS)):
            yield pa.Table.from_pylist(group, schema=schema)

    with suppress(Unchanged), replacing(path) as part:
        with pq.ParquetWriter(part, schema, encryption_properties=encryption) as writer:
            before = _revised(revision.file, list(rows(revision.answered)), revision.gone) if revision else ()
            for table in _groups(chain(before, rows(decided))):
                writer.write_table(table)
        if path.exists() and _same(path, part):
            raise Unchanged  # encrypted anew it would have other bytes, and what is made of it would be stale
    return path


class Unchanged(Exception):
    """The log has this content already."""


class Damaged(Exception):
    """A part of the log cannot be read."""


def _columns(mission: "Mission") -> tuple[list[str], Mapping[str, type[int] | type[float]]]:
    """The fields and the descriptors."""
    from proveout.cases import kind_of

    return list(mission.fields), kind_of(mission).descriptors


def _revised(log: "pq.ParquetFile", answered: "Sequence[pa.Table]", gone: Collection[str]) -> "Iterator[pa.Table]":
    """A log's rows, in order, with these rows in place of those of the same turns, and without the cases that are gone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for number in range(log.num_row_groups):
        try:
            table = log.read_row_group(number)
        except (OSError, ValueError) as error:
            raise Damaged(str(error)) from error
        at = {turn: row for row, turn in enumerate(_turns(table))} if answered else {}
        order = np.arange(table.num_rows)
        for new in answered:
            places = [(at[turn], row) for row, turn in enumerate(_turns(new)) if turn in at]
            order[[place for place, _ in places]] = [table.num_rows + row for _, row in places]
            table = pa.concat_tables([table, new])
        table = table.take(order) if answered else table
        yield table.filter(pc.invert(pc.is_in(table["case"], pa.array(list(gone), pa.string())))) if gone else table


def _turns(table: "pa.Table") -> "Iterator[tuple[str, int]]":
    return zip(table["case"].to_pylist(), table["turn"].to_pylist(), strict=True)


def _groups(tables: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
    """The same rows in tables of ROWS rows; the last one may have fewer."""
    import pyarrow as pa

    rest = None
    for table in tables:
        rest = table if rest is None else pa.concat_tables([rest, table])
        while rest.num_rows >= ROWS:
            yield rest[:ROWS].combine_chunks()
            rest = rest[ROWS:]
    if rest is not None and rest.num_rows:
        yield rest.combine_chunks()


def _same(path: Path, other: Path) -> bool:
    """Whether two logs have the same rows."""
    with suppress(OSError, ValueError), _opened(path) as one, _opened(other) as two:
        groups = range(one.num_row_groups)
        return one.metadata.num_rows == two.metadata.num_rows and all(
            one.read_row_group(group).equals(two.read_row_group(group)) for group in groups
        )
    return False


def _opened(path: Path) -> "pq.ParquetFile":
    """A log. Raises OSError if it is missing, is no Parquet, or is not encrypted with the workspace's key."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import pyarrow.parquet.encryption as pe

    with path.open("rb") as file:
        encrypted = file.read(4) == ENCRYPTED
    vault = Vault.at(path.resolve().parent.parent)
    if bool(vault) != encrypted:
        raise OSError("only one of the log and its workspace is encrypted")
    decryption = pe.create_decryption_properties(vault.secret(KEY)) if vault else None
    try:
        return pq.ParquetFile(path, decryption_properties=decryption)
    except pa.ArrowInvalid as error:
        raise OSError(f"{path}: {error}") from error


def read_log(path: Path) -> "pa.Table":
    """A log, decrypted if it is encrypted. Raises BadInput if the keys of its workspace are missing or others."""
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        encrypted = file.read(4) == ENCRYPTED
    if not encrypted:
        return pq.read_table(path)
    try:
        with _opened(path) as log:
            return log.read()
    except OSError:
        what = "encrypted, and not with the keys of its workspace"
        raise BadInput(f"{path}: {what}; write it again: proveout run") from None


def csv_of(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV that a spreadsheet takes for text: no value from a document becomes a formula.

    >>> print(csv_of([["=1+1", "-12.50", "a, b"]]).strip())
    '=1+1,-12.50,"a, b"
    """
    text = io.StringIO()
    csv.writer(text).writerows([_harmless(str(cell)) for cell in row] for row in rows)
    return text.getvalue()


def _harmless(cell: str) -> str:
    cell = utf8(cell)
    return f"'{cell}" if cell[:1] in FORMULA and not re.fullmatch(r"[+-][\d.,' ]+", cell) else cell


def utf8(text: str) -> str:
    """The text as valid UTF-8: an unpaired surrogate, found in broken PDFs, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
