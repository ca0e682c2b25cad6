"""A document as a person sees it: pictures of its pages with what was found marked in them, as HTML that needs nothing else.

Everything that was read in a document is escaped: it is data, and a page of ours never runs what a document says.
"""

import base64
import html
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from proveout.documents.pictures import page_png, read_once
from proveout.records import Box, Decision, Document, Page

AUTOMATED, OPEN = "#1d7a4f", "#c2571a"
STYLE = f"""<style>
.sheet {{ position: relative; margin: 0 0 1rem; border: 1px solid #d7dce1; background: white; line-height: 0; }}
.sheet img {{ width: 100%; height: auto; }}
.sheet b {{ position: absolute; border: 2px solid {OPEN}; border-radius: 2px; background: {OPEN}1c; }}
.sheet b.automated {{ border-color: {AUTOMATED}; background: {AUTOMATED}1c; }}
.sheet b span {{ position: absolute; left: 100%; top: -2px; padding: 0 5px; font: 600 11px/1.35 system-ui, sans-serif;
  color: white; background: {OPEN}; white-space: nowrap; border-radius: 0 2px 2px 0; opacity: .9; }}
.sheet b.automated span {{ background: {AUTOMATED}; }}
</style>"""


def marked_pages(decision: Decision, path: Path, cache: Path | None = None, at_most: int = 4) -> str:
    """Pictures of the pages on which something was found, each value in a box with its name; the first page if nothing was.

    A page is read and drawn in a process of its own: what a hostile file breaks is not this one.
    """
    read = read_once(path, cache)
    if not isinstance(read, Document):
        return f"<p>{html.escape(str(read))}</p>"
    marked = {value.place.page for value in decision.fields.values() if value.place} or {0}
    shown = [page for page in read.pages if page.number in marked][:at_most]
    with ThreadPoolExecutor(len(shown)) as pool:
        pictures = list(pool.map(lambda page: page_png(path, page.number, cache), shown))
    return STYLE + "".join(_page(page, picture or b"", decision) for page, picture in zip(shown, pictures, strict=True))


def _page(page: Page, picture: bytes, decision: Decision) -> str:
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    at_one_place: dict[Box, list[str]] = {}
    for name, value in decision.fields.items():
        if value.place and value.place.page == page.number:
            at_one_place.setdefault(value.place.box, []).append(name)
    boxes = "".join(_box(names, box, decision.automated.issuperset(names), page) for box, names in at_one_place.items())
    return f'<div class="sheet"><img src="{source}" alt="page {page.number + 1}">{boxes}</div>'


def _box(names: list[str], box: Box, automated: bool, page: Page) -> str:
    of = (page.width, page.height)
    points = (box.x0 - 2, box.y0 - 2, box.x1 - box.x0 + 4, box.y1 - box.y0 + 4)
    named = zip(("left", "top", "width", "height"), points, strict=True)
    style = "; ".join(f"{what}: {100 * each / of[n % 2]:.2f}%" for n, (what, each) in enumerate(named))
    mark = ' class="automated"' if automated else ""
    return f'<b style="{style}"{mark}><span>{html.escape(", ".join(names))}</span></b>'
