"""The page that people read first, and the same findings for machines.

The first screen is a note from a colleague: what changed, since when, how sure, whom it hurts, what to do, and three cases.
Everything is in the one file (plots as SVG), so it opens without a network. Text from documents is escaped.
"""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from proveout.monitoring.bias import GAP
from proveout.monitoring.findings import Disparity, Event, FieldPerformance, Findings
from proveout.monitoring.significance import wilson

_BLUE, _RED, _GREY = "#1f5fa8", "#b3261e", "#8a8f98"


def write_page(found: Findings, html: Path, json_file: Path, links: Mapping[str, str]) -> None:
    """Write the page and its JSON. `links` names the reports beside it: title to path, relative to the page."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("proveout.monitoring", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"day": _day, "share": _share, "p": _p, "number": _number}
    text = environment.get_template("page.html.j2").render(
        found=found,
        headline=headline(found),
        columns=_columns(found),
        links=links,
        drift_plots=[share_plot(found, one.event, one.since) for one in found.drifted],
        bias_plot=bias_plot(found.disparities),
        performance_plot=performance_plot(found),
        gap=GAP,
        overall=[one for one in found.performance if one.window is None],
    )
    html.write_text(text, encoding="utf-8")
    json_file.write_text(json.dumps(as_json(found, links), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def headline(found: Findings) -> str:
    """The whole report in a sentence or two."""
    said = []
    if found.broken:
        names = _listed([one.field for one in found.broken])
        said.append(f"The promise of {found.promised_precision:.0%} precision is broken for {names}.")
    if found.doubtful:
        shares = _listed([f"{one.field} ({one.precision:.1%})" for one in found.doubtful])
        said.append(f"Below the promised {found.promised_precision:.0%} precision, though not surely: {shares}.")
    if found.drifted:
        others = len(found.drifted) - 1
        more = f", and {others} more column{'s' * (others > 1)} moved" if others else ""
        said.append(f"{found.drifted[0].sentence}{more}.")
    if found.worse_off:
        names = _listed(list(dict.fromkeys(one.segment for one in found.worse_off)))
        said.append(f"{names} {'is' if ' and ' not in names else 'are'} treated worse than the rest.")
    if said:
        return " ".join(said)
    if not any(window.tested for window in found.windows):
        return "There are too few cases to say anything about drift yet."
    return "Nothing changed beyond chance, and no segment is surely treated worse."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def as_json(found: Findings, links: Mapping[str, str]) -> dict[str, Any]:
    """The findings as plain data; a number that does not exist is null.

    `drifted`: what, since, p (corrected), effect (change of a share). `worse_off`: segment, measure, value, other, interval.
    """
    drifted = [asdict(one) | {"event": str(one.event), "sentence": one.sentence} for one in found.drifted]
    plain = {
        "mission": found.mission,
        "releases": found.releases,
        "headline": headline(found),
        "advice": found.advice,
        "reference": {"from": found.reference_days[0], "to": found.reference_days[1], "cases": found.reference_cases},
        "log": {"from": found.days[0], "to": found.days[1], "cases": found.cases, "without_day": found.without_day},
        "alerts": found.alerts.model_dump(),
        "drifted": drifted,
        "worse_off": [asdict(one) for one in found.worse_off],
        "broken": [asdict(one) for one in found.broken],
        "examples": [asdict(one) for one in found.examples],
        "disparities": [asdict(one) for one in found.disparities],
        "performance": [asdict(one) for one in found.performance],
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
    nothing = {"p": math.nan, "effect": math.nan, "event": "no values to compare", "drifted": False}
    return rows + [{"column": name, **nothing} for name in found.columns if name not in best]


def share_plot(found: Findings, event: Event, since: date | None = None) -> str:
    """SVG: the share of the event in every window with its 95 % interval, the reference as a band, the change as a line."""
    axes, figure = _axes(5.6, 2.3)
    true = event.holds(found.features)
    known = event.holds(found.reference_features).dropna()
    low, high = wilson(int(known.sum()), len(known))
    axes.axhspan(low, high, color=_GREY, alpha=0.25, lw=0, label="reference")
    place = 0
    for window in found.windows:
        values = true.iloc[place : place + window.cases].dropna()
        place += window.cases
        if len(values):
            bottom, top = wilson(int(values.sum()), len(values))
            middle = window.start + (window.end - window.start) / 2
            axes.vlines(middle, bottom, top, color=_BLUE, lw=1.5)
            axes.plot(middle, values.mean(), "o", color=_BLUE, ms=4)
    if since:
        axes.axvline(since, color=_RED, lw=1, ls="--", label=f"since {since:%d %b}")
    axes.set_ylim(0, 1)
    axes.set_title(str(event), fontsize=9, loc="left")
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    axes.legend(fontsize=7, frameon=False, loc="upper left")
    figure.autofmt_xdate(rotation=0, ha="center")
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
    axes.set_yticks(range(len(rows)), [f"{one.segment}: {one.measure}" for one in rows], fontsize=7)
    axes.set_xlabel("difference to all other cases", fontsize=8)
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
    for shift, (name, rows) in enumerate(fields.items()):
        x = [one.window + 0.09 * (shift - len(fields) / 2) for one in rows]  # type: ignore[operator]
        (line,) = axes.plot(x, [one.precision for one in rows], "o-", ms=3, lw=1, label=name)
        bottoms, tops = zip(*(one.interval for one in rows), strict=True)
        axes.vlines(x, bottoms, tops, color=line.get_color(), lw=0.8, alpha=0.4)
    axes.axhline(found.promised_precision, color=_RED, lw=1, ls="--", label="promised")
    axes.set_xticks(range(len(found.windows)), [f"{window.start:%d %b}" for window in found.windows], fontsize=7)
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


def _day(value: date | None) -> str:
    return f"{value:%d %B %Y}".lstrip("0") if value else "no day"


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1%}"


def _p(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}" if value >= 0.01 else f"{value:.0e}"


def _number(value: float, digits: int = 2) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
