"""Product vectors in Chroma, in a folder or on a server, for catalogues that processes share. Entry point: `VectorStore`.

PROVEOUT_VECTORS names the place: a folder, or http://host:port. Without it each process reads the vectors of its release.
The store proposes rows, and their order follows from the index's own vectors, so that a folder and a server that propose the
same answer alike. A collection is named by the content of its vectors: a release never searches those of another.
Covered: a server that is down, freezes, returns without its data, or answers with ids that are none of the index. `nearest`
then raises StoreDown at once, asks again after `PAUSE` seconds, and fills an empty collection anew.
Not covered: bit-for-bit equality with an exact search; the store's graph is approximate.
"""

import hashlib
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proveout.errors import ProveoutError
from proveout.retrieval.encoder import Vectors

VARIABLE = "PROVEOUT_VECTORS"
PAUSE = 1.0  # seconds after a failure in which the store is not asked
PATIENCE = 2.0  # seconds for an answer
BATCH = 1000  # vectors a call
SPARE = 40  # more rows than are asked for, because the graph misses some
GRAPH = {"space": "cosine", "ef_construction": 200, "ef_search": 400, "max_neighbors": 32}


DOWN = "the vector store does not answer"
LOG = logging.getLogger("proveout.search")


class StoreDown(ProveoutError):
    """The vector store does not answer."""


class VectorStore:
    """The vectors of one index in Chroma. Threads may search at the same time."""

    def __init__(self, place: str, vectors: Vectors, encoder: str) -> None:
        """vectors: (products, 384). Nothing is opened or filled before the first search."""
        self.place = place
        self._vectors, self._encoder = vectors, encoder
        self._collection: Any = None
        self._down_until = 0.0
        self._opening = threading.Lock()
        self._calls = ThreadPoolExecutor(4, thread_name_prefix="vectors")

    @classmethod
    def named(cls, vectors: Vectors, encoder: str) -> "VectorStore | None":
        """The store that the environment names; None if it names none."""
        place = os.environ.get(VARIABLE, "")
        return cls(place, vectors, encoder) if place else None

    def nearest(self, vector: NDArray[np.float32], count: int) -> list[int]:
        """Rows by cosine, nearest first. Raises StoreDown."""
        if time.monotonic() < self._down_until:
            raise StoreDown(DOWN)
        try:
            rows = self._calls.submit(self._proposed, vector, count).result(PATIENCE)
        except Exception as error:  # whatever Chroma, its transport or the pool raise, there is no answer
            self._down_until, self._collection = time.monotonic() + PAUSE, None
            LOG.warning("the vector store at %s does not answer: %s: %s", self.place, type(error).__name__, error)
            raise StoreDown(DOWN) from error
        cosines = self._vectors[rows] @ vector
        return [int(rows[at]) for at in np.lexsort((rows, -cosines.round(6)))[:count]]

    def fill(self) -> None:
        """Open the collection and write what it lacks; raises what Chroma raises. Repeating it changes nothing."""
        from proveout.retrieval.chroma import client_of

        with self._opening:
            if self._collection is None:
                client = client_of(self.place)
                collection = client.get_or_create_collection(self._name, embedding_function=None, configuration={"hnsw": GRAPH})
                for start in range(collection.count(), len(self._vectors), BATCH):
                    part = self._vectors[start : start + BATCH]
                    collection.upsert(ids=[str(start + row) for row in range(len(part))], embeddings=np.asarray(part))
                self._collection = collection

    def _proposed(self, vector: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        if self._collection is None:
            self.fill()
        wanted = min(count + SPARE, len(self._vectors))
        result = self._collection.query(query_embeddings=vector[None], n_results=wanted, include=[])
        rows = np.array([int(id) for id in result["ids"][0]], dtype=np.int64)
        usable = len(np.unique(rows[(rows >= 0) & (rows < len(self._vectors))]))
        if not wanted == usable == len(rows):
            raise LookupError(f"{usable} of {wanted} vectors, {len(rows)} ids")
        return rows

    @cached_property
    def _name(self) -> str:
        digest = hashlib.sha256(self._encoder.encode())
        for start in range(0, len(self._vectors), 10_000):
            digest.update(self._vectors[start : start + 10_000].tobytes())
        return f"products-{digest.hexdigest()[:24]}"
