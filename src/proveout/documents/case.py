"""A document as a kind of case: one file is one case with one turn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from proveout.documents import read_many, sha256_of
from proveout.documents.marked import marked_pages
from proveout.errors import UnreadableDocument
from proveout.records import Content, Decision, Document, Source


class DocumentCase:
    """Implements `cases.CaseKind` for documents."""

    descriptors: ClassVar[Mapping[str, type[int] | type[float]]] = {
        "pages": int,
        "words": int,
        "ocr_share": float,  # of the words
        "familiar": float,  # share of the first page's wording also in the most similar training document; set by the ranker
    }

    def identify(self, path: Path) -> tuple[str, int]:
        return sha256_of(path), 0

    def read(self, paths: Sequence[Path], cache: Path | None = None) -> list[Content | UnreadableDocument]:
        return list(read_many(paths, cache=cache))

    def describe(self, content: Content) -> dict[str, float]:
        assert isinstance(content, Document)
        words = content.words
        ocr = sum(word.source is Source.OCR for word in words)
        return {"pages": len(content.pages), "words": len(words), "ocr_share": ocr / len(words) if words else 0.0}

    def show(self, decision: Decision, path: Path, cache: Path | None = None) -> str:
        return marked_pages(decision, path, cache)
