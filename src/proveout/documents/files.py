"""One file into a Document.

Covered: the kind of a file is told by its bytes, not its name; limits on bytes and pages.
Not covered: a file that crashes or hangs the reader. `read_many` reads in processes that may die.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.documents import sheet, text_layer
from proveout.errors import UnreadableDocument
from proveout.records import Document, Page

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 100_000_000  # a scan of 300 pages has about half of it
MAX_PAGES = 300


def sha256_of(path: Path | str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path | str) -> Document:
    """The words of one file.

    Raises UnreadableDocument with the reason: broken, empty, encrypted, oversized, or of an unknown kind.
    """
    data = _bytes(Path(path))
    return sheet.document(hashlib.sha256(data).hexdigest(), _sheets(data))


def page_image(path: Path | str, page: int | Page, scale: float = 1.0) -> "Image":
    """A page as a person reads it: `scale` pixels a point, turned so that the boxes of its words fit on it.

    Given a Page of a Document that was read, nothing has to be found out again.
    """
    with _pdf(_bytes(Path(path))) as pdf:
        number = page if isinstance(page, int) else page.number
        shown = pdf[number]
        turned = page.turned if isinstance(page, Page) else text_layer.page_sheet(shown).turned
        return shown.render(scale=scale, rotation=int(turned)).to_pil()  # type: ignore[no-any-return]


def _sheets(data: bytes) -> list[sheet.Sheet]:
    with _pdf(data) as pdf:
        return [text_layer.page_sheet(pdf[number]) for number in range(len(pdf))]


def _bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnreadableDocument(f"{path.name}: {size:,} bytes, more than {MAX_BYTES:,}; split it or scan it anew")
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableDocument(f"{path.name}: cannot be opened ({error.strerror})") from error
    if not data:
        raise UnreadableDocument(f"{path.name}: empty, 0 bytes; ask for the file again")
    return data


@contextmanager
def _pdf(data: bytes) -> Iterator[Any]:
    import pypdfium2  # type: ignore[import-untyped]

    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        reason = "encrypted; ask for a copy without a password" if "password" in str(error).lower() else "not a PDF that opens"
        raise UnreadableDocument(reason) from error
    try:
        if len(pdf) > MAX_PAGES:
            raise UnreadableDocument(f"{len(pdf)} pages, more than {MAX_PAGES}; split it")
        yield pdf
    finally:
        pdf.close()
