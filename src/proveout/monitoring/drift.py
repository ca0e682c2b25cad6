"""Which columns drifted, since when, and with what p-value.

Entry points: `cut`, `run_tests`, `drifts`. Each window of the log is tested once, when it ends: by itself and together with the
last 2, 4, 8 ... windows, against the reference, every column by an exact test (Kolmogorov–Smirnov for numbers, Fisher for each
category). Holm's correction holds the false-alarm rate over all tests of one window, Bonferroni's over a stated number of
windows. So later days never remove a finding, and the rate holds however dependent the columns are.
Like with like (`like` of the windows): a window is compared with cases of the reference in its own mix of weekdays, or months,
so that this mix is no drift. While a release warms up, what it decides is not tested, but what comes in is.
Covered: a shared reference, ties, missing values, windows of unequal size.
Not covered: dependent cases (ten invoices of one campaign count as ten); a window that is still filling.
"""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from proveout.monitoring.alerts import DriftAlerts, WindowAlerts
from proveout.monitoring.features import is_number, of_the_input
from proveout.monitoring.findings import Condition, Drift, Example, Test, Window
from proveout.monitoring.significance import changed_stretch, fisher_p, holm, ks_distance, ks_p
from proveout.monitoring.wording import Moment, value_text

if TYPE_CHECKING:
    from pandas import DataFrame, Series  # type: ignore[import-untyped]

AT_ONCE = 2  # columns; more take more memory
_RARE = 5  # a category with fewer cases in both samples together cannot be significant and is not tested


def cut(days: Sequence[Moment], settings: WindowAlerts) -> list[tuple[Window, slice]]:
    """Cut a log, sorted by time, into windows, each with its rows. The last one may be too short to test.

    A week that is too short grows by whole days; the next window ends with its own week. By day or week, `days` are dates.

    >>> from datetime import date
    >>> days = [date(2024, 1, d) for d in (1, 2, 2, 8, 10, 11, 11, 15, 16)]
    >>> [(w.start.day, w.end.day, w.cases, w.tested) for w, _ in cut(days, WindowAlerts(by="week", at_least=4))]
    [(1, 8, 4, True), (10, 15, 4, True), (16, 16, 1, False)]
    """
    if settings.by == "count":
        edges = [*range(0, len(days), settings.count), len(days)]
    else:
        period: list[Any] = [day if settings.by == "day" else day.isocalendar()[:2] for day in days]  # type: ignore[union-attr]
        edges = [0]
        for i in range(1, len(days)):
            over = period[i] != period[edges[-1]] and days[i] != days[i - 1]
            if over and i - edges[-1] >= settings.at_least:
                edges.append(i)
        edges.append(len(days))
    pairs = [(a, b) for a, b in itertools.pairwise(edges) if b > a]
    enough = min(settings.at_least, settings.count) if settings.by == "count" else settings.at_least
    return [(Window(days[a], days[b - 1], b - a, b - a >= enough), slice(a, b)) for a, b in pairs]


@dataclass(frozen=True)
class Sample:
    """What is compared: the last windows together with the reference, or with a part of it."""

    last: int  # window
    size: int  # windows together
    rows: NDArray[np.int64] | slice  # of the log
    before: NDArray[np.int64] | None = None  # rows of the reference; None: all


def samples(windows: Sequence[slice], groups: tuple[NDArray[Any], NDArray[Any]] | None = None) -> list[Sample]:
    """Each window by itself, and with those before it.

    `groups`: the weekday or month of each case, of the reference and of the log. Then, of the reference, as many cases as can
    be in the window's mix of groups; a group that the reference lacks is left out.

    >>> mixed = samples([slice(0, 4)], (np.array(["mon", "sun", "sun", "sun"]), np.array(["mon", "sun", "mon", "tue"])))
    >>> [(each.rows.tolist(), len(each.before)) for each in mixed]
    [([0, 1, 2], 2)]
    """
    every = [
        Sample(last, size, slice(windows[last - size + 1].start, windows[last].stop))
        for last in range(len(windows))
        for size in _lookbacks(last)
    ]
    return [_alike(each, *groups) for each in every] if groups else every


def _alike(sample: Sample, before: NDArray[Any], after: NDArray[Any]) -> Sample:
    assert isinstance(sample.rows, slice)
    rows = np.arange(sample.rows.start, sample.rows.stop)
    rows = rows[np.isin(after[rows], before)]
    groups, counts = np.unique(after[rows], return_counts=True)
    there = [np.flatnonzero(before == group) for group in groups]
    scale = min((len(places) / count for places, count in zip(there, counts, strict=True)), default=0.0)
    drawn = np.random.default_rng(0)  # the same of equal logs
    chosen = [drawn.permutation(places)[: int(scale * count + 0.5)] for places, count in zip(there, counts, strict=True)]
    return replace(sample, rows=rows, before=np.sort(np.concatenate(chosen)) if chosen else rows)


