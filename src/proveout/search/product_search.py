"""A search that takes the cheapest route that suffices, and says when nothing fits. Entry point: `ProductSearch.search`.

Keywords answer alone where that is certified to lose nothing; they need no text encoder. Otherwise keywords and vectors propose
products and the learned ranker orders them. The answer is empty if the calibrated probability that something fits is below the
lowest confidence, and withholding such answers would have paid on the judged queries: a wrong result is worse than none.
Where the vectors are on a server that does not answer, keywords answer alone, with the confidence that they have by themselves.
Covered: a query without a word; an empty catalogue; a search that learned from no judgements, whose confidence is nan.
Not covered: whether an unjudged catalogue is like the judged one. The certificates speak of queries like those judged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from pathlib import Path

from proveout.calibration import Calibration, Calibrations
from proveout.errors import BadInput
from proveout.files import write_whole
from proveout.search import layers
from proveout.search.catalogue import Product
from proveout.search.features import typicality
from proveout.search.judgements import DEPTH
from proveout.search.product_index import ProductIndex
from proveout.search.ranker import ProductRanker
from proveout.search.vector_store import StoreDown
from proveout.search.vocabulary import Query

RANKER = "ranker.txt"  # in a folder that `save` wrote
TIER = "search"  # its name in the file of the calibration
# What is calibrated, each with a raw score of 0..1
KEYWORDS_SUFFICE = "keywords_suffice"  # the ranker would lose or win nothing; the score is their `typicality`
SOMETHING_FITS = "something_fits"  # one of the first ten fits; the score is the highest expected gain
NOTHING_FITS = "nothing_fits"  # none does; one minus that score
KEYWORDS_FIT = "keywords_fit"  # one of the first ten by keywords fits; the score is their `typicality`


class Route(StrEnum):
    KEYWORDS = "keywords"  # they alone
    RANKED = "ranked"  # keywords and vectors, re-ranked, or fused where nothing was learned
    NOTHING = "no result"
    STORE_DOWN = "keywords, store down"  # keywords alone, because the vector store does not answer


@dataclass(frozen=True, slots=True)
class Hit:
    product: Product
    score: float  # expected gain 0..1 of a ranked product; otherwise 1 / rank


@dataclass(frozen=True, slots=True)
class Answer:
    query: Query
    route: Route
    hits: tuple[Hit, ...]  # best first
    confidence: float  # calibrated probability, 0..1, that keywords suffice, something or nothing fits; nan: not learned
    because: str
    score: float = 0.0  # 0..1, raw: what the confidence is calibrated from


class ProductSearch:
    """An index, and what was learned from judgements (`learning.learn`)."""

    def __init__(
        self, index: ProductIndex, ranker: ProductRanker | None = None, calibration: Calibration | None = None
    ) -> None:
        self.index = index
        self.ranker = ranker
        self.calibration = calibration

    def search(self, text: str, k: int = DEPTH) -> Answer:
        """Up to `k` products for a query, or none and why. Raises BadInput for `k` below 1."""
        if k < 1:
            raise BadInput(f"a search for {k} products; expected 1 or more")
        k = min(k, max(1, len(self.index)))
        query = self.index.vocabulary.understand(text)
        if not query.needs or not len(self.index):
            because = "the query has no word" if len(self.index) else "the catalogue is empty"
            return Answer(query, Route.NOTHING, (), 1.0, because, 1.0)
        if self.ranker is None or self.calibration is None:
            rows = layers.fused(self.index, query, k)
            return Answer(query, Route.RANKED, self._by_rank(rows), math.nan, "nothing was learned from judgements yet")
        if answer := self._by_keywords(query, k, self.calibration):
            return answer
        try:
            return self._ranked(query, k, self.ranker, self.calibration)
        except StoreDown as error:
            return self._without_vectors(query, k, self.calibration, str(error))

    def best(self, text: str, k: int = DEPTH) -> tuple[Hit, ...]:
        """The first products of the ranking, also where `search` would answer with none."""
        query = self.index.vocabulary.understand(text)
        if not query.needs or not len(self.index):
            return ()
        if self.ranker is None:
            return self._by_rank(layers.fused(self.index, query, k))
        ranking = layers.ranked(self.index, layers.Candidates.of(self.index, query), self.ranker)
        return tuple(Hit(self.index.products[row], gain) for row, gain in ranking[:k])

    def _by_keywords(self, query: Query, k: int, calibration: Calibration) -> Answer | None:
        """None if keywords alone might lose something."""
        if calibration.threshold(KEYWORDS_SUFFICE) is None:
            return None
        rows, score = self._keywords(query, k)
        if not calibration.automates(KEYWORDS_SUFFICE, score):
            return None
        because = f"products nearest to the results have {score:.0%} of the query's words in their titles"
        confidence = calibration.confidence(KEYWORDS_SUFFICE, score)
        return Answer(query, Route.KEYWORDS, self._by_rank(rows[:k]), confidence, because, score)

    def _without_vectors(self, query: Query, k: int, calibration: Calibration, because: str) -> Answer:
        rows, score = self._keywords(query, k)
        return Answer(
            query, Route.STORE_DOWN, self._by_rank(rows[:k]), calibration.confidence(KEYWORDS_FIT, score), because, score
        )

    def _keywords(self, query: Query, k: int) -> tuple[list[int], float]:
        """At least ten rows by keywords, and how typical the first ten are."""
        rows = layers.by_keywords(self.index, query, max(k, DEPTH))
        return rows, typicality(self.index, query, rows[:DEPTH])

    def _ranked(self, query: Query, k: int, ranker: ProductRanker, calibration: Calibration) -> Answer:
        ranking = layers.ranked(self.index, layers.Candidates.of(self.index, query), ranker)
        score = max((gain for _, gain in ranking), default=0.0)
        confidence = calibration.confidence(SOMETHING_FITS, score)
        if says_nothing_fits(calibration, score):
            from proveout.mission import measured_percent

            because = f"the best product fits with a probability of {measured_percent(confidence)}"
            return Answer(query, Route.NOTHING, (), 1 - confidence, because, 1 - score)
        hits = tuple(Hit(self.index.products[row], gain) for row, gain in ranking[:k])
        return Answer(query, Route.RANKED, hits, confidence, f"the best of {len(ranking)} candidates", score)

    def _by_rank(self, rows: Sequence[int]) -> tuple[Hit, ...]:
        return tuple(Hit(self.index.products[row], 1 / rank) for rank, row in enumerate(rows, 1))

    def save(self, folder: Path) -> None:
        """Write the index and what was learned; the folder must be new or empty."""
        self.index.save(folder)
        if self.ranker is not None and self.calibration is not None:
            write_whole(folder / RANKER, self.ranker.as_text())
            Calibrations({TIER: self.calibration}).save(folder / "calibration.json")

    @classmethod
    def load(cls, folder: Path) -> "ProductSearch":
        """Raises BadModel for a folder that is incomplete or was written by another version."""
        index = ProductIndex.load(folder)
        if not (folder / RANKER).exists():
            return cls(index)
        text = (folder / RANKER).read_text(encoding="utf-8")
        return cls(index, ProductRanker.from_text(text), Calibrations.load(folder / "calibration.json").by_tier[TIER])


def says_nothing_fits(calibration: Calibration, score: float) -> bool:
    """Whether an answer with this highest expected gain is to be withheld: below the lowest confidence, and below a line.

    Confidence alone withholds too much, because few judged queries give a flat curve. The line is where withholding paid most
    on them; a fitting product withheld costs as much as the lowest confidence says: at 0.5, what a right "no result" is worth.
    """
    lowest = calibration.lowest_confidence
    if not calibration.confidence(SOMETHING_FITS, score) < lowest:
        return False
    judged = sorted((each, fits) for each, fits in calibration.evidence[SOMETHING_FITS] if each is not None)
    worth = list(accumulate(-(1 - lowest) / lowest if fits else 1.0 for _, fits in judged))
    ends = [
        at for at, (own, _) in enumerate(judged) if at + 1 == len(judged) or judged[at + 1][0] > own
    ]  # equal scores go together
    best = max(ends, key=worth.__getitem__)
    above = judged[best + 1][0] if best + 1 < len(judged) else 1.0
    return worth[best] > 0 and score < (judged[best][0] + above) / 2
