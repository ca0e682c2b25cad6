"""Read an e-invoice: what XML states of an invoice, as EN 16931 names it. Entry points: `embedded` for a PDF, `read` for XML.

Covered: Factur-X and ZUGFeRD 2 of every profile, XRechnung, other CII and UBL invoices and credit notes (read by factur-x);
ZUGFeRD 1. The amounts of a credit note become negative, whatever sign the XML gives them, so none is ever payable.
XML is hostile until it is read: no DTD and so no entities, no network, limits on bytes and elements.
Orders (Order-X), other XML, several e-invoices in one PDF, damaged ones and unknown profiles are named with the reason.
Not covered: validity against schemas and business rules; files that a PDF attaches to a page and not to the document.
`e_invoice_pages` holds an e-invoice against the printed page.
"""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from proveout.errors import UnreadableDocument
from proveout.records import CREDIT_NOTES, E_INVOICE_TERMS, Anomaly, AnomalyKind, EInvoice

MAX_BYTES = 20_000_000  # XRechnung embeds its attachments in the XML
MAX_ELEMENTS = 500_000  # an invoice of 10,000 lines has about as many
MAX_ATTACHMENTS = 100
LONGEST = 300  # characters of a term
LINES = 500  # of an invoice, in `text_of`
NAMES = re.compile(r"factur-?x|zugferd|xrechnung|order-?x|invoice|rechnung", re.IGNORECASE)  # of attachments

_ROOTS = {
    "CrossIndustryInvoice": "CII",
    "CrossIndustryDocument": "ZUGFeRD 1",
    "Invoice": "UBL",
    "CreditNote": "UBL",
    "SCRDMCCBDACIOMessageStructure": "Order-X",
}
_FLAVOURS = {"CrossIndustryInvoice": "factur-x", "Invoice": "ubl-2.1-invoice", "CreditNote": "ubl-2.1-creditnote"}  # factur-x's
_ROOT = re.compile(rf"<(?:[\w.-]+:)?(?:{'|'.join(_ROOTS)})[\s/>]")
_PROFILES = (
    "urn:cen.eu:en16931:2017",  # and what complies with or extends it: XRechnung, Peppol BIS
    "urn:factur-x.eu:1p0:",
    "urn:zugferd.de:2p0:",
    "urn:ferd:CrossIndustryDocument:invoice:1p0:",
    "urn:peppol:pint:",
    "urn:fdc:peppol.eu:",
    "urn:www.cenbii.eu:transaction:",
)
_PROFILE = (
    "{*}ExchangedDocumentContext/{*}GuidelineSpecifiedDocumentContextParameter/{*}ID",
    "{*}SpecifiedExchangedDocumentContext/{*}GuidelineSpecifiedDocumentContextParameter/{*}ID",
    "{*}CustomizationID",
)
_MAY_REPEAT = ("account", "delivery_date", "due_date", "order_number")  # with other values; then none of them is the term
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")
_TERMS = {  # of E_INVOICE_TERMS, to EN 16931's; a party's name is part of a group
    "invoice_number": "BT-1",
    "issue_date": "BT-2",
    "type_code": "BT-3",
    "currency": "BT-5",
    "due_date": "BT-9",
    "order_number": "BT-13",
    "seller": ("BG-4", "name"),
    "seller_trading_name": ("BG-4", "biz_name"),
    "seller_vat": ("BG-4", "vat_identifier"),
    "buyer": ("BG-7", "name"),
    "delivery_date": "BT-72",
    "account": "BT-84",
    "net_total": "BT-109",
    "tax_total": "BT-110",
    "total": "BT-112",
    "amount_due": "BT-115",
}
_HEAD, _DEAL = "{*}HeaderExchangedDocument", "{*}SpecifiedSupplyChainTradeTransaction"
_AGREEMENT = f"{_DEAL}/{{*}}ApplicableSupplyChainTradeAgreement"
_SETTLEMENT = f"{_DEAL}/{{*}}ApplicableSupplyChainTradeSettlement"
_SUMS = f"{_SETTLEMENT}/{{*}}SpecifiedTradeSettlementMonetarySummation"
_ZUGFERD_1 = {
    "invoice_number": f"{_HEAD}/{{*}}ID",
    "issue_date": f"{_HEAD}/{{*}}IssueDateTime/{{*}}DateTimeString",
    "type_code": f"{_HEAD}/{{*}}TypeCode",
    "currency": f"{_SETTLEMENT}/{{*}}InvoiceCurrencyCode",
    "due_date": f"{_SETTLEMENT}/{{*}}SpecifiedTradePaymentTerms/{{*}}DueDateDateTime/{{*}}DateTimeString",
    "order_number": f"{_AGREEMENT}/{{*}}BuyerOrderReferencedDocument/{{*}}ID",
    "seller": f"{_AGREEMENT}/{{*}}SellerTradeParty/{{*}}Name",
    "seller_vat": f"{_AGREEMENT}/{{*}}SellerTradeParty/{{*}}SpecifiedTaxRegistration/{{*}}ID[@schemeID='VA']",
    "buyer": f"{_AGREEMENT}/{{*}}BuyerTradeParty/{{*}}Name",
    "account": f"{_SETTLEMENT}/{{*}}SpecifiedTradeSettlementPaymentMeans/{{*}}PayeePartyCreditorFinancialAccount/{{*}}IBANID",
    "net_total": f"{_SUMS}/{{*}}TaxBasisTotalAmount",
    "tax_total": f"{_SUMS}/{{*}}TaxTotalAmount",
    "total": f"{_SUMS}/{{*}}GrandTotalAmount",
    "amount_due": f"{_SUMS}/{{*}}DuePayableAmount",
}


