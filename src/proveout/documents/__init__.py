"""Read documents: words with boxes, in reading order, from PDFs, scans, images and plain text.

Entry points: `read` for one file, `read_many` for a batch that no single file can stop. `Originals` keeps the files of cases.
Covered: text layers, OCR, sideways pages, limits on bytes and pages; every refusal is an UnreadableDocument with its reason.
Not covered: what the words mean, and the file's name: a Document is built from the bytes alone.
"""

from proveout.documents.batch import read_many
from proveout.documents.columns import lines
from proveout.documents.files import MAX_BYTES, page_image, read, sha256_of
from proveout.documents.originals import Originals
from proveout.documents.pictures import page_png

__all__ = ["MAX_BYTES", "Originals", "lines", "page_image", "page_png", "read", "read_many", "sha256_of"]
