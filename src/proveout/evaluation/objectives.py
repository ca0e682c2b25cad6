"""Service-level objectives: what a mission promised, what was measured, and how much of the error budget is spent.

Entry point: `service`, with one `Measurement` for each case (`measurements` takes them from the journal).
    automation rate   share of the cases that no person touched
    precision of F    share of right values among the automated ones of F that a person has labelled (Wilson's interval)
    latency p99, p50  seconds that a case waits, by nearest rank; p50 has no target
    cost per case     dollars for language models, mean

After Beyer et al., The Site Reliability Workbook (2018), chapters 2 and 5. The error budget is the share of cases that may miss
an objective, such as 2 % for a precision of 98 %. The burn rate is the share that misses it, divided by that budget: at 1 the
budget of a window is used up exactly when the window ends. The share of a window's budget that is spent is the burn rate times
the elapsed share of the window. No share of cases misses a mean, so the budget of the cost is the promised dollars.
Not covered: why an objective is missed. A share can miss by chance; `chance` is that probability, for each number separately.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from proveout.evaluation.scores import interval
from proveout.mission import SLO
from proveout.records import Route

if TYPE_CHECKING:
    from proveout.records import Answer, Decided

WINDOW = 30  # days, of the recent error budget
UNLIKELY = 0.025  # for a less likely miss, the target is outside the 95 % interval

Unit = Literal["share", "seconds", "dollars"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """Measurements of one case. `nan`: not known."""

    acted: bool  # no person touched it
    seconds: float  # from the start of its batch until its decision is in the journal
    dollars: float = math.nan  # for language models
    right: Mapping[str, bool] = field(default_factory=dict)  # automated field with a label to whether it is right
    received: date | None = None
    decided: date | None = None
    slo: SLO | None = None  # of the release that decided it; None: not known


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective over a set of cases. `nan` without cases or without a promise."""

    name: str
    unit: Unit
    target: float
    measured: float  # in the unit of the target
    cases: int  # that were measured
    interval: tuple[float, float] = (math.nan, math.nan)  # 95 %, for a share
    budget: float = math.nan  # share of the cases that may miss it; for the cost, dollars
    spent: float = math.nan  # share of the window's budget; above 1 it is overspent
    burn: float = math.nan
    chance: float = math.nan  # probability of at least as many misses if the objective is only just met

    @property
    def missed(self) -> bool:
        return self.measured < self.target if self.unit == "share" else self.measured > self.target

    @property
    def left(self) -> float:
        """Share of the window's budget that is not spent; below 0 it is overspent."""
        return 1 - self.spent

    def verdict(self, level: float = UNLIKELY) -> str:
        """In words; `level`: a miss with a smaller `chance` is reported as beyond chance.

        >>> Objective("automation rate", "share", target=0.65, measured=0.593, cases=90, chance=0.15).verdict()
        'missed by 5.7 points; it may be chance'
        >>> Objective("automation rate", "share", target=0.65, measured=0.593, cases=500, chance=0.005).verdict(level=0.001)
        'missed by 5.7 points; unlikely to be chance (p = 0.005)'
        >>> Objective("automation rate", "share", target=0.65, measured=0.593, cases=900, chance=0.0003).verdict(level=0.001)
        'missed by 5.7 points, beyond chance'
        >>> Objective("latency p99", "seconds", target=10, measured=12.5, cases=40, chance=0.33).verdict()
        'missed by 2.5 s; it may be chance'
        >>> Objective("precision of total", "share", target=0.98, measured=0.9799, cases=99, chance=0.6).verdict()
        'missed by less than 0.1 points; it may be chance'
        >>> Objective("precision of total", "share", target=0.98, measured=math.nan, cases=0).verdict()
        'no labelled automated value yet'
        """
        if math.isnan(self.measured):
            return "no labelled automated value yet" if self.name.startswith("precision") else "nothing measured yet"
        if math.isnan(self.target):
            return ""
        if not self.missed:
            return "met"
        gap = abs(self.measured - self.target)
        points = f"{100 * gap:.1f}" if gap > 0.0005 else "less than 0.1"
        size = {"share": f"{points} points", "seconds": f"{gap:.2g} s", "dollars": f"${gap:.2g}"}[self.unit]
        if math.isnan(self.chance):
            return f"missed by {size}"
        if self.chance <= level:
            return f"missed by {size}, beyond chance"
        may_be = "it may be chance" if self.chance > UNLIKELY else f"unlikely to be chance (p = {self.chance:.1g})"
        return f"missed by {size}; {may_be}"

    @property
    def bound(self) -> str:
        """The target as a bound, with its unit.

        >>> Objective("latency p99", "seconds", target=10, measured=12.5, cases=40).bound
        '≤ 10 s'
        """
        return "" if math.isnan(self.target) else f"{'≥' if self.unit == 'share' else '≤'} {self.format(self.target)}"

    def format(self, amount: float) -> str:
        """An amount in the objective's unit; of a share, as many digits as show on which side of the target it is.

        >>> Objective("cost per case", "dollars", 0.01, 0.0042, 9).format(0.0042)
        '$0.0042'
        >>> [Objective("precision of total", "share", 0.98, 0.0, 9).format(share) for share in (0.941, 0.9798, 0.98)]
        ['94.1%', '97.98%', '98.0%']
        """
        if math.isnan(amount):
            return "–"
        digits = next((digits for digits in (1, 2, 3) if round(amount, 2 + digits) != round(self.target, 2 + digits)), 1)
        return {"share": f"{amount:.{digits}%}", "seconds": f"{amount:.3g} s", "dollars": f"${amount:.4f}"}[self.unit]


