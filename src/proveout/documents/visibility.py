"""Which words of a PDF's text layer a person sees.

The objects of a page say which words may be hidden: painted in the colour behind them, transparent, covered by something
painted later, clipped away, in a layer that may be off, or in an invisible render mode. Only if there are any, the page is
rendered twice, with and without these words: a word is visible where the two pictures differ, however it was hidden. Words that
are painted over one another are left out one layer at a time.
Covered: words that are covered in part, words inside form XObjects, text too small to read.
Not covered: fonts whose glyphs are empty, and a visible glyph that stands for another letter than the text layer says.
"""

import ctypes
import math
from collections import deque
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from proveout.documents import pdfium
from proveout.documents.columns import Floats, Ints

TEXT, PATH, IMAGE, SHADING, FORM = 1, 2, 3, 4, 5  # PDFium's types of page objects
TOO_SMALL = 2.5  # points, the height of a font's box; the smallest print of ordinary documents has 4
SEEN = 20  # of 255; a difference in brightness that a person sees
CONTRAST = 30  # of 255; with more between text and background it is visible without a test
LEADING = 0.22  # of the height of a font's box, above and below its letters
COVERS = 0.1  # of a word's area; what is painted over less leaves every letter readable
LETTER_GAP = 1.25  # of the mean width of a letter; a wider part of a word without ink is hidden
SCALE = 1.5  # pixels per point of the pictures that are compared
THIN = 2.0  # points; a rule, not a box
MAX_SEGMENTS = 400  # of a path that is taken apart
MAX_LAYERS = 6  # of words painted over one another; what lies deeper counts as hidden
_MOVE_TO = 2  # PDFium's type of a segment that begins a new part of a path
_IDENTITY = np.array([[1.0, 0], [0, 1], [0, 0]])
_DEPTH = 6  # form XObjects inside form XObjects
_INVISIBLE = np.array([False, False, False, True, False, False, False, True])  # by render mode
_WITHOUT_FILL = np.array([False, True] * 4)  # by render mode


@dataclass(frozen=True)
class Objects:
    """What a page paints, in the order of painting. Objects inside form XObjects follow the form."""

    addresses: npt.NDArray[np.uint64]
    kinds: Ints
    frames: Ints  # index into `matrices`
    matrices: list[Floats]  # (3, 2): from the object's coordinates to the page's
    is_transparent: npt.NDArray[np.bool_]  # of each frame

    def bounds(self, at: Ints) -> Floats:
        """Boxes (n, 4) of some objects: left, bottom, right, top in page coordinates."""
        boxes = np.zeros((len(at), 4), dtype=np.float32)
        cells = [range(boxes.ctypes.data + 4 * side, boxes.ctypes.data + boxes.nbytes, 16) for side in range(4)]
        deque(map(pdfium.function("FPDFPageObj_GetBounds"), self.addresses[at].tolist(), *cells), maxlen=0)
        boxes64 = boxes.astype(np.float64)
        inside = np.flatnonzero(self.frames[at])
        if len(inside):
            matrices = np.stack(self.matrices)[self.frames[at[inside]]]  # (n, 3, 2)
            corners = boxes64[inside][:, [[0, 1], [0, 3], [2, 1], [2, 3]]]  # (n, 4, 2)
            moved = corners @ matrices[:, :2] + matrices[:, 2:]
            boxes64[inside] = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
        return boxes64


def objects(page: Any) -> Objects:
    """The objects of a pypdfium2 page."""
    top = pdfium.address(page.raw)
    read, kind_of = pdfium.function("FPDFPage_GetObject"), pdfium.function("FPDFPageObj_GetType")
    addresses = list(map(read, repeat(top), range(pdfium.function("FPDFPage_CountObjects")(top))))
    kinds = list(map(kind_of, addresses))
    matrices = [_IDENTITY]
    if FORM not in kinds:
        zeros = np.zeros(len(kinds), dtype=np.int64)
        return Objects(
            np.array(addresses, dtype=np.uint64), np.array(kinds, dtype=np.int64), zeros, matrices, np.zeros(1, dtype=bool)
        )
    rows: list[tuple[int, int, int]] = []
    transparent: list[int] = []
    _descend(addresses, kinds, 0, rows, matrices, transparent, 0)
    flat = np.array(rows, dtype=np.uint64).reshape(-1, 3)
    return Objects(
        flat[:, 0],
        flat[:, 1].astype(np.int64),
        flat[:, 2].astype(np.int64),
        matrices,
        np.isin(np.arange(len(matrices)), transparent),
    )


