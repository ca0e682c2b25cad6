"""What recorded cases would have become with something changed: the promise, policy, prompts, tiers, steps or release.

Entry point: `what_if`. The cases are decided again as `replay` does, in the batches and with the memory of then, and their
actions judged with each run's budget. Nothing is recorded and nothing happens. A changed promise keeps the evidence of the
release and tests it for other thresholds; a changed policy alone judges the recorded decisions again.
Covered: errors gained and lost, where people have labelled the case.
Not covered: restrictions, what people did with the cases that came to them, what the memory would have learned from other
decisions, and how sure other prompts, tiers or steps are: the release's calibration stays. A build with them says so.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from proveout.agent import Agent
from proveout.agent.steps import Steps
from proveout.calibration import Calibrations
from proveout.control import ControlPlane
from proveout.errors import BadInput, BadModel, NoRelease, OtherCode
from proveout.journal import Journal
from proveout.live import Live
from proveout.live.replay import batches, decide
from proveout.mission import Mission
from proveout.policy import Policy
from proveout.prompts import Prompts
from proveout.records import Answer, Decided, Decision, Route, Ruling, case_of
from proveout.release import Release, Releases
from proveout.values import same
from proveout.values.conventions import conventions_of


@dataclass(frozen=True)
class Change:
    """What is changed; what is left out stays as each case's release has it."""

    release: str = ""  # id
    precision: float | None = None  # promised
    confidence: float | None = None  # in that promise
    policy: Path | None = None
    steps: Steps | None = None  # the functions of the agent's steps
    prompts: Path | None = None  # a folder: a language model is asked with them, a ranker looks for their phrases
    cascade: tuple[str, ...] = ()  # names of tiers; one that nothing calibrated automates nothing

    @property
    def decides(self) -> bool:
        """Whether decisions may change, not only verdicts on their actions."""
        return self != Change(policy=self.policy)

    def live(self, release: Release, home: Path, cache: Path | None) -> Live:
        """A release at work in a home, with the prompts and tiers that are wanted."""
        return Live(release, home / "inbox", home, cache, self.prompts, self.cascade)

    def check(self, agent: Agent) -> None:
        """Raises BadInput for prompts that no tier reads."""
        if self.prompts and not any(isinstance(getattr(tier, "prompts", None), Prompts) for tier in agent.tiers.values()):
            raise BadInput(
                f"no tier of {', '.join(agent.tiers)} reads prompts; "
                "add one that does, such as --with tier=ranker,language_model, or leave out prompt="
            )

    def calibrations(self, release: Release) -> Calibrations:
        """Those of a release, with the promise that is wanted. Raises BadInput for a share that cannot be promised."""
        wanted = {"precision": self.precision, "confidence": self.confidence}
        promised = {name: share for name, share in wanted.items() if share is not None}
        for name, share in promised.items():
            if not 0.5 < share < 1:
                raise BadInput(f"a {name} of {share:g} cannot be promised; expected a share between 0.5 and 1, such as 0.98")
        slo = release.mission.slo.model_copy(update=promised)
        return release.calibrations.promising(slo) if promised else release.calibrations


@dataclass(frozen=True)
class Fate:
    """What becomes of a case: its decision, and what the control plane says of its actions."""

    decision: Decision
    rulings: tuple[Ruling, ...]

    @property
    def acts(self) -> bool:
        """Whether no person touches it: it is automated, and every action is allowed."""
        return self.decision.route is Route.ACT and all(ruling.verdict.allowed for ruling in self.rulings)

    @property
    def effects(self) -> tuple[str, ...]:
        """The names of the actions that are allowed."""
        return tuple(sorted(ruling.action.name for ruling in self.rulings if ruling.verdict.allowed))

    @property
    def cents(self) -> int:
        """What the allowed actions spend."""
        return sum(ruling.cents for ruling in self.rulings if ruling.verdict.allowed)

    @property
    def why(self) -> str:
        """The first reason for which a person is needed or an action is denied; "" for neither."""
        if self.decision.route is not Route.ACT:
            return self.decision.because[1] or self.decision.because[0]
        return next((ruling.verdict.because for ruling in self.rulings if not ruling.verdict.allowed), "")

    def wrong(self, decided: Decision, answer: Answer | None, mission: Mission) -> frozenset[str]:
        """The automated fields of which a person's label says otherwise. `decided`: the decision that the person judged."""

        def is_right(name: str, answer: Answer) -> bool:
            text, judged = self.decision.fields[name].text, decided.fields.get(name)
            if name in answer.right and judged and judged.text == text:
                return answer.right[name]
            printed = conventions_of([answer.fields[name], text]).declaring(mission.dates)
            return same(mission.kinds[name], answer.fields[name], text, printed)

        labelled = self.decision.automated & answer.fields.keys() & mission.kinds.keys() if answer else ()
        return frozenset(name for name in labelled if answer and not is_right(name, answer))


@dataclass(frozen=True)
class Compared:
    """A case as it was decided, and as it would have been."""

    decided: Decided
    after: Fate | None  # None: it cannot be decided again
    because: str = ""  # why not
    wrong_before: frozenset[str] = frozenset()  # automated fields, as far as there are labels
    wrong_after: frozenset[str] = frozenset()
    labelled: bool = False

    @property
    def before(self) -> Fate:
        return Fate(self.decided.decision, self.decided.rulings)

    @cached_property
    def changes(self) -> tuple[str, ...]:
        """What differs, in words; empty if nothing does."""
        if self.after is None:
            return ()
        old, new = self.before.decision, self.after.decision
        pairs = {
            "": (old.route.value, new.route.value),
            "class: ": (old.document_class or "none", new.document_class or "none"),
        }
        pairs |= {f"{name}: ": (_value(old, name), _value(new, name)) for name in sorted({*old.fields, *new.fields})}
        pairs["actions: "] = (", ".join(self.before.effects) or "none", ", ".join(self.after.effects) or "none")
        return tuple(f"{what}{first} → {second}" for what, (first, second) in pairs.items() if first != second)


