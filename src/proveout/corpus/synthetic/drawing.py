"""Draw pages with coordinates from the top, and write them as a PDF. The same calls give the same bytes."""

import io
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

Align = Literal["left", "centre", "right"]
Colour = tuple[float, float, float]
Mark = Callable[[Any, int], None]  # draws on a canvas, given the number of pages
Painter = Callable[[Any, float, float, str, float], None]  # canvas, left end of the baseline from the bottom left, font, size
BLACK: Colour = (0.0, 0.0, 0.0)
UNBROKEN = "\xa0"  # a space that does not break lines; printed as a normal one


@cache
def width_of(text: str, font: str, size: float) -> float:
    """Width of a text in points."""
    from reportlab.pdfbase.pdfmetrics import stringWidth  # type: ignore[import-untyped]

    return float(stringWidth(text, font, size))


class Drawing:
    """Pages of the same size in points; y grows downwards. Marks go on the last page."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.pages: list[list[Mark]] = [[]]
        self.instead: dict[str, Painter] = {}  # how certain texts are painted

    def new_page(self) -> None:
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
        """Write a text; `{pages}` in it becomes the number of pages. `turned`: degrees counter-clockwise."""
        if not text:
            return

        def mark(canvas: Any, pages: int) -> None:
            canvas.setFont(font, size)
            canvas.setFillColorRGB(*colour)
            draw = {"left": canvas.drawString, "centre": canvas.drawCentredString, "right": canvas.drawRightString}[align]
            printed = text.replace("{pages}", str(pages)).replace(UNBROKEN, " ")
            if printed in self.instead:
                left = x - {"left": 0, "centre": 0.5, "right": 1}[align] * width_of(printed, font, size)
                self.instead[printed](canvas, left, self.height - y, font, size)
                return
            if not turned:
                draw(x, self.height - y, printed)
                return
            canvas.saveState()
            canvas.translate(x, self.height - y)
            canvas.rotate(turned)
            draw(0, 0, printed)
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
        """Draw a rectangle, or the ellipse in it (`round`): filled without a border, or a border alone."""

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
        """The finished document."""
        from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

        out = io.BytesIO()
        canvas: Any = Canvas(out, pagesize=(self.width, self.height), invariant=1, pageCompression=1)
        for page in self.pages:
            for mark in page:
                mark(canvas, len(self.pages))
            canvas.showPage()
        canvas.save()
        return out.getvalue()
