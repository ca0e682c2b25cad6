"""The class of a document, from the headings and words of its first page; or the answer to a flag, from all of its text.

A softmax regression without an intercept: if nothing on the page supports a class, every class stays near zero and the
mission's last class ("other") wins with low confidence. So "other" works without a single example of it.
Labels guessed from titles are unreliable, so clear headings from the prompts override them.
With `whole`, every page counts, and a phrase counts anywhere in the text, also across a line end.
"""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from proveout.models.label_phrases import LabelPhrases
from proveout.models.text_segments import TextSegments

Floats = npt.NDArray[np.float64]

HEADING_FROM = 0.8  # similarity from which a segment counts as a heading
CLEAR = 2.0  # lead in headings that overrides a label guessed from a title
LAST_CLASS_LOG_ODDS = 1.0  # on a page without a clue
HEADING_WEIGHT = 2.0  # log odds of one heading before training
LAST_WEIGHT = 4.0  # of a heading of the last class: a rebate quotes the invoice's number and date, an invoice never says Rebate
WORD_WEIGHT = 0.3  # of a word relative to a heading, before training
_PENALTY = 0.02  # keeps weights near the prompts' own if labels may be guessed
_PENALTY_LABELLED = 0.002  # if people gave the labels: ten times less, best on held-out letters (cli/new/letters)
_MOST_WORDS = 400
_SEEN_IN = 3  # documents that must contain a word before it is used


