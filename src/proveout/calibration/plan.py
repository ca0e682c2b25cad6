"""How many labels until a field may be automated. Entry point: `outlook`.

Each of some futures is drawn by the Bayesian bootstrap (Rubin 1981): labels like those at hand, each with a random weight,
and with one right and one wrong pseudo-label at a random score, because an error that was never seen may still happen. In each,
labels are added until the field is certified. The median and the 10 % and 90 % quantiles over the futures are reported.
Covered: a field that more labels would hardly certify, since its errors are as sure of themselves as its right answers.
Not covered: labels of other documents than those at hand; they teach the model, too, and then fewer are enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proveout.calibration.curves import fit_curve
from proveout.calibration.thresholds import Pair, answers_among, certify, fewest_values
from proveout.mission import SLO

FUTURES = 20
MOST = 5000  # labels; beyond that, better answers help more


@dataclass(frozen=True, slots=True)
class Outlook:
    """What one field needs before it is automated. Numbers of labelled documents; None: more than MOST."""

    field: str
    labels: int  # at hand
    coverage: float  # share of the documents that would be automated now
    more: int | None  # labels that certify it in half of the futures; 0 if it is certified
    at_least: int | None  # in one future of ten
    at_most: int | None  # in nine futures of ten
    coverage_then: float  # median over the futures that certify it

    @property
    def needs(self) -> str:
        """
        >>> Outlook("total", 90, 0.0, 60, 50, 80, 0.4).needs, Outlook("total", 90, 0.0, 60, 50, None, 0.4).needs
        ('about 60 (50 to 80); then 40% automated', 'about 60 (50 or more); then 40% automated')
        """
        if self.more == 0:
            return "none"
        if not self.labels:
            return "no labelled value yet; label some"
        if self.more is None:
            return f"more than {MOST:,}"
        most = f"to {self.at_most:,}" if self.at_most else "or more"
        return f"about {self.more:,} ({self.at_least:,} {most}); then {self.coverage_then:.0%} automated"


def outlook(field: str, pairs: Sequence[Pair], slo: SLO, seed: int = 7) -> Outlook:
    """What the field needs at the precision and confidence of `slo`. The same input gives the same answer.

    >>> slo = SLO(precision=0.98, confidence=0.95)
    >>> outlook("total", [(0.9, True)] * 200, slo).more
    0
    >>> [outlook("total", [(0.9, True)] * 100, slo).at_least, outlook("total", [(0.9, n % 9 > 0) for n in range(90)], slo).more]
    [49, None]
    """
    least = fit_curve(answers_among(pairs)).least_score(slo.lowest_confidence)
    now = certify(field, pairs, slo.precision, slo.confidence, least)
    if now.threshold is not None or not pairs:
        more = 0 if now.threshold is not None else None
        return Outlook(field, len(pairs), now.coverage, more, more, more, now.coverage)
    needed, coverages = [], []
    for future in range(FUTURES):
        added = _future(pairs, np.random.default_rng((seed, future)))
        count, coverage = _until_certified(field, pairs, added, slo, least)
        needed.append(count)
        coverages += [coverage] if count is not None else []
    ordered = sorted(needed, key=lambda count: MOST + 1 if count is None else count)
    at_least, more, at_most = (ordered[round(share * (FUTURES - 1))] for share in (0.1, 0.5, 0.9))
    then = float(np.median(coverages)) if coverages else 0.0
    return Outlook(field, len(pairs), 0.0, more, at_least, at_most, then)


def _future(pairs: Sequence[Pair], rng: np.random.Generator) -> list[Pair]:
    """Labels that may come, drawn from the weighted ones at hand."""
    scores = [score for score, _ in pairs if score is not None]
    pool: list[Pair] = list(pairs)
    if scores:
        pool += [(float(rng.choice(scores)), right) for right in (True, False)]
    weights = rng.exponential(size=len(pool))
    return [pool[at] for at in rng.choice(len(pool), size=MOST, p=weights / weights.sum())]


def _until_certified(
    field: str, pairs: Sequence[Pair], added: Sequence[Pair], slo: SLO, least: float
) -> tuple[int | None, float]:
    """The fewest added labels that certify the field, to within 5 %, and its coverage then; None if all do not."""

    def coverage(count: int) -> float:
        return certify(field, [*pairs, *added[:count]], slo.precision, slo.confidence, least).coverage

    low, high = 0, min(max(1, fewest_values(slo.precision, slo.confidence) - len(pairs)), len(added))
    while not (reached := coverage(high)):
        if high == len(added):
            return None, 0.0
        low, high = high, min(2 * high, len(added))
    while high - low > max(1, 0.05 * high):
        middle = (low + high) // 2
        if at_middle := coverage(middle):
            high, reached = middle, at_middle
        else:
            low = middle
    return high, reached
