"""Whether the digits of a text layer are the ones that its fonts paint. Entry points: `regions`, `contradictions`.

A font may paint a 1 and say that it is a 9; only its picture shows that. So the words of values that decide something are drawn
and read by OCR. Other digits that OCR reads with confidence are an anomaly; what it cannot read says nothing.
Covered: any font and encoding, pages on their side.
Not covered: letters, which OCR confuses too often; a font that paints fewer or more digits than it says.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import numpy as np

from proveout.documents import ocr
from proveout.documents.files import page_image
from proveout.records import Anomaly, AnomalyKind, Box, Content, Document, Page, Place, Source, Word

SURELY = 0.9  # least confidence of every word that contradicts; honest pages in tests/test_visibility.py
# What is read depends on these: increase `batch.READER` with them.
MARGIN = 0.15  # of a line's height, around the words


def regions(document: Content, places: Iterable[Place | None]) -> list[tuple[Page, list[list[Word]]]]:
    """The words at each place, line by line, by page, where all of them are from the text layer and some have digits."""
    assert isinstance(document, Document)
    by_page: dict[int, list[list[Word]]] = {}
    for place in dict.fromkeys(filter(None, places)):
        inside = [word for word in document.pages[place.page].words if _inside(word.box, place.box)]
        for _, line in groupby(inside, key=attrgetter("line")):
            words = list(line)
            if all(word.source is Source.TEXT_LAYER for word in words) and _digits(words):
                by_page.setdefault(place.page, []).append(words)
    return [(document.pages[number], lines) for number, lines in sorted(by_page.items())]


def contradictions(page: Page, regions: Sequence[Sequence[Word]], pictured: Sequence[tuple[str, float]]) -> Iterator[Anomaly]:
    """Where the pictures of words show other digits than their text layer says; `pictured`: of each region, from `read`."""
    for words, (text, confidence) in zip(regions, pictured, strict=False):  # nothing is pictured of a page that cannot be drawn
        says, shows = _digits(words), "".join(filter(str.isdigit, text))
        if confidence >= SURELY and len(says) == len(shows) and says != shows:
            printed = " ".join(word.text for word in words)
            because = f"page {page.number + 1} shows {text!r}, but its text layer says {printed!r}"
            yield Anomaly(AnomalyKind.HIDDEN, because, printed, Place(page.number, Box.around(words)))


def read(path: Path | str, page: Page, boxes: Sequence[Box]) -> list[tuple[str, float]]:
    """What OCR reads in each box, and the least confidence of its words. Raises UnreadableDocument."""
    return ocr.read_lines([_drawn(path, page, box) for box in boxes])


def _drawn(path: Path | str, page: Page, box: Box) -> ocr.Pixels:
    """The picture (rows, columns, 3; BGR) of a box, as high as the recogniser wants it."""
    margin = MARGIN * max(box.y1 - box.y0, 1.0)
    around = Box(box.x0 - 2 * margin, box.y0 - margin, box.x1 + 2 * margin, box.y1 + margin)
    scale = min(ocr.LINE_HEIGHT / (around.y1 - around.y0), ocr.LONGEST_LINE / (around.x1 - around.x0))
    return np.ascontiguousarray(np.asarray(page_image(path, page, scale, around))[..., ::-1])


def _inside(box: Box, region: Box) -> bool:
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return region.x0 <= x <= region.x1 and region.y0 <= y <= region.y1


def _digits(words: Iterable[Word]) -> str:
    return "".join(filter(str.isdigit, "".join(word.text for word in words)))
