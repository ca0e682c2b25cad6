"""Which segments are treated worse: each segment against all other cases, with intervals and protection of small groups.

Entry points: `disparities` and `with_examples`; `group_rates` and `between_groups` are the group rates of fairness audits, as
fairlearn defines them. With two segments, report only the worse one. Groups that nobody declared: `slices`.
Measures: automation rate, error rate, error rate of automated values, override rate (of the cases that came to a person, those
where a value was wrong), waiting rate (of those, the ones that waited over a day for an answer), calibration gap. They count
cases, not values: the five fields of one document are not independent. Each is tested on the whole log, its last half, the last
quarter and so on, so that earlier cases do not dilute a recent change. Fisher's exact test for rates, a permutation test for
the gap. One p-value for all looks of a pair (`_of_any`), Holm's correction over all segments and measures; the intervals of
Newcombe and of Walter at Bonferroni's level, so that they hold simultaneously.
Not covered: causes. A segment may fare worse because its documents are harder; the report shows the reference's difference.
"""

import itertools
import math
from bisect import bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from proveout.mission import Mission
from proveout.monitoring.alerts import BiasAlerts
from proveout.monitoring.features import names_of
from proveout.monitoring.findings import Disparity, Example, Slice
from proveout.monitoring.significance import changed_stretch, fisher_p, holm, newcombe, permutation_p, walter, welch
from proveout.monitoring.wording import RATES, Moment, day_text, listed, percent
from proveout.records import Route
from proveout.values import same

if TYPE_CHECKING:
    from pandas import DataFrame, Series  # type: ignore[import-untyped]

AUTOMATION, ERROR, AUTOMATED_ERROR, GAP = "automation rate", "error rate", "error rate of automated values", "calibration gap"
REVIEW = "review rate"  # of a slice: 1 - automation rate
OVERRIDE, WAITING = "override rate", "waiting rate"  # of cases that came to a person
RIGHT_ACTED, WRONG_ACTED = "automation rate of right cases", "automation rate of wrong cases"
ODDS = (RIGHT_ACTED, WRONG_ACTED)  # true and false positive rate of automation: equalised odds (Hardt et al. 2016)
MEASURES = (AUTOMATION, ERROR, AUTOMATED_ERROR, OVERRIDE, WAITING, GAP)
LONG_WAIT = timedelta(days=1)
DRAWS = 19_999  # of a segment's cases at random


@dataclass(frozen=True)
class GroupRates:
    """Rates of one group, or of all cases. `nan` where there are no cases to count."""

    cases: int
    selection_rate: float  # share predicted yes
    error_rate: float
    true_positive_rate: float
    false_positive_rate: float


Rate = Literal["selection_rate", "error_rate", "true_positive_rate", "false_positive_rate"]


def group_rates(truth: NDArray[np.bool_], yes: NDArray[np.bool_], groups: Sequence[Hashable]) -> dict[Hashable, GroupRates]:
    """The rates of every group. `truth` and `yes` (predicted): (cases,).

    >>> truth, yes = np.array([1, 0, 1, 0], bool), np.array([1, 0, 0, 0], bool)
    >>> rates = group_rates(truth, yes, ["a", "a", "b", "b"])
    >>> rates["a"].true_positive_rate, rates["b"].true_positive_rate, rates["b"].error_rate
    (1.0, 0.0, 0.5)
    """
    members: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    return {group: overall_rates(truth[places], yes[places]) for group, places in members.items()}


def overall_rates(truth: NDArray[np.bool_], yes: NDArray[np.bool_]) -> GroupRates:
    """The rates of all cases together."""
    return GroupRates(len(truth), _mean(yes), _mean(truth != yes), _mean(yes[truth]), _mean(yes[~truth]))


def between_groups(rates: Mapping[Hashable, GroupRates], of: Rate) -> tuple[float, float]:
    """The largest difference between two groups, and their ratio (smallest / largest). No groups: `nan`.

    >>> between_groups({"a": GroupRates(9, 0.5, 0, 0, 0), "b": GroupRates(9, 0.25, 0, 0, 0)}, "selection_rate")
    (0.25, 0.5)
    """
    values = [value for group in rates.values() if not math.isnan(value := getattr(group, of))]
    if not values:
        return math.nan, math.nan
    return max(values) - min(values), min(values) / max(values) if max(values) else math.nan


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else math.nan


