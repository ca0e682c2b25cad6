"""Read one file into a Document.

The kind of a file is detected from its bytes, never from its name: PDF, PNG, JPEG, TIFF, an e-invoice in XML, or plain text.
Covered: limits on bytes, pages and pixels; pages of a PDF without a usable text layer are read by OCR.
Not covered: a file that crashes or hangs the reader. `read_many` isolates it in a worker process.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from proveout.documents import annotations, columns, e_invoice, e_invoice_pages, ocr, plain_text, stamps, text_layer, visibility
from proveout.documents.boundaries import boundaries
from proveout.documents.columns import PageColumns
from proveout.errors import UnreadableDocument
from proveout.files import open_file
from proveout.records import Anomaly, AnomalyKind, Box, Document, EInvoice, Page, Source

if TYPE_CHECKING:
    from PIL.Image import Image

Kind = Literal["pdf", "image", "xml", "text"]

MAX_BYTES = 100_000_000  # a scan of 300 pages has about half as many
MAX_PAGES = 300
MAX_PIXELS = 60_000_000  # an A3 page at 500 dpi
SURELY = 0.9999  # the most that a word read by OCR on a page with a text layer has; 1 is for the text layer
SURELY_READ = 0.8  # mean confidence of OCR that is believed against a garbled text layer
MAX_SIDE = 14_400  # points; the largest page that the PDF standard allows, 200 inches
LETTER_HEIGHT = 792.0  # points; the longer side of an image without a resolution


def sha256_of(path: Path | str) -> str:
    """The hexadecimal SHA-256 of a file's bytes, which is the id of its case."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path | str) -> Document:
    """Read the words of one file.

    Raises UnreadableDocument with the reason: broken, empty, encrypted, oversized, without text, or of an unknown kind.
    """
    data = content(Path(path))
    every = list(pages(data))
    return columns.document(hashlib.sha256(data).hexdigest(), every, *of_whole(data, every))


def page_image(path: Path | str, page: int | Page, scale: float = 1.0, part: Box | None = None) -> "Image":
    """A page, or a part of it, as a person reads it: `scale` pixels per point, turned so that the boxes of its words fit.

    Pass the Page of a Document where there is one: given only a page number, the file is read again to find out which way
    up the page is.
    """
    from PIL import Image

    data = content(Path(path))
    if isinstance(page, int):
        turned = next(words.turned for number, words in enumerate(pages(data)) if number == page)
        return page_image(path, Page(page, 0, 0, (), turned), scale, part)
    quarter = round(page.turned / 90) * 90
    kind = kind_of(data)
    if kind in ("text", "xml"):
        picture = plain_text.picture(list(pages(data))[page.number], scale)
    elif kind == "pdf":
        with _pdf(data) as pdf:
            drawn = pdf[page.number]
            if part and quarter == page.turned:  # drawing the part alone takes a tenth of the time
                width, height = drawn.get_size() if quarter % 180 == 0 else reversed(drawn.get_size())
                edges = (part.x0, height - part.y1, width - part.x1, part.y0)
                crop = [max(edge, 0.0) for edge in edges]
                cut: Image.Image = drawn.render(scale=scale, rotation=quarter % 360, crop=crop).to_pil().convert("RGB")
                return cut
            picture = drawn.render(scale=scale, rotation=quarter % 360).to_pil().convert("RGB")
    else:
        frame = next(frame for number, frame in enumerate(_frames(data)) if number == page.number)
        width, height = _size(frame)
        size = (round(width * scale), round(height * scale))
        picture = _on_white(frame).resize(size).rotate(-quarter, expand=True)
    upright: Image.Image = picture.rotate(quarter - page.turned, resample=Image.Resampling.BICUBIC, fillcolor="white")
    if part is None:
        return upright
    right, bottom = min(round(part.x1 * scale), upright.width), min(round(part.y1 * scale), upright.height)
    return upright.crop((max(round(part.x0 * scale), 0), max(round(part.y0 * scale), 0), right, bottom))


