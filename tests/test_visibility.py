"""Read = visible: what nobody sees is not read, what is painted is read, and in the order in which a person reads it."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image
from reportlab.lib.colors import Color
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.pdfdoc import PDFArray, PDFName, PDFString
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from proveout import documents
from proveout.corpus.synthetic import marks
from proveout.documents import ocr, text_layer
from proveout.models.text_segments import text_segments
from proveout.records import AnomalyKind, Document, Source

Drawing = Callable[[Canvas], None]
ROWS = ("Invoice 4711-2", "Advertiser Harbor for Senate", "Flight 02/03/20 - 02/09/20", "Gross Total $1,250.00")


@pytest.fixture(autouse=True)
def no_ocr(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A text layer that needs no OCR must not cost one."""
    if "with_ocr" in request.fixturenames:
        return

    def refuse(*arguments: object, **names: object) -> None:
        raise AssertionError("this page needs no OCR")

    monkeypatch.setattr(ocr, "read_picture", refuse)


@pytest.fixture
def with_ocr() -> None:
    """The test reads pictures."""


def made(tmp_path: Path, drawing: Drawing, size: tuple[float, float] = (400, 400), rows: tuple[str, ...] = ROWS) -> Document:
    path = tmp_path / "made.pdf"
    canvas = Canvas(str(path), pagesize=size, invariant=1)
    canvas.setFont("Helvetica", 12)
    for number, row in enumerate(rows):
        canvas.drawString(40, size[1] - 50 - 24 * number, row)
    drawing(canvas)
    canvas.save()
    return documents.read(path)


def texts(document: Document) -> list[str]:
    return [word.text for word in document.words]


def kinds(document: Document) -> list[AnomalyKind]:
    return [anomaly.kind for anomaly in document.anomalies]


def _coloured(text: Color, background: Color | None = None) -> Drawing:
    def draw(canvas: Canvas) -> None:
        if background is not None:
            canvas.setFillColor(background)
            canvas.rect(30, 90, 300, 30, stroke=0, fill=1)
        canvas.setFillColor(text)
        canvas.drawString(40, 100, "Net 900.00")

    return draw


def _covered(cover: Callable[[Canvas], None]) -> Drawing:
    def draw(canvas: Canvas) -> None:
        canvas.setFillColor(Color(0, 0, 0))
        canvas.drawString(40, 100, "Net 900.00")
        cover(canvas)

    return draw


def _box(colour: Color, x: float = 30, width: float = 300) -> Callable[[Canvas], None]:
    def cover(canvas: Canvas) -> None:
        canvas.setFillColor(colour)
        canvas.rect(x, 90, width, 30, stroke=0, fill=1)

    return cover


def _picture(canvas: Canvas) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (30, 200, 3), dtype=np.uint8)
    canvas.drawInlineImage(Image.fromarray(noise), 30, 92, 200, 18)


def _thick_line(canvas: Canvas) -> None:
    canvas.setLineWidth(20)
    canvas.line(30, 104, 200, 104)


def _render_mode(canvas: Canvas) -> None:
    marks.invisible(canvas, 40, 100, "Net 900.00")


def _tiny(canvas: Canvas) -> None:
    marks.tiny(canvas, 40, 100, "Net 900.00")


def _faint(canvas: Canvas) -> None:
    canvas.setFillColor(Color(0, 0, 0, alpha=0.02))
    canvas.drawString(40, 100, "Net 900.00")


def _clipped_to_a_circle(canvas: Canvas) -> None:
    path = canvas.beginPath()
    path.circle(300, 300, 20)
    canvas.clipPath(path, stroke=0, fill=0)
    canvas.drawString(40, 100, "Net 900.00")


def _in_a_form(canvas: Canvas) -> None:
    canvas.beginForm("hidden")
    canvas.setFillColor(Color(1, 1, 1))
    canvas.drawString(40, 100, "Net 900.00")
    canvas.endForm()
    canvas.doForm("hidden")


