"""E-invoices: what XML states is read as business terms, held against the printed page, and never paid on its word alone."""

import csv
import io
import time
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from reportlab.pdfgen.canvas import Canvas

from proveout import documents
from proveout.agent import Agent
from proveout.agent.cascade import NOT_CALIBRATED, calibrate
from proveout.calibration import Calibrations
from proveout.corpus import build_dataset
from proveout.corpus.synthetic import marks
from proveout.documents import columns, e_invoice
from proveout.documents.e_invoice_pages import contradictions
from proveout.errors import UnreadableDocument
from proveout.mission import Mission
from proveout.models.e_invoice import NOT_PRINTED, PRINTED, EInvoiceTier
from proveout.models.tiers import Extraction, ScoredValue
from proveout.records import AnomalyKind, Decision, Document, EInvoice, Place, Route, Source
from proveout.retrieval import Memory
from proveout.serving.intake import aside
from proveout.values import same

EN16931 = "urn:cen.eu:en16931:2017"
MISSION = Mission.model_validate(
    {
        "mission": "bills",
        "purpose": "Read bills.",
        "classes": ["invoice"],
        "never_act_on": [],
        "fields": {
            "number": {"kind": "number", "e_invoice": "invoice_number"},
            "day": {"kind": "date", "e_invoice": "issue_date"},
            "total": {"kind": "amount", "e_invoice": "total"},
            "seller": {"kind": "name", "e_invoice": "seller"},
        },
        "slo": {"precision": 0.9, "confidence": 0.9},
        "tiers": ["ranker", "e_invoice", "person"],
        "actions": {"file_document": {}},
    }
)
STATED = {
    "number": "RE-2018/17",
    "day": "2018-03-05",
    "seller": "Müller & Söhne GmbH",
    "buyer": "Kunden AG Mitte",
    "currency": "EUR",
    "total": "1529.87",
    "due": "1529.87",
    "kind": "380",
    "profile": EN16931,
    "account": "DE02120300000000202051",
}
LETTER = (
    "Müller & Söhne GmbH, Lieferantenstraße 20, 80333 München",
    "An Kunden AG Mitte, Kundenstraße 15, 69876 Frankfurt",
    "Rechnungsnummer: RE-2018/17",
    "Rechnungsdatum: 05.03.2018",
    "Lieferdatum: 06.03.2018",
    "Nettobetrag 1.285,61 EUR",
    "Umsatzsteuer 244,26 EUR",
    "Rechnungsbetrag 1.529,87 EUR",
    "IBAN DE02 1203 0000 0000 2020 51",
)


def escaped(changes: dict[str, str]) -> dict[str, str]:
    return {name: text.replace("&", "&amp;") for name, text in {**STATED, **changes}.items()}


def cii(**changes: str) -> bytes:
    return marks.cii({**STATED, **changes})


def ubl(root: str = "Invoice", **changes: str) -> bytes:
    s = escaped(changes)
    line = f"{root}Line"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<{root} xmlns="urn:oasis:names:specification:ubl:schema:xsd:{root}-2"
 xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
 xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">
