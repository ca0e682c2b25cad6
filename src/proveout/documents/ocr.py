"""Read a picture of a page: PP-OCRv6 through onnxruntime, its models shipped by rapidocr, no network.

Lines are found on a small copy of the picture and recognised on the large one, because finding costs by the pixel
and recognising by the length of text. The recogniser also says which way up the page is: it is sure of text that
stands upright and of nothing else.
Covered: pages on their side or upside down, skew of a few degrees, the recogniser's confidence for every word.
Not covered: handwriting, and curved or mixed directions on one page.
"""

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from proveout.documents.columns import Floats, PageColumns, page_columns
from proveout.records import Source

Pixels = npt.NDArray[np.uint8]

READING_SIDE = 1760  # pixels of the longer side of the picture that is recognised: 160 dpi of a letter page
FINDING_SIDE = 1024  # of the copy on which lines are found; 8 point text is 10 pixels high there
HEIGHT = 48  # pixels of a line as the recogniser was trained
UPRIGHT = 0.88  # mean confidence above which nobody asks whether the page stands on its head
SAMPLE = 8  # lines that vote on it,
TELLING = 5  # about this many times as long as they are high: a word or two, quickly read
MAX_SKEW = 12.0  # degrees; beyond it a line is decoration
FAINT = 0.5  # words the recogniser is less sure of are not words


@dataclass(frozen=True, slots=True)
class _Read:
    text: str
    start: float  # 0..1 of the line's length
    end: float
    confidence: float


def read_picture(pixels: Pixels, width: float, height: float) -> PageColumns:
    """The words of a picture (rows, columns, 3; blue first) that shows a page of `width` x `height` points.

    `turned` says how the page has to be turned to be read: quarters, and the skew.
    """
    blank = pixels.max() == pixels.min()
    quads = np.zeros((0, 4, 2)) if blank else _lines_found(pixels)
    if not len(quads):
        return page_columns(width, height, [], np.zeros((0, 4)), source=Source.OCR)
    quarter, upright, quads, reads = _upright(pixels, quads)
    if quarter % 180:
        width, height = height, width
    skew = _skew(quads)
    scale = np.array([width / upright.shape[1], height / upright.shape[0]])
    middle = np.array([width, height]) / 2
    texts, boxes, sure = [], [], []
    for quad, words in zip(quads, reads, strict=True):
        corners = (quad * scale - middle) @ _rotation(-skew).T + middle  # (4, 2): from the top left, clockwise
        for word in words:
            texts.append(word.text)
            boxes.append(_part(corners, word.start, word.end))
            sure.append(word.confidence)
    return page_columns(
        width,
        height,
        texts,
        np.array(boxes).reshape(-1, 4),
        source=Source.OCR,
        turned=quarter - skew,
        confidence=np.array(sure),
    )


def shrunk(pixels: Pixels, side: int = READING_SIDE) -> Pixels:
    """The picture with its longer side at most `side` pixels."""
    import cv2

    longest = max(pixels.shape[:2])
    if longest <= side:
        return pixels
    size = (max(round(pixels.shape[1] * side / longest), 1), max(round(pixels.shape[0] * side / longest), 1))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _lines_found(pixels: Pixels) -> Floats:
    """Quadrilaterals (n, 4, 2) around lines of text, corners clockwise from the top left."""
    small = shrunk(pixels, FINDING_SIDE)
    found = _detector()(small, use_det=True, use_cls=False, use_rec=False).boxes
    quads: Floats = np.zeros((0, 4, 2)) if found is None else np.asarray(found, dtype=np.float64).reshape(-1, 4, 2)
    quads *= pixels.shape[1] / small.shape[1]
    return quads


def _upright(pixels: Pixels, quads: Floats) -> tuple[int, Pixels, Floats, list[list[_Read]]]:
    """Turn the page until its lines read well: degrees clockwise, the page, its lines and what they say."""
    sizes = _sizes(quads)
    sideways = sizes[sizes[:, 1] > 1.5 * sizes[:, 0]].sum() > sizes[sizes[:, 0] > 1.5 * sizes[:, 1]].sum()
    best: tuple[float, int] = (-1.0, 0)
    for quarter in (90, 270) if sideways else (0, 180):
        turned, there = _turn(pixels, quads, quarter)
        length, height = _sizes(there).T
        voters = np.argsort(np.abs(length / np.maximum(height, 1) - TELLING), kind="stable")[:SAMPLE]
        votes = [word.confidence for line in _recognise(turned, there[voters]) for word in line]
        best = max(best, (float(np.mean(votes)) if votes else 0.0, -quarter))
        if best[0] >= UPRIGHT:
            break
    quarter = -best[1]
    turned, there = _turn(pixels, quads, quarter)
    return quarter, turned, there, _recognise(turned, there)


def _turn(pixels: Pixels, quads: Floats, quarter: int) -> tuple[Pixels, Floats]:
    """Picture and quadrilaterals turned clockwise by 0, 90, 180 or 270 degrees; corners start at the top left again."""
    rows, columns = pixels.shape[:2]
    x, y = quads[..., 0], quads[..., 1]
    moved = {0: (x, y), 90: (rows - y, x), 180: (columns - x, rows - y), 270: (y, columns - x)}[quarter]
    steps = quarter // 90
    return np.ascontiguousarray(np.rot90(pixels, -steps)), np.roll(np.stack(moved, axis=-1), steps, axis=1)


