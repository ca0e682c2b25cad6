"""Drift on public streams beside river's ADWIN and Evidently: `sine1`, `circles` (changes known) and `elec2` (a real one).

The data are not in the project; PROVEOUT_DATA names their folder (streams/sine1.arff, circles.arff, elec2.dat and its label).
A stream is judged as the log of an agent would be: a model that learned from the rows before decides each row; the columns that
every judge sees are the inputs, the confidence, and whether the answer was right.

What counts, settled before anything was run:
- sine1 (a change every 20,000 rows, abrupt) and circles (every 25,000, gradual), both with 10 % label noise. One trial for each
  change: the model learns from 4,000 rows, the next 2,000 are the reference, the next 2,000 (before the change) and the 6,000
  from the change on are the stream, in windows of 500 rows.
- A change is found if any column alarms after it and none before. The delay runs from the change to the end of the first window
  that alarms (ADWIN: to the row that raises it).
- False alarms: 100 copies of the quiet part (reference and stream before the change, shuffled together, of all trials in turn),
  4 windows each; a copy with any alarm is false. Ours at 5 % of any false alarm in 10 windows, here and for the changes.
- elec2: 48 rows a day from 1996-05-07 on. The model learns from two months, the next is calibration, the next month is the
  reference; then month by month. Known: the columns of Victoria and the transfer were constant until 1997-05-02. Beside each
  month the precision that calibrated confidence expects of the answers above a threshold (certified at 80 % on the calibration
  month), with its interval, and what the labels say.
"""

import json
import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tests.benchmarks import commit
from tests.benchmarks.known_truth import adwin, evidently

from proveout.calibration import Calibration
from proveout.mission import SLO
from proveout.monitoring.alerts import DriftAlerts
from proveout.monitoring.drift import run_tests
from proveout.monitoring.performance import expected_precision
from proveout.monitoring.significance import wilson

LEARNED, REFERENCE, QUIET, CHANGED, WINDOW = 4_000, 2_000, 2_000, 6_000, 500
COPIES = 100
CHANGES = {"sine1": range(20_000, 100_000, 20_000), "circles": range(25_000, 100_000, 25_000)}
DATA = Path(os.environ.get("PROVEOUT_DATA", "../shared/data")) / "streams"
JUDGES = ("ours", "ADWIN, 5 % in all", "ADWIN, delta 0.002", "Evidently, half of the columns", "Evidently, any column")


