"""Run a release over an inbox: decide every new case, then carry out the actions that are allowed.

Cases go through by date, in batches. For each batch: copy the files, read and decide the copies, judge the actions, journal
everything together, carry out the effects, update the memory. A file that is still being written waits for the next run.
The next run continues a killed one: journaled cases are not decided again, a connector is asked whether an intended effect has
happened before it tries, and the memory catches up from the journal.
An effect that fails or is slow does not keep other cases from being decided.
People's answers enter the memory first, and their corrections are taught to the extractor, so both take effect at once.
Covered: a second process in the same home; it raises Busy and changes nothing.
Not covered: several machines with one inbox.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout import documents, files
from proveout.errors import BadInput, StillWritten, UnreadableDocument
from proveout.live.inbox import INBOX_CSV, Arrival, Inbox, cases_in, documents_in, identity, listed, reason
from proveout.progress import bar
from proveout.records import Case, Content, Decision, Output, Route

if TYPE_CHECKING:
    from proveout.agent import Agent
    from proveout.cases import CaseKind
    from proveout.control import ControlPlane
    from proveout.journal import Journal
    from proveout.live.traces import Traces
    from proveout.records import Answer, Decided
    from proveout.release import Release
    from proveout.retrieval import Memory, MemoryRecord

BATCH = 64  # cases per commit: from this size on the journal's cost per case is flat, and a kill loses little
AT_ONCE = 512  # files that are decrypted together
PATIENCE = 10  # seconds of effects per batch; the rest are carried out when every case is decided
LATEST, HOT = 2_000, 500  # cases, and different texts among them, that tiers are prepared for
MAX_CORRECTIONS = 200  # the newest; reading one takes 30 ms, and a build learns what it can from older ones

__all__ = ["INBOX_CSV", "Live", "alone", "cases_in", "documents_in", "identity", "listed", "run"]


def alone(home: Path, patience: float = 0.0) -> AbstractContextManager[None]:
    """Hold the home's lock: no other process decides or acts in it meanwhile.

    Raises Busy after `patience` seconds, which names the holder.
    """
    return files.alone(home / ".live.lock", patience)


@dataclass
class Live:
    """A release at work in one home, for one run or for as long as a server lives.

    `home` holds the live state: journal.db, originals/, memory/, effects/, logs/ (Parquet, one row per case, for monitoring).
    """

    release: Release
    inbox: Path
    home: Path
    cache: Path | None = None  # of the reader
    prompts: Path | None = None  # these and the next are tried in place of the release's own
    cascade: tuple[str, ...] = ()  # names of tiers
    _position: int = field(default=0, init=False)  # the memory is up to date with the journal up to here
    _serving: ControlPlane | None = field(default=None, init=False)  # of the cases that `decide_now` decides
    _agent: tuple[object, Agent] | None = field(default=None, init=False)  # the corrections it was taught, and the agent

    def run(self) -> dict[str, Any]:
        """Decide the new cases in the inbox, carry out the allowed actions, and summarize: counts, routes, effects, refusals.

        `waiting` and `refused` name each file that was not decided or could not be read, with the reason.
        Raises Busy if another process is at work in the home, NoDocuments for an inbox without documents.
        """
        from proveout.journal import Journal
        from proveout.journal.prose import dead_letters
        from proveout.live.traces import tracing

        with (
            alone(self.home),
            Journal(self.home / "journal.db") as journal,
            tracing(self.home, self.release.mission.mission) as traces,
        ):
            started = datetime.now(UTC).isoformat(timespec="milliseconds")
            control = self.release.control(self.home, journal, self.originals.path, f"{self.release.id[:12]} {started}")
            effects = _carry_out(control, PATIENCE)  # what a stop, a kill or a failure left undone
            inbox = listed(self.inbox, self.kind)
            done = journal.decided(arrival.case.key for arrival in inbox.arrivals)
            erased = journal.erased()
            inbox.refused |= {each.case.path: "its case was erased" for each in inbox.arrivals if each.case.id in erased}
            undecided = [each for each in inbox.arrivals if each.case.key not in done and each.case.id not in erased]
            new = inbox.settled(undecided)
            recorded: list[Decided] = []
            if new:
                self._catch_up(journal)
                agent = self.agent()
            with bar("Deciding", len(new)) as step:
                for first in range(0, len(new), BATCH):
                    batch = new[first : first + BATCH]
                    decided = self._decide(agent, control, self._copies(batch, inbox), traces)
                    recorded += journal.record(decided, control.run)
                    effects |= _carry_out(control, PATIENCE)
                    self._catch_up(journal)
                    for _ in batch:
                        step()
            effects |= _carry_out(control)
            journal.to_parquet(self.home / "logs", self.release.mission)
            routes = Counter(decided.decision.route.value for decided in recorded)
            return {
                "release": self.release.id,
                "started": started,
                "cases": len(done) + len(recorded),
                "decided": len(recorded),
                "routes": {route.value: routes[route.value] for route in Route},
                "effects": dict(Counter(effects.values())),
                "dead_letters": dead_letters(journal.unsettled()),
                "stopped": control.stop.stopped(),
                "waiting": inbox.waiting,
                "refused": inbox.refused
                | {row.case.path: row.decision.because[0] for row in recorded if row.decision.route is Route.REFUSE},
            }

    def decide_now(self, content: bytes, name: str, day: date | None, segment: str, journal: Journal) -> Decided:
        """Decide and journal one case that a program waits for, and leave its effects to the next run.

        `content`: of the file of this case alone. A case that was decided before keeps its decision. Raises Busy if another
        process is at work in the home for longer than a second.
        """
        with alone(self.home, patience=1):
            sha256, path = self.originals.keep_bytes(content, ".txt")
            id, turn = self.kind.identify(path)
            case = Case(id, name, day, segment, turn, sha256 if sha256 != id else "")
            if case.key in journal.decided([case.key]):
                return next(journal.decisions_of([case.key]))
            self._catch_up(journal)
            if self._serving is None:
                started = datetime.now(UTC).isoformat(timespec="milliseconds")
                run = f"{self.release.id[:12]} {started}"
                self._serving = self.release.control(self.home, journal, self.originals.path, run)
            (decided,) = journal.record(self._decide(self.agent(), self._serving, [(case, path)]), self._serving.run)
            return decided

    def warm(self, journal: Journal) -> int:
        """Let tiers prepare for what was asked most in the latest cases; returns for how many different texts."""
        recent = journal.decisions(after=max(0, journal.position - 3 * LATEST))  # a case has a few events
        latest = deque((row.case.sha256 for row in recent), maxlen=LATEST)
        kept = [self.originals.path(sha256) for sha256 in latest if sha256 in self.originals]
        contents = [content for content in self.kind.read(kept, self.cache) if not isinstance(content, UnreadableDocument)]
        often = {text for text, _ in Counter(content.text for content in contents).most_common(HOT)}
        hot = list({content.text: content for content in contents if content.text in often}.values())
        for tier in self.agent().tiers.values():
            if prepare := getattr(tier, "warm", None):
                prepare(hot)
        return len(hot)

    @cached_property
    def kind(self) -> CaseKind:
        from proveout.cases import kind_of

        return kind_of(self.release.mission)

    @cached_property
    def originals(self) -> documents.Originals:
        return documents.Originals(self.home / "originals")

    @cached_property
    def memory(self) -> Memory:
        return self.release.memory(self.home / "memory")

    def agent(self, position: int | None = None) -> Agent:
        """The release's agent over the live memory, taught people's corrections; rebuilt when those have changed.

        `position`: of the memory, for the corrections that it held then.
        """
        from proveout.models import Correction

        new = [pair for pair in self.memory.corrections(position) if pair[0].case not in self.release.learned]
        kept = [pair for pair in new if pair[0].document in self.originals][-MAX_CORRECTIONS:]
        if self._agent and self._agent[0] == kept:
            return self._agent[1]
        contents = self.kind.read([self.originals.path(answer.document) for answer, _ in kept], self.cache)
        corrections = [
            Correction(content, answer.fields, wrong)
            for (answer, wrong), content in zip(kept, contents, strict=True)
            if not isinstance(content, UnreadableDocument)
        ]
        agent = self.release.agent(self.memory, self.cache, corrections, self.prompts, self.cascade)
        self._agent = kept, agent
        return agent

    def checked(self, decided: Decided, fields: Mapping[str, Output], document_class: str) -> tuple[Decision, tuple[str, ...]]:
        """A decided case with a person's values and class: checked again, with the actions that follow.

        Also returns the cases in memory with the same values of `duplicate_on`, including later ones.
        Raises BadInput if the case's file is missing or cannot be read.
        """
        case = decided.case
        if case.sha256 not in self.originals:
            raise BadInput(f"the file of case {case.id[:12]} is not kept here, so no action can follow; submit it again")
        (content,) = self.kind.read([self.originals.path(case.sha256)], self.cache)
        if isinstance(content, UnreadableDocument):
            raise BadInput(f"{case.path} cannot be read, so no action can follow from it: {content}; reject the case")
        on = self.release.mission.checks.get("duplicate_on", ())
        values = {name: fields[name].value for name in on if name in fields}
        alike = self.memory.agreeing(values) if on and len(values) == len(on) else ()
        return (
            self.agent().approve(content, decided.decision, fields, document_class),
            tuple(record.case for record in alike),
        )

    def _copies(self, batch: Sequence[Arrival], inbox: Inbox) -> list[tuple[Case, Path]]:
        """Copy the files of a batch; each case as its copy has it. The inbox notes why a file waits or is refused."""
        copies = []
        self.originals.prepare(arrival.case.id for arrival in batch)
        for arrival in batch:
            case, name = arrival.case, arrival.case.path
            try:
                if arrival.part is None:
                    sha256, copy = self.originals.keep(arrival.file.path)
                else:
                    sha256, copy = self.originals.keep_bytes(arrival.part, ".txt")
                if sha256 != case.id and identity(self.kind, copy) != (case.id, case.turn):
                    raise StillWritten("it changed after it was listed")
            except (StillWritten, FileNotFoundError) as error:
                inbox.waiting[name] = str(error) if isinstance(error, StillWritten) else "it disappeared after it was listed"
            except (OSError, UnreadableDocument) as error:
                inbox.refused[name] = reason(error)
            else:
                copies.append((replace(case, content=sha256 if sha256 != case.id else ""), copy))
        return copies

    def _decide(
        self, agent: Agent, control: ControlPlane, copies: Sequence[tuple[Case, Path]], traces: Traces | None = None
    ) -> list[Decided]:
        from proveout.records import Decided

        began = time.perf_counter()
        decisions = agent.batch([path for _, path in copies], {"callbacks": [traces]} if traces else None)
        rulings = control.judge(decisions, [case.segment for case, _ in copies])
        seconds = time.perf_counter() - began  # of the whole batch: each of its cases waits for the last one
        decided = [
            Decided(case, decision, ruling, seconds)
            for (case, _), decision, ruling in zip(copies, decisions, rulings, strict=True)
        ]
        if traces:
            traces.judged(decided)
        return decided

    def _catch_up(self, journal: Journal) -> None:
        """Add new decisions and answers of the journal to the memory. Doing so again, after a kill, changes nothing."""
        from proveout.retrieval import NoMemory

        if isinstance(self.memory, NoMemory):
            return
        position, after = journal.position, self._position or self._followed(journal)
        if position == after:
            return
        decided = {row.case.key: row for row in journal.decisions(after=after)}
        new = journal.answers(after=after)
        whole = journal.answers(cases={answer.case for answer in new.values()})  # with the fields that were answered before
        earlier = {row.case.key: row for row in journal.decisions_of(key for key in new if key not in decided)}
        files = {key: row.case.sha256 for key, row in (decided | earlier).items() if row.decision.route is not Route.REFUSE}
        keys = [key for key in dict.fromkeys([*decided, *new]) if files.get(key, "") in self.originals]
        skipped = len(files) > len(keys)
        for first in range(0, len(keys), AT_ONCE):
            some = keys[first : first + AT_ONCE]
            contents = self.kind.read([self.originals.path(files[key]) for key in some], self.cache)
            skipped |= any(isinstance(content, UnreadableDocument) for content in contents)
            self.memory.add(
                record
                for key, content in zip(some, contents, strict=True)
                if not isinstance(content, UnreadableDocument)
                for record in self._records(key, content, decided.get(key), whole[key] if key in new else None)
            )
        self._position = position
        if not skipped:  # else the next process tries those again
            self.memory.follow(self.release.id, position, journal.hash_at(position))

    def _followed(self, journal: Journal) -> int:
        """The position of the journal up to which this release's memory was filled from it before."""
        match self.memory.follows:
            case self.release.id, int(position), str(digest) if journal.hash_at(position) == digest:
                return position
        return 0

    def _records(self, key: str, content: Content, decided: Decided | None, answer: Answer | None) -> Iterator[MemoryRecord]:
        """What the memory keeps of a case: the agent's decision and a person's answer."""
        from proveout.retrieval import MemoryRecord
        from proveout.values import conventions, remembered, written

        if decided:
            values = {name: written(output.value) for name, output in decided.decision.fields.items()}
            yield MemoryRecord(key, content.text, values, decided.decision.document_class, "decision", content.id)
        if answer:
            kinds = self.release.mission.kinds
            printed = conventions(content, self.release.mission.dates)
            fields = {name: text for name, text in answer.fields.items() if text and name in kinds}
            values = {name: remembered(kinds[name], text, printed) for name, text in fields.items()}
            yield MemoryRecord(key, content.text, values, answer.document_class, "label", content.id)


def _carry_out(control: ControlPlane, seconds: float = math.inf) -> dict[str, str]:
    """Carry out the effects that are due, beginning none after `seconds`; the newest state of each by its key."""
    return {intention.action.key: outcome.state.value for intention, outcome in control.carry_out(seconds=seconds)}


def run(product: Mapping[str, Path], inbox: Path, release: str, releases: Path, home: Path, cache: Path) -> None:
    """The only step of the run pipeline: decide new cases in `inbox` by `release` and write this run's summary (JSON)."""
    from proveout.release import Releases

    summary = Live(Releases(Path(releases)).open(release), Path(inbox), Path(home), Path(cache)).run()
    product["summary"].write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
