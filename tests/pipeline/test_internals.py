"""The private parts of marimo and Ploomber that the bridge uses still exist and behave as it needs; one test per symbol."""

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy import notebook

SOURCE = Path(__file__).parents[2] / "src" / "proveout"
CELLS = ("import marimo as mo", ("one", "x = 1\n_y = 2"), ("two", "z = x + 1\nz"), ("alone", "w = 0"))


def load(text: str) -> Any:
    from marimo._ast.load import load_notebook_ir
    from marimo._ast.parse import parse_notebook

    return load_notebook_ir(parse_notebook(text, filepath="nb.py"), filepath="nb.py")


@pytest.fixture
def app() -> Any:
    app = load(notebook(*CELLS))
    app._maybe_initialize()
    return app


@pytest.fixture
def ids(app: Any) -> dict[str, Any]:
    """Cell name to id."""
    manager = app._cell_manager
    return {manager.get_cell_data(id).name: id for id in manager.cell_ids()}


@pytest.fixture
def context(app: Any) -> Iterator[Any]:
    from marimo._ast.app import InternalApp
    from marimo._messaging.types import NoopStream
    from marimo._runtime.context import get_context
    from marimo._runtime.context.script_context import initialize_script_context
    from marimo._runtime.context.types import teardown_context

    initialize_script_context(app=InternalApp(app), stream=NoopStream(), filename="nb.py")
    yield get_context()
    teardown_context()


def evaluated(app: Any, id: Any, values: dict[str, Any]) -> Any:
    from marimo._runtime.executor import DefaultExecutor, Evaluator

    return Evaluator(executor=DefaultExecutor(), lifecycles=[]).evaluate_sync(app._graph.cells[id], values)


