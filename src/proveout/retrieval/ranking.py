"""BM25 over words, and reciprocal rank fusion of several rankings.

`Keywords` can search as of any earlier position: its statistics (document frequencies, text lengths) are those of the first
`position` texts, so that a replay years later gives the same scores. Search engines keep statistics only for their whole
content, so none is used; the tests compare the scores with tantivy's.
Not covered: stemming, phrases, languages without spaces.
"""

import re
from array import array
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

K1 = 1.2  # BM25's saturation and length, as Robertson and Zaragoza (2009) and Lucene set them
B = 0.75
RAREST = 64  # words of a query that are scored: a page has 300; the frequent ones cost most and matter least
FREQUENT = 8  # a word of more than an eighth of the texts; what all texts gain by it is kept
KEPT = 2**26  # bytes of that
FUSION = 60  # Cormack, Clarke and Büttcher (SIGIR 2009)
_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, in lower case.

    >>> words_of("Contract #: PQ-17")
    ['contract', 'pq', '17']
    """
    return _WORD.findall(text.casefold())


def reciprocal_rank_fusion(rankings: Iterable[Sequence[int]], c: int = FUSION) -> list[tuple[int, float]]:
    """(item, score), best first; an item scores the sum of 1 / (c + rank) over the rankings that hold it, ranks from 1.

    Ties are in the order of items. After Cormack, Clarke and Büttcher, SIGIR 2009.

    >>> [(item, round(score, 4)) for item, score in reciprocal_rank_fusion([[7, 3], [3, 5]])]
    [(3, 0.0325), (7, 0.0164), (5, 0.0161)]
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (c + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


class Keywords:
    """An append-only inverted index.

    >>> index = Keywords()
    >>> for text in ("gross total", "net total due", "gross gross"):
    ...     index.add(text)
    >>> index.scores("Gross").round(2).tolist(), index.scores("gross", position=2).round(2).tolist()
    ([0.5, 0.0, 0.67], [0.75, 0.0])
    """

    def __init__(self) -> None:
        self._texts: dict[str, array[int]] = {}  # word: texts that contain it, ascending
        self._times: dict[str, array[int]] = {}  # word: how often, aligned with `_texts`
        self._lengths = array("q")  # words of each text
        self._total = array("q", [0])  # words of all texts up to each
        self._kept: OrderedDict[tuple[str, int], Scores] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, text: str) -> None:
        """Append a text; its position is the number of texts before it."""
        counts = Counter(words_of(text))
        for word, times in counts.items():
            if word not in self._texts:
                self._texts[word], self._times[word] = array("q"), array("q")
            self._texts[word].append(len(self._lengths))
            self._times[word].append(times)
        self._lengths.append(counts.total())
        self._total.append(self._total[-1] + counts.total())

    def scores(self, query: str, position: int | None = None) -> Scores:
        """(position,) BM25 of each text for the query's rarest words; 0 for a text without any of them."""
        position = len(self) if position is None else position
        scores = np.zeros(position)
        if not position or not self._total[position]:
            return scores
        counted = [(bisect_left(self._texts[word], position), word) for word in set(words_of(query)) & self._texts.keys()]
        for count, word in sorted(pair for pair in counted if pair[0])[:RAREST]:  # count: the texts that contain the word
            if FREQUENT * count > position:
                scores += self._of_all(word, count, position)
            else:
                texts, gains = self._gains(word, count, position)
                scores[texts] += gains
        return scores

    def _gains(self, word: str, count: int, position: int) -> tuple[NDArray[np.int64], Scores]:
        """The first `count` texts that contain a word, and what each gains by it."""
        lengths = np.frombuffer(self._lengths, dtype=np.int64)  # views; none outlives the search, so that arrays can grow
        texts = np.frombuffer(self._texts[word], dtype=np.int64, count=count)
        times = np.frombuffer(self._times[word], dtype=np.int64, count=count)
        rarity = np.log1p((position - count + 0.5) / (count + 0.5))
        short = K1 * B * position / self._total[position]
        return texts, rarity * times * (K1 + 1) / (times + K1 * (1 - B) + short * lengths[texts])

    def _of_all(self, word: str, count: int, position: int) -> Scores:
        """(position,) what each text gains by a frequent word, which is kept for the next searches."""
        if (word, position) not in self._kept:
            gains = np.zeros(position)
            texts, gains[texts] = self._gains(word, count, position)
            while len(self._kept) >= max(1, KEPT // gains.nbytes):
                self._kept.popitem(last=False)
            self._kept[word, position] = gains
        return self._kept[word, position]


def best(scores: NDArray[Any], allowed: NDArray[np.bool_], count: int) -> list[int]:
    """The `count` best allowed items with a score above 0, best first; ties in the order of items.

    >>> best(np.array([0.5, 0.9, 0.5, 0.7]), np.array([True, False, True, True]), 2)
    [3, 0]
    """
    scores = scores if allowed.all() else np.where(allowed, scores, 0)
    edge = np.partition(scores, -count)[-count] if len(scores) > count else 0  # a stable sort of all is slow
    items = np.flatnonzero(scores >= edge if edge > 0 else scores > 0)
    return [int(item) for item in items[np.argsort(-scores[items], kind="stable")][:count]]