@dataclass
class Summary:
    """The cases together. Counts of before and after."""

    cases: int = 0
    not_decided: int = 0  # that cannot be decided again; in no other number
    changed: int = 0
    acts: list[int] = field(default_factory=lambda: [0, 0])
    cents: list[int] = field(default_factory=lambda: [0, 0])  # of allowed actions
    labelled: int = 0
    wrong: list[int] = field(default_factory=lambda: [0, 0])  # automated values that labels contradict
    gained: int = 0  # automated values that were right before, or not automated, and are wrong after
    lost: int = 0

    @classmethod
    def of(cls, compared: Iterable[Compared]) -> "Summary":
        summary = cls()
        for one in compared:
            if one.after is None:
                summary.not_decided += 1
                continue
            summary.cases += 1
            summary.changed += bool(one.changes)
            summary.labelled += one.labelled
            for at, fate in enumerate((one.before, one.after)):
                summary.acts[at] += fate.acts
                summary.cents[at] += fate.cents
            for at, wrong in enumerate((one.wrong_before, one.wrong_after)):
                summary.wrong[at] += len(wrong)
            summary.gained += len(one.wrong_after - one.wrong_before)
            summary.lost += len(one.wrong_before - one.wrong_after)
        return summary

    def lines(self) -> list[str]:
        """The summary in words."""

        def share(count: int) -> str:
            return f"{count} ({count / max(1, self.cases):.0%})".replace("%", " %")

        gone = f"; {self.not_decided} could not be decided again" if self.not_decided else ""
        labelled = f"{self.labelled} of the cases have a label" if self.labelled else "no case has a label"
        return [
            f"{self.cases} case{'' if self.cases == 1 else 's'}, {self.changed} of them with another outcome{gone}",
            f"  no person needed        {share(self.acts[0])} → {share(self.acts[1])}",
            f"  spent by allowed actions  ${self.cents[0] / 100:,.2f} → ${self.cents[1] / 100:,.2f}",
            f"  wrong automated values  {self.wrong[0]} → {self.wrong[1]} ({self.gained} gained, {self.lost} lost; {labelled})",
        ]


def what_if(home: Path, wanted: Collection[str], change: Change, cache: Path | None = None) -> Iterator[Compared]:
    """Decide cases again with a change, a batch at a time, in the order in which they were decided.

    `wanted`: keys of turns (`Case.key`); other cases of a run count as they were decided.
    Raises BadInput for a change that cannot be made, OtherCode as `Release.agent` does.
    """
    store, opened = Releases(home / "releases"), dict[str, tuple[Live, Calibrations]]()
    controls: dict[str, ControlPlane] = {}  # by run, so that each run has its budget
    others: dict[str, list[tuple[Ruling, ...]]] = {}  # of cases that are not wanted, by run, until they are counted
    with Journal(home / "journal.db") as journal:
        answers = journal.answers(cases=map(case_of, wanted))
        for batch, began in batches(journal, wanted):
            last = max((place for place, decided in enumerate(batch) if decided.case.key in wanted), default=-1)
            context = batch[: last + 1]
            if not context:
                others[batch[0].run] = [*others.get(batch[0].run, ()), *(one.rulings for one in batch)]
                continue
            id = change.release or batch[0].decision.release
            try:
                if id not in opened:  # one at a time is in memory
                    release = store.open(id)
                    opened = {id: (change.live(release, home, cache), change.calibrations(release))}
                live, calibrations = opened[id]
                decisions = {decided.case.key: decided.decision for decided in context}
                if change.decides:
                    agent = live.agent(began)
                    change.check(agent)
                    agent.calibrations = calibrations
                    agent.functions = change.steps or agent.functions
                    decisions = decide(agent, live, context, began)
            except OtherCode:
                raise
            except (BadModel, NoRelease) as error:
                yield from (Compared(one, None, str(error)) for one in context if one.case.key in wanted)
                continue
            run = f"{batch[0].run}, what if"
            if run not in controls:
                controls[run] = live.release.control(home, journal, live.originals.path, run)
                controls[run].calibrations = calibrations
                controls[run].restrictions = ()  # today's
                if change.policy:
                    controls[run].policy = Policy.load(change.policy, live.release.mission)
            for rulings in others.pop(batch[0].run, ()):
                controls[run].count(rulings)
            for decided in context:
                if (key := decided.case.key) not in wanted:
                    controls[run].count(decided.rulings)
                    continue
                fate = Fate(decisions[key], *controls[run].judge([decisions[key]])) if key in decisions else None
                yield _compared(decided, fate, answers.get(key), live.release.mission)
            for decided in batch[last + 1 :]:
                controls[run].count(decided.rulings)


def _compared(decided: Decided, after: Fate | None, answer: Answer | None, mission: Mission) -> Compared:
    before = Fate(decided.decision, decided.rulings)
    if after is None:
        return Compared(decided, None, "its file is not kept, or is another by now")
    old, new = (fate.wrong(decided.decision, answer, mission) for fate in (before, after))
    return Compared(decided, after, "", old, new, bool(answer and answer.fields))


def _value(decision: Decision, name: str) -> str:
    output = decision.fields.get(name)
    return f"{output.text} ({'automated' if name in decision.automated else 'to review'})" if output else "none"
