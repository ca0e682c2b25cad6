"""What speaks for a product as the answer to a query, as numbers for the ranker. Entry point: `columns`.

Words: BM25 and the share of the query's words in each field, where the query stands in the title and in the description, all
words or some. Meaning: similarity to the query, to the best products by words, and how many of the product's nearest products
have the query's words in their titles. An accessory names the product that it is for in other places of its title than the
product itself does, and its nearest products are accessories, too.
Not covered: prices, clicks and dates. They say what sells or what is new, not what was asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proveout.retrieval.ranking import K1, B
from proveout.search.product_index import FIELDS, TEXT, FieldTerms, ProductIndex, Rows
from proveout.search.vocabulary import Query

Floats = NDArray[np.float64]

FEEDBACK = 20  # first products by words, whose mean vector stands for what the query is about
FAR = 50.0  # words; where the query is not in a text

PLACED = ("title", "description")  # fields whose order of words counts
NAMES = (
    *(f"{field}_{name}" for field in FIELDS for name in ("bm25", "bm25_of_best", "coverage")),
    *(f"{field}_{name}" for field in PLACED for name in ("times", "phrase_start", "phrase_before_end")),
    *("text_bm25", "text_bm25_of_best", "bm25", "bm25_of_best", "bm25_every_word", "coverage"),
    *("similarity", "similarity_below_best", "feedback_similarity", "neighbour_coverage"),
    *("title_length", "description_length", "attributes_length", "brand_size"),
    *("needs", "products_with_every_word", "best_bm25", "best_similarity", "commonest_need"),
)


@dataclass(frozen=True, slots=True)
class _Field:
    """How the candidates meet a query's needs in one field."""

    weights: Floats  # (needs,) how rare each need is in this field
    counts: Floats  # (needs, candidates) words that meet each need
    bm25: Floats  # (candidates,)
    lengths: Floats  # (candidates,) words
    start: Floats  # (candidates,) words before the whole query in a row; FAR where it is not
    before_end: Floats  # (candidates,) words after it

    @property
    def meets(self) -> NDArray[np.bool_]:
        return self.counts > 0


def columns(
    index: ProductIndex, query: Query, rows: Sequence[int], vector: NDArray[np.float32], with_every_word: int
) -> Floats:
    """(candidates, len(NAMES)) of a query with at least one need.

    `vector`: the query's, (384,); `with_every_word`: how many products have all of its words.
    """
    candidates = np.asarray(rows, dtype=np.int64)
    if not len(candidates):
        return np.zeros((0, len(NAMES)))
    needs = [index.ids_of(need) for need in query.needs]
    fields = {name: _field(index.fields[name], needs, candidates) for name in (*FIELDS, TEXT)}
    meets = np.any([field.meets for field in fields.values()], axis=0)
    weights, text = fields[TEXT].weights, fields[TEXT].bm25
    bm25 = np.sum([fields[name].bm25 for name in FIELDS], axis=0)
    best = candidates[np.argsort(-bm25, kind="stable")[:FEEDBACK]]
    similarity = index.vectors[candidates] @ vector
    of_query = (len(query.needs), np.log1p(with_every_word), bm25.max(), similarity.max(), weights.min())
    result: list[NDArray[np.floating[Any]]] = []
    for name in FIELDS:
        result += [fields[name].bm25, _of_best(fields[name].bm25), _coverage(fields[name].meets, weights)]
    for name in PLACED:
        result += [fields[name].counts.sum(axis=0), fields[name].start, fields[name].before_end]
    result += [text, _of_best(text), bm25, _of_best(bm25), np.where(meets.all(axis=0), bm25, 0.0), _coverage(meets, weights)]
    result += [similarity, similarity - similarity.max(), index.vectors[candidates] @ index.vectors[best].mean(axis=0)]
    result += [_neighbour_coverage(index, needs, weights, candidates)]
    result += [fields[name].lengths for name in ("title", "description", "attributes")]
    result += [np.log1p(index.brand_sizes[candidates])]
    result += [np.full(len(candidates), value) for value in of_query]
    return np.stack(result, axis=1)