BLACK, WHITE, NAVY = Color(0, 0, 0), Color(1, 1, 1), Color(0.1, 0.1, 0.4)


@pytest.mark.parametrize(
    "drawing",
    [
        _coloured(WHITE),
        _coloured(Color(0.98, 0.98, 0.97)),
        _coloured(NAVY, NAVY),
        _coloured(BLACK, BLACK),
        _covered(_box(WHITE)),
        _covered(_box(BLACK)),
        _covered(_picture),
        _covered(_thick_line),
        _render_mode,
        _tiny,
        _faint,
        _clipped_to_a_circle,
        _in_a_form,
    ],
    ids=[
        "white",
        "nearly-white",
        "navy-on-navy",
        "black-on-black",
        "white-box",
        "black-box",
        "picture",
        "thick-line",
        "mode",
        "tiny",
        "faint",
        "clip",
        "form",
    ],
)
def test_what_nobody_sees_is_not_read_and_is_named(tmp_path: Path, drawing: Drawing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_layer, "pictures_with_words", lambda *_: [])
    document = made(tmp_path, drawing)
    assert texts(document) == " ".join(ROWS).split()
    (anomaly,) = document.anomalies
    assert anomaly.kind is AnomalyKind.HIDDEN and anomaly.text == "Net 900.00" and anomaly.place is not None
    assert anomaly.because == "'Net 900.00' on page 1 is in the file, but not visible"


def _layer(visible: bool) -> Drawing:
    """Text in optional content that is switched on or off."""

    def draw(canvas: Canvas) -> None:
        canvas._code.append("/OC /Layer1 BDC")
        canvas.drawString(40, 100, "Net 900.00")
        canvas._code.append("EMC")

    return draw


@pytest.mark.parametrize("visible", [True, False])
def test_a_layer_is_read_only_where_it_is_switched_on(tmp_path: Path, visible: bool) -> None:
    made(tmp_path, _layer(visible))
    data = (tmp_path / "made.pdf").read_bytes()
    state = b"/ON [%d 0 R]" if visible else b"/OFF [%d 0 R]"
    (tmp_path / "made.pdf").write_bytes(_with_layer(data, state))
    document = documents.read(tmp_path / "made.pdf")
    assert ("900.00" in texts(document)) is visible
    assert kinds(document) == ([] if visible else [AnomalyKind.HIDDEN])


def _with_layer(data: bytes, state: bytes) -> bytes:
    """The file with its property list /Layer1 defined; PDFium rebuilds the table of objects."""
    number = 1 + max(map(int, re.findall(rb"(\d+) 0 obj", data)))
    group = b"%d 0 obj\n<< /Type /OCG /Name (Layer) >>\nendobj\n" % number
    properties = b"/OCProperties << /OCGs [%d 0 R] /D << %s >> >>" % (number, state % number)
    data = data.replace(b"/Type /Catalog", b"/Type /Catalog " + properties)
    data = data.replace(b"/ProcSet", b"/Properties << /Layer1 %d 0 R >> /ProcSet" % number, 1)
    at = data.index(b"xref")
    return re.sub(rb"startxref\s+\d+", b"startxref\n0", data[:at] + group + data[at:])


@pytest.mark.parametrize(
    "drawing",
    [
        _coloured(WHITE, NAVY),
        _coloured(BLACK, Color(0.9, 0.9, 0.9)),
        _coloured(Color(0.6, 0.6, 0.6)),
        _coloured(Color(1, 0.9, 0), BLACK),
        lambda canvas: (_box(Color(1, 1, 0))(canvas), _coloured(BLACK)(canvas)),
        _covered(lambda canvas: canvas.rect(30, 90, 300, 30, stroke=1, fill=0)),
        _covered(_box(Color(1, 1, 0, alpha=0.3))),
    ],
    ids=["white on navy", "zebra", "grey", "yellow on black", "highlight under", "frame", "highlighter over"],
)
def test_what_everybody_sees_is_read_without_an_anomaly(tmp_path: Path, drawing: Drawing) -> None:
    document = made(tmp_path, drawing)
    assert texts(document) == [*" ".join(ROWS).split(), "Net", "900.00"]
    assert not document.anomalies


