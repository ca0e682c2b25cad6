"""Rank the candidates of one field: boosted trees over place, neighbours, labels and layout statistics.

`Ranker.probabilities` scores candidates; `choose` turns them into one score per value. There are two sets of trees. One splits
at the best thresholds and knows the layouts it was trained on more exactly; the other splits at random ones (extremely
randomized trees, Geurts et al. 2006) and errs less on layouts that no document had. How familiar a document is decides between
them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from proveout import imports
from proveout.errors import BadModel
from proveout.models import layout_statistics
from proveout.models.features import SLOTS, CandidateFeatures

if TYPE_CHECKING:
    import lightgbm

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MOST_ENDS = 8  # values considered for each end of a range
UNPRINTED, REVERSED = 0.15, 0.01  # weight of a pair that is not printed as a range, and of one that ends before it begins
LABEL_COLUMNS = (
    *("label_best", "not_label_best", "label_leads", "label_margin", "other_label"),
    *("close_label", "close_leads", "close_margin"),  # less chance similarity, weighted by distance
)
RELATIVE_LABELS = ("label_best", "label_leads", "label_margin", "close_leads", "close_margin")
RELATIVE = [layout_statistics.COLUMNS.index(f"rate_{slot}") for slot in ("near", "above", "heading", "row", "own")]
RELATIVE.append(layout_statistics.COLUMNS.index("form_match"))
CHANCE = 0.4  # similarity of unrelated labels
FADES = 8.0  # lines over which a label above loses two thirds of its weight
NEAREST = 4  # the first slots, where labels are printed: near, left, above, heading
SEPARATOR = "\f"  # between the sets of trees in a file
FAMILIAR = -(len(RELATIVE) + len(RELATIVE_LABELS) + 1)  # the last column of the layout statistics
NEW, KNOWN = 0.4, 0.6  # a less familiar layout is new, a more familiar one known; between them both sets of trees count


@dataclass(frozen=True)
class Settings:
    """Chosen by cross-validation over layouts and over time, on train and calibration; notebooks/invoices/models.py."""

    rounds: int = 200  # trees of each set
    leaves: int = 15
    learning_rate: float = 0.06
    least_rows: int = 15  # per leaf
    columns_share: float = 0.4  # of the columns, per tree
    rows_share: float = 0.8
    ridge: float = 5.0
    copies: int = 3  # of each set, that differ by their seed; their mean depends less on chance
    seed: int = 7
    threads: int = 1  # two are slower on a machine that also does other work


@dataclass(frozen=True)
class Groups:
    """Where a field's label phrases are in the last axis of CandidateFeatures.similar."""

    labels: int
    not_labels: int
    others: tuple[int, ...]  # labels of fields of another kind


def columns(features: CandidateFeatures, groups: Groups, learned: Floats, without: Bools | None = None) -> Floats:
    """The input of the trees, (candidates, `names(...)`), as if those `without` were not printed."""
    kept = np.ones(len(features.candidates), dtype=bool) if without is None else ~without
    if not kept.any():
        return np.zeros((0, len(names(features))))
    prior, learned = prior_columns(features, groups)[kept], learned[kept]
    labels = prior[:, -len(LABEL_COLUMNS) :]
    relative = np.concatenate([learned[:, RELATIVE], labels[:, [0, 2, 3, 6, 7]]], axis=1)
    return np.concatenate([prior, learned, relative - relative.max(axis=0)], axis=1)


def prior_width(features: CandidateFeatures) -> int:
    """The number of `prior_columns`."""
    return len(features.names) + 2 * len(SLOTS) + len(LABEL_COLUMNS)