<cbc:CustomizationID>{s["profile"]}</cbc:CustomizationID><cbc:ID>{s["number"]}</cbc:ID><cbc:IssueDate>{s["day"]}</cbc:IssueDate>
<cbc:{root}TypeCode>{s["kind"]}</cbc:{root}TypeCode><cbc:DocumentCurrencyCode>{s["currency"]}</cbc:DocumentCurrencyCode>
<cac:AccountingSupplierParty><cac:Party><cac:PartyLegalEntity><cbc:RegistrationName>{s["seller"]}</cbc:RegistrationName>
</cac:PartyLegalEntity></cac:Party></cac:AccountingSupplierParty>
<cac:AccountingCustomerParty><cac:Party><cac:PartyLegalEntity><cbc:RegistrationName>{s["buyer"]}</cbc:RegistrationName>
</cac:PartyLegalEntity></cac:Party></cac:AccountingCustomerParty>
<cac:LegalMonetaryTotal><cbc:TaxInclusiveAmount currencyID="EUR">{s["total"]}</cbc:TaxInclusiveAmount>
<cbc:PayableAmount currencyID="EUR">{s["due"]}</cbc:PayableAmount></cac:LegalMonetaryTotal>
<cac:{line}><cbc:ID>1</cbc:ID><cbc:LineExtensionAmount currencyID="EUR">1285.61</cbc:LineExtensionAmount>
<cac:Item><cbc:Name>Trennblätter A4</cbc:Name></cac:Item></cac:{line}>
</{root}>""".encode()


def zugferd_1(**changes: str) -> bytes:
    s = escaped(changes)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rsm:CrossIndustryDocument xmlns:rsm="urn:ferd:CrossIndustryDocument:invoice:1p0"
 xmlns:ram="urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:12"
 xmlns:udt="urn:un:unece:uncefact:data:standard:UnqualifiedDataType:15">
<rsm:SpecifiedExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter>
<ram:ID>urn:ferd:CrossIndustryDocument:invoice:1p0:basic</ram:ID></ram:GuidelineSpecifiedDocumentContextParameter>
</rsm:SpecifiedExchangedDocumentContext>
<rsm:HeaderExchangedDocument><ram:ID>{s["number"]}</ram:ID><ram:TypeCode>{s["kind"]}</ram:TypeCode><ram:IssueDateTime>
<udt:DateTimeString format="102">{s["day"].replace("-", "")}</udt:DateTimeString></ram:IssueDateTime>
</rsm:HeaderExchangedDocument>
<rsm:SpecifiedSupplyChainTradeTransaction><ram:ApplicableSupplyChainTradeAgreement>
<ram:SellerTradeParty><ram:Name>{s["seller"]}</ram:Name></ram:SellerTradeParty>
<ram:BuyerTradeParty><ram:Name>{s["buyer"]}</ram:Name></ram:BuyerTradeParty></ram:ApplicableSupplyChainTradeAgreement>
<ram:ApplicableSupplyChainTradeSettlement><ram:InvoiceCurrencyCode>{s["currency"]}</ram:InvoiceCurrencyCode>
<ram:SpecifiedTradeSettlementMonetarySummation><ram:GrandTotalAmount currencyID="EUR">{s["total"]}</ram:GrandTotalAmount>
<ram:DuePayableAmount currencyID="EUR">{s["due"]}</ram:DuePayableAmount></ram:SpecifiedTradeSettlementMonetarySummation>
</ram:ApplicableSupplyChainTradeSettlement></rsm:SpecifiedSupplyChainTradeTransaction></rsm:CrossIndustryDocument>""".encode()


ORDER = b"""<rsm:SCRDMCCBDACIOMessageStructure xmlns:rsm="urn:un:unece:uncefact:data:SCRDMCCBDACIOMessageStructure:100"/>"""
BOMB = b"".join(
    [
        b"<?xml version='1.0'?><!DOCTYPE Invoice [<!ENTITY a0 'ha'>",
        *(b"<!ENTITY a%d '&a%d;&a%d;&a%d;&a%d;'>" % (n, n - 1, n - 1, n - 1, n - 1) for n in range(1, 40)),
        b"]>",
        ubl().partition(b"?>")[2].replace(b"RE-2018/17", b"&a39;"),
    ]
)
FILE = ubl().replace(b"?>", b"?><!DOCTYPE Invoice [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>", 1).replace(b"RE-2018/17", b"&x;")
TWO_NUMBERS = ubl().replace(b"<cbc:ID>RE", b"<cbc:ID>AB-9</cbc:ID><cbc:ID>RE", 1)
DEEP = b"<Invoice>" + b"<a>" * 5000 + b"</a>" * 5000 + b"</Invoice>"
WIDE = b"<Invoice>" + b"<a/>" * 1_100_000 + b"</Invoice>"


def pdf(path: Path, rows: tuple[str, ...] = LETTER, **attachments: bytes) -> Path:
    """A letter with a row of text for each of `rows`; attachments by name, `__` for the dot."""
    page = io.BytesIO()
    canvas = Canvas(page, pagesize=(612, 792))
    for at, row in enumerate(rows):
        canvas.drawString(72, 700 - 24 * at, row)
    canvas.save()
    return with_attachments(page.getvalue(), path, **attachments)


def with_attachments(data: bytes, path: Path, **attachments: bytes) -> Path:
    with pypdfium2.PdfDocument(data) as whole:
        while whole.count_attachments():
            whole.del_attachment(0)
        for name, content in attachments.items():
            whole.new_attachment(name.replace("__", ".")).set_data(content)
        whole.save(path)
    return path


def reasons(document: Document) -> list[str]:
    return [anomaly.because for anomaly in document.anomalies]


def stated(document: Document) -> EInvoice:
    assert document.e_invoice is not None
    return document.e_invoice


def text_in(document: Document, place: Place | None) -> str:
    """The words inside a place."""
    assert place is not None
    box = place.box
    inside = (w for w in document.pages[place.page].words if box.x0 - 1 <= w.box.x0 and w.box.x1 <= box.x1 + 1)
    return " ".join(word.text for word in inside if box.y0 - 1 <= word.box.y0 and word.box.y1 <= box.y1 + 1)


