"""The columns of a log that monitoring compares: one row per case, numbers and categories derived from it.

Entry point: `features`. Numbers become float columns, everything else text columns; missing values stay missing.
Raw text of a document (names, numbers) never leaves this file; only its pattern does.
Not covered: the wording of a document. An unknown form shows in `familiar`: the share of the first page's wording that the most
similar training document has too.
"""

import itertools
import math
import re
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from proveout.cases import kind_of
from proveout.errors import BadInput, hint
from proveout.mission import Mission
from proveout.monitoring.findings import Absent
from proveout.records import Kind
from proveout.values import plain_name, value_of

if TYPE_CHECKING:
    from pandas import DataFrame, Series  # type: ignore[import-untyped]

FEWEST = 20  # cases without any value, to say that a release did not have a column
CATEGORIES = ("document_class", "route", "segment")


def required(mission: Mission) -> tuple[str, ...]:
    """The columns that a log must have."""
    of_fields = (f"{name}{part}" for name in mission.fields for part in ("", ".confidence", ".automated"))
    return ("case", "day", *CATEGORIES, "class_confidence", *of_fields)


def check(frame: "DataFrame", mission: Mission, what: str) -> None:
    """Raises BadInput if the frame lacks required columns; the error suggests the nearest column. `what`: reference or log."""
    missing = [name for name in required(mission) if name not in frame.columns]
    if missing:
        named = ", ".join(f"`{name}`" for name in missing[:5])
        raise BadInput(
            f"the {what} has no column {named}{' ...' if len(missing) > 5 else ''}; expected a log of mission "
            f"`{mission.mission}` as `proveout run` writes it; {hint(missing[0], map(str, frame.columns))}"
        )


def dated(frame: "DataFrame", ordered: bool = True) -> "DataFrame":
    """The frame in time order (unless not `ordered`), its day a date or None. Cases of the same day keep their order.

    A list, or whatever else is no single value, is missing, and so is a confidence outside 0..1.
    """
    import pandas as pd

    mixed = [name for name in frame if pd.api.types.infer_dtype(frame[name], skipna=True) == "mixed"]
    frame = frame.assign(**{name: frame[name].map(lambda one: one if isinstance(one, Hashable) else None) for name in mixed})
    confidences = {name: _number(frame[name]) for name in map(str, frame) if name.endswith("confidence")}
    frame = frame.assign(**{name: values.where(values.between(0, 1)) for name, values in confidences.items()})
    frame = frame.assign(day=pd.to_datetime(frame["day"], errors="coerce"))
    if ordered:
        in_order = frame["day"].is_monotonic_increasing  # then sorting would only copy
        frame = frame.reset_index(drop=True) if in_order else frame.sort_values("day", kind="stable", ignore_index=True)
    return frame.assign(day=each(frame["day"], lambda day: day.date()))


def span(frame: "DataFrame") -> "tuple[date | None, date | None]":
    """First and last day of a frame from `dated`."""
    days = frame["day"].dropna()
    return (days.min(), days.max()) if len(days) else (None, None)


def features(reference: "DataFrame", log: "DataFrame", mission: Mission) -> tuple["DataFrame", "DataFrame"]:
    """The columns to compare, for both frames, row for row.

    `F.known` says whether a name occurs in the earlier half of the reference, so the later half and the log are judged alike.
    The earlier half contains all of its own names; there the column is missing.
    `C.given` says whether the column C has a value, if it may lack one.
    """
    import pandas as pd

    names = [name for name, kind in mission.kinds.items() if kind == "name"]
    described = [name for name in (*kind_of(mission).descriptors, "similarity") if name in reference and name in log]
    numbers = (*described, "class_confidence")
    tiers = [f"{name}.tier" for name in mission.fields if f"{name}.tier" in reference and f"{name}.tier" in log]
    earlier = slice(0, len(reference) // 2)  # in time order
    vocabulary = {name: set(_parsed(reference[name].iloc[earlier], plain_name)) for name in names}

    def derived(frame: "DataFrame") -> "DataFrame":
        columns: dict[str, Any] = {name: _number(frame[name]) for name in numbers}
        columns |= {name: _text(frame[name]) for name in (*CATEGORIES, *tiers)}
        for name, kind in mission.kinds.items():
            columns[f"{name}.confidence"] = _number(frame[f"{name}.confidence"])
            columns[f"{name}.answer"] = _answer(frame, name)
            if kind == "amount":
                columns[name] = _values(frame, name, kind).astype(float)
            elif kind == "flag":
                columns[name] = _text(frame[name])
            elif kind == "number":
                columns[f"{name}.pattern"] = _parsed(frame[name], pattern)
            elif kind == "name":
                columns[f"{name}.known"] = _parsed(frame[name], partial(_seen_or_new, vocabulary[name]))
        columns |= _days(frame, [name for name, kind in mission.kinds.items() if kind == "date"])
        return pd.DataFrame(columns, index=frame.index)

    before, after = derived(reference), derived(log)
    for name in (*numbers, *CATEGORIES):  # where a value may be missing, that is a column, too
        if before[name].isna().any() or after[name].isna().any():
            for frame in (before, after):
                frame[f"{name}.given"] = each(frame[name].notna(), ("missing", "given").__getitem__)
    for name in names:
        before.iloc[earlier, before.columns.get_loc(f"{name}.known")] = None
    return before, after


def without_new(
    mission: Mission, reference: "DataFrame", missions: Mapping[str, Mission]
) -> tuple[Mission, tuple[Absent, ...]]:
    """The mission without fields that are new since the release whose reference this is, and those fields.

    `missions`: of releases, first of that one.
    """
    own = next(iter(missions), "")
    new = [name for name in mission.fields if own and name not in reference and name not in missions[own].fields]
    fields = {name: spec for name, spec in mission.fields.items() if name not in new}
    return mission.model_copy(update={"fields": fields}), tuple(Absent(name, own, 0, field=True) for name in new)


def absent(reference: "DataFrame", log: "DataFrame", mission: Mission, missions: Mapping[str, Mission]) -> tuple[Absent, ...]:
    """The fields and columns that releases of the log did not have; see `compare` for `missions`.

    A release has the fields of its mission. It has a column if any of its cases has a value of it; with fewer than `FEWEST`
    cases, or where its own reference has values, no value is a loss.
    """
    releases, own = names_of(log["release"]) if "release" in log else np.array([]), next(iter(missions), "")
    columns = [name for name in (*kind_of(mission).descriptors, "similarity", "class_confidence") if name in log]
    rows = []
    for release in dict.fromkeys(releases):
        if release not in missions:
            continue
        its = log[releases == release]
        rows += [Absent(name, release, len(its), True) for name in mission.fields if name not in missions[release].fields]
        for name in columns if len(its) >= FEWEST else ():
            elsewhere = log[name].notna().any() or (name in reference and reference[name].notna().any())
            had = release == own and name in reference and reference[name].notna().any()
            if elsewhere and not had and not its[name].notna().any():
                rows.append(Absent(name, release, len(its), False))
    return tuple(rows)


def left_out(features: "DataFrame", absent: Sequence[Absent], deciders: Sequence[str]) -> "DataFrame":
    """The features without those of cases whose release did not have what they are about. `deciders`: the release of each."""
    releases = np.asarray(deciders, dtype=object)
    for row in absent:
        column = f"{row.column}.{'answer' if row.field else 'given'}"
        if column in features:
            features = features.assign(**{column: features[column].where(releases != row.release, None)})
    return features


def names_of(values: "Series") -> NDArray[np.object_]:
    """The group of each case; "" for none."""
    names: NDArray[np.object_] = each(values.astype("string"), str, missing="").to_numpy()
    return names


def pattern(text: str) -> str:
    """The pattern of a printed number: 9 for a digit, A for a letter, at most 16 characters.

    >>> pattern("PQ-152/1"), pattern("7654321")
    ('AA-999/9', '9999999')
    """
    return re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "9", "".join(text.split())))[:16].replace("<", "‹")


