"""Checks that must hold before the agent acts on a case. Each is a class; the mission names it and gives its settings.

A check passes, fails, or has nothing to compare (no date, fewer than three amounts). The last counts neither for nor against
the case, so it does not satisfy a policy that requires a passed check.
Not covered: missing fields; the confidence threshold deals with those.
To add one, write a class with the two methods of `Rule` and list it in `plugins`, or in your own package by an entry point
(docs/extending.md).
"""

import difflib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from pydantic import TypeAdapter

from proveout.errors import hint
from proveout.records import E_INVOICE_TERMS, Check, Content, DateOrder, Document, Kind, SimilarCase, Value
from proveout.values import amounts_of, conventions, doubt, plain, same, written

CENT = Decimal("0.01")
READ_ONE_WAY = "read in one way"


@dataclass(frozen=True)
class Subject:
    """The input of a check: one case with its values, either extracted or given by a person."""

    content: Content
    values: Mapping[str, Value]
    similar: Sequence[SimilarCase] = ()
    duplicate: Callable[[Sequence[str]], str] = field(default=lambda fields: "")  # the case with the same values, in words
    printed: Mapping[str, str] = field(default_factory=dict)  # field to text, for values that a machine read


class Rule(Protocol):
    """A check of a mission."""

    def __init__(self, settings: Any, kinds: Mapping[str, Kind]) -> None:
        """`kinds`: the mission's fields. Raises ValueError for settings that do not fit them."""

    def __call__(self, subject: Subject) -> Iterator[Check]:
        """The results, each with its reason."""


class ReadInOneWay:
    """`read_in_one_way: <the mission's order of dates>`: no amount and no day of the case may mean something else.

    Every mission has this check. The other amounts and days of its document decide what an ambiguous text means; where they do
    not, the check fails and says why. A value that a person gave is not in doubt.

    >>> from proveout.records import Document
    >>> rule = ReadInOneWay("inferred", {"due": "date"})
    >>> checks = rule(Subject(Document("", ()), {"due": date(2026, 3, 4)}, printed={"due": "03/04/2026"}))
    >>> [check.because for check in checks]
    ["due '03/04/2026' may be 2026-03-04 or 2026-04-03: nothing on its pages shows the order of day and month"]
    """

    def __init__(self, settings: Any, kinds: Mapping[str, Kind]) -> None:
        self.dates, self.kinds = TypeAdapter(DateOrder).validate_python(settings), dict(kinds)

    def __call__(self, subject: Subject) -> Iterator[Check]:
        kinds = {name: self.kinds[name] for name in subject.printed if self.kinds.get(name) in ("amount", "date")}
        if not kinds:
            yield Check(READ_ONE_WAY, None, "nothing to read: no amount and no day")
            return
        printed = conventions(subject.content, self.dates)
        doubts = {name: doubt(kind, subject.printed[name], printed) for name, kind in kinds.items()}
        because = "; ".join(f"{name} {text}" for name, text in doubts.items() if text)
        shows_order = printed.order and "date" in kinds.values()
        order = f"; days are {printed.order.replace('_', ' ')}: {printed.because}" if shows_order else ""
        yield Check(READ_ONE_WAY, not because, because or f"each amount and day means one thing{order}")


class DatesInOrder:
    """`date_order: [[first, last], ...]`: the first day is not after the last.

    >>> from proveout.records import Document
    >>> order = DatesInOrder([["flight_from", "flight_to"]], {"flight_from": "date", "flight_to": "date"})
    >>> values = {"flight_from": date(2020, 3, 2), "flight_to": date(2020, 2, 2)}
    >>> [check.because for check in order(Subject(Document("", ()), values))]
    ['flight_from 2020-03-02 is after flight_to 2020-02-02']
    """

    def __init__(self, settings: Any, kinds: Mapping[str, Kind]) -> None:
        self.pairs = TypeAdapter(tuple[tuple[str, str], ...]).validate_python(settings)
        _require([name for pair in self.pairs for name in pair], kinds, "date")

    def __call__(self, subject: Subject) -> Iterator[Check]:
        for first, last in self.pairs:
            a, b, name = subject.values.get(first), subject.values.get(last), f"{first} not after {last}"
            if not (isinstance(a, date) and isinstance(b, date)):
                yield Check(name, None, "nothing to compare: a date is missing")
            else:
                yield Check(name, a <= b, f"{first} {a} is {'not ' if a <= b else ''}after {last} {b}")


class AddsUp:
    """`adds_up: [total, ...]`: two other amounts of the document, or several in a row, add up to the total."""

    def __init__(self, settings: Any, kinds: Mapping[str, Kind]) -> None:
        self.totals = TypeAdapter(tuple[str, ...]).validate_python(settings)
        _require(self.totals, kinds, "amount")

    def __call__(self, subject: Subject) -> Iterator[Check]:
        printed = amounts_of(subject.content)
        for total in self.totals:
            yield adds_up(total, subject.values.get(total), printed)


class DuplicateOn:
    """`duplicate_on: [field, ...]`: no other case agrees on all of these fields or has nearly the same text."""

    def __init__(self, settings: Any, kinds: Mapping[str, Kind]) -> None:
        self.fields = TypeAdapter(tuple[str, ...]).validate_python(settings)
        _require(self.fields, kinds)

    def __call__(self, subject: Subject) -> Iterator[Check]:
        because = subject.duplicate(self.fields)
        missing = [name for name in self.fields if name not in subject.values]
        unique = "no past case has these values" if self.fields else "no past case has nearly the same text"
        if missing:
            unique = f"no past case has nearly the same text; values not compared, {', '.join(missing)} missing"
        yield Check("not a duplicate", not because, because or unique)