@pytest.mark.parametrize(
    ("attachments", "syntax"),
    [
        pytest.param({"factur-x__xml": cii()}, "CII", id="Factur-X, ZUGFeRD 2"),
        pytest.param({"xrechnung__xml": cii(profile=f"{EN16931}#compliant#urn:xoev-de:kosit:standard:xrechnung_2.1")}, "CII"),
        pytest.param({"factur-x__xml": cii(profile="urn:factur-x.eu:1p0:minimum")}, "CII", id="a small profile"),
        pytest.param({"ubl__xml": ubl()}, "UBL", id="UBL under any name"),
        pytest.param({"ZUGFeRD-invoice__xml": zugferd_1()}, "ZUGFeRD 1", id="ZUGFeRD 1"),
        pytest.param({"factur-x__xml": cii().decode().replace("UTF-8", "UTF-16").encode("utf-16")}, "CII", id="UTF-16"),
        pytest.param({"terms__pdf": b"%PDF-1.4", "factur-x__xml": cii(), "list__xml": b"<list/>"}, "CII", id="beside others"),
        pytest.param({"factur-x__xml": cii(), "zugferd__xml": cii()}, "CII", id="the same twice"),
    ],
)
def test_an_embedded_e_invoice_is_read_and_agrees_with_its_page(tmp_path, attachments, syntax):
    document = documents.read(pdf(tmp_path / "a.pdf", **attachments))
    terms = dict(stated(document).terms)
    assert reasons(document) == []
    assert stated(document).syntax == syntax
    assert (terms["invoice_number"], terms["issue_date"]) == ("RE-2018/17", "2018-03-05")
    assert (terms["seller"], terms["buyer"]) == ("Müller & Söhne GmbH", "Kunden AG Mitte")
    assert (terms["total"], terms["currency"], terms["type_code"]) == ("1529.87", "EUR", "380")


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"number": "RE-2018/18"}, "as invoice number factur-x.xml states 'RE-2018/18' (BT-1), but page 1 prints 'Rechnung"),
        ({"day": "2018-03-07"}, "states '2018-03-07' (BT-2), but page 1 prints 'Rechnungsdatum: 05.03.2018'"),
        ({"day": "2018-03-06"}, "but page 1 prints 'Rechnungsdatum: 05.03.2018'"),
        ({"day": "2018-05-03"}, "but page 1 prints 'Rechnungsdatum: 05.03.2018'"),
        ({"total": "1529.88", "due": "1529.88"}, "states '1529.88' (BT-112), but page 1 prints 'Rechnungsbetrag 1.529,87'"),
        ({"total": "1285.61", "due": "1285.61"}, "but page 1 prints 'Rechnungsbetrag 1.529,87'"),
        ({"total": "-1529.87", "due": "-1529.87"}, "as total factur-x.xml states '-1529.87'"),
        ({"due": "1000.00"}, "as amount due factur-x.xml states '1000.00' (BT-115), but the pages print it nowhere"),
        ({"seller": "Schmidt GmbH"}, "as seller factur-x.xml states 'Schmidt GmbH' (BG-4 name), but the pages print it"),
        ({"seller": "東京電力"}, "as seller factur-x.xml states '東京電力'"),
        ({"buyer": "Andere AG"}, "as buyer factur-x.xml states 'Andere AG'"),
        ({"currency": "USD"}, "as currency factur-x.xml states 'USD' (BT-5), but the pages print €"),
        ({"account": "DE75512108001245126199"}, "states 'DE75512108001245126199' (BT-84), but page 1 prints 'DE02"),
    ],
)  # fmt: skip
def test_what_xml_states_otherwise_than_the_page_is_named_with_both(tmp_path, changes, because):
    document = documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": cii(**changes)}))
    named = [anomaly for anomaly in document.anomalies if anomaly.kind is AnomalyKind.CONTRADICTION]
    assert because in named[0].because
    assert len({anomaly.because.split(" factur-x")[0] for anomaly in named}) == 1


