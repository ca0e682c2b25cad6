"""Printed values: what they mean, and when two of them are the same. One door for every tier, person and score.

Entry points: `value_of` parses a text into a date, an amount or a plain string, by the conventions of its document; `doubt`
says why a text may mean something else; `same` compares two texts by kind; `has_value` says whether a label can be compared.

What counts as equal stands in `EQUAL`, and `same` decides it for scores, calibration, training and people's answers. Memory and
the duplicate check go by `key`, which allows no misread letter: letters and digits of the value as `written`, with its sign.
Not covered: currencies. An amount is a number.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache

from proveout.records import CUT_OFF, FLAGS, Content, DateOrder, Kind, Value
from proveout.values.amounts import Amount, amount_in, amounts_in
from proveout.values.conventions import NONE, Conventions, amount_read, conventions_of, day_read, lines_of
from proveout.values.dates import ORDERS, calendar_in, day_in
from proveout.values.names import plain, plain_name, same_name
from proveout.values.rankings import same_ranking, value_of_ranking

__all__ = [
    "EQUAL",
    "NONE",
    "Conventions",
    "amount_of",
    "amounts_of",
    "conventions",
    "conventions_of",
    "day_of",
    "doubt",
    "flag_of",
    "has_value",
    "is_cut_off",
    "key",
    "plain",
    "plain_name",
    "remembered",
    "same",
    "same_as_read",
    "same_name",
    "value_of",
    "written",
]

EQUAL: Mapping[Kind, str] = {
    "number": "the same letters and digits",
    "name": "the same letters and digits without accents, brackets and company form; misread letters are forgiven where 90 % "
    "of the characters agree, and every number and word",
    "amount": "the same value, with its sign and every decimal; the currency is not compared",
    "date": "the same calendar day; without a declared order of day and month, in either order",
    "flag": "both yes or both no",
    "ranking": "the same items in order; with grades, whether any that was given fits, or rightly none was given",
}

_AMOUNT = re.compile(r"-?\d+\.\d{2,}")  # as `written`


def conventions(content: Content, dates: DateOrder = "inferred") -> Conventions:
    """The conventions of a case's content, in a mission that declares this order of dates. Votes are counted once a content.

    >>> from proveout.records import Document
    >>> conventions(Document("", ()), "day_first").order
    'day_first'
    """
    return _inferred(_Itself(content)).declaring(dates)


@dataclass(frozen=True, slots=True, eq=False)
class _Itself:
    """One content as a key. Contents are not compared: that takes as long as counting their votes."""

    content: Content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.content is other.content

    def __hash__(self) -> int:
        return id(self.content)


@lru_cache(128)  # cases that one step after the other reads; more than a batch of the live loop
def _inferred(key: _Itself) -> Conventions:
    return conventions_of(lines_of(key.content))


def day_of(text: str, conventions: Conventions = NONE) -> date | None:
    """The first calendar day in a text, or None. Where its order cannot be told, the month comes first; see `doubt`.

    >>> day_of("Flight: 1/27/20 - 2/04/20"), day_of("2026/02/04"), day_of("4. Februar 2026"), day_of("02/235/20")
    (datetime.date(2020, 1, 27), datetime.date(2026, 2, 4), datetime.date(2026, 2, 4), None)
    """
    day = day_in(text)
    return day_read(day, conventions)[0] if day else None


def amount_of(text: str, conventions: Conventions = NONE) -> Decimal | None:
    """The first amount in a text with its sign, or None. Where a separator can be read in two ways, it separates thousands; a
    range counts as its lower end.

    >>> [str(amount_of(text)) for text in ("$1,880.00", "1.880,00-", "($76.5)", "€ −12,00", "423.923 KD", "free")]
    ['1880.00', '-1880.00', '-76.5', '-12.00', '423.923', 'None']
    """
    amount = _amount_in(text)
    return amount_read(amount, conventions)[0] if amount else None


def _amount_in(text: str) -> Amount | None:
    return amount_in(text, calendar_in(text))


def amounts_of(content: Content) -> list[Decimal]:
    """Every amount of money in a case's content with its sign, in reading order."""
    printed = conventions(content)
    cells = (cell for line in lines_of(content) for cell in line.split("\t"))
    return [amount_read(amount, printed)[0] for cell in cells for amount in amounts_in(cell, printed.spaced)]


def flag_of(text: str) -> str | None:
    """`yes` or `no` in any of the usual spellings; None for anything else.

    >>> flag_of(" TRUE"), flag_of("0"), flag_of("maybe")
    ('yes', 'no', None)
    """
    return FLAGS.get(text.strip().lower())


def doubt(kind: Kind, text: str, conventions: Conventions = NONE) -> str:
    """Why a printed text may mean another value than `value_of` gives, in words; "" if it can be read in one way only.

    >>> doubt("amount", "1,234.50"), doubt("date", "13/02/2026"), doubt("name", "1.234")
    ('', '', '')
    >>> doubt("date", "04/03/2026")
    "'04/03/2026' may be 2026-03-04 or 2026-04-03: nothing on its pages shows the order of day and month"
    """
    if kind == "date":
        return day_read(day, conventions)[1] if (day := day_in(text)) else ""
    if kind == "amount":
        return amount_read(amount, conventions)[1] if (amount := _amount_in(text)) else ""
    return ""


