"""A shop: its products, and what people thought of them as answers to queries. Entry points: `read_shop`, `Shop.save`.

A folder holds products in any format of `catalogue`, and judgements.csv (or ratings.csv) with query, docid, rating and, if
queries are of several classes, class.
Covered: a judged product that is not in the catalogue, a query without a word, a query of two classes, too few queries; each
error names file and line.
Not covered: whether a judgement is right.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from proveout.errors import BadInput, BadLabels
from proveout.files import write_whole
from proveout.search.case import LONGEST
from proveout.search.catalogue import COLUMNS, JUDGEMENTS, Product, read_catalogue
from proveout.search.judgements import FEWEST_QUERIES, Judgements, groups_of, read_table
from proveout.search.terms import terms_of, words_of

UNANSWERABLE = "unanswerable"
LIVE = "live"  # class of the queries that people graded on the review page
EXPECTED = f"products.jsonl or products.csv ({', '.join(COLUMNS)}) and judgements.csv (query, docid, rating)"


@dataclass(frozen=True, slots=True)
class Shop:
    products: Sequence[Product]
    judgements: Judgements
    classes: Mapping[str, str]  # query to its class

    def save(self, products: Path, judgements: Path) -> None:
        """Write both files; `read_shop` reads a folder that has them under the names products.jsonl and judgements.csv."""
        lines = [json.dumps(asdict(product), ensure_ascii=False) for product in self.products]
        write_whole(products, "".join(f"{line}\n" for line in lines))
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["query", "docid", "rating", "class"])
        for query, judged in self.judgements.items():
            rows.writerows([query, id, f"{rating:g}", self.classes[query]] for id, rating in judged.items())
        write_whole(judgements, table.getvalue())


def read_shop(folder: Path) -> Shop:
    """The shop in a folder. Raises BadInput or BadLabels with file, line and what to do."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; expected one with {EXPECTED}")
    table = next((folder / name for name in JUDGEMENTS if (folder / name).exists()), None)
    if table is None:
        raise BadLabels(f"{folder}: no {JUDGEMENTS[0]}; expected {EXPECTED}. Without judgements there is nothing to learn from")
    return shop_of(read_catalogue(folder), table)


def shop_of(products: Sequence[Product], table: Path) -> Shop:
    """Products with the judgements of a table. Raises BadLabels for a table that does not fit them."""
    ids = {product.id for product in products}
    judgements: dict[str, dict[str, float]] = {}
    named: dict[str, str] = {}
    for each in read_table(table):
        if each.product not in ids:
            raise BadLabels(f"{each.place}: no product has the id {each.product!r}; add the product, or remove the line")
        if not terms_of(each.query):
            raise BadLabels(f"{each.place}: the query {each.query!r} has no word; remove the line")
        if len(each.query) > LONGEST:
            raise BadLabels(f"{each.place}: a query of {len(each.query):,} characters; the limit is {LONGEST:,}")
        if named.setdefault(each.query, each.query_class) != each.query_class:
            raise BadLabels(
                f"{each.place}: {each.query!r} is of class {each.query_class!r} here and {named[each.query]!r} above; "
                "give a query one class"
            )
        judgements.setdefault(each.query, {})[each.product] = each.rating
    if not any(rating for judged in judgements.values() for rating in judged.values()):
        raise BadLabels(
            f"{table}: {len(judgements)} judged queries, and no product fits any of them; rate a product that fits above 0"
        )
    if len(set(groups_of(judgements).values())) < FEWEST_QUERIES:
        raise BadLabels(
            f"{table}: {len(judgements)} judged queries that all share words; what was learned from one is tried on another, "
            "so judge queries for other products, too"
        )
    return Shop(products, judgements, {query: named[query] or class_of(query, judged) for query, judged in judgements.items()})


def class_of(query: str, judged: Mapping[str, float]) -> str:
    """The class of a query whose table names none.

    >>> class_of("usb", {"a": 3.0}), class_of("usb cable 2 m", {"a": 1.0}), class_of("usb", {"a": 0.0})
    ('one word', 'several words', 'unanswerable')
    """
    if max(judged.values()) == 0:
        return UNANSWERABLE
    return "one word" if len(words_of(query)) == 1 else "several words"
