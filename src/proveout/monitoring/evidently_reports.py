"""The findings as two Evidently reports: drift, and bias by segment. Import it late: Evidently takes seconds.

The verdicts are ours, in Evidently's tables and plots: its own chi-squared test treats the reference sample as the true
distribution and alarms far more often than its threshold says. `GroupBy` returns the overall value for every group of a quality
metric, so the rates of groups are metrics of our own, which any Evidently report may use: `SegmentRate`, `SegmentDifference`.
The pages get a title, a heading and names for Evidently's buttons, and drifted columns come first.
Not covered: raw text of documents. Evidently writes values into a script element unescaped, so none may reach it.
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
from proveout.monitoring.wording import Moment, day_text, p_text, segment_text

if TYPE_CHECKING:
    from pandas import DataFrame, Series  # type: ignore[import-untyped]

DRAWN = 20_000  # cases, of each of log and reference, that Evidently draws columns from


def _verdicts(findings: Findings) -> str:
    """Register an Evidently test that looks its result up in the findings by the column's name. Returns the test's name."""
    smallest: dict[str, float] = {}
    for test in findings.tests:
        smallest[test.column] = min(test.p, smallest.get(test.column, 1.0))
    drifted = {drift.what for drift in findings.drifted}

    def verdict(reference: "Series", current: "Series", feature_type: Any, threshold: float) -> tuple[float, bool]:
        return smallest.get(current.name, 1.0), current.name in drifted

    title = "exact test in every window, corrected p-value"
    test = StatTest("proveout", title, [ColumnType.Numerical, ColumnType.Categorical], findings.alerts.drift.false_alarm_rate)
    register_stattest(test, verdict)
    return "proveout"


class DriftedFirst(DataDriftPreset):  # type: ignore[misc]
    """Evidently's table of columns with those that drifted first, and p-values to read instead of scores."""

    def render(self, context: Any, child_widgets: Any = None) -> list[Any]:
        widgets: list[Any] = super().render(context, child_widgets)
        for widget in widgets:
            if widget.type == "big_table":
                columns, rows = widget.params["columns"], widget.params["data"]
                columns[:] = [column for column in columns if column["field"] != "stattest_name"]  # the same for all
                columns[-1]["title"] = "p-value, corrected"
                rows.sort(key=lambda row: (row["data_drift"] != "Detected", row["drift_score"]))
                for row in rows:
                    p = row["drift_score"]
                    row["drift_score"] = "< 0.001" if p < 0.001 else f"{p:.2g}"
                    row["column_type"] = {"num": "number", "cat": "category"}[row["column_type"]]
        return widgets


class DriftAlarm(ColumnMetric, SingleValueMetric):  # type: ignore[misc]
    """The corrected p-value of a drifted column over all windows, with what changed and since when."""

    p: float
    sentence: str


class DriftAlarmCalculation(SingleValueCalculation[DriftAlarm]):  # type: ignore[misc]
    def calculate(self, context: Any, current_data: Any, reference_data: Any) -> SingleValue:
        result = self.result(self.metric.p)
        title = f"{self.metric.column}: {p_text(self.metric.p)}, corrected for all columns and windows"
        result.widget = [counter(counters=[CounterData(label=self.metric.sentence, value=title)])]
        return result

    def display_name(self) -> str:
        return f"{self.metric.column} drifted: {self.metric.sentence}"