def test_an_amount_that_is_covered_in_part_is_named(tmp_path: Path) -> None:
    document = made(tmp_path, _covered(_box(WHITE, 63, 14)))  # over the 9 of 900.00
    (anomaly,) = document.anomalies
    assert anomaly.because == "'900.00' on page 1 is covered in part"


def test_an_amount_under_a_picture_with_another_amount_on_it_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_layer, "pictures_with_words", lambda *_: [])

    def covered_twice(canvas: Canvas) -> None:
        _covered(_picture)(canvas)
        canvas.drawString(40, 100, "Net 100.00")
        canvas.drawInlineImage(Image.new("RGB", (8, 8), "white"), 30, 92, 200, 18)
        canvas.drawString(40, 100, "Net 300.00")

    document = made(tmp_path, covered_twice)
    assert texts(document) == [*" ".join(ROWS).split(), "Net", "300.00"]
    (anomaly,) = document.anomalies
    assert anomaly.kind is AnomalyKind.HIDDEN and {"900.00", "100.00"} <= set(anomaly.text.split())


def test_a_name_that_its_cell_cuts_off_is_ordinary_and_marked(tmp_path: Path) -> None:
    def cell(canvas: Canvas) -> None:
        path = canvas.beginPath()
        path.rect(35, 95, 100, 20)
        canvas.clipPath(path, stroke=0, fill=0)
        canvas.drawString(40, 100, "Friends of Somebody Senator Long")

    document = made(tmp_path, cell)
    assert texts(document)[-3:] == ["Friends", "of", "Somebody…"] and not document.anomalies


@pytest.mark.parametrize(("width", "last"), [(31, "Friends…"), (38.5, "Friends"), (60, "Friends")])
def test_a_word_is_marked_where_more_than_half_a_letter_is_hidden(tmp_path: Path, width: float, last: str) -> None:
    def cell(canvas: Canvas) -> None:
        path = canvas.beginPath()
        path.rect(35, 95, 5 + width, 20)
        canvas.clipPath(path, stroke=0, fill=0)
        canvas.drawString(40, 100, "Friends")

    assert texts(made(tmp_path, cell))[-1] == last


def test_a_word_printed_twice_at_its_place_is_visible(tmp_path: Path) -> None:
    def twice(canvas: Canvas) -> None:
        _covered(_box(Color(0.8, 0.8, 0.8)))(canvas)
        _coloured(BLACK)(canvas)

    document = made(tmp_path, twice)
    assert "900.00" in texts(document) and not document.anomalies


# painted, but not in the page's text: forms and annotations


def _annotation(**entries: object) -> Drawing:
    return lambda canvas: marks.annotation(canvas, (200, 90, 330, 120), **entries)


def _field(**settings: object) -> Drawing:
    return lambda canvas: canvas.acroForm.textfield(name="total", value="900.00", x=40, y=90, width=120, height=20, **settings)


def test_a_filled_form_field_is_read_at_its_place(tmp_path: Path) -> None:
    document = made(tmp_path, _field())
    (word,) = [word for word in document.words if word.text == "900.00"]
    assert 40 < word.box.x0 < 60 and 285 < word.box.y0 < 310
    assert not document.anomalies


def test_a_chosen_option_is_read(tmp_path: Path) -> None:
    options = {"options": ["USD", "EUR"], "x": 40, "y": 90, "width": 60, "height": 20}
    document = made(tmp_path, lambda canvas: canvas.acroForm.choice(name="currency", value="EUR", **options))
    assert texts(document).count("EUR") == 1 and "USD" not in texts(document) and not document.anomalies


def test_a_field_without_an_appearance_is_painted_or_named(tmp_path: Path) -> None:
    made(tmp_path, _field())
    data = re.sub(rb"/AP\s*<<[^>]*>>", b"", (tmp_path / "made.pdf").read_bytes())
    (tmp_path / "made.pdf").write_bytes(data)
    document = documents.read(tmp_path / "made.pdf")
    assert "900.00" in texts(document) or kinds(document) == [AnomalyKind.UNREAD]


