"""Invented letters to an electricity company for the template `flags`: complaint, urgent, ends_contract.

Most letters are plain about each flag, in one of many wordings. Some deny it ("there is no hurry"), and some are ambiguous ("an
answer in the course of this week would help"): those are labelled sometimes yes and sometimes no, as people would.
"""

import random
import textwrap
from collections.abc import Iterator
from datetime import date, timedelta

DOCUMENTS = 300  # a fifth, 60, is for calibration; 38 with at most one error certify 90 % at 90 % confidence
SEED = 8  # of six seeds tried, one did not certify every flag; this one is neither the best nor the worst
COLUMNS = ("complaint", "urgent", "ends_contract", "day", "class", "layout", "segment")

SHARE = {"complaint": 0.4, "urgent": 0.3, "ends_contract": 0.25}  # share of letters whose answer is yes
PLAIN = {
    "complaint": [
        "I wish to complain about the bill of {day}.",
        "This is the third time that the meter was read wrongly.",
        "I am not satisfied with your last answer.",
        "Nobody called me back, although it was promised twice.",
        "The engineer did not come, and I waited the whole day in vain.",
        "You have charged me twice, which is unacceptable.",
        "I am very disappointed with your service.",
        "Your hotline kept me waiting for forty minutes; that is not good enough.",
        "Once more the bill is wrong.",
        "I expect an apology, and my money back.",
    ],
    "urgent": [
        "Please answer by return.",
        "This is urgent, the cellar is under water.",
        "I need your confirmation by tomorrow.",
        "We have been without power since yesterday.",
        "Please call me today.",
        "Please stop the debit at once.",
        "The court's deadline ends in two days.",
        "It cannot wait: there are small children in the house.",
        "Please send somebody immediately.",
    ],
    "ends_contract": [
        "I hereby cancel my contract as of {later}.",
        "Please end the contract at the next possible date.",
        "I give notice of termination as of {later}.",
        "We move out on {later} and no longer need your electricity.",
        "Please confirm the end of my contract in writing.",
        "I have chosen another supplier from {later} on; please close my account.",
        "My mother has died; please close her account.",
    ],
}
DENIED = {
    "complaint": [
        "This is not a complaint, I only ask.",
        "I am quite satisfied with your service.",
        "Thank you for your quick help last week.",
        "I have no complaint, on the contrary.",
    ],
    "urgent": [
        "There is no hurry.",
        "It is not urgent.",
        "Please take your time.",
        "My daughter works in urgent care, so I am easier to reach in the evening.",
    ],
    "ends_contract": [
        "I do not want to cancel, I only ask for the terms.",
        "I would like to keep my contract as it is.",
        "Please renew my contract for another year.",
        "My neighbour has cancelled, but I stay with you.",
    ],
}
OPEN = {
    "complaint": "The bill is a little higher than I had expected.",
    "urgent": "An answer in the course of this week would help.",
    "ends_contract": "I am thinking about another supplier.",
}
NEUTRAL = [
    "My meter reads {reading}.",
    "Please send me a copy of the bill of {day}.",
    "I have paid {amount} by transfer.",
    "We have moved to {number} Harbor Road.",
    "Could you tell me how the tax is worked out?",
    "I enclose the form, filled in and signed.",
    "Please note my new telephone number, 555-{reading}.",
    "From now on my bank account ends in {number}.",
    "I have a question about the standing charge.",
    "Please change the name on the account to {other}.",
    "How do I read the new meter?",
    "Is there a tariff for night storage heating?",
]
LEAFLET = [
    "Save with our summer offer: new windows at half the price.",
    "Visit us at the fair in Castle Rock, hall {number}.",
    "Subscribe to our newsletter and win a bicycle.",
    "Our partners look forward to your order.",
]
FIRST = ["Nora", "Samuel", "Lucia", "Henry", "Priya", "Tom", "Ines", "Walter", "Aiko", "Greta", "Malik", "Rosa", "Emil", "Joan"]
LAST = [
    "Whitfield", "Okafor", "Brandt", "Castellano", "Raman", "Lindqvist", "Moreau", "Novak", "Tanaka", "Ferro", "Haddad",
    "Byrne",
]  # fmt: skip
PLACES = ["Alder Bay", "Castle Rock", "Clear River", "Harbor Hill", "North Fork", "Oak Valley", "Port Elm", "Silver Lake"]
LAYOUTS = {
    "letter": """{name}
{number} Mill Lane
{place}

To the
Electricity Works                                        {place}, {day}

Customer No {account}

Dear Sir or Madam,

{body}

Yours faithfully
{name}
""",
    "mail": """From:     {name}
To:       service@electricity-works.example
Date:     {day}
Subject:  customer {account}

Hello,

{body}

Best regards
{name}
""",
    "form": """CONTACT FORM

Name          {name}
Place         {place}
Customer No   {account}
Received      {day}

Your message
{body}
""",
    "other": """{place} HOME FAIR

{body}

{day}. If you do not wish to receive this leaflet, tell us.
""",
}


def letters(chance: random.Random, documents: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Text and labels of each document, oldest first; one in fifteen is a leaflet."""
    for number in range(documents):
        day = date(2026, 1, 5) + timedelta(days=number)
        details = {
            "day": f"{day:%d %B %Y}",
            "later": f"{day + timedelta(days=chance.randrange(20, 90)):%d %B %Y}",
            "name": f"{chance.choice(FIRST)} {chance.choice(LAST)}",
            "other": f"{chance.choice(FIRST)} {chance.choice(LAST)}",
            "place": chance.choice(PLACES),
            "account": chance.randrange(10_000, 99_999),
            "reading": chance.randrange(1_000, 9_999),
            "number": chance.randrange(10, 99),
            "amount": f"${chance.randrange(2_000, 60_000) / 100:,.2f}",
        }
        row = {"day": day.isoformat(), "segment": str(details["place"]).split()[0].lower()}
        if chance.randrange(15):
            layout = chance.choice([name for name in LAYOUTS if name != "other"])
            labels = {name: "yes" if chance.random() < share else "no" for name, share in SHARE.items()}
            row |= {"class": "letter", **labels}
            sentences = [sentence for name in SHARE for sentence in _wording(chance, name, labels[name] == "yes")]
            sentences += chance.sample(NEUTRAL, chance.randrange(1, 4))
            chance.shuffle(sentences)
        else:
            layout, sentences = "other", chance.sample(LEAFLET, 3)
            row |= {"class": "other"}
        body = textwrap.fill(" ".join(sentences).format(**details), 76)
        yield LAYOUTS[layout].format(**details, body=body), row | {"layout": layout}


def _wording(chance: random.Random, name: str, yes: bool) -> list[str]:
    """The sentences for one flag: plain, ambiguous, a denial, or none."""
    drawn = chance.random()
    if yes:
        return [OPEN[name]] if drawn < 0.07 else chance.sample(PLAIN[name], 1 if drawn < 0.6 else 2)
    return [OPEN[name]] if drawn < 0.07 else [chance.choice(DENIED[name])] if drawn < 0.25 else []
