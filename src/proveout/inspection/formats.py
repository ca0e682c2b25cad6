"""Which formats the amounts and dates of a document speak for. Entry point: `votes`.

Covered: the decimal mark, and whether day or month comes first. Only a text that allows one reading votes: `1,234.56` and
`27/01/2020` do, `1.234` and `02/03/2020` do not.
Not covered: which value follows; `values` decides that.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

# two decimals, after groups of three or less than four digits in a row: nothing else has this form
_AMOUNT = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:(?P<mark>[.,'’])\d{3})*|\d+)(?P<decimal>[.,])\d{2}(?![\d.,]*\d)")
_DATE = re.compile(r"(?<!\d)(\d{1,2})([./-])(\d{1,2})\2(?:\d{4}|\d{2})(?!\d)")


def votes(texts: Iterable[str]) -> dict[str, Mapping[str, int]]:
    """How many words speak for each reading, most first. A question without a vote is left out.

    >>> votes(["$1,250.00", "12.50", "27/01/2020", "02/03/2020"])
    {'decimal mark': {'.': 2}, 'date order': {'day first': 1}}
    >>> votes(["1.880,00", "12.50", "2020-01-27"])
    {'decimal mark': {',': 1, '.': 1}}
    """
    marks: Counter[str] = Counter()
    orders: Counter[str] = Counter()
    for text in texts:
        for amount in _AMOUNT.finditer(text):
            if amount["mark"] != amount["decimal"] and not _DATE.search(text):
                marks[amount["decimal"]] += 1
        for first, _, second in _DATE.findall(text):
            if max(int(first), int(second)) <= 31 and (int(first) > 12) != (int(second) > 12):
                orders["day first" if int(first) > 12 else "month first"] += 1
    questions = {"decimal mark": dict(marks.most_common()), "date order": dict(orders.most_common())}
    return {question: counts for question, counts in questions.items() if counts}
