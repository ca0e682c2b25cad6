"""What has to hold before a case may act. Each check is a class, named in the mission with its settings.

A check passes, fails, or had nothing to compare (no date, fewer than three amounts): that is nothing against the case, and
nothing for it either; a policy that asks for a passed check is not satisfied by it.
Missing fields are the business of confidence, not of these checks.
To add one: a class with the two methods of `Rule`, and its name in the table of `plugins`.
"""

import difflib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from pydantic import TypeAdapter

from proveout.errors import hint
from proveout.records import Check, Content, Document, Kind, SimilarCase, Value
from proveout.values import cents_of, plain

CENT = Decimal("0.01")
WITH_CENTS = re.compile(r"[($-]*\d[\d,.]*[.,]\d\d\)?")


@dataclass(frozen=True)
class Subject:
    """What a check may look at: one case with the values that were read or that a person gave."""

    content: Content
    values: Mapping[str, Value]
    similar: Sequence[SimilarCase] = ()
    duplicate: Callable[[Sequence[str]], str] = field(
        default=lambda fields: ""
    )  # which case agrees on these fields, as a sentence


class Rule(Protocol):
    """A check of a mission."""

    def __init__(self, settings: Any, kinds: Mapping[str, Kind]) -> None:
        """Raises ValueError for settings that do not fit the mission's fields."""

    def __call__(self, subject: Subject) -> Iterator[Check]:
        """What it finds, each with its because."""


class DateOrder:
    """`date_order: [[first, last], ...]`: the first day is not after the last.

    >>> order = DateOrder([["flight_from", "flight_to"]], {"flight_from": "date", "flight_to": "date"})
    >>> given = {"flight_from": date(2020, 3, 2), "flight_to": date(2020, 2, 2)}
    >>> [check.because for check in order(Subject(Document("", ()), given))]
    ['flight_from 2020-03-02 is after flight_to 2020-02-02']
    """

    def __init__(self, settings: Any, kinds: Mapping[str, Kind]) -> None:
        self.pairs = TypeAdapter(tuple[tuple[str, str], ...]).validate_python(settings)
        _known([name for pair in self.pairs for name in pair], kinds, "date")

    def __call__(self, subject: Subject) -> Iterator[Check]:
        for first, last in self.pairs:
            a, b, name = subject.values.get(first), subject.values.get(last), f"{first} not after {last}"
            if not (isinstance(a, date) and isinstance(b, date)):
                yield Check(name, None, "one of the dates is missing, nothing to compare")
            else:
                yield Check(name, a <= b, f"{first} {a} is {'not ' if a <= b else ''}after {last} {b}")


class AddsUp:
    """`adds_up: [total, ...]`: some of the document's other amounts make the total, two of them or a run of lines."""

    def __init__(self, settings: Any, kinds: Mapping[str, Kind]) -> None:
        self.totals = TypeAdapter(tuple[str, ...]).validate_python(settings)
        _known(self.totals, kinds, "amount")

    def __call__(self, subject: Subject) -> Iterator[Check]:
        printed = amounts(subject.content)
        for total in self.totals:
            yield adds_up(total, subject.values.get(total), printed)


class DuplicateOn:
    """`duplicate_on: [field, ...]`: no other case agrees on all of these fields or has nearly the same text."""

    def __init__(self, settings: Any, kinds: Mapping[str, Kind]) -> None:
        self.fields = TypeAdapter(tuple[str, ...]).validate_python(settings)
        _known(self.fields, kinds)

    def __call__(self, subject: Subject) -> Iterator[Check]:
        because = subject.duplicate(self.fields)
        missing = [name for name in self.fields if name not in subject.values]
        none = "no past case has these values" if self.fields else "no past case has nearly the same text"
        if missing:
            none = f"no past case has nearly the same text; without {', '.join(missing)} no values were compared"
        yield Check("not a duplicate", not because, because or none)


class SamePartyOn:
    """`same_party_on: [key, party]`: past cases with this key name the same party.

    >>> past = [SimilarCase("c1", 0.9, {"contract_num": "17", "advertiser": "Ada for Mayor"})]
    >>> given = {"contract_num": "17", "advertiser": "Union Gas, Inc"}
    >>> rule = SamePartyOn(["contract_num", "advertiser"], {"contract_num": "number", "advertiser": "name"})
    >>> [check.passed for check in rule(Subject(Document("", ()), given, past))]
    [False]
    """

    def __init__(self, settings: Any, kinds: Mapping[str, Kind]) -> None:
        self.key, self.party = TypeAdapter(tuple[str, str]).validate_python(settings)
        _known((self.key, self.party), kinds)

    def __call__(self, subject: Subject) -> Iterator[Check]:
        key, party, values = self.key, self.party, subject.values
        name = f"same {party} as past cases of this {key}"
        mine, value = plain(str(values.get(key, ""))), plain(str(values.get(party, "")))
        for case in subject.similar:
            theirs = plain(case.fields.get(party, ""))
            if mine and value and theirs and plain(case.fields.get(key, "")) == mine:
                if difflib.SequenceMatcher(None, value, theirs, autojunk=False).ratio() < 0.6:
                    yield Check(name, False, f"{case.fields[party]!r} in case {case.case[:12]}, {values[party]!r} here")
                else:
                    yield Check(name, True, f"{case.fields[party]!r} in case {case.case[:12]} too")
                return
        yield Check(name, None, f"no similar case has this {key}")


def adds_up(total: str, value: Value | None, amounts: Sequence[Decimal]) -> Check:
    """Whether some of the other amounts make the total.

    `amounts` are all printed amounts in reading order, the total's own occurrences among them.

    >>> lines = [Decimal(x) for x in ("650.00", "650.00", "250.00", "1550.00")]
    >>> adds_up("gross_amount", Decimal("1550.00"), lines)
    Check(name='gross_amount adds up', passed=True, because='3 amounts in a row make 1550.00')
    """
    name = f"{total} adds up"
    if not isinstance(value, Decimal):
        return Check(name, None, "no total, nothing to add")
    value = abs(value)
    others = [abs(amount) for amount in amounts if abs(abs(amount) - value) >= CENT and amount]
    if len(set(others)) < 2:
        return Check(name, None, "fewer than two other amounts, nothing to add")
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


def amounts(content: Content) -> list[Decimal]:
    """Every printed amount with cents, in reading order."""
    words = [word.text for word in content.words] if isinstance(content, Document) else content.text.split()
    return [Decimal(cents) / 100 for word in words if WITH_CENTS.fullmatch(word) and (cents := cents_of(word))]


def _known(names: Sequence[str], kinds: Mapping[str, Kind], wanted: Kind | None = None) -> None:
    for name in names:
        if name not in kinds:
            raise ValueError(f"unknown field `{name}`; {hint(name, kinds)}")
        if wanted and kinds[name] != wanted:
            raise ValueError(f"expected a field of kind {wanted}; {name} is a {kinds[name]}")