@dataclass(frozen=True)
class Reading:
    """An e-invoice as it was read."""

    e_invoice: EInvoice
    doubts: tuple[str, ...]  # reasons why a person should see it, each a sentence about the file
    lines: tuple[str, ...]  # the lines of the invoice, in words; none of ZUGFeRD 1


def is_e_invoice(data: bytes) -> bool:
    """Whether a file is XML with the root of an e-invoice or of an order, well-formed or not.

    >>> is_e_invoice(b"<?xml version='1.0'?><Invoice xmlns='urn:x'>"), is_e_invoice(b"<html>"), is_e_invoice(b"Invoice 12")
    (True, False, False)
    """
    head = data[:1_000_000].decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    return head.lstrip("\ufeff \t\r\n").startswith("<") and bool(_ROOT.search(head))


def read(data: bytes, attachment: str = "") -> Reading:
    """Raises UnreadableDocument with the reason for XML that cannot be used."""
    root = _parsed(data)
    name = root.tag.rpartition("}")[2]
    syntax = _ROOTS.get(name, "")
    if syntax == "Order-X":
        raise UnreadableDocument("an order (Order-X), not an invoice; ask for the invoice")
    if not syntax:
        raise UnreadableDocument(f"no e-invoice: its root element is {name[:LONGEST]}; ask for the invoice")
    business_terms = _business_terms(root, _FLAVOURS[name]) if name in _FLAVOURS else {}
    stated = _terms_of(business_terms) if business_terms else {term: _texts(root, path) for term, path in _ZUGFERD_1.items()}
    if name == "CreditNote" and not stated["type_code"]:
        stated["type_code"] = ["381"]
    terms, doubts = _normal(stated)
    if not {"invoice_number", "total", "amount_due"} & terms.keys():
        raise UnreadableDocument("an e-invoice without a number and a total; ask for it again")
    profile = next((text for path in _PROFILE for text in _texts(root, path)), "")
    if profile and not profile.startswith(_PROFILES):
        doubts.append(f"it names the unknown profile {profile!r}")
    e_invoice = EInvoice(syntax, profile, attachment, tuple(terms.items()))
    return Reading(e_invoice, tuple(doubts), tuple(_line_items(business_terms)))


