"""Ploomber's own commands on the same spec, and the task class from Python."""

import subprocess
import sys
from pathlib import Path

import pytest
from toy import CONTEXT, Project, notebook

from proveout.errors import BadSpec

ENTRY = "proveout.bridge.dag.dag"


@pytest.fixture
def dag(project: Project, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    from proveout.bridge.dag import dag

    monkeypatch.setenv("PROVEOUT_SPEC", str(project.spec))
    monkeypatch.chdir(project.folder)
    return dag


def _outdated(dag) -> dict[str, object]:  # type: ignore[no-untyped-def]
    return {row["name"]: row["Outdated?"] for row in (task.status() for task in dag.values())}


def test_ploomber_agrees_with_the_bridge_on_what_is_stale(project: Project, dag) -> None:  # type: ignore[no-untyped-def]
    assert _outdated(dag().render(show_progress=False)) == {"rows": "Source code", "total": "Source code & Upstream"}
    dag().build(show_progress=False)
    assert project.text("total/total.txt") == "48"
    assert _outdated(dag().render(show_progress=False)) == {"rows": False, "total": False}
    assert project.build().ran == []
    project.edit("notebooks/rows.py", "only_shown.bars(rows)", "only_shown.bars(rows[:1])")
    assert _outdated(dag().render(show_progress=False)) == {"rows": False, "total": False}
    project.edit("notebooks/deeper.py", "one * other", "one * other * 1")
    assert _outdated(dag().render(show_progress=False)) == {"rows": "Source code", "total": "Upstream"}


def test_a_build_by_ploomber_leaves_the_notebook_as_it_is_and_no_metadata(project: Project, dag) -> None:  # type: ignore[no-untyped-def]
    before = (project.folder / "notebooks/rows.py").read_bytes()
    dag().build(show_progress=False)
    assert (project.folder / "notebooks/rows.py").read_bytes() == before
    assert not list(project.folder.rglob("*.metadata"))


def test_ploomber_runs_one_task_and_forces_it(project: Project, dag) -> None:  # type: ignore[no-untyped-def]
    dag().build(show_progress=False)
    before = project.product("total").stat().st_ino
    dag().render(show_progress=False)["total"].build(force=True)
    assert project.product("total").stat().st_ino != before


def test_ploomber_plots_the_pipeline(project: Project, dag) -> None:  # type: ignore[no-untyped-def]
    dag().plot(output=str(project.folder / "plot.html"), backend="d3")
    assert "rows" in (project.folder / "plot.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("command", [["status"], ["build"], ["plot", "--backend", "d3"], ["task", "rows"]])
def test_ploombers_commands_run_with_the_entry_point(
    project: Project, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(project.folder)
    arguments = [sys.executable, "-m", "ploomber.cli.cli", *command, "--entry-point", ENTRY]
    program = Path(sys.executable).with_name("ploomber")
    run = subprocess.run([str(program), *arguments[3:]], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    if command[0] in ("build", "task"):
        assert project.product("rows.txt").exists()


def test_a_pipeline_can_be_written_in_python(empty: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from ploomber import DAG

    from proveout.bridge.dag import MarimoNotebook
    from proveout.bridge.ploomber import StepExecutor

    monkeypatch.chdir(empty.folder)
    empty.write("data.txt", "5")
    empty.write(
        "one.py",
        notebook(CONTEXT, 'context.product["n"].write_text(context.params["data"].read_text() * context.params["times"])'),
    )
    empty.write("two.py", notebook(CONTEXT, 'context.product["m"].write_text(context.upstream["one"]["n"].read_text() + "!")'))

    def pipeline(times: int) -> DAG:
        dag = DAG(executor=StepExecutor())
        params = {"data": "data.txt", "times": times}
        first = MarimoNotebook(Path("one.py"), {"n": "out/n.txt"}, dag, params=params, data=["data.txt"])
        second = MarimoNotebook(Path("two.py"), {"m": "out/m.txt"}, dag)
        first >> second
        return dag

    pipeline(2).build(show_progress=False)
    assert empty.text("m.txt") == "55!"
    assert _outdated(pipeline(2).render(show_progress=False)) == {"one": False, "two": False}
    pipeline(3).build(show_progress=False)
    assert empty.text("m.txt") == "555!"


def test_without_a_spec_the_error_says_how_to_set_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from proveout.bridge.dag import dag

    monkeypatch.delenv("PROVEOUT_SPEC", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadSpec, match="found none; set PROVEOUT_SPEC to the spec to use"):
        dag()


def test_lazily_imported_modules_are_complete_afterwards() -> None:
    output = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "False", "True", "True"]


LAZY = """
import sys
from proveout.imports import GRAMMAR, PLOTS, lazy_imports
with lazy_imports():
    import ploomber
print(PLOTS in sys.modules, GRAMMAR in sys.modules)
import matplotlib.pyplot, rfc3987_syntax
print("figure" in vars(matplotlib.pyplot), rfc3987_syntax.is_valid_syntax("iri", "https://a.b/ü"))
"""
