"""Layout statistics: which neighbours right answers had in labelled documents, and in which layouts.

Documents with the same layout form a cluster. Observations are averaged within a cluster and summed over clusters, so forty
documents of one layout count as one well-known layout, not as forty independent ones.
A training document is scored as if it were new: without itself (a new document of a known layout), or without its whole
cluster (a new layout). From both, the ranker learns how far to trust these statistics.
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

SAME_LAYOUT_ABOVE = 0.4  # Jaccard similarity of the first page's wordy texts
SAME_PLACE_ABOVE = 0.8  # share of a place's neighbours that agree
EMPTY = -2
NEIGHBOURS = 5  # nearest documents that are compared
_PRIOR = 0.7  # weight of the base rate, in clusters
COLUMNS = (
    *(f"rate_{slot}" for slot in (*SLOTS, "own")),
    *(f"support_{slot}" for slot in (*SLOTS, "own")),
    "form_match",
    "familiar",
)


def signatures_of(features: CandidateFeatures) -> list[Signature]:
    """One signature per candidate."""
    return [
        (*(shape(text) for text in texts), shape(candidate.text))
        for candidate, texts in zip(features.candidates, features.neighbours, strict=True)
    ]


@dataclass(frozen=True)
class LabelledCandidates:
    """One labelled document, for one field: its candidates' signatures, and which of them are right."""

    signatures: list[Signature]
    right: npt.NDArray[np.bool_]


Rate = tuple[float, float]  # log odds of being right, weight in clusters


@dataclass(frozen=True)
class Rates:
    """The rates of one field."""

    unknown: Rate  # of a text that was never seen
    slots: list[dict[str, Rate]]  # for each slot, text to rate


Counts = dict[str, dict[int, tuple[float, float]]]  # text of a slot to cluster to (sum of shares, documents)


class LayoutStatistics:
    """Layout statistics as they apply to new documents."""

    def __init__(
        self, marks: Sequence[Sequence[str]], right: Mapping[str, Sequence[Sequence[Signature]]], rates: Mapping[str, Rates]
    ) -> None:
        self.marks = [tuple(sorted(texts)) for texts in marks]
        self.right = right  # for each field, for each document: the signatures of right answers
        self.rates = rates  # for each field
        self._columns_of = {text: at for at, text in enumerate(sorted({text for texts in self.marks for text in texts}))}
        self._layouts = np.zeros((len(marks), len(self._columns_of)), dtype=np.float32)  # (documents, texts), 0 or 1
        for row, texts in enumerate(self.marks):
            self._layouts[row, [self._columns_of[text] for text in texts]] = 1.0
        self._sizes = np.array([len(texts) for texts in self.marks], dtype=np.float64)
        keys = {key for documents in right.values() for signatures in documents for s in signatures for key in s if key}
        self._keys = {key: at for at, key in enumerate(sorted(keys))}
        self.corrected: dict[int, frozenset[str]] = {}  # row of a document: the fields that a person corrected after training
        self._places = {name: [self._numbered(signatures) for signatures in documents] for name, documents in right.items()}

    def as_plain(self) -> dict[str, Any]:
        """JSON data, which `from_plain` reads; without `corrected`."""
        rates = {
            name: {
                "unknown": of_field.unknown,
                "slots": [{key: list(rate) for key, rate in sorted(slot.items())} for slot in of_field.slots],
            }
            for name, of_field in self.rates.items()
        }
        return {"marks": self.marks, "right": self.right, "rates": rates}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "LayoutStatistics":
        right = {name: [[tuple(s) for s in signatures] for signatures in rows] for name, rows in plain["right"].items()}
        rates = {
            name: Rates(tuple(field["unknown"]), [{k: (v[0], v[1]) for k, v in slot.items()} for slot in field["slots"]])
            for name, field in plain["rates"].items()
        }
        return cls(plain["marks"], right, rates)

    def with_more(self, more: "TrainingStatistics", wrong: Sequence[Collection[str]]) -> "LayoutStatistics":
        """These statistics plus those of more documents, whose layouts all count as new.

        `wrong` has, for each of those documents, the fields that a person corrected.
        """
        rates = {}
        for name, mine in self.rates.items():
            base, slots = _share_of(mine.unknown), [dict(slot) for slot in mine.slots]
            for slot, totals in zip(slots, more.totals[name], strict=True):
                for key, (total, weight) in totals.items():
                    rate = slot.get(key, mine.unknown)
                    previous = _share_of(rate) * (rate[1] + _PRIOR) - _PRIOR * base
                    slot[key] = _rate(previous + total, rate[1] + weight, base)
            rates[name] = Rates(mine.unknown, slots)
        right = {name: [*rows, *more.right[name]] for name, rows in self.right.items()}
        merged = LayoutStatistics([*self.marks, *more.marks], right, rates)
        merged.corrected = {**self.corrected, **{len(self.marks) + at: frozenset(names) for at, names in enumerate(wrong)}}
        return merged

    def corrected_candidates(self, name: str, signatures: Sequence[Signature], marks: frozenset[str]) -> list[int]:
        """Candidates in the place where a person corrected this field in a document of this layout; without one, none."""
        others = np.array([name not in self.corrected.get(row, ()) for row in range(len(self.marks))])
        if others.all() or not len(signatures):
            return []
        (nearest, *_), (similarity, *_) = self.nearest(marks, others)
        keys, places = self._numbered(signatures), self._places[name][nearest]
        if similarity < SAME_LAYOUT_ABOVE or not len(places):
            return []
        agree = ((keys[:, None, :] == places[None, :, :]) & (keys[:, None, :] >= 0)).sum(axis=2)
        match = (agree / np.maximum((places != EMPTY).sum(axis=1), 1)).max(axis=1)
        return np.flatnonzero(match == match.max()).tolist() if match.max() >= SAME_PLACE_ABOVE else []

    def columns(self, name: str, signatures: Sequence[Signature], nearest: tuple[list[int], Floats]) -> Floats:
        """For each candidate of a new document, (candidates, COLUMNS). `nearest` is what the method `nearest` returned."""
        slots, unknown = self.rates[name].slots, self.rates[name].unknown
        rates = [[slots[slot].get(key, unknown) for slot, key in enumerate(signature)] for signature in signatures]
        return self._columns(name, signatures, rates, *nearest)

    def _columns(
        self, name: str, signatures: Sequence[Signature], rates: list[list[Rate]], nearest: Sequence[int], similarity: Floats
    ) -> Floats:
        slots = len(SLOTS) + 1
        out = np.zeros((len(signatures), len(COLUMNS)))
        if not len(signatures):
            return out
        both = np.array(rates, dtype=np.float64)  # (candidates, slots, 2)
        out[:, :slots], out[:, slots : 2 * slots] = both[:, :, 0], both[:, :, 1]
        if (similarity > 0).any():
            keys = self._numbered(signatures)
            match = np.stack([_match(keys, self._places[name][at]) for at in nearest], axis=1)
            out[:, -2] = match @ similarity**2 / (similarity**2).sum()
        out[:, -1] = similarity.max(initial=0.0)
        return out

    def nearest(self, marks: frozenset[str], left_out: npt.NDArray[np.bool_] | None = None) -> tuple[list[int], Floats]:
        """The documents with the most similar first page, and their similarity (Jaccard)."""
        columns = [self._columns_of[text] for text in marks if text in self._columns_of]
        shared = self._layouts[:, columns].sum(axis=1).astype(np.float64)
        similarity = shared / np.maximum(self._sizes + len(marks) - shared, 1.0)
        if left_out is not None:
            similarity[left_out] = 0.0
        order = np.argsort(-similarity, kind="stable")[:NEIGHBOURS]
        return order.tolist(), similarity[order]

    def _numbered(self, signatures: Sequence[Signature]) -> npt.NDArray[np.int64]:
        """Keys as numbers: -1 for a key that no right answer had, EMPTY for no key."""
        rows = [[self._keys.get(key, -1) if key else EMPTY for key in signature] for signature in signatures]
        return np.array(rows, dtype=np.int64).reshape(-1, len(SLOTS) + 1)


