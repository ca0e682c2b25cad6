"""Run a marimo notebook once, in this process: products and record come from the same execution. One door: `run_notebook`.

The cells on a path to a product run first, so that nothing that is only shown can change what is made; the others run
after them if a record is asked for, and not at all otherwise. The record shows them in the notebook's order.
Covered: async cells, `mo.stop`, `mo.output.append`, a setup cell, a failing cell (the record up to there is kept).
Not covered: output that C code writes past Python's `sys.stdout`.
"""

import contextlib
import io
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from proveout.bridge.context import Context, acting_as
from proveout.bridge.notebook import Loaded, Notebook, open_app
from proveout.bridge.record import CellRecord, RunRecord, rendered
from proveout.errors import TaskFailed


@dataclass(frozen=True)
class Ran:
    seconds: float
    cells: int  # that ran
    values: Mapping[str, Any]  # what the notebook's cells define


@dataclass
class _Failure:
    error: BaseException
    cell: str
    line: int


@dataclass
class _Console(io.TextIOBase):
    stream: str
    parts: list[tuple[str, str]] = field(default_factory=list)

    def write(self, text: str) -> int:
        if self.parts and self.parts[-1][0] == self.stream:
            self.parts[-1] = (self.stream, self.parts[-1][1] + text)
        else:
            self.parts.append((self.stream, text))
        return len(text)

    def writable(self) -> bool:
        return True


def run_notebook(
    file: Path,
    context: Context,
    notebook: Notebook,
    record: Path | None = None,
    facts: Mapping[str, str] | None = None,
) -> Ran:
    """Run the cells that lead to a product, and with `record` all the others, and write the record.

    Raises TaskFailed with notebook, cell and line; the record up to there is written all the same.
    """
    os.environ.setdefault("MPLBACKEND", "agg")
    loaded = open_app(file)
    used = {cell.id for cell in notebook.used(context.params)}
    replaced = {cell.id: cell for cell in notebook.cells if notebook.replaced(cell, context.params)}
    order = [str(id) for id in loaded.app._execution_order if not loaded.app._graph.is_disabled(id)]
    first = [id for id in order if id in used]
    later = [id for id in order if id not in used and id not in replaced] if record else []
    given = {name: context.params[name] for cell in replaced.values() for name in cell.sets_from_widget}
    told = {
        name: os.path.relpath(value, file.parent) if isinstance(value, Path) else value
        for name, value in context.params.items()
    }
    page = RunRecord(context.task, file.name, datetime.now(UTC).isoformat(timespec="seconds"), told, dict(facts or {}))
    shown = {str(id): _blank(loaded, str(id), used, str(id) in replaced, record is not None) for id in loaded.lines}
    began = time.perf_counter()
    with acting_as(file, context), _at_home(file):
        failure, values = _run(loaded, [*first, *later], given, shown, record is not None)
    page.seconds = time.perf_counter() - began
    page.cells = list(shown.values())
    if record:
        page.write(record)
    if failure:
        kept = f"; the record up to there: {record}" if record else ""
        what = f"{type(failure.error).__name__}: {failure.error}"
        raise TaskFailed(f"{file}:{failure.line}: task `{context.task}`, {failure.cell}: {what}{kept}") from failure.error
    return Ran(page.seconds, len(first) + len(later), values)


def _blank(loaded: Loaded, id: str, used: set[str], replaced: bool, with_record: bool) -> CellRecord:
    name, line = loaded.names[id], loaded.lines[id]
    data = loaded.app._cell_manager.get_cell_data(id)
    title = f"{name} · line {line}" if name != "_" else f"line {line}"
    state = "replaced by a parameter" if replaced else "skipped"
    return CellRecord(title + ("" if id in used else " · only shown"), data.code if data else "", line, state)


def _run(
    loaded: Loaded, order: list[str], values: dict[str, Any], shown: dict[str, CellRecord], show: bool
) -> tuple[_Failure | None, Mapping[str, Any]]:
    from marimo._runtime.patches import create_main_module, patch_main_module_context

    graph = loaded.app._graph
    stopped: set[str] = set()
    file = loaded.app._filename
    with _marimo_context(loaded, file), patch_main_module_context(create_main_module(file=file, input_override=None)) as module:
        values_ = module.__dict__
        values_.update(values)
        for id in order:
            if id in stopped:
                continue
            failure, halted = _run_cell(loaded, id, values_, shown[id], show)
            if failure:
                return failure, dict(values_)
            if halted:
                stopped |= {str(other) for other in graph.descendants(id)}
        return None, dict(values_)


def _run_cell(loaded: Loaded, id: str, values: dict[str, Any], page: CellRecord, show: bool) -> tuple[_Failure | None, bool]:
    """Run one cell and fill in its part of the record. True: `mo.stop` halted what follows from it."""
    from marimo._runtime.context import get_context
    from marimo._runtime.control_flow import MarimoStopError
    from marimo._runtime.exceptions import MarimoRuntimeException
    from marimo._runtime.executor import DefaultExecutor, Evaluator

    cell = loaded.app._graph.cells[id]
    evaluator = Evaluator(executor=DefaultExecutor(), lifecycles=[])  # looking for plug-ins costs 30 ms a cell
    out, err = _Console("stdout", page.console), _Console("stderr", page.console)
    began = time.perf_counter()
    with get_context().with_cell_id(cell.cell_id), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        result = _awaited(evaluator.evaluate(cell, values)) if cell.is_coroutine() else evaluator.evaluate_sync(cell, values)
        page.seconds = time.perf_counter() - began
        error = result.exception
        if isinstance(error, MarimoRuntimeException):
            error = error.__cause__
        halted = isinstance(error, MarimoStopError)
        if show:
            page.output = _output(error.output if halted else result.output, get_context().execution_context)  # type: ignore[union-attr]
    for name in cell.temporaries - cell.closed_over_temporaries:  # as the editor does: what fails there fails here
        values.pop(name, None)
    _close_figures()
    page.state = "ok"
    if error is None or halted:
        return None, halted
    if not isinstance(error, Exception):
        raise error  # type: ignore[misc]
    page.state, page.error = "failed", "".join(traceback.format_exception(error))
    line = loaded.lines[id] + _line_within(error, cell.body.co_filename if cell.body else "") - 1
    return _Failure(error, f"cell `{loaded.names[id]}`", line), False


def _output(value: object, execution: Any) -> str:
    added = execution.output.stack() if execution is not None and execution.output else None
    try:
        return (rendered(added) if added is not None else "") + rendered(value)
    except Exception:  # a broken repr must not break what the cell has made
        return "<p class=note>this value cannot be shown</p>"


def _line_within(error: BaseException, filename: str) -> int:
    """The cell's line, from 1, in which the error came up."""
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == filename]
    return lines[-1] if lines else 1


def _awaited(coroutine: Any) -> Any:
    from marimo._utils.asyncio_utils import run_coroutine_blocking

    return run_coroutine_blocking(coroutine)


def _close_figures() -> None:
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@contextlib.contextmanager
def _marimo_context(loaded: Loaded, file: str) -> Iterator[None]:
    """What `mo.ui`, `mo.output` and the formatters expect to find around them."""
    from marimo._ast.app import InternalApp
    from marimo._messaging.types import NoopStream
    from marimo._output.formatters.formatters import register_formatters
    from marimo._output.formatting import FORMATTERS
    from marimo._runtime.context.script_context import initialize_script_context
    from marimo._runtime.context.types import runtime_context_installed, teardown_context

    if FORMATTERS.is_empty():
        register_formatters()
    if runtime_context_installed():
        raise TaskFailed("a build cannot run inside a running marimo cell; run it in a terminal, or with `!proveout build`")
    initialize_script_context(app=InternalApp(loaded.app), stream=NoopStream(), filename=file)
    try:
        yield
    finally:
        teardown_context()


@contextlib.contextmanager
def _at_home(file: Path) -> Iterator[None]:
    """Modules beside the notebook can be imported, as in marimo's editor."""
    folder = str(file.parent)
    argv, sys.argv = sys.argv, [str(file)]
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.argv = argv
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
