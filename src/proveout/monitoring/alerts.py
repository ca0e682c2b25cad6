"""When to alarm: the false-alarm rates and thresholds of `monitoring/alerts.yaml`. Entry point: `load`.

Covered: unknown keys (the error suggests the nearest known key), values out of range.
Not covered: sending alarms. `channels` does that.
"""

from pathlib import Path
from typing import Any, Literal
from zoneinfo import available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from proveout import plugins
from proveout.errors import BadInput, hint
from proveout.records import Role

SEVERITIES = ("info", "warning", "critical")
CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"  # a time of the day, such as 20:00


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WindowAlerts(_Strict):
    by: Literal["day", "week", "count"] = "week"
    at_least: int = Field(default=30, ge=1)  # cases; a shorter window grows by whole days until it has that many
    count: int = Field(default=100, ge=1)  # cases per window if `by` is count
    like: Literal["all", "weekday", "month"] = "all"  # cases of the reference that a window is compared with
    warm_up: int = Field(default=0, ge=0)  # cases of a new release whose decisions are not tested for drift


class DriftAlerts(_Strict):
    false_alarm_rate: float = Field(default=0.05, gt=0, lt=1)  # P(any false alarm), over all columns and `over_windows` windows
    over_windows: int = Field(default=52, ge=1)  # a year of weeks
    smallest_change: float = Field(default=0.10, ge=0, le=1)  # in the share of cases; smaller changes do not alarm
    ignore: tuple[str, ...] = ()  # columns that are expected to drift


class BiasAlerts(_Strict):
    false_alarm_rate: float = Field(default=0.05, gt=0, lt=1)  # P(any false alarm), over all segments and measures of a report
    smallest_difference: float = Field(default=0.05, ge=0, le=1)
    smallest_group: int = Field(default=20, ge=2)  # cases; smaller groups are neither judged nor shown
    by: tuple[str, ...] = ("segment",)  # columns whose groups must not be treated worse


class SliceAlerts(_Strict):
    false_alarm_rate: float = Field(default=0.05, gt=0, lt=1)  # P(any false alarm), over all slices and measures of a report
    smallest_difference: float = Field(default=0.05, ge=0, le=1)  # from all other cases, and from the same difference before
    smallest_group: int = Field(default=20, ge=2)  # cases of a slice
    ignore: tuple[str, ...] = ()  # columns that are no conditions


class PerformanceAlerts(_Strict):
    false_alarm_rate: float = Field(default=0.05, gt=0, lt=1)  # P(any false alarm), over all fields and `over_windows` windows


class SigningAlerts(_Strict):
    role: Role = Role.REVIEWER  # who may sign a report; a higher role may, too
    signatures: int = Field(default=1, ge=1, le=9)  # of different people
    cases: int = Field(default=5, ge=0, le=20)  # to read because of a report
    blind: int = Field(default=2, ge=0, le=20)  # of those, answered cases that whoever signs reads again, blind
    within_days: int = Field(default=7, ge=0)  # after that, an unsigned report with findings is an alarm


class Rule(_Strict):
    """What a finding leads to at once; see `rules`."""

    finding: str  # pattern of the finding's key, such as "precision of *", "segment regional" or "drift of *"
    severity: Literal["info", "warning", "critical"] = "warning"
    owner: str = ""  # whom the alarm names
    then: Literal["nothing", "stricter threshold", "review only", "stop"] = "nothing"
    at_least: float | None = Field(default=None, gt=0.5, lt=1)  # confidence, for a stricter threshold

    @model_validator(mode="after")
    def _a_threshold_says_how_strict(self) -> "Rule":
        if (self.then == "stricter threshold") != (self.at_least is not None):
            raise ValueError("`at_least`, such as 0.995, belongs to `then: stricter threshold`, and to nothing else")
        return self


class QuietAlerts(_Strict):
    start: str = Field(default="00:00", pattern=CLOCK)  # equal start and end: no quiet hours
    end: str = Field(default="00:00", pattern=CLOCK)
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()  # quiet all day
    zone: str = "UTC"

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"no time zone {zone!r}; {hint(zone, available_timezones())}")
        return zone


class LabellingAlerts(_Strict):
    cases: int = Field(default=40, ge=1, le=1000)  # to ask people for, because of a finding
    judging: float = Field(default=0.5, ge=0, le=1)  # share of them, drawn by chance, that only judges the next release


class Alerts(_Strict):
    window: WindowAlerts = WindowAlerts()
    drift: DriftAlerts = DriftAlerts()
    bias: BiasAlerts = BiasAlerts()
    slices: SliceAlerts = SliceAlerts()
    performance: PerformanceAlerts = PerformanceAlerts()
    signing: SigningAlerts = SigningAlerts()
    labelling: LabellingAlerts = LabellingAlerts()
    rules: tuple[Rule, ...] = ()  # the first that fits a finding counts
    quiet: QuietAlerts = QuietAlerts()  # when only critical alarms are sent
    channels: dict[str, dict[str, Any]] = Field(
        default={"file": {"path": "alarms.jsonl"}}
    )  # where alarms go: channel to settings

    @field_validator("channels")
    @classmethod
    def _channels_are_known(cls, channels: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, settings in channels.items():
            try:
                plugins.find("channels", name).Settings.model_validate(settings)
            except ValidationError as error:
                fault = error.errors()[0]
                raise ValueError(f"{name}.{'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()}") from None
            except BadInput as error:
                raise ValueError(str(error)) from None
        return channels


def load(path: Path | str) -> Alerts:
    """Read an `alerts.yaml`. An empty file means the defaults.

    Raises BadInput with the file, the key and what is accepted.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); the one that ships is monitoring/alerts.yaml") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{path}: not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise BadInput(f"{path}: expected keys such as `drift: {{false_alarm_rate: 0.05}}`, found {type(raw).__name__}")
    try:
        return Alerts.model_validate(raw)
    except ValidationError as error:
        raise BadInput("\n".join(f"{path}: {_explain(fault)}" for fault in error.errors())) from error


def _explain(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return f"`{place}`: {fault['msg'].lower()}; found {fault['input']!r}"
    *parents, key = fault["loc"]
    model: type[BaseModel] = Alerts
    for parent in parents:
        if isinstance(parent, int):  # of a list
            continue
        inner = model.model_fields[str(parent)].annotation
        inner = Rule if inner == tuple[Rule, ...] else inner
        assert isinstance(inner, type) and issubclass(inner, BaseModel)
        model = inner
    return f"unknown key `{place}`; {hint(str(key), model.model_fields)}"
