"""The layers of a search: keywords, vectors, their fusion, and the learned re-ranking. Each ranks the rows of a `ProductIndex`.

Entry points: `by_keywords`, `fused` and `Candidates.of`.
Covered: a query without words that any product contains; an empty index.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proveout.retrieval.ranking import reciprocal_rank_fusion
from proveout.search.features import Floats, columns
from proveout.search.product_index import ProductIndex
from proveout.search.ranker import ProductRanker
from proveout.search.vocabulary import Query, Vocabulary

ANY_WORD, EVERY_WORD, NEAREST = 150, 80, 80  # candidates of each layer


def as_typed(text: str) -> Query:
    """The words of a query without corrections and compounds, for comparison."""
    return Vocabulary({}, {}).understand(text)


def by_keywords(index: ProductIndex, query: Query, count: int) -> list[int]:
    """The rows with every word of the query that any product has first, then those with some; each by BM25."""
    query = index.searchable(query)
    every, _ = index.with_words(query, count, every=True)
    if len(every) >= count:
        return every
    return list(dict.fromkeys([*every, *index.with_words(query, count)[0]]))[:count]


def fused(index: ProductIndex, query: Query, count: int) -> list[int]:
    """Keywords and vectors by reciprocal rank; without judgements to learn from, the best that there is."""
    nearest = index.nearest(index.encode(query.corrected), count)
    return [row for row, _ in reciprocal_rank_fusion([by_keywords(index, query, count), nearest])[:count]]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the layers propose for a query, and what the ranker needs to know of it."""

    query: Query  # its words that any product has
    rows: Sequence[int]
    vector: NDArray[np.float32]  # (384,) of the query
    with_every_word: int  # products that have all of the query's words

    @classmethod
    def of(cls, index: ProductIndex, query: Query) -> "Candidates":
        vector = index.encode(query.corrected)
        query = index.searchable(query)
        every, total = index.with_words(query, EVERY_WORD, every=True)
        rows = [*index.with_words(query, ANY_WORD)[0], *every, *index.nearest(vector, NEAREST)]
        return cls(query, list(dict.fromkeys(rows)), vector, total)

    def columns(self, index: ProductIndex, rows: Sequence[int]) -> Floats:
        """(rows, len(features.NAMES)); `rows` may hold others than the candidates, such as those that people judged."""
        return columns(index, self.query, rows, self.vector, self.with_every_word)


def ranked(index: ProductIndex, candidates: Candidates, ranker: ProductRanker) -> list[tuple[int, float]]:
    """(row, expected gain) of each candidate, best first; ties in the order of candidates."""
    gains = ranker.gains(candidates.columns(index, candidates.rows))
    return [(candidates.rows[at], float(gains[at])) for at in np.argsort(-gains, kind="stable")]
