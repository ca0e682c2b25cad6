"""What happened: who bought which spots when, for how much. Knows nothing of how a form looks.

Covered: lines that add up to the gross amount to the cent; commission, tax and balances that are wrong answers.
Not covered: chains of papers of one business. Every paper stands alone, but for copies that are sent twice.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeAlias

from proveout.corpus.synthetic import wording

Item: TypeAlias = str | date | Decimal | tuple[date, date]

CENT = Decimal("0.01")
COMMISSION = Decimal("0.15")
OLD, NEW = 110, 50  # advertisers before `new_suppliers`, and those who come with it
DIRECT = 0.1  # share of business without an agency: no commission
LONG = 0.10  # share of papers with more lines than a page holds
RATES = (15, 20, 25, 40, 45, 60, 75, 85, 110, 125, 150, 175, 225, 300, 350, 450, 600, 850)  # dollars a spot
LENGTHS = (4, 6, 6, 9, 13, 13, 20, 27, 41)  # days from the first to the last of a flight


@dataclass(frozen=True)
class Line:
    number: int
    show: str
    time: str
    days: str
    length: str
    first: date
    last: date
    spots: int
    rate: Decimal

    @property
    def amount(self) -> Decimal:
        return self.spots * self.rate


@dataclass(frozen=True)
class Paperwork:
    """One business paper, before anybody prints it."""

    items: Mapping[str, Item]  # numbers, names, dates and amounts; what is absent is not known
    lines: tuple[Line, ...]
    bill_to: tuple[str, ...]  # lines of an address
    station: tuple[str, ...]

    @property
    def months(self) -> dict[str, Decimal]:
        """Gross amount by the month in which a line starts."""
        found: dict[str, Decimal] = {}
        for line in sorted(self.lines, key=lambda line: line.first):
            month = line.first.strftime("%B %Y")
            found[month] = found.get(month, Decimal(0)) + line.amount
        return found


class Market:
    """The advertisers, agencies and stations of a seed; the same for every document."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(f"{seed} market")
        names: dict[str, None] = {}
        while len(names) < OLD + NEW:
            names.setdefault(_advertiser(dice))
        self.old, self.new = tuple(names)[:OLD], tuple(names)[OLD:]
        self.agencies = tuple(
            (dice.choice(wording.AGENCY_FORMS).format(name), *_address(dice), f"Phone {_phone(dice)}")
            for name in wording.AGENCY_NAMES
        )
        self.seed = seed

    def paperwork(
        self,
        dice: random.Random,
        document_class: str,
        day: date,
        *,
        number: str,
        home: str,
        raised: int = 1,
        new: bool = False,
        short: bool = False,
    ) -> Paperwork:
        """A paper received on a day.

        number: a form such as "{:07}-1"; home: whose stations; raised: times the usual rates; short: it fits on one page.
        """
        pool = self.new if new else self.old
        advertiser = dice.choices(pool, [1 / (place + 6) for place in range(len(pool))])[0]
        direct = dice.random() < DIRECT
        agency = dice.choice(self.agencies)
        first, last = _flight(dice, document_class, day)
        lines = _lines(dice, first, last, raised, short)
        gross = sum((line.amount for line in lines), Decimal(0))
        commission = Decimal(0) if direct else (gross * COMMISSION).quantize(CENT)
        tax = (gross * Decimal("0.04")).quantize(CENT)
        balance = Decimal(dice.randrange(5000, 900_000)) / 100 * raised
        issued = day - timedelta(dice.randint(0, 4))
        plain = dice.randrange(10**5, 10**7)
        written = number.format(plain)
        station = _call_sign(random.Random(f"{self.seed} {home} {dice.randrange(3)}"))
        client, product, estimate = (
            f"{advertiser.replace(' ', '')[:4].upper()}",
            _product(dice, advertiser),
            str(dice.randrange(100, 9999)),
        )
        items: dict[str, Item] = {
            "contract_num": written,
            "revision": str(dice.choice((0, 0, 1, 1, 2, 3, 5))),
            "advertiser": advertiser,
            "flight": (first, last),
            "gross_amount": gross,
            "net": gross - commission,
            "balance": balance,
            "issued": issued,
            "entered": issued - timedelta(dice.randint(0, 12)),
            "due": issued + timedelta(30),
            "printed": day,
            "period": _period(dice, first, last),
            "month": first.strftime("%B %Y"),
            "estimate": estimate,
            "alt_order": str(dice.randrange(10**7, 10**8)),
            "source_order": str(plain) if dice.random() < 0.4 else str(dice.randrange(10**5, 10**7)),
            "deal": str(dice.randrange(1000, 99999)) if dice.random() < 0.3 else "",
            "agency_code": str(dice.randrange(10**3, 10**7)),
            "advertiser_code": str(dice.randrange(10**2, 10**6)),
            "agency_ref": str(dice.randrange(10**4, 10**8)) if dice.random() < 0.4 else "",
            "advertiser_ref": str(dice.randrange(10**4, 10**6)) if dice.random() < 0.4 else "",
            "product": product,
            "station": station,
            "market": dice.choice(wording.MARKETS),
            "executive": _person(dice),
            "buyer": _person(dice),
            "office": dice.choice(("Washington DC", "New York", "Local", "National", "Atlanta", "Political")),
            "calendar": dice.choice(("Broadcast", "Calendar", "EOM/EOC")),
            "billing": dice.choice(("Cash", "Cash", "Cash in advance", "Trade")),
            "demo": dice.choice(("Adults 35+", "Households", "Adults 25-54", "")),
            "cpe": f"{client}/{product[:3].upper()}/{estimate}",
            "special": dice.choice(("", "", "Attention: Accounts Payable", "Email invoice")),
            "spots": str(sum(line.spots for line in lines)),
        }
        if not direct:
            items |= {"agency": agency[0], "commission": commission}
        taxed = dice.random() < 0.25
        items |= {"tax": tax} if taxed else {}
        items["owed"] = gross - commission + balance + (tax if taxed else 0)
        bill_to = (advertiser, *_address(dice)) if direct else agency
        return Paperwork(
            items,
            lines,
            bill_to,
            (f"{station}-TV", *_address(random.Random(station)), f"Main: {_phone(random.Random(station))}"),
        )


