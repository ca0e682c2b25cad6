"""A ranker that learned from judgements: boosted trees over `features.columns`. Entry point: `ProductRanker.train`.

They predict the gain of a product, as a share of the best one, by its cross-entropy; so a prediction is comparable between
queries, and says whether anything fits, which a pairwise loss does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout import imports
from proveout.errors import BadModel
from proveout.search.features import NAMES, Floats
from proveout.search.judgements import BEST, gain
from proveout.search.trees import Trees

SEPARATOR = "\f"  # between the sets of trees in a file


@dataclass(frozen=True)
class Settings:
    """Strongly regularised, because judged queries are few; tests/benchmarks/search.py compares them by cross-validation."""

    copies: int = 3  # sets of trees that differ by their seed; their mean is less a matter of chance
    rounds: int = 200  # 400 at half the learning rate rank no better, and take twice the time of a query
    leaves: int = 5
    learning_rate: float = 0.1
    least_rows: int = 100  # per leaf
    columns_share: float = 0.4  # of the columns, per tree
    rows_share: float = 0.8
    ridge: float = 10.0
    seed: int = 7
    threads: int = 1


class ProductRanker:
    def __init__(self, copies: Sequence[Trees]) -> None:
        self._copies = copies

    @classmethod
    def train(cls, inputs: Sequence[Floats], ratings: Sequence[Floats], settings: Settings) -> "ProductRanker":
        """One entry for each query: (candidates, len(NAMES)) and (candidates,)."""
        lightgbm = imports.lightgbm()
        gains = np.array([gain(rating) for each in ratings for rating in each]) / gain(BEST)
        data = lightgbm.Dataset(np.concatenate(list(inputs)), gains, feature_name=list(NAMES), params=_parameters(settings, 0))
        copies = (lightgbm.train(_parameters(settings, copy), data, settings.rounds) for copy in range(settings.copies))
        return cls([Trees(copy.model_to_string()) for copy in copies])

    @classmethod
    def from_text(cls, text: str) -> "ProductRanker":
        """Raises BadModel for another text, or if it learned from other columns."""
        copies = [Trees(part) for part in text.split(SEPARATOR)]
        if any(trees.columns != NAMES for trees in copies):
            raise BadModel("the ranker learned from other columns than this version computes; train it again: proveout build")
        return cls(copies)

    def as_text(self) -> str:
        """All sets of trees in LightGBM's text format, which `from_text` reads."""
        return SEPARATOR.join(trees.text for trees in self._copies)

    def gains(self, inputs: Floats) -> Floats:
        """(candidates,) expected gain of each, 0..1; 1 for a product that was judged best."""
        if not len(inputs):
            return np.zeros(0)
        gains: Floats = np.mean([trees(inputs) for trees in self._copies], axis=0)
        return gains

    @property
    def importance(self) -> Mapping[str, float]:
        """Share of the trees' total gain that each column brought."""
        copies = [imports.lightgbm().Booster(model_str=trees.text) for trees in self._copies]
        importance = np.sum([copy.feature_importance("gain") for copy in copies], axis=0)
        return dict(zip(NAMES, (importance / max(importance.sum(), 1e-12)).tolist(), strict=True))


def _parameters(settings: Settings, copy: int) -> dict[str, Any]:
    return {
        "objective": "cross_entropy",
        "num_leaves": settings.leaves,
        "learning_rate": settings.learning_rate,
        "min_data_in_leaf": settings.least_rows,
        "feature_fraction": settings.columns_share,
        "bagging_fraction": settings.rows_share,
        "bagging_freq": 1,
        "lambda_l2": settings.ridge,
        "seed": 1000 * settings.seed + copy,
        "num_threads": settings.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
