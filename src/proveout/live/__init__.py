"""Run a release over an inbox: decide every new case, then carry out the actions that are allowed.

Cases go through by date, in batches. For each batch: keep the files, decide, judge the actions, journal everything
together, carry out the effects, update the memory. The next run continues a killed one: journaled cases are not decided
again, a connector is asked whether an intended effect has happened before it tries, and the memory catches up from the journal.
An effect that fails or is slow does not keep other cases from being decided.
People's answers enter the memory first, and their corrections are taught to the extractor, so both take effect at once.
Covered: a second process in the same home; it raises Busy and changes nothing.
Not covered: several machines with one inbox.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout import documents, files
from proveout.errors import BadInput, NoDocuments, UnreadableDocument
from proveout.progress import bar
from proveout.records import Case, Content, Decision, Output, Route

if TYPE_CHECKING:
    from proveout.agent import Agent
    from proveout.cases import CaseKind
    from proveout.control import ControlPlane
    from proveout.journal import Journal
    from proveout.records import Answer, Decided
    from proveout.release import Release
    from proveout.retrieval import Memory, MemoryRecord

BATCH = 64  # cases per commit: from this size on the journal's cost per case is flat, and a kill loses little
PATIENCE = 10  # seconds of effects per batch; the rest are carried out when every case is decided
MAX_CORRECTIONS = 200  # the newest; reading one takes 30 ms, and a build learns what it can from older ones
INBOX_CSV = "inbox.csv"  # file, day, segment: what the bytes of a case do not say


def inbox_cases(inbox: Path, kind: CaseKind) -> list[Case]:
    """The inbox's cases of one kind, oldest first. Two copies of a file are one case.

    `inbox.csv` in the inbox may give the day and segment of each file; the default day is the file's modification date.
    Raises NoDocuments for a folder that is missing or has no documents, BadInput for an `inbox.csv` that cannot be used.
    """
    if not inbox.is_dir():
        raise NoDocuments(f"{inbox}: no such folder; put documents there, or name another with --inbox")
    paths = documents_in(inbox)
    if not paths:
        raise NoDocuments(f"{inbox}: no documents in it; expected PDFs, scans (PNG, JPEG, TIFF) or plain text files")
    details = _read_inbox_csv(inbox / INBOX_CSV)
    cases: dict[str, Case] = {}
    for path in paths:
        name = path.relative_to(inbox).as_posix()
        day, segment = details.get(name, (date.fromtimestamp(path.stat().st_mtime), ""))
        (id, turn), content = kind.identify(path), documents.sha256_of(path)
        case = Case(id, name, day, segment, turn, content if content != id else "")
        cases.setdefault(case.key, case)
    return sorted(cases.values(), key=lambda case: (case.day or date.max, case.turn, case.id))


def documents_in(inbox: Path) -> list[Path]:
    """Every file that is not hidden and not a table beside the documents. An unreadable one becomes a refused case."""
    tables = {INBOX_CSV, "labels.csv", "truth.json"}
    paths = (path for path in sorted(inbox.rglob("*")) if not path.name.startswith(".") and path.name not in tables)
    return [path for path in paths if path.is_file()]


def _read_inbox_csv(path: Path) -> dict[str, tuple[date | None, str]]:
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if missing := {"file", "day", "segment"} - set(rows.fieldnames or ()):
            raise BadInput(f"{path}: missing column {', '.join(sorted(missing))}; expected file, day, segment")
        try:
            return {row["file"]: (date.fromisoformat(row["day"]) if row["day"] else None, row["segment"]) for row in rows}
        except ValueError as error:
            raise BadInput(f"{path}:{rows.line_num}: {error}; expected a day such as 2020-06-05") from error


def alone(home: Path) -> AbstractContextManager[None]:
    """Hold the home's lock: no other process decides or acts in it meanwhile. Raises Busy, which names the holder."""
    return files.alone(home / ".live.lock")


