"""A pipeline as a Ploomber DAG.

Entry points: `dag` for Ploomber's own commands, `MarimoNotebook` for a pipeline in Python, `run_dag` for builds.

    ploomber status --entry-point proveout.bridge.dag.dag        (also build, plot, task, report)

reads the spec from PROVEOUT_SPEC, or the only `pipelines/*/pipeline.build.yaml`, and overrides from PROVEOUT_ENV.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from proveout.bridge import spec as specs
from proveout.bridge.context import environment
from proveout.bridge.ploomber import DAG, FORCED, DAGBuildError, Step, StepExecutor, register
from proveout.bridge.spec import Spec, Task
from proveout.bridge.staleness import BuildState
from proveout.bridge.steps import run_task
from proveout.errors import BadSpec

Run = Callable[[Task, str], None]  # a task and why it runs


class PipelineStep(Step):
    """A step of any DAG, from a spec or written in Python."""

    def __init__(self, source: Path | str, product: Any, dag: DAG, *args: Any, **kwargs: Any) -> None:
        super().__init__(source, product, dag, *args, **kwargs)
        if not hasattr(dag, "_proveout"):
            dag._proveout = partial(_state_of, dag)


class MarimoNotebook(PipelineStep):
    """A marimo notebook as a Ploomber task.

    `MarimoNotebook(Path("models.py"), {"model": "out/model"}, dag, params={"seed": 7}, data=["documents"])`
    """

    kind = "marimo"


class Function(PipelineStep):
    """A function, by its dotted path."""

    kind = "function"


class Script(PipelineStep):
    """An .ipynb or a percent script. Ploomber's NotebookRunner runs it; its products go to the staging folder."""

    kind = "file"


register("MarimoNotebook", MarimoNotebook)
_CLASSES: dict[specs.Kind, type[Step]] = {"marimo": MarimoNotebook, "function": Function, "file": Script}


class DagBuildState(BuildState):
    """The build state of a DAG. `run` runs a stale step, by default in this process; `forced` steps count as stale."""

    def __init__(self, spec: Spec, run: Run | None = None, forced: Iterable[str] = ()) -> None:
        super().__init__(spec)
        self._run, self._forced = run, set(forced)

    def reason(self, name: str) -> str | None:
        """Why a step would run; None if it is fresh."""
        return self.why(self.spec.tasks[name]) or (FORCED if name in self._forced else None)

    def run(self, task: Task, why: str) -> None:
        """Run a step and record it. Raises what the step raised."""
        self._forced.discard(task.name)
        if self._run:
            self._run(task, why)
        else:
            with self.locked():
                run_task(self, task, record=True)

    def noted(self, name: str) -> float | None:
        """When the note of the step was last written, seconds since 1970; None if it never ran."""
        note = self._note(self.spec.tasks[name])
        return note.stat().st_mtime if note.exists() else None


def dag() -> DAG:
    """The DAG of a spec, for `--entry-point proveout.bridge.dag.dag`. Raises BadSpec."""
    selected = os.environ.get("PROVEOUT_SPEC")
    paths = [Path(selected)] if selected else sorted(Path.cwd().glob("pipelines/*/pipeline.build.yaml"))
    if len(paths) != 1:
        listed = ", ".join(map(str, paths)) or "none"
        raise BadSpec(f"expected one pipelines/*/pipeline.build.yaml, found {listed}; set PROVEOUT_SPEC to the spec to use")
    spec = specs.load(paths[0], environment())
    state = DagBuildState(spec)
    state.check(list(spec.tasks.values()))
    return dag_of(state, list(spec.tasks.values()))


def dag_of(state: DagBuildState, tasks: Sequence[Task], workers: int = 1) -> DAG:
    """The DAG of these tasks, which runs up to `workers` steps in parallel."""
    dag = DAG(name=state.spec.path.stem, executor=StepExecutor(workers))
    dag._proveout = lambda: state
    for task in tasks:
        product = {name: str(path) for name, path in task.product.items()}
        step = _CLASSES[task.kind](task.file or task.source, product, dag, task.name, params=None)
        for name in task.upstream:
            step.set_upstream(dag[name])
    return dag


def run_dag(state: DagBuildState, tasks: Sequence[Task], workers: int = 1) -> None:
    """Run the stale ones of these tasks in Ploomber's order. Raises what the failing step raised."""
    dag = dag_of(state, tasks, workers)
    try:
        dag.build(show_progress=False)
    except DAGBuildError as error:
        raise dag.executor.failure or error from None


_lock = threading.Lock()


def _state_of(dag: DAG) -> DagBuildState:
    """The state of a DAG that was written in Python, created from its steps on first use."""
    with _lock:
        if not hasattr(dag, "_proveout_state"):
            tasks = {task.name: task.as_task() for task in dag.values() if isinstance(task, Step)}
            root = next(iter(next(iter(tasks.values())).product.values())).parent
            state = DagBuildState(Spec(Path.cwd() / "dag.py", {}, tasks, root / ".proveout" / "dag"))
            state.check(list(tasks.values()))
            dag._proveout_state = state
        existing: DagBuildState = dag._proveout_state
        return existing
