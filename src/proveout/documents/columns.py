"""One page as columns. Readers produce it, the cache stores it, worker processes send it; words are built from it last.

Columns, because a page has hundreds of words: arrays are sorted, stored and sent ten times faster than objects.
Covered: reading order (lines from top to bottom, each from left to right), the same for the same boxes on every machine.
Not covered: the structure of tables and columns. The boxes hold what is needed to find it.
"""

import math
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, repeat
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from proveout.records import Anomaly, AnomalyKind, Box, Document, EInvoice, Page, Place, Source, Word

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_T = TypeVar("_T")

DECIMALS = 2  # of a point; rounding happens only in `page_columns`, so that a stored page equals a freshly read one


_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")  # Hebrew, Arabic and their neighbours


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
    order, lines = reading_order(boxes, _vertical(texts, boxes))
    order = _right_to_left(texts, order, lines)
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


def reading_order(boxes: Floats, vertical: Ints | None = None) -> tuple[Ints, Ints]:
    """The order in which a person reads boxes (n, 4), and the line of each box in that order.

    `vertical`: the boxes of words written from top to bottom. Each is a line of its own; they follow, from right to left.

    Two words share a line if the distance of their middles is less than half the smaller height and neither is three times
    as high as the other, so that a stamp in large letters does not merge the lines it covers.

    >>> order, lines = reading_order(np.array([[50.0, 21, 90, 30], [50, 0, 90, 9], [0, 1, 40, 10]]))
    >>> order.tolist(), lines.tolist()
    ([2, 1, 0], [0, 0, 1])
    """
    if vertical is not None and len(vertical):
        level = np.setdiff1d(np.arange(len(boxes)), vertical)
        order, line = reading_order(boxes[level])
        columns = vertical[np.lexsort((boxes[vertical, 1], -boxes[vertical, 0]))]
        below = int(line.max(initial=-1)) + 1 + np.arange(len(columns))
        return np.concatenate([level[order], columns]), np.concatenate([line, below])
    if not len(boxes):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    heights = np.maximum(boxes[:, 3] - boxes[:, 1], 0.1)
    by_middle = np.lexsort((boxes[:, 0], middles))
    middle, height = middles[by_middle], heights[by_middle]
    # no line crosses a gap of half the smaller of the greatest heights above and below it
    reach = np.minimum(np.maximum.accumulate(height)[:-1], np.maximum.accumulate(height[::-1])[::-1][1:])
    starts = np.concatenate([[0], np.flatnonzero(np.diff(middle) >= 0.5 * reach) + 1])
    ends = np.append(starts[1:], len(boxes))
    low, high = np.minimum.reduceat(height, starts), np.maximum.reduceat(height, starts)
    one_line = (middle[ends - 1] - middle[starts] < 0.5 * low) & (high < 3 * low)
    line = np.empty(len(boxes), dtype=np.int64)
    count = 0
    for start, end, single in zip(starts.tolist(), ends.tolist(), one_line.tolist(), strict=True):
        if single:
            line[by_middle[start:end]] = count
            count += 1
            continue
        for words in _rows(middle[start:end].tolist(), height[start:end].tolist()):
            line[by_middle[[start + i for i in words]]] = count
            count += 1
    order = np.lexsort((boxes[:, 2], boxes[:, 0], line))
    return order, line[order]


def _vertical(texts: Sequence[str], boxes: Floats) -> Ints:
    """The words whose letters stand one below the other: their boxes are much higher than wide.

    >>> _vertical(["Illinois", "PAID12", "請求書"], np.array([[0.0, 0, 30, 12], [0, 0, 9, 90], [50, 0, 64, 48]])).tolist()
    [1, 2]
    """
    sizes = boxes[:, 2:] - boxes[:, :2]
    letters = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    tall = (sizes[:, 1] > 1.2 * sizes[:, 0]) & (letters >= 2)
    return np.array(
        [i for i in np.flatnonzero(tall).tolist() if sizes[i, 1] > (1.2 if texts[i][0] >= "\u2e80" else 3) * sizes[i, 0]],
        dtype=np.int64,
    )


