"""The command line: quick to answer, one message for every fault, and nothing half written."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from program import PROVEOUT

ROOT = Path(__file__).parent.parent
COMMANDS = [
    "demo", "synthesize", "new", "audit", "build", "fine-tune", "why", "edit", "open", "lab", "plan", "parity", "inspect",
    "run", "extract", "show", "explain", "lineage", "replay", "what-if", "monitor", "report", "export", "checkpoint", "verify",
    "cost", "status", "schedule", "label", "score", "stop", "restrict", "undo", "erase", "keys", "effects", "serve", "review",
    "user", "release",
]  # fmt: skip
HEAVY = {
    "torch", "pandas", "numpy", "langchain_core", "chromadb", "marimo", "ploomber", "lightgbm", "sqlalchemy", "fastapi",
    "argon2", "rich",
}  # fmt: skip


def proveout(*words: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*PROVEOUT, *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True)


def test_it_says_which_version_it_is():
    assert proveout("--version").stdout == f"proveout {version('proveout')}\n"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['proveout', '--help']\nfrom proveout.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    )
    run = subprocess.run([sys.executable, "-c", code + "print(*sys.modules)"], capture_output=True, text=True, check=True)
    assert "demo" in run.stdout
    assert HEAVY & set(run.stdout.splitlines()[-1].split()) == set()


@pytest.mark.parametrize("group", ["", "release", "user"])
def test_a_list_of_commands_cuts_no_summary_at_80_columns(group):
    listed = proveout(*filter(None, [group]), "--help", COLUMNS="80", TERMINAL_WIDTH="80").stdout.split("Commands:\n")[1]
    assert "..." not in listed
    assert all(len(line) <= 80 and line.endswith(".") for line in listed.splitlines()), listed
    assert group or {line.split()[0] for line in listed.splitlines()} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_itself(command):
    help_text = proveout(command, "--help")
    assert help_text.returncode == 0
    assert len(help_text.stdout.splitlines()) > 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status", "-m", "invoice"], "did you mean `invoices`?"),
        (["build", "--data", "/nowhere/at/all"], "no such folder; expected documents and a labels.csv"),
        (["run"], "no release is promoted"),
        (["release", "promote", "abc"], "make one: proveout build"),
        (["release", "rollback"], "nothing to roll back to"),
        (["serve"], "there is no account; to add one: proveout user add"),
        (["serve", "--root-path", "x/"], "expected a path that begins with /"),
        (["new", "invoices"], "already exists and contains"),
        (["new", "My Bills"], "expected lowercase letters, digits and _, such as 'my_bills'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_fault_is_one_message_and_exit_code_1(tmp_path, words, message):
    run = proveout(*words, PROVEOUT_HOME=str(tmp_path / "home"))
    assert run.returncode == 1
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_who_calls_by_the_clock_can_tell_nothing_to_do_from_a_fault(tmp_path):
    run = proveout("monitor", PROVEOUT_HOME=str(tmp_path / "home"))
    assert run.returncode == 66
    assert "no log yet; decide some cases first: proveout run" in run.stderr


def test_a_folder_without_labels_is_refused_and_nothing_is_built(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("Invoice 17")
    run = proveout("build", "--data", tmp_path / "data", "--home", tmp_path / "home")
    assert run.returncode == 1
    assert "labels.csv" in run.stderr
    assert not list((tmp_path / "home").rglob("dataset.json"))


def test_the_scorer_says_what_it_expected(tmp_path):
    (tmp_path / "labels.csv").write_text("file_id,gross_amount\na,5.00\n")
    (tmp_path / "predictions.json").write_text("not json")
    assert (
        "expected what `proveout extract` writes"
        in proveout("score", tmp_path / "predictions.json", tmp_path / "labels.csv").stderr
    )
    (tmp_path / "predictions.json").write_text(json.dumps({"a": {"gross_amount": "$5.00"}}))
    scored = proveout("score", tmp_path / "predictions.json", tmp_path / "labels.csv")
    assert "micro" in scored.stdout, scored.stderr
    assert scored.stdout.split("micro")[1].split()[:3] == ["1.000", "1.000", "1.000"]