def _descend(
    addresses: list[int],
    kinds: list[int],
    frame: int,
    rows: list[tuple[int, int, int]],
    matrices: list[Floats],
    transparent: list[int],
    depth: int,
) -> None:
    for address, kind in zip(addresses, kinds, strict=True):
        rows.append((address, kind, frame))
        if kind != FORM or depth == _DEPTH:
            continue
        inner = len(matrices)
        matrices.append(_matrix(address, matrices[frame]))
        if frame in transparent or pdfium.function("FPDFPageObj_HasTransparency")(address):
            transparent.append(inner)
        count = pdfium.function("FPDFFormObj_CountObjects")(address)
        inside = [pdfium.function("FPDFFormObj_GetObject")(address, i) for i in range(max(count, 0))]
        _descend(
            inside, [pdfium.function("FPDFPageObj_GetType")(i) for i in inside], inner, rows, matrices, transparent, depth + 1
        )


def _matrix(address: int, outer: Floats) -> Floats:
    values = (ctypes.c_float * 6)()
    pdfium.function("FPDFPageObj_GetMatrix")(address, ctypes.addressof(values))
    inner = np.array(values, dtype=np.float64).reshape(3, 2)
    product = inner @ outer[:2]
    product[2] += outer[2]
    return product


@dataclass(frozen=True)
class Doubts:
    """What the objects of a page say about its words."""

    addresses: npt.NDArray[np.uint64]  # of the words' text objects
    unclear: npt.NDArray[np.bool_]  # only rendering decides whether it is visible
    invisible: npt.NDArray[np.bool_]  # in a render mode that paints nothing, as OCR programs leave text under a scan
    clipped: Floats  # share of the word's box that is clipped away


def doubts(text_page: Any, painted: Objects, starts: Ints, boxes: Floats) -> Doubts:
    """Look for words that might be hidden.

    `starts`: index of each word's first letter; `boxes`: (words, 4) in page coordinates.
    """
    words = map(pdfium.function("FPDFText_GetTextObject"), repeat(pdfium.address(text_page.raw)), starts.tolist())
    used, of_word = np.unique(np.fromiter(words, dtype=np.uint64, count=len(starts)), return_inverse=True)
    if not len(used) or not len(painted.addresses):
        nothing = np.zeros(len(starts), dtype=bool)
        return Doubts(used[of_word], nothing, nothing, np.zeros(len(starts)))
    addresses = used.tolist()
    by_address = np.argsort(painted.addresses)
    position = by_address[np.searchsorted(painted.addresses, used, sorter=by_address).clip(max=len(by_address) - 1)]
    colours = _colours(addresses)
    modes = np.fromiter(map(pdfium.function("FPDFTextObj_GetTextRenderMode"), addresses), np.int64, len(addresses)).clip(0, 7)
    unclear = _WITHOUT_FILL[modes] | (colours[:, 3] < 128) | _in_layers(addresses)
    unclear |= (painted.addresses[position] != used) | painted.is_transparent[painted.frames[position]]
    limits = _clips(addresses, painted.frames[position])
    unclear |= np.isnan(limits).any(axis=1)
    beside = _beside(painted, boxes, position[of_word], colours[of_word])
    return Doubts(used[of_word], unclear[of_word] | beside, _INVISIBLE[modes][of_word], _outside(boxes, limits[of_word]))