def embedded(pdf: Any, data: bytes) -> tuple[EInvoice | None, tuple[Anomaly, ...]]:
    """The e-invoice that a PDF carries, if it carries one, and why it or another attachment cannot be used.

    `pdf`: the same bytes, opened by pypdfium2. Attachments that are no XML by their names, and other XML that does not claim to
    be an invoice, are ignored.
    """
    readings: list[Reading] = []
    problems: list[str] = []
    for name, content in _attachments(data) if pdf.count_attachments() else ():
        if isinstance(content, Exception):
            problems.append(f"the attached {name} cannot be extracted: {str(content)[:LONGEST]}")
        elif is_e_invoice(content):
            try:
                readings.append(read(content, name))
            except UnreadableDocument as error:
                problems.append(f"the attached {name} cannot be used: {error}")
        elif NAMES.search(name):
            problems.append(f"the attached {name} is no e-invoice, although its name says so")
    for reading in readings:
        problems += [f"the attached {reading.e_invoice.attachment} is doubtful: {doubt}" for doubt in reading.doubts]
    different = {reading.e_invoice.terms: reading.e_invoice for reading in readings}
    if len(different) > 1:
        names = " and ".join(e_invoice.attachment for e_invoice in different.values())
        problems.append(f"{names} state different invoices, so none of them was used")
    e_invoice = readings[0].e_invoice if len(different) == 1 else None
    return e_invoice, tuple(Anomaly(AnomalyKind.UNUSABLE, problem) for problem in problems)


def text_of(reading: Reading) -> str:
    """An e-invoice as a page for people: a line for each term, and then the lines of the invoice."""
    terms = reading.e_invoice.terms
    heading = f"{'Credit note' if reading.e_invoice.is_credit_note else 'Invoice'} ({reading.e_invoice.syntax})"
    stated = (f"{words_of(name).capitalize()}: {' '.join(text.split())}" for name, text in terms)
    return "\n".join([heading, "", *stated, "", *reading.lines])


def words_of(term: str) -> str:
    """The name of a term in words.

    >>> words_of("issue_date"), words_of("seller_vat")
    ('issue date', 'seller VAT')
    """
    return term.replace("_", " ").replace("vat", "VAT")


def source_of(term: str) -> str:
    """The name that EN 16931 has for a term: a business term, or a group and what is taken of it."""
    source = _TERMS[term]
    return source if isinstance(source, str) else f"{source[0]} {source[1].replace('_', ' ')}"


def _attachments(data: bytes) -> Iterator[tuple[str, bytes | Exception]]:
    """Name and content of the attachments that may be an e-invoice by their names, or why one cannot be extracted.

    By pypdf, which limits what a stream may decompress to; PDFium does not.
    """
    from pypdf import PdfReader

    try:
        attachments = list(islice(PdfReader(io.BytesIO(data)).attachment_list, MAX_ATTACHMENTS))
    except Exception as error:  # on hostile bytes pypdf raises anything
        yield "files", error
        return
    for attachment in attachments:
        name = "".join(letter for letter in attachment.name if letter.isprintable())[:LONGEST]
        if name.lower().endswith(".xml") or (NAMES.search(name) and "." not in name):
            try:
                yield name, bytes(attachment.content)
            except Exception as error:
                yield name, error


def _parsed(data: bytes) -> Any:
    """The root element. Raises UnreadableDocument for XML that is broken, hostile or too large."""
    from lxml import etree  # type: ignore[import-untyped]

    if len(data) > MAX_BYTES or data.count(b"<") > 2 * MAX_ELEMENTS:
        limits = f"the limits are {MAX_BYTES:,} bytes and {MAX_ELEMENTS:,} elements"
        raise UnreadableDocument(f"oversized XML: {len(data):,} bytes, {data.count(b'<'):,} tags; {limits}")
    dtd = UnreadableDocument("XML with a DTD, which may define entities; ask for it without one")
    if b"<!DOCTYPE" in data.replace(b"\0", b""):
        raise dtd
    options = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
    parser = etree.XMLParser(**options, remove_comments=True, remove_pis=True)  # a comment would split a text
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise UnreadableDocument(f"broken XML: {str(error)[:LONGEST]}; ask for it again") from error
    if root.getroottree().docinfo.internalDTD is not None:  # in an encoding that hides it from the search above
        raise dtd
    return root


