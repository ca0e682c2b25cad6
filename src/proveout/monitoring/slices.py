"""The slice of cases that fares worst though nobody declared it a segment. Entry point: `worst_slices`.

A slice is one condition on the input or on a value that was read, such as more than three pages, or two of them together. All
that have enough cases are compared with all other cases by the likelihood ratio of Kulldorff's scan statistic (1997). The
p-value is how often the greatest ratio is as large when the same outcomes are given to cases at random, so it accounts for the
whole search; Bonferroni's correction for the measures.
Covered: a slice that fared as badly in the reference is no news: where that has enough of its cases, the evidence is the weaker
of that against all other cases and that against them; a million cases (where more than `ROWS` fare badly, draws are of as many,
and of slices that have enough cases among those).
Not covered: causes; more than two conditions; conditions on what the agent did, such as a low confidence.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from proveout.monitoring.alerts import SliceAlerts
from proveout.monitoring.bias import AUTOMATED_ERROR, AUTOMATION, ERROR, REVIEW
from proveout.monitoring.features import is_number, of_the_input
from proveout.monitoring.findings import Condition, Slice
from proveout.monitoring.significance import newcombe

if TYPE_CHECKING:
    from pandas import DataFrame, Series  # type: ignore[import-untyped]

MEASURES = (REVIEW, ERROR, AUTOMATED_ERROR)
LOW, HIGH = [0.05, 0.1, 0.25, 0.5], [0.5, 0.75, 0.9, 0.95]  # quantiles of a number: conditions "at most" and "above"
VALUES = 12  # of a category, the most frequent
CONDITIONS = 150  # the most that are combined, those that hold for most cases
DRAWS = 999
ENOUGH = 10  # draws that are as large
ROWS = 20_000
BLOCK = 100_000  # cases that are counted at once

Bools = NDArray[np.bool_]
Matrix = NDArray[np.float64]  # (conditions, conditions): on the diagonal one condition, above it two together


def worst_slices(
    log: "DataFrame",
    outcomes: "DataFrame",
    reference: "DataFrame",
    outcomes_before: "DataFrame",
    settings: SliceAlerts,
    declared: Collection[str] = (),
    worse: Collection[tuple[str, str]] = (),
) -> tuple[Slice, ...]:
    """For each measure, the slice with the strongest evidence that it fares worse, if that is more than chance.

    `log`, `reference`: `features`; `outcomes`, `outcomes_before`: `bias.outcomes` of the same rows. `declared`: columns of
    segments, which are conditions only together with another; `worse`: columns and names of segments that are treated worse as
    such, which are none.
    """
    columns = [name for name in map(str, log.columns) if of_the_input(name) and name not in settings.ignore]
    conditions = [one for name in columns for one in _conditions(name, log[name]) if (one.column, one.value) not in worse]
    if not conditions:
        return ()
    now = _holds(conditions, log)
    widest = np.argsort(-now.sum(axis=0), kind="stable")[:CONDITIONS]
    conditions, now = [conditions[at] for at in widest], now[:, widest]
    before = _holds(conditions, reference)
    order = np.lexsort(np.packbits(now, axis=1).T)  # so that the random draws do not depend on the order of the log
    now, outcomes = now[order], outcomes.iloc[order]
    allowed = np.triu([[one.column != other.column for other in conditions] for one in conditions])
    np.fill_diagonal(allowed, [one.column not in declared for one in conditions])
    slices = []
    for measure in MEASURES:
        scan = _Scan.of(now, outcomes, measure, settings.smallest_group)
        scan = replace(scan, smallest=math.ceil(scan.smallest / scan.drawn))
        past = _Scan.of(before, outcomes_before, measure, settings.smallest_group)
        judged = allowed & scan.large
        more = scan.difference - np.where(past.large, past.difference, 0)
        eligible = judged & (np.minimum(scan.difference, more) >= settings.smallest_difference)
        if not eligible.any():
            continue
        than_before = _ratio(scan.bad, scan.cases, scan.bad + past.bad, scan.cases + past.cases)
        ratio = np.where(eligible, np.where(past.large, np.minimum(scan.ratio, than_before), scan.ratio), 0.0)
        best = ratio.max()
        places = zip(*(axis.tolist() for axis in np.nonzero(ratio >= best * (1 - 1e-9))), strict=True)
        at = min(places, key=lambda place: (place[0] != place[1], place))  # of equals, one condition rather than two
        n, x, of_all, bad = (int(number) for number in (scan.cases[at], scan.bad[at], len(scan.marked), scan.marked.sum()))
        p = len(MEASURES) * scan.p(best, judged, max(DRAWS, math.ceil(ENOUGH * len(MEASURES) / settings.false_alarm_rate)))
        if p > settings.false_alarm_rate:
            continue
        level = settings.false_alarm_rate / (len(MEASURES) * int(judged.sum()))
        slices.append(
            Slice(
                tuple(conditions[k] for k in sorted(set(at))),
                measure,
                value=x / n,
                other=(bad - x) / (of_all - n),
                cases=n,
                other_cases=of_all - n,
                interval=newcombe(x, n, bad - x, of_all - n, 1 - level),
                p=p,
                reference_difference=float(past.difference[at]) if past.large[at] else float("nan"),
            )
        )
    return tuple(sorted(slices, key=lambda one: one.p))


def _conditions(column: str, values: "Series") -> Iterator[Condition]:
    if not is_number(values):
        yield from (Condition(column, "is", str(value)) for value in values.value_counts().index[:VALUES])
        return
    largest = values.max()
    for relation, shares in (("at most", LOW), ("above", HIGH)):
        for value in dict.fromkeys(values.quantile(shares, interpolation="lower").tolist()):
            if value < largest:
                yield Condition(column, relation, value)


def _holds(conditions: Sequence[Condition], frame: "DataFrame") -> Bools:
    """(cases, conditions)"""
    holds = np.empty((len(frame), len(conditions)), dtype=bool)
    for at, one in enumerate(conditions):
        holds[:, at] = one.holds(frame).to_numpy() == 1
    return holds


@dataclass(frozen=True)
class _Scan:
    """All slices of the cases for which a measure is known."""

    holds: Bools  # (cases, conditions)
    marked: Bools  # the cases with the bad outcome
    smallest: int  # cases of a slice, and outside of it

    @classmethod
    def of(cls, holds: Bools, outcomes: "DataFrame", measure: str, smallest: int) -> "_Scan":
        values = 1 - outcomes[AUTOMATION].to_numpy() if measure == REVIEW else outcomes[measure].to_numpy()
        measured = ~np.isnan(values)
        return cls(holds[measured], values[measured] > 0.5, smallest)

    @cached_property
    def cases(self) -> Matrix:
        return self._together(np.arange(len(self.marked)))

    @cached_property
    def bad(self) -> Matrix:
        return self._together(np.flatnonzero(self.marked))

    @property
    def large(self) -> Bools:
        """Which slices have enough cases, and leave enough."""
        return (self.cases >= self.smallest) & (len(self.marked) - self.cases >= self.smallest)

    @property
    def difference(self) -> Matrix:
        """The rate of each slice minus that of all other cases."""
        others = np.maximum(len(self.marked) - self.cases, 1)
        difference: Matrix = self.bad / np.maximum(self.cases, 1) - (self.marked.sum() - self.bad) / others
        return difference

    @property
    def ratio(self) -> Matrix:
        """Log likelihood ratio of a rate of its own, 0 where that is not higher than the others'."""
        return _ratio(self.bad, self.cases, int(self.marked.sum()), len(self.marked))

    @property
    def drawn(self) -> float:
        """The share of the cases among which outcomes are drawn: all, unless too many fare badly and well."""
        rarer = min(int(self.marked.sum()), int((~self.marked).sum()))
        return min(1.0, ROWS / max(1, rarer))

    def p(self, ratio: float, judged: Bools, most: int) -> float:
        """The probability that the greatest ratio of the judged slices is as large by chance, from at most so many draws.

        Draws end early where it is plainly not small (sequential Monte Carlo p-values, Besag & Clifford 1991).
        """
        rng = np.random.default_rng(len(self.marked))
        of_all = round(len(self.marked) * self.drawn)
        some = self if self.drawn == 1 else replace(self, holds=self.holds[np.sort(rng.permutation(len(self.marked))[:of_all])])
        every = some._together(np.arange(of_all))
        bad, as_large = round(self.marked.mean() * of_all), 0
        fewer = min(bad, of_all - bad)  # the rarer outcome is drawn, the other one is the rest
        for draws in range(1, most + 1):
            rare = some._together(rng.choice(of_all, fewer, replace=False, shuffle=False))
            drawn = rare if fewer == bad else every - rare
            as_large += bool(_ratio(drawn[judged], every[judged], bad, of_all).max() >= ratio)
            if as_large == ENOUGH:
                return ENOUGH / draws
        return (1 + as_large) / (1 + most)

    def _together(self, rows: NDArray[np.int64]) -> Matrix:
        """How many of the rows are in each slice."""
        some = self.holds[rows]
        counts: Matrix = np.zeros((some.shape[1], some.shape[1]))
        for at in range(0, len(some), BLOCK):
            block = some[at : at + BLOCK].astype(np.float32)
            counts += block.T @ block
        return counts


def _ratio(bad: Matrix, cases: Matrix, all_bad: Matrix | int, of_all: Matrix | int) -> Matrix:
    """
    >>> _ratio(np.array([5.0, 1.0]), np.array([10.0, 10.0]), 10, 100).round(3).tolist()
    [6.267, 0.0]
    """

    def likelihood(bad: Matrix, cases: Matrix) -> Matrix:
        good = cases - bad
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(bad > 0, bad * np.log(bad / cases), 0) + np.where(good > 0, good * np.log(good / cases), 0)

    others, others_bad = of_all - cases, all_bad - bad
    gain = likelihood(bad, cases) + likelihood(others_bad, others) - likelihood(np.asarray(all_bad), np.asarray(of_all))
    return np.where(bad * others > others_bad * cases, gain, 0.0)
