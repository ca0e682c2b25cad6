"""Which formats the amounts and dates of a document speak for. Entry point: `formats_of`.

Covered: the decimal mark, and whether day or month comes first. Only a word that allows one reading votes: `1,234.56` and
`27/01/2020` do, `1.234` and `02/03/2020` do not.
Not covered: which value follows; `values` decides that.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

# two decimals, after groups of three digits or after digits without a group: nothing else has this form
_AMOUNT = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:(?P<group>[.,'’])\d{3})*|\d+)(?P<mark>[.,])\d{2}(?![\d.,]*\d)")
_DATE = re.compile(r"(?<!\d)(\d{1,2})([./-])(\d{1,2})\2(?:\d{4}|\d{2})(?!\d)")
CLEAR = 9  # votes against one that outvote it: a misread comma in ten amounts splits no vote


@dataclass(frozen=True)
class Formats:
    """The votes of one document."""

    points: int = 0  # amounts with a decimal point
    commas: int = 0  # amounts with a decimal comma
    date_order: str = ""  # "day first", "month first", or "" if it cannot be told
    because: str = ""  # what shows the order

    @property
    def split(self) -> tuple[str, ...]:
        """Where the votes contradict each other, as sentences."""
        decimals = min(self.points, self.commas) * CLEAR > max(self.points, self.commas)
        parts = [f"{self.points} amounts have a decimal point and {self.commas} a decimal comma"] if decimals else []
        return (*parts, *([self.because] if self.because and not self.date_order else []))


def formats_of(texts: Iterable[str]) -> Formats:
    """The votes of a document's words.

    >>> formats_of(["$1,250.00", "12.50", "27/01/2020", "02/03/2020"])
    Formats(points=2, commas=0, date_order='day first', because="'27/01/2020' has the day first")
    >>> formats_of(["1.880,00", "27.01.2020", "1/28/2020"]).split
    ("'27.01.2020' has the day first, '1/28/2020' the month",)
    """
    marks: Counter[str] = Counter()
    examples: dict[str, str] = {}  # "day" or "month" to the first date that has it first
    for text in texts:
        for date in _DATE.finditer(text):
            first, second = int(date[1]), int(date[3])
            if max(first, second) <= 31 and (first > 12) != (second > 12):
                examples.setdefault("day" if first > 12 else "month", date[0])
        for amount in _AMOUNT.finditer(_DATE.sub("", text)):
            if amount["group"] != amount["mark"]:
                marks[amount["mark"]] += 1
    if len(examples) == 2:
        order, because = "", f"{examples['day']!r} has the day first, {examples['month']!r} the month"
    else:
        order = next((f"{part} first" for part in examples), "")
        because = next((f"{example!r} has the {part} first" for part, example in examples.items()), "")
    return Formats(marks["."], marks[","], order, because)
