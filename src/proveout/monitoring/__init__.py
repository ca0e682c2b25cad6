"""What changed, since when, how sure, whom it hurts: a live log against the release's reference.

Two doors: `compare` computes, `write` prints (report.html for people, report.json for machines, two Evidently reports).
Covered: drift of inputs, confidence, routes and values; bias by segment; performance as labels arrive late. Each with a stated
false-alarm rate (`alerts.yaml`), held over everything that is looked at.
Not covered: who is told, and what is done about it. A person decides that; the report says what to do first.
"""

from typing import TYPE_CHECKING

from proveout.errors import BadInput
from proveout.mission import Mission
from proveout.monitoring.alerts import Alerts, load
from proveout.monitoring.findings import Disparity, Drift, Event, Example, FieldPerformance, Findings, Window

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

__all__ = [
    "Alerts",
    "Disparity",
    "Drift",
    "Event",
    "Example",
    "FieldPerformance",
    "Findings",
    "Window",
    "compare",
    "load",
]


def compare(reference: "DataFrame", log: "DataFrame", mission: Mission, alerts: Alerts | None = None) -> Findings:
    """Compare a log with the reference: both one row a case, in the format that the agent writes.

    Raises BadInput when a column is missing or either frame has no cases.
    """
    from proveout.monitoring import bias, drift, features, performance
    from proveout.monitoring.advice import advice

    alerts = alerts or Alerts()
    for frame, what in ((reference, "reference"), (log, "log")):
        features.check(frame, mission, what)
        if not len(frame):
            raise BadInput(f"the {what} has no cases; expected is one row a case. Run the agent first: proveout run")
    reference, log = features.dated(reference), features.dated(log)
    current = log[log["day"].notna()]
    days = list(current["day"])
    cut = drift.cut(days, alerts.window)
    windows, slices = tuple(window for window, _ in cut), [place for window, place in cut if window.tested]
    before, after = features.features(reference, current, mission)
    tests = drift.look(before, after, slices, alerts.drift)
    drifted = drift.drifts(before, after, [str(case) for case in current["case"]], days, windows, tests, alerts.drift)
    measured_before, measured = bias.outcomes(reference, mission), bias.outcomes(log, mission)
    disparities = bias.disparities(log, measured, reference, measured_before, alerts.bias)
    performances = performance.performance(current, mission, [place for _, place in cut], alerts)
    found = Findings(
        mission=mission.mission,
        releases=tuple(sorted({str(one) for one in log.get("release", ()) if one})),
        alerts=alerts,
        promised_precision=mission.slo.precision,
        reference_days=features.span(reference),
        reference_cases=len(reference),
        days=features.span(log),
        cases=len(log),
        without_day=len(log) - len(current),
        windows=windows,
        columns=tuple(str(name) for name in before.columns if name not in alerts.drift.ignore),
        tests=tuple(tests),
        drifted=drifted,
        disparities=disparities,
        performance=performances,
        examples=drift.best_examples(drifted),
        advice=(),
        reference_features=before,
        features=after,
        outcomes={
            "reference": measured_before.assign(**{by: reference[by] for by in alerts.bias.by if by in reference}),
            "log": measured.assign(**{by: log[by] for by in alerts.bias.by if by in log}),
        },
    )
    return advice(found)
