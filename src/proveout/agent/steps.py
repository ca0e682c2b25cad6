"""The functions of a decision's steps, which a mission may write anew in its notebook `decide`. Entry point: `Steps`.

Each takes what it needs of a case and returns that step's part of the decision. `Steps.save` writes those of a notebook as a
plain module without what is only displayed; a release pins that file, and `Steps.load` reads it.
Covered: a function that uses another of the notebook's top-level functions or what its setup cell imports.
Not covered: what a file says and how a value is scored, which are the kind of case and the tiers; and whether an action may
happen. The control plane judges each action by the certificates again, whatever these functions say.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from proveout.agent.cascade import field_state
from proveout.errors import BadModel, BadSpec
from proveout.records import Action, Check, Content, Route, SimilarCase, turn_key
from proveout.values import written

if TYPE_CHECKING:
    from proveout.agent.cascade import FieldState
    from proveout.agent.drafts import Draft
    from proveout.calibration import Calibrations
    from proveout.cases import CaseKind
    from proveout.checks import Rule, Subject
    from proveout.mission import Mission
    from proveout.models.tiers import ScoredValue
    from proveout.retrieval import Memory

SIMILAR = 5  # notebooks/invoices/retrieval.py: recall of layout and advertiser is flat beyond five


def recall(contents: Sequence[Content], memory: Memory, position: int) -> Sequence[tuple[SimilarCase, ...]]:
    """For each case the past ones that resemble it most, the most similar first. `position`: of the memory, as it was then."""
    return memory.search_many(contents, k=SIMILAR, position=position)


def score(tier: str, field: str, value: ScoredValue, calibrations: Calibrations) -> FieldState:
    """What a tier's value is worth: its calibrated confidence, and whether it needs no person."""
    return field_state(tier, field, value, calibrations)


def check(subject: Subject, kind: CaseKind, rules: Sequence[Rule]) -> Iterator[Check]:
    """Whether what was read can be believed, then the checks of the mission, in order."""
    yield from kind.check(subject.content)
    for rule in rules:
        yield from rule(subject)


def route(draft: Draft, mission: Mission) -> Route:
    """Act if every required field is automated, no check failed and cases of the class are acted on; otherwise a person."""
    certain = mission.required <= draft.automated and all(check.passed is not False for check in draft.checks)
    if certain and draft.document_class in mission.refuse:
        return Route.REFUSE
    return Route.ACT if certain and is_acted_on(draft, mission) else Route.REVIEW


def propose(draft: Draft, mission: Mission) -> Sequence[Action]:
    """Every action that the mission has for this class, with its arguments."""
    if not is_acted_on(draft, mission):
        return ()
    sources = {name: written(value) for name, value in draft.values.items()}
    sources |= {"class": draft.document_class, "case": draft.case}
    return tuple(
        Action(
            name,
            {argument: sources[source] for argument, source in mission.arguments(name).items() if source in sources},
            key=f"{mission.mission}:{name}:{turn_key(draft.case, draft.turn)}",
            compensation=spec.undone_by,
        )
        for name, spec in mission.actions.items()
        if (not spec.for_classes or draft.document_class in spec.for_classes) and sources.keys() >= {*spec.needs}
    )


def is_acted_on(draft: Draft, mission: Mission) -> bool:
    """Whether the mission lets the agent act on cases of this class at all."""
    return draft.document_class not in ("", *mission.never_act_on)


Recall: TypeAlias = "Callable[[Sequence[Content], Memory, int], Sequence[tuple[SimilarCase, ...]]]"
Score: TypeAlias = "Callable[[str, str, ScoredValue, Calibrations], FieldState]"
CheckStep: TypeAlias = "Callable[[Subject, CaseKind, Sequence[Rule]], Iterable[Check]]"
RouteStep: TypeAlias = "Callable[[Draft, Mission], Route]"
Propose: TypeAlias = "Callable[[Draft, Mission], Sequence[Action]]"


@dataclass(frozen=True)
class Steps:
    """One function a step; by default the standard one of this module."""

    recall: Recall = recall
    score: Score = score
    check: CheckStep = check
    route: RouteStep = route
    propose: Propose = propose

    @classmethod
    def load(cls, file: Path) -> Steps:
        """The functions of a file that `save` wrote; the standard one for a step that it does not have."""
        namespace: dict[str, Any] = {"__name__": f"proveout steps {file}"}
        try:
            exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), namespace)  # no bytecode beside the file
        except Exception as error:  # the file is a user's own code
            raise BadModel(f"{file}: the functions of the steps cannot be loaded: {type(error).__name__}: {error}") from error
        return cls(**{name: namespace[name] for name in STEPS if name in namespace})

    @staticmethod
    def save(notebook: Path | str, file: Path) -> None:
        """Write a notebook's functions of steps as a module, with what they use of the notebook, and nothing else.

        Raises BadSpec if the notebook has no such function that stands by itself.
        """
        notebook = Path(notebook)
        tree = ast.parse(notebook.read_text(encoding="utf-8"))
        setup = [statement for node in tree.body if isinstance(node, ast.With) for statement in node.body]
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and not _is_cell(node)]
        if missing := [name for name in STEPS if name not in {function.name for function in functions}]:
            raise BadSpec(
                f"{notebook}: expected a top-level function `{missing[0]}`; a function stands by itself if it uses only its "
                "arguments, other such functions, and what the setup cell imports, no name of another cell"
            )
        needed = set(STEPS)
        while True:
            used = [node for node in functions if node.name in needed]
            grown = needed | {name for node in used for name in _names(node)}
            if grown == needed:
                break
            needed = grown
        kept: list[ast.stmt] = []
        for statement in reversed(setup):
            if _binds(statement) & needed:
                kept.insert(0, statement)
                needed |= set(_names(statement))
        for node in used:
            node.decorator_list = []
        module = ast.Module([*kept, *used], [])
        file.write_text(
            f'"""The functions of a decision\'s steps, from {notebook.name}."""\n\n{ast.unparse(module)}\n', "utf-8"
        )


STEPS = tuple(field.name for field in fields(Steps))


def _is_cell(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """Whether marimo runs it as a cell of its own."""
    return any("cell" in ast.unparse(decorator) for decorator in node.decorator_list)


def _names(node: ast.AST) -> Iterator[str]:
    return (inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))


def _binds(statement: ast.stmt) -> set[str]:
    """The names that a statement of the setup cell sets."""
    aliases = statement.names if isinstance(statement, ast.Import | ast.ImportFrom) else []
    imported = {(alias.asname or alias.name).partition(".")[0] for alias in aliases}
    stored = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return imported | stored | ({statement.name} if isinstance(statement, ast.FunctionDef | ast.ClassDef) else set())
