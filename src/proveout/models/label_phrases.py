"""How much a text looks like one of the phrases that the prompts give for a field.

Letters alone count, in groups of three, so that a glued, cut or misread label ("Contract#:", "lnvoice Date") is still
near its phrase; `#`, `No.` and `Number` are the same.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_NUMBER_WORDS = re.compile(r"\b(?:number|num|nbr|no)\b\.?|№")
_OTHERS = re.compile(r"[^a-z#]")
_REMEMBERED = 50_000  # texts; a label costs about 200 bytes


def compact(text: str) -> str:
    """Letters and # alone.

    >>> compact("Invoice No.:"), compact("Contract Number"), compact("Flight  Dates 12/30")
    ('invoice#', 'contract#', 'flightdates')
    """
    return _OTHERS.sub("", _NUMBER_WORDS.sub("#", text.lower()))


def _trigrams(letters: str) -> set[str]:
    padded = f"^{letters}$"
    return {padded[at : at + 3] for at in range(len(padded) - 2)}


class LabelPhrases:
    """Groups of phrases, compared with many texts."""

    def __init__(self, groups: Mapping[str, Sequence[str]]) -> None:
        self.groups = tuple(groups)
        phrases = [(group, _trigrams(compact(phrase))) for group, each in groups.items() for phrase in each if compact(phrase)]
        known = {gram: at for at, gram in enumerate(sorted({gram for _, grams in phrases for gram in grams}))}
        self._grams = known
        self._matrix = np.zeros((len(phrases), len(known)))
        for at, (_, grams) in enumerate(phrases):
            self._matrix[at, [known[gram] for gram in grams]] = 1.0
        self._lengths = self._matrix.sum(axis=1)
        self._members = [np.array([at for at, (g, _) in enumerate(phrases) if g == group], dtype=int) for group in groups]
        self._seen: dict[str, Floats] = {}

    def similarity(self, text: str) -> Floats:
        """The best phrase of each group, 0..1: 1 for the phrase itself, about 0.5 for a phrase inside a longer text.

        >>> LabelPhrases({"total": ["Gross Total"], "date": ["Invoice Date"]}).similarity("Gross Total:").round(2).tolist()
        [1.0, 0.0]
        """
        if (known := self._seen.get(text)) is not None:
            return known
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[text] = found = self._compare(compact(text))
        return found

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
