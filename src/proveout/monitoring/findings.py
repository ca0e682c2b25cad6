"""What a report says, as frozen data. `compare` makes it; `write` prints it; nothing here computes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from proveout.evaluation import Service
from proveout.monitoring.alerts import Alerts
from proveout.monitoring.significance import Interval
from proveout.monitoring.wording import Moment, capital, column_said, day_said, event_said

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Window:
    """A stretch of the log: whole days, or a number of cases."""

    start: Moment
    end: Moment
    cases: int
    tested: bool  # False: still too few cases to look at


@dataclass(frozen=True)
class Condition:
    """Something that is true of a case or not, such as `gross_amount above 4,200`. Drift is a change of its share."""

    column: str
    relation: str  # "above", "at most", "is"
    value: float | str

    def __str__(self) -> str:
        """
        >>> print(Condition("gross_amount", "above", 4200.0))
        cases with a gross_amount above 4,200
        """
        return event_said(self.column, self.relation, self.value)

    def holds(self, features: "DataFrame") -> "DataFrame":
        """1.0 where it is true, 0.0 where not, `nan` where the column has no value."""
        values = features[self.column]
        if self.relation == "is":
            true = values == self.value
        else:
            true = values > self.value if self.relation == "above" else values <= self.value
        return true.astype(float).where(values.notna(), math.nan)


@dataclass(frozen=True)
class Example:
    """A case that shows a finding well."""

    case: str
    day: Moment | None
    because: tuple[str, ...]  # what is new about it


@dataclass(frozen=True)
class Drift:
    """One column whose distribution is another one than in the reference."""

    what: str
    event: Condition  # the single event whose share changed most
    since: Moment
    since_between: tuple[Moment, Moment]  # those that are nearly as likely
    until: Moment | None  # None: it lasts to the end of the log
    p: float  # corrected for all columns and windows; compare with the false-alarm rate
    effect: float  # change in the event's share, 0..1
    before: float  # share before `since`, the reference included
    after: float
    cases_after: int
    alarmed: Moment  # end of the first window that alarmed
    from_start: bool = False  # it may hold since the log's beginning: then the log never was like the reference
    examples: tuple[Example, ...] = ()

    @property
    def subject(self) -> str:
        """What the column is, in words."""
        return column_said(self.what)

    @property
    def when(self) -> str:
        """Since when, and until when."""
        first = "first case" if isinstance(self.since, int) else f"first day, {day_said(self.since)}"
        began = f"from the log's {first}" if self.from_start else f"since {day_said(self.since)}"
        return began + (f", until {day_said(self.until)}" if self.until else "")

    @property
    def sentence(self) -> str:
        """What changed and since when, for a person."""
        before = "in the reference" if self.from_start else "before"
        return f"{capital(str(self.event))}: {self.before:.0%} {before}, {self.after:.0%} {self.when}"


@dataclass(frozen=True)
class Test:
    """One column, looked at once: a window, or the last two, four, eight ... windows together, against the reference."""

    column: str
    window: int  # the last one, index into Findings.windows
    windows: int  # how many together
    p: float  # corrected
    effect: float
    event: Condition


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
    interval: Interval = (math.nan, math.nan)  # of the difference; all intervals of a report hold together
    p: float = math.nan  # corrected for all looks, segments and measures
    worse: bool = False  # treated worse, surely and by enough to matter
    because: str = ""  # one sentence
    lately: Moment | None = None  # the numbers are of the cases from this day on; None: of the whole log
    reference_difference: float = math.nan  # the same difference in the reference
    since: Moment | None = None  # when the segment's own rate changed; None: it did not, or that cannot be told
    examples: tuple[Example, ...] = ()  # up to ten cases of the segment to read, where it is worse off


@dataclass(frozen=True)
class FieldPerformance:
    """Precision among automated values of one field, as far as labels have arrived."""

    field: str
    window: int | None  # None: the whole log
    automated: int
    labelled: int  # of the automated ones
    right: int
    precision: float
    interval: Interval
    p: float = math.nan  # of the promise being kept, corrected; only for the whole log
    broken: bool = False
    answered: int = 0  # labelled answers, automated or not
    answered_right: int = 0


@dataclass(frozen=True)
class Findings:
    mission: str
    releases: tuple[str, ...]  # that decided the log
    alerts: Alerts
    promised_precision: float
    reference_days: tuple[date | None, date | None]
    reference_cases: int
    days: tuple[date | None, date | None]
    cases: int
    labelled: int  # cases of which a person has said anything
    without_day: int  # cases
    windows: tuple[Window, ...]
    columns: tuple[str, ...]  # that were compared
    tests: tuple[Test, ...]
    drifted: tuple[Drift, ...]  # surest first
    disparities: tuple[Disparity, ...]
    performance: tuple[FieldPerformance, ...]
    service: tuple[Service, Service]  # the objectives over the last days, and over the whole log
    sure_below: float  # a miss of an objective that is less likely by chance counts as sure
    examples: tuple[Example, ...]  # the three cases that show the drift best
    advice: tuple[str, ...]
    reference_features: "DataFrame" = field(repr=False, compare=False)
    features: "DataFrame" = field(repr=False, compare=False)  # one row a dated case, in time order
    case_days: tuple[Moment, ...] = field(repr=False, compare=False)  # of the rows of `features`
    outcomes: Mapping[str, "DataFrame"] = field(repr=False, compare=False)  # "reference" and "log": what bias is measured on

    def since(self, day: Moment | None) -> "DataFrame":
        """The features of the cases from that day on; of all, without a day."""
        return self.features if day is None else self.features[[one >= day for one in self.case_days]]  # type: ignore[operator]

    @property
    def by_number(self) -> bool:
        """Whether the windows go by the number of cases, because few cases have a day."""
        return any(isinstance(one, int) for one in self.case_days[:1])

    @property
    def about_days(self) -> str:
        """What the report does with cases that have no day, in one sentence; "" where every case has one."""
        if not self.without_day:
            return ""
        if not self.by_number:
            return f"{self.without_day} of {self.cases} cases have no day; they count for the segments, not for drift."
        few = "No case has a day" if self.without_day == self.cases else "Fewer than half of the cases have a day"
        return f"{few}: time is counted in cases, in the order in which they were decided, {self.alerts.window.count} a window."

    @property
    def before_the_log(self) -> bool:
        """Whether the reference is of an earlier time than the log; True where either has no days."""
        last, first = self.reference_days[1], self.days[0]
        return last is None or first is None or last <= first

    @property
    def worse_off(self) -> tuple[Disparity, ...]:
        return tuple(one for one in self.disparities if one.worse)

    @property
    def broken(self) -> tuple[FieldPerformance, ...]:
        return tuple(one for one in self.performance if one.broken)

    @property
    def doubtful(self) -> tuple[FieldPerformance, ...]:
        """Fields below the promise over the whole log, but not surely."""
        whole = (one for one in self.performance if one.window is None and not one.broken)
        return tuple(one for one in whole if one.precision < self.promised_precision)
