"""The same findings as two Evidently reports: drift, and bias by segment. Imports Evidently (seconds), so import this late.

The verdicts are ours, in Evidently's tables and plots: its own chi-squared test takes a finite reference for the truth and
alarms far more often than it says. `GroupBy` returns the overall value for every group when it is given a quality metric, so
the groups' rates are metrics of our own, which any other Evidently report may use: `SegmentRate`, `SegmentDifference`.
Not covered: a document's own words. Evidently puts values into a script element as they are, so no raw text may reach it.
"""

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("DO_NOT_TRACK", "1")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from evidently import DataDefinition, Dataset, Report  # type: ignore[import-untyped]
    from evidently.core.container import MetricContainer  # type: ignore[import-untyped]
    from evidently.core.metric_types import (  # type: ignore[import-untyped]
        ColumnMetric,
        SingleValue,
        SingleValueCalculation,
        SingleValueMetric,
    )
    from evidently.legacy.calculations.stattests import StatTest, register_stattest  # type: ignore[import-untyped]
    from evidently.legacy.core import ColumnType  # type: ignore[import-untyped]
    from evidently.legacy.renderers.html_widgets import (  # type: ignore[import-untyped]
        CounterData,
        counter,
        plotly_figure,
        table_data,
        text_widget,
    )
    from evidently.presets import DataDriftPreset  # type: ignore[import-untyped]

from proveout.monitoring.bias import GAP, MEASURES
from proveout.monitoring.features import is_number
from proveout.monitoring.findings import Disparity, Findings
from proveout.monitoring.wording import Moment, day_said, group_said

if TYPE_CHECKING:
    from pandas import DataFrame, Series  # type: ignore[import-untyped]


def _verdicts(found: Findings) -> str:
    """The findings as a test of Evidently's, which looks its answer up by the column's name. Returns the test's name."""
    surest: dict[str, float] = {}
    for test in found.tests:
        surest[test.column] = min(test.p, surest.get(test.column, 1.0))
    drifted = {one.what for one in found.drifted}

    def verdict(reference: "Series", current: "Series", feature_type: Any, threshold: float) -> tuple[float, bool]:
        return surest.get(current.name, 1.0), current.name in drifted

    title = "exact test in every window, corrected p"
    test = StatTest("proveout", title, [ColumnType.Numerical, ColumnType.Categorical], found.alerts.drift.false_alarm_rate)
    register_stattest(test, verdict)
    return "proveout"


class DriftAlarm(ColumnMetric, SingleValueMetric):  # type: ignore[misc]
    """The corrected p-value of a column that drifted, over all windows, with what changed and since when."""

    p: float
    sentence: str


class DriftAlarmCalculation(SingleValueCalculation[DriftAlarm]):  # type: ignore[misc]
    def calculate(self, context: Any, current_data: Any, reference_data: Any) -> SingleValue:
        result = self.result(self.metric.p)
        title = f"{self.metric.column}: p = {self.metric.p:.2g}, corrected for all columns and windows"
        result.widget = [counter(counters=[CounterData(label=self.metric.sentence, value=title)])]
        return result

    def display_name(self) -> str:
        return f"{self.metric.column} drifted: {self.metric.sentence}"


class SegmentRate(ColumnMetric, SingleValueMetric):  # type: ignore[misc]
    """Mean of a column in one segment (`inside`) or in all others. Cases without a value do not count.

    Of the log, the cases from the day `since` on; without one, all.
    """

    by: str
    segment: str
    inside: bool = True
    since: str = ""


class SegmentRateCalculation(SingleValueCalculation[SegmentRate]):  # type: ignore[misc]
    def calculate(self, context: Any, current_data: Any, reference_data: Any) -> Any:
        return _both(self, current_data, reference_data, self._rate)

    def _rate(self, frame: "DataFrame") -> float:
        member = frame[self.metric.by] == self.metric.segment
        return float(frame.loc[member if self.metric.inside else ~member, self.metric.column].mean())

    def display_name(self) -> str:
        whom = self.metric.segment if self.metric.inside else f"all but {self.metric.segment}"
        return f"{self.metric.column}, {whom}"


