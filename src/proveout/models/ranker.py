"""Rank the candidates of one field: boosted trees over place, neighbours, labels and statistics.

`probabilities` scores candidates; `choose` turns them into one score a value, with what stands against it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from proveout.errors import BadModel
from proveout.models import layout_statistics
from proveout.models.features import SLOTS, CandidateFeatures

if TYPE_CHECKING:
    import lightgbm

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MOST_ENDS = 8  # values of each end that are paired
UNPRINTED, REVERSED = 0.15, 0.01  # weight of a pair that is not printed as a range, and of one that ends before it begins
LABEL_COLUMNS = (
    *("label_best", "not_label_best", "label_leads", "label_margin", "other_label"),
    *("close_label", "close_leads", "close_margin"),  # without chance likeness and with distance
)
RELATIVE_LABELS = ("label_best", "label_leads", "label_margin", "close_leads", "close_margin")
RELATIVE = [layout_statistics.COLUMNS.index(f"rate_{slot}") for slot in ("near", "above", "heading", "row", "own")]
RELATIVE.append(layout_statistics.COLUMNS.index("form_match"))
CHANCE = 0.4  # likeness of unrelated labels
FADES = 8.0  # lines, over which a label above loses two thirds of its say
NEAREST = 4  # the first slots, where a label stands: near, left, above, heading


@dataclass(frozen=True)
class Settings:
    """Chosen by cross-validation over layouts and over time within train and calibration; notebooks/invoices/models.py."""

    rounds: int = 200
    leaves: int = 15
    learning_rate: float = 0.06
    least_rows: int = 15  # in a leaf
    columns_share: float = 0.4  # of the columns that a tree sees
    rows_share: float = 0.8
    ridge: float = 5.0
    seed: int = 7
    threads: int = 1  # two cost more time than they save on a machine that does other work too


@dataclass(frozen=True)
class Groups:
    """Where a field's label phrases are among the columns of CandidateFeatures.similar."""

    labels: int
    not_labels: int
    others: tuple[int, ...]  # labels of fields of another kind


def columns(evidence: CandidateFeatures, groups: Groups, learned: Floats) -> Floats:
    """All that the trees see of each candidate, (candidates, `names(...)`)."""
    if not evidence.candidates:
        return np.zeros((0, len(names(evidence))))
    own, against = evidence.similar[:, :, groups.labels], evidence.similar[:, :, groups.not_labels]
    others = evidence.similar[:, :, list(groups.others)].max(axis=2, initial=0.0)
    far = np.zeros((len(own), NEAREST))  # a heading three lines up says less than one right above
    for slot in ("above", "heading"):
        far[:, SLOTS.index(slot)] = evidence.base[:, evidence.names.index(f"{slot}_gap")]
    trust = np.exp(-np.maximum(far, 0) / FADES)
    best, worst = own[:, :NEAREST].max(axis=1), against[:, :NEAREST].max(axis=1)
    near, wrong = _beyond_chance(own[:, :NEAREST]) * trust, _beyond_chance(against[:, :NEAREST]) * trust
    close, leads = near.max(axis=1), (near - wrong).max(axis=1)
    other = others[:, :NEAREST].max(axis=1)
    all_leads = (own - against)[:, :NEAREST].max(axis=1)
    labels = np.stack([best, worst, all_leads, best - worst, other, close, leads, close - wrong.max(axis=1)], axis=1)
    seen = np.concatenate([learned[:, RELATIVE], labels[:, [0, 2, 3, 6, 7]]], axis=1)
    return np.concatenate([evidence.base, own, against, labels, learned, seen - seen.max(axis=0)], axis=1)


def _beyond_chance(likeness: Floats) -> Floats:
    """Labels that mean different things share letters too ("Agency Name", "Advertiser Name"): that much is nothing."""
    beyond: Floats = np.maximum(likeness - CHANCE, 0.0) / (1 - CHANCE)
    return beyond


def names(evidence: CandidateFeatures) -> tuple[str, ...]:
    """What the columns are called, in their order."""
    return (
        *evidence.names,
        *(f"label_{slot}" for slot in SLOTS),
        *(f"not_label_{slot}" for slot in SLOTS),
        *LABEL_COLUMNS,
        *layout_statistics.COLUMNS,
        *(f"{name}_below_best" for name in (*(layout_statistics.COLUMNS[at] for at in RELATIVE), *RELATIVE_LABELS)),
    )


