"""Which words of a PDF's text layer a person sees.

The objects of a page say which words may be hidden: painted in the colour behind them, transparent, covered by something
painted later, clipped away, in a layer that may be off, or in an invisible render mode. Only if there are any, the page is
rendered twice, with and without these words: a word is visible where the two pictures differ, however it was hidden. Words that
are painted over one another are left out one layer at a time.
Covered: words that are covered in part, words inside form XObjects, text too small to read.
Not covered: fonts whose glyphs are empty, and a visible glyph that stands for another letter than the text layer says;
`painted` finds such digits.
"""

import ctypes
import math
from collections.abc import Sequence
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
AT_ONCE = 1_000_000  # pairs of text objects that are compared
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
        handles = map(pdfium.Handle, self.addresses[at].tolist())
        boxes64 = pdfium.table("FPDFPageObj_GetBounds", handles, count=len(at), dtype="f4").astype(np.float64)
        inside = np.flatnonzero(self.frames[at])
        if len(inside):
            matrices = np.stack(self.matrices)[self.frames[at[inside]]]  # (n, 3, 2)
            corners = boxes64[inside][:, [[0, 1], [0, 3], [2, 1], [2, 3]]]  # (n, 4, 2)
            moved = corners @ matrices[:, :2] + matrices[:, 2:]
            boxes64[inside] = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
        return boxes64


def objects(page: Any) -> Objects:
    """The objects of a pypdfium2 page."""
    top = pdfium.handle(page.raw)
    read, kind_of = pdfium.function("FPDFPage_GetObject"), pdfium.function("FPDFPageObj_GetType")
    addresses = list(map(read, repeat(top), range(pdfium.function("FPDFPage_CountObjects")(top))))
    kinds = list(map(kind_of, map(pdfium.Handle, addresses)))
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
        inner, form = len(matrices), pdfium.Handle(address)
        matrices.append(_matrix(form, matrices[frame]))
        if frame in transparent or pdfium.function("FPDFPageObj_HasTransparency")(form):
            transparent.append(inner)
        count = pdfium.function("FPDFFormObj_CountObjects")(form)
        inside = [pdfium.function("FPDFFormObj_GetObject")(form, i) for i in range(max(count, 0))]
        kinds_inside = list(map(pdfium.function("FPDFPageObj_GetType"), map(pdfium.Handle, inside)))
        _descend(inside, kinds_inside, inner, rows, matrices, transparent, depth + 1)


def _matrix(handle: pdfium.Handle, outer: Floats) -> Floats:
    values = (ctypes.c_float * 6)()
    pdfium.function("FPDFPageObj_GetMatrix")(handle, values)
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
    shortened: Floats  # share of its length that is


def doubts(text_page: Any, painted: Objects, starts: Ints, boxes: Floats) -> Doubts:
    """Look for words that might be hidden.

    `starts`: index of each word's first letter; `boxes`: (words, 4) in page coordinates.
    """
    words = map(pdfium.function("FPDFText_GetTextObject"), repeat(pdfium.handle(text_page.raw)), starts.tolist())
    used, of_word = np.unique(np.fromiter(words, dtype=np.uint64, count=len(starts)), return_inverse=True)
    if not len(used) or not len(painted.addresses):
        nothing = np.zeros(len(starts), dtype=bool)
        return Doubts(used[of_word], nothing, nothing, np.zeros(len(starts)), np.zeros(len(starts)))
    handles = list(map(pdfium.Handle, used.tolist()))
    by_address = np.argsort(painted.addresses)
    position = by_address[np.searchsorted(painted.addresses, used, sorter=by_address).clip(max=len(by_address) - 1)]
    colours = _colours(handles)
    modes = _numbers("FPDFTextObj_GetTextRenderMode", handles).clip(0, 7)
    unclear = _WITHOUT_FILL[modes] | (colours[:, 3] < 128) | _in_layers(handles)
    unclear |= (painted.addresses[position] != used) | painted.is_transparent[painted.frames[position]]
    limits = _clips(handles, painted.frames[position])
    unclear |= np.isnan(limits).any(axis=1)
    beside = _beside(painted, boxes, position[of_word], colours[of_word])
    outside = _outside(boxes, limits[of_word])
    lengthwise = (boxes[:, 3] - boxes[:, 1] > boxes[:, 2] - boxes[:, 0]).astype(np.int64)  # 1 for text that runs up or down
    shortened = outside[np.arange(len(boxes)), lengthwise]
    return Doubts(used[of_word], unclear[of_word] | beside, _INVISIBLE[modes][of_word], outside.max(axis=1), shortened)