def _colours(addresses: list[int]) -> Ints:
    """Fill colours (n, 4) of objects: red, green, blue, opacity; a pattern counts as transparent."""
    colours = np.zeros((len(addresses), 4), dtype=np.uint32)
    cells = [range(colours.ctypes.data + 4 * part, colours.ctypes.data + colours.nbytes, 16) for part in range(4)]
    deque(map(pdfium.function("FPDFPageObj_GetFillColor"), addresses, *cells), maxlen=0)
    return colours.astype(np.int64)


def _in_layers(addresses: list[int]) -> npt.NDArray[np.bool_]:
    """Whether objects belong to optional content, which may be switched off."""
    counts = np.fromiter(map(pdfium.function("FPDFPageObj_CountMarks"), addresses), dtype=np.int64, count=len(addresses))
    inside = np.zeros(len(addresses), dtype=bool)
    buffer, length = (ctypes.c_uint16 * 8)(), ctypes.c_ulong()
    mark, name = pdfium.function("FPDFPageObj_GetMark"), pdfium.function("FPDFPageObjMark_GetName")
    for row in np.flatnonzero(counts > 0).tolist():
        for i in range(counts[row]):
            name(mark(addresses[row], i), ctypes.addressof(buffer), 16, ctypes.addressof(length))
            inside[row] |= length.value == 6 and bytes(buffer[:2]) == b"OC"
    return inside


def _clips(addresses: list[int], frames: Ints) -> Floats:
    """The rectangles (n, 4) to which objects are clipped, infinite without one, nan for other shapes and inside forms."""
    clips = list(map(pdfium.function("FPDFPageObj_GetClipPath"), addresses))
    limits = np.tile(np.array([-np.inf, -np.inf, np.inf, np.inf]), (len(addresses), 1))
    boxes = {clip: _intersection(clip) for clip in clips if clip}
    for row, clip in enumerate(clips):
        if clip and (box := boxes[clip]):
            limits[row] = math.nan if frames[row] else box
    return limits


def _outside(boxes: Floats, limits: Floats) -> Floats:
    """The larger of the shares of a box's width and height that lie outside its limits."""
    low = np.clip(limits[:, :2] - boxes[:, :2], 0, None) + np.clip(boxes[:, 2:] - limits[:, 2:], 0, None)
    shares: Floats = (np.nan_to_num(low) / np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)).max(axis=1)
    return shares.clip(max=1.0)


def _intersection(clip: int) -> tuple[float, float, float, float] | None:
    """The rectangle that several clip paths leave; None without a clip path."""
    paths = [_rectangle(clip, path) for path in range(pdfium.function("FPDFClipPath_CountPaths")(clip))]
    if not paths:
        return None
    x0, y0, x1, y1 = zip(*paths, strict=True)
    if any(map(math.isnan, x0)):
        return _NOT_A_RECTANGLE
    return (max(x0), max(y0), min(x1), min(y1))


_POINT = (ctypes.c_float * 2)()
_NOT_A_RECTANGLE = (math.nan,) * 4


