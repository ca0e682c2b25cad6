"""The record of a run: code, output, console and time of every cell, as one HTML file that opens offline, and as a read-only
notebook for JupyterLab.

Entry point: `RunRecord`. marimo's own formatters render the output where they yield plain HTML or images. A widget becomes
its label and value, a live table its first rows.
Covered: matplotlib figures (inline images), markdown, tables of pandas and polars, layouts of marimo, errors.
Not covered: interactive charts (Altair, Plotly). A line in their place says that only the editor displays them.
"""

import html
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from proveout.bridge import marimo_internals

ROWS = 50  # of a table; the rest is left out
CONSOLE = 200_000  # characters of a cell's console; the rest is left out


@dataclass
class CellRecord:
    title: str
    code: str
    line: int
    state: str = "ok"  # ok, failed, skipped, replaced by a parameter
    seconds: float = 0.0
    output: str = ""  # HTML
    console: list[tuple[str, str]] = field(default_factory=list)  # ("stdout" | "stderr", text)
    error: str = ""


@dataclass
class RunRecord:
    task: str
    notebook: str
    started: str  # ISO 8601, UTC
    params: Mapping[str, Any]
    facts: dict[str, str] = field(default_factory=dict)  # hashes, environment
    cells: list[CellRecord] = field(default_factory=list)
    seconds: float = 0.0

    def html(self) -> str:
        """The page; it loads nothing from a network and runs no script."""
        failed = any(cell.state == "failed" for cell in self.cells)
        facts = {**self.facts, "python": platform.python_version(), "platform": platform.platform(aliased=True, terse=True)}
        return _PAGE.format(
            title=html.escape(self.task),
            style=_STYLE,
            badge="failed" if failed else "ok",
            line=html.escape(f"{self.notebook} · {self.started} · {self.seconds:.2f} s"),
            params=_rows({name: _text(value) for name, value in self.params.items()}),
            facts=_rows(facts),
            cells="\n".join(_cell(cell) for cell in self.cells),
        )

    def write(self, page: Path) -> None:
        """Write the HTML to `page`, and the read-only notebook beside it."""
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(self.html(), encoding="utf-8")
        notebook = ipynb_of(page)
        notebook.unlink(missing_ok=True)
        notebook.write_text(self.ipynb(), encoding="utf-8")
        notebook.chmod(0o400)

    def ipynb(self) -> str:
        """The notebook as JSON, nbformat 4.5. Its cells cannot be edited; their output is HTML without scripts."""
        params = "".join(f"\n- {name}: `{_text(value)}`" for name, value in self.params.items())
        head = f"# {self.task}\n\nRecord of `{self.notebook}`, run at {self.started} in {self.seconds:.2f} s. "
        head += f"Read-only: to change the notebook, edit it in marimo.\n{params}"
        locked = {"editable": False, "deletable": False}
        cells: list[dict[str, Any]] = [{"cell_type": "markdown", "id": "head", "metadata": locked, "source": head}]
        for number, cell in enumerate(self.cells, start=1):
            cells.append(
                {
                    "cell_type": "code",
                    "id": f"cell-{number}",
                    "metadata": {**locked, "marimo": {"title": cell.title, "state": cell.state, "seconds": cell.seconds}},
                    "execution_count": number if cell.state in ("ok", "failed") else None,
                    "source": cell.code,
                    "outputs": _outputs(cell),
                }
            )
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def ipynb_of(page: Path) -> Path:
    """The path of the notebook that belongs to a page."""
    return page.with_suffix(".ipynb")


def rendered(value: object) -> str:
    """A cell's value as HTML that needs neither scripts nor a network."""
    if value is None:
        return ""
    if (table := _table(value)) is not None:
        return table
    mimetype, data, error = marimo_internals.format_value(value)
    return f"<pre class=error>{html.escape(error)}</pre>" if error else static(_as_html(mimetype, data))


