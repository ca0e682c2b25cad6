"""Cut the surroundings of a place out of the picture of a page, with the place in a frame. Entry point: `cutouts`."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.documents.files import page_image
from proveout.records import Box, Page

if TYPE_CHECKING:
    from PIL.Image import Image

SCALE = 1.6  # pixels per point; 7 point text is legible
AROUND = (90.0, 34.0)  # points left and right, above and below: the neighbouring words and lines
LARGEST = (560, 320)  # pixels; a larger place is shown smaller
FRAME = "#a3217a"


def cutouts(path: Path | str, page: Page, boxes: Sequence[Box]) -> list[bytes]:
    """A small JPEG for each box. Raises UnreadableDocument."""
    image = page_image(path, page, min(SCALE, 4000 / max(page.width, page.height, 1.0)))
    scale = image.width / max(page.width, 1.0)
    return [_jpeg(_cut(image, box, scale)) for box in boxes]


def _cut(image: "Image", box: Box, scale: float) -> "Image":
    from PIL import ImageDraw

    x, y = AROUND
    left, top = max(round((box.x0 - x) * scale), 0), max(round((box.y0 - y) * scale), 0)
    right, bottom = min(round((box.x1 + x) * scale), image.width), min(round((box.y1 + y) * scale), image.height)
    cut = image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    frame = [round(value * scale) - edge for value, edge in ((box.x0, left), (box.y0, top), (box.x1, left), (box.y1, top))]
    ImageDraw.Draw(cut).rectangle((frame[0] - 3, frame[1] - 3, frame[2] + 3, frame[3] + 3), outline=FRAME, width=2)
    cut.thumbnail(LARGEST)
    return cut


def _jpeg(image: "Image") -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=80, optimize=True)
    return out.getvalue()