class SegmentDifference(ColumnMetric, SingleValueMetric):  # type: ignore[misc]
    """Mean of a column in one segment minus its mean in all others, of the same cases."""

    by: str
    segment: str
    since: str = ""


class SegmentDifferenceCalculation(SingleValueCalculation[SegmentDifference]):  # type: ignore[misc]
    def calculate(self, context: Any, current_data: Any, reference_data: Any) -> Any:
        return _both(self, current_data, reference_data, self._difference)

    def _difference(self, frame: "DataFrame") -> float:
        member = frame[self.metric.by] == self.metric.segment
        return float(frame.loc[member, self.metric.column].mean() - frame.loc[~member, self.metric.column].mean())

    def display_name(self) -> str:
        return f"{self.metric.column}, {self.metric.segment} minus all others"


def _both(calculation: Any, current: Any, reference: Any, rate: Any) -> Any:
    """The value of the current data, and of the reference where it has one."""
    before = rate(reference.as_dataframe()) if reference is not None else math.nan
    log = current.as_dataframe()
    now = calculation.result(rate(log[log["day"] >= calculation.metric.since]))
    return now if math.isnan(before) else (now, calculation.result(before))


class BySegment(MetricContainer):  # type: ignore[misc]
    """A table and a plot of all segments and measures; inside, a metric for each pair that is large enough to be shown."""

    rows: list[list[str]]
    pairs: list[tuple[str, str, str, str]]  # by, segment, measure, since
    figures: list[tuple[str, str]]  # title, plotly's JSON

    def __init__(self, rows: list[list[str]], pairs: list[tuple[str, str, str, str]], figures: list[tuple[str, str]]) -> None:
        self.rows, self.pairs, self.figures = rows, pairs, figures
        super().__init__(include_tests=False)

    def generate_metrics(self, context: Any) -> Sequence[Any]:
        return [
            metric
            for by, segment, measure, since in self.pairs
            for metric in (
                SegmentRate(column=measure, by=by, segment=segment, since=since),
                SegmentRate(column=measure, by=by, segment=segment, inside=False, since=since),
                SegmentDifference(column=measure, by=by, segment=segment, since=since),
            )
        ]

    def render(self, context: Any, child_widgets: Any = None) -> list[Any]:
        from plotly.io import from_json  # type: ignore[import-untyped]

        header = ["segment", "measure", "it", "all others", "cases", "difference, interval", "ratio", "p, corrected", "verdict"]
        table = table_data(title="Each segment against all other cases", column_names=header, data=self.rows)
        return [table, *(plotly_figure(title=title, figure=from_json(figure)) for title, figure in self.figures)]


def write_drift(found: Findings, html: Path, json: Path) -> None:
    """The log against the reference, column by column: all of it, or what came since the first change."""
    first = min((one.since for one in found.drifted), default=None)
    frames = (found.since(first), found.reference_features)
    shown = [name for name in found.columns if all(frame[name].notna().any() for frame in frames)]  # it fails on empty ones
    current_is = (
        f"the {len(frames[0])} cases since {day_said(first)}, the first change" if first else f"the {found.cases} cases"
    )
    note = f"Current: {current_is}. Reference: {found.reference_cases} cases. The verdicts come from all windows."
    definition = DataDefinition(
        numerical_columns=[name for name in shown if is_number(found.features[name])],
        categorical_columns=[name for name in shown if not is_number(found.features[name])],
    )
    alarms = [DriftAlarm(column=one.what, p=one.p, sentence=one.sentence) for one in found.drifted if one.what in shown]
    any_column = 0.5 / max(1, len(shown))  # one drifted column is drift
    preset = [DataDriftPreset(columns=shown, method=_verdicts(found), drift_share=any_column)] if shown else []
    plain = [frame[shown].reset_index(drop=True) for frame in frames]
    _run([_Note(text=note if shown else "There is nothing to compare."), *alarms, *preset], plain, definition, html, json)