def synthetic(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(rows, 2) inputs and (rows,) labels."""
    lines = (DATA / f"{name}.arff").read_text().partition("@data")[2].split()
    rows = [line.split(",") for line in lines]
    return np.array([row[:-1] for row in rows], dtype=float), np.array([row[-1] == "p" for row in rows])


def electricity() -> tuple[np.ndarray, np.ndarray]:
    return np.loadtxt(DATA / "elec2.dat"), np.loadtxt(DATA / "elec2-label.dat").astype(bool)


def judged(model: Any, inputs: np.ndarray, labels: np.ndarray, names: list[str]) -> pd.DataFrame:
    """The log of a model's answers."""
    yes = model.predict_proba(inputs)[:, 1]
    frame = pd.DataFrame(inputs, columns=names).astype(float)
    return frame.assign(confidence=np.maximum(yes, 1 - yes), right=((yes > 0.5) == labels).astype(float))


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with yes and no for whether a value is right, as in a log."""
    return frame.assign(right=frame["right"].map({1.0: "yes", 0.0: "no"}))


def learned(inputs: np.ndarray, labels: np.ndarray) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(inputs, labels)


def first_alarms(reference: pd.DataFrame, stream: pd.DataFrame, judges: tuple[str, ...]) -> dict[str, list[int]]:
    """For each judge the rows after which it alarms, in order."""
    edges = range(0, len(stream), WINDOW)
    windows = [slice(at, at + WINDOW) for at in edges]
    alarms: dict[str, list[int]] = {}
    if "ours" in judges:
        settings = DriftAlerts(false_alarm_rate=0.05, over_windows=10)
        tests = run_tests(named(reference), named(stream), windows, settings)
        fired = {test.window for test in tests if test.p <= 0.05 and test.effect >= settings.smallest_change}
        alarms["ours"] = sorted((window + 1) * WINDOW for window in fired)
    rows = [date.fromordinal(1 + row) for row in range(len(stream))]
    for name, delta in (("ADWIN, 5 % in all", 0.05 / stream.shape[1]), ("ADWIN, delta 0.002", 0.002)):
        if name in judges:
            alarms[name] = [day.toordinal() for day in adwin(reference, stream, rows, delta)]
    if JUDGES[3] in judges:
        said = [evidently(reference, stream[window]) for window in windows]
        for at, name in enumerate(JUDGES[3:]):
            alarms[name] = [(window + 1) * WINDOW for window, verdicts in enumerate(said) if verdicts[at]]
    return alarms


def trials(name: str) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    inputs, labels = synthetic(name)
    for change in CHANGES[name]:
        start = change - QUIET - REFERENCE - LEARNED
        model = learned(inputs[start : start + LEARNED], labels[start : start + LEARNED])
        first = start + LEARNED
        last = change + CHANGED
        log = judged(model, inputs[first:last], labels[first:last], ["x", "y"])
        yield log[:REFERENCE].reset_index(drop=True), log[REFERENCE:].reset_index(drop=True)


def known(name: str) -> dict[str, Any]:
    rows = []
    for reference, stream in trials(name):
        alarms = first_alarms(reference, stream, JUDGES)
        rows.append({judge: _verdict(alarms[judge]) for judge in JUDGES})
    return {"changes": len(rows), "trials": rows}


def _verdict(alarms: list[int]) -> str | int:
    if any(row <= QUIET for row in alarms):
        return "alarmed before"
    return min(alarms) - QUIET if alarms else "missed"


def shuffled() -> dict[str, int]:
    quiet = [
        pd.concat([reference, stream[:QUIET]], ignore_index=True) for name in CHANGES for reference, stream in trials(name)
    ]
    false = dict.fromkeys(JUDGES, 0)
    for copy in range(COPIES):
        drawn = quiet[copy % len(quiet)].sample(frac=1, random_state=copy).reset_index(drop=True)
        reference, stream = drawn[:REFERENCE].reset_index(drop=True), drawn[REFERENCE:].reset_index(drop=True)
        for judge, alarms in first_alarms(reference, stream, JUDGES).items():
            false[judge] += bool(alarms)
    return false


def real() -> list[dict[str, Any]]:
    """Month by month; see the top."""
    inputs, labels = electricity()
    names = ["date", "weekday", "period", "price_nsw", "demand_nsw", "price_vic", "demand_vic", "transfer"]
    days = np.array([date(1996, 5, 7) + timedelta(row // 48) for row in range(len(inputs))], dtype=object)
    month = np.array([day.year * 12 + day.month - 1 for day in days])
    order = sorted({*month})
    rows = [np.flatnonzero(month == each) for each in order]
    learn = np.concatenate(rows[:3])
    columns = inputs[:, 1:]  # without the date, which only grows
    model = learned(columns[learn], labels[learn])
    held, reference = (judged(model, columns[part], labels[part], names[1:]) for part in rows[3:5])
    slo = SLO(precision=0.8, confidence=0.95, lowest_confidence=0.6)
    pairs = list(zip(held["confidence"].tolist(), (held["right"] == 1).tolist(), strict=True))
    calibration = Calibration.fit({"up": pairs}, slo)
    floor = calibration.threshold("up")
    result = []
    for at, part in zip(order[5:], rows[5:], strict=True):
        log = judged(model, columns[part], labels[part], names[1:])
        settings = DriftAlerts(over_windows=len(order) - 5)
        tests = run_tests(named(reference), named(log), [slice(0, len(log))], settings)
        drifted = sorted((t.p, t.column, t.effect) for t in tests if t.p <= 0.05 and t.effect >= settings.smallest_change)
        probability = np.array([calibration.confidence("up", score) for score in log["confidence"]])
        automated = log["confidence"].to_numpy() >= (2.0 if floor is None else floor)
        expected, interval = expected_precision(probability[automated])
        hits, n = int(log["right"][automated].sum()), int(automated.sum())
        result.append(
            {"month": f"{at // 12}-{at % 12 + 1:02}", "cases": len(log), "drifted": [(c, round(e, 2)) for _, c, e in drifted]}
            | {"automated": n, "expected": expected, "expected_interval": interval, "right": hits / n if n else None}
            | {"interval": wilson(hits, n), "evidently": evidently(reference, log)}
        )
    return result


def run() -> dict[str, dict[str, Any]]:
    about: dict[str, Any] = {"commit": commit(), **{name: known(name) for name in CHANGES}}
    Path("build").mkdir(exist_ok=True)
    for key, compute in (("shuffled", shuffled), ("elec2", real)):
        about[key] = compute()
        Path("build/streams.json").write_text(json.dumps(about, indent=1, default=str) + "\n")
    delays = {judge: [row[judge] for name in CHANGES for row in about[name]["trials"]] for judge in JUDGES}
    mine, peer = (float(np.mean([d for d in delays[j] if isinstance(d, int)])) for j in JUDGES[:2])
    return {"streams_delay": {"ours": mine, "peer": peer, "unit": "rows", "ratio": mine / peer, "peer_name": "river ADWIN"}}