def test_a_contradiction_has_the_place_of_what_is_printed(tmp_path):
    document = documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": cii(day="2018-03-06")}))
    (anomaly,) = document.anomalies
    assert text_in(document, anomaly.place) == anomaly.text == "05.03.2018"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("05.03.2018", "5. März 2018"),
        ("05.03.2018", "2018-03-05"),
        ("05.03.2018", "5/3/18"),
        ("05.03.2018", "March 5, 2018"),
        ("05.03.2018", "le 5 mars 2018"),
        ("05.03.2018", "05-Mar-2018"),
        ("05.03.2018", "2018年3月5日"),
        ("Rechnungsbetrag 1.529,87 EUR", "Rechnungsbetrag 1 529,87 EUR"),
        ("Rechnungsbetrag 1.529,87 EUR", "Rechnungsbetrag (EUR): 1'529.87"),
        ("Rechnungsbetrag 1.529,87 EUR", "Rechnungsbetrag: € 1.529,87"),
        ("Rechnungsbetrag 1.529,87 EUR", "Rechnungsbetrag - 1.529,87 EUR"),
        ("Rechnungsnummer: RE-2018/17", "Rechnung Nr. RE 2018 17"),
        ("Rechnungsnummer: RE-2018/17", "Beleg RE-2018/17 vom 5. März"),
        ("Müller & Söhne GmbH,", "MÜLLER & SÖHNE G.m.b.H.,"),
        ("Müller & Söhne GmbH,", "Muller & Sohne GmbH,"),
    ],
)
def test_the_page_may_print_a_value_in_any_of_its_forms(tmp_path, old, new):
    rows = tuple(row.replace(old, new) for row in LETTER)
    text = "\n".join(rows)
    (tmp_path / "a.txt").write_text(text)
    read = documents.read(tmp_path / "a.txt")  # the fonts of a PDF lack some of these letters
    assert list(contradictions(e_invoice.read(cii(), "factur-x.xml").e_invoice, read)) == []


ENGLISH = (
    ((72, "Acme Tools Ltd"),),
    ((72, "Bill to: Kunden AG Mitte"), (400, "Date: 03/05/2018")),
    ((72, "Invoice No: INV-7"), (400, "Ship date: 04/13/2018")),
    ((72, "Subtotal"), (400, "$1,000.00")),
    ((72, "Sales tax"), (400, "$190.00")),
    ((72, "Total"), (400, "$1,190.00")),
)
COLUMNS = (
    ((72, "Acme Tools Ltd"), (300, "an Kunden AG Mitte")),
    ((72, "Rechnungsnummer"), (220, "Rechnungsdatum"), (360, "Kundennummer"), (480, "Lieferdatum")),
    ((72, "INV-7"), (220, "05.03.2018"), (360, "INV-8"), (480, "13.04.2018")),
    ((72, "Menge"), (360, "Netto"), (420, "USt."), (480, "Gesamtbetrag")),
    ((72, "1"), (360, "1.000,00"), (420, "190,00"), (480, "1.190,00")),
    ((72, "Gesamtbetrag"), (360, "1.000,00"), (420, "190,00"), (480, "1.190,00")),
)
ACME = {"seller": "Acme Tools Ltd", "number": "INV-7", "total": "1190.00", "due": "1190.00", "account": ""}


@pytest.mark.parametrize(
    ("rows", "changes", "because"),
    [
        (ENGLISH, {"currency": "USD"}, ""),
        (ENGLISH, {"currency": "USD", "day": "2018-05-03"}, ""),
        (ENGLISH, {"currency": "USD", "day": "2018-04-13"}, "'2018-04-13' (BT-2), but page 1 prints 'Date: 03/05/2018'"),
        (ENGLISH, {"currency": "USD", "total": "1000.00", "due": "1000.00"}, "but page 1 prints 'Total $1,190.00'"),
        (ENGLISH, {"currency": "USD", "total": "1191.00", "due": "1191.00"}, "they print '$1,000.00', '$190.00', '$1,190.00'"),
        (ENGLISH, {"currency": "USD", "number": "INV-70"}, "but page 1 prints 'Invoice No: INV-7'"),
        (ENGLISH, {"currency": "USD", "number": "7"}, "but page 1 prints 'Invoice No: INV-7'"),
        (ENGLISH, {"currency": "EUR"}, "as currency factur-x.xml states 'EUR' (BT-5), but the pages print $"),
        (COLUMNS, {}, ""),
        (COLUMNS, {"number": "INV-8"}, "but page 1 prints 'Rechnungsnummer INV-7'"),
        (COLUMNS, {"day": "2018-04-13"}, "but page 1 prints 'Rechnungsdatum 05.03.2018'"),
        (COLUMNS, {"total": "1180.00", "due": "1180.00"}, "but page 1 prints 'Gesamtbetrag 1.190,00'"),
    ],
)
def test_what_stands_at_a_label_counts_more_than_what_is_printed_elsewhere(tmp_path, rows, changes, because):
    canvas = Canvas(str(tmp_path / "page.pdf"), pagesize=(612, 792))
    for at, row in enumerate(rows):
        for x, text in row:
            canvas.drawString(x, 700 - 15 * at, text)
    canvas.save()
    page = (tmp_path / "page.pdf").read_bytes()
    document = documents.read(with_attachments(page, tmp_path / "a.pdf", **{"factur-x__xml": cii(**{**ACME, **changes})}))
    assert bool(document.anomalies) == bool(because)
    assert because in " ".join(reasons(document))


