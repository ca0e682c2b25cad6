"""Build what is stale. Entry point: `build`.

Products are written to a staging folder and moved into place when the step is complete. Only then is the step recorded as
built; a step that is killed before that runs again.
Not covered: what makes a step stale. `staleness` decides that.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from proveout.bridge import marimo_internals
from proveout.bridge import spec as specs
from proveout.bridge.spec import Spec, Task
from proveout.bridge.staleness import BuildState
from proveout.errors import BadSpec, hint
from proveout.imports import lazy_imports

Progress = Callable[["TaskResult"], None]


@dataclass(frozen=True)
class TaskResult:
    task: str
    state: Literal["ran", "skipped"]
    why: str  # the reason why it ran or was skipped
    seconds: float = 0.0
    record: Path | None = None  # the HTML page of the last run


@dataclass(frozen=True)
class Built:
    spec: Path
    tasks: Sequence[TaskResult]
    seconds: float
    products: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)  # task -> product -> path

    @property
    def ran(self) -> list[str]:
        """Names of the tasks that were not skipped."""
        return [task.task for task in self.tasks if task.state == "ran"]


def build(
    spec: Path | str,
    env: Mapping[str, Any] | None = None,
    only: str | Sequence[str] | None = None,
    force: bool | Sequence[str] = False,
    record: bool = True,
    progress: Progress | None = None,
    workers: int = 1,
) -> Built:
    """Run the stale tasks of a spec, upstream first.

    `only` limits the build to these tasks and their upstream. `force` runs tasks even if nothing changed (True: all).
    `record` writes the HTML record of each run. Up to `workers` steps run in parallel, each in its own process; with one
    worker, a step runs in this process unless it has a timeout. Raises BadSpec before anything runs, TaskFailed when a step
    fails, and Busy while another build of this spec is running.
    """
    began = time.perf_counter()
    loaded = specs.load(spec, env)
    wanted = _wanted(loaded, [only] if isinstance(only, str) else only)
    forced = set(loaded.tasks) if force is True else set(force or ())
    for name in forced - set(loaded.tasks):
        raise BadSpec(f"{loaded.path}: no task `{name}` to force; {hint(name, list(loaded.tasks))}")
    state = BuildState(loaded)
    state.check(wanted)
    forced &= {task.name for task in wanted}
    results: dict[str, TaskResult] = {}

    def report(result: TaskResult) -> None:
        results[result.task] = result
        if progress:
            progress(result)

    with state.locked():
        if forced or any(state.why(task) for task in wanted):
            _run_stale(state, wanted, forced, record, workers, report)
    for task in wanted:
        if task.name not in results:
            report(TaskResult(task.name, "skipped", "nothing changed", record=_existing(task.record)))
    products = {task.name: dict(task.product) for task in wanted}
    return Built(loaded.path, tuple(results[task.name] for task in wanted), time.perf_counter() - began, products)


def _run_stale(
    state: BuildState, tasks: Sequence[Task], forced: set[str], record: bool, workers: int, report: Progress
) -> None:
    with lazy_imports():
        from proveout.bridge.dag import DagBuildState, run_dag
        from proveout.bridge.steps import run_task
    from proveout.bridge.worker import run_in_worker

    def run(task: Task, why: str) -> None:
        began = time.perf_counter()
        if workers > 1 or task.timeout or marimo_internals.is_running():
            run_in_worker(state.spec, task, record, workers)
        else:
            run_task(state, task, record)
        report(TaskResult(task.name, "ran", why, time.perf_counter() - began, _existing(task.record)))

    run_dag(DagBuildState(state.spec, run, forced), tasks, workers)


def _wanted(spec: Spec, only: Sequence[str] | None) -> list[Task]:
    if only is None:
        return list(spec.tasks.values())
    names = list(only)
    for name in names:
        if name not in spec.tasks:
            raise BadSpec(f"{spec.path}: no task `{name}`; {hint(name, list(spec.tasks))}")
    wanted: set[str] = set()
    while names:
        name = names.pop()
        wanted.add(name)
        names += [other for other in spec.tasks[name].upstream if other not in wanted]
    return [task for task in spec.tasks.values() if task.name in wanted]


def _existing(record: Path) -> Path | None:
    return record if record.exists() else None
