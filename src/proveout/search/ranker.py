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

SEPARATOR = "\f"  # between the sets of trees in a file


@dataclass(frozen=True)
class Settings:
    """Strongly regularised, because judged queries are few; tests/benchmarks/search.py compares them by cross-validation."""

    copies: int = 3  # sets of trees that differ by their seed; their mean is less a matter of chance
    rounds: int = 400
    leaves: int = 5
    learning_rate: float = 0.05
    least_rows: int = 100  # per leaf
    columns_share: float = 0.4  # of the columns, per tree
    rows_share: float = 0.8
    ridge: float = 10.0
    seed: int = 7
    threads: int = 1


class ProductRanker:
    def __init__(self, copies: Sequence[Any]) -> None:
        self._copies = copies

    @classmethod
    def train(
        cls, inputs: Sequence[Floats], ratings: Sequence[Floats], settings: Settings, weights: Sequence[float] = ()
    ) -> "ProductRanker":
        """One entry for each query: (candidates, len(NAMES)), (candidates,) and, if they differ, its weight."""
        lightgbm = imports.lightgbm()
        gains = np.array([gain(rating) for each in ratings for rating in each]) / gain(BEST)
        each = np.repeat(weights, list(map(len, ratings))) if len(set(weights)) > 1 else None
        data = lightgbm.Dataset(
            np.concatenate(list(inputs)), gains, weight=each, feature_name=list(NAMES), params=_parameters(settings, 0)
        )
        return cls([lightgbm.train(_parameters(settings, copy), data, settings.rounds) for copy in range(settings.copies)])

    @classmethod
    def from_text(cls, text: str) -> "ProductRanker":
        """Raises BadModel for another text, or if it learned from other columns."""
        lightgbm = imports.lightgbm()
        try:
            copies = [lightgbm.Booster(model_str=part) for part in text.split(SEPARATOR)]
        except lightgbm.basic.LightGBMError as error:
            raise BadModel(f"the ranker's trees cannot be read ({error}); train it again: proveout build") from error
        if any(tuple(trees.feature_name()) != NAMES for trees in copies):
            raise BadModel("the ranker learned from other columns than this version computes; train it again: proveout build")
        return cls(copies)

    def as_text(self) -> str:
        """All sets of trees in LightGBM's text format, which `from_text` reads."""
        return SEPARATOR.join(trees.model_to_string() for trees in self._copies)

    def gains(self, inputs: Floats) -> Floats:
        """(candidates,) expected gain of each, 0..1; 1 for a product that was judged best."""
        if not len(inputs):
            return np.zeros(0)
        gains: Floats = np.mean([trees.predict(inputs, num_threads=1) for trees in self._copies], axis=0)
        return gains

    @property
    def importance(self) -> Mapping[str, float]:
        """Share of the trees' total gain that each column brought."""
        importance = np.sum([trees.feature_importance("gain") for trees in self._copies], axis=0)
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