class SegmentRate(ColumnMetric, SingleValueMetric):  # type: ignore[misc]
    """Mean of a column in one segment (`inside`) or in all others, without missing values.

    In the log, only cases from the day `since` on, if given.
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
        group = self.metric.segment if self.metric.inside else f"all but {self.metric.segment}"
        return f"{self.metric.column}, {group}"


class SegmentDifference(ColumnMetric, SingleValueMetric):  # type: ignore[misc]
    """Mean of a column in one segment minus its mean in all others, in the same cases as `SegmentRate`."""

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
    """The value in the current data and, if it is defined there, in the reference."""
    before = rate(reference.as_dataframe()) if reference is not None else math.nan
    log = current.as_dataframe()
    now = calculation.result(rate(log[log["day"] >= calculation.metric.since]))
    return now if math.isnan(before) else (now, calculation.result(before))


class BySegment(MetricContainer):  # type: ignore[misc]
    """A table and a plot of all segments and measures, with metrics for each pair that is large enough to be shown."""

    rows: list[list[str]]
    pairs: list[tuple[str, str, str, str]]  # by, segment, measure, since
    figures: list[tuple[str, str]]  # title, plotly JSON

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

        header = ["segment", "measure", "value", "all others", "cases", "difference, interval", "ratio", "p-value", "verdict"]
        table = table_data(title="Each segment against all other cases", column_names=header, data=self.rows)
        return [table, *(plotly_figure(title=title, figure=from_json(figure)) for title, figure in self.figures)]


def write_drift(findings: Findings, html: Path, json: Path) -> None:
    """The log against the reference, column by column; only cases since the first change, if there is one."""
    first = min((drift.since for drift in findings.drifted), default=None)
    frames = (findings.since(first), findings.reference_features)
    columns = [name for name in findings.columns if all(frame[name].notna().any() for frame in frames)]  # none empty: it fails
    current_is = f"{len(frames[0])} cases since {day_text(first)}, the first change" if first else f"{findings.cases} cases"
    note = f"Current: {current_is}. Reference: {findings.reference_cases} cases. Verdicts come from tests of all windows."
    if max(map(len, frames)) > DRAWN:
        note += f" Drawn from {DRAWN} of them at random."
        frames = tuple(frame.sample(min(len(frame), DRAWN), random_state=0).sort_index() for frame in frames)
    definition = DataDefinition(
        numerical_columns=[name for name in columns if is_number(findings.features[name])],
        categorical_columns=[name for name in columns if not is_number(findings.features[name])],
    )
    alarms = [DriftAlarm(column=d.what, p=d.p, sentence=d.sentence) for d in findings.drifted if d.what in columns]
    any_column = 0.5 / max(1, len(columns))  # one drifted column is drift
    preset = [DriftedFirst(columns=columns, method=_verdicts(findings), drift_share=any_column)] if columns else []
    plain = [frame[columns].reset_index(drop=True) for frame in frames]
    metrics = [_Note(text=note if columns else "No column has values to compare."), *alarms, *preset]
    _run("Drift: every column", metrics, plain, definition, html, json)


def write_bias(findings: Findings, html: Path, json: Path) -> None:
    """Each segment against all others, in the log and in the reference."""
    by = list(dict.fromkeys(row.by for row in findings.disparities))
    definition = DataDefinition(numerical_columns=list(MEASURES), categorical_columns=[*by, "day"])
    judged = [row for row in findings.disparities if not math.isnan(row.value)]
    pairs = [(row.by, row.segment, row.measure, _sortable(row.lately)) for row in judged]
    metrics: list[Any] = [BySegment([_cells(row) for row in findings.disparities], pairs, list(_figures(judged)))]
    if not findings.disparities:
        metrics = [_Note(text="The log has fewer than two segments to compare.")]
    title = "Bias: every segment"
    _run(title, metrics, [_plain(findings.outcomes[name], by) for name in ("log", "reference")], definition, html, json)


class _Note(MetricContainer):  # type: ignore[misc]
    """A sentence."""

    text: str

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(include_tests=False)

    def generate_metrics(self, context: Any) -> Sequence[Any]:
        return []

    def render(self, context: Any, child_widgets: Any = None) -> list[Any]:
        return [text_widget(text=self.text)]


def _plain(frame: "DataFrame", by: Sequence[str]) -> "DataFrame":
    frame = frame.reset_index(drop=True)
    names = {name: frame[name].astype(str).str.replace("<", "‹") if name in frame else "" for name in by}
    return frame[list(MEASURES)].assign(**names, day=frame["day"].map(_sortable))


def _sortable(moment: Moment | None) -> str:
    """As text that sorts by time; "" sorts first."""
    return f"{moment:09}" if isinstance(moment, int) else moment.isoformat() if moment else ""


def _segment(row: Disparity) -> str:
    return segment_text(row.segment, row.lately).replace("<", "‹")


def _cells(row: Disparity) -> list[str]:
    if math.isnan(row.value):
        return [_segment(row), row.measure, "", "", f"{row.cases}", "", "", "", row.because]
    low, high = row.interval
    verdict = "treated worse" if row.worse else "no alarm"
    numbers = [f"{row.value:.3f}", f"{row.other:.3f}", f"{row.cases}", f"{row.difference:+.3f} ({low:+.3f} to {high:+.3f})"]
    ratio = "" if math.isnan(row.ratio) else f"{row.ratio:.2f}"
    return [_segment(row), row.measure, *numbers, ratio, f"{row.p:.2g}", verdict]


def _figures(judged: Sequence[Disparity]) -> Iterator[tuple[str, str]]:
    """One plot per measure: the difference of every segment with its interval. Yields title and plotly JSON."""
    import plotly.graph_objects as go  # type: ignore[import-untyped]

    for measure in MEASURES:
        rows = sorted((row for row in judged if row.measure == measure), key=lambda row: row.segment)
        if not rows:
            continue
        bars = {
            "array": [row.interval[1] - row.difference for row in rows],
            "arrayminus": [row.difference - row.interval[0] for row in rows],
        }
        names = [_segment(row) for row in rows]
        worse = {"color": ["#b3261e" if row.worse else "#1f5fa8" for row in rows], "size": 9}
        error = {"type": "data", "color": "#8a8f98", **bars}
        points = go.Scatter(x=[row.difference for row in rows], y=names, mode="markers", marker=worse, error_x=error)
        figure = go.Figure(points)
        figure.add_vline(x=0, line_dash="dot")
        figure.update_layout(
            height=max(400, 40 * len(rows)), template="plotly_white", xaxis_title="difference from all other cases"
        )
        yield (measure if measure != GAP else f"{measure}: confidence minus share of right values"), figure.to_json()


def _run(title: str, metrics: list[Any], frames: Sequence["DataFrame"], definition: Any, html: Path, json: Path) -> None:
    """`frames`: the current cases, then the reference."""
    with warnings.catch_warnings():  # it divides by the number of values of a column, which may be zero
        warnings.simplefilter("ignore")
        snapshot = Report(metrics).run(*(Dataset.from_pandas(frame, definition) for frame in frames))
        snapshot.save_html(str(html))
        snapshot.save_json(str(json))
    _entitle(html, title)


# Evidently calls a label in a column's header the header, gives buttons no names, and cuts off what is wider than the screen.
MENDING = """<script>
const mend = () => {
  for (const label of document.querySelectorAll("th [role=columnheader]")) label.removeAttribute("role");
  for (const label of document.querySelectorAll("th [aria-sort]")) {
    label.closest("th").setAttribute("aria-sort", label.getAttribute("aria-sort"));
    label.removeAttribute("aria-sort");
  }
  for (const button of document.querySelectorAll("button:not([aria-label])")) {
    if (!button.textContent.trim()) button.setAttribute("aria-label", button.title || "light or dark");
  }
};
new MutationObserver(mend).observe(document.body, { childList: true, subtree: true, attributeFilter: ["aria-sort"] });
mend();
</script>"""
STYLE = """<style>
main > h1 { font: 600 1.5rem/1.3 system-ui, sans-serif; margin: 1rem 24px 0; }
.MuiGrid-direction-xs-column > .MuiGrid-root { max-width: 100%; } .MuiCardContent-root { overflow-x: auto; }
@media (max-width: 800px) {
  :is(.MuiTypography-h3, .MuiTypography-h4) { font-size: 1.3rem !important; } .MuiTypography-h5 { font-size: 1rem !important; }
}
</style>"""


def _entitle(page: Path, title: str) -> None:
    """Give a page that Evidently wrote a title, a heading, a main part, and names for its buttons."""
    head, body = page.read_text(encoding="utf-8").split("<body>", 1)
    head = head.replace("<head>", f"<head>\n<title>{title} · Proveout</title>{STYLE}", 1)
    content, end = body.rsplit("</body>", 1)
    body = f"<body><main><h1>{title}</h1>{content}</main>{MENDING}</body>{end}"
    page.write_text(head + body, encoding="utf-8")
