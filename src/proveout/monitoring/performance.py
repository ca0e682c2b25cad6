"""Whether targets are met: precision of automated values, from the labels so far, and the mission's other objectives.

Covered: windows and fields without labels (`nan`), precision significantly under its target (exact binomial test, whole log).
Not covered: unlabelled cases. If only reviewed cases get labels, the numbers describe those.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from proveout import evaluation
from proveout.mission import Mission
from proveout.monitoring.alerts import Alerts
from proveout.monitoring.bias import rightness
from proveout.monitoring.findings import FieldPerformance
from proveout.monitoring.significance import wilson
from proveout.records import Route

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]


def performance(log: "DataFrame", mission: Mission, windows: Sequence[slice], alerts: Alerts) -> tuple[FieldPerformance, ...]:
    """Per field: the whole log, then every window. `log` is in time order, `windows` are its rows.

    A field is `broken` if precision on target would give so few right values with probability at most the false-alarm rate,
    shared by all fields and `drift.over_windows` reports.
    """
    looks = _looks(mission, alerts)
    rows = []
    for name in mission.fields:
        right = rightness(log, name, mission).to_numpy()
        automated = log[f"{name}.automated"].fillna(False).astype(bool).to_numpy()
        whole = _measure(name, None, right, automated)
        p = min(1.0, evaluation.binomial_cdf(whole.right, whole.labelled, mission.slo.precision) * looks)
        rows.append(replace(whole, p=p, broken=p <= alerts.performance.false_alarm_rate))
        rows += [_measure(name, i, right[window], automated[window]) for i, window in enumerate(windows)]
    return tuple(rows)


def service(log: "DataFrame", mission: Mission) -> tuple[evaluation.Service, evaluation.Service]:
    """The mission's objectives over the last days of a dated log, and over all of it. Later columns may be missing."""
    import pandas as pd

    rightness_of = {}
    for name in mission.fields:
        right, automated = rightness(log, name, mission), log[f"{name}.automated"].fillna(False).astype(bool)
        rightness_of[name] = right.where(automated, math.nan).to_numpy()
    missing = pd.Series(math.nan, index=log.index)
    seconds, dollars = (pd.to_numeric(log.get(name, missing), errors="coerce").astype(float) for name in ("seconds", "dollars"))
    decided = pd.to_datetime(log.get("decided_at", missing), errors="coerce", utc=True)
    columns = (log["route"] == Route.ACT.value, seconds, dollars, log["day"], decided)
    cases = [
        evaluation.Measurement(
            acted=bool(acted),
            seconds=waited,
            dollars=spent,
            right={name: bool(right[row]) for name, right in rightness_of.items() if right[row] == right[row]},
            received=day,
            decided=None if at is pd.NaT else at.date(),
        )
        for row, (acted, waited, spent, day, at) in enumerate(zip(*columns, strict=True))
    ]
    return evaluation.service(cases, mission.slo, list(mission.fields))


def significance_level(mission: Mission, alerts: Alerts) -> float:
    """A miss with a smaller p-value is beyond chance: the false-alarm rate, shared by all fields and reports of a year."""
    return alerts.performance.false_alarm_rate / _looks(mission, alerts)


def _looks(mission: Mission, alerts: Alerts) -> int:
    return len(mission.fields) * alerts.drift.over_windows


def _measure(name: str, window: int | None, right, automated) -> FieldPerformance:  # type: ignore[no-untyped-def]
    of_automated = right[automated]
    labelled = of_automated[of_automated == of_automated]
    hits = int(labelled.sum())
    precision = hits / len(labelled) if len(labelled) else float("nan")
    answers = right[right == right]
    return FieldPerformance(
        name,
        window,
        int(automated.sum()),
        len(labelled),
        hits,
        precision,
        wilson(hits, len(labelled)),
        answered=len(answers),
        answered_right=int(answers.sum()),
    )
