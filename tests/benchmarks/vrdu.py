"""The match functions of VRDU (arXiv:2211.15421), as published benchmarks on its documents use them. Entry point: `same`.

Same day, same cents whatever the sign, same ASCII letters and digits, and for names a similarity of at least 0.9 without
brackets and company forms. Only for numbers that are held beside other people's: everything else compares by `values.same`,
which is stricter about signs and names.
"""

import difflib
import re
from datetime import date

from proveout.records import Kind

AGREE_ABOVE = 0.9
_MONTHS = {name: at for at, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun"), 1)}
_MONTHS |= {name: at for at, name in enumerate(("jul", "aug", "sep", "oct", "nov", "dec"), 7)}
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_NUMERIC = re.compile(r"(\d{1,2})\s*[-/. ]\s*(\d{1,2})\s*[-/. ]\s*(\d{2,4})")
_MONTH_FIRST = re.compile(r"([A-Za-z]{3})[a-z]*\.?\s*(\d{1,2})\s*[,/ ]*\s*'?(\d{2,4})")
_DAY_FIRST = re.compile(r"(\d{1,2})[\s\-]*([A-Za-z]{3})[a-z]*[\s\-,']*(\d{2,4})")
_DIGITS = re.compile(r"\d[\d.,\s]*")
_CENTS = re.compile(r"[.,](\d{1,2})$")
_BRACKETS = re.compile(r"\([^)]*\)")
_COMPANY_FORM = re.compile(r"\b(inc|llc|ltd|corp|co|committee|sdn bhd)\b\.?", re.IGNORECASE)


def same(kind: Kind, a: str, b: str, day_first: bool = False) -> bool:
    """Whether two printed values match.

    >>> same("amount", "($76.50)", "76.5"), same("name", "Cl Vote Yes on 18", "Vote Yes on 18")
    (True, True)
    """
    if kind == "date":
        return (day := day_of(a, day_first)) is not None and day == day_of(b, day_first)
    if kind == "amount":
        return cents_of(a) is not None and cents_of(a) == cents_of(b)
    if kind == "name":
        x, y = _name(a), _name(b)
        return x == y or difflib.SequenceMatcher(None, x, y, autojunk=False).ratio() >= AGREE_ABOVE
    return _plain(a) == _plain(b) != ""


def day_of(text: str, day_first: bool = False) -> date | None:
    """The first calendar day in a text, or None. Month and day are swapped where only that gives a date."""
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
    """The first amount in a text, in cents and without its sign, or None."""
    match = _DIGITS.search(text)
    if not match:
        return None
    digits = re.sub(r"\s", "", match[0]).rstrip(".,")
    cents = _CENTS.search(digits)
    whole = re.sub(r"\D", "", digits[: cents.start()] if cents else digits) or "0"
    return int(whole) * 100 + int(cents[1].ljust(2, "0") if cents else 0)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _name(text: str) -> str:
    return _plain(_COMPANY_FORM.sub("", _BRACKETS.sub("", text))) or _plain(text)