def test_a_field_outside_a_form_is_named(tmp_path: Path) -> None:
    document = made(tmp_path, _annotation(Subtype=PDFName("Widget"), FT=PDFName("Tx"), V=PDFString("900.00")))
    assert "900.00" not in texts(document)
    assert [anomaly.because for anomaly in document.anomalies] == [
        "a form field on page 1 holds '900.00', but the page does not show it"
    ]


def test_a_note_that_cannot_be_painted_is_named(tmp_path: Path) -> None:
    document = made(tmp_path, _annotation(Subtype=PDFName("FreeText"), Contents=PDFString("Pay 900.00 instead")))
    assert kinds(document) == [AnomalyKind.UNREAD]


def test_a_hidden_field_does_not_matter(tmp_path: Path) -> None:
    document = made(tmp_path, _annotation(Subtype=PDFName("Widget"), FT=PDFName("Tx"), V=PDFString("900.00"), F=2))
    assert not document.anomalies and "900.00" not in texts(document)


def test_struck_out_text_is_named(tmp_path: Path) -> None:
    corners = PDFArray([100, 290, 160, 290, 100, 270, 160, 270])
    rectangle = PDFArray([100, 270, 190, 290])
    document = made(tmp_path, _annotation(Subtype=PDFName("StrikeOut"), QuadPoints=corners, Rect=rectangle))
    (anomaly,) = document.anomalies
    assert anomaly.because == "text on page 1 is struck out" and "$1,250.00" in anomaly.text


def test_a_link_is_no_annotation_to_read(tmp_path: Path) -> None:
    document = made(tmp_path, lambda canvas: canvas.linkURL("https://example.org", (40, 90, 160, 110)))
    assert not document.anomalies


@pytest.mark.parametrize("dynamic", [True, False])
def test_an_xfa_form_goes_to_a_person(tmp_path: Path, dynamic: bool) -> None:
    made(tmp_path, _field())
    data = (tmp_path / "made.pdf").read_bytes()
    number = 1 + max(map(int, re.findall(rb"(\d+) 0 obj", data)))
    packet = b"%d 0 obj\n<< /Length 5 >>\nstream\n<xdp/\nendstream\nendobj\n" % number
    data = re.sub(rb"/AcroForm \d+ 0 R", b"", data)
    rendering = b"/NeedsRendering true " if dynamic else b""
    entry = b"/Type /Catalog " + rendering + b"/AcroForm << /Fields [] /XFA %d 0 R >>" % number
    at = data.index(b"xref")
    whole = re.sub(rb"startxref\s+\d+", b"startxref\n0", (data[:at] + packet + data[at:]).replace(b"/Type /Catalog", entry))
    (tmp_path / "xfa.pdf").write_bytes(whole)
    assert "XFA" in "".join(anomaly.because for anomaly in documents.read(tmp_path / "xfa.pdf").anomalies)


# stamps


def _stamp(text: str, angle: float = 45, font: str = "Helvetica-Bold", size: float = 44) -> Drawing:
    return lambda canvas: marks.stamp(canvas, 90, 60, text, angle, font, size)


