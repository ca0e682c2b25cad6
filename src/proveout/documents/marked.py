"""A document for people: self-contained HTML with pictures of its pages, the extracted values and the anomalies marked in them.

All text from a document is escaped: it is data and never becomes markup or script.
"""

import base64
import html
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from proveout.documents.pictures import page_png, read_once
from proveout.records import Anomaly, Box, Decision, Document, Page

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


def marked_pages(decision: Decision, path: Path, cache: Path | None = None, at_most: int = 4) -> str:
    """Pictures of the pages that hold values or anomalies, each in a box with its name; without any, the first page.

    With more than `at_most` such pages, those with anomalies are kept first.

    Files are read and drawn in separate processes, so a hostile file cannot crash this one.
    """
    result = read_once(path, cache)
    if not isinstance(result, Document):
        return f"<p>{html.escape(str(result))}</p>"
    places = [*(anomaly.place for anomaly in result.anomalies), *(value.place for value in decision.fields.values())]
    numbers = list(dict.fromkeys(place.page for place in places if place))[:at_most] or [0]
    pages = [page for page in result.pages if page.number in numbers]
    with ThreadPoolExecutor(len(pages)) as pool:
        pictures = list(pool.map(lambda page: page_png(path, page.number, cache), pages))
    return STYLE + "".join(
        _page(page, picture or b"", decision, result.anomalies) for page, picture in zip(pages, pictures, strict=True)
    )


def _page(page: Page, picture: bytes, decision: Decision, anomalies: Sequence[Anomaly]) -> str:
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    names_by_box: dict[Box, list[str]] = {}
    for name, value in decision.fields.items():
        if value.place and value.place.page == page.number:
            names_by_box.setdefault(value.place.box, []).append(name)
    marks = [
        _box(", ".join(names), box, "automated" if decision.automated.issuperset(names) else "", page)
        for box, names in names_by_box.items()
    ]
    marks += [
        _box(anomaly.kind.value, anomaly.place.box, "anomaly", page, title=anomaly.because)
        for anomaly in anomalies
        if anomaly.place and anomaly.place.page == page.number
    ]
    return f'<div class="marked-page"><img src="{source}" alt="page {page.number + 1}">{"".join(marks)}</div>'


def _box(label: str, box: Box, mark: str, page: Page, title: str = "") -> str:
    size = (page.width, page.height)
    points = (box.x0 - 2, box.y0 - 2, box.x1 - box.x0 + 4, box.y1 - box.y0 + 4)
    properties = zip(("left", "top", "width", "height"), points, strict=True)
    style = "; ".join(f"{name}: {100 * value / size[n % 2]:.2f}%" for n, (name, value) in enumerate(properties))
    attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in (("class", mark), ("title", title)) if value)
    return f'<b style="{style}"{attributes}><span>{html.escape(label)}</span></b>'
