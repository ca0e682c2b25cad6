"""`proveout schedule`, and the schedule in `proveout status`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from proveout.cli.output import say, short
from proveout.errors import BadInput
from proveout.workspace import Workspace


def schedule(
    space: Workspace, crons: Mapping[str, str], timezone: str | None, database: str, minutes: float, once: bool
) -> bool:
    """Run the jobs on their schedule until a signal, or once. False if a job failed. `minutes`: a job's time limit.

    Raises BadInput for a time zone or cron expression that is not valid, or if every job is `never`.
    """
    from proveout.schedule import Cron, Job, Scheduler, zone_named

    zone, program = zone_named(timezone), [sys.executable, "-m", "proveout"]
    options = ["--mission", space.name, "--home", str(space.home)]
    jobs = [
        Job(name, [*program, name, *options], Cron.of(text, zone, f"--{name}"), timedelta(minutes=minutes))
        for name, text in crons.items()
        if text != "never"
    ]
    if not jobs:
        raise BadInput("--run and --monitor are both `never`: there is nothing to schedule; give at least one a time")
    space.claim()
    scheduler = Scheduler(space.home, jobs, database, say)
    for number in (signal.SIGINT, signal.SIGTERM):  # in a thread: a handler must not wait for locks that it interrupts
        signal.signal(number, lambda *_: threading.Thread(target=scheduler.stop).start())
    if once:
        return scheduler.once(always=["run"])
    say(f"mission {space.name} in {short(space.home)}, until Ctrl-C; output of the jobs: {short(space.home / 'schedule.log')}")
    scheduler.serve()
    return True


def history(space: Workspace, database: str, last: int) -> None:
    """Print the last jobs, oldest first, with the last lines that a failed job printed."""
    from proveout.schedule import History, Note, local, zone_named

    note = Note.read(space.home)
    if note is None:
        say(f"nothing was scheduled in {short(space.home)} yet; to start: proveout schedule")
        return
    with History(_database(space, note.database, database), note.id) as rows:
        for entry in reversed(rows.last(last)):
            say(f"{local(entry.began or entry.tick, zone_named(note.zone))}  {entry}")
            for line in entry.tail.splitlines()[-5:] if entry.state == "failed" else ():
                say(f"    {line}")


def _database(space: Workspace, noted: str, given: str) -> str:
    """The database of the schedule. `noted` has no password: raises BadInput if one is needed and not `given`."""
    if not noted:
        return str(space.home / "schedule.db")
    if not given:
        raise BadInput(f"the schedule's state is in {noted}; to see it: export PROVEOUT_DATABASE=postgresql://...")
    return given


def status(space: Workspace) -> Iterator[str]:
    """Lines on the next jobs, the last jobs, and in capitals what failed or was missed. None if nothing was ever scheduled."""
    from proveout.schedule import Cron, History, Note, alive, local, zone_named

    note = Note.read(space.home)
    if note is None:
        return
    now, zone, running = datetime.now(UTC), zone_named(note.zone), alive(space.home)
    crons = {name: (Cron(job.cron, zone), job.since) for name, job in note.jobs.items()}
    if running and not note.once:
        yield f"schedule: process {note.pid}; " + ", ".join(
            f"{name} next at {local(cron.next(now), zone)}" for name, (cron, _) in crons.items()
        )
    elif not running and not note.stopped:
        yield f"SCHEDULER DIED: process {note.pid}, started {local(note.began or now, zone)}; to restart it: proveout schedule"
    elif not note.once:
        yield f"schedule: not running since {local(note.stopped or now, zone)}; to restart it: proveout schedule"
    try:
        database = _database(space, note.database, os.environ.get("PROVEOUT_DATABASE", ""))
    except BadInput as error:
        yield f"  {error}"
        return
    with History(database, note.id) as rows:
        for name, (cron, since) in crons.items():
            entry = next(iter(rows.last(1, name)), None)
            if entry:
                yield f"  {'LAST ' if entry.state == 'failed' else ''}{entry} ({local(entry.began or entry.tick, zone)})"
            missed = cron.due(max(since, entry.tick) if entry else since, now)
            if missed and missed.missed and not note.once and not rows.open(name):
                yield f"  {missed.missed} {name.upper()} MISSED, the last at {local(missed.tick, zone)}"
