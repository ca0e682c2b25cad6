"""Fonts whose text layer says other digits than they paint, made with fontTools, and honest ones."""

from pathlib import Path

import matplotlib
from fontTools.ttLib import TTFont
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont as EmbeddedFont

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
