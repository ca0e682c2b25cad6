"""One page as columns: what a reader makes, a cache keeps and a process sends; words are made of it at the end.

Columns because a page has hundreds of words: arrays are sorted, stored and sent ten times faster than objects.
Covered: reading order (lines from top to bottom, each from left to right), the same for the same boxes everywhere.
Not covered: what a table or a column means. Whoever needs that has the boxes.
"""

from dataclasses import dataclass
from itertools import repeat

import numpy as np
import numpy.typing as npt

from proveout.records import Box, Document, Page, Source, Word

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DECIMALS = 2  # of a point: boxes are rounded once, here, so that a stored page equals a page just read


@dataclass(frozen=True, slots=True)
class PageColumns:
    width: float  # points
    height: float  # points
    turned: float  # degrees clockwise, see records.Page
    source: Source
    texts: list[str]  # in reading order
    boxes: Floats  # (words, 4): x0, y0, x1, y1 in points, origin at the top left
    lines: Ints  # (words,): line of each word, from 0
    confidence: Floats  # (words,)


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
    """Words found in any order, put into reading order."""
    order, lines = reading_order(boxes)
    sure = np.ones(len(texts)) if confidence is None else np.round(confidence, 4)
    return PageColumns(
        width=round(float(width), DECIMALS),
        height=round(float(height), DECIMALS),
        turned=round(float(turned), DECIMALS),
        source=source,
        texts=[texts[i] for i in order.tolist()],
        boxes=np.round(boxes, DECIMALS)[order],
        lines=lines,
        confidence=sure[order],
    )


def reading_order(boxes: Floats) -> tuple[Ints, Ints]:
    """The order in which a person reads boxes (n, 4), and the line of each in that order.

    Two words share a line if their middles are closer than half the lower one's height and neither is three times as
    high as the other: a stamp in large letters does not pull the lines it covers into one.

    >>> order, lines = reading_order(np.array([[50.0, 21, 90, 30], [50, 0, 90, 9], [0, 1, 40, 10]]))
    >>> order.tolist(), lines.tolist()
    ([2, 1, 0], [0, 0, 1])
    """
    if not len(boxes):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    heights = np.maximum(boxes[:, 3] - boxes[:, 1], 0.1)
    found: list[tuple[float, float, list[int]]] = []  # middle and height (means), words
    by_middle = np.lexsort((boxes[:, 0], middles))
    for i, middle, height in zip(by_middle.tolist(), middles[by_middle].tolist(), heights[by_middle].tolist(), strict=True):
        near = [
            (abs(middle - there), n)
            for n, (there, tall, _) in enumerate(found[-3:], start=max(len(found) - 3, 0))
            if abs(middle - there) < 0.5 * min(height, tall) and max(height, tall) < 3 * min(height, tall)
        ]
        if not near:
            found.append((middle, height, [i]))
            continue
        n = min(near)[1]
        there, tall, words = found[n]
        words.append(i)
        k = len(words)
        found[n] = (there + (middle - there) / k, tall + (height - tall) / k, words)
    found.sort(key=lambda line: line[0])
    number = np.empty(len(boxes), dtype=np.int64)
    for n, (_, _, words) in enumerate(found):
        number[words] = n
    order = np.lexsort((boxes[:, 2], boxes[:, 0], number))
    return order, number[order]


def document(sha256: str, pages: list[PageColumns]) -> Document:
    return Document(sha256, tuple(_page(sha256, number, each) for number, each in enumerate(pages)))


def _page(sha256: str, number: int, each: PageColumns) -> Page:
    x0, y0, x1, y1 = each.boxes.T.tolist() if len(each.texts) else ([], [], [], [])
    words = map(
        Word,
        each.texts,
        map(Box, x0, y0, x1, y1),
        repeat(number),
        each.lines.tolist(),
        repeat(sha256),
        repeat(each.source),
        each.confidence.tolist(),
    )
    return Page(number, each.width, each.height, tuple(words), each.turned)


def to_json(sha256: str, pages: list[PageColumns]) -> bytes:
    """A document's columns as JSON, equal for equal documents."""
    import orjson

    plain = [
        {
            "width": s.width,
            "height": s.height,
            "turned": s.turned,
            "source": s.source.value,
            "texts": s.texts,
            "boxes": s.boxes.ravel(),
            "lines": s.lines,
            "confidence": None if (s.confidence == 1).all() else s.confidence,
        }
        for s in pages
    ]
    return orjson.dumps({"sha256": sha256, "pages": plain}, option=orjson.OPT_SERIALIZE_NUMPY)


def from_json(payload: bytes) -> Document:
    """The document that `to_json` wrote."""
    import orjson

    plain = orjson.loads(payload)
    return document(
        plain["sha256"],
        [
            PageColumns(
                width=p["width"],
                height=p["height"],
                turned=p["turned"],
                source=Source(p["source"]),
                texts=p["texts"],
                boxes=np.array(p["boxes"], dtype=np.float64).reshape(-1, 4),
                lines=np.array(p["lines"], dtype=np.int64),
                confidence=np.ones(len(p["texts"])) if p["confidence"] is None else np.array(p["confidence"]),
            )
            for p in plain["pages"]
        ],
    )


def lines(page: Page) -> list[list[Word]]:
    """The words of a page, line by line from the top, each from left to right."""
    found: list[list[Word]] = []
    for word in page.words:
        if word.line == len(found):
            found.append([])
        found[word.line].append(word)
    return found
