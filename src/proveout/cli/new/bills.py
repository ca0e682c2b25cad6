"""Invented bills in three layouts for the template `questions`: sender, total, reference and due date."""

import random
from collections.abc import Iterator
from datetime import date, timedelta

DOCUMENTS = 200  # a fifth is for calibration; certifying 90 % at 90 % confidence takes 22 values without an error
SEED = 7
COLUMNS = ("reference", "sender", "total", "due", "day", "class", "layout", "segment")

PLACES = ["Alder Bay", "Castle Rock", "Clear River", "Harbor Hill", "North Fork", "Oak Valley", "Port Elm", "Silver Lake"]
TRADES = ["Electric", "Gas", "Internet", "Telephone", "Waste Services", "Water Works"]
PEOPLE = ["Nora Whitfield", "Samuel Okafor", "Lucia Brandt", "Henry Castellano", "Priya Raman", "Tom Lindqvist"]
LAYOUTS = {
    "headed": (
        "%m/%d/%Y",
        """{sender}
12 Market Street

BILL                                        Bill No: {reference}
                                      Date of issue: {issued}
Customer       {customer}
Customer No    {account}

Service                    {service}
Standing charge            {standing}
Tax                        {tax}
Total due                  {total}

Please pay by {due}.
""",
    ),
    "listed": (
        "%Y-%m-%d",
        """INVOICE

From:       {sender}
To:         {customer}
Reference:  {reference}
Period:     {start} - {issued}

Service            {service}
Standing charge    {standing}
Tax                {tax}
Amount payable     {total}
Payment due        {due}
""",
    ),
    "rows": (
        "%m/%d/%y",
        """{sender}

STATEMENT OF ACCOUNT     Customer No {account}

Account reference     Issued        Pay before    Amount to pay
{reference:<22}{issued:<14}{due:<14}{total}

{customer}
Thank you for paying on time.
""",
    ),
}
LETTER = """{sender}

Notice

Dear customer {customer}, our office moves to Harbor Road on {issued}.
Your contract stays as it is. Nothing is to be paid.

Kind regards
"""


def bills(chance: random.Random, documents: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Text and labels of each document, oldest first; one in twelve is a letter that asks for no payment."""
    for number in range(documents):
        day = date(2026, 1, 5) + timedelta(days=number)
        place, trade = chance.choice(PLACES), chance.choice(TRADES)
        layout = list(LAYOUTS)[chance.randrange(len(LAYOUTS))]
        form, text = LAYOUTS[layout]
        cents = [chance.randrange(2_000, 60_000), chance.randrange(300, 1_500)]
        cents.append(sum(cents) * 8 // 100)
        service, standing, tax, total = (f"${amount / 100:,.2f}" for amount in (*cents, sum(cents)))
        labels = {
            "sender": f"{place} {trade}",
            "reference": f"{place[0]}{trade[0]}-{chance.randrange(100_000, 999_999)}",
            "total": total,
            "due": (day + timedelta(days=chance.randrange(10, 40))).strftime(form),
        }
        dates = {"issued": day.strftime(form), "start": (day - timedelta(days=30)).strftime(form)}
        amounts = {"service": service, "standing": standing, "tax": tax}
        customer = {"customer": chance.choice(PEOPLE), "account": str(chance.randrange(10_000, 99_999))}
        row = {"day": day.isoformat(), "segment": trade.split()[0].lower()}
        if chance.randrange(12):
            yield text.format(**labels, **dates, **amounts, **customer), row | labels | {"class": "bill", "layout": layout}
        else:
            yield LETTER.format(**labels, **dates, **customer), row | {"class": "other", "layout": "letter"}
