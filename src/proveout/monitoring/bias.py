"""Who is treated worse: each segment against all other cases, with intervals, small groups protected.

Of two segments that are all there is, only the one that fares worse is told of: the other is its mirror image.
Measures of the agent: automation rate, error rate, error rate among automated values, calibration gap. Per case, not per
value: five fields of one document are not five witnesses. Each is looked at over the whole log, over its last half, the last
quarter and so on, so that what changed lately is not drowned in what went before. Fisher's exact test for rates, a permutation
test for the gap; Bonferroni's correction over the looks of a pair, Holm's over all segments and measures; intervals after
Newcombe, Bonferroni-wide, so that all of them hold together.
Also the group rates of fairness audits (`group_rates`, `between_groups`), as fairlearn defines them.
Not covered: why. A segment may be worse off because its documents are harder; the difference in the reference stands beside it.
"""

import itertools
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from proveout.mission import Mission
from proveout.monitoring.alerts import BiasAlerts
from proveout.monitoring.findings import Disparity, Example
from proveout.monitoring.significance import changed_stretch, fisher_p, holm, newcombe, permutation_p, welch
from proveout.monitoring.wording import Moment, day_said, listed
from proveout.records import Route
from proveout.values import same

if TYPE_CHECKING:
    from pandas import DataFrame, Series  # type: ignore[import-untyped]

AUTOMATION, ERROR, AUTOMATED_ERROR, GAP = "automation rate", "error rate", "error rate of automated values", "calibration gap"
MEASURES = (AUTOMATION, ERROR, AUTOMATED_ERROR, GAP)
_SAID = {
    AUTOMATION: "{value:.0%} of the cases of {segment} pass without a person, {other:.0%} of all others",
    ERROR: "{value:.0%} of the cases of {segment} have a wrong value, {other:.0%} of all others",
    AUTOMATED_ERROR: "{value:.1%} of the automated cases of {segment} have a wrong automated value, {other:.1%} of all others",
    GAP: "confidence is {value:+.3f} above the share of right values in {segment}, {other:+.3f} in all others",
}


@dataclass(frozen=True)
class GroupRates:
    """Rates of one group, or of everybody. `nan` where nobody is there to count."""

    cases: int
    selection_rate: float  # predicted yes
    error_rate: float
    true_positive_rate: float
    false_positive_rate: float


Rate = Literal["selection_rate", "error_rate", "true_positive_rate", "false_positive_rate"]