@dataclass
class Live:
    """A release at work in one home, for one run or for as long as a server lives.

    `home` holds the live state: journal.db, originals/, memory/, effects/, logs/ (Parquet, one row per case, for monitoring).
    """

    release: Release
    inbox: Path
    home: Path
    cache: Path | None = None  # of the reader
    _position: int = field(default=0, init=False)  # the memory is up to date with the journal up to here
    _contents: dict[str, str] = field(default_factory=dict, init=False)  # `Case.key` to the SHA-256 of its file
    _agent: tuple[object, Agent] | None = field(default=None, init=False)  # the corrections it was taught, and the agent

    def run(self) -> dict[str, Any]:
        """Decide the new cases in the inbox, carry out the allowed actions, and summarize: counts, routes, effects, refusals.

        Raises Busy if another process is at work in the home, NoDocuments for an inbox without documents.
        """
        from proveout.journal import Journal
        from proveout.journal.prose import dead_letters

        with alone(self.home), Journal(self.home / "journal.db") as journal:
            started = datetime.now(UTC).isoformat(timespec="milliseconds")
            control = self.release.control(self.home, journal, self.originals.path, f"{self.release.id[:12]} {started}")
            effects = _carry_out(control, PATIENCE)  # what a stop, a kill or a failure left undone
            cases = inbox_cases(self.inbox, self.kind)
            done = journal.decided(case.key for case in cases)
            new = [case for case in cases if case.key not in done]
            recorded: list[Decided] = []
            if new:
                self._catch_up(journal)
                agent = self.agent()
            with bar("Deciding", len(new)) as step:
                for first in range(0, len(new), BATCH):
                    batch = new[first : first + BATCH]
                    recorded += journal.record(self._decide(agent, control, batch), control.run)
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
                "cases": len(cases),
                "decided": len(recorded),
                "routes": {route.value: routes[route.value] for route in Route},
                "effects": dict(Counter(effects.values())),
                "dead_letters": dead_letters(journal.unsettled()),
                "stopped": control.stop.stopped(),
                "refused": {row.case.path: row.decision.because[1] for row in recorded if row.decision.route is Route.REFUSE},
            }

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

    def agent(self) -> Agent:
        """The release's agent over the live memory, taught people's corrections; rebuilt when those have changed."""
        from proveout.models import Correction

        new = [pair for pair in self.memory.corrections() if pair[0].case not in self.release.learned]
        kept = [pair for pair in new if pair[0].document in self.originals][-MAX_CORRECTIONS:]
        if self._agent and self._agent[0] == kept:
            return self._agent[1]
        contents = self.kind.read([self.originals.path(answer.document) for answer, _ in kept], self.cache)
        corrections = [
            Correction(content, answer.fields, wrong)
            for (answer, wrong), content in zip(kept, contents, strict=True)
            if not isinstance(content, UnreadableDocument)
        ]
        agent = self.release.agent(self.memory, self.cache, corrections)
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

    def _decide(self, agent: Agent, control: ControlPlane, batch: Sequence[Case]) -> list[Decided]:
        from proveout.records import Decided

        began = time.perf_counter()
        decisions = agent.batch([self.originals.keep(case.sha256, self.inbox / case.path) for case in batch])
        rulings = control.judge(decisions)
        seconds = time.perf_counter() - began  # of the whole batch: each of its cases waits for the last one
        return [Decided(*row, seconds) for row in zip(batch, decisions, rulings, strict=True)]

    def _catch_up(self, journal: Journal) -> None:
        """Add new decisions and answers of the journal to the memory. Doing so again, after a kill, changes nothing."""
        position, after = journal.position, self._position
        decided = {row.case.key: row for row in journal.decisions(after=after) if row.decision.route is not Route.REFUSE}
        self._contents |= {key: row.case.sha256 for key, row in decided.items()}
        answers = journal.answers() if journal.answers(after=after) else {}
        keys = [key for key in dict.fromkeys([*decided, *answers]) if self._contents.get(key, "") in self.originals]
        contents = self.kind.read([self.originals.path(self._contents[key]) for key in keys], self.cache)
        self.memory.add(
            record
            for key, content in zip(keys, contents, strict=True)
            if not isinstance(content, UnreadableDocument)
            for record in self._records(key, content, decided.get(key), answers.get(key))
        )
        self._position = position

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
