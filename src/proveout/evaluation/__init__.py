"""What is measured: how good answers are (`scores`), and whether a mission's service-level objectives are met (`objectives`).

Pure functions; `nan` where undefined.
"""

from proveout.evaluation.objectives import Measurement, Objective, Service, binomial_cdf, measurements, service
from proveout.evaluation.scores import (
    Counts,
    Labels,
    RiskCoverage,
    Score,
    answers,
    automation_rate,
    calibration_error,
    commonest,
    f1_by_class,
    interval,
    macro_f1,
    count_yes,
    risk_coverage,
    score,
    verdicts,
)

__all__ = [
    "Counts",
    "Labels",
    "Measurement",
    "Objective",
    "RiskCoverage",
    "Score",
    "Service",
    "answers",
    "binomial_cdf",
    "automation_rate",
    "calibration_error",
    "commonest",
    "f1_by_class",
    "interval",
    "macro_f1",
    "measurements",
    "count_yes",
    "risk_coverage",
    "score",
    "service",
    "verdicts",
]