def group_rates(truth: NDArray[np.bool_], yes: NDArray[np.bool_], groups: Sequence[Hashable]) -> dict[Hashable, GroupRates]:
    """The rates of every group.

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
    """The rates of everybody together."""
    return GroupRates(len(truth), _mean(yes), _mean(truth != yes), _mean(yes[truth]), _mean(yes[~truth]))


def between_groups(rates: Mapping[Hashable, GroupRates], of: Rate) -> tuple[float, float]:
    """The largest difference between two groups, and their ratio (smallest / largest). No groups: `nan`.

    >>> between_groups({"a": GroupRates(9, 0.5, 0, 0, 0), "b": GroupRates(9, 0.25, 0, 0, 0)}, "selection_rate")
    (0.25, 0.5)
    """
    values = [value for one in rates.values() if not math.isnan(value := getattr(one, of))]
    if not values:
        return math.nan, math.nan
    return max(values) - min(values), min(values) / max(values) if max(values) else math.nan


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else math.nan


def outcomes(frame: "DataFrame", mission: Mission) -> "DataFrame":
    """What happened to each case: one column a measure, `nan` where it cannot be said (no label yet, nothing automated)."""
    import pandas as pd

    right = pd.DataFrame({name: rightness(frame, name, mission) for name in mission.fields}, index=frame.index)
    automated = pd.DataFrame({name: frame[f"{name}.automated"].fillna(False).astype(bool) for name in mission.fields})
    confidence = pd.DataFrame({name: pd.to_numeric(frame[f"{name}.confidence"], errors="coerce") for name in mission.fields})
    wrong = (1 - right).max(axis=1)
    wrong_automated = (1 - right).where(automated).max(axis=1)
    acted = (frame["route"].astype("string") == Route.ACT.value).fillna(False).astype(float)
    measured = {AUTOMATION: acted, ERROR: wrong, AUTOMATED_ERROR: wrong_automated, GAP: (confidence - right).mean(axis=1)}
    return pd.DataFrame({name: values.astype(float) for name, values in measured.items()}, index=frame.index)


def rightness(frame: "DataFrame", field: str, mission: Mission) -> "Series":
    """1.0 right, 0.0 wrong, `nan` where the agent gave no answer or nobody has said yet what is right."""
    import pandas as pd

    answered = frame[field].notna() & (frame[field].astype("string").fillna("") != "")
    if f"{field}.right" in frame.columns:
        known = frame[f"{field}.right"].map({True: 1.0, False: 0.0}).astype(float)
    elif f"{field}.label" in frame.columns:
        kind = mission.kinds[field]
        pairs = zip(frame[field], frame[f"{field}.label"], strict=True)
        judged = [
            float(same(kind, str(a), str(b))) if isinstance(a, str) and isinstance(b, str) and b else math.nan for a, b in pairs
        ]
        known = pd.Series(judged, index=frame.index, dtype=float)
    else:
        known = pd.Series(math.nan, index=frame.index, dtype=float)
    return known.where(answered, math.nan)


@dataclass(frozen=True)
class _Look:
    first: Moment | None  # None: the whole log
    member: NDArray[np.bool_]


def disparities(
    log: "DataFrame", measured: "DataFrame", reference: "DataFrame", measured_before: "DataFrame", settings: BiasAlerts
) -> tuple[Disparity, ...]:
    """Every segment and measure, the worst first. `measured` are the log's `outcomes`, row for row."""
    days, smallest = log["day"].to_numpy(), settings.smallest_group
    looks = list(_looks(days, 5 * smallest))
    found: list[tuple[_Pair, list[Disparity]]] = []
    for by in settings.by:
        groups, groups_before = _names(log[by]), _names(reference[by]) if by in reference.columns else np.array([])
        segments = sorted(set(groups) - {""})
        for measure in MEASURES if len(set(groups)) > 1 else ():
            compared = []
            for segment in segments:
                before = _difference(measured_before[measure].to_numpy(), groups_before == segment, smallest)
                pair = _Pair(by, segment, measure, measured[measure].to_numpy(), groups == segment, before)
                compared.append((pair, [_compare(pair, look, smallest) for look in looks]))
            mirrored = len(set(groups)) == len(segments) == 2
            found += [max(compared, key=lambda one: _harm(_surest(one[1])))] if mirrored else compared
    judged = _judged(found, looks, days, settings)
    return tuple(sorted(judged, key=lambda one: (not one.worse, math.isnan(one.p), one.p)))


def _looks(days: NDArray[np.object_], at_least: int) -> Iterator[_Look]:
    """The whole log, its last half, the last quarter and so on, by whole days, while a look has `at_least` cases."""
    yield _Look(None, np.ones(len(days), dtype=bool))
    dated = sorted(day for day in days if day is not None)
    wanted = len(days) // 2
    while at_least <= wanted <= len(dated):
        first = dated[-wanted]
        yield _Look(first, np.array([day is not None and day >= first for day in days]))
        wanted //= 2


def _surest(looks: Sequence[Disparity]) -> Disparity:
    return min(looks, key=lambda one: 2.0 if math.isnan(one.p) else one.p)


def _harm(one: Disparity) -> float:
    """How much worse the segment fares than the others; below 0 where it fares better or nobody can say."""
    if math.isnan(one.difference):
        return -math.inf
    return -one.difference if one.measure == AUTOMATION else one.difference


def with_cases(found: Sequence[Disparity], log: "DataFrame", mission: Mission) -> tuple[Disparity, ...]:
    """Each segment that is worse off with up to ten of its cases that show it, the newest first."""
    if not any(one.worse for one in found):
        return tuple(found)
    right = {name: rightness(log, name, mission).to_numpy() for name in mission.fields}
    newest = log["day"].fillna(date.min).argsort(kind="stable")[::-1]

    def shown(one: Disparity) -> Iterator[Example]:
        member = _names(log[one.by]) == one.segment
        for place in newest:
            if member[place] and (because := tuple(_shows(one.measure, log.iloc[place], place))):
                yield Example(str(log["case"].iloc[place]), log["day"].iloc[place], because)

    def _shows(measure: str, case: "Series", place: int) -> Iterator[str]:
        """Which fields are wrong, or what a person has to check."""
        if measure == AUTOMATION:
            if case["route"] == Route.REVIEW.value:
                unsure = [name for name in mission.fields if not case[f"{name}.automated"]]
                yield f"a person has to check {listed(unsure)}" if unsure else "a check did not pass"
            return
        for name in mission.fields:
            if right[name][place] == 0 and (measure != AUTOMATED_ERROR or case[f"{name}.automated"]):
                yield f"{name} is wrong, at {case[f'{name}.confidence']:.0%} confidence"

    return tuple(replace(one, examples=tuple(itertools.islice(shown(one), 10))) if one.worse else one for one in found)


