"""The report for people (HTML), and the same findings for machines (JSON). Entry point: `write_page`.

The first screen says what changed, since when, with what p-value, who is treated worse, what to do, and shows three cases.
The page is one file with plots as SVG, so it opens without a network. Text from documents is escaped.
"""

import io
import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from html import escape
from pathlib import Path
from typing import Any

from proveout.errors import BadInput
from proveout.evaluation import Objective
from proveout.monitoring.advice import under_target
from proveout.monitoring.bias import GAP
from proveout.monitoring.findings import Condition, Disparity, Drift, Example, FieldPerformance, Findings, Window
from proveout.monitoring.significance import wilson
from proveout.monitoring.wording import (
    Moment,
    capital,
    column_text,
    day_text,
    listed,
    p_text,
    percent,
    percent_beside,
    promised,
    segment_text,
)

_BLUE, _RED, _GREY = "#1f5fa8", "#b3261e", "#8a8f98"
_RATIOS = (0.1, 10)  # shown on the plot of bias
_TOGETHER = 3  # days, or cases; changes that began within this of each other form one group


def write_page(findings: Findings, html: Path, json_file: Path, links: Mapping[str, str]) -> None:
    """Write the page and its JSON. `links` maps the titles of other reports to paths relative to the page."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("proveout.monitoring", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "day": day_text,
        "short": lambda day: day_text(day, "%d %b"),
        "share": _share,
        "beside": percent_beside,
        "p": _p,
        "number": _number,
        "dollars": "${:,.0f}".format,
        "p_text": p_text,
        "capital": capital,
        "segment": segment_text,
    }
    text = environment.get_template("page.html.j2").render(
        findings=findings,
        headline=headline(findings),
        columns=_columns(findings),
        links=links,
        changes=_changes(findings.drifted),
        strip=lambda drift: strip(findings, drift),
        drift_plots=[share_plot(findings, drift.condition, drift.since) for drift in findings.drifted],
        to_read=list(_to_read(findings)),
        bias_plot=bias_plot((*findings.disparities, *findings.odds)),
        performance_plot=performance_plot(findings),
        gap=GAP,
        objectives=_objectives(findings),
        overall=[row for row in findings.performance if row.window is None],
    )
    html.write_text(text, encoding="utf-8")
    json_file.write_text(json.dumps(as_json(findings, links), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def parts(page: str) -> tuple[str, str]:
    """The style and the body of a page, for another page to show; without the links to Evidently's pages."""
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    body = re.search(r'<main class="report">(.*)</main>', page, re.DOTALL)
    if not (style and body):
        raise BadInput("this page is not a report as `proveout monitor` writes it")
    return style[1], re.sub(r"<nav.*?</nav>", "", body[1], count=1, flags=re.DOTALL)


def headline(findings: Findings) -> str:
    """The whole report in a sentence or two."""
    sentences = []
    for rows, certainty in ((findings.broken, ", beyond chance"), (findings.doubtful, "; it may be chance")):
        if rows:
            shares = listed([f"{row.field} ({percent_beside(row.precision, row.target)})" for row in rows])
            alone = f"{capital(rows[0].field)} precision is {percent_beside(rows[0].precision, rows[0].target)},"
            targets = list(dict.fromkeys(promised(row.target) for row in rows))
            subject = alone if len(rows) == 1 else f"Precision of {shares} is"
            sentences.append(f"{subject} under the {' or '.join(targets)} target{certainty}.")
    if findings.drifted:
        others = len(findings.drifted) - 1
        more = f"; {others} more change{'s' * (others > 1)}" if others else ""
        sentences.append(f"{findings.drifted[0].sentence}{more}.")
    if findings.worse_off:
        names = list(dict.fromkeys(disparity.segment for disparity in findings.worse_off))
        sentences.append(
            f"{'Segments' if len(names) > 1 else 'Segment'} {listed(names)} {'are' if len(names) > 1 else 'is'} treated worse."
        )
    elif findings.slices:
        sentences.append(findings.slices[0].sentence)
    if sentences:
        return " ".join(sentences)
    if not any(window.tested for window in findings.windows):
        return "Too few cases so far to test for drift."
    return "No significant drift, and no segment is treated significantly worse."


def _changes(drifted: Sequence[Drift]) -> list[list[Drift]]:
    """Changes that began together, in one group. The most significant change leads its group; groups are in the same order."""
    groups: list[list[Drift]] = []
    for drift in drifted:
        for group in groups:
            if abs(_apart(group[0].since, drift.since)) <= _TOGETHER and (drift.until is None) == (group[0].until is None):
                group.append(drift)
                break
        else:
            groups.append([drift])
    return groups


