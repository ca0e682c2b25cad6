"""Measurements: how good answers are (`scores`), and whether a mission meets its service-level objectives (`objectives`).

Pure functions; `nan` where undefined.
"""

from proveout.evaluation.objectives import Measurement, Objective, Service, binomial_cdf, mean_target, measurements, service
from proveout.evaluation.scores import (
    Counts,
    Labels,
    RiskCoverage,
    Score,
    answers,
    automation_rate,
    by_dates,
    calibration_error,
    commonest,
    f1_by_class,
    interval,
    macro_f1,
    risk_coverage,
    score,
    verdicts,
    yes_only,
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
    "automation_rate",
    "binomial_cdf",
    "by_dates",
    "calibration_error",
    "commonest",
    "f1_by_class",
    "interval",
    "macro_f1",
    "mean_target",
    "measurements",
    "risk_coverage",
    "score",
    "service",
    "verdicts",
    "yes_only",
]
