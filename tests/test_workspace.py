"""A home belongs to one mission, and every command finds out whose it is before it touches anything."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from program import PROVEOUT, project
from proveout.cli.new import new
from proveout.errors import BadInput
from proveout.workspace import NOTE, Workspace, owner


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A project with two missions."""
    folder = project(tmp_path_factory.mktemp("two") / "project")
    new(folder, "bills")
    return folder


def frozen(home: Path, mission: str, day: str) -> None:
    manifest = home / "releases" / f"{mission}-{day}" / "release.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"content": {"mission": mission}, "frozen": day}))


def command(root: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PROVEOUT_")}
    line, typed = [*PROVEOUT, *map(str, words)], "correct horse battery"
    return subprocess.run(line, cwd=root, env=outside | environment, capture_output=True, text=True, input=typed)


def test_a_home_is_whose_it_was_first(root, tmp_path) -> None:
    space = Workspace.find("bills", tmp_path / "home", root)
    space.claim()
    space.claim()
    assert owner(space.home) == "bills" and {path.name for path in space.home.iterdir()} == {NOTE, "keys.db"}
    assert Workspace.find("bills", space.home, root) == space
    with pytest.raises(BadInput) as refused:
        Workspace.find("invoices", space.home, root)
    assert f"{space.home} is the workspace of mission `bills`, not of `invoices`" in str(refused.value)
    assert f"--home {root / 'work' / 'invoices'}" in str(refused.value) and "PROVEOUT_HOME" not in str(refused.value)


def test_a_home_without_a_note_is_known_by_its_oldest_release(root, tmp_path) -> None:
    frozen(tmp_path, "bills", "2026-02-01")
    frozen(tmp_path, "invoices", "2026-01-01")
    (tmp_path / NOTE).write_text("{torn")
    with pytest.raises(BadInput, match="is the workspace of mission `invoices`, not of `bills`"):
        Workspace.find("bills", tmp_path, root)
    assert Workspace.find("invoices", tmp_path, root).home == tmp_path


def test_a_home_of_which_nothing_is_known_is_anybodys(root, tmp_path) -> None:
    (tmp_path / "journal.db").touch()
    assert owner(tmp_path) == ""
    assert {Workspace.find(name, tmp_path, root).home for name in ("bills", "invoices")} == {tmp_path}


@pytest.mark.parametrize(
    "words",
    [("stop",), ("user", "add", "ada", "--role", "operator", "--password-stdin"), ("schedule", "--once"), ("build",)],
    ids=lambda words: words[0],
)
def test_the_first_command_that_writes_makes_it_the_missions_own(root, tmp_path, words) -> None:
    home = tmp_path / "home"
    only = ("--only", "curate", "--no-record") if words == ("build",) else ()
    command(root, *words, *only, "--mission", "bills", "--home", home)
    assert owner(home) == "bills"
    said = command(root, *words, PROVEOUT_HOME=str(home))
    assert said.returncode == 1
    assert "workspace of mission `bills`, not of `invoices`; unset PROVEOUT_HOME, or choose another home" in said.stderr


def test_a_command_that_only_looks_claims_nothing(root, tmp_path) -> None:
    home = tmp_path / "home"
    assert command(root, "status", "--mission", "bills", "--home", home).returncode == 0
    assert owner(home) == ""


def test_what_new_prints_acts_on_the_new_missions_workspace_whatever_is_exported(tmp_path) -> None:
    root, other = project(tmp_path / "project"), tmp_path / "other"
    exported = {"PROVEOUT_HOME": str(other), "PROVEOUT_MISSION": "invoices"}
    Workspace.find("invoices", other, root).claim()
    said = command(root, "new", "bills", **exported).stdout
    lines = [line.split() for line in said.splitlines() if line.startswith("  proveout ")]
    assert len(lines) == 3
    for words in lines:
        options = words[words.index("--mission") :]
        assert command(root, "status", *options, **exported).stdout.startswith("mission bills in work/bills\n")


def test_another_missions_workspace_is_not_recommended(root) -> None:
    frozen(root / "work" / "elsewhere", "invoices", "2026-01-01")
    assert "work/elsewhere" in command(root, "status").stdout
    assert "work/elsewhere" not in command(root, "status", "--mission", "bills").stdout
