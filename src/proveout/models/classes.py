"""The class of a document, from the headings and words of its first page.

A softmax regression without a constant: where nothing on the page speaks for a class, every class stays near zero and
the last class of the mission ("other") wins, with little confidence. It may so be told without one example of it.
Labels guessed from titles are weak, so headings of the prompts correct them where they speak clearly.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from proveout.models.cells import Cells
from proveout.models.labels import Labels

Floats = npt.NDArray[np.float64]

HEADING_FROM = 0.8  # similarity from which a cell counts as a heading
CLEAR = 2.0  # headings by which one class leads: stronger than a label that may be guessed from a title
NOTHING_SAID = 1.0  # log odds of the last class on a page that says nothing
HEADING_WEIGHT = 2.0  # log odds of one heading before anything was learned
LAST_WEIGHT = 4.0  # of the last class's: a rebate quotes the invoice's number and date, an invoice never says Rebate
_PENALTY = 0.02
_MOST_WORDS = 400
_SEEN_IN = 3  # documents in which a word must occur to be learned from


@dataclass
class Classes:
    names: tuple[str, ...]
    headings: Labels
    phrases: tuple[str, ...]  # all headings
    heading_class: tuple[int, ...]  # of each phrase
    words: tuple[str, ...] = ()
    weights: Floats | None = None  # (headings + words, classes)

    @classmethod
    def of(cls, headings: Mapping[str, Sequence[str]]) -> "Classes":
        """From the prompts alone: class name to its headings, the last class being that of everything else."""
        names = tuple(headings)
        phrases = [(at, phrase) for at, each in enumerate(headings.values()) for phrase in each]
        labels = Labels({str(n): [phrase] for n, (_, phrase) in enumerate(phrases)})
        return cls(names, labels, tuple(phrase for _, phrase in phrases), tuple(at for at, _ in phrases))

    def learn(self, pages: Sequence[Cells], told: Sequence[str]) -> "Classes":
        """Learn from labelled pages; "" is no label. Deterministic."""
        counts = Counter(word for cells in pages for word in page_words(cells))
        common = [word for word, n in counts.items() if _SEEN_IN <= n < 0.95 * len(pages)]
        words = tuple(sorted(sorted(common, key=lambda word: (-counts[word], word))[:_MOST_WORDS]))
        made = Classes(self.names, self.headings, self.phrases, self.heading_class, words)
        seen = np.array([made._inputs(cells) for cells in pages]).reshape(len(pages), -1)
        wanted = np.array([self._corrected(row, name) for row, name in zip(seen, told, strict=True)], dtype=int)
        made.weights = made._fit(seen[wanted >= 0], wanted[wanted >= 0])
        return made

    def tell(self, cells: Cells) -> tuple[str, float]:
        """The class and its probability."""
        scores = self._inputs(cells) @ (self._prior() if self.weights is None else self.weights)
        scores[-1] += NOTHING_SAID
        odds = np.exp(scores - scores.max())
        best = int(odds.argmax())
        return self.names[best], float(odds[best] / odds.sum())

    def _inputs(self, cells: Cells) -> Floats:
        front = [at for at in range(len(cells.texts)) if cells.page[at] == 0]
        likeness = [self._likeness(cells.texts[at]) for at in front if cells.wordy[at]]
        best = np.max(likeness, axis=0) if likeness else np.zeros(len(self.heading_class))
        said = page_words(cells)
        words = np.array([word in said for word in self.words], dtype=np.float64)
        return np.concatenate([np.maximum(best - HEADING_FROM, 0) / (1 - HEADING_FROM), 0.3 * words])

    def _likeness(self, text: str) -> Floats:
        """Of each heading: 1 also for a text that begins with it, where it has several words."""
        found = self.headings.similarity(text)
        begins = [" " in phrase and text.lower().startswith(phrase.lower()) for phrase in self.phrases]
        return np.maximum(found, begins)

    def _prior(self) -> Floats:
        prior = np.zeros((len(self.heading_class) + len(self.words), len(self.names)))
        for at, name in enumerate(self.heading_class):
            prior[at, name] = LAST_WEIGHT if name == len(self.names) - 1 else HEADING_WEIGHT
        return prior

    def _corrected(self, inputs: Floats, told: str) -> int:
        spoken = np.zeros(len(self.names))
        np.add.at(spoken, list(self.heading_class), (inputs[: len(self.heading_class)] > 0.2).astype(float))
        *_, second, first = np.sort(spoken)
        if first - second >= CLEAR:
            return int(spoken.argmax())
        return self.names.index(told) if told in self.names else -1

    def _fit(self, inputs: Floats, wanted: npt.NDArray[np.int64]) -> Floats:
        """Weights near the prompts' own, each class with the same say."""
        from scipy.optimize import minimize  # type: ignore[import-untyped]

        prior = self._prior()
        if not len(wanted):
            return prior
        offset = np.zeros(len(self.names))
        offset[-1] = NOTHING_SAID
        share = np.bincount(wanted, minlength=len(self.names)).astype(float)
        each = 1.0 / (share[wanted] * (share > 0).sum())
        target = np.eye(len(self.names))[wanted]

        def loss(flat: Floats) -> tuple[float, Floats]:
            weights = flat.reshape(prior.shape)
            scores = inputs @ weights + offset
            scores -= scores.max(axis=1, keepdims=True)
            odds = np.exp(scores)
            odds /= odds.sum(axis=1, keepdims=True)
            away = weights - prior
            value = -(each * np.log(odds[np.arange(len(wanted)), wanted] + 1e-12)).sum() + _PENALTY * (away**2).sum()
            slope = inputs.T @ (each[:, None] * (odds - target)) + 2 * _PENALTY * away
            return float(value), slope.ravel()

        found = minimize(loss, prior.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
        weights: Floats = np.round(found.x.reshape(prior.shape), 6)
        return weights

    def as_plain(self) -> dict[str, Any]:
        weights = self._prior() if self.weights is None else self.weights
        return {"words": list(self.words), "weights": weights.tolist()}

    def with_plain(self, plain: Mapping[str, Any]) -> "Classes":
        weights = np.array(plain["weights"], dtype=np.float64).reshape(-1, len(self.names))
        return Classes(self.names, self.headings, self.phrases, self.heading_class, tuple(plain["words"]), weights)


def page_words(cells: Cells) -> frozenset[str]:
    """The words of the first page, in lower case."""
    front = " ".join(text for text, page in zip(cells.texts, cells.page.tolist(), strict=True) if page == 0)
    return frozenset(re.findall(r"[a-z]{3,}", front.lower()))
