"""A document as a kind of case: one file is one case with one turn."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import ClassVar

from proveout.documents import painted, pictures, read_many, sha256_of
from proveout.documents.marked import marked_pages
from proveout.errors import UnreadableDocument
from proveout.records import PRO_FORMA, Box, Check, Content, Decision, Document, Output, Source


class DocumentCase:
    """Implements `cases.CaseKind` for documents."""

    plural: ClassVar[str] = "documents"
    descriptors: ClassVar[Mapping[str, type[int] | type[float]]] = {
        "pages": int,
        "words": int,
        "ocr_share": float,  # of the words
        "anomalies": int,  # places where what was read differs from what a person sees
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
        share = ocr / len(words) if words else 0.0
        return {"pages": len(content.pages), "words": len(words), "ocr_share": share, "anomalies": len(content.anomalies)}

    def check(self, content: Content) -> Iterator[Check]:
        assert isinstance(content, Document)
        because = "; ".join(anomaly.because for anomaly in content.anomalies)
        yield Check("read as it is seen", not because, because or "what was read stands visibly on the pages")
        if content.e_invoice:
            code = content.e_invoice.term("type_code")
            asks = not content.e_invoice.is_credit_note and code != PRO_FORMA
            because = (
                f"the e-invoice has the type code {code or 'of no document'}{'' if asks else ', which asks for no payment'}"
            )
            yield Check("an invoice by its type code", asks, because)

    def confirm(self, cases: Sequence[tuple[Content, Path, Sequence[Output]]], cache: Path | None = None) -> list[Content]:
        """Each document, with an anomaly where its fonts paint other digits than its text layer says."""
        looked = [painted.regions(content, [output.place for output in outputs]) for content, _, outputs in cases]
        places = [
            pictures.Places(path, page, tuple(map(Box.around, lines)))
            for (_, path, _), pages in zip(cases, looked, strict=True)
            for page, lines in pages
        ]
        answers = pictures.recognised(places, cache)
        confirmed: list[Content] = []
        for (content, _, _), pages in zip(cases, looked, strict=True):
            anomalies = chain.from_iterable(painted.contradictions(page, lines, next(answers)) for page, lines in pages)
            assert isinstance(content, Document)
            confirmed.append(replace(content, anomalies=(*content.anomalies, *anomalies)))
        return confirmed

    def show(self, decision: Decision, path: Path, cache: Path | None = None) -> str:
        return marked_pages(decision, path, cache)