def _numbers(name: str, handles: Sequence[pdfium.Handle]) -> Ints:
    return np.fromiter(map(pdfium.function(name), handles), dtype=np.int64, count=len(handles))


def _colours(handles: Sequence[pdfium.Handle]) -> Ints:
    """Fill colours (n, 4) of objects: red, green, blue, opacity; a pattern counts as transparent."""
    return pdfium.table("FPDFPageObj_GetFillColor", handles, count=len(handles), dtype="u4").astype(np.int64)


def _in_layers(handles: Sequence[pdfium.Handle]) -> npt.NDArray[np.bool_]:
    """Whether objects belong to optional content, which may be switched off."""
    counts = _numbers("FPDFPageObj_CountMarks", handles)
    inside = np.zeros(len(handles), dtype=bool)
    buffer, length = (ctypes.c_uint16 * 8)(), ctypes.c_ulong()
    mark, name = pdfium.function("FPDFPageObj_GetMark"), pdfium.function("FPDFPageObjMark_GetName")
    for row in np.flatnonzero(counts > 0).tolist():
        for i in range(counts[row]):
            name(pdfium.Handle(mark(handles[row], i)), buffer, 16, ctypes.byref(length))
            inside[row] |= length.value == 6 and bytes(buffer[:2]) == b"OC"
    return inside


def _clips(handles: Sequence[pdfium.Handle], frames: Ints) -> Floats:
    """The rectangles (n, 4) to which objects are clipped, infinite without one, nan for other shapes and inside forms."""
    clip_of, count = pdfium.function("FPDFPageObj_GetClipPath"), pdfium.function("FPDFClipPath_CountPaths")
    counts = list(map(count, map(pdfium.Handle, map(clip_of, handles))))
    limits = np.tile(np.array([-np.inf, -np.inf, np.inf, np.inf]), (len(handles), 1))
    for row, paths in enumerate(counts):
        if paths > 0:
            limits[row] = math.nan if frames[row] else _intersection(pdfium.Handle(clip_of(handles[row])), paths)
    return limits


def _outside(boxes: Floats, limits: Floats) -> Floats:
    """The shares (n, 2) of a box's width and height that lie outside its limits."""
    if not np.isfinite(limits).any():
        return np.zeros((len(boxes), 2))
    outside = np.fmax(limits[:, :2] - boxes[:, :2], 0) + np.fmax(boxes[:, 2:] - limits[:, 2:], 0)  # 0 for nan
    shares: Floats = outside / np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    return np.minimum(shares, 1.0)


def _intersection(clip: pdfium.Handle, count: int) -> tuple[float, float, float, float]:
    """The rectangle that `count` clip paths leave."""
    x0, y0, x1, y1 = zip(*(_rectangle(clip, path) for path in range(count)), strict=True)
    if any(map(math.isnan, x0)):
        return _NOT_A_RECTANGLE
    return (max(x0), max(y0), min(x1), min(y1))


_NOT_A_RECTANGLE = (math.nan,) * 4
_POINT, _MODES, _WIDTH = (ctypes.c_float * 2)(), (ctypes.c_int * 2)(), ctypes.c_float()  # output of one call
_X, _Y = ctypes.byref(_POINT), ctypes.byref(_POINT, 4)
_FILL, _STROKE, _TO_WIDTH = ctypes.byref(_MODES), ctypes.byref(_MODES, 4), ctypes.byref(_WIDTH)


def _point(segment: pdfium.Handle) -> tuple[float, float]:
    pdfium.function("FPDFPathSegment_GetPoint")(segment, _X, _Y)
    return _POINT[0], _POINT[1]


