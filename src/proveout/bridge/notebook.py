"""Read a marimo notebook without running it: its cells, what each needs, and which of them make products.

One door: `read`. A cell that mentions a product is a sink; what leads to a sink is what the step depends on.
Covered: cells by marimo's own graph; a sink reached through a name (`path = context.product["model"]` in one cell, `path`
used in another) or a function; a widget's value that a parameter replaces (`k = k_slider.value` with a parameter `k`).
Not covered: an object of another cell that is changed in place, or that writes a product behind its back. marimo forbids
the first, and neither leaves a trace in the graph: the cell that mentions a product is the one that writes it.
"""

import ast
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from proveout.errors import BadSpec


@dataclass(frozen=True)
class Cell:
    id: str  # marimo's, by position
    name: str  # "_" if it has none
    line: int  # first line of its code in the file, from 1
    digest: str  # of the code without comments and formatting
    parents: tuple[str, ...]
    sink: bool  # writes a product, as far as one can see without running it
    sets_from_widget: tuple[str, ...]  # `k` of a cell that is nothing but `k = widget.value`
    defines: tuple[str, ...]
    imports: tuple[str, ...]  # `pandas`, or `proveout.models:Extractor` for a from-import
    params: tuple[str, ...]
    upstream: tuple[tuple[str, str], ...]  # (task, product); product "*" where it cannot be seen which
    product: tuple[str, ...]  # "*" where it cannot be seen which

    @property
    def title(self) -> str:
        return f"cell `{self.name}` (line {self.line})" if self.name != "_" else f"the cell in line {self.line}"


@dataclass(frozen=True)
class Notebook:
    cells: tuple[Cell, ...]  # in the order of the file

    def used(self, params: Mapping[str, Any]) -> list[Cell]:
        """The cells on a path to a product, in the file's order; without those that a parameter replaces."""
        by_id = {cell.id: cell for cell in self.cells}
        found: set[str] = set()
        wanted = [cell.id for cell in self.cells if cell.sink]
        while wanted:
            cell = by_id[wanted.pop()]
            if cell.id not in found and not self.replaced(cell, params):
                found.add(cell.id)
                wanted += cell.parents
        return [cell for cell in self.cells if cell.id in found]

    @staticmethod
    def replaced(cell: Cell, params: Mapping[str, Any]) -> bool:
        return bool(cell.sets_from_widget) and set(cell.sets_from_widget) <= set(params)

    def as_data(self) -> list[dict[str, Any]]:
        return [asdict(cell) for cell in self.cells]

    @staticmethod
    def of_data(data: list[dict[str, Any]]) -> "Notebook":
        tuples: list[dict[str, Any]] = [
            {key: tuple(value) if isinstance(value, list) else value for key, value in cell.items()} for cell in data
        ]
        return Notebook(tuple(Cell(**{**cell, "upstream": tuple(map(tuple, cell["upstream"]))}) for cell in tuples))


@dataclass(frozen=True)
class Loaded:
    """A notebook as marimo holds it, for whoever runs it."""

    app: Any  # marimo.App, initialised
    lines: Mapping[str, int]  # cell id -> first line of its code
    names: Mapping[str, str]


def open_app(file: Path) -> Loaded:
    """The notebook in marimo's hands, checked. Raises BadSpec with file and line; runs nothing."""
    from marimo._ast.load import load_notebook_ir
    from marimo._ast.parse import parse_notebook

    text = file.read_text(encoding="utf-8")
    _not_newer(file, text)
    try:
        parsed = parse_notebook(text, filepath=str(file))
    except SyntaxError as error:
        raise BadSpec(f"{file}:{error.lineno}: not Python: {error.msg}") from error
    if parsed is None or not parsed.valid:
        raise BadSpec(f"{file}:1: not a notebook that marimo can read; open it with `marimo edit` and save it")
    source = text.splitlines()
    for cell in parsed.cells:
        try:
            ast.parse(cell.code)
        except SyntaxError as error:
            line = _first_line(cell, source) + (error.lineno or 1) - 1
            raise BadSpec(f"{file}:{line}: cell `{cell.name}` is not Python: {error.msg}") from error
    app = load_notebook_ir(parsed, filepath=str(file))
    ids = list(app._cell_manager.cell_ids())
    lines = {str(id): _first_line(cell, source) for id, cell in zip(ids, parsed.cells, strict=True)}
    names = {str(id): cell.name for id, cell in zip(ids, parsed.cells, strict=True)}
    loaded = Loaded(app, lines, {id: "_" if name in ("", "*_") else name for id, name in names.items()})
    _has_no_knots(file, loaded)
    return loaded


def read(file: Path) -> Notebook:
    """The cells of a notebook and what each needs. Raises BadSpec with file and line; runs nothing."""
    loaded = open_app(file)
    graph = loaded.app._graph
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