def _right_to_left(texts: Sequence[str], order: Ints, lines: Ints) -> Ints:
    """The order in which lines of Arabic and Hebrew are read: from the right, but Latin words in them from the left.

    A line is such a line if most of its words are, or if it has one on a page of which that is true.

    >>> _right_to_left(["4711", "Ltd", "ספק", "ראשי"], np.arange(4), np.zeros(4, dtype=np.int64)).tolist()
    [3, 2, 0, 1]
    """
    rtl = np.array([bool(_RIGHT_TO_LEFT.search(text)) for text in texts]) if _RIGHT_TO_LEFT.search("".join(texts)) else None
    if rtl is None:
        return order
    wordy = [any(map(str.isalpha, text)) for text in texts]
    whole_page = 2 * int(rtl.sum()) >= sum(wordy)
    result: list[int] = []
    for _, group in groupby(zip(lines.tolist(), order.tolist(), strict=True), key=itemgetter(0)):
        words = [i for _, i in group]
        count = int(rtl[words].sum())
        if not count or not (whole_page or 2 * count > sum(wordy[i] for i in words)):
            result += words
            continue
        for is_rtl, part in groupby(reversed(words), key=lambda i: bool(rtl[i])):
            run = list(part)
            latin = not is_rtl and any(wordy[i] for i in run)
            result += reversed(run) if latin else run
    return np.array(result, dtype=np.int64)


def _rows(middles: list[float], heights: list[float]) -> list[list[int]]:
    """Group words, sorted by their middles, into lines from top to bottom."""
    rows: list[tuple[float, float, list[int]]] = []  # mean middle, mean height, words
    for i, (middle, height) in enumerate(zip(middles, heights, strict=True)):
        nearest, distance = -1, math.inf
        for n in range(max(len(rows) - 3, 0), len(rows)):
            row_middle, row_height, _ = rows[n]
            low, high = (height, row_height) if height < row_height else (row_height, height)
            apart = abs(middle - row_middle)
            if apart < 0.5 * low and high < 3 * low and apart < distance:
                nearest, distance = n, apart
        if nearest < 0:
            rows.append((middle, height, [i]))
            continue
        row_middle, row_height, words = rows[nearest]
        words.append(i)
        k = len(words)
        rows[nearest] = (row_middle + (middle - row_middle) / k, row_height + (height - row_height) / k, words)
    return [words for _, _, words in sorted(rows, key=itemgetter(0))]


def document(
    sha256: str, pages: Sequence[PageColumns], anomalies: Iterable[Anomaly] = (), e_invoice: EInvoice | None = None
) -> Document:
    """The document with this id and these pages; `anomalies`: of the whole document, in addition to those of its pages."""
    every = chain(chain.from_iterable(page.anomalies for page in pages), anomalies)
    return Document(sha256, tuple(_page(sha256, number, page) for number, page in enumerate(pages)), tuple(every), e_invoice)


def _page(sha256: str, number: int, page: PageColumns) -> Page:
    sides = page.boxes.T.tolist() if len(page.texts) else ([], [], [], [])
    boxes = _instances(Box, len(page.texts), dict(zip(("x0", "y0", "x1", "y1"), sides, strict=True)))
    columns = {
        "text": page.texts,
        "box": boxes,
        "page": repeat(number),
        "line": page.lines.tolist(),
        "document": repeat(sha256),
        "source": repeat(page.source),
        "confidence": page.confidence.tolist(),
    }
    words = _instances(Word, len(page.texts), columns)
    return Page(number, page.width, page.height, tuple(words), page.turned)


def _instances(kind: type[_T], count: int, columns: Mapping[str, Iterable[Any]]) -> list[_T]:
    """Instances of a frozen class with slots from a column for each slot, in a third of the time of its constructor."""
    instances = list(map(object.__new__, repeat(kind, count)))
    for name, values in columns.items():
        deque(map(getattr(kind, name).__set__, instances, values), maxlen=0)
    return instances


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
