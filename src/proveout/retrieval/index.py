"""Texts in order, found by meaning and by words. `memory` and `passages` give the texts their sense.

Vectors are kept in a Chroma collection (or beside the records, for a snapshot) and ranked here, exactly and as of any
position: an approximate graph that is built anew gives other neighbours, and a decision could not be run again.
Covered: equal scores come in order of position; an index of the same texts gives the same answers wherever its vectors are.
Not covered: millions of texts. A search reads every vector: 7 ms at 40,000.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from proveout.retrieval.encoder import WIDTH, Encoder, Vectors
from proveout.retrieval.ranking import Keywords, best, reciprocal_rank_fusion

if TYPE_CHECKING:
    from proveout.retrieval.chroma import Collection

Way = Literal["vectors", "keywords"]
BOTH: tuple[Way, ...] = ("vectors", "keywords")
DEPTH = 50  # of each ranking that is fused


@dataclass(frozen=True, slots=True)
class Entry:
    meaning: str  # what the encoder reads
    words: str  # what the keyword search reads
    chain: str  # hash of this and of everything before it
    said: Mapping[str, str]  # shown to those who open the collection


@dataclass(frozen=True, slots=True)
class Found:
    row: int
    similarity: float  # cosine, -1..1
    score: float  # of the fused ranking


class Index:
    """place: a folder or http://host:port for Chroma; "" keeps vectors in this process alone."""

    def __init__(self, encoder: Encoder, place: Path | str = "", name: str = "texts") -> None:
        self.encoder = encoder
        self._place, self._name = place, name
        self._collection: Collection | None = None
        self._vectors = np.empty((0, WIDTH), dtype=np.float32)  # grows by doubling; the first len(self) rows count
        self._keywords = Keywords()

    def __len__(self) -> int:
        return len(self._keywords)

    @property
    def vectors(self) -> Vectors:
        return self._vectors[: len(self)]

    def fill(self, entries: Sequence[Entry], known: Vectors | None = None) -> None:
        """Take all entries of an empty index; vectors come from the collection, else from `known`, else from the encoder."""
        chain = [entry.chain for entry in entries]
        stored = self._open().read(chain) if self._place else np.empty((0, WIDTH), dtype=np.float32)
        at_hand = known if known is not None and len(known) > len(stored) else stored
        self._append(entries, np.concatenate([at_hand, self._encode(entries[len(at_hand) :])]), stored=len(stored))

    def add(self, entries: Sequence[Entry]) -> None:
        self._append(entries, self._encode(entries), stored=0)

    def _encode(self, entries: Sequence[Entry]) -> Vectors:
        return self.encoder.encode([entry.meaning for entry in entries])

    def _append(self, entries: Sequence[Entry], vectors: Vectors, stored: int) -> None:
        start = len(self)
        if start + len(entries) > len(self._vectors):
            grown = np.empty((max(start + len(entries), 2 * len(self._vectors)), WIDTH), dtype=np.float32)
            grown[:start] = self.vectors
            self._vectors = grown
        self._vectors[start : start + len(entries)] = vectors
        for entry in entries:
            self._keywords.add(entry.words)
        if self._place and len(entries) > stored:
            new = entries[stored:]
            self._open().append(
                start + stored,
                vectors[stored:],
                [entry.meaning for entry in new],
                [entry.chain for entry in new],
                [entry.said for entry in new],
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
        ways: Sequence[Way] = BOTH,
    ) -> list[Found]:
        """The k best of the first len(allowed) texts, as if no other had ever been added."""
        cosines = self._cosines(vector, len(allowed))
        rankings = []
        if "vectors" in ways:
            rankings.append(best(cosines + 2, allowed, max(k, DEPTH)))  # + 2: a negative cosine is a rank too
        if "keywords" in ways:
            rankings.append(best(self._keywords.scores(words, len(allowed)), allowed, max(k, DEPTH)))
        return [Found(row, float(cosines[row]), score) for row, score in reciprocal_rank_fusion(rankings)[:k]]

    def _cosines(self, vector: NDArray[np.float32], position: int) -> NDArray[np.float64]:
        """(position,) to 6 digits, beyond which float32 products differ between machines and batches."""
        return np.asarray((self._vectors[:position] @ vector).astype(np.float64).round(6))
