"""The forms of the senders. A layout number determines everything about a form. Entry point: `form_of`.

Layouts do not depend on the seed of a stream: layout 12 looks the same in every stream.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Literal

from proveout.corpus.synthetic import wording
from proveout.corpus.synthetic.business import Item

LAYOUTS = 56
LATE = range(40, 44)  # first occur when calibration begins: new senders appear without any switch
HELD_OUT = range(44, LAYOUTS)  # occur only after the switch `new_layouts`

_CLASSES = ("invoice", "order", "contract", "invoice", "order", "invoice", "contract") * 2
_DATES = ("%m/%d/%y", "%m/%d/%Y", "%b %d, %Y", "%Y-%m-%d", "%d-%b-%Y", "%-m/%d/%y", "%-m/%-d/%Y", "%m/%d/%y", "%B %-d, %Y")
_AMOUNTS = ("${:,.2f}", "${:,.2f}", "{:,.2f}", "$ {:,.2f}", "USD {:,.2f}", "${:.2f}")
_NUMBERS = {
    "invoice": ("{:06}-1", "{:07}-2", "{:07}", "IN-{:06}", "{:06}-3", "26-{:06}"),
    "order": ("{:07}", "{:06}", "PQ{:07}", "{:08}", "ORD-{:06}"),
    "contract": ("{:06}", "{:07}", "AC{:07}", "C-26-{:06}", "K{:06}"),
    "other": ("{:07}", "{:06}-1"),
}
_EXTRAS = {
    "invoice": ("estimate", "alt_order", "source_order", "due", "month", "deal"),
    "order": ("estimate", "alt_order", "entered", "printed", "cpe", "spots", "demo", "buyer"),
    "contract": ("estimate", "alt_order", "entered", "printed", "demo", "spots", "deal"),
    "other": ("estimate", "alt_order"),
}
_COMMON = (
    "product", "station", "executive", "office", "calendar", "billing", "special", "agency_code", "advertiser_code",
    "agency_ref", "advertiser_ref", "market", "agency",
)  # fmt: skip

FormStyle = Literal["list", "above", "grid", "rows", "flow", "leader"]
Top = Literal["stacked", "beside", "mirrored", "form first"]
Totals = Literal["right", "left", "box", "in table", "months"]


@dataclass(frozen=True)
class Form:
    """How one sender prints a paper."""

    name: str
    document_class: str
    title: str
    title_at: Literal["left", "centre", "right"]
    number_in_title: bool
    page: tuple[float, float]  # width and height in points
    font: str
    bold: str
    size: float  # points
    labels: Mapping[str, str]
    colon: str
    bold_labels: bool
    capital_names: bool
    top: Top
    form_style: FormStyle
    form_columns: int
    order: tuple[str, ...]  # names of the form's items; `flight` covers both of its days
    date_format: str
    range_sign: str  # between the days of a flight under one label; "" for two labels
    amount_format: str
    number_format: str
    table_columns: tuple[str, ...]
    table_heads: Mapping[str, str]
    table_style: Literal["plain", "ruled", "grid", "shaded"]
    below_lines: Literal["", "weeks", "spots"]  # details below each line
    totals: Totals
    totals_rows: tuple[str, ...]
    gross_in_form: bool
    parties: Literal["bill to", "remit", "both", "none"]
    logo: Literal["none", "block", "disc", "bar"]
    footer: tuple[str, ...]
    terms: bool  # whether a page of terms follows
    remarks_at: Literal["top", "bottom"]

    def as_text(self, item: Item) -> str:
        """An item as this sender prints it.

        >>> form_of(0).as_text(date(2026, 3, 9)) == date(2026, 3, 9).strftime(form_of(0).date_format)
        True
        """
        if isinstance(item, tuple):
            return (self.range_sign or " - ").join(self.as_text(day) for day in item)
        if isinstance(item, date):
            return item.strftime(self.date_format)
        if isinstance(item, Decimal):
            return self.amount_format.format(item)
        return item

    def in_column(self, day: date) -> str:
        """A day as this sender prints it in a narrow column."""
        text = self.as_text(day)
        return text if len(text) <= 10 else day.strftime("%m/%d/%y")

    def as_name(self, name: str) -> str:
        """A name as this sender prints it."""
        return name.upper() if self.capital_names else name


@cache
def form_of(number: int) -> Form:
    """The form of a layout, 0 <= number < LAYOUTS."""
    rng = random.Random(f"family {number}")  # the text is part of the seed
    document_class = "other" if number % 14 == 13 else _CLASSES[number % 14]
    labels = {name: rng.choice(words) for name, words in wording.LABELS.items()}
    if document_class in ("invoice", "order"):
        labels["contract_num"] = labels["invoice_num" if document_class == "invoice" else "order_num"]
    if document_class in ("order", "contract"):
        labels["issued"] = rng.choice(("Date", "Document Date", "Rev Date"))
    font, bold = rng.choice(
        (("Helvetica", "Helvetica-Bold"),) * 3 + (("Times-Roman", "Times-Bold"), ("Courier", "Courier-Bold"))
    )
    landscape = rng.random() < 0.14
    style: FormStyle = rng.choice(("list", "list", "above", "above", "grid", "grid", "rows", "flow", "leader"))
    top: Top = rng.choice(("stacked", "beside", "beside", "mirrored", "form first"))
    narrow = top in ("beside", "mirrored")
    columns = rng.choice((2, 3, 3, 4))
    if style in ("list", "leader", "rows"):
        columns = 1 if narrow else 3 if landscape else 2
    elif narrow:
        columns = 3 if landscape else 2
    return Form(
        name=f"F{number:02}",
        document_class=document_class,
        title=rng.choice(wording.TITLES.get(document_class, ("STATEMENT",))),
        title_at=rng.choice(("left", "centre", "right")),
        number_in_title=rng.random() < 0.12,
        page=(792.0, 612.0) if landscape else rng.choice(((612.0, 792.0),) * 5 + ((595.0, 842.0),)),
        font=font,
        bold=bold,
        size=rng.choice((7.5, 8.0, 8.0, 8.5, 9.0)) - (0.8 if font == "Courier" else 0),
        labels=labels,
        colon=rng.choice((":", ":", "", "", " :")),
        bold_labels=rng.random() < 0.6,
        capital_names=rng.random() < 0.12,
        top=top,
        form_style=style,
        form_columns=columns,
        order=_order(rng, document_class),
        date_format=rng.choice(_DATES),
        range_sign=rng.choice((" - ", " - ", "-", " to ", " thru ", "", "", "")),
        amount_format=rng.choice(_AMOUNTS),
        number_format=rng.choice(_NUMBERS[document_class]),
        table_columns=_table(rng),
        table_heads={name: rng.choice(words) for name, words in wording.COLUMNS.items()},
        table_style=rng.choice(("plain", "ruled", "grid", "shaded")),
        below_lines=rng.choice(("", "", "", "spots") if document_class == "invoice" else ("", "", "", "weeks")),
        totals=rng.choice(("right", "right", "right", "left", "box", "in table", "months")),
        totals_rows=_totals(rng, document_class),
        gross_in_form=rng.random() < 0.25,
        parties=rng.choice(
            ("bill to", "bill to", "both", "remit") if document_class == "invoice" else ("bill to", "bill to", "none")
        ),
        logo=rng.choice(("none", "block", "disc", "bar")),
        footer=tuple(rng.sample(wording.FOOTERS, rng.randint(1, 2))),
        terms=document_class == "contract" and rng.random() < 0.35,
        remarks_at=rng.choice(("top", "bottom")),
    )


def _order(rng: random.Random, document_class: str) -> tuple[str, ...]:
    """The items of the form in order: in half of the layouts the important ones come first, otherwise anywhere."""
    needed = ["contract_num", "advertiser", "flight", "issued"] + (
        ["period"] if document_class == "invoice" and rng.random() < 0.6 else []
    )
    extras = rng.sample(_EXTRAS[document_class], rng.randint(2, len(_EXTRAS[document_class])))
    extras += rng.sample(_COMMON, rng.randint(3, 10))
    rng.shuffle(needed)
    if rng.random() < 0.5:
        return tuple(needed + extras)
    everything = needed + extras
    rng.shuffle(everything)
    return tuple(everything)


def _table(rng: random.Random) -> tuple[str, ...]:
    columns = [*rng.choice((("first", "last"), ("first", "last"), ("first",), ())), "show", "time"]
    columns += [name for name in ("days", "length", "kind") if rng.random() < 0.6]
    if rng.random() < 0.4:
        rng.shuffle(columns)
    return (*(["line"] if rng.random() < 0.8 else []), *columns, "spots", "rate", "amount")


def _totals(rng: random.Random, document_class: str) -> tuple[str, ...]:
    """Names of the rows of the totals, always with the gross amount."""
    style = rng.random()
    if style < 0.2 and document_class != "invoice":
        return ("gross_amount",)
    rows = ["gross_amount", "commission", "net"]
    if style > 0.75:
        rows = ["net", "commission", "gross_amount"]
    if document_class == "invoice":
        rows += [name for name in ("tax", "balance", "owed") if rng.random() < 0.4]
    return tuple(rows)
