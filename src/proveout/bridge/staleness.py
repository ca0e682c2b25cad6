"""Decide what is stale, without importing anything that a build needs. Doors: `freshness`, `why`, and `BuildState` for builds.

A step is stale when something differs from its last whole run: the cells on a path to a product, the project modules
that they import (transitively), the packages' versions, the parameters those cells read, declared files and data, the
content of upstream products, or the products themselves. docs/staleness.md is the table; every row of it is a test.
The step that freezes a release depends on the whole package besides, and on the versions that the package imports.
Not covered: what a step reads without declaring it: a file beside the notebook, the network, the clock.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import proveout
from proveout.bridge.contents import Contents, remembered
from proveout.bridge.dependencies import Code, CodeDependencies
from proveout.bridge.notebook import Cell, Notebook
from proveout.bridge.spec import Spec, Task, load, nearest
from proveout.errors import BadSpec
from proveout.files import alone, write_whole

FORMAT = 1  # raise it when a step must run again because the bridge runs it differently
FREEZE = "proveout.release.freeze"  # the step whose product holds the package's own code and pins its environment
REASONS = 4  # that are named in the one line; what was edited stands first
BEGUN = {"begun": True}  # stands in for a note until the task has run whole


@dataclass(frozen=True)
class Dependencies:
    """Everything that a step's products depend on, by kind and name."""

    cells: tuple[tuple[str, str, str], ...] = ()  # (digest, name or "", what it defines)
    modules: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)  # "task.product" -> digest
    setting: Mapping[str, str] = field(default_factory=dict)  # Python, the bridge's own format, the products' names

    @property
    def fingerprint(self) -> str:
        """One hash over all of it. The order of cells and their names do not count."""
        counted = {**vars(self), "cells": sorted(digest for digest, _, _ in self.cells)}
        return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()

    def shown(self) -> dict[str, str]:
        """For the record."""
        cells = {name or f"the cell of {defines}": digest for digest, name, defines in self.cells}
        kinds = {"cell": cells, "module": self.modules, "package": self.packages, "file": self.files, "data": self.data}
        listed = {f"{kind} {name}": digest for kind, named in kinds.items() for name, digest in named.items()}
        return {"fingerprint": self.fingerprint, **{f"upstream {k}": v for k, v in self.upstream.items()}, **listed}


def freshness(spec: Path | str, env: Mapping[str, Any] | None = None) -> dict[str, str | None]:
    """Task to the reason why it would run, or None; upstream first. Runs and changes nothing.

    A task behind a stale one is only waiting: it runs if what the other makes comes out different.
    """
    state = BuildState(load(spec, env))
    state.check(list(state.spec.tasks.values()))
    found: dict[str, str | None] = {}
    for task in state.spec.tasks.values():
        found[task.name] = state.why(task)
        if found[task.name] is None and (stale := [name for name in task.upstream if found[name]]):
            found[task.name] = f"waits for `{stale[0]}`, which is stale"
    state.save()
    return found


def why(spec: Path | str, task: str, env: Mapping[str, Any] | None = None) -> str | None:
    """One line on what made a task stale ("`retrieval.fuse` changed", "`k`: 5 → 8"), or None."""
    found = freshness(spec, env)
    if task not in found:
        raise BadSpec(f"{spec}: no task `{task}`; {nearest(task, list(found))}")
    return found[task]


