"""Forms of senders in other countries: their amounts, days, addresses, and signs. Entry points: `abroad`, `LocalForm`.

Amounts and days are those of the Unicode CLDR, by babel. Where a text needs letters that the standard fonts of PDF lack, the
form is printed in DejaVu Sans, which comes with matplotlib.
Not covered: labels in other languages; Hebrew and Arabic, which are painted from the right; Chinese, Japanese and Korean, for
which no font is at hand.
"""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

from proveout.corpus.synthetic.business import Item, Paperwork
from proveout.corpus.synthetic.drawing import UNBROKEN
from proveout.corpus.synthetic.layouts import Form


@dataclass(frozen=True)
class Country:
    """How amounts are printed in a country, and an address there."""

    locale: str
    currency: str
    address: tuple[str, str]


COUNTRIES = {
    "Czechia": Country("cs_CZ", "CZK", ("Vodičkova 14", "110 00 Praha 1")),
    "Finland": Country("fi_FI", "EUR", ("Kalevankatu 9", "00100 Helsinki")),
    "France": Country("fr_FR", "EUR", ("14 rue de Rennes", "75006 Paris")),
    "Germany": Country("de_DE", "EUR", ("Hafenstraße 8", "20457 Hamburg")),
    "Great Britain": Country("en_GB", "GBP", ("14 Kingsway", "London WC2B 6UN")),
    "Greece": Country("el_GR", "EUR", ("Οδός Αθηνάς 12", "105 54 Αθήνα")),
    "Hungary": Country("hu_HU", "HUF", ("Váci utca 21", "1052 Budapest")),
    "India": Country("en_IN", "INR", ("14 Marine Drive", "Mumbai 400020")),
    "Italy": Country("it_IT", "EUR", ("Via Torino 30", "20123 Milano")),
    "Kuwait": Country("en_GB", "KWD", ("Fahad Al Salem Street 6", "Kuwait City 13001")),
    "Netherlands": Country("nl_NL", "EUR", ("Singel 104", "1015 AD Amsterdam")),
    "Poland": Country("pl_PL", "PLN", ("ul. Długa 7", "31-147 Kraków")),
    "Spain": Country("es_ES", "EUR", ("Calle Mayor 40", "28013 Madrid")),
    "Sweden": Country("sv_SE", "SEK", ("Drottninggatan 5", "111 51 Stockholm")),
    "Switzerland": Country("de_CH", "CHF", ("Seestrasse 14", "8002 Zürich")),
    "Ukraine": Country("uk_UA", "UAH", ("вул. Садова 3", "01001 Київ")),
    "United States": Country("en_US", "USD", ("400 Tower Road", "Salem, VA 24153")),
}


@dataclass(frozen=True)
class LocalForm(Form):
    """A form with the amounts and days of a locale."""

    locale: str
    currency: str
    days: str = ""  # pattern or length (short, medium, long) of the CLDR; "": as the form has them
    negative: str = "-{}"  # a pattern for the amount; {1} is the amount without $
    leading_zero: bool = True

    def as_text(self, item: Item) -> str:
        if isinstance(item, date) and self.days:
            return self._day(item, self.days)
        return self._amount(item) if isinstance(item, Decimal) else super().as_text(item)

    def in_column(self, day: date) -> str:
        if not self.days:
            return super().in_column(day)
        return self._day(day, self.days if len(self._day(date(2026, 9, 28), self.days)) <= 10 else "short")

    def _day(self, day: date, pattern: str) -> str:
        from babel.dates import format_date

        return _spaced(format_date(day, pattern, locale=self.locale))

    def _amount(self, amount: Decimal) -> str:
        from babel.numbers import format_currency

        text = _spaced(format_currency(abs(amount), self.currency, locale=self.locale))
        if not self.leading_zero and abs(amount) < 1:
            text = text.replace("0.", ".", 1)
        return text if amount >= 0 else self.negative.format(text, text.removeprefix("$"))


def _spaced(text: str) -> str:
    return text.replace("\u202f", UNBROKEN)


def abroad(
    form: Form, work: Paperwork, country: str, days: str, *, factor: Decimal = Decimal(1), advertiser: str = ""
) -> tuple[LocalForm, Paperwork]:
    """The form and the paper as a sender in that country has them. `factor` is applied to each amount."""
    home = COUNTRIES[country]
    footer = tuple(line for line in form.footer if "$" not in line)
    labels = {name: label.replace(" $", "") for name, label in form.labels.items()}
    local = LocalForm(
        **{**vars(form), "footer": footer, "labels": labels}, locale=home.locale, currency=home.currency, days=days
    )
    work = scaled(work, factor)
    items = {**work.items, "advertiser": advertiser or work.items["advertiser"]}
    bill_to, station = ((party[0], *home.address) for party in (work.bill_to, work.station))
    work = replace(work, items=items, bill_to=bill_to, station=station)
    first_days = (local.as_text(date(2026, month, 1)) for month in range(1, 13))
    texts = [*home.address, advertiser, local.as_text(Decimal(1)), *first_days]
    return (local if all(map(_is_western, texts)) else in_unicode(local)), work


def scaled(work: Paperwork, factor: Decimal) -> Paperwork:
    """The paper with each amount multiplied by `factor`."""
    items = {name: item * factor if isinstance(item, Decimal) else item for name, item in work.items.items()}
    return replace(work, items=items, lines=tuple(replace(line, rate=line.rate * factor) for line in work.lines))


def in_unicode(form: LocalForm) -> LocalForm:
    """The form in a font that has Latin, Greek and Cyrillic letters and the signs of currencies."""
    _register_fonts()
    return replace(form, font="DejaVuSans", bold="DejaVuSans-Bold", size=form.size - 0.8)  # its letters are wider


def _is_western(text: str) -> bool:
    return text.encode("cp1252", "ignore").decode("cp1252") == text


@cache
def _register_fonts() -> None:
    import matplotlib
    from reportlab.pdfbase import pdfmetrics  # type: ignore[import-untyped]
    from reportlab.pdfbase.ttfonts import TTFont  # type: ignore[import-untyped]

    for name in ("DejaVuSans", "DejaVuSans-Bold"):
        pdfmetrics.registerFont(TTFont(name, Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"))
