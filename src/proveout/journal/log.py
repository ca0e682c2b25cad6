"""The log that monitoring reads: Parquet, one row a case.

Columns: case, release, day, segment, document_class, class_confidence, route, pages, words, ocr_share, familiar,
seconds (that the case waited), dollars (for language models), memory_position, decided_at; then for each field F: F (as
printed, or null), F.confidence, F.automated, F.label (a person's answer, where one is known) and F.right (null where nobody
knows).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

    from proveout.journal import Decided

ROWS = 10_000  # of one row group: memory does not grow with the journal


def log_schema(fields: Sequence[str]) -> "pa.Schema":
    import pyarrow as pa

    text, number, flag = pa.string(), pa.float64(), pa.bool_()
    columns = [("case", text), ("release", text), ("day", pa.date32()), ("segment", text), ("document_class", text)]
    columns += [
        ("class_confidence", number),
        ("route", text),
        ("pages", pa.int32()),
        ("words", pa.int32()),
        ("ocr_share", number),
        ("familiar", number),
    ]
    columns += [("seconds", number), ("dollars", number), ("memory_position", pa.int64())]
    columns += [("decided_at", pa.timestamp("us", tz="UTC"))]
    for name in fields:
        columns += [(name, text), (f"{name}.confidence", number), (f"{name}.automated", flag)]
        columns += [(f"{name}.label", text), (f"{name}.right", flag)]
    return pa.schema(columns)


def log_row(decided: "Decided", fields: Sequence[str], known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One row. `known` holds `labels` and `right`, each by field."""
    decision, described = decided.decision, decided.decision.descriptors
    row = {
        "case": decided.case.id,
        "release": decision.release,
        "day": decided.case.day,
        "segment": decided.case.segment,
        "document_class": decision.document_class,
        "class_confidence": decision.class_confidence,
        "route": decision.route.value,
        "pages": _whole(described.get("pages")),
        "words": _whole(described.get("words")),
        "ocr_share": described.get("ocr_share"),
        "familiar": described.get("familiar"),
        "seconds": decided.seconds,
        "dollars": decided.dollars,
        "memory_position": decision.memory_position,
        "decided_at": datetime.fromisoformat(decided.at) if decided.at else None,
    }
    labels, right = (known["labels"], known["right"]) if known else ({}, {})
    for name in fields:
        value = decision.fields.get(name)
        row[name] = _utf8(value.text) if value else None
        row[f"{name}.confidence"] = value.confidence if value else None
        row[f"{name}.automated"] = name in decision.automated
        row[f"{name}.label"] = labels.get(name)
        row[f"{name}.right"] = right.get(name)
    return row


def write_log(
    decided: Iterable["Decided"], path: Path, fields: Sequence[str], known: Mapping[str, Mapping[str, Any]] | None = None
) -> Path:
    """Write the log whole or not at all; an existing one is replaced."""
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    path.parent.mkdir(parents=True, exist_ok=True)
    aside, schema, rest = path.with_name(f".{path.name}.part"), log_schema(fields), iter(decided)
    try:
        with pq.ParquetWriter(aside, schema) as writer:
            while rows := [log_row(one, fields, (known or {}).get(one.case.id)) for one in islice(rest, ROWS)]:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _utf8(text: str) -> str:
    """Parquet holds UTF-8; half a surrogate pair, as broken PDFs hold, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
