"""Lay out plain text on pages like a line printer: every letter is 6 points wide, every line 12 points high.

Covered: UTF-8 with or without a byte order mark, tabs, form feeds, long lines (the page gets wider).
Not covered: other encodings. They cannot be told reliably from binary files, so they are refused.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from proveout.documents.columns import PageColumns, page_columns
from proveout.records import Source

if TYPE_CHECKING:
    from PIL.Image import Image

LETTER = 6.0  # points, width of a letter
LINE = 12.0  # points, height of a line
MARGIN = 36.0
LINES = 60  # per page


def is_text(data: bytes) -> bool:
    """Whether the bytes are UTF-8 without control characters other than tabs, line ends and form feeds.

    >>> is_text(b"Net 30\\n"), is_text(b"\\x00\\x01\\x02")
    (True, False)
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return not any(letter < " " and letter not in "\t\n\r\f" for letter in text)


def pages(data: bytes) -> Iterator[PageColumns]:
    """The pages of a text. A form feed starts a new page; a page holds at most LINES lines."""
    for part in data.decode("utf-8-sig").split("\f"):
        rows = [row.expandtabs(8) for row in part.splitlines()]
        for start in range(0, max(len(rows), 1), LINES):
            yield _page(rows[start : start + LINES])


def picture(page: PageColumns, scale: float) -> "Image":
    """Draw a page: each word at its box, `scale` pixels per point."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (round(page.width * scale), round(page.height * scale)), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(LINE * scale * 0.8)
    for text, (x0, y0, _, _) in zip(page.texts, page.boxes.tolist(), strict=True):
        draw.text((x0 * scale, y0 * scale), text, fill="black", font=font)
    return image


def _page(rows: list[str]) -> PageColumns:
    texts: list[str] = []
    boxes: list[tuple[float, float, float, float]] = []
    for row, line in enumerate(rows):
        column = 0
        for text in line.split():
            column = line.index(text, column)
            x, y = MARGIN + column * LETTER, MARGIN + row * LINE
            texts.append(text)
            boxes.append((x, y, x + len(text) * LETTER, y + LINE))
            column += len(text)
    width = max(612.0, MARGIN * 2 + max((len(row) for row in rows), default=0) * LETTER)
    return page_columns(width, 792.0, texts, np.array(boxes, dtype=np.float64).reshape(-1, 4), source=Source.PLAIN_TEXT)