def write_bias(found: Findings, html: Path, json: Path) -> None:
    """Each segment against all others, the reference beside the log."""
    by = list(dict.fromkeys(one.by for one in found.disparities))
    definition = DataDefinition(numerical_columns=list(MEASURES), categorical_columns=[*by, "day"])
    judged = [one for one in found.disparities if not math.isnan(one.value)]
    pairs = [(one.by, one.segment, one.measure, _sortable(one.lately)) for one in judged]
    metrics: list[Any] = [BySegment([_row(one) for one in found.disparities], pairs, list(_figures(judged)))]
    if not found.disparities:
        metrics = [_Note(text="The log names fewer than two segments, so nobody can be compared with anybody.")]
    _run(metrics, [_plain(found.outcomes[name], by) for name in ("log", "reference")], definition, html, json)


class _Note(MetricContainer):  # type: ignore[misc]
    """A sentence where there is nothing to count."""

    text: str

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(include_tests=False)

    def generate_metrics(self, context: Any) -> Sequence[Any]:
        return []

    def render(self, context: Any, child_widgets: Any = None) -> list[Any]:
        return [text_widget(text=self.text)]


def _plain(frame: "DataFrame", by: Sequence[str]) -> "DataFrame":
    kept = frame.reset_index(drop=True)
    names = {name: kept[name].astype(str).str.replace("<", "‹") if name in kept else "" for name in by}
    return kept[list(MEASURES)].assign(**names, day=kept["day"].map(_sortable))


def _sortable(moment: Moment | None) -> str:
    """As text, later ones greater; "" before all others."""
    return f"{moment:09}" if isinstance(moment, int) else moment.isoformat() if moment else ""


def _whom(one: Disparity) -> str:
    return group_said(one.segment, one.lately).replace("<", "‹")


def _row(one: Disparity) -> list[str]:
    if math.isnan(one.value):
        return [_whom(one), one.measure, "", "", f"{one.cases}", "", "", "", one.because]
    low, high = one.interval
    verdict = "worse off" if one.worse else "no alarm"
    numbers = [f"{one.value:.3f}", f"{one.other:.3f}", f"{one.cases}", f"{one.difference:+.3f} ({low:+.3f} to {high:+.3f})"]
    ratio = "" if math.isnan(one.ratio) else f"{one.ratio:.2f}"
    return [_whom(one), one.measure, *numbers, ratio, f"{one.p:.2g}", verdict]


def _figures(judged: Sequence[Disparity]) -> Iterator[tuple[str, str]]:
    """One plot a measure: the difference of every segment with its interval."""
    import plotly.graph_objects as go  # type: ignore[import-untyped]

    for measure in MEASURES:
        rows = sorted((one for one in judged if one.measure == measure), key=lambda one: one.segment)
        if not rows:
            continue
        bars = {
            "array": [one.interval[1] - one.difference for one in rows],
            "arrayminus": [one.difference - one.interval[0] for one in rows],
        }
        names = [_whom(one) for one in rows]
        worse = {"color": ["#b3261e" if one.worse else "#1f5fa8" for one in rows], "size": 9}
        error = {"type": "data", "color": "#8a8f98", **bars}
        points = go.Scatter(x=[one.difference for one in rows], y=names, mode="markers", marker=worse, error_x=error)
        figure = go.Figure(points)
        figure.add_vline(x=0, line_dash="dot")
        figure.update_layout(
            height=max(400, 40 * len(rows)), template="plotly_white", xaxis_title="difference to all other cases"
        )
        yield (measure if measure != GAP else f"{measure}: confidence minus share of right values"), figure.to_json()


def _run(metrics: list[Any], frames: Sequence["DataFrame"], definition: Any, html: Path, json: Path) -> None:
    """`frames`: the current cases, then the reference."""
    with warnings.catch_warnings():  # it divides by the number of values of a column, which may be none
        warnings.simplefilter("ignore")
        snapshot = Report(metrics).run(*(Dataset.from_pandas(frame, definition) for frame in frames))
        snapshot.save_html(str(html))
        snapshot.save_json(str(json))
