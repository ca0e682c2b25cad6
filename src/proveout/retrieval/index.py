"""Texts in order, found by meaning and by words. `memory` and `passages` give the texts their sense.

Vectors are kept in a Chroma collection (or beside the records, for a snapshot) and ranked here, exactly and as of any
position: an approximate graph that is built anew gives other neighbours, and a decision could not be run again.
Covered: equal scores come in order of position; an index of the same texts gives the same answers wherever its vectors are.
Above some thousands the signs of the numbers choose which vectors are compared (recall@10 .99 at 40,000, the same each time).
Not covered: many millions of texts. A search reads the signs of every vector, 48 bytes each.
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

Method = Literal["vectors", "keywords"]
BOTH: tuple[Method, ...] = ("vectors", "keywords")
DEPTH = 50  # of each ranking that is fused
SPARE = 14  # float32 picks so many more than float64 orders: beyond them its last digit decides nothing
QUICK_ABOVE = 4096  # vectors; below, comparing all of them takes no longer than comparing their signs
RESCORED = 600  # vectors whose signs agree most; of 9,000 product titles 200 hold .997 of the nearest ten, 400 all of them


@dataclass(frozen=True, slots=True)
class IndexedText:
    meaning: str  # what the encoder reads
    words: str  # what the keyword search reads
    chain: str  # hash of this and of everything before it
    said: Mapping[str, str]  # shown to those who open the collection


@dataclass(frozen=True, slots=True)
class Hit:
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
        self._signs = np.empty((WIDTH // 64, 0), dtype=np.uint64)  # grows with the vectors
        self._keywords = Keywords()

    def __len__(self) -> int:
        return len(self._keywords)

    @property
    def vectors(self) -> Vectors:
        return self._vectors[: len(self)]

    def fill(self, entries: Sequence[IndexedText], known: Vectors | None = None) -> None:
        """Take all entries of an empty index; vectors come from the collection, else from `known`, else from the encoder."""
        chain = [entry.chain for entry in entries]
        stored = self._open().read(chain) if self._place else np.empty((0, WIDTH), dtype=np.float32)
        at_hand = known if known is not None and len(known) > len(stored) else stored
        self._append(entries, np.concatenate([at_hand, self._encode(entries[len(at_hand) :])]), stored=len(stored))

    def add(self, entries: Sequence[IndexedText]) -> None:
        self._append(entries, self._encode(entries), stored=0)

    def _encode(self, entries: Sequence[IndexedText]) -> Vectors:
        return self.encoder.encode([entry.meaning for entry in entries])

    def _append(self, entries: Sequence[IndexedText], vectors: Vectors, stored: int) -> None:
        start = len(self)
        if start + len(entries) > len(self._vectors):
            grown = np.empty((max(start + len(entries), 2 * len(self._vectors)), WIDTH), dtype=np.float32)
            grown[:start] = self.vectors
            codes = np.empty((len(self._signs), len(grown)), dtype=np.uint64)
            codes[:, :start] = self._signs[:, :start]
            self._vectors, self._signs = grown, codes
        self._vectors[start : start + len(entries)] = vectors
        self._signs[:, start : start + len(entries)] = signs(vectors)
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
        ways: Sequence[Method] = BOTH,
    ) -> list[Hit]:
        """The k best of the first len(allowed) texts, as if no other had ever been added."""
        rankings = []
        if "vectors" in ways:
            rankings.append(self._nearest(vector, allowed, max(k, DEPTH)))
        if "keywords" in ways:
            rankings.append(best(self._keywords.scores(words, len(allowed)), allowed, max(k, DEPTH)))
        fused = reciprocal_rank_fusion(rankings)[:k]
        cosines = self._cosines(vector, [row for row, _ in fused])
        return [Hit(row, float(cosine), score) for (row, score), cosine in zip(fused, cosines, strict=True)]

    def _nearest(self, vector: NDArray[np.float32], allowed: NDArray[np.bool_], count: int) -> list[int]:
        """The nearest allowed rows: many by a quick measure, these ordered by their cosines."""
        position = len(allowed)
        if position <= QUICK_ABOVE:
            rows = best(self._vectors[:position] @ vector + 2, allowed, count + SPARE)  # + 2: a negative cosine is a rank too
        else:
            rows = best(1 + WIDTH - self._differing(vector, position), allowed, count + RESCORED)
        cosines = self._cosines(vector, rows)
        return [rows[at] for at in np.lexsort((np.array(rows), -cosines))[:count]]

    def _differing(self, vector: NDArray[np.float32], position: int) -> NDArray[np.int16]:
        """(position,) in how many of 384 signs each vector differs from this one."""
        mine = signs(vector[None])[:, 0]
        different = np.zeros(position, dtype=np.int16)
        for codes, code in zip(self._signs, mine, strict=True):
            different += np.bitwise_count(codes[:position] ^ code)
        return different

    def _cosines(self, vector: NDArray[np.float32], rows: Sequence[int]) -> NDArray[np.float64]:
        """(rows,) row by row in float64, so that a cosine never depends on what else was asked; to 6 digits."""
        chosen = self._vectors[list(rows)].astype(np.float64)
        return np.asarray(np.einsum("ij,j->i", chosen, vector.astype(np.float64)).round(6))


def signs(vectors: Vectors) -> NDArray[np.uint64]:
    """(6, count): which of a vector's 384 numbers are positive, 64 in each code."""
    return np.packbits(vectors > 0, axis=1).view(np.uint64).T
