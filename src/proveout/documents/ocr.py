"""Read a picture of a page: PP-OCRv6 through onnxruntime, with the models that rapidocr ships, without a network.

Lines are detected on a small copy of the picture and recognised on the large one, because the cost of detection grows with
the pixels and that of recognition with the text. The recogniser also decides which way up the page is: its confidence is
high only for upright text.
Covered: pages on their side or upside down, skew of a few degrees, the recogniser's confidence for every word.
Not covered: handwriting, and curved or mixed directions on one page.
"""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from proveout.documents import limits
from proveout.documents.columns import Floats, PageColumns, page_columns
from proveout.errors import BadModel
from proveout.files import published
from proveout.records import Source

Pixels = npt.NDArray[np.uint8]

RECOGNITION_SIDE = 1760  # pixels on the longer side of the picture that is recognised; 160 dpi for a letter page
DETECTION_SIDE = 1024  # pixels on the longer side of the copy for detection; 8 point text is 10 pixels high on it
LINE_HEIGHT = 48  # pixels; the recogniser was trained on lines of this height
LONGEST_LINE = 4000  # pixels
SURELY_UPRIGHT = 0.88  # mean confidence from which the opposite orientation is not tried
SAMPLE = 8  # lines recognised to choose the orientation
SAMPLE_RATIO = 5  # preferred length of these lines in multiples of their height: a word or two, quick to recognise
MAX_SKEW = 12.0  # degrees; a line beyond it is decoration
MIN_CONFIDENCE = 0.5  # words with less are dropped
PACKAGE = "rapidocr"
SHA256 = {  # of the models, as rapidocr publishes them
    "PP-OCRv6_det_small.onnx": "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    "PP-OCRv6_rec_small.onnx": "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
    "ch_ppocr_mobile_v2.0_cls_mobile.onnx": "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
}


@dataclass(frozen=True, slots=True)
class _OcrWord:
    text: str
    start: float  # share of the line's length, 0..1
    end: float
    confidence: float


def read_picture(pixels: Pixels, width: float, height: float, part: bool = False) -> PageColumns:
    """Recognise the words of a picture (rows, columns, 3; BGR) that shows a page of `width` x `height` points.

    `part`: it shows a part of a page, such as a stamp; a small picture is then read at its own size, which is quick.
    `turned` of the result is the rotation that makes the page readable: quarter turns and the skew.
    """
    blank = pixels.max() == pixels.min()
    quads = np.zeros((0, 4, 2)) if blank else _detect_lines(pixels, part)
    if not len(quads):
        return page_columns(width, height, [], np.zeros((0, 4)), source=Source.OCR)
    quarter, upright, quads, line_words = _upright(pixels, quads)
    if quarter % 180:
        width, height = height, width
    skew = _skew(quads)
    scale = np.array([width / upright.shape[1], height / upright.shape[0]])
    middle = np.array([width, height]) / 2
    texts, boxes, confidence = [], [], []
    for quad, words in zip(quads, line_words, strict=True):
        corners = (quad * scale - middle) @ _rotation(-skew).T + middle  # (4, 2): from the top left, clockwise
        for word in words:
            texts.append(word.text)
            boxes.append(_part(corners, word.start, word.end))
            confidence.append(word.confidence)
    return page_columns(
        width,
        height,
        texts,
        np.array(boxes).reshape(-1, 4),
        source=Source.OCR,
        turned=quarter - skew,
        confidence=np.array(confidence),
    )


def read_lines(pictures: Sequence[Pixels]) -> list[tuple[str, float]]:
    """The text of pictures that show one upright line each, best LINE_HEIGHT high, and its least confidence."""
    lines = _recognise([_crop(picture, _corners(*picture.shape[:2])) for picture in pictures])
    return [(" ".join(word.text for word in words), min((word.confidence for word in words), default=0.0)) for words in lines]


def shrink(pixels: Pixels, side: int = RECOGNITION_SIDE) -> Pixels:
    """Scale a picture down until its longer side has at most `side` pixels."""
    import cv2

    longest = max(pixels.shape[:2])
    if longest <= side:
        return pixels
    size = (max(round(pixels.shape[1] * side / longest), 1), max(round(pixels.shape[0] * side / longest), 1))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


