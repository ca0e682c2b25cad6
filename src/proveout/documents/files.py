"""Read one file into a Document.

The kind of a file is detected from its bytes, never from its name: PDF, PNG, JPEG, TIFF, an e-invoice in XML, or plain text.
Covered: limits on bytes, pages and pixels; pages of a PDF without a usable text layer are read by OCR.
Not covered: a file that crashes or hangs the reader. `read_many` isolates it in a worker process.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from proveout.documents import columns, e_invoice, e_invoice_pages, ocr, plain_text, text_layer
from proveout.documents.columns import PageColumns
from proveout.errors import UnreadableDocument
from proveout.records import Anomaly, AnomalyKind, Document, EInvoice, Page

if TYPE_CHECKING:
    from PIL.Image import Image

Kind = Literal["pdf", "image", "xml", "text"]

MAX_BYTES = 100_000_000  # a scan of 300 pages has about half as many
MAX_PAGES = 300
MAX_PIXELS = 60_000_000  # an A3 page at 500 dpi
LETTER_HEIGHT = 792.0  # points; the longer side of an image without a resolution


def sha256_of(path: Path | str) -> str:
    """The hexadecimal SHA-256 of a file's bytes, which is the id of its case."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path | str) -> Document:
    """Read the words of one file.

    Raises UnreadableDocument with the reason: broken, empty, encrypted, oversized, without text, or of an unknown kind.
    """
    data = content(Path(path))
    read = list(pages(data))
    return columns.document(hashlib.sha256(data).hexdigest(), read, *embedded(data, read))


def page_image(path: Path | str, page: int | Page, scale: float = 1.0) -> "Image":
    """A page as a person reads it: `scale` pixels per point, turned so that the boxes of its words fit.

    Pass the Page of a Document where there is one: given only a page number, the file is read again to find out which way
    up the page is.
    """
    from PIL import Image

    data = content(Path(path))
    if isinstance(page, int):
        turned = next(words.turned for number, words in enumerate(pages(data)) if number == page)
        return page_image(path, Page(page, 0, 0, (), turned), scale)
    quarter = round(page.turned / 90) * 90
    kind = kind_of(data)
    if kind in ("text", "xml"):
        return plain_text.picture(list(pages(data))[page.number], scale)
    if kind == "pdf":
        with _pdf(data) as pdf:
            picture: Image.Image = pdf[page.number].render(scale=scale, rotation=quarter % 360).to_pil().convert("RGB")
    else:
        frame = next(frame for number, frame in enumerate(_frames(data)) if number == page.number)
        width, height = _size(frame)
        size = (round(width * scale), round(height * scale))
        picture = _on_white(frame).resize(size).rotate(-quarter, expand=True)
    return picture.rotate(quarter - page.turned, resample=Image.Resampling.BICUBIC, fillcolor="white")


