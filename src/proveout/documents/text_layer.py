"""Read the text layer of a PDF: words with their boxes.

PDFium is called in bulk (once for a page's text, twice for a word's box), because one call per character costs as much as
parsing the page.
Covered: /Rotate, crop boxes, pages printed sideways without /Rotate, hyphens at line ends, characters beyond U+FFFF.
Not covered: whether the text layer matches the visible page. `is_usable` detects only empty and garbled ones.
"""

import ctypes
from collections import deque
from collections.abc import Iterator
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np

from proveout.documents.columns import Floats, PageColumns, page_columns
from proveout.errors import UnreadableDocument
from proveout.records import Source

MAX_CHARACTERS = 200_000  # per page; a densely printed broadsheet has a tenth of that
HYPHEN = "\x02"  # PDFium's character for a hyphen that breaks a word; U+FFFE in its bulk text
SCAN_SHARE = 0.8  # of the page's area; a picture that covers more is a scan of the page
_BLOCK = 4096  # character boxes per call


def read_page(page: Any) -> PageColumns:
    """The words of a pypdfium2 page, without OCR. Raises UnreadableDocument for more than MAX_CHARACTERS."""
    text_page = page.get_textpage()
    try:
        count = text_page.count_chars()
        if count > MAX_CHARACTERS:
            raise UnreadableDocument(f"oversized: {count:,} characters on a page, the limit is {MAX_CHARACTERS:,}; split it")
        text = _text(text_page, count)
        starts, ends = _spans(text)
        first = _loose_boxes(text_page, starts)
        last = _loose_boxes(text_page, ends - 1)
        turn = _quarter_turn(text_page, starts, int(page.get_rotation()))
    finally:
        text_page.close()
    text = text.replace(HYPHEN, "-")
    corners = np.concatenate([np.minimum(first[:, :2], last[:, :2]), np.maximum(first[:, 2:], last[:, 2:])], axis=1)
    boxes, width, height = _to_viewed(corners, page.get_bbox(), (int(page.get_rotation()) + turn) % 360)
    middle_x, middle_y = boxes[:, [0, 2]].mean(axis=1), boxes[:, [1, 3]].mean(axis=1)
    on_page = (middle_x >= 0) & (middle_x <= width) & (middle_y >= 0) & (middle_y <= height)
    texts = [text[a:b] for a, b in zip(starts[on_page].tolist(), ends[on_page].tolist(), strict=True)]
    return page_columns(width, height, texts, boxes[on_page], source=Source.TEXT_LAYER, turned=turn)


def is_usable(words: PageColumns) -> bool:
    """Whether a text layer has words, with less than a fifth of their letters undecodable or private.

    >>> is_usable(page_columns(612, 792, ["\\ufffd\\ufffd", "\\ue001\\ue002"], np.zeros((2, 4)), source=Source.TEXT_LAYER))
    False
    """
    text = "".join(words.texts)
    if not text:
        return False
    undecodable = sum(1 for letter in text if letter == "\ufffd" or "\ue000" <= letter <= "\uf8ff" or letter < " ")
    return undecodable / len(text) < 0.2


def is_scan(page: Any) -> bool:
    """Whether a page is a scan: a picture covers it and all its text is invisible, left by another program's OCR."""
    from pypdfium2 import raw  # type: ignore[import-untyped]

    left, bottom, right, top = page.get_bbox()
    area = (right - left) * (top - bottom)
    covered = False
    for item in page.get_objects(max_depth=2):
        if item.type == raw.FPDF_PAGEOBJ_TEXT:
            if raw.FPDFTextObj_GetTextRenderMode(item.raw) != raw.FPDF_TEXTRENDERMODE_INVISIBLE:
                return False
        elif item.type == raw.FPDF_PAGEOBJ_IMAGE:
            x0, y0, x1, y1 = item.get_bounds()
            covered = covered or (x1 - x0) * (y1 - y0) > SCAN_SHARE * area
    return covered


def pixels(page: Any) -> Iterator[int]:
    """The number of pixels of each picture of a pypdfium2 page, as the picture claims it."""
    from pypdfium2 import raw

    for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=4):
        width, height = item.get_px_size()
        yield width * height


