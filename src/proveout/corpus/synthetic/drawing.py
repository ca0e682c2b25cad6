"""Pages to draw on: measured from the top, written as PDF when everything is placed. The same marks give the same bytes."""

import io
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

Align = Literal["left", "centre", "right"]
Colour = tuple[float, float, float]
Mark = Callable[[Any, int], None]  # draws on a canvas; told how many pages there are
BLACK: Colour = (0.0, 0.0, 0.0)
UNBROKEN = "\xa0"  # a blank at which no line ends; printed as any blank


@cache
def width_of(text: str, font: str, size: float) -> float:
    """Points that a text takes."""
    from reportlab.pdfbase.pdfmetrics import stringWidth  # type: ignore[import-untyped]

    return float(stringWidth(text, font, size))


class Drawing:
    """Pages of one size, in points; y grows downwards."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.pages: list[list[Mark]] = [[]]

    def turn_page(self) -> None:
        self.pages.append([])

    def text(
        self,
        x: float,
        y: float,
        text: str,
        font: str,
        size: float,
        align: Align = "left",
        colour: Colour = BLACK,
        turned: float = 0.0,
    ) -> None:
        """`{pages}` in the text becomes the number of pages; `turned`: degrees counter-clockwise."""
        if not text:
            return

        def mark(canvas: Any, pages: int) -> None:
            canvas.setFont(font, size)
            canvas.setFillColorRGB(*colour)
            draw = {"left": canvas.drawString, "centre": canvas.drawCentredString, "right": canvas.drawRightString}[align]
            shown = text.replace("{pages}", str(pages)).replace(UNBROKEN, " ")
            if not turned:
                draw(x, self.height - y, shown)
                return
            canvas.saveState()
            canvas.translate(x, self.height - y)
            canvas.rotate(turned)
            draw(0, 0, shown)
            canvas.restoreState()

        self.pages[-1].append(mark)

    def line(self, x0: float, y0: float, x1: float, y1: float, thick: float = 0.5) -> None:
        def mark(canvas: Any, pages: int) -> None:
            canvas.setLineWidth(thick)
            canvas.line(x0, self.height - y0, x1, self.height - y1)

        self.pages[-1].append(mark)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: Colour | None = None,
        thick: float = 0.5,
        round: bool = False,
    ) -> None:
        """A rectangle, or the ellipse in it; filled without a border, or a border alone."""

        def mark(canvas: Any, pages: int) -> None:
            canvas.setLineWidth(thick)
            if fill:
                canvas.setFillColorRGB(*fill)
            top = self.height - y
            style = {"stroke": int(fill is None), "fill": int(fill is not None)}
            if round:
                canvas.ellipse(x, top - height, x + width, top, **style)
            else:
                canvas.rect(x, top - height, width, height, **style)

        self.pages[-1].append(mark)

    def pdf(self) -> bytes:
        from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

        out = io.BytesIO()
        canvas: Any = Canvas(out, pagesize=(self.width, self.height), invariant=1, pageCompression=1)
        for page in self.pages:
            for mark in page:
                mark(canvas, len(self.pages))
            canvas.showPage()
        canvas.save()
        return out.getvalue()
