"""Each row of the table in docs/staleness.md: the edit, whether the step runs again, and the reason that `why` gives."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from toy import Project

from proveout.bridge import freshness

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "staleness.md"
ROWS = re.findall(r"^\| ([^|]+?) \| (yes|no) \|", TABLE.read_text(encoding="utf-8"), re.M)
NOTEBOOK = "notebooks/rows.py"
SPEC = "pipelines/toy/pipeline.build.yaml"

Edit = Callable[[Project], object]
EDITS: dict[str, tuple[Edit, str]] = {  # the edit, and the answer of `why rows`
    "a chart's cell": (lambda p: p.edit(NOTEBOOK, "only_shown.bars(rows)", "only_shown.bars(rows[:2])"), ""),
    "a text cell": (lambda p: p.edit(NOTEBOOK, "# Rows of **text**", "# Other text\\n\\nand more"), ""),
    "the default of a widget that is only displayed": (
        lambda p: p.edit(NOTEBOOK, 'value=2, label="zoom"', 'value=3, label="zoom"'),
        "",
    ),
    "the default of a widget whose value a parameter replaces": (
        lambda p: p.edit(NOTEBOOK, 'value=2, label="factor"', 'value=4, label="factor"'),
        "",
    ),
    "the default of a widget whose value reaches a product": (
        lambda p: p.edit(NOTEBOOK, "value=5", "value=2"),
        "cell `limit_widget` changed",
    ),
    "a cell on the path to a product": (lambda p: p.edit(NOTEBOOK, "][:limit]", "][1:limit]"), "cell `work` changed"),
    "a comment or the format of such a cell": (
        lambda p: p.edit(NOTEBOOK, "# a comment\n    rows = [helper", "# another\n\n    rows = [  helper"),
        "",
    ),
    "the name or the position of such a cell": (lambda p: p.edit(NOTEBOOK, "def work():", "def toil():"), ""),
    "a module that such a cell imports": (
        lambda p: p.edit("notebooks/helper.py", "(number, factor)\n", "(number, factor) + 1\n"),
        "`helper.scaled` changed",
    ),
    "a module that this module imports": (
        lambda p: p.edit("notebooks/deeper.py", "one * other", "one * other * 2"),
        "`deeper.times` changed",
    ),
    "a comment in such a module": (lambda p: p.edit("notebooks/helper.py", "import deeper", "import deeper  # so"), ""),
    "a module that only a chart imports": (lambda p: p.edit("notebooks/only_shown.py", "'#'", "'*'"), ""),
    "a module that nothing imports": (lambda p: p.edit("notebooks/unused.py", "1", "2"), ""),
    "a parameter that a used cell reads": (lambda p: p.edit(SPEC, "add: 10", "add: 11"), "`add`: 10 → 11"),
    "a parameter that replaces a widget's value": (lambda p: p.edit(SPEC, "factor: 3", "factor: 4"), "`factor`: 3 → 4"),
    "a prompt file or another declared file": (lambda p: p.write("pipelines/toy/words.md", "bye\n"), "words.md changed"),
    "the input data": (lambda p: p.write("data.txt", "1 2 4\n"), "`data` changed"),
    "the time stamp of the input data": (lambda p: os.utime(p.folder / "data.txt", (1, 1)), ""),
    "the version of a package that such a cell imports": (
        lambda p: (p.folder / "site-packages" / "toy_pack-1.0.dist-info").rename(
            p.folder / "site-packages" / "toy_pack-1.1.dist-info"
        ),
        "toy-pack 1.0 → 1.1",
    ),
    "the product itself, by hand": (
        lambda p: p.product("rows.txt").write_text("mine"),
        "product `rows` was changed after the build",
    ),
    "the product, removed": (lambda p: p.product("rows.txt").unlink(), "product `rows` is missing"),
}
UPSTREAM: dict[str, Edit] = {  # for the step `total`
    "an upstream step whose product comes out different": lambda p: p.edit(SPEC, "add: 10", "add: 11"),
    "an upstream step whose product comes out the same": lambda p: p.edit(NOTEBOOK, "][:limit]", "][0:limit]"),
}


@pytest.fixture
def installed(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project, with a package of version 1.0 that its notebook imports."""
    project.write("site-packages/toy_pack.py", "ONE = 1\n")
    project.write("site-packages/toy_pack-1.0.dist-info/top_level.txt", "toy_pack\n")
    project.write("site-packages/toy_pack-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-pack\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(project.folder / "site-packages")
    project.edit(NOTEBOOK, "    import helper\n", "    import helper\n    import toy_pack\n")
    return project


def test_every_row_of_the_table_is_a_test() -> None:
    assert [row for row, _ in ROWS] == [row for row, _ in ROWS if row in EDITS or row in UPSTREAM]
    assert {row for row, _ in ROWS} == {*EDITS, *UPSTREAM}


@pytest.mark.parametrize(("row", "expected"), [(row, runs) for row, runs in ROWS if row in EDITS])
def test_an_edit_runs_what_the_table_says(installed: Project, row: str, expected: str) -> None:
    installed.build(record=False)
    edit, reason = EDITS[row]
    edit(installed)
    assert (installed.why("rows") or "") == reason
    assert ("rows" in installed.build(record=False).ran) == (expected == "yes") == bool(reason)
    assert installed.build(record=False).ran == []


@pytest.mark.parametrize(("row", "expected"), [(row, runs) for row, runs in ROWS if row in UPSTREAM])
def test_a_step_runs_only_if_upstream_content_changed(project: Project, row: str, expected: str) -> None:
    project.build(record=False)
    UPSTREAM[row](project)
    assert project.why("total") == "waits for `rows`, which is stale"
    assert project.build(record=False).ran == (["rows", "total"] if expected == "yes" else ["rows"])
    assert freshness(project.spec) == {"rows": None, "total": None}


def test_why_names_the_changed_file_of_a_declared_folder(project: Project) -> None:
    project.write("pipelines/toy/prompts/find.md", "find\n")
    project.write("pipelines/toy/prompts/check.md", "check\n")
    project.edit(SPEC, "files: [words.md]", "files: [words.md, prompts]")
    project.build(record=False)
    project.write("pipelines/toy/prompts/.find.md.123-456.part", "lo")  # what a killed write leaves is no content
    assert project.why("rows") is None
    project.write("pipelines/toy/prompts/find.md", "look\n")
    assert project.why("rows") == "prompts/find.md changed"


def test_only_the_upstream_product_that_a_used_cell_reads_counts(project: Project) -> None:
    project.edit(SPEC, '{rows: "{{out}}/rows.txt"}', '{rows: "{{out}}/rows.txt", log: "{{out}}/log.txt"}')
    project.edit(NOTEBOOK, "import only_shown\n", 'context.product["log"].write_text("first")\n    import only_shown\n')
    project.build(record=False)
    project.edit(NOTEBOOK, '"first"', '"second"')
    assert project.build(record=False).ran == ["rows"]


def test_a_process_that_never_built_detects_a_change(project: Project) -> None:
    import subprocess
    import sys

    project.build(record=False)
    project.edit("notebooks/deeper.py", "one * other", "one * other + 0")
    script = (
        "import sys; from proveout.bridge import freshness; print(freshness(sys.argv[1]));"
        "heavy = {'marimo', 'ploomber', 'torch', 'numpy', 'pandas', 'jupyter_client'} & set(sys.modules); print(sorted(heavy))"
    )
    run = subprocess.run([sys.executable, "-c", script, str(project.spec)], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["{'rows': '`deeper.times` changed', 'total': 'waits for `rows`, which is stale'}", "[]"]


def test_two_changes_within_one_time_stamp_are_detected(project: Project) -> None:
    project.build(record=False)
    for number in range(5):
        project.write("data.txt", f"1 2 {number}\n")
        assert project.build(record=False).ran == ["rows", "total"]
