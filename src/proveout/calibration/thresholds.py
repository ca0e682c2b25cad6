"""Thresholds with a guarantee: which scores of one field may be automated, and what the data prove. Entry point: `certify`.

Learn-then-Test (Angelopoulos et al. 2021) with exact binomial bounds.
If labels were corrected in an audit (`corpus.audit`), an error on which label and model agree would stay unseen. `p_value` then
counts on as many of them as the values that were read blind allow.
Covered: few values, ties, fields without an error, abstentions (score None: a case, but no answer).
Where the data cannot certify the promised precision, the threshold is None and the certificate says why.
Not covered: drift, and values that are not independent, such as those of near-duplicates (`corpus.folds`).
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from proveout.records import BlindSample

if TYPE_CHECKING:
    from proveout.mission import SLO

MANY = 10**6  # values
BLIND_PARTS = (
    0.8  # of the error probability for a blind sample without an error; then 80 % of the rest for one error, and so on
)

Pair = tuple[float | None, bool]  # raw score 0..1 (None: no answer was given), and whether the answer was right


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the labelled documents prove about one field, and what they do not."""

    field: str
    threshold: float | None  # raw score; values at or above it are automated. None: not certifiable
    n: int  # calibrated values: answered, at or above the threshold (all of them when there is no threshold)
    errors: int  # wrong among those n
    bound: float  # lower bound of their precision, Clopper-Pearson at the stated confidence; 0 without values
    coverage: float  # share of the calibration cases that would be automated
    because: str
    confidence: float  # of the bound


@dataclass(frozen=True, slots=True)
class Statement:
    """Coverage and precision of the values at or above one threshold."""

    threshold: float
    n: int
    errors: int
    coverage: float  # share of the cases, abstentions counted as cases
    precision: float  # as observed; nan without values
    lower: float  # one-sided Clopper-Pearson bounds of the precision, each at the stated confidence
    upper: float


def fewest_values(precision: float, confidence: float) -> int:
    """The fewest values that certify a precision, all of them right: ln(1 - confidence) / ln(precision), rounded up.

    >>> fewest_values(0.98, 0.95)
    149
    """
    return math.ceil(math.log(1 - confidence) / math.log(precision))


def enough_held_out(slo: "SLO") -> float:
    """The number of held-out documents from which on they alone are the evidence: twice the fewest that certify."""
    return {"held_out": 0, "cross_fitted": math.inf, "auto": 2 * fewest_values(slo.precision, slo.confidence)}[slo.evidence]


def precision_bounds(n: int, errors: int, confidence: float) -> tuple[float, float]:
    """One-sided lower and upper bounds of a precision, each at `confidence` (Clopper and Pearson 1934).

    >>> low, high = precision_bounds(149, 0, 0.95)
    >>> round(low, 4), high
    (0.9801, 1.0)
    """
    from scipy.special import betaincinv  # type: ignore[import-untyped]

    right = n - errors
    low = float(betaincinv(right, errors + 1, 1 - confidence)) if right else 0.0
    high = float(betaincinv(right + 1, errors, confidence)) if errors else 1.0
    return low, high


def risk_coverage(pairs: Sequence[Pair], confidence: float = 0.95) -> list[Statement]:
    """The risk-coverage curve: one statement for each distinct score, from the highest down. It certifies nothing.

    >>> [(s.coverage, s.precision) for s in risk_coverage([(0.9, True), (0.5, False), (None, False), (0.9, True)])]
    [(0.5, 1.0), (0.75, 0.6666666666666666)]
    """
    return [statement(score, n, errors, len(pairs), confidence) for score, n, errors in steps_of(answers_among(pairs))]


def certify(
    field: str,
    pairs: Sequence[Pair],
    precision: float,
    confidence: float,
    least_score: float = 0.0,
    blind: BlindSample | None = None,
) -> Certificate:
    """Test the thresholds of one field. The guarantee holds for this field separately, not for several pooled.

    `least_score`: the lowest threshold allowed. `blind`: given if the labels were audited; see `p_value`.

    >>> certify("total", [(0.9, True)] * 200 + [(0.2, False)], 0.98, 0.95).n
    200
    """
    answered = answers_among(pairs)
    chosen = learn_then_test(answered, len(pairs), precision, confidence, least_score, blind)
    if chosen is None:
        n, errors = len(answered), sum(not right for _, right in answered)
        bound = precision_bounds(n, errors, confidence)[0] if n else 0.0
        because = _not_certifiable(pairs, precision, confidence, blind)
        return Certificate(field, None, n, errors, bound, 0.0, because, confidence)
    which = (
        f"all {chosen.n} answers"
        if chosen.n == len(answered)
        else f"{chosen.n} calibrated values score at least {chosen.threshold:.4g}"
    )
    because = (
        f"certified: {which}, {chosen.errors} of them wrong; "
        f"their precision is at least {_percent(precision)} at {_percent(confidence)} confidence{_audited(blind)}"
    )
    return Certificate(field, chosen.threshold, chosen.n, chosen.errors, chosen.lower, chosen.coverage, because, confidence)


