"""Printed values: what they mean, and when two of them are the same.

Entry points: `value_of` parses a text into a date, an amount or a plain string, `same` compares two texts by kind, and
`has_value` decides whether a label can be compared at all.
The comparison follows the match functions of VRDU (arXiv:2211.15421): same day, same cents, same letters and digits,
and for names a similarity of at least 0.9 without brackets and company forms. A flag is yes or no, however it is written.
Covered: ISO, American and worded dates; `1.880,00`; `($76.50)`, which is negative as a value and the same as 76.50.
Not covered: currencies. An amount is a number.
"""

import difflib
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal

from proveout.records import FLAGS, Kind, Value

NAMES_AGREE_ABOVE = 0.9  # VRDU's string match

_MONTHS = {name: at for at, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun"), 1)}
_MONTHS |= {name: at for at, name in enumerate(("jul", "aug", "sep", "oct", "nov", "dec"), 7)}
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_NUMERIC = re.compile(r"(\d{1,2})\s*[-/. ]\s*(\d{1,2})\s*[-/. ]\s*(\d{2,4})")
_MONTH_FIRST = re.compile(r"([A-Za-z]{3})[a-z]*\.?\s*(\d{1,2})\s*[,/ ]*\s*'?(\d{2,4})")
_DAY_FIRST = re.compile(r"(\d{1,2})[\s\-]*([A-Za-z]{3})[a-z]*[\s\-,']*(\d{2,4})")
_DIGITS = re.compile(r"\d[\d.,\s]*")
_CENTS = re.compile(r"[.,](\d{1,2})$")
_NEGATIVE = re.compile(r"^\s*(\(.*\d.*\)|-|\$\s*-)")
_BRACKETS = re.compile(r"\([^)]*\)")
_COMPANY_FORM = re.compile(r"\b(inc|llc|ltd|corp|co|committee|sdn bhd)\b\.?", re.IGNORECASE)


def day_of(text: str, day_first: bool = False) -> date | None:
    """The first calendar day in a text, or None. Month and day are swapped where only that gives a date.

    >>> day_of("Flight: 1/27/20 - 2/04/20"), day_of("2020-02-04"), day_of("Mar 3, '20"), day_of("27/01/2020")
    (datetime.date(2020, 1, 27), datetime.date(2020, 2, 4), datetime.date(2020, 3, 3), datetime.date(2020, 1, 27))
    >>> day_of("02/235/20") is None
    True
    """
    if match := _ISO.search(text):
        return _calendar(*(int(part) for part in match.groups()))
    numbers = _day_month_year(text, day_first)
    if numbers is None:
        return None
    day, month, year = numbers
    year += 2000 if year < 100 else 0
    return _calendar(year, month, day) or _calendar(year, day, month)


def _day_month_year(text: str, day_first: bool) -> tuple[int, int, int] | None:
    if match := _NUMERIC.search(text):
        first, second, year = (int(part) for part in match.groups())
        return (first, second, year) if day_first else (second, first, year)
    for pattern, month, day in ((_MONTH_FIRST, 1, 2), (_DAY_FIRST, 2, 1)):
        match = pattern.search(text)
        if match and match[month].lower() in _MONTHS:
            return int(match[day]), _MONTHS[match[month].lower()], int(match[3])
    return None


def _calendar(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def cents_of(text: str) -> int | None:
    """The first amount in a text, in cents and without its sign, or None.

    >>> cents_of("$1,880.00"), cents_of("1.880,00"), cents_of("($76.5)"), cents_of("free")
    (188000, 188000, 7650, None)
    """
    match = _DIGITS.search(text)
    if not match:
        return None
    digits = re.sub(r"\s", "", match[0]).rstrip(".,")
    cents = _CENTS.search(digits)
    whole = re.sub(r"\D", "", digits[: cents.start()] if cents else digits) or "0"
    return int(whole) * 100 + int(cents[1].ljust(2, "0") if cents else 0)


def plain(text: str) -> str:
    """Only the letters a to z and digits, in lower case.

    >>> plain("PQ-152 3915/a")
    'pq1523915a'
    """
    return re.sub(r"[^a-z0-9]", "", text.lower())


def plain_name(text: str) -> str:
    """A name as it is compared: without brackets and company form, unless nothing else is left.

    >>> plain_name("Mike Bloomberg 2020, Inc. (33528)"), plain_name("(A)")
    ('mikebloomberg2020', 'a')
    """
    return plain(_COMPANY_FORM.sub("", _BRACKETS.sub("", text))) or plain(text)


def flag_of(text: str) -> str | None:
    """`yes` or `no` in any of the usual spellings; None for anything else.

    >>> flag_of(" TRUE"), flag_of("0"), flag_of("maybe")
    ('yes', 'no', None)
    """
    return FLAGS.get(text.strip().lower())


def _same_name(a: str, b: str) -> bool:
    x, y = plain_name(a), plain_name(b)
    if x == y:
        return True
    matcher = difflib.SequenceMatcher(None, x, y, autojunk=False)
    near = matcher.real_quick_ratio() >= NAMES_AGREE_ABOVE and matcher.quick_ratio() >= NAMES_AGREE_ABOVE
    return near and matcher.ratio() >= NAMES_AGREE_ABOVE


_SAME: dict[Kind, Callable[[str, str], bool]] = {
    "number": lambda a, b: plain(a) == plain(b) != "",
    "amount": lambda a, b: cents_of(a) is not None and cents_of(a) == cents_of(b),
    "name": _same_name,
    "flag": lambda a, b: flag_of(a) is not None and flag_of(a) == flag_of(b),
}


def same(kind: Kind, a: str, b: str, day_first: bool = False) -> bool:
    """Whether two printed values mean the same.

    >>> same("number", "PQ 152-1", "pq1521"), same("amount", "$5", "5.00"), same("date", "1/2/20", "01/02/2020")
    (True, True, True)
    >>> same("name", "Tom Steyer 2020", "Tom Steyer for President")
    False
    """
    if kind == "date":
        return (day := day_of(a, day_first)) is not None and day == day_of(b, day_first)
    return _SAME[kind](a, b)


def remembered(kind: Kind, text: str) -> str:
    """A label as the memory stores it: normalised by kind; text that cannot be parsed stays as written.

    >>> remembered("amount", "$1,500"), remembered("date", "3/2/20"), remembered("date", "02/235/20")
    ('1500.00', '2020-03-02', '02/235/20')
    """
    try:
        return written(value_of(kind, text))
    except ValueError:
        return text.strip()


def has_value(kind: Kind, text: str, day_first: bool = False) -> bool:
    """Whether a label can be compared: a date in the calendar, a flag that is yes or no, any text that is not empty.

    >>> has_value("date", "02/235/20"), has_value("flag", "maybe"), has_value("name", " "), has_value("name", "Ada")
    (False, False, False, True)
    """
    if kind == "date":
        return day_of(text, day_first) is not None
    return flag_of(text) is not None if kind == "flag" else bool(text.strip())


def value_of(kind: Kind, text: str) -> Value:
    """The value of a printed text: a date, a Decimal, `yes` or `no`, or the text with its spaces normalised.

    Raises ValueError if it contains no date, amount or flag.

    >>> value_of("amount", "($1,076.50)"), value_of("name", "  One   Nation ")
    (Decimal('-1076.50'), 'One Nation')
    """
    if kind == "date":
        if (day := day_of(text)) is None:
            raise ValueError(f"no calendar day in {text!r}")
        return day
    if kind == "amount":
        if (cents := cents_of(text)) is None:
            raise ValueError(f"no amount in {text!r}")
        return Decimal(-cents if _NEGATIVE.match(text) else cents).scaleb(-2)
    if kind == "flag":
        if (flag := flag_of(text)) is None:
            raise ValueError(f"neither yes nor no: {text!r}")
        return flag
    return " ".join(text.split())


def written(value: Value) -> str:
    """A value as text in a canonical form: amounts with two decimals, days as ISO 8601.

    >>> written(Decimal("1500")), written(date(2020, 3, 2)), written(" PQ 17 ")
    ('1500.00', '2020-03-02', 'PQ 17')
    """
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    return value.isoformat() if isinstance(value, date) else value.strip()
