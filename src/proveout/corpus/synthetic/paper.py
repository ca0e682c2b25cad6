"""Draw one document as a PDF: heading, form, table of spots, totals, footer; now and then a scan of it.

The same form, paperwork and dice give the same bytes.
"""

import io
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

from proveout.corpus.synthetic.business import Paperwork
from proveout.corpus.synthetic.layouts import Form

WIDTH, HEIGHT, MARGIN = 612.0, 792.0, 44.0  # points, US Letter
FOOT = 70.0  # points kept free at the bottom
SCAN_DPI = 130
TERMS = (
    "We warrant that the broadcast information shown was taken from the official program log.",
    "Payment terms 30 days. Please include the invoice number with your remittance.",
    "The station does not discriminate in the sale of advertising time. Makegoods are subject to availability.",
    "This agreement is subject to the terms on file at the station; cancellation requires 14 days notice.",
)
STAMPS = ("RECEIVED", "COPY", "POLITICAL FILE", "DUPLICATE")
ABBREVIATED = {"contract_num": "Ref", "advertiser": "Acct", "flight": "Dates", "gross_amount": "Amt", "net": "Amt 2"}


def draw(path: Path, form: Form, work: Paperwork, dice: random.Random, worse: bool = False, scanned: bool = False) -> None:
    """Write the document, whole or not at all.

    worse: abbreviated labels, and a second total beside the first, as some senders' systems print them.
    """
    data = _Paper(form, work, dice, worse).pdf()
    aside = path.with_suffix(".part")
    aside.write_bytes(_scan(data, dice) if scanned else data)
    aside.replace(path)


