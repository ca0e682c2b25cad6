"""People's judgements of products for queries, and what a ranking is worth by them. Entry points: `read_judgements`, `ndcg`.

A judgement is a number from 0 (does not fit) to 3 (exactly what was asked for). A product without one counts as 0; `condensed`
leaves such products out, so that a ranking is not punished for what nobody has judged.
A table of them is a CSV with the columns query, docid and rating; the column class, of the query, may be missing.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from proveout.errors import BadLabels
from proveout.search.terms import terms_of

BEST = 3.0
DEPTH = 10  # of nDCG@10
FEWEST_QUERIES = 2  # groups of them, so that one can be scored by what was learned from another

Judgements = Mapping[str, Mapping[str, float]]  # query: id of a product: 0..3


@dataclass(frozen=True, slots=True)
class Judgement:
    query: str
    product: str  # its id
    rating: float  # 0..3
    query_class: str  # as the table names it; "" if it does not
    place: str  # file and line, for an error message


def read_table(path: Path | str) -> Iterator[Judgement]:
    """Each judgement of a CSV, in order. Raises BadLabels with file and line for what is none or contradicts one above."""
    place = f"{path}"
    ratings: dict[tuple[str, str], float] = {}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            for row in (rows := csv.DictReader(file, strict=True)):
                place = f"{path}, line {rows.line_num}"
                query, product, rating = " ".join((row["query"] or "").split()), row["docid"] or "", _rating(row["rating"])
                if None in row:
                    raise ValueError("more values than columns; quote values that contain a comma")
                if (earlier := ratings.setdefault((query, product), rating)) != rating:
                    raise ValueError(f"{query!r} rates {product!r} {rating:g} here and {earlier:g} above; keep one")
                yield Judgement(query, product, rating, row.get("class") or "", place)
    except (OSError, UnicodeDecodeError, KeyError, ValueError, csv.Error) as error:
        what = f"no column {error} among {', '.join(filter(None, row))}" if isinstance(error, KeyError) else str(error)
        raise BadLabels(f"{place}: {what}; expected a CSV with query, docid and rating, which is 0 to {BEST:.0f}") from error


def _rating(text: str | None) -> float:
    try:
        rating = float(text or "")
    except ValueError:
        rating = math.nan
    if not 0 <= rating <= BEST:
        raise ValueError(f"rating {text!r}")
    return rating


def read_judgements(path: Path | str) -> dict[str, dict[str, float]]:
    """Query to product to rating. Raises BadLabels as `read_table` does."""
    judgements: dict[str, dict[str, float]] = {}
    for each in read_table(path):
        judgements.setdefault(each.query, {})[each.product] = each.rating
    return judgements


def gain(rating: float) -> float:
    """
    >>> gain(3), gain(0)
    (7.0, 0.0)
    """
    return float(2**rating - 1)


def ndcg(ranking: Sequence[str], judged: Mapping[str, float], depth: int = DEPTH) -> float:
    """Normalised discounted cumulative gain, 0..1, with gains 2^rating - 1 (Järvelin and Kekäläinen 2002; Burges et al. 2005).

    nan if no product fits, because then no ranking is better than another.

    >>> round(ndcg(["b", "a"], {"a": 3, "b": 0}), 3), ndcg(["a"], {"a": 0})
    (0.631, nan)
    """
    best = _discounted(sorted(judged.values(), reverse=True)[:depth])
    return _discounted([judged.get(id, 0.0) for id in ranking[:depth]]) / best if best else math.nan


def condensed(ranking: Iterable[str], judged: Mapping[str, float]) -> list[str]:
    """The ranking of the judged products alone (Sakai 2007)."""
    return [id for id in ranking if id in judged]


def fits(ranking: Sequence[str], judged: Mapping[str, float], depth: int = DEPTH) -> bool:
    """Whether a product among the first was judged above 0."""
    return any(judged.get(id, 0.0) > 0 for id in ranking[:depth])


def _discounted(ratings: Iterable[float]) -> float:
    return sum(gain(rating) / math.log2(rank + 1) for rank, rating in enumerate(ratings, 1))


def groups_of(queries: Iterable[str]) -> dict[str, int]:
    """Query to its group. Two queries that share a word are in one, directly or by way of others: they have the same answers.

    >>> groups_of(["camera", "camera case", "phone cases", "tv"])
    {'camera': 0, 'camera case': 0, 'phone cases': 0, 'tv': 3}
    """
    group: dict[str, int] = {}
    terms: dict[int, set[str]] = {}
    for number, query in enumerate(queries):
        own = set(terms_of(query))
        joined = [other for other, words in terms.items() if words & own]
        first = min([number, *joined])
        terms[first] = own.union(*(terms.pop(other) for other in joined))
        group[query] = first
        group = {member: first if its in joined else its for member, its in group.items()}
    return group
