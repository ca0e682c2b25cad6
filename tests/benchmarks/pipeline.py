"""The bridge: a build with nothing to do against Ploomber's, a two-cell notebook against papermill, staleness at size.

`noop_build`: the whole command from a cold process, the same ten function tasks. `trivial_task`: in one process, both warm,
the same two cells; `trivial_task_with_record` writes the HTML page as well. `staleness_200_tasks`: 200 notebooks over 100
modules, warm memory, one process; its peer is the goal of one second.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TEN = "\n".join(f"def make{n}(product):\n    open(str(product), 'w').write('{n}')\n" for n in range(10))
OUR_TEN = TEN.replace("str(product)", "str(product['product'])")
MARIMO = """import marimo

app = marimo.App()


@app.cell
def _():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell
def _(context):
    context.product["n"].write_text(str({value}))
    return
"""


def run() -> dict[str, dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        return {**_noop(root / "noop"), **_trivial(root / "trivial"), **_at_size(root / "size")}


def _noop(root: Path) -> dict[str, dict[str, object]]:
    root.mkdir()
    (root / "plain_tasks.py").write_text(TEN)
    (root / "our_tasks.py").write_text(OUR_TEN)
    for name, module, out in (("pipeline.yaml", "plain_tasks", "plain"), ("pipeline.ours.yaml", "our_tasks", "ours")):
        tasks = "".join(f"  - {{source: {module}.make{n}, product: {out}/{n}.txt}}\n" for n in range(10))
        (root / name).write_text(f"tasks:\n{tasks}")
    program = str(Path(sys.executable).with_name("ploomber"))
    ploomber = [program, "build", "--entry-point", "pipeline.yaml"]
    ours = [sys.executable, "-c", "from proveout.bridge import build; build('pipeline.ours.yaml')"]

    def command(arguments: list[str]) -> Callable[[], object]:
        return lambda: subprocess.run(arguments, cwd=root, check=True, capture_output=True)

    command(ploomber)(), command(ours)()
    mine, theirs = _medians(3, command(ours), command(ploomber))
    return {"noop_build": _entry(mine, theirs, "ploomber build, ten tasks, nothing to do")}


def _trivial(root: Path) -> dict[str, dict[str, object]]:
    import papermill

    from proveout.bridge.context import Context
    from proveout.bridge.execute import run_notebook
    from proveout.bridge.notebook import read

    root.mkdir()
    file, old = root / "two.py", root / "two.ipynb"
    file.write_text(MARIMO.format(value=1))
    cells = [f"target = {str(root / 'papermill.txt')!r}", "open(target, 'w').write('1')"]
    body = [{"cell_type": "code", "source": cell, "metadata": {}, "execution_count": None, "outputs": []} for cell in cells]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    old.write_text(json.dumps({"cells": body, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}))
    context = Context.of("two", {}, {}, {"n": root / "n.txt"})
    notebook = read(file)

    def papermill_run() -> None:
        papermill.execute_notebook(str(old), str(root / "done.ipynb"), progress_bar=False)

    runs = (lambda: run_notebook(file, context, notebook), lambda: run_notebook(file, context, notebook, root / "record.html"))
    for once in (*runs, papermill_run):
        once()
    bare, recorded, peer = _medians(5, *runs, papermill_run)
    name = "papermill, two cells"
    return {"trivial_task": _entry(bare, peer, name), "trivial_task_with_record": _entry(recorded, peer, name)}


def _at_size(root: Path) -> dict[str, dict[str, object]]:
    from proveout.bridge import spec
    from proveout.bridge.staleness import BuildState

    (root / "out").mkdir(parents=True)
    for number in range(100):
        inner = f"import size{number + 1}\n" if number % 10 != 9 else ""
        (root / f"size{number}.py").write_text(inner + "\n\n".join(f"def f{k}(x):\n    return x + {k}" for k in range(20)))
    for number in range(200):
        text = MARIMO.format(value=number).replace(
            "    context = context", f"    import size{number % 100}\n\n    context = context"
        )
        (root / f"task{number}.py").write_text(text)
    tasks = "".join(f"  - {{source: task{n}.py, product: {{n: out/{n}.txt}}}}\n" for n in range(200))
    (root / "pipeline.yaml").write_text(f"tasks:\n{tasks}")

    def look() -> None:
        state = BuildState(spec.load(root / "pipeline.yaml"))
        assert not any(map(state.why, state.spec.tasks.values()))
        state.save()

    state = BuildState(spec.load(root / "pipeline.yaml"))
    for task in state.spec.tasks.values():  # as if built
        task.product["n"].write_text("1")
        state.note(task, state.dependencies(task), 0.0)
    state.save()
    look()
    (seconds,) = _medians(5, look)
    return {"staleness_200_tasks": _entry(seconds, 1.0, "the goal, 1 s")}


def _medians(times: int, *calls: Callable[[], object]) -> list[float]:
    """Seconds of each call, the calls in turns, so that a busy moment meets them all."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(times):
        for call, seconds in zip(calls, taken, strict=True):
            began = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - began)
    return [statistics.median(seconds) for seconds in taken]


def _entry(ours: float, peer: float, name: str) -> dict[str, object]:
    return {"ours": ours, "peer": peer, "unit": "s", "ratio": ours / peer, "peer_name": name}