@dataclass(frozen=True, slots=True)
class Service:
    """All objectives over one period."""

    days: int | None  # length of the window of the budgets; None: all cases
    span: tuple[date | None, date | None]  # first and last day with a case
    cases: int
    objectives: tuple[Objective, ...]


def measurements(
    decisions: "Iterable[Decided]", answers: "Mapping[str, Answer]", promise: Callable[[str], SLO | None]
) -> Iterator[Measurement]:
    """One for every decided case; `right` comes from people's answers. `promise`: what a release promised, if that is known."""
    for decided in decisions:
        answer = answers.get(decided.case.key)
        yield Measurement(
            acted=decided.decision.route is Route.ACT,
            seconds=decided.seconds,
            dollars=decided.decision.dollars,
            right={name: right for name, right in answer.right.items() if name in decided.decision.automated} if answer else {},
            received=decided.case.day,
            decided=datetime.fromisoformat(decided.at).date() if decided.at else None,
            slo=promise(decided.decision.release),
        )


def service(cases: Iterable[Measurement], slo: SLO, fields: Sequence[str], days: int = WINDOW) -> tuple[Service, Service]:
    """The objectives over the last `days`, and over all cases.

    A case is judged by what its release promised, without one by `slo`; where several promised different things, the target is
    their mean over the cases. (For a precision, the probability of a chance miss is then an upper bound: Hoeffding 1956.)
    A case counts on the day it was received; if fewer than half of the cases have such a day, on the day it was decided.

    >>> cases = [Measurement(True, 0.2, 0.0, {"total": n > 0}, date(2026, 9, 1 + n)) for n in range(15)]
    >>> recent, overall = service(cases, SLO(precision=0.9, confidence=0.95), ["total"])
    >>> for row in recent.objectives:
    ...     print(f"{row.name}: {row.format(row.measured)} of {row.cases}, spent {row.spent:.2f}, burn {row.burn:.2f}")
    automation rate: 100.0% of 15, spent 0.00, burn 0.00
    precision of total: 93.3% of 15, spent 0.33, burn 0.67
    latency p50: 0.2 s of 15, spent nan, burn nan
    latency p99: 0.2 s of 15, spent 0.00, burn 0.00
    cost per case: $0.0000 of 15, spent 0.00, burn 0.00
    >>> [round(row.spent, 2) for row in overall.objectives if row.name == "precision of total"]
    [0.67]
    """
    cases = list(cases)
    by_decision = 2 * sum(case.received is not None for case in cases) < len(cases)
    dated = [(day, case) for case in cases if (day := case.decided if by_decision else case.received)]
    first, last = min((day for day, _ in dated), default=None), max((day for day, _ in dated), default=None)
    recent, begin, elapsed = [case for day, case in dated if last and (last - day).days < days], None, math.nan
    if first and last:
        begin = min(day for day, _ in dated if (last - day).days < days)
        elapsed = min(1.0, ((last - first).days + 1) / days)
    return (
        Service(days, (begin, last), len(recent), tuple(_objectives(recent, slo, fields, elapsed))),
        Service(None, (first, last), len(cases), tuple(_objectives(cases, slo, fields, 1.0))),
    )


