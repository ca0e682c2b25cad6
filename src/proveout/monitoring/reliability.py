"""Whether confidence means what it says, and what people changed: by field and by the tier that read the value.

Entry point: `reliability`. Among labelled values the share that is right should be their mean confidence. It is called too high
or too low where that mean lies outside the share's interval, at a level shared by all rows of the table.
Covered: values without a calibrated confidence (left out); logs of before the tier was written (one row per field).
Not covered: why. A drift that ends the calibration shows here before thresholds fail, as far as labels have arrived.
"""

from typing import TYPE_CHECKING

import numpy as np

from proveout.mission import Mission
from proveout.monitoring.bias import rightness
from proveout.monitoring.features import names_of
from proveout.monitoring.findings import Reliability
from proveout.monitoring.significance import wilson

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

FEWEST = 20  # labelled values; fewer are not judged


def reliability(log: "DataFrame", mission: Mission) -> tuple[Reliability, ...]:
    """A row for each field and tier with a value."""
    import pandas as pd

    counted = []
    for name in mission.fields:
        right = rightness(log, name, mission).to_numpy()
        confidence = pd.to_numeric(log[f"{name}.confidence"], errors="coerce").to_numpy(dtype=float)
        automated = log[f"{name}.automated"].fillna(False).astype(bool).to_numpy()
        tiers = names_of(log[f"{name}.tier"]) if f"{name}.tier" in log else np.full(len(log), "", dtype=object)
        labelled = ~np.isnan(right) & ~np.isnan(confidence)
        for tier in sorted({*tiers[~np.isnan(confidence)]}):
            rows = labelled & (tiers == tier)
            seen = ~np.isnan(right) & (tiers == tier) & ~automated
            counted.append((name, str(tier), confidence[rows], right[rows], right[seen]))
    level = 1 - 0.05 / max(1, sum(len(right) >= FEWEST for _, _, _, right, _ in counted))
    result = []
    for name, tier, confidence, right, seen in counted:
        n, hits = len(right), int(right.sum())
        mean = float(confidence.mean()) if n else float("nan")
        low, high = wilson(hits, n, level)
        fits = "too few labels" if n < FEWEST else "too high" if mean > high else "too low" if mean < low else "fits"
        result.append(Reliability(name, tier, n, mean, hits, (low, high), fits, len(seen), int(len(seen) - seen.sum())))
    return tuple(result)