def _apart(first: Moment, last: Moment) -> int:
    """Days, or cases, from the first to the last."""
    apart = last - first  # type: ignore[operator]
    return apart.days if isinstance(apart, timedelta) else apart


def _to_read(findings: Findings) -> Iterator[tuple[str, list[Example]]]:
    """Each segment and slice that is treated worse, with up to ten example cases, each case once."""
    for segment in dict.fromkeys(disparity.segment for disparity in findings.worse_off):
        cases: dict[str, Example] = {}
        for disparity in findings.worse_off:
            if disparity.segment == segment:
                for example in disparity.examples:
                    cases.setdefault(example.case, example)
        if cases:
            yield f"segment {segment}", list(cases.values())[:10]
    yield from ((one.name, list(one.examples)) for one in findings.slices if one.examples)


def as_json(findings: Findings, links: Mapping[str, str]) -> dict[str, Any]:
    """The findings as plain data; an undefined number is null.

    `drifted`: what, since, p (corrected), effect (change of a share). `worse_off`: segment, measure, value, other, interval.
    `objectives`: each over the last days (`recent`) and the whole log (`all`), with its error budget; see `evaluation`.
    """
    drifted = [asdict(drift) | {"event": str(drift.condition), "sentence": drift.sentence} for drift in findings.drifted]
    plain = {
        "mission": findings.mission,
        "releases": findings.releases,
        "headline": headline(findings),
        "alarm": bool(findings.broken or findings.drifted or findings.worse_off or findings.slices),
        "advice": findings.advice,
        "findings": [{"key": key, "sentence": sentence} for key, sentence in _findings(findings)],
        "reference": {"from": findings.reference_days[0], "to": findings.reference_days[1], "cases": findings.reference_cases},
        "log": {"from": findings.days[0], "to": findings.days[1], "cases": findings.cases, "without_day": findings.without_day}
        | {"time": "case number" if findings.by_number else "day"},
        "alerts": findings.alerts.model_dump(),
        "drifted": drifted,
        "worse_off": [asdict(disparity) for disparity in findings.worse_off],
        "broken": [asdict(row) for row in findings.broken],
        "examples": [asdict(example) for example in findings.examples],
        "disparities": [asdict(disparity) for disparity in findings.disparities],
        "odds": [asdict(disparity) for disparity in findings.odds],
        "stakes": [asdict(stake) for stake in findings.stakes],
        "slices": [asdict(one) | {"key": one.key, "name": one.name, "sentence": one.sentence} for one in findings.slices],
        "performance": [asdict(row) for row in findings.performance],
        "absent": [asdict(row) for row in findings.absent],
        "promises": [asdict(row) for row in findings.promises],
        "reliability": [asdict(row) for row in findings.reliability],
        "objectives": _objectives(findings),
        "about_days": findings.about_days,
        "windows": [asdict(window) for window in findings.windows],
        "columns": _columns(findings),
        "reports": dict(links),
    }
    return _plain(plain)  # type: ignore[no-any-return]


def _findings(findings: Findings) -> Iterator[tuple[str, str]]:
    """What people conclude on, the most urgent first: a key that stays the same from report to report, and a sentence."""
    for row in findings.broken:
        yield f"precision of {row.field}", f"{capital(row.field)}: {under_target(row)}."
    for segment in dict.fromkeys(disparity.segment for disparity in findings.worse_off):
        yield f"segment {segment}", " ".join(row.sentence for row in findings.worse_off if row.segment == segment)
    yield from ((one.key, one.sentence) for one in findings.slices)
    for drift in findings.drifted:
        yield f"drift of {drift.what}", f"{drift.sentence} ({p_text(drift.p)})."


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _objectives(findings: Findings) -> dict[str, dict[str, Any]]:
    """The objectives over the last days (`recent`) and the whole log (`all`)."""
    return {
        name: {"days": service.days, "from": service.span[0], "to": service.span[1], "cases": service.cases}
        | {"rows": [asdict(row) | _in_words(row, findings.significance_level) for row in service.objectives]}
        for name, service in zip(("recent", "all"), findings.service, strict=True)
    }


def _in_words(row: Objective, level: float) -> dict[str, Any]:
    interval = "" if math.isnan(row.interval[0]) else " to ".join(percent(bound, 1) for bound in row.interval)
    text = {"target": row.bound, "measured": row.format(row.measured), "interval": interval}
    return {"left": row.left, "missed": row.missed, "verdict": row.verdict(level), "shown": text}


