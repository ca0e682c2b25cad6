"""A mission that was just begun builds green, decides, and is watched; what cannot be begun is refused whole."""

import csv
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from program import PROVEOUT, proveout
from proveout.calibration import Calibrations
from proveout.cli.new import EXAMPLES, new, write_examples
from proveout.errors import BadInput
from proveout.mission import load
from proveout.prompts import Prompts

ROOT = Path(__file__).parent.parent
FLAGS = ("complaint", "urgent", "ends_contract")


@pytest.fixture(scope="module")
def project(bills) -> Path:
    return bills


@pytest.fixture(scope="module")
def created(project) -> str:
    return (project / "new.txt").read_text()


@pytest.fixture(scope="module")
def built(project) -> str:
    return (project / "build.txt").read_text()


def test_the_three_next_commands_run_as_they_are_printed(project, created, built):
    commands = [line.split()[1:] for line in created.splitlines() if line.startswith("  proveout ")]
    assert [words[0] for words in commands] == ["build", "release", "show"]
    for words in commands[1:]:
        printed = proveout(project, *words)
    assert "bill → ACT" in printed
    assert "✓ file_document allowed" in printed


def test_a_new_mission_builds_green_and_a_second_time_nothing(project, built):
    assert "9 of 9 steps ran" in built
    assert "0 of 9 steps ran" in proveout(project, "build", "--mission", "bills")


def test_its_examples_certify_what_it_promises(project, built):
    fitted = Calibrations.load(project / "work" / "bills" / "build" / "calibrate" / "calibration.json")
    assert all(fitted.certified(name) for name in ("reference", "sender", "total", "due"))


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


@pytest.mark.slow
def test_labels_that_say_nothing_but_the_fields_are_enough(project, created, tmp_path):
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


@pytest.fixture(scope="module")
def flags(project) -> str:
    """A mission of flags, begun and built."""
    proveout(project, "new", "letters", "--flags")
    return proveout(project, "build", "--mission", "letters")


@pytest.mark.long
def test_a_mission_of_flags_builds_green_and_a_second_time_nothing(project, flags):
    assert "9 of 9 steps ran" in flags
    assert "0 of 9 steps ran" in proveout(project, "build", "--mission", "letters")


@pytest.mark.long
def test_every_flag_keeps_what_it_promises_and_promises_more_than_the_commoner_answer(project, flags):
    fitted = Calibrations.load(project / "work" / "letters" / "build" / "calibrate" / "calibration.json").by_tier["ranker"]
    assert fitted.precision > 0.75, "three letters in four are no"
    assert {name: fitted.threshold(name) is not None for name in fitted.certificates} == dict.fromkeys(FLAGS, True)


@pytest.mark.long
def test_letters_are_filed_shown_to_a_person_or_left_to_one_who_answers(project, flags):
    """Certain and harmless; unsure; certain, and yet the policy wants a person."""
    printed = proveout(project, "release", "promote", "--mission", "letters")
    inbox, examples = project / "work" / "letters" / "inbox", project / "pipelines" / "letters" / "examples"
    inbox.mkdir(parents=True)
    for path in sorted(examples.glob("*.txt"))[-60:]:
        shutil.copy(path, inbox)
    printed = proveout(project, "run", "--mission", "letters")
    routes = {word: int(number) for number, word in re.findall(r"(\d+) (act|review|done)", printed)}
    assert routes["act"] + routes["review"] == 60
    assert routes["act"] > routes["done"] >= 10 and routes["review"] >= 5, printed


@pytest.mark.long
def test_a_flag_is_shown_with_the_words_that_speak_for_it(project, flags, tmp_path):
    letter = tmp_path / "letter.txt"
    letter.write_text(
        "Customer No 12345\n\nDear Sir or Madam,\n\nI am not satisfied and wish to complain. Please answer at\nonce.\n"
    )
    proveout(project, "release", "promote", "--mission", "letters")
    printed = proveout(project, "show", letter, "--mission", "letters")
    for name, answer, word in (
        ("complaint", "yes", "not satisfied"),
        ("urgent", "yes", "at once"),
        ("ends_contract", "no", ""),
    ):
        line, because = re.search(rf"  ({name} .*)\n      for (.*)", printed).groups()
        assert f"'{answer}'" in line and "page 1 at" in line and word in because, printed


@pytest.mark.slow
def test_labels_of_one_side_alone_build_too(project, flags, tmp_path):
    """A first labels.csv that only knows what is so: two columns, and a yes here and there."""
    examples = project / "pipelines" / "letters" / "examples"
    shutil.copytree(examples, tmp_path / "own")
    rows = [{**row, "urgent": row["urgent"].replace("no", "")} for row in csv.DictReader((examples / "labels.csv").open())]
    with (tmp_path / "own" / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["file_id", "complaint", "urgent"], extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    home = ("--mission", "letters", "--home", tmp_path / "home")
    assert "4 of 4 steps ran" in proveout(project, "build", "--only", "calibrate", "--data", tmp_path / "own", *home)


def test_examples_for_a_language_model_are_optional(project, built):
    examples = project / "pipelines" / "bills" / "prompts" / "examples.yaml"
    text = examples.read_text()
    examples.unlink()
    try:
        assert "1 of 3 steps ran" in proveout(project, "build", "--mission", "bills", "--only", "prompts")
    finally:
        examples.write_text(text)


def test_the_mission_that_ships_is_left_alone(project, created):
    for path in (ROOT / "pipelines" / "invoices").glob("*.*"):
        assert (project / "pipelines" / "invoices" / path.name).read_bytes() == path.read_bytes()


def test_what_is_written_names_the_new_mission_and_no_other(project, created):
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


def test_a_mission_that_exists_is_never_written_over(project, created):
    mine = project / "pipelines" / "bills" / "mission.yaml"
    before = mine.read_bytes()
    with pytest.raises(BadInput, match=r"bills already exists and contains .*; nothing was written; choose another name"):
        new(project, "bills")
    assert mine.read_bytes() == before


def test_without_the_notebooks_that_ship_nothing_is_written(tmp_path):
    (tmp_path / "pipelines").mkdir()
    with pytest.raises(BadInput, match="a mission uses the notebooks of Proveout"):
        new(tmp_path, "bills")
    assert not list((tmp_path / "pipelines").iterdir())


@pytest.mark.parametrize("template", EXAMPLES)
def test_the_examples_are_the_same_every_time(tmp_path, template):
    for name in ("one", "two"):
        write_examples(tmp_path / name, EXAMPLES[template], documents=20)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 21
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


def test_what_the_examples_ask_for_is_printed_in_them(tmp_path):
    write_examples(tmp_path / "one", EXAMPLES["questions"], documents=20)
    for row in csv.DictReader((tmp_path / "one" / "labels.csv").open()):
        text = (tmp_path / "one" / f"{row['file_id']}.txt").read_text()
        assert all(row[name] in text for name in ("reference", "sender", "total", "due")), row
