"""A tier: one step of the cascade that reads cases, from cheap to expensive. One protocol, one door: `load`.

A mission lists its tiers in `tiers:`; each reads the cases that the ones before it left open, is calibrated by itself, and says
what it cost. `agent.cascade` asks them in order and merges what they say.
To add one: a class with these two methods, and its name in the table of `plugins`.
Not covered: people, who are the last tier of every mission. `review` asks them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from proveout import plugins
from proveout.errors import BadMission
from proveout.mission import Mission
from proveout.prompts import Prompts
from proveout.records import Content, Place, Value

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig


@dataclass(frozen=True)
class ScoredValue:
    """One value of one field, as a tier scores it."""

    text: str  # as printed; of a flag yes or no
    value: Value
    score: float  # 0..1, raw: comparable within its tier alone; calibration makes a probability of it
    place: Place | None = None
    speaks_for: tuple[str, ...] = ()  # short phrases, strongest first
    speaks_against: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extraction:
    """What a tier says of one case."""

    document: str  # SHA-256 of the content
    document_class: str  # "" where it says none
    class_confidence: float
    fields: Mapping[str, ScoredValue]  # a missing field is an abstention
    descriptors: Mapping[str, float] = field(default_factory=dict)  # of the input, beside those of the kind of case
    dollars: float = 0.0  # what this case cost
    refused: tuple[str, ...] = ()  # what was said and does not count, and why


@dataclass(frozen=True)
class Correction:
    """What a person says of a case that was decided."""

    content: Content
    labels: Mapping[str, str]  # field to text
    wrong: frozenset[str]  # the fields that the decision had otherwise


@dataclass(frozen=True)
class Parts:
    """What a tier is made of."""

    mission: Mission
    prompts: Prompts
    model: Path  # the folder that the build's step `models` wrote
    corrections: Sequence[Correction] = ()  # what people put right since then; a tier that can learn from them does


class Tier(Protocol):
    @classmethod
    def load(cls, parts: Parts) -> Self:
        """Raises BadModel or BadPrompts for parts that do not make this tier."""

    def extract(self, contents: Sequence[Any], configs: "Sequence[RunnableConfig] | None" = None) -> list[Extraction]:
        """What each case says, in their order; no answer depends on the other cases. A case that fails is an abstention.

        `configs`, one a case, carry LangChain's callbacks to whatever a tier calls.
        """


def load(parts: Parts) -> dict[str, Tier]:
    """The mission's tiers by name, in its order, people left out.

    Raises BadMission where the prompts name a language model that the mission does not ask.
    """
    if parts.prompts.model and "language_model" not in parts.mission.tiers:
        raise BadMission(
            f"the prompts hold a model.yaml, and the tiers of mission {parts.mission.mission} are "
            f"{', '.join(parts.mission.tiers)}; add `language_model` to `tiers:` in mission.yaml, or remove model.yaml"
        )
    return {name: plugins.find("tiers", name).load(parts) for name in parts.mission.tiers if name != plugins.PERSON}
