"""The business behind a paper: who bought which spots, when, for how much. Independent of the layout of the form.

Covered: lines that add up to the gross amount to the cent; commission, tax and balances as plausible wrong answers.
Not covered: several papers about the same order. Every paper is independent, except for copies that are sent twice.
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
OLD, NEW = 110, 50  # numbers of advertisers before `new_suppliers` and after it
DIRECT = 0.1  # share of orders without an agency, hence without commission
LONG = 0.10  # share of papers with more lines than fit on a page
RATES = (15, 20, 25, 40, 45, 60, 75, 85, 110, 125, 150, 175, 225, 300, 350, 450, 600, 850)  # dollars per spot
LENGTHS = (4, 6, 6, 9, 13, 13, 20, 27, 41)  # days from the first to the last day of a flight


@dataclass(frozen=True)
class Line:
    """One line of the table of spots; amounts in dollars."""

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
    """The content of one business paper."""

    items: Mapping[str, Item]  # numbers, names, dates and amounts; unknown ones are absent
    lines: tuple[Line, ...]
    bill_to: tuple[str, ...]  # address lines
    station: tuple[str, ...]  # address lines

    @property
    def months(self) -> dict[str, Decimal]:
        """Gross amount by the month in which a line starts, oldest first."""
        amounts: dict[str, Decimal] = {}
        for line in sorted(self.lines, key=lambda line: line.first):
            month = line.first.strftime("%B %Y")
            amounts[month] = amounts.get(month, Decimal(0)) + line.amount
        return amounts


class Market:
    """The advertisers, agencies and stations of a seed; the same for every document."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"{seed} market")
        names: dict[str, None] = {}
        while len(names) < OLD + NEW:
            names.setdefault(_advertiser(rng))
        self.old, self.new = tuple(names)[:OLD], tuple(names)[OLD:]
        self.agencies = tuple(
            (rng.choice(wording.AGENCY_FORMS).format(name), *_address(rng), f"Phone {_phone(rng)}")
            for name in wording.AGENCY_NAMES
        )
        self.seed = seed

    def paperwork(
        self,
        rng: random.Random,
        document_class: str,
        day: date,
        *,
        number: str,
        sender: str,
        raised: int = 1,
        new: bool = False,
        short: bool = False,
    ) -> Paperwork:
        """Generate a paper that is received on `day`.

        `number`: format of its number, such as "{:07}-1"; `sender`: the layout, which decides the stations; `raised`: factor on
        the rates; `new`: from a new advertiser; `short`: it fits on one page.
        """
        pool = self.new if new else self.old
        advertiser = rng.choices(pool, [1 / (rank + 6) for rank in range(len(pool))])[0]
        direct = rng.random() < DIRECT
        agency = rng.choice(self.agencies)
        first, last = _flight(rng, document_class, day)
        lines = _lines(rng, first, last, raised, short)
        gross = sum((line.amount for line in lines), Decimal(0))
        commission = Decimal(0) if direct else (gross * COMMISSION).quantize(CENT)
        tax = (gross * Decimal("0.04")).quantize(CENT)
        balance = Decimal(rng.randrange(5000, 900_000)) / 100 * raised
        issued = day - timedelta(rng.randint(0, 4))
        serial = rng.randrange(10**5, 10**7)
        station = _call_sign(random.Random(f"{self.seed} {sender} {rng.randrange(3)}"))
        client = advertiser.replace(" ", "")[:4].upper()
        product, estimate = _product(rng, advertiser), str(rng.randrange(100, 9999))
        items: dict[str, Item] = {
            "contract_num": number.format(serial),
            "revision": str(rng.choice((0, 0, 1, 1, 2, 3, 5))),
            "advertiser": advertiser,
            "flight": (first, last),
            "gross_amount": gross,
            "net": gross - commission,
            "balance": balance,
            "issued": issued,
            "entered": issued - timedelta(rng.randint(0, 12)),
            "due": issued + timedelta(30),
            "printed": day,
            "period": _period(rng, first, last),
            "month": first.strftime("%B %Y"),
            "estimate": estimate,
            "alt_order": str(rng.randrange(10**7, 10**8)),
            "source_order": str(serial) if rng.random() < 0.4 else str(rng.randrange(10**5, 10**7)),
            "deal": str(rng.randrange(1000, 99999)) if rng.random() < 0.3 else "",
            "agency_code": str(rng.randrange(10**3, 10**7)),
            "advertiser_code": str(rng.randrange(10**2, 10**6)),
            "agency_ref": str(rng.randrange(10**4, 10**8)) if rng.random() < 0.4 else "",
            "advertiser_ref": str(rng.randrange(10**4, 10**6)) if rng.random() < 0.4 else "",
            "product": product,
            "station": station,
            "market": rng.choice(wording.MARKETS),
            "executive": _person(rng),
            "buyer": _person(rng),
            "office": rng.choice(("Washington DC", "New York", "Local", "National", "Atlanta", "Political")),
            "calendar": rng.choice(("Broadcast", "Calendar", "EOM/EOC")),
            "billing": rng.choice(("Cash", "Cash", "Cash in advance", "Trade")),
            "demo": rng.choice(("Adults 35+", "Households", "Adults 25-54", "")),
            "cpe": f"{client}/{product[:3].upper()}/{estimate}",
            "special": rng.choice(("", "", "Attention: Accounts Payable", "Email invoice")),
            "spots": str(sum(line.spots for line in lines)),
        }
        if not direct:
            items |= {"agency": agency[0], "commission": commission}
        taxed = rng.random() < 0.25
        items |= {"tax": tax} if taxed else {}
        items["owed"] = gross - commission + balance + (tax if taxed else 0)
        bill_to = (advertiser, *_address(rng)) if direct else agency
        return Paperwork(
            items,
            lines,
            bill_to,
            (f"{station}-TV", *_address(random.Random(station)), f"Main: {_phone(random.Random(station))}"),
        )


