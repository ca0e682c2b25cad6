"""Service-level objectives: what a mission promised, what was measured, and how much of the error budget is spent.

One door: `service`, over one `Measurement` a case (`measurements` takes them from the journal).
    automation rate   share of the cases that no person touched
    precision of F    share of right values among the automated ones of F that a person has labelled (Wilson's interval)
    latency p99, p50  seconds that a case waits, by nearest rank; p50 is shown beside, nothing is promised of it
    cost per case     dollars of language models, mean

After Beyer et al., The Site Reliability Workbook (2018), chapters 2 and 5. The error budget is the share of cases that may miss
an objective, such as 2 % for a precision of 98 %. The burn rate is the share that misses it, divided by that budget: at 1 the
budget of a window is used up exactly when the window ends. Spent, of a window's budget, is the burn rate times the share of
the window that has gone by. Of a mean there is no share that misses: the budget of the cost is the dollars that were promised.
Not covered: why. A share can miss its objective by chance; `chance` says how likely that is, of this one number alone.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from proveout.evaluation.scores import interval
from proveout.mission import SLO
from proveout.records import Route

if TYPE_CHECKING:
    from proveout.records import Answer, Decided

WINDOW = 30  # days of a recent budget
UNLIKELY = 0.025  # a miss that is less likely than this has its target outside of a 95 % interval

Unit = Literal["share", "seconds", "dollars"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured of one case. `nan`: not known."""

    acted: bool  # no person touched it
    seconds: float  # that it waited, from when its batch was taken up until its decision went to the journal
    dollars: float = math.nan  # for language models
    right: Mapping[str, bool] = field(default_factory=dict)  # of the automated fields that a person has labelled
    received: date | None = None
    decided: date | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective over a stretch of cases. `nan` where nothing was counted, or nothing was promised."""

    name: str
    unit: Unit
    target: float
    measured: float  # in the unit of the target
    cases: int  # behind it
    interval: tuple[float, float] = (math.nan, math.nan)  # 95 %, where it is a share
    budget: float = math.nan  # share of the cases that may miss it; of the cost, dollars
    spent: float = math.nan  # share of the window's budget; above 1 it is overspent
    burn: float = math.nan
    chance: float = math.nan  # probability of so many misses where the objective is only just met

    @property
    def missed(self) -> bool:
        return self.measured < self.target if self.unit == "share" else self.measured > self.target

    @property
    def left(self) -> float:
        """Share of the window's budget that is not spent; below 0 it is overspent."""
        return 1 - self.spent

    def verdict(self, level: float = UNLIKELY) -> str:
        """In words; `level`: a miss that is less likely by chance counts as sure.

        >>> Objective("automation rate", "share", target=0.65, measured=0.593, cases=90, chance=0.15).verdict()
        'missed by 5.7 points; it may be chance'
        >>> Objective("automation rate", "share", target=0.65, measured=0.593, cases=500, chance=0.005).verdict(level=0.001)
        'missed by 5.7 points; unlikely to be chance (p = 0.005)'
        >>> Objective("automation rate", "share", target=0.65, measured=0.593, cases=900, chance=0.0003).verdict(level=0.001)
        'missed by 5.7 points, beyond chance'
        >>> Objective("latency p99", "seconds", target=10, measured=12.5, cases=40, chance=0.33).verdict()
        'missed by 2.5 s; it may be chance'
        >>> Objective("precision of total", "share", target=0.98, measured=math.nan, cases=0).verdict()
        'no labelled automated value yet'
        """
        if math.isnan(self.measured):
            return "no labelled automated value yet" if self.name.startswith("precision") else "nothing measured yet"
        if math.isnan(self.target):
            return ""
        if not self.missed:
            return "met"
        by = abs(self.measured - self.target)
        size = {"share": f"{100 * by:.1f} points", "seconds": f"{by:.2g} s", "dollars": f"${by:.2g}"}[self.unit]
        if math.isnan(self.chance):
            return f"missed by {size}"
        if self.chance <= level:
            return f"missed by {size}, beyond chance"
        return f"missed by {size}; " + (
            "it may be chance" if self.chance > UNLIKELY else f"unlikely to be chance (p = {self.chance:.1g})"
        )

    @property
    def bound(self) -> str:
        """The target with its side.

        >>> Objective("latency p99", "seconds", target=10, measured=12.5, cases=40).bound
        '≤ 10 s'
        """
        return "" if math.isnan(self.target) else f"{'≥' if self.unit == 'share' else '≤'} {self.format(self.target)}"

    def format(self, amount: float) -> str:
        """An amount in the objective's unit.

        >>> Objective("cost per case", "dollars", 0.01, 0.0042, 9).format(0.0042)
        '$0.0042'
        """
        if math.isnan(amount):
            return "–"
        return {"share": f"{amount:.1%}", "seconds": f"{amount:.3g} s", "dollars": f"${amount:.4f}"}[self.unit]


@dataclass(frozen=True, slots=True)
class Service:
    """The objectives over a stretch of time."""

    days: int | None  # length of the window that the budgets are for; None: all that there is
    span: tuple[date | None, date | None]  # first and last day with a case
    cases: int
    objectives: tuple[Objective, ...]