def _columns(findings: Findings) -> list[dict[str, Any]]:
    """Every compared column with its most significant test, the most significant column first."""
    drifted = {drift.what for drift in findings.drifted}
    best: dict[str, Any] = {}
    for test in findings.tests:
        if test.column not in best or (test.p, -test.effect) < (best[test.column].p, -best[test.column].effect):
            best[test.column] = test
    rows = [
        {"column": name, "p": test.p, "effect": test.effect, "event": str(test.condition), "drifted": name in drifted}
        for name, test in sorted(best.items(), key=lambda item: (item[1].p, -item[1].effect))
    ]
    nothing = {"p": math.nan, "effect": math.nan, "drifted": False}
    rows += [{"column": name, "event": _untested(findings, name), **nothing} for name in findings.columns if name not in best]
    return [row | {"said": column_text(row["column"])} for row in rows]


def _untested(findings: Findings, column: str) -> str:
    """Why a column was not tested."""
    values = {*findings.reference_features[column].dropna().unique(), *findings.features[column].dropna().unique()}
    if not values:
        return "no values"
    return f"always the same: {values.pop()}" if len(values) == 1 else "too few values or cases"


def _shares(findings: Findings, condition: Condition) -> Iterator[tuple[Window, float, int, int]]:
    """For each window with values: the share of cases that meet the condition, their number, and the number of cases."""
    met, start = condition.holds(findings.features), 0
    for window in findings.windows:
        values = met.iloc[start : start + window.cases].dropna()
        start += window.cases
        if len(values):
            yield window, float(values.mean()), int(values.sum()), len(values)


def strip(findings: Findings, drift: Drift) -> str:
    """SVG, one line of text high: the share in every window, with the reference as a dashed line."""
    reference = drift.condition.holds(findings.reference_features).dropna()
    first, last = findings.windows[0].start, findings.windows[-1].end
    length = _apart(first, last) + 1
    bars = []
    for window, share, _, _ in _shares(findings, drift.condition):
        x, width = 160 * _apart(first, window.start) / length, 160 * (_apart(window.start, window.end) + 1) / length
        changed = _apart(drift.since, window.end) >= 0 and (not drift.until or _apart(window.start, drift.until) >= 0)
        bars.append(
            f'<rect x="{x:.1f}" y="{34 - 32 * share:.1f}" width="{max(1.5, width - 1.5):.1f}" height="{32 * share:.1f}"'
            f' fill="{_RED if changed else _BLUE}" fill-opacity="{0.85 if window.tested else 0.25}"/>'
        )
    level = 34 - 32 * float(reference.mean()) if len(reference) else 34
    line = f'<line x1="0" x2="160" y1="{level:.1f}" y2="{level:.1f}" stroke="{_GREY}" stroke-dasharray="3 2"/>'
    label = escape(f"share of {drift.condition} in each window; dashed: the reference")
    return f'<svg viewBox="0 0 160 36" width="160" height="36" role="img" aria-label="{label}">{"".join(bars)}{line}</svg>'


def share_plot(findings: Findings, condition: Condition, since: Moment | None = None) -> str:
    """SVG: the share that meets the condition in every window with its 95 % interval; the reference as a band."""
    from matplotlib.dates import AutoDateLocator, DateFormatter

    (axes,), figure = _axes(5.6, 2.3)
    reference = condition.holds(findings.reference_features).dropna()
    low, high = wilson(int(reference.sum()), len(reference))
    axes.axhspan(low, high, color=_GREY, alpha=0.25, lw=0, label="reference")
    for window, share, met, cases in _shares(findings, condition):
        bottom, top = wilson(met, cases)
        middle = window.start + (window.end - window.start) / 2  # type: ignore[operator]
        colour, alpha = _RED if since and _apart(since, window.end) >= 0 else _BLUE, 1.0 if window.tested else 0.3
        axes.vlines(middle, bottom, top, color=colour, lw=1.5, alpha=alpha)
        axes.plot(middle, share, "o", color=colour, ms=5, alpha=alpha)
    if since:
        axes.axvline(since, color=_RED, lw=1, ls="--", label=f"since {day_text(since, '%d %b')}")
    axes.set_ylim(0, 1)
    axes.set_title(textwrap.fill(capital(str(condition)), 68), fontsize=9, loc="left")
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    axes.legend(fontsize=7, frameon=False, loc="best")
    if findings.by_number:
        axes.set_xlabel("case", fontsize=8)
    else:
        axes.xaxis.set_major_locator(AutoDateLocator(maxticks=6))  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(DateFormatter("%-d %b"))  # type: ignore[no-untyped-call]
    return _svg(figure, f"share of {condition} in each window, with its 95 % interval")