@pytest.mark.parametrize(
    ("attachments", "because"),
    [
        ({"factur-x__xml": cii()[:900]}, "the attached factur-x.xml cannot be used: broken XML"),
        ({"factur-x__xml": b"no XML at all"}, "the attached factur-x.xml is no e-invoice, although its name says so"),
        ({"factur-x__xml": b""}, "the attached factur-x.xml is no e-invoice, although its name says so"),
        ({"order-x__xml": ORDER}, "cannot be used: an order (Order-X), not an invoice"),
        ({"factur-x__xml": cii(), "zugferd__xml": cii(total="1.00")}, "factur-x.xml and zugferd.xml state different invoices"),
        ({"factur-x__xml": cii(profile="urn:example:1")}, "it names the unknown profile 'urn:example:1'"),
        ({"factur-x__xml": cii(total="1,529.87")}, "as total it states '1,529.87', which is no amount"),
        ({"factur-x__xml": cii(total="NaN")}, "as total it states 'NaN', which is no amount"),
        ({"factur-x__xml": cii(day="5 March")}, "an e-invoice that breaks its standard"),
        ({"factur-x__xml": cii(number="", total="", due="")}, "an e-invoice without a number and a total"),
        ({"factur-x__xml": cii().replace(b"EUR", b"")}, "an e-invoice without a currency"),
        ({"x__xml": TWO_NUMBERS}, "more than one invoice number: AB-9, RE-2018/17"),
        ({"factur-x__xml": BOMB}, "XML with a DTD"),
        ({"factur-x__xml": FILE}, "XML with a DTD"),
        ({"factur-x__xml": FILE.decode().replace("UTF-8", "UTF-16").encode("utf-16")}, "XML with a DTD"),
        ({"factur-x__xml": DEEP}, "broken XML"),
        ({"factur-x__xml": WIDE}, "oversized XML"),
    ],
)  # fmt: skip
def test_an_e_invoice_that_cannot_be_used_is_named_and_the_page_is_read(tmp_path, attachments, because):
    document = documents.read(pdf(tmp_path / "a.pdf", **attachments))
    assert because in " ".join(reasons(document))
    assert "RE-2018/17" in document.text
    assert {anomaly.kind for anomaly in document.anomalies} == {AnomalyKind.UNUSABLE}
    assert not document.e_invoice or document.e_invoice.term("invoice_number") in ("", "RE-2018/17")


def test_attachments_that_are_no_invoice_are_ignored(tmp_path):
    document = documents.read(
        pdf(tmp_path / "a.pdf", notes__txt=b"hello", prices__xml=b"<list><a/></list>", image__png=b"\x89PNG")
    )
    assert (document.e_invoice, document.anomalies) == (None, ())