def outcomes(frame: "DataFrame", mission: Mission) -> "DataFrame":
    """One row per case, one column per measure; `nan` where a measure does not apply (no label yet, nothing automated)."""
    import pandas as pd

    right = pd.DataFrame({name: rightness(frame, name, mission) for name in mission.fields}, index=frame.index)
    automated = pd.DataFrame({name: frame[f"{name}.automated"].fillna(False).astype(bool) for name in mission.fields})
    confidence = pd.DataFrame({name: pd.to_numeric(frame[f"{name}.confidence"], errors="coerce") for name in mission.fields})
    wrong = (1 - right).max(axis=1)
    wrong_automated = (1 - right).where(automated).max(axis=1)
    acted = (frame["route"].astype("string") == Route.ACT.value).fillna(False).astype(float)
    reviewed = frame["route"].astype("string").fillna("") == Route.REVIEW.value
    measured = {AUTOMATION: acted, ERROR: wrong, AUTOMATED_ERROR: wrong_automated}
    measured[OVERRIDE] = (1 - right).where(~automated).max(axis=1).where(reviewed)
    measured[WAITING] = _waited_long(frame).where(reviewed)
    measured[GAP] = (confidence - right).mean(axis=1)
    return pd.DataFrame({name: values.astype(float) for name, values in measured.items()}, index=frame.index)


def _waited_long(frame: "DataFrame") -> "Series":
    """1.0 where an answer took over a day, or is not there after one; `nan` where it is too early to tell, or not known."""
    import pandas as pd

    if "answered_at" not in frame or "decided_at" not in frame:
        return pd.Series(math.nan, index=frame.index)
    decided, answered = (pd.to_datetime(frame[name], errors="coerce", utc=True) for name in ("decided_at", "answered_at"))
    waited = answered.fillna(max(decided.max(), answered.max())) - decided
    return (waited > LONG_WAIT).astype(float).where(answered.notna() | (waited > LONG_WAIT))


def judged(frame: "DataFrame", mission: Mission) -> "DataFrame":
    """The frame with `rightness` in the columns `F.right`, so that it is worked out once."""
    return frame.assign(**{f"{name}.right": _rightness(frame, name, mission) for name in mission.fields})


def rightness(frame: "DataFrame", field: str, mission: Mission) -> "Series":
    """1.0 right, 0.0 wrong, `nan` where there is no answer or no label yet."""
    name = f"{field}.right"
    return frame[name] if name in frame and frame[name].dtype == float else _rightness(frame, field, mission)


def _rightness(frame: "DataFrame", field: str, mission: Mission) -> "Series":
    import pandas as pd

    answered = frame[field].notna() & (frame[field].astype("string").fillna("") != "")
    if f"{field}.right" in frame.columns:
        right = frame[f"{field}.right"].map({True: 1.0, False: 0.0}).astype(float)
    elif f"{field}.label" in frame.columns:
        kind = mission.kinds[field]
        pairs = zip(frame[field], frame[f"{field}.label"], strict=True)
        judged = [
            float(same(kind, str(a), str(b))) if isinstance(a, str) and isinstance(b, str) and b else math.nan for a, b in pairs
        ]
        right = pd.Series(judged, index=frame.index, dtype=float)
    else:
        right = pd.Series(math.nan, index=frame.index, dtype=float)
    return right.where(answered, math.nan)


@dataclass(frozen=True)
class _Look:
    first: Moment | None  # None: the whole log
    member: NDArray[np.bool_]