def _business_terms(root: Any, flavour: str) -> Mapping[str, Any]:
    """EN 16931's terms, such as BT-1, as factur-x reads them from CII and UBL; dates are dates."""
    from facturx.parse_xml import parse_ubl_cii_xml  # type: ignore[import-untyped]

    options = {"flavor": flavour, "level": "extended", "check_xsd": False, "bytes_as": "string"}
    try:
        terms: Mapping[str, Any] = parse_ubl_cii_xml(root, **options)
    except KeyError as error:  # it selects amounts by the currency
        raise UnreadableDocument("an e-invoice without a currency; ask for it again") from error
    except Exception as error:  # on unexpected content it raises anything
        raise UnreadableDocument(f"an e-invoice that breaks its standard: {str(error)[:LONGEST]}; ask for it again") from error
    return terms


def _terms_of(business_terms: Mapping[str, Any]) -> dict[str, list[str]]:
    """Each of E_INVOICE_TERMS with every text that is stated for it."""
    stated = {}
    for term, source in _TERMS.items():
        group, part = (source, None) if isinstance(source, str) else source
        content = business_terms.get(group)
        content = (content or {}).get(part) if part else content
        stated[term] = [str(text) for text in (content if isinstance(content, list) else [content] if content else [])]
    stated["seller"] = stated["seller"] or stated["seller_trading_name"]
    return stated


def _normal(stated: Mapping[str, list[str]]) -> tuple[dict[str, str], list[str]]:
    """The terms as an EInvoice has them, and the doubts about the others."""
    terms: dict[str, str] = {}
    doubts = []
    credit = any(code.strip() in CREDIT_NOTES for code in stated["type_code"])
    for term in E_INVOICE_TERMS:
        try:
            texts = list(dict.fromkeys(_normal_text(term, text, credit) for text in stated.get(term, ())))
        except ValueError as error:
            doubts.append(f"as {words_of(term)} it states {error}")
            continue
        if len(texts) > 1 and term not in _MAY_REPEAT:
            doubts.append(f"it states more than one {words_of(term)}: {', '.join(texts[:3])}")
        elif len(texts) == 1 and texts[0]:
            terms[term] = texts[0]
    return terms, doubts


def _normal_text(term: str, text: str, credit: bool) -> str:
    """Raises ValueError for a date or an amount that is none in XML."""
    kind, text = E_INVOICE_TERMS[term], text.strip()
    if kind == "date":
        return _day(text).isoformat()
    if kind == "amount":
        if not _NUMBER.fullmatch(text) or len(text) > 30:
            raise ValueError(f"{text[:LONGEST]!r}, which is no amount")
        amount = -abs(Decimal(text)) if credit else Decimal(text)
        return f"{amount:.{max(2, len(text.partition('.')[2]))}f}"
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(filter(None, lines))[:LONGEST]


def _day(text: str) -> date:
    """A day as factur-x writes it, or as CII does. Raises ValueError."""
    for written in ("%Y-%m-%d", "%Y%m%d"):
        with suppress(ValueError):
            return datetime.strptime(text, written).date()
    raise ValueError(f"{text[:LONGEST]!r}, which is no date")


def _texts(root: Any, path: str) -> list[str]:
    return ["".join(element.itertext()).strip()[:LONGEST] for element in root.findall(path)]


def _line_items(business_terms: Mapping[str, Any]) -> Iterator[str]:
    """Number, name, quantity, unit and net amount of each line of the invoice."""
    for line in (business_terms.get("BG-25") or [])[:LINES]:
        texts = (str(line[term]) for term in ("BT-126", "BT-153", "BT-129", "BT-130", "BT-131") if line.get(term))
        yield " ".join(" ".join(texts).split())[:LONGEST]  # a line break in a name would print a line of its own
