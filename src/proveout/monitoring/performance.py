"""Whether targets are met: precision of automated values, from the labels so far, and the mission's other objectives.

Covered: windows and fields without labels (`nan`, beside what confidence lets expect of them); precision significantly under
its target (exact binomial test, whole log).
Not covered: unlabelled cases. If only reviewed cases get labels, the numbers describe those.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from proveout import evaluation
from proveout.mission import SLO, Mission
from proveout.monitoring.alerts import Alerts
from proveout.monitoring.bias import rightness
from proveout.monitoring.features import names_of
from proveout.monitoring.findings import FieldPerformance, Promise
from proveout.monitoring.significance import Interval, wilson
from proveout.records import Route

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]


def performance(
    log: "DataFrame", mission: Mission, windows: Sequence[slice], alerts: Alerts, promises: Mapping[str, SLO]
) -> tuple[FieldPerformance, ...]:
    """Per field: the whole log, then every window. `log` is in time order, `windows` are its rows. `promises`: by release.

    A field is `broken` if precision on target would give so few right values with probability at most the false-alarm rate,
    shared by all fields and `drift.over_windows` reports.
    """
    import pandas as pd

    looks = _looks(mission, alerts)
    promised = np.array([slo.precision for slo in slos(log, mission, promises)])
    performances = []
    for name in mission.fields:
        right = rightness(log, name, mission).to_numpy()
        automated = log[f"{name}.automated"].fillna(False).astype(bool).to_numpy()
        confidence = pd.to_numeric(log[f"{name}.confidence"], errors="coerce").to_numpy(dtype=float)
        whole = _measure(name, None, right, automated, confidence, promised)
        p = min(1.0, evaluation.binomial_cdf(whole.right, whole.labelled, whole.target) * looks)
        performances.append(replace(whole, p=p, broken=p <= alerts.performance.false_alarm_rate))
        for i, rows in enumerate(windows):
            performances.append(_measure(name, i, right[rows], automated[rows], confidence[rows], promised[rows]))
    return tuple(performances)


def slos(log: "DataFrame", mission: Mission, promises: Mapping[str, SLO]) -> list[SLO]:
    """What each case was promised by the release that decided it; the mission's, if that is not known."""
    releases = names_of(log["release"]) if "release" in log else [""] * len(log)
    return [promises.get(release, mission.slo) for release in releases]


def promised_by(log: "DataFrame", mission: Mission, promises: Mapping[str, SLO]) -> tuple[Promise, ...]:
    """The precisions that cases of the log were promised, those of the most cases first."""
    releases = names_of(log["release"]) if "release" in log else [""] * len(log)
    counts = Counter(releases)
    together: dict[float, list[str]] = {}
    for release in counts:
        together.setdefault(promises.get(release, mission.slo).precision, []).append(release)
    rows = [Promise(precision, tuple(ids), sum(counts[id] for id in ids)) for precision, ids in together.items()]
    return tuple(sorted(rows, key=lambda row: -row.cases))


def service(log: "DataFrame", mission: Mission, promises: Mapping[str, SLO]) -> tuple[evaluation.Service, evaluation.Service]:
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
    columns = (log["route"] == Route.ACT.value, seconds, dollars, log["day"], decided, slos(log, mission, promises))
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
            slo=slo,
        )
        for row, (acted, waited, spent, day, at, slo) in enumerate(zip(*columns, strict=True))
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
    promised: NDArray[np.float64],
) -> FieldPerformance:
    judged = automated & ~np.isnan(right)
    targets = next((part for part in (promised[judged], promised[automated]) if len(part)), promised)
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
        evaluation.mean_target(targets.tolist()),
        answered=len(answers),
        answered_right=int(answers.sum()),
        expected=expected,
        expected_interval=interval,
    )
