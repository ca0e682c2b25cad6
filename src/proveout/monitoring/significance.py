"""p-values, intervals and change points in plain numpy.

Pure functions, exact where that is affordable; the docstring says where not.
Covered: ties (p-values are then conservative), tables with zeros, samples from one to millions.
Not covered: dependent cases. Every function assumes that cases are independent.
"""

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[float, float]

_BLOCK = 64  # places of a sorted sample that are bounded together
_EXACT_UP_TO = 40_000  # n * m of a Kolmogorov–Smirnov test; beyond, the limit is 1 to 2 times the exact p, so conservative


def ks_distance(reference: Floats, current: Floats) -> tuple[float, float]:
    """The largest gap between two empirical distribution functions, and the value where it occurs.

    Both arrays sorted, without `nan`. If either is empty: `nan`, `nan`.

    >>> ks_distance(np.array([1.0, 2, 3, 4]), np.array([3.0, 4, 5, 6]))
    (0.5, 2.0)
    """
    n, m = len(reference), len(current)
    if not n or not m:
        return math.nan, math.nan
    places = _candidates(reference, current)
    values = reference[places]
    below, up_to = np.searchsorted(current, values, "left"), np.searchsorted(current, values, "right")
    last = reference[np.minimum(places + 1, n - 1)] != values  # within a run of equal values only the last one counts
    last |= places == n - 1
    at_reference = np.where(last, np.abs((places + 1) / n - up_to / m), 0.0)
    # between two values of the reference, the gap is largest at the first of them or at the last current value
    before = np.where(places > 0, np.searchsorted(current, reference[places - 1], "right"), 0)
    between = np.where(below > before, np.abs(places / n - below / m), 0.0)
    place, other = int(at_reference.argmax()), int(between.argmax())
    if between[other] > at_reference[place]:
        return float(between[other]), float(current[below[other] - 1])
    return float(at_reference[place]), float(values[place])


def _candidates(reference: Floats, current: Floats) -> NDArray[np.int64]:
    """The places of a sorted reference where the largest gap may be: all of a short one, few of a long one.

    Of each block of places, the ranks at its ends bound the gap; a block whose bound is below a gap that was measured has none.
    """
    n, m = len(reference), len(current)
    if n <= 4 * _BLOCK:
        return np.arange(n)
    first = np.arange(0, n, _BLOCK)
    stop = np.minimum(first + _BLOCK, n)
    below, up_to = np.searchsorted(current, reference[first], "left"), np.searchsorted(current, reference[stop - 1], "right")
    measured = np.abs(np.searchsorted(reference, reference[stop - 1], "right") / n - up_to / m).max()
    may_be = np.maximum(stop / n - below / m, up_to / m - first / n) >= measured - 1e-12
    places = first[may_be, None] + np.arange(_BLOCK)
    return places[places < n]


def ks_p(distance: float, n: int, m: int) -> float:
    """Probability of a gap at least this large between two samples of the same distribution.

    Exact (paths in the n x m lattice that leave the band, after Hodges 1958) near an alarm with n*m at most 40,000;
    elsewhere Kolmogorov's limit. With ties the true probability is smaller.

    >>> round(ks_p(0.7, 10, 10), 6), round(ks_p(1.0, 4, 4), 6), ks_p(0.0, 4, 4)
    (0.012341, 0.028571, 1.0)
    >>> ks_p(0.1, 5_000, 5_000) < 1e-20
    True
    """
    if math.isnan(distance):
        return math.nan
    if distance <= 0:
        return 1.0
    root = math.sqrt(n * m / (n + m)) * distance
    limit = _kolmogorov(root)
    if n * m > _EXACT_UP_TO or not 1e-9 < limit < 0.2:  # the exact sum has no digits left below 1e-12
        return limit
    return _lattice(round(distance * n * m), n, m)


def _kolmogorov(root: float) -> float:
    """Kolmogorov's limit distribution, upper tail."""
    if root < 0.2:
        return 1.0
    return float(min(1.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * root) ** 2) for k in range(1, 30))))


@lru_cache(maxsize=65_536)
def _lattice(reach: int, n: int, m: int) -> float:
    """One minus the share of lattice paths from (0, 0) to (n, m) with |i*m - j*n| < reach everywhere."""
    if n > m:
        n, m = m, n
    row = np.zeros(m + 1)
    row[: min(m, (reach - 1) // n) + 1] = 1.0
    log_scale = 0.0
    for i in range(1, n + 1):
        low = max(0, -((reach - 1 - i * m) // n))  # smallest j with i*m - j*n <= reach - 1
        high = min(m, (i * m + reach - 1) // n)
        inside = np.cumsum(row[low : high + 1])
        top = float(inside[-1]) if len(inside) else 0.0
        if not top:
            return 1.0
        row = np.zeros(m + 1)
        row[low : high + 1] = inside / top
        log_scale += math.log(top)
    if row[m] == 0:
        return 1.0
    inside_share = math.exp(math.log(row[m]) + log_scale - _log_choose(n + m, n))
    return min(1.0, max(0.0, 1.0 - inside_share))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


@cache
def _log_factorials(size: int) -> Floats:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1)))])


