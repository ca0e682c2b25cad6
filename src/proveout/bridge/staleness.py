"""Decide which steps are stale, without importing anything that a build needs.

Entry points: `freshness`, `why`, and `BuildState` for builds. A step is stale when something differs from its last complete
run: the cells on a path to a product, the project modules that they import (transitively), package versions, the parameters
that those cells read, declared files and data, the content of upstream products, or the products themselves.
docs/staleness.md is the table; every row of it is a test.
The step that freezes a release also depends on the whole package, and on the versions of everything that the package imports.
Not covered: what a step reads without declaring it: a file beside the notebook, the network, the clock.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import proveout
from proveout.bridge.contents import Contents
from proveout.bridge.dependencies import Code, CodeDependencies
from proveout.bridge.notebook import Cell, Notebook
from proveout.bridge.spec import Spec, Task, load
from proveout.errors import BadSpec, hint
from proveout.files import alone, read_object, write_whole

FORMAT = 1  # raise it when a step must run again because the bridge runs it differently
FREEZE = "proveout.release.freeze"  # the step whose product holds the package's own code and pins its environment
REASONS = 4  # named in one line; edited code comes first
BEGUN = {"begun": True}  # the note of a task whose run is not complete


@dataclass(frozen=True)
class Dependencies:
    """Everything that a step's products depend on, by kind and name. Values are digests unless noted."""

    cells: tuple[tuple[str, str, str], ...] = ()  # (digest, name or "", the names it defines)
    modules: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)  # versions
    params: Mapping[str, str] = field(default_factory=dict)  # values, as JSON
    files: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)  # "task.product" -> digest
    setting: Mapping[str, str] = field(default_factory=dict)  # Python, the bridge's own format, the products' names

    @property
    def fingerprint(self) -> str:
        """One hash over everything. The order and the names of cells do not count."""
        counted = {**vars(self), "cells": sorted(digest for digest, _, _ in self.cells)}
        return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()

    def facts(self) -> dict[str, str]:
        """Label to digest or version, for the record of a run."""
        cells = {name or f"the cell of {defines}": digest for digest, name, defines in self.cells}
        kinds = {"cell": cells, "module": self.modules, "package": self.packages, "file": self.files, "data": self.data}
        listed = {f"{kind} {name}": digest for kind, named in kinds.items() for name, digest in named.items()}
        return {"fingerprint": self.fingerprint, **{f"upstream {k}": v for k, v in self.upstream.items()}, **listed}


@dataclass(frozen=True)
class Failure:
    """A run of a task that failed."""

    because: str
    env: Mapping[str, Any]  # of its spec
    since: str  # what changed since then, in one line; "" if its inputs and code are as they were


def freshness(spec: Path | str, env: Mapping[str, Any] | None = None) -> dict[str, str | None]:
    """Each task and why it would run, or None if it is fresh; upstream first. Runs nothing and changes no product.

    A task after a stale one is waiting: it runs only if its upstream products come out different.
    """
    state = BuildState(load(spec, env))
    state.check(list(state.spec.tasks.values()))
    reasons: dict[str, str | None] = {}
    for task in state.spec.tasks.values():
        reasons[task.name] = state.why(task)
        if reasons[task.name] is None and (stale := [name for name in task.upstream if reasons[name]]):
            reasons[task.name] = f"waits for `{stale[0]}`, which is stale"
    state.save()
    return reasons


def why(spec: Path | str, task: str, env: Mapping[str, Any] | None = None) -> str | None:
    """One line on what made a task stale ("`retrieval.fuse` changed", "`k`: 5 → 8"), or None. Raises BadSpec."""
    reasons = freshness(spec, env)
    if task not in reasons:
        raise BadSpec(f"{spec}: no task `{task}`; {hint(task, reasons)}")
    return reasons[task]