class BuildState:
    """What the builds of one spec remember: of each task, what its last whole run was made of."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.contents = Contents(spec.state / "contents.json", spec.folder)
        self.code = Code(spec.state / "code.json")
        self._notebooks: dict[Path, Notebook] = {}

    def notebook(self, file: Path) -> Notebook:
        if file not in self._notebooks:
            self._notebooks[file] = self.code.notebook(file)
        return self._notebooks[file]

    def check(self, tasks: Sequence[Task]) -> None:
        """Everything that can be wrong before anything runs. Raises BadSpec with file and line."""
        made = {path for task in tasks for path in task.product.values()}
        for task in tasks:
            place = f"{self.spec.path}:{task.line}: task `{task.name}`"
            for key, paths in (("data", task.data), ("files", task.files)):
                for written, path in paths.items():
                    if not path.exists() and not made & {path, *path.parents}:
                        raise BadSpec(f"{place}: `{key}:` names {written}, and there is nothing at {path}")
            if task.kind == "marimo" and task.file:
                _agree(self.spec, task, self.notebook(task.file))
            if task.kind == "function" and not self.code.exists(task.source, [self.spec.folder]):
                raise BadSpec(f"{place}: there is no function {task.source}; a source is a file or `package.module.function`")

    def parts(self, task: Task) -> Dependencies:
        """What the task depends on as things stand now; upstream products as they lie on the disk."""
        return self._parts(task)[0]

    def settle(self, task: Task) -> None:
        """The next run of the task in this process imports the project's modules as they stand now."""
        self.code.settle(self._parts(task)[1])

    def _parts(self, task: Task) -> tuple[Dependencies, CodeDependencies]:
        cells: tuple[tuple[str, str, str], ...] = ()
        params: list[str] = list(task.params)
        upstream = [(other, "*") for other in task.upstream]
        if task.kind == "marimo" and task.file:
            notebook = self.notebook(task.file)
            used = notebook.used(task.params)
            cells = tuple((cell.digest, "" if cell.name == "_" else cell.name, ", ".join(cell.defines)) for cell in used)
            wanted = [one for cell in used for one in cell.imports]
            params = _read_params(notebook, used, task)
            upstream = _read_upstream(used, task)
            folders = [task.file.parent]
        elif task.file:
            script = self.code.script(task.file)
            cells = ((script.digest, task.file.name, ""),)
            wanted, folders = list(script.imports), [task.file.parent]
        else:
            module, _, function = task.source.rpartition(".")
            wanted, folders = [f"{module}:{function}"], [self.spec.folder]
        reached = self.code.reached(wanted, folders)
        modules, packages, files = reached.modules, reached.packages, dict(self._files(task))
        if task.source == FREEZE:
            package = Path(proveout.__file__).parent
            modules, packages = {}, self.code.packages_of(package)
            files |= {f"{package.name}/{name}": digest for name, digest in self.contents.each(package).items()}
        parts = Dependencies(
            cells=cells,
            modules=modules,
            packages=packages,
            params={name: self._param(task, name) for name in sorted(params)},
            files=files,
            data={written: self.contents.digest(path) for written, path in _by_parameter(task).items()},
            upstream={
                f"{other}.{name}": self.contents.digest(path)
                for other, one in upstream
                for name, path in self.spec.tasks[other].product.items()
                if one in ("*", name)
            },
            setting={
                "bridge": str(FORMAT),
                "python": ".".join(map(str, sys.version_info[: 3 if task.source == FREEZE else 2])),
                "products": ", ".join(sorted(task.product)),
            },
        )
        return parts, reached

    def _files(self, task: Task) -> Iterator[tuple[str, str]]:
        """Each declared file, those of a declared folder one by one, so that a change can be named."""
        for written, path in task.files.items():
            if path.is_dir():
                yield from ((f"{written}/{name}", digest) for name, digest in self.contents.each(path).items())
            else:
                yield written, self.contents.digest(path)

    def why(self, task: Task) -> str | None:
        """What makes the task stale, as things stand now; None if nothing does."""
        note = remembered(self._note(task))
        if note == BEGUN:
            return "its last run failed or was cut off"
        try:
            cells = tuple(tuple(cell) for cell in note["parts"]["cells"])
            then, made = Dependencies(**{**note["parts"], "cells": cells}), note["products"]
        except (KeyError, TypeError):
            return "it was never built"
        now = self.parts(task)
        if then.fingerprint != now.fingerprint:
            reasons = list(self._differences(then, now))
            more = [f"and {len(reasons) - REASONS} more"] if len(reasons) > REASONS else []
            return "; ".join([*reasons[:REASONS], *more]) or "something changed"
        for name, path in task.product.items():
            if not path.exists():
                return f"product `{name}` is gone"
            if self.contents.digest(path) != made[name]:
                return f"product `{name}` is not what was built"
        return None

    def begin(self, task: Task) -> None:
        """From here on the task counts as cut off, until it is noted."""
        write_whole(self._note(task), json.dumps(BEGUN))

    def note(self, task: Task, parts: Dependencies, seconds: float) -> None:
        """The task has run whole, and this is what it was made of."""
        products = {name: self.contents.digest(path) for name, path in task.product.items()}
        note = {"parts": vars(parts), "products": products, "seconds": round(seconds, 3)}
        write_whole(self._note(task), json.dumps(note, indent=1))

    def save(self) -> None:
        """Keep what was read, so that the next look is quick. A folder that cannot be written is no reason to fail."""
        try:
            self.contents.save()
            self.code.save()
        except OSError:
            return

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One build at a time in one place. Raises Busy at once if another one is under way."""
        with alone(self.spec.state / "lock", patience=0.15, busy="builds here; wait for it, or give another `out`"):
            try:
                yield
            finally:
                self.save()

    def _note(self, task: Task) -> Path:
        return self.spec.state / f"{task.name}.json"

    def _param(self, task: Task, name: str) -> str:
        """A parameter as it counts: a declared path by where it is declared, another path relative to the spec."""
        value = task.params[name]
        if isinstance(value, Path):
            return "a declared path"  # its content counts under files and data
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
            parts = self.code.changed_definitions(name, then.modules[name], now.modules[name])
            named = [f"`{short}.{part}`" if part.isidentifier() else f"`{name}` ({part})" for part in parts[:3]]
            yield f"{', '.join(named) or f'`{name}`'} changed"
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


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in {**then, **now} if then.get(name) != now.get(name)]


def _changed_cells(then: Dependencies, now: Dependencies) -> Iterator[str]:
    gone = [cell for cell in then.cells if cell[0] not in {digest for digest, _, _ in now.cells}]
    for digest, name, defines in now.cells:
        if digest in {digest for digest, _, _ in then.cells}:
            continue
        before = next((cell for cell in gone if (name and cell[1] == name) or (defines and cell[2] == defines)), None)
        if before:
            gone.remove(before)
        title = f"cell `{name}`" if name else f"the cell that defines {defines}" if defines else "a cell"
        yield f"{title} {'changed' if before or not (name or defines) else 'is new'}"
    for _, name, defines in gone:
        if name or defines:
            yield f"{f'cell `{name}`' if name else f'the cell that defines {defines}'} is gone"


def _read_params(notebook: Notebook, used: Sequence[Cell], task: Task) -> list[str]:
    """The parameters that reach a product: those that used cells read, and those that stand in for a widget's value."""
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
    """Data under the name of the parameter that carries it, so that the same bytes elsewhere are the same data."""
    named = {path: name for name, path in task.params.items() if isinstance(path, Path)}
    return {f"`{named[path]}`" if path in named else written: path for written, path in task.data.items()}


def _agree(spec: Spec, task: Task, notebook: Notebook) -> None:
    """The notebook asks only for what the spec declares, and writes every product that the spec promises."""

    def unknown(line: int, what: str, name: str, known: Any) -> BadSpec:
        place = f"task `{task.name}` of {spec.path}:{task.line}"
        return BadSpec(f"{task.file}:{line}: {what} `{name}` is not in {place}; {nearest(name, list(known))}")

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
        some = set(cell.sets_from_widget) & set(task.params)
        if some and not Notebook.replaced(cell, task.params):
            raise BadSpec(
                f"{task.file}:{cell.line}: this cell takes {', '.join(cell.sets_from_widget)} from widgets, "
                f"and task `{task.name}` replaces only {', '.join(sorted(some))}; "
                f"split the cell, or give the others as parameters too"
            )
    written = {name for cell in notebook.cells for name in cell.product}
    if missing := [name for name in task.product if name not in written and "*" not in written]:
        raise BadSpec(
            f"{spec.path}:{task.line}: task `{task.name}` promises the product `{missing[0]}`, "
            f"and no cell of {task.file} writes it; "
            f'write it to context.product["{missing[0]}"] in a cell, where `context = open_context(__file__)`'
        )
