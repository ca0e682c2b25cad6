"""Read the text layer of a PDF: words with their boxes.

PDFium is called in bulk (once for a page's text, twice for a word's box), because one call per character costs as much as
parsing the page.
Covered: /Rotate, crop boxes, pages printed sideways without /Rotate, hyphens at line ends, characters beyond U+FFFF.
Not covered: whether the text layer matches the visible page. `is_usable` detects only empty and garbled ones.
"""

import ctypes
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from statistics import median
from typing import Any

import numpy as np

from proveout.documents import pdfium, visibility
from proveout.documents.annotations import Annotation
from proveout.documents.columns import Floats, PageColumns, page_columns
from proveout.documents.visibility import Objects
from proveout.errors import UnreadableDocument
from proveout.records import CUT_OFF, Anomaly, AnomalyKind, Box, Place, Source

MAX_CHARACTERS = 200_000  # per page; a densely printed broadsheet has a tenth of that
HYPHEN = "\x02"  # PDFium's character for a hyphen that breaks a word; U+FFFE in its bulk text
SCAN_SHARE = 0.8  # of the page's area; a picture that covers more is a scan of the page
MIN_SKEW, MAX_SKEW = 0.3, 15.0  # degrees; lines that lean more are decoration
SPECK, LOGO = 0.003, 0.06  # of the page's area; a smaller picture has no words, a larger one is more than a logo
LETTERHEAD, FOOTER = 0.25, 0.88  # of the page's height; logos stand above and below
WIDE = 2.3  # width by height; stamps are wider, most logos are not
LEAST_HEIGHT = 20.0  # points, of a picture with words,
LINE_HEIGHT = 6.0  # unless it is wide: a line of text
MAX_PICTURES = 12  # read on one page
# per cent of a to z in English, German, French, Spanish, Italian text, averaged
FREQUENCIES = np.array([
    8.9, 1.4, 3.5, 4.0, 14.8, 1.3, 1.7, 3.1, 7.8, 0.4, 0.5, 4.7, 2.7, 7.9, 6.9, 2.5, 0.7, 6.7, 6.6, 7.1, 4.0, 1.3, 0.9, 0.3,
    0.8, 0.8,
])  # fmt: skip
LIKENESS = 0.7  # cosine with these; the least of ordinary pages is higher, see tests/test_visibility.py
ENOUGH = 60  # letters
UNUSUAL_SIGNS = 0.15  # of the characters
ORDINARY_SIGNS = frozenset("–—€£¥’‘“”•…°§®©™´·")
RARE_SIGNS = np.frombuffer("^`|~{}[]\\<>;!?".encode("utf-32-le"), dtype=np.uint32)
_UNDECODABLE = re.compile("[\ufffd\ue000-\uf8ff\x00-\x1f]")
_BLANK = np.zeros(1 << 16, dtype=bool)  # by code: spaces and controls; the last code is no character
_BLANK[[*range(0x21), *range(0x7F, 0xA1), *range(0x2000, 0x200C), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF]] = True
_BLANK[ord(HYPHEN)] = False
CLIPPED, READABLE = 0.7, 0.3  # of a word's width or height; ordinary forms clip what is too long for its cell
_ALNUM = re.compile(r".*[^\W_].*")
_NUMBER = re.compile(
    r"(?=(\D*\d){3})\W*([A-Z]{2,3}(?=\d+[.,]))?\d[\d.,'/-]{2,}\W*"
)  # an amount, a date, a number; not "6a-7a" or ":30"
HALF_A_LETTER = 0.5  # hidden: the rest tells which letter it is
QUOTED = 120  # characters of hidden text that a sentence for a reviewer quotes