def prior_columns(features: CandidateFeatures, groups: Groups) -> Floats:
    """The columns that no labelled document taught: place, neighbours and label phrases, (candidates, `prior_width`)."""
    if not features.candidates:
        return np.zeros((0, prior_width(features)))
    own, against = features.similar[:, :, groups.labels], features.similar[:, :, groups.not_labels]
    others = features.similar[:, :, list(groups.others)].max(axis=2, initial=0.0)
    far = np.zeros((len(own), NEAREST))  # a heading three lines up counts less than one directly above
    for slot in ("above", "heading"):
        far[:, SLOTS.index(slot)] = features.base[:, features.names.index(f"{slot}_gap")]
    trust = np.exp(-np.maximum(far, 0) / FADES)
    best, worst = own[:, :NEAREST].max(axis=1), against[:, :NEAREST].max(axis=1)
    near, wrong = _beyond_chance(own[:, :NEAREST]) * trust, _beyond_chance(against[:, :NEAREST]) * trust
    close, leads = near.max(axis=1), (near - wrong).max(axis=1)
    other = others[:, :NEAREST].max(axis=1)
    all_leads = (own - against)[:, :NEAREST].max(axis=1)
    labels = np.stack([best, worst, all_leads, best - worst, other, close, leads, close - wrong.max(axis=1)], axis=1)
    return np.concatenate([features.base, own, against, labels], axis=1)


def _beyond_chance(similarity: Floats) -> Floats:
    """Similarity above that of unrelated labels, which share letters too ("Agency Name", "Advertiser Name")."""
    beyond: Floats = np.maximum(similarity - CHANCE, 0.0) / (1 - CHANCE)
    return beyond


def names(features: CandidateFeatures) -> tuple[str, ...]:
    """Names of the columns that `columns` returns, in order."""
    return (
        *features.names,
        *(f"label_{slot}" for slot in SLOTS),
        *(f"not_label_{slot}" for slot in SLOTS),
        *LABEL_COLUMNS,
        *layout_statistics.COLUMNS,
        *(f"{name}_below_best" for name in (*(layout_statistics.COLUMNS[at] for at in RELATIVE), *RELATIVE_LABELS)),
    )


