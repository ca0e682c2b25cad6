"""Product search: from a query to ranked products, or to the answer that nothing fits.

`read_catalogue` reads products and `read_judgements` what people thought of results; `ProductIndex.build` makes them
searchable, `learning.learn` adds the learned order with its calibrated routes, and `ProductSearch.search` answers.
`retrievers` offers each layer as LangChain's `BaseRetriever`.
"""

from proveout.search.catalogue import Product, read_catalogue
from proveout.search.judgements import read_judgements
from proveout.search.product_index import ProductIndex
from proveout.search.product_search import Answer, Hit, ProductSearch, Route

__all__ = [
    "Answer",
    "Hit",
    "Product",
    "ProductIndex",
    "ProductSearch",
    "Route",
    "read_catalogue",
    "read_judgements",
]