class AgreesWithEInvoice:
    """`agrees_with_e_invoice: {field: term, ...}`: the value that was read is the one that the e-invoice states.

    A mission whose fields name terms has this check without listing it.

    >>> from proveout.records import EInvoice
    >>> rule = AgreesWithEInvoice({"gross": "total"}, {"gross": "amount"})
    >>> stated = EInvoice("CII", "", "factur-x.xml", (("total", "119.00"),))
    >>> [check.because for check in rule(Subject(Document("", (), (), stated), {"gross": Decimal("100.00")}))]
    ['gross was read as 100.00, but the e-invoice states 119.00 as total']
    """

    def __init__(self, settings: Any, kinds: Mapping[str, Kind]) -> None:
        self.terms, self.kinds = TypeAdapter(dict[str, str]).validate_python(settings), kinds
        for name, term in self.terms.items():
            if term not in E_INVOICE_TERMS:
                raise ValueError(f"unknown term `{term}`; {hint(term, E_INVOICE_TERMS)}")
            _require((name,), kinds, E_INVOICE_TERMS[term])

    def __call__(self, subject: Subject) -> Iterator[Check]:
        stated = subject.content.e_invoice if isinstance(subject.content, Document) else None
        if stated is None:
            return
        for name, term in self.terms.items():
            text, value = stated.term(term), subject.values.get(name)
            if not text or value is None:
                yield Check(f"{name} as in the e-invoice", None, "nothing to compare")
                continue
            read = written(value)
            agrees = value == Decimal(text) if isinstance(value, Decimal) else same(self.kinds[name], read, text)
            stated_too = f"{'and' if agrees else 'but'} the e-invoice states {' '.join(text.split())} as {term}"
            because = f"{name} was read as {read}, {stated_too}"
            yield Check(f"{name} as in the e-invoice", agrees, because)


class SamePartyOn:
    """`same_party_on: [key, party]`: past cases with this key name the same party.

    >>> from proveout.records import Document
    >>> past = [SimilarCase("c1", 0.9, {"contract_num": "17", "advertiser": "Ada for Mayor"})]
    >>> values = {"contract_num": "17", "advertiser": "Union Gas, Inc"}
    >>> rule = SamePartyOn(["contract_num", "advertiser"], {"contract_num": "number", "advertiser": "name"})
    >>> [check.passed for check in rule(Subject(Document("", ()), values, past))]
    [False]
    """

    def __init__(self, settings: Any, kinds: Mapping[str, Kind]) -> None:
        self.key, self.party = TypeAdapter(tuple[str, str]).validate_python(settings)
        _require((self.key, self.party), kinds)

    def __call__(self, subject: Subject) -> Iterator[Check]:
        key, party, values = self.key, self.party, subject.values
        name = f"same {party} as past cases of this {key}"
        own_key, own_party = plain(str(values.get(key, ""))), plain(str(values.get(party, "")))
        for case in subject.similar:
            past_party = plain(case.fields.get(party, ""))
            if own_key and own_party and past_party and plain(case.fields.get(key, "")) == own_key:
                past = f"{case.fields[party]!r} in case {case.case[:12]}"
                if difflib.SequenceMatcher(None, own_party, past_party, autojunk=False).ratio() < 0.6:
                    yield Check(name, False, f"{past}, {values[party]!r} in this one")
                else:
                    yield Check(name, True, f"{past} too")
                return
        yield Check(name, None, f"no similar case has this {key}")


def adds_up(total: str, value: Value | None, amounts: Sequence[Decimal]) -> Check:
    """Whether two other amounts, or several in a row, add up to the total.

    `amounts`: all printed amounts in reading order, including the total itself. The signs count: a discount is taken off, and a
    credit note adds up below zero; it may print its parts without signs. With a deduction, the total may make another amount.

    >>> lines = [Decimal(x) for x in ("650.00", "650.00", "250.00", "1550.00")]
    >>> adds_up("gross_amount", Decimal("1550.00"), lines)
    Check(name='gross_amount adds up', passed=True, because='3 amounts in a row make 1550.00')
    >>> adds_up("gross_amount", Decimal("1550.00"), [Decimal("-232.50"), Decimal("1317.50")]).because
    '1550.00 less 232.50 makes 1317.50'
    """
    name = f"{total} adds up"
    if not isinstance(value, Decimal):
        return Check(name, None, "nothing to add: no total")
    others = [amount for amount in amounts if abs(abs(amount) - abs(value)) >= CENT and amount]
    if len(set(others)) < 2:
        return Check(name, None, "nothing to add: fewer than two other amounts")
    if value < 0 < min(others):
        others = [-amount for amount in others]
    different = sorted(set(others))
    for a, b in itertools.combinations(different, 2):
        if abs(a + b - value) < CENT:
            return Check(name, True, f"{a} and {b} make {value}")
        for deduction, rest in ((a, b), (b, a)):
            if deduction * value < 0 and abs(value + deduction - rest) < CENT:
                return Check(name, True, f"{value} less {abs(deduction)} makes {rest}")
    # The sum of a run is the difference of two prefix sums, so one pass is enough.
    prefixes, running = {Decimal(0): 0}, Decimal(0)
    for position, amount in enumerate(others, 1):
        running += amount
        if (start := prefixes.get(running - value)) is not None:
            return Check(name, True, f"{position - start} amounts in a row make {value}")
        prefixes[running] = position
    return Check(name, False, f"no amounts on its pages make {value}")


def _require(names: Sequence[str], kinds: Mapping[str, Kind], kind: Kind | None = None) -> None:
    for name in names:
        if name not in kinds:
            raise ValueError(f"unknown field `{name}`; {hint(name, kinds)}")
        if kind and kinds[name] != kind:
            raise ValueError(f"expected a field of kind {kind}; {name} is of kind {kinds[name]}")
