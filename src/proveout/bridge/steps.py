"""Run one step here and now: products aside, one execution, then moved into place and noted. One door: `run_task`.

A step that is killed on the way is noted as nothing, and runs again.
"""

import importlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proveout.bridge.context import Context
from proveout.bridge.lazy_imports import lighter
from proveout.bridge.record import ipynb_of
from proveout.bridge.spec import Task
from proveout.bridge.staleness import BuildState, Dependencies
from proveout.errors import Busy, NoDocuments, TaskFailed


def run_task(state: BuildState, task: Task, record: bool) -> None:
    """Run one task here and now: products aside, then moved, then noted. Raises TaskFailed."""
    began = time.perf_counter()
    before = state.parts(task)
    state.settle(task)
    state.begin(task)
    with _staged(task) as staged:
        upstream = {name: state.spec.tasks[name].product for name in task.upstream}
        context = Context.of(task.name, task.params, upstream, staged)
        page = _execute(state, task, context, record, before)
        for name, path in staged.items():
            if not path.exists():
                raise TaskFailed(f"{task.file or task.source}: task `{task.name}` ended without writing its product `{name}`")
        _move(task, staged)
        if page and page.exists():
            page.replace(task.record)
            ipynb_of(page).replace(ipynb_of(task.record))
    state.note(task, before, time.perf_counter() - began)


def _execute(state: BuildState, task: Task, context: Context, record: bool, parts: Dependencies) -> Path | None:
    """Run what the task is. Returns where its record lies until the products are in place."""
    if task.kind == "function":
        _call(task, context)
        return None
    if task.kind == "file":
        with lighter():
            from proveout.bridge.ploomber import run_script

        try:
            run_script(state.spec, task, context)
        except Exception as error:
            raise TaskFailed(f"{task.file}: task `{task.name}`: {type(error).__name__}: {error}") from error
        return None
    from proveout.bridge.execute import run_notebook

    assert task.file is not None
    page = task.record.with_name(f"{task.record.stem}.failed.html") if record else None  # until the step is whole
    run_notebook(task.file, context, state.notebook(task.file), page, parts.shown())
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
