"""Invoices that a machine may read otherwise than a person, and what should become of each.

Entry points: `draw_with` draws an invoice with one of `PITFALLS`; `pitfall_at` says which document of a stream has which. Each
kind has variants, which take turns. The command `proveout synthesize --help` describes the kinds.
Covered: what a person reads (the labels), and why a case should go to a person although its labels are right.
Not covered: several pitfalls in one document, and papers other than invoices.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from proveout.corpus.synthetic import marks, scan
from proveout.corpus.synthetic.abroad import LocalForm, abroad, scaled
from proveout.corpus.synthetic.business import Paperwork
from proveout.corpus.synthetic.drawing import UNBROKEN, Drawing, Painter
from proveout.corpus.synthetic.layouts import Form
from proveout.corpus.synthetic.paper import MARGIN, draw
from proveout.errors import BadInput, hint
from proveout.records import Kind
from proveout.values import Conventions, value_of, written
from proveout.values.dates import MONTH_FIRST

DECOY = Decimal("9999.99")  # the amount that is in a file and on no page
HIDDEN, STAMP, SEVERAL, CONTRADICTION, DUPLICATE = "hidden", "stamp", "several", "contradiction", "duplicate"
BY_OCR = ("wrong-letters", "tilted-scans")  # whole pages, so these documents are short
MOST = 0.5  # share of documents with a pitfall: the one before each has none, and may be sent again

T = TypeVar("T")


@dataclass(frozen=True)
class Drawn:
    """A document with a pitfall."""

    pdf: bytes
    variant: str
    answers: Mapping[str, str]  # as a person reads them: amounts and days in canonical form
    because: str = ""  # why it should go to a person: an anomaly's key in docs/inspect.md, or `duplicate`; "": read as it is
    document_class: str = "invoice"


@dataclass(frozen=True)
class Sheet:
    """An invoice that is about to be drawn."""

    form: Form
    work: Paperwork
    rng: random.Random
    at: int  # counts the documents of one pitfall
    another: Callable[[], bytes]  # draws an unrelated invoice
    previous: Callable[[], tuple[bytes, dict[str, str]]]  # draws the document before this one in the stream, and its answers

    def one_of(self, variants: Mapping[str, T]) -> tuple[str, T]:
        return list(variants.items())[self.at % len(variants)]

    def text(self, name: str) -> str:
        """An item as it is painted."""
        return self.form.as_text(self.work.items[name]).replace(UNBROKEN, " ")

    def drawn(self, finish: Callable[[Drawing], None] | None = None) -> tuple[bytes, dict[str, str]]:
        """The PDF, and what a person reads on it."""
        data, answers = draw(self.form, self.work, self.rng, stamp=None, finish=finish)
        gross = self.work.items["gross_amount"]
        assert isinstance(gross, Decimal)
        first, last = _flight(self.work)
        return data, answers | {"gross_amount": written(gross), "flight_from": first.isoformat(), "flight_to": last.isoformat()}


def pitfall_at(number: int, names: Sequence[str], share: float) -> tuple[str, int] | None:
    """The pitfall of a document of a stream, and how many documents before it have the same; None for most documents.

    >>> [pitfall_at(number, ("rotated", "stamps"), 0.5) for number in (0, 1, 3, 5)]
    [None, ('rotated', 0), ('stamps', 0), ('rotated', 1)]
    """
    count = int(number * share)
    if int((number + 1) * share) == count:
        return None
    return names[count % len(names)], count // len(names)


def chosen(names: str) -> tuple[str, ...]:
    """The pitfalls that a list with commas names; `all` for each. Raises BadInput for an unknown one.

    >>> chosen("stamps, rotated"), chosen("")
    (('stamps', 'rotated'), ())
    """
    wanted = tuple(name for part in names.split(",") if (name := part.strip()))
    if wanted == ("all",):
        return tuple(PITFALLS)
    for name in wanted:
        if name not in PITFALLS:
            raise BadInput(f"unknown pitfall `{name}`; {hint(name, PITFALLS)}")
    return tuple(dict.fromkeys(wanted))


def draw_with(name: str, sheet: Sheet) -> Drawn:
    return PITFALLS[name](sheet)


# signs, numbers, days, names


def _negative(sheet: Sheet) -> Drawn:
    signs = {
        "minus": "\u2212{}", "hyphen": "-{}", "dash": "\u2013{}", "minus behind": "{}-", "brackets": "({})", "CR": "{} CR",
        "minus after the currency": "$-{1}", "currency in brackets": "$({1})",
    }  # fmt: skip
    variant, sign = sheet.one_of(signs)
    form = LocalForm(**{**vars(sheet.form), "title": "CREDIT NOTE"}, locale="en_US", currency="USD", negative=sign)
    data, answers = replace(sheet, form=form, work=scaled(sheet.work, Decimal(-1))).drawn()
    return Drawn(data, variant, answers, document_class="other")


def _foreign_amounts(sheet: Sheet) -> Drawn:
    countries = ("Switzerland", "France", "Kuwait", "India", "Germany", "Sweden", "Poland")
    variant, country = sheet.one_of({name: name for name in (*countries, "United States, no leading zero")})
    if country in countries:  # the factor gives tenths of cents
        factor = Decimal("1.3") if country == "Kuwait" else Decimal(1)
        form, work = abroad(sheet.form, sheet.work, country, "long", factor=factor)
    else:
        first, last = _flight(sheet.work)
        line = replace(sheet.work.lines[0], first=first, last=last, spots=3, rate=Decimal("0.25"))
        items = {name: item for name, item in sheet.work.items.items() if name not in ("tax", "balance")}
        items |= {"gross_amount": line.amount, "net": line.amount, "owed": line.amount, "spots": "3"}
        work = replace(sheet.work, items={name: item for name, item in items.items() if name != "commission"}, lines=(line,))
        form = LocalForm(**vars(sheet.form), locale="en_US", currency="USD", leading_zero=False)
    data, answers = replace(sheet, form=form, work=work).drawn()
    return Drawn(data, variant, answers)


def _foreign_dates(sheet: Sheet) -> Drawn:
    printed = {
        "04/03/2026": ("Great Britain", "short"), "04.03.2026": ("Germany", "medium"), "04-03-2026": ("Netherlands", "short"),
        "04.03.26": ("Germany", "short"), "2026-03-04": ("Sweden", "short"), "2026. 03. 04.": ("Hungary", "short"),
        "4. März 2026": ("Germany", "long"), "4 mars 2026": ("France", "long"), "4 de marzo de 2026": ("Spain", "long"),
        "4 marzo 2026": ("Italy", "long"), "4 marca 2026": ("Poland", "long"), "4. března 2026": ("Czechia", "long"),
        "4. maaliskuuta 2026": ("Finland", "long"), "4 Μαρτίου 2026": ("Greece", "long"), "4 березня 2026": ("Ukraine", "long"),
    }  # fmt: skip
    variant, (country, days) = sheet.one_of(printed)
    form, work = abroad(sheet.form, sheet.work, country, days)
    data, answers = replace(sheet, form=form, work=work).drawn()
    return Drawn(data, variant, answers)


def _foreign_names(sheet: Sheet) -> Drawn:
    names = {
        "Greek": ("Greece", "Αφοί Παπαδοπούλου Α.Ε."), "Cyrillic": ("Ukraine", "ТОВ «Київська Хвиля»"),
        "Polish": ("Poland", "Żabińska i Świętek Sp. z o.o."), "Czech": ("Czechia", "Příkopský závod s.r.o."),
        "Greek in capitals": ("Greece", "ΔΕΗ ΑΙΓΑΙΟΥ"), "Hungarian": ("Hungary", "Győri Hűtőgyár Kft."),
    }  # fmt: skip
    variant, (country, name) = sheet.one_of(names)
    form, work = abroad(sheet.form, sheet.work, country, "long", advertiser=name)
    data, answers = replace(sheet, form=form, work=work).drawn()
    return Drawn(data, variant, answers)


# painted and not read


def _form_values(sheet: Sheet) -> Drawn:
    variant, name = sheet.one_of({"amount": "gross_amount", "number": "contract_num"})
    text = sheet.text(name)

    def field_instead(canvas: Any, x: float, y: float, font: str, size: float) -> None:
        canvas.acroForm.textfield(
            name=f"{name} {canvas.getPageNumber()} {x:.0f} {y:.0f}", value=text, x=x - 2, y=y - 0.35 * size, borderWidth=0,
            width=canvas.stringWidth(text, font, size) + 14, height=1.5 * size, fontName="Helvetica", fontSize=size,
        )  # fmt: skip

    data, answers = sheet.drawn(_instead(text, field_instead))
    return Drawn(data, f"{variant} in a field", answers)


def _picture_values(sheet: Sheet) -> Drawn:
    variant, in_place = sheet.one_of({"a picture in its place": True, "a picture at the foot": False})
    text = sheet.text("gross_amount")

    def picture(canvas: Any, x: float, y: float, font: str, size: float) -> None:
        width, height = canvas.stringWidth(text, font, size) * 1.15, 1.4 * size
        image = marks.picture_of(text, (round(width * 6), round(height * 6)), round(size * 5.4))
        canvas.drawInlineImage(image, x, y - 0.3 * size, width, height)

    def finish(drawing: Drawing) -> None:
        drawing.instead[text] = picture if in_place else lambda *_: None
        if not in_place:
            drawing.pages[0].append(lambda canvas, _: picture(canvas, 0.4 * drawing.width, 9, sheet.form.bold, 20))

    data, answers = sheet.drawn(finish)
    return Drawn(data, variant, answers)


def _wrong_letters(sheet: Sheet) -> Drawn:
    variant, shift = sheet.one_of({"each letter is the next": 1, "three before": -3, "private characters": 0xE000})
    data, answers = sheet.drawn()
    return Drawn(marks.with_wrong_letters(data, shift), variant, answers)


def _stamps(sheet: Sheet) -> Drawn:
    angles = {"VOID": 45, "PAID": 0, "COPY": 20, "BEZAHLT": 90, "ANNULÉ": 30, "PAGADO": -15, "NOT PAYABLE": 10}
    variant, (text, angle, noted) = sheet.one_of(
        {text: (text, angle, False) for text, angle in angles.items()}
        | {f"{text} as an annotation": (text, 0, True) for text in ("Void", "Paid", "Copy")}
    )

    def mark(canvas: Any, pages: int) -> None:
        x, y = 0.3 * sheet.form.page[0], 0.3 * sheet.form.page[1]
        if noted:
            marks.stamp_annotation(canvas, (x, y, x + 160, y + 50), text)
        else:
            marks.stamp(canvas, x, y, text, angle)

    data, answers = sheet.drawn(lambda drawing: drawing.pages[0].append(mark))
    return Drawn(data, variant, answers, STAMP)


# read and not seen


def _hidden_text(sheet: Sheet) -> Drawn:
    hidden = {"white on white": marks.white, "a render mode without paint": marks.invisible, "one point high": marks.tiny}
    variant, mark = sheet.one_of({**hidden, "outside the crop box": _black})
    decoy = f"{sheet.form.labels['gross_amount']} {sheet.form.as_text(DECOY)}"
    outside = mark is _black

    def finish(drawing: Drawing) -> None:
        drawing.pages[0].append(lambda canvas, _: mark(canvas, MARGIN, -20 if outside else 16, decoy))

    data, answers = sheet.drawn(finish)
    return Drawn(marks.cropped(data, 40) if outside else data, variant, answers, "" if outside else HIDDEN)


def _black(canvas: Any, x: float, y: float, text: str) -> None:
    canvas.setFillGray(0)
    canvas.drawString(x, y, text)


def _covered_text(sheet: Sheet) -> Drawn:
    variant, cover = sheet.one_of({"a white box": (1, 1, 1), "a black box": (0, 0, 0), "a picture": None})
    text, decoy = sheet.text("gross_amount"), sheet.form.as_text(DECOY)

    def covered(canvas: Any, x: float, y: float, font: str, size: float) -> None:
        """The decoy under the cover, at the place of the amount, and the amount on it."""
        width = canvas.stringWidth(max(text, decoy, key=len), font, size) + 4
        canvas.setFont(font, size)
        _black(canvas, x, y, decoy)
        if cover:
            canvas.setFillColorRGB(*cover)
            canvas.rect(x - 2, y - 0.3 * size, width, 1.2 * size, stroke=0, fill=1)
        else:
            canvas.drawInlineImage(marks.picture_of("", (8, 8), 1), x - 2, y - 0.3 * size, width, 1.2 * size)
        canvas.setFillGray(1 if cover == (0, 0, 0) else 0)
        canvas.drawString(x, y, text)

    data, answers = sheet.drawn(_instead(text, covered))
    return Drawn(data, f"under {variant}", answers, HIDDEN)


# turned


def _rotated(sheet: Sheet) -> Drawn:
    angles = {f"{angle} degrees, {how}": (angle, entry) for angle in (90, 180, 270) for how, entry in _WAYS.items()}
    variant, (angle, entry) = sheet.one_of(angles)
    data, answers = sheet.drawn()
    return Drawn(marks.turned(data, angle, entry=entry), variant, answers)


_WAYS = {"by the page's entry": True, "as printed": False}


def _tilted(sheet: Sheet) -> Drawn:
    variant, lean = sheet.one_of({"7 degrees to the left": 7.0, "7 degrees to the right": -7.0})
    data, answers = sheet.drawn()
    return Drawn(scan.rasterise(data, sheet.rng, lean=lean), variant, answers)


# more or less than one document


def _two_in_one(sheet: Sheet) -> Drawn:
    data, answers = sheet.drawn()
    return Drawn(marks.together(data, sheet.another()), "another invoice behind it", answers, SEVERAL)


def _resaved(sheet: Sheet) -> Drawn:
    ways: Mapping[str, Callable[[bytes], bytes]] = {"other metadata": marks.resaved, "a page appended": _with_terms}
    variant, again = sheet.one_of(ways)
    data, row = sheet.previous()
    canonical = {name: written(value_of(kind, row[name], _AMERICAN)) for name, kind in _IN_ORDER.items() if row[name]}
    return Drawn(again(data), variant, row | canonical, DUPLICATE, row["class"])


_AMERICAN = Conventions(order=MONTH_FIRST)
_IN_ORDER: Mapping[str, Kind] = {"gross_amount": "amount", "flight_from": "date", "flight_to": "date"}


def _with_terms(data: bytes) -> bytes:
    terms = Drawing(612, 792)
    terms.text(MARGIN, MARGIN, "Terms and conditions", "Helvetica", 11)
    terms.text(MARGIN, 2 * MARGIN, "The buyer pays within the time stated above.", "Helvetica", 9)
    return marks.together(data, terms.pdf())


# e-invoices


def _e_invoice(sheet: Sheet, **lies: str) -> Drawn:
    """A direct order, so that the gross amount is the amount due, with its terms attached as XML."""
    items = {name: item for name, item in sheet.work.items.items() if name not in ("commission", "agency", "tax")}
    items |= {"net": items["gross_amount"], "owed": items["gross_amount"]}
    sheet = replace(sheet, form=replace(sheet.form, totals_rows=("gross_amount",)), work=replace(sheet.work, items=items))
    data, answers = sheet.drawn()
    issued = items["issued"]
    assert isinstance(issued, date)
    terms = {
        "number": answers["contract_num"], "day": issued.isoformat(), "seller": sheet.work.station[0],
        "buyer": sheet.work.bill_to[0], "currency": "USD", "total": answers["gross_amount"], "due": answers["gross_amount"],
        "kind": "380", "profile": "urn:cen.eu:en16931:2017", "account": "",
    } | lies  # fmt: skip
    return Drawn(marks.with_attachments(data, {"factur-x.xml": marks.cii(terms)}), "agrees", answers)


def _lying_e_invoice(sheet: Sheet) -> Drawn:
    gross, issued = sheet.work.items["gross_amount"], sheet.work.items["issued"]
    assert isinstance(gross, Decimal) and isinstance(issued, date)
    more, later = written(gross + 100), (issued + timedelta(400)).isoformat()
    variant, lies = sheet.one_of(
        {
            "another total": {"total": more, "due": more},
            "another day": {"day": later},
            "another number": {"number": f"{sheet.work.items['contract_num']}9"},
            "another seller": {"seller": "Quarry Lane Holdings"},
        }
    )
    return replace(_e_invoice(sheet, **lies), variant=variant, because=CONTRADICTION)


def _instead(text: str, painter: Painter) -> Callable[[Drawing], None]:
    return lambda drawing: drawing.instead.update({text: painter})


def _flight(work: Paperwork) -> tuple[date, date]:
    flight = work.items["flight"]
    assert isinstance(flight, tuple)
    return flight


PITFALLS: Mapping[str, Callable[[Sheet], Drawn]] = {
    "negative": _negative,
    "foreign-amounts": _foreign_amounts,
    "foreign-dates": _foreign_dates,
    "foreign-names": _foreign_names,
    "form-values": _form_values,
    "picture-values": _picture_values,
    "wrong-letters": _wrong_letters,
    "stamps": _stamps,
    "hidden-text": _hidden_text,
    "covered-text": _covered_text,
    "rotated": _rotated,
    "tilted-scans": _tilted,
    "two-in-one": _two_in_one,
    "resaved": _resaved,
    "e-invoice": _e_invoice,
    "lying-e-invoice": _lying_e_invoice,
}
