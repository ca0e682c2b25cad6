"""Build what is stale. One door: `build`.

Products are written into a staging folder beside their place and moved when the step is whole; only then is the step
noted as built. A step that is killed on the way is noted as nothing, and runs again.
Not covered: what makes a step stale. `staleness` decides that.
"""

import importlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from proveout.errors import BadInput, BadSpec, TaskFailed
from proveout.pipeline import spec as specs
from proveout.pipeline.here import Context
from proveout.pipeline.spec import Spec, Task
from proveout.pipeline.staleness import Ledger, Parts

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
) -> Built:
    """Run the tasks of a spec that are stale, upstream first.

    `only` names tasks: those and what they depend on. `force` runs tasks although nothing changed. `record` writes the
    HTML record of each run. Raises BadSpec before anything runs, and TaskFailed when a step fails.
    """
    began = time.perf_counter()
    loaded = specs.load(spec, env)
    wanted = _wanted(loaded, [only] if isinstance(only, str) else only)
    forced = set(loaded.tasks) if force is True else set(force or ())
    for name in forced - set(loaded.tasks):
        raise BadSpec(f"{loaded.path}: no task `{name}` to force; {specs.nearest(name, list(loaded.tasks))}")
    ledger = Ledger(loaded)
    ledger.check(wanted)
    results = []
    with ledger.alone():
        for task in wanted:
            why = ledger.why(task)
            if why is None and task.name in forced:
                why = "asked for"
            result = TaskResult(task.name, "skipped", "nothing changed", record=_existing(task.record))
            if why is not None:
                started = time.perf_counter()
                _run(loaded, task, ledger, record)
                result = TaskResult(task.name, "ran", why, time.perf_counter() - started, _existing(task.record))
            results.append(result)
            if progress:
                progress(result)
    products = {task.name: dict(task.product) for task in wanted}
    return Built(loaded.path, tuple(results), time.perf_counter() - began, products)


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


def _run(spec: Spec, task: Task, ledger: Ledger, record: bool) -> None:
    began = time.perf_counter()
    before = ledger.parts(task)
    ledger.settle(task)
    ledger.forget(task)
    with _staged(task) as staged:
        here = Context.of(
            task.name,
            task.params,
            {name: spec.tasks[name].product for name in task.upstream},
            staged,
            str(spec.path),
        )
        page = _run_task(task, here, ledger, record, before)
        for name, path in staged.items():
            if not path.exists():
                raise TaskFailed(f"{task.file or task.source}: task `{task.name}` ended without writing its product `{name}`")
        _move(task, staged)
        if page and page.exists():
            task.record.parent.mkdir(parents=True, exist_ok=True)
            page.replace(task.record)
            _failed_record(task).unlink(missing_ok=True)
    ledger.note(task, before, time.perf_counter() - began)


def _run_task(task: Task, here: Context, ledger: Ledger, record: bool, parts: Parts) -> Path | None:
    if task.kind == "function":
        _call(task, here)
        return None
    if task.kind == "file":
        raise BadInput(f"task `{task.name}`: {task.source} is run by Ploomber; this comes with its adapter")
    from proveout.pipeline.execute import run_notebook

    assert task.file is not None
    page = _failed_record(task) if record else None  # until the step is whole
    run_notebook(task.file, here, ledger.notebook(task.file), page, parts.shown())
    return page


def _call(task: Task, here: Context) -> None:
    import inspect

    module, _, name = task.source.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    given: dict[str, Any] = {"product": here.product, **here.params}
    if "upstream" in inspect.signature(function).parameters:
        given["upstream"] = here.upstream
    try:
        function(**given)
    except Exception as error:
        line = error.__traceback__.tb_lineno if error.__traceback__ else 1
        tb = error.__traceback__
        while tb and tb.tb_next:
            tb = tb.tb_next
            line = tb.tb_lineno
        where = tb.tb_frame.f_code.co_filename if tb else task.source
        raise TaskFailed(f"{where}:{line}: task `{task.name}` ({task.source}): {type(error).__name__}: {error}") from error


def _failed_record(task: Task) -> Path:
    return task.record.with_name(f"{task.record.stem}.failed.html")


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
        staged[name].replace(path)


def _sync(path: Path) -> None:
    """What is moved into place must be on the disk, or a power cut leaves a whole name with half a content."""
    for file in [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