def _rectangle(clip: pdfium.Handle, path: int) -> tuple[float, float, float, float]:
    """The rectangle of a clip path from two opposite corners."""
    segments = pdfium.function("FPDFClipPath_CountPathSegments")(clip, path)
    if segments not in (4, 5):
        return _NOT_A_RECTANGLE
    corners = []
    for number in (0, 2):
        corners.append(_point(pdfium.Handle(pdfium.function("FPDFClipPath_GetPathSegment")(clip, path, number))))
    (x0, y0), (x1, y1) = corners
    return (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def _beside(painted: Objects, boxes: Floats, position: Ints, colours: Ints) -> npt.NDArray[np.bool_]:
    """Whether something is painted over a word, or its colour resembles the one painted last before it."""
    shapes, bounds = _areas(painted, boxes)
    background = np.full((len(boxes), 3), 255, dtype=np.int64)
    contrast = CONTRAST * 255 / np.maximum(colours[:, 3], 1)
    if not len(shapes):
        like_paper: npt.NDArray[np.bool_] = np.abs(background - colours[:, :3]).max(axis=1) < contrast
        return like_paper
    leading = LEADING * (boxes[:, 3] - boxes[:, 1])
    x0, y0, x1, y1 = boxes[:, 0], boxes[:, 1] + leading, boxes[:, 2], boxes[:, 3] - leading
    left, bottom, right, top = bounds.T[..., None]
    wide = np.minimum(x1, right) - np.maximum(x0, left)  # (shapes, words)
    high = np.minimum(y1, top) - np.maximum(y0, bottom)
    overlaps = (wide > 0) & (high > 0) & (wide * high > COVERS * np.maximum((x1 - x0) * (y1 - y0), 1e-6))
    covered = (overlaps & (shapes[:, None] > position)).any(axis=0)
    behind = overlaps & (shapes[:, None] < position)
    last = len(shapes) - 1 - behind[::-1].argmax(axis=0)
    on_shape = behind.any(axis=0)
    shape_colours = _colours(list(map(pdfium.Handle, painted.addresses[shapes].tolist())))
    plain = (painted.kinds[shapes] == PATH) & (shape_colours[:, 3] > 250)
    background[on_shape] = shape_colours[last[on_shape], :3]
    similar = np.abs(background - colours[:, :3]).max(axis=1) < contrast
    doubted: npt.NDArray[np.bool_] = covered | (on_shape & ~plain[last]) | similar
    return doubted


def _areas(painted: Objects, words: Floats) -> tuple[Ints, Floats]:
    """Positions and boxes of what covers an area: pictures, shadings, filled paths and thick lines.

    A path of several parts, such as the four rules of a frame, has a box for each part; none if no word is near it.
    """
    shapes = np.flatnonzero((painted.kinds >= PATH) & (painted.kinds <= SHADING))
    bounds = painted.bounds(shapes)
    large = np.minimum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]) > THIN
    shapes, bounds = shapes[large], bounds[large]
    x0, y0, x1, y1 = words.T
    count = pdfium.function("FPDFPath_CountSegments")
    at: list[int] = []
    boxes: list[list[float]] = []
    about = (shapes, painted.kinds[shapes], painted.addresses[shapes], painted.frames[shapes], bounds)
    for shape, kind, address, frame, box in zip(*(column.tolist() for column in about), strict=True):
        if kind == PATH:
            path = pdfium.Handle(address)
            if not _is_filled(path):
                continue
            segments = count(path)
            if 5 < segments <= MAX_SEGMENTS and not frame:
                near = ((x0 < box[2]) & (x1 > box[0]) & (y0 < box[3]) & (y1 > box[1])).any()
                parts = _parts(path, segments).tolist() if near else []
                at += [shape] * len(parts)
                boxes += parts
                continue
        at.append(shape)
        boxes.append(box)
    return np.array(at, dtype=np.int64), np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _is_filled(path: pdfium.Handle) -> bool:
    """Whether a path is filled, or its line is as thick as text is high."""
    if not pdfium.function("FPDFPath_GetDrawMode")(path, _FILL, _STROKE) or _MODES[0]:
        return True
    if not _MODES[1]:
        return False
    _WIDTH.value = 0.0
    pdfium.function("FPDFPageObj_GetStrokeWidth")(path, _TO_WIDTH)
    return _WIDTH.value > THIN