def run_tests(
    reference: "DataFrame",
    current: "DataFrame",
    windows: Sequence[slice],
    settings: DriftAlerts,
    groups: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> list[Test]:
    """Test every column in every window; p-values corrected. `current` is in time order, `windows` are its rows.

    `groups`: as in `samples`.
    """
    by_window: list[list[Test]] = [[] for _ in windows]
    compared = samples(windows, groups)

    def of(column: str) -> list[Test]:
        tests = _numbers if is_number(reference[column]) else _categories
        return list(tests(column, reference[column], current[column], compared))

    with ThreadPoolExecutor(AT_ONCE) as pool:  # most of the time goes to sorting and hashing, outside of Python's lock
        for test in itertools.chain.from_iterable(
            pool.map(of, [name for name in current.columns if name not in settings.ignore])
        ):
            by_window[test.window].append(test)
    return [
        replace(test, p=min(1.0, p * settings.over_windows))
        for tests_of_window in by_window
        for test, p in zip(tests_of_window, holm([test.p for test in tests_of_window]), strict=True)
    ]


def _lookbacks(window: int) -> Iterator[int]:
    size = 1
    while size <= window + 1:
        yield size
        size *= 2


def _numbers(column: str, reference: "Series", current: "Series", compared: Sequence[Sample]) -> Iterator[Test]:
    past, values = reference.to_numpy(dtype=float), current.to_numpy(dtype=float)
    every = _sorted(past)
    for each in compared:
        before = every if each.before is None else _sorted(past[each.before])
        after = _sorted(values[each.rows])
        if not len(before) or not len(after):
            continue
        distance, at = ks_distance(before, after)
        more = np.searchsorted(after, at, "right") / len(after) > np.searchsorted(before, at, "right") / len(before)
        condition = Condition(column, "at most" if more else "above", at)
        yield Test(column, each.last, each.size, ks_p(distance, len(before), len(after)), distance, condition)


def _sorted(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = values[~np.isnan(values)]
    values.sort()
    return values


def _categories(column: str, reference: "Series", current: "Series", compared: Sequence[Sample]) -> Iterator[Test]:
    import pandas as pd

    codes, names = pd.factorize(pd.concat([reference, current], ignore_index=True))
    past, codes = codes[: len(reference)], codes[len(reference) :]

    def count(part: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(part[part >= 0], minlength=len(names))

    every = count(past)
    for each in compared:
        before = every if each.before is None else count(past[each.before])
        after = count(codes[each.rows])
        n, m = int(before.sum()), int(after.sum())
        tested = np.flatnonzero(before + after >= _RARE)
        if not n or not m or len(tested) < 2:
            continue
        p_values = [fisher_p(int(before[c]), n, int(after[c]), m) for c in tested]
        shift = after[tested] / m - before[tested] / n
        best = min(range(len(tested)), key=lambda i: (float(f"{p_values[i]:.6g}"), -shift[i]))  # on a tie, the rising one
        p = p_values[best] * (len(tested) if len(names) > 2 else 1)  # with two categories both tests are the same
        condition = Condition(column, "is", str(names[tested[best]]))
        yield Test(column, each.last, each.size, min(1.0, p), abs(float(shift[best])), condition)


def drifts(
    reference: "DataFrame",
    current: "DataFrame",
    cases: Sequence[str],
    days: Sequence[Moment],
    windows: Sequence[Window],
    tests: Sequence[Test],
    settings: DriftAlerts,
) -> tuple[Drift, ...]:
    """The columns that alarmed, smallest p first, each with its change point and example cases."""
    alarmed = [test for test in tests if test.p <= settings.false_alarm_rate and test.effect >= settings.smallest_change]
    surest: dict[str, Test] = {}
    for test in sorted(alarmed, key=lambda test: (test.p, -test.effect)):
        surest.setdefault(test.column, test)
    first = {column: min(test.window for test in alarmed if test.column == column) for column in surest}
    drifted = [_dated(test, reference, current, days, windows[first[test.column]].end) for test in surest.values()]
    return tuple(_with_examples(drifted, current, cases, days))


def _dated(test: Test, reference: "DataFrame", current: "DataFrame", days: Sequence[Moment], alarmed: Moment) -> Drift:
    """The drift behind an alarm, with the day or case at which the share changed."""
    import pandas as pd

    earlier, met = test.condition.holds(reference).dropna(), test.condition.holds(current)
    measured = met.notna().to_numpy()
    places, dates = pd.factorize(np.asarray(days, dtype=object)[measured])
    cases = np.bincount(places)
    tallies = np.stack([np.bincount(places, met.to_numpy()[measured]).astype(int), cases], axis=1)  # that meet it, cases
    before = (int(earlier.sum()), len(earlier))
    start, stop, low, high = changed_stretch(before, tallies[:, 0].tolist(), tallies[:, 1].tolist())
    inside, outside = tallies[start : stop + 1].sum(axis=0), np.add(before, tallies[:start].sum(axis=0))
    share_before, share_after = float(outside[0] / outside[1]), float(inside[0] / inside[1])
    return Drift(
        what=test.column,
        condition=test.condition,
        since=dates[start],
        since_between=(dates[low], dates[high]),
        until=dates[stop] if stop < len(dates) - 1 else None,
        p=test.p,
        effect=abs(share_after - share_before),
        before=share_before,
        after=share_after,
        cases_after=int(inside[1]),
        alarmed=alarmed,
        from_start=start == 0,
    )


def _with_examples(
    drifted: Sequence[Drift], current: "DataFrame", cases: Sequence[str], days: Sequence[Moment]
) -> Iterator[Drift]:
    """Each drift with three example cases: those that also show most of the other changes."""
    if not drifted:
        return
    day = np.asarray(days, dtype=object)
    rising = [drift for drift in drifted if drift.after > drift.before]
    met = {drift.what: drift.condition.holds(current).fillna(0).to_numpy() == 1 for drift in rising}
    score = sum(met.values(), np.zeros(len(current)))
    for drift in drifted:
        rises = drift.after > drift.before
        inside = (day >= drift.since) & (day <= (drift.until or day[-1]))
        inside &= (drift.condition.holds(current).fillna(0 if rises else 1).to_numpy() == 1) == rises
        rows = np.flatnonzero(inside)
        best = rows[np.lexsort((rows, -score[rows]))][:3]
        yield replace(drift, examples=tuple(_example(int(row), drift, rising, met, cases, days, current) for row in best))


def _example(row: int, drift: Drift, rising: Sequence[Drift], met: Any, cases: Any, days: Any, current: Any) -> Example:
    others = [other for other in rising if met[other.what][row] and other is not drift]
    because = [value_text(change.what, current[change.what].iloc[row]) for change in (drift, *others[:3])]
    return Example(str(cases[row]), days[row], tuple(because))


def group_of(frame: "DataFrame", like: str) -> NDArray[Any]:
    """The weekday or the month of each case of a dated frame; -1 for a case without a day."""
    return np.array([-1 if day is None else day.weekday() if like == "weekday" else day.month for day in frame["day"]])


def warmed_up(features: "DataFrame", deciders: Sequence[str], cases: int) -> "DataFrame":
    """The features without what a release, other than the first, decided in its first `cases`. `deciders`: as below."""
    if not cases or not deciders:
        return features
    import pandas as pd

    release = pd.Series(deciders, index=features.index)
    warming = (release.groupby(release).cumcount() < cases) & (release != release.iloc[0])
    own = [name for name in features if not of_the_input(str(name))]
    return features.assign(**{name: features[name].where(~warming, None) for name in own})


def with_releases(drifted: Sequence[Drift], deciders: Sequence[str], days: Sequence[Moment]) -> tuple[Drift, ...]:
    """Each drift with the release that began to decide when it likely began. `deciders`: the release of each case, in order.

    Two releases may read the same input otherwise, so such a change may be the release's. The first one is not named.
    """
    began: dict[str, Moment] = {}
    for release, day in zip(deciders, days, strict=True):
        began.setdefault(release, day)
    later = list(began.items())[1:]

    def decider(drift: Drift) -> str:
        low, high = drift.since_between
        return next((release for release, day in later if low <= day <= high), "")  # type: ignore[operator]

    return tuple(replace(drift, release=decider(drift)) for drift in drifted)


def best_examples(drifted: Sequence[Drift]) -> tuple[Example, ...]:
    """Up to three cases that show the most changes, each case once."""
    chosen: dict[str, Example] = {}
    for example in sorted((example for drift in drifted for example in drift.examples), key=lambda e: -len(e.because)):
        chosen.setdefault(example.case, example)
    return tuple(chosen.values())[:3]
