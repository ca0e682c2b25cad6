"""What labelled documents taught about places: which neighbours right answers had, and on which forms.

Documents that share a form are a cluster. Evidence is averaged within a cluster and summed over clusters, so forty documents
of one form count as one well-known form, not as forty witnesses.
A training document is asked as if it were new: without itself (a new document of a known form), or without its whole
cluster (a new form). The ranker learns from both how far to trust this evidence.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from proveout.models.features import SLOTS, CandidateFeatures, shape

Floats = npt.NDArray[np.float64]
Signature = tuple[str, ...]  # the shape of each slot's text, and of the candidate itself at the end

SAME_FORM_ABOVE = 0.4  # shared share of the first page's wordy texts
SAME_PLACE_ABOVE = 0.8  # share of a place's neighbours that agree
NOTHING_THERE = -2
NEIGHBOURS = 5  # documents of the nearest forms that are asked
_PRIOR = 0.7  # clusters' worth of doubt
COLUMNS = (
    *(f"rate_{slot}" for slot in (*SLOTS, "own")),
    *(f"support_{slot}" for slot in (*SLOTS, "own")),
    "form_match",
    "familiar",
)


def signatures_of(evidence: CandidateFeatures) -> list[Signature]:
    return [
        (*(shape(text) for text in beside), shape(candidate.text))
        for candidate, beside in zip(evidence.candidates, evidence.neighbours, strict=True)
    ]


@dataclass(frozen=True)
class Known:
    """One labelled document, for one field: its candidates' signatures, and which of them were right."""

    signatures: list[Signature]
    right: npt.NDArray[np.bool_]


Rate = tuple[float, float]  # log odds of being right, clusters that say so


@dataclass(frozen=True)
class Rates:
    """For each slot, what is known of the texts that stood there."""

    unknown: Rate
    slots: list[dict[str, Rate]]


Counts = dict[str, dict[int, tuple[float, float]]]  # text of a slot to cluster to (sum of shares, documents)


