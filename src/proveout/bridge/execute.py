"""Run a marimo notebook once, in this process: products and record come from the same execution.

Entry point: `run_notebook`. The cells on a path to a product run first, so that nothing that is only displayed can change
a product. The others run after them if a record is requested, and not at all otherwise. The record keeps the notebook's order.
Covered: async cells, `mo.stop`, `mo.output.append`, a setup cell, a failing cell (the record up to that cell is kept).
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
from types import CodeType
from typing import Any

from proveout.bridge import marimo_internals
from proveout.bridge.context import Context, acting_as
from proveout.bridge.notebook import Loaded, Notebook, open_app
from proveout.bridge.record import CellRecord, RunRecord, rendered
from proveout.errors import TaskFailed


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
) -> None:
    """Run the cells that lead to a product; with `record`, run all the others too and write the record to that path.

    Raises TaskFailed with notebook, cell and line. The record up to the failing cell is written all the same.
    """
    os.environ.setdefault("MPLBACKEND", "agg")
    loaded = open_app(file)
    used = {cell.id for cell in notebook.used(context.params)}
    replaced = {cell.id: cell for cell in notebook.cells if notebook.replaced(cell, context.params)}
    order = marimo_internals.execution_order(loaded.app)
    first = [id for id in order if id in used]
    later = [id for id in order if id not in used and id not in replaced] if record else []
    values = {name: context.params[name] for cell in replaced.values() for name in cell.sets_from_widget}
    params = {
        name: os.path.relpath(value, file.parent) if isinstance(value, Path) else value
        for name, value in context.params.items()
    }
    page = RunRecord(context.task, file.name, datetime.now(UTC).isoformat(timespec="seconds"), params, dict(facts or {}))
    codes = marimo_internals.cell_codes(loaded.app)
    records = {id: _not_run(loaded, id, code, id in used, id in replaced) for id, code in codes.items()}
    began = time.perf_counter()
    with acting_as(file, context), _as_script(file):
        failed, error = _run(loaded, [*first, *later], values, records, record is not None)
    page.seconds = time.perf_counter() - began
    page.cells = list(records.values())
    if record:
        page.write(record)
    if error:
        line = loaded.lines[failed] + _line_within(error, loaded.graph.cells[failed].body) - 1
        message = f"{file}:{line}: task `{context.task}`, cell `{loaded.names[failed]}`: {type(error).__name__}: {error}"
        raise TaskFailed(message + (f"; the record up to that cell is {record}" if record else "")) from error


def _not_run(loaded: Loaded, id: str, code: str, used: bool, replaced: bool) -> CellRecord:
    name, line = loaded.names[id], loaded.lines[id]
    title = f"{name} · line {line}" if name != "_" else f"line {line}"
    state = "replaced by a parameter" if replaced else "skipped"
    return CellRecord(title + ("" if used else " · display only"), code, line, state)


def _run(
    loaded: Loaded, order: list[str], values: dict[str, Any], records: dict[str, CellRecord], show: bool
) -> tuple[str, Exception | None]:
    """Run cells in order, up to the first error. Returns the id of its cell, and the error."""
    if marimo_internals.is_running():
        raise TaskFailed("a build cannot run inside a running marimo cell; run it in a terminal, or with `!proveout build`")
    stopped: set[str] = set()
    with marimo_internals.script_runtime(loaded.app) as module:
        module.update(values)
        for id in order:
            if id in stopped:
                continue
            error, halted = _run_cell(loaded.graph.cells[id], module, records[id], show)
            if error:
                return id, error
            if halted:
                stopped |= {str(other) for other in loaded.graph.descendants(id)}
    return "", None


def _run_cell(cell: Any, values: dict[str, Any], record: CellRecord, show: bool) -> tuple[Exception | None, bool]:
    """Run one cell and fill in its part of the record. True: `mo.stop` halted the cells that depend on it."""
    out, err = _Console("stdout", record.console), _Console("stderr", record.console)
    began = time.perf_counter()
    with marimo_internals.cell_scope(cell), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        output, error, halted = marimo_internals.run_cell(cell, values)
        record.seconds = time.perf_counter() - began
        if show:
            record.output = _output(output)
    marimo_internals.drop_temporaries(cell, values)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
    if error is None:
        record.state = "ok"
        return None, halted
    if not isinstance(error, Exception):
        raise error
    record.state, record.error = "failed", "".join(traceback.format_exception(error))
    return error, False


def _output(value: object) -> str:
    try:
        appended = marimo_internals.appended_output()
        return (rendered(appended) if appended is not None else "") + rendered(value)
    except Exception:  # a broken repr must not fail the step
        return "<p class=note>this value cannot be displayed</p>"


def _line_within(error: BaseException, body: CodeType | None) -> int:
    """The line within a cell, from 1, that raised the error; `body` is the cell's compiled code."""
    file = body.co_filename if body else ""
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    return lines[-1] if lines else 1


@contextlib.contextmanager
def _as_script(file: Path) -> Iterator[None]:
    """`sys.argv` as for a script; modules beside the notebook can be imported, as in marimo's editor."""
    folder = str(file.parent)
    argv, sys.argv = sys.argv, [str(file)]
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.argv = argv
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
