"""A certificate from cross-fitted scores holds for the model that was then trained on all documents: by simulation.

A document has six candidates with features, one of them right. The model is a logistic regression that learns which; its
answer is the best candidate, its score that candidate's share. Some documents arrive in several near-identical copies.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from proveout import mission as missions
from proveout import plugins
from proveout.calibration import Calibration
from proveout.calibration.thresholds import enough_held_out
from proveout.corpus.folds import folds
from proveout.errors import BadModel
from proveout.mission import SLO
from proveout.models.tiers import FOLDS, Extraction, OutOfFold, Parts, load, read_folds, save_folds
from proveout.prompts import Prompts
from proveout.records import Document

DESIGN = Path(__file__).parent.parent / "pipelines" / "invoices"
PROMISE = SLO(precision=0.95, confidence=0.95)
CANDIDATES, FEATURES = 6, 8
JUST_TOO_MANY = 0.052  # traps, so that no threshold keeps the promise
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    features: Floats  # (documents, CANDIDATES, FEATURES)
    right: npt.NDArray[np.intp]  # the index of the right candidate
    group: npt.NDArray[np.intp]  # near-duplicates have the same

    def part(self, rows: npt.NDArray[np.intp]) -> "Sample":
        return Sample(self.features[rows], self.right[rows], self.group[rows])


def draw(rng: np.random.Generator, groups: int, copies: bool, traps: float) -> Sample:
    """Copies share everything but a little noise. In a trap, the candidate that looks right is wrong."""
    repeated = np.repeat(np.arange(groups), rng.integers(1, 6, groups) if copies else 1)
    strength = np.full(groups, 4.0) if traps else rng.choice([3.0, 1.5, 0.2], size=groups, p=[0.6, 0.3, 0.1])
    right = rng.integers(CANDIDATES, size=groups)
    features = rng.normal(size=(groups, CANDIDATES, FEATURES))
    features[np.arange(groups), right] += strength[:, None] * np.linspace(1.2, 0.0, FEATURES)
    right = np.where(rng.random(groups) < traps, (right + 1) % CANDIDATES, right)
    noise = 0.05 * rng.normal(size=(len(repeated), CANDIDATES, FEATURES))
    return Sample(features[repeated] + noise, right[repeated], repeated)


def fit(sample: Sample) -> Floats:
    """Weights of a ridge logistic regression over candidates, by Newton's method."""
    x = sample.features.reshape(-1, FEATURES)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    y = (np.arange(CANDIDATES) == sample.right[:, None]).ravel()
    weights = np.zeros(FEATURES + 1)
    for _ in range(8):
        p = 1 / (1 + np.exp(-(x @ weights)))
        weights -= np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + np.eye(FEATURES + 1), x.T @ (p - y) + weights)
    return weights


def answers(weights: Floats, sample: Sample) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The score of each document's answer, and whether it is right."""
    odds = np.exp(np.clip(sample.features @ weights[:-1] + weights[-1], -30, 30))
    best = odds.argmax(axis=1)
    return odds.max(axis=1) / (odds.sum(axis=1) + 0.1), best == sample.right


def is_broken(seed: int, copies: bool, traps: float, one_of_each_group: bool) -> bool | None:
    """Whether the values automated by the final model are less precise than promised; None if nothing was certified."""
    rng = np.random.default_rng(seed)
    sample = draw(rng, 160 if copies else 300, copies, traps)
    ids = [f"{group}.{row}" for row, group in enumerate(sample.group)]
    row_of = {id: row for row, id in enumerate(ids)}
    pairs: list[tuple[float, bool]] = []
    for fold in folds(ids, (), dict(zip(ids, sample.group.tolist(), strict=True)), enough=math.inf):
        rows = [row_of[id] for group in fold for id in group]
        used = [row_of[id] for group in fold for id in (group[:1] if one_of_each_group else group)]
        weights = fit(sample.part(np.setdiff1d(np.arange(len(ids)), rows)))
        pairs += zip(*(column.tolist() for column in answers(weights, sample.part(np.array(used)))), strict=True)
    threshold = Calibration.fit({"f": pairs}, PROMISE).threshold("f")
    if threshold is None:
        return None
    scores, right = answers(fit(sample), draw(rng, 20_000, copies=False, traps=traps))
    return bool(right[scores >= threshold].mean() < PROMISE.precision)


def shares(draws: int, copies: bool, traps: float = 0.0, one_of_each_group: bool = True) -> tuple[float, float]:
    """The share of draws whose promise is broken, and the share in which something was certified."""
    results = [is_broken(seed, copies, traps, one_of_each_group) for seed in range(draws)]
    return results.count(True) / draws, 1 - results.count(None) / draws


@pytest.mark.parametrize("draws", [60, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("copies", [False, True], ids=["single documents", "with near-duplicates"])
@pytest.mark.parametrize("traps", [0.0, JUST_TOO_MANY], ids=["some easy, some hard", "just below the promise"])
def test_the_refitted_model_breaks_its_promise_no_more_often_than_stated(draws: int, copies: bool, traps: float) -> None:
    broken, certified = shares(draws, copies, traps)
    assert traps or certified > 0.5
    assert broken <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


def test_near_duplicates_that_count_one_by_one_would_break_it() -> None:
    assert shares(60, copies=True, traps=JUST_TOO_MANY, one_of_each_group=False)[0] > 0.1


@dataclass(frozen=True)
class Learned:
    """A model that knows which documents it learned from, and a tier that reports them."""

    ids: list[str]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(json.dumps(self.ids))

    def extract(self, contents, configs=None):
        return [Extraction(content.id, ",".join(self.ids), 1.0, {}) for content in contents]


def test_a_document_is_answered_by_a_model_that_did_not_learn_from_it_or_a_copy(tmp_path: Path) -> None:
    documents = [Document(f"{number:02}", ()) for number in range(20)]
    group_of = {document.id: int(document.id) // 2 for document in documents}
    chosen = folds(group_of, (), group_of, enough=math.inf)
    save_folds(tmp_path, chosen, documents, lambda part: Learned([document.id for document in part]))
    assert read_folds(tmp_path) == chosen
    tiers = [Learned(json.loads((tmp_path / str(at) / "model.json").read_text())) for at in range(len(chosen))]
    fold_of = {id: at for at, fold in enumerate(chosen) for group in fold for id in group}
    extractions = OutOfFold(fold_of, tiers).extract(documents[::-1])
    assert [extraction.document for extraction in extractions] == [document.id for document in documents[::-1]]
    for extraction in extractions:
        learned = {group_of[id] for id in extraction.document_class.split(",")}
        assert group_of[extraction.document] not in learned and len(learned) == 8


class Loaded:
    """A tier; MODELS lists what each was loaded from."""

    @classmethod
    def load(cls, parts: Parts) -> "Loaded":
        MODELS.append((cls, parts.model))
        return cls()

    def extract(self, contents, configs=None):
        return [Extraction(content.id, "", 0.0, {}) for content in contents]


class LoadedOnce(Loaded):
    trained = False


MODELS: list[tuple[type[Loaded], Path]] = []


def test_a_tier_that_no_fold_trains_is_loaded_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(plugins.BUILT_IN["tiers"], "ranker", f"{__name__}:Loaded")
    monkeypatch.setitem(plugins.BUILT_IN["tiers"], "language_model", f"{__name__}:LoadedOnce")
    mission = missions.load(DESIGN / "mission.yaml").model_copy(update={"tiers": ("ranker", "language_model", "person")})
    documents = [Document(f"{number:02}", ()) for number in range(20)]
    group_of = {document.id: document.id for document in documents}
    save_folds(tmp_path, folds(group_of, (), group_of, enough=math.inf), documents, lambda part: Learned([]))
    MODELS.clear()
    loaded = load(Parts(mission, Prompts.load(DESIGN / "prompts"), tmp_path))
    assert [model for tier, model in MODELS if tier is Loaded] == [tmp_path / str(fold) for fold in range(5)]
    assert [tier for tier, _ in MODELS].count(LoadedOnce) == 1
    for tier in loaded.values():
        assert [extraction.document for extraction in tier.extract(documents)] == list(group_of)


@pytest.mark.parametrize("content", [None, "", "{", "7", '[["a"], 3]'])
def test_damaged_folds_are_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / FOLDS).write_text(content)
    with pytest.raises(BadModel, match="not the folds of a model"):
        read_folds(tmp_path)


def test_a_large_calibration_split_is_held_out_and_a_small_one_joins_the_training_documents() -> None:
    ids = {f"{number:03}": number for number in range(400)}
    train, calibration = list(ids)[:100], list(ids)[100:]
    assert [len(fold) for fold in folds(train, calibration, ids, enough_held_out(PROMISE))] == [300]
    assert [len(fold) for fold in folds(train, calibration[:100], ids, enough_held_out(PROMISE))] == [40] * 5
    strict, loose = (
        enough_held_out(SLO(precision=0.95, confidence=0.95, evidence=how)) for how in ("cross_fitted", "held_out")
    )
    assert len(folds(train, calibration, ids, strict)) == 5 and len(folds(train, calibration[:2], ids, loose)) == 1


def test_documents_that_are_all_copies_of_one_are_no_evidence() -> None:
    assert folds(["a", "b"], ["c"], dict.fromkeys("abc", "one"), enough=100) == [[]]
