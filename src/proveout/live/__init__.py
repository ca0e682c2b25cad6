"""A release over an inbox: every new case is decided, and what is allowed is carried out.

Cases go through in the order of their days, a batch at a time: kept, decided, judged, journaled together, carried out,
remembered. A run that is killed at any point is continued by the next one: what is journaled is never decided again,
an intended effect is asked for before it is tried, and the memory is filled up from the journal.
An effect that fails or takes long keeps no case from being decided.
What people answered goes into the memory first, and what they corrected is taught to the extractor: it works at once.
Covered: a second process at the same home; it raises Busy and changes nothing.
Not covered: several machines at one inbox.
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

BATCH = 64  # cases a commit: the journal's cost a case is flat from here on, and a kill loses little
PATIENCE = 10  # seconds that a batch waits for effects; the others happen when everything is decided
TAUGHT = 200  # corrections, the newest; reading one takes 30 ms, and a build makes of older ones what can be learned
SHEET = "inbox.csv"  # file, day, segment: what is known of a case beside its bytes


def inbox_cases(inbox: Path, kind: CaseKind) -> list[Case]:
    """The inbox's cases of a kind, oldest first. A file that lies there twice is one case.

    `inbox.csv` beside the files may say each one's day and segment; without it the day is the file's own.
    Raises NoDocuments for a folder in which no document lies.
    """
    if not inbox.is_dir():
        raise NoDocuments(f"{inbox}: no such folder; put documents there, or name another with --inbox")
    files = documents_in(inbox)
    if not files:
        raise NoDocuments(f"{inbox}: no document in it; expected are PDFs, scans (PNG, JPEG, TIFF) or plain texts")
    known = _sheet(inbox / SHEET)
    cases: dict[str, Case] = {}
    for path in files:
        name = path.relative_to(inbox).as_posix()
        day, segment = known.get(name, (date.fromtimestamp(path.stat().st_mtime), ""))
        (id, turn), content = kind.identify(path), documents.sha256_of(path)
        case = Case(id, name, day, segment, turn, content if content != id else "")
        cases.setdefault(case.key, case)
    return sorted(cases.values(), key=lambda case: (case.day or date.max, case.turn, case.id))


def documents_in(inbox: Path) -> list[Path]:
    """Every file that is not hidden and not a sheet beside the documents. What cannot be read becomes a refused case."""
    beside = {SHEET, "labels.csv", "truth.json"}
    found = (path for path in sorted(inbox.rglob("*")) if not path.name.startswith(".") and path.name not in beside)
    return [path for path in found if path.is_file()]


def _sheet(path: Path) -> dict[str, tuple[date | None, str]]:
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if missing := {"file", "day", "segment"} - set(rows.fieldnames or ()):
            raise BadInput(f"{path}: no column {', '.join(sorted(missing))}; expected are file, day, segment")
        try:
            return {row["file"]: (date.fromisoformat(row["day"]) if row["day"] else None, row["segment"]) for row in rows}
        except ValueError as error:
            raise BadInput(f"{path}:{rows.line_num}: {error}; a day looks like 2020-06-05") from error


def alone(home: Path) -> AbstractContextManager[None]:
    """Nobody else decides or acts in this home meanwhile, in whatever process. Raises Busy, which says who does."""
    return files.alone(home / ".live.lock")


@dataclass
class Live:
    """A release at work in one home, for one run or for as long as a server lives.

    Live state stays in `home`: journal.db, originals/, memory/, effects/, and logs/ (Parquet, one row a case, for monitoring).
    """

    release: Release
    inbox: Path
    home: Path
    cache: Path | None = None  # of the reader
    _seen: int = field(default=0, init=False)  # position of the journal up to which the memory has taken it in
    _contents: dict[str, str] = field(default_factory=dict, init=False)  # `Case.key` to the SHA-256 of its file
    _taught: tuple[object, Agent] | None = field(default=None, init=False)  # what the agent was taught, and the agent

    def run(self) -> dict[str, Any]:
        """Decide what is new in the inbox, carry out what is allowed, and say what came of it.

        Raises Busy where another process is at work, NoDocuments for an inbox in which nothing lies.
        """
        from proveout.journal import Journal
        from proveout.journal.prose import dead_letters

        with alone(self.home), Journal(self.home / "journal.db") as journal:
            started = datetime.now(UTC).isoformat(timespec="milliseconds")
            control = self.release.control(self.home, journal, self.originals.path, f"{self.release.id[:12]} {started}")
            effects = _carried_out(control, PATIENCE)  # what a stop, a kill or a failure left undone
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
                    effects |= _carried_out(control, PATIENCE)
                    self._catch_up(journal)
                    for _ in batch:
                        step()
            effects |= _carried_out(control)
            journal.to_parquet(self.home / "logs", self.release.mission)
            routes = Counter(one.decision.route.value for one in recorded)
            return {
                "release": self.release.id,
                "started": started,
                "cases": len(cases),
                "decided": len(recorded),
                "routes": {route.value: routes[route.value] for route in Route},
                "effects": dict(Counter(effects.values())),
                "dead_letters": dead_letters(journal.unsettled()),
                "stopped": control.stop.stopped(),
                "refused": {one.case.path: one.decision.because[1] for one in recorded if one.decision.route is Route.REFUSE},
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
        """The release's agent over the live memory, taught what people corrected; made anew when that has changed."""
        from proveout.models import Correction

        new = [each for each in self.memory.corrections() if each[0].case not in self.release.learned]
        kept = [each for each in new if each[0].document in self.originals][-TAUGHT:]
        if self._taught and self._taught[0] == kept:
            return self._taught[1]
        read = self.kind.read([self.originals.path(answer.document) for answer, _ in kept], self.cache)
        corrected = [
            Correction(content, answer.fields, wrong)
            for (answer, wrong), content in zip(kept, read, strict=True)
            if not isinstance(content, UnreadableDocument)
        ]
        agent = self.release.agent(self.memory, self.cache, corrected)
        self._taught = kept, agent
        return agent

    def checked(self, decided: Decided, fields: Mapping[str, Output], document_class: str) -> tuple[Decision, tuple[str, ...]]:
        """A decided case as a person would have it, checked anew and with the actions that follow.

        Also the cases that the memory holds with the same values of `duplicate_on`, those that came later included.
        Raises BadInput where its file is not kept, or cannot be read.
        """
        case = decided.case
        if case.sha256 not in self.originals:
            raise BadInput(f"the file of case {case.id[:12]} is not kept here, so nothing can follow from it; hand it in again")
        (content,) = self.kind.read([self.originals.path(case.sha256)], self.cache)
        if isinstance(content, UnreadableDocument):
            raise BadInput(f"{case.path} cannot be read, so no action can follow from it: {content}; reject it")
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
        return [Decided(case, said, ruled, seconds) for case, said, ruled in zip(batch, decisions, rulings, strict=True)]

    def _catch_up(self, journal: Journal) -> None:
        """Take into the memory what was decided and answered since it was last done. Again after a kill, it changes nothing."""
        position = journal.position
        decided = {one.case.key: one for one in journal.decisions(after=self._seen) if one.decision.route is not Route.REFUSE}
        self._contents |= {key: one.case.sha256 for key, one in decided.items()}
        answered = journal.answers() if journal.answers(after=self._seen) else {}
        keys = [key for key in dict.fromkeys([*decided, *answered]) if self._contents.get(key, "") in self.originals]
        read = self.kind.read([self.originals.path(self._contents[key]) for key in keys], self.cache)
        self.memory.add(
            record
            for key, content in zip(keys, read, strict=True)
            if not isinstance(content, UnreadableDocument)
            for record in self._records(key, content, decided.get(key), answered.get(key))
        )
        self._seen = position

    def _records(self, key: str, content: Content, decided: Decided | None, answer: Answer | None) -> Iterator[MemoryRecord]:
        """What the memory keeps of a case: what the agent decided, and what a person answered."""
        from proveout.retrieval import MemoryRecord
        from proveout.values import remembered, written

        if decided:
            said = {name: written(value.value) for name, value in decided.decision.fields.items()}
            yield MemoryRecord(key, content.text, said, decided.decision.document_class, "decision", content.id)
        if answer:
            kinds = self.release.mission.kinds
            told = {name: remembered(kinds[name], text) for name, text in answer.fields.items() if text and name in kinds}
            yield MemoryRecord(key, content.text, told, answer.document_class, "label", content.id)


def _carried_out(control: ControlPlane, seconds: float = math.inf) -> dict[str, str]:
    """The newest state of every effect that was due, by its key. None is begun after so many seconds."""
    return {intention.action.key: outcome.state.value for intention, outcome in control.carry_out(seconds=seconds)}


def run(product: Mapping[str, Path], inbox: Path, release: str, releases: Path, home: Path, cache: Path) -> None:
    """The run pipeline's one step: decide what is new in `inbox` by `release`, and write a summary of this run (JSON)."""
    from proveout.release import Releases

    summary = Live(Releases(Path(releases)).open(release), Path(inbox), Path(home), Path(cache)).run()
    product["summary"].write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