def _rectangle(clip: int, path: int) -> tuple[float, float, float, float]:
    """The rectangle of a clip path from two opposite corners."""
    segments = pdfium.function("FPDFClipPath_CountPathSegments")(clip, path)
    if segments not in (4, 5):
        return _NOT_A_RECTANGLE
    corners = []
    for number in (0, 2):
        segment = pdfium.function("FPDFClipPath_GetPathSegment")(clip, path, number)
        start = ctypes.addressof(_POINT)
        pdfium.function("FPDFPathSegment_GetPoint")(segment, start, start + 4)
        corners.append((_POINT[0], _POINT[1]))
    (x0, y0), (x1, y1) = corners
    return (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def _beside(painted: Objects, boxes: Floats, position: Ints, colours: Ints) -> npt.NDArray[np.bool_]:
    """Whether something is painted over a word, or its colour resembles the one painted last before it."""
    shapes, bounds = _areas(painted)
    background = np.full((len(boxes), 3), 255, dtype=np.int64)
    contrast = CONTRAST * 255 / np.maximum(colours[:, 3], 1)
    if not len(shapes):
        like_paper: npt.NDArray[np.bool_] = np.abs(background - colours[:, :3]).max(axis=1) < contrast
        return like_paper
    leading = LEADING * (boxes[:, 3] - boxes[:, 1])[:, None]
    x0, y0, x1, y1 = boxes[:, 0, None], boxes[:, 1, None] + leading, boxes[:, 2, None], boxes[:, 3, None] - leading
    wide = np.minimum(x1, bounds[:, 2]) - np.maximum(x0, bounds[:, 0])
    high = np.minimum(y1, bounds[:, 3]) - np.maximum(y0, bounds[:, 1])
    overlaps = (wide > 0) & (high > 0) & (wide * high > COVERS * np.maximum((x1 - x0) * (y1 - y0), 1e-6))
    covered = (overlaps & (shapes > position[:, None])).any(axis=1)
    behind = overlaps & (shapes < position[:, None])
    last = len(shapes) - 1 - behind[:, ::-1].argmax(axis=1)
    on_shape = behind.any(axis=1)
    shape_colours = _colours(painted.addresses[shapes].tolist())
    plain = (painted.kinds[shapes] == PATH) & (shape_colours[:, 3] > 250)
    background[on_shape] = shape_colours[last[on_shape], :3]
    similar = np.abs(background - colours[:, :3]).max(axis=1) < contrast
    doubted: npt.NDArray[np.bool_] = covered | (on_shape & ~plain[last]) | similar
    return doubted


def _areas(painted: Objects) -> tuple[Ints, Floats]:
    """Positions and boxes of what covers an area: pictures, shadings, filled paths and thick lines.

    A path of several parts, such as the four rules of a frame, has a box for each part.
    """
    shapes = np.flatnonzero((painted.kinds >= PATH) & (painted.kinds <= SHADING))
    bounds = painted.bounds(shapes)
    large = np.minimum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]) > THIN
    at: list[int] = []
    boxes: list[Floats] = []
    for shape, box in zip(shapes[large].tolist(), bounds[large], strict=True):
        address = int(painted.addresses[shape])
        if painted.kinds[shape] == PATH:
            if not _is_filled(address):
                continue
            segments = pdfium.function("FPDFPath_CountSegments")(address)
            if 5 < segments <= MAX_SEGMENTS and not painted.frames[shape]:
                parts = _parts(address, segments)
                at += [shape] * len(parts)
                boxes += list(parts)
                continue
        at.append(shape)
        boxes.append(box)
    return np.array(at, dtype=np.int64), np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _is_filled(path: int) -> bool:
    """Whether a path is filled, or its line is as thick as text is high."""
    out, width = (ctypes.c_int * 2)(), ctypes.c_float()
    start = ctypes.addressof(out)
    if not pdfium.function("FPDFPath_GetDrawMode")(path, start, start + 4) or out[0]:
        return True
    pdfium.function("FPDFPageObj_GetStrokeWidth")(path, ctypes.addressof(width))
    return bool(out[1]) and width.value > THIN


def _parts(path: int, segments: int) -> Floats:
    """Boxes (n, 4) of a path's parts that are not thin."""
    read, kind_of = pdfium.function("FPDFPath_GetPathSegment"), pdfium.function("FPDFPathSegment_GetType")
    point, start = pdfium.function("FPDFPathSegment_GetPoint"), ctypes.addressof(_POINT)
    parts: list[list[tuple[float, float]]] = []
    for number in range(segments):
        segment = read(path, number)
        point(segment, start, start + 4)
        if kind_of(segment) == _MOVE_TO or not parts:
            parts.append([])
        parts[-1].append((_POINT[0], _POINT[1]))
    matrix = _matrix(path, _IDENTITY)
    corners = [np.array(part) @ matrix[:2] + matrix[2] for part in parts if len(part) > 2]
    boxes = np.array([[*part.min(axis=0), *part.max(axis=0)] for part in corners]).reshape(-1, 4)
    thick: Floats = boxes[np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) > THIN]
    return thick