def read_page(page: Any, number: int = 0, painted: Objects | None = None, scan: bool = False) -> PageColumns:
    """The visible words of a pypdfium2 page, without OCR; `number` from 0. Words that a person does not see are anomalies.

    On a `scan`, invisible text is what an OCR program left: it is ignored, because the scan is read instead.
    Raises UnreadableDocument for more than MAX_CHARACTERS.
    """
    painted = painted or visibility.objects(page)
    rotation = int(page.get_rotation())
    text_page = page.get_textpage()
    try:
        count = text_page.count_chars()
        if count > MAX_CHARACTERS:
            raise UnreadableDocument(f"oversized: {count:,} characters on a page, the limit is {MAX_CHARACTERS:,}; split it")
        text = _text(text_page, count)
        starts, ends = _spans(text)
        first = _loose_boxes(text_page, starts)
        last, several = first.copy(), np.flatnonzero(ends - starts > 1)
        last[several] = _loose_boxes(text_page, ends[several] - 1)
        turn, skew = _angles(text_page, starts, rotation)
        corners = np.concatenate([np.minimum(first[:, :2], last[:, :2]), np.maximum(first[:, 2:], last[:, 2:])], axis=1)
        doubts = visibility.doubts(text_page, painted, starts, corners)
        bbox = page.get_bbox()
        boxes, width, height = _to_viewed(corners, bbox, (rotation + turn) % 360)
        middle_x, middle_y = (boxes[:, :2] + boxes[:, 2:]).T / 2
        on_page = (middle_x >= 0) & (middle_x <= width) & (middle_y >= 0) & (middle_y <= height)
        clipped = doubts.clipped > CLIPPED
        seen, whole = on_page & ~clipped & ~_too_small(boxes, ends - starts), doubts.clipped < READABLE
        if scan:
            on_page &= ~doubts.invisible
            seen &= on_page
        unclear = np.flatnonzero(seen & doubts.unclear & (not scan))
        if len(unclear):
            flat, _, _ = _to_viewed(corners[unclear], bbox, rotation)
            letters = (ends - starts)[unclear]
            seen[unclear], whole[unclear] = visibility.visible(
                page, text_page, painted, doubts.addresses[unclear], flat, letters
            )
    finally:
        text_page.close()
    text = text.replace(HYPHEN, "-")
    if skew:
        boxes = _upright(boxes, skew, width, height)
    texts = [text[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    for at in _cut_off(boxes, seen, on_page & clipped, doubts.shortened * (ends - starts)):
        if not _NUMBER.fullmatch(texts[at]):
            texts[at] += CUT_OFF
    anomalies = _hidden(number, texts, boxes, on_page & ~clipped & ~seen, seen & ~whole, seen)
    kept = [text for text, is_seen in zip(texts, seen.tolist(), strict=True) if is_seen]
    words = page_columns(width, height, kept, boxes[seen], source=Source.TEXT_LAYER, turned=turn - skew)
    return replace(words, anomalies=tuple(anomalies))


def _cut_off(boxes: Floats, seen: Any, clipped: Any, hidden_letters: Floats) -> set[int]:
    """The visible words whose end, or the word after them, is cut off by the edge of their cell."""
    before = np.flatnonzero(clipped[1:] & seen[:-1])
    height = boxes[before, 3] - boxes[before, 1]
    same_line = np.abs(boxes[before + 1, 1] - boxes[before, 1]) < height / 2
    close = np.abs(boxes[before + 1, 0] - boxes[before, 2]) < height
    partly = np.flatnonzero(seen & (hidden_letters > HALF_A_LETTER))
    return {*before[same_line & close].tolist(), *partly.tolist()}


def _too_small(boxes: Floats, letters: Any) -> Any:
    """Whether words are too small to read; a single letter may be narrow."""
    sizes = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]])
    return np.where(letters > 1, sizes.min(axis=0), sizes.max(axis=0)) < visibility.TOO_SMALL


def _hidden(number: int, texts: list[str], boxes: Floats, hidden: Any, part: Any, seen: Any) -> Iterator[Anomaly]:
    """One anomaly for the words of a page that nobody sees, one for those that are seen in part.

    Without a letter or a digit nothing is hidden that could be a value. A name whose end is cut off by the edge of its cell is
    ordinary; a number whose end is cut off is another number. A word that is printed again at the same place is not hidden.
    """
    printed_again = {
        text: boxes[seen & np.array([other == text for other in texts], dtype=bool)]
        for text in {texts[i] for i in np.flatnonzero(hidden).tolist()}
    }
    for mask, how, matters in ((hidden, "in the file, but not visible", _ALNUM), (part, "covered in part", _NUMBER)):
        rows = [
            i
            for i in np.flatnonzero(mask).tolist()
            if matters.fullmatch(texts[i]) and not _overlaps(boxes[i], printed_again.get(texts[i]))
        ]
        if rows:
            words = " ".join(texts[i] for i in rows)
            short = words if len(words) <= QUOTED else words[:QUOTED] + " ..."
            x0, y0 = boxes[rows, :2].min(axis=0).tolist()
            x1, y1 = boxes[rows, 2:].max(axis=0).tolist()
            because = f"{short!r} on page {number + 1} is {how}"
            yield Anomaly(AnomalyKind.HIDDEN, because, words, Place(number, Box(*(round(v, 2) for v in (x0, y0, x1, y1)))))


