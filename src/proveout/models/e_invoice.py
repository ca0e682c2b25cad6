"""The tier that reads e-invoices: a field takes the term that the mission names for it.

    fields:
      total: {kind: amount, e_invoice: total}

A document without an e-invoice gets no answer, so the tier is calibrated on those that have one: with too few of them labelled
it speaks and automates nothing. A value that no page prints has a score of its own, since it cannot be checked by eye.
Covered: credit notes, whose amounts are negative; an e-invoice that is XML alone, printed as plain text; the classes `invoice`
and `credit_note` where the mission has them. Not covered: other classes. A tier that knows them comes before this one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

from proveout.documents.e_invoice import source_of, words_of
from proveout.documents.e_invoice_pages import place_of
from proveout.mission import Mission
from proveout.models.tiers import Extraction, Parts, ScoredValue
from proveout.records import CREDIT_NOTES, E_INVOICE_TERMS, PRO_FORMA, Document, EInvoice, Value

PRINTED, NOT_PRINTED = 0.9, 0.4  # raw scores, before calibration; only their order counts
NOWHERE = "no page prints it"


@dataclass(frozen=True)
class EInvoiceTier:
    """Implements `models.tiers.Tier`."""

    trained: ClassVar[bool] = False
    mission: Mission

    @classmethod
    def load(cls, parts: Parts) -> "EInvoiceTier":
        return cls(parts.mission)

    def extract(self, contents: Sequence[Document], configs: Any = None) -> list[Extraction]:
        return [self._extraction(document) for document in contents]

    def _extraction(self, document: Document) -> Extraction:
        document_class = _class_of(document.e_invoice)
        if document_class not in self.mission.classes:
            document_class = ""
        return Extraction(document.sha256, document_class, PRINTED if document_class else 0.0, self._values(document))

    def _values(self, document: Document) -> Mapping[str, ScoredValue]:
        stated = document.e_invoice
        if stated is None:
            return {}
        terms = self.mission.e_invoice_terms.items()
        return {name: _scored_value(term, stated, document) for name, term in terms if stated.term(term)}


def _class_of(stated: EInvoice | None) -> str:
    """The class that follows from the type code; "" without one, and for what is neither an invoice nor a credit note."""
    code = stated.term("type_code") if stated else ""
    return "credit_note" if code in CREDIT_NOTES else "invoice" if code not in ("", PRO_FORMA) else ""


def _scored_value(term: str, stated: EInvoice, document: Document) -> ScoredValue:
    """A value as XML writes it, which leaves no doubt about the order of a date or the marks of an amount."""
    text, place = " ".join(stated.term(term).split()), place_of(term, stated, document)
    printed = (f"printed on page {place.page + 1}",) if place and stated.attachment else ()
    where = f"the attached {stated.attachment}" if stated.attachment else "the e-invoice"
    against = () if place else (NOWHERE,)
    if stated.is_credit_note and E_INVOICE_TERMS[term] == "amount":
        against = ("a credit note, so the amount is negative", *against)
    return ScoredValue(
        text=text,
        value=_value(term, text),
        score=PRINTED if place else NOT_PRINTED,
        place=place,
        speaks_for=(f"{where} states it as {words_of(term)} ({source_of(term)})", *printed),
        speaks_against=against,
    )


def _value(term: str, text: str) -> Value:
    kind = E_INVOICE_TERMS[term]
    return date.fromisoformat(text) if kind == "date" else Decimal(text) if kind == "amount" else text
