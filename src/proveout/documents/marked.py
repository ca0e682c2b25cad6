"""A document for people: self-contained HTML with pictures of its pages, the extracted values and the anomalies marked in them.

All text from a document is escaped: it is data and never becomes markup or script.
"""

import base64
import html
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from proveout.documents.pictures import page_png, read_once
from proveout.records import Decision, Document, Page, Place

AUTOMATED, OPEN, ANOMALY = "#1d7a4f", "#c2571a", "#a3217a"
STYLE = f"""<style>
.marked-page {{ position: relative; margin: 0 0 1rem; border: 1px solid #d7dce1; background: white; line-height: 0; }}
.marked-page img {{ width: 100%; height: auto; }}
.marked-page b {{ position: absolute; border: 2px solid {OPEN}; border-radius: 2px; background: {OPEN}1c; }}
.marked-page b.automated {{ border-color: {AUTOMATED}; background: {AUTOMATED}1c; }}
.marked-page b span {{ position: absolute; left: 100%; top: -2px; padding: 0 5px; font: 600 11px/1.35 system-ui, sans-serif;
  color: white; background: {OPEN}; white-space: nowrap; border-radius: 0 2px 2px 0; opacity: .9; }}
.marked-page b.automated span {{ background: {AUTOMATED}; }}
.marked-page b.anomaly {{ border: 2px dashed {ANOMALY}; background: none; }}
.marked-page b.anomaly span {{ background: {ANOMALY}; left: -2px; top: 100%; border-radius: 0 0 2px 2px; }}
</style>"""


@dataclass(frozen=True)
class Mark:
    """A box on a page, with a name."""

    name: str
    place: Place
    kind: str = ""  # automated, anomaly, or neither
    title: str = ""  # shown under the pointer


def marked_pages(decision: Decision, path: Path, cache: Path | None = None, at_most: int = 4) -> str:
    """Pictures of the pages that hold values or anomalies, each in a box with its name; without any, the first page."""
    result = read_once(path, cache)
    if not isinstance(result, Document):
        return f"<p>{html.escape(str(result))}</p>"
    names: dict[Place, list[str]] = {}
    for name, value in decision.fields.items():
        if value.place:
            names.setdefault(value.place, []).append(name)
    anomalies = [Mark(each.kind.value, each.place, "anomaly", each.because) for each in result.anomalies if each.place]
    values = [
        Mark(", ".join(each), place, "automated" if decision.automated.issuperset(each) else "")
        for place, each in names.items()
    ]
    return pages_with([*anomalies, *values], path, result, cache, at_most)


def pages_with(marks: Sequence[Mark], path: Path, document: Document, cache: Path | None = None, at_most: int = 4) -> str:
    """Pictures of the pages that have marks, those of the first marks if they are more than `at_most`; or the first page.

    Files are read and drawn in separate processes, so a hostile file cannot crash this one.
    """
    numbers = list(dict.fromkeys(mark.place.page for mark in marks))[:at_most] or [0]
    pages = [page for page in document.pages if page.number in numbers]
    with ThreadPoolExecutor(len(pages)) as pool:
        pictures = list(pool.map(lambda page: page_png(path, page.number, cache), pages))
    return STYLE + "".join(_page(page, picture or b"", marks) for page, picture in zip(pages, pictures, strict=True))


def _page(page: Page, picture: bytes, marks: Sequence[Mark]) -> str:
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    boxes = "".join(_box(mark, page) for mark in marks if mark.place.page == page.number)
    return f'<div class="marked-page"><img src="{source}" alt="page {page.number + 1}">{boxes}</div>'


def _box(mark: Mark, page: Page) -> str:
    size, box = (page.width, page.height), mark.place.box
    points = (box.x0 - 2, box.y0 - 2, box.x1 - box.x0 + 4, box.y1 - box.y0 + 4)
    properties = zip(("left", "top", "width", "height"), points, strict=True)
    style = "; ".join(f"{name}: {100 * value / size[n % 2]:.2f}%" for n, (name, value) in enumerate(properties))
    named = (("class", mark.kind), ("title", mark.title))
    attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in named if value)
    return f'<b style="{style}"{attributes}><span>{html.escape(mark.name)}</span></b>'
