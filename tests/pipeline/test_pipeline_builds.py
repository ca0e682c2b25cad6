"""A build: one execution for products and record, no partial products, supervised workers."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy import CONTEXT, Project, notebook

from proveout.bridge import Context, acting_as, open_context
from proveout.bridge.spec import load
from proveout.bridge.staleness import BuildState
from proveout.errors import BadInput, Busy, TaskFailed

NOTEBOOK = "notebooks/rows.py"
SPEC = "pipelines/toy/pipeline.build.yaml"


def test_a_build_writes_the_products_and_the_next_one_has_nothing_to_do(project: Project) -> None:
    first = project.build()
    assert project.text("rows.txt") == "hello: 13 16 19"
    assert project.text("total/total.txt") == "48"
    assert [(task.task, task.state) for task in first.tasks] == [("rows", "ran"), ("total", "ran")]
    second = project.build()
    assert [(task.task, task.state, task.why) for task in second.tasks] == [
        ("rows", "skipped", "nothing changed"),
        ("total", "skipped", "nothing changed"),
    ]


def test_the_record_has_the_values_of_the_run_that_wrote_the_product(empty: Project) -> None:
    cells = (
        CONTEXT,
        ("draw", "import secrets\n\nnumber = secrets.token_hex(8)\nnumber"),
        'context.product["it"].write_text(number)',
    )
    empty.write("random.py", notebook(*cells))
    empty.write("pipelines/toy/pipeline.build.yaml", 'tasks: [{source: ../../random.py, product: {it: "../../out/it.txt"}}]')
    empty.build()
    assert empty.text("it.txt") in empty.text("random.record.html")


def test_a_record_opens_offline_with_all_output(project: Project) -> None:
    figure = "import matplotlib.pyplot as plt\n\n_, _axes = plt.subplots()\n_axes.plot([1, 2])\n_axes"
    table = "import pandas as pd\n\npd.DataFrame({'name': ['<b>'], 'x': [1.5]})"
    stacked = (
        'mo.vstack([mo.md("**bold**"), mo.ui.slider(1, 5, value=4, label="zoom"), mo.ui.table([{"cell": "in a widget"}])])'
    )
    appended = 'import sys\n\nmo.output.append(mo.md("appended"))\nprint("to stderr", file=sys.stderr)'
    awaited = "import asyncio\n\nawait asyncio.sleep(0)\n{'answer': [42]}"
    text = (project.folder / NOTEBOOK).read_text().rstrip() + "\n"
    more = notebook(
        figure, table, stacked, appended.replace("import sys", "import sys as system").replace("=sys.", "=system."), awaited
    )
    project.write(NOTEBOOK, text + more.partition("App()\n")[2])
    project.build(only="rows")
    page = project.text("rows/record.html")
    assert "<main><h1>rows</h1>" in page
    for piece in (
        '<img width="',
        "data:image/png;base64,",
        "<td>&lt;b&gt;</td>",
        "<strong>bold</strong>",
        "zoom: <b>4</b>",
        "in a widget",
        "appended",
        "<pre class=stderr>to stderr",
        "<pre class=stdout>made 3 rows",
        "42",
        "<th>add</th><td>10</td>",
        "<th>module helper</th>",
        "<th>python</th>",
        "replaced by a parameter",
    ):
        assert piece in page, piece
    assert not re.search(r"https?://|<script|<marimo-|<link", page)
    assert str(project.folder) not in page


def test_jupyterlab_opens_a_step_as_a_notebook_that_cannot_be_edited(project: Project) -> None:
    import nbformat
    from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

    project.build(only="rows")
    project.build(only="rows", force=["rows"])  # over the read-only one
    path = project.product("rows/record.ipynb")
    assert not path.stat().st_mode & 0o222
    opened = asyncio.run(AsyncLargeFileManager(root_dir=str(path.parent)).get("record.ipynb"))
    nbformat.validate(opened["content"])
    first, *cells = opened["content"]["cells"]
    assert "rows.py" in first["source"] and not any(cell["metadata"]["editable"] for cell in [first, *cells])
    text = json.dumps(cells)
    assert "made 3 rows" in text and str(project.folder) not in text


def test_without_a_record_only_the_cells_that_reach_a_product_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.edit(NOTEBOOK, "only_shown.bars(rows)", 'open("shown.txt", "w").write("ran")')
    monkeypatch.chdir(project.folder)
    project.build(record=False)
    assert not (project.folder / "shown.txt").exists()
    assert not project.product("rows/record.html").exists()
    project.build(force=["rows"])
    assert (project.folder / "shown.txt").read_text() == "ran"


def test_a_cell_that_only_displays_cannot_change_a_product(project: Project) -> None:
    project.edit(NOTEBOOK, "only_shown.bars(rows)", "rows.clear()")
    project.build()
    assert project.text("rows.txt") == "hello: 13 16 19"


def test_a_failing_cell_is_named_with_its_line_and_leaves_the_record_up_to_it(project: Project) -> None:
    project.build()
    project.edit(NOTEBOOK, "][:limit]", "][:limit]\n    print('before')\n    rows[99]")
    line = 1 + (project.folder / NOTEBOOK).read_text().splitlines().index("    rows[99]")
    with pytest.raises(TaskFailed, match=rf"rows.py:{line}: task `rows`, cell `work`: IndexError"):
        project.build()
    page = project.text("rows/record.failed.html")
    assert "before" in page and "IndexError" in page and "hello" not in page
    assert "IndexError" not in project.text("rows/record.html")
    assert project.why("rows") == "its last run failed or was interrupted"
    project.edit(NOTEBOOK, "\n    rows[99]", "")
    assert project.build().ran == ["rows"]
    assert not project.product("rows/record.failed.html").exists()


def test_a_failed_step_opens_again_with_what_it_failed_on_and_says_what_changed_since(project: Project) -> None:
    def failure():
        state = BuildState(load(project.spec))
        return state.failure(state.spec.tasks["rows"])

    project.build()
    assert failure() is None
    project.edit(NOTEBOOK, "][:limit]", "][:limit]\n    rows[99]")
    with pytest.raises(TaskFailed) as error:
        project.build(env={"out": str(project.product(""))})
    assert failure().because == str(error.value) and failure().since == ""
    assert failure().env["out"] == str(project.product(""))
    project.edit(NOTEBOOK, "\n    rows[99]", "")
    assert failure().since == "cell `work` changed"
    project.build()
    assert failure() is None


def test_a_step_that_forgets_its_product_fails(project: Project) -> None:
    project.edit(NOTEBOOK, 'context.product["rows"].write', 'if False: context.product["rows"].write')
    with pytest.raises(TaskFailed, match="did not write its product `rows`"):
        project.build()


def test_a_kill_in_the_middle_of_a_product_leaves_no_partial_product(project: Project) -> None:
    half = "target.mkdir()\n    (target / 'half').write_text('half')\n    import os\n    os.kill(os.getpid(), 9)"
    project.edit("notebooks/total.py", "target.mkdir()", half)
    project.edit(SPEC, "upstream: [rows]", "upstream: [rows]\n    timeout: 600")  # so that it runs in its own process
    with pytest.raises(TaskFailed, match="task `total`: its worker was killed by SIGKILL"):
        project.build()
    assert project.text("rows.txt") == "hello: 13 16 19"
    assert not project.product("total").exists()
    assert list(project.product("").glob(".staging-*"))
    project.edit("notebooks/total.py", half, "target.mkdir()")
    assert project.build().ran == ["total"]
    assert project.text("total/total.txt") == "48"
    assert not list(project.product("").glob(".staging-*"))


def test_a_full_disk_leaves_the_last_complete_product_and_the_next_run_continues(project: Project) -> None:
    project.build(record=False)
    full = "import resource\n    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n    words, _, numbers"
    project.edit("notebooks/total.py", "words, _, numbers", full)
    project.edit("notebooks/total.py", "write_text(str", "write_text('x' * 200_000 + str")
    project.edit(SPEC, "upstream: [rows]", "upstream: [rows]\n    timeout: 600")  # so that the limit ends with its process
    with pytest.raises(TaskFailed, match="task `total`, cell `save`: OSError"):
        project.build(record=False)
    assert project.text("total/total.txt") == "48"
    assert project.why("total") == "its last run failed or was interrupted"
    project.edit("notebooks/total.py", "'x' * 200_000 + ", "")
    assert project.build(record=False).ran == ["total"]


def test_a_second_build_of_the_same_spec_says_that_the_first_is_running(project: Project) -> None:
    from proveout.bridge.spec import load
    from proveout.bridge.staleness import BuildState

    with BuildState(load(project.spec)).locked(), pytest.raises(Busy, match=r"process \d+, .* is running a build; wait for it"):
        project.build()


def test_parallel_steps_share_the_cores(empty: Project) -> None:
    cells = (CONTEXT, "import os\n\nimport threadpoolctl", 'context.product["it"].write_text(os.environ["OMP_NUM_THREADS"])')
    empty.write("one.py", notebook(*cells))
    empty.write("two.py", notebook(*cells))
    tasks = "\n".join(f'  - {{source: ../../{name}.py, product: {{it: "../../out/{name}.txt"}}}}' for name in ("one", "two"))
    empty.write("pipelines/toy/pipeline.build.yaml", f"tasks:\n{tasks}\n")
    assert sorted(empty.build(workers=2).ran) == ["one", "two"]
    share = max(1, (os.cpu_count() or 1) // 2)
    allowed = int(os.environ.get("OMP_NUM_THREADS", share))
    assert {empty.text("one.txt"), empty.text("two.txt")} == {str(min(share, allowed))}


def test_when_a_parallel_step_fails_the_others_finish_and_no_new_one_starts(empty: Project) -> None:
    slow = (CONTEXT, "import time\n\ntime.sleep(0.5)", 'context.product["it"].write_text("done")')
    empty.write("slow.py", notebook(*slow))
    empty.write("fails.py", notebook(CONTEXT, ("fails", 'context.product["it"].write_text(str(1 / 0))')))
    empty.write("after.py", notebook(CONTEXT, 'context.product["it"].write_text(context.upstream["fails"]["it"].read_text())'))
    tasks = [f'{{source: ../../{name}.py, product: {{it: "../../out/{name}.txt"}}}}' for name in ("slow", "fails", "after")]
    tasks[2] = tasks[2].replace("{source", "{upstream: [fails], source")
    empty.write("pipelines/toy/pipeline.build.yaml", "tasks:\n" + "".join(f"  - {task}\n" for task in tasks))
    with pytest.raises(TaskFailed, match="cell `fails`: ZeroDivisionError"):
        empty.build(workers=3)
    assert empty.text("slow.txt") == "done"
    assert not empty.product("after.txt").exists()


def test_a_worker_ends_when_its_build_is_killed(empty: Project) -> None:
    empty.write(
        "long.py",
        notebook(
            CONTEXT,
            f'open({str(empty.folder / "pid")!r}, "w").write(str(__import__("os").getpid()))'
            ' and context.product["it"].write_text(str(__import__("time").sleep(600)))',
        ),
    )
    spec = 'tasks: [{source: ../../long.py, product: {it: "../../out/it.txt"}}]'
    empty.write("pipelines/toy/pipeline.build.yaml", spec)
    code = (
        "import sys; from proveout.bridge import load; from proveout.bridge.worker import run_in_worker;"
        "spec = load(sys.argv[1]); run_in_worker(spec, spec.tasks['long'], False)"
    )
    building = subprocess.Popen([sys.executable, "-c", code, str(empty.spec)])
    while not (empty.folder / "pid").exists() or not (empty.folder / "pid").read_text():
        time.sleep(0.1)
    worker = int((empty.folder / "pid").read_text())
    building.kill()
    building.wait()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()


@pytest.mark.parametrize(
    ("cell", "timeout", "message"),
    [
        ("import time\n\ntime.sleep(600)", 8, r"exceeded its timeout of 8 s and was killed; raise `timeout:` in .*:1"),
        ("import os\n\nos.kill(os.getpid(), 9)", 600, r"its worker was killed by SIGKILL \(out of memory\?\)"),
        ("import os\n\nos._exit(3)", 600, r"its worker exited with code 3"),
        ("1 / 0", 600, r"rest.py:\d+: task `rest`, cell `rest`: ZeroDivisionError"),
    ],
)
def test_the_error_says_how_a_worker_ended(empty: Project, cell: str, timeout: int, message: str) -> None:
    save = ("rest", f'_target = context.product["it"]\n{cell}')
    empty.write("rest.py", notebook(CONTEXT, save))
    spec = f'tasks: [{{source: ../../rest.py, product: {{it: "../../out/it.txt"}}, timeout: {timeout}}}]'
    empty.write("pipelines/toy/pipeline.build.yaml", spec)
    with pytest.raises(TaskFailed, match=message):
        empty.build()
    assert not empty.product("it.txt").exists()


def test_functions_and_ipynb_and_percent_scripts_run_beside_marimo(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(project.folder / "pipelines" / "toy")
    code = "upstream = None\nproduct = None\n"
    use = "from pathlib import Path\nPath(product['n']).write_text(Path(upstream['rows']['rows']).read_text().upper())"
    cells = [
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "upstream = ['rows']\nproduct = None"},
        {"cell_type": "code", "metadata": {}, "source": use},
    ]
    for cell in cells:
        cell |= {"execution_count": None, "outputs": []}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    project.write("old.ipynb", json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}))
    project.write("percent.py", f"# %% tags=['parameters']\n{code}\n# %%\nopen(product['n'], 'w').write('percent')\n")
    project.write(
        "pipelines/toy/steps.py",
        "def shout(product, upstream, mark):\n    product['n'].write_text(f'{sorted(upstream)}{mark}')\n",
    )
    more = """
  - {source: ../../old.ipynb, upstream: [rows], product: {nb: "{{out}}/old.ipynb", n: "{{out}}/old.txt"}}
  - {source: ../../percent.py, product: {nb: "{{out}}/percent.ipynb", n: "{{out}}/percent.txt"}, kernelspec_name: python3}
  - {source: steps.shout, upstream: [rows], product: {n: "{{out}}/shout.txt"}, params: {mark: "!"}}