def content(path: Path) -> bytes:
    """The bytes of a file. Raises UnreadableDocument if it cannot be opened, is empty or exceeds MAX_BYTES."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnreadableDocument(f"oversized: {size:,} bytes, the limit is {MAX_BYTES:,}; split it or scan it again")
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableDocument(f"cannot be opened: {error.strerror}; check that the file exists and is readable") from error
    if not data:
        raise UnreadableDocument("empty: 0 bytes; ask for the file again")
    return data


def kind_of(data: bytes) -> Kind:
    """The kind of a file, detected from its bytes. Raises UnreadableDocument for any other kind.

    >>> kind_of(b"%PDF-1.7 ..."), kind_of("Total: 12,00 €".encode())
    ('pdf', 'text')
    """
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")):
        return "image"
    if e_invoice.is_e_invoice(data):
        return "xml"
    if plain_text.is_text(data):
        return "text"
    raise UnreadableDocument("unknown kind of file; expected PDF, PNG, JPEG, TIFF or plain text in UTF-8")


def pages(data: bytes) -> Iterator[PageColumns]:
    """Read the pages one by one. Raises UnreadableDocument, after the last page if no page has a word."""
    kind = kind_of(data)
    words = 0
    for page in {"pdf": _pdf_pages, "image": _image_pages, "xml": _xml_pages, "text": plain_text.pages}[kind](data):
        words += len(page.texts)
        yield page
    if not words:
        raise UnreadableDocument("no text on any page, not even by OCR; check whether the scan is blank")


def embedded(data: bytes, pages: Sequence[PageColumns]) -> tuple[tuple[Anomaly, ...], EInvoice | None]:
    """The e-invoice that a file carries or is, after the reasons not to believe it: its doubts, and where its pages differ."""
    kind = kind_of(data)
    if kind == "xml":
        reading = e_invoice.read(data)
        return tuple(
            Anomaly(AnomalyKind.UNUSABLE, f"the e-invoice is doubtful: {d}") for d in reading.doubts
        ), reading.e_invoice
    if kind != "pdf":
        return (), None
    with _pdf(data) as pdf:
        stated, problems = e_invoice.embedded(pdf, data)
    if stated is None:
        return problems, None
    return (*problems, *e_invoice_pages.contradictions(stated, columns.document("", pages))), stated


def _xml_pages(data: bytes) -> Iterator[PageColumns]:
    return plain_text.pages(e_invoice.text_of(e_invoice.read(data)).encode())


def _pdf_pages(data: bytes) -> Iterator[PageColumns]:
    with _pdf(data) as pdf:
        for number in range(len(pdf)):
            page = pdf[number]
            words = text_layer.read_page(page)
            yield words if text_layer.is_usable(words) and not text_layer.is_scan(page) else _recognise(page)
            page.close()


def _recognise(page: Any) -> PageColumns:
    width, height = page.get_size()
    pixels = page.render(scale=ocr.RECOGNITION_SIDE / max(width, height, 1.0)).to_numpy()
    return ocr.read_picture(np.ascontiguousarray(pixels[..., :3]), width, height)


def _image_pages(data: bytes) -> Iterator[PageColumns]:
    for frame in _frames(data):
        pixels = np.asarray(_on_white(frame))[..., ::-1]
        yield ocr.read_picture(ocr.shrink(np.ascontiguousarray(pixels)), *_size(frame))


def _frames(data: bytes) -> Iterator["Image"]:
    from PIL import Image, ImageOps, ImageSequence

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "TIFF")) as image:
            pages = getattr(image, "n_frames", 1)
            if pages > MAX_PAGES:
                raise UnreadableDocument(f"oversized: {pages} pages, the limit is {MAX_PAGES}; split it")
            for frame in ImageSequence.Iterator(image):
                if frame.width * frame.height > MAX_PIXELS:
                    raise UnreadableDocument(f"oversized: more than {MAX_PIXELS:,} pixels; scan it at 300 dpi")
                yield ImageOps.exif_transpose(frame)
    except UnreadableDocument:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableDocument(f"oversized: more than {MAX_PIXELS:,} pixels; scan it at 300 dpi") from error
    except Exception as error:  # on hostile bytes Pillow raises anything, even SyntaxError
        raise UnreadableDocument(f"broken image: {error}; ask for the file again") from error


def _on_white(frame: "Image") -> "Image":
    """The picture as RGB on a white background."""
    from PIL import Image

    if "A" in frame.getbands() or "transparency" in frame.info:
        image = frame.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if frame.mode.startswith("I;16"):
        return frame.point(lambda grey: grey / 256).convert("L").convert("RGB")
    return frame.convert("RGB")


def _size(frame: "Image") -> tuple[float, float]:
    """Width and height in points, from the image's resolution if it states a plausible one."""
    dpi = float(frame.info.get("dpi", (0, 0))[0] or 0)
    scale = 72 / dpi if 60 <= dpi <= 1300 else LETTER_HEIGHT / max(frame.size)
    return frame.width * scale, frame.height * scale


@contextmanager
def _pdf(data: bytes) -> Iterator[Any]:
    import pypdfium2  # type: ignore[import-untyped]

    try:
        with pypdfium2.PdfDocument(data) as pdf:
            if len(pdf) > MAX_PAGES:
                raise UnreadableDocument(f"oversized: {len(pdf)} pages, the limit is {MAX_PAGES}; split it")
            if not len(pdf):
                raise UnreadableDocument("empty: a PDF without pages; ask for the file again")
            yield pdf
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise UnreadableDocument("encrypted: it opens only with a password; ask for a copy without one") from error
        raise UnreadableDocument(f"broken PDF: {error}; ask for the file again") from error
