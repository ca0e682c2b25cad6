"""A case on its way through the agent's steps: a `Draft` that each step adds to, or `Refused` if it cannot be read."""

from dataclasses import dataclass, field
from pathlib import Path

from langchain_core.runnables import RunnableConfig

from proveout.agent.cascade import FieldState
from proveout.records import Action, Check, Content, Output, Route, SimilarCase, Value
from proveout.values import written


@dataclass
class Draft:
    """The unfinished decision of a readable case. Each step fills in its part."""

    content: Content
    case: str
    turn: int = 0
    memory_position: int = 0
    similar: tuple[SimilarCase, ...] = ()
    document_class: str = ""
    class_confidence: float = 0.0
    states: dict[str, FieldState] = field(default_factory=dict)
    descriptors: dict[str, float] = field(default_factory=dict)
    dollars: float = 0.0
    checks: tuple[Check, ...] = ()
    route: Route = Route.REVIEW
    actions: tuple[Action, ...] = ()
    config: RunnableConfig = field(default_factory=RunnableConfig, repr=False)  # of this case's run
    path: Path | None = None  # of its file, if it is at hand

    @property
    def fields(self) -> dict[str, Output]:
        return {name: state.output for name, state in self.states.items()}

    @property
    def automated(self) -> frozenset[str]:
        return frozenset(name for name, state in self.states.items() if state.automated)

    @property
    def values(self) -> dict[str, Value]:
        return {name: state.output.value for name, state in self.states.items()}

    @property
    def written(self) -> dict[str, str]:
        return {name: written(value) for name, value in self.values.items()}


@dataclass(frozen=True)
class Refused:
    """A case that cannot be read, with the reason."""

    case: str
    because: str
    turn: int = 0
