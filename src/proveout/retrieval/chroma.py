"""The Chroma collection that holds vectors: in a folder, or on a server at a URL. Entry point: `Collection`.

A collection is derived data: entry i carries the i-th hash of a chain, so the last entry alone shows whether the collection
is a prefix of what it should be. Missing entries are appended; any other collection is rebuilt.
Chroma and LangChain can open it: it contains the documents, the cosine space and our embedding function.
Not covered: several processes that write to one folder. Chroma supports one process for each folder; use a server for more.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from proveout.errors import StaleIndex
from proveout.imports import lazy_imports
from proveout.retrieval.encoder import WIDTH, Encoder, Vectors, on_grid

with lazy_imports():
    import chromadb
    from chromadb.api.types import Documents, EmbeddingFunction, Embeddings
    from chromadb.config import Settings
    from chromadb.utils.embedding_functions import register_embedding_function

BATCH = 1000  # entries a call; a server takes some thousands


@register_embedding_function
class MiniLM(EmbeddingFunction[Documents]):
    """Our encoder as a registered embedding function. Without it, Chroma would download one for a reopened collection."""

    def __init__(self, tokens: int = 128) -> None:
        self.tokens = tokens

    def __call__(self, input: Documents) -> Embeddings:
        return list(Encoder.load(tokens=self.tokens).encode(input))

    @staticmethod
    def name() -> str:
        return "proveout-minilm"

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> "MiniLM":
        return MiniLM(config["tokens"])

    def get_config(self) -> dict[str, Any]:
        return {"tokens": self.tokens}


class Collection:
    """Vectors in order, each with the hash of all entries up to it. Raises StaleIndex if no server answers at a URL."""

    def __init__(self, place: Path | str, name: str, encoder: Encoder) -> None:
        self._client = client_of(place)
        self._name = name
        self._tokens = encoder.tokens
        self._encoder_id = encoder.id
        self._collection = self._open()

    def _open(self) -> Any:
        return self._client.get_or_create_collection(
            self._name,
            embedding_function=MiniLM(self._tokens),
            configuration={"hnsw": {"space": "cosine"}},
            metadata={"encoder": self._encoder_id},
        )

    def read(self, chain: Sequence[str]) -> Vectors:
        """(count, 384) vectors of the first `count` entries of the chain. A collection of another chain is emptied."""
        if not self._is_prefix_of(chain):
            self._client.delete_collection(self._name)
            self._collection = self._open()
        count = self._collection.count()
        vectors = np.empty((count, WIDTH), dtype=np.float32)
        for start in range(0, count, BATCH):
            ids = [str(number) for number in range(start, min(count, start + BATCH))]
            batch = self._collection.get(ids=ids, include=["embeddings"])
            for number, vector in zip(batch["ids"], batch["embeddings"], strict=True):
                vectors[int(number)] = vector
        return on_grid(vectors)

    def _is_prefix_of(self, chain: Sequence[str]) -> bool:
        count = self._collection.count()
        if self._collection.metadata.get("encoder") != self._encoder_id or count > len(chain):
            return False
        last = self._collection.get(ids=[str(count - 1)], include=["metadatas"])["metadatas"] if count else []
        return not count or bool(last and last[0].get("chain") == chain[count - 1])

    def append(
        self, start: int, vectors: Vectors, texts: Sequence[str], chain: Sequence[str], metadata: Sequence[Mapping[str, str]]
    ) -> None:
        """Write the entries `start`, `start + 1`, ...; repeating it changes nothing."""
        for at in range(0, len(texts), BATCH):
            rows = range(at, min(len(texts), at + BATCH))
            self._collection.upsert(
                ids=[str(start + row) for row in rows],
                embeddings=vectors[rows.start : rows.stop],
                documents=[texts[row] for row in rows],
                metadatas=[{**metadata[row], "chain": chain[row], "position": start + row} for row in rows],
            )


def client_of(place: Path | str) -> Any:
    """Chroma's client for a folder, or for a server at http://host:port. Raises StaleIndex if none answers there."""
    settings = Settings(anonymized_telemetry=False)
    if isinstance(place, str) and place.startswith(("http://", "https://")):
        url = urlsplit(place)
        try:
            return chromadb.HttpClient(
                host=url.hostname or "localhost",
                port=url.port or (443 if url.scheme == "https" else 8000),
                ssl=url.scheme == "https",
                settings=settings,
            )
        except ValueError as error:
            raise StaleIndex(f"no Chroma server answers at {place}; start one: chroma run --path <folder>") from error
    Path(place).mkdir(parents=True, exist_ok=True)
    return chromadb.PersistentClient(str(place), settings=settings)
