"""Read a marimo notebook without running it: its cells, what each one needs, and which of them write products.

Entry point: `read`. A cell that mentions a product is a sink. The step depends on the sinks and on the cells that lead to them.
Covered: cells by marimo's own graph; a sink that uses a name for the path (`path = context.product["model"]` in one cell,
`path` in another) or a function; a widget's value that a parameter replaces (`k = k_slider.value` with a parameter `k`).
Not covered: an object of another cell that is changed in place (marimo forbids it), and an object that writes a product when
another cell uses it. Neither leaves a trace in the graph: the cell that mentions a product counts as the one that writes it.
"""

import ast
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from proveout.bridge import marimo_internals
from proveout.errors import BadSpec


@dataclass(frozen=True)
class Cell:
    id: str  # marimo's, by position
    name: str  # "_" if it has none
    line: int  # first line of its code in the file, from 1
    digest: str  # of the code without comments and formatting
    parents: tuple[str, ...]
    sink: bool  # writes a product, as far as the source shows
    sets_from_widget: tuple[str, ...]  # `k`, if the cell is just `k = widget.value`
    defines: tuple[str, ...]
    imports: tuple[str, ...]  # `pandas`, or `proveout.models:Extractor` for a from-import
    params: tuple[str, ...]
    upstream: tuple[tuple[str, str], ...]  # (task, product); product "*" if the source does not show which
    product: tuple[str, ...]  # "*" if the source does not show which


@dataclass(frozen=True)
class Notebook:
    cells: tuple[Cell, ...]  # in the order of the file

    def used(self, params: Mapping[str, Any]) -> list[Cell]:
        """The cells on a path to a product, in the file's order, without those that a parameter replaces."""
        by_id = {cell.id: cell for cell in self.cells}
        used: set[str] = set()
        queue = [cell.id for cell in self.cells if cell.sink]
        while queue:
            cell = by_id[queue.pop()]
            if cell.id not in used and not self.replaced(cell, params):
                used.add(cell.id)
                queue += cell.parents
        return [cell for cell in self.cells if cell.id in used]

    @staticmethod
    def replaced(cell: Cell, params: Mapping[str, Any]) -> bool:
        """Whether parameters give every value that the cell takes from widgets."""
        return bool(cell.sets_from_widget) and set(cell.sets_from_widget) <= set(params)

    def as_data(self) -> list[dict[str, Any]]:
        """For JSON; `of_data` reads it back."""
        return [asdict(cell) for cell in self.cells]

    @staticmethod
    def of_data(data: list[dict[str, Any]]) -> "Notebook":
        return Notebook(tuple(Cell(**{key: _tuples(value) for key, value in cell.items()}) for cell in data))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class Loaded:
    """A notebook as marimo loads it, ready to run."""

    app: Any  # marimo.App, initialised
    graph: Any  # see `marimo_internals.graph_of`
    lines: Mapping[str, int]  # cell id -> first line of its code
    names: Mapping[str, str]


def open_app(file: Path) -> Loaded:
    """Load a notebook with marimo and check it. Raises BadSpec with file and line; runs nothing."""
    text = file.read_text(encoding="utf-8")
    _check_version(file, text)
    parsed = marimo_internals.parse(text, file)
    if parsed is None or not parsed.valid:
        raise BadSpec(f"{file}:1: marimo cannot read this notebook; open it with `marimo edit` and save it")
    source = text.splitlines()
    for cell in parsed.cells:
        try:
            ast.parse(cell.code)
        except SyntaxError as error:
            line = _first_line(cell, source) + (error.lineno or 1) - 1
            raise BadSpec(f"{file}:{line}: cell `{cell.name}` is not Python: {error.msg}") from error
    app = marimo_internals.app_of(parsed, file)
    cells = dict(zip(marimo_internals.cell_codes(app), parsed.cells, strict=True))
    lines = {id: _first_line(cell, source) for id, cell in cells.items()}
    names = {id: "_" if cell.name in ("", "*_") else cell.name for id, cell in cells.items()}
    loaded = Loaded(app, marimo_internals.graph_of(app), lines, names)
    _check_graph(file, loaded)
    return loaded


def read(file: Path) -> Notebook:
    """The cells of a notebook and what each needs. Raises BadSpec with file and line; runs nothing."""
    loaded = open_app(file)
    graph = loaded.graph
    trees = {id: graph.cells[id].mod for id in loaded.lines if id in graph.cells}
    contexts = {name for tree in trees.values() for name in _context_names(tree)}
    sinks = _sinks(trees, contexts)
    cells = []
    for id, tree in trees.items():
        uses = list(_uses(tree, contexts))
        code = ast.dump(tree) + ("\ndisabled" if graph.cells[id].config.disabled else "")
        cells.append(
            Cell(
                id=str(id),
                name=loaded.names[id],
                line=loaded.lines[id],
                digest=hashlib.sha256(code.encode()).hexdigest()[:16],
                parents=tuple(sorted(str(parent) for parent in graph.parents[id])),
                sink=id in sinks,
                sets_from_widget=_from_widget(tree),
                defines=tuple(sorted(graph.cells[id].defs)),
                imports=tuple(sorted(set(imports(tree)))),
                params=tuple(sorted({key for what, key, _ in uses if what == "params"})),
                upstream=tuple(sorted({(key, second) for what, key, second in uses if what == "upstream"})),
                product=tuple(sorted({key for what, key, _ in uses if what == "product"})),
            )
        )
    return Notebook(tuple(cells))