def disparities(
    log: "DataFrame", measured: "DataFrame", reference: "DataFrame", measured_before: "DataFrame", settings: BiasAlerts
) -> tuple[Disparity, ...]:
    """Every segment and measure, alarms first, then by p. `measured` and `measured_before`: `outcomes` of log and reference."""
    days, smallest = log["day"].to_numpy(), settings.smallest_group
    looks = list(_looks(days, 5 * smallest))
    candidates: list[tuple[_Pair, list[Disparity]]] = []
    for by in settings.by:
        groups, groups_before = names_of(log[by]), names_of(reference[by]) if by in reference.columns else np.array([])
        segments = sorted(set(groups) - {""})
        measures = [name for name in MEASURES if name not in (OVERRIDE, WAITING) or name in measured.dropna(axis=1, how="all")]
        for measure in measures if len(set(groups)) > 1 else ():
            compared = []
            for segment in segments:
                before = _difference(measured_before[measure].to_numpy(), groups_before == segment, smallest)
                pair = _Pair(by, segment, measure, measured[measure].to_numpy(), groups == segment, before)
                compared.append((pair, [_compare(pair, look, smallest) for look in looks]))
            mirrored = len(set(groups)) == len(segments) == 2
            candidates += [max(compared, key=lambda tested: _harm(_surest(tested[1])))] if mirrored else compared
    judged = _judged(candidates, looks, days, settings)
    return tuple(sorted(judged, key=lambda disparity: (not disparity.worse, math.isnan(disparity.p), disparity.p)))


def equalised_odds(log: "DataFrame", measured: "DataFrame", settings: BiasAlerts) -> tuple[Disparity, ...]:
    """Of cases without a wrong value, and of those with one, the share that is automated, of each segment against all others.

    `measured`: `outcomes` of the log. With intervals that hold simultaneously among these; no test, so no alarm. Of two
    segments, only the first.
    """
    acted, wrong, pairs = measured[AUTOMATION], measured[ERROR], []
    for by in settings.by:
        groups = names_of(log[by])
        segments = sorted(set(groups) - {""})
        for segment in segments[:1] if len(set(groups)) == len(segments) == 2 else segments if len(set(groups)) > 1 else ():
            for measure, is_wrong in zip(ODDS, (0, 1), strict=True):
                values = acted.where(wrong == is_wrong).to_numpy()
                pairs.append(_Pair(by, segment, measure, values, groups == segment, math.nan))
    whole = _Look(None, np.ones(len(log), dtype=bool))
    rows = [(pair, _compare(pair, whole, settings.smallest_group)) for pair in pairs]
    confidence = 1 - settings.false_alarm_rate / max(1, sum(not math.isnan(row.p) for _, row in rows))
    return tuple(_with_intervals(replace(row, p=math.nan), pair, whole, confidence) for pair, row in rows)


def _with_intervals(row: Disparity, pair: "_Pair", look: "_Look", confidence: float) -> Disparity:
    """The same with the intervals of its difference and of its ratio; without cases on both sides, without."""
    inside, outside = pair.sides(look)
    if pair.measure == GAP:
        return replace(row, interval=welch(inside, outside, confidence)[1])
    if not len(inside) or not len(outside):
        return row
    counts = (int(inside.sum()), len(inside), int(outside.sum()), len(outside))
    return replace(row, interval=newcombe(*counts, confidence), ratio_interval=walter(*counts, confidence))


def _looks(days: NDArray[np.object_], at_least: int) -> Iterator[_Look]:
    """The whole log, its last half, the last quarter and so on, by whole days, while a look has `at_least` cases."""
    yield _Look(None, np.ones(len(days), dtype=bool))
    dated = sorted(day for day in days if day is not None)
    size = len(days) // 2
    while at_least <= size <= len(dated):
        first = dated[-size]
        yield _Look(first, np.array([day is not None and day >= first for day in days]))
        size //= 2


def _surest(looks: Sequence[Disparity]) -> Disparity:
    return min(looks, key=lambda disparity: 2.0 if math.isnan(disparity.p) else disparity.p)


def _harm(disparity: Disparity) -> float:
    """How much worse the segment fares than the others; negative where it fares better or is not judged."""
    if math.isnan(disparity.difference):
        return -math.inf
    return -disparity.difference if disparity.measure == AUTOMATION else disparity.difference


