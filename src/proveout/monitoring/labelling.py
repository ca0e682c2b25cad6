"""Which cases to label because of a finding. Entry point: `choose`.

The cases that the finding is about (those of the drift since it began, of the segment, of the slice, or with an automated value
of the field) and that nobody has answered. A share of them is drawn by chance, to judge the next release by. Of the others come
first those that teach most: the sum over the fields of p (1 - p), where p is the calibrated confidence. It is largest where the
agent is in doubt, and nearly zero where a label would only confirm.
Covered: fewer cases than wanted; values without a calibrated confidence, which count as in full doubt.
Not covered: cases that are alike; ten copies of a form are ten cases.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from proveout.corpus.folds import by_chance
from proveout.errors import BadInput
from proveout.mission import Mission
from proveout.monitoring import features
from proveout.monitoring.alerts import LabellingAlerts
from proveout.monitoring.features import names_of
from proveout.monitoring.findings import Condition
from proveout.records import Route, turn_key

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Chosen:
    """Cases to label, by `Case.key`."""

    teach: tuple[str, ...]  # the most informative first
    judge: tuple[str, ...]  # drawn by chance
    about: int  # cases that the findings are about
    unlabelled: int  # of those


def choose(
    report: Mapping[str, Any],
    findings: Sequence[str],
    reference: "DataFrame",
    log: "DataFrame",
    mission: Mission,
    settings: LabellingAlerts,
) -> Chosen:
    """Choose cases for a batch. `report`: report.json as data. `findings`: keys; a case of any of them counts.

    `log`: as the report saw it, or later. Raises BadInput for a finding that the report does not have.
    """
    import pandas as pd

    reference, log = features.dated(reference), features.dated(log)
    fields = {name: spec for name, spec in mission.fields.items() if name in reference}  # others are new since that release
    mission = mission.model_copy(update={"fields": fields})
    after = features.features(reference, log, mission)[1]
    about = np.zeros(len(log), dtype=bool)
    for key in findings:
        about |= _members(report, key, log, after, mission)
    names = list(mission.fields)
    parts = [f"{name}.{part}" for name in names for part in ("label", "right") if f"{name}.{part}" in log]
    unlabelled = about & log[parts].isna().all(axis=1).to_numpy() & (log["route"] != Route.REFUSE.value).to_numpy()
    confidence = np.stack([pd.to_numeric(log[f"{name}.confidence"], errors="coerce").to_numpy(dtype=float) for name in names])
    confidence = np.where(np.isnan(confidence), 0.5, confidence)
    doubt = (confidence * (1 - confidence)).sum(axis=0)
    turns = log["turn"].fillna(0).astype(int) if "turn" in log else [0] * len(log)
    keys = [turn_key(str(case), int(turn)) for case, turn in zip(log["case"], turns, strict=True)]
    rows = sorted(np.flatnonzero(unlabelled), key=lambda row: by_chance(keys[row]))
    wanted = min(settings.cases, len(rows))
    judging = round(settings.judging * wanted)
    teaching = sorted(rows[judging:], key=lambda row: (-doubt[row], keys[row]))[: wanted - judging]
    return Chosen(tuple(keys[row] for row in teaching), tuple(keys[row] for row in rows[:judging]), int(about.sum()), len(rows))


def scope(report: Mapping[str, Any], key: str, mission: Mission) -> tuple[str, str]:
    """The field and the segment that a finding is about, to restrict what the agent does alone; "" for all."""
    if any(key == f"segment {row['segment']}" and row["by"] == "segment" for row in report["worse_off"]):
        return "", key.removeprefix("segment ")
    column = key.removeprefix("precision of ").removeprefix("drift of ")
    name = column if column in mission.fields else column.rpartition(".")[0]
    return (name if name in mission.fields else ""), ""


def since(report: Mapping[str, Any], findings: Sequence[str]) -> date | None:
    """The first day on which any of these findings holds; None if they hold for the whole log, or it has no days."""
    first = [moment for key in findings for moment in _beginnings(report, key)]
    days = [date.fromisoformat(moment) for moment in first if isinstance(moment, str)]
    return min(days) if days and len(days) == len(first) else None


def _beginnings(report: Mapping[str, Any], key: str) -> Iterator[str | int | None]:
    yield from (row["since"] for row in report["drifted"] if key == f"drift of {row['what']}")
    yield from (row["lately"] for row in report["worse_off"] if key == f"segment {row['segment']}")


def _members(report: Mapping[str, Any], key: str, log: "DataFrame", after: "DataFrame", mission: Mission) -> NDArray[np.bool_]:
    """The rows of the log that a finding is about."""
    member = np.zeros(len(log), dtype=bool)
    for row in report["drifted"]:
        if key == f"drift of {row['what']}":
            met = Condition(**row["condition"]).holds(after).to_numpy()
            rises = row["after"] > row["before"]
            member |= (met == 1 if rises else met == 0) & _between(log, row["since"], row["until"])
    for row in report["worse_off"]:
        if key == f"segment {row['segment']}":
            member |= (names_of(log[row["by"]]) == row["segment"]) & _between(log, row["lately"], None)
    for row in report["slices"]:
        if key == row["key"]:
            conditions = [Condition(**one).holds(after).to_numpy() == 1 for one in row["conditions"]]
            member |= np.all(conditions, axis=0)
    for name in mission.fields:
        if key == f"precision of {name}":
            member |= log[f"{name}.automated"].fillna(False).astype(bool).to_numpy()
    if not member.any():
        raise BadInput(f"no case of the log is one of the finding `{key}`; choose a finding of this report")
    return member


def _between(log: "DataFrame", first: str | int | None, last: str | int | None) -> NDArray[np.bool_]:
    """The rows from the first day to the last, or, where a log has no days, from one number of a case to another."""
    if isinstance(first, int) or isinstance(last, int):
        number = np.arange(1, len(log) + 1)
        return (number >= int(first or 0)) & (number <= int(last or len(log)))
    if not (first or last):
        return np.ones(len(log), dtype=bool)
    low, high = date.fromisoformat(first or "0001-01-01"), date.fromisoformat(last or "9999-12-31")
    return np.array([day is not None and low <= day <= high for day in log["day"]])
