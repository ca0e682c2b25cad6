"""Jobs by the clock, durably: each is due at its ticks, runs alone in a process of its own, and ends once.

One door: `Scheduler`. A job that is due becomes a DBOS workflow whose id is its tick, on a queue that runs one at a time. Who
kills the scheduler in the middle of a job finds it again at the next start. What was missed is made up once: a run takes
everything that lies in the inbox. The clock is ours and not DBOS's, which would make up every missed tick by itself.
Covered: a second scheduler at the same home (Busy); a home where somebody else is at work (the job waits and tries again);
    nothing to do, which is no failure; SQLite in the home, or PostgreSQL by its URL.
Not covered: several machines at one home; seconds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from proveout.errors import Busy, NoDocuments
from proveout.schedule import child
from proveout.schedule.cron import Cron, Due, zone_name, zone_named
from proveout.schedule.history import KEPT, History, JobRun, Note, Planned, alive, place, shown, sole

__all__ = ["Cron", "History", "Job", "JobRun", "Note", "Scheduler", "alive", "clock", "told", "zone_named"]

VERSION = "1"  # of the workflow below; raise it when its steps change, or an old one would be resumed as a new one
LOOK = 30.0  # seconds between two looks at the clock, at most: a machine may sleep, a clock may be set
AGAIN = 20.0  # seconds between two tries where somebody else is at work


@dataclass(frozen=True)
class Job:
    name: str
    command: Sequence[str]
    cron: Cron
    timeout: timedelta = timedelta(hours=2)  # 3,000 documents on two cores; a run that hangs holds up the next until then


class _LeftForNextTime(BaseException):
    """Not an Exception, so that DBOS leaves the workflow as it is: pending."""


@dataclass
class Scheduler:
    """The jobs of one home. `tell` gets one line for whatever a person should see."""

    home: Path
    jobs: Sequence[Job]
    database: str = ""  # "" for schedule.db in the home
    tell: Callable[[str], None] = print
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    again: float = AGAIN
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _leave: threading.Event = field(default_factory=threading.Event, init=False)
    _at_work: str = field(default="", init=False)  # name of the job that runs

    def stop(self) -> None:
        """Begin nothing new and let what runs end; said twice, what runs is ended and resumed at the next start."""
        if self._stop.is_set():
            self._leave.set()
        elif self._at_work:
            self.tell(f"stops when the {self._at_work} has ended; once more leaves it to the next start")
        self._stop.set()

    def serve(self) -> None:
        """Run what is due when it is due, until `stop`. Raises Busy where another one is at it."""
        with self._open() as table:
            for job in self.jobs:
                self.tell(f"{job.name:8} next at {self._clock(job.cron.next(self.now()))}  ({job.cron.text})")
            while not self._stop.is_set():
                for job in self.jobs:
                    table.begin(job, table.due(job, self.now()))
                self._stop.wait(self._pause(table))

    def once(self, always: Sequence[str] = ()) -> bool:
        """Run what is due now, the jobs in `always`, and what was left; then return. Whether none of them failed."""
        with self._open(once=True) as table:
            asked = [entry.id for entry in table.open()]
            for job in self.jobs:
                asked += table.begin(job, Due(self.now(), 0) if job.name in always else table.due(job, self.now()))
            while table.open() and not self._stop.wait(child.LOOK):
                table.settle()
            return all(table.history.one(id).state != "failed" for id in asked)

    def _clock(self, moment: datetime) -> str:
        return clock(moment, self.jobs[0].cron.zone)

    def _pause(self, table: _Table) -> float:
        """Seconds until the next look."""
        table.settle()
        if table.open():
            return 1.0
        soonest = min(job.cron.next(self.now()) for job in self.jobs)
        return min(LOOK, max(0.0, (soonest - self.now()).total_seconds()))

    @contextmanager
    def _open(self, once: bool = False) -> Iterator[_Table]:
        database = self.database or self.home / "schedule.db"
        with sole(self.home):
            note = self._planned(once)
            with History(database, note.id) as history:
                note.write(self.home)
                with _dbos(note.id, place(database), self._work(history)) as queue:
                    table = _Table(note, history, queue)
                    table.settle()
                    try:
                        yield table
                    finally:
                        self._stop.set()
                replace(note, stopped=self.now()).write(self.home)

    def _planned(self, once: bool) -> Note:
        """The note of this home, with what is scheduled from now on. What has not changed keeps its beginning."""
        note, now = Note.read(self.home) or Note(), self.now()
        jobs = {
            job.name: known
            if (known := note.jobs.get(job.name)) and known.cron == job.cron.text
            else Planned(job.cron.text, now)
            for job in self.jobs
        }
        database = shown(self.database) if self.database else ""
        return note.at_work(os.getpid(), now, jobs=jobs, once=once, zone=zone_name(self.jobs[0].cron.zone), database=database)

    # --- one job ---

    def _work(self, history: History) -> Callable[[str], None]:
        """What DBOS makes sure of: it is called again until it has returned once."""
        jobs = {job.name: job for job in self.jobs}

        def work(id: str) -> None:
            entry = history.one(id)
            if self._stop.is_set():
                raise _LeftForNextTime
            began = replace(entry, state="running", began=self.now(), resumed=entry.resumed + (entry.state == "running"))
            history.write(began)
            job = jobs.get(entry.job)
            try:
                ended = self._run(job, began) if job else replace(began, state="failed", said="it is not scheduled any more")
            except Exception as error:  # whatever it was, it is a line, and the next tick comes
                ended = replace(began, state="failed", said=f"{type(error).__name__}: {error}")
            ended = replace(ended, ended=self.now())
            history.write(ended)
            self.tell(f"{self._clock(ended.tick)}  {told(ended)}")

        return work

    def _run(self, job: Job, entry: JobRun) -> JobRun:
        """Run a job's process, again while somebody else is at work in the home, and say what came of it."""
        until = self.now() + job.timeout
        self._at_work = job.name
        try:
            waits = False
            while True:
                ended = child.run(self.home, job.name, job.command, job.timeout.total_seconds(), self._leave.is_set)
                if ended is None:
                    raise _LeftForNextTime
                if ended.code != Busy.exit_code or self.now() > until:
                    return _outcome(entry, job, ended)
                if not waits:
                    waits = True
                    self.tell(f"{self._clock(entry.tick)}  {job.name} waits: {_last(ended.complained)}")
                if self._stop.wait(self.again):
                    raise _LeftForNextTime
        finally:
            self._at_work = ""