@limits.unhurried()
def _detect_lines(pixels: Pixels, part: bool) -> Floats:
    """Quadrilaterals (n, 4, 2) around lines of text, corners clockwise from the top left."""
    small = shrink(pixels, DETECTION_SIDE)
    boxes = _detector(part)(small, use_det=True, use_cls=False, use_rec=False).boxes
    quads: Floats = np.zeros((0, 4, 2)) if boxes is None else np.asarray(boxes, dtype=np.float64).reshape(-1, 4, 2)
    quads *= pixels.shape[1] / small.shape[1]
    return quads


def _upright(pixels: Pixels, quads: Floats) -> tuple[int, Pixels, Floats, list[list[_OcrWord]]]:
    """Turn the page until its lines are readable: degrees clockwise, the turned page, its lines and their words."""
    sizes = _sizes(quads)
    sideways = sizes[sizes[:, 1] > 1.5 * sizes[:, 0]].sum() > sizes[sizes[:, 0] > 1.5 * sizes[:, 1]].sum()
    tried = []
    for quarter in (90, 270) if sideways else (0, 180):
        turned, lines = _turn(pixels, quads, quarter)
        length, height = _sizes(lines).T
        sample = np.argsort(np.abs(length / np.maximum(height, 1) - SAMPLE_RATIO), kind="stable")[:SAMPLE]
        words = dict(zip(sample.tolist(), _recognise_at(turned, lines[sample]), strict=True))
        confidence = [word.confidence for line in words.values() for word in line]
        tried.append((float(np.mean(confidence)) if confidence else 0.0, quarter, turned, lines, words))
        if tried[-1][0] >= SURELY_UPRIGHT:
            break
    _, quarter, turned, lines, words = max(tried, key=itemgetter(0))  # of equals the first
    others = [at for at in range(len(lines)) if at not in words]
    words |= zip(others, _recognise_at(turned, lines[others]), strict=True)
    return quarter, turned, lines, [words[at] for at in range(len(lines))]


def _turn(pixels: Pixels, quads: Floats, quarter: int) -> tuple[Pixels, Floats]:
    """Turn picture and quadrilaterals clockwise by 0, 90, 180 or 270 degrees; corners start at the top left again."""
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
    """Median angle of the long lines of a page, in degrees clockwise; 0 with fewer than three of them."""
    sizes = _sizes(quads)
    along = quads[:, 1] - quads[:, 0]
    angles = np.degrees(np.arctan2(along[:, 1], along[:, 0]))
    long = (sizes[:, 0] > 4 * sizes[:, 1]) & (np.abs(angles) < MAX_SKEW)
    if long.sum() < 3:
        return 0.0
    skew = float(np.median(np.repeat(angles[long], np.maximum(sizes[long, 0] / 20, 1).astype(int))))
    return round(skew, 2) if abs(skew) >= 0.2 else 0.0


def _rotation(degrees: float) -> Floats:
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


def _part(corners: Floats, start: float, end: float) -> list[float]:
    """The upright box of a part of a line."""
    left = corners[[0, 3]].mean(axis=0)
    right = corners[[1, 2]].mean(axis=0)
    half = np.linalg.norm(corners[3] - corners[0] + corners[2] - corners[1]) / 4 * 0.85  # the detector leaves a margin
    (x0, y0), (x1, y1) = left + (right - left) * start, left + (right - left) * end
    return [min(x0, x1), (y0 + y1) / 2 - half, max(x0, x1), (y0 + y1) / 2 + half]


def _recognise_at(pixels: Pixels, quads: Floats) -> list[list[_OcrWord]]:
    """The words of each line of a picture."""
    return _recognise([_crop(pixels, quad) for quad in quads])


