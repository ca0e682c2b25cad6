"""Each layer of the search as LangChain's `BaseRetriever`: from a query to products as LangChain documents.

Metadata: id, brand, category, attributes and score. `RankedProducts` adds the route, the calibrated confidence, and why.
"""

from collections.abc import Sequence

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from proveout.search import layers
from proveout.search.catalogue import Product
from proveout.search.judgements import DEPTH
from proveout.search.product_index import ProductIndex
from proveout.search.product_search import ProductSearch
from proveout.search.vocabulary import Query


class ProductLayer(BaseRetriever):
    """What the layers share: an index, and how many products they return."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    index: ProductIndex
    k: int = Field(default=DEPTH, ge=1)

    def _rows(self, query: Query) -> Sequence[int]:
        raise NotImplementedError

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        understood = self.index.vocabulary.understand(query)
        rows = self._rows(understood) if understood.needs and len(self.index) else []
        return [document(self.index.products[row], 1 / rank) for rank, row in enumerate(rows, 1)]


class KeywordProducts(ProductLayer):
    """Products with every word of the query, then those with some."""

    def _rows(self, query: Query) -> Sequence[int]:
        return layers.by_keywords(self.index, query, self.k)


class SimilarProducts(ProductLayer):
    """Products whose titles mean nearly what the query does."""

    def _rows(self, query: Query) -> Sequence[int]:
        return self.index.nearest(self.index.encode(query.corrected), self.k)


class FusedProducts(ProductLayer):
    """Both of these, fused by reciprocal rank."""

    def _rows(self, query: Query) -> Sequence[int]:
        return layers.fused(self.index, query, self.k)


class RankedProducts(BaseRetriever):
    """The whole search: the cheapest route that suffices, re-ranked, and no document where nothing fits."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    search: ProductSearch
    k: int = Field(default=DEPTH, ge=1)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        answer = self.search.search(query, self.k)
        about = {"route": str(answer.route), "confidence": answer.confidence, "because": answer.because}
        return [document(hit.product, hit.score, **about) for hit in answer.hits]


def document(product: Product, score: float, **about: object) -> Document:
    attributes = {"brand": product.brand, "category": product.category, "attributes": dict(product.attributes)}
    metadata = {"id": product.id, "score": score, **attributes, **about}
    return Document(page_content=product.title or product.description, metadata=metadata, id=product.id)
