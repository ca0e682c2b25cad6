"""What people ask a drawn shop, in other words than its judged queries. Entry point: `draw_log`.

Every request has a day and comes from the web or by voice. Two things are planted: from the second half on people ask more
often for what the shop does not sell, and those who speak use the other word for a thing more often than those who type.
Covered: the same seed gives the same log; no text is one of the judged queries. What fits each text follows from how the shop
was drawn.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from proveout.files import write_whole
from proveout.search.synthetic import CATEGORIES, Category, Item, drawn, misspelt, rated, unfit

DAYS, FIRST = 56, date(2026, 9, 21)
A_DAY = 18
UNSOLD_BEFORE, UNSOLD_AFTER = 0.08, 0.3  # share of the requests for what the shop does not sell, in each half
VOICE = 0.35  # of the requests
SYNONYM = {"web": 0.1, "voice": 0.6}  # share of the other requests that use the other word
MISSPELT = 0.1  # of what is typed
UNSOLD = (
    *(
        "air fryer",
        "pizza stone",
        "rain barrel",
        "hamster wheel",
        "sewing pattern",
        "trampoline net",
        "door mat coconut",
        "tea light",
    ),
    *("fishing rod", "water colours", "baking paper", "hot tub", "curtain rail", "beehive", "car wax", "toddler slippers"),
    *(
        "gas grill",
        "hair dye",
        "ironing table",
        "leather conditioner",
        "mosquito net",
        "party hats",
        "rubber duck",
        "salt lamp",
    ),
)


@dataclass(frozen=True, slots=True)
class Request:
    id: str
    query: str
    day: date
    segment: str


@dataclass(frozen=True, slots=True)
class Log:
    requests: Sequence[Request]
    judgements: Mapping[str, Mapping[str, float]]  # of each text that is asked

    def save(self, folder: Path) -> None:
        """Write queries.csv, as an inbox takes it, and judgements.csv, which labels its cases."""
        asked = [(request.query, request.id, request.day, request.segment) for request in self.requests]
        write_whole(folder / "queries.csv", _table(("query", "id", "day", "segment"), asked))
        rated = [(query, id, f"{rating:g}") for query, judged in self.judgements.items() for id, rating in judged.items()]
        write_whole(folder / "judgements.csv", _table(("query", "docid", "rating"), rated))


def draw_log(seed: int = 7, categories: int = len(CATEGORIES)) -> Log:
    """The log of the shop that `synthetic.draw` draws with this seed."""
    shop = [(category, items) for category, items, _ in drawn(np.random.default_rng(seed), categories)]
    judged = {query for _, _, queries in drawn(np.random.default_rng(seed), categories) for query, _, _ in queries}
    products = [item.product for _, items in shop for item in items]
    rng = np.random.default_rng(seed + 1)
    requests: list[Request] = []
    judgements: dict[str, Mapping[str, float]] = {}
    for number in range(DAYS * A_DAY):
        day = number // A_DAY
        segment = "voice" if rng.random() < VOICE else "web"
        if rng.random() < (UNSOLD_BEFORE if day < DAYS // 2 else UNSOLD_AFTER):
            query = UNSOLD[int(rng.integers(len(UNSOLD)))]
            ratings: Mapping[str, float] = judgements.get(query) or unfit(products, rng)
        else:
            category, items = shop[int(rng.integers(len(shop)))]
            query, ratings = _asked(category, items, segment, rng)
            if query in judged:
                query += " new"
        judgements[query] = ratings
        requests.append(Request(f"r{number:05}", query, FIRST + timedelta(days=day), segment))
    return Log(requests, judgements)


def _asked(
    category: Category, items: Sequence[Item], segment: str, rng: np.random.Generator
) -> tuple[str, Mapping[str, float]]:
    """A query for something of this category, and what fits it."""
    noun = category.synonym if rng.random() < SYNONYM[segment] else category.noun
    value = category.values[int(rng.integers(len(category.values)))]
    look, unit = category.looks[int(rng.integers(2))], category.unit.split()[0].lower()
    asked = (
        (f"{noun} {value} {unit}", rated(items, value=value)),
        (f"{look} {noun} {value} {unit}", rated(items, value=value, look=look)),
        (f"{noun} {look}", rated(items, look=look)),
        (f"{noun} {category.accessories[1]}", rated(items, category.accessories[1])),
    )
    query, ratings = asked[int(rng.integers(len(asked)))]
    return (misspelt(query, rng) if segment == "web" and rng.random() < MISSPELT else query), ratings


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()