def _flight(dice: random.Random, document_class: str, day: date) -> tuple[date, date]:
    """Bills come after their flight, orders and contracts before it."""
    length = dice.choice(LENGTHS)
    if document_class in ("invoice", "other"):
        last = day - timedelta(dice.randint(3, 24))
        return last - timedelta(length), last
    first = day + timedelta(dice.randint(1, 21))
    return first, first + timedelta(length)


def _period(dice: random.Random, first: date, last: date) -> tuple[date, date]:
    """What is billed: weeks from Monday to Sunday around the flight, so that it differs from it on most papers."""
    start = first - timedelta(first.weekday() + 7 * dice.randint(0, 2))
    return start, last + timedelta(6 - last.weekday() + 7 * dice.randint(0, 1))


def _lines(dice: random.Random, first: date, last: date, raised: int, short: bool) -> tuple[Line, ...]:
    count = dice.randint(22, 48) if dice.random() < LONG and not short else dice.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13))
    length = (last - first).days
    spans = sorted(sorted((dice.randint(0, length), dice.randint(0, length))) for _ in range(count))
    spans[0][0], spans[-1][1] = 0, length  # the lines span the flight
    odd = Decimal("0.50") if dice.random() < 0.08 else Decimal(0)
    show_length = dice.choice(wording.LENGTHS)
    return tuple(
        Line(
            number,
            dice.choice(wording.SHOWS),
            dice.choice(wording.TIMES),
            dice.choice(wording.WEEKDAYS),
            show_length,
            first + timedelta(start),
            first + timedelta(end),
            dice.choice((1, 1, 2, 2, 3, 4, 5, 8)),
            (Decimal(dice.choice(RATES)) + odd) * raised,
        )
        for number, (start, end) in enumerate(spans, 1)
    )


def _person(dice: random.Random) -> str:
    return f"{dice.choice(wording.FIRST_NAMES)} {dice.choice(wording.LAST_NAMES)}"


def _advertiser(dice: random.Random) -> str:
    first, last, office = dice.choice(wording.FIRST_NAMES), dice.choice(wording.LAST_NAMES), dice.choice(wording.OFFICES)
    cause, trade = dice.choice(wording.CAUSES), dice.choice(wording.TRADES)
    campaign = (
        f"{first} {last} for {office}",
        f"Friends of {first} {last}",
        f"{last} for {office}",
        f"Committee to Elect {first} {last}",
        f"{first} {last} {office} Campaign Committee",
        f"POL/{first} {last}/{office}",
        f"Citizens for {cause}",
        f"PAC/{cause} Action Fund",
        f"{cause} Now, Inc",
        f"Vote Yes on {dice.randint(1, 40)} - {cause}",
    )
    local = (
        f"{last} {trade}",
        f"{last} & {dice.choice(wording.LAST_NAMES)} {trade}",
        f"{dice.choice(wording.TOWNS)[0]} {trade}, Inc",
    )
    return dice.choice(campaign if dice.random() < 0.7 else local)


def _product(dice: random.Random, advertiser: str) -> str:
    """Near the advertiser's name, and wrong as an answer."""
    word = max(advertiser.replace("/", " ").split(), key=len)
    return dice.choice(
        (f"{word.upper()} 26", f"{word} TV", "POLITICAL", "PRIMARY FLIGHT 2", "ISSUE ADVOCACY", "CAND-STATE", "GENERAL 2026")
    )


def _call_sign(dice: random.Random) -> str:
    return dice.choice("KW") + "".join(dice.choices("ABCDEFGHJKLMNPRSTVXYZ", k=3))


def _address(dice: random.Random) -> tuple[str, str]:
    town, state = dice.choice(wording.TOWNS)
    suite = f", Suite {dice.randrange(100, 990)}" if dice.random() < 0.3 else ""
    return (
        f"{dice.randrange(100, 9999)} {dice.choice(wording.STREETS)}{suite}",
        f"{town}, {state} {dice.randrange(10000, 99999)}",
    )


def _phone(dice: random.Random) -> str:
    return f"({dice.randrange(201, 989)}) 555-{dice.randrange(10**4):04}"
