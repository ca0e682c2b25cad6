"""How each sender's form looks: a family of layouts is a number, and the number decides everything about it."""

import random
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache

FAMILIES = 48
KEPT_BACK = 12  # families that occur only after `new_layouts`

LABELS = {
    "contract_num": ("Contract #", "Contract No.", "Contract Number", "Order #", "Order Number", "Agreement No.", "Contract"),
    "advertiser": ("Advertiser", "Client", "Advertiser Name", "Account", "Sponsor", "Advertiser:"),
    "gross_amount": (
        "Gross Total",
        "Total Gross",
        "Gross Amount",
        "Total Charges",
        "Contract Total",
        "Gross Billing",
        "Total $",
    ),
    "flight": ("Flight Dates", "Flight", "Contract Dates", "Schedule Dates", "Order Flight"),
    "flight_from": ("Flight Start", "Start Date", "From", "First Air Date"),
    "flight_to": ("Flight End", "End Date", "To", "Last Air Date"),
    "invoice_num": ("Invoice #", "Invoice Number", "Bill No."),
    "invoice_date": ("Invoice Date", "Date", "Issued", "Bill Date"),
    "due": ("Due Date", "Payment Due", "Please Pay By"),
    "estimate": ("Estimate #", "Estimate Number", "Est."),
    "alt_order": ("Alt Order #", "Agency Ref", "Buyer Order #"),
    "agency": ("Agency", "Buying Agency", "Billed To"),
    "agency_code": ("Agency Code", "Agency ID", "Acct Code"),
    "product": ("Product", "Product 1/2", "Brand"),
    "station": ("Property", "Station", "Outlet"),
    "salesperson": ("Account Executive", "Salesperson", "Primary AE"),
    "commission": ("Agency Commission", "Commission 15%", "Less Commission"),
    "net": ("Net Amount Due", "Net Due", "Net Total", "Total Net"),
    "balance": ("Previous Balance", "Prior Balance", "Balance Forward"),
    "tax": ("Sales Tax", "State Tax", "Tax"),
}
TITLES = {
    "invoice": ("INVOICE", "BROADCAST INVOICE", "OFFICIAL BILLING INVOICE"),
    "order": ("ORDER", "ORDER CONFIRMATION", "SALES ORDER"),
    "contract": ("CONTRACT", "BROADCAST CONTRACT", "CONTRACT AGREEMENT"),
    "other": ("CREDIT MEMO", "STATEMENT OF ACCOUNT", "NOTICE OF ADJUSTMENT"),
}
DATES = ("%m/%d/%y", "%m/%d/%Y", "%b %d, %Y", "%Y-%m-%d", "%d-%b-%Y")
FONTS = (("Helvetica", "Helvetica-Bold"), ("Times-Roman", "Times-Bold"), ("Courier", "Courier-Bold"))


@dataclass(frozen=True)
class Form:
    """One family."""

    name: str
    labels: dict[str, str]  # what this sender calls things
    titles: dict[str, str]  # class to heading
    title_at: str  # left, centre, right
    font: str
    bold: str
    size: float  # points
    label_style: str  # left: "label value" in one line; above: the value below its label
    form_columns: int  # 1 to 3
    order: tuple[str, ...]  # of the items of the form
    date_format: str
    one_range: bool  # "from - to" under one label, instead of two labels
    amount_format: str
    number_style: str
    table_columns: tuple[str, ...]
    lined: bool  # rules in the table
    totals_at: str  # right, left, top
    totals_order: tuple[str, ...]
    colon: bool
    footer: int

    def day(self, day: date) -> str:
        return day.strftime(self.date_format)

    def money(self, amount: Decimal) -> str:
        return self.amount_format.format(amount)

    def label(self, name: str) -> str:
        text = self.labels[name]
        return text + ":" if self.colon and not text.endswith(":") else text


@cache
def family(number: int) -> Form:
    """The form of a family, 0 <= number < FAMILIES."""
    dice = random.Random(f"family {number}")
    font, bold = dice.choice(FONTS)
    items = ["contract_num", "advertiser", "flight", "invoice_date", "estimate", "alt_order", "agency", "agency_code"]
    items += ["product", "station", "salesperson", "due", "invoice_num"]
    kept = items[:4] + dice.sample(items[4:], dice.randint(5, 9))
    dice.shuffle(kept)
    totals = ["gross_amount", "commission", "net", *dice.sample(["balance", "tax"], dice.randint(0, 2))]
    if dice.random() < 0.4:
        dice.shuffle(totals)
    columns = ["line", "description", "day", "time", "length", "rate"]
    if dice.random() < 0.5:
        columns[1:4] = ["day", "time", "description"]
    return Form(
        name=f"S{number:02}",
        labels={name: dice.choice(words) for name, words in LABELS.items()},
        titles={name: dice.choice(words) for name, words in TITLES.items()},
        title_at=dice.choice(("left", "centre", "right")),
        font=font,
        bold=bold,
        size=dice.choice((8.0, 8.5, 9.0, 9.5)),
        label_style=dice.choice(("left", "left", "above")),
        form_columns=dice.choice((1, 2, 2, 3)),
        order=tuple(kept),
        date_format=dice.choice(DATES),
        one_range=dice.random() < 0.5,
        amount_format=dice.choice(("${:,.2f}", "{:,.2f}", "$ {:,.2f}", "USD {:,.2f}")),
        number_style=dice.choice(("{n:07}", "{n:06}", "{n:07}-1", "AC{n:07}", "C-26-{n:05}")),
        table_columns=tuple(columns),
        lined=dice.random() < 0.5,
        totals_at=dice.choice(("right", "right", "left", "top")),
        totals_order=tuple(totals),
        colon=dice.random() < 0.4,
        footer=dice.randrange(4),
    )