def content(path: Path) -> bytes:
    """The bytes of a file. Raises UnreadableDocument if it cannot be opened, is empty or exceeds MAX_BYTES."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnreadableDocument(f"oversized: {size:,} bytes, the limit is {MAX_BYTES:,}; split it or scan it again")
        with open_file(path) as file:
            data = file.read()
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


def of_whole(data: bytes, pages: Sequence[PageColumns]) -> tuple[list[Anomaly], EInvoice | None]:
    """What concerns a document as a whole: reasons not to believe what was read, and the e-invoice that it carries or is."""
    kind, anomalies = kind_of(data), list(boundaries(pages))
    stated = None
    if kind == "xml":
        reading = e_invoice.read(data)
        stated = reading.e_invoice
        anomalies += [Anomaly(AnomalyKind.UNUSABLE, f"the e-invoice is doubtful: {doubt}") for doubt in reading.doubts]
    elif kind == "pdf":
        with _pdf(data) as pdf:
            stated, problems = e_invoice.embedded(pdf, data)
        anomalies += problems
        if stated:
            anomalies += e_invoice_pages.contradictions(stated, columns.document("", pages))
    return anomalies, stated


def _xml_pages(data: bytes) -> Iterator[PageColumns]:
    return plain_text.pages(e_invoice.text_of(e_invoice.read(data)).encode())


def _pdf_pages(data: bytes) -> Iterator[PageColumns]:
    with _pdf(data) as pdf:
        for number in range(len(pdf)):
            yield _pdf_page(pdf, number)


def _check_size(page: Any) -> None:
    width, height = page.get_size()
    if max(width, height) > MAX_SIDE:
        raise UnreadableDocument(
            f"oversized: a page of {width:,.0f} x {height:,.0f} points, the limit is {MAX_SIDE:,} a side; print it to a new PDF"
        )


def _check_pictures(page: Any) -> None:
    if max(text_layer.pixels(page), default=0) > MAX_PIXELS:
        raise UnreadableDocument(f"oversized: a picture of more than {MAX_PIXELS:,} pixels; scan it at 300 dpi")


def _pdf_page(pdf: Any, number: int) -> PageColumns:
    page, notes = annotations.paint(pdf, number)
    _check_size(page)
    painted = visibility.objects(page)
    pictures = text_layer.pictures(page, painted)
    scan = text_layer.is_scan(page, pictures)
    words = text_layer.read_page(page, number, painted, scan)
    anomalies = [*annotations.of_form(pdf.get_formtype())] if number == 0 else []
    in_picture = None
    if scan or not text_layer.is_usable(words):
        words = merged(words, _recognise(page)) if scan else _instead(words, _recognise(page))
    elif not text_layer.is_plausible(words):
        words, garbled = _settled(words, _recognise(page), number)
        anomalies += garbled
    else:
        areas = text_layer.pictures_with_words(page, pictures, words)
        if len(areas) > text_layer.MAX_PICTURES:
            because = f"only {text_layer.MAX_PICTURES} of the {len(areas)} pictures on page {number + 1} are read"
            anomalies.append(Anomaly(AnomalyKind.UNREAD, because))
        for area in areas[: text_layer.MAX_PICTURES]:
            words = merged(words, _read_area(page, area, words.turned))
        in_picture = words.confidence < 1
    anomalies += stamps.stamps(words, number, in_picture)
    if notes:
        anomalies += annotations.unread(notes, words, text_layer.places(page, words, notes), number)
    page.close()
    return replace(words, anomalies=(*words.anomalies, *anomalies))


def merged(words: PageColumns, recognised: PageColumns) -> PageColumns:
    """A page's text layer, and what OCR reads where the text layer has no word.

    If OCR sees the page lying in another direction, only what it reads counts.
    """
    if not words.texts or abs(words.turned - recognised.turned) % 360 > 0.05:
        return _instead(words, recognised)
    middles = (recognised.boxes[:, :2] + recognised.boxes[:, 2:]) / 2
    low, high = words.boxes[None, :, :2] - 1, words.boxes[None, :, 2:] + 1
    over: npt.NDArray[np.bool_] = np.all((middles[:, None] > low) & (middles[:, None] < high), axis=2)
    new: npt.NDArray[np.bool_] = ~np.any(over, axis=1)
    texts = [text for text, is_new in zip(recognised.texts, new.tolist(), strict=True) if is_new]
    page = columns.page_columns(
        words.width,
        words.height,
        words.texts + texts,
        np.concatenate([words.boxes, recognised.boxes[new]]),
        source=words.source if len(words.texts) > len(texts) else Source.OCR,
        turned=words.turned,
        confidence=np.concatenate([words.confidence, np.minimum(recognised.confidence[new], SURELY)]),
    )
    return replace(page, anomalies=words.anomalies)


def _instead(words: PageColumns, recognised: PageColumns) -> PageColumns:
    return replace(recognised, anomalies=words.anomalies)


def _settled(words: PageColumns, recognised: PageColumns, number: int) -> tuple[PageColumns, list[Anomaly]]:
    """The words of a page whose text layer looks garbled: its own if OCR reads the same, else what OCR reads."""
    ours, theirs = ({text.casefold() for text in page.texts if len(text) > 2} for page in (words, recognised))
    if len(ours & theirs) >= 0.5 * min(len(ours), len(theirs)) > 0:
        return words, []
    if len(recognised.texts) >= 3 and float(recognised.confidence.mean()) >= SURELY_READ:
        return _instead(words, recognised), []
    because = f"the text of page {number + 1} is garbled and its picture cannot be read with certainty"
    return _instead(words, recognised), [Anomaly(AnomalyKind.GARBLED, because)]


def _read_area(page: Any, area: tuple[float, float, float, float], turned: float) -> PageColumns:
    """What OCR reads in a part of a page, in points as viewed; its boxes are those of the page turned by `turned`."""
    width, height = page.get_size()
    scale = ocr.RECOGNITION_SIDE / max(width, height, 1.0)
    x0, y0, x1, y1 = area
    crop = (x0, height - y1, width - x1, y0)  # left, bottom, right, top
    _check_pictures(page)
    pixels = np.ascontiguousarray(page.render(scale=scale, crop=crop).to_numpy()[..., :3])
    part = _read_pixels(pixels.tobytes(), pixels.shape, x1 - x0, y1 - y0)
    if (
        part.turned or turned
    ):  # a picture that lies otherwise than its page: its words count, their places are roughly the picture's
        boxes = np.tile(np.array([x0, y0, x1, y1]), (len(part.texts), 1))
    else:
        boxes = part.boxes + np.array([x0, y0, x0, y0])
    return replace(part, boxes=boxes, turned=turned)


@lru_cache(maxsize=256)
def _read_pixels(pixels: bytes, shape: tuple[int, int, int], width: float, height: float) -> PageColumns:
    """Cached, because the same logo stands on every page."""
    return ocr.read_picture(np.frombuffer(pixels, dtype=np.uint8).reshape(shape), width, height, part=True)


def _recognise(page: Any) -> PageColumns:
    width, height = page.get_size()
    _check_pictures(page)
    pixels = page.render(scale=ocr.RECOGNITION_SIDE / max(width, height, 1.0)).to_numpy()
    return ocr.read_picture(np.ascontiguousarray(pixels[..., :3]), width, height)


def _image_pages(data: bytes) -> Iterator[PageColumns]:
    for number, frame in enumerate(_frames(data)):
        pixels = np.asarray(_on_white(frame))[..., ::-1]
        words = ocr.read_picture(ocr.shrink(np.ascontiguousarray(pixels)), *_size(frame))
        yield replace(words, anomalies=tuple(stamps.stamps(words, number)))


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
    except (UnreadableDocument, MemoryError):
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
            if pdf.get_formtype():
                pdf.init_forms()  # before the first page is loaded: it makes the fields' appearances
            yield pdf
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise UnreadableDocument("encrypted: it opens only with a password; ask for a copy without one") from error
        raise UnreadableDocument(f"broken PDF: {error}; ask for the file again") from error