def _number(values: "Series") -> "Series":
    """As numbers; whatever is none is missing."""
    import pandas as pd

    numbers: Series = pd.to_numeric(values, errors="coerce").astype(float)
    return numbers.where(numbers.abs() < math.inf)


def _text(values: "Series") -> "Series":
    return each(values.astype("string"), lambda text: text.replace("<", "‹") or None)


def _answer(frame: "DataFrame", name: str) -> "Series":
    import pandas as pd

    automated = frame[f"{name}.automated"].fillna(False).astype(bool).to_numpy()
    answered = frame[name].notna().to_numpy() & (frame[name].astype("string").fillna("") != "").to_numpy()
    return each(pd.Series(answered * (1 + automated), index=frame.index), ("none", "to review", "automated").__getitem__)


def _parsed(values: "Series", parse: Callable[[str], Any]) -> "Series":
    """Parse every distinct text once. Text that is empty or cannot be parsed is missing."""

    def attempt(text: Any) -> Any:
        try:
            return parse(str(text)) if str(text) else None
        except (ValueError, ArithmeticError):
            return None

    return each(values, attempt)


def _seen_or_new(vocabulary: Collection[str], text: str) -> str:
    return "seen" if plain_name(text) in vocabulary else "new"


def each(values: "Series", of: Callable[[Any], Any], missing: Any = None) -> "Series":
    """`of` of every value, called once for equal ones. Equal results are one object in memory, however many rows have it."""
    import pandas as pd

    codes, distinct = pd.factorize(values)
    results = np.full(len(distinct) + 1, missing, dtype=object)  # a missing value has the code -1
    seen: dict[Any, Any] = {}
    for at, value in enumerate(distinct):
        results[at] = seen.setdefault(result := of(value), result)
    return pd.Series(results[codes], index=values.index, dtype=object)


def _values(frame: "DataFrame", name: str, kind: Kind) -> "Series":
    """A field's values as they were decided, by the formats of their documents; without them, as each text says by itself."""
    if f"{name}.value" in frame:
        return _parsed(frame[f"{name}.value"], Decimal if kind == "amount" else date.fromisoformat)
    return _parsed(frame[name], lambda text: value_of(kind, text))


def _days(frame: "DataFrame", fields: Iterable[str]) -> dict[str, Any]:
    """Days from the case's own day to each date, and days from each date field to the next."""
    own = frame["day"].to_numpy(dtype=object).astype("datetime64[D]")
    dates = {name: _values(frame, name, "date").to_numpy().astype("datetime64[D]") for name in fields}
    columns: dict[str, Any] = {f"{name}.lead_days": _apart(own, day) for name, day in dates.items()}
    for first, second in itertools.pairwise(dates):
        columns[f"{first}..{second}.days"] = _apart(dates[first], dates[second])
    return columns


def _apart(first: NDArray[np.datetime64], last: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Days from the first to the last; `nan` where either is missing."""
    return np.where(np.isnat(first) | np.isnat(last), math.nan, (last - first).astype(float))


def is_number(values: "Series") -> bool:
    return bool(values.dtype.kind == "f")


def of_the_input(column: str) -> bool:
    """Whether a column says what came in, or what a value is, and not how the agent decided."""
    return column not in ("route", "class_confidence") and not column.endswith((".confidence", ".answer", ".tier"))
