"""What may be painted on a page and not read, or read and not seen, and what may be done to a finished PDF.

Functions of a canvas draw on its page, origin at the bottom left; functions of bytes return another PDF. The same arguments
give the same bytes.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

RED = (0.8, 0.1, 0.1)


def stamp(
    canvas: Any, x: float, y: float, text: str, angle: float = 45, font: str = "Helvetica-Bold", size: float = 44
) -> None:
    """Large red letters; `angle` in degrees counter-clockwise."""
    canvas.saveState()
    canvas.translate(x, y)
    canvas.rotate(angle)
    canvas.setFillColorRGB(*RED)
    canvas.setFont(font, size)
    canvas.drawString(0, 0, text)
    canvas.restoreState()


def annotation(canvas: Any, corners: tuple[float, float, float, float], **entries: object) -> None:
    """An annotation that is printed; `entries`: those of its PDF dictionary."""
    from reportlab.pdfbase.pdfdoc import PDFArray, PDFDictionary, PDFName  # type: ignore[import-untyped]

    plain = {"Type": PDFName("Annot"), "Rect": PDFArray(list(corners)), "F": 4}
    canvas._addAnnotation(PDFDictionary({**plain, **entries}))


def stamp_annotation(canvas: Any, corners: tuple[float, float, float, float], name: str) -> None:
    from reportlab.pdfbase.pdfdoc import PDFName

    annotation(canvas, corners, Subtype=PDFName("Stamp"), Name=PDFName(name))


def white(canvas: Any, x: float, y: float, text: str) -> None:
    canvas.setFillColorRGB(1, 1, 1)
    canvas.drawString(x, y, text)


def invisible(canvas: Any, x: float, y: float, text: str) -> None:
    """Text in the render mode that paints nothing."""
    lines = canvas.beginText(x, y)
    lines.setTextRenderMode(3)
    lines.textLine(text)
    canvas.drawText(lines)


def tiny(canvas: Any, x: float, y: float, text: str) -> None:
    canvas.setFont("Helvetica", 1)
    canvas.drawString(x, y, text)


def picture_of(text: str, size: tuple[int, int], letters: int, colour: str = "black") -> "Image":
    """A picture of a text: its size and the height of its letters in pixels."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.text((size[0] // 10, size[1] // 5), text, fill=colour, font=ImageFont.load_default(letters))
    return image


def with_wrong_letters(data: bytes, shift: int) -> bytes:
    """The text layer says other letters than the fonts paint: each is `shift` code points away."""
    from pypdf.generic import DecodedStreamObject, NameObject

    pairs = b"".join(b"<%02x> <%04x>\n" % (code, code + shift if code > 32 else code) for code in range(32, 123))
    with _changed(data) as (pdf, out):
        letters = DecodedStreamObject()
        letters.set_data(b"1 begincodespacerange <00> <ff> endcodespacerange\n91 beginbfchar\n" + pairs + b"endbfchar\n")
        reference = pdf._add_object(letters)
        for page in pdf.pages:
            for font in page["/Resources"]["/Font"].values():
                font.get_object()[NameObject("/ToUnicode")] = reference
    return out.getvalue()


def turned(data: bytes, angle: int, *, entry: bool = True) -> bytes:
    """Pages turned clockwise by quarter turns: by the entry /Rotate, or else by their content."""
    with _changed(data) as (pdf, out):
        for page in pdf.pages:
            page.rotate(angle)
            if not entry:
                page.transfer_rotation_to_content()
    return out.getvalue()


def cropped(data: bytes, below: float) -> bytes:
    """The sheet goes on for `below` points under the visible page, outside the crop box."""
    from pypdf.generic import RectangleObject

    with _changed(data) as (pdf, out):
        for page in pdf.pages:
            left, bottom, right, top = page.mediabox
            page.cropbox = RectangleObject((left, bottom, right, top))
            page.mediabox = RectangleObject((left, bottom - below, right, top))
    return out.getvalue()


def together(first: bytes, second: bytes) -> bytes:
    """The pages of two PDFs in one."""
    with _changed(first) as (pdf, out):
        pdf.append(io.BytesIO(second))
    return out.getvalue()


def resaved(data: bytes, title: str = "sent again") -> bytes:
    """The same pages as another program saves them."""
    with _changed(data) as (pdf, out):
        pdf.add_metadata({"/Title": title})
    return out.getvalue()


def with_attachments(data: bytes, attachments: Mapping[str, bytes]) -> bytes:
    with _changed(data) as (pdf, out):
        for name, content in attachments.items():
            pdf.add_attachment(name, content)
    return out.getvalue()


@contextmanager
def _changed(data: bytes) -> Iterator[tuple[Any, io.BytesIO]]:
    """A PDF to change, and where it is written at the end."""
    from pypdf import PdfReader, PdfWriter

    pdf, out = PdfWriter(clone_from=PdfReader(io.BytesIO(data))), io.BytesIO()
    yield pdf, out
    pdf.write(out)


def cii(terms: Mapping[str, str]) -> bytes:
    """An e-invoice as XML in the syntax CII.

    `terms`: number, day (ISO 8601), seller, buyer, currency, total, due, kind (its type code), profile, and account (an IBAN
    or "").
    """
    from xml.sax.saxutils import escape

    s = {name: escape(text) for name, text in terms.items()}
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rsm:CrossIndustryInvoice xmlns:rsm="urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
 xmlns:ram="urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"
 xmlns:udt="urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100">
<rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter><ram:ID>{s["profile"]}</ram:ID>
</ram:GuidelineSpecifiedDocumentContextParameter></rsm:ExchangedDocumentContext>
<rsm:ExchangedDocument><ram:ID>{s["number"]}</ram:ID><ram:TypeCode>{s["kind"]}</ram:TypeCode><ram:IssueDateTime>
<udt:DateTimeString format="102">{s["day"].replace("-", "")}</udt:DateTimeString></ram:IssueDateTime></rsm:ExchangedDocument>
<rsm:SupplyChainTradeTransaction><ram:ApplicableHeaderTradeAgreement>
<ram:SellerTradeParty><ram:Name>{s["seller"]}</ram:Name></ram:SellerTradeParty>
<ram:BuyerTradeParty><ram:Name>{s["buyer"]}</ram:Name></ram:BuyerTradeParty></ram:ApplicableHeaderTradeAgreement>
<ram:ApplicableHeaderTradeDelivery/><ram:ApplicableHeaderTradeSettlement>
<ram:InvoiceCurrencyCode>{s["currency"]}</ram:InvoiceCurrencyCode>
<ram:SpecifiedTradeSettlementPaymentMeans><ram:PayeePartyCreditorFinancialAccount><ram:IBANID>{s["account"]}</ram:IBANID>
</ram:PayeePartyCreditorFinancialAccount></ram:SpecifiedTradeSettlementPaymentMeans>
<ram:SpecifiedTradeSettlementHeaderMonetarySummation><ram:GrandTotalAmount>{s["total"]}</ram:GrandTotalAmount>
<ram:DuePayableAmount>{s["due"]}</ram:DuePayableAmount></ram:SpecifiedTradeSettlementHeaderMonetarySummation>
</ram:ApplicableHeaderTradeSettlement></rsm:SupplyChainTradeTransaction></rsm:CrossIndustryInvoice>""".encode()
