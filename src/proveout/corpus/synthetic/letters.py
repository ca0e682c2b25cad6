"""Draw papers other than invoices, orders and contracts: letters, statements, credits, disclosures, lists of times.

They hold only some of the fields. Entry point: `draw_other`.
"""

import random
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

from proveout.corpus.synthetic.business import Paperwork
from proveout.corpus.synthetic.layouts import Form
from proveout.corpus.synthetic.paper import MARGIN, Paper, wrap

NONE = {"contract_num": "", "advertiser": "", "gross_amount": "", "flight_from": "", "flight_to": ""}


def draw_other(form: Form, work: Paperwork, rng: random.Random, stamp: str = "") -> tuple[bytes, dict[str, str]]:
    """Draw one of the kinds at random: the PDF and the correct answers, "" for fields that are not on it."""
    letter = _Letter(form, work, rng)
    answers = rng.choice(letter.kinds())()
    letter.paper.end(stamp)
    return letter.paper.drawing.pdf(), NONE | answers


class _Letter:
    def __init__(self, form: Form, work: Paperwork, rng: random.Random) -> None:
        self.form, self.work, self.rng = form, work, rng
        self.paper = Paper(form, work, rng, frozenset())
        self.answers = self.paper.answers()

    def kinds(self) -> tuple[Callable[[], dict[str, str]], ...]:
        """Methods that draw one kind of paper and return the answers printed on it."""
        return (self.letter, self.statement, self.credit, self.disclosure, self.times)

    def _open(self, title: str) -> None:
        paper = self.paper
        paper.y = paper.letterhead(MARGIN) + 2 * paper.step
        place = {"left": MARGIN, "centre": paper.drawing.width / 2, "right": paper.drawing.width - MARGIN}[self.form.title_at]
        paper.drawing.text(place, paper.y, title, self.form.bold, self.form.size * 1.7, self.form.title_at)
        paper.y += 3 * paper.step

    def _write_fields(self, *names: str) -> None:
        entries = [entry for name in names for entry in self.paper.entries_for(name)]
        self.paper.fields(entries, MARGIN, self.paper.width)
        self.paper.y += 2 * self.paper.step

    def _write(self, *sentences: str) -> None:
        paper = self.paper
        for sentence in sentences:
            for line in wrap(sentence, paper.width, self.form.font, self.form.size + 1):
                paper.write(MARGIN, line, size=self.form.size + 1)
                paper.y += 1.3 * paper.step
            paper.y += paper.step

    def _answers_of(self, *names: str) -> dict[str, str]:
        return {name: self.answers[name] for name in names}

    def letter(self) -> dict[str, str]:
        items, as_text = self.work.items, self.form.as_text
        self._open(self.rng.choice(("", "MEMORANDUM", "NOTICE")))
        first, last = self.answers["flight_from"], self.answers["flight_to"]
        self._write(
            as_text(items["issued"]),
            "Dear Sales Manager,",
            f"Please find enclosed the disclosure form of {self.answers['advertiser']} for the schedule that runs from "
            f"{first} to {last}.",
            f"Traffic instructions follow by mail. Our estimate is {items['estimate']}; "
            f"please send questions to {items['buyer']}.",
            "Kind regards,",
            str(items["executive"]),
        )
        return self._answers_of("advertiser", "flight_from", "flight_to")

    def statement(self) -> dict[str, str]:
        paper, as_text, day = self.paper, self.form.as_text, self.work.items["issued"]
        assert isinstance(day, date)
        self._open(self.rng.choice(("STATEMENT OF ACCOUNT", "ACCOUNT STATEMENT", "AGED BALANCES")))
        self._write_fields("advertiser", "agency", "issued", "agency_code")
        total = Decimal(0)
        for place in range(self.rng.randint(3, 12)):
            amount = Decimal(self.rng.randrange(20_000, 900_000)) / 100
            total += amount
            paper.write(MARGIN, as_text(day - timedelta(90 - 7 * place)))
            paper.write(MARGIN + 110, f"Invoice {self.rng.randrange(10**5, 10**7)}-1")
            paper.write(MARGIN + 360, as_text(amount), right=True)
            paper.write(MARGIN + 470, as_text(total), right=True)
            paper.y += 1.2 * paper.step
        paper.write(MARGIN + 260, "Balance", bold=True)
        paper.write(MARGIN + 470, as_text(total), right=True, bold=True)
        paper.y += 2 * paper.step
        return self._answers_of("advertiser")

    def credit(self) -> dict[str, str]:
        paper, amount = self.paper, Decimal(self.rng.randrange(1000, 90_000)) / 100
        self._open(self.rng.choice(("CREDIT MEMO", "NOTICE OF ADJUSTMENT", "REBATE CONFIRMATION")))
        self._write_fields("contract_num", "advertiser", "issued", "estimate", "station")
        credited = f"({self.form.as_text(amount)})"
        self._write(
            f"Allocation: {self.answers['contract_num']}  {self.answers['advertiser']}  Est {self.work.items['estimate']}"
        )
        paper.write(MARGIN, "Credit Amount" + self.form.colon, bold=True)
        paper.write(MARGIN + 200, credited)
        paper.y += 2 * paper.step
        self._write("This credit was made after a review of the station's lowest unit charge. It is no request for payment.")
        return self._answers_of("contract_num", "advertiser") | {"gross_amount": credited}

    def disclosure(self) -> dict[str, str]:
        self._open(
            self.rng.choice(("AGREEMENT FORM FOR POLITICAL BROADCASTS", "DISCLOSURE STATEMENT", "CANDIDATE REQUEST FORM"))
        )
        self._write(
            f"I, {self.work.items['buyer']}, do hereby request station time on behalf of {self.answers['advertiser']}.",
            f"Broadcast dates: {self.answers['flight_from']} through {self.answers['flight_to']}. "
            "See the attached schedule for charges.",
            "[ ] federal candidate   [x] state or local   [ ] issue of national importance",
            f"The treasurer of the committee is {self.work.items['executive']}, {', '.join(self.work.bill_to[1:3])}.",
            "To be signed by station: accepted ____   rejected ____   accepted in part ____",
        )
        return self._answers_of("advertiser", "flight_from", "flight_to")

    def times(self) -> dict[str, str]:
        paper = self.paper
        self._open(self.rng.choice(("SPOT TIMES", "EXACT TIMES REPORT", "AS-RUN AFFIDAVIT")))
        self._write_fields("contract_num", "advertiser", "flight", "product", "station")
        for line in self.work.lines:
            for spot in range(line.spots):
                paper.room_for(2 * paper.step)
                day = line.first + timedelta(self.rng.randint(0, (line.last - line.first).days))
                aired = f"{day:%a}   {self.form.as_text(day)}   {line.time}   {line.show}   {line.length}"
                paper.write(MARGIN, f"{line.number}.{spot + 1}   {aired}")
                paper.y += paper.step
        return self._answers_of("contract_num", "advertiser", "flight_from", "flight_to")
