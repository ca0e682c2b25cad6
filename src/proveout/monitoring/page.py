"""The page that people read first, and the same findings for machines.

The first screen is a note from a colleague: what changed, since when, how sure, whom it hurts, what to do, and three cases.
Everything is in the one file (plots as SVG), so it opens without a network. Text from documents is escaped.
"""

import io
import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from proveout.evaluation import Objective
from proveout.monitoring.bias import GAP
from proveout.monitoring.findings import Condition, Disparity, Drift, Example, FieldPerformance, Findings, Window
from proveout.monitoring.significance import wilson
from proveout.monitoring.wording import Moment, capital, changed_said, column_said, day_said, group_said, listed, sure

_BLUE, _RED, _GREY = "#1f5fa8", "#b3261e", "#8a8f98"
_TOGETHER = 3  # days, or cases; changes that began so near to each other are told as one


def write_page(found: Findings, html: Path, json_file: Path, links: Mapping[str, str]) -> None:
    """Write the page and its JSON. `links` names the reports beside it: title to path, relative to the page."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("proveout.monitoring", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "day": day_said,
        "share": _share,
        "p": _p,
        "number": _number,
        "sure": sure,
        "capital": capital,
        "group": group_said,
    }
    environment.filters |= {"short": lambda day: day_said(day, "%d %b"), "changed": changed_said}
    text = environment.get_template("page.html.j2").render(
        found=found,
        headline=headline(found),
        columns=_columns(found),
        links=links,
        changes=_changes(found.drifted),
        strip=lambda one: strip(found, one),
        drift_plots=[share_plot(found, one.event, one.since) for one in found.drifted],
        to_read=list(_to_read(found)),
        bias_plot=bias_plot(found.disparities),
        performance_plot=performance_plot(found),
        gap=GAP,
        objectives=_objectives(found),
        overall=[one for one in found.performance if one.window is None],
    )
    html.write_text(text, encoding="utf-8")
    json_file.write_text(json.dumps(as_json(found, links), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def headline(found: Findings) -> str:
    """The whole report in a sentence or two."""
    said = []
    if found.broken:
        names = listed([one.field for one in found.broken])
        said.append(f"The promise of {found.promised_precision:.0%} precision is broken for {names}.")
    if found.doubtful:
        shares = listed([f"{one.field} ({one.precision:.1%})" for one in found.doubtful])
        said.append(f"Below the promised {found.promised_precision:.0%} precision, though not surely: {shares}.")
    if found.drifted:
        others = len(found.drifted) - 1
        more = f", and {others} more thing{'s' * (others > 1)} moved" if others else ""
        said.append(f"{found.drifted[0].sentence}{more}.")
    if found.worse_off:
        names = listed(list(dict.fromkeys(one.segment for one in found.worse_off)))
        said.append(
            f"{'The segment' if ' and ' not in names else 'The segments'} {names} fare{'s' * (' and ' not in names)} worse."
        )
    if said:
        return " ".join(said)
    if not any(window.tested for window in found.windows):
        return "There are too few cases to say anything about drift yet."
    return "Nothing changed beyond chance, and no segment is surely treated worse."


def _changes(drifted: Sequence[Drift]) -> list[list[Drift]]:
    """What began together, in one group; the surest change leads its group, and the surest group comes first."""
    groups: list[list[Drift]] = []
    for one in drifted:
        for group in groups:
            if abs(_apart(group[0].since, one.since)) <= _TOGETHER and (one.until is None) == (group[0].until is None):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _apart(first: Moment, last: Moment) -> int:
    """Days, or cases, from the one to the other."""
    apart = last - first  # type: ignore[operator]
    return apart.days if isinstance(apart, timedelta) else apart


def _to_read(found: Findings) -> Iterator[tuple[str, list[Example]]]:
    """Each segment that is worse off, with the cases that show it, each case once."""
    for segment in dict.fromkeys(one.segment for one in found.worse_off):
        cases: dict[str, Example] = {}
        for one in found.worse_off:
            if one.segment == segment:
                for example in one.examples:
                    cases.setdefault(example.case, example)
        if cases:
            yield segment, list(cases.values())[:10]


def as_json(found: Findings, links: Mapping[str, str]) -> dict[str, Any]:
    """The findings as plain data; a number that does not exist is null.

    `drifted`: what, since, p (corrected), effect (change of a share). `worse_off`: segment, measure, value, other, interval.
    `objectives`: each over the last days (`recent`) and the whole log (`all`), with its error budget; see `evaluation`.
    """
    drifted = [asdict(one) | {"event": str(one.event), "sentence": one.sentence} for one in found.drifted]
    plain = {
        "mission": found.mission,
        "releases": found.releases,
        "headline": headline(found),
        "alarm": bool(found.broken or found.drifted or found.worse_off),
        "advice": found.advice,
        "reference": {"from": found.reference_days[0], "to": found.reference_days[1], "cases": found.reference_cases},
        "log": {"from": found.days[0], "to": found.days[1], "cases": found.cases, "without_day": found.without_day}
        | {"time": "case number" if found.by_number else "day"},
        "alerts": found.alerts.model_dump(),
        "drifted": drifted,
        "worse_off": [asdict(one) for one in found.worse_off],
        "broken": [asdict(one) for one in found.broken],
        "examples": [asdict(one) for one in found.examples],
        "disparities": [asdict(one) for one in found.disparities],
        "performance": [asdict(one) for one in found.performance],
        "objectives": _objectives(found),
        "about_days": found.about_days,
        "windows": [asdict(one) for one in found.windows],
        "columns": _columns(found),
        "reports": list(links.values()),
    }
    return _plain(plain)  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _objectives(found: Findings) -> dict[str, dict[str, Any]]:
    """The objectives in both stretches of time, for people and machines."""
    return {
        name: {"days": one.days, "from": one.span[0], "to": one.span[1], "cases": one.cases}
        | {"rows": [asdict(row) | _in_words(row, found.sure_below) for row in one.objectives]}
        for name, one in zip(("recent", "all"), found.service, strict=True)
    }


def _in_words(row: Objective, sure_below: float) -> dict[str, Any]:
    interval = "" if math.isnan(row.interval[0]) else f"{row.interval[0]:.1%} to {row.interval[1]:.1%}"
    shown = {"target": row.bound, "measured": row.format(row.measured), "interval": interval}
    return {"left": row.left, "missed": row.missed, "verdict": row.verdict(sure_below), "shown": shown}


def _columns(found: Findings) -> list[dict[str, Any]]:
    """Every compared column with its surest look, the surest column first."""
    drifted = {one.what for one in found.drifted}
    best: dict[str, Any] = {}
    for test in found.tests:
        if test.column not in best or (test.p, -test.effect) < (best[test.column].p, -best[test.column].effect):
            best[test.column] = test
    rows = [
        {"column": name, "p": test.p, "effect": test.effect, "event": str(test.event), "drifted": name in drifted}
        for name, test in sorted(best.items(), key=lambda item: (item[1].p, -item[1].effect))
    ]
    nothing = {"p": math.nan, "effect": math.nan, "drifted": False}
    rows += [{"column": name, "event": _untested(found, name), **nothing} for name in found.columns if name not in best]
    return [row | {"said": column_said(row["column"])} for row in rows]


def _untested(found: Findings, column: str) -> str:
    """Why a column was not compared."""
    values = {*found.reference_features[column].dropna().unique(), *found.features[column].dropna().unique()}
    if not values:
        return "no values"
    return f"always the same: {values.pop()}" if len(values) == 1 else "too few values or cases"


def _shares(found: Findings, event: Condition) -> Iterator[tuple[Window, float, int, int]]:
    """Of every window with values: the share of the event, how often it was true, and of how many."""
    true, place = event.holds(found.features), 0
    for window in found.windows:
        values = true.iloc[place : place + window.cases].dropna()
        place += window.cases
        if len(values):
            yield window, float(values.mean()), int(values.sum()), len(values)


def strip(found: Findings, one: Drift) -> str:
    """SVG, the size of a line of text: the share of a change in every window, over the reference's level."""
    shares = list(_shares(found, one.event))
    known = one.event.holds(found.reference_features).dropna()
    first, last = found.windows[0].start, found.windows[-1].end
    length = _apart(first, last) + 1
    bars = []
    for window, share, _, _ in shares:
        x, width = 160 * _apart(first, window.start) / length, 160 * (_apart(window.start, window.end) + 1) / length
        changed = _apart(one.since, window.end) >= 0 and (not one.until or _apart(window.start, one.until) >= 0)
        bars.append(
            f'<rect x="{x:.1f}" y="{34 - 32 * share:.1f}" width="{max(1.5, width - 1.5):.1f}" height="{32 * share:.1f}"'
            f' fill="{_RED if changed else _BLUE}" fill-opacity="{0.85 if window.tested else 0.25}"/>'
        )
    level = 34 - 32 * float(known.mean()) if len(known) else 34
    line = f'<line x1="0" x2="160" y1="{level:.1f}" y2="{level:.1f}" stroke="{_GREY}" stroke-dasharray="3 2"/>'
    said = (
        f"share of {one.event} in each window; dashed: the reference".replace('"', "'")
        .replace("&", "&amp;")
        .replace("<", "&lt;")
    )
    return f'<svg viewBox="0 0 160 36" width="160" height="36" role="img" aria-label="{said}">{"".join(bars)}{line}</svg>'


