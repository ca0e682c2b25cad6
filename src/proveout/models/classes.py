"""The class of a document, from the headings and words of its first page; or the answer to a flag, from all of its text.

A softmax regression without a constant: where nothing on the page speaks for a class, every class stays near zero and
the last class of the mission ("other") wins, with little confidence. It may so be told without one example of it.
Labels guessed from titles are weak, so headings of the prompts correct them where they speak clearly.
Read `whole`, every page counts, and a phrase counts wherever it stands in the text, over the end of a line too.
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
CLEAR = 2.0  # headings by which one class leads: stronger than a label that may be guessed from a title
NOTHING_SAID = 1.0  # log odds of the last class on a page that says nothing
HEADING_WEIGHT = 2.0  # log odds of one heading before anything was learned
LAST_WEIGHT = 4.0  # of the last class's: a rebate quotes the invoice's number and date, an invoice never says Rebate
WORD_WEIGHT = 0.3  # of a word beside a heading, before anything was learned
_PENALTY = 0.02  # keeps weights near the prompts' own, where labels may be guessed
_PENALTY_TOLD = 0.002  # where a person said so: ten times less, best on letters that were not learned from (cli/new/letters)
_MOST_WORDS = 400
_SEEN_IN = 3  # documents in which a word must occur to be learned from


@dataclass
class Classes:
    names: tuple[str, ...]
    headings: LabelPhrases
    phrases: tuple[str, ...]  # all headings
    heading_class: tuple[int, ...]  # of each phrase
    whole: bool = False  # the whole text is read; otherwise page 1, and a phrase has to be a heading there
    words: tuple[str, ...] = ()
    weights: Floats | None = None  # (headings + words, classes)

    @classmethod
    def of(cls, headings: Mapping[str, Sequence[str]], whole: bool = False) -> "Classes":
        """From the prompts alone: class name to its headings, the last class being that of everything else."""
        names = tuple(headings)
        phrases = [(at, phrase) for at, each in enumerate(headings.values()) for phrase in each]
        labels = LabelPhrases({str(n): [phrase] for n, (_, phrase) in enumerate(phrases)})
        return cls(names, labels, tuple(phrase for _, phrase in phrases), tuple(at for at, _ in phrases), whole)

    def learn(self, pages: Sequence[TextSegments], told: Sequence[str], guessed: bool = True) -> "Classes":
        """Learn from labelled pages; "" is no label. Headings correct labels that may be `guessed`. Deterministic."""
        counts = Counter(word for segments in pages for word in self._words(segments))
        common = [word for word, n in counts.items() if _SEEN_IN <= n < 0.95 * len(pages)]
        words = tuple(sorted(sorted(common, key=lambda word: (-counts[word], word))[:_MOST_WORDS]))
        made = replace(self, words=words)
        seen = np.array([made._inputs(segments) for segments in pages]).reshape(len(pages), -1)
        meant = self._corrected if guessed else self._told
        wanted = np.array([meant(row, name) for row, name in zip(seen, told, strict=True)], dtype=int)
        made.weights = made._fit(seen[wanted >= 0], wanted[wanted >= 0], _PENALTY if guessed else _PENALTY_TOLD)
        return made

    def tell(self, segments: TextSegments) -> tuple[str, float]:
        """The class and its probability."""
        scores = self._inputs(segments) @ self._weights
        scores[-1] += NOTHING_SAID
        odds = np.exp(scores - scores.max())
        best = int(odds.argmax())
        return self.names[best], float(odds[best] / odds.sum())

    def speaks(self, segments: TextSegments, name: str) -> list[tuple[float, str, list[int]]]:
        """What in a document speaks for a class, in log odds against the strongest other, and the segments where it stands.

        The strongest first; what speaks against the class is negative and comes last.
        """
        inputs, at = self._inputs(segments), self.names.index(name)
        others = np.delete(inputs @ self._weights, at)
        rival = int(np.delete(np.arange(len(self.names)), at)[others.argmax()])
        odds = inputs * (self._weights[:, at] - self._weights[:, rival])
        found = [(float(odds[n]), self.texts[n], self._places(segments, n)) for n in np.flatnonzero(odds).tolist()]
        return sorted(found, key=lambda said: -said[0])

    @property
    def texts(self) -> tuple[str, ...]:
        """What is looked for: phrases, then words."""
        return (*self.phrases, *self.words)

    @property
    def _weights(self) -> Floats:
        return self._prior() if self.weights is None else self.weights

    def log_odds(self, name: str) -> dict[str, float]:
        """How far each phrase or word moves a document towards a class, in log odds against the mean of the others."""
        at, others = self.names.index(name), [n for n, other in enumerate(self.names) if other != name]
        scale = np.where(np.arange(len(self.texts)) < len(self.phrases), 1.0, WORD_WEIGHT)
        odds = scale * (self._weights[:, at] - self._weights[:, others].mean(axis=1))
        found: defaultdict[str, float] = defaultdict(
            float
        )  # a phrase of one word is looked for twice, as a phrase and as a word
        for text, each in zip(self.texts, odds.tolist(), strict=True):
            found[text] += each
        return dict(found)

    def _inputs(self, segments: TextSegments) -> Floats:
        likeness = [self._likeness(segments.texts[at]) for at in self._read(segments) if segments.wordy[at]]
        best = np.max(likeness, axis=0) if likeness else np.zeros(len(self.heading_class))
        if self.whole:
            best = np.maximum(best, [any(True for _ in _standing(segments, phrase)) for phrase in self.phrases])
        said = self._words(segments)
        words = np.array([word in said for word in self.words], dtype=np.float64)
        return np.concatenate([np.maximum(best - HEADING_FROM, 0) / (1 - HEADING_FROM), WORD_WEIGHT * words])

    def _read(self, segments: TextSegments) -> list[int]:
        return [at for at in range(len(segments.texts)) if self.whole or segments.page[at] == 0]

    def _words(self, segments: TextSegments) -> frozenset[str]:
        return _words_of(" ".join(segments.texts[at] for at in self._read(segments)))

    def _places(self, segments: TextSegments, n: int) -> list[int]:
        """The segments in which a phrase or a word stands."""
        if n >= len(self.phrases):
            return [at for at in self._read(segments) if self.texts[n] in _words_of(segments.texts[at])]
        like = [
            at for at in self._read(segments) if segments.wordy[at] and self._likeness(segments.texts[at])[n] > HEADING_FROM
        ]
        return like or (list(_standing(segments, self.phrases[n])) if self.whole else [])

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

    def _told(self, inputs: Floats, told: str) -> int:
        return self.names.index(told) if told in self.names else -1

    def _corrected(self, inputs: Floats, told: str) -> int:
        spoken = np.zeros(len(self.names))
        np.add.at(spoken, list(self.heading_class), (inputs[: len(self.heading_class)] > 0.2).astype(float))
        *_, second, first = np.sort(spoken)
        if first - second >= CLEAR:
            return int(spoken.argmax())
        return self._told(inputs, told)

    def _fit(self, inputs: Floats, wanted: npt.NDArray[np.int64], penalty: float) -> Floats:
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
            value = -(each * np.log(odds[np.arange(len(wanted)), wanted] + 1e-12)).sum() + penalty * (away**2).sum()
            slope = inputs.T @ (each[:, None] * (odds - target)) + 2 * penalty * away
            return float(value), slope.ravel()

        found = minimize(loss, prior.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
        weights: Floats = np.round(found.x.reshape(prior.shape), 6)
        return weights

    def as_plain(self) -> dict[str, Any]:
        return {"words": list(self.words), "weights": self._weights.tolist()}

    def with_plain(self, plain: Mapping[str, Any]) -> "Classes":
        weights = np.array(plain["weights"], dtype=np.float64).reshape(-1, len(self.names))
        return replace(self, words=tuple(plain["words"]), weights=weights)


def _words_of(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]{3,}", text.lower()))


def _standing(segments: TextSegments, phrase: str) -> Iterator[int]:
    """The segments in which a phrase begins, word by word as it is written; it may go on in the next segment."""
    starts = list(accumulate((len(text) + 1 for text in segments.texts[:-1]), initial=0))
    wanted = r"\s+".join(re.escape(word) for word in phrase.lower().split())
    for found in re.finditer(rf"(?<!\w){wanted}(?!\w)", " ".join(segments.texts).lower()):
        yield bisect_right(starts, found.start()) - 1
