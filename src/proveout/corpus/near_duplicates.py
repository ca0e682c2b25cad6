"""Find documents with nearly the same text.

MinHash over runs of four words (Broder 1997), candidates by banded hashing (Leskovec, Rajaraman, Ullman: Mining of Massive
Datasets, chapter 3), then the estimate itself. Linear in the number of documents.
Covered: the same texts give the same result on every machine; texts shorter than a run have no near-duplicates.
Not covered: documents that differ in a few words that matter. A revision of a contract is a near-duplicate of it.
"""

import zlib
from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

RUN = 4  # words
HASHES = 128
ROWS = 8  # per band; 16 bands of 8 find a pair of similarity 0.85 with probability 0.99, one of 0.5 with 0.06
ALIKE = 0.85  # Jaccard similarity from which two documents are near-duplicates

Hashes = npt.NDArray[np.uint64]


def near_duplicates(texts: Sequence[Sequence[str]], alike: float = ALIKE) -> list[int | None]:
    """For each text (a list of words) the index of the first earlier near-duplicate, or None.

    >>> text = "one two three four five six seven eight nine ten eleven twelve".split()
    >>> near_duplicates([text, [*text, "more"], text[::-1]])
    [None, 0, None]
    """
    codes = _Codes()
    signatures = [_signature(text, codes) for text in texts]
    buckets: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
    duplicates: list[int | None] = []
    for i, signature in enumerate(signatures):
        if signature is None:
            duplicates.append(None)
            continue
        bands = [(band, signature[band : band + ROWS].tobytes()) for band in range(0, HASHES, ROWS)]
        earlier = sorted({j for band in bands for j in buckets[band]})
        duplicates.append(next((j for j in earlier if (signature == signatures[j]).mean() >= alike), None))
        for band in bands:
            buckets[band].append(i)
    return duplicates


class _Codes(dict[str, int]):
    """A number for every word, the same on every machine, computed once."""

    def __missing__(self, word: str) -> int:
        code = zlib.crc32(word.lower().encode()) * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB
        self[word] = code & 0xFFFFFFFFFFFFFFFF
        return self[word]


def _signature(text: Sequence[str], codes: _Codes) -> Hashes | None:
    if len(text) < RUN:
        return None
    coded = np.array([codes[word] for word in text], dtype=np.uint64)
    runs = np.zeros(len(coded) - RUN + 1, dtype=np.uint64)
    for i in range(RUN):
        runs = runs * np.uint64(0x9E3779B97F4A7C15) + coded[i : i + len(runs)]
    runs = np.unique(runs)
    runs ^= runs >> np.uint64(29)
    odd, shift = _hash_functions()
    hashed = runs[:, None] * odd + shift
    hashed ^= hashed >> np.uint64(32)
    return np.asarray(hashed.min(axis=0))


@cache
def _hash_functions() -> tuple[Hashes, Hashes]:
    random = np.random.default_rng(1997)
    odd = random.integers(1, 2**63, HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return odd, random.integers(0, 2**63, HASHES, dtype=np.uint64)