class BuildState:
    """The state of one spec's builds: for each task, a note of the dependencies and products of its last complete run."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.contents = Contents(spec.state / "contents.json", spec.folder)
        self.code = Code(spec.state / "code.json")
        self._notebooks: dict[Path, Notebook] = {}

    def notebook(self, file: Path) -> Notebook:
        """The cells of a notebook, read once."""
        if file not in self._notebooks:
            self._notebooks[file] = self.code.notebook(file)
        return self._notebooks[file]

    def check(self, tasks: Sequence[Task]) -> None:
        """Check tasks against their sources and inputs before anything runs. Raises BadSpec with file and line."""
        products = {path for task in tasks for path in task.product.values()}
        for task in tasks:
            place = f"{self.spec.path}:{task.line}: task `{task.name}`"
            for key, paths in (("data", task.data), ("files", task.files)):
                for written, path in paths.items():
                    if not path.exists() and not products & {path, *path.parents}:
                        raise BadSpec(f"{place}: `{key}:` names {written}, but {path} does not exist")
            if task.kind == "marimo" and task.file:
                _check_notebook(self.spec, task, self.notebook(task.file))
            if task.kind == "function" and not self.code.exists(task.source, [self.spec.folder]):
                raise BadSpec(f"{place}: no function {task.source}; expected a file or `package.module.function`")

    def dependencies(self, task: Task) -> Dependencies:
        """The task's current dependencies; upstream products as they are on disk."""
        return self._dependencies(task)[0]

    def unload_changed(self, task: Task) -> None:
        """Make the next run of the task in this process import the current source of the project's modules."""
        self.code.unload_changed(self._dependencies(task)[1])

    def _dependencies(self, task: Task) -> tuple[Dependencies, CodeDependencies]:
        cells: tuple[tuple[str, str, str], ...] = ()
        params: list[str] = list(task.params)
        upstream = [(other, "*") for other in task.upstream]
        if task.kind == "marimo" and task.file:
            notebook = self.notebook(task.file)
            used = notebook.used(task.params)
            cells = tuple((cell.digest, "" if cell.name == "_" else cell.name, ", ".join(cell.defines)) for cell in used)
            imports = [name for cell in used for name in cell.imports]
            params = _read_params(notebook, used, task)
            upstream = _read_upstream(used, task)
            folders = [task.file.parent]
        elif task.file:
            script = self.code.script(task.file)
            cells = ((script.digest, task.file.name, ""),)
            imports, folders = list(script.imports), [task.file.parent]
        else:
            module, _, function = task.source.rpartition(".")
            imports, folders = [f"{module}:{function}"], [self.spec.folder]
        code = self.code.dependencies(imports, folders)
        modules, packages, files = code.modules, code.packages, dict(self._files(task))
        if task.source == FREEZE:
            package = Path(proveout.__file__).parent
            modules, packages = {}, self.code.packages_of(package)
            files |= {f"{package.name}/{name}": digest for name, digest in self.contents.digests(package).items()}
        dependencies = Dependencies(
            cells=cells,
            modules=modules,
            packages=packages,
            params={name: self._param(task, name) for name in sorted(params)},
            files=files,
            data={written: self.contents.digest(path) for written, path in _by_parameter(task).items()},
            upstream={
                f"{other}.{name}": self.contents.digest(path)
                for other, product in upstream
                for name, path in self.spec.tasks[other].product.items()
                if product in ("*", name)
            },
            setting={
                "bridge": str(FORMAT),
                "python": ".".join(map(str, sys.version_info[: 3 if task.source == FREEZE else 2])),
                "products": ", ".join(sorted(task.product)),
            },
        )
        return dependencies, code

    def _files(self, task: Task) -> Iterator[tuple[str, str]]:
        """Each declared file and its digest; a declared folder file by file, so that `why` can name the changed one."""
        for written, path in task.files.items():
            if path.is_dir():
                yield from ((f"{written}/{name}", digest) for name, digest in self.contents.digests(path).items())
            else:
                yield written, self.contents.digest(path)

    def why(self, task: Task) -> str | None:
        """Why the task is stale now; None if it is fresh."""
        note = read_object(self._note(task))
        if note.get("begun"):
            return "its last run failed or was interrupted"
        try:
            then, products = _of_note(note), note["products"]
        except (KeyError, TypeError):
            return "it was never built"
        if changed := self._changes(task, then):
            return changed
        for name, path in task.product.items():
            if not path.exists():
                return f"product `{name}` is missing"
            if self.contents.digest(path) != products[name]:
                return f"product `{name}` was changed after the build"
        return None

    def _changes(self, task: Task, then: Dependencies) -> str:
        """What differs now, in one line; "" if nothing does."""
        now = self.dependencies(task)
        if then.fingerprint == now.fingerprint:
            return ""
        reasons = list(self._differences(then, now))
        more = [f"and {len(reasons) - REASONS} more"] if len(reasons) > REASONS else []
        return "; ".join([*reasons[:REASONS], *more]) or "something changed"

    def begin(self, task: Task, dependencies: Dependencies) -> None:
        """Mark the task as interrupted until `note` or `fail` is called."""
        write_whole(self._note(task), json.dumps(BEGUN | {"parts": vars(dependencies)}))

    def fail(self, task: Task, error: str) -> None:
        """Note why the task's run failed, and in which environment, so that it can be opened as it was."""
        env = {name: value for name, value in self.spec.env.items() if name != "here"}
        write_whole(self._note(task), json.dumps(read_object(self._note(task)) | {"failed": error, "env": env}))

    def failure(self, task: Task) -> Failure | None:
        """The task's last run if it failed; None if it did not."""
        note = read_object(self._note(task))
        if not note.get("failed"):
            return None
        return Failure(note["failed"], note["env"], self._changes(task, _of_note(note)))

    def note(self, task: Task, dependencies: Dependencies, seconds: float) -> None:
        """Record a complete run of the task, its dependencies and the digests of its products."""
        products = {name: self.contents.digest(path) for name, path in task.product.items()}
        note = {"parts": vars(dependencies), "products": products, "seconds": round(seconds, 3)}
        write_whole(self._note(task), json.dumps(note, indent=1))

    def save(self) -> None:
        """Write the caches, which make the next check fast. A folder that cannot be written is not an error."""
        try:
            self.contents.save()
            self.code.save()
        except OSError:
            return

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Allow one build at a time in the state folder. Raises Busy after 0.15 s if another build is running."""
        with alone(self.spec.state / "lock", patience=0.15, busy="is running a build; wait for it, or use another `out`"):
            try:
                yield
            finally:
                self.save()

    def _note(self, task: Task) -> Path:
        return self.spec.state / f"{task.name}.json"

    def _param(self, task: Task, name: str) -> str:
        """A parameter as JSON. A path that is not declared is relative to the spec, so that a moved project stays fresh."""
        value = task.params[name]
        if isinstance(value, Path):
            return "a declared path"  # its content counts under files or data
        if isinstance(value, str) and os.path.isabs(value):  # noqa: PTH117
            value = os.path.relpath(value, self.spec.folder)
        return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)

    def _differences(self, then: Dependencies, now: Dependencies) -> Iterator[str]:
        yield from _changed_cells(then, now)
        for name in _changed(then.modules, now.modules):
            if name not in then.modules or name not in now.modules:
                yield f"module `{name}` is {'newly imported' if name in now.modules else 'no longer imported'}"
                continue
            short = name.rpartition(".")[2]
            changed = self.code.changed_definitions(name, then.modules[name], now.modules[name])
            listed = [f"`{short}.{part}`" if part.isidentifier() else f"`{name}` ({part})" for part in changed[:3]]
            yield f"{', '.join(listed) or f'`{name}`'} changed"
        for name in _changed(then.params, now.params):
            yield f"`{name}`: {then.params.get(name, 'none')} → {now.params.get(name, 'none')}"
        for name in _changed(then.packages, now.packages):
            yield f"{name} {then.packages.get(name, 'none')} → {now.packages.get(name, 'none')}"
        for kind in ("files", "data"):
            for name in _changed(getattr(then, kind), getattr(now, kind)):
                yield f"{name} changed"
        for name in _changed(then.upstream, now.upstream):
            yield f"upstream `{name}` changed"
        for name in _changed(then.setting, now.setting):
            yield f"{name} {then.setting.get(name, 'none')} → {now.setting.get(name, 'none')}"


def _of_note(note: Mapping[str, Any]) -> Dependencies:
    """The dependencies in a note. Raises KeyError or TypeError for a note without them."""
    return Dependencies(**{**note["parts"], "cells": tuple(tuple(cell) for cell in note["parts"]["cells"])})


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in {**then, **now} if then.get(name) != now.get(name)]


def _changed_cells(then: Dependencies, now: Dependencies) -> Iterator[str]:
    removed = [cell for cell in then.cells if cell[0] not in {digest for digest, _, _ in now.cells}]
    for digest, name, defines in now.cells:
        if digest in {digest for digest, _, _ in then.cells}:
            continue
        before = next((cell for cell in removed if (name and cell[1] == name) or (defines and cell[2] == defines)), None)
        if before:
            removed.remove(before)
        title = f"cell `{name}`" if name else f"the cell that defines {defines}" if defines else "a cell"
        yield f"{title} {'changed' if before or not (name or defines) else 'is new'}"
    for _, name, defines in removed:
        if name or defines:
            yield f"{f'cell `{name}`' if name else f'the cell that defines {defines}'} was removed"


def _read_params(notebook: Notebook, used: Sequence[Cell], task: Task) -> list[str]:
    """The parameters that affect a product: those that used cells read, and those that replace a widget's value."""
    parents = {parent for cell in used for parent in cell.parents}
    replaced = {
        name
        for cell in notebook.cells
        if cell.id in parents and notebook.replaced(cell, task.params)
        for name in cell.sets_from_widget
    }
    read = {name for cell in used for name in cell.params}
    return [name for name in task.params if "*" in read or name in read or name in replaced]


