"""The log that monitoring reads: Parquet, one row per case; in an encrypted workspace with Parquet's own encryption.

Columns: case, release, day, segment, document_class, class_confidence, route; the descriptors of the mission's kind of case,
marked as such in the schema (for documents pages, words, ocr_share, familiar); seconds (the case's waiting time), dollars (for
language models), spent (in dollars, by the actions that were allowed), memory_position, decided_at, turn; then for each field
F: F (as printed, or null), F.value (its value as `values.written` writes it), F.confidence (null: not calibrated),
F.automated, F.tier (the tier or layer that read it), F.label (a person's answer, or null) and F.right (null: not labelled).
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.errors import BadInput
from proveout.files import replacing
from proveout.values import written
from proveout.vault import Vault

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

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
    columns += [("seconds", number), ("dollars", number), ("spent", number), ("memory_position", pa.int64())]
    columns += [("decided_at", pa.timestamp("us", tz="UTC")), ("turn", pa.int32())]
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
        "memory_position": decision.memory_position,
        "decided_at": datetime.fromisoformat(decided.at) if decided.at else None,
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


def write_log(
    decided: Iterable["Decided"], path: Path, mission: "Mission", answers: Mapping[str, Mapping[str, Any]] | None = None
) -> Path:
    """Write the log atomically, replacing one with other content. `answers`: by `Case.key`, `labels` and `right`, by field."""
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]
    import pyarrow.parquet.encryption as pe  # type: ignore[import-untyped]

    from proveout.cases import kind_of

    fields, descriptors = list(mission.fields), kind_of(mission).descriptors
    schema, answers = log_schema(fields, descriptors), answers or {}
    rest = (log_row(each, fields, descriptors, answers.get(each.case.key)) for each in decided)
    vault = Vault.at(path.parent.parent)
    encryption = pe.create_encryption_properties(vault.secret(KEY)) if vault else None
    with suppress(Unchanged), replacing(path) as part:
        with pq.ParquetWriter(part, schema, encryption_properties=encryption) as writer:
            while rows := list(islice(rest, ROWS)):
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
        if vault and (before := _table(path, vault)) is not None and before.equals(_table(part, vault)):
            raise Unchanged  # encrypted anew it would have other bytes, and what is made of it would be stale
    return path


class Unchanged(Exception):
    """The log has this content already."""


def _table(path: Path, vault: Vault) -> "pa.Table | None":
    """A log, if it is there and encrypted with the workspace's key."""
    import pyarrow.parquet as pq
    import pyarrow.parquet.encryption as pe

    with suppress(OSError):
        return pq.read_table(path, decryption_properties=pe.create_decryption_properties(vault.secret(KEY)))
    return None


def read_log(path: Path) -> "pa.Table":
    """A log, decrypted if it is encrypted. Raises BadInput if the keys of its workspace are missing or others."""
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        encrypted = file.read(4) == ENCRYPTED
    if not encrypted:
        return pq.read_table(path)
    vault = Vault.at(path.resolve().parent.parent)
    if vault is None or (table := _table(path, vault)) is None:
        raise BadInput(f"{path}: encrypted, and not with the keys of its workspace; write it again: proveout run")
    return table


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