def _sizes(quads: Floats) -> Floats:
    """Length and height (n, 2) of quadrilaterals."""
    return np.stack(
        [np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1), np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)], axis=1
    )


def _skew(quads: Floats) -> float:
    """Degrees clockwise by which the long lines of a page lean: their median, 0 where none is long enough to tell."""
    sizes = _sizes(quads)
    along = quads[:, 1] - quads[:, 0]
    angles = np.degrees(np.arctan2(along[:, 1], along[:, 0]))
    telling = (sizes[:, 0] > 4 * sizes[:, 1]) & (np.abs(angles) < MAX_SKEW)
    if telling.sum() < 3:
        return 0.0
    skew = float(np.median(np.repeat(angles[telling], np.maximum(sizes[telling, 0] / 20, 1).astype(int))))
    return round(skew, 2) if abs(skew) >= 0.2 else 0.0


def _rotation(degrees: float) -> Floats:
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


def _part(corners: Floats, start: float, end: float) -> list[float]:
    """The upright box of a stretch of a line."""
    left = corners[[0, 3]].mean(axis=0)
    right = corners[[1, 2]].mean(axis=0)
    half = np.linalg.norm(corners[3] - corners[0] + corners[2] - corners[1]) / 4 * 0.85  # the detector leaves a margin
    (x0, y0), (x1, y1) = left + (right - left) * start, left + (right - left) * end
    return [min(x0, x1), (y0 + y1) / 2 - half, max(x0, x1), (y0 + y1) / 2 + half]


def _recognise(pixels: Pixels, quads: Floats) -> list[list[_Read]]:
    """What each line says, word by word. Lines of one length share a batch, so that hardly a pixel is padding."""
    session, letters = _recogniser()
    crops = [_crop(pixels, quad) for quad in quads]
    lengths = [-(-crop.shape[1] // 32) * 32 for crop in crops]
    said: list[list[_Read]] = [[] for _ in crops]
    for length in sorted(set(lengths)):
        same = [i for i, each in enumerate(lengths) if each == length]
        for start in range(0, len(same), 16):
            chosen = same[start : start + 16]
            batch = np.zeros((len(chosen), 3, HEIGHT, length), dtype=np.float32)
            for row, i in enumerate(chosen):
                batch[row, :, :, : crops[i].shape[1]] = crops[i].transpose(2, 0, 1) / np.float32(127.5) - np.float32(1)
            chances = session.run(None, {session.get_inputs()[0].name: batch})[0]  # (lines, steps, letters)
            best, sure = chances.argmax(axis=2), chances.max(axis=2)
            for row, i in enumerate(chosen):
                said[i] = _words(best[row], sure[row], letters, length / crops[i].shape[1])
    return said


def _crop(pixels: Pixels, quad: Floats) -> Pixels:
    import cv2

    length, height = _sizes(quad[None])[0]
    columns = int(np.clip(round(length * HEIGHT / max(height, 1.0)), 16, 4000))
    target = np.array([[0, 0], [columns, 0], [columns, HEIGHT], [0, HEIGHT]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), target)
    return cv2.warpPerspective(pixels, matrix, (columns, HEIGHT), borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def _words(best: npt.NDArray[np.int64], sure: npt.NDArray[np.float32], letters: list[str], stretch: float) -> list[_Read]:
    """Words of a line from the recogniser's steps (CTC: repeated steps are one letter, 0 is none).

    `stretch`: length of the padded line over that of the line, so that places come out as shares of the line.

    >>> steps = np.array([0, 1, 1, 0, 2, 3, 0, 1])
    >>> [(w.text, w.start, w.end) for w in _words(steps, np.ones(8, dtype=np.float32), ["", "a", "b", " "], 1.0)]
    [('ab', 0.0625, 0.6875), ('a', 0.8125, 1.0)]
    """
    first = np.flatnonzero((best != 0) & (best != np.concatenate([[-1], best[:-1]])))
    words: list[_Read] = []
    run: list[int] = []
    for step in [*first.tolist(), -1]:
        if step >= 0 and not letters[best[step]].isspace():
            run.append(step)
            continue
        if run:
            text = "".join(letters[best[i]] for i in run)
            confidence = float(np.mean(sure[run]))
            if confidence >= FAINT:
                at = len(best) / stretch
                words.append(_Read(text, max((run[0] - 0.5) / at, 0.0), min((run[-1] + 1.5) / at, 1.0), confidence))
        run = []
    return words


def _threads() -> int:
    """onnxruntime ignores OMP_NUM_THREADS; whoever shares a machine sets it all the same."""
    return int(os.environ.get("OMP_NUM_THREADS", "0")) or os.cpu_count() or 1


@cache
def _detector() -> Any:
    from rapidocr import EngineType, RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.max_side_len": FINDING_SIDE,
            "Det.engine_type": EngineType.OPENVINO,  # a third of onnxruntime's time; at recognising they are equal
            "EngineConfig.openvino.inference_num_threads": _threads(),
            "EngineConfig.onnxruntime.intra_op_num_threads": _threads(),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


@cache
def _recogniser() -> tuple[Any, list[str]]:
    """The session, and the letter of each of its classes (class 0 is none, the last is the space)."""
    from importlib.resources import files

    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = files("rapidocr") / "models" / "PP-OCRv6_rec_small.onnx"
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    letters = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    return session, ["", *letters, " "]
