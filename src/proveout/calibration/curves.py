"""Curves from raw scores to probabilities, and how reliable those are. Entry points: `fit_curve`, `quality_of`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from proveout.calibration.thresholds import precision_bounds


@dataclass(frozen=True, slots=True)
class Bin:
    """Values of similar confidence: their mean confidence and the share that is right."""

    confidence: float  # mean
    right: float  # share
    lower: float  # two-sided 95 % Clopper-Pearson interval of `right`
    upper: float
    n: int


@dataclass(frozen=True, slots=True)
class Quality:
    """How reliable the confidences are; each value is judged by a curve that was fitted without it."""

    ece: float  # expected calibration error, 0 is best; nan without values
    brier: float  # mean squared distance to the truth, 0 is best; nan without values
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """Beta calibration (Kull, Silva Filho, Flach 2017): logit p = a ln s - b ln(1 - s) + c, never falling in s.

    By the rule of succession, `n` values support confidences from 1 / (n + 2) to (n + 1) / (n + 2); others are clipped.

    >>> Curve(a=1.0, b=1.0, c=0.0, n=98)(0.8)
    0.8
    >>> Curve(a=1.0, b=1.0, c=0.0, n=98)(1.0)
    0.99
    """

    a: float
    b: float
    c: float
    n: int

    def __call__(self, score: float) -> float:
        s = min(max(score, 1e-6), 1 - 1e-6)
        odds = self.a * math.log(s) - self.b * math.log1p(-s) + self.c
        p = 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))
        return min(max(round(p, 12), 1 / (self.n + 2)), (self.n + 1) / (self.n + 2))

    def least_score(self, confidence: float) -> float:
        """The lowest raw score with at least this confidence; infinity if there is none.

        >>> round(Curve(a=1.0, b=1.0, c=0.0, n=98).least_score(0.8), 6), Curve(a=1.0, b=1.0, c=0.0, n=98).least_score(0.999)
        (0.8, inf)
        """
        if self(1.0) < confidence:
            return math.inf
        low, high = 0.0, 1.0
        while low < high - 1e-9 and self(low) < confidence:
            middle = (low + high) / 2
            low, high = (low, middle) if self(middle) >= confidence else (middle, high)
        return low if self(low) >= confidence else high


def quality_of(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> Quality:
    """Expected calibration error and Brier score of confidences, over bins of equal count (15 values or more in each).

    >>> quality_of([0.5, 0.5], [True, False]).ece
    0.0
    """
    n = len(confidences)
    if not n:
        return Quality(ece=math.nan, brier=math.nan, bins=())
    order = sorted(range(n), key=lambda i: confidences[i])
    bins = max(1, min(bins, n // 15))
    cuts = [round(n * k / bins) for k in range(bins + 1)]
    rows = tuple(_bin([confidences[i] for i in order[a:b]], [right[i] for i in order[a:b]]) for a, b in pairwise(cuts))
    return Quality(
        ece=sum(row.n * abs(row.confidence - row.right) for row in rows) / n,
        brier=sum((p - r) ** 2 for p, r in zip(confidences, right, strict=True)) / n,
        bins=rows,
    )


def _bin(confidences: Sequence[float], right: Sequence[bool]) -> Bin:
    n = len(right)
    low, high = precision_bounds(n, list(right).count(False), 0.975)
    return Bin(sum(confidences) / n, sum(right) / n, low, high, n)


def fit_curve(answered: Sequence[tuple[float, bool]]) -> Curve:
    """Penalised maximum likelihood, with one right and one wrong pseudo-answer spread over the scores (Platt 1999)."""
    import numpy as np
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    n = len(answered)
    if n == 0:
        return Curve(a=0.0, b=0.0, c=0.0, n=0)
    s = np.clip(np.array([score for score, _ in answered]), 1e-6, 1 - 1e-6)
    right = np.array([float(r) for _, r in answered])
    x = np.stack([np.log(s), -np.log1p(-s), np.ones(n)], axis=1)  # (n, 3)
    positive, negative = right + 1 / n, 1 - right + 1 / n  # weights of right and wrong at each score
    start = np.array([1.0, 1.0, 0.0])

    def loss(w: Any) -> tuple[float, Any]:
        z = x @ w
        p = 1 / (1 + np.exp(-np.clip(z, -35, 35)))
        value = positive @ np.logaddexp(0, -z) + negative @ np.logaddexp(0, z)
        pull = np.array([0.1, 0.1, 0.0]) * (w - start)  # weak, towards the identity, so that few points do not give a step
        return float(value + 0.5 * pull @ (w - start)), x.T @ ((positive + negative) * p - positive) + pull

    fit = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)])
    a, b, c = (round(float(w), 9) for w in fit.x)
    return Curve(a=a, b=b, c=c, n=n)
