"""What is at stake before labels arrive: automated values that are expected to be wrong, and the money that rests on them.

Entry point: `stakes`, from calibrated confidences alone, for all cases and for each segment; beside what the labels say so far,
which tells how good the estimate is. A case's money is what its allowed actions spent (`spent` in the log). It is at risk with
the probability that a required field is wrong, as if the errors of its fields were independent; those that fall together make
it less. A value whose confidence is not calibrated counts as wrong.
Covered: segments that are too small are not shown; logs of before `spent` was written (no money).
Not covered: values that people confirmed; drift that ends the calibration, which shows where labels contradict the estimate.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from proveout.mission import Mission
from proveout.monitoring.alerts import BiasAlerts
from proveout.monitoring.bias import rightness
from proveout.monitoring.features import names_of
from proveout.monitoring.findings import Absent, Stake
from proveout.monitoring.performance import expected_precision
from proveout.monitoring.significance import wilson
from proveout.records import Route

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

Z = NormalDist().inv_cdf(0.975)


def stakes(log: "DataFrame", mission: Mission, settings: BiasAlerts, absent: Sequence[Absent] = ()) -> tuple[Stake, ...]:
    """All cases, then each segment with at least `smallest_group` cases. `absent`: the fields that releases did not have."""
    return tuple(_stakes(log, mission, settings, absent))


def _stakes(log: "DataFrame", mission: Mission, settings: BiasAlerts, absent: Sequence[Absent]) -> Iterator[Stake]:
    import pandas as pd

    names = list(mission.fields)
    automated = np.stack([log[f"{name}.automated"].fillna(False).astype(bool).to_numpy() for name in names])
    confidence = np.stack([pd.to_numeric(log[f"{name}.confidence"], errors="coerce").to_numpy(dtype=float) for name in names])
    right = np.stack([rightness(log, name, mission).to_numpy() for name in names])
    needed = np.array([spec.required for spec in mission.fields.values()])
    spent = pd.to_numeric(log["spent"], errors="coerce").to_numpy(dtype=float) if "spent" in log else np.full(len(log), np.nan)
    spent = np.where((log["route"] == Route.ACT.value).to_numpy(), spent, 0.0)
    lacking = np.zeros_like(automated)
    for row in absent:
        if row.field and row.cases:
            lacking[names.index(row.column)] |= names_of(log["release"]) == row.release
    risk = 1 - np.where(lacking, 1.0, np.nan_to_num(confidence, nan=0.0))[needed].prod(axis=0)
    judged = ~(np.isnan(right) & ~lacking)[needed].any(axis=0)
    wrong = judged & (right[needed] == 0).any(axis=0)
    groups = {"all cases": np.ones(len(log), dtype=bool)}
    for by in settings.by:
        segments = names_of(log[by])
        groups |= {f"{by} {name}": segments == name for name in sorted({*segments} - {""})}
    for group, member in groups.items():
        if member.sum() < settings.smallest_group and group != "all cases":
            continue
        of_group = automated & member
        expected, interval = expected_precision(confidence[of_group])
        labels = right[of_group & ~np.isnan(right)]
        hits, money = int(labels.sum()), spent[member]
        at_risk = float(money @ risk[member])
        half = Z * math.sqrt(float(money**2 @ (risk[member] * (1 - risk[member]))))
        yield Stake(
            group=group,
            cases=int(member.sum()),
            automated=int(of_group.sum()),
            expected=expected,
            expected_interval=interval,
            labelled=len(labels),
            right=hits,
            interval=wilson(hits, len(labels)),
            spent=float(money.sum()),
            at_risk=at_risk,
            at_risk_interval=(max(0.0, at_risk - half), at_risk + half),
            judged_spent=float(spent[member & judged].sum()),
            judged_at_risk=float(spent[member & judged] @ risk[member & judged]),
            lost=float(spent[member & wrong].sum()),
        )