def visible(
    page: Any, text_page: Any, painted: Objects, addresses: npt.NDArray[np.uint64], boxes: Floats, letters: Ints
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether any ink of each word is visible, and whether all of its letters are.

    `addresses`: the words' text objects; `boxes`: (words, 4) in points of the page as pypdfium2 renders it; `letters`: of each.
    """
    with_text, order = _pixels(page), {int(address): at for at, address in enumerate(painted.addresses.tolist())}
    areas = (boxes * SCALE).round().astype(int)
    layers = _layers(areas, [order.get(int(address), -1) for address in addresses], with_text.shape[:2])
    seen, whole = np.zeros(len(boxes), dtype=bool), np.zeros(len(boxes), dtype=bool)
    for layer in range(min(int(layers.max(initial=0)) + 1, MAX_LAYERS)):
        rows = np.flatnonzero(layers == layer)
        without = _pixels_without(page, text_page, painted, addresses[rows])
        for row in rows.tolist():
            x0, y0, x1, y1 = areas[row].tolist()
            area = (slice(max(y0, 0), y1 + 1), slice(max(x0, 0), x1 + 1))
            difference = np.maximum(with_text[area], without[area]) - np.minimum(with_text[area], without[area])
            ink: npt.NDArray[np.bool_] = np.any(difference >= SEEN, axis=2)
            lying = ink if x1 - x0 >= y1 - y0 or letters[row] == 1 else ink.T
            along: npt.NDArray[np.bool_] = np.any(lying, axis=0)
            inked = np.flatnonzero(along)
            seen[row] = len(inked) > 0
            gaps = np.diff(np.concatenate([[-1], inked, [len(along)]])) - 1
            whole[row] = seen[row] and gaps.max() <= max(LETTER_GAP * len(along) / letters[row], 3)
    return seen, whole


def _layers(areas: Ints, order: list[int], shape: tuple[int, ...]) -> Ints:
    """How many layers of these words are painted over each: what is visible at its place may be theirs.

    `areas`: (words, 4) in pixels of a picture of this shape; `order`: of painting.
    """
    above, layers = np.zeros(shape, dtype=np.uint8), np.zeros(len(areas), dtype=np.int64)
    for row in sorted(range(len(areas)), key=order.__getitem__, reverse=True):
        x0, y0, x1, y1 = areas[row].tolist()
        leading = round(LEADING * (y1 - y0))
        area = (slice(max(y0 + leading, 0), y1 - leading + 1), slice(max(x0, 0), x1 + 1))
        others = above[area]
        if others.size and np.count_nonzero(others) > COVERS * others.size:
            layers[row] = others.max()
        above[area] = np.maximum(others, min(layers[row] + 1, 255))
    return layers


def _pixels_without(page: Any, text_page: Any, painted: Objects, addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    activate = pdfium.function("FPDFPageObj_SetIsActive")
    texts = np.unique(addresses).tolist()
    texts += _painted_again(text_page, painted, set(texts))
    try:
        for address in texts:
            activate(address, 0)
        return _pixels(page)
    finally:
        for address in texts:
            activate(address, 1)


def _painted_again(text_page: Any, painted: Objects, texts: set[int]) -> list[int]:
    """Text objects at the places of `texts` that PDFium leaves out of the text layer, because they repeat one of them."""
    others = np.flatnonzero(painted.kinds == TEXT)
    bounds = painted.bounds(others)
    ours = np.array([int(address) in texts for address in painted.addresses[others].tolist()], dtype=bool)
    length, handle = pdfium.function("FPDFTextObj_GetText"), pdfium.address(text_page.raw)
    again = []
    for row in np.flatnonzero(~ours).tolist():
        if (np.abs(bounds[ours] - bounds[row]).max(axis=1) < 2).any():
            address = int(painted.addresses[others[row]])
            if length(address, handle, 0, 0) <= 2:  # bytes: only the end of the text
                again.append(address)
    return again


def _pixels(page: Any) -> npt.NDArray[np.uint8]:
    colours: npt.NDArray[np.uint8] = page.render(scale=SCALE).to_numpy()[..., :3]
    return colours