def bias_plot(disparities: Sequence[Disparity]) -> str:
    """SVG: every difference and, of rates, every ratio with its interval; "" if no segment is large enough."""
    rows = [disparity for disparity in disparities if not math.isnan(disparity.value)][::-1]
    if not rows:
        return ""
    (left, right), figure = _axes(9.2, 0.9 + 0.26 * len(rows), columns=2)
    for y, row in enumerate(rows):
        colour = _RED if row.worse else _BLUE
        left.hlines(y, *row.interval, color=colour, lw=1.5)
        left.plot(row.difference, y, "o", color=colour, ms=4)
        low, high = (max(_RATIOS[0], min(_RATIOS[1], bound)) for bound in row.ratio_interval)
        if not math.isnan(row.ratio_interval[0]):
            right.hlines(y, low, high, color=colour, lw=1.5)
            if _RATIOS[0] <= row.ratio <= _RATIOS[1]:
                right.plot(row.ratio, y, "o", color=colour, ms=4)
    for axes, even in ((left, 0), (right, 1)):
        axes.axvline(even, color=_GREY, lw=1)
    left.set_yticks(range(len(rows)), [f"{segment_text(row.segment, row.lately)}: {row.measure}" for row in rows], fontsize=8)
    left.set_xlabel("difference from all other cases, in points", fontsize=8)
    left.xaxis.set_major_formatter(lambda x, _: f"{100 * x:+.0f}" if x else "0")
    right.set_yticks([])
    right.set_xscale("log")
    right.set_xlim(*_RATIOS)
    ticks = (0.1, 0.2, 0.5, 1, 2, 5, 10)
    right.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    right.set_xticks([], minor=True)
    right.set_xlabel("ratio to all other cases (1: alike)", fontsize=8)
    return _svg(
        figure,
        "each segment's difference from all other cases and ratio to them, by measure, with intervals, as in the table",
    )


def performance_plot(findings: Findings) -> str:
    """SVG: precision of automated values by window, one line per field; "" without labels."""
    fields: dict[str, list[FieldPerformance]] = {}
    for row in findings.performance:
        if row.window is not None and row.labelled:
            fields.setdefault(row.field, []).append(row)
    if not fields:
        return ""
    (axes,), figure = _axes(7.2, 2.4)
    missed = {row.field for row in (*findings.broken, *findings.doubtful)}
    for shift, (name, rows) in enumerate(fields.items()):
        x = [row.window + 0.09 * (shift - len(fields) / 2) for row in rows]  # type: ignore[operator]
        (line,) = axes.plot(x, [row.precision for row in rows], "o-", ms=3, lw=1, label=name)
        if name in missed:
            bottoms, tops = zip(*(row.interval for row in rows), strict=True)
            axes.vlines(x, bottoms, tops, color=line.get_color(), lw=1, alpha=0.4)
    for promise in findings.promises:
        label = f"target {promised(promise.precision)}" if findings.promises[1:] else "target"
        axes.axhline(promise.precision, color=_RED, lw=1, ls="--", label=label)
    axes.set_xticks(range(len(findings.windows)), [day_text(window.start, "%d %b") for window in findings.windows], fontsize=7)
    axes.legend(fontsize=7, frameon=False, ncols=3, loc="lower left")
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    return _svg(figure, f"precision of automated values of {listed(list(fields))} in each window, beside the target")


def _axes(width: float, height: float, columns: int = 1) -> tuple[Sequence[Any], Any]:
    """Axes side by side, and their figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=7)
    return axes, figure


def _svg(figure: Any, label: str) -> str:
    """The figure with a text alternative. Equal figures give equal bytes."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "proveout", "svg.fonttype": "none", "font.family": "sans-serif"}):
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    svg = out.getvalue()[out.getvalue().index("<svg") + len("<svg") :]
    return f'<svg role="img" aria-label="{escape(label)}"{svg}'


def _share(value: float, digits: int = 1) -> str:
    return percent(value, digits) if math.isfinite(value) else "–"


def _p(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}" if value >= 0.01 else f"{value:.0e}"


def _number(value: float, digits: int = 2) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
