"""The search as a tier of a mission: from a query to its answer, with the layer that gave it. Entry point: `ProductSearchTier`.

A query has the class `answered` or `no_result`. Each layer of the search is calibrated by itself, and the cheapest that
suffices answers: `keywords`, `ranked`, `no_result`, or, while the vector store is down, `keywords_only`.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from proveout.calibration import Calibration, Calibrations
from proveout.models.tiers import Extraction, Parts, ScoredValue
from proveout.search.case import RESULTS, QueryText
from proveout.search.product_search import (
    KEYWORDS_FIT,
    KEYWORDS_SUFFICE,
    NOTHING_FITS,
    SOMETHING_FITS,
    Answer,
    Hit,
    ProductSearch,
    Route,
)
from proveout.search.vector_store import VectorStore
from proveout.values.rankings import NOTHING, ranked, value_of_ranking

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

ANSWERED, NO_RESULT = "answered", "no_result"  # classes
LAYERS: Mapping[Route, tuple[str, str]] = {  # route of the search to the layer's name and what it is calibrated for
    Route.KEYWORDS: ("keywords", KEYWORDS_SUFFICE),
    Route.RANKED: ("ranked", SOMETHING_FITS),
    Route.NOTHING: ("no_result", NOTHING_FITS),
    Route.STORE_DOWN: ("keywords_only", KEYWORDS_FIT),
}
KEPT = 10_000  # answers to the latest different queries


class ProductSearchTier:
    """Implements `models.tiers.Tier`. An index never changes, so the answer to a text is kept, unless a layer was down."""

    def __init__(self, search: ProductSearch) -> None:
        self.search = search
        self._kept: OrderedDict[str, Answer] = OrderedDict()

    @classmethod
    def load(cls, parts: Parts) -> Self:
        """The search of a folder that `ProductSearch.save` wrote; of a release, with the store that the environment names."""
        search = ProductSearch.load(parts.model)
        if parts.released:
            search.index.store = VectorStore.named(search.index.vectors, search.index.encoder_id)
        return cls(search)

    def extract(self, contents: Sequence[Any], configs: "Sequence[RunnableConfig] | None" = None) -> list[Extraction]:
        return [self._extraction(content) for content in contents]

    def suggest(self, content: Any, at_most: int) -> dict[str, list[ScoredValue]]:
        """The best products whatever their confidence, where the answer is none."""
        if self.answer(content.text).hits:
            return {}
        text = _printed(self.search.best(content.text))
        return {RESULTS: [ScoredValue(text, value_of_ranking(text), 0.0)]} if text != NOTHING else {}

    def warm(self, contents: Sequence[Any]) -> None:
        """Answer these queries, which are asked often, before anybody waits for them."""
        for content in contents:
            self.answer(content.text)

    def answer(self, text: str) -> Answer:
        """From the answers that are kept, or else from the search."""
        if text in self._kept:
            self._kept.move_to_end(text)
            return self._kept[text]
        answer = self.search.search(text)
        if answer.route is not Route.STORE_DOWN:
            self._kept[text] = answer
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return answer

    def _extraction(self, content: QueryText) -> Extraction:
        answer = self.answer(content.text)
        layer, _ = LAYERS[answer.route]
        printed, down = _printed(answer.hits), answer.route is Route.STORE_DOWN
        because, against = ("they have the query's words", (answer.because,)) if down else (answer.because, ())
        value = ScoredValue(printed, value_of_ranking(printed), answer.score, None, (because,), against)
        unknown = sum(not self.search.index.ids_of(need) for need in answer.query.needs)
        return Extraction(
            document=content.id,
            document_class=ANSWERED if answer.hits else NO_RESULT,
            class_confidence=answer.confidence,
            fields={RESULTS: value},
            descriptors={
                "unknown_words": unknown,
                "corrected_words": len(answer.query.corrections),
                "products": len(answer.hits),
                "store_down": int(down),
            },
            tier=layer,
        )


def _printed(hits: Sequence[Hit]) -> str:
    return ranked((hit.product.id, hit.product.title) for hit in hits)


def by_layer(calibration: Calibration) -> Calibrations:
    """What was calibrated for the search, as the calibration of each layer for the field with the answer."""
    return Calibrations(
        {
            layer: replace(
                calibration,
                evidence={RESULTS: calibration.evidence[name]},
                curves={RESULTS: calibration.curves[name]},
                certificates={RESULTS: replace(calibration.certificates[name], field=RESULTS)},
            )
            for layer, name in LAYERS.values()
        }
    )