class Examples:
    """Cases of a log that illustrate a measure of a group, the newest first."""

    def __init__(self, log: "DataFrame", mission: Mission) -> None:
        self._log, self._mission = log, mission
        self._right = {name: rightness(log, name, mission).to_numpy() for name in mission.fields}
        self._newest = log["day"].fillna(date.min).argsort(kind="stable")[::-1]

    def of(self, member: NDArray[np.bool_], measure: str) -> tuple[Example, ...]:
        """Up to ten cases. `member`: which rows of the log belong to the group."""
        of_group = ((row, tuple(self._reasons(measure, row))) for row in self._newest if member[row])
        cases, days = self._log["case"], self._log["day"]
        examples = (Example(str(cases.iloc[row]), days.iloc[row], because) for row, because in of_group if because)
        return tuple(itertools.islice(examples, 10))

    def _reasons(self, measure: str, row: int) -> Iterator[str]:
        """Which fields are wrong, or need review."""
        case = self._log.iloc[row]
        if measure in (AUTOMATION, REVIEW):
            if case["route"] == Route.REVIEW.value:
                unsure = [name for name in self._mission.fields if not case[f"{name}.automated"]]
                yield f"needs review: {listed(unsure)}" if unsure else "a check failed"
            return
        if measure == WAITING:
            yield "waited over a day for an answer"
            return
        for name in self._mission.fields:
            if self._right[name][row] == 0 and (measure != AUTOMATED_ERROR or case[f"{name}.automated"]):
                yield f"{name} is wrong, confidence {percent(case[f'{name}.confidence'])}"


def with_examples(
    disparities: Sequence[Disparity], slices: Sequence[Slice], features: "DataFrame", log: "DataFrame", mission: Mission
) -> tuple[tuple[Disparity, ...], tuple[Slice, ...]]:
    """The same, each alarm with cases to read. `features`: of those rows of the log that slices were searched in."""
    if not slices and not any(one.worse for one in disparities):
        return tuple(disparities), tuple(slices)
    examples = Examples(log, mission)

    def in_slice(one: Slice) -> NDArray[np.bool_]:
        return np.isin(log.index, features.index[one.holds(features)])

    return (
        tuple(
            replace(one, examples=examples.of(names_of(log[one.by]) == one.segment, one.measure)) if one.worse else one
            for one in disparities
        ),
        tuple(replace(one, examples=examples.of(in_slice(one), one.measure)) for one in slices),
    )


def _difference(values: NDArray[np.float64], member: NDArray[np.bool_], smallest: int) -> float:
    if len(member) != len(values):
        return math.nan
    measured = ~np.isnan(values)
    inside, outside = values[measured & member], values[measured & ~member]
    return float(inside.mean() - outside.mean()) if min(len(inside), len(outside)) >= smallest else math.nan