def binomial_cdf(successes: int, trials: int, rate: float) -> float:
    """Probability of at most `successes` among `trials` when each has probability `rate`; `nan` without trials.

    >>> round(binomial_cdf(95, 100, 0.98), 4), binomial_cdf(3, 3, 1.0), binomial_cdf(2, 3, 1.0), binomial_cdf(0, 0, 0.5)
    (0.0508, 1.0, 0.0, nan)
    """
    if not trials:
        return math.nan
    if successes >= trials or rate <= 0:
        return 1.0
    if rate >= 1:
        return 0.0
    total, scale = 0.0, math.lgamma(trials + 1)
    for k in range(successes, -1, -1):  # downwards: past the peak each term is smaller than the one before
        log_choose = scale - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        term = math.exp(log_choose + k * math.log(rate) + (trials - k) * math.log1p(-rate))
        total += term
        if k < trials * rate and term < 1e-17 * total:
            break
    return min(1.0, total)


def _objectives(cases: Sequence[Measurement], slo: SLO, fields: Sequence[str], elapsed: float) -> Iterator[Objective]:
    def target(of: Callable[[SLO], float], among: Sequence[Measurement] = cases) -> float:
        return mean_target([of(case.slo or slo) for case in among] or [of(slo)])

    yield _share("automation rate", [case.acted for case in cases], target(lambda slo: slo.automation_rate), elapsed)
    for name in fields:
        judged = [case for case in cases if name in case.right]
        aim = target(lambda slo: slo.precision, judged)
        yield _share(f"precision of {name}", [case.right[name] for case in judged], aim, elapsed)
    limit = target(lambda slo: slo.latency_p99_seconds)
    seconds = sorted(case.seconds for case in cases if not math.isnan(case.seconds))
    yield Objective("latency p50", "seconds", math.nan, _rank(seconds, 0.50), len(seconds))
    in_time = _share("latency p99", [wait <= limit for wait in seconds], 0.99, elapsed)
    none = (math.nan, math.nan)
    yield replace(in_time, unit="seconds", target=limit, measured=_rank(seconds, 0.99), interval=none)
    yield _cost(
        [case.dollars for case in cases if not math.isnan(case.dollars)], target(lambda slo: slo.cost_per_case), elapsed
    )


def mean_target(targets: Iterable[float]) -> float:
    """The target itself if it is the same for all, without an error of rounding; otherwise the mean.

    >>> mean_target([0.98] * 3), mean_target([0.5, 1.0])
    (0.98, 0.75)
    """
    counts = Counter(targets)
    return next(iter(counts)) if len(counts) == 1 else sum(each * n for each, n in counts.items()) / counts.total()


def _share(name: str, good: Sequence[bool], target: float, elapsed: float) -> Objective:
    if not good:
        return Objective(name, "share", target, math.nan, 0, budget=1 - target)
    burn = _burn(good.count(False) / len(good), 1 - target)
    return Objective(
        name,
        "share",
        target,
        measured=sum(good) / len(good),
        cases=len(good),
        interval=interval(sum(good), len(good)),
        budget=1 - target,
        spent=burn * elapsed,
        burn=burn,
        chance=binomial_cdf(sum(good), len(good), target),
    )


def _cost(dollars: Sequence[float], target: float, elapsed: float) -> Objective:
    mean = sum(dollars) / len(dollars) if dollars else math.nan
    cost = Objective("cost per case", "dollars", target, mean, len(dollars), budget=target * len(dollars))
    return replace(cost, spent=_burn(mean, target) * elapsed, burn=_burn(mean, target)) if dollars else cost


def _burn(used: float, budget: float) -> float:
    """
    >>> _burn(0.04, 0.02), _burn(0.0, 0.0), _burn(0.1, 0.0)
    (2.0, 0.0, inf)
    """
    return used / budget if budget else math.inf if used else used


def _rank(ordered: Sequence[float], share: float) -> float:
    """Nearest-rank percentile of sorted values: the least that at least this share does not exceed.

    >>> _rank([1.0, 2.0, 3.0, 4.0], 0.5), _rank([1.0, 2.0], 0.99), _rank([], 0.5)
    (2.0, 2.0, nan)
    """
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan
