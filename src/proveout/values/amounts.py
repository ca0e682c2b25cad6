"""Printed amounts: where they stand in a text, and what they mean. Entry points: `amounts_in`, `amount_in`.

Covered: signs (any dash before or behind, brackets, CR, the Japanese triangle), currencies before and behind, and the world's
numbers: `1,234.56`, `1.234,56`, `1'234.50`, `1 234,56`, `1,23,456.00`, `423.923 KD`, `.75 €`, `1.899,-`, `35€99`, `١٢٫٥`.
An amount that can be read in two ways has a `question` and both readings; `conventions` decides, or says why it cannot. A range
(`26 to 50 €`) is one of them: its lower or its higher end.
Not covered: exchange rates, amounts in words, the letters S and H of German bank statements.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, lru_cache
from typing import Literal

Question = Literal["", "thousands", "columns", "sign", "range"]
# a dot or comma before three digits: thousands or decimals; a space: thousands or two columns; a dash: minus or separator;
# two amounts joined by a dash or a word: either end

_DINARS = "BHD IQD JOD KWD LYD OMR TND KD BD JD DT RO د.ك د.ب د.أ د.ت ر.ع"
_THOUSANDTHS = frozenset(_DINARS.split())  # ISO 4217: three decimals
_ENGLISH_WORDS = frozenset(["ALL", "CUP", "MAD", "SOS", "TOP"])  # codes that are words in a text in capitals
_SIGN = r"[$¢£¤¥֏؋৲৳৻૱௹฿៛\u20a0-\u20cf﷼﹩]"
_LOCAL = (
    r"(?:US|CA|AU|NZ|HK|NT|MX|R|A|C|S)\$|Kč|kč|[Zz]ł|zl|[Kk]r\b\.?|Ft|[Ll]ei|LEI|лв\.?|руб\.?|р\.|Р|грн|тг|Rs\.?|RM|Rp\.?|"
    r"SFr\.?|Fr\.|KD|BD|JD|DT|RO|TL|Dhs?|[Ee]uros?|[Dd]ollars?|[Ff]rancs?|円|元|원|đ|د\.[كبأت]|ر\.[سع]|د\.إ|درهم|ریال|تومان|جنيه"
)
_UNITS = r"(?:ft|in|km|cm|mm|m|m²|m³|kg|g|mg|lbs?|oz|t|l|ml|kWh|MWh|h|hrs?|min|Stk|Stck|St|pcs|pc|x)\b"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u207b\u208b\ufe58\ufe63\uff0d▲△"
_APOSTROPHES = "\u2018\u2019\u02bc\u00b4`\u2032\uff07"
_NARROW = "\u202f\u2007\u2009\u2008\u200a"  # spaces that stand inside a number and never between columns
_TO = r"\s*-\s*|\s(?:to|bis|tot|till|til|do|до|hasta|até)\s"
_RANGE = re.compile(_TO, re.IGNORECASE)
_FROM = re.compile(r"\s*(?:de|da|dal|desde|entre|tra|fra|between|zwischen)\s", re.IGNORECASE)
_FROM_RANGE = re.compile(rf"{_TO}|\s(?:à|a|e|y|et|and|und)\s", re.IGNORECASE)  # without _FROM, "3 à 5 €" is three at five each


@dataclass(frozen=True, slots=True)
class Amount:
    """One printed amount: its place in the text, its likeliest value, and what it shows of the document's conventions."""

    text: str
    start: int
    end: int
    value: Decimal
    money: bool  # with a currency, with cents, or with its thousands apart; a bare number otherwise
    currency: str = ""  # as printed
    mark: str = ""  # the decimal mark that it certainly shows
    group: str = ""  # the separator of thousands that it certainly shows
    question: Question = ""
    other: Decimal | None = None  # the value in the other reading
    separator: str = ""  # the dot or comma in question

    @property
    def thousandths(self) -> bool:
        """Whether its currency has three decimals, such as the dinars of Kuwait and Tunisia and the rial of Oman."""
        return self.currency in _THOUSANDTHS


@cache
def _translation() -> dict[int, str]:
    """Every digit, dash, apostrophe and space of the world to its ASCII sibling, one character for one.

    A narrow or no-break space becomes U+00A0: it stands inside a number.
    """
    digits = {
        code: str(unicodedata.digit(chr(code)))
        for code in range(128, sys.maxunicode)
        if unicodedata.category(chr(code)) == "Nd"
    }
    others = {**dict.fromkeys(_DASHES, "-"), **dict.fromkeys(_APOSTROPHES, "'"), **dict.fromkeys(_NARROW, "\u00a0")}
    others |= {"٫": ".", "٬": "'", "，": ",", "．": ".", "（": "(", "）": ")", "＄": "$", "￥": "¥", "￡": "£", "\u3000": " "}
    return digits | {ord(character): ascii_one for character, ascii_one in others.items()}


def as_ascii(text: str) -> str:
    """The text with ASCII digits, dashes, apostrophes and spaces, of the same length.

    >>> as_ascii("−1’234٫5０")
    "-1'234.50"
    """
    return text if text.isascii() else text.translate(_translation())


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """The pattern of an amount in a document with and without a space between thousands, and in a text that is one value."""
    from babel.core import get_global

    codes = "|".join(sorted(code for code in get_global("all_currencies") if code.isalpha() and code not in _ENGLISH_WORDS))
    currency = rf"(?:{_SIGN}|(?<![^\W\d_])(?:{_LOCAL}|(?:{codes})(?![^\W\d_])))"
    behind = rf"(?:{_SIGN}|(?:{_LOCAL}|{codes})(?![^\W\d_]))"
    return (
        re.compile(_amount(currency, behind, r"[,.' \u00a0]", r"[.,]\d{2}(?!\d)"), re.VERBOSE),
        re.compile(_amount(currency, behind, r"[,.'\u00a0]", r"[.,]\d{2}(?!\d)"), re.VERBOSE),
        re.compile(_amount(currency, behind, r"[,.' \u00a0]", r"[.,]\ ?\d{2}(?!\d)"), re.VERBOSE),
    )


def _amount(currency: str, behind: str, group: str, cents: str) -> str:
    group = group.replace(" ", r"\ ")
    decimals = rf"(?:{cents}|[.,]\d(?!\d)|[.,]\d{{3,}})"
    return rf"""
        (?<![\d.,/:'-])(?<!\d\ [.,])
        (?P<open>\(\s?)?
        (?P<dash>(?<![^\W_])-(?P<apart>\s?))?
        (?:(?P<before>{currency})\s?(?P<dash2>-\s?)?)?
        (?P<digits>
            \d{{1,2}}(?:,\d{{2}})+,\d{{3}}(?!\d)(?:\.\d{{1,3}}(?!\d))?
          | [1-9]\d{{0,2}}(?P<group>{group})\d{{3}}(?!\d)(?:(?P=group)\d{{3}}(?!\d))*(?:(?!(?P=group)\d{{3}}){decimals})?
          | \d+(?!\d){decimals}?
          | (?<![\d\s])[.,]\d{{2,3}}(?!\d) | (?<=\s)[.,]\d{{2,3}}(?!\d) | ^[.,]\d{{2,3}}(?!\d)
        )
        (?P<round>[.,]-+(?![\d-]))?
        (?:(?<=\d)(?P<inside>{_SIGN})\ ?(?P<cents>\d\d)(?![\d.,]|\ ?{_SIGN}))?
        (?:(?P<dash3>-)(?![\w(]|{_SIGN}|\s{_SIGN}\s?\d))?
        (?:\s?(?P<behind>{behind}))?
        (?:\s?(?P<dash4>-)(?=\s*(?:\)|$)))?
        (?:\s?(?P<side>CR|DR|Cr|Dr)\b\.?)?
        (?(open)\s?\))
        (?![\d%]|[.,/:]\d|-\w|\s%)
    """


@lru_cache(4096)  # a text is searched for the document's conventions, for its amounts and for its numbers
def amounts_in(text: str, spaced: bool = True, bare: bool = False) -> tuple[Amount, ...]:
    """Every amount of money in a text of a document, from left to right.

    `spaced`: whether an ordinary space may stand between thousands, as in France and Poland; `bare`: whether numbers count
    that nothing shows to be money.

    >>> [str(amount.value) for amount in amounts_in("3 spots at $500 (-15 %), less (75.00): 1,425.00-, 1 500 Kč")]
    ['500', '-75.00', '-1425.00', '1500']
    """
    if not any(map(str.isdigit, text)):
        return ()
    matches = _patterns()[0 if spaced else 1].finditer(as_ascii(text))
    return tuple(amount for match in matches if (amount := _read(match, text)) and (amount.money or bare))


def amount_in(text: str, days: Iterable[tuple[int, int]] = ()) -> Amount | None:
    """The first amount of money of a text that is one value, or else its first number; None if it has none.

    `days`: start and end of the text's days and months, whose numbers are no amounts.

    >>> amount_in("8. 94").value, amount_in("35€99").value, amount_in("Price 29").value, amount_in("15.08.2017")
    (Decimal('8.94'), Decimal('35.99'), Decimal('29'), None)
    """
    if ends := _range(text):
        return ends
    amounts = _in_value(text)
    amounts = [each for each in amounts if each.money or not any(start < each.end and each.start < end for start, end in days)]
    return next((amount for amount in amounts if amount.money), amounts[0] if amounts else None)


def _in_value(text: str) -> list[Amount]:
    """Every amount and number of a text that is one value."""
    return [amount for match in _patterns()[2].finditer(as_ascii(text)) if (amount := _read(match, text))]


def _range(text: str) -> Amount | None:
    """The first range of a text that is one value, read as its lower end; None if it has none.

    >>> [(ends.value, ends.other) for ends in map(_range, ("From 26 to 50 €", "$20–$35.50", "de 5 à 9 €")) if ends]
    [(Decimal('26'), Decimal('50')), (Decimal('20'), Decimal('35.50')), (Decimal('5'), Decimal('9'))]
    >>> [_range(text) for text in ("3 à 12,50 €", "100.00 - 30 sec", "$500.00 - $75.00", "12-500.00")]
    [None, None, None, None]
    """
    printed = as_ascii(text)
    for joint in (_FROM_RANGE if _FROM.match(printed) else _RANGE).finditer(printed):
        before, after = _in_value(text[: joint.start()])[-1:], _in_value(text[joint.end() :])[:1]
        for low, high in zip(before, after, strict=False):
            touch = low.end == joint.start() and high.start == 0
            whole = bool(high.currency) or joint.end() + high.end == len(text)  # not "$20 - 30 seconds"
            money = bool(low.currency or high.currency) or (low.money and high.money)
            if touch and whole and money and low.value < high.value:
                end, currency = joint.end() + high.end, low.currency or high.currency
                ends = replace(low, text=text[low.start : end].strip(), end=end, money=True, currency=currency)
                return replace(ends, question="range", other=high.value)
    return None


def _read(match: re.Match[str], text: str) -> Amount | None:
    digits, group = match["digits"].replace(" ", "\u00a0") if match["group"] == " " else match["digits"], match["group"] or ""
    digits = digits.replace(" ", "")
    currency = match["before"] or match["inside"] or match["behind"] or ""
    if not currency and re.match(rf"\s?{_UNITS}", match.string[match.end() :]):
        return None
    if digits[0] in ".," and not currency:
        return None
    whole, mark, decimals = _parts(digits, "\u00a0" if group == " " else group)
    if match["cents"]:
        if decimals or group:
            return None
        decimals = match["cents"]
    value = Decimal(f"{whole or 0}.{decimals or 0}") if decimals else Decimal(whole)
    dashed = any(match[name] for name in ("dash", "dash2", "dash3", "dash4"))
    negative = dashed or match["open"] is not None or (match["side"] or "").upper() == "CR"
    sign = -1 if negative else 1
    start, end = match.span()
    question, other = _question(match, mark, decimals, group, value)
    separator = group if question == "thousands" else ""
    money = bool(currency or len(decimals) == 2 or match["round"] or (group and group != " ") or (group and decimals))
    shows = money and not question
    return Amount(
        text=text[start:end].strip(),
        start=start,
        end=end,
        value=sign * value,
        money=money or (len(decimals) == 3 and bool(whole)),
        currency=currency,
        mark=mark if shows and (len(decimals) <= 2 or bool(group) or currency in _THOUSANDTHS) else "",
        group=group if shows else "",
        question=question,
        other=None if other is None else other if question == "sign" else sign * other,
        separator=separator,
    )


def _parts(digits: str, group: str) -> tuple[str, str, str]:
    """Whole part, decimal mark and decimals; three digits behind a single separator count as thousands."""
    at = max(digits.rfind("."), digits.rfind(","))
    separators = [character for character in digits if not character.isdigit()]
    last = digits[at] if at >= 0 else ""
    tail = digits[at + 1 :] if at >= 0 else ""
    is_group = last == "" or (last == (group or ",") and len(tail) == 3 and bool(group or len(separators) > 1))
    if is_group:
        return re.sub(r"\D", "", digits), "", ""
    return re.sub(r"\D", "", digits[:at]), last, tail


def _question(match: re.Match[str], mark: str, decimals: str, group: str, value: Decimal) -> tuple[Question, Decimal | None]:
    printed = match["digits"]
    if group in (".", ",") and not decimals and printed.count(group) == 1 and not match["round"]:
        return "thousands", Decimal(printed.replace(",", "."))
    if group == " " and mark == "." and printed.count(" ") == 1:
        return "columns", Decimal(printed.partition(" ")[2])
    if match["dash"] and match["apart"] and not match["open"]:
        return "sign", value
    return "", None
