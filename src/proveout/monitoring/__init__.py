"""What changed, since when, how significantly, and which segments are treated worse: a live log against the reference.

Entry points: `compare` computes; `write` writes report.html for people, report.json for machines, and two Evidently reports.
Covered: drift of inputs, confidence, routes and values; bias by segment; performance as labels arrive; the mission's objectives
with their error budgets. Alarms hold a stated false-alarm rate (`alerts.yaml`) over everything that is tested.
Not covered: acting on an alarm. The report advises; a person decides.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from proveout.cases import kind_of
from proveout.errors import BadInput, hint
from proveout.mission import Mission
from proveout.monitoring.alerts import Alerts, load
from proveout.monitoring.findings import Condition, Disparity, Drift, Example, FieldPerformance, Findings, Slice, Window
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
    "Slice",
    "Window",
    "compare",
    "frozen_missions",
    "load",
    "read",
    "write",
    "write_bias",
    "write_drift",
    "write_page",
]


def read(path: Path | str) -> "DataFrame":
    """The cases of a Parquet file, or of all Parquet files in a folder; only the last decision of each case.

    Raises BadInput if there is no file.
    """
    import pandas as pd

    from proveout.journal.log import read_log

    path = Path(path)
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise BadInput(f"{path}: found no Parquet log, expected one as the agent writes it. Run it first: proveout run")
    frames = [read_log(file).to_pandas() for file in files]
    frame = pd.concat(frames, ignore_index=True) if frames[1:] else frames.pop()  # a copy of a long log is a lot of memory
    if "decided_at" in frame.columns and not frame["decided_at"].is_monotonic_increasing:
        frame = frame.sort_values("decided_at", kind="stable", ignore_index=True)
    if "case" in frame.columns and frame["case"].duplicated().any():
        frame = frame.drop_duplicates("case", keep="last", ignore_index=True)
    return frame


def frozen_missions(reference: Path | str, log: "DataFrame") -> dict[str, Mission]:
    """By release, its mission: first that whose reference this is, then those that decided the log, if they lie beside it.

    Empty if the reference is not that of a release.
    """
    from proveout.release import Releases

    own = Path(reference).resolve().parent.parent  # RELEASE/evidence/reference.parquet
    releases, deciders = Releases(own.parent), log["release"].dropna().unique() if "release" in log else []
    missions = {id: mission for id in (own.name, *map(str, deciders)) if (mission := releases.mission(id))}
    return missions if own.name in missions else {}


def compare(
    reference: "DataFrame",
    log: "DataFrame",
    mission: Mission,
    alerts: Alerts | None = None,
    missions: Mapping[str, Mission] | None = None,
) -> Findings:
    """Compare a log with the reference, both one row per case as the agent writes them.

    `missions`: those of releases, first of the one whose reference this is. A case is judged by what its release promised, that
    of a release that is not among them by the mission; and what a release did not have is no drift.

    Raises BadInput if a column is missing or either frame has no cases.
    """
    from proveout.monitoring import bias, drift, features, performance, reliability, slices, stakes
    from proveout.monitoring.advice import advice

    alerts, missions, called = alerts or Alerts(), missions or {}, getattr(kind_of(mission), "plural", "cases")
    promises = {id: frozen.slo for id, frozen in missions.items()}
    mission, absent = features.without_new(mission, reference, missions)
    if unknown := [by for by in alerts.bias.by if by not in log.columns]:
        raise BadInput(
            f"alerts: `bias.by` names `{unknown[0]}`, which is no column of the log; {hint(unknown[0], map(str, log.columns))}"
        )
    for frame, what in ((reference, "reference"), (log, "log")):
        features.check(frame, mission, what)
        if not len(frame):
            raise BadInput(f"the {what} has no cases; expected one row per case. Run the agent first: proveout run")
    reference = bias.judged(features.dated(reference), mission)
    decided = bias.judged(features.dated(log, ordered=False), mission)
    log = features.dated(decided)
    current, settings = log[log["day"].notna()], alerts.window
    days: list[Moment] = list(current["day"])
    without_day = len(log) - len(current)
    if without_day > len(current):  # too few dated cases; count cases instead
        current, days = decided, list(range(1, len(log) + 1))
        settings = settings.model_copy(update={"by": "count", "like": "all"})
        log = decided.assign(day=np.array(days, dtype=object))
    cut = drift.cut(days, settings)
    deciders = list(features.names_of(current["release"])) if "release" in current else [""] * len(current)
    windows = tuple(replace(window, releases=tuple(dict.fromkeys(deciders[rows]))) for window, rows in cut)
    stretches = [rows for window, rows in cut if window.tested]
    before, after = features.features(reference, current, mission)
    absent += features.absent(reference, current, mission, missions)
    after = features.left_out(after, absent, deciders)
    tested = drift.warmed_up(after, deciders, settings.warm_up)
    like = settings.like
    groups = None if like == "all" else (drift.group_of(reference, like), drift.group_of(current, like))
    tests = drift.run_tests(before, tested, stretches, alerts.drift, groups)
    tests = [replace(test, condition=replace(test.condition, cases=called)) for test in tests]
    drifted = drift.drifts(before, after, current["case"].array, days, windows, tests, alerts.drift)
    drifted = drift.with_releases(drifted, deciders, days)
    measured_before, measured = bias.outcomes(reference, mission), bias.outcomes(log, mission)
    disparities = bias.disparities(log, measured, reference, measured_before, alerts.bias)
    worst = slices.worst_slices(
        after,
        measured.loc[after.index],
        before,
        measured_before,
        alerts.slices,
        alerts.bias.by,
        [(one.by, one.segment) for one in disparities if one.worse],
    )
    worst = tuple(replace(one, conditions=tuple(replace(each, cases=called) for each in one.conditions)) for one in worst)
    disparities, worst = bias.with_examples(disparities, worst, after, log, mission)
    performances = performance.performance(current, mission, [rows for _, rows in cut], alerts, promises)
    findings = Findings(
        mission=mission.mission,
        releases=tuple(sorted({str(release) for release in log.get("release", ()) if release})),
        alerts=alerts,
        promises=performance.promised_by(log, mission, promises),
        mission_precision=mission.slo.precision,
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
        odds=bias.equalised_odds(log, measured, alerts.bias),
        slices=worst,
        performance=performances,
        absent=absent,
        stakes=stakes.stakes(log, mission, alerts.bias, absent),
        reliability=reliability.reliability(log, mission),
        service=performance.service(decided, mission, promises),
        significance_level=performance.significance_level(mission, alerts),
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
    return advice(findings, mission)


def write(findings: Findings, folder: Path | str) -> Path:
    """Write report.html and report.json, and drift and bias as Evidently's HTML and JSON. Returns the path of the page.

    Equal findings give the same report.html and report.json, byte for byte.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_drift(findings, folder / "drift.html", folder / "drift.json")
    write_bias(findings, folder / "bias.html", folder / "bias.json")
    write_page(findings, folder / "report.html", folder / "report.json", REPORTS)
    return folder / "report.html"


REPORTS = {"Every column, by Evidently": "drift.html", "Every segment, by Evidently": "bias.html"}


def write_drift(findings: Findings, html: Path, json: Path) -> None:
    """The Evidently report on drift."""
    from proveout.monitoring import evidently_reports

    evidently_reports.write_drift(findings, html, json)


def write_bias(findings: Findings, html: Path, json: Path) -> None:
    """The Evidently report on bias by segment."""
    from proveout.monitoring import evidently_reports

    evidently_reports.write_bias(findings, html, json)


def write_page(findings: Findings, html: Path, json: Path, links: Mapping[str, str]) -> None:
    """The page for people and its JSON. `links`: titles and paths of the other reports."""
    from proveout.monitoring import page

    page.write_page(findings, html, json, links)