def _audited(blind: BlindSample | None) -> str:
    return f"; of {blind.read} values that were read blind, label and model were both wrong on {blind.wrong}" if blind else ""


def _not_certifiable(pairs: Sequence[Pair], precision: float, confidence: float, blind: BlindSample | None) -> str:
    n, needed, at = len(answers_among(pairs)), fewest_values(precision, confidence), f"at {_percent(confidence)} confidence"
    if n < needed:
        why = f"at least {needed} are needed even without an error"
    else:
        why = f"with too many errors among the highest scores to prove {_percent(precision)} {at}"
    best = best_statement(pairs, confidence, blind)
    if best is None:
        provable = "the data cannot certify even 50 %"
    else:
        covered = "all answers" if best.n == n else f"the highest {best.n} scores"
        provable = f"the most they can certify: {_percent(best.lower)} of {covered} {at}"
    return f"not certifiable: {n} calibrated values, {why}; {provable}{_audited(blind)}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def p_value(errors: Any, n: Any, precision: float, blind: BlindSample | None = None) -> Any:
    """Of "the precision is lower than `precision`", after so many errors among n values; arrays of one shape, or numbers.

    Without an audit: the binomial probability of so few errors. After one, only those errors are counted on which label and
    model disagree. Those on which both are wrong alike have some other share, on average at most as large as among the values
    that were read blind. The statistic is the sum of both observed shares; its p-value is that of the least favourable division
    of the errors between the two kinds.

    >>> [round(float(p_value(0, n, 0.98, BlindSample(162))), 3) for n in (100, 200)], round(float(p_value(0, 149, 0.98)), 4)
    ([0.135, 0.039], 0.0493)
    """
    import numpy as np
    from scipy.special import bdtr

    if blind is None:
        return bdtr(errors, n, 1 - precision)
    alike = np.linspace(0, 1 - precision, 101)  # the share of values on which both are wrong alike; rounded up in between
    errors, n = np.asarray(errors)[..., None], np.asarray(n)[..., None]
    share = errors / n + blind.wrong / blind.read if blind.read else np.ones(n.shape)
    total: Any = 0.0
    for wrong in range(int(min(share.max(initial=0.0) * blind.read, blind.read)) + 1):
        chance = bdtr(wrong, blind.read, alike[:-1]) - (bdtr(wrong - 1, blind.read, alike[:-1]) if wrong else 0.0)
        allowed = np.floor((share - wrong / max(blind.read, 1)) * n + 1e-9)
        total = total + np.where(allowed >= 0, chance * bdtr(np.clip(allowed, 0, n), n, 1 - precision - alike[1:]), 0.0)
    return np.max(total, axis=-1)


def fewest_blind(precision: float, confidence: float, wrong: int = 0, values: int = MANY) -> int | None:
    """The fewest values read blind with which so many audited values can certify, if so many of those read are wrong.

    None: no number up to 5,000 is enough.

    >>> fewest_blind(0.98, 0.95), fewest_blind(0.98, 0.95, wrong=1, values=220), fewest_blind(0.98, 0.95, values=140)
    (150, 237, None)
    """
    reading = range(wrong + 1, 5001)
    return next((n for n in reading if p_value(0, values, precision, BlindSample(n, wrong)) <= 1 - confidence), None)