def typicality(index: ProductIndex, query: Query, rows: Sequence[int]) -> float:
    """Mean share of the query's words, 0..1, in the titles of the products nearest to these; 0 without rows.

    High where these are among products that are called so; low where they only mention it, as accessories do.
    """
    if not rows:
        return 0.0
    needs = [index.ids_of(need) for need in query.needs]
    weights = np.array([index.fields[TEXT].rarity(need) for need in needs])
    return float(_neighbour_coverage(index, needs, weights, np.asarray(rows, dtype=np.int64)).mean())


def _field(terms: FieldTerms, needs: Sequence[Sequence[int]], rows: Rows) -> _Field:
    ids, owners, positions = terms.of(rows)
    hits, lengths = _hits(ids, needs), terms.lengths(rows)
    counts, weights = _counts(hits, owners, len(rows)), np.array([terms.rarity(need) for need in needs])
    bm25 = weights @ (counts * (K1 + 1) / (counts + K1 * (1 - B + B * lengths / max(terms.average, 1.0))))
    start, before_end = np.full(len(rows), FAR), np.full(len(rows), FAR)
    at, span = _phrases(hits, owners)
    first, last = at[::-1], at  # of several in a text, what is written last stays
    start[owners[first]] = np.minimum(positions[first], FAR)
    before_end[owners[last]] = np.minimum(lengths[owners[last]] - positions[last] - span, FAR)
    return _Field(weights, counts, bm25, lengths.astype(np.float64), start, before_end)


def _counts(hits: NDArray[np.bool_], owners: Rows, count: int) -> Floats:
    """(needs, texts) how many terms of each text meet each need."""
    return np.array([np.bincount(owners[hit], minlength=count) for hit in hits], dtype=np.float64).reshape(len(hits), count)


def _hits(ids: NDArray[np.int32], needs: Sequence[Sequence[int]]) -> NDArray[np.bool_]:
    """(needs, terms) which term meets which need."""
    hits = np.zeros((len(needs), len(ids)), dtype=np.bool_)
    for row, need in enumerate(needs):
        for id in need:
            hits[row] |= ids == id
    return hits


def _phrases(hits: NDArray[np.bool_], owners: Rows) -> tuple[Rows, int]:
    """Where the needs are met in a row, or by one compound, and how many words that takes."""
    span = len(hits)
    if not span or hits.shape[1] < 1:
        return np.zeros(0, dtype=np.int64), 1
    whole = np.flatnonzero(hits.all(axis=0))
    if len(whole) or span > hits.shape[1]:
        return whole, 1
    count = hits.shape[1] - span + 1
    in_row = np.all([hits[at, at : at + count] for at in range(span)], axis=0)
    return np.flatnonzero(in_row & (owners[:count] == owners[span - 1 :])), span


def _coverage(meets: NDArray[np.bool_], weights: Floats) -> Floats:
    """(candidates,) share of the query's needs that are met, rare ones weighing more."""
    shares: Floats = weights @ meets / weights.sum()
    return shares


def _of_best(scores: Floats) -> Floats:
    best = scores.max(initial=0.0)
    return scores / best if best else scores


def _neighbour_coverage(index: ProductIndex, needs: Sequence[Sequence[int]], weights: Floats, rows: Rows) -> Floats:
    """(candidates,) mean share of the query's needs that the titles of the nearest products meet."""
    nearest = index.neighbours[rows]
    different, where = np.unique(nearest, return_inverse=True)
    ids, owners, _ = index.fields["title"].of(different.astype(np.int64))
    meets = _counts(_hits(ids, needs), owners, len(different)) > 0
    means: Floats = _coverage(meets, weights)[where.reshape(nearest.shape)].mean(axis=1)
    return means