def fisher_p(successes: int, n: int, other_successes: int, m: int) -> float:
    """Fisher's exact test that two groups share one rate: twice the smaller tail, at most 1.

    `nan` if either group is empty.

    >>> round(fisher_p(8, 10, 1, 10), 6)
    0.005477
    >>> fisher_p(3, 10, 3, 10)
    1.0
    """
    if not n or not m:
        return math.nan
    total, marked = n + m, successes + other_successes
    log_f = _log_factorials(1 << max(10, total.bit_length()))  # one table serves every size up to the next power of two
    spread = math.sqrt(n * m * marked * (total - marked) / total**2 / max(1, total - 1))
    reach = int(45 * spread) + 60  # terms further away than this are below 1e-300 of the first
    if successes * total >= marked * n:
        x = np.arange(successes, min(n, marked, successes + reach) + 1)
    else:
        x = np.arange(max(0, marked - m, successes - reach), successes + 1)
    log_terms = -(log_f[x] + log_f[n - x] + log_f[marked - x] + log_f[m - marked + x])
    log_terms += log_f[n] + log_f[m] + log_f[marked] + log_f[total - marked] - log_f[total]
    return float(min(1.0, 2 * np.exp(log_terms).sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979): rejecting those at most alpha, P(any false rejection) is at most alpha.

    `nan` means no test: it stays `nan` and does not count for the others.

    >>> holm([0.01, 0.04, math.nan, 0.03])
    [0.03, 0.06, nan, 0.06]
    """
    tested = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)
    worst = 0.0
    for rank, (p, i) in enumerate(tested):
        worst = max(worst, min(1.0, p * (len(tested) - rank)))
        adjusted[i] = worst
    return adjusted


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a rate (1927). Without cases: `nan`, `nan`.

    >>> tuple(round(x, 4) for x in wilson(8, 10))
    (0.4902, 0.9433)
    """
    if not n:
        return math.nan, math.nan
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (successes + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(successes * (n - successes) / n + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def newcombe(successes: int, n: int, other_successes: int, m: int, confidence: float = 0.95) -> Interval:
    """Interval of the difference of two rates: Newcombe's hybrid score method (1998, method 10).

    >>> tuple(round(x, 4) for x in newcombe(56, 70, 48, 80))
    (0.0524, 0.3339)
    """
    if not n or not m:
        return math.nan, math.nan
    p, q = successes / n, other_successes / m
    (low, high), (other_low, other_high) = wilson(successes, n, confidence), wilson(other_successes, m, confidence)
    below = math.hypot(p - low, other_high - q)
    above = math.hypot(high - p, q - other_low)
    return p - q - below, p - q + above


def walter(successes: int, n: int, other_successes: int, m: int, confidence: float = 0.95) -> Interval:
    """Interval of the ratio of two rates, on the log scale with half a success added to each (Walter 1975).

    >>> tuple(round(x, 3) for x in walter(56, 70, 48, 80))
    (1.076, 1.644)
    >>> walter(0, 20, 5, 20)[0] < 0.1, walter(0, 0, 1, 2)
    (True, (nan, nan))
    """
    if not n or not m:
        return math.nan, math.nan
    x, y = successes + 0.5, other_successes + 0.5
    ratio = math.log(x / (n + 0.5)) - math.log(y / (m + 0.5))
    error = math.sqrt(max(0.0, 1 / x - 1 / (n + 0.5) + 1 / y - 1 / (m + 0.5)))
    half = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return math.exp(ratio - half), math.exp(ratio + half)


def welch(a: Floats, b: Floats, confidence: float = 0.95) -> tuple[float, Interval]:
    """Two-sided p-value and interval of the difference of two means (Welch 1947). Fewer than two values in either: `nan`.

    >>> p, (low, high) = welch(np.array([0.1, 0.2, 0.3, 0.2]), np.array([0.0, 0.1, 0.0, 0.1]))
    >>> round(p, 4), round(low, 4), round(high, 4)
    (0.0273, 0.0243, 0.2757)
    """
    from scipy.special import stdtr, stdtrit  # type: ignore[import-untyped]

    if min(len(a), len(b)) < 2:
        return math.nan, (math.nan, math.nan)
    difference = float(a.mean() - b.mean())
    va, vb = float(a.var(ddof=1)) / len(a), float(b.var(ddof=1)) / len(b)
    if va + vb == 0:
        return (1.0 if difference == 0 else 0.0), (difference, difference)
    error = math.sqrt(va + vb)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    return float(2 * stdtr(freedom, -abs(difference) / error)), (difference - half, difference + half)


def paired(differences: Floats, confidence: float = 0.95) -> Interval:
    """Interval of the mean of paired differences (Student 1908). Fewer than two: `nan`, `nan`.

    >>> tuple(round(x, 4) for x in paired(np.array([0.1, 0.2, 0.3, 0.2])))
    (0.0701, 0.3299)
    """
    from scipy.special import stdtrit

    n = len(differences)
    if n < 2:
        return math.nan, math.nan
    mean = float(differences.mean())
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * float(differences.std(ddof=1)) / math.sqrt(n)
    return mean - half, mean + half


def permutation_p(a: Floats, b: Floats, draws: int = 9_999) -> float:
    """Permutation test: probability of a difference of means at least this large if `a` and `b` were assigned at random.

    Holds its level however skewed the values are (Phipson & Smyth 2010); stops early if the result cannot be significant (Besag
    & Clifford 1991). Seeded: the same values give the same p. Above 1,000 values in each, Welch's test instead. Empty: `nan`.

    >>> permutation_p(np.zeros(30), np.array([1.0, 0.0] * 30)) < 0.001
    True
    """
    small, large = (np.sort(a), np.sort(b)) if len(a) <= len(b) else (np.sort(b), np.sort(a))
    n, pooled = len(small), np.concatenate([small, large])
    if not n:
        return math.nan
    if n > 1_000:
        return welch(a, b)[0]
    rng = np.random.default_rng(len(pooled))
    mean = pooled.mean()
    observed = abs(small.mean() - mean) - 1e-12
    hits = done = 0
    for target in (99, 999, draws):
        while done < target and hits < 10:
            size = min(target - done, max(1, 2_000_000 // len(pooled)))
            if len(pooled) > 50 * n:  # drawing with replacement is nearly the same here, and cheaper
                drawn = pooled[rng.integers(len(pooled), size=(size, n))]
            else:
                drawn = rng.permuted(np.broadcast_to(pooled, (size, len(pooled))), axis=1)[:, :n]
            hits += int((np.abs(drawn.mean(axis=1) - mean) >= observed).sum())
            done += size
    return (hits + 1) / (done + 1)


def changed_stretch(before: tuple[int, int], successes: Sequence[int], cases: Sequence[int]) -> tuple[int, int, int, int]:
    """The stretch of periods with a different rate: first, last, and the earliest and latest likely first.

    `before` is (successes, cases) of the time before any change; `successes` and `cases` count each period.
    The stretch maximises the likelihood of one rate inside and another outside (change point by maximum likelihood, Hinkley
    1970). It extends to the last period unless ending earlier is e**5 times as likely. Likely firsts: within e**3 of the best.

    >>> changed_stretch((10, 100), [1, 1, 8, 9, 9], [10, 10, 10, 10, 10])
    (2, 4, 2, 2)
    >>> changed_stretch((10, 100), [1, 9, 9, 1, 1], [10, 10, 10, 10, 10])
    (1, 2, 1, 1)
    """
    total_x, total_n = before[0] + sum(successes), before[1] + sum(cases)
    x = np.concatenate([[0], np.cumsum(successes)]).astype(float)
    n = np.concatenate([[0], np.cumsum(cases)]).astype(float)
    ends = np.arange(1, len(x)) if len(cases) <= 1_500 else np.array([len(x) - 1])  # all pairs, if affordable
    inside_x, inside_n = x[ends][None, :] - x[:-1][:, None], n[ends][None, :] - n[:-1][:, None]
    gain = _log_likelihood(inside_x, inside_n) + _log_likelihood(total_x - inside_x, total_n - inside_n)
    gain = np.where(inside_n > 0, gain, -np.inf)  # (firsts, ends)
    to_the_end = gain[:, -1]
    column = -1 if gain.max() - to_the_end.max() < 5 else int(gain.max(axis=0).argmax())
    profile = gain[:, column]
    likely = np.flatnonzero(profile >= profile.max() - 3)
    return int(profile.argmax()), int(ends[column]) - 1, int(likely[0]), int(likely[-1])


def _log_likelihood(x: Floats, n: Floats) -> Floats:
    """Of x successes in n cases, at the rate x / n."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms: Any = x * np.log(x / n) + (n - x) * np.log((n - x) / n)
    flat = (x <= 0) | (x >= n)
    return np.where(flat, 0.0, terms)
