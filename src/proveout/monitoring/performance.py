"""Whether targets are met: precision of automated values, from the labels so far, and the mission's other objectives.

Covered: windows and fields without labels (`nan`, beside what confidence lets expect of them); precision significantly under
its target (exact binomial test, whole log).
Not covered: unlabelled cases. If only reviewed cases get labels, the numbers describe those.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from proveout import evaluation
from proveout.mission import Mission
from proveout.monitoring.alerts import Alerts
from proveout.monitoring.bias import rightness
from proveout.monitoring.findings import FieldPerformance
from proveout.monitoring.significance import Interval, wilson
from proveout.records import Route

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]


def performance(log: "DataFrame", mission: Mission, windows: Sequence[slice], alerts: Alerts) -> tuple[FieldPerformance, ...]:
    """Per field: the whole log, then every window. `log` is in time order, `windows` are its rows.

    A field is `broken` if precision on target would give so few right values with probability at most the false-alarm rate,
    shared by all fields and `drift.over_windows` reports.
    """
    import pandas as pd

    looks = _looks(mission, alerts)
    performances = []
    for name in mission.fields:
        right = rightness(log, name, mission).to_numpy()
        automated = log[f"{name}.automated"].fillna(False).astype(bool).to_numpy()
        confidence = pd.to_numeric(log[f"{name}.confidence"], errors="coerce").to_numpy(dtype=float)
        whole = _measure(name, None, right, automated, confidence)
        p = min(1.0, evaluation.binomial_cdf(whole.right, whole.labelled, mission.slo.precision) * looks)
        performances.append(replace(whole, p=p, broken=p <= alerts.performance.false_alarm_rate))
        performances += [_measure(name, i, right[rows], automated[rows], confidence[rows]) for i, rows in enumerate(windows)]
    return tuple(performances)


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
    labelled, nothing = ~np.isnan(np.stack([*rightness_of.values()])).all(axis=0), dict[str, bool]()
    columns = (log["route"] == Route.ACT.value, seconds, dollars, log["day"], decided)
    cases = [
        evaluation.Measurement(
            acted=bool(acted),
            seconds=waited,
            dollars=spent,
            right={name: bool(right[row]) for name, right in rightness_of.items() if right[row] == right[row]}
            if labelled[row]
            else nothing,
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


def expected_precision(confidence: NDArray[np.float64]) -> tuple[float, Interval]:
    """The share of right values among those with these calibrated confidences, and its 95 % interval; `nan` without any.

    The mean, with the standard deviation of a sum of independent Bernoulli variables (Poisson's binomial distribution). It
    needs no label, and holds while the confidence is calibrated for these cases, which drift can end.

    >>> expected, (low, high) = expected_precision(np.full(100, 0.98))
    >>> round(expected, 3), round(low, 3), round(high, 3)
    (0.98, 0.953, 1.0)
    """
    calibrated = confidence[~np.isnan(confidence)]
    if not len(calibrated):
        return math.nan, (math.nan, math.nan)
    mean = float(calibrated.mean())
    half = NormalDist().inv_cdf(0.975) * math.sqrt(float((calibrated * (1 - calibrated)).sum())) / len(calibrated)
    return mean, (max(0.0, mean - half), min(1.0, mean + half))


def _measure(
    name: str,
    window: int | None,
    right: NDArray[np.float64],
    automated: NDArray[np.bool_],
    confidence: NDArray[np.float64],
) -> FieldPerformance:
    of_automated = right[automated]
    labelled = of_automated[of_automated == of_automated]
    hits = int(labelled.sum())
    precision = hits / len(labelled) if len(labelled) else float("nan")
    answers = right[right == right]
    expected, interval = expected_precision(confidence[automated])
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
        expected=expected,
        expected_interval=interval,
    )
