"""What ran lately, for the start page: runs of the agent with what they spent of their budget, and the scheduled jobs."""

import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from proveout.errors import BadInput
from proveout.journal import DECISION, INTENDED, Event
from proveout.schedule import History, JobRun, Note

JOBS = 5  # on the start page


@dataclass
class RunSummary:
    """One run of a release, or the approvals of a day, which share a budget like a run's."""

    name: str  # as the journal has it: the release's short id and the time of its start, or `approvals of` and the day
    began: datetime
    ended: datetime  # its last decision or intended effect
    release: str = ""  # "" for approvals
    routes: Counter[str] = field(default_factory=Counter)
    effects: int = 0  # that it intended, and so spent of its budget
    cents: int = 0

    @property
    def took(self) -> timedelta:
        return self.ended - self.began

    @property
    def cases(self) -> int:
        return self.routes.total()


def count(runs: dict[str, RunSummary], event: Event) -> None:
    """Add an event to the run that it belongs to, if it belongs to one."""
    if event.kind not in (DECISION, INTENDED):
        return
    name, at = event.payload["run"], datetime.fromisoformat(event.at)
    run = runs.setdefault(name, RunSummary(name, _start(name) or at, at))
    run.ended = at
    if event.kind == DECISION:
        run.release = event.payload["decision"]["release"]
        run.routes[event.payload["decision"]["route"]] += 1
    else:
        run.effects += 1
        run.cents += event.payload["cents"]


def _start(name: str) -> datetime | None:
    """
    >>> _start("338f6006d40b 2026-11-30T09:05:11.204+00:00").minute, _start("approvals of 2026-11-30")
    (5, None)
    """
    _, _, moment = name.rpartition(" ")
    return datetime.fromisoformat(moment) if "T" in moment else None


def last_jobs(home: Path) -> tuple[list[JobRun], str]:
    """The newest scheduled jobs, newest first; and, if there is none, why."""
    try:
        note, database = Note.read(home), os.environ.get("PROVEOUT_DATABASE", "")
        if note is None:
            return (
                [],
                "Nothing is scheduled. To decide and report by the clock, run on the server's machine: proveout schedule",
            )
        if note.database and not database:
            return [], "The schedule is in another database. To see it here, start the server with PROVEOUT_DATABASE set"
        with History(database if note.database else home / "schedule.db", note.id) as history:
            jobs = history.last(JOBS)
    except BadInput as error:
        return [], f"The schedule cannot be read: {error}"
    return jobs, "" if jobs else "No scheduled job has run yet"
