"""One page as columns. Readers produce it, the cache stores it, worker processes send it; words are built from it last.

Columns, because a page has hundreds of words: arrays are sorted, stored and sent ten times faster than objects.
Covered: reading order (lines from top to bottom, each from left to right), the same for the same boxes on every machine.
Not covered: the structure of tables and columns. The boxes hold what is needed to find it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, repeat
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from proveout.records import Anomaly, AnomalyKind, Box, Document, EInvoice, Page, Place, Source, Word

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DECIMALS = 2  # of a point; rounding happens only in `page_columns`, so that a stored page equals a freshly read one


@dataclass(frozen=True, slots=True)
class PageColumns:
    """One page; texts, boxes, lines and confidence are parallel."""

    width: float  # points
    height: float  # points
    turned: float  # degrees clockwise, see `records.Page`
    source: Source
    texts: list[str]  # in reading order
    boxes: Floats  # (words, 4): x0, y0, x1, y1 in points, origin at the top left
    lines: Ints  # (words,): line of each word, from 0
    confidence: Floats  # (words,)
    anomalies: tuple[Anomaly, ...] = ()  # of this page


def page_columns(
    width: float,
    height: float,
    texts: list[str],
    boxes: Floats,
    *,
    source: Source,
    turned: float = 0.0,
    confidence: Floats | None = None,
) -> PageColumns:
    """Put the words of a page, in any order, into reading order. Without `confidence` it is 1."""
    order, lines = reading_order(boxes)
    rounded = np.ones(len(texts)) if confidence is None else np.round(confidence, 4)
    return PageColumns(
        width=round(float(width), DECIMALS),
        height=round(float(height), DECIMALS),
        turned=round(float(turned), DECIMALS),
        source=source,
        texts=[texts[i] for i in order.tolist()],
        boxes=np.round(boxes, DECIMALS)[order],
        lines=lines,
        confidence=rounded[order],
    )


def reading_order(boxes: Floats) -> tuple[Ints, Ints]:
    """The order in which a person reads boxes (n, 4), and the line of each box in that order.

    Two words share a line if the distance of their middles is less than half the smaller height and neither is three times
    as high as the other, so that a stamp in large letters does not merge the lines it covers.

    >>> order, lines = reading_order(np.array([[50.0, 21, 90, 30], [50, 0, 90, 9], [0, 1, 40, 10]]))
    >>> order.tolist(), lines.tolist()
    ([2, 1, 0], [0, 0, 1])
    """
    if not len(boxes):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    heights = np.maximum(boxes[:, 3] - boxes[:, 1], 0.1)
    rows: list[tuple[float, float, list[int]]] = []  # mean middle, mean height, words
    by_middle = np.lexsort((boxes[:, 0], middles))
    for i, middle, height in zip(by_middle.tolist(), middles[by_middle].tolist(), heights[by_middle].tolist(), strict=True):
        near = [
            (abs(middle - row_middle), n)
            for n, (row_middle, row_height, _) in enumerate(rows[-3:], start=max(len(rows) - 3, 0))
            if abs(middle - row_middle) < 0.5 * min(height, row_height)
            and max(height, row_height) < 3 * min(height, row_height)
        ]
        if not near:
            rows.append((middle, height, [i]))
            continue
        n = min(near)[1]
        row_middle, row_height, words = rows[n]
        words.append(i)
        k = len(words)
        rows[n] = (row_middle + (middle - row_middle) / k, row_height + (height - row_height) / k, words)
    rows.sort(key=lambda row: row[0])
    line = np.empty(len(boxes), dtype=np.int64)
    for n, (_, _, words) in enumerate(rows):
        line[words] = n
    order = np.lexsort((boxes[:, 2], boxes[:, 0], line))
    return order, line[order]


def document(
    sha256: str, pages: Sequence[PageColumns], anomalies: Iterable[Anomaly] = (), e_invoice: EInvoice | None = None
) -> Document:
    """The document with this id and these pages; `anomalies`: of the whole document, in addition to those of its pages."""
    every = chain(chain.from_iterable(page.anomalies for page in pages), anomalies)
    return Document(sha256, tuple(_page(sha256, number, page) for number, page in enumerate(pages)), tuple(every), e_invoice)


def _page(sha256: str, number: int, page: PageColumns) -> Page:
    x0, y0, x1, y1 = page.boxes.T.tolist() if len(page.texts) else ([], [], [], [])
    words = map(
        Word,
        page.texts,
        map(Box, x0, y0, x1, y1),
        repeat(number),
        page.lines.tolist(),
        repeat(sha256),
        repeat(page.source),
        page.confidence.tolist(),
    )
    return Page(number, page.width, page.height, tuple(words), page.turned)


def to_json(
    sha256: str, pages: Sequence[PageColumns], anomalies: Iterable[Anomaly] = (), e_invoice: EInvoice | None = None
) -> bytes:
    """Serialise a document; equal documents give equal bytes. `anomalies`: of the whole document."""
    import orjson

    plain = [
        {
            "width": page.width,
            "height": page.height,
            "turned": page.turned,
            "source": page.source.value,
            "texts": page.texts,
            "boxes": page.boxes.ravel(),
            "lines": page.lines,
            "confidence": None if (page.confidence == 1).all() else page.confidence,
        }
        for page in pages
    ]
    every = [*chain.from_iterable(page.anomalies for page in pages), *anomalies]
    content = {"sha256": sha256, "pages": plain, "anomalies": every, "e_invoice": e_invoice}
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def from_json(payload: bytes) -> Document:
    """The document that `to_json` serialised."""
    import orjson

    plain = orjson.loads(payload)
    return document(
        plain["sha256"],
        [
            PageColumns(
                width=page["width"],
                height=page["height"],
                turned=page["turned"],
                source=Source(page["source"]),
                texts=page["texts"],
                boxes=np.array(page["boxes"], dtype=np.float64).reshape(-1, 4),
                lines=np.array(page["lines"], dtype=np.int64),
                confidence=np.ones(len(page["texts"])) if page["confidence"] is None else np.array(page["confidence"]),
            )
            for page in plain["pages"]
        ],
        map(anomaly, plain["anomalies"]),
        e_invoice(plain["e_invoice"]),
    )


def anomaly(plain: Mapping[str, Any]) -> Anomaly:
    """The anomaly that JSON holds as nested objects."""
    place = plain["place"] and Place(plain["place"]["page"], Box(**plain["place"]["box"]))
    return Anomaly(AnomalyKind(plain["kind"]), plain["because"], plain["text"], place)


def e_invoice(plain: Mapping[str, Any] | None) -> EInvoice | None:
    """The e-invoice that JSON holds as nested objects."""
    return EInvoice(**{**plain, "terms": tuple((name, text) for name, text in plain["terms"])}) if plain else None


def lines(page: Page) -> list[list[Word]]:
    """The words of a page, line by line from the top, each from left to right."""
    return [list(words) for _, words in groupby(page.words, key=attrgetter("line"))]
