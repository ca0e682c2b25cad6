"""Each job runs when it is due, alone and once, even if a process is killed meanwhile; the history shows it."""

import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from program import PROVEOUT
from proveout.cli import scheduling
from proveout.errors import BadInput, Busy
from proveout.schedule import Cron, History, Job, JobRun, Note, Scheduler, alive, child, zone_named
from proveout.workspace import Workspace

ROOT = Path(__file__).parent.parent
NOON = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)
QUARTER = Cron("*/15 * * * *")
NEVER_NOW = Cron("0 0 1 1 *")
TRACED = """
import os, sys, time
from pathlib import Path
trace = Path("trace").open("a", buffering=1)
print("begins", file=trace)
while Path("hold").exists(): time.sleep(0.05)
print("ends", file=trace)
print("all decided")
"""


def job(code: str, name: str = "run", cron: Cron = QUARTER, **options: object) -> Job:
    return Job(name, [sys.executable, "-c", code], cron, **options)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(home: Path, database: str = "") -> list[JobRun]:
    """What the history holds, oldest first."""
    note = Note.read(home)
    assert note is not None
    with History(database or home / "schedule.db", note.id) as history:
        return history.last(100)[::-1]


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def trace(home: Path) -> list[str]:
    return (home / "trace").read_text().split() if (home / "trace").exists() else []


