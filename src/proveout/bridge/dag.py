"""A pipeline as a Ploomber DAG. Doors: `dag` for Ploomber's own commands, `MarimoNotebook` for Python, `run_dag` for builds.

    ploomber status --entry-point proveout.bridge.dag.dag        (build, plot, task, report alike)

takes the spec from PROVEOUT_SPEC, or the one `pipelines/*/pipeline.build.yaml` there is, and PROVEOUT_ENV as overrides.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from proveout.bridge import spec as specs
from proveout.bridge.context import environment
from proveout.bridge.ploomber import DAG, DAGBuildError, Side, Step, register
from proveout.bridge.spec import Spec, Task
from proveout.bridge.staleness import BuildState
from proveout.bridge.steps import run_task
from proveout.errors import BadSpec

Run = Callable[[Task, str], None]  # a task and why it runs


class PipelineStep(Step):
    """A step of any DAG, also of one that was made in Python."""

    def __init__(self, source: Path | str, product: Any, dag: DAG, *others: Any, **named: Any) -> None:
        super().__init__(source, product, dag, *others, **named)
        if not hasattr(dag, "_proveout"):
            dag._proveout = partial(_made_in_python, dag)


class MarimoNotebook(PipelineStep):
    """A marimo notebook as a Ploomber task.

    `MarimoNotebook(Path("models.py"), {"model": "out/model"}, dag, params={"seed": 7}, data=["documents"])`
    """

    kind = "marimo"


class Function(PipelineStep):
    """A function, by its dotted path."""

    kind = "function"


class Script(PipelineStep):
    """An .ipynb or a percent script; Ploomber's NotebookRunner runs it, into the staging folder."""

    kind = "file"


register("MarimoNotebook", MarimoNotebook)
_CLASSES: dict[specs.Kind, type[Step]] = {"marimo": MarimoNotebook, "function": Function, "file": Script}


class DagBuildState(BuildState):
    """The state that a DAG carries, with the way in which its steps run."""

    def __init__(self, spec: Spec, run: Run | None = None, asked: Iterable[str] = ()) -> None:
        super().__init__(spec)
        self._run, self._asked = run, set(asked)

    def reason(self, name: str) -> str | None:
        return self.why(self.spec.tasks[name]) or ("asked for" if name in self._asked else None)

    def run(self, task: Task, why: str) -> None:
        self._asked.discard(task.name)
        if self._run:
            self._run(task, why)
        else:
            with self.alone():
                run_task(self, task, record=True)

    def noted(self, name: str) -> float | None:
        """When the step was last built whole, seconds since 1970."""
        note = self._note(self.spec.tasks[name])
        return note.stat().st_mtime if note.exists() else None


def dag() -> DAG:
    """The DAG of a spec, for `--entry-point proveout.bridge.dag.dag`."""
    given = os.environ.get("PROVEOUT_SPEC")
    found = [Path(given)] if given else sorted(Path.cwd().glob("pipelines/*/pipeline.build.yaml"))
    if len(found) != 1:
        raise BadSpec(f"set PROVEOUT_SPEC to one spec; found here: {', '.join(map(str, found)) or 'none'}")
    spec = specs.load(found[0], environment())
    state = DagBuildState(spec)
    state.check(list(spec.tasks.values()))
    return dag_of(state, list(spec.tasks.values()))


def dag_of(state: DagBuildState, tasks: Sequence[Task], workers: int = 1) -> DAG:
    made = DAG(name=state.spec.path.stem, executor=Side(workers))
    made._proveout = lambda: state
    for task in tasks:
        product = {name: str(path) for name, path in task.product.items()}
        step = _CLASSES[task.kind](task.file or task.source, product, made, task.name, params=None)
        for name in task.upstream:
            step.set_upstream(made[name])
    return made


def run_dag(state: DagBuildState, tasks: Sequence[Task], workers: int = 1) -> None:
    """Run what is stale among these tasks, in Ploomber's order. Raises what the failing step raised."""
    made = dag_of(state, tasks, workers)
    try:
        made.build(show_progress=False)
    except DAGBuildError as error:
        raise made.executor.failure or error from None


_reading = threading.Lock()


def _made_in_python(dag: DAG) -> DagBuildState:
    """The state of a DAG that was made in Python, over the steps that it has now."""
    with _reading:
        if not hasattr(dag, "_proveout_state"):
            tasks = {task.name: task.as_task() for task in dag.values() if isinstance(task, Step)}
            root = next(iter(next(iter(tasks.values())).product.values())).parent
            state = DagBuildState(Spec(Path.cwd() / "dag.py", {}, tasks, root / ".proveout" / "dag"))
            state.check(list(tasks.values()))
            dag._proveout_state = state
        found: DagBuildState = dag._proveout_state
        return found