def learn_then_test(
    answered: Sequence[tuple[float, bool]],
    cases: int,
    precision: float,
    confidence: float,
    least_score: float = 0.0,
    blind: BlindSample | None = None,
) -> Statement | None:
    """The lowest threshold whose precision is certified, or None (Learn-then-Test, Angelopoulos et al. 2021).

    The hypotheses "precision above this threshold is lower than promised" are tested one after the other, from high scores
    to low, with exact binomial p-values. A rejected one passes its error budget on to the next; the first one that is not
    rejected ends the run: fixed-sequence testing, or with several starts the fallback procedure (Wiens and Dmitrienko 2005).
    Sizes and starts depend on the number of values and on ties among the scores, not on which values are right.
    All rejections hold jointly, so any of their thresholds may be used: the lowest is. If `least_score` is higher, the values
    in between go to people; those above it must pass the same test on their own, or a stricter threshold of the sequence
    is used. Where precision is not monotone in the score, this last step is an approximation; tests/test_calibration.py
    measures how often the promise breaks.
    A set is "strictly above the next lower score", so that its values are an independent sample of all values above it.
    """
    steps = steps_of(answered)
    carried, passed = 0.0, []
    for index, budget in grid([n for _, n, _ in steps], precision, 1 - confidence, blind):
        level = carried + budget
        if not level:
            continue
        _, n, errors = steps[index]
        carried = level if p_value(errors, n, precision, blind) <= level * (1 + 1e-12) else 0.0
        passed += [index] if carried else []
    above = [index for index, (score, _, _) in enumerate(steps) if score >= least_score]
    if passed and above and above[-1] < passed[-1]:
        _, n, errors = steps[above[-1]]
        if p_value(errors, n, precision, blind) <= (1 - confidence) * (1 + 1e-12):
            return statement(least_score, n, errors, cases, confidence)
    passed = [index for index in passed if index in above]
    if not passed:
        return None
    index = passed[-1]
    # One float above the next lower score; if every score is in the set, its lowest, as lower ones were never observed.
    threshold = math.nextafter(steps[index + 1][0], math.inf) if index + 1 < len(steps) else steps[index][0]
    _, n, errors = steps[index]
    return statement(max(threshold, least_score), n, errors, cases, confidence)


def grid(sizes: Sequence[int], precision: float, alpha: float, blind: BlindSample | None = None) -> list[tuple[int, float]]:
    """The steps to test, in order, each with the error budget that enters there. `sizes` ascend.

    Only sizes that allow one more error than the last are worth a test; beyond the last of them every size is, because none
    of those tests can fail before the one of all values would. Up to three times the fewest values there is one
    start; beyond that four, so that a single error among the highest scores does not end the test.
    """
    total = sizes[-1] if sizes else 0
    starts = 4 if blind is None and total >= 3 * fewest_values(precision, 1 - alpha) else 1
    indices = sorted({bisect_left(sizes, size) for size in _sizes_that_allow_one_more(total, precision, alpha / starts, blind)})
    if not indices:
        return []
    first = sizes[indices[0]]
    targets = [first * (total / first) ** (k / max(starts - 1, 1)) for k in range(starts)]
    entering = [min(indices, key=lambda index: abs(sizes[index] - target)) for target in targets]
    return [(index, alpha * entering.count(index) / starts) for index in indices]


@cache
def _sizes_that_allow_one_more(total: int, precision: float, alpha: float, blind: BlindSample | None) -> tuple[int, ...]:
    """The fewest values that certify with 0, 1, 2 ... errors, up to `total`; beyond the last of them, every size."""
    import numpy as np

    errors = np.arange(total)
    for sample in (None, blind):  # an audit only adds errors that may be there, and its p-values take longer
        errors = errors[p_value(errors, np.full(len(errors), total), precision, sample) <= alpha]
    low, high = errors + 1, np.full(len(errors), total)
    while (low < high).any():  # bisection, for every number of errors at once
        middle = (low + high) // 2
        enough = p_value(errors, middle, precision, blind) <= alpha
        low, high = np.where(enough, low, np.minimum(middle + 1, high)), np.where(enough, middle, high)
    return tuple(sorted({*low.tolist(), *range(int(low[-1]), total + 1)})) if len(errors) else ()


def best_statement(pairs: Sequence[Pair], confidence: float, blind: BlindSample | None = None) -> Statement | None:
    answered = answers_among(pairs)
    lower = [precision_bounds(n, errors, confidence)[0] for _, n, errors in steps_of(answered)]
    for permille in range(math.floor(1000 * max(lower, default=0) + 1e-9), 499, -1):  # no test can pass above the best bound
        statement = learn_then_test(answered, len(pairs), permille / 1000, confidence, blind=blind)
        if statement is not None:
            return replace(statement, lower=permille / 1000)
    return None


def statement(threshold: float, n: int, errors: int, cases: int, confidence: float) -> Statement:
    low, high = precision_bounds(n, errors, confidence) if n else (0.0, 1.0)
    observed = (n - errors) / n if n else math.nan
    return Statement(threshold, n, errors, n / cases if cases else math.nan, observed, low, high)


def answers_among(pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
    return [(score, right) for score, right in pairs if score is not None]


def steps_of(answered: Sequence[tuple[float, bool]]) -> list[tuple[float, int, int]]:
    """(score, values at or above it, errors among them) for each distinct score, from the highest down."""
    steps: list[tuple[float, int, int]] = []
    n = errors = 0
    for score, right in sorted(answered, key=lambda value: -value[0]):
        n, errors = n + 1, errors + (not right)
        if steps and steps[-1][0] == score:
            steps.pop()
        steps.append((score, n, errors))
    return steps