@dataclass(frozen=True)
class _Pair:
    """A measure of every case of the log, and which cases belong to the segment."""

    by: str
    segment: str
    measure: str
    values: NDArray[np.float64]
    member: NDArray[np.bool_]
    before: float  # the difference in the reference

    def sides(self, look: _Look) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The measured values of the segment and of all others, in one look."""
        measured = look.member & ~np.isnan(self.values)
        return self.values[measured & self.member], self.values[measured & ~self.member]


def _compare(pair: _Pair, look: _Look, smallest: int) -> Disparity:
    """One segment against the others in one look, uncorrected."""
    inside, outside = pair.sides(look)
    n, m = len(inside), len(outside)
    about = Disparity(pair.by, pair.segment, pair.measure, cases=n, other_cases=m, lately=look.first)
    if min(n, m) < smallest:
        side = "of the segment" if n <= m else "of the others"
        return replace(about, because=f"not judged: {pair.measure} known for {min(n, m)} cases {side}, {smallest} needed")
    value, other = float(inside.mean()), float(outside.mean())
    ratio = value / other if other and pair.measure != GAP else math.nan
    p = permutation_p(inside, outside) if pair.measure == GAP else fisher_p(int(inside.sum()), n, int(outside.sum()), m)
    numbers = RATES[pair.measure].format(value, other).replace("%", " %")
    because = f"{pair.segment}: {numbers}" + (f", since {day_text(look.first)}" if look.first else "")
    rates = replace(about, value=value, other=other, difference=value - other, ratio=ratio, p=p, because=because)
    return replace(rates, reference_difference=pair.before)


def _judged(
    pairs: Sequence[tuple[_Pair, Sequence[Disparity]]], looks: Sequence[_Look], days: NDArray[np.object_], settings: BiasAlerts
) -> Iterator[Disparity]:
    """For each pair, its most significant look if that is an alarm, else the whole log; p corrected, intervals simultaneous."""
    compared = sum(not math.isnan(test.p) for _, tests in pairs for test in tests)
    confidence = 1 - settings.false_alarm_rate / max(1, compared)
    for (pair, tests), p in zip(pairs, holm([_of_any(pair, looks, tests) for pair, tests in pairs]), strict=True):
        surest = _surest(tests)
        worse = p <= settings.false_alarm_rate and _harm(surest) >= settings.smallest_difference
        disparity, look = (surest, looks[tests.index(surest)]) if worse else (tests[0], looks[0])
        if math.isnan(disparity.value):
            yield disparity
            continue
        measured = pair.member & ~np.isnan(pair.values)
        since = _since(pair.values, measured, days) if worse and pair.measure != GAP else None
        yield _with_intervals(replace(disparity, p=p, worse=worse, since=since), pair, look, confidence)


def _of_any(pair: _Pair, looks: Sequence[_Look], tests: Sequence[Disparity]) -> float:
    """The p-value of the most significant look, corrected for the number of looks.

    Of rates: how often any look would be as significant if the segment's cases had been drawn at random, in each stretch
    between two looks apart (minP of Westfall & Young 1993). This knows how much the looks overlap and how coarse small counts
    are, and a rate that changes for all cases alike is no evidence. Of the gap, and below 1 / DRAWS: Bonferroni's.
    """
    judged = [(look, test.p) for look, test in zip(looks, tests, strict=True) if not math.isnan(test.p)]
    if not judged:
        return math.nan
    surest = min(p for _, p in judged)
    bonferroni = min(1.0, len(judged) * surest)
    if pair.measure == GAP or len(judged) == 1:
        return bonferroni
    rng = np.random.default_rng(len(pair.values))
    as_sure = np.zeros(DRAWS, dtype=bool)
    drawn = np.zeros(DRAWS, dtype=np.int64)  # in each draw, the segment's cases in this look that are marked
    later = np.zeros(len(pair.values), dtype=bool)
    for look, _ in reversed(judged):  # the shortest first
        inside, outside = pair.sides(replace(look, member=look.member & ~later))
        marked = int(inside.sum() + outside.sum())
        drawn += rng.hypergeometric(marked, len(inside) + len(outside) - marked, len(inside), DRAWS)
        later = look.member
        inside, outside = pair.sides(look)
        n, m, marked = len(inside), len(outside), int(inside.sum() + outside.sum())
        usual, sure = n * marked // (n + m), surest * (1 + 1e-9)

        def p_of(count: int, n: int = n, m: int = m, marked: int = marked) -> float:
            return fisher_p(count, n, marked - count, m)

        few, many = range(max(0, marked - m), usual + 1), range(min(n, marked), usual, -1)  # p grows towards the usual count
        as_sure |= drawn < few.start + bisect_right(few, sure, key=p_of)
        as_sure |= drawn > many.start - bisect_right(many, sure, key=p_of)
    drawn_p = float((1 + as_sure.sum()) / (1 + DRAWS))
    return drawn_p if as_sure.any() else min(drawn_p, bonferroni)


def _since(values: NDArray[np.float64], member: NDArray[np.bool_], days: NDArray[np.object_]) -> Moment | None:
    """When the segment's own rate changed, if clearly (a change is e**8 times as likely as none)."""
    tally: dict[Moment, list[int]] = {}
    for day, value in sorted(((d, v) for d, v in zip(days[member], values[member], strict=True) if d is not None)):
        counts = tally.setdefault(day, [0, 0])
        counts[0] += int(value)
        counts[1] += 1
    dates, successes, cases = list(tally), [x for x, _ in tally.values()], [n for _, n in tally.values()]
    if len(dates) < 3:
        return None
    start, stop, _, _ = changed_stretch((0, 0), successes, cases)
    inside = (sum(successes[start : stop + 1]), sum(cases[start : stop + 1]))
    outside = (sum(successes) - inside[0], sum(cases) - inside[1])
    gain = _loglik(*inside) + _loglik(*outside) - _loglik(sum(successes), sum(cases))
    return dates[start] if start > 0 and gain > 8 else None


def _loglik(x: int, n: int) -> float:
    return x * math.log(x / n) + (n - x) * math.log1p(-x / n) if 0 < x < n else 0.0