_SAME: dict[Kind, Callable[[str, str], bool]] = {
    "number": lambda a, b: plain(a) == plain(b) != "",
    "name": same_name,
    "flag": lambda a, b: flag_of(a) is not None and flag_of(a) == flag_of(b),
    "ranking": same_ranking,
}


def same(kind: Kind, a: str, b: str, conventions: Conventions = NONE) -> bool:
    """Whether two printed values mean the same; see the module. Days have to agree in every order that is possible.

    >>> same("number", "PQ 152-1", "pq1521"), same("amount", "$5", "5.00"), same("date", "1/2/20", "01/02/2020")
    (True, True, True)
    >>> same("amount", "($76.50)", "76.50"), same("date", "1/2/20", "2020-01-02"), same("name", "Tom Steyer", "Tom Steyer 2020")
    (False, False, False)
    """
    if kind == "date":
        orders = (conventions.order,) if conventions.order else ORDERS
        days = [(day_of(a, Conventions(order=order)), day_of(b, Conventions(order=order))) for order in orders]
        return all(x is not None and x == y for x, y in days)
    if kind == "amount":
        return (amount := amount_of(a, conventions)) is not None and amount == amount_of(b, conventions)
    return _SAME[kind](a, b)


def same_as_read(kind: Kind, label: str, text: str, value: Value, conventions: Conventions = NONE) -> bool:
    """Whether a label means the value that was read from a printed text.

    A label in the order of the text is taken as the text was: where 5/4/26 was read as 5 April, a label 5/4/26 is 5 April.

    >>> april = date(2026, 4, 5)
    >>> same_as_read("date", "05/04/2026", "5/4/26", april), same_as_read("date", "2026-05-04", "5/4/26", april)
    (True, False)
    """
    if not conventions.order and kind == "date" and isinstance(value, date):
        readings = day.readings if (day := day_in(text)) else {}
        orders = [order for order in ORDERS if readings.get(order) == value]
        conventions = Conventions(order=orders[0]) if len(orders) == 1 else conventions
    return same(kind, label, written(value), conventions)


def has_value(kind: Kind, text: str) -> bool:
    """Whether a label can be compared: a date in the calendar, a flag that is yes or no, any text that is not empty.

    >>> has_value("date", "02/235/20"), has_value("flag", "maybe"), has_value("name", " "), has_value("name", "Ada")
    (False, False, False, True)
    """
    if kind == "date":
        return day_in(text) is not None
    return flag_of(text) is not None if kind == "flag" else bool(text.strip())


def is_cut_off(text: str) -> bool:
    """Whether a printed text goes on where nobody sees it: its cell is too short, or who printed it says so by dots.

    >>> is_cut_off("Committee for a Better Tom…"), is_cut_off("Committee for ..."), is_cut_off("Acme Inc.")
    (True, True, False)
    """
    return text.rstrip().endswith((CUT_OFF, "..."))


def value_of(kind: Kind, text: str, conventions: Conventions = NONE) -> Value:
    """The value of a printed text: a date, a Decimal, `yes` or `no`, or the text with its spaces normalised.

    Raises ValueError if it contains no date, amount or flag.

    >>> value_of("amount", "($1,076.50)"), value_of("name", "  One   Nation ")
    (Decimal('-1076.50'), 'One Nation')
    """
    if kind == "date":
        if (day := day_of(text, conventions)) is None:
            raise ValueError(f"no calendar day in {text!r}")
        return day
    if kind == "amount":
        if (amount := amount_of(text, conventions)) is None:
            raise ValueError(f"no amount in {text!r}")
        return amount
    if kind == "flag":
        if (flag := flag_of(text)) is None:
            raise ValueError(f"neither yes nor no: {text!r}")
        return flag
    return value_of_ranking(text) if kind == "ranking" else " ".join(text.split())


def remembered(kind: Kind, text: str, conventions: Conventions = NONE) -> str:
    """A label as the memory stores it: normalised by kind; text that cannot be parsed stays as written.

    >>> remembered("amount", "$1,500"), remembered("date", "2020-03-02"), remembered("date", "02/235/20")
    ('1500.00', '2020-03-02', '02/235/20')
    """
    try:
        return written(value_of(kind, text, conventions))
    except ValueError:
        return text.strip()


def written(value: Value) -> str:
    """A value as text in a canonical form: amounts with two decimals or more, days as ISO 8601.

    >>> written(Decimal("1500")), written(Decimal("423.923")), written(date(2020, 3, 2)), written(" PQ 17 ")
    ('1500.00', '423.923', '2020-03-02', 'PQ 17')
    """
    if isinstance(value, Decimal):
        exponent = value.normalize().as_tuple().exponent
        return f"{value:.{max(2, -exponent if isinstance(exponent, int) else 2)}f}"
    return value.isoformat() if isinstance(value, date) else value.strip()


def key(text: str) -> str:
    """A value as `written`, as an index key: letters and digits, and of an amount also its sign and decimal mark.

    >>> key("PQ-17"), key("-500.00"), key("500.00"), key("東京電力"), key("#")
    ('pq17', '-500.00', '500.00', '東京電力', '#')
    """
    return text if _AMOUNT.fullmatch(text) else plain(text) or text.strip()