def _flight(rng: random.Random, document_class: str, day: date) -> tuple[date, date]:
    """First and last day: invoices come after their flight, orders and contracts before it."""
    length = rng.choice(LENGTHS)
    if document_class in ("invoice", "other"):
        last = day - timedelta(rng.randint(3, 24))
        return last - timedelta(length), last
    first = day + timedelta(rng.randint(1, 21))
    return first, first + timedelta(length)


def _period(rng: random.Random, first: date, last: date) -> tuple[date, date]:
    """The billing period: whole weeks from Monday around the flight, so on most papers it differs from the flight."""
    start = first - timedelta(first.weekday() + 7 * rng.randint(0, 2))
    return start, last + timedelta(6 - last.weekday() + 7 * rng.randint(0, 1))


def _lines(rng: random.Random, first: date, last: date, raised: int, short: bool) -> tuple[Line, ...]:
    count = rng.randint(22, 48) if rng.random() < LONG and not short else rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13))
    length = (last - first).days
    spans = sorted(sorted((rng.randint(0, length), rng.randint(0, length))) for _ in range(count))
    spans[0][0], spans[-1][1] = 0, length  # the lines span the flight
    odd = Decimal("0.50") if rng.random() < 0.08 else Decimal(0)
    show_length = rng.choice(wording.LENGTHS)
    return tuple(
        Line(
            number,
            rng.choice(wording.SHOWS),
            rng.choice(wording.TIMES),
            rng.choice(wording.WEEKDAYS),
            show_length,
            first + timedelta(start),
            first + timedelta(end),
            rng.choice((1, 1, 2, 2, 3, 4, 5, 8)),
            (Decimal(rng.choice(RATES)) + odd) * raised,
        )
        for number, (start, end) in enumerate(spans, 1)
    )


def _person(rng: random.Random) -> str:
    return f"{rng.choice(wording.FIRST_NAMES)} {rng.choice(wording.LAST_NAMES)}"


def _advertiser(rng: random.Random) -> str:
    first, last, office = rng.choice(wording.FIRST_NAMES), rng.choice(wording.LAST_NAMES), rng.choice(wording.OFFICES)
    cause, trade = rng.choice(wording.CAUSES), rng.choice(wording.TRADES)
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
        f"Vote Yes on {rng.randint(1, 40)} - {cause}",
    )
    local = (
        f"{last} {trade}",
        f"{last} & {rng.choice(wording.LAST_NAMES)} {trade}",
        f"{rng.choice(wording.TOWNS)[0]} {trade}, Inc",
    )
    return rng.choice(campaign if rng.random() < 0.7 else local)


def _product(rng: random.Random, advertiser: str) -> str:
    """A product name, often close to the advertiser's name, as a plausible wrong answer."""
    word = max(advertiser.replace("/", " ").split(), key=len)
    return rng.choice(
        (f"{word.upper()} 26", f"{word} TV", "POLITICAL", "PRIMARY FLIGHT 2", "ISSUE ADVOCACY", "CAND-STATE", "GENERAL 2026")
    )


def _call_sign(rng: random.Random) -> str:
    return rng.choice("KW") + "".join(rng.choices("ABCDEFGHJKLMNPRSTVXYZ", k=3))


def _address(rng: random.Random) -> tuple[str, str]:
    town, state = rng.choice(wording.TOWNS)
    suite = f", Suite {rng.randrange(100, 990)}" if rng.random() < 0.3 else ""
    return (
        f"{rng.randrange(100, 9999)} {rng.choice(wording.STREETS)}{suite}",
        f"{town}, {state} {rng.randrange(10000, 99999)}",
    )


def _phone(rng: random.Random) -> str:
    return f"({rng.randrange(201, 989)}) 555-{rng.randrange(10**4):04}"