class Ranker:
    """The trained trees of one field."""

    def __init__(self, best: "Sequence[lightgbm.Booster]", random: "Sequence[lightgbm.Booster]") -> None:
        self._best, self._random = best, random  # by the thresholds of their splits; copies of each

    @classmethod
    def train(cls, inputs: Sequence[Floats], right: Sequence[Bools], settings: Settings) -> "Ranker":
        """Learn from documents: the columns of their candidates, and which candidates are right."""
        trees = imports.lightgbm()
        rows, labels = np.concatenate(inputs), np.concatenate(right).astype(np.float64)
        data = trees.Dataset(rows, labels, params=_parameters(settings, 0), free_raw_data=True)
        best, random = (
            [
                trees.train({**_parameters(settings, copy), "extra_trees": at_random}, data, settings.rounds)
                for copy in range(settings.copies)
            ]
            for at_random in (False, True)
        )
        return cls(best, random)

    @classmethod
    def from_text(cls, text: str) -> "Ranker":
        trees = [imports.lightgbm().Booster(model_str=part) for part in text.split(SEPARATOR)]
        return cls(trees[: len(trees) // 2], trees[len(trees) // 2 :])

    def as_text(self) -> str:
        """Both sets of trees in LightGBM's text format, which `from_text` reads."""
        return SEPARATOR.join(trees.model_to_string() for trees in (*self._best, *self._random))

    def probabilities(self, inputs: Floats) -> Floats:
        """The probability that each candidate is right, independent of the others. Raises BadModel for other columns."""
        if not len(inputs):
            return np.zeros(0)
        if inputs.shape[1] != self._best[0].num_feature():
            was, now = self._best[0].num_feature(), inputs.shape[1]
            hint = "build it again and promote it: proveout build"
            raise BadModel(f"the model was trained on {was} columns, this Proveout has {now}; {hint}")
        familiar = np.clip((inputs[:, FAMILIAR] - NEW) / (KNOWN - NEW), 0.0, 1.0)
        of_best, of_random = (
            np.mean([np.asarray(each.predict(inputs, num_threads=1)) for each in trees], axis=0)
            for trees in (self._best, self._random)
        )
        probabilities: Floats = familiar * of_best + (1 - familiar) * of_random
        return probabilities

    def importance(self, names: Sequence[str]) -> dict[str, float]:
        """Each column's share of the total gain, the largest first."""
        gains = np.stack([trees.feature_importance("gain") for trees in (*self._best, *self._random)])
        shares = (gains / np.maximum(gains.sum(axis=1, keepdims=True), 1e-9)).mean(axis=0)
        return dict(sorted(zip(names, shares.tolist(), strict=True), key=lambda pair: -pair[1]))


def _parameters(settings: Settings, copy: int) -> dict[str, Any]:
    return {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.least_rows,
        "feature_fraction": settings.columns_share,
        "bagging_fraction": settings.rows_share,
        "bagging_freq": 1,
        "lambda_l2": settings.ridge,
        "seed": settings.seed + 1000 * copy,
        "num_threads": settings.threads,
        "deterministic": True,
        "force_col_wise": True,  # the same trees as by rows, in less time
        "verbose": -1,
    }


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a field, scored against all other values of the document."""

    candidate: int  # its best occurrence
    probability: float  # of that occurrence alone
    score: float  # 0..1, relative to all values and to the possibility that none is right


def choose(features: CandidateFeatures, probabilities: Floats) -> list[Choice]:
    """The distinct values of a document, the most likely first. Ties keep reading order."""
    best: dict[str, int] = {}
    for at, candidate in enumerate(features.candidates):
        previous = best.get(candidate.key)
        if previous is None or probabilities[at] > probabilities[previous]:
            best[candidate.key] = at
    odds = np.array([probabilities[at] for at in best.values()])
    total = max(float(odds.sum()), 1.0)
    choices = [Choice(at, float(p), float(p) / total) for at, p in zip(best.values(), odds, strict=True)]
    return sorted(choices, key=lambda choice: (-choice.score, choice.candidate))


def choose_range(features: CandidateFeatures, first: list[Choice], last: list[Choice]) -> tuple[list[Choice], list[Choice]]:
    """Choose the two ends of a range together: each end's score becomes its share of all pairs.

    A pair that is printed as a range has full weight, other pairs less, and one that ends before it begins almost none.
    """
    if not first or not last:
        return first, last
    keys = [candidate.key for candidate in features.candidates]
    role = features.base[:, features.names.index("role")]
    printed = {(keys[at], keys[at + 1]) for at in range(len(keys) - 1) if role[at] == 1 and role[at + 1] == 2}
    a, b = first[:MOST_ENDS], last[:MOST_ENDS]
    fit = np.array([[_fit(keys[x.candidate], keys[y.candidate], printed) for y in b] for x in a])
    starts, ends = np.array([x.score for x in a]), np.array([y.score for y in b])
    pairs = starts[:, None] * ends[None, :] * fit
    none = max(1.0 - starts.sum(), 0.0) + max(1.0 - ends.sum(), 0.0)
    pairs /= pairs.sum() + 0.5 * none * UNPRINTED + 1e-12
    x, y = np.unravel_index(int(pairs.argmax()), pairs.shape)
    return _reordered(a, pairs.sum(axis=1), int(x)), _reordered(b, pairs.sum(axis=0), int(y))


def _fit(first: str, last: str, printed: set[tuple[str, str]]) -> float:
    if first > last:
        return REVERSED
    return 1.0 if (first, last) in printed else UNPRINTED


def _reordered(choices: Sequence[Choice], scores: Floats, chosen: int) -> list[Choice]:
    """The chosen value first, then by score."""
    scored = [replace(choice, score=float(score)) for choice, score in zip(choices, scores, strict=True)]
    rest = sorted((c for at, c in enumerate(scored) if at != chosen), key=lambda c: (-c.score, c.candidate))
    return [scored[chosen], *rest]