@dataclass
class Classes:
    """A classifier of documents: made from the prompts by `of`, trained by `learn`."""

    names: tuple[str, ...]
    headings: LabelPhrases
    phrases: tuple[str, ...]  # all headings
    heading_class: tuple[int, ...]  # of each phrase
    whole: bool = False  # read the whole text; otherwise page 1, where a phrase has to be a heading
    words: tuple[str, ...] = ()
    weights: Floats | None = None  # (headings + words, classes)

    @classmethod
    def of(cls, headings: Mapping[str, Sequence[str]], whole: bool = False) -> "Classes":
        """Untrained, from the prompts: class name to its headings. The last class is the one for everything else."""
        names = tuple(headings)
        phrases = [(at, phrase) for at, group in enumerate(headings.values()) for phrase in group]
        labels = LabelPhrases({str(n): [phrase] for n, (_, phrase) in enumerate(phrases)})
        return cls(names, labels, tuple(phrase for _, phrase in phrases), tuple(at for at, _ in phrases), whole)

    def learn(self, pages: Sequence[TextSegments], labels: Sequence[str], guessed: bool = True) -> "Classes":
        """Learn from documents; the label "" means none. Clear headings override labels that are `guessed`. Deterministic."""
        counts = Counter(word for segments in pages for word in self._words(segments))
        common = [word for word, n in counts.items() if _SEEN_IN <= n < 0.95 * len(pages)]
        words = tuple(sorted(sorted(common, key=lambda word: (-counts[word], word))[:_MOST_WORDS]))
        trained = replace(self, words=words)
        inputs = np.array([trained._inputs(segments) for segments in pages]).reshape(len(pages), -1)
        target = self._corrected if guessed else self._class_index
        targets = np.array([target(row, label) for row, label in zip(inputs, labels, strict=True)], dtype=int)
        penalty = _PENALTY if guessed else _PENALTY_LABELLED
        trained.weights = trained._fit(inputs[targets >= 0], targets[targets >= 0], penalty)
        return trained

    def classify(self, segments: TextSegments) -> tuple[str, float]:
        """The class and its probability."""
        scores = self._inputs(segments) @ self._weights
        scores[-1] += LAST_CLASS_LOG_ODDS
        odds = np.exp(scores - scores.max())
        best = int(odds.argmax())
        return self.names[best], float(odds[best] / odds.sum())

    def evidence_for(self, segments: TextSegments, name: str) -> list[tuple[float, str, list[int]]]:
        """Log odds of each phrase and word in a document for a class against the strongest other, with its text and segments.

        The strongest come first; evidence against the class is negative and comes last.
        """
        inputs, at = self._inputs(segments), self.names.index(name)
        if len(self.names) == 1:
            return []
        others = np.delete(inputs @ self._weights, at)
        rival = int(np.delete(np.arange(len(self.names)), at)[others.argmax()])
        odds = inputs * (self._weights[:, at] - self._weights[:, rival])
        evidence = [(float(odds[n]), self.texts[n], self._places(segments, n)) for n in np.flatnonzero(odds).tolist()]
        return sorted(evidence, key=lambda clue: -clue[0])

    @property
    def texts(self) -> tuple[str, ...]:
        """The phrases, then the words, in the order of the rows of `weights`."""
        return (*self.phrases, *self.words)

    @property
    def _weights(self) -> Floats:
        return self._prior() if self.weights is None else self.weights

    def log_odds(self, name: str) -> dict[str, float]:
        """How far each phrase or word moves a document towards a class, in log odds against the mean of the others."""
        at, others = self.names.index(name), [n for n, other in enumerate(self.names) if other != name]
        scale = np.where(np.arange(len(self.texts)) < len(self.phrases), 1.0, WORD_WEIGHT)
        rest = self._weights[:, others].mean(axis=1) if others else 0.0
        odds = scale * (self._weights[:, at] - rest)
        by_text: defaultdict[str, float] = defaultdict(float)  # a phrase of one word may occur twice, as phrase and as word
        for text, value in zip(self.texts, odds.tolist(), strict=True):
            by_text[text] += value
        return dict(by_text)

    def _inputs(self, segments: TextSegments) -> Floats:
        similarity = [self._similarity(segments.texts[at]) for at in self._read(segments) if segments.wordy[at]]
        best = np.max(similarity, axis=0) if similarity else np.zeros(len(self.heading_class))
        if self.whole:
            best = np.maximum(best, [any(True for _ in _occurrences(segments, phrase)) for phrase in self.phrases])
        present = self._words(segments)
        words = np.array([word in present for word in self.words], dtype=np.float64)
        return np.concatenate([np.maximum(best - HEADING_FROM, 0) / (1 - HEADING_FROM), WORD_WEIGHT * words])

    def _read(self, segments: TextSegments) -> list[int]:
        return [at for at in range(len(segments.texts)) if self.whole or segments.page[at] == 0]

    def _words(self, segments: TextSegments) -> frozenset[str]:
        return _words_of(" ".join(segments.texts[at] for at in self._read(segments)))

    def _places(self, segments: TextSegments, n: int) -> list[int]:
        """The segments that contain phrase or word `n` of `texts`."""
        read = self._read(segments)
        if n >= len(self.phrases):
            return [at for at in read if self.texts[n] in _words_of(segments.texts[at])]
        like = [at for at in read if segments.wordy[at] and self._similarity(segments.texts[at])[n] > HEADING_FROM]
        return like or (list(_occurrences(segments, self.phrases[n])) if self.whole else [])

    def _similarity(self, text: str) -> Floats:
        """Similarity to each heading; 1 also for a text that begins with the heading, if that has several words."""
        begins = [" " in phrase and text.lower().startswith(phrase.lower()) for phrase in self.phrases]
        return np.maximum(self.headings.similarity(text), begins)

    def _prior(self) -> Floats:
        prior = np.zeros((len(self.heading_class) + len(self.words), len(self.names)))
        for at, name in enumerate(self.heading_class):
            prior[at, name] = LAST_WEIGHT if name == len(self.names) - 1 else HEADING_WEIGHT
        return prior

    def _class_index(self, inputs: Floats, label: str) -> int:
        return self.names.index(label) if label in self.names else -1

    def _corrected(self, inputs: Floats, label: str) -> int:
        votes = np.zeros(len(self.names))
        np.add.at(votes, list(self.heading_class), (inputs[: len(self.heading_class)] > 0.2).astype(float))
        *_, second, first = np.sort([0.0, *votes])  # a mission may have a single class
        return int(votes.argmax()) if first - second >= CLEAR else self._class_index(inputs, label)

    def _fit(self, inputs: Floats, targets: npt.NDArray[np.int64], penalty: float) -> Floats:
        """Weights near the prompts' own; every class has the same total weight."""
        from scipy.optimize import minimize  # type: ignore[import-untyped]

        prior = self._prior()
        if not len(targets):
            return prior
        offset = np.zeros(len(self.names))
        offset[-1] = LAST_CLASS_LOG_ODDS
        share = np.bincount(targets, minlength=len(self.names)).astype(float)
        row_weight = 1.0 / (share[targets] * (share > 0).sum())
        one_hot = np.eye(len(self.names))[targets]

        def loss(flat: Floats) -> tuple[float, Floats]:
            weights = flat.reshape(prior.shape)
            scores = inputs @ weights + offset
            scores -= scores.max(axis=1, keepdims=True)
            odds = np.exp(scores)
            odds /= odds.sum(axis=1, keepdims=True)
            away = weights - prior
            log_likelihood = (row_weight * np.log(odds[np.arange(len(targets)), targets] + 1e-12)).sum()
            slope = inputs.T @ (row_weight[:, None] * (odds - one_hot)) + 2 * penalty * away
            return float(-log_likelihood + penalty * (away**2).sum()), slope.ravel()

        solution = minimize(loss, prior.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
        weights: Floats = np.round(solution.x.reshape(prior.shape), 6)
        return weights

    def as_plain(self) -> dict[str, Any]:
        """What training learned, as JSON data."""
        return {"words": list(self.words), "weights": self._weights.tolist()}

    def with_plain(self, plain: Mapping[str, Any]) -> "Classes":
        """These classes with the words and weights that `as_plain` returned."""
        weights = np.array(plain["weights"], dtype=np.float64).reshape(-1, len(self.names))
        return replace(self, words=tuple(plain["words"]), weights=weights)

    def as_learned_by(self, other: "Classes") -> "Classes":
        """These classes with the words that others learned, and with their weight of each heading that they have, too."""
        learned = dict(zip(zip(other.heading_class, other.phrases, strict=True), other._weights, strict=False))
        headings = zip(self.heading_class, self.phrases, self._prior(), strict=True)
        weights = [learned.get((at, phrase), prior) for at, phrase, prior in headings]
        weights += [*other._weights[len(other.phrases) :]]
        return replace(self, words=other.words, weights=np.array(weights).reshape(-1, len(self.names)))


def _words_of(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]{3,}", text.lower()))


def _occurrences(segments: TextSegments, phrase: str) -> Iterator[int]:
    """The segments in which a phrase begins, word for word; it may continue in the next segment."""
    starts = list(accumulate((len(text) + 1 for text in segments.texts[:-1]), initial=0))
    pattern = r"\s+".join(re.escape(word) for word in phrase.lower().split())
    for match in re.finditer(rf"(?<!\w){pattern}(?!\w)", " ".join(segments.texts).lower()):
        yield bisect_right(starts, match.start()) - 1
