"""What a report says, as frozen data. `compare` computes it and `write` prints it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from proveout.evaluation import Service
from proveout.monitoring.alerts import Alerts
from proveout.monitoring.significance import Interval
from proveout.monitoring.wording import RATES, Moment, capital, condition_text, day_text, listed, p_text, percent, promised

if TYPE_CHECKING:
    from pandas import DataFrame, Series  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Window:
    """A stretch of the log: whole days, or a number of cases."""

    start: Moment
    end: Moment
    cases: int
    tested: bool  # False: too few cases so far
    releases: tuple[str, ...] = ()  # ids of those that decided its cases, the first one first


@dataclass(frozen=True)
class Condition:
    """A yes-or-no condition on a case, such as `gross_amount above 4,200`. Drift is a change in the share that meets it."""

    column: str
    relation: str  # "above", "at most", "is"
    value: float | str
    cases: str = field(default="cases", compare=False)  # what the mission's cases are called, such as documents

    def __str__(self) -> str:
        """
        >>> print(Condition("gross_amount", "above", 4200.0))
        cases with a gross_amount above 4,200
        """
        return condition_text(self.column, self.relation, self.value, self.cases)

    def holds(self, features: "DataFrame") -> "Series":
        """1.0 where the condition is met, 0.0 where not, `nan` where the column has no value."""
        values = features[self.column]
        if self.relation == "is":
            met = values == self.value
        else:
            met = values > self.value if self.relation == "above" else values <= self.value
        return met.astype(float).where(values.notna(), math.nan)


@dataclass(frozen=True)
class Example:
    """A case that illustrates a finding."""

    case: str
    day: Moment | None
    because: tuple[str, ...]  # what it shows, a phrase each


@dataclass(frozen=True)
class Drift:
    """A column whose distribution differs from the reference."""

    what: str  # the column
    condition: Condition  # the one whose share changed most
    since: Moment
    since_between: tuple[Moment, Moment]  # range of likely change points
    until: Moment | None  # None: it lasts to the end of the log
    p: float  # corrected for all columns and windows; compare with the false-alarm rate
    effect: float  # change in the share, 0..1
    before: float  # share before `since`, the reference included
    after: float
    cases_after: int
    alarmed: Moment  # end of the first window that alarmed
    release: str = ""  # id of one that began to decide when this likely began; "" for none
    from_start: bool = False  # the change dates from the start of the log: no part of the log matched the reference
    examples: tuple[Example, ...] = ()

    @property
    def when(self) -> str:
        """Since when, and until when if it ended."""
        first = "first case" if isinstance(self.since, int) else f"first day, {day_text(self.since)}"
        began = f"from the log's {first}" if self.from_start else f"since {day_text(self.since)}"
        return began + (f", until {day_text(self.until)}" if self.until else "")

    @property
    def sentence(self) -> str:
        """What changed and since when."""
        before = "in the reference" if self.from_start else "before"
        return f"{capital(str(self.condition))}: {percent(self.before)} {before}, {percent(self.after)} {self.when}"


@dataclass(frozen=True)
class Test:
    """One test of one column: a window, or the last two, four, eight ... windows together, against the reference."""

    column: str
    window: int  # the last window, index into Findings.windows
    windows: int  # number of windows together
    p: float  # as tested; `drift.run_tests` corrects it for all tests of the window
    effect: float
    condition: Condition


@dataclass(frozen=True)
class Disparity:
    """One measure of one segment against all other cases. `nan` where a group is too small to be shown."""

    by: str  # the column that names the groups
    segment: str
    measure: str
    value: float = math.nan
    other: float = math.nan
    cases: int = 0
    other_cases: int = 0
    difference: float = math.nan  # value - other
    ratio: float = math.nan  # value / other
    ratio_interval: Interval = (math.nan, math.nan)  # simultaneous, as `interval`
    interval: Interval = (math.nan, math.nan)  # of the difference; simultaneous over all intervals of a report
    p: float = math.nan  # corrected for all looks, segments and measures
    worse: bool = False  # treated worse: significant, and at least `smallest_difference`
    because: str = ""  # one sentence
    lately: Moment | None = None  # the numbers cover cases from this day on; None: the whole log
    reference_difference: float = math.nan  # the same difference in the reference
    since: Moment | None = None  # when the segment's own rate changed; None: no clear change
    examples: tuple[Example, ...] = ()  # up to ten cases of the segment to read, where it is treated worse

    @property
    def sentence(self) -> str:
        """The difference with its p-value, and when the segment's own rate changed."""
        changed = f"; its rate changed about {day_text(self.since)}" if self.since else ""
        return f"{capital(self.because)}{changed} ({p_text(self.p)})."