class _Paper:
    """One document on the canvas, from top to bottom."""

    def __init__(self, form: Form, work: Paperwork, dice: random.Random, worse: bool) -> None:
        from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

        self.form, self.work, self.dice, self.worse = form, work, dice, worse
        self.buffer = io.BytesIO()
        self.canvas: Any = Canvas(self.buffer, pagesize=(WIDTH, HEIGHT), invariant=1)
        self.y = HEIGHT - MARGIN
        self.step = form.size * 1.45

    def pdf(self) -> bytes:
        self._heading()
        self._fields()
        if self.form.totals_at == "top":
            self._totals(MARGIN)
        self._table()
        if self.form.totals_at != "top":
            self._totals(MARGIN if self.form.totals_at == "left" else WIDTH - MARGIN - 210)
        self._page_end()
        self.canvas.save()
        return self.buffer.getvalue()

    def _text(self, x: float, text: str, bold: bool = False, size: float | None = None, right: bool = False) -> None:
        self.canvas.setFont(self.form.bold if bold else self.form.font, size or self.form.size)
        (self.canvas.drawRightString if right else self.canvas.drawString)(x, self.y, text)

    def _label(self, name: str) -> str:
        if self.worse and name in ABBREVIATED and self.dice.random() < 0.6:
            return ABBREVIATED[name]
        return self.form.label(name)

    def _heading(self) -> None:
        title = self.form.titles[self.work.document_class]
        station = self.work.values["station"]
        self._text(MARGIN, f"{station} Television", bold=True)
        self.y -= self.step
        self._text(MARGIN, f"{self.dice.randrange(100, 9999)} Broadcast Plaza, Suite {self.dice.randrange(10, 99)}")
        self._text(WIDTH - MARGIN, f"Phone ({self.dice.randrange(201, 989)}) 555-{self.dice.randrange(10**4):04}", right=True)
        self.y -= self.step * 1.6
        place = {"left": MARGIN, "centre": WIDTH / 2 - 60, "right": WIDTH - MARGIN - 150}[self.form.title_at]
        self._text(place, title, bold=True, size=self.form.size * 1.7)
        if self.dice.random() < 0.15:
            self.canvas.setFillGray(0.6)
            self._text(WIDTH - MARGIN, self.dice.choice(STAMPS), bold=True, size=16, right=True)
            self.canvas.setFillGray(0)
        self.y -= self.step * 2

    def _fields(self) -> None:
        """Labels and values in columns. `left`: in one line; `above`: the value under its label."""
        items = []
        for name in self.form.order:
            if name == "flight" and not self.form.one_range:
                items += ["flight_from", "flight_to"]
            elif name not in ("invoice_num", "due") or self.work.document_class == "invoice":
                items.append(name)
        if self.work.document_class == "other":
            items = [name for name in items if name not in ("product", "salesperson")]
        columns = self.form.form_columns
        width = (WIDTH - 2 * MARGIN) / columns
        above = self.form.label_style == "above"
        for first in range(0, len(items), columns):
            top = self.y
            for column, name in enumerate(items[first : first + columns]):
                x, self.y, label = MARGIN + column * width, top, self._label(name)
                self._text(x, label, bold=True)
                if above:
                    self.y -= self.step
                    self._value(x, self.work.values[name], width - 6)
                else:
                    taken = max(self.canvas.stringWidth(label, self.form.bold, self.form.size) + 6, min(width * 0.42, 88))
                    self._value(x + taken, self.work.values[name], width - taken - 4)
            self.y = top - self.step * (2.3 if above else 1.15)
        self.y -= self.step

    def _value(self, x: float, text: str, width: float) -> None:
        """Printed smaller rather than cut, as forms do."""
        needed = self.canvas.stringWidth(text, self.form.font, self.form.size)
        self._text(x, text, size=max(self.form.size * min(1, width / needed), 5))

    def _table(self) -> None:
        names = {"line": "Line", "description": "Description", "day": "Date", "time": "Time", "length": "Len", "rate": "Rate"}
        shares = {"line": 0.07, "description": 0.33, "day": 0.18, "time": 0.18, "length": 0.08, "rate": 0.16}
        places, x = {}, MARGIN
        for name in self.form.table_columns:
            places[name] = x
            x += shares[name] * (WIDTH - 2 * MARGIN)
        right = WIDTH - MARGIN

        def head() -> None:
            for name, at in places.items():
                self._text(right if name == "rate" else at, names[name], bold=True, right=name == "rate")
            self.canvas.line(MARGIN, self.y - 3, right, self.y - 3)
            self.y -= self.step * 1.2

        head()
        for number, line in enumerate(self.work.lines, 1):
            if self.y < FOOT + self.step:
                self._page_end()
                self.y = HEIGHT - MARGIN
                self._text(MARGIN, f"{self._label('contract_num')} {self.work.values['contract_num']} (continued)")
                self.y -= self.step * 2
                head()
            cells = {"line": str(number), "description": line.description, "day": self.form.day(line.day), "time": line.time}
            cells |= {"length": line.length, "rate": self.form.money(line.rate)}
            for name, at in places.items():
                self._text(right if name == "rate" else at, cells[name], right=name == "rate")
            if self.form.lined:
                self.canvas.setLineWidth(0.3)
                self.canvas.line(MARGIN, self.y - 2.5, right, self.y - 2.5)
            self.y -= self.step
        self.y -= self.step

    def _totals(self, x: float) -> None:
        rows = [(self._label(name), self.work.amounts[name]) for name in self.form.totals_order]
        if self.work.document_class == "other":
            rows = rows[:2]
        if self.worse and self.dice.random() < 0.5:
            rows.insert(self.dice.randrange(len(rows) + 1), (self.dice.choice(("Total", "Amount", "Revised")), self._revised()))
        if self.y < FOOT + self.step * len(rows):
            self._page_end()
            self.y = HEIGHT - MARGIN
        for label, amount in rows:
            self._text(x, label, bold=True)
            self._text(x + 210, self.form.money(amount), right=True)
            self.y -= self.step
        self.y -= self.step

    def _revised(self) -> Decimal:
        """A total that is not the gross: without the last spot."""
        return self.work.amounts["gross_amount"] - self.work.lines[-1].rate

    def _page_end(self) -> None:
        self.y = MARGIN
        self._text(MARGIN, TERMS[self.form.footer], size=7)
        self.y -= 10
        self._text(MARGIN, f"Printed on {self.work.values['invoice_date']}  Page {self.canvas.getPageNumber()}", size=7)
        self.canvas.showPage()


def _scan(data: bytes, dice: random.Random) -> bytes:
    """The first page as an office scanner gives it: an image, a little askew, sometimes sideways, with noise."""
    import numpy as np
    import pypdfium2  # type: ignore[import-untyped]
    from PIL import Image
    from reportlab.lib.utils import ImageReader  # type: ignore[import-untyped]
    from reportlab.pdfgen.canvas import Canvas

    with pypdfium2.PdfDocument(data) as pdf:
        picture = pdf[0].render(scale=SCAN_DPI / 72).to_pil().convert("L")
    picture = picture.rotate(dice.uniform(-1.2, 1.2), resample=Image.Resampling.BICUBIC, fillcolor=255)
    noise = np.random.default_rng(dice.randrange(2**32)).normal(0, 9, (picture.height, picture.width))
    picture = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
    if turned := dice.choice((0, 0, 0, 90, 180)):
        picture = picture.rotate(turned, expand=True)
    jpeg, out = io.BytesIO(), io.BytesIO()
    picture.save(jpeg, "JPEG", quality=70)
    size = (picture.width * 72 / SCAN_DPI, picture.height * 72 / SCAN_DPI)
    canvas: Any = Canvas(out, pagesize=size, invariant=1)
    jpeg.seek(0)
    canvas.drawImage(ImageReader(jpeg), 0, 0, *size)
    canvas.save()
    return out.getvalue()
