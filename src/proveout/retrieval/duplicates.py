"""Whether a case is the same business as an earlier one, judged by what both say and never by their bytes.

Entry point: `Duplicates`, to which earlier cases are added and which is asked about new ones. A duplicate agrees in its values,
or has nearly the same text, or says nearly the same numbers in nearly the same words, as a second scan of a page does.
Covered: letters and digits that OCR takes for each other (O and 0, l and 1); one value that either of the two lacks, if at
least two others agree; any number of cases with the same form.
Not covered: a scan so bad that neither its values nor most of its numbers are read; text after the first page.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

NEARLY = 0.97  # share of common words above which two texts are one document; next month's order has up to 0.93
# A noisy second scan, one degree askew, keeps 95 to 97 % of the numbers and 86 to 97 % of the words in five of six documents of
# adbuy; of its training and calibration documents no two of different business reach both of these shares.
NUMBERS_AGAIN, WORDS_AGAIN = 0.85, 0.75
FEWEST_NUMBERS = 8  # of a text; fewer do not identify it
BINS = 64  # per kind of token in a sketch

_LOOKALIKES = str.maketrans("oilsbz", "011582")
_NUMBER = re.compile(r"\d+")


class Duplicates:
    """Cases that new ones are compared with; a row is the position of a case."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._values: list[dict[str, str]] = []
        self._rows: dict[tuple[str, str], list[int]] = {}  # (field, value as `_key`): rows
        self._sketches = np.empty((0, 3, BINS), dtype=np.int16)  # grows by doubling; the first `_sketched` are in use
        self._sizes = np.empty((0, 3), dtype=np.int32)  # tokens of each kind; grows with the sketches
        self._sketched = 0

    def add(self, text: str, values: Mapping[str, str]) -> None:
        """Append a case. `values`: as `written`."""
        keys = {name: key for name, value in values.items() if (key := _key(value))}
        for item in keys.items():
            self._rows.setdefault(item, []).append(len(self._texts))
        self._texts.append(text)
        self._values.append(keys)

    def find(
        self, text: str, values: Mapping[str, str], on: Sequence[str], allowed: Sequence[bool] | NDArray[np.bool_]
    ) -> tuple[int, str] | None:
        """The first row that is the same business, and why in words; None if there is none.

        `values`: as `written`; `on`: the fields that are compared; `allowed`: which of the first rows count.
        """
        allowed = np.asarray(allowed, dtype=np.bool_)
        given = {name: values[name] for name in on if values.get(name)}
        for row in self._agreeing({name: _key(value) for name, value in given.items()}, on):
            if row < len(allowed) and allowed[row]:
                agreed = ", ".join(f"{name} {value}" for name, value in given.items() if name in self._values[row])
                return row, f"has the same {agreed}"
        return next(self._alike(text, allowed), None) if text.strip() and allowed.any() else None

    def _agreeing(self, keys: Mapping[str, str], on: Sequence[str]) -> Iterator[int]:
        """Rows that agree in these values, at most one left out, and contradict none."""
        enough = len(on) if len(on) < 3 else len(on) - 1
        counts = Counter(row for item in keys.items() for row in self._rows.get(item, ()))
        for row in sorted(row for row, count in counts.items() if count >= enough):
            past = self._values[row]
            if all(past.get(name, key) == key for name, key in keys.items()):
                yield row

    def _alike(self, text: str, allowed: NDArray[np.bool_]) -> Iterator[tuple[int, str]]:
        numbers, words = _numbers(text), _words(text)
        for row in self._candidates(text, allowed):
            past = self._texts[row]
            if (share := word_overlap(text, past)) >= NEARLY:
                yield row, f"has nearly the same text ({share:.0%} of the words)"
            elif numbers.total() >= FEWEST_NUMBERS:
                same_numbers, same_words = overlap(numbers, _numbers(past)), overlap(words, _words(past))
                if same_numbers >= NUMBERS_AGAIN and same_words >= WORDS_AGAIN:
                    yield row, f"says the same again ({same_numbers:.0%} of the numbers, {same_words:.0%} of the words)"

    def _candidates(self, text: str, allowed: NDArray[np.bool_]) -> list[int]:
        """Allowed rows that may be alike. Words that fall into one bin count as equal, so no row that is alike is lost."""
        self._sketch_new()
        sketch, sizes = _sketch(text), self._sizes[: len(allowed)]
        size = sketch.sum(axis=1, dtype=np.int32)
        smaller, larger = np.minimum(sizes, size), np.maximum(sizes, size)
        nearly = smaller[:, :2].sum(axis=1) >= NEARLY * larger[:, :2].sum(axis=1)
        again = (smaller[:, 0] >= WORDS_AGAIN * larger[:, 0]) & (smaller[:, 2] >= NUMBERS_AGAIN * larger[:, 2])
        rows = np.flatnonzero(allowed & (nearly | again))
        different = np.abs(self._sketches[rows] - sketch).sum(axis=2, dtype=np.int32)
        both = sizes[rows] + size
        nearly = _at_most(both[:, :2].sum(axis=1), different[:, :2].sum(axis=1)) >= NEARLY
        again = _at_most(both[:, 0], different[:, 0]) >= WORDS_AGAIN
        again &= _at_most(both[:, 2], different[:, 2]) >= NUMBERS_AGAIN
        candidates: list[int] = rows[nearly | again].tolist()
        return candidates

    def _sketch_new(self) -> None:
        count = len(self._texts)
        if count > len(self._sketches):
            grown = np.empty((max(count, 2 * len(self._sketches)), 3, BINS), dtype=np.int16)
            sizes = np.empty((len(grown), 3), dtype=np.int32)
            grown[: self._sketched], sizes[: self._sketched] = self._sketches[: self._sketched], self._sizes[: self._sketched]
            self._sketches, self._sizes = grown, sizes
        for row in range(self._sketched, count):
            self._sketches[row] = _sketch(self._texts[row])
            self._sizes[row] = self._sketches[row].sum(axis=1)
        self._sketched = count