@dataclass(frozen=True)
class Slice:
    """The cases that meet one or two conditions and fare worse than all others by one measure."""

    conditions: tuple[Condition, ...]
    measure: str  # "review rate", or as in Disparity
    value: float
    other: float
    cases: int
    other_cases: int
    interval: Interval  # of value - other; simultaneous over all slices and measures
    p: float  # corrected for the search and for all measures
    reference_difference: float = math.nan  # the same difference in the reference; `nan` with too few cases
    examples: tuple[Example, ...] = ()  # up to ten of its cases to read

    @property
    def difference(self) -> float:
        return self.value - self.other

    @property
    def name(self) -> str:
        """
        >>> about = dict(measure="", value=1, other=0, cases=1, other_cases=1, interval=(0, 1), p=0)
        >>> print(Slice((Condition("document_class", "is", "order"), Condition("total", "above", 9.0)), **about).name)
        cases of class order, with a total above 9
        """
        first, *others = map(str, self.conditions)
        return ", ".join([first, *(other.partition(" ")[2] for other in others)])

    def holds(self, features: "DataFrame") -> "NDArray[np.bool_]":
        """Which rows of the features are in it."""
        member: NDArray[np.bool_] = np.all([one.holds(features).to_numpy() == 1 for one in self.conditions], axis=0)
        return member

    @property
    def key(self) -> str:
        """The same from report to report, although the numbers at which a column is cut move."""
        what = " and ".join(f"{one.column} {one.value if one.relation == 'is' else one.relation}" for one in self.conditions)
        return f"slice by {self.measure}: {what}"

    @property
    def sentence(self) -> str:
        numbers = RATES[self.measure].format(self.value, self.other).replace("%", " %")
        return f"{capital(self.name)}: {numbers} ({p_text(self.p)})."


@dataclass(frozen=True)
class FieldPerformance:
    """Precision of the automated values of one field, from the labels so far."""

    field: str
    window: int | None  # None: the whole log
    automated: int
    labelled: int  # automated values with a label
    right: int
    precision: float
    interval: Interval
    target: float  # promised by the releases that decided the cases with such a label; their mean, if they differ
    p: float = math.nan  # of precision on target, corrected; only for the whole log
    broken: bool = False  # under the target, beyond chance
    answered: int = 0  # labelled answers, automated or not
    answered_right: int = 0
    expected: float = math.nan  # precision of all automated values, with and without a label, by their confidence
    expected_interval: Interval = (math.nan, math.nan)  # 95 %


@dataclass(frozen=True)
class Promise:
    """A precision that cases were promised."""

    precision: float
    releases: tuple[str, ...]  # ids of those that promised it, the first one first; "" where the log does not say
    cases: int


@dataclass(frozen=True)
class Absent:
    """A field or a column that a release did not have, so that its cases are left out where that is compared."""

    column: str
    release: str  # its id
    cases: int  # that it decided
    field: bool


@dataclass(frozen=True)
class Stake:
    """What automation puts at stake in a group of cases, by confidence and by the labels so far. Money in dollars."""

    group: str
    cases: int
    automated: int  # values
    expected: float  # share of right ones among them, by their confidence
    expected_interval: Interval  # 95 %
    labelled: int  # automated values with a label
    right: int
    interval: Interval  # of their share that is right, 95 %
    spent: float  # by actions that were allowed without a person; `nan` if the log does not say
    at_risk: float  # of that, expected to rest on a wrong value
    at_risk_interval: Interval  # 95 %
    judged_spent: float  # of cases with a label for every required field
    judged_at_risk: float
    lost: float  # of those, what rested on a wrong value


@dataclass(frozen=True)
class Reliability:
    """The calibration of one field's values from one tier, and what people changed of those that came to them."""

    field: str
    tier: str  # "" if the log does not say
    labelled: int  # values with a calibrated confidence and a label
    confidence: float  # their mean; `nan` without any
    right: int
    interval: Interval  # of the share that is right, at a level shared by all rows
    fits: str  # "fits", "too high", "too low" or "too few labels", of the confidence
    seen: int  # labelled values that were not automated
    changed: int  # of those, the wrong ones


