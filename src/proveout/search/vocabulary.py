"""What a query means to a catalogue: its terms, with spellings corrected and compounds joined or split.

Entry point: `Vocabulary.understand`. Only a word that no product contains is corrected or split, so a catalogue's own names are
never changed. Two words also stand for their compound where more products write it as one word than as two.
 Covered: one letter after the first too many, missing, wrong, or two that changed places; `notebookbag` and `head set`.
Not covered: synonyms. The vectors bring those; a word that two catalogues use otherwise has no entry here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from proveout.search.terms import stem, words_of

MOST_WORDS = 24  # of a query; a longer one is a text, and its first words say what it is about
LONGEST_CORRECTED = 40  # letters; the work grows with their square
SHORTEST_CORRECTED = 5  # letters; shorter words are near to too many others
SHORTEST_PART = 3  # letters of each part of a compound


@dataclass(frozen=True, slots=True)
class Query:
    """A query as the layers see it."""

    text: str  # as typed
    needs: tuple[frozenset[str], ...]  # each is met by any one of its terms
    corrections: Mapping[str, str] = field(default_factory=dict)  # word as typed to the words searched for

    @property
    def corrected(self) -> str:
        """The text for the encoder."""
        words = words_of(self.text)[:MOST_WORDS]
        return " ".join(self.corrections.get(word, word) for word in words) if self.corrections else self.text


class Vocabulary:
    """Words of a catalogue with the number of products that contain each.

    >>> vocabulary = Vocabulary.of(["Notebook bag 15.6 inch", "Headset, wireless", "Notebook 1 TB"])
    >>> vocabulary.understand("notbook 1tb").corrections, [sorted(need) for need in vocabulary.understand("head set").needs]
    ({'notbook': 'notebook'}, [['head', 'headset'], ['headset', 'set']])
    """

    def __init__(self, words: Mapping[str, int], pairs: Mapping[str, int]) -> None:
        """words: word to the products that contain it; pairs: compound to the products that write it as two words."""
        self.words = words
        self.pairs = pairs

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Vocabulary":
        split = [words_of(text) for text in texts]
        words = Counter(word for text in split for word in set(text))
        pairs = Counter(whole for text in split for whole in {a + b for a, b in pairwise(text)} if whole in words)
        return cls(words, pairs)

    @cached_property
    def stems(self) -> Mapping[str, int]:
        """Stem to the products that contain its most frequent word."""
        stems: dict[str, int] = {}
        for word, count in self.words.items():
            stems[stem(word)] = max(stems.get(stem(word), 0), count)
        return stems

    def has(self, word: str) -> bool:
        """Whether a product has this word in any form."""
        return word in self.words or stem(word) in self.stems

    def understand(self, text: str) -> Query:
        words = words_of(text)[:MOST_WORDS]
        corrections = {word: corrected for word in words if (corrected := self._corrected(word)) != word}
        searched = [part for word in words for part in corrections.get(word, word).split()]
        needs = [{stem(word)} for word in searched]
        for at, (left, right) in enumerate(pairwise(searched)):
            whole = left + right
            if whole.isalpha() and self.words.get(whole, 0) > self.pairs.get(whole, 0):
                needs[at].add(stem(whole))
                needs[at + 1].add(stem(whole))
        return Query(text, tuple(dict.fromkeys(map(frozenset, needs))), corrections)

    def _corrected(self, word: str) -> str:
        """The word itself if a product contains it, else the most frequent word that is near, else its parts; else itself."""
        if not SHORTEST_CORRECTED <= len(word) <= LONGEST_CORRECTED or not word.isalpha() or self.has(word):
            return word
        return self._nearest(word) or self._parts(word) or word

    def _parts(self, word: str) -> str:
        cuts = range(SHORTEST_PART, len(word) - SHORTEST_PART + 1)
        pairs = [(word[:cut], word[cut:]) for cut in cuts]
        usual = [pair for pair in pairs if all(map(self.has, pair))]
        return " ".join(max(usual, key=lambda pair: min(map(self._count, pair)))) if usual else ""

    def _nearest(self, word: str) -> str:
        near = {other for shape in _one_letter_less(word) for other in self._by_shape.get(shape, ()) if other[0] == word[0]}
        return min(near, key=lambda other: (-self.words[other], other), default="")

    def _count(self, word: str) -> int:
        return self.stems.get(stem(word), 0)

    @cached_property
    def _by_shape(self) -> Mapping[str, Sequence[str]]:
        shapes: defaultdict[str, list[str]] = defaultdict(list)
        for word in self.words:
            if word.isalpha() and len(word) >= SHORTEST_CORRECTED - 1:
                for shape in _one_letter_less(word):
                    shapes[shape].append(word)
        return shapes


def _one_letter_less(word: str) -> Iterator[str]:
    """A word, and the word without each of its letters. Two words that share one of these differ by about one letter."""
    yield word
    yield from {word[:at] + word[at + 1 :] for at in range(len(word))}