def _text(text_page: Any, count: int) -> str:
    """The page's characters, one per PDFium index."""
    from pypdfium2 import raw

    buffer = (ctypes.c_ushort * (count + 1))()
    written = raw.FPDFText_GetText(text_page.raw, 0, count, buffer)
    text = bytes(buffer)[: 2 * max(written - 1, 0)].decode("utf-16-le", "replace")
    if len(text) != count or "\ufffd" in text:  # PDFium omitted characters, or decoding merged surrogate pairs
        codes = map(raw.FPDFText_GetUnicode, repeat(text_page.raw), range(count))
        text = "".join(chr(code) if 0 < code < 0xD800 or 0xE000 <= code < 0x110000 else "\ufffd" for code in codes)
    return text.replace("\ufffe", HYPHEN)


def _spans(text: str) -> tuple[Any, Any]:
    """Start and end (exclusive) of every word.

    >>> [a.tolist() for a in _spans(" Net\\u00a0due")]
    [[1, 5], [4, 8]]

    A hyphen at the end of a line ends the word, because the rest is on another line.

    >>> [a.tolist() for a in _spans(f"co{HYPHEN}op")]
    [[0, 3], [3, 5]]
    """
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    blank = (codes <= 0x20) | ((codes >= 0x7F) & (codes <= 0xA0)) | ((codes >= 0x2000) & (codes <= 0x200B))
    blank |= np.isin(codes, (0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF))
    blank &= codes != ord(HYPHEN)
    inside = ~blank & ~np.concatenate([[True], blank[:-1] | (codes[:-1] == ord(HYPHEN))])  # continues the word
    starts = np.flatnonzero(~blank & ~inside)
    ends = np.flatnonzero(~blank & ~np.concatenate([inside[1:], [False]])) + 1
    return starts, ends


@cache
def _block() -> tuple[Any, list[Any]]:
    from pypdfium2 import raw

    rectangles = (raw.FS_RECTF * _BLOCK)()
    return rectangles, [ctypes.byref(rectangle) for rectangle in rectangles]


def _loose_boxes(text_page: Any, indices: Any) -> Floats:
    """Boxes (n, 4) of characters in PDF page coordinates: left, bottom, right, top; the height is that of the font."""
    from pypdfium2 import raw

    rectangles, pointers = _block()
    parts = []
    for start in range(0, len(indices), _BLOCK):
        chunk = indices[start : start + _BLOCK].tolist()
        deque(map(raw.FPDFText_GetLooseCharBox, repeat(text_page.raw), chunk, pointers), maxlen=0)
        parts.append(np.frombuffer(rectangles, dtype=np.float32).reshape(-1, 4)[: len(chunk)].astype(np.float64))
    boxes = np.concatenate(parts) if parts else np.zeros((0, 4))
    return boxes[:, [0, 3, 2, 1]]  # FS_RECTF is left, top, right, bottom


def _quarter_turn(text_page: Any, starts: Any, rotation: int) -> int:
    """Degrees clockwise to turn the page as viewed so that most of its text runs left to right."""
    from pypdfium2 import raw

    sample = starts[:: max(len(starts) // 32, 1)].tolist()
    angles = np.array([raw.FPDFText_GetCharAngle(text_page.raw, i) for i in sample])
    quarters = (np.round(np.degrees(angles[angles >= 0]) / 90).astype(int) + rotation // 90) % 4
    if not len(quarters):
        return 0
    return int(-np.bincount(quarters, minlength=4).argmax() % 4) * 90


def _to_viewed(corners: Floats, bbox: tuple[float, float, float, float], rotation: int) -> tuple[Floats, float, float]:
    """Convert boxes from PDF coordinates (origin at the bottom left) to the page as viewed: boxes, width, height.

    >>> _to_viewed(np.array([[10.0, 20, 30, 40]]), (0, 0, 100, 200), 0)
    (array([[ 10., 160.,  30., 180.]]), 100, 200)
    >>> _to_viewed(np.array([[10.0, 20, 30, 40]]), (0, 0, 100, 200), 90)
    (array([[20., 10., 40., 30.]]), 200, 100)
    """
    left, bottom, right, top = bbox
    x0, y0, x1, y1 = corners.T
    viewed = {
        0: (x0 - left, top - y1, x1 - left, top - y0),
        90: (y0 - bottom, x0 - left, y1 - bottom, x1 - left),
        180: (right - x1, y0 - bottom, right - x0, y1 - bottom),
        270: (top - y1, right - x1, top - y0, right - x0),
    }[rotation]
    width, height = (right - left, top - bottom) if rotation % 180 == 0 else (top - bottom, right - left)
    return np.stack(viewed, axis=1), width, height
