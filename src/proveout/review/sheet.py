"""A case on paper: its pages with the evidence marked, and the reasons beside it, as HTML that needs nothing from elsewhere.

Everything that was read in a document is escaped: it is data, and a page of ours never runs what a document says.
"""

import base64
import html
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from proveout import documents
from proveout.documents.pictures import read_once
from proveout.journal import Decided
from proveout.records import Box, Decision, Document, FieldValue, Page

AUTOMATED, OPEN = "#1d7a4f", "#c2571a"
STYLE = f"""<style>
.sheet {{ position: relative; margin: 0 0 1rem; border: 1px solid #d7dce1; background: white; line-height: 0; }}
.sheet img {{ width: 100%; height: auto; }}
.sheet b {{ position: absolute; border: 2px solid {OPEN}; border-radius: 2px; background: {OPEN}1c; }}
.sheet b.automated {{ border-color: {AUTOMATED}; background: {AUTOMATED}1c; }}
.sheet b span {{ position: absolute; left: 100%; top: -2px; padding: 0 5px; font: 600 11px/1.35 system-ui, sans-serif;
  color: white; background: {OPEN}; white-space: nowrap; border-radius: 0 2px 2px 0; opacity: .9; }}
.sheet b.automated span {{ background: {AUTOMATED}; }}
.reasons {{ font: 13px/1.45 system-ui, sans-serif; color: #3b4754; }}
.reasons h4 {{ margin: .9rem 0 .2rem; font-size: 12px; letter-spacing: .04em; text-transform: uppercase; color: #6b7785; }}
.reasons ul {{ margin: 0; padding-left: 1.1rem; }}
.reasons .bad {{ color: {OPEN}; }}
.sure {{ font: 13px/1.4 system-ui, sans-serif; color: #3b4754; }}
.sure strong {{ color: {OPEN}; }}
.sure strong.automated {{ color: {AUTOMATED}; }}
</style>"""


def pages(decision: Decision, path: Path, cache: Path | None = None, at_most: int = 4) -> str:
    """Pictures of the pages on which something was found, each value in a box with its name; the first page if nothing was.

    A page is read and drawn in a process of its own: what a hostile file breaks is not this one.
    """
    read = read_once(path, cache)
    if not isinstance(read, Document):
        return f"<p>{html.escape(str(read))}</p>"
    found = {value.page for value in decision.fields.values()} or {0}
    shown = [page for page in read.pages if page.number in found][:at_most]
    with ThreadPoolExecutor(len(shown)) as pool:
        pictures = list(pool.map(lambda page: documents.page_png(path, page.number, cache), shown))
    return STYLE + "".join(_page(page, picture or b"", decision) for page, picture in zip(shown, pictures, strict=True))


def _page(page: Page, picture: bytes, decision: Decision) -> str:
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    here = [(name, value) for name, value in decision.fields.items() if value.page == page.number]
    at_one_place = {value.box: [name for name, other in here if other.box == value.box] for _, value in here}
    boxes = "".join(_box(names, box, decision.automated.issuperset(names), page) for box, names in at_one_place.items())
    return f'<div class="sheet"><img src="{source}" alt="page {page.number + 1}">{boxes}</div>'


def _box(names: list[str], box: Box, automated: bool, page: Page) -> str:
    of = (page.width, page.height)
    points = (box.x0 - 2, box.y0 - 2, box.x1 - box.x0 + 4, box.y1 - box.y0 + 4)
    named = zip(("left", "top", "width", "height"), points, strict=True)
    style = "; ".join(f"{what}: {100 * each / of[n % 2]:.2f}%" for n, (what, each) in enumerate(named))
    return f'<b style="{style}"{_mark(automated)}><span>{html.escape(", ".join(names))}</span></b>'


def template(decision: Decision, names: list[str]) -> str:
    """A form's HTML, for `str.format`: the class, then each field with how sure the agent is of it below."""
    rows = (f"<div>{{{name}}}{_plain(sure(decision.fields.get(name), name in decision.automated))}</div>" for name in names)
    return f'<div style="display: grid; gap: .8rem"><div>{{class}}</div>{"".join(rows)}</div>'


def _plain(text: str) -> str:
    """Braces that a document holds are no placeholders."""
    return text.replace("{", "{{").replace("}", "}}")


def sure(value: FieldValue | None, automated: bool) -> str:
    """How sure the agent is of one value, and why."""
    if value is None:
        return '<div class="sure"><strong>nothing found</strong></div>'
    word = "automated" if automated else "yours to check"
    said = [f"<strong{_mark(automated)}>{value.confidence:.0%} sure, {word}</strong>, page {value.page + 1}"]
    said += [f"for: {html.escape('; '.join(value.speaks_for[:2]))}"] if value.speaks_for else []
    said += [f"against: {html.escape('; '.join(value.speaks_against[:2]))}"] if value.speaks_against else []
    return f'<div class="sure">{"<br>".join(said)}</div>'


def reasons(decided: Decided) -> str:
    """Why a person is asked, what was checked, which past cases are like it, and what the control plane said."""
    decision = decided.decision
    like = (f"{case.similarity:.2f}  {', '.join(case.fields.values())}" for case in decision.similar[:3])
    ruled = (
        (f"{one.action.name}: {'allowed' if one.verdict.allowed else 'refused'}, {one.verdict.because}", one.verdict.allowed)
        for one in decided.rulings
    )
    parts = [
        _list("Why you are asked", ((said, True) for said in decision.because)),
        _list("Checks", ((f"{check.name}: {check.because}", check.passed) for check in decision.checks)),
        _list("Similar cases", ((said, True) for said in like)),
        _list("Actions", ruled),
    ]
    return f'<div class="reasons">{"".join(parts)}</div>'


def _list(title: str, lines: Iterable[tuple[str, bool]]) -> str:
    items = "".join(_items(lines))
    return f"<h4>{title}</h4><ul>{items}</ul>" if items else ""


def _items(lines: Iterable[tuple[str, bool]]) -> Iterator[str]:
    for said, good in lines:
        yield f"<li{'' if good else ' class=bad'}>{html.escape(said)}</li>"


def _mark(automated: bool) -> str:
    return ' class="automated"' if automated else ""