def test_the_invoice_of_another_case_contradicts_in_all_it_states(tmp_path):
    other = cii(number="X-1", day="2020-01-01", total="9.99", due="9.99", seller="Other Ltd", buyer="Nobody Inc")
    assert len(documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": other})).anomalies) == 5


def test_a_comment_does_not_cut_a_value(tmp_path):
    xml = cii().replace(b"RE-2018/17", b"RE-2018/<!-- -->17")
    assert stated(documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": xml}))).term("invoice_number") == "RE-2018/17"


@pytest.mark.parametrize("make", [cii, ubl, zugferd_1])
def test_xml_by_itself_is_printed_for_people_and_read(tmp_path, make):
    path = tmp_path / "a.xml"
    path.write_bytes(make())
    document = documents.read(path)
    rows = [" ".join(word.text for word in line) for line in documents.lines(document.pages[0])]
    assert {"Invoice number: RE-2018/17", "Issue date: 2018-03-05", "Total: 1529.87", "Seller: Müller & Söhne GmbH"} <= set(
        rows
    )
    assert document.anomalies == () and stated(document).attachment == ""
    assert documents.page_image(path, document.pages[0]).size == (612, 792)
    values = EInvoiceTier(MISSION).extract([document])[0].fields
    assert {name: text_in(document, value.place) for name, value in values.items()} == {
        "number": "RE-2018/17", "day": "2018-03-05", "total": "1529.87", "seller": "Müller & Söhne GmbH"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "because"),
    [
        (ubl()[:700], "broken XML"),
        (BOMB, "XML with a DTD"),
        (FILE, "XML with a DTD"),
        (WIDE, "oversized XML"),
        (ORDER, "an order (Order-X), not an invoice"),
        (b"<Invoice><a/></Invoice>", "an e-invoice without a"),
    ],
)
def test_xml_by_itself_that_cannot_be_used_is_refused_with_the_reason(tmp_path, data, because):
    path = tmp_path / "a.xml"
    path.write_bytes(data)
    with pytest.raises(UnreadableDocument, match=because.replace("(", r"\(").replace(")", r"\)")):
        documents.read(path)


def test_the_name_of_an_item_prints_no_line_of_its_own(tmp_path):
    (tmp_path / "a.xml").write_bytes(ubl().replace("Trennblätter A4".encode(), b"Paper\nTotal: 9.99"))
    document = documents.read(tmp_path / "a.xml")
    rows = [" ".join(word.text for word in line) for line in documents.lines(document.pages[0])]
    assert "1 Paper Total: 9.99 1285.61" in rows and "Total: 1529.87" in rows


def test_the_server_keeps_an_e_invoice_as_xml(tmp_path):
    with aside(io.BytesIO(cii()), tmp_path) as upload:
        assert upload.path.suffix == ".xml"


@pytest.mark.parametrize(
    "text", ["total " * 20_000, "9.9 " * 15_000, "a" * 190_000, "1.1." * 45_000, "total 9.99 " * 8_000, "1 234" * 12_000]
)
def test_a_page_full_of_the_same_is_held_against_an_e_invoice_in_seconds(text):
    texts = text.split()
    at = np.arange(len(texts))
    boxes = np.stack([at % 50 * 10.0, at // 50 * 0.1, at % 50 * 10 + 9.0, at // 50 * 0.1 + 0.09], axis=1)
    document = columns.document("", [columns.page_columns(612, 792, texts, boxes, source=Source.TEXT_LAYER)])
    began = time.process_time()
    assert list(contradictions(e_invoice.read(cii(), "factur-x.xml").e_invoice, document))
    assert time.process_time() - began < 10


def test_other_xml_is_read_as_text(tmp_path):
    (tmp_path / "a.xml").write_text("<note>hello</note>")
    assert documents.read(tmp_path / "a.xml").text == "<note>hello</note>"


@pytest.mark.parametrize(
    "data",
    [
        cii(kind="381"),
        cii(kind="261"),
        cii(kind="381", total="-1529.87", due="-1529.87"),
        ubl("CreditNote", kind="381"),
        ubl("CreditNote", kind=""),
    ],
)
def test_a_credit_note_is_negative_and_never_an_invoice_to_pay(tmp_path, data):
    document = documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": data}))
    value = EInvoiceTier(MISSION).extract([document])[0].fields["total"]
    assert (value.value, reasons(document)) == (Decimal("-1529.87"), [])
    assert "a credit note, so the amount is negative" in value.speaks_against
    decision = decided(document, tmp_path, total="1529.87")
    failed = {check.name for check in decision.checks if check.passed is False}
    assert (decision.route, failed) == (Route.REVIEW, {"an invoice by its type code", "total as in the e-invoice"})


def decided(document: Document, folder: Path, **values: str) -> Decision:
    """The decision on a document where another tier reads these values, with everything automated but by the e-invoice."""

    class Certain(Calibrations):
        def automates(self, tier: str, field: str, score: float) -> bool:
            return tier == "ranker"

    class Ranker:
        def extract(self, contents, configs=None):
            read = {"number": "RE-2018/17", "day": "2018-03-05", "total": "1529.87", "seller": "Müller & Söhne GmbH", **values}
            fields = {
                name: ScoredValue(
                    text, date.fromisoformat(text) if name == "day" else Decimal(text) if name == "total" else text, 0.9
                )
                for name, text in read.items()
            }
            return [Extraction(content.id, "invoice", 0.9, fields) for content in contents]

    memory = Memory.open(folder / "memory", store="")
    return Agent(MISSION, {"ranker": Ranker(), "e_invoice": EInvoiceTier(MISSION)}, Certain({}), memory).invoke(document)


def test_a_case_whose_page_and_xml_agree_acts(tmp_path):
    decision = decided(documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": cii()})), tmp_path)
    assert decision.route is Route.ACT


def test_a_pro_forma_invoice_goes_to_a_person(tmp_path):
    decision = decided(documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": cii(kind="325")})), tmp_path)
    assert (decision.route, decision.because[0]) == (
        Route.REVIEW,
        "This invoice goes to a person: the check “an invoice by its type code” failed "
        "(the e-invoice has the type code 325, which asks for no payment).",
    )


def test_a_contradiction_sends_the_case_to_a_person_who_sees_both(tmp_path):
    decision = decided(documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": cii(day="2018-03-06")})), tmp_path)
    assert (decision.route, decision.actions) == (Route.REVIEW, ())
    assert "states '2018-03-06'" in decision.because[0] and "prints 'Rechnungsdatum: 05.03.2018'" in decision.because[0]


@pytest.mark.parametrize(
    ("read", "because"),
    [
        ({"total": "1285.61"}, "total was read as 1285.61, but the e-invoice states 1529.87 as total"),
        ({"total": "-1529.87"}, "total was read as -1529.87, but the e-invoice states 1529.87 as total"),
        ({"day": "2018-03-06"}, "day was read as 2018-03-06, but the e-invoice states 2018-03-05 as issue_date"),
        ({"number": "15"}, "number was read as 15, but the e-invoice states RE-2018/17 as invoice_number"),
        (
            {"seller": "Kunden AG Mitte"},
            "seller was read as Kunden AG Mitte, but the e-invoice states Müller & Söhne GmbH as seller",
        ),
    ],
)
def test_another_tier_that_reads_something_else_is_not_believed(tmp_path, read, because):
    decision = decided(documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": cii()})), tmp_path, **read)
    assert decision.route is Route.REVIEW
    assert because in [check.because for check in decision.checks if check.passed is False]


def test_a_value_says_which_element_it_comes_from_and_where_it_is_printed(tmp_path):
    document = documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": cii()}))
    values = EInvoiceTier(MISSION).extract([document])[0].fields
    assert values["total"].speaks_for == ("the attached factur-x.xml states it as total (BT-112)", "printed on page 1")
    assert {name: text_in(document, value.place) for name, value in values.items()} == {
        "number": "RE-2018/17", "day": "05.03.2018", "total": "1.529,87", "seller": "Müller & Söhne GmbH,"
    }  # fmt: skip
    assert (values["day"].value, values["total"].value) == (date(2018, 3, 5), Decimal("1529.87"))


def test_a_value_that_no_page_prints_has_no_place_and_a_lower_score(tmp_path):
    document = documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": cii(seller="Schmidt GmbH")}))
    values = EInvoiceTier(MISSION).extract([document])[0].fields
    assert (values["seller"].place, values["seller"].speaks_against) == (None, ("no page prints it",))
    assert (values["seller"].score, values["number"].score) == (NOT_PRINTED, PRINTED)


def test_a_document_without_an_e_invoice_gets_no_value_and_no_check(tmp_path):
    document = documents.read(pdf(tmp_path / "a.pdf"))
    assert EInvoiceTier(MISSION).extract([document])[0].fields == {}
    assert not [check for check in decided(document, tmp_path).checks if "e-invoice" in check.name or "type code" in check.name]


@pytest.mark.parametrize(
    ("kind", "classes", "document_class"),
    [
        ("380", ["invoice", "other"], "invoice"),
        ("381", ["invoice", "credit_note"], "credit_note"),
        ("381", ["invoice", "other"], ""),
        ("325", ["invoice", "other"], ""),
        ("380", ["bill"], ""),
    ],
)
def test_the_type_code_gives_the_class_where_the_mission_has_it(tmp_path, kind, classes, document_class):
    (tmp_path / "a.xml").write_bytes(cii(kind=kind))
    tier = EInvoiceTier(MISSION.model_copy(update={"classes": tuple(classes)}))
    assert tier.extract([documents.read(tmp_path / "a.xml")])[0].document_class == document_class


def test_few_labelled_e_invoices_calibrate_and_certify_nothing(tmp_path):
    """Nine labels cannot show 90 % at 90 % confidence; forty can."""
    one = documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": cii()}))
    without = replace(one, e_invoice=None)
    label = {"number": "RE-2018/17", "day": "2018-03-05", "total": "1529.87", "seller": "Müller & Söhne GmbH"}

    def calibrated(stating: int) -> Calibrations:
        cases = [replace(one if at < stating else without, sha256=f"{at:064x}") for at in range(60)]
        return calibrate({"e_invoice": EInvoiceTier(MISSION)}, cases, {case.id: label for case in cases}, MISSION)

    assert not calibrated(9).certified("total")
    assert "9 calibrated values" in calibrated(9).because("total")
    assert calibrated(40).automates("e_invoice", "total", PRINTED)
    assert not calibrated(40).automates("e_invoice", "total", NOT_PRINTED)


def test_a_tier_without_any_label_speaks_and_says_that_nothing_calibrated_it(tmp_path):
    memory = Memory.open(tmp_path / "memory", store="")
    agent = Agent(MISSION, {"e_invoice": EInvoiceTier(MISSION)}, Calibrations({}), memory)
    decision = agent.invoke(documents.read(pdf(tmp_path / "a.pdf", **{"factur-x__xml": cii()})))
    assert (decision.route, decision.automated) == (Route.REVIEW, frozenset())
    assert all(NOT_CALIBRATED in output.speaks_against for output in decision.fields.values())


def test_an_e_invoice_survives_the_worker_the_cache_and_a_data_set(tmp_path):
    (tmp_path / "data").mkdir()
    path = pdf(tmp_path / "data" / "a.pdf", **{"factur-x__xml": cii(day="2018-03-06")})
    (tmp_path / "data" / "labels.csv").write_text("file_id,split,number\na,train,RE-2018/17\n")
    read = documents.read(path)
    by_worker, cached = (next(documents.read_many([path], tmp_path / "cache")) for _ in range(2))
    data = build_dataset(tmp_path / "data", MISSION, tmp_path / "out", cache=tmp_path / "cache")
    assert read.e_invoice and len(read.anomalies) == 1
    assert read == by_worker == cached == data.document(read.sha256)
    assert columns.e_invoice(None) is None


@pytest.mark.parametrize(
    ("fields", "tiers", "because"),
    [
        (
            {"total": {"kind": "amount", "e_invoice": "totl"}},
            ["e_invoice", "person"],
            "unknown term `totl`; did you mean `total`?",
        ),
        (
            {"total": {"kind": "name", "e_invoice": "total"}},
            ["e_invoice", "person"],
            "`total` is of kind amount, the field of kind name",
        ),
        ({"total": {"kind": "amount"}}, ["e_invoice", "person"], "`e_invoice` has no field to read"),
    ],
)
def test_a_mission_that_names_terms_wrongly_is_told_what_is_right(fields, tiers, because):
    with pytest.raises(ValueError, match=because):
        Mission.model_validate({**MISSION.model_dump(), "fields": fields, "tiers": tiers})


def test_a_pdf_that_factur_x_made_is_read(tmp_path):
    from facturx import generate_from_binary

    xml = cii(profile="urn:factur-x.eu:1p0:minimum")
    made = generate_from_binary(pdf(tmp_path / "a.pdf").read_bytes(), xml, check_xsd=False, check_schematron=False)
    (tmp_path / "b.pdf").write_bytes(made)
    document = documents.read(tmp_path / "b.pdf")
    assert (stated(document).term("total"), document.anomalies) == ("1529.87", ())


LABELS = {
    "invoice_number": "invoice_number",
    "issue_date": "issue_date",
    "total": "grand_total",
    "seller": "seller",
    "buyer": "buyer",
    "amount_due": "payable",
}


@pytest.fixture(scope="module")
def corpus(shared_data) -> list[tuple[dict[str, str], Path, Document]]:
    folder = shared_data / "zugferd"
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    paths = [folder / "pdf" / f"{row['file_id']}.pdf" for row in rows]
    return [(row, path, documents.read(path)) for row, path in zip(rows, paths, strict=True)]


def test_real_e_invoices_state_what_their_labels_say(corpus):
    """Except four dates: their labels come from a newer XML than the embedded one, which agrees with the page."""
    kinds = {"issue_date": "date", "total": "amount", "amount_due": "amount"}
    wrong = {
        (row["file_id"], term)
        for row, _, document in corpus
        for term, column in LABELS.items()
        if not same(kinds.get(term, "name"), row[column], stated(document).term(term))
    }
    assert len(corpus) == 20
    assert wrong == {(row["file_id"], "issue_date") for row, _, _ in corpus if row["xml_contradicts_page"] == "1"}


def test_no_real_e_invoice_contradicts_its_page_by_mistake(corpus):
    assert [(row["file_id"], reasons(document)) for row, _, document in corpus if document.anomalies] == []


def test_every_value_of_a_real_e_invoice_has_its_place(corpus):
    for row, _, document in corpus:
        values = EInvoiceTier(MISSION).extract([document])[0].fields
        assert [name for name, value in values.items() if value.place is None] == [], row["file_id"]


def test_the_labels_dates_in_the_xml_of_real_e_invoices_contradict_where_they_differ_from_the_page(corpus, tmp_path):
    """Each of the twenty gets the date of its label: sixteen pages print it, four print another one."""
    contradicting = set()
    for row, path, document in corpus:
        xml = attached_xml(path)
        day = stated(document).term("issue_date").replace("-", "").encode()
        changed = xml.replace(day, row["issue_date"].replace("-", "").encode(), 1)
        copy = documents.read(with_attachments(path.read_bytes(), tmp_path / path.name, **{"factur-x__xml": changed}))
        if copy.anomalies:
            assert [anomaly.because.split(" factur-x")[0] for anomaly in copy.anomalies] == ["as issue date"]
            contradicting.add(row["file_id"])
    assert contradicting == {row["file_id"] for row, _, _ in corpus if row["xml_contradicts_page"] == "1"}
    assert len(contradicting) == 4


def attached_xml(path: Path) -> bytes:
    with pypdfium2.PdfDocument(path) as whole:
        attachments = [whole.get_attachment(at) for at in range(whole.count_attachments())]
        return next(bytes(one.get_data()) for one in attachments if one.get_name().endswith(".xml"))