class TrainingStatistics(LayoutStatistics):
    """Layout statistics that can leave out a training document or its cluster."""

    def __init__(self, marks: Sequence[frozenset[str]], labelled: Mapping[str, Sequence[LabelledCandidates]]) -> None:
        self.cluster = np.array(clusters(marks), dtype=int)
        self.labelled = labelled
        self._shares = {name: [_shares(document) for document in documents] for name, documents in labelled.items()}
        self._base = {
            name: float(sum(d.right.sum() for d in documents)) / max(sum(len(d.right) for d in documents), 1)
            for name, documents in labelled.items()
        }
        self._counts = {name: self._count(shares) for name, shares in self._shares.items()}
        self.totals = {
            name: [{key: _total(counts.values()) for key, counts in slot.items()} for slot in slots]
            for name, slots in self._counts.items()
        }
        rates = {
            name: Rates(
                _rate(0.0, 0.0, self._base[name]),
                [{key: _rate(*total, self._base[name]) for key, total in slot.items()} for slot in slots],
            )
            for name, slots in self.totals.items()
        }
        right = {name: [_right(document) for document in documents] for name, documents in labelled.items()}
        super().__init__([sorted(texts) for texts in marks], right, rates)

    def columns_without(self, name: str, own: int, new_layout: bool, forgetting: float = 0.0) -> Floats:
        """COLUMNS for a training document as if it were new: without itself, or without its whole cluster.

        `forgetting` is the share of neighbours, drawn by hash, that count as never seen, because other layouts use other words.
        """
        rate_of: dict[tuple[int, str], Rate] = {}
        signatures = self.labelled[name][own].signatures
        for signature in signatures:
            for slot, key in enumerate(signature):
                if (slot, key) not in rate_of:
                    forgotten = crc32(f"{own} {slot} {key}".encode()) < forgetting * 2**32
                    rate = self.rates[name].unknown if forgotten else self._rate_without(name, slot, key, own, new_layout)
                    rate_of[slot, key] = rate
        rates = [[rate_of[at] for at in enumerate(signature)] for signature in signatures]
        left_out = self.cluster == self.cluster[own] if new_layout else np.arange(len(self.cluster)) == own
        return self._columns(name, signatures, rates, *self.nearest(frozenset(self.marks[own]), left_out))

    def _count(self, documents: Sequence[Sequence[Mapping[str, float]]]) -> list[Counts]:
        counts: list[Counts] = [{} for _ in range(len(SLOTS) + 1)]
        for shares, cluster in zip(documents, self.cluster.tolist(), strict=True):
            for count, slot in zip(counts, shares, strict=True):
                for key, share in slot.items():
                    by_cluster = count.setdefault(key, {})
                    right, seen = by_cluster.get(cluster, (0.0, 0.0))
                    by_cluster[cluster] = (right + share, seen + 1.0)
        return counts

    def _rate_without(self, name: str, slot: int, key: str, own: int, new_layout: bool) -> Rate:
        if key not in self._counts[name][slot]:
            return self.rates[name].unknown
        by_cluster, (total, weight) = self._counts[name][slot][key], self.totals[name][slot][key]
        cluster = int(self.cluster[own])
        if cluster not in by_cluster:
            return self.rates[name].slots[slot][key]
        right, seen = by_cluster[cluster]
        cluster_total, cluster_weight = _cluster_total(right, seen)
        total, weight = total - cluster_total, weight - cluster_weight
        if not new_layout:
            share = self._shares[name][own][slot].get(key)
            rest = _cluster_total(right, seen) if share is None else _cluster_total(right - share, seen - 1.0)
            total, weight = total + rest[0], weight + rest[1]
        return _rate(total, weight, self._base[name])