def _parts(path: pdfium.Handle, segments: int) -> Floats:
    """Boxes (n, 4) of a path's parts that are not thin."""
    read, kind_of = pdfium.function("FPDFPath_GetPathSegment"), pdfium.function("FPDFPathSegment_GetType")
    parts: list[list[tuple[float, float]]] = []
    for number in range(segments):
        segment = pdfium.Handle(read(path, number))
        if kind_of(segment) == _MOVE_TO or not parts:
            parts.append([])
        parts[-1].append(_point(segment))
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
    order = {address: at for at, address in enumerate(painted.addresses.tolist())}
    limits = np.ceil(np.array(page.get_size()) * SCALE).astype(int)
    cells = (boxes * SCALE).round().astype(int) + np.array([0, 0, 1, 1])
    low, high = cells[:, :2].min(axis=0).clip(0, limits - 1), cells[:, 2:].max(axis=0).clip(1, limits)
    cells = (cells - [*low, *low]).clip(0)
    with_text = _pixels(page, low, limits - high)
    layers = _layers(cells, [order.get(address, -1) for address in addresses.tolist()], with_text.shape[:2])
    seen, whole = np.zeros(len(boxes), dtype=bool), np.zeros(len(boxes), dtype=bool)
    for layer in range(min(int(layers.max(initial=0)) + 1, MAX_LAYERS)):
        rows = np.flatnonzero(layers == layer)
        without = _pixels_without(page, text_page, painted, addresses[rows], low, limits - high)
        differs: npt.NDArray[np.bool_] = np.maximum(with_text, without) - np.minimum(with_text, without) >= SEEN
        ink = differs[..., 0] | differs[..., 1] | differs[..., 2]
        for row in rows.tolist():
            x0, y0, x1, y1 = cells[row].tolist()
            area = ink[y0:y1, x0:x1] if x1 - x0 >= y1 - y0 or letters[row] == 1 else ink[y0:y1, x0:x1].T
            along = area.any(axis=0).tobytes()  # 1 where there is ink
            seen[row] = 1 in along
            gap = max(map(len, along.split(b"\1")))
            whole[row] = seen[row] and gap <= max(LETTER_GAP * len(along) / letters[row], 3)
    return seen, whole


def _layers(cells: Ints, order: list[int], shape: tuple[int, ...]) -> Ints:
    """How many layers of these words are painted over each: what is visible at its place may be theirs.

    `cells`: (words, 4) in pixels of a picture of this shape, the ends excluded; `order`: of painting.
    """
    above, layers = np.zeros(shape, dtype=np.uint8), np.zeros(len(cells), dtype=np.int64)
    for row in sorted(range(len(cells)), key=order.__getitem__, reverse=True):
        x0, y0, x1, y1 = cells[row].tolist()
        leading = round(LEADING * (y1 - y0))
        area = (slice(y0 + leading, y1 - leading), slice(x0, x1))
        others = above[area]
        if others.size and np.count_nonzero(others) > COVERS * others.size:
            layers[row] = others.max()
        above[area] = np.maximum(others, min(layers[row] + 1, 255))
    return layers


def _pixels_without(
    page: Any, text_page: Any, painted: Objects, addresses: npt.NDArray[np.uint64], low: Ints, cut: Ints
) -> npt.NDArray[np.uint8]:
    """`_pixels` without these text objects and what is painted of them again."""
    activate = pdfium.function("FPDFPageObj_SetIsActive")
    texts = np.unique(addresses)
    handles = list(map(pdfium.Handle, texts.tolist() + _painted_again(text_page, painted, texts)))
    try:
        for handle in handles:
            activate(handle, 0)
        return _pixels(page, low, cut)
    finally:
        for handle in handles:
            activate(handle, 1)


def _painted_again(text_page: Any, painted: Objects, texts: npt.NDArray[np.uint64]) -> list[int]:
    """Text objects at the places of `texts` that PDFium leaves out of the text layer, because they repeat one of them."""
    every = np.flatnonzero(painted.kinds == TEXT)
    ours = np.isin(painted.addresses[every], texts)
    bounds = painted.bounds(every)
    at, bounds, places = painted.addresses[every[~ours]], bounds[~ours], bounds[ours]
    length, handle, nowhere = pdfium.function("FPDFTextObj_GetText"), pdfium.handle(text_page.raw), pdfium.Handle(0)
    again: list[int] = []
    rows = max(AT_ONCE // max(len(places), 1), 1)
    for start in range(0, len(at), rows):
        part = bounds[start : start + rows, None]  # (rows, 1, 4)
        near = np.ones((len(part), len(places)), dtype=bool)
        for side in range(4):
            near &= np.abs(part[..., side] - places[:, side]) < 2
        for address in at[start : start + rows][near.any(axis=1)].tolist():
            if length(pdfium.Handle(address), handle, nowhere, nowhere) <= 2:  # bytes: only the end of the text
                again.append(address)
    return again


def _pixels(page: Any, before: Ints, after: Ints) -> npt.NDArray[np.uint8]:
    """The page as pixels without `before` of them at the left and the top and `after` at the right and the bottom."""
    left, top, right, bottom = ((np.array([*before, *after]) - 0.5) / SCALE).tolist()  # pypdfium2 rounds up to whole pixels
    colours: npt.NDArray[np.uint8] = page.render(scale=SCALE, crop=(left, bottom, right, top)).to_numpy()[..., :3]
    return colours
