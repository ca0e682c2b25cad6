"""Read a pipeline's spec, `pipelines/<mission>/pipeline.<name>.yaml`: Ploomber's format with a few more keys.

Entry point: `load`. A task has a `source` (a notebook, a script or a function's dotted path) and a `product` (one path, or
several by name; files or folders). Optional: `name`, `upstream`, `params`, `files` (prompts and settings), `data` (input),
`timeout` (seconds). A change in `files` or `data` makes the task stale. Paths are relative to the spec's folder.
`{{name}}` is filled in from `env.<name>.yaml` beside the spec (a value that begins with `./` or `../` is a path);
`{{here}}` is the spec's folder. A parameter that equals an entry of `files` or `data` reaches the notebook as an absolute
path, and only its content counts.
Covered: unknown keys, tasks and placeholders (with a suggestion), cycles, two tasks with the same name or product.
Not covered: the content of a notebook. `notebook` reads that.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from proveout.errors import BadSpec, hint

Kind = Literal["marimo", "function", "file"]  # file: .ipynb and percent scripts, which Ploomber runs

TOP_KEYS = ("meta", "tasks")
OWN_KEYS = ("source", "name", "product", "upstream", "params", "files", "data", "timeout")
NOTEBOOK_KEYS = (  # for .ipynb files and scripts; passed to Ploomber
    *("static_analysis", "papermill_params", "executor", "executor_params", "kernelspec_name", "nbconvert_exporter_name"),
    *("nbconvert_export_kwargs", "nb_product_key", "ext_in", "local_execution", "check_if_kernel_installed", "debug_mode"),
)


@dataclass(frozen=True)
class Task:
    name: str
    source: str  # as written in the spec
    kind: Kind
    file: Path | None  # the notebook or script; None for a function
    params: Mapping[str, Any]  # a declared file or data entry is an absolute Path here
    upstream: tuple[str, ...]
    product: Mapping[str, Path]
    files: Mapping[str, Path]  # as written -> absolute
    data: Mapping[str, Path]
    timeout: float | None  # seconds
    line: int  # of the task in the spec, from 1
    record: Path  # HTML page of the last run
    others: Mapping[str, Any] = field(default_factory=dict)  # NOTEBOOK_KEYS


@dataclass(frozen=True)
class Spec:
    path: Path
    env: Mapping[str, Any]
    tasks: Mapping[str, Task]  # upstream first
    state: Path  # folder for the state of the builds
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder that relative paths resolve against."""
        return self.path.parent


def load(path: Path | str, env: Mapping[str, Any] | None = None) -> Spec:
    """Read a spec; `env` overrides values of `env.<name>.yaml`.

    A `Path` in `env` is relative to the working directory, a string to the spec's folder. Raises BadSpec with file and line.
    """
    path = Path(path).resolve()
    raw, lines = _read(path)
    _check_keys(raw, TOP_KEYS, f"{path}:1")
    values = _environment(path, raw, env or {})
    entries = raw.get("tasks")
    if not isinstance(entries, list) or not entries:
        raise BadSpec(f"{path}:1: expected `tasks:` with at least one task, found {entries!r}")
    tasks: dict[str, Task] = {}
    for number, entry in enumerate(entries):
        line = lines.get(("tasks", number), 1)
        task = _task(path, entry, line, values)
        if task.name in tasks:
            first = tasks[task.name].line
            raise BadSpec(f"{path}:{line}: a second task `{task.name}` (the first is in line {first}); rename one with `name:`")
        tasks[task.name] = task
    _check_products(path, tasks)
    ordered = _upstream_first(path, tasks)
    return Spec(path, values, {task.name: task for task in ordered}, _state(path, ordered, values), raw.get("meta") or {})


