"""The agent: from cases to decisions, as a LangChain `Runnable`. Entry point: `assemble`.

read → recall → each tier of the mission in turn → check → route → propose. Each step takes a batch of drafts, so that models
see many cases at once; a case that cannot be read is refused and the others go on.
`invoke` is a batch of one; `trace` yields the draft after each step; LangChain's callbacks see each step as a separate run.
Not covered: whether a proposed action may happen (`control`), and storing decisions (`live`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import patch_config, run_in_executor

from proveout import plugins
from proveout.agent import wording
from proveout.agent.cascade import FieldState, consult, merge
from proveout.agent.drafts import Draft, Refused
from proveout.agent.steps import Steps
from proveout.cases import CaseKind, kind_of
from proveout.checks import Rule, Subject
from proveout.errors import UnreadableDocument
from proveout.mission import Mission
from proveout.records import Content, Decision, Output, Route
from proveout.values import written

if TYPE_CHECKING:
    from langchain_core.callbacks import CallbackManagerForChainRun

    from proveout.calibration import Calibrations
    from proveout.models.tiers import Correction, ScoredValue, Tier
    from proveout.retrieval import Memory

CaseInput: TypeAlias = Path | str | Content
UNRELEASED = "unreleased"


@dataclass(frozen=True)
class Parts:
    """The files of an agent, either of a build or of a frozen release. The memory is separate."""

    mission: Path  # mission.yaml
    prompts: Path | None  # a folder; None for a mission whose tiers use none
    model: Path  # the folder that the step `models` wrote
    calibration: Path
    steps: Path | None = None  # what the step `decide` wrote; None: the standard functions of each step


def assemble(
    parts: Parts,
    memory: Memory,
    release: str = UNRELEASED,
    cache: Path | None = None,
    corrections: Sequence[Correction] = (),
    original: Callable[[str], Path | None] | None = None,
    cascade: Sequence[str] = (),
) -> Agent:
    """Make an agent: the only way to, for notebooks, the pipeline, a release and the server.

    `cache`: a folder for the text of documents and the answers of language models; `corrections`: people's corrections since
    the model was trained.
    `original`: maps the id of a content that is handed over without its file to the file, if there is one.
    `cascade`: names of tiers instead of the mission's.
    Raises BadMission, BadPrompts or BadModel for parts that do not fit together.
    """
    from proveout import mission as missions
    from proveout.calibration import Calibrations
    from proveout.models import tiers
    from proveout.prompts import Prompts

    mission = missions.load(parts.mission, cascade)
    prompts = Prompts.load(parts.prompts, mission) if parts.prompts else Prompts({}, {}, "")
    loaded = tiers.load(tiers.Parts(mission, prompts, parts.model, corrections, cache, release != UNRELEASED))
    functions = Steps.load(parts.steps) if parts.steps else Steps()
    return Agent(mission, loaded, Calibrations.load(parts.calibration), memory, release, cache, original, functions)


class Agent(Runnable[CaseInput, Decision]):
    """Decides cases with the parts of one release. It proposes actions and never performs them."""

    def __init__(
        self,
        mission: Mission,
        tiers: Mapping[str, Tier],
        calibrations: Calibrations,
        memory: Memory,
        release: str = UNRELEASED,
        cache: Path | None = None,
        original: Callable[[str], Path | None] | None = None,
        functions: Steps | None = None,
    ) -> None:
        self.mission, self.tiers, self.calibrations = mission, dict(tiers), calibrations
        self.memory, self.release, self.cache, self.original = memory, release, cache, original
        self.functions = functions or Steps()
        self.kind: CaseKind = kind_of(mission)
        # every mission has these checks, unless its kind of case has none; the one for duplicates goes by text without fields
        own: dict[str, Any] = {"duplicate_on": (), "read_in_one_way": mission.dates}
        checks = {name: settings for name, settings in own.items() if name in getattr(self.kind, "own_checks", own)}
        if mission.e_invoice_terms:
            checks["agrees_with_e_invoice"] = mission.e_invoice_terms
        checks |= mission.checks
        self.rules: list[Rule] = [plugins.find("checks", name)(settings, mission.kinds) for name, settings in checks.items()]
        self.steps = ("recall", *self.tiers, "check", "route", "propose")
        self.position: int | None = None  # of the memory that decisions see; None: the newest

    def invoke(self, input: CaseInput, config: RunnableConfig | None = None, **kwargs: Any) -> Decision:
        return self.batch([input], config, **kwargs)[0]

    def suggest(self, content: Content, at_most: int) -> dict[str, list[ScoredValue]]:
        """Likely values of each field, the likeliest first, from the first tier that can tell; empty if none can."""
        tellers = (getattr(tier, "suggest", None) for tier in self.tiers.values())
        tell = next(filter(None, tellers), None)
        return tell(content, at_most) if tell else {}

    def batch(  # one vectorised pass; LangChain's own starts a thread for each case
        self,
        inputs: Sequence[CaseInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Decision]:
        """One decision for each input, in order. A case that cannot be read is refused; the others go on."""
        decide = cast("Any", self._decide)
        return self._batch_with_config(decide, list(inputs), config, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: Sequence[CaseInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Decision]:
        first = config[0] if isinstance(config, list) and config else config
        run = lambda: self.batch(inputs, config, return_exceptions=return_exceptions, **kwargs)  # noqa: E731
        return await run_in_executor(cast("RunnableConfig | None", first or None), run)

    def trace(self, input: CaseInput) -> Iterator[tuple[str, Draft | Refused | Decision]]:
        """Decide one case; yield the name of each step with the draft after it, and at the end ("decision", the decision)."""
        (draft,) = self.read([input])
        yield "read", draft
        if isinstance(draft, Draft):
            for name in self.steps:
                (draft,) = self.after(name, [draft])
                yield name, draft
        yield "decision", self.decision(draft)

    def after(self, step: str, drafts: Sequence[Draft], **functions: Any) -> list[Draft]:
        """The drafts after one more step, or after all tiers for the step `score`. The drafts before it stay as they are.

        `functions`: of `Steps`, in place of the agent's own.
        """
        agent, copies = copy(self), [replace(one, states=dict(one.states), descriptors=dict(one.descriptors)) for one in drafts]
        agent.functions = replace(self.functions, **functions)
        for name in self.tiers if step == "score" else [step]:
            agent._step(name, copies)
        return copies

    def approve(self, content: Content, decision: Decision, fields: Mapping[str, Output], document_class: str) -> Decision:
        """The decision with a person's fields and class, its checks run again and the actions that follow.

        The route stays; policy judges the actions as that person's own.
        """
        draft = Draft(content, decision.case, decision.turn, decision.memory_position, decision.similar, document_class)
        draft.states = {name: FieldState(output, automated=False) for name, output in fields.items()}
        self._check([draft])
        return replace(
            decision,
            document_class=document_class,
            class_confidence=1.0,
            fields=dict(fields),
            automated=frozenset(),
            checks=draft.checks,
            actions=tuple(self.functions.propose(draft, self.mission)),
        )

    def _decide(
        self, inputs: list[CaseInput], run_manager: list[CallbackManagerForChainRun], config: list[RunnableConfig]
    ) -> list[Decision]:
        read = self.read(inputs)
        drafts = []
        for draft, run, settings in zip(read, run_manager, config, strict=True):
            if isinstance(draft, Draft):
                draft.config = patch_config(settings, callbacks=run.get_child())
                drafts.append(draft)
        if drafts:
            for name in self.steps:
                self._step(name, drafts)
        return [self.decision(draft) for draft in read]

    def _step(self, name: str, drafts: list[Draft]) -> None:
        """Run one step on a batch. Tracers see it as a child run of each case."""
        parents: list[Any] = [draft.config.get("callbacks") for draft in drafts]
        runs = [
            parent.on_chain_start({"name": name}, {"case": draft.case}, name=name)
            if getattr(parent, "handlers", None)
            else None
            for parent, draft in zip(parents, drafts, strict=True)
        ]
        try:
            if name in self.tiers:
                self._consult(name, drafts, [run.get_child() if run else None for run in runs])
            else:
                getattr(self, f"_{name}")(drafts)
        except BaseException as error:
            for run in filter(None, runs):
                run.on_chain_error(error)
            raise
        for run, draft in zip(runs, drafts, strict=True):
            if run:
                fields = {
                    name: {"value": written(output.value), "confidence": output.confidence}
                    for name, output in draft.fields.items()
                }
                run.on_chain_end({"route": draft.route.value, "fields": fields})

    def read(self, inputs: Sequence[CaseInput]) -> list[Draft | Refused]:
        """The first step: what is read of each case, in order."""
        paths = [Path(item) for item in inputs if isinstance(item, Path | str)]
        files = zip(paths, self.kind.read(paths, self.cache), strict=True)
        return [
            self._from_file(*next(files))
            if isinstance(item, Path | str)
            else self._draft(item, item.id, 0, self.original(item.id) if self.original else None)
            for item in inputs
        ]

    def _from_file(self, path: Path, content: Content | UnreadableDocument) -> Draft | Refused:
        case, turn = self.kind.identify(path) if path.is_file() else (hashlib.sha256(str(path).encode()).hexdigest(), 0)
        if isinstance(content, UnreadableDocument):
            return Refused(case, str(content), turn)
        return self._draft(content, case, turn, path)

    def _draft(self, content: Content, case: str, turn: int, path: Path | None = None) -> Draft | Refused:
        if not content.text:
            return Refused(case, "it contains no readable text", turn)
        return Draft(content, case, turn, descriptors=self.kind.describe(content), path=path)

    def _recall(self, drafts: list[Draft]) -> None:
        position = self.memory.position if self.position is None else self.position
        results = self.functions.recall([draft.content for draft in drafts], self.memory, position)
        for draft, similar in zip(drafts, results, strict=True):
            draft.memory_position, draft.similar = position, similar

    def _consult(self, tier: str, drafts: list[Draft], children: Sequence[Any]) -> None:
        """Run one tier on the cases that are still open."""
        is_open = [not self.mission.required <= draft.automated for draft in drafts]
        pending = list(compress(zip(drafts, children, strict=True), is_open))
        configs = [patch_config(draft.config, callbacks=child) if child else draft.config for draft, child in pending]
        past = lambda contents, k: self.memory.answered(contents, k, pending[0][0].memory_position)  # noqa: E731
        extractions = consult(self.tiers[tier], [draft.content for draft, _ in pending], past, configs)
        for (draft, _), extraction in zip(pending, extractions, strict=True):
            if not draft.document_class:
                draft.document_class, draft.class_confidence = extraction.document_class, extraction.class_confidence
            draft.descriptors |= extraction.descriptors
            draft.dollars += extraction.dollars
            for name, value in extraction.fields.items():
                state = self.functions.score(extraction.tier or tier, name, value, self.calibrations)
                draft.states[name] = merge(draft.states.get(name), state)

    def _check(self, drafts: list[Draft]) -> None:
        from proveout.retrieval.duplicates import Duplicates

        self._confirm(drafts)
        batch = Duplicates()  # these cases are not in the memory yet
        for row, draft in enumerate(drafts):

            def duplicate(on: Sequence[str], draft: Draft = draft, row: int = row) -> str:
                if past := self.memory.duplicate(draft.content, draft.values, on, draft.memory_position):
                    return past
                others = [other.case != draft.case for other in drafts[:row]]
                first = batch.find(draft.content.text, draft.written, on, others)
                return f"case {drafts[first[0]].case[:12]} of the same batch {first[1]}" if first else ""

            printed = {name: output.text for name, output in draft.fields.items() if output.tier != plugins.PERSON}
            subject = Subject(draft.content, draft.values, draft.similar, duplicate, printed)
            draft.checks = tuple(self.functions.check(subject, self.kind, self.rules))
            batch.add(draft.content.text, draft.written)

    def _confirm(self, drafts: list[Draft]) -> None:
        """Look a second time at the files of cases that would be acted on."""
        certain = [(draft, draft.path) for draft in drafts if draft.path and self.mission.required <= draft.automated]
        if certain:
            cases = [(draft.content, path, [draft.fields[name] for name in sorted(draft.automated)]) for draft, path in certain]
            for (draft, _), content in zip(certain, self.kind.confirm(cases, self.cache), strict=True):
                draft.content = content

    def _route(self, drafts: list[Draft]) -> None:
        for draft in drafts:
            draft.route = Route(self.functions.route(draft, self.mission))

    def _propose(self, drafts: list[Draft]) -> None:
        for draft in drafts:
            if draft.route is Route.ACT:
                draft.actions = tuple(self.functions.propose(draft, self.mission))

    def decision(self, draft: Draft | Refused) -> Decision:
        """What the last step makes of a draft."""
        if isinstance(draft, Refused):
            return Decision(
                case=draft.case,
                turn=draft.turn,
                release=self.release,
                document_class="",
                class_confidence=0.0,
                fields={},
                automated=frozenset(),
                checks=(),
                similar=(),
                route=Route.REFUSE,
                because=wording.refusal(draft.because),
            )
        return Decision(
            case=draft.case,
            turn=draft.turn,
            release=self.release,
            document_class=draft.document_class,
            class_confidence=draft.class_confidence,
            fields={name: draft.states[name].output for name in self.mission.fields if name in draft.states},
            automated=draft.automated,
            checks=draft.checks,
            similar=draft.similar,
            route=draft.route,
            because=getattr(self.kind, "sentences", wording.sentences)(
                draft.route, draft.document_class, draft.fields, draft.automated, draft.checks, self.mission, self.calibrations
            ),
            actions=draft.actions,
            memory_position=draft.memory_position,
            descriptors=draft.descriptors,
            dollars=draft.dollars,
        )
