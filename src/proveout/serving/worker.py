"""Decides what waits in one workspace, in the background, with the promoted release.

The worker uses `live`, as `proveout run` does, under the same lock.
Covered: a promotion or rollback meanwhile (the next run and the next preview follow it), another process at work in the same
workspace (retried later), a run that fails (logged, reported by `/ready`, retried).
Not covered: several machines at one inbox.
"""

import logging
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.cases import kind_of
from proveout.control import ControlPlane, StopSwitch
from proveout.documents import Originals
from proveout.errors import BadInput, Busy, NoDocuments, NoRelease, OtherCode, ProveoutError, UnreadableDocument
from proveout.journal import Event, Journal
from proveout.live import Live, alone, erasure
from proveout.live.replay import Replayed, replay
from proveout.mission import Budget
from proveout.monitoring.signing import Reports
from proveout.records import Content, Decided, Decision, Output, Person, Ruling
from proveout.release import Release, Releases
from proveout.review.approvals import Approvals
from proveout.review.assignments import Assignments
from proveout.serving.case_index import CaseIndex, CaseStatus, Search
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.agent import Agent
    from proveout.models.tiers import ScoredValue

LOG = logging.getLogger("proveout.serving")
POLL_EVERY = 15.0  # seconds between two looks into the inbox, for files that were not submitted through the API
RETRY_AFTER = 1.0  # seconds, if another process was at work
NAMED = 80  # characters of a text in a list of cases
SUGGESTED = 4  # values of a field
PATIENCE = 30.0  # seconds that a preview waits for a run to end


@dataclass(frozen=True, slots=True)
class CaseHistory:
    """A decided case and its events."""

    decided: Decided
    events: Sequence[Event]