def share_plot(found: Findings, event: Condition, since: Moment | None = None) -> str:
    """SVG: the share of the event in every window with its 95 % interval, the reference as a band, the change as a line."""
    from matplotlib.dates import AutoDateLocator, DateFormatter

    axes, figure = _axes(5.6, 2.3)
    known = event.holds(found.reference_features).dropna()
    low, high = wilson(int(known.sum()), len(known))
    axes.axhspan(low, high, color=_GREY, alpha=0.25, lw=0, label="reference")
    for window, share, true, cases in _shares(found, event):
        bottom, top = wilson(true, cases)
        middle = window.start + (window.end - window.start) / 2  # type: ignore[operator]
        colour, alpha = _RED if since and _apart(since, window.end) >= 0 else _BLUE, 1.0 if window.tested else 0.3
        axes.vlines(middle, bottom, top, color=colour, lw=1.5, alpha=alpha)
        axes.plot(middle, share, "o", color=colour, ms=5, alpha=alpha)
    if since:
        axes.axvline(since, color=_RED, lw=1, ls="--", label=f"since {day_said(since, '%d %b')}")
    axes.set_ylim(0, 1)
    axes.set_title(textwrap.fill(capital(str(event)), 68), fontsize=9, loc="left")
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    axes.legend(fontsize=7, frameon=False, loc="best")
    if found.by_number:
        axes.set_xlabel("case", fontsize=8)
    else:
        axes.xaxis.set_major_locator(AutoDateLocator(maxticks=6))  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(DateFormatter("%-d %b"))  # type: ignore[no-untyped-call]
    return _svg(figure)


