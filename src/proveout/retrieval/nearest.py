"""The nearest of many unit vectors. Entry points: `VectorTable.nearest` for a query, `nearest_of_each` for each of the vectors.

Above some thousands of vectors, their signs select which are compared with a query (recall@10 .99 at 40,000).
Covered: the result is the same on every machine, and ties come in order of rows; cosines are equal if they are to 6 digits.
Not covered: many millions of vectors. A query reads the signs of all, 48 bytes each.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proveout.retrieval.encoder import WIDTH, Vectors

Rows = NDArray[np.int64]

QUICK_ABOVE = 4096  # vectors; up to here, comparing all of them takes no longer than comparing their signs
RESCORED = 250, 5  # candidates by sign: so many, and as many for each row asked for; for 19,406 product titles that are asked
# for each other, 450 contain .999 of the nearest ten, 700 contain .984 of the nearest eighty
ROUNDING = 1e-5  # of a cosine in float32: vectors within it of the last one are ordered in float64, too
BLOCK = 512  # rows compared at once
EXACT_UP_TO = 20_000  # vectors of which each is compared with all others
LEAF = 1024  # vectors that a tree leaves together at most
TREES = 8


class VectorTable:
    """Unit vectors in order, (rows, 384); further ones may be appended."""

    def __init__(self, vectors: Vectors | None = None) -> None:
        """`vectors` are read where they are, not copied."""
        self._vectors = np.empty((0, WIDTH), dtype=np.float32) if vectors is None else np.asarray(vectors)
        self._count = len(self._vectors)  # rows in use; both arrays grow by doubling
        codes = [signs(part) for part in _blocks(self._vectors)]
        self._signs = np.concatenate([np.empty((WIDTH // 64, 0), dtype=np.uint64), *codes], axis=1)

    def __len__(self) -> int:
        return self._count

    @property
    def vectors(self) -> Vectors:
        return self._vectors[: self._count]

    def append(self, vectors: Vectors) -> None:
        start, self._count = self._count, self._count + len(vectors)
        if self._count > len(self._vectors):
            free = max(len(vectors), start)
            self._vectors = np.concatenate([self._vectors[:start], np.empty((free, WIDTH), dtype=np.float32)])
            self._signs = np.concatenate([self._signs[:, :start], np.empty((WIDTH // 64, free), dtype=np.uint64)], axis=1)
        self._vectors[start : self._count] = vectors
        self._signs[:, start : self._count] = signs(vectors)

    def nearest(self, vector: NDArray[np.float32], count: int, allowed: NDArray[np.bool_] | None = None) -> list[int]:
        """The nearest rows, nearest first: candidates by a fast measure, then ordered by exact cosine.

        `allowed`: (first rows,) which of them may be returned; without it, all.
        """
        rows = self._candidates(vector, count, np.ones(len(self), dtype=np.bool_) if allowed is None else allowed)
        rows = rows[_lowest(-(self._vectors[rows] @ vector), count, ROUNDING)]
        nearest: list[int] = rows[np.lexsort((rows, -self.cosines(vector, rows)))[:count]].tolist()
        return nearest

    def cosines(self, vector: NDArray[np.float32], rows: Sequence[int] | Rows) -> NDArray[np.float64]:
        """(rows,) cosines to 6 digits, row by row in float64, so that each is independent of the other rows."""
        chosen = self._vectors[np.asarray(rows, dtype=np.int64)].astype(np.float64)
        return np.asarray(np.einsum("ij,j->i", chosen, vector.astype(np.float64)).round(6))

    def _candidates(self, vector: NDArray[np.float32], count: int, allowed: NDArray[np.bool_]) -> Rows:
        if np.count_nonzero(allowed) <= QUICK_ABOVE:
            return np.flatnonzero(allowed)
        different = self._differing(vector, len(allowed))
        if not allowed.all():
            different[~allowed] = WIDTH + 1
        at_least, each = RESCORED
        return _lowest(different, at_least + each * count)

    def _differing(self, vector: NDArray[np.float32], position: int) -> NDArray[np.int16]:
        """(position,) the number of 384 signs in which each vector differs from this one."""
        different = np.zeros(position, dtype=np.int16)
        for codes, code in zip(self._signs, signs(vector[None])[:, 0], strict=True):
            different += np.bitwise_count(codes[:position] ^ code)
        return different


def nearest_of_each(vectors: Vectors, count: int) -> NDArray[np.int32]:
    """(vectors, up to `count`) the rows of the nearest vectors, the own one among them, in no order.

    Up to EXACT_UP_TO vectors all pairs are compared. Beyond, those that one of several trees leaves together, so that time
    grows with n log n; the trees are the same every time.
    """
    count = min(count, len(vectors))
    nearest = np.empty((len(vectors), count), dtype=np.int32)
    if len(vectors) <= EXACT_UP_TO:
        for rows in _blocks(np.arange(len(vectors))):
            nearest[rows] = np.argpartition(-(vectors[rows] @ vectors.T), count - 1, axis=1)[:, :count]
        return nearest
    nearest[:] = -1
    cosines = np.full(nearest.shape, -np.inf, dtype=np.float32)
    for tree in range(TREES):
        for rows in _leaves(vectors, np.random.default_rng(tree)):
            own = vectors[rows] @ vectors[rows].T
            best = np.argpartition(-own, count - 1, axis=1)[:, :count]
            both = np.concatenate([nearest[rows], rows[best]], axis=1)
            values = np.concatenate([cosines[rows], np.take_along_axis(own, best, axis=1)], axis=1)
            again = (both[:, count:, None] == both[:, None, :count]).any(axis=2)
            values[:, count:][again] = -np.inf
            kept = np.argpartition(-values, count - 1, axis=1)[:, :count]
            nearest[rows], cosines[rows] = (np.take_along_axis(each, kept, axis=1) for each in (both, values))
    return nearest


def _leaves(vectors: Vectors, rng: np.random.Generator) -> Iterator[Rows]:
    """All rows in groups of up to LEAF, halved again and again across the line between two of them (random projection trees:
    Dasgupta and Freund, STOC 2008)."""
    groups = [np.arange(len(vectors))]
    while groups:
        rows = groups.pop()
        if len(rows) <= LEAF:
            yield rows
            continue
        one, other = vectors[rng.choice(rows, 2, replace=False)]
        along = np.concatenate([vectors[part] @ (one - other) for part in np.array_split(rows, len(rows) // 2**16 + 1)])
        order, half = np.argpartition(along, len(rows) // 2), len(rows) // 2
        groups += [rows[order[:half]], rows[order[half:]]]


def _blocks(items: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (items[start : start + BLOCK] for start in range(0, len(items), BLOCK))


def _lowest(values: NDArray[Any], count: int, slack: float = 0) -> Rows:
    """Where the `count` lowest values are, in order of rows, and all that exceed the last of them by at most `slack`.

    >>> _lowest(np.array([3, 1, 2, 2, 9]), 2).tolist()
    [1, 2, 3]
    """
    if len(values) <= count:
        return np.arange(len(values))
    return np.flatnonzero(values <= np.partition(values, count - 1)[count - 1] + slack)


def signs(vectors: Vectors) -> NDArray[np.uint64]:
    """(6, count): which of the 384 numbers of each vector are positive, 64 bits in each code."""
    return np.packbits(vectors > 0, axis=1).view(np.uint64).T
