"""Run recorded decisions again, offline, with what they pinned, and compare every part bit for bit. Entry point: `replay`.

A decision is run again with its own release, on the file that was kept, with the memory at the position that it recorded, and
together with the cases before it in its batch, since a duplicate may be among them. What people had corrected is what the
memory held when its run began.
Covered: decisions of several releases and runs; a file that is no longer kept, a release that is gone or damaged (named, and
the others go on).
Not covered: policy and budget, which depend on what was spent before; a release of other code than this process runs, which
raises OtherCode (`proveout replay` starts a process with the release's own code).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from proveout.agent import Agent
from proveout.errors import BadInput, BadModel, NoRelease, OtherCode
from proveout.journal import Journal
from proveout.journal.codec import canonical, decision_to_json
from proveout.live import Live
from proveout.records import Decided, Decision, Route
from proveout.release import Releases

# The parts of a decision in the order in which the agent's steps make them, each with its step; "": the field's tier
STEPS: Mapping[str, str] = {
    "case": "read",
    "turn": "read",
    "memory_position": "recall",
    "similar": "recall",
    "document_class": "",
    "class_confidence": "",
    "fields": "",
    "automated": "",
    "dollars": "",
    "descriptors": "",
    "checks": "check",
    "route": "route",
    "because": "route",
    "actions": "propose",
    "release": "decision",
}


@dataclass(frozen=True)
class Difference:
    """The first part of a decision that is another when it is run again."""

    step: str  # of the agent: read, recall, the name of a tier, check, route, propose
    part: str  # of the decision, such as `similar` or `fields.total.confidence`
    recorded: Any  # plain data
    again: Any

    def __str__(self) -> str:
        return f"step {self.step}: {self.part} was {canonical(self.recorded)}, is now {canonical(self.again)}"


@dataclass(frozen=True)
class Replayed:
    """A recorded decision, and what became of it."""

    decided: Decided
    difference: Difference | None = None
    because: str = ""  # why it could not be run again; "" if it could

    @property
    def same(self) -> bool:
        return not (self.difference or self.because)


def replay(
    home: Path, wanted: Collection[str], cache: Path | None = None, releases: Collection[str] | None = None
) -> Iterator[Replayed]:
    """Run decisions again, a batch at a time, and yield each that is wanted, in the order in which they were made.

    `wanted`: keys of turns (`Case.key`). `cache`: of the reader; None reads every file anew. `releases`: only theirs.
    """
    store = Releases(home / "releases")
    live: Live | None = None
    with Journal(home / "journal.db") as journal:
        first_erased = journal.first_erased()
        for batch, began in batches(journal, wanted):
            last = max((place for place, decided in enumerate(batch) if decided.case.key in wanted), default=None)
            id = batch[0].decision.release
            if last is None or (releases is not None and id not in releases):
                continue
            context = batch[: last + 1]
            try:
                if live is None or live.release.id != id:
                    live = Live(store.open(id), home / "inbox", home, cache)
                again = decide(live.agent(began), live, context, began)
            except OtherCode:
                raise
            except (BadModel, NoRelease, BadInput) as error:
                yield from (Replayed(decided, because=str(error)) for decided in context if decided.case.key in wanted)
                continue
            for decided in context:
                if decided.case.key in wanted:
                    compared = _compared(decided, again.get(decided.case.key))
                    if compared.difference and first_erased is not None and first_erased < decided.position:
                        because = f"{compared.difference}; a case that was known then was erased since"
                        compared = Replayed(decided, because=because)
                    yield compared


def batches(journal: Journal, wanted: Collection[str] | None = None) -> Iterator[tuple[list[Decided], int]]:
    """The decisions in the batches in which they were made, each with the memory's position when its run began.

    `wanted`: keys of turns; only from the run of the first of them up to the last, so that no other is read.
    """
    after, last = journal.context(wanted) if wanted is not None else (0, journal.position)
    batch: list[Decided] = []
    position = began = 0
    for decided in takewhile(lambda one: one.position <= last, journal.decisions(after=after)):
        recalled = decided.decision.memory_position
        new_run = bool(batch) and decided.run != batch[-1].run
        if batch and (new_run or (recalled and position and recalled != position)):
            yield batch, began
            batch = []
        if new_run or not batch:
            position = 0
        if new_run:
            began = 0
        batch.append(decided)
        position = position or recalled
        began = began or recalled
    if batch:
        yield batch, began


def decide(agent: Agent, live: Live, batch: Sequence[Decided], began: int) -> dict[str, Decision]:
    """An agent's decisions on the files of a batch that are still kept, by `Case.key`, with the memory of then."""
    files = inputs(agent, live, batch, began)
    return dict(zip(files, agent.batch(list(files.values())), strict=True))


def inputs(agent: Agent, live: Live, batch: Sequence[Decided], began: int) -> dict[str, Path]:
    """The files of a batch that are still kept, by `Case.key`; the agent sees the memory of then."""
    positions = [decided.decision.memory_position for decided in batch if decided.decision.route is not Route.REFUSE]
    agent.position = positions[0] if positions else began
    kept = [decided.case for decided in batch if live.originals.whole(decided.case.sha256)]
    return {case.key: live.originals.path(case.sha256) for case in kept}


def _compared(decided: Decided, again: Decision | None) -> Replayed:
    if again is None:
        return Replayed(decided, because="its file is not kept, or is another by now")
    return Replayed(decided, next(differences(decided.decision, again), None))


def differences(recorded: Decision, again: Decision) -> Iterator[Difference]:
    """Every part of a decision that is another, in the order of the steps."""
    old, new = decision_to_json(recorded), decision_to_json(again)
    for part, step in STEPS.items():
        if canonical(old[part]) == canonical(new[part]):
            continue
        if part != "fields":
            yield Difference(step or "extract", part, old[part], new[part])
            continue
        for name in {**old[part], **new[part]}:
            before, after = old[part].get(name), new[part].get(name)
            if before is None or after is None:
                yield Difference((before or after)["tier"], f"{part}.{name}", before, after)
                continue
            for what in before:
                if canonical(before[what]) != canonical(after[what]):
                    yield Difference(before["tier"], f"{part}.{name}.{what}", before[what], after[what])
