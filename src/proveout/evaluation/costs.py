"""What a case costs: models, computing, storage and people's time; and what a number of cases will cost. Entry point: `costs`.

    models     what language models cost, as each decision records it
    computing  its share of the seconds that its batch took, at a price an hour
    storage    its file and its events in the journal, for a year
    people     minutes from opening the case on the review page until it was answered, at a price an hour

A case that was answered elsewhere (labels from a file, an API) has no measured minutes; `minutes` says what to assume for it.
Covered: averages, the 95th percentile, groups, a forecast with its interval (days are drawn with replacement).
Not covered: training, idle servers, the counterparty's fees; a person who opens a case and goes to lunch counts at most `MOST`.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from proveout.journal import APPROVAL, ASSIGNMENT, LABEL, Event, Journal
from proveout.journal.codec import canonical
from proveout.records import Decided, Route

MOST = 60.0  # minutes at a case
SAMPLES = 2_000
KINDS = ("people", "models", "computing", "storage")
GROUPS = ("route", "tier", "segment", "class")


@dataclass(frozen=True)
class Prices:
    """In dollars."""

    person_hour: float = 40.0
    machine_hour: float = 0.10  # two cores in a cloud
    gigabyte_year: float = 0.28


@dataclass(frozen=True)
class CaseCost:
    """One decided turn of a case. Dollars by kind, see KINDS."""

    case: str
    day: str  # received, or decided; ISO 8601
    groups: Mapping[str, str]  # see GROUPS
    dollars: Mapping[str, float]
    minutes: float  # of people
    measured: bool  # whether the minutes are measured, or nobody was needed

    @property
    def total(self) -> float:
        return sum(self.dollars.values())


@dataclass(frozen=True)
class Forecast:
    """Dollars for a number of cases, with a 95 % interval."""

    cases: int
    dollars: float
    interval: tuple[float, float]


@dataclass
class _Work:
    """What was done at a case besides deciding it."""

    bytes: int = 0
    minutes: float = 0.0
    answered: bool = False
    opened: dict[str, str] = field(default_factory=dict)  # person to time


def costs(journal: Journal, size: Callable[[Decided], int], prices: Prices, minutes: float) -> list[CaseCost]:
    """The cost of every decided turn, in the order in which they were decided.

    `size`: bytes of a case's file. `minutes`: of a person, for a case that needed one and whose time was not measured.
    """
    decisions = list(journal.decisions())
    batches = Counter((decided.run, decided.at) for decided in decisions)
    work = _work(journal.events())
    return [
        _cost(decided, batches[decided.run, decided.at], work.get(decided.case.id, _Work()), size(decided), prices, minutes)
        for decided in decisions
    ]


def _work(events: Iterable[Event]) -> dict[str, _Work]:
    """By case."""
    work: dict[str, _Work] = {}
    for event in events:
        if not event.case:
            continue
        its, by = work.setdefault(event.case, _Work()), event.payload.get("by", "")
        its.bytes += len(canonical(event.payload))
        if event.kind == ASSIGNMENT and event.payload["to"] == by:
            its.opened.setdefault(by, event.at)
        elif event.kind in (LABEL, APPROVAL):
            its.answered = True
            if opened := its.opened.pop(by, ""):
                passed = datetime.fromisoformat(event.at) - datetime.fromisoformat(opened)
                its.minutes += min(MOST, passed.total_seconds() / 60)
    return work


def _cost(decided: Decided, in_batch: int, work: _Work, size: int, prices: Prices, assumed: float) -> CaseCost:
    needed = decided.decision.route is Route.REVIEW
    measured = not needed or work.minutes > 0
    minutes = work.minutes if measured else assumed
    dollars = {
        "people": minutes / 60 * prices.person_hour,
        "models": decided.decision.dollars,
        "computing": decided.seconds / in_batch / 3600 * prices.machine_hour,
        "storage": (size + work.bytes) / 1e9 * prices.gigabyte_year,
    }
    groups = {
        "route": decided.decision.route.value,
        "tier": ", ".join(sorted({output.tier for output in decided.decision.fields.values()})) or "none",
        "segment": decided.case.segment or "none",
        "class": decided.decision.document_class or "none",
    }
    day = decided.case.day.isoformat() if decided.case.day else decided.at[:10]
    return CaseCost(decided.case.id, day, groups, dollars, minutes, measured)


def grouped(cases: Sequence[CaseCost], by: str) -> Iterator[tuple[str, list[CaseCost]]]:
    """The groups of one of GROUPS, the dearest in all first."""
    groups: dict[str, list[CaseCost]] = {}
    for one in cases:
        groups.setdefault(one.groups[by], []).append(one)
    yield from sorted(groups.items(), key=lambda group: -sum(one.total for one in group[1]))


def mean(cases: Sequence[CaseCost], kind: str = "") -> float:
    """Dollars a case, in all or of one kind; `nan` without cases."""
    return sum(one.dollars[kind] if kind else one.total for one in cases) / len(cases) if cases else math.nan


def dollars(amount: float) -> str:
    """
    >>> dollars(1234.5), dollars(0.0000123), dollars(0)
    ('$1,234.50', '$0.000012', '$0')
    """
    if amount >= 0.01 or not amount:
        return f"${amount:,.2f}" if amount else "$0"
    return f"${amount:.{1 - math.floor(math.log10(amount))}f}"


def tail(cases: Sequence[CaseCost], share: float = 0.95) -> float:
    """The cost in dollars that this share of the cases does not exceed; `nan` without cases."""
    return float(np.quantile([one.total for one in cases], share, method="inverted_cdf")) if cases else math.nan


def forecast(cases: Sequence[CaseCost], volume: int) -> Forecast:
    """What so many cases like these will cost. Days are drawn, because the cases of one day resemble each other."""
    days: dict[str, list[float]] = {}
    for one in cases:
        days.setdefault(one.day, []).append(one.total)
    groups = list(days.values()) if len(days) > 1 else [[one.total] for one in cases]
    sums, counts = np.array([sum(group) for group in groups]), np.array([len(group) for group in groups])
    drawn = np.random.default_rng(0).integers(len(groups), size=(SAMPLES, len(groups)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), (0.025, 0.975))
    mean = float(sums.sum() / counts.sum())
    return Forecast(volume, volume * mean, (volume * float(low), volume * float(high)))