def bias_plot(disparities: Sequence[Disparity]) -> str:
    """SVG: every difference with its interval; nothing when no segment is large enough."""
    rows = [one for one in disparities if not math.isnan(one.value)][::-1]
    if not rows:
        return ""
    axes, figure = _axes(7.2, 0.7 + 0.26 * len(rows))
    for y, one in enumerate(rows):
        colour = _RED if one.worse else _BLUE
        axes.hlines(y, *one.interval, color=colour, lw=1.5)
        axes.plot(one.difference, y, "o", color=colour, ms=4)
    axes.axvline(0, color=_GREY, lw=1)
    axes.set_yticks(range(len(rows)), [f"{group_said(one.segment, one.lately)}: {one.measure}" for one in rows], fontsize=8)
    axes.set_xlabel("difference to all other cases, in points", fontsize=8)
    axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:+.0f}" if x else "0")
    return _svg(figure)


def performance_plot(found: Findings) -> str:
    """SVG: precision among automated values by window, one line a field; nothing while there are no labels."""
    fields: dict[str, list[FieldPerformance]] = {}
    for one in found.performance:
        if one.window is not None and one.labelled:
            fields.setdefault(one.field, []).append(one)
    if not fields:
        return ""
    axes, figure = _axes(7.2, 2.4)
    troubled = {one.field for one in (*found.broken, *found.doubtful)}
    for shift, (name, rows) in enumerate(fields.items()):
        x = [one.window + 0.09 * (shift - len(fields) / 2) for one in rows]  # type: ignore[operator]
        (line,) = axes.plot(x, [one.precision for one in rows], "o-", ms=3, lw=1, label=name)
        if name in troubled:
            bottoms, tops = zip(*(one.interval for one in rows), strict=True)
            axes.vlines(x, bottoms, tops, color=line.get_color(), lw=1, alpha=0.4)
    axes.axhline(found.promised_precision, color=_RED, lw=1, ls="--", label="promised")
    axes.set_xticks(range(len(found.windows)), [day_said(window.start, "%d %b") for window in found.windows], fontsize=7)
    axes.legend(fontsize=7, frameon=False, ncols=3, loc="lower left")
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    return _svg(figure)


def _axes(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
    return axes, figure


def _svg(figure: Any) -> str:
    """The same findings give the same bytes."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "proveout", "svg.fonttype": "none", "font.family": "sans-serif"}):
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()[out.getvalue().index("<svg") :]


def _share(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}%}" if math.isfinite(value) else "–"


def _p(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}" if value >= 0.01 else f"{value:.0e}"


def _number(value: float, digits: int = 2) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