def _cluster_total(right: float, seen: float) -> tuple[float, float]:
    """One cluster's weighted sum of right answers for a neighbour, and its weight."""
    if seen < 0.5:
        return 0.0, 0.0
    weight = math.sqrt(min(seen, 9.0))
    return weight * max(right, 0.0) / seen, weight


def _total(counts: Iterable[tuple[float, float]]) -> tuple[float, float]:
    totals = [_cluster_total(*count) for count in counts]
    return sum(total for total, _ in totals), sum(weight for _, weight in totals)


def _rate(total: float, weight: float, base: float) -> Rate:
    """Log odds that a candidate with this neighbour is right, and their weight in clusters.

    Rounded, so that removing a cluster gives exactly the never-seen value.
    """
    rate = (total + _PRIOR * base) / (weight + _PRIOR)
    return round(math.log((rate + 1e-3) / (1 - rate + 1e-3)), 5), abs(round(weight, 5))


def _share_of(rate: Rate) -> float:
    """The share of right answers, smoothed as in `_rate`, to its five digits.

    >>> round(_share_of(_rate(3.0, 4.0, 0.1)), 4), round((3.0 + 0.7 * 0.1) / 4.7, 4)
    (0.6532, 0.6532)
    """
    odds = math.exp(rate[0])
    return (odds * 1.001 - 1e-3) / (1 + odds)


def _right(document: LabelledCandidates) -> list[Signature]:
    return sorted({s for s, right in zip(document.signatures, document.right.tolist(), strict=True) if right})


def _shares(document: LabelledCandidates) -> list[dict[str, float]]:
    """For each slot and neighbour, the share of candidates that are right."""
    out: list[dict[str, float]] = []
    for slot in range(len(SLOTS) + 1):
        right: dict[str, float] = {}
        count: dict[str, int] = {}
        for signature, is_right in zip(document.signatures, document.right.tolist(), strict=True):
            key = signature[slot]
            if key:
                right[key] = right.get(key, 0.0) + is_right
                count[key] = count.get(key, 0) + 1
        out.append({key: right[key] / count[key] for key in right})
    return out


def _match(keys: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> Floats:
    """For each signature, the share of slots that agree with the nearest right answer."""
    if not len(right):
        return np.zeros(len(keys))
    same = (keys[:, None, :] == right[None, :, :]) & (keys[:, None, :] >= 0)
    best: Floats = same.mean(axis=2).max(axis=1)
    return best


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard similarity, 0..1; 0 for two empty sets.

    >>> jaccard(frozenset("abc"), frozenset("bcd"))
    0.5
    """
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared) if shared else 0.0


def clusters(marks: Sequence[frozenset[str]]) -> list[int]:
    """The cluster of each document: that of the most similar earlier document, or a new one.

    >>> clusters([frozenset("abcd"), frozenset("xyz"), frozenset("abce")])
    [0, 1, 0]
    """
    cluster_of: list[int] = []
    for at, own in enumerate(marks):
        best = max(range(at), key=lambda other: jaccard(own, marks[other]), default=None)
        if best is not None and jaccard(own, marks[best]) >= SAME_LAYOUT_ABOVE:
            cluster_of.append(cluster_of[best])
        else:
            cluster_of.append(max(cluster_of, default=-1) + 1)
    return cluster_of
