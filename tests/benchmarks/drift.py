"""A drift report over a million rows and 20 columns, numbers and categories: ours against Evidently's `DataDriftPreset`."""

import time
import warnings

import numpy as np
import pandas as pd


def frame(rows: int, seed: int) -> pd.DataFrame:
    """Ten numbers and ten categories; two columns of the second frame have drifted."""
    rng = np.random.default_rng(seed)
    numbers = {f"number {i}": rng.normal(0.05 * seed if i == 0 else 0, 1, rows) for i in range(10)}
    names = np.array([f"class {i}" for i in range(8)])
    shares = [np.full(8, 1 / 8) if i or not seed else np.array([2, 1, 1, 1, 1, 1, 0.5, 0.5]) / 8 for i in range(10)]
    return pd.DataFrame(numbers | {f"category {i}": pd.Series(names[rng.choice(8, rows, p=shares[i])]) for i in range(10)})


def ours(reference: pd.DataFrame, current: pd.DataFrame) -> set[str]:
    from proveout.monitoring.alerts import DriftAlerts
    from proveout.monitoring.drift import run_tests

    settings = DriftAlerts(over_windows=1)
    return {test.column for test in run_tests(reference, current, [slice(0, len(current))], settings) if test.p <= 0.05}


def evidently(reference: pd.DataFrame, current: pd.DataFrame) -> object:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    kinds = DataDefinition(
        numerical_columns=[name for name in current if name.startswith("number")],
        categorical_columns=[name for name in current if name.startswith("category")],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = Report([DataDriftPreset()]).run(Dataset.from_pandas(current, kinds), Dataset.from_pandas(reference, kinds))
        return report.dict()


def run(rows: int = 1_000_000) -> dict[str, dict[str, object]]:
    """Seconds of both, each after one run on a few rows that pays for the imports."""
    reference, current = frame(rows, 0), frame(rows, 1)
    few = reference[:1_000], current[:1_000]
    seconds = {}
    for name, report in (("ours", ours), ("peer", evidently)):
        report(*few)
        started = time.perf_counter()
        found = report(reference, current)
        seconds[name] = time.perf_counter() - started
        if name == "ours":
            assert found >= {"number 0", "category 0"} or rows < 100_000
    ratio = seconds["ours"] / seconds["peer"]
    return {"drift_million": {**seconds, "unit": "s", "ratio": ratio, "peer_name": "Evidently DataDriftPreset", "rows": rows}}