"""
    spec = project.folder / SPEC
    spec.write_text(spec.read_text().rstrip() + more)
    assert set(project.build().ran) == {"rows", "total", "old", "percent", "shout"}
    assert project.text("old.txt") == "HELLO: 13 16 19"
    assert project.text("percent.txt") == "percent"
    assert project.text("shout.txt") == "['rows']!"
    assert str(project.folder) not in project.text("old.ipynb")
    assert project.build().ran == []
    project.edit("pipelines/toy/steps.py", "{mark}", "{mark}?")
    assert project.why("shout") == "`steps.shout` changed"
    assert project.build().ran == ["shout"]


def test_a_notebook_sees_the_pipelines_paths_in_the_editor_and_as_a_script(project: Project) -> None:
    project.build(record=False)
    context = open_context(project.folder / NOTEBOOK)
    assert dict(context.params) == {
        "data": project.folder / "data.txt",
        "words": project.spec.parent / "words.md",
        "add": 10,
        "factor": 3,
    }
    assert context.product["rows"] == project.product("rows.txt")
    assert open_context(project.folder / "notebooks/total.py").upstream["rows"]["rows"] == project.product("rows.txt")
    before = (project.folder / NOTEBOOK).read_bytes()
    script = (project.folder / NOTEBOOK).read_text() + '\n\nif __name__ == "__main__":\n    app.run()\n'
    (project.folder / NOTEBOOK).write_text(script)
    subprocess.run([sys.executable, str(project.folder / NOTEBOOK)], check=True, cwd=project.folder, capture_output=True)
    assert project.text("rows.txt") == "hello: 12 14 16"  # outside a build the widget's own value counts
    (project.folder / NOTEBOOK).write_bytes(before)
    assert project.why("rows") == "product `rows` was changed after the build"


def test_a_widgets_value_is_offered_as_a_change_of_the_spec(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    context = open_context(project.folder / NOTEBOOK)
    assert context.offer(add=10, factor=3) == ""
    assert context.offer(add=12, factor=3) == "in pipelines/toy/pipeline.build.yaml, task `rows`: `params: {add: 12}` (now 10)"


def test_other_data_can_be_opened_in_the_editor(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("other.txt", "5\n")
    monkeypatch.setenv("PROVEOUT_ENV", f"{{data: {project.folder / 'other.txt'}, out: /tmp/elsewhere}}")
    context = open_context(project.folder / NOTEBOOK)
    assert context.params["data"] == project.folder / "other.txt"
    assert str(dict(context.product)["rows"]) == "/tmp/elsewhere/rows.txt"


def test_the_error_for_a_missing_upstream_product_names_the_command_that_builds_it(project: Project) -> None:
    context = open_context(project.folder / "notebooks/total.py")
    with pytest.raises(BadInput, match="build it: proveout build --only rows"):
        context.upstream["rows"]["rows"]


def test_a_test_can_set_a_notebooks_context(project: Project) -> None:
    context = Context.of("rows", {"add": 1}, {}, {"rows": project.folder / "mine.txt"})
    with acting_as(project.folder / NOTEBOOK, context):
        assert open_context(str(project.folder / NOTEBOOK)) is context
    assert open_context(project.folder / NOTEBOOK) is not context


def test_a_moved_project_is_still_fresh(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    import shutil

    project.build(record=False)
    moved = Project(tmp_path_factory.mktemp("moved") / "there")
    shutil.copytree(project.folder, moved.folder)
    assert moved.build(record=False).ran == []


def test_a_long_lived_process_imports_a_changed_module_again(project: Project) -> None:
    project.build(record=False)
    for factor in (5, 6, 7):
        (project.folder / "notebooks/deeper.py").write_text(f"def times(one, other):\n    return {factor}\n")
        project.build(record=False)
        assert project.text("rows.txt") == f"hello: {10 + factor} {10 + factor} {10 + factor}"


def test_data_can_be_set_from_python(project: Project) -> None:
    project.write("mine.txt", "7\n")
    built = project.build(env={"data": Path(project.folder / "mine.txt"), "out": project.folder / "else"}, record=False)
    assert built.products["rows"]["rows"].read_text() == "hello: 31"