@limits.unhurried()
def _recognise(crops: Sequence[Pixels]) -> list[list[_OcrWord]]:
    """The words of each line. Lines of the same length share a batch, which keeps the padding small."""
    session, letters = _recogniser()
    lengths = [-(-crop.shape[1] // 32) * 32 for crop in crops]
    lines: list[list[_OcrWord]] = [[] for _ in crops]
    for length in sorted(set(lengths)):
        same = [i for i, other in enumerate(lengths) if other == length]
        for start in range(0, len(same), 16):
            chunk = same[start : start + 16]
            batch = np.zeros((len(chunk), 3, LINE_HEIGHT, length), dtype=np.float32)
            for row, i in enumerate(chunk):
                batch[row, :, :, : crops[i].shape[1]] = crops[i].transpose(2, 0, 1) / np.float32(127.5) - np.float32(1)
            probabilities = session.run(None, {session.get_inputs()[0].name: batch})[0]  # (lines, steps, letters)
            best, confidence = probabilities.argmax(axis=2), probabilities.max(axis=2)
            for row, i in enumerate(chunk):
                lines[i] = _words(best[row], confidence[row], letters, length / crops[i].shape[1])
    return lines


def _crop(pixels: Pixels, quad: Floats) -> Pixels:
    import cv2

    length, height = _sizes(quad[None])[0]
    columns = int(np.clip(round(length * LINE_HEIGHT / max(height, 1.0)), 16, LONGEST_LINE))
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), _corners(LINE_HEIGHT, columns).astype(np.float32))
    return cv2.warpPerspective(pixels, matrix, (columns, LINE_HEIGHT), borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def _corners(rows: int, columns: int) -> Floats:
    """The corners (4, 2) of a picture, from the top left, clockwise."""
    return np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], dtype=np.float64)


def _words(
    best: npt.NDArray[np.int64], probability: npt.NDArray[np.float32], letters: list[str], stretch: float
) -> list[_OcrWord]:
    """Decode the words of a line from the recogniser's steps (CTC: repeated steps are one letter, 0 is none).

    `stretch`: length of the padded line divided by that of the line, so that positions are shares of the line.

    >>> steps = np.array([0, 1, 1, 0, 2, 3, 0, 1])
    >>> [(w.text, w.start, w.end) for w in _words(steps, np.ones(8, dtype=np.float32), ["", "a", "b", " "], 1.0)]
    [('ab', 0.0625, 0.6875), ('a', 0.8125, 1.0)]
    """
    first = np.flatnonzero((best != 0) & (best != np.concatenate([[-1], best[:-1]])))
    words: list[_OcrWord] = []
    run: list[int] = []
    for step in [*first.tolist(), -1]:
        if step >= 0 and not letters[best[step]].isspace():
            run.append(step)
            continue
        if run:
            text = "".join(letters[best[i]] for i in run)
            confidence = float(np.mean(probability[run]))
            if confidence >= MIN_CONFIDENCE:
                steps = len(best) / stretch
                words.append(_OcrWord(text, max((run[0] - 0.5) / steps, 0.0), min((run[-1] + 1.5) / steps, 1.0), confidence))
        run = []
    return words


def _threads() -> int:
    """OMP_NUM_THREADS, which onnxruntime itself ignores, or all CPUs."""
    return int(os.environ.get("OMP_NUM_THREADS", "0")) or os.cpu_count() or 1


@cache
def check_models() -> None:
    """Raise BadModel unless the installed models are the published ones. Their files are read once in a process."""
    for name, sha256 in SHA256.items():
        published(_models() / name, sha256, f"{PACKAGE}=={version(PACKAGE)}", "nothing is read by OCR")


def _models() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise BadModel(f"{PACKAGE} is not installed; install it: pip install {PACKAGE}")
    return Path(spec.origin).parent / "models"


@cache
def _detector(part: bool) -> Any:
    from rapidocr import EngineType, RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.max_side_len": DETECTION_SIDE,
            **({"Det.limit_type": "max", "Det.limit_side_len": DETECTION_SIDE} if part else {}),  # else it enlarges the picture
            "Det.engine_type": EngineType.OPENVINO,  # takes a third of onnxruntime's time; for recognition they are equal
            "EngineConfig.openvino.inference_num_threads": _threads(),
            "EngineConfig.onnxruntime.intra_op_num_threads": _threads(),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


@cache
def _recogniser() -> tuple[Any, list[str]]:
    """The session, and the letter of each of its classes (class 0 is none, the last one is the space)."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = str(_models() / "PP-OCRv6_rec_small.onnx")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    letters = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    return session, ["", *letters, " "]