@dataclass(frozen=True)
class Findings:
    mission: str
    releases: tuple[str, ...]  # ids of the releases that decided the log
    alerts: Alerts
    promises: tuple[Promise, ...]  # what the cases were promised, the most cases first
    absent: tuple[Absent, ...]
    mission_precision: float  # what the mission promises now, for the next release
    reference_days: tuple[date | None, date | None]
    reference_cases: int
    days: tuple[date | None, date | None]
    cases: int
    labelled: int  # cases with any label
    without_day: int  # cases
    windows: tuple[Window, ...]
    columns: tuple[str, ...]  # compared
    tests: tuple[Test, ...]
    drifted: tuple[Drift, ...]  # smallest p first
    disparities: tuple[Disparity, ...]
    odds: tuple[Disparity, ...]  # equalised odds of automation; no alarms
    slices: tuple[Slice, ...]  # that fare worse: of each measure the worst
    performance: tuple[FieldPerformance, ...]
    stakes: tuple[Stake, ...]  # all cases, then each segment
    reliability: tuple[Reliability, ...]
    service: tuple[Service, Service]  # the objectives over the last days, and over the whole log
    significance_level: float  # of a missed objective
    examples: tuple[Example, ...]  # the three cases that illustrate the drift best
    advice: tuple[str, ...]
    reference_features: "DataFrame" = field(repr=False, compare=False)
    features: "DataFrame" = field(repr=False, compare=False)  # one row a dated case, in time order
    case_days: tuple[Moment, ...] = field(repr=False, compare=False)  # of the rows of `features`
    outcomes: Mapping[str, "DataFrame"] = field(repr=False, compare=False)  # "reference" and "log": what bias is measured on

    def since(self, day: Moment | None) -> "DataFrame":
        """The features of the cases from that day on, or of all cases without a day."""
        return self.features if day is None else self.features[[moment >= day for moment in self.case_days]]  # type: ignore[operator]

    @property
    def about_absent(self) -> tuple[str, ...]:
        """What releases did not have, a sentence for each release."""
        sentences = []
        for release, cases in dict.fromkeys((row.release, row.cases) for row in self.absent):
            rows = [row for row in self.absent if (row.release, row.cases) == (release, cases)]
            parts = []
            for kind, is_field in (("field", True), ("column", False)):
                if names := [row.column for row in rows if row.field == is_field]:
                    parts.append(f"the {kind}{'s' * (len(names) > 1)} {listed(names)}")
            its = {0: "it is compared once a release has it", 1: "its case is left out of that comparison"}
            then = its.get(cases, f"its {cases} cases are left out of that comparison")
            sentences.append(f"Release {release[:12]} did not have {' or '.join(parts)}: {then}. That is no drift.")
        return tuple(sentences)

    @property
    def by_number(self) -> bool:
        """Whether time is counted in cases, because few cases have a day."""
        return any(isinstance(moment, int) for moment in self.case_days[:1])

    @property
    def about_days(self) -> str:
        """How the report treats cases without a day, in one sentence; "" if all cases have one."""
        if not self.without_day:
            return ""
        if not self.by_number:
            return f"{self.without_day} of {self.cases} cases have no day; they count for segments, not for drift."
        few = "No case has a day" if self.without_day == self.cases else "Fewer than half of the cases have a day"
        return f"{few}: time is counted in cases, in the order of their decisions, {self.alerts.window.count} a window."

    @property
    def before_the_log(self) -> bool:
        """Whether the reference ends before the log starts; True if either has no days."""
        last, first = self.reference_days[1], self.days[0]
        return last is None or first is None or last <= first

    @property
    def worse_off(self) -> tuple[Disparity, ...]:
        return tuple(disparity for disparity in self.disparities if disparity.worse)

    @property
    def broken(self) -> tuple[FieldPerformance, ...]:
        return tuple(row for row in self.performance if row.broken)

    @property
    def doubtful(self) -> tuple[FieldPerformance, ...]:
        """Fields under the target over the whole log, where it may be chance."""
        whole = (row for row in self.performance if row.window is None and not row.broken)
        return tuple(row for row in whole if row.precision < row.target)

    @property
    def promised(self) -> str:
        """The target of precision and, if there are several, which release promised which; what the mission says now."""
        parts = []
        for row in self.promises:
            whom = " and ".join(release[:12] for release in row.releases if release)
            which = f" by release {whom}" if whom and self.promises[1:] else ""
            cases = f" ({row.cases} {'case' if row.cases == 1 else 'cases'})" if self.promises[1:] else ""
            parts.append(f"{promised(row.precision)}{which}{cases}")
        text = listed(parts)
        if self.promises[1:]:
            text += ", each case by the release that decided it; a field's target is their mean over its labelled values"
        if self.mission_precision not in [row.precision for row in self.promises]:
            text += f"; mission.yaml now says {promised(self.mission_precision)}, for the next release"
        return text
