"""What happened: who bought which spots when, for how much, and what the paperwork of it says."""

import random
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from proveout.corpus.synthetic.layouts import Form

OFFICES = ("Congress", "Senate", "Governor", "Mayor", "State House", "County Judge", "School Board", "Sheriff")
CAUSES = ("Clean Rivers", "Safer Roads", "Better Schools", "Fair Taxes", "Open Fields", "Rural Health", "Strong Towns")
TRADES = ("Motors", "Furniture", "Law Group", "Dental", "Roofing", "Credit Union", "Grocers", "Hardware")
SHOWS = ("Early News", "Morning Show", "Noon Report", "Local Live at 5", "Evening News", "Late News", "Sunday Games")
CLASSES, WEIGHTS = ("invoice", "order", "contract", "other"), (52, 24, 19, 5)
COMMISSION = Decimal("0.15")
POOL = 60  # advertisers, and as many again who are new


@dataclass(frozen=True)
class Line:
    description: str
    day: date
    time: str
    length: str
    rate: Decimal


@dataclass(frozen=True)
class Paperwork:
    document_class: str
    values: dict[str, str]  # as printed, by item of the form
    lines: tuple[Line, ...]
    amounts: dict[str, Decimal]  # by row of the totals
    labels: dict[str, str]  # the right answers, as printed; "" where the document does not say


class Business:
    """A market: its advertisers are the same for every document of a seed."""

    def __init__(self, seed: int, raised: int = 1, new_names: bool = False) -> None:
        self.seed, self.raised, self.new_names = seed, raised, new_names

    def paperwork(self, dice: random.Random, form: Form, day: date) -> Paperwork:
        """What one document of this form, received on a day, says."""
        document_class = dice.choices(CLASSES, WEIGHTS)[0]
        number = dice.randrange(POOL) + (POOL if self.new_names else 0)
        advertiser = _advertiser(random.Random(f"{self.seed} advertiser {number}"))
        first = (
            day - timedelta(dice.randint(20, 45))
            if document_class in ("invoice", "other")
            else day + timedelta(dice.randint(2, 20))
        )
        last = first + timedelta(dice.choice((4, 6, 6, 9, 13, 20, 27)))
        drawn = [self._line(dice, first, last) for _ in range(_lines(dice))]
        lines = tuple(sorted(drawn, key=lambda line: line.day))
        gross = sum((line.rate for line in lines), Decimal(0))
        net = (gross * (1 - COMMISSION)).quantize(Decimal("0.01"))
        amounts = {
            "gross_amount": gross,
            "commission": gross - net,
            "net": net,
            "balance": Decimal(dice.randrange(50, 4000)),
            "tax": (gross * Decimal("0.04")).quantize(Decimal("0.01")),
        }
        digits = (20_000, 99_999) if "05" in form.number_style else (10**5, 10**6)
        contract = form.number_style.format(n=dice.randrange(*digits))
        flight = (form.day(first), form.day(last))
        values = {
            "contract_num": contract,
            "advertiser": advertiser,
            "flight": f"{flight[0]} - {flight[1]}",
            "flight_from": flight[0],
            "flight_to": flight[1],
            "invoice_num": f"{dice.randrange(10**6, 10**7)}",
            "invoice_date": form.day(day - timedelta(dice.randint(1, 4))),
            "due": form.day(day + timedelta(30)),
            "estimate": f"{dice.randrange(100, 9999)}",
            "alt_order": f"{dice.randrange(10**7, 10**8)}",
            "agency": dice.choice(AGENCIES),
            "agency_code": f"{dice.randrange(100, 999)}{dice.choice('ABCD')}",
            "product": dice.choice((advertiser.split()[0].upper() + " 26", "POLITICAL", "SPRING FLIGHT", "ISSUE ADVOCACY")),
            "station": dice.choice("KW") + "".join(dice.choice("ABCDEFGHJKLMNPRSTVXYZ") for _ in range(3)),
            "salesperson": f"{dice.choice(FIRST)} {dice.choice(LAST)}",
        }
        labels = {"contract_num": contract, "advertiser": advertiser, "gross_amount": form.money(gross)}
        labels |= {"flight_from": flight[0], "flight_to": flight[1]}
        return Paperwork(document_class, values, lines, amounts, labels)

    def _line(self, dice: random.Random, first: date, last: date) -> Line:
        day = first + timedelta(dice.randint(0, (last - first).days))
        hour = dice.randint(5, 11)
        rate = Decimal(dice.choice((25, 40, 60, 75, 110, 150, 225, 300, 450))) * self.raised
        time = f"{hour}:00-{hour + 1}:00{dice.choice('ap')}"
        return Line(dice.choice(SHOWS), day, time, dice.choice((":15", ":30", ":30", ":60")), rate)


def _lines(dice: random.Random) -> int:
    """Mostly a page; sometimes several."""
    return dice.randint(24, 70) if dice.random() < 0.12 else dice.randint(3, 16)


def _advertiser(dice: random.Random) -> str:
    first, last = dice.choice(FIRST), dice.choice(LAST)
    return dice.choice(
        (
            f"{first} {last} for {dice.choice(OFFICES)}",
            f"Friends of {first} {last}",
            f"{last} for {dice.choice(OFFICES)}",
            f"Committee to Elect {first} {last}",
            f"Citizens for {dice.choice(CAUSES)}",
            f"{last} & {dice.choice(LAST)} {dice.choice(TRADES)}",
            f"{dice.choice(CAUSES)} Action Fund",
            f"{last} {dice.choice(TRADES)}, Inc",
        )
    )


# fmt: off
FIRST = (
    "Ada", "Ben", "Carla", "Dale", "Edith", "Frank", "Gloria", "Henry", "Iris", "Jack", "Karen", "Leo", "Maria", "Neil",
    "Olga", "Peter", "Quinn", "Rosa", "Sam", "Tessa", "Uma", "Victor", "Wanda", "Zoe",
)
LAST = (
    "Abbott", "Barlow", "Castillo", "Dunn", "Ellison", "Fisk", "Garner", "Holt", "Ibarra", "Jensen", "Kessler", "Lowry",
    "Mercer", "Nolan", "Ortega", "Pruitt", "Quimby", "Rhodes", "Sutter", "Tanner", "Underhill", "Vance", "Whitlock", "Yates",
    "Zimmer", "Ackerman", "Bishop", "Crowley", "Delgado", "Everett",
)
AGENCIES = (
    "Harbor Media Buying", "Northline Communications", "Blue Mesa Media", "Keystone Spot Buying", "Prairie Media Group",
    "Direct",
)
# fmt: on
