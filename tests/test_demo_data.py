"""The main job on a folder of documents that says as little as it may: no days, no splits, a field without labels."""

import csv
import os
import re
import subprocess
from pathlib import Path

import pytest

from program import PROVEOUT, proveout
from proveout.corpus import synthetic
from proveout.journal import Journal

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> tuple[Path, str]:
    """A demo on a folder whose labels.csv has no days, no splits and not one contract number; its workspace, what it said."""
    folder = tmp_path_factory.mktemp("bare")
    synthetic.generate(folder / "data", documents=40, seed=3)
    with (folder / "data" / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (folder / "data" / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [name for name in rows[0] if name not in ("day", "split")], extrasaction="ignore")
        table.writeheader()
        table.writerows({**row, "contract_num": ""} for row in rows)
    return folder / "home", proveout(ROOT, "demo", "--data", folder / "data", PROVEOUT_HOME=folder / "home")


@pytest.mark.long
def test_a_folder_without_days_goes_through_the_whole_demo(bare):
    home, printed = bare
    assert "no case has a date: deciding in the order of case ids; the last 10% get no labels" in printed
    assert "No case has a day: time is counted in cases" in printed
    assert not re.search(r"\b(0001|9999|1970)-\d\d-\d\d", printed + (home / "reports" / "report.json").read_text())
    with Journal(home / "journal.db") as journal:
        decided = list(journal.decisions())
        assert len(journal.answers()) == round(0.9 * len(decided)) < len(decided)
    assert [one.case.day for one in decided] == [None] * len(decided)
    assert [one.case.id for one in decided] == sorted(one.case.id for one in decided)
    assert "at random: labels.csv has no days" in (home / "build" / "curate" / "dataset" / "card.md").read_text()


@pytest.mark.long
def test_a_field_that_nobody_labelled_is_named_at_the_end_of_a_build(bare):
    home, printed = bare
    build = printed[printed.index("2/6") : printed.index("3/6")].strip().splitlines()
    assert build[-1] == (
        "contract_num: no labelled value outside of the tests, so it is never extracted or automated; label some"
    )
    with Journal(home / "journal.db") as journal:
        assert not any("contract_num" in one.decision.fields for one in journal.decisions())
    assert "precision of contract_num" in proveout(ROOT, "status", PROVEOUT_HOME=home)


@pytest.mark.long
def test_labels_until_a_day_leave_out_what_has_no_day(bare):
    home, _ = bare
    data = (home / "data").read_text().strip()
    printed = proveout(ROOT, "label", data, "--until", "2030-01-01", PROVEOUT_HOME=home)
    assert re.search(r"\d+ labelled cases without a date left out; --until 2030-01-01 needs the date of each case", printed)
    assert "0 new labels for 0 decided cases" in printed


def test_headers_that_nearly_fit_stop_a_build_before_anything_is_built(tmp_path):
    synthetic.generate(tmp_path / "data", documents=8, seed=3)
    labels = tmp_path / "data" / "labels.csv"
    labels.write_text(labels.read_text().replace("contract_num", "Contract Number", 1))
    run = subprocess.run(
        [*PROVEOUT, "demo", "--data", tmp_path / "data"],
        cwd=ROOT,
        env=os.environ | {"PROVEOUT_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1 and "rename Contract Number -> contract_num" in run.stderr
    assert not (tmp_path / "home" / "build").exists()