def is_usable(words: PageColumns) -> bool:
    """Whether a text layer has words, with less than a fifth of their letters undecodable or private.

    >>> is_usable(page_columns(612, 792, ["\\ufffd\\ufffd", "\ue001\ue002"], np.zeros((2, 4)), source=Source.TEXT_LAYER))
    False
    """
    text = "".join(words.texts)
    if not text:
        return False
    return len(_UNDECODABLE.findall(text)) / len(text) < 0.2


def is_plausible(words: PageColumns) -> bool:
    """Whether the letters of a text layer occur as often as in European languages. Other scripts pass, and so do short texts.

    A font without a map from glyphs to letters, or with a shifted one, gives letters in other proportions.

    >>> def page(text): return page_columns(612, 792, [text], np.zeros((1, 4)), source=Source.TEXT_LAYER)
    >>> text = "Please pay the gross total of this invoice before the end of the month to the account below"
    >>> is_plausible(page(text)), is_plausible(page("".join(chr(ord(letter) + 3) for letter in text)))
    (True, False)
    """
    text = "".join(words.texts)
    if len(text) < ENOUGH:
        return True
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    folded = codes[codes < 128] | 0x20
    letters = (folded[(folded >= 97) & (folded <= 122)] - 97).astype(np.int64)
    signs = sum(1 for code in codes[codes >= 128].tolist() if not chr(code).isalnum() and chr(code) not in ORDINARY_SIGNS)
    rare = int(np.isin(codes, RARE_SIGNS).sum())
    if signs + rare > UNUSUAL_SIGNS * len(text):
        return False
    if len(letters) < ENOUGH or len(letters) < 0.3 * (len(letters) + int((codes >= 128).sum())):
        return True
    counts = np.bincount(letters, minlength=26)[:26]
    likeness = counts @ FREQUENCIES / np.linalg.norm(counts) / np.linalg.norm(FREQUENCIES)
    return bool(likeness >= LIKENESS)


def _overlaps(box: Floats, others: Floats | None) -> bool:
    if others is None:
        return False
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return bool((low < high).all(axis=1).any())


def pictures(page: Any, painted: Objects) -> Floats:
    """Boxes (n, 4) of the page's pictures in points, as viewed, cut at its edges."""
    at = np.flatnonzero(painted.kinds == visibility.IMAGE)
    if not len(at):
        return np.zeros((0, 4))
    bounds = painted.bounds(at)
    boxes, width, height = _to_viewed(bounds, page.get_bbox(), int(page.get_rotation()))
    return boxes.clip(0, [width, height, width, height])


def pictures_with_words(page: Any, boxes: Floats, words: PageColumns) -> list[tuple[float, float, float, float]]:
    """The boxes, in points as viewed, of those `pictures` of a page that may say more than a logo, the largest first.

    A logo is a small, compact picture at the top or the bottom of a page. Large pictures are read, and so are pictures in the
    body, over words, and wide ones, as stamps and single lines of text are.
    """
    if not len(boxes):
        return []
    width, height = page.get_size()
    sizes = boxes[:, 2:] - boxes[:, :2]
    share = sizes.prod(axis=1) / max(width * height, 1.0)
    wide = sizes[:, 0] >= WIDE * sizes[:, 1]
    large_enough = ((share > SPECK) & (sizes.min(axis=1) >= LEAST_HEIGHT)) | (wide & (sizes[:, 1] >= LINE_HEIGHT))
    boxes, sizes, share, wide = boxes[large_enough], sizes[large_enough], share[large_enough], wide[large_enough]
    middle = (boxes[:, 1] + boxes[:, 3]) / 2 / max(height, 1.0)
    readable = (share > LOGO) | ((middle > LETTERHEAD) & (middle < FOOTER)) | wide
    if words.turned == 0:
        places = (words.boxes[:, :2] + words.boxes[:, 2:]) / 2
        readable |= np.any(np.all((places > boxes[:, None, :2]) & (places < boxes[:, None, 2:]), axis=2), axis=1)
    different = {tuple(box) for box in boxes[readable].tolist()}
    return sorted(different, key=lambda box: ((box[0] - box[2]) * (box[3] - box[1]), box))