def _not_newer(file: Path, text: str) -> None:
    import marimo

    found = re.search(r"^__generated_with\s*=\s*[\"']([\d.]+)", text, re.M)
    if not found:
        return
    theirs, ours = (tuple(int(part) for part in re.findall(r"\d+", version)[:2]) for version in (found[1], marimo.__version__))
    if theirs > ours:
        line = text[: found.start()].count("\n") + 1
        raise BadSpec(
            f"{file}:{line}: written by marimo {found[1]}, and {marimo.__version__} is installed; "
            f"install marimo {found[1]} or newer, or save the notebook with this one"
        )


def _first_line(cell: Any, source: list[str]) -> int:
    """marimo knows the line of the `def`; the code begins after its signature."""
    first = next((line.strip() for line in cell.code.splitlines() if line.strip()), "")
    for number in range(max(cell.lineno - 1, 0), len(source)):
        if first and source[number].strip() == first:
            return number + 1
    return int(cell.lineno)


def _has_no_knots(file: Path, loaded: Loaded) -> None:
    from marimo._ast.errors import CycleError, MultipleDefinitionError

    graph = loaded.app._graph
    try:
        loaded.app._maybe_initialize()
    except (CycleError, MultipleDefinitionError) as error:
        if twice := graph.get_multiply_defined():  # which often ties a ring, too
            places = [line for id, line in loaded.lines.items() if id in graph.cells and twice[0] in graph.cells[id].defs]
            where = ", ".join(f"line {line}" for line in places)
            message = f"`{twice[0]}` is defined by {len(places)} cells ({where}); rename one, or begin it with `_`"
            raise BadSpec(f"{file}:{places[1]}: {message}") from error
        ends = sorted(loaded.lines[edge[0]] for edge in next(iter(graph.cycles)))
        where = ", ".join(f"line {line}" for line in ends)
        message = f"cells need each other in a ring ({where}); merge them or cut one name"
        raise BadSpec(f"{file}:{ends[0]}: {message}") from error


def _context_names(tree: ast.AST) -> Iterator[str]:
    """`context` of `context = open_context(__file__)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            called = node.value.func
            name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            if name == "open_context" and any(isinstance(arg, ast.Name) and arg.id == "__file__" for arg in node.value.args):
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _uses(tree: ast.AST, contexts: set[str]) -> Iterator[tuple[str, str, str]]:
    """("params" | "upstream" | "product", key, second key); "*" stands for what cannot be seen."""
    plain: set[int] = set()  # mentions of a context that are explained
    seen: set[int] = set()  # attributes whose key is explained
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
    """ "product" of `context.product`; "" for an attribute that leads nowhere; None for anything else."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in contexts:
        return node.attr if node.attr in ("params", "upstream", "product") else ""
    return None


def _key(node: ast.Subscript) -> str:
    return node.slice.value if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str) else "*"


def _sinks(trees: Mapping[Any, ast.Module], contexts: set[str]) -> set[Any]:
    """Cells that mention a product, directly or by a name for its path, or call a function that does."""
    names: set[str] = set()  # for a product's path, or for a function that mentions one
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
    loaded = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}
    return bool(loaded & names) or any(what == "product" for what, _, _ in _uses(node, contexts))


def _named(statement: ast.stmt, contexts: set[str], names: set[str]) -> Iterator[str]:
    """The names that a statement gives to a product's path. What a call returns is no path: it was made, not named."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets, value=value) if _is_path(value, contexts, names):
            yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if _is_path(value, contexts, names):
            yield name
        case ast.With(items=items):
            held = [
                item.optional_vars for item in items if item.optional_vars and _mentions(item.context_expr, contexts, names)
            ]
            yield from (node.id for one in held for node in ast.walk(one) if isinstance(node, ast.Name))


_PATH_CALLS = {"Path", "PurePath", "str", "fspath", "dict", "list", "tuple", "partial", "open"}
_PATH_METHODS = {"joinpath", "with_name", "with_suffix", "with_stem", "resolve", "absolute", "open", "values", "items", "get"}


def _is_path(value: ast.expr, contexts: set[str], names: set[str]) -> bool:
    """Whether an expression is a product's path, a handle on it, or a collection of such."""
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
        case ast.Call(func=called, args=given):
            name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            return name in _PATH_CALLS and any(_is_path(one, contexts, names) for one in given)
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            return any(_is_path(one, contexts, names) for one in elements)
        case ast.Dict(values=elements):
            return any(_is_path(one, contexts, names) for one in elements)
        case ast.Lambda() | ast.DictComp() | ast.ListComp() | ast.IfExp():
            return _mentions(value, contexts, names)
    return False


def _from_widget(tree: ast.Module) -> tuple[str, ...]:
    """The names of a cell that is nothing but `name = widget.value`, once or several times.

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