class LayoutStatistics:
    """What labelled documents taught, as it is asked about new documents."""

    def __init__(
        self, marks: Sequence[Sequence[str]], right: Mapping[str, Sequence[Sequence[Signature]]], rates: Mapping[str, Rates]
    ) -> None:
        self.marks = [tuple(sorted(each)) for each in marks]
        self.right = right  # for each field, for each document: the signatures of right answers
        self.rates = rates  # for each field
        self._words = {word: at for at, word in enumerate(sorted({word for each in self.marks for word in each}))}
        self._forms = np.zeros((len(marks), len(self._words)), dtype=np.float32)
        for row, each in enumerate(self.marks):
            self._forms[row, [self._words[word] for word in each]] = 1.0
        self._sizes = np.array([len(each) for each in self.marks], dtype=np.float64)
        keys = {key for name in right for each in right[name] for signature in each for key in signature if key}
        self._keys = {key: at for at, key in enumerate(sorted(keys))}
        self.corrected: dict[int, frozenset[str]] = {}  # row of a document: the fields that a person put right after training
        self._places = {name: [self._numbered(each) for each in each_right] for name, each_right in right.items()}

    def as_plain(self) -> dict[str, Any]:
        slots = {
            name: {
                "unknown": rates.unknown,
                "slots": [{k: list(pair) for k, pair in sorted(slot.items())} for slot in rates.slots],
            }
            for name, rates in self.rates.items()
        }
        return {"marks": self.marks, "right": self.right, "rates": slots}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "LayoutStatistics":
        right = {name: [[tuple(s) for s in each] for each in every] for name, every in plain["right"].items()}
        rates = {
            name: Rates(tuple(each["unknown"]), [{k: (v[0], v[1]) for k, v in slot.items()} for slot in each["slots"]])
            for name, each in plain["rates"].items()
        }
        return cls(plain["marks"], right, rates)

    def with_more(self, more: "Learning", wrong: Sequence[Collection[str]]) -> "LayoutStatistics":
        """What other documents taught is added to this. A form of theirs counts as a form of its own, known here or not.

        `wrong`: for each of them, the fields that a person had to put right.
        """
        rates = {}
        for name, mine in self.rates.items():
            base, slots = _share_of(mine.unknown), [dict(slot) for slot in mine.slots]
            for slot, heard in zip(slots, more.evidence[name], strict=True):
                for key, (total, weight) in heard.items():
                    rate = slot.get(key, mine.unknown)
                    known = _share_of(rate) * (rate[1] + _PRIOR) - _PRIOR * base
                    slot[key] = _rate(known + total, rate[1] + weight, base)
            rates[name] = Rates(mine.unknown, slots)
        right = {name: [*every, *more.right[name]] for name, every in self.right.items()}
        made = LayoutStatistics([*self.marks, *more.marks], right, rates)
        made.corrected = {**self.corrected, **{len(self.marks) + at: frozenset(names) for at, names in enumerate(wrong)}}
        return made

    def shown(self, name: str, signatures: Sequence[Signature], marks: frozenset[str]) -> list[int]:
        """The candidates that stand where a person put this field right on a document of this form; none where nobody did."""
        others = np.array([name not in self.corrected.get(row, ()) for row in range(len(self.marks))])
        if others.all() or not len(signatures):
            return []
        (nearest, *_), (likeness, *_) = self.nearest(marks, others)
        here, places = self._numbered(signatures), self._places[name][nearest]
        if likeness < SAME_FORM_ABOVE or not len(places):
            return []
        agree = ((here[:, None, :] == places[None, :, :]) & (here[:, None, :] >= 0)).sum(axis=2)
        match = (agree / np.maximum((places != NOTHING_THERE).sum(axis=1), 1)).max(axis=1)
        return np.flatnonzero(match == match.max()).tolist() if match.max() >= SAME_PLACE_ABOVE else []

    def columns(self, name: str, signatures: Sequence[Signature], nearest: tuple[list[int], Floats]) -> Floats:
        """COLUMNS for each candidate of a new document, whose nearest documents were found before."""
        rates = self.rates[name]
        asked = [[rates.slots[slot].get(key, rates.unknown) for slot, key in enumerate(each)] for each in signatures]
        return self._columns(name, signatures, asked, *nearest)

    def _columns(
        self, name: str, signatures: Sequence[Signature], rates: list[list[Rate]], nearest: Sequence[int], likeness: Floats
    ) -> Floats:
        slots = len(SLOTS) + 1
        out = np.zeros((len(signatures), len(COLUMNS)))
        if not len(signatures):
            return out
        both = np.array(rates, dtype=np.float64)  # (candidates, slots, 2)
        out[:, :slots], out[:, slots : 2 * slots] = both[:, :, 0], both[:, :, 1]
        if (likeness > 0).any():
            here = self._numbered(signatures)
            match = np.stack([_match(here, self._places[name][at]) for at in nearest], axis=1)
            out[:, -2] = match @ likeness**2 / (likeness**2).sum()
        out[:, -1] = likeness.max(initial=0.0)
        return out

    def nearest(self, marks: frozenset[str], left_out: npt.NDArray[np.bool_] | None = None) -> tuple[list[int], Floats]:
        """The documents whose first page is most alike, and how much (Jaccard)."""
        shared = self._forms[:, [self._words[word] for word in marks if word in self._words]].sum(axis=1).astype(np.float64)
        likeness = shared / np.maximum(self._sizes + len(marks) - shared, 1.0)
        if left_out is not None:
            likeness[left_out] = 0.0
        order = np.argsort(-likeness, kind="stable")[:NEIGHBOURS]
        return order.tolist(), likeness[order]

    def _numbered(self, signatures: Sequence[Signature]) -> npt.NDArray[np.int64]:
        """Keys as numbers: -1 for a key that no right answer had, NOTHING_THERE for none."""
        rows = [[self._keys.get(key, -1) if key else NOTHING_THERE for key in signature] for signature in signatures]
        return np.array(rows, dtype=np.int64).reshape(-1, len(SLOTS) + 1)


class Learning(LayoutStatistics):
    """LayoutStatistics that still knows which document taught what, and can be asked without it."""

    def __init__(self, marks: Sequence[frozenset[str]], known: Mapping[str, Sequence[Known]]) -> None:
        self.cluster = np.array(clusters(marks), dtype=int)
        self.known = known
        self._shares = {name: [_shares(each) for each in every] for name, every in known.items()}
        self._base = {
            name: float(sum(each.right.sum() for each in every)) / max(sum(len(each.right) for each in every), 1)
            for name, every in known.items()
        }
        self._counts = {name: self._count(shares) for name, shares in self._shares.items()}
        self.evidence = {
            name: [{key: _evidence_of_all(there.values()) for key, there in slot.items()} for slot in slots]
            for name, slots in self._counts.items()
        }
        rates = {
            name: Rates(
                _rate(0.0, 0.0, self._base[name]),
                [{key: _rate(*evidence, self._base[name]) for key, evidence in slot.items()} for slot in slots],
            )
            for name, slots in self.evidence.items()
        }
        super().__init__([sorted(each) for each in marks], {name: [_right(e) for e in v] for name, v in known.items()}, rates)

    def columns_without(self, name: str, own: int, new_form: bool, forgetting: float = 0.0) -> Floats:
        """COLUMNS for a training document as if it were new: without itself, or without its whole cluster.

        `forgetting` is the share of neighbours, drawn by hash, that are taken for never seen: other forms use other words.
        """
        asked: dict[tuple[int, str], Rate] = {}
        signatures = self.known[name][own].signatures
        for signature in signatures:
            for slot, key in enumerate(signature):
                if (slot, key) not in asked:
                    forgotten = crc32(f"{own} {slot} {key}".encode()) < forgetting * 2**32
                    rate = self.rates[name].unknown if forgotten else self._rate_without(name, slot, key, own, new_form)
                    asked[slot, key] = rate
        rates = [[asked[at] for at in enumerate(signature)] for signature in signatures]
        left_out = self.cluster == self.cluster[own] if new_form else np.arange(len(self.cluster)) == own
        return self._columns(name, signatures, rates, *self.nearest(frozenset(self.marks[own]), left_out))

    def _count(self, documents: Sequence[Sequence[Mapping[str, float]]]) -> list[Counts]:
        counts: list[Counts] = [{} for _ in range(len(SLOTS) + 1)]
        for shares, group in zip(documents, self.cluster.tolist(), strict=True):
            for count, slot in zip(counts, shares, strict=True):
                for key, share in slot.items():
                    there = count.setdefault(key, {})
                    right, seen = there.get(group, (0.0, 0.0))
                    there[group] = (right + share, seen + 1.0)
        return counts

    def _rate_without(self, name: str, slot: int, key: str, own: int, new_form: bool) -> Rate:
        if key not in self._counts[name][slot]:
            return self.rates[name].unknown
        there, (total, weight) = self._counts[name][slot][key], self.evidence[name][slot][key]
        group = int(self.cluster[own])
        if group not in there:
            return self.rates[name].slots[slot][key]
        right, seen = there[group]
        said, heard = _evidence_of(right, seen)
        total, weight = total - said, weight - heard
        if not new_form:
            share = self._shares[name][own][slot].get(key)
            said, heard = _evidence_of(right, seen) if share is None else _evidence_of(right - share, seen - 1.0)
            total, weight = total + said, weight + heard
        return _rate(total, weight, self._base[name])