def sources(path: Path) -> Iterator[tuple[str, Path]]:
    """Name and file of every task of a spec that has a file. Nothing else is checked; an unreadable spec has no tasks.

    >>> list(sources(Path("nowhere.yaml")))
    []
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, yaml.YAMLError):
        return
    for entry in (raw.get("tasks") or []) if isinstance(raw, dict) else []:
        source = entry.get("source") if isinstance(entry, dict) else None
        if isinstance(source, str) and _is_file(source):
            yield str(entry.get("name") or Path(source).stem), (path.parent / source).resolve()


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLACEHOLDER = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")


def _read(path: Path) -> tuple[dict[str, Any], dict[tuple[Any, ...], int]]:
    """A YAML file's content, and the line of each of its nodes by its keys, such as ("tasks", 0, "source")."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadSpec(
            f"{path}: cannot be read ({error.strerror}); expected pipelines/<mission>/pipeline.<name>.yaml"
        ) from error
    try:
        node = yaml.compose(text, Loader=_Loader)
        raw = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BadSpec(f"{path}:{mark.line + 1 if mark else 1}: not YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(raw, dict):
        raise BadSpec(f"{path}:1: expected keys and values such as `tasks:`, found {type(raw).__name__}")
    lines: dict[tuple[Any, ...], int] = {}
    _note_lines(node, (), lines)
    return raw, lines


def _note_lines(node: Any, keys: tuple[Any, ...], lines: dict[tuple[Any, ...], int]) -> None:
    lines[keys] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _note_lines(value, (*keys, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _note_lines(value, (*keys, number), lines)


def _environment(path: Path, raw: dict[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    file = path.with_name(f"env{path.name.removeprefix('pipeline')}")
    values: dict[str, Any] = {"here": str(path.parent)}
    defaults, lines = _read(file) if file.exists() else ({}, {})
    for key, value in defaults.items():
        values[key] = _fill(value, values, f"{file}:{lines.get((key,), 1)}")
    for key, value in override.items():
        values[key] = str(value.resolve()) if isinstance(value, Path) else value
    for key, value in values.items():
        if isinstance(value, str) and value.startswith(("./", "../")):
            values[key] = str((path.parent / value).resolve())
    used = _placeholders(raw)
    if unused := [key for key in override if key not in used and key not in defaults]:
        raise BadSpec(f"{path}: the spec does not use {{{{{unused[0]}}}}}; {hint(unused[0], sorted(used))}")
    return values


def _placeholders(raw: Any) -> set[str]:
    if isinstance(raw, str):
        return set(_PLACEHOLDER.findall(raw))
    children = raw.values() if isinstance(raw, dict) else raw if isinstance(raw, list) else ()
    return {name for child in children for name in _placeholders(child)}


def _fill(value: Any, env: Mapping[str, Any], place: str) -> Any:
    if isinstance(value, dict):
        return {key: _fill(child, env, place) for key, child in value.items()}
    if isinstance(value, list):
        return [_fill(child, env, place) for child in value]
    if not isinstance(value, str):
        return value

    def value_of(name: str) -> Any:
        if name not in env:
            raise BadSpec(f"{place}: {{{{{name}}}}} has no value; set it in env.<name>.yaml; {hint(name, list(env))}")
        return env[name]

    if match := _PLACEHOLDER.fullmatch(value.strip()):
        return value_of(match[1])  # keeps its type
    return _PLACEHOLDER.sub(lambda part: str(value_of(part[1])), value)


def _check_keys(raw: Mapping[str, Any], keys: tuple[str, ...], place: str) -> None:
    for key in raw:
        if key not in keys:
            raise BadSpec(f"{place}: unknown key `{key}`; {hint(key, keys)}")


def _is_file(source: str) -> bool:
    return "/" in source or "\\" in source or Path(source).suffix in {".py", ".ipynb", ".md", ".Rmd", ".sql", ".R"}


def is_marimo(file: Path) -> bool:
    """Whether a file is a marimo notebook, by its content."""
    if file.suffix != ".py":
        return False
    text = file.read_text(encoding="utf-8", errors="replace")
    return re.search(r"^\s*(import marimo\b|from marimo\b)", text, re.M) is not None and (
        re.search(r"^app\s*=\s*(marimo|\w+)\.App\(", text, re.M) is not None
    )


def _task(path: Path, entry: Any, line: int, env: Mapping[str, Any]) -> Task:
    place = f"{path}:{line}"
    if not isinstance(entry, dict) or not isinstance(entry.get("source"), str):
        raise BadSpec(f"{place}: a task needs `source:` (a notebook, a script or a function's dotted path), found {entry!r}")
    entry = _fill(entry, env, place)
    source: str = entry["source"]
    file = (path.parent / source).resolve() if _is_file(source) else None
    name = str(entry.get("name") or (file.stem if file else source.rpartition(".")[2]))
    if file and not file.is_file():
        siblings = [other.name for other in file.parent.glob("*.*")] if file.parent.is_dir() else []
        raise BadSpec(f"{place}: task `{name}`: {source} does not exist (relative to the spec); {hint(file.name, siblings)}")
    kind: Kind = "function" if file is None else "marimo" if is_marimo(file) else "file"
    _check_keys(entry, OWN_KEYS + (NOTEBOOK_KEYS if kind == "file" else ()), place)
    products = entry.get("product")
    products = {"product": products} if isinstance(products, str) else products
    if not isinstance(products, dict) or not products or not all(isinstance(item, str) for item in products.values()):
        raise BadSpec(
            f"{place}: task `{name}`: `product:` must name the task's outputs, such as {{model: out/model}}; found {products!r}"
        )
    files, data = (_paths(path, entry.get(key), f"{place}: task `{name}`: `{key}:`") for key in ("files", "data"))
    timeout = entry.get("timeout")
    if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
        raise BadSpec(f"{place}: task `{name}`: `timeout:` must be a number of seconds above 0, found {timeout!r}")
    params = entry.get("params") or {}
    if not isinstance(params, dict):
        raise BadSpec(f"{place}: task `{name}`: `params:` must be names and values, found {params!r}")
    declared = {**data, **files}
    upstream = entry.get("upstream") or []
    product = {key: (path.parent / item).resolve() for key, item in products.items()}
    return Task(
        name=name,
        source=source,
        kind=kind,
        file=file,
        params={key: declared.get(value, value) if isinstance(value, str) else value for key, value in params.items()},
        upstream=tuple([upstream] if isinstance(upstream, str) else upstream),
        product=product,
        files=files,
        data=data,
        timeout=timeout,
        line=line,
        record=_record(path, name, product, env),
        others={key: value for key, value in entry.items() if key in NOTEBOOK_KEYS},
    )


def _paths(path: Path, entries: Any, place: str) -> dict[str, Path]:
    entries = [entries] if isinstance(entries, str) else entries or []
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise BadSpec(f"{place} must be a list of paths, found {entries!r}")
    return {entry: (path.parent / entry).resolve() for entry in entries}


def _record(path: Path, task: str, product: Mapping[str, Path], env: Mapping[str, Any]) -> Path:
    """`<out>/<task>/record.html`; without an `out` in the environment, `<task>.record.html` beside the first product."""
    if isinstance(out := env.get("out"), str):
        return (path.parent / out).resolve() / task / "record.html"
    return next(iter(product.values())).parent / f"{task}.record.html"


def _state(path: Path, tasks: list[Task], env: Mapping[str, Any]) -> Path:
    out = env.get("out")
    root = (path.parent / out).resolve() if isinstance(out, str) else next(iter(tasks[0].product.values())).parent
    return root / ".proveout" / path.stem


def _check_products(path: Path, tasks: Mapping[str, Task]) -> None:
    """No product is, or is inside, a product of another task or a second product of the same one."""
    owners: dict[Path, list[Task]] = {}
    for task in tasks.values():
        for product in task.product.values():
            owners.setdefault(product, []).append(task)
    for product, producers in owners.items():
        parent = next((folder for folder in product.parents if folder in owners), None)
        if parent is None and len(producers) == 1:
            continue
        pair = producers[:2] if parent is None else [owners[parent][0], producers[0]]
        first, second = sorted(pair, key=lambda task: task.line)
        problem = f"is already written by `{first.name}`" if first.name != second.name else "is declared twice"
        raise BadSpec(f"{path}:{second.line}: task `{second.name}`: product {product} {problem} ({parent or product})")


def _upstream_first(path: Path, tasks: Mapping[str, Task]) -> list[Task]:
    for task in tasks.values():
        for name in task.upstream:
            if name not in tasks:
                raise BadSpec(f"{path}:{task.line}: task `{task.name}`: unknown upstream `{name}`; {hint(name, tasks)}")
    ordered: list[Task] = []
    left = dict(tasks)
    while left:
        done = {task.name for task in ordered}
        ready = next((task for task in left.values() if done.issuperset(task.upstream)), None)
        if ready is None:
            cycle = _cycle(left)
            raise BadSpec(f"{path}:{left[cycle[0]].line}: tasks form a cycle: {' → '.join(cycle)}; remove one `upstream:`")
        ordered.append(left.pop(ready.name))
    return ordered


def _cycle(left: Mapping[str, Task]) -> list[str]:
    walk = [next(iter(left))]
    while True:
        after = next(name for name in left[walk[-1]].upstream if name in left)
        if after in walk:
            return [*walk[walk.index(after) :], after]
        walk.append(after)