def _read_upstream(used: Sequence[Cell], task: Task) -> list[tuple[str, str]]:
    read = sorted({pair for cell in used for pair in cell.upstream})
    if any(other == "*" for other, _ in read):
        return [(other, "*") for other in task.upstream]
    return [pair for pair in read if (pair[0], "*") not in read or pair[1] == "*"]


def _by_parameter(task: Task) -> dict[str, Path]:
    """Declared data by the parameter that passes it, so that the same content at another path is the same data."""
    params = {path: name for name, path in task.params.items() if isinstance(path, Path)}
    return {f"`{params[path]}`" if path in params else written: path for written, path in task.data.items()}


def _check_notebook(spec: Spec, task: Task, notebook: Notebook) -> None:
    """The notebook reads only what the spec declares, and writes every product of the spec."""

    def unknown(line: int, what: str, name: str, declared: Iterable[str]) -> BadSpec:
        place = f"task `{task.name}` of {spec.path}:{task.line}"
        return BadSpec(f"{task.file}:{line}: {what} `{name}` is not in {place}; {hint(name, declared)}")

    for cell in notebook.cells:
        for name in cell.params:
            if name != "*" and name not in task.params:
                raise unknown(cell.line, "parameter", name, task.params)
        for other, product in cell.upstream:
            if other != "*" and other not in task.upstream:
                raise unknown(cell.line, "upstream", other, task.upstream)
            if other != "*" and product != "*" and product not in spec.tasks[other].product:
                raise unknown(cell.line, f"product of `{other}`", product, spec.tasks[other].product)
        for name in cell.product:
            if name != "*" and name not in task.product:
                raise unknown(cell.line, "product", name, task.product)
        replaced = set(cell.sets_from_widget) & set(task.params)
        if replaced and not Notebook.replaced(cell, task.params):
            raise BadSpec(
                f"{task.file}:{cell.line}: this cell takes {', '.join(cell.sets_from_widget)} from widgets, "
                f"but task `{task.name}` replaces only {', '.join(sorted(replaced))}; "
                f"split the cell, or set the others as parameters too"
            )
    written = {name for cell in notebook.cells for name in cell.product}
    if missing := [name for name in task.product if name not in written and "*" not in written]:
        raise BadSpec(
            f"{spec.path}:{task.line}: task `{task.name}` declares the product `{missing[0]}`, "
            f"but no cell of {task.file} writes it; "
            f'write it to context.product["{missing[0]}"] in a cell, with `context = open_context(__file__)`'
        )
