"""An ordered index of texts, searched by meaning and by words; the basis of `memory` and `passages`.

Vectors are stored in a Chroma collection (or beside the records, for a snapshot) but ranked in this module, exactly and as of
any position: a rebuilt approximate graph returns other neighbours, and a decision could not be replayed.
Covered: ties come in order of position; an index of the same texts gives the same results wherever its vectors are stored.
Above some thousands of vectors, their signs select which are compared (recall@10 .99 at 40,000, deterministic).
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
DEPTH = 50  # of each ranking before fusion
SPARE = 14  # extra float32 candidates before the float64 order, so that float32 rounding cannot change the result
QUICK_ABOVE = 4096  # vectors; up to here, comparing all of them takes no longer than comparing their signs
RESCORED = 600  # extra candidates by sign; for 9,000 product titles 200 contain .997 of the nearest ten, 400 all of them


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
        self._vectors = np.empty((0, WIDTH), dtype=np.float32)  # grows by doubling; the first len(self) rows are in use
        self._signs = np.empty((WIDTH // 64, 0), dtype=np.uint64)  # grows with the vectors
        self._keywords = Keywords()

    def __len__(self) -> int:
        return len(self._keywords)

    @property
    def vectors(self) -> Vectors:
        return self._vectors[: len(self)]

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
            rankings.append(self._nearest(vector, allowed, max(k, DEPTH)))
        if "keywords" in ways:
            rankings.append(best(self._keywords.scores(words, len(allowed)), allowed, max(k, DEPTH)))
        fused = reciprocal_rank_fusion(rankings)[:k]
        cosines = self._cosines(vector, [row for row, _ in fused])
        return [Hit(row, float(cosine), score) for (row, score), cosine in zip(fused, cosines, strict=True)]

    def _nearest(self, vector: NDArray[np.float32], allowed: NDArray[np.bool_], count: int) -> list[int]:
        """The nearest allowed rows: candidates by a fast measure, then ordered by exact cosine."""
        position = len(allowed)
        if position <= QUICK_ABOVE:
            rows = best(self._vectors[:position] @ vector + 2, allowed, count + SPARE)  # + 2: `best` drops scores up to 0
        else:
            rows = best(1 + WIDTH - self._differing(vector, position), allowed, count + RESCORED)
        cosines = self._cosines(vector, rows)
        return [rows[at] for at in np.lexsort((np.array(rows), -cosines))[:count]]

    def _differing(self, vector: NDArray[np.float32], position: int) -> NDArray[np.int16]:
        """(position,) the number of 384 signs in which each vector differs from this one."""
        different = np.zeros(position, dtype=np.int16)
        for codes, code in zip(self._signs, signs(vector[None])[:, 0], strict=True):
            different += np.bitwise_count(codes[:position] ^ code)
        return different

    def _cosines(self, vector: NDArray[np.float32], rows: Sequence[int]) -> NDArray[np.float64]:
        """(rows,) cosines to 6 digits, row by row in float64, so that each is independent of the other rows."""
        chosen = self._vectors[list(rows)].astype(np.float64)
        return np.asarray(np.einsum("ij,j->i", chosen, vector.astype(np.float64)).round(6))


def signs(vectors: Vectors) -> NDArray[np.uint64]:
    """(6, count): which of the 384 numbers of each vector are positive, 64 bits in each code."""
    return np.packbits(vectors > 0, axis=1).view(np.uint64).T