def word_overlap(a: str, b: str) -> float:
    """Share of words that two texts have in common, 0..1: the Jaccard index, repeated words counted.

    >>> word_overlap("pay 5 to A", "pay 5 to B")
    0.6
    """
    return overlap(Counter(a.casefold().split()), Counter(b.casefold().split()))


def overlap(a: Counter[str], b: Counter[str]) -> float:
    """Share of items that two collections have in common, 0..1: the Jaccard index, repeated items counted."""
    return (a & b).total() / max(1, (a | b).total())


def _numbers(text: str) -> Counter[str]:
    """Runs of digits: OCR splits and joins words at other places, but hardly within a number."""
    return Counter(_NUMBER.findall(text))


def _words(text: str) -> Counter[str]:
    return Counter(word for word in text.casefold().split() if word.isalpha() or not _NUMBER.search(word))


def _key(value: str) -> str:
    """Letters and digits, those that look alike as one.

    >>> _key("INV-2O26/0l"), _key("-12.50")
    ('1nv202601', '-1250')
    """
    sign = "-" if value.lstrip().startswith("-") and value.strip(" -").replace(".", "").isdigit() else ""
    return sign + "".join(letter for letter in value.casefold() if letter.isalnum()).translate(_LOOKALIKES)


def _sketch(text: str) -> NDArray[np.int16]:
    """(3, BINS): how many words without a digit, words with one, and numbers fall into each bin; the same within a process."""
    words: tuple[list[str], list[str]] = [], []
    for word in text.casefold().split():
        words[not word.isalpha() and _NUMBER.search(word) is not None].append(word)
    return np.stack([_binned(tokens) for tokens in (*words, _NUMBER.findall(text))])


def _binned(tokens: Sequence[str]) -> NDArray[np.int16]:
    bins = np.array([hash(token) % BINS for token in tokens], dtype=np.int64)
    return np.bincount(bins, minlength=BINS).astype(np.int16)


def _at_most(sizes: NDArray[np.int32], difference: NDArray[np.int32]) -> NDArray[np.float64]:
    """The largest overlap that two collections can have: `sizes` of both together, `difference` of their bins."""
    return np.asarray((sizes - difference) / np.maximum(sizes + difference, 1))
