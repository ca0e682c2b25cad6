"""A document as text segments: runs of adjacent words, and the neighbours of each.

A form prints a label and its value as two segments beside or above each other; a table prints a heading over its column.
Covered: segments that touch ("Total $: 500"), headings several rows above, pages of any size.
Not covered: ruled lines and colours. Only words and their boxes are read.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from proveout.records import Box, Document, Page, Word
from proveout.values.conventions import COLUMN_GAP

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LOOK_BACK = 240  # segments in reading order that are searched for the one above
NOWHERE = -1  # no neighbour
_BRACKETS = re.compile(r"\([^)]*\)")


@dataclass(frozen=True)
class TextSegments:
    """All segments of a document in reading order, as columns. A neighbour is an index into them, or NOWHERE."""

    texts: list[str]
    words: list[tuple[Word, ...]]
    boxes: Floats  # (segments, 4): x0, y0, x1, y1 in points
    page: Ints
    line: Ints  # counted through the document
    sizes: Floats  # (segments, 2): width and height of the page in points
    wordy: npt.NDArray[np.bool_]  # more letters than digits: a label or a name rather than a value
    left: Ints
    right: Ints
    above: Ints
    below: Ints
    label_left: Ints  # the nearest wordy segment to the left
    heading: Ints  # the nearest wordy segment above
    row: Ints  # the first wordy segment of the line


def text_segments(document: Document, phrases: Sequence[str] = ()) -> TextSegments:
    """Cut the lines of every page at wide gaps and around label phrases, and find each segment's neighbours."""
    by_first_word = _by_first_word(phrases)
    runs: list[tuple[Word, ...]] = []
    pages, lines, sizes = [], [], []
    line = -1
    for page in document.pages:
        for words in _lines(page):
            line += 1
            for run in _cut(words, by_first_word):
                runs.append(run)
                pages.append(page.number)
                lines.append(line)
                sizes.append((max(page.width, 1.0), max(page.height, 1.0)))
    texts = [" ".join(word.text for word in run) for run in runs]
    boxes = np.array([(b.x0, b.y0, b.x1, b.y1) for b in map(Box.around, runs)], dtype=np.float64).reshape(-1, 4)
    wordy = np.array([is_wordy(text) for text in texts], dtype=bool)
    page_of, line_of = np.array(pages, dtype=np.int64), np.array(lines, dtype=np.int64)
    left = _previous(line_of)
    above = _above(boxes, page_of, line_of)
    return TextSegments(
        texts=texts,
        words=runs,
        boxes=boxes,
        page=page_of,
        line=line_of,
        sizes=np.array(sizes, dtype=np.float64).reshape(-1, 2),
        wordy=wordy,
        left=left,
        right=_inverse(left),
        above=above,
        below=_inverse(above),
        label_left=_nearest(left, wordy),
        heading=_nearest(above, wordy),
        row=_first_wordy(left, wordy),
    )


def _lines(page: Page) -> Iterator[list[Word]]:
    line: list[Word] = []
    for word in page.words:
        if line and word.line != line[0].line:
            yield line
            line = []
        line.append(word)
    if line:
        yield line


Phrases = dict[str, list[tuple[str, ...]]]  # by their first word


def _by_first_word(phrases: Sequence[str]) -> Phrases:
    """Phrases of several words, by their first word. A single word is too often part of a name."""
    by_first_word: Phrases = {}
    for phrase in phrases:
        words = tuple(phrase.lower().split())
        if len(words) > 1:
            by_first_word.setdefault(words[0], []).append(words)
    return by_first_word