def _names(values: "Series") -> NDArray[np.object_]:
    return np.asarray(values.astype("string").fillna(""), dtype=object)


def _difference(values: NDArray[np.float64], member: NDArray[np.bool_], smallest: int) -> float:
    if len(member) != len(values):
        return math.nan
    known = ~np.isnan(values)
    inside, outside = values[known & member], values[known & ~member]
    return float(inside.mean() - outside.mean()) if min(len(inside), len(outside)) >= smallest else math.nan


@dataclass(frozen=True)
class _Pair:
    """A measure of every case of the log, and which of them are of the segment."""

    by: str
    segment: str
    measure: str
    values: NDArray[np.float64]
    member: NDArray[np.bool_]
    before: float  # the difference in the reference

    def sides(self, look: _Look) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What is known of the segment and of all others, in one look."""
        known = look.member & ~np.isnan(self.values)
        return self.values[known & self.member], self.values[known & ~self.member]


def _compare(pair: _Pair, look: _Look, smallest: int) -> Disparity:
    """One segment against the others in one look, uncorrected."""
    inside, outside = pair.sides(look)
    n, m = len(inside), len(outside)
    about = Disparity(pair.by, pair.segment, pair.measure, cases=n, other_cases=m, lately=look.first)
    if min(n, m) < smallest:
        side = "it" if n <= m else "the rest"
        known = f"{pair.measure} is known of {min(n, m)} cases of {side}"
        return replace(about, because=f"not judged: {known}, fewer than {smallest}")
    value, other = float(inside.mean()), float(outside.mean())
    ratio = value / other if other and pair.measure != GAP else math.nan
    p = permutation_p(inside, outside) if pair.measure == GAP else fisher_p(int(inside.sum()), n, int(outside.sum()), m)
    because = _SAID[pair.measure].format(value=value, other=other, segment=pair.segment)
    because = f"from {day_said(look.first)} on, {because}" if look.first else because
    rates = replace(about, value=value, other=other, difference=value - other, ratio=ratio, p=p, because=because)
    return replace(rates, reference_difference=pair.before)


def _judged(
    found: Sequence[tuple[_Pair, Sequence[Disparity]]], looks: Sequence[_Look], days: NDArray[np.object_], settings: BiasAlerts
) -> Iterator[Disparity]:
    """Of each pair its surest look where that is an alarm, else the whole log; p corrected, intervals that hold together."""
    compared = sum(not math.isnan(one.p) for _, seen in found for one in seen)
    confidence = 1 - settings.false_alarm_rate / max(1, compared)
    for (pair, seen), p in zip(found, holm([_of_any(seen) for _, seen in found]), strict=True):
        surest = _surest(seen)
        worse = p <= settings.false_alarm_rate and _harm(surest) >= settings.smallest_difference
        one, look = (surest, looks[seen.index(surest)]) if worse else (seen[0], looks[0])
        if math.isnan(one.value):
            yield one
            continue
        inside, outside = pair.sides(look)
        if pair.measure == GAP:
            interval = welch(inside, outside, confidence)[1]
        else:
            interval = newcombe(int(inside.sum()), len(inside), int(outside.sum()), len(outside), confidence)
        known = pair.member & ~np.isnan(pair.values)
        since = _since(pair.values, known, days) if worse and pair.measure != GAP else None
        yield replace(one, p=p, interval=interval, worse=worse, since=since)


def _of_any(looks: Sequence[Disparity]) -> float:
    """Bonferroni: the probability that any look at a pair would be as sure by chance."""
    p_values = [one.p for one in looks if not math.isnan(one.p)]
    return min(1.0, len(p_values) * min(p_values)) if p_values else math.nan


def _since(values: NDArray[np.float64], member: NDArray[np.bool_], days: NDArray[np.object_]) -> Moment | None:
    """When the segment's own rate changed, if it did so clearly (the change is e**8 times as likely as none)."""
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
