"""Whether the promise is kept: precision among automated values, as far as labels have arrived.

Covered: windows and fields without labels (`nan`), a promise that is surely broken (exact binomial test over the whole log).
Not covered: cases that nobody labelled. Where only reviewed cases get labels, the numbers speak of those.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from proveout.mission import Mission
from proveout.monitoring.alerts import Alerts
from proveout.monitoring.bias import rightness
from proveout.monitoring.findings import FieldPerformance
from proveout.monitoring.significance import binomial_at_most, wilson

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]


def performance(log: "DataFrame", mission: Mission, windows: Sequence[slice], alerts: Alerts) -> tuple[FieldPerformance, ...]:
    """Per field, first the whole log, then every window. `log` is in time order.

    A promise counts as broken when so few right values would come by chance with probability at most the false-alarm rate,
    shared by all fields and `drift.over_windows` reports.
    """
    looks = len(mission.fields) * alerts.drift.over_windows
    found = []
    for name in mission.fields:
        right = rightness(log, name, mission).to_numpy()
        automated = log[f"{name}.automated"].fillna(False).astype(bool).to_numpy()
        whole = _measure(name, None, right, automated)
        p = min(1.0, binomial_at_most(whole.right, whole.labelled, mission.slo.precision) * looks)
        found.append(replace(whole, p=p, broken=p <= alerts.performance.false_alarm_rate))
        found += [_measure(name, i, right[window], automated[window]) for i, window in enumerate(windows)]
    return tuple(found)


def _measure(name: str, window: int | None, right, automated) -> FieldPerformance:  # type: ignore[no-untyped-def]
    of_automated = right[automated]
    labelled = of_automated[of_automated == of_automated]
    hits = int(labelled.sum())
    precision = hits / len(labelled) if len(labelled) else float("nan")
    known = right[right == right]
    return FieldPerformance(
        name,
        window,
        int(automated.sum()),
        len(labelled),
        hits,
        precision,
        wilson(hits, len(labelled)),
        answered=len(known),
        answered_right=int(known.sum()),
    )
