"""The Chroma collection that holds vectors: in a folder, or on a server at a URL.

A collection is derived: entry i carries the i-th item of a chain of hashes, so that one look at the last entry tells
whether the collection is a beginning of what it should be. What is missing is appended; anything else is built anew.
Anybody may open it with Chroma or LangChain: documents, cosine space and our embedding function are in it.
Not covered: several processes that write one folder. Chroma's folder is for one process; give the others a server.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromadb
import numpy as np
from chromadb.api.types import Documents, EmbeddingFunction, Embeddings
from chromadb.config import Settings
from chromadb.utils.embedding_functions import register_embedding_function

from proveout.errors import StaleIndex
from proveout.retrieval.encoder import WIDTH, Encoder, Vectors, on_grid

BATCH = 1000  # entries a call; a server takes some thousands


@register_embedding_function
class MiniLM(EmbeddingFunction[Documents]):
    """Our encoder as Chroma names, stores and rebuilds it. Without it a reopened collection would try to download one."""

    def __init__(self, tokens: int = 128) -> None:
        self.tokens = tokens

    def __call__(self, input: Documents) -> Embeddings:
        return list(_encoder(self.tokens).encode(input))

    @staticmethod
    def name() -> str:
        return "proveout-minilm"

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> "MiniLM":
        return MiniLM(config["tokens"])

    def get_config(self) -> dict[str, Any]:
        return {"tokens": self.tokens}


@cache
def _encoder(tokens: int) -> Encoder:
    return Encoder.load(tokens=tokens)


class Collection:
    """One collection: vectors in order, each with the hash of everything up to it."""

    def __init__(self, place: Path | str, name: str, encoder: Encoder) -> None:
        self._client = _client(place)
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
        """(count, 384) vectors of the first items of the chain; a collection of anything else is emptied and gives none."""
        if not self._is_beginning_of(chain):
            self._client.delete_collection(self._name)
            self._collection = self._open()
        count = self._collection.count()
        vectors = np.empty((count, WIDTH), dtype=np.float32)
        for start in range(0, count, BATCH):
            ids = [str(number) for number in range(start, min(count, start + BATCH))]
            found = self._collection.get(ids=ids, include=["embeddings"])
            for number, vector in zip(found["ids"], found["embeddings"], strict=True):
                vectors[int(number)] = vector
        return on_grid(vectors)

    def _is_beginning_of(self, chain: Sequence[str]) -> bool:
        count = self._collection.count()
        if count == 0:
            return bool(self._collection.metadata.get("encoder") == self._encoder_id)
        last = self._collection.get(ids=[str(count - 1)], include=["metadatas"])["metadatas"]
        same_encoder = self._collection.metadata.get("encoder") == self._encoder_id
        return bool(same_encoder and count <= len(chain) and last and last[0].get("chain") == chain[count - 1])

    def append(
        self, start: int, vectors: Vectors, texts: Sequence[str], chain: Sequence[str], said: Sequence[Mapping[str, str]]
    ) -> None:
        """Entries `start`, `start + 1`, ...; saying the same again changes nothing."""
        for at in range(0, len(texts), BATCH):
            rows = range(at, min(len(texts), at + BATCH))
            self._collection.upsert(
                ids=[str(start + row) for row in rows],
                embeddings=vectors[rows.start : rows.stop],
                documents=[texts[row] for row in rows],
                metadatas=[{**said[row], "chain": chain[row], "position": start + row} for row in rows],
            )


def _client(place: Path | str) -> Any:
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