def _evidence_of(right: float, seen: float) -> tuple[float, float]:
    """What one cluster of documents says of a neighbour: a sum of right answers, and its weight."""
    if seen < 0.5:
        return 0.0, 0.0
    weight = math.sqrt(min(seen, 9.0))
    return weight * max(right, 0.0) / seen, weight


def _evidence_of_all(clusters: Iterable[tuple[float, float]]) -> tuple[float, float]:
    said = [_evidence_of(*cluster) for cluster in clusters]
    return sum(total for total, _ in said), sum(weight for _, weight in said)


def _rate(total: float, weight: float, base: float) -> Rate:
    """Log odds that a candidate with this neighbour is right, and how many clusters' worth of evidence says so.

    Rounded, so that what remains after a cluster is taken away is not told from what never was there.
    """
    rate = (total + _PRIOR * base) / (weight + _PRIOR)
    return round(math.log((rate + 1e-3) / (1 - rate + 1e-3)), 5), abs(round(weight, 5))


def _share_of(rate: Rate) -> float:
    """What `_rate` was given, to its five digits.

    >>> round(_share_of(_rate(3.0, 4.0, 0.1)), 4), round((3.0 + 0.7 * 0.1) / 4.7, 4)
    (0.6532, 0.6532)
    """
    odds = math.exp(rate[0])
    return (odds * 1.001 - 1e-3) / (1 + odds)


def _right(known: Known) -> list[Signature]:
    return sorted({s for s, right in zip(known.signatures, known.right.tolist(), strict=True) if right})


def _shares(known: Known) -> list[dict[str, float]]:
    """For each slot: of the candidates with this neighbour, the share that was right."""
    out: list[dict[str, float]] = []
    for slot in range(len(SLOTS) + 1):
        right: dict[str, float] = {}
        count: dict[str, int] = {}
        for signature, is_right in zip(known.signatures, known.right.tolist(), strict=True):
            key = signature[slot]
            if key:
                right[key] = right.get(key, 0.0) + is_right
                count[key] = count.get(key, 0) + 1
        out.append({key: right[key] / count[key] for key in right})
    return out


def _match(here: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> Floats:
    """For each signature the share of slots that agree with the nearest right answer's."""
    if not len(right):
        return np.zeros(len(here))
    same = (here[:, None, :] == right[None, :, :]) & (here[:, None, :] >= 0)
    best: Floats = same.mean(axis=2).max(axis=1)
    return best


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """
    >>> jaccard(frozenset("abc"), frozenset("bcd"))
    0.5
    """
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if shared else 0.0


def clusters(marks: Sequence[frozenset[str]]) -> list[int]:
    """Group documents: each joins the cluster of the most similar earlier one, or founds its own.

    >>> clusters([frozenset("abcd"), frozenset("xyz"), frozenset("abce")])
    [0, 1, 0]
    """
    found: list[int] = []
    for at, own in enumerate(marks):
        best = max(range(at), key=lambda other: jaccard(own, marks[other]), default=None)
        if best is not None and jaccard(own, marks[best]) >= SAME_FORM_ABOVE:
            found.append(found[best])
        else:
            found.append(max(found, default=-1) + 1)
    return found