@pytest.fixture(scope="session")
def wide_font() -> str:
    import matplotlib

    pdfmetrics.registerFont(TTFont("Wide", Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"))
    return "Wide"


@pytest.mark.parametrize("angle", [0, 20, 45, 90])
@pytest.mark.parametrize("text", ["VOID", "PAID", "COPY"])
def test_a_large_stamp_is_named_whichever_way_it_lies(tmp_path: Path, text: str, angle: float) -> None:
    document = made(tmp_path, _stamp(text, angle))
    assert [(anomaly.kind, anomaly.text) for anomaly in document.anomalies] == [(AnomalyKind.STAMP, text)]
    assert document.anomalies[0].because == f"{text!r} is stamped on page 1"
    assert [word for word in texts(document) if word != text] == " ".join(ROWS).split()


FOREIGN_STAMPS = """CANCELLED; DUPLICATE; Draft; BEZAHLT; STORNIERT; PAYÉ; ANNULÉ; PAGADO; ANULADO; PAGATO; CÓPIA; BETAALD;
ZAPŁACONO; MAKULERAD; ОПЛАЧЕНО; КОПИЯ; ΑΚΥΡΟ; ÖDENDİ; NOT PAYABLE; DO NOT PAY; NICHT ZAHLBAR"""


@pytest.mark.parametrize("text", [text.strip() for text in FOREIGN_STAMPS.split(";")])
def test_stamps_are_known_in_many_languages(tmp_path: Path, text: str, wide_font: str) -> None:
    assert kinds(made(tmp_path, _stamp(text, 0, wide_font, 30))) == [AnomalyKind.STAMP]


def test_a_hebrew_stamp_is_named(tmp_path: Path, wide_font: str) -> None:
    assert kinds(made(tmp_path, _stamp("שולם"[::-1], 0, wide_font, 30))) == [AnomalyKind.STAMP]


def test_the_words_of_stamps_in_a_sentence_or_a_column_head_are_no_stamps(tmp_path: Path) -> None:
    rows = (*ROWS, "Please send a copy to accounts", "Amount  PAID  DUPLICATE  Balance", "Sample rate 5", "Draft 7 of the plan")
    assert not made(tmp_path, lambda canvas: None, rows=rows).anomalies


def test_a_stamp_annotation_is_named(tmp_path: Path) -> None:
    document = made(tmp_path, lambda canvas: marks.stamp_annotation(canvas, (200, 90, 330, 120), "Draft"))
    assert [anomaly.because for anomaly in document.anomalies] == ["a stamp 'Draft' was put on page 1"]


def test_a_stamp_that_is_a_picture_is_named(tmp_path: Path, with_ocr: None) -> None:
    stamp = marks.picture_of("PAID", (400, 140), 90, "red")
    document = made(tmp_path, lambda canvas: canvas.drawInlineImage(stamp, 200, 60, 160, 56))
    assert [(anomaly.kind, anomaly.text) for anomaly in document.anomalies] == [(AnomalyKind.STAMP, "PAID")]


# words in pictures


def test_an_amount_in_a_picture_on_the_page_is_read(tmp_path: Path, with_ocr: None) -> None:
    amount = marks.picture_of("Net $900.00", (500, 100), 60)
    document = made(tmp_path, lambda canvas: canvas.drawInlineImage(amount, 40, 100, 200, 40))
    (word,) = [word for word in document.words if "900.00" in word.text]
    assert 40 < word.box.x0 < 240 and 260 < word.box.y0 < 300
    assert texts(document)[: len(" ".join(ROWS).split())] == " ".join(ROWS).split()


def test_an_amount_in_a_picture_as_high_as_a_line_is_read(tmp_path: Path, with_ocr: None) -> None:
    amount = marks.picture_of("$900.00", (260, 66), 52)
    document = made(tmp_path, lambda canvas: canvas.drawInlineImage(amount, 250, 270, 43, 11))
    assert "$900.00" in texts(document) and not document.anomalies


def test_a_page_with_more_pictures_than_are_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = text_layer.page_columns(50, 20, [], np.zeros((0, 4)), source=Source.OCR)
    monkeypatch.setattr(ocr, "read_picture", lambda *_, **__: nothing)

    def many(canvas: Canvas) -> None:
        for number in range(14):
            canvas.drawInlineImage(Image.new("RGB", (50, 20), "navy"), 250, 20 * number, 50, 15)

    (anomaly,) = made(tmp_path, many).anomalies
    assert (anomaly.kind, anomaly.because) == (AnomalyKind.UNREAD, "only 12 of the 14 pictures on page 1 are read")


def test_a_scan_with_a_printed_fax_header_is_read_with_its_header(tmp_path: Path, with_ocr: None) -> None:
    made(tmp_path, lambda canvas: None)
    scanned = pypdfium2.PdfDocument(tmp_path / "made.pdf")[0].render(scale=2).to_pil()
    header = "FAX 02/11/20 09:15 +1 555 0100 P.01"

    def fax(canvas: Canvas) -> None:
        canvas.drawInlineImage(scanned, 0, 0, 400, 400)
        canvas.setFont("Courier", 9)
        canvas.drawString(20, 386, header)

    document = made(tmp_path, fax, rows=())
    assert set(" ".join((header, *ROWS)).split()) <= set(texts(document))
    assert texts(document)[: len(header.split())] == header.split()
    assert not document.anomalies


@pytest.mark.parametrize(
    ("x", "y", "width", "height"), [(20, 340, 60, 45), (320, 345, 60, 45), (20, 5, 50, 40), (180, 200, 10, 8)]
)
def test_a_logo_costs_no_ocr(tmp_path: Path, x: float, y: float, width: float, height: float) -> None:
    logo = Image.new("RGB", (100, 80), "navy")
    rows = ("", "", *ROWS)
    assert not made(tmp_path, lambda canvas: canvas.drawInlineImage(logo, x, y, width, height), rows=rows).anomalies


# garbled text layers


PROSE = (
    "Please pay the gross total of this invoice before the end of the month",
    "to the account of the station that is printed at the foot of the page",
    "Terms are net thirty days and the agency commission is already deducted",
)


def _with_wrong_letters(path: Path, shift: int) -> None:
    """Draw PROSE with a font whose glyphs say other letters than the text layer: each is `shift` away."""
    canvas = Canvas(str(path), pagesize=(500, 200), invariant=1, pageCompression=0)
    canvas.setFont("Helvetica", 14)
    for number, row in enumerate(PROSE):
        canvas.drawString(20, 150 - 40 * number, row)
    canvas.save()
    path.write_bytes(marks.with_wrong_letters(path.read_bytes(), shift))


@pytest.mark.parametrize("shift", [1, 3, -3, 0xE000])
def test_a_garbled_text_layer_is_read_by_ocr_instead(tmp_path: Path, shift: int, with_ocr: None) -> None:
    _with_wrong_letters(tmp_path / "a.pdf", shift)
    document = documents.read(tmp_path / "a.pdf")
    assert {word.source for word in document.words} == {Source.OCR}
    assert {"invoice", "account", "commission"} <= set(texts(document))
    assert not document.anomalies


def test_a_garbled_page_that_ocr_cannot_read_goes_to_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from proveout.documents.columns import page_columns

    _with_wrong_letters(tmp_path / "a.pdf", 3)
    unsure = page_columns(500, 200, ["a", "b", "c"], np.zeros((3, 4)), source=Source.OCR, confidence=np.array([0.5, 0.6, 0.6]))
    monkeypatch.setattr(ocr, "read_picture", lambda *_: unsure)
    assert kinds(documents.read(tmp_path / "a.pdf")) == [AnomalyKind.GARBLED]


def test_ordinary_text_layers_are_plausible(shared_data: Path) -> None:
    for path in sorted((shared_data / "adbuy" / "pdf").glob("*.pdf"))[::30]:
        for page in pypdfium2.PdfDocument(path):
            if not text_layer.is_scan(page):
                assert text_layer.is_plausible(text_layer.read_page(page))


# order


def line_texts(document: Document) -> list[str]:
    return [" ".join(word.text for word in line) for line in documents.lines(document.pages[0])]


@pytest.mark.parametrize(
    ("painted", "read"),
    [
        ([(300, "סך הכל לתשלום"), (200, "1,250.00")], "סך הכל לתשלום 1,250.00"),
        ([(200, "חשבונית מספר"), (140, "4711-2")], "חשבונית מספר 4711-2"),
        ([(250, "שם הלקוח הראשי"), (100, "Harbor for Senate")], "שם הלקוח הראשי Harbor for Senate"),
        ([(300, "המחיר"), (240, "12"), (180, "34")], "המחיר 12 34"),
        ([(250, "المجموع الكلي"), (100, "1,250.00")], "المجموع الكلي 1,250.00"),
    ],
    ids=["Hebrew amount", "Hebrew number", "Latin name in a Hebrew line", "two numbers", "Arabic amount"],
)
def test_lines_from_right_to_left_are_read_as_people_read_them(
    tmp_path: Path, wide_font: str, painted: list[tuple[float, str]], read: str
) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFont(wide_font, 12)
        for x, text in painted:
            rtl = any(letter >= "\u0590" for letter in text)
            canvas.drawString(x, 300, text[::-1] if rtl else text)  # glyphs are painted from the left

    document = made(tmp_path, draw, (500, 400), rows=())
    assert line_texts(document) == [read]
    segments = text_segments(document)
    assert segments.texts[0] == painted[0][1], "a label and its value are separate segments"


@pytest.mark.parametrize(
    ("words", "order"), [(["PAID12", "ACME"], ["ACME", "PAID12"]), (["4711-2", "FOR-SENATE"], ["FOR-SENATE", "4711-2"])]
)
def test_vertical_words_are_lines_of_their_own_from_the_right(tmp_path: Path, words: list[str], order: list[str]) -> None:
    def draw(canvas: Canvas) -> None:
        for column, word in enumerate(words):
            for row, letter in enumerate(word):
                canvas.drawString(300 + 30 * column, 360 - 16 * row, letter)

    document = made(tmp_path, draw)
    assert [line for line in line_texts(document) if line not in ROWS] == order
    assert set(order) <= set(text_segments(document).texts)


@pytest.mark.parametrize("angle", [0, 180, 90, 7, -7, 3])
def test_a_page_printed_at_an_angle_keeps_its_lines(tmp_path: Path, angle: float) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.translate(250, 250)
        canvas.rotate(angle)
        for number, row in enumerate(("Invoice|4711-2", "Advertiser|Harbor for Senate", "Total|$1,250.00", "Net|$900.00")):
            label, value = row.split("|")
            canvas.drawString(-180, 60 - 24 * number, label)
            canvas.drawString(60, 60 - 24 * number, value)

    document = made(tmp_path, draw, (500, 500), rows=())
    assert line_texts(document) == ["Invoice 4711-2", "Advertiser Harbor for Senate", "Total $1,250.00", "Net $900.00"]
    assert not document.anomalies
    page = document.pages[0]
    ink = np.asarray(documents.page_image(tmp_path / "made.pdf", page, 2).convert("L")) < 128
    under = np.zeros_like(ink)
    for word in page.words:
        under[round(word.box.y0 * 2) : round(word.box.y1 * 2) + 1, round(word.box.x0 * 2) : round(word.box.x1 * 2) + 1] = True
    assert (ink & under).sum() > 0.97 * ink.sum()


@pytest.mark.parametrize("skew", [-7, 7])
def test_a_leaning_scan_keeps_its_lines(tmp_path: Path, skew: float, with_ocr: None) -> None:
    made(tmp_path, lambda canvas: None)
    image = pypdfium2.PdfDocument(tmp_path / "made.pdf")[0].render(scale=2.2).to_pil().convert("RGB")
    image.rotate(skew, fillcolor="white", resample=Image.Resampling.BICUBIC).save(tmp_path / "scan.png", dpi=(158, 158))
    assert line_texts(documents.read(tmp_path / "scan.png")) == list(ROWS)


def test_two_columns_are_separate_segments(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for number, (left, right) in enumerate(
            [("Bill to", "Invoice number"), ("Harbor for Senate", "4711-2"), ("Main St 5", "Date")]
        ):
            canvas.drawString(40, 200 - 14 * number, left)
            canvas.drawString(180, 200 - 14 * number, right)

    segments = text_segments(made(tmp_path, draw, rows=()))
    assert {"Harbor for Senate", "4711-2", "Bill to", "Invoice number"} <= set(segments.texts)
    value = segments.texts.index("4711-2")
    assert segments.texts[segments.above[value]] == "Invoice number"
