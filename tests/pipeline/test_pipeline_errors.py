"""An error about bad input names file and line, says what to do, and stops a build before anything runs."""

from collections.abc import Callable

import pytest
from toy import Project

from proveout.bridge import open_context
from proveout.errors import BadSpec

SPEC = "pipelines/toy/pipeline.build.yaml"
ROWS = "notebooks/rows.py"
TOTAL = "notebooks/total.py"
Edit = Callable[[Project], object]

FAULTS: dict[str, tuple[Edit, str]] = {
    "an unknown key": (
        lambda p: p.edit(SPEC, "    upstream: [rows]", "    upstraem: [rows]"),
        r"pipeline.build.yaml:2: unknown key `upstraem`; did you mean `upstream`\?",
    ),
    "an unknown upstream": (
        lambda p: p.edit(SPEC, "upstream: [rows]", "upstream: [rwos]"),
        r"pipeline.build.yaml:2: task `total`: unknown upstream `rwos`; did you mean `rows`\?",
    ),
    "a cycle of tasks": (
        lambda p: p.edit(SPEC, "    files: [words.md]", "    files: [words.md]\n    upstream: [total]"),
        r"pipeline.build.yaml:\d: tasks form a cycle: total → rows → total; remove one `upstream:`",
    ),
    "two tasks with the same name": (
        lambda p: p.edit(SPEC, "    files: [words.md]", "    files: [words.md]\n    name: total"),
        r"pipeline.build.yaml:5: a second task `total` \(the first is in line 2\)",
    ),
    "two tasks with the same product": (
        lambda p: p.edit(SPEC, "{{out}}/rows.txt", "{{out}}/total"),
        r"pipeline.build.yaml:5: task `rows`: product .*total is already written by `total`",
    ),
    "a product inside another": (
        lambda p: p.edit(SPEC, "{{out}}/rows.txt", "{{out}}/total/rows.txt"),
        r"pipeline.build.yaml:5: task `rows`: product .*rows.txt is already written by `total`",
    ),
    "a missing notebook": (
        lambda p: p.edit(SPEC, "../../notebooks/total.py", "../../notebooks/totl.py"),
        r":2: task `totl`: ../../notebooks/totl.py does not exist \(relative to the spec\); did you mean `total.py`\?",
    ),
    "a missing function": (
        lambda p: p.edit(SPEC, "../../notebooks/total.py", "proveout.release.freze"),
        r"pipeline.build.yaml:2: task `freze`: no function proveout.release.freze",
    ),
    "missing data": (
        lambda p: (p.folder / "data.txt").unlink(),
        r"pipeline.build.yaml:5: task `rows`: `data:` names .*data.txt, but .* does not exist",
    ),
    "a placeholder without a value": (
        lambda p: p.edit(SPEC, '["{{data}}"]', '["{{dta}}"]'),
        r"pipeline.build.yaml:5: \{\{dta\}\} has no value; .* did you mean `data`\?",
    ),
    "a spec that is not YAML": (lambda p: p.write(SPEC, "tasks: [\n"), r"pipeline.build.yaml:2: not YAML"),
    "no tasks": (lambda p: p.write(SPEC, "meta: {}\n"), r"pipeline.build.yaml:1: expected `tasks:` with at least one task"),
    "a timeout of 0": (
        lambda p: p.edit(SPEC, "    files: [words.md]", "    files: [words.md]\n    timeout: 0"),
        r"pipeline.build.yaml:5: task `rows`: `timeout:` must be a number of seconds above 0, found 0",
    ),
    "a product that no cell writes": (
        lambda p: p.edit(SPEC, '{total: "{{out}}/total"}', '{total: "{{out}}/total", plot: "{{out}}/plot.png"}'),
        r"pipeline.build.yaml:2: task `total` declares the product `plot`, but no cell of .*total.py writes it",
    ),
    "a parameter that the spec does not set": (
        lambda p: p.edit(ROWS, 'context.params["add"]', 'context.params["ad"]'),
        r"rows.py:\d+: parameter `ad` is not in task `rows` of .*; did you mean `add`\?",
    ),
    "an upstream that the spec does not declare": (
        lambda p: p.edit(TOTAL, 'context.upstream["rows"]', 'context.upstream["row"]'),
        r"total.py:\d+: upstream `row` is not in task `total` of .*; did you mean `rows`\?",
    ),
    "an upstream product that does not exist": (
        lambda p: p.edit(TOTAL, '["rows"]["rows"]', '["rows"]["row"]'),
        r"total.py:\d+: product of `rows` `row` is not in .* did you mean `rows`\?",
    ),
    "a product that the spec does not declare": (
        lambda p: p.edit(TOTAL, 'context.product["total"]', 'context.product["totals"]'),
        r"total.py:\d+: product `totals` is not in .*; did you mean `total`\?",
    ),
    "one name defined by two cells": (
        lambda p: p.edit(ROWS, "only_shown.bars(rows)", "numbers = only_shown.bars(rows)"),
        r"rows.py:\d+: `numbers` is defined by 2 cells \(line \d+, line \d+\); rename one, or start its name with `_`",
    ),
    "a cycle of cells": (
        lambda p: (
            p.edit(ROWS, "limit = limit_slider.value", "limit = len(bars)")
            or p.edit(ROWS, "only_shown.bars", "bars = only_shown.bars")
        ),
        r"rows.py:\d+: cells form a cycle \(line \d+(, line \d+)+\)",
    ),
    "a cell that is not Python": (
        lambda p: p.edit(ROWS, "][:limit]", "[:limit]"),
        r"rows.py:\d+: .*(not Python|was never closed|cannot be read)",
    ),
    "a notebook of a newer marimo": (
        lambda p: p.edit(ROWS, '"0.10.0"', '"99.1.0"'),
        r"rows.py:3: written by marimo 99.1.0, but [\d.]+ is installed; install marimo 99.1.0 or newer",
    ),
    "a cell that parameters replace in part": (
        lambda p: p.edit(ROWS, "factor = factor_slider.value", "factor = factor_slider.value\n    other = factor_slider.value"),
        r"rows.py:\d+: this cell takes factor, other from widgets, but task `rows` replaces only factor; split the cell",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_with_file_and_line_before_anything_runs(project: Project, fault: str) -> None:
    edit, message = FAULTS[fault]
    edit(project)
    with pytest.raises(BadSpec, match=message):
        project.build()
    assert not project.product("rows.txt").exists() and not project.product("rows").exists()


def test_a_build_of_an_unknown_task_names_the_nearest(project: Project) -> None:
    with pytest.raises(BadSpec, match=r"no task `totl`; did you mean `total`\?"):
        project.build(only="totl")


def test_an_override_of_an_unknown_placeholder_names_the_nearest(project: Project) -> None:
    with pytest.raises(BadSpec, match=r"the spec does not use \{\{dta\}\}; did you mean `data`\?"):
        project.build(env={"dta": "x"})


def test_a_notebook_that_no_spec_names_says_what_to_add(project: Project) -> None:
    file = project.write("notebooks/alone.py", "x = 1\n")
    with pytest.raises(BadSpec, match=r"no spec names alone.py; add a task with this `source:`.*pipeline.build.yaml"):
        open_context(file)


def test_a_notebook_that_two_specs_name_asks_which_one(project: Project) -> None:
    project.write(
        "pipelines/toy/pipeline.run.yaml", 'tasks: [{source: ../../notebooks/rows.py, product: {rows: "../../x.txt"}}]'
    )
    with pytest.raises(BadSpec, match=r"rows.py is used 2 times: .*; choose with PROVEOUT_SPEC and PROVEOUT_TASK"):
        open_context(project.folder / ROWS)


def test_a_notebook_of_two_missions_belongs_to_the_one_with_its_folders_name(project: Project) -> None:
    file = project.write("notebooks/toy/rows.py", (project.folder / ROWS).read_text())
    project.edit(SPEC, "../../notebooks/rows.py", "../../notebooks/toy/rows.py")
    text = (project.folder / SPEC).read_text()
    project.write("pipelines/other/pipeline.build.yaml", text)
    project.write("pipelines/other/env.build.yaml", "out: ../../other\ndata: ../../data.txt\n")
    assert open_context(file).product["rows"] == project.product("rows.txt")
