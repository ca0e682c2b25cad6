"""How one document prints numbers and days, by the votes of what it prints.

Entry points: `conventions_of` counts the votes; `amount_read` and `day_read` apply them.
Only what can be read in one way votes: `1.234,56` for the decimal comma, `31.12.2025` for the day first. Where an amount or a
day can be read in two ways, the votes decide; a split vote, or none, is a doubt in words, and the value goes to a person.
Order of days: as the mission declares it, else by days that leave no choice, else by hints that all agree: written months,
dates with dots, words of a language, addresses, currencies.
Not covered: a document that follows two conventions and prints each of its values in one way only.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import groupby, pairwise

from proveout.records import Content, DateOrder, Document, Word
from proveout.values.amounts import Amount, amounts_in
from proveout.values.dates import DAY_FIRST, MONTH_FIRST, Day, days_in

CLEAR = 9  # votes against one that outvote it: a misread comma in ten amounts splits no vote
COLUMN_GAP = 0.65  # of a line's height: a wider space separates two columns; a space between words is 0.25 to 0.35
_CURRENCIES = "€ EUR £ GBP CHF SFr SFr. Kč kč CZK zł Zł zl PLN Ft HUF lei RON лв лв. BGN R$ BRL ₽ руб руб. ₴ грн"
_DAY_FIRST_MONEY = frozenset(_CURRENCIES.split())
_STATES = (  # without those that are also codes of a country with five-digit postal codes: AL, DE, MD, MT
    "AK AZ AR CA CO CT FL GA HI ID IL IN IA KS KY LA ME MA MI MN MS MO NE NV NH NJ NM NY NC ND OH OK OR PA RI SC "
    "SD TN TX UT VT VA WA WV WI WY DC"
).replace(" ", "|")
_AMERICAN = re.compile(rf"\b(?:{_STATES})\.?,?\s+\d{{5}}(?:-\d{{4}})?\b")
_EUROPEAN = re.compile(  # an IBAN or a VAT number
    r"\b(?:(?:DE|FR|ES|IT|NL|BE|AT|PL|SE|DK|FI|NO|PT|IE|GB|CZ|SK|HU|RO|BG|HR|SI|EE|LV|LT|GR|CH)\d\d ?\d{4}[\d ]{6,}"
    r"|(?:DE|FR|IT|PT|BE|PL|DK|FI|HU|HR|LU)\s?\d{8,11}|ATU\d{8})\b"
)
# Words of business papers and of grammar that English does not use
_WORDS = {
    "German": "rechnung rechnungsnummer rechnungsdatum datum betrag gesamtbetrag und der die das zzgl mwst ust zahlbar",
    "French": "facture numéro montant le la les des du et tva échéance règlement sous jours",
    "Spanish": "factura fecha importe número el los las del y iva vencimiento pago días",
    "Italian": "fattura numero importo il gli della del e iva scadenza pagamento giorni totale",
    "Portuguese": "fatura número valor os das do vencimento pagamento dias contribuinte nif iva",
    "Dutch": "factuur factuurnummer datum bedrag het een van en btw betalen vervaldatum dagen totaal",
    "Polish": "faktura numer kwota data wystawienia sprzedaży termin płatności nabywca sprzedawca razem",
    "Swedish": "faktura fakturanummer belopp och att betala förfallodatum moms kund summa dagar",
    "Danish": "faktura fakturanr beløb og at betale forfaldsdato moms kunde dage",
    "Norwegian": "faktura fakturanr beløp og å betale forfallsdato mva kunde dager",
    "Finnish": "lasku laskun päivämäärä eräpäivä summa yhteensä alv maksettava viite asiakas",
    "Czech": "faktura číslo částka datum splatnosti vystavení celkem dodavatel odběratel dph",
}  # fmt: skip
_LANGUAGES = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_FEW = 3  # different words from which a language is taken for the document's


@dataclass(frozen=True, slots=True)
class Conventions:
    """The votes of one document."""

    points: int = 0  # amounts with a decimal point
    commas: int = 0  # amounts with a decimal comma
    groups: frozenset[str] = frozenset()  # separators of thousands
    currency: str = ""  # the commonest, as printed
    thousandths: bool = False  # whether it has three decimals
    order: str = ""  # of days in numbers: DAY_FIRST, MONTH_FIRST, or "" if it cannot be told
    because: str = "nothing on its pages shows the order of day and month"
    languages: frozenset[str] = frozenset()  # of its written months

    def declaring(self, dates: DateOrder) -> "Conventions":
        """The same in a mission that declares this order of dates."""
        return self if dates == "inferred" else replace(self, order=dates, because="the mission declares it")

    @property
    def spaced(self) -> bool:
        """Whether an ordinary space may stand between its thousands: not if another separator does."""
        return not self.groups & {",", ".", "'"}


NONE = Conventions()  # of a text without a document


def lines_of(content: Content) -> Iterator[str]:
    """The lines of a content; in a document, a tab stands where a gap separates two columns.

    >>> list(lines_of(Document("", ())))
    []
    """
    if not isinstance(content, Document):
        yield from content.text.splitlines()
        return
    for page in content.pages:
        for _, words in groupby(page.words, key=lambda word: word.line):
            yield _line(list(words))


def _line(words: Sequence[Word]) -> str:
    parts = [words[0].text]
    for before, word in pairwise(words):
        height = max(before.box.y1 - before.box.y0, word.box.y1 - word.box.y0)
        parts.append("\t" if word.box.x0 - before.box.x1 > COLUMN_GAP * height else " ")
        parts.append(word.text)
    return "".join(parts)


def conventions_of(lines: Iterable[str]) -> Conventions:
    """The conventions of a document with these lines.

    >>> german = conventions_of(["Rechnung vom 04.03.2018", "Summe 1.234,56 €", "zahlbar bis 31.03.2018"])
    >>> german.commas, german.order, german.because
    (1, 'day_first', "the day is first in '31.03.2018'")
    """
    cells = [cell for line in lines for cell in line.split("\t")]
    amounts = [amount for cell in cells for amount in amounts_in(cell)]
    days = [day for cell in cells for day in days_in(cell)]
    marked = [amount for amount in amounts if amount.mark]
    sure = [amount for amount in marked if amount.currency or amount.group] or marked
    marks = Counter(amount.mark for amount in sure)
    currencies = Counter(amount.currency for amount in amounts if amount.currency)
    currency = currencies.most_common(1)[0][0] if currencies else ""
    order, because = _order(days, cells, currency)
    return Conventions(
        points=marks["."],
        commas=marks[","],
        groups=frozenset(amount.group for amount in amounts if amount.group),
        currency=currency,
        thousandths=any(amount.thousandths for amount in amounts if amount.currency == currency),
        order=order,
        because=because,
        languages=frozenset(day.language for day in days if day.language),
    )


def _order(days: Sequence[Day], cells: Sequence[str], currency: str) -> tuple[str, str]:
    """The order of days in numbers, or "", and why."""
    examples = {day.shows: day.text for day in reversed(days) if day.shows}
    if len(examples) > 1:
        return "", f"its days show both orders: {examples[DAY_FIRST]!r} has the day first, {examples[MONTH_FIRST]!r} the month"
    if examples:
        (order, text), *_ = examples.items()
        return order, f"the {order.split('_')[0]} is first in {text!r}"
    hints = list(_hints(days, " ".join(cells), currency))
    orders = {order for order, _ in hints}
    reasons = "; ".join(dict.fromkeys(because for _, because in hints))
    if len(orders) > 1:
        return "", f"no day leaves only one order, and the hints disagree: {reasons}"
    return (hints[0][0], reasons) if hints else ("", Conventions().because)


def _hints(days: Sequence[Day], text: str, currency: str) -> Iterator[tuple[str, str]]:
    for order in (DAY_FIRST, MONTH_FIRST):
        if example := next((day.text for day in days if day.suggests == order), None):
            yield order, f"{example!r} is written {order.replace('_', ' ')}"
    if foreign := next((day for day in days if day.language), None):
        yield DAY_FIRST, f"the month in {foreign.text!r} is not English"
    words = set(re.findall(r"[^\W\d_]+", text.casefold()))
    for language, own in _LANGUAGES.items():
        if len(own & words) >= _FEW:
            yield DAY_FIRST, f"it has {language} words ({', '.join(sorted(own & words)[:3])})"
            break
    if match := _AMERICAN.search(text):
        yield MONTH_FIRST, f"it has an address in the United States ({match[0]})"
    if match := _EUROPEAN.search(text):
        yield DAY_FIRST, f"it has a European account or tax number ({match[0]})"
    if currency in _DAY_FIRST_MONEY:
        yield DAY_FIRST, f"its amounts are in {currency}"


def amount_read(amount: Amount, conventions: Conventions) -> tuple[Decimal, str]:
    """The value of a printed amount in a document with these conventions, and the doubt that stays, "" if none.

    >>> from proveout.values.amounts import amount_in
    >>> amount_read(amount_in("1.234"), conventions_of(["12,50 €", "7,00 €"]))
    (Decimal('1234'), '')
    >>> amount_read(amount_in("1.234"), NONE)[1]
    "'1.234' may be 1234 or 1.234: no other amount of the document shows a decimal mark, and it has no currency"
    """
    if not amount.question or amount.other is None:
        return amount.value, ""
    choice = f"{amount.text!r} may be {amount.value:f} or {amount.other:f}"
    if amount.question == "thousands":
        return _thousands(amount, amount.other, conventions, choice)
    if amount.question == "columns" and not conventions.groups & {" ", "\u00a0"}:
        return amount.value, f"{choice}: the space may separate thousands or two columns"
    if amount.question == "sign":
        return amount.value, f"{choice}: the dash before it may be a minus or a separator"
    if amount.question == "range":
        return amount.value, f"{choice}: it is a range"
    return amount.value, ""


def _thousands(amount: Amount, decimal: Decimal, conventions: Conventions, choice: str) -> tuple[Decimal, str]:
    as_mark, as_group = conventions.points, conventions.commas
    if amount.separator == ",":
        as_mark, as_group = as_group, as_mark
    as_group += amount.separator in conventions.groups
    votes = f"{as_mark} of its other amounts have '{amount.separator}' as the decimal mark, {as_group} speak against it"
    if as_mark and as_group and max(as_mark, as_group) < CLEAR * min(as_mark, as_group):
        return amount.value, f"{choice}: {votes}"
    by_votes = None if not as_mark + as_group else as_mark > as_group
    currency = amount.currency or conventions.currency
    by_currency = (amount.thousandths or (not amount.currency and conventions.thousandths)) if currency else None
    if by_votes is None and by_currency is None:
        return amount.value, f"{choice}: no other amount of the document shows a decimal mark, and it has no currency"
    if by_votes is not None and by_currency is not None and by_votes != by_currency:
        value = decimal if by_votes else amount.value
        return value, f"{choice}: {votes}, but amounts in {currency} have {'three' if by_currency else 'two'} decimals"
    is_decimal = by_votes if by_votes is not None else by_currency
    return (decimal if is_decimal else amount.value), ""


def day_read(day: Day, conventions: Conventions) -> tuple[date, str]:
    """The calendar day of a printed day in a document with these conventions, and the doubt that stays, "" if none.

    >>> from proveout.values.dates import day_in
    >>> day_read(day_in("04/03/2018"), conventions_of(["31/12/2017"]))
    (datetime.date(2018, 3, 4), '')
    >>> day_read(day_in("04/03/2018"), NONE)[1]
    "'04/03/2018' may be 2018-03-04 or 2018-04-03: nothing on its pages shows the order of day and month"
    """
    if len(day.days) == 1:
        return next(iter(day.days)), ""
    if conventions.order in day.readings:
        return day.readings[conventions.order], ""
    spoken = [d for key, d in day.readings.items() if conventions.languages & set(key.split("/"))]
    if len(spoken) == 1:
        return spoken[0], ""
    because = conventions.because if MONTH_FIRST in day.readings else "the month's name means another month in another language"
    first = day.readings.get(MONTH_FIRST, min(day.days))
    return first, f"{day.text!r} may be {' or '.join(map(str, sorted(day.days)))}: {because}"