def _cut(words: Sequence[Word], phrases: Phrases) -> Iterator[tuple[Word, ...]]:
    heights = sorted(word.box.y1 - word.box.y0 for word in words)
    gap = max(COLUMN_GAP * heights[len(heights) // 2], 2.0)
    cuts = {0, len(words)}
    covered = 0  # words before this one already belong to a phrase: "Alt Order #" is not cut before "Order #"
    for at, word in enumerate(words):
        if at and (_space(words[at - 1].box, word.box) > gap or words[at - 1].text.endswith(":")):
            cuts.add(at)
        lengths = [len(phrase) for phrase in phrases.get(word.text.lower(), ()) if _matches(words, at, phrase)]
        if at >= covered and lengths:
            covered = at + max(lengths)
            cuts |= {at, covered}
    for start, end in pairwise(sorted(cuts)):
        yield tuple(words[start:end])


def _space(one: Box, other: Box) -> float:
    """Points between two boxes of a line, whichever of them is on the left; negative if they overlap."""
    return max(other.x0 - one.x1, one.x0 - other.x1)


def _matches(words: Sequence[Word], at: int, phrase: tuple[str, ...]) -> bool:
    return tuple(word.text.lower().rstrip(":") for word in words[at : at + len(phrase)]) == phrase


def is_wordy(text: str) -> bool:
    """
    >>> [is_wordy(text) for text in ("Order #", "Bernie 2020 (33287)", "12/30/19 to 01/05/20", "$150.00", "PQ1523")]
    [True, True, False, False, False]
    """
    outside = _BRACKETS.sub("", text) or text
    letters = sum(map(str.isalpha, outside))
    return letters >= 2 and letters > sum(map(str.isdigit, outside))


def _previous(line: Ints) -> Ints:
    """The previous segment in the same line.

    >>> _previous(np.array([0, 0, 1])).tolist()
    [-1, 0, -1]
    """
    before = np.arange(len(line)) - 1
    before[np.flatnonzero(np.diff(line, prepend=-1))] = NOWHERE
    return before


def _inverse(towards: Ints) -> Ints:
    """The neighbour in the opposite direction; if several point to one segment, the nearest."""
    back = np.full(len(towards), NOWHERE)
    for at in range(len(towards) - 1, -1, -1):
        if towards[at] != NOWHERE:
            back[towards[at]] = at
    return back


def _above(boxes: Floats, page: Ints, line: Ints) -> Ints:
    """The segment with the largest horizontal overlap on the nearest earlier line of the page that has one."""
    nearest = np.full(len(boxes), NOWHERE)
    x0, x1 = boxes[:, 0], boxes[:, 2]
    starts = np.searchsorted(line, line, side="left")  # first segment of the same line
    first = np.searchsorted(page, page, side="left")
    block = 64
    for a in range(0, len(boxes), block):
        b = min(a + block, len(boxes))
        low, high = max(int(first[a]), a - LOOK_BACK), int(starts[b - 1])
        if high <= low:
            continue
        overlap = np.minimum(x1[a:b, None], x1[None, low:high]) - np.maximum(x0[a:b, None], x0[None, low:high])
        fits = overlap > 1.0
        index = np.arange(low, high)
        fits &= (index[None, :] < starts[a:b, None]) & (index[None, :] >= first[a:b, None])
        rank = np.where(fits, line[None, low:high] * 1e4 + np.minimum(overlap, 9e3), -1.0)
        best = rank.argmax(axis=1)
        nearest[a:b] = np.where(rank[np.arange(b - a), best] >= 0, best + low, NOWHERE)
    return nearest


def _nearest(towards: Ints, wordy: npt.NDArray[np.bool_]) -> Ints:
    """The first wordy segment in that direction; every neighbour comes earlier in reading order."""
    nearest = np.full(len(towards), NOWHERE)
    for at, neighbour in enumerate(towards.tolist()):
        if neighbour != NOWHERE:
            nearest[at] = neighbour if wordy[neighbour] else nearest[neighbour]
    return nearest


def _first_wordy(left: Ints, wordy: npt.NDArray[np.bool_]) -> Ints:
    first = np.full(len(left), NOWHERE)
    for at, neighbour in enumerate(left.tolist()):
        if neighbour != NOWHERE:
            first[at] = first[neighbour] if first[neighbour] != NOWHERE else (neighbour if wordy[neighbour] else NOWHERE)
    return first
