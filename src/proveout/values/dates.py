"""Printed days: where they stand in a text, and what they mean. Entry points: `days_in`, `day_in`, `calendar_in`.

Covered: year first (`2026-02-04`, `2026/02/04`, `2026. 02. 04.`, `2026年2月4日`, `20260204` alone), numbers in either order,
and months written in 26 languages of Europe (names and abbreviations of the Unicode CLDR, by babel), with or without accents.
A day that can be read in two ways has both readings; `conventions` decides, or says why it cannot.
Not covered: other calendars and eras, and days without a year.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache

from proveout.values.amounts import as_ascii
from proveout.values.names import plain

DAY_FIRST, MONTH_FIRST = "day_first", "month_first"
ORDERS = (MONTH_FIRST, DAY_FIRST)
_LANGUAGES = "en de fr es it pt nl pl sv da nb fi cs sk hu ro bg hr sl et lv lt el ru uk tr"
_CENTURY = 69  # two-digit years from here on are of the 1900s, as in POSIX

_SEPARATED = r"(?P<first>\d{1,2})(?P<between>[-/]|\.\s?)(?P<second>\d{1,2})(?P=between)(?P<year>\d{4}(?!\d)|\d{2}(?![.,]\d))"
_ASIAN = r"\s?[年년]\s?(?P<m2>\d{1,2})\s?[月월]\s?(?P<d2>\d{1,2})\s?[日일]"
_YEAR_FIRST = rf"(?P<y>\d{{4}})(?:(?P<apart>[-/]|\.\s?)(?P<m>\d{{1,2}})(?P=apart)(?P<d>\d{{1,2}})(?!\d)|{_ASIAN})"
_WORD = r"[^\W\d_]{3,12}"
_OF = r"(?:(?:de|del|of|d'|d’|di|da)\s?)??"  # lazy: the d of December is no "de"
_YEAR = r"(?:(?:de|del)\s)?['’]?(?P<{}>\d{{4}}|\d{{2}})(?!\d)"
_DAY_MONTH = rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th|er|º|ª|°|\.)?[\s/-]*{_OF}(?P<month>{_WORD})\.?[\s,/-]*" + _YEAR.format("of")
_MONTH_DAY = rf"(?P<month2>{_WORD})\.?\s*(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?(?:,\s?|\s*/\s*|\s+)" + _YEAR.format("of2")
_YEAR_MONTH = rf"(?P<of3>\d{{4}})\.?\s(?:m\.\s)?(?P<month3>{_WORD})\.?\s(?P<day3>\d{{1,2}})(?!\d)"
_MONTH_YEAR = rf"(?<![^\W\d_])(?P<month>{_WORD})\.?[\s,/-]*{_OF}(?P<year>(?:19|20)\d\d)(?!\d)"
_MONTH_OF_YEAR = re.compile(rf"{_MONTH_YEAR}|(?<!\d)(?:19|20)\d\d[.,]?[\s/-]*(?P<month2>{_WORD})", re.IGNORECASE)
_START = r"(?<![\d/.])"
_NUMBER_FIRST = rf"{_START}(?:{_YEAR_FIRST}|{_SEPARATED}|{_DAY_MONTH}|{_YEAR_MONTH})"
_DATE = re.compile(rf"{_NUMBER_FIRST}|(?<![^\W\d_]){_MONTH_DAY}", re.IGNORECASE)
_LOOSE = re.compile(r"(?P<first>\d{1,2})\s*[-/. ]\s*(?P<second>\d{1,2})\s*[-/. ]\s*(?P<year>\d{2,4})(?!\d)")
_COMPACT = re.compile(r"\s*((?:19|20)\d\d)([01]\d)([0-3]\d)\s*")


@dataclass(frozen=True, slots=True)
class Day:
    """One printed day: its place in the text, its readings, and what it shows of the document's order."""

    text: str
    start: int
    end: int
    readings: Mapping[str, date]  # by order, or by language where a month's name differs; "" if there is one reading
    shows: str = ""  # the order of numbers that it certainly shows
    suggests: str = ""  # the order that it makes likely
    language: str = ""  # of the month's name, if it is not English

    @property
    def days(self) -> set[date]:
        return set(self.readings.values())