def static(markup: str) -> str:
    """Replace marimo's live elements by plain HTML.

    >>> static("<marimo-slider data-initial-value='5' data-label='&quot;k&quot;'></marimo-slider>")
    '<span class=widget>k: <b>5</b></span>'
    """
    markup = re.sub(r"(<marimo-tex[^>]*>)\|\|[(\[](.*?)\|\|[)\]]", r"\1<code>\2</code>", markup, flags=re.S)
    if "<marimo-" not in markup and "<script" not in markup:
        return markup
    parser = _Static()
    parser.feed(markup)
    parser.close()
    return "".join(parser.out)


def _as_html(mimetype: str, data: Any) -> str:
    if mimetype == "application/vnd.marimo+mimebundle":
        bundle = json.loads(data) if isinstance(data, str) else data
        best = next((kind for kind in ("text/html", "image/svg+xml", "image/png") if kind in bundle), next(iter(bundle)))
        meta = bundle.get("__metadata__", {}).get(best, {})
        size = "".join(f' {side}="{meta[side]}"' for side in ("width", "height") if side in meta)
        return _as_html(best, bundle[best]).replace("<img ", f"<img{size} ", 1)
    if mimetype.startswith("image/"):
        if mimetype == "image/svg+xml" and not str(data).startswith("data:"):
            return str(data)
        source = data if str(data).startswith("data:") else f"data:{mimetype};base64,{data}"
        return f'<img src="{source}" alt="">'
    if mimetype in ("text/html", "text/markdown"):
        return str(data)
    if mimetype == "application/json":
        value = json.loads(data) if isinstance(data, str) else data
        return f"<pre>{html.escape(json.dumps(value, indent=2, ensure_ascii=False)[:CONSOLE])}</pre>"
    if mimetype.startswith("text/"):
        return f"<pre>{html.escape(str(data))}</pre>" if data else ""
    return f"<p class=note>{html.escape(mimetype)}: displayed only in the editor</p>"


def _table(value: object) -> str | None:
    """Rows of a pandas or polars table, or of a marimo table widget; None for anything else."""
    kind = type(value)
    if kind.__module__.startswith("marimo.") and kind.__name__ == "table":
        return _table(getattr(value, "data", None))
    if kind.__module__.split(".")[0] == "pandas" and kind.__name__ in ("DataFrame", "Series"):
        frame: Any = value.to_frame() if kind.__name__ == "Series" else value  # type: ignore[attr-defined]
        frame = frame[[name for name in frame.columns if name != marimo_internals.ROW_ID]]
        return str(frame.head(ROWS).to_html(border=0, max_cols=40, classes="table")) + _more(len(frame))
    if kind.__module__.split(".")[0] == "polars" and kind.__name__ == "DataFrame":
        rows = value.head(ROWS).rows()  # type: ignore[attr-defined]
        return _plain_table(list(value.columns), rows) + _more(len(value))  # type: ignore[attr-defined,arg-type]
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        names = list(dict.fromkeys(name for row in value[:ROWS] for name in row))
        return _plain_table(names, [[row.get(name, "") for name in names] for row in value[:ROWS]]) + _more(len(value))
    return None


def _plain_table(names: list[Any], rows: list[Any]) -> str:
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table class=table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _more(rows: int) -> str:
    return f"<p class=note>{ROWS} of {rows:,} rows</p>" if rows > ROWS else ""