@pytest.fixture
def another(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A scheduler in its own process, with a job that waits until the file `hold` is gone."""
    (home / "hold").touch()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom test_schedule import TRACED, Scheduler, job\n"
        "Scheduler(Path.cwd(), [job(TRACED)]).once(['run'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(ROOT / "tests")], cwd=home)
    try:
        yield process
    finally:
        (home / "hold").unlink(missing_ok=True)
        process.kill()
        process.wait()


# --- when a job is due ---


@pytest.mark.parametrize(
    ("since", "now", "tick", "missed"),
    [
        ("12:00", "12:14:59", None, 0),
        ("12:00", "12:15", "12:15", 0),
        ("12:00", "12:16", "12:15", 0),
        ("12:00", "12:16:01", "12:15", 1),  # a minute late is missed
        ("12:00", "12:50", "12:45", 3),
        ("12:00", "13:00:10", "13:00", 3),  # the newest is on time, and makes up for the others
    ],
)
def test_however_many_ticks_have_passed_one_is_due(since, now, tick, missed):
    def at(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-03-02T{text}").replace(tzinfo=UTC)

    due = QUARTER.due(at(since), at(now))
    assert (due and due.tick) == (at(tick) if tick else None)
    assert (due.missed if due else 0) == missed


def test_the_night_that_has_an_hour_twice_has_its_ticks_twice_and_the_one_without_has_none():
    berlin = Cron("*/15 * * * *", ZoneInfo("Europe/Berlin"))
    autumn, spring = datetime(2026, 10, 24, 23, 59, tzinfo=UTC), datetime(2026, 3, 28, 23, 59, tzinfo=UTC)
    for night in (autumn, spring):
        assert berlin.due(night, night + timedelta(hours=4)).missed == 16  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("cron", "fault"),
    [
        ("61 * * * *", "out of range"),
        ("a b c d e", "not acceptable"),
        ("* * *", "it has 3 fields"),
        ("", "it has 0 fields"),
        ("* * * * * *", "it has 6 fields"),
        ("0 0 31 2 *", "failed to find next date"),
    ],
)
def test_a_bad_cron_expression_is_named_with_what_was_expected_and_an_example(cron, fault):
    with pytest.raises(BadInput) as caught:
        Cron.of(cron, UTC, "--monitor")
    assert f'--monitor "{cron}"' in str(caught.value)
    assert fault in str(caught.value)
    assert '"0 6 * * *" (every day at 06:00)' in str(caught.value)


def test_an_unknown_zone_suggests_the_nearest_one():
    with pytest.raises(BadInput, match="did you mean `Europe/Berlin`"):
        zone_named("Europe/Berln")


# --- what becomes of a job ---


def test_every_end_of_a_job_is_in_the_history(home):
    ends = {
        "well": ("print('3 cases decided'); print('  and more')", "done", 0, "3 cases decided"),
        "nothing": ("import sys; print('proveout: no documents', file=sys.stderr); sys.exit(66)", "nothing", 66, "no doc"),
        "fault": ("import sys; print('reading'); sys.exit('proveout: no release')", "failed", 1, "exit code 1: no release"),
        "crash": ("import os; os.kill(os.getpid(), 9)", "failed", -9, "signal 9"),
        "hangs": ("import time; time.sleep(600)", "failed", -15, "longer than 0.0167 minutes"),
    }
    lines: list[str] = []
    jobs = [
        job(code, name, NEVER_NOW, timeout=timedelta(seconds=1 if name == "hangs" else 60)) for name, (code, *_) in ends.items()
    ]
    assert not Scheduler(home, jobs, tell=lines.append).once(always=list(ends))
    for entry in rows(home):
        _, state, code, result = ends[entry.job]
        assert (entry.state, entry.code) == (state, code)
        assert result in entry.result
        assert sum(f" {entry.job} " in line and result in line for line in lines) == 1, lines
    assert sum("FAILED" in line for line in lines) == 3
    assert len(rows(home)) == 5
    assert "  and more" in (home / "schedule.log").read_text()


def test_what_was_missed_is_made_up_once(home):
    began, off = NOON, NOON + timedelta(hours=3)
    assert Scheduler(home, [job(TRACED)], now=lambda: began).once()
    assert rows(home) == []
    assert Scheduler(home, [job(TRACED)], now=lambda: off).once()
    assert Scheduler(home, [job(TRACED)], now=lambda: off).once()
    assert trace(home) == ["begins", "ends"]
    assert [(entry.missed, entry.state) for entry in rows(home)] == [(11, "done")]  # 15:00 itself is on time


def test_a_new_cron_expression_makes_nothing_up(home):
    Scheduler(home, [job(TRACED, cron=NEVER_NOW)], now=lambda: NOON).once()
    assert Scheduler(home, [job(TRACED, cron=QUARTER)], now=lambda: NOON + timedelta(hours=3)).once()
    assert trace(home) == []


def test_a_job_waits_while_another_process_is_at_work_and_says_so(home):
    busy = (
        "import sys; from pathlib import Path\n"
        "if not Path('somebody').exists(): sys.exit(print('decided'))\n"
        "Path('somebody').unlink(); print('proveout: process 7 is at work here', file=sys.stderr); sys.exit(75)"
    )
    (home / "somebody").touch()
    lines: list[str] = []
    assert Scheduler(home, [job(busy)], tell=lines.append, retry=0.1).once(["run"])
    assert ["run waits: process 7 is at work here" in lines[0], "done" in lines[1], len(lines)] == [True, True, 2]
    assert [entry.state for entry in rows(home)] == ["done"]


def test_a_killed_scheduler_is_resumed_once_and_never_beside_what_it_left(home, another):
    wait_for(lambda: trace(home) == ["begins"])
    assert alive(home)
    another.send_signal(signal.SIGKILL)
    another.wait()
    assert [entry.state for entry in rows(home)] == ["running"]
    space = Workspace(ROOT, "invoices", home)
    assert any(f"SCHEDULER DIED: process {another.pid}" in line for line in scheduling.status(space))
    threading.Timer(4, lambda: (home / "hold").unlink()).start()  # what it left goes on until then
    assert Scheduler(home, [job(TRACED)]).once()
    assert trace(home) == ["begins", "ends", "begins", "ends"]
    assert [(entry.state, entry.resumed) for entry in rows(home)] == [("done", 1)]
    assert Scheduler(home, [job(TRACED)]).once()
    assert trace(home) == ["begins", "ends", "begins", "ends"]


def test_a_second_scheduler_of_a_home_is_refused_while_the_first_is_at_work(home, another):
    wait_for(lambda: trace(home))
    with pytest.raises(Busy, match=f"process {another.pid}, since .* already schedules jobs here"):
        Scheduler(home, [job(TRACED)]).once()
    (home / "hold").unlink()
    assert another.wait(60) == 0
    assert Scheduler(home, [job(TRACED)]).once()


@pytest.mark.parametrize(("times", "state"), [(1, "done"), (2, "running")])
def test_one_stop_lets_the_job_end_and_a_second_leaves_it_to_the_next_start(home, times, state):
    (home / "hold").touch()
    scheduler = Scheduler(home, [job(TRACED)], now=Clock(NOON + timedelta(minutes=14, seconds=29)))
    serving = threading.Thread(target=scheduler.serve)
    serving.start()
    wait_for(lambda: trace(home))
    for _ in range(times):
        scheduler.stop()
    if times == 1:
        (home / "hold").unlink()
    serving.join(60)
    assert [entry.state for entry in rows(home)] == [state]
    (home / "hold").unlink(missing_ok=True)
    assert Scheduler(home, [job(TRACED)], now=Clock(NOON + timedelta(minutes=16))).once()
    assert [(entry.state, entry.resumed) for entry in rows(home)] == [("done", times - 1)]


def test_a_job_that_a_killed_scheduler_left_is_ended_after_its_own_timeout(home):
    with (home / ".schedule.job.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
        left = subprocess.Popen(sleeper, pass_fds=(lock.fileno(),), start_new_session=True)
        lock.write(f"{left.pid} {time.time() - 100}")
    ended = child.run(home, "run", [sys.executable, "-c", "print('mine')"], 50, lambda: False)
    assert ended and list(ended.stdout) == ["mine"]
    assert left.wait() == -signal.SIGTERM


def test_a_log_that_grew_too_large_is_rotated(home):
    (home / "schedule.log").write_bytes(b"x" * (child.LOG + 1))
    child.run(home, "run", [sys.executable, "-c", "print('mine')"], 60, lambda: False)
    assert (home / "schedule.log.1").stat().st_size == child.LOG + 1
    assert (home / "schedule.log").read_text().splitlines()[1:] == ["mine"]


class Clock:
    """A clock that starts at a given time."""

    def __init__(self, at: datetime) -> None:
        self.ahead = at - datetime.now(UTC)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def test_homes_share_a_postgresql_and_see_only_their_own(home, postgres, monkeypatch):
    for name in ("north", "south"):
        assert Scheduler(home / name, [job(f"print('{name}')")], postgres).once(["run"])
        assert [entry.result for entry in rows(home / name, postgres)] == [name]
    assert not (home / "north" / "schedule.db").exists()
    monkeypatch.delenv("PROVEOUT_DATABASE", raising=False)
    north = Workspace(ROOT, "invoices", home / "north")
    assert "the schedule's state is in postgresql://" in "".join(scheduling.status(north))
    monkeypatch.setenv("PROVEOUT_DATABASE", postgres)
    assert "run      done" in "".join(scheduling.status(north))


def test_a_database_that_is_not_there_is_named_without_its_password(home):
    with pytest.raises(BadInput) as caught:
        Scheduler(home, [job(TRACED)], "postgresql://ada:secret@127.0.0.1:9/none").once()
    assert "ada:***@127.0.0.1:9" in str(caught.value)
    assert "secret" not in str(caught.value)


# --- the command ---


def proveout(*words: object, home: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PROVEOUT_HOME": str(home)}
    return subprocess.run([*PROVEOUT, *map(str, words)], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_command_shows_the_next_runs_and_exits_cleanly_on_a_signal(tmp_path):
    command = [*PROVEOUT, "schedule", "--home", tmp_path, "--timezone", "Europe/Berlin", "--run", "0 0 1 1 *"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        lines = [process.stdout.readline() for _ in range(3)]
        status = list(scheduling.status(Workspace(ROOT, "invoices", tmp_path)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""  # no banner, no warning
    assert "run      next at" in lines[1] and "01-01 00:00 CET  (0 0 1 1 *)" in lines[1]
    assert "monitor  next at" in lines[2] and "06:00" in lines[2]
    assert status[0].startswith(f"schedule: process {process.pid}; run next at")
    assert any("schedule: not running since" in line for line in scheduling.status(Workspace(ROOT, "invoices", tmp_path)))


def test_a_failed_run_shows_everywhere_and_a_run_without_a_release_fails(tmp_path):
    (tmp_path / "inbox").mkdir()
    once = proveout("schedule", "--once", home=tmp_path)
    assert once.returncode == 1
    assert "FAILED" in once.stdout and "no release is promoted" in once.stdout
    assert "no release is promoted" in proveout("schedule", "--list", home=tmp_path).stdout
    assert any("LAST run" in line and "FAILED" in line for line in scheduling.status(Workspace(ROOT, "invoices", tmp_path)))


def test_a_scheduler_that_died_is_loud_in_the_status_with_what_was_missed(home):
    then = datetime.now(UTC) - timedelta(hours=1)
    Scheduler(home, [job(TRACED)], now=lambda: then).once()
    Note.read(home).at_work(1, then, once=False).write(home)  # type: ignore[union-attr]
    status = list(scheduling.status(Workspace(ROOT, "invoices", home)))
    assert status[0].startswith("SCHEDULER DIED: process 1")
    assert any("RUN MISSED" in line for line in status), status


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run", "* *"], '--run "* *": not a cron expression'),
        (["--timezone", "Mars"], "--timezone Mars: no such time zone"),
        (["--run", "never", "--monitor", "never"], "there is nothing to schedule"),
        (["--database", "mysql://x/y"], "expected a file, sqlite:///<file> or postgresql://"),
    ],
)
def test_a_bad_option_is_one_message(tmp_path, words, message):
    run = proveout("schedule", "--once", *words, home=tmp_path)
    assert run.returncode == 1
    assert message in run.stderr and "Traceback" not in run.stderr


# --- what docs/schedule.md says ---

DOC = (ROOT / "docs" / "schedule.md").read_text()


@pytest.mark.parametrize("command", re.findall(r"proveout (schedule .*?)(?: >>.*)?$", DOC, re.MULTILINE))
def test_every_command_of_the_documentation_is_one(tmp_path, command):
    words = shlex.split(re.sub(r"--database \S+", "", command))
    listed = proveout(*words, "--list", home=tmp_path)  # its options are read, and nothing runs
    assert listed.returncode == 0, listed.stderr
    assert "nothing was scheduled" in listed.stdout


def test_systemd_takes_the_units_of_the_documentation(tmp_path):
    if not (verify := shutil.which("systemd-analyze")):
        pytest.skip("no systemd here (`systemd-analyze` is missing); enable with: apt-get install systemd")
    names = re.findall(r"`/etc/systemd/system/(\S+)`", DOC)
    units = re.findall(r"```ini\n(.*?)```", DOC, re.DOTALL)
    assert len(names) == len(units) == 3
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "proveout").symlink_to(sys.executable)
    for name, unit in zip(names, units, strict=True):
        (tmp_path / name).write_text(unit.replace("/srv/proveout", str(tmp_path)))
    run = subprocess.run([verify, "verify", "--man=no", *(tmp_path / name for name in names)], capture_output=True, text=True)
    ours = [line for line in run.stderr.splitlines() if "proveout" in line]
    assert (ours, run.returncode) == ([], 0), run.stderr
