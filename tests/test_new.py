"""A mission that was just begun builds green, decides, and is watched; what cannot be begun is refused whole."""

import csv
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from program import PROVEOUT
from proveout.cli.new import EXAMPLES, new, write_examples
from proveout.errors import BadInput
from proveout.mission import load
from proveout.prompts import Prompts

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """What a copy of Proveout holds, without what its commands made."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("notebooks", "pipelines", "monitoring"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "__marimo__"))
    return root


def proveout(project: Path, *words: object) -> str:
    command = [*PROVEOUT, *map(str, words)]
    environment = {name: value for name, value in os.environ.items() if name != "PROVEOUT_HOME"}
    run = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def told(project) -> str:
    return proveout(project, "new", "bills")


@pytest.fixture(scope="module")
def built(project, told) -> str:
    return proveout(project, "build", "--mission", "bills")


def test_the_three_next_commands_run_as_they_are_printed(project, told, built):
    commands = [line.split()[1:] for line in told.splitlines() if line.startswith("  proveout ")]
    assert [words[0] for words in commands] == ["build", "release", "show"]
    for words in commands[1:]:
        said = proveout(project, *words)
    assert "bill → ACT" in said
    assert "✓ file_document allowed" in said


def test_a_new_mission_builds_green_and_a_second_time_nothing(project, built):
    assert "8 of 8 steps ran" in built
    assert "0 of 8 steps ran" in proveout(project, "build", "--mission", "bills")


def test_its_examples_certify_what_it_promises(project, built):
    from proveout.calibration import Calibration

    fitted = Calibration.load(project / "work" / "bills" / "build" / "calibrate" / "calibration.json")
    assert all(fitted.threshold(name) is not None for name in ("reference", "sender", "total", "due"))


@pytest.mark.slow
def test_its_schedule_decides_each_document_once_although_it_is_killed_in_the_middle(project, built):
    from proveout.journal import Journal

    mission, home = ("--mission", "bills"), project / "work" / "bills"
    proveout(project, "release", "promote", *mission)
    (home / "inbox").mkdir()
    assert "nothing to do" in proveout(project, "schedule", "--once", *mission)
    for path in sorted((project / "pipelines" / "bills" / "examples").glob("*.txt"))[:70]:  # more than a batch
        shutil.copy(path, home / "inbox")
    killed = subprocess.Popen([*PROVEOUT, "schedule", "--once", *mission], cwd=project, stdout=subprocess.DEVNULL)
    while not (home / "journal.db").exists() or not positions(home):
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    os.killpg(int((home / ".schedule.job.lock").read_text().split()[0]), signal.SIGKILL)
    assert "resumed after its scheduler ended" in proveout(project, "schedule", "--once", *mission)
    with Journal(home / "journal.db") as journal:
        decided = [one.case.id for one in journal.decisions()]
        assert journal.verify().whole
    assert len(decided) == len(set(decided)) == 70
    assert "done" in proveout(project, "schedule", "--list", *mission)


def positions(home: Path) -> int:
    from proveout.journal import Journal

    with Journal(home / "journal.db") as journal:
        return journal.position


def test_labels_that_say_nothing_but_the_fields_are_enough(project, told, tmp_path):
    """No layout, no day, no class, no segment: as a person's first labels.csv is."""
    examples = project / "pipelines" / "bills" / "examples"
    shutil.copytree(examples, tmp_path / "own")
    fields = ["file_id", "reference", "sender", "total", "due"]
    with (tmp_path / "own" / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, fields, extrasaction="ignore")
        table.writeheader()
        table.writerows(csv.DictReader((examples / "labels.csv").open()))
    home = ("--mission", "bills", "--home", tmp_path / "home")
    assert "3 of 3 steps ran" in proveout(project, "build", "--only", "models", "--data", tmp_path / "own", *home)


def test_the_mission_that_ships_is_left_alone(project, told):
    for path in (ROOT / "pipelines" / "invoices").glob("*.*"):
        assert (project / "pipelines" / "invoices" / path.name).read_bytes() == path.read_bytes()


def test_what_is_written_names_the_new_mission_and_no_other(project, told):
    folder = project / "pipelines" / "bills"
    mission = load(folder / "mission.yaml")
    assert mission.mission == "bills"
    Prompts.load(folder / "prompts", mission)
    for path in (path for path in folder.rglob("*") if path.suffix in (".yaml", ".md", ".cedar")):
        text = path.read_text()
        assert "NEW" not in text.split() and "work/invoices" not in text and "advertis" not in text, path
    assert yaml.safe_load((folder / "env.build.yaml").read_text())["out"] == "../../work/bills/build"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("Bills", "bills"), ("2bills", "m_2bills"), ("my bills", "my_bills"), ("../bills", "bills"), ("", "my_mission")],
)
def test_a_name_that_cannot_be_one_is_answered_with_one_that_can(tmp_path, name, nearest):
    (tmp_path / "pipelines").mkdir()
    with pytest.raises(BadInput, match=f"expected lowercase letters, digits and _, such as '{nearest}'"):
        new(tmp_path, name)
    assert not list((tmp_path / "pipelines").iterdir())


def test_a_mission_that_exists_is_never_written_over(project, told):
    mine = project / "pipelines" / "bills" / "mission.yaml"
    before = mine.read_bytes()
    with pytest.raises(BadInput, match=r"bills exists already and holds .*; nothing was written: choose another name"):
        new(project, "bills")
    assert mine.read_bytes() == before


def test_without_the_notebooks_that_ship_nothing_is_written(tmp_path):
    (tmp_path / "pipelines").mkdir()
    with pytest.raises(BadInput, match="a mission's steps are notebooks that ship"):
        new(tmp_path, "bills")
    assert not list((tmp_path / "pipelines").iterdir())


def test_the_same_seed_gives_the_same_examples(tmp_path):
    for name in ("one", "two"):
        write_examples(tmp_path / name, EXAMPLES["questions"], documents=20)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
    rows = list(csv.DictReader((tmp_path / "one" / "labels.csv").open()))
    for row in rows:
        text = (tmp_path / "one" / f"{row['file_id']}.txt").read_text()
        assert all(row[name] in text for name in ("reference", "sender", "total", "due")), row