def places(page: Any, words: PageColumns, notes: list[Annotation]) -> list[Box]:
    """The boxes of annotations on the page as it is read."""
    corners = np.array([note.corners for note in notes], dtype=np.float64).reshape(-1, 4)
    rotation = (int(page.get_rotation()) + round(words.turned / 90) * 90) % 360
    boxes, _, _ = _to_viewed(corners, page.get_bbox(), rotation)
    return [Box(*(round(value, 2) for value in box)) for box in boxes.tolist()]


def is_scan(page: Any, boxes: Floats | None = None) -> bool:
    """Whether a picture covers a page: a scan, whatever text was printed over it or left under it by another program's OCR.

    `boxes`: the page's `pictures`, where they are at hand.
    """
    boxes = pictures(page, visibility.objects(page)) if boxes is None else boxes
    if not len(boxes):
        return False
    width, height = page.get_size()
    return bool(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) > SCAN_SHARE * width * height).any())


def pixels(page: Any) -> Iterator[int]:
    """The number of pixels of each picture of a pypdfium2 page, as the picture claims it."""
    from pypdfium2 import raw  # type: ignore[import-untyped]

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
    letter = ~_BLANK[np.minimum(codes, len(_BLANK) - 1)]
    continued = letter[:-1] & letter[1:] & (codes[:-1] != ord(HYPHEN))  # by the next letter
    starts, ends = letter.copy(), letter
    starts[1:] &= ~continued
    ends[:-1] &= ~continued
    return np.flatnonzero(starts), np.flatnonzero(ends) + 1


def _loose_boxes(text_page: Any, indices: Any) -> Floats:
    """Boxes (n, 4) of characters in PDF page coordinates: left, bottom, right, top; the height is that of the font."""
    inputs = repeat(pdfium.handle(text_page.raw)), indices.tolist()
    boxes = pdfium.table("FPDFText_GetLooseCharBox", *inputs, count=len(indices), dtype="f4", outputs=1)
    return boxes.astype(np.float64)[:, [0, 3, 2, 1]]  # FS_RECTF is left, top, right, bottom


def _angles(text_page: Any, starts: Any, rotation: int) -> tuple[int, float]:
    """How to turn the page as viewed so that most of its text runs left to right.

    Quarter turns in degrees clockwise, and the skew that remains: degrees clockwise by which the lines lean.
    """
    sample = starts[:: max(len(starts) // 32, 1)].tolist()
    handle = pdfium.handle(text_page.raw)
    radians = map(pdfium.function("FPDFText_GetCharAngle"), repeat(handle), sample)
    angles = [math.degrees(angle) for angle in radians if angle >= 0]
    if not angles:
        return 0, 0.0
    quarters = [(round(angle / 90) + rotation // 90) % 4 for angle in angles]
    main = max(range(4), key=quarters.count)
    lean = median(
        (angle + rotation - 90 * main + 180) % 360 - 180
        for angle, quarter in zip(angles, quarters, strict=True)
        if quarter == main
    )
    return -main % 4 * 90, round(lean, 2) if MIN_SKEW <= abs(lean) <= MAX_SKEW else 0.0


def _upright(boxes: Floats, skew: float, width: float, height: float) -> Floats:
    """Boxes of the words of leaning lines on the page turned upright around its middle.

    A leaning word's box is larger than the word: w = x cos + y sin and h = x sin + y cos, solved for the word's x and y.
    """
    lean = np.radians(abs(skew))
    sin, cos = np.sin(lean), np.cos(lean)
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    half_x = np.maximum((w * cos - h * sin) / np.cos(2 * lean), 0.3 * w) / 2
    half_y = np.maximum((h * cos - w * sin) / np.cos(2 * lean), 0.3 * np.minimum(w, h)) / 2
    middle = np.array([width, height]) / 2
    a = np.radians(-skew)
    centres = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2], axis=1) - middle
    x = centres[:, 0] * np.cos(a) - centres[:, 1] * np.sin(a) + middle[0]
    y = centres[:, 0] * np.sin(a) + centres[:, 1] * np.cos(a) + middle[1]
    return np.stack([x - half_x, y - half_y, x + half_x, y + half_y], axis=1)


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
