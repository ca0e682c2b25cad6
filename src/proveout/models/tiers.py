"""A tier: one step of the cascade, from cheap to expensive. Entry point: `load`.

A mission lists its tiers in `tiers:`. Each tier processes the cases that earlier tiers left open, has its own calibration, and
reports its cost. `agent.cascade` runs them in order and merges their results.
To add a tier: write a class with the two methods of `Tier` and list it in `plugins`, or in your own package by an entry
point (docs/extending.md).
Not covered: people, who are the last tier of every mission. `review` handles them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from proveout import plugins
from proveout.mission import Mission
from proveout.prompts import Prompts
from proveout.records import Content, Place, Value

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


class Tier(Protocol):
    """The two methods of a tier."""

    @classmethod
    def load(cls, parts: Parts) -> Self:
        """Raises BadModel or BadPrompts if this tier cannot be built from the parts."""

    def extract(self, contents: Sequence[Any], configs: "Sequence[RunnableConfig] | None" = None) -> list[Extraction]:
        """One result per case, in order. No result depends on the other cases, and a case that fails is an abstention.

        `configs`, one per case, pass LangChain's callbacks to the models that a tier calls.
        """


def load(parts: Parts) -> dict[str, Tier]:
    """The mission's tiers by name, in order, without people."""
    return {name: plugins.find("tiers", name).load(parts) for name in parts.mission.tiers if name != plugins.PERSON}
