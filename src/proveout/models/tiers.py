"""A tier: one step of the cascade, from cheap to expensive. Entry points: `load`; `save_folds` for cross-fitting.

A mission lists its tiers in `tiers:`. Each tier processes the cases that earlier tiers left open, has its own calibration, and
reports its cost. `agent.cascade` runs them in order and merges their results.
To add a tier: write a class with the two methods of `Tier` and list it in `plugins`, or in your own package by an entry
point (docs/extending.md).
Cross-fitting: `save_folds` trains one model per fold, without the documents of that fold. The folder that it writes takes the
place of a model in `Parts`; every trained tier then answers for a document with the model that did not learn from it.
Not covered: people, who are the last tier of every mission. `review` handles them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from proveout import plugins
from proveout.corpus.folds import Fold
from proveout.errors import BadModel
from proveout.files import write_whole
from proveout.mission import Mission
from proveout.prompts import Prompts
from proveout.records import Content, Place, Value
from proveout.retrieval import MemoryRecord

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig


@dataclass(frozen=True)
class ScoredValue:
    """One value of one field, with a tier's score."""

    text: str  # as printed; yes or no for a flag
    value: Value
    score: float  # 0..1, raw: comparable only within its tier; calibration turns it into a probability
    place: Place | None = None
    speaks_for: tuple[str, ...] = ()  # short phrases, strongest first
    speaks_against: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extraction:
    """A tier's result for one case."""

    document: str  # SHA-256 of the content
    document_class: str  # "" if the tier gives none
    class_confidence: float
    fields: Mapping[str, ScoredValue]  # a missing field is an abstention
    descriptors: Mapping[str, float] = field(default_factory=dict)  # of the input, in addition to those of the kind of case
    dollars: float = 0.0  # what this case cost
    refused: tuple[str, ...] = ()  # answers that were refused, and why
    tier: str = ""  # the part of the tier that answered, if each part is calibrated by itself; "": the tier


@dataclass(frozen=True)
class Correction:
    """A person's labels for a decided case."""

    content: Content
    labels: Mapping[str, str]  # field to text
    wrong: frozenset[str]  # the fields that the decision had wrong


@dataclass(frozen=True)
class Parts:
    """The parts from which a tier is built."""

    mission: Mission
    prompts: Prompts
    model: Path  # the folder that the build's step `models` wrote
    corrections: Sequence[Correction] = ()  # made since then, for tiers that can learn from them
    cache: Path | None = None  # a folder, for answers that are dear


class Tier(Protocol):
    """The two methods of a tier. One that reads nothing of `Parts.model` also says `trained = False`: all folds share it.

    One that reads with the help of answered past cases has `past_cases`, how many it wants, and `extract` also takes `past`
    (`PastCases`). One that learned before the build has `learned_from`, ids of documents that it cannot be judged by.
    One that can prepare for contents that are often asked has `warm(contents)`, which a server calls when it starts.
    One that knows other likely values also has `suggest(content, at_most)`: by field, the likeliest first. The review page
    offers them.
    """

    @classmethod
    def load(cls, parts: Parts) -> Self:
        """Raises BadModel or BadPrompts if this tier cannot be built from the parts."""

    def extract(self, contents: Sequence[Any], configs: "Sequence[RunnableConfig] | None" = None) -> list[Extraction]:
        """One result per case, in order. No result depends on the other cases, and a case that fails is an abstention.

        `configs`, one per case, pass LangChain's callbacks to the models that a tier calls.
        """


PastCases = Sequence[Sequence[MemoryRecord]]  # per case, those of the most similar form that a person answered, best first
FOLDS = "folds.json"  # in a folder of models: groups of ids, by fold; the number of a fold is the name of its model


class Model(Protocol):
    """What the step `models` trains."""

    def save(self, folder: Path) -> None: ...


M = TypeVar("M", bound=Model)
C = TypeVar("C", bound=Content)


def load(parts: Parts) -> dict[str, Tier]:
    """The mission's tiers by name, in order, without people. If the model is a folder of folds, they answer out of fold."""
    tiers = {name: plugins.find("tiers", name) for name in parts.mission.tiers if name != plugins.PERSON}
    if not (parts.model / FOLDS).exists():
        return {name: tier.load(parts) for name, tier in tiers.items()}
    folds = read_folds(parts.model)
    of_fold = [replace(parts, model=parts.model / str(at)) for at in range(len(folds))]
    return {
        name: cast(Tier, OutOfFold.of(folds, [tier.load(fold) for fold in of_fold]))
        if getattr(tier, "trained", True)
        else tier.load(parts)
        for name, tier in tiers.items()
    }


def save_folds(folder: Path, folds: Sequence[Fold], documents: Sequence[C], train: Callable[[list[C]], M]) -> list[M]:
    """Train and save one model per fold, on the documents outside of that fold."""
    models = []
    for at, fold in enumerate(folds):
        left_out = {id for group in fold for id in group}
        models.append(train([document for document in documents if document.id not in left_out]))
        models[-1].save(folder / str(at))
    write_whole(folder / FOLDS, json.dumps(folds, indent=1))  # last, so an incomplete folder does not load
    return models


def read_folds(folder: Path) -> list[Fold]:
    """The folds that `save_folds` wrote. Raises BadModel if there are none, or they are damaged."""
    try:
        return [[tuple(group) for group in fold] for fold in json.loads((folder / FOLDS).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise BadModel(f"{folder / FOLDS}: not the folds of a model ({error}); build it again: proveout build") from error


@dataclass(frozen=True)
class OutOfFold:
    """A tier that answers for each document with the model of its fold; for a document of no fold, with the first model."""

    fold_of: Mapping[str, int]
    tiers: Sequence[Tier]  # by fold

    @classmethod
    def of(cls, folds: Sequence[Fold], tiers: Sequence[Tier]) -> Self:
        return cls({id: at for at, fold in enumerate(folds) for group in fold for id in group}, tiers)

    def extract(self, contents: Sequence[Any], configs: "Sequence[RunnableConfig] | None" = None) -> list[Extraction]:
        extractions: dict[int, Extraction] = {}
        for fold, tier in enumerate(self.tiers):
            at = [i for i, content in enumerate(contents) if self.fold_of.get(content.id, 0) == fold]
            results = tier.extract([contents[i] for i in at], [configs[i] for i in at] if configs else None) if at else []
            extractions |= zip(at, results, strict=True)
        return [extractions[i] for i in range(len(contents))]
