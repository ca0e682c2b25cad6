"""Build what is stale. One door: `build`.

Products are written into a staging folder beside their place and moved when the step is whole; only then is the step
noted as built. A step that is killed on the way is noted as nothing, and runs again.
Not covered: what makes a step stale. `staleness` decides that.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from proveout.bridge import spec as specs
from proveout.bridge.lazy_imports import lighter
from proveout.bridge.spec import Spec, Task
from proveout.bridge.staleness import BuildState
from proveout.errors import BadSpec

Progress = Callable[["TaskResult"], None]


@dataclass(frozen=True)
class TaskResult:
    task: str
    state: Literal["ran", "skipped"]
    why: str  # it ran, or was skipped
    seconds: float = 0.0
    record: Path | None = None


@dataclass(frozen=True)
class Built:
    spec: Path
    tasks: Sequence[TaskResult]
    seconds: float
    products: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)  # task -> product -> path

    @property
    def ran(self) -> list[str]:
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
    """Run the tasks of a spec that are stale, upstream first.

    `only` names tasks: those and what they depend on. `force` runs tasks although nothing changed. `record` writes the
    HTML record of each run. With `workers`, so many steps run side by side, each in a process of its own; one alone runs in
    this process, unless it has a timeout. Raises BadSpec before anything runs, and TaskFailed when a step fails.
    """
    began = time.perf_counter()
    loaded = specs.load(spec, env)
    wanted = _wanted(loaded, [only] if isinstance(only, str) else only)
    forced = set(loaded.tasks) if force is True else set(force or ())
    for name in forced - set(loaded.tasks):
        raise BadSpec(f"{loaded.path}: no task `{name}` to force; {specs.nearest(name, list(loaded.tasks))}")
    state = BuildState(loaded)
    state.check(wanted)
    forced &= {task.name for task in wanted}
    told = _Told(progress)
    with state.alone():
        fresh = not forced and not any(state.why(task) for task in wanted)
        if not fresh:
            _run_stale(state, wanted, forced, record, workers, told)
    for task in wanted:
        told.skipped(task)
    products = {task.name: dict(task.product) for task in wanted}
    return Built(loaded.path, tuple(told.results[task.name] for task in wanted), time.perf_counter() - began, products)


class _Told:
    """What happened to each task, told once each."""

    def __init__(self, progress: Progress | None) -> None:
        self.results: dict[str, TaskResult] = {}
        self._progress = progress

    def ran(self, task: Task, why: str, seconds: float) -> None:
        self._tell(TaskResult(task.name, "ran", why, seconds, _existing(task.record)))

    def skipped(self, task: Task) -> None:
        if task.name not in self.results:
            self._tell(TaskResult(task.name, "skipped", "nothing changed", record=_existing(task.record)))

    def _tell(self, result: TaskResult) -> None:
        self.results[result.task] = result
        if self._progress:
            self._progress(result)


def _run_stale(state: BuildState, wanted: Sequence[Task], forced: set[str], record: bool, workers: int, told: _Told) -> None:
    with lighter():
        from proveout.bridge.dag import DagBuildState, run_dag
        from proveout.bridge.steps import run_task
    from proveout.bridge.worker import run_apart

    def run(task: Task, why: str) -> None:
        began = time.perf_counter()
        if workers > 1 or task.timeout or _inside_marimo():
            run_apart(state.spec, task, record, workers)
        else:
            run_task(state, task, record)
        told.ran(task, why, time.perf_counter() - began)

    run_dag(DagBuildState(state.spec, run, forced), wanted, workers)


def _inside_marimo() -> bool:
    """Whether a running marimo cell called us: its kernel cannot run another notebook."""
    types = sys.modules.get("marimo._runtime.context.types")
    return bool(types and types.runtime_context_installed())


def _wanted(spec: Spec, only: Sequence[str] | None) -> list[Task]:
    if only is None:
        return list(spec.tasks.values())
    names = list(only)
    for name in names:
        if name not in spec.tasks:
            raise BadSpec(f"{spec.path}: no task `{name}`; {specs.nearest(name, list(spec.tasks))}")
    found: set[str] = set()
    while names:
        name = names.pop()
        found.add(name)
        names += [other for other in spec.tasks[name].upstream if other not in found]
    return [task for task in spec.tasks.values() if task.name in found]


def _existing(record: Path) -> Path | None:
    return record if record.exists() else None