def measurements(decisions: "Iterable[Decided]", answers: "Mapping[str, Answer]") -> Iterator[Measurement]:
    """One for every decided case, with what people have said of it since."""
    for one in decisions:
        answer = answers.get(one.case.key)
        yield Measurement(
            acted=one.decision.route is Route.ACT,
            seconds=one.seconds,
            dollars=one.decision.dollars,
            right={name: right for name, right in answer.right.items() if name in one.decision.automated} if answer else {},
            received=one.case.day,
            decided=datetime.fromisoformat(one.at).date() if one.at else None,
        )


def service(cases: Iterable[Measurement], slo: SLO, fields: Sequence[str], days: int = WINDOW) -> tuple[Service, Service]:
    """The objectives over the last `days`, and over everything.

    A case counts on the day it was received; where fewer than half have such a day, on the day it was decided.

    >>> seen = [Measurement(True, 0.2, 0.0, {"total": n > 0}, date(2026, 9, 1 + n)) for n in range(15)]
    >>> lately, always = service(seen, SLO(precision=0.9, confidence=0.95), ["total"])
    >>> for one in lately.objectives:
    ...     print(f"{one.name}: {one.format(one.measured)} of {one.cases}, spent {one.spent:.2f}, burn {one.burn:.2f}")
    automation rate: 100.0% of 15, spent 0.00, burn 0.00
    precision of total: 93.3% of 15, spent 0.33, burn 0.67
    latency p50: 0.2 s of 15, spent nan, burn nan
    latency p99: 0.2 s of 15, spent 0.00, burn 0.00
    cost per case: $0.0000 of 15, spent 0.00, burn 0.00
    >>> [round(one.spent, 2) for one in always.objectives if one.name == "precision of total"]
    [0.67]
    """
    cases = list(cases)
    by_decision = 2 * sum(one.received is not None for one in cases) < len(cases)
    dated = [(day, one) for one in cases if (day := one.decided if by_decision else one.received)]
    first, last = min((day for day, _ in dated), default=None), max((day for day, _ in dated), default=None)
    lately, begin, gone = [one for day, one in dated if last and (last - day).days < days], None, math.nan
    if first and last:
        begin = min(day for day, _ in dated if (last - day).days < days)
        gone = min(1.0, ((last - first).days + 1) / days)
    return (
        Service(days, (begin, last), len(lately), tuple(_objectives(lately, slo, fields, gone))),
        Service(None, (first, last), len(cases), tuple(_objectives(cases, slo, fields, 1.0))),
    )


def binomial_cdf(right: int, of: int, rate: float) -> float:
    """Probability of at most `right` successes among `of` when each has probability `rate`. Without cases: `nan`.

    >>> round(binomial_cdf(95, 100, 0.98), 4), binomial_cdf(3, 3, 1.0), binomial_cdf(2, 3, 1.0), binomial_cdf(0, 0, 0.5)
    (0.0508, 1.0, 0.0, nan)
    """
    if not of:
        return math.nan
    if right >= of or rate <= 0:
        return 1.0
    if rate >= 1:
        return 0.0
    total, scale = 0.0, math.lgamma(of + 1)
    for k in range(right, -1, -1):  # downwards: past the peak each term is smaller than the one before
        log_choose = scale - math.lgamma(k + 1) - math.lgamma(of - k + 1)
        term = math.exp(log_choose + k * math.log(rate) + (of - k) * math.log1p(-rate))
        total += term
        if k < of * rate and term < 1e-17 * total:
            break
    return min(1.0, total)


def _objectives(cases: Sequence[Measurement], slo: SLO, fields: Sequence[str], gone: float) -> Iterator[Objective]:
    yield _share("automation rate", [one.acted for one in cases], slo.automation_rate, gone)
    for name in fields:
        yield _share(f"precision of {name}", [one.right[name] for one in cases if name in one.right], slo.precision, gone)
    seconds = sorted(one.seconds for one in cases if one.seconds == one.seconds)
    yield Objective("latency p50", "seconds", math.nan, _rank(seconds, 0.50), len(seconds))
    in_time = _share("latency p99", [one <= slo.latency_p99_seconds for one in seconds], 0.99, gone)
    nothing = (math.nan, math.nan)
    yield replace(in_time, unit="seconds", target=slo.latency_p99_seconds, measured=_rank(seconds, 0.99), interval=nothing)
    yield _cost([one.dollars for one in cases if one.dollars == one.dollars], slo.cost_per_case, gone)


def _share(name: str, good: Sequence[bool], target: float, gone: float) -> Objective:
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
        spent=burn * gone,
        burn=burn,
        chance=binomial_cdf(sum(good), len(good), target),
    )


def _cost(dollars: Sequence[float], target: float, gone: float) -> Objective:
    mean = sum(dollars) / len(dollars) if dollars else math.nan
    cost = Objective("cost per case", "dollars", target, mean, len(dollars), budget=target * len(dollars))
    return replace(cost, spent=_burn(mean, target) * gone, burn=_burn(mean, target)) if dollars else cost


def _burn(used: float, budget: float) -> float:
    """
    >>> _burn(0.04, 0.02), _burn(0.0, 0.0), _burn(0.1, 0.0)
    (2.0, 0.0, inf)
    """
    return used / budget if budget else math.inf if used else used


def _rank(ordered: Sequence[float], share: float) -> float:
    """Nearest rank: the least value that this share of them does not exceed.

    >>> _rank([1.0, 2.0, 3.0, 4.0], 0.5), _rank([1.0, 2.0], 0.99), _rank([], 0.5)
    (2.0, 2.0, nan)
    """
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan
