"""Run one step in this process. Entry point: `run_task`.

Products are written to a staging folder and moved into place after the step is complete; only then is the run recorded. A step
that is killed before that runs again.
"""

import importlib
import os
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proveout.bridge.context import Context
from proveout.bridge.record import ipynb_of
from proveout.bridge.spec import Task
from proveout.bridge.staleness import BuildState, Dependencies
from proveout.errors import Busy, NoDocuments, TaskFailed
from proveout.imports import lazy_imports


def run_task(state: BuildState, task: Task, record: bool) -> None:
    """Run one task and record it; `record` writes the HTML page too. Raises TaskFailed."""
    began = time.perf_counter()
    before = state.dependencies(task)
    state.unload_changed(task)
    state.begin(task, before)
    with _noting_failure(state, task), _staged(task) as staged:
        upstream = {name: state.spec.tasks[name].product for name in task.upstream}
        context = Context.of(task.name, task.params, upstream, staged)
        page = _execute(state, task, context, record, before)
        for name, path in staged.items():
            if not path.exists():
                raise TaskFailed(f"{task.file or task.source}: task `{task.name}` did not write its product `{name}`")
        _move(task, staged)
        if page and page.exists():
            page.replace(task.record)
            ipynb_of(page).replace(ipynb_of(task.record))
    state.note(task, before, time.perf_counter() - began)


@contextmanager
def _noting_failure(state: BuildState, task: Task) -> Iterator[None]:
    try:
        yield
    except TaskFailed as error:
        state.fail(task, str(error))
        raise


def _execute(state: BuildState, task: Task, context: Context, record: bool, dependencies: Dependencies) -> Path | None:
    """Run the task's source. Returns the path of the record, which moves into place after the products."""
    if task.kind == "function":
        _call(task, context)
        return None
    if task.kind == "file":
        with lazy_imports():
            from proveout.bridge.ploomber import run_script

        try:
            run_script(state.spec, task, context)
        except Exception as error:
            raise TaskFailed(f"{task.file}: task `{task.name}`: {type(error).__name__}: {error}") from error
        return None
    from proveout.bridge.execute import run_notebook

    assert task.file is not None
    page = task.record.with_name(f"{task.record.stem}.failed.html") if record else None  # until the step is complete
    run_notebook(task.file, context, state.notebook(task.file), page, dependencies.facts())
    return page


def _call(task: Task, context: Context) -> None:
    import inspect

    module, _, name = task.source.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    arguments: dict[str, Any] = {"product": context.product, **context.params}
    if "upstream" in inspect.signature(function).parameters:
        arguments["upstream"] = context.upstream
    try:
        function(**arguments)
    except (Busy, NoDocuments):  # not a failure of the step; the message is complete
        raise
    except Exception as error:
        frame, line = list(traceback.walk_tb(error.__traceback__))[-1]
        place = f"{frame.f_code.co_filename}:{line}"
        raise TaskFailed(f"{place}: task `{task.name}` ({task.source}): {type(error).__name__}: {error}") from error


@contextmanager
def _staged(task: Task) -> Iterator[dict[str, Path]]:
    """A staging path for each product, on the product's file system. Removed afterwards, with those of killed runs."""
    staged: dict[str, Path] = {}
    folders = []
    for parent in {path.parent for path in task.product.values()}:
        parent.mkdir(parents=True, exist_ok=True)
        for old in parent.glob(f".staging-{task.name}-*"):
            shutil.rmtree(old, ignore_errors=True)
        folder = parent / f".staging-{task.name}-{os.getpid()}"
        folder.mkdir()
        folders.append(folder)
        staged |= {name: folder / path.name for name, path in task.product.items() if path.parent == parent}
    try:
        yield {name: staged[name] for name in task.product}
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
    """Flush to disk before the move; otherwise a power failure can leave a product with part of its content."""
    for file in [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
