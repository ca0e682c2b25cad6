"""Imitate an office scanner: pages askew, sometimes sideways, with noise, without a text layer. Entry point: `rasterise`.

Covered: the same bytes and random state give the same scan, given the same versions of PDFium, Pillow and NumPy.
"""

import io
import random
from typing import Any

DPI = 150


def rasterise(data: bytes, rng: random.Random, faint: bool = False, lean: float | None = None) -> bytes:
    """A new PDF with the pages of `data` as pictures.

    `faint`: as if printed with little toner; `lean`: degrees counter-clockwise, upright, instead of a random angle.
    """
    import pypdfium2  # type: ignore[import-untyped]
    from reportlab.lib.utils import ImageReader  # type: ignore[import-untyped]
    from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

    angle = rng.choice((0, 0, 0, 0, 90, 180, 270)) if lean is None else 0
    fax = not faint and rng.random() < 0.2
    out = io.BytesIO()
    canvas: Any = Canvas(out, invariant=1)
    with pypdfium2.PdfDocument(data) as pdf:
        for page in pdf:
            picture = _scan_page(page, rng, angle, faint, lean)
            encoded = io.BytesIO()
            if fax:
                picture.point(lambda grey: 255 * (grey > 150)).convert("1").save(encoded, "PNG")
            else:
                picture.save(encoded, "JPEG", quality=rng.randint(50, 75))
            size = (picture.width * 72 / DPI, picture.height * 72 / DPI)
            canvas.setPageSize(size)
            encoded.seek(0)
            canvas.drawImage(ImageReader(encoded), 0, 0, *size)
            canvas.showPage()
    canvas.save()
    return out.getvalue()


def _scan_page(page: Any, rng: random.Random, angle: int, faint: bool, lean: float | None) -> Any:
    import numpy as np
    from PIL import Image, ImageFilter

    picture = Image.fromarray(page.render(scale=DPI / 72, grayscale=True).to_numpy().squeeze())
    skew = rng.uniform(-1.3, 1.3) if lean is None else lean
    picture = picture.rotate(skew, resample=Image.Resampling.BICUBIC, fillcolor=255, expand=lean is not None)
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 0.75) + 0.25 * faint))
    pixels = np.asarray(picture, dtype=np.float32)
    if faint:
        pixels = 255 - (255 - pixels) * np.float32(rng.uniform(0.28, 0.45))
    noise = np.random.default_rng(rng.randrange(2**32)).standard_normal(pixels.shape, dtype=np.float32)
    paper = rng.uniform(0.93, 1.0)  # brightness of the paper
    noisy = np.clip(pixels * paper + noise * rng.uniform(3, 8), 0, 255).astype(np.uint8)
    picture = Image.fromarray(noisy)
    return picture.rotate(angle, expand=True) if angle else picture
