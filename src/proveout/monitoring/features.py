"""What of a log is compared: one row a case, numbers and categories that no person has to read.

One door: `features`. Numbers become float columns, everything else text columns; a missing value is missing in both.
Raw text (names, numbers, whatever a document says) never leaves this file: only its shape does.
Not covered: a case's own words. A form that training never saw shows in `familiar`: the share of its first page's wording that
the most similar training document has too.
"""

import difflib
import itertools
import re
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any

from proveout.cases import kind_of
from proveout.errors import BadInput
from proveout.mission import Mission
from proveout.values import plain_name, value_of

if TYPE_CHECKING:
    from pandas import DataFrame, Series  # type: ignore[import-untyped]

CATEGORIES = ("document_class", "route", "segment")


def required(mission: Mission) -> tuple[str, ...]:
    """Columns that a log must have."""
    of_fields = (f"{name}{part}" for name in mission.fields for part in ("", ".confidence", ".automated"))
    return ("case", "day", *CATEGORIES, "class_confidence", *of_fields)


def check(frame: "DataFrame", mission: Mission, what: str) -> None:
    """Raises BadInput when the frame is no log of this mission: what is missing, and the nearest column there is."""
    missing = [name for name in required(mission) if name not in frame.columns]
    if missing:
        near = difflib.get_close_matches(missing[0], [str(name) for name in frame.columns], n=1)
        hint = f"; is it `{near[0]}` there?" if near else ""
        named = ", ".join(f"`{name}`" for name in missing[:5])
        raise BadInput(
            f"the {what} has no column {named}{' ...' if len(missing) > 5 else ''}{hint}. "
            f"Expected is a log of the mission `{mission.mission}`, as a run of the agent writes it: proveout run"
        )


def dated(frame: "DataFrame", ordered: bool = True) -> "DataFrame":
    """The frame in time order, or in its own; its day a date or missing; cases of one day keep their order."""
    import pandas as pd

    frame = frame.assign(day=pd.to_datetime(frame["day"], errors="coerce"))
    if ordered:
        frame = frame.sort_values("day", kind="stable", na_position="last", ignore_index=True)
    days = frame["day"].dt.date.astype(object)
    return frame.assign(day=days.where(days.notna(), None))


def span(frame: "DataFrame") -> "tuple[date | None, date | None]":
    """First and last day of a dated frame."""
    days = frame["day"].dropna()
    return (days.min(), days.max()) if len(days) else (None, None)


def features(reference: "DataFrame", log: "DataFrame", mission: Mission) -> tuple["DataFrame", "DataFrame"]:
    """The columns to compare, of both frames, row for row.

    `F.known` asks whether a name occurs in the earlier half of the reference. The later half and the log answer under the same
    conditions; the earlier half, which knows all of its own names, is left out of that column.
    """
    import pandas as pd

    names = [name for name, kind in mission.kinds.items() if kind == "name"]
    described = (name for name in kind_of(mission).descriptors if name in reference and name in log)
    numbers = (*described, "class_confidence")
    earlier = slice(0, len(reference) // 2)  # it is in time order
    vocabulary = {name: set(_each(reference[name].iloc[earlier], plain_name).dropna()) for name in names}

    def of(frame: "DataFrame") -> "DataFrame":
        columns: dict[str, Any] = {name: pd.to_numeric(frame[name], errors="coerce").astype(float) for name in numbers}
        columns |= {name: _text(frame[name]) for name in CATEGORIES}
        for name, kind in mission.kinds.items():
            columns[f"{name}.confidence"] = pd.to_numeric(frame[f"{name}.confidence"], errors="coerce").astype(float)
            columns[f"{name}.answer"] = _answer(frame, name)
            if kind == "amount":
                columns[name] = _each(frame[name], lambda text: float(value_of("amount", text)))  # type: ignore[arg-type]
            elif kind == "flag":
                columns[name] = _text(frame[name])
            elif kind == "number":
                columns[f"{name}.pattern"] = _each(frame[name], pattern)
            elif kind == "name":
                known = vocabulary[name]
                columns[f"{name}.known"] = _each(
                    frame[name], lambda text, known=known: "seen" if plain_name(text) in known else "new"
                )
        columns |= _days(frame, [name for name, kind in mission.kinds.items() if kind == "date"])
        return pd.DataFrame(columns, index=frame.index)

    ours, theirs = of(reference), of(log)
    for name in names:
        ours.iloc[earlier, ours.columns.get_loc(f"{name}.known")] = None
    return ours, theirs


def pattern(text: str) -> str:
    """The shape of a printed number: 9 for a digit, A for a letter.

    >>> pattern("PQ-152/1"), pattern("7654321")
    ('AA-999/9', '9999999')
    """
    return re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "9", "".join(text.split())))[:16].replace("<", "‹")


def _text(values: "Series") -> "Series":
    return values.astype("string").replace("", None).str.replace("<", "‹").astype(object).where(values.notna(), None)


def _answer(frame: "DataFrame", name: str) -> Any:
    import numpy as np

    automated = frame[f"{name}.automated"].fillna(False).astype(bool).to_numpy()
    answered = frame[name].notna().to_numpy() & (frame[name].astype("string").fillna("") != "").to_numpy()
    return np.where(answered, np.where(automated, "automated", "to review"), "none").astype(object)


def _each(values: "Series", read: Any) -> "Series":
    """Read every distinct text once. What cannot be read is missing."""
    read_once = {text: _attempt(read, str(text)) for text in values.dropna().unique() if str(text)}
    return values.map(read_once)


def _attempt(read: Any, text: str) -> Any:
    try:
        return read(text)
    except ValueError:
        return None


def _days(frame: "DataFrame", fields: Iterable[str]) -> dict[str, Any]:
    """How long before or after the case's own day each date lies, and the days between two dates that follow each other."""
    import pandas as pd

    own = pd.to_datetime(frame["day"], errors="coerce")
    dates = {name: pd.to_datetime(_each(frame[name], lambda text: value_of("date", text)), errors="coerce") for name in fields}
    columns: dict[str, Any] = {f"{name}.lead_days": (day - own).dt.days.astype(float) for name, day in dates.items()}
    ordered = list(dates)
    for first, second in itertools.pairwise(ordered):
        columns[f"{first}..{second}.days"] = (dates[second] - dates[first]).dt.days.astype(float)
    return columns


def is_number(values: "Series") -> bool:
    return bool(values.dtype.kind == "f")