def test_every_private_symbol_that_the_bridge_uses_has_a_contract_here() -> None:
    contracts = Path(__file__).read_text(encoding="utf-8")
    tree = ast.parse((SOURCE / "bridge" / "marimo_internals.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "marimo._" in f"{node.module}"]
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    symbols = {alias.name for node in imports for alias in node.names} | {name for name in attributes if name.startswith("_")}
    assert len(symbols) > 20
    assert [name for name in sorted(symbols) if name not in contracts] == []


def test_importing_the_bridge_imports_neither_marimo_nor_ploomber() -> None:
    import subprocess
    import sys

    code = "import proveout.bridge.builds, proveout.bridge.execute, proveout.bridge.marimo_internals, sys;"
    code += "print({'marimo', 'ploomber'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_marimo_parse_notebook() -> None:
    from marimo._ast.parse import parse_notebook

    text = notebook(*CELLS)
    parsed = parse_notebook(text, filepath="nb.py")
    assert parsed is not None and parsed.valid
    assert [cell.name for cell in parsed.cells] == ["_", "one", "two", "alone"]
    assert parsed.cells[1].code == "x = 1\n_y = 2"
    assert text.splitlines()[parsed.cells[1].lineno - 1] in ("@app.cell", "def one():")
    broken = parse_notebook(notebook("x = [1"), filepath="nb.py")  # a syntax error in a cell is the caller's to find
    assert broken is not None and broken.valid and broken.cells[0].code == "x = [1"
    script = parse_notebook("x = 1\n", filepath="nb.py")
    assert script is None or not script.valid


def test_marimo_load_notebook_ir_and_filename() -> None:
    assert load(notebook(*CELLS))._filename == "nb.py"


def test_marimo_cell_manager() -> None:
    manager = load(notebook(*CELLS))._cell_manager  # before the app is initialised
    codes = [manager.get_cell_data(id).code for id in manager.cell_ids()]
    assert codes == ["import marimo as mo", "x = 1\n_y = 2", "z = x + 1\nz", "w = 0"]


def test_marimo_graph(app: Any, ids: dict[str, Any]) -> None:
    graph = app._graph
    one, two = graph.cells[ids["one"]], graph.cells[ids["two"]]
    assert graph.parents[ids["two"]] == {ids["one"]} and set(graph.descendants(ids["one"])) == {ids["two"]}
    assert not graph.is_disabled(ids["one"]) and not one.config.disabled
    assert "x" in one.defs and isinstance(one.mod, ast.Module) and one.cell_id == ids["one"]
    assert len(one.temporaries - one.closed_over_temporaries) == 1 and not one.is_coroutine()
    assert two.body.co_filename
    assert not graph.get_multiply_defined() and not graph.cycles


def test_marimo_execution_order(app: Any, ids: dict[str, Any]) -> None:
    order = list(app._execution_order)
    assert set(order) == set(ids.values()) and order.index(ids["one"]) < order.index(ids["two"])


def test_marimo_maybe_initialize_raises_on_a_duplicate_and_on_a_cycle() -> None:
    from marimo._ast.errors import CycleError, MultipleDefinitionError

    duplicate = load(notebook("x = 1", "x = 2"))
    with pytest.raises(MultipleDefinitionError):
        duplicate._maybe_initialize()
    assert list(duplicate._graph.get_multiply_defined()) == ["x"]
    cycle = load(notebook("a = b", "b = a"))
    with pytest.raises(CycleError):
        cycle._maybe_initialize()
    (edges,) = cycle._graph.cycles
    assert {edge[0] for edge in edges} == set(cycle._cell_manager.cell_ids())


def test_marimo_runtime_context(app: Any) -> None:
    from marimo._ast.app import InternalApp
    from marimo._messaging.types import NoopStream
    from marimo._runtime.context.script_context import initialize_script_context
    from marimo._runtime.context.types import runtime_context_installed, teardown_context

    assert not runtime_context_installed()
    initialize_script_context(app=InternalApp(app), stream=NoopStream(), filename="nb.py")
    try:
        assert runtime_context_installed()
    finally:
        teardown_context()
    assert not runtime_context_installed()


def test_marimo_main_module() -> None:
    import sys

    from marimo._runtime.patches import create_main_module, patch_main_module_context

    before = sys.modules["__main__"]
    with patch_main_module_context(create_main_module(file="nb.py", input_override=None)) as module:
        assert sys.modules["__main__"] is module
        assert module.__dict__["__file__"] == "nb.py" and module.__dict__["__name__"] == "__main__"
    assert sys.modules["__main__"] is before


def test_marimo_evaluator(app: Any, ids: dict[str, Any]) -> None:
    values: dict[str, Any] = {"x": 2}
    result = evaluated(app, ids["two"], values)
    assert (result.output, result.exception, values["z"]) == (3, None, 3)


def test_marimo_evaluator_wraps_what_a_cell_raises(context: Any) -> None:
    from marimo._runtime.exceptions import MarimoRuntimeException

    app = load(notebook("1 / 0"))
    app._maybe_initialize()
    (id,) = app._cell_manager.cell_ids()
    with context.with_cell_id(id):
        error = evaluated(app, id, {}).exception
    assert isinstance(error.__cause__ if isinstance(error, MarimoRuntimeException) else error, ZeroDivisionError)


def test_marimo_stop(context: Any) -> None:
    import marimo
    from marimo._runtime.control_flow import MarimoStopError
    from marimo._runtime.exceptions import MarimoRuntimeException

    app = load(notebook("mo.stop(True, 'why')"))
    app._maybe_initialize()
    (id,) = app._cell_manager.cell_ids()
    with context.with_cell_id(id):
        error = evaluated(app, id, {"mo": marimo}).exception
    error = error.__cause__ if isinstance(error, MarimoRuntimeException) else error
    assert isinstance(error, MarimoStopError) and error.output == "why"


def test_marimo_run_coroutine_blocking_also_inside_a_running_loop() -> None:
    from marimo._utils.asyncio_utils import run_coroutine_blocking

    async def answer() -> int:
        return 42

    async def nested() -> int:
        return run_coroutine_blocking(answer())

    assert run_coroutine_blocking(answer()) == 42
    assert asyncio.run(nested()) == 42


def test_marimo_output_of_a_cell(context: Any) -> None:
    import marimo
    from marimo._runtime.context import get_context

    with get_context().with_cell_id("cell"):
        assert not context.execution_context.output
        marimo.output.append(marimo.md("appended"))
        assert "appended" in context.execution_context.output.stack().text


def test_marimo_formatters() -> None:
    from marimo._output.formatters.formatters import register_formatters
    from marimo._output.formatting import FORMATTERS, try_format

    if FORMATTERS.is_empty():
        register_formatters()
    assert not FORMATTERS.is_empty()
    import marimo

    formatted = try_format(marimo.md("**bold**"), include_opinionated=False)
    assert formatted.mimetype == "text/markdown" and "<strong>bold</strong>" in formatted.data and formatted.exception is None

    class Broken:
        def _repr_html_(self) -> str:
            raise ValueError("broken")

    broken = try_format(Broken(), include_opinionated=False)
    assert isinstance(broken.exception, ValueError) and "broken" in (broken.traceback or "")


def test_marimo_widgets_are_elements_that_the_record_can_replace() -> None:
    import marimo
    import pandas as pd
    from marimo._plugins.ui._impl.tables.selection import INDEX_COLUMN_NAME

    from proveout.bridge.marimo_internals import ROW_ID
    from proveout.bridge.record import rendered, static

    assert ROW_ID == INDEX_COLUMN_NAME
    assert "zoom: <b>4</b>" in static(marimo.ui.slider(1, 5, value=4, label="zoom").text)
    assert "<td>7</td>" in rendered(marimo.ui.table(pd.DataFrame({"x": [7]})))


@pytest.fixture
def dag() -> Any:
    """A Ploomber DAG of one step, whose state answers from `reasons` and notes what ran."""
    from proveout.bridge.ploomber import DAG, Step, StepExecutor

    dag = DAG(executor=StepExecutor())
    ran: list[str] = []
    reasons: dict[str, str] = {}
    task = SimpleNamespace(name="step")
    state = SimpleNamespace(
        spec=SimpleNamespace(tasks={"step": task}),
        reason=reasons.get,
        noted=lambda name: 1.0,
        run=lambda task, why: ran.append(why),
    )
    dag._proveout = lambda: state
    dag.ran, dag.reasons = ran, reasons
    Step("module.step", {"n": __file__}, dag, "step")
    return dag


def test_ploomber_asks_the_product_whether_it_is_outdated(dag: Any) -> None:
    from ploomber.products.product import Product

    dag.build(show_progress=False)
    assert dag.ran == []
    names = ("_is_outdated", "_outdated_code_dependency", "_outdated_data_dependencies", "fetch_metadata", "save_metadata")
    assert all(callable(getattr(Product, name)) for name in names)


def test_ploomber_build_of_a_task_raises_what_the_task_raised(dag: Any) -> None:
    dag.reasons["step"] = "changed"
    dag._proveout().run = lambda task, why: 1 / 0
    dag.render(show_progress=False)
    with pytest.raises(Exception) as error:  # DAGBuildError or the error itself
        dag["step"]._build(catch_exceptions=False)
    assert isinstance(error.value, ZeroDivisionError) or isinstance(error.value.__cause__, ZeroDivisionError)


def test_ploomber_keeps_the_products_and_params_of_a_task(dag: Any) -> None:
    assert {name: str(file) for name, file in dag["step"].product.products.products.items()} == {"n": __file__}
    dag.render(show_progress=False)
    assert "product" in dag["step"].params.to_dict()
    assert list(dag["step"].upstream) == []


def test_ploomber_source_needs_nothing_else() -> None:
    """`_post_init_validation` and `_post_render_validation` are abstract: without them the class has no instances."""
    from ploomber.sources.abc import Source

    from proveout.bridge.ploomber import Code

    assert {"_post_init_validation", "_post_render_validation"} <= Source.__abstractmethods__
    assert str(Code("module.step")) == "module.step" and Code("module.step").name == "step"


def test_ploomber_task_takes_its_source_from_init_source(dag: Any) -> None:
    from ploomber.tasks.abc import Task

    assert {"run", "_init_source"} <= Task.__abstractmethods__
    assert str(dag["step"].source) == "module.step"


def test_ploomber_task_status() -> None:
    from ploomber.constants import TaskStatus

    assert len({TaskStatus.Skipped, TaskStatus.Executed, TaskStatus.Errored}) == 3


def test_ploomber_executor_runs_what_is_not_skipped(dag: Any) -> None:
    from ploomber.constants import TaskStatus

    dag.reasons["step"] = "changed"
    dag.build(show_progress=False)
    assert dag.ran == ["changed"]
    dag.reasons.clear()
    dag.render(show_progress=False)
    assert dag["step"].exec_status == TaskStatus.Skipped


def test_ploomber_finds_a_registered_class() -> None:
    from ploomber.validators import string

    from proveout.bridge.dag import MarimoNotebook

    assert string._KEY2CLASS_TASKS["MarimoNotebook"] is string._KEY2CLASS["MarimoNotebook"] is MarimoNotebook
    assert string.validate_task_class_name("MarimoNotebook") is MarimoNotebook


def test_ploomber_leaves_the_lab_alone() -> None:
    from ploomber.jupyter.manager import _load_jupyter_server_extension

    from proveout.bridge.lab import Pages

    messages: list[str] = []
    _load_jupyter_server_extension(SimpleNamespace(contents_manager_class=Pages, log=SimpleNamespace(info=messages.append)))
    assert len(messages) == 1 and messages[0].endswith("OK")
