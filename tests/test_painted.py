"""Fonts that paint other digits than their text layer says, made with fontTools, and honest ones."""

from pathlib import Path

import matplotlib
import pytest
from fontTools.ttLib import TTFont
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont as EmbeddedFont
from reportlab.pdfgen.canvas import Canvas

from proveout.documents import read
from proveout.documents.case import DocumentCase
from proveout.records import AnomalyKind, Content, Document, Output, Place

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def lying_font(folder: Path, says: str, shows: str, base: str) -> str:
    """The name of a font, ready for reportlab, whose glyph of one digit is that of another."""
    name = f"{base}-{says}-{shows}"
    font = TTFont(FONTS / f"{base}.ttf")
    if says != shows:
        font["glyf"][NAMES[int(says)]] = font["glyf"][NAMES[int(shows)]]
        font["hmtx"][NAMES[int(says)]] = font["hmtx"][NAMES[int(shows)]]
    for record in font["name"].names:
        if record.nameID in (1, 4, 6):  # reportlab keeps fonts by these
            record.string = name
    font.save(folder / f"{name}.ttf")
    pdfmetrics.registerFont(EmbeddedFont(name, folder / f"{name}.ttf"))
    return name


def confirmed(folder: Path, font: str, total: str, rotation: int = 0) -> Content:
    """A document with this total, after the second look at it."""
    path = folder / "a.pdf"
    canvas = Canvas(str(path), pagesize=(420, 300))
    canvas.setPageRotation(rotation)
    canvas.setFont("Helvetica", 11)
    canvas.drawString(40, 250, "Invoice of Union Gas for the month of March")
    canvas.setFont(font, 11)
    canvas.drawString(40, 200, f"Total due: {total}")
    canvas.save()
    document = read(path)
    place = next(Place(word.page, word.box) for word in document.words if word.text == total)
    (content,) = DocumentCase().confirm([(document, path, [Output(total, total, 1.0, place)])])
    return content


@pytest.mark.parametrize(
    ("says", "shows", "base", "rotation"),
    [
        ("9", "1", "DejaVuSans", 0),
        ("1", "9", "DejaVuSerif", 0),
        ("3", "8", "DejaVuSans-Bold", 0),
        ("2", "5", "DejaVuSansMono", 90),
        ("0", "6", "DejaVuSerif-Bold", 0),
        ("7", "4", "DejaVuSans", 180),
    ],
)
def test_a_font_that_paints_another_digit_than_it_says_is_an_anomaly(
    tmp_path: Path, says: str, shows: str, base: str, rotation: int
) -> None:
    content = confirmed(tmp_path, lying_font(tmp_path, says, shows, base), f"{says}48{says}.5{says}", rotation)
    assert isinstance(content, Document)
    (anomaly,) = content.anomalies
    assert anomaly.kind is AnomalyKind.HIDDEN and anomaly.text == f"{says}48{says}.5{says}"
    assert anomaly.because == f"page 1 shows '{shows}48{shows}.5{shows}', but its text layer says '{says}48{says}.5{says}'"
    (check,) = DocumentCase().check(content)
    assert check.passed is False


@pytest.mark.parametrize("base", ["DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10"])
@pytest.mark.parametrize("rotation", [0, 270])
def test_honest_fonts_are_believed(tmp_path: Path, base: str, rotation: int) -> None:
    content = confirmed(tmp_path, lying_font(tmp_path, "0", "0", base), "1,234,567,890.25", rotation)
    assert isinstance(content, Document) and content.anomalies == ()


def test_nothing_is_said_of_a_file_that_cannot_be_drawn(tmp_path: Path) -> None:
    font = lying_font(tmp_path, "9", "1", "DejaVuSans")
    document = confirmed(tmp_path, font, "998.19")
    assert isinstance(document, Document)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 damaged")
    place = next(Place(word.page, word.box) for word in document.words if word.text == "998.19")
    output = Output("998.19", "998.19", 1.0, place)
    assert DocumentCase().confirm([(document, tmp_path / "a.pdf", [output])]) == [document]
