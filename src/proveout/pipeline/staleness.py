"""Decide what is stale, without importing anything that a build needs."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from proveout.errors import BadSpec
from proveout.pipeline.notebook import Notebook
from proveout.pipeline.spec import Spec, Task, nearest

FORMAT = 1  # raise it when a step must run again because the bridge runs it differently


class Ledger:
    """What the builds of one spec remember."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._notebooks: dict[Path, Notebook] = {}

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def notebook(self, file: Path) -> Notebook:
        from proveout.pipeline.notebook import read

        if file not in self._notebooks:
            self._notebooks[file] = read(file)
        return self._notebooks[file]

    def check(self, tasks: Sequence[Task]) -> None:
        """Everything that can be wrong before anything runs."""
        for task in tasks:
            place = f"{self.spec.path}:{task.line}: task `{task.name}`"
            for key, paths in (("data", task.data), ("files", task.files)):
                for written, path in paths.items():
                    if not path.exists():
                        raise BadSpec(f"{place}: `{key}:` names {written}, and there is nothing at {path}")
            if task.kind == "marimo" and task.file:
                _agree(self.spec, task, self.notebook(task.file))

    def parts(self, task: Task) -> dict[str, str]:
        parts = {"bridge": str(FORMAT)}
        if task.kind == "marimo" and task.file:
            for cell in self.notebook(task.file).used(task.params):
                parts[cell.title] = cell.digest
        for name, value in task.params.items():
            parts[f"`{name}`"] = content(value) if isinstance(value, Path) else json.dumps(value, default=str, sort_keys=True)
        for written, path in {**task.files, **task.data}.items():
            parts[written] = content(path)
        for other in task.upstream:
            for name, path in self.spec.tasks[other].product.items():
                parts[f"{other}.{name}"] = content(path)
        return parts

    def why(self, task: Task) -> str | None:
        try:
            then: dict[str, str] = json.loads(self._file(task).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return "was never built"
        for name, path in task.product.items():
            if not path.exists():
                return f"product `{name}` is missing"
        now = self.parts(task)
        changed = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        return ", ".join(changed) + " changed" if changed else None

    def forget(self, task: Task) -> None:
        self._file(task).unlink(missing_ok=True)

    def note(self, task: Task, parts: Mapping[str, str]) -> None:
        file = self._file(task)
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}.new")
        fresh.write_text(json.dumps(dict(parts), indent=1), encoding="utf-8")
        fresh.replace(file)

    def _file(self, task: Task) -> Path:
        return self.spec.state / f"{task.name}.json"


def content(path: Path) -> str:
    digest = hashlib.sha256()
    if not path.exists():
        return "missing"
    for file in [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file()):
        digest.update(f"{file.relative_to(path)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _agree(spec: Spec, task: Task, notebook: Notebook) -> None:
    """The notebook asks only for what the spec declares, and writes every product that the spec promises."""

    def unknown(line: int, what: str, name: str, known: Any) -> BadSpec:
        return BadSpec(
            f"{task.file}:{line}: {what} `{name}` is not in task `{task.name}` of {spec.path}; {nearest(name, list(known))}"
        )

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
    written = {name for cell in notebook.cells for name in cell.product}
    if missing := [name for name in task.product if name not in written and "*" not in written]:
        raise BadSpec(
            f"{spec.path}:{task.line}: task `{task.name}` promises the product `{missing[0]}`, "
            f"and no cell of {task.file} writes it; "
            f'write it to here.product["{missing[0]}"] in a cell, where `here = context(__file__)`'
        )
    params: Any = task.params
    for cell in notebook.cells:
        some = set(cell.sets_from_widget) & set(params)
        if some and not Notebook.replaced(cell, params):
            raise BadSpec(
                f"{task.file}:{cell.line}: this cell takes {', '.join(cell.sets_from_widget)} from widgets, "
                f"and task `{task.name}` replaces only {', '.join(sorted(some))}; "
                f"split the cell, or give the others as parameters too"
            )
