"""A printed page as an office scanner gives it: askew, sometimes sideways, with noise, without a text layer.

Covered: the same bytes and dice give the same scan, with the same versions of PDFium, Pillow and NumPy.
"""

import io
import random
from typing import Any

DPI = 150


def scanned(data: bytes, dice: random.Random, faint: bool = False) -> bytes:
    """The pages of a PDF as pictures in a new one. `faint`: as from a printer that wants toner."""
    import pypdfium2  # type: ignore[import-untyped]
    from reportlab.lib.utils import ImageReader  # type: ignore[import-untyped]
    from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

    turned = dice.choice((0, 0, 0, 0, 90, 180, 270))
    fax = not faint and dice.random() < 0.2
    out = io.BytesIO()
    canvas: Any = Canvas(out, invariant=1)
    with pypdfium2.PdfDocument(data) as pdf:
        for page in pdf:
            picture = _photographed(page, dice, turned, faint)
            kept = io.BytesIO()
            if fax:
                picture.point(lambda grey: 255 * (grey > 150)).convert("1").save(kept, "PNG")
            else:
                picture.save(kept, "JPEG", quality=dice.randint(50, 75))
            size = (picture.width * 72 / DPI, picture.height * 72 / DPI)
            canvas.setPageSize(size)
            kept.seek(0)
            canvas.drawImage(ImageReader(kept), 0, 0, *size)
            canvas.showPage()
    canvas.save()
    return out.getvalue()


def _photographed(page: Any, dice: random.Random, turned: int, faint: bool) -> Any:
    import numpy as np
    from PIL import Image, ImageFilter

    picture = Image.fromarray(page.render(scale=DPI / 72, grayscale=True).to_numpy().squeeze())
    picture = picture.rotate(dice.uniform(-1.3, 1.3), resample=Image.Resampling.BICUBIC, fillcolor=255)
    picture = picture.filter(ImageFilter.GaussianBlur(dice.uniform(0.4, 0.75) + 0.25 * faint))
    pixels = np.asarray(picture, dtype=np.float32)
    if faint:
        pixels = 255 - (255 - pixels) * np.float32(dice.uniform(0.28, 0.45))
    rolls = np.random.default_rng(dice.randrange(2**32)).standard_normal(pixels.shape, dtype=np.float32)
    paper = dice.uniform(0.93, 1.0)  # not every paper is white
    noisy = np.clip(pixels * paper + rolls * dice.uniform(3, 8), 0, 255).astype(np.uint8)
    picture = Image.fromarray(noisy)
    return picture.rotate(turned, expand=True) if turned else picture
