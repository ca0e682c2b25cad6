"""What has to hold before a case may act. Each check is a pure function from values to a `Check` with its because.

Where a document gives nothing to test (no date, fewer than three amounts), there is nothing against it: the check passes
and says so. Missing fields are the business of confidence, not of these checks.
"""

import difflib
import itertools
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from proveout.models.values import plain
from proveout.records import Check, SimilarCase, Value

CENT = Decimal("0.01")


def date_order(values: Mapping[str, Value], first: str, last: str) -> Check:
    """The first day is not after the last.

    >>> date_order({"flight_from": date(2020, 3, 2), "flight_to": date(2020, 2, 2)}, "flight_from", "flight_to").because
    'flight_from 2020-03-02 is after flight_to 2020-02-02'
    """
    a, b = values.get(first), values.get(last)
    name = f"{first} not after {last}"
    if not (isinstance(a, date) and isinstance(b, date)):
        return Check(name, True, "one of the dates is missing, nothing to compare")
    if a > b:
        return Check(name, False, f"{first} {a} is after {last} {b}")
    return Check(name, True, f"{first} {a} is not after {last} {b}")


def adds_up(values: Mapping[str, Value], total: str, amounts: Sequence[Decimal]) -> Check:
    """Some of the document's other amounts make the total: two of them (net + commission), or a run of lines.

    `amounts` are all printed amounts in reading order, the total's own occurrences among them.

    >>> lines = [Decimal(x) for x in ("650.00", "650.00", "250.00", "1550.00")]
    >>> adds_up({"gross_amount": Decimal("1550.00")}, "gross_amount", lines)
    Check(name='gross_amount adds up', passed=True, because='3 amounts in a row make 1550.00')
    """
    name, value = f"{total} adds up", values.get(total)
    if not isinstance(value, Decimal):
        return Check(name, True, "no total, nothing to add")
    value = abs(value)
    others = [abs(amount) for amount in amounts if abs(abs(amount) - value) >= CENT and amount]
    if len(set(others)) < 2:
        return Check(name, True, "fewer than two other amounts, nothing to add")
    for a, b in itertools.combinations(sorted(set(others)), 2):
        if abs(a + b - value) < CENT:
            return Check(name, True, f"{a} and {b} make {value}")
    # A run of positive amounts has the sum of two prefixes' difference: one pass over the reading order.
    prefixes, running = {Decimal(0): 0}, Decimal(0)
    for position, amount in enumerate(others, 1):
        running += amount
        if (start := prefixes.get(running - value)) is not None:
            return Check(name, True, f"{position - start} amounts in a row make {value}")
        prefixes[running] = position
    return Check(name, False, f"no amounts on its pages make {value}")


def no_duplicate(because: str) -> Check:
    """`because` says which past case is the same business; empty when none is."""
    return Check("not a duplicate", not because, because or "no past case has these values")


def same_party(values: Mapping[str, Value], key: str, party: str, similar: Sequence[SimilarCase]) -> Check:
    """Past cases with this key name the same party.

    >>> past = [SimilarCase("c1", 0.9, {"contract_num": "17", "advertiser": "Ada for Mayor"})]
    >>> same_party({"contract_num": "17", "advertiser": "Union Gas, Inc"}, "contract_num", "advertiser", past).passed
    False
    """
    name = f"same {party} as past cases of this {key}"
    mine, value = plain(str(values.get(key, ""))), plain(str(values.get(party, "")))
    for case in similar:
        theirs = plain(case.fields.get(party, ""))
        if mine and value and theirs and plain(case.fields.get(key, "")) == mine:
            if difflib.SequenceMatcher(None, value, theirs, autojunk=False).ratio() < 0.6:
                return Check(name, False, f"{case.fields[party]!r} in case {case.case[:12]}, {values[party]!r} here")
            return Check(name, True, f"{case.fields[party]!r} in case {case.case[:12]} too")
    return Check(name, True, f"no similar case has this {key}")
