"""The only file that touches private parts of marimo; the rest of the bridge calls these functions.

Covered: marimo 0.25. Each private symbol has a contract test in tests/pipeline/test_internals.py.
marimo is imported on first use, so importing this file costs nothing.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

ROW_ID = "_marimo_row_id"  # column that marimo's table widget adds to a frame


def parse(text: str, file: Path) -> Any:
    """A notebook as marimo parses it: `valid`, and `cells` with `name`, `code` (perhaps not Python) and `lineno`; or None."""
    from marimo._ast.parse import parse_notebook

    return parse_notebook(text, filepath=str(file))


def app_of(parsed: Any, file: Path) -> Any:
    """The `marimo.App` of a parsed notebook. Runs no cell."""
    from marimo._ast.load import load_notebook_ir

    return load_notebook_ir(parsed, filepath=str(file))


def cell_codes(app: Any) -> dict[str, str]:
    """Cell id to code, in the order of the file."""
    data = {str(id): app._cell_manager.get_cell_data(id) for id in app._cell_manager.cell_ids()}
    return {id: cell.code if cell else "" for id, cell in data.items()}


def graph_of(app: Any) -> Any:
    """marimo's dataflow graph: `cells`, `parents`, `cycles`, `descendants(id)` and `get_multiply_defined()`."""
    return app._graph


def graph_error(app: Any) -> Exception | None:
    """Register all cells. The error, if they form a cycle or define a name twice."""
    from marimo._ast.errors import CycleError, MultipleDefinitionError

    try:
        app._maybe_initialize()
    except (CycleError, MultipleDefinitionError) as error:
        return error
    return None


def execution_order(app: Any) -> list[str]:
    """Ids of the enabled cells, parents first."""
    return [str(id) for id in app._execution_order if not app._graph.is_disabled(id)]


def is_running() -> bool:
    """Whether a marimo runtime is active in this thread, as in the editor; its kernel cannot run a second notebook."""
    types = sys.modules.get("marimo._runtime.context.types")
    return bool(types and types.runtime_context_installed())


@contextmanager
def script_runtime(app: Any) -> Iterator[dict[str, Any]]:
    """The runtime of a notebook that runs as a script, for `mo.ui`, `mo.output` and the formatters. Yields its globals."""
    from marimo._ast.app import InternalApp
    from marimo._messaging.types import NoopStream
    from marimo._output.formatters.formatters import register_formatters
    from marimo._output.formatting import FORMATTERS
    from marimo._runtime.context.script_context import initialize_script_context
    from marimo._runtime.context.types import teardown_context
    from marimo._runtime.patches import create_main_module, patch_main_module_context

    if FORMATTERS.is_empty():
        register_formatters()
    initialize_script_context(app=InternalApp(app), stream=NoopStream(), filename=app._filename)
    try:
        with patch_main_module_context(create_main_module(file=app._filename, input_override=None)) as module:
            yield module.__dict__
    finally:
        teardown_context()


def cell_scope(cell: Any) -> AbstractContextManager[Any]:
    """Within the block, output and widgets belong to this cell. Needs `script_runtime`."""
    from marimo._runtime.context import get_context

    return get_context().with_cell_id(cell.cell_id)


def run_cell(cell: Any, values: dict[str, Any]) -> tuple[object, BaseException | None, bool]:
    """Run a cell of the graph, also an async one, on these globals.

    Returns the value of its last expression (or what `mo.stop` displays), its error, and whether `mo.stop` halted it.
    """
    from marimo._runtime.control_flow import MarimoStopError
    from marimo._runtime.exceptions import MarimoRuntimeException
    from marimo._runtime.executor import DefaultExecutor, Evaluator
    from marimo._utils.asyncio_utils import run_coroutine_blocking

    evaluator = Evaluator(executor=DefaultExecutor(), lifecycles=[])  # looking for plug-ins costs 30 ms a cell
    if cell.is_coroutine():
        result = run_coroutine_blocking(evaluator.evaluate(cell, values))
    else:
        result = evaluator.evaluate_sync(cell, values)
    error: Any = result.exception
    if isinstance(error, MarimoRuntimeException):
        error = error.__cause__
    if isinstance(error, MarimoStopError):
        return error.output, None, True
    return result.output, error, False


def appended_output() -> object:
    """What `mo.output` collected in this `cell_scope`; None if nothing."""
    from marimo._runtime.context import get_context

    execution = get_context().execution_context
    return execution.output.stack() if execution is not None and execution.output else None


def drop_temporaries(cell: Any, values: dict[str, Any]) -> None:
    """Remove a cell's private names (`_x`) from the globals, as the editor does: what fails there fails in a build."""
    for name in cell.temporaries - cell.closed_over_temporaries:
        values.pop(name, None)


def format_value(value: object) -> tuple[str, Any, str]:
    """Mimetype and data by marimo's own formatters, and the traceback of a formatter that failed, else ""."""
    from marimo._output.formatting import try_format

    result = try_format(value, include_opinionated=False)
    error = "" if result.exception is None else result.traceback or repr(result.exception)
    return str(result.mimetype), result.data, error