def _outcome(entry: JobRun, job: Job, ended: child.Ended) -> JobRun:
    tail = "\n".join([*ended.complained, *ended.said])[-KEPT:]
    entry = replace(entry, code=ended.code, tail=tail)
    if ended.late:
        most = f"{job.timeout.total_seconds() / 60:.3g} minutes"
        return replace(entry, state="failed", said=f"it took longer than {most} and was ended; give it more with --timeout")
    if ended.code == NoDocuments.exit_code:
        return replace(entry, state="nothing", said="nothing to do: " + _last(ended.complained))
    if ended.code:
        what = f"signal {-ended.code}" if ended.code < 0 else f"exit code {ended.code}"
        return replace(entry, state="failed", said=f"{what}: {_last(ended.complained) or _last(ended.said)}")
    return replace(entry, state="done", said=ended.said[0] if ended.said else "")


def _last(lines: Sequence[str]) -> str:
    return lines[-1].removeprefix("proveout: ") if lines else ""


def clock(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def told(entry: JobRun) -> str:
    """One job in one line."""
    took = f" in {entry.seconds:.0f} s" if entry.seconds is not None else ""
    state = {"failed": "FAILED", "nothing": "done"}.get(entry.state, entry.state)
    made_up = f"; made up for {entry.missed} missed" if entry.missed else ""
    resumed = "; resumed after its scheduler ended" if entry.resumed else ""
    return f"{entry.job:8} {state}{took}{': ' if entry.said else ''}{entry.said}{made_up}{resumed}"


# --- what DBOS does ---


@dataclass(frozen=True)
class _Table:
    """Which jobs are due, queued and open. A row is written before DBOS hears of it, so that neither is lost."""

    note: Note
    history: History
    queue: _Queue

    def open(self, job: str | None = None) -> list[JobRun]:
        return self.history.open(job)

    def due(self, job: Job, now: datetime) -> Due | None:
        last, since = self.history.last(1, job.name), self.note.jobs[job.name].since
        return job.cron.due(max(since, last[0].tick) if last else since, now)

    def begin(self, job: Job, due: Due | None) -> list[str]:
        """Queue a job that is due, unless it is under way. Returns its id, if there is one."""
        if not due or self.open(job.name):
            return []
        entry = JobRun(f"{self.note.id}-{job.name}-{due.tick:%Y%m%dT%H%M%S.%f}", job.name, due.tick, due.missed)
        self.history.write(entry)
        self.queue.put(entry.id)
        return [entry.id]

    def settle(self) -> None:
        """Queue what was written and never queued; close what DBOS gave up, so that the next can begin."""
        for entry in self.open():
            state = self.queue.state(entry.id)
            if state is None:
                self.queue.put(entry.id)
            elif state not in ("ENQUEUED", "PENDING", "SUCCESS", "DELAYED"):
                self.history.write(replace(entry, state="failed", ended=datetime.now(UTC), said=f"DBOS says {state.lower()}"))


@dataclass(frozen=True)
class _Queue:
    put: Callable[[str], None]  # id of an entry; twice is once
    state: Callable[[str], str | None]  # as DBOS calls it; None for one that it does not know


@contextmanager
def _dbos(home: str, url: str, work: Callable[[str], None]) -> Iterator[_Queue]:
    """DBOS at work for one home: `work` is done for each id that is put. It talks to nobody but its database."""
    import logging

    from dbos import DBOS, SetWorkflowID

    logging.getLogger("dbos").setLevel(logging.ERROR)
    name = f"proveout-{home}"
    DBOS(
        config={
            "name": name,
            "system_database_url": url,
            "executor_id": home,  # what this home's last scheduler left is recovered, and nobody else's
            "application_version": f"{name}-{VERSION}",  # DBOS wants it unique among those who share a database
            "enable_otlp": False,
            "log_level": "ERROR",
            "use_listen_notify": False,
        }
    )
    step = DBOS.step(name="proveout.schedule.run")(work)

    @DBOS.workflow(name="proveout.schedule", max_recovery_attempts=None)
    def workflow(id: str) -> None:
        step(id)

    def put(id: str) -> None:
        with SetWorkflowID(id):
            DBOS.enqueue_workflow(name, workflow, id)

    def state(id: str) -> str | None:
        found = DBOS.get_workflow_status(id)
        return found.status if found else None

    try:
        DBOS.launch()
        DBOS.register_queue(name, global_concurrency=1)
        yield _Queue(put, state)
    finally:
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=10**9)  # as long as a job takes
