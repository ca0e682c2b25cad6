"""Run jobs on a cron schedule, durably: each due job runs alone, in its own process, and finishes once.

Entry point: `Scheduler`. A due job becomes a DBOS workflow, with its tick in the id, on a queue that runs one at a time. If
the scheduler is killed during a job, the next start resumes the job. Missed ticks are made up by one run, because a run takes
everything in the inbox. We keep the time ourselves: DBOS would make up every missed tick separately.
Covered: a second scheduler in the same home (Busy); a home where another process is at work (the job waits and tries again);
    nothing to do, which is not a failure; SQLite in the home, or PostgreSQL by its URL.
Not covered: several machines with one home; schedules finer than a minute.
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
from proveout.schedule.history import KEPT, History, JobRun, Note, Planned, alive, redacted, scheduler_lock, sqlalchemy_url

__all__ = ["Cron", "History", "Job", "JobRun", "Note", "Scheduler", "alive", "local", "zone_named"]

VERSION = "1"  # of the workflow below; raise it when its steps change, or an old one would be resumed as a new one
POLL = 30.0  # seconds between two checks of the time, at most: a machine may sleep, its clock may be set
RETRY = 20.0  # seconds between two attempts while another process is at work in the home


@dataclass(frozen=True)
class Job:
    """A command to run on a schedule."""

    name: str
    command: Sequence[str]
    cron: Cron
    timeout: timedelta = timedelta(hours=2)  # 3,000 documents on two cores; a run that hangs delays the next until then


class _LeftForNextTime(BaseException):
    """Not an Exception, so that DBOS leaves the workflow as it is: pending."""


@dataclass
class Scheduler:
    """The jobs of one home. `tell` receives each line that a person should see."""

    home: Path
    jobs: Sequence[Job]
    database: str = ""  # "" for schedule.db in the home
    tell: Callable[[str], None] = print
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    retry: float = RETRY
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _leave: threading.Event = field(default_factory=threading.Event, init=False)
    _running: str = field(default="", init=False)  # name of the job that runs

    def stop(self) -> None:
        """Start no more jobs and let the running one finish. A second call ends that one; the next start resumes it."""
        if self._stop.is_set():
            self._leave.set()
        elif self._running:
            self.tell(f"stopping after the current {self._running}; stop again to end it now, and the next start resumes it")
        self._stop.set()

    def serve(self) -> None:
        """Run each job when it is due, until `stop`. Raises Busy if another scheduler serves this home."""
        with self._open() as table:
            for job in self.jobs:
                self.tell(f"{job.name:8} next at {self._local(job.cron.next(self.now()))}  ({job.cron.text})")
            while not self._stop.is_set():
                for job in self.jobs:
                    table.begin(job, table.due(job, self.now()))
                self._stop.wait(self._pause(table))

    def once(self, always: Sequence[str] = ()) -> bool:
        """Run unfinished jobs, those due now and those in `always`. Returns whether all succeeded.

        Raises Busy if another scheduler serves this home.
        """
        with self._open(once=True) as table:
            ids = [entry.id for entry in table.history.open()]
            for job in self.jobs:
                ids += table.begin(job, Due(self.now(), 0) if job.name in always else table.due(job, self.now()))
            while table.history.open() and not self._stop.wait(child.POLL):
                table.settle()
            return all(table.history.entry(id).state != "failed" for id in ids)

    def _local(self, moment: datetime) -> str:
        return local(moment, self.jobs[0].cron.zone)

    def _pause(self, table: _Table) -> float:
        """Seconds until the next check."""
        table.settle()
        if table.history.open():
            return 1.0
        soonest = min(job.cron.next(self.now()) for job in self.jobs)
        return min(POLL, max(0.0, (soonest - self.now()).total_seconds()))

    @contextmanager
    def _open(self, once: bool = False) -> Iterator[_Table]:
        database = self.database or self.home / "schedule.db"
        with scheduler_lock(self.home):
            note = self._planned(once)
            with History(database, note.id) as history:
                note.write(self.home)
                with _dbos(note.id, sqlalchemy_url(database), self._work(history)) as queue:
                    table = _Table(note, history, queue)
                    table.settle()
                    try:
                        yield table
                    finally:
                        self._stop.set()
                replace(note, stopped=self.now()).write(self.home)

    def _planned(self, once: bool) -> Note:
        """The home's note with the current schedule. A job whose cron fields are unchanged keeps its `since`."""
        note, now = Note.read(self.home) or Note(), self.now()
        jobs = {
            job.name: planned
            if (planned := note.jobs.get(job.name)) and planned.cron == job.cron.text
            else Planned(job.cron.text, now)
            for job in self.jobs
        }
        database = redacted(self.database) if self.database else ""
        return note.at_work(os.getpid(), now, jobs=jobs, once=once, zone=zone_name(self.jobs[0].cron.zone), database=database)

    # --- one job ---

    def _work(self, history: History) -> Callable[[str], None]:
        """The function that DBOS calls for each entry's id, again until it has returned once."""
        jobs = {job.name: job for job in self.jobs}

        def work(id: str) -> None:
            entry = history.entry(id)
            if self._stop.is_set():
                raise _LeftForNextTime
            began = replace(entry, state="running", began=self.now(), resumed=entry.resumed + (entry.state == "running"))
            history.write(began)
            job = jobs.get(entry.job)
            try:
                ended = self._run(job, began) if job else replace(began, state="failed", result="it is no longer scheduled")
            except Exception as error:  # report any failure in one line; the next tick comes regardless
                ended = replace(began, state="failed", result=f"{type(error).__name__}: {error}")
            ended = replace(ended, ended=self.now())
            history.write(ended)
            self.tell(f"{self._local(ended.tick)}  {ended}")

        return work

    def _run(self, job: Job, entry: JobRun) -> JobRun:
        """Run a job's process, again while another process is at work in the home, and return the entry with its outcome."""
        until = self.now() + job.timeout
        self._running = job.name
        try:
            waits = False
            while ended := child.run(self.home, job.name, job.command, job.timeout.total_seconds(), self._leave.is_set):
                if ended.code != Busy.exit_code or self.now() > until:
                    return _outcome(entry, job, ended)
                if not waits:
                    self.tell(f"{self._local(entry.tick)}  {job.name} waits: {_last(ended.stderr)}")
                waits = True
                if self._stop.wait(self.retry):
                    break
            raise _LeftForNextTime
        finally:
            self._running = ""