def imports(tree: ast.AST) -> Iterator[str]:
    """Every import of a module or cell, also inside functions; not those for type checkers only.

    >>> list(imports(ast.parse("import numpy as np\\nfrom proveout.models import Extractor")))
    ['numpy', 'proveout.models:Extractor']
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                yield from imports(ast.Module([other], []))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}:{alias.name}" for alias in node.names)
        else:
            if isinstance(node, ast.Call) and "import_module" in ast.dump(node.func):
                yield from (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
            yield from imports(node)


def _check_version(file: Path, text: str) -> None:
    import marimo

    match = re.search(r"^__generated_with\s*=\s*[\"']([\d.]+)", text, re.M)
    if not match:
        return
    theirs, ours = (tuple(int(part) for part in re.findall(r"\d+", version)[:2]) for version in (match[1], marimo.__version__))
    if theirs > ours:
        line = text[: match.start()].count("\n") + 1
        raise BadSpec(
            f"{file}:{line}: written by marimo {match[1]}, but {marimo.__version__} is installed; "
            f"install marimo {match[1]} or newer, or save the notebook with the installed one"
        )


def _first_line(cell: Any, source: list[str]) -> int:
    """marimo gives the line of the `def`; the code begins after the signature."""
    first = next((line.strip() for line in cell.code.splitlines() if line.strip()), "")
    for number in range(max(cell.lineno - 1, 0), len(source)):
        if first and source[number].strip() == first:
            return number + 1
    return int(cell.lineno)


def _check_graph(file: Path, loaded: Loaded) -> None:
    graph = loaded.graph
    error = marimo_internals.graph_error(loaded.app)
    if error is None:
        return
    if duplicates := graph.get_multiply_defined():  # before cycles: a duplicate often makes one
        name = duplicates[0]
        lines = [line for id, line in loaded.lines.items() if id in graph.cells and name in graph.cells[id].defs]
        listed = ", ".join(f"line {line}" for line in lines)
        message = f"`{name}` is defined by {len(lines)} cells ({listed}); rename one, or start its name with `_`"
        raise BadSpec(f"{file}:{lines[1]}: {message}") from error
    lines = sorted(loaded.lines[edge[0]] for edge in next(iter(graph.cycles)))
    listed = ", ".join(f"line {line}" for line in lines)
    raise BadSpec(f"{file}:{lines[0]}: cells form a cycle ({listed}); merge them, or remove one dependency") from error


def _context_names(tree: ast.AST) -> Iterator[str]:
    """`context` of `context = open_context(__file__)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            about_itself = any(isinstance(arg, ast.Name) and arg.id == "__file__" for arg in node.value.args)
            if _called(node.value) == "open_context" and about_itself:
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _called(call: ast.Call) -> str:
    """The name of a called function or method, without its module or object."""
    func = call.func
    return func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""


def _uses(tree: ast.AST, contexts: set[str]) -> Iterator[tuple[str, str, str]]:
    """("params" | "upstream" | "product", key, second key); "*" if the source does not show the key."""
    plain: set[int] = set()  # ids of the names that are the context of an attribute
    seen: set[int] = set()  # ids of the attributes for which a key was yielded
    for node in ast.walk(tree):  # outermost first
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Subscript) and id(node.value.value) not in seen:
            what = _attribute(node.value.value, contexts)
            if what == "upstream":
                seen.add(id(node.value.value))
                yield "upstream", _key(node.value), _key(node)
        if isinstance(node, ast.Subscript) and id(node.value) not in seen and (what := _attribute(node.value, contexts)):
            seen.add(id(node.value))
            yield what, _key(node), "*"
        if (what := _attribute(node, contexts)) is not None:
            plain.add(id(node.value))  # type: ignore[attr-defined]
            if id(node) not in seen and what:
                yield what, "*", "*"
        if isinstance(node, ast.Name) and node.id in contexts and isinstance(node.ctx, ast.Load) and id(node) not in plain:
            yield from ((what, "*", "*") for what in ("params", "upstream", "product"))


def _attribute(node: ast.AST, contexts: set[str]) -> str | None:
    """ "product" for `context.product`; "" for an attribute that does not count; None for anything else."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in contexts:
        return node.attr if node.attr in ("params", "upstream", "product") else ""
    return None


def _key(node: ast.Subscript) -> str:
    return node.slice.value if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str) else "*"


def _sinks(trees: Mapping[Any, ast.Module], contexts: set[str]) -> set[Any]:
    """Ids of the cells that mention a product, directly or by a name for its path, or call a function that does."""
    names: set[str] = set()  # of product paths, and of functions that mention one
    sinks: set[Any] = set()
    grows = True
    while grows:
        before = len(names), len(sinks)
        for id, tree in trees.items():
            for statement in tree.body:
                if _mentions(statement, contexts, names):
                    sinks.add(id)
                    names |= {name for name in _named(statement, contexts, names) if not name.startswith("_")}
        grows = (len(names), len(sinks)) != before
    return sinks


def _mentions(node: ast.AST, contexts: set[str], names: set[str]) -> bool:
    loaded = {child.id for child in ast.walk(node) if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load)}
    return bool(loaded & names) or any(what == "product" for what, _, _ in _uses(node, contexts))


def _named(statement: ast.stmt, contexts: set[str], names: set[str]) -> Iterator[str]:
    """The names that a statement gives to a product's path. A call's result is a new object, not the path."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets, value=value) if _is_path(value, contexts, names):
            yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if _is_path(value, contexts, names):
            yield name
        case ast.With(items=items):
            for item in items:
                if item.optional_vars and _mentions(item.context_expr, contexts, names):
                    yield from (node.id for node in ast.walk(item.optional_vars) if isinstance(node, ast.Name))


_PATH_CALLS = {"Path", "PurePath", "str", "fspath", "dict", "list", "tuple", "partial", "open"}
_PATH_METHODS = {"joinpath", "with_name", "with_suffix", "with_stem", "resolve", "absolute", "open", "values", "items", "get"}


def _is_path(value: ast.expr, contexts: set[str], names: set[str]) -> bool:
    """Whether an expression is a product's path, an open file of it, or a collection of these."""
    match value:
        case ast.Name(id=name):
            return name in names
        case ast.Attribute(value=inner) if isinstance(inner, ast.Name) and inner.id in contexts:
            return value.attr == "product"
        case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Starred(value=inner):
            return _is_path(inner, contexts, names)
        case ast.BinOp(left=left, op=ast.Div()):
            return _is_path(left, contexts, names)
        case ast.Call(func=ast.Attribute(value=inner, attr=method)) if method in _PATH_METHODS:
            return _is_path(inner, contexts, names)
        case ast.Call() as call:
            return _called(call) in _PATH_CALLS and any(_is_path(arg, contexts, names) for arg in call.args)
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements) | ast.Dict(values=elements):
            return any(_is_path(element, contexts, names) for element in elements)
        case ast.Lambda() | ast.DictComp() | ast.ListComp() | ast.IfExp():
            return _mentions(value, contexts, names)
    return False


def _from_widget(tree: ast.Module) -> tuple[str, ...]:
    """The names that a cell sets, if every statement is `name = widget.value`; else none.

    >>> _from_widget(ast.parse("k = k_slider.value"))
    ('k',)
    >>> _from_widget(ast.parse("k = k_slider.value + 1"))
    ()
    """
    names = []
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Attribute(value=ast.Name(), attr="value")):
                names.append(name)
            case _:
                return ()
    return tuple(names)
