"""The server's side of one workspace: what waits is decided in the background, by the release that is promoted.

The worker never decides by itself: `live` does, the same as for `proveout run`, under the same lock.
Covered: a promotion or a rollback meanwhile (the next run and the next preview follow it), another process at work in the same
home (tried again later), a run that fails (logged and told by `/ready`, tried again).
Not covered: several machines at one inbox.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from proveout.cases import kind_of
from proveout.control import ControlPlane, StopSwitch
from proveout.documents import Originals
from proveout.errors import Busy, NoDocuments, NoRelease, ProveoutError
from proveout.journal import Event, Journal
from proveout.live import Live
from proveout.records import Decided, Decision, Output, Ruling
from proveout.release import Release, Releases
from proveout.review.approvals import Approvals
from proveout.serving.case_index import CaseIndex, CaseStatus
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.agent import Agent

LOG = logging.getLogger("proveout.serving")
LOOK_EVERY = 15.0  # seconds between two looks at an inbox into which files may also be laid by hand
AGAIN_AFTER = 1.0  # seconds, when another process was at work
PATIENCE = 30.0  # seconds that a preview waits for a run that decides at the moment


_WORKERS: "WeakValueDictionary[Path, Worker]" = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class CaseHistory:
    """A case that was decided, and everything that happened to it."""

    decided: Decided
    events: Sequence[Event]


class Worker:
    """One a workspace and process: `at` gives the server's own to its pages."""

    def __init__(self, space: Workspace) -> None:
        _WORKERS[space.home] = self
        self.space = space
        self.inbox, self.incoming = space.home / "inbox", space.home / "incoming"
        self.inbox.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(space.home / "journal.db")
        self.index = CaseIndex(self.journal, self.inbox, kind_of(space.mission))
        self.releases = Releases(space.releases)
        self.originals = Originals(space.originals)
        self.switch = StopSwitch(space.home / "STOP")
        self.approvals = Approvals(self.journal, space.mission, self._checked, self._control)
        self.trouble = ""  # why the last run did not decide what waits
        self._release: Release | None = None
        self._live: tuple[object, Live] | None = None
        self._frozen: tuple[str, Agent] | None = None
        self._agents = threading.Lock()  # a memory and its agent are used by one thread at a time
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)

    @classmethod
    def at(cls, space: Workspace) -> "Worker":
        """The worker of a server in this process; where there is none, a new one that decides nothing by itself."""
        return _WORKERS.get(space.home) or cls(space)

    # --- life ---

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Waits a little for a run to end. One that is cut off is continued by the next server or run."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self.journal.close()

    def wake(self) -> None:
        """Something new waits."""
        self._wake.set()

    # --- what is known ---

    def release(self) -> Release:
        """The promoted release, opened once. Raises NoRelease."""
        current = self.releases.current()
        if self._release is None or self._release.id != current:
            self._release = self.releases.open(current)
        return self._release

    def history(self, case: str) -> CaseHistory | None:
        """What was decided of a case in its last turn, its fields in the mission's order; None where nothing is decided yet."""
        turns = list(self.journal.decisions(case=case))
        if not turns:
            return None
        return CaseHistory(turns[-1].in_order(self.space.mission.fields), list(self.journal.events(case)))

    def file(self, case: str) -> Path | None:
        """The file of a case, decided or waiting."""
        told = self.history(case)
        content = told.decided.case.sha256 if told else case
        return self.originals.path(content) if content in self.originals else self.index.file(case)

    # --- deciding ---

    def preview(self, path: Path, frozen: bool = False) -> tuple[Decision, tuple[Ruling, ...]]:
        """What would be decided of a file. Nothing is written down, nothing happens.

        `frozen`: with the memory that the release was frozen with, and without what people corrected since.
        Raises NoRelease, and Busy while a long run decides.
        """
        with self._alone():
            release = self.release()
            agent = self._frozen_agent(release) if frozen else self._at_work(release).agent()
            decision = agent.invoke(path)
        control = release.control(self.space.home, self.journal, lambda case: path, run="preview")
        return decision, control.judge([decision])[0]

    def decide(self) -> None:
        """One run of the promoted release, if there is anything to do."""
        waits = self.index.newest(CaseStatus.WAITING)
        if not waits and (self.switch.stopped() or not self.journal.pending()):
            return
        with self._agents:
            live = self._at_work(self.release())
            summary = live.run()
            self._live = self._stamp(live.release), live
        LOG.info("%d cases decided by release %s", summary["decided"], summary["release"][:12])

    def _checked(self, decided: Decided, fields: Mapping[str, Output], document_class: str) -> tuple[Decision, tuple[str, ...]]:
        with self._alone():
            return self._at_work(self.release()).checked(decided, fields, document_class)

    def _control(self, run: str) -> ControlPlane:
        return self.release().control(self.space.home, self.journal, self.originals.path, run)

    def _work(self) -> None:
        with suppress(ProveoutError), self._agents:
            self._at_work(self.release()).agent()  # so that the first visitor does not wait for models to load
        while not self._closing.is_set():
            pause = LOOK_EVERY
            try:
                self.decide()
                self.trouble = ""
            except Busy:
                pause = AGAIN_AFTER
            except (NoRelease, NoDocuments) as error:
                self.trouble = str(error)
            except ProveoutError as error:
                self.trouble = str(error)
                LOG.error("nothing was decided: %s", error)
            except Exception:
                self.trouble = "a run failed; the server's log says where"
                LOG.exception("a run failed")
            self._wake.wait(pause)
            self._wake.clear()

    def _at_work(self, release: Release) -> Live:
        """The release over the live memory, opened anew when another process changed either."""
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
    def _alone(self) -> Iterator[None]:
        if not self._agents.acquire(timeout=PATIENCE):
            raise Busy("a run is deciding what waits; try again in a minute")
        try:
            yield
        finally:
            self._agents.release()
