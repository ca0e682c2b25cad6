"""What changed, since when, how sure, whom it hurts: a live log against the release's reference.

Two doors: `compare` computes, `write` prints (report.html for people, report.json for machines, two Evidently reports).
Covered: drift of inputs, confidence, routes and values; bias by segment; performance as labels arrive late; the mission's
objectives with their error budgets. Alarms have a stated false-alarm rate (`alerts.yaml`), held over everything that is looked
at.
Not covered: who is told, and what is done about it. A person decides that; the report says what to do first.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from proveout.errors import BadInput
from proveout.mission import Mission
from proveout.monitoring.alerts import Alerts, load
from proveout.monitoring.findings import Condition, Disparity, Drift, Example, FieldPerformance, Findings, Window
from proveout.monitoring.wording import Moment

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

__all__ = [
    "Alerts",
    "Condition",
    "Disparity",
    "Drift",
    "Example",
    "FieldPerformance",
    "Findings",
    "Window",
    "compare",
    "load",
    "read",
    "write",
    "write_bias",
    "write_drift",
    "write_page",
]


def read(path: Path | str) -> "DataFrame":
    """The cases of a Parquet file, or of all Parquet files in a folder. Of a case that was decided again, the last decision.

    Raises BadInput when there is none.
    """
    import pandas as pd

    path = Path(path)
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise BadInput(f"{path}: no Parquet log here; expected are logs as a run of the agent writes them: proveout run")
    frame = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    if "decided_at" in frame.columns:
        frame = frame.sort_values("decided_at", kind="stable", ignore_index=True)
    return frame.drop_duplicates("case", keep="last", ignore_index=True) if "case" in frame.columns else frame


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
    reference, decided, log = features.dated(reference), features.dated(log, ordered=False), features.dated(log)
    current, settings = log[log["day"].notna()], alerts.window
    days: list[Moment] = list(current["day"])
    without_day = len(log) - len(current)
    if without_day > len(current):  # too few days to tell the time by
        current, days, settings = decided, list(range(1, len(log) + 1)), settings.model_copy(update={"by": "count"})
        log = decided.assign(day=np.array(days, dtype=object))
    cut = drift.cut(days, settings)
    windows, slices = tuple(window for window, _ in cut), [place for window, place in cut if window.tested]
    before, after = features.features(reference, current, mission)
    tests = drift.look(before, after, slices, alerts.drift)
    drifted = drift.drifts(before, after, [str(case) for case in current["case"]], days, windows, tests, alerts.drift)
    measured_before, measured = bias.outcomes(reference, mission), bias.outcomes(log, mission)
    disparities = bias.with_cases(bias.disparities(log, measured, reference, measured_before, alerts.bias), log, mission)
    performances = performance.performance(current, mission, [place for _, place in cut], alerts)
    found = Findings(
        mission=mission.mission,
        releases=tuple(sorted({str(one) for one in log.get("release", ()) if one})),
        alerts=alerts,
        promised_precision=mission.slo.precision,
        reference_days=features.span(reference),
        reference_cases=len(reference),
        days=features.span(decided),
        cases=len(log),
        labelled=int(measured[bias.ERROR].notna().sum()),
        without_day=without_day,
        windows=windows,
        columns=tuple(str(name) for name in before.columns if name not in alerts.drift.ignore),
        tests=tuple(tests),
        drifted=drifted,
        disparities=disparities,
        performance=performances,
        service=performance.service(decided, mission),
        sure_below=performance.surely(mission, alerts),
        examples=drift.best_examples(drifted),
        advice=(),
        reference_features=before,
        features=after,
        case_days=tuple(days),
        outcomes={
            "reference": measured_before.assign(**{by: reference[by] for by in ("day", *alerts.bias.by) if by in reference}),
            "log": measured.assign(**{by: log[by] for by in ("day", *alerts.bias.by) if by in log}),
        },
    )
    return advice(found, mission)


def write(found: Findings, folder: Path | str) -> Path:
    """All into one folder: report.html and report.json, drift and bias as Evidently's HTML and JSON. Returns the page.

    The same findings give the same report.html and report.json, byte for byte.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_drift(found, folder / "drift.html", folder / "drift.json")
    write_bias(found, folder / "bias.html", folder / "bias.json")
    write_page(found, folder / "report.html", folder / "report.json", REPORTS)
    return folder / "report.html"


REPORTS = {"Every column, by Evidently": "drift.html", "Every segment, by Evidently": "bias.html"}


def write_drift(found: Findings, html: Path, json: Path) -> None:
    """Evidently's report of drift."""
    from proveout.monitoring import evidently_reports

    evidently_reports.write_drift(found, html, json)


def write_bias(found: Findings, html: Path, json: Path) -> None:
    """Evidently's report of bias by segment."""
    from proveout.monitoring import evidently_reports

    evidently_reports.write_bias(found, html, json)


def write_page(found: Findings, html: Path, json: Path, links: Mapping[str, str]) -> None:
    """The page that people read first, and the same for machines. `links`: titles and paths of the other reports."""
    from proveout.monitoring import page

    page.write_page(found, html, json, links)