@cache
def months() -> Mapping[str, Mapping[int, frozenset[str]]]:
    """Name or abbreviation of a month, as `plain`, to its number and the languages in which it is that month.

    >>> dict(months()["fevrier"]), sorted(months()["listopad"])
    ({2: frozenset({'fr'})}, [10, 11])
    """
    from babel import Locale

    names: dict[str, dict[int, frozenset[str]]] = {"sept": {9: frozenset({"en"})}}
    for language in _LANGUAGES.split():
        for by_width in Locale(language).months.values():
            for width in ("wide", "abbreviated"):
                for number, name in by_width[width].items():
                    of_name = names.setdefault(plain(name), {})
                    of_name[number] = of_name.get(number, frozenset()) | {language}
    return names


@lru_cache(4096)  # a text is searched for the document's conventions, for its dates and for its numbers
def days_in(text: str) -> tuple[Day, ...]:
    """Every day in a text of a document, from left to right.

    >>> [sorted(map(str, day.days)) for day in days_in("4. März 2018 bis 05.03.2018, 2/14/26")]
    [['2018-03-04'], ['2018-03-05', '2018-05-03'], ['2026-02-14']]
    """
    return tuple(_days(text)) if sum(map(str.isdigit, text)) > 2 else ()


def _days(text: str) -> Iterator[Day]:
    printed, at = as_ascii(text), 0
    while match := _DATE.search(printed, at):
        if day := _read(match, text):
            yield day
        at = match.end() if day else match.start() + 1


def day_in(text: str) -> Day | None:
    """The first day of a text that is one value; None if it has none.

    >>> day_in("Feb13/20").days, day_in("20260204").days, day_in("02/235/20")
    ({datetime.date(2020, 2, 13)}, {datetime.date(2026, 2, 4)}, None)
    """
    printed = as_ascii(text)
    if match := _COMPACT.fullmatch(printed):
        return _day(text, match, {"": _calendar(*map(int, match.groups()))})
    if day := next(iter(days_in(text)), None):
        return day
    return _numeric(text, match) if (match := _LOOSE.search(printed)) else None


def calendar_in(text: str) -> list[tuple[int, int]]:
    """Start and end of every day of a text, and of every month with its year.

    >>> [text[slice(*calendar_in(text)[0])] for text in ("July, 2004", "en juillet 2004", "2004. július", "paid 4 July 2004")]
    ['July, 2004', 'juillet 2004', '2004. július', '4 July 2004']
    >>> calendar_in("Price 2004"), calendar_in("May 29")
    ([], [])
    """
    matches = _MONTH_OF_YEAR.finditer(as_ascii(text))
    months_of_years = [match.span() for match in matches if plain(match["month"] or match["month2"]) in months()]
    return [*((day.start, day.end) for day in days_in(text)), *months_of_years]


def _read(match: re.Match[str], text: str) -> Day | None:
    parts = match.groupdict()
    if parts["y"]:
        numbers = (parts["y"], parts["m"] or parts["m2"], parts["d"] or parts["d2"])
        return _day(text, match, {"": _calendar(*map(int, numbers))})
    if parts["first"]:
        return _numeric(text, match)
    for suffix, year, suggests in (("", "of", DAY_FIRST), ("2", "of2", MONTH_FIRST), ("3", "of3", "")):
        if parts[f"month{suffix}"]:
            meanings = months().get(plain(parts[f"month{suffix}"]), {})
            written, number = _year(parts[year]), int(parts[f"day{suffix}"])
            readings = {
                "" if len(meanings) == 1 else "/".join(sorted(languages)): _calendar(written, month, number)
                for month, languages in meanings.items()
            }
            languages = frozenset().union(*meanings.values())
            language = "" if "en" in languages else min(languages, default="")
            return _day(text, match, readings, suggests=suggests, language=language)
    return None


def _numeric(text: str, match: re.Match[str]) -> Day | None:
    first, second, year = int(match["first"]), int(match["second"]), _year(match["year"])
    by_order = {MONTH_FIRST: _calendar(year, first, second), DAY_FIRST: _calendar(year, second, first)}
    possible = [order for order, day in by_order.items() if day]
    shows = possible[0] if len(possible) == 1 else ""
    dotted = DAY_FIRST if "." in match[0] else ""
    return _day(text, match, by_order, shows, dotted)


def _day(
    text: str,
    match: re.Match[str],
    readings: Mapping[str, date | None],
    shows: str = "",
    suggests: str = "",
    language: str = "",
) -> Day | None:
    possible = {key: day for key, day in readings.items() if day}
    if not possible:
        return None
    start, end = match.span()
    return Day(text[start:end], start, end, possible, shows, suggests, language)


def _year(text: str) -> int:
    year = int(text)
    return year if len(text) > 2 else year + (1900 if year >= _CENTURY else 2000)


def _calendar(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