_LAYOUT = {"marimo-ui-element", "marimo-carousel", "marimo-accordion", "marimo-tabs", "marimo-callout-output", "marimo-routes"}
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class _Static(HTMLParser):
    """Copies HTML, with text in place of live elements."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.out: list[str] = []
        self._dropped = ""  # tag of the element whose content is left out
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._dropped:
            self._depth += tag == self._dropped
            return
        if tag == "script":
            self._dropped, self._depth = tag, 1
        elif tag.startswith("marimo-"):
            data = {name.removeprefix("data-"): _decoded(value) for name, value in attrs}
            self.out.append(_widget(tag, data))
            if tag not in _LAYOUT and "tex" not in tag:
                self._dropped, self._depth = tag, 1
        else:
            self.out.append(self.get_starttag_text() or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._dropped and not tag.startswith("marimo-"):
            self.out.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        if self._dropped:
            self._depth -= tag == self._dropped
            if not self._depth:
                self._dropped = ""
        elif not tag.startswith("marimo-") and tag not in _VOID:
            self.out.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._dropped:
            self.out.append(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")


def _decoded(value: str | None) -> Any:
    try:
        return json.loads(value or "null")
    except ValueError:
        return value


def _widget(tag: str, data: Mapping[str, Any]) -> str:
    if tag in _LAYOUT or "tex" in tag:
        return ""
    rows = data.get("data")
    if tag == "marimo-table":
        rows = _decoded(rows) if isinstance(rows, str) else rows
        if isinstance(rows, list) and (table := _table(rows)):
            return table
        return f"<p class=note>table of {data.get('total-rows', '?')} rows</p>"
    if tag == "marimo-json-output":
        return f"<pre>{html.escape(json.dumps(data.get('json-data'), indent=2, ensure_ascii=False))}</pre>"
    label = re.sub(r"<[^>]+>", "", str(data.get("label") or "")) or tag.removeprefix("marimo-").replace("-", " ")
    value = data.get("initial-value")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    if value is None or isinstance(value, dict) or tag in ("marimo-vega", "marimo-plotly", "marimo-anywidget"):
        return f"<span class=widget>{label}: displayed only in the editor</span>"
    return f"<span class=widget>{label}: <b>{html.escape(_text(value))}</b></span>"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _rows(facts: Mapping[str, str]) -> str:
    return "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in facts.items())


def _cell(cell: CellRecord) -> str:
    console = "".join(f"<pre class={stream}>{html.escape(text[:CONSOLE])}</pre>" for stream, text in cell.console)
    error = f"<pre class=error>{html.escape(cell.error)}</pre>" if cell.error else ""
    seconds = f"{cell.seconds:.3f} s" if cell.state in ("ok", "failed") else cell.state
    return (
        f"<section class='cell {cell.state}'><header><span>{html.escape(cell.title)}</span><span>{seconds}</span></header>"
        f"<details{' open' if cell.state == 'failed' else ''}><summary>code</summary>"
        f"<pre class=code>{html.escape(cell.code)}</pre></details>"
        f"<div class=output{' tabindex=0' if cell.output else ''}>{cell.output}</div>{console}{error}</section>"
    )


def _outputs(cell: CellRecord) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = [
        {"output_type": "stream", "name": stream, "text": text[:CONSOLE]} for stream, text in cell.console
    ]
    if cell.output:
        outputs.append({"output_type": "display_data", "metadata": {}, "data": {"text/html": cell.output}})
    if cell.error:
        lines = cell.error.splitlines()
        name, _, value = lines[-1].partition(": ")
        outputs.append({"output_type": "error", "ename": name, "evalue": value, "traceback": lines})
    return outputs


_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2024;background:#fff}
h1{font-size:1.5rem;margin:0}.ok>main>h1::after{content:" ✓";color:#18794e}.failed>main>h1::after{content:" ✗";color:#ce2c31}
table{border-collapse:collapse;font-size:.85rem;margin:.5rem 0}td{overflow-wrap:anywhere}
.output{overflow-x:auto}.output td{overflow-wrap:normal}
th,td{padding:.2rem .6rem;border-bottom:1px solid #e0e3e6;text-align:left;vertical-align:top}
pre{background:#f6f7f8;padding:.5rem .7rem;overflow-x:auto;font-size:.8rem;white-space:pre-wrap;overflow-wrap:anywhere}
.cell{margin:1rem 0;border-left:3px solid #d9dde1;padding-left:.8rem}.cell.failed{border-color:#ce2c31}
.cell header{display:flex;justify-content:space-between;color:#60646c;font-size:.75rem}
details summary{cursor:pointer;color:#60646c;font-size:.75rem}.error,.stderr{background:#fff0f0;color:#641723}
.widget{background:#eef1f4;border-radius:.3rem;padding:.1rem .5rem}.note{color:#60646c;font-size:.8rem}
img,svg{max-width:100%;height:auto}
""".strip()

_PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width,initial-scale=1"><title>{title}</title>
<style>{style}</style>
<body class={badge}><main><h1>{title}</h1><p>{line}</p>
<details open><summary>parameters</summary><table>{params}</table></details>
<details><summary>built from</summary><table>{facts}</table></details>
{cells}
</main></body></html>
"""
