"""An ordered index of texts, searched by meaning and by words; the basis of `memory` and `passages`.

Vectors are stored in a Chroma collection (or beside the records, for a snapshot) but ranked in this module, exactly and as of
any position: a rebuilt approximate graph returns other neighbours, and a decision could not be replayed.
Covered: ties come in order of position; an index of the same texts gives the same results wherever its vectors are stored.
Not covered: many millions of texts (`nearest`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from proveout.retrieval.encoder import WIDTH, Encoder, Vectors
from proveout.retrieval.nearest import VectorTable
from proveout.retrieval.ranking import Keywords, best, reciprocal_rank_fusion

if TYPE_CHECKING:
    from proveout.retrieval.chroma import Collection

Method = Literal["vectors", "keywords"]
BOTH: tuple[Method, ...] = ("vectors", "keywords")
DEPTH = 50  # of each ranking before fusion


@dataclass(frozen=True, slots=True)
class IndexedText:
    """An entry of an index."""

    meaning: str  # text for the encoder
    words: str  # text for the keyword search
    chain: str  # hash of this entry and all before it
    metadata: Mapping[str, str]  # stored with the entry in the collection


@dataclass(frozen=True, slots=True)
class Hit:
    row: int  # position of the entry in the index
    similarity: float  # cosine, -1..1
    score: float  # of the fused ranking


class Index:
    """place: a folder or http://host:port for Chroma; "" keeps the vectors only in this process."""

    def __init__(self, encoder: Encoder, place: Path | str = "", name: str = "texts") -> None:
        self.encoder = encoder
        self._place, self._name = place, name
        self._collection: Collection | None = None
        self._table = VectorTable()
        self._keywords = Keywords()

    def __len__(self) -> int:
        return len(self._keywords)

    @property
    def vectors(self) -> Vectors:
        return self._table.vectors

    def fill(self, entries: Sequence[IndexedText], saved: Vectors | None = None) -> None:
        """Fill an empty index. Vectors come from the collection or `saved`, whichever has more; the rest from the encoder."""
        chain = [entry.chain for entry in entries]
        stored = self._open().read(chain) if self._place else np.empty((0, WIDTH), dtype=np.float32)
        vectors = saved if saved is not None and len(saved) > len(stored) else stored
        self._append(entries, np.concatenate([vectors, self.encode(entries[len(vectors) :])]), stored=len(stored))

    def add(self, entries: Sequence[IndexedText], vectors: Vectors | None = None) -> None:
        """Append entries to the index and its collection. `vectors`: as `encode` gives them, else encoded now."""
        self._append(entries, self.encode(entries) if vectors is None else vectors, stored=0)

    def encode(self, entries: Sequence[IndexedText]) -> Vectors:
        return self.encoder.encode([entry.meaning for entry in entries])

    def _append(self, entries: Sequence[IndexedText], vectors: Vectors, stored: int) -> None:
        start = len(self)
        self._table.append(vectors)
        for entry in entries:
            self._keywords.add(entry.words)
        if self._place and len(entries) > stored:
            new = entries[stored:]
            self._open().append(
                start + stored,
                vectors[stored:],
                [entry.meaning for entry in new],
                [entry.chain for entry in new],
                [entry.metadata for entry in new],
            )

    def _open(self) -> "Collection":
        if self._collection is None:
            from proveout.retrieval.chroma import Collection

            self._collection = Collection(self._place, self._name, self.encoder)
        return self._collection

    def rank(
        self,
        vector: NDArray[np.float32],
        words: str,
        k: int,
        allowed: NDArray[np.bool_],
        ways: Sequence[Method] = BOTH,
    ) -> list[Hit]:
        """The k best allowed texts, `allowed` being (position,): as if only the first `position` texts had been added."""
        rankings = []
        if "vectors" in ways:
            rankings.append(self._table.nearest(vector, max(k, DEPTH), allowed))
        if "keywords" in ways:
            rankings.append(best(self._keywords.scores(words, len(allowed)), allowed, max(k, DEPTH)))
        fused = reciprocal_rank_fusion(rankings)[:k]
        cosines = self._table.cosines(vector, [row for row, _ in fused])
        return [Hit(row, float(cosine), score) for (row, score), cosine in zip(fused, cosines, strict=True)]