def _outcome(entry: JobRun, job: Job, ended: child.Ended) -> JobRun:
    entry = replace(entry, code=ended.code, tail="\n".join([*ended.stderr, *ended.stdout])[-KEPT:])
    if ended.timed_out:
        limit = f"{job.timeout.total_seconds() / 60:.3g} minutes"
        return replace(entry, state="failed", result=f"it took longer than {limit} and was ended; extend it with --timeout")
    if ended.code == NoDocuments.exit_code:
        return replace(entry, state="nothing", result="nothing to do: " + _last(ended.stderr))
    if ended.code:
        what = f"signal {-ended.code}" if ended.code < 0 else f"exit code {ended.code}"
        return replace(entry, state="failed", result=f"{what}: {_last(ended.stderr) or _last(ended.stdout)}")
    return replace(entry, state="done", result=ended.stdout[0] if ended.stdout else "")


def _last(lines: Sequence[str]) -> str:
    return lines[-1].removeprefix("proveout: ") if lines else ""


def local(moment: datetime, zone: tzinfo) -> str:
    """A moment as text, to the minute, with the zone's abbreviation."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"


# --- the queue, in DBOS ---


@dataclass(frozen=True)
class _Table:
    """Which jobs are due, queued and open. Each row is written before it is queued in DBOS, so that no job is lost."""

    note: Note
    history: History
    queue: _Queue

    def due(self, job: Job, now: datetime) -> Due | None:
        last, since = self.history.last(1, job.name), self.note.jobs[job.name].since
        return job.cron.due(max(since, last[0].tick) if last else since, now)

    def begin(self, job: Job, due: Due | None) -> list[str]:
        """Queue a job that is due, unless it is queued or running. Returns its id, or nothing."""
        if not due or self.history.open(job.name):
            return []
        entry = JobRun(f"{self.note.id}-{job.name}-{due.tick:%Y%m%dT%H%M%S.%f}", job.name, due.tick, due.missed)
        self.history.write(entry)
        self.queue.put(entry.id)
        return [entry.id]

    def settle(self) -> None:
        """Queue rows that were written and never queued; close those that DBOS gave up, so that the next job can begin."""
        for entry in self.history.open():
            state = self.queue.state(entry.id)
            if state is None:
                self.queue.put(entry.id)
            elif state not in ("ENQUEUED", "PENDING", "SUCCESS", "DELAYED"):
                failed = replace(entry, state="failed", ended=datetime.now(UTC), result=f"DBOS reports {state.lower()}")
                self.history.write(failed)


@dataclass(frozen=True)
class _Queue:
    put: Callable[[str], None]  # id of an entry; putting it twice queues it once
    state: Callable[[str], str | None]  # DBOS's status of an entry; None for an unknown id


@contextmanager
def _dbos(home: str, url: str, work: Callable[[str], None]) -> Iterator[_Queue]:
    """Run DBOS for one home: it calls `work` for each id that is put. It connects to nothing but its database."""
    import logging

    from dbos import DBOS, SetWorkflowID

    logging.getLogger("dbos").setLevel(logging.ERROR)
    name = f"proveout-{home}"
    DBOS(
        config={
            "name": name,
            "system_database_url": url,
            "executor_id": home,  # recover what this home's last scheduler left, and no other home's
            "application_version": f"{name}-{VERSION}",  # DBOS wants it unique among applications that share a database
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
        workflow = DBOS.get_workflow_status(id)
        return workflow.status if workflow else None

    try:
        DBOS.launch()
        DBOS.register_queue(name, global_concurrency=1)
        yield _Queue(put, state)
    finally:
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=10**9)  # as long as a job takes
