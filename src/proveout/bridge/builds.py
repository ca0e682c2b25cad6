"""Build what is stale. One door: `build`.

Products are written into a staging folder beside their place and moved when the step is whole; only then is the step
noted as built. A step that is killed on the way is noted as nothing, and runs again.
Not covered: what makes a step stale. `staleness` decides that.
"""

import importlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from proveout.bridge import spec as specs
from proveout.bridge.context import Context
from proveout.bridge.lazy_imports import lighter
from proveout.bridge.record import ipynb_of
from proveout.bridge.spec import Spec, Task
from proveout.bridge.staleness import BuildState, Dependencies
from proveout.errors import BadSpec, Busy, NoDocuments, TaskFailed

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
    ledger = BuildState(loaded)
    ledger.check(wanted)
    forced &= {task.name for task in wanted}
    told = _Told(progress)
    with ledger.alone():
        fresh = not forced and not any(ledger.why(task) for task in wanted)
        if not fresh:
            _run_stale(ledger, wanted, forced, record, workers, told)
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


def _run_stale(ledger: BuildState, wanted: Sequence[Task], forced: set[str], record: bool, workers: int, told: _Told) -> None:
    with lighter():
        from proveout.bridge.ploomber import DagBuildState, run_dag
    from proveout.bridge.worker import run_apart

    def run(task: Task, why: str) -> None:
        began = time.perf_counter()
        if workers > 1 or task.timeout or _inside_marimo():
            run_apart(ledger.spec, task, record, workers)
        else:
            run_task(ledger, task, record)
        told.ran(task, why, time.perf_counter() - began)

    run_dag(DagBuildState(ledger.spec, run, forced), wanted, workers)


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


def run_task(ledger: BuildState, task: Task, record: bool) -> None:
    """Run one task here and now: products aside, then moved, then noted. Raises TaskFailed."""
    began = time.perf_counter()
    before = ledger.parts(task)
    ledger.settle(task)
    ledger.begin(task)
    with _staged(task) as staged:
        upstream = {name: ledger.spec.tasks[name].product for name in task.upstream}
        context = Context.of(task.name, task.params, upstream, staged)
        page = _execute(ledger, task, context, record, before)
        for name, path in staged.items():
            if not path.exists():
                raise TaskFailed(f"{task.file or task.source}: task `{task.name}` ended without writing its product `{name}`")
        _move(task, staged)
        if page and page.exists():
            page.replace(task.record)
            ipynb_of(page).replace(ipynb_of(task.record))
    ledger.note(task, before, time.perf_counter() - began)


def _execute(ledger: BuildState, task: Task, context: Context, record: bool, parts: Dependencies) -> Path | None:
    """Run what the task is. Returns where its record lies until the products are in place."""
    if task.kind == "function":
        _call(task, context)
        return None
    if task.kind == "file":
        with lighter():
            from proveout.bridge.ploomber import run_script

        try:
            run_script(ledger.spec, task, context)
        except Exception as error:
            raise TaskFailed(f"{task.file}: task `{task.name}`: {type(error).__name__}: {error}") from error
        return None
    from proveout.bridge.execute import run_notebook

    assert task.file is not None
    page = task.record.with_name(f"{task.record.stem}.failed.html") if record else None  # until the step is whole
    run_notebook(task.file, context, ledger.notebook(task.file), page, parts.shown())
    return page


def _call(task: Task, context: Context) -> None:
    import inspect

    module, _, name = task.source.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    given: dict[str, Any] = {"product": context.product, **context.params}
    if "upstream" in inspect.signature(function).parameters:
        given["upstream"] = context.upstream
    try:
        function(**given)
    except (Busy, NoDocuments):  # no fault of the step's, and said in full
        raise
    except Exception as error:
        line = error.__traceback__.tb_lineno if error.__traceback__ else 1
        tb = error.__traceback__
        while tb and tb.tb_next:
            tb = tb.tb_next
            line = tb.tb_lineno
        where = tb.tb_frame.f_code.co_filename if tb else task.source
        raise TaskFailed(f"{where}:{line}: task `{task.name}` ({task.source}): {type(error).__name__}: {error}") from error


@contextmanager
def _staged(task: Task) -> Iterator[dict[str, Path]]:
    """A place for each product beside its own, on the same file system; gone afterwards, also those of killed runs."""
    places: dict[str, Path] = {}
    folders = []
    for parent in {path.parent for path in task.product.values()}:
        parent.mkdir(parents=True, exist_ok=True)
        for old in parent.glob(f".staging-{task.name}-*"):
            shutil.rmtree(old, ignore_errors=True)
        folder = parent / f".staging-{task.name}-{os.getpid()}"
        folder.mkdir()
        folders.append(folder)
        places |= {name: folder / path.name for name, path in task.product.items() if path.parent == parent}
    try:
        yield {name: places[name] for name in task.product}
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _move(task: Task, staged: Mapping[str, Path]) -> None:
    for name, path in task.product.items():
        _sync(staged[name])
        if path.is_dir() and not path.is_symlink():
            path.rename(staged[name].parent / f".old-{path.name}")
        elif path.exists() and staged[name].is_dir():
            path.unlink()
        staged[name].replace(path)


def _sync(path: Path) -> None:
    """What is moved into place must be on the disk, or a power cut leaves a whole name with half a content."""
    for file in [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
