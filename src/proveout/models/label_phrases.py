"""Similarity of a text to the phrases that the prompts give for a field.

Only letters are compared, in groups of three, so a glued, cut or misread label ("Contract#:", "lnvoice Date") is still
similar to its phrase; `#`, `No.` and `Number` are equal.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_NUMBER_WORDS = re.compile(r"\b(?:number|num|nbr|no)\b\.?|№")
_OTHERS = re.compile(r"[^a-z#]")
_CACHED = 50_000  # texts, about 200 bytes each


def compact(text: str) -> str:
    """The letters and # of a text.

    >>> compact("Invoice No.:"), compact("Contract Number"), compact("Flight  Dates 12/30")
    ('invoice#', 'contract#', 'flightdates')
    """
    return _OTHERS.sub("", _NUMBER_WORDS.sub("#", text.lower()))


def _trigrams(letters: str) -> set[str]:
    padded = f"^{letters}$"
    return {padded[at : at + 3] for at in range(len(padded) - 2)}


class LabelPhrases:
    """Groups of phrases to compare texts with; each group is usually one field's labels."""

    def __init__(self, groups: Mapping[str, Sequence[str]]) -> None:
        self.groups = tuple(groups)
        phrases = [(group, _trigrams(compact(text))) for group, texts in groups.items() for text in texts if compact(text)]
        self._grams = {gram: at for at, gram in enumerate(sorted({gram for _, grams in phrases for gram in grams}))}
        self._matrix = np.zeros((len(phrases), len(self._grams)))
        for at, (_, grams) in enumerate(phrases):
            self._matrix[at, [self._grams[gram] for gram in grams]] = 1.0
        self._lengths = self._matrix.sum(axis=1)
        self._members = [np.array([at for at, (g, _) in enumerate(phrases) if g == group], dtype=int) for group in groups]
        self._cache: dict[str, Floats] = {}

    def similarity(self, text: str) -> Floats:
        """Similarity to the best phrase of each group, 0..1: 1 for the phrase itself, about 0.5 inside a longer text.

        >>> LabelPhrases({"total": ["Gross Total"], "date": ["Invoice Date"]}).similarity("Gross Total:").round(2).tolist()
        [1.0, 0.0]
        """
        if text not in self._cache:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[text] = self._compare(compact(text))
        return self._cache[text]

    def _compare(self, letters: str) -> Floats:
        grams = _trigrams(letters) if len(letters) > 1 else set()
        at = [self._grams[gram] for gram in grams if gram in self._grams]
        if not at or not len(self._matrix):
            return np.zeros(len(self.groups))
        shared = self._matrix[:, at].sum(axis=1)
        inside = shared / self._lengths
        dice = 2 * shared / (self._lengths + len(grams))
        near = 0.6 * dice + 0.4 * inside**2
        return np.array([near[rows].max() if len(rows) else 0.0 for rows in self._members])