class Ranker:
    def __init__(self, booster: "lightgbm.Booster") -> None:
        self._booster = booster

    @classmethod
    def train(cls, inputs: Sequence[Floats], right: Sequence[Bools], settings: Settings) -> "Ranker":
        """Learn from documents: the columns of their candidates, and which candidates were right."""
        import lightgbm

        data = lightgbm.Dataset(np.concatenate(inputs), np.concatenate(right).astype(np.float64), free_raw_data=True)
        return cls(lightgbm.train(_parameters(settings), data, settings.rounds))

    @classmethod
    def from_text(cls, text: str) -> "Ranker":
        import lightgbm

        return cls(lightgbm.Booster(model_str=text))

    def as_text(self) -> str:
        text: str = self._booster.model_to_string()
        return text

    def probabilities(self, inputs: Floats) -> Floats:
        """For each candidate the probability that it is right, taken alone."""
        if not len(inputs):
            return np.zeros(0)
        if inputs.shape[1] != self._booster.num_feature():
            was, now = self._booster.num_feature(), inputs.shape[1]
            raise BadModel(
                f"the model was trained on {was} columns, this Proveout has {now}; build and promote anew: proveout build"
            )
        found: Floats = np.asarray(self._booster.predict(inputs, num_threads=1))
        return found

    def importance(self, names: Sequence[str]) -> dict[str, float]:
        """Share of the gain that each column brought, the largest first."""
        gain = self._booster.feature_importance("gain")
        shares = dict(zip(names, (gain / max(float(gain.sum()), 1e-9)).tolist(), strict=True))
        return dict(sorted(shares.items(), key=lambda pair: -pair[1]))


def _parameters(settings: Settings) -> dict[str, Any]:
    return {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.least_rows,
        "feature_fraction": settings.columns_share,
        "bagging_fraction": settings.rows_share,
        "bagging_freq": 1,
        "lambda_l2": settings.ridge,
        "seed": settings.seed,
        "num_threads": settings.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a field and how likely it is among all values of the document."""

    candidate: int  # its best occurrence
    probability: float  # of that occurrence, taken alone
    score: float  # 0..1, among all values and the possibility that none is right


def choose(evidence: CandidateFeatures, probabilities: Floats) -> list[Choice]:
    """The different values of a document, the likeliest first. Ties keep reading order."""
    best: dict[str, int] = {}
    for at, candidate in enumerate(evidence.candidates):
        there = best.get(candidate.key)
        if there is None or probabilities[at] > probabilities[there]:
            best[candidate.key] = at
    odds = np.array([probabilities[at] for at in best.values()])
    total = max(float(odds.sum()), 1.0)
    found = [Choice(at, float(p), float(p) / total) for at, p in zip(best.values(), odds, strict=True)]
    return sorted(found, key=lambda choice: (-choice.score, choice.candidate))


def choose_range(evidence: CandidateFeatures, first: list[Choice], last: list[Choice]) -> tuple[list[Choice], list[Choice]]:
    """Choose the two ends of a range together: each end's score becomes its share of all pairs.

    A pair that is printed as a range counts in full, another pair less, and one that ends before it begins hardly.
    """
    if not first or not last:
        return first, last
    keys = [candidate.key for candidate in evidence.candidates]
    role = evidence.base[:, evidence.names.index("role")]
    printed = {(keys[at], keys[at + 1]) for at in range(len(keys) - 1) if role[at] == 1 and role[at + 1] == 2}
    a, b = first[:MOST_ENDS], last[:MOST_ENDS]
    fit = np.array([[_fit(keys[x.candidate], keys[y.candidate], printed) for y in b] for x in a])
    one, other = np.array([x.score for x in a]), np.array([y.score for y in b])
    pairs = one[:, None] * other[None, :] * fit
    none = max(1.0 - one.sum(), 0.0) + max(1.0 - other.sum(), 0.0)
    pairs /= pairs.sum() + 0.5 * none * UNPRINTED + 1e-12
    x, y = np.unravel_index(int(pairs.argmax()), pairs.shape)
    return _reordered(a, pairs.sum(axis=1), int(x)), _reordered(b, pairs.sum(axis=0), int(y))


def _fit(first: str, last: str, printed: set[tuple[str, str]]) -> float:
    if first > last:
        return REVERSED
    return 1.0 if (first, last) in printed else UNPRINTED


def _reordered(choices: Sequence[Choice], scores: Floats, chosen: int) -> list[Choice]:
    """The chosen one first, then by score."""
    found = [replace(each, score=float(score)) for each, score in zip(choices, scores, strict=True)]
    return [found[chosen], *sorted((c for at, c in enumerate(found) if at != chosen), key=lambda c: (-c.score, c.candidate))]
