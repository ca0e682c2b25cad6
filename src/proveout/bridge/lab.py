"""A project in JupyterLab: notebooks open with their context, which is never saved. Entry point: `Pages`.

`Pages` is the contents manager of `proveout lab`, on top of Jupytext's. An .ipynb or a percent script that is a task of the
pipeline opens with a cell that sets `upstream`, `product` and the parameters as a build does, with paths relative to the
notebook; saving removes the cell. A marimo notebook opened as a notebook is the read-only record of its last run; opened as a
file it is plain text.
Covered: a spec that cannot be read (the notebook opens without context, the log says why), a file that is no task.
Not covered: notebooks in other languages, which open unchanged; the monitor pipeline, with its records beside its reports.
"""

import os
from pathlib import Path
from typing import Any

import nbformat
from ipykernel.ipkernel import IPythonKernel
from jupytext import TextFileContentsManager  # type: ignore[import-untyped]
from tornado.web import HTTPError

from proveout.bridge.context import task_of
from proveout.bridge.record import ipynb_of
from proveout.bridge.spec import Spec, Task, is_marimo
from proveout.errors import ProveoutError

MARK = "proveout-context"  # tag of the cell that is not saved
CONFIG = Path(__file__).with_name("jupyter")  # turns off JupyterLab's question about news, and a button that uploads notebooks
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
DESCRIBED = ("kernelspec", "language_info")  # by the kernel, in a notebook's metadata


class Pages(TextFileContentsManager):  # type: ignore[misc]
    """JupyterLab lists, opens and saves files through this contents manager."""

    notebook_metadata_filter = "-all"  # opening and saving a script leaves it unchanged
    cell_metadata_filter = "tags"

    def load_dag(self) -> None:
        """Keeps out Ploomber's server extension, which would write absolute paths: it skips a manager with this method."""

    def get(
        self, path: str, content: bool = True, type: str | None = None, format: str | None = None, **others: Any
    ) -> dict[str, Any]:
        """The model of a file or folder; a notebook comes with its context, a marimo notebook as its record."""
        file = self._file(path)
        if not _is_marimo(file):
            model: dict[str, Any] = super().get(path, content, type, format, **others)
            if content and model["type"] == "notebook":
                self._insert_context(file, model["content"])
                _name_kernel(model["content"].metadata)
            return model
        model = super().get(path, content and type != "notebook", "file", format, **others)
        if type == "notebook":
            model |= {"type": "notebook", "mimetype": None, "writable": False}
            model |= {"format": "json", "content": self._record(file)} if content else {}
        return model

    def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        """Save a model without the context cell. A record answers 403."""
        file = self._file(path)
        if model.get("type") == "notebook":
            if _is_marimo(file):
                raise HTTPError(
                    403, f"{file.name} opened as the record of a run, which is read-only; edit it: proveout edit {file.stem}"
                )
            if model.get("content"):
                cells = [cell for cell in model["content"]["cells"] if MARK not in cell["metadata"].get("tags", ())]
                metadata = _with_own_kernel(model["content"]["metadata"], file)
                model = {**model, "content": {**model["content"], "cells": cells, "metadata": metadata}}
        saved: dict[str, Any] = super().save(model, path)
        return saved

    def _file(self, path: str) -> Path:
        return Path(self.root_dir, path.strip("/"))

    def _insert_context(self, file: Path, notebook: Any) -> None:
        if notebook.metadata.get("kernelspec", {}).get("language", "python") != "python":
            return
        if task := self._task(file):
            cells = notebook.cells
            tagged = [at for at, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", ())]
            cell: dict[str, Any] = {"cell_type": "code", "outputs": [], "execution_count": None}
            cell |= {"source": context_of(*task, file.parent)}
            cell |= {"metadata": {"tags": [MARK], "trusted": True}} | ({"id": MARK} if notebook.nbformat_minor >= 5 else {})
            cells.insert(tagged[0] + 1 if tagged else 0, nbformat.from_dict(cell))  # type: ignore[no-untyped-call]

    def _record(self, file: Path) -> Any:
        _, task = self._task(file) or (None, None)
        page = ipynb_of(task.record) if task else None
        if page and page.is_file():
            record = nbformat.read(page, as_version=4)  # type: ignore[no-untyped-call]
            self.mark_trusted_cells(record, str(page))
            return record
        hint = f"Build it: `proveout build --only {task.name}`" if task else "It is not a task of this pipeline"
        text = f"`{file.name}` is a marimo notebook without a record. {hint}."
        cell = {"cell_type": "markdown", "metadata": {}, "source": text}
        return nbformat.from_dict({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4})  # type: ignore[no-untyped-call]

    def _task(self, file: Path) -> tuple[Spec, Task] | None:
        try:
            return task_of(file)
        except ProveoutError as error:
            self.log.info(f"{file.name} opens without a pipeline's context: {error}")
            return None


def context_of(spec: Spec, task: Task, folder: Path) -> str:
    """Source of a cell that sets `upstream`, `product` and the parameters as a build does, with paths relative to `folder`."""

    def relative(value: Any) -> Any:
        return os.path.relpath(value, folder) if isinstance(value, Path) else value

    upstream = {name: {key: relative(path) for key, path in spec.tasks[name].product.items()} for name in task.upstream}
    values = {name: relative(value) for name, value in task.params.items()}
    values |= {"upstream": upstream or None, "product": {key: relative(path) for key, path in task.product.items()}}
    lines = (f"{name} = {value!r}" for name, value in values.items())
    return "\n".join([f"# task `{task.name}` of {spec.path.name}; this cell is not saved", *lines])


def _name_kernel(metadata: Any) -> None:
    """Describe this Python as its kernel does: JupyterLab would write that, and show a notebook as changed once it is open."""
    if metadata.get("kernelspec", KERNEL).get("name") == KERNEL["name"]:
        metadata |= {"kernelspec": KERNEL, "language_info": IPythonKernel.language_info}


def _with_own_kernel(metadata: dict[str, Any], file: Path) -> dict[str, Any]:
    """The metadata to save: this Python is described as in the file, which says no more of a machine than before."""
    if metadata.get("kernelspec") != KERNEL or not file.is_file():
        return metadata
    try:
        before = nbformat.read(file, as_version=4).metadata  # type: ignore[no-untyped-call]
    except (OSError, ValueError):  # a script
        before = {}
    rest = {name: value for name, value in metadata.items() if name not in DESCRIBED}
    return rest | {name: before[name] for name in DESCRIBED if name in before}


def _is_marimo(file: Path) -> bool:
    return file.suffix == ".py" and file.is_file() and is_marimo(file)