class Worker:
    """One per workspace and process."""

    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.inbox, self.incoming = space.home / "inbox", space.home / "incoming"
        self.inbox.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(space.home / "journal.db")
        self.index = CaseIndex(self.journal, self.inbox, kind_of(space.mission))
        self.releases = Releases(space.releases)
        self.originals = Originals(space.originals)
        self.reports = Reports(space.reports, self.journal)
        self.switch = StopSwitch(space.home / "STOP")
        self.approvals = Approvals(self.journal, space.mission, self._checked, self._control)
        opened, assigned = timedelta(minutes=space.mission.review_minutes), timedelta(hours=space.mission.assigned_hours)
        self.assignments = Assignments(self.journal, opened, assigned)
        self.trouble = ""  # why the last run failed; "" if it did not
        self._release: Release | None = None
        self._live: tuple[object, Live] | None = None
        self._frozen: tuple[str, Agent] | None = None
        self._agents = threading.Lock()  # only one thread at a time may use a memory and its agent
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)

    def open(self) -> None:
        """Start deciding in the background."""
        self._thread.start()

    def close(self) -> None:
        """Stop. Waits up to 10 seconds for a run to end; the next server or run continues one that was cut off."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self.journal.close()

    def wake(self) -> None:
        """Look into the inbox now."""
        self._wake.set()

    def release(self) -> Release:
        """The promoted release, opened once. Raises NoRelease."""
        current = self.releases.current()
        if self._release is None or self._release.id != current:
            self._release = self.releases.open(current)
        return self._release

    def budget(self) -> Budget:
        """What a run may spend: by the promoted release or, if none can be opened, by the mission as designed."""
        try:
            return self.release().mission.budget
        except ProveoutError:
            return self.space.mission.budget

    def history(self, case: str) -> CaseHistory | None:
        """The decision on a case's last turn, fields in the mission's order, and all its events; None if it is undecided."""
        turns = list(self.journal.decisions(case=case))
        if not turns:
            return None
        return CaseHistory(turns[-1].in_order(self.space.mission.fields), list(self.journal.events(case)))

    def file(self, case: str) -> Path | None:
        """The file of a case, decided or waiting."""
        history = self.history(case)
        content = history.decided.case.sha256 if history else case
        return self.originals.path(content) if content in self.originals else self.index.file(case)

    def content(self, decided: Decided) -> Content | UnreadableDocument:
        """What was read of a decided case. Raises BadInput if its file is not kept."""
        (content,) = self.index.kind.read([self.originals.path(decided.case.sha256)], self.space.cache)
        return content

    def suggestions(self, content: Content) -> dict[str, list["ScoredValue"]]:
        """Likely values of each field, the likeliest first, by the promoted release and what people taught it.

        Raises NoRelease and Busy.
        """
        with self._one_at_a_time():
            return self._live_release(self.release()).agent().suggest(content, SUGGESTED)

    def preview(self, path: Path, frozen: bool = False) -> tuple[Decision, tuple[Ruling, ...]]:
        """Decide a file without recording anything or taking any action.

        `frozen`: with the memory that the release was frozen with, without later corrections.
        Raises NoRelease if none is promoted, Busy if a run takes longer than `PATIENCE`.
        """
        with self._one_at_a_time():
            release = self.release()
            agent = self._frozen_agent(release) if frozen else self._live_release(release).agent()
            decision = agent.invoke(path)
        control = release.control(self.space.home, self.journal, lambda case: path, run="preview")
        return decision, control.judge([decision])[0]

    def decide_now(self, text: str, request: str, day: date | None, segment: str) -> Decided:
        """Decide and journal a text that a program waits for. `request`: its id; without one, each call is a case of its own.

        Raises NoRelease if none is promoted, Busy if a run takes longer than `PATIENCE`, BadInput for a kind of case that is
        not a text.
        """
        case_file = getattr(self.index.kind, "case_file", None)
        if case_file is None:
            raise BadInput(f"the cases of mission {self.space.name} are files; submit one to /api/v1/cases")
        content = case_file(text, request or uuid.uuid4().hex)
        with self._one_at_a_time():
            decided = self._live_release(self.release()).decide_now(content, text[:NAMED], day, segment, self.journal)
        if any(ruling.verdict.allowed for ruling in decided.rulings):
            self.wake()
        return decided

    def run_again(self, decided: Decided) -> Replayed:
        """Decide a case again with the release, memory and batch that it had, and compare. Records nothing. Raises Busy."""
        case, release = decided.case, decided.decision.release
        with self._one_at_a_time():
            try:
                (replayed,) = replay(self.space.home, {case.key}, self.space.cache, {release})
            except OtherCode:
                pins = f"release {release[:12]} pins other code or libraries than this server runs"
                return Replayed(decided, because=f"{pins}; on the server's machine, run: proveout replay {case.id[:12]}")
        return replayed

    def erase(self, case: str, person: Person, reason: str) -> None:
        """Erase the content of a case. Raises BadInput as `erasure.plan`, and Busy."""
        with self._one_at_a_time(), alone(self.space.home):
            erasure.erase(self.space, self.journal, erasure.plan(self.space, self.journal, case), person, reason)
            self._live = None  # its memory holds the case

    def decide(self) -> None:
        """Run the promoted release once, if any case or effect waits. Raises NoRelease, Busy and NoDocuments."""
        erasure.complete(self.space, self.journal)
        waiting = self.index.newest(Search(status=CaseStatus.WAITING))
        if not waiting and (self.switch.stopped() or not self.journal.pending()):
            return
        with self._agents:
            live = self._live_release(self.release())
            summary = live.run()
            self._live = self._stamp(live.release), live
        LOG.info("%d cases decided by release %s", summary["decided"], summary["release"][:12])
        for what in ("waiting", "refused"):
            for name, because in summary[what].items():
                LOG.info("%s: %s: %s", what, name, because)

    def _checked(self, decided: Decided, fields: Mapping[str, Output], document_class: str) -> tuple[Decision, tuple[str, ...]]:
        with self._one_at_a_time():
            return self._live_release(self.release()).checked(decided, fields, document_class)

    def _control(self, run: str) -> ControlPlane:
        return self.release().control(self.space.home, self.journal, self.originals.path, run)

    def _work(self) -> None:
        with suppress(ProveoutError), self._agents:
            live = self._live_release(self.release())
            live.agent()  # loads the models before the first request
            live.warm(self.journal)
        while not self._closing.is_set():
            pause = POLL_EVERY
            try:
                self.decide()
                self.trouble = ""
            except Busy:
                pause = RETRY_AFTER
            except (NoRelease, NoDocuments) as error:
                self.trouble = str(error)
            except ProveoutError as error:
                self.trouble = str(error)
                LOG.error("the run failed: %s", error)
            except Exception:
                self.trouble = "the run failed; the server's log says why"
                LOG.exception("the run failed")
            self._wake.wait(pause)
            self._wake.clear()

    def _live_release(self, release: Release) -> Live:
        """The release with the live memory, reopened if another process changed either."""
        stamp = self._stamp(release)
        if self._live is None or self._live[0] != stamp:
            self._live = stamp, Live(release, self.inbox, self.space.home, self.space.cache)
        return self._live[1]

    def _stamp(self, release: Release) -> object:
        records = self.space.memory / "records.jsonl"
        return release.id, records.stat().st_size if records.exists() else 0

    def _frozen_agent(self, release: Release) -> "Agent":
        if self._frozen is None or self._frozen[0] != release.id:
            self._frozen = (release.id, release.agent(release.memory(), cache=self.space.cache))
        return self._frozen[1]

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if not self._agents.acquire(timeout=PATIENCE):
            raise Busy("a run is in progress; try again in a minute")
        try:
            yield
        finally:
            self._agents.release()
