"""A project in JupyterLab: its notebooks open with their context, and none of it is ever written down. One door: `Pages`.

A contents manager over Jupytext's, for `proveout lab`. An .ipynb or a percent script that is a task of the pipeline opens with
a cell that gives it `upstream`, `product` and its parameters, as a build does, with paths relative to the notebook; saving
takes the cell away again. A marimo notebook opens, as a notebook, as the record of its last run, which cannot be saved; as a
file it is text like any other.
Covered: a spec that cannot be read (the notebook opens without context, the reason is in the log), a file that is no task.
Not covered: notebooks in other languages, which open as they are; the monitor pipeline, whose records lie beside its reports.
"""

import os
from pathlib import Path
from typing import Any

import nbformat
from jupytext import TextFileContentsManager  # type: ignore[import-untyped]
from tornado.web import HTTPError

from proveout.bridge.context import place
from proveout.bridge.record import ipynb_of
from proveout.bridge.spec import Spec, Task, is_marimo
from proveout.errors import ProveoutError

MARK = "proveout-context"  # the tag of the cell that is not saved


class Pages(TextFileContentsManager):  # type: ignore[misc]
    """What JupyterLab lists, opens and saves."""

    notebook_metadata_filter = "-all"  # a script that is opened and saved is the same file
    cell_metadata_filter = "tags"

    def load_dag(self) -> None:
        """Ploomber's server extension, which would write absolute paths, leaves a manager alone that has this."""

    def get(
        self, path: str, content: bool = True, type: str | None = None, format: str | None = None, **others: Any
    ) -> dict[str, Any]:
        file = self._file(path)
        if not _is_marimo(file):
            model: dict[str, Any] = super().get(path, content, type, format, **others)
            if content and model["type"] == "notebook":
                self._give_context(file, model["content"])
            return model
        model = super().get(path, content and type != "notebook", "file", format, **others)
        if type == "notebook":
            model |= {"type": "notebook", "mimetype": None, "writable": False}
            model |= {"format": "json", "content": self._record(file)} if content else {}
        return model

    def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        file = self._file(path)
        if model.get("type") == "notebook":
            if _is_marimo(file):
                raise HTTPError(
                    403, f"{file.name} is a marimo notebook, and this is the record of a run: proveout edit {file.stem}"
                )
            if model.get("content"):
                cells = [cell for cell in model["content"]["cells"] if MARK not in cell["metadata"].get("tags", ())]
                model = {**model, "content": {**model["content"], "cells": cells}}
        saved: dict[str, Any] = super().save(model, path)
        return saved

    def _file(self, path: str) -> Path:
        return Path(self.root_dir, path.strip("/"))

    def _give_context(self, file: Path, notebook: Any) -> None:
        if notebook.metadata.get("kernelspec", {}).get("language", "python") != "python":
            return
        if found := self._task(file):
            cells = notebook.cells
            tagged = [at for at, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", ())]
            cell: dict[str, Any] = {"cell_type": "code", "outputs": [], "execution_count": None}
            cell |= {"source": context_of(*found, file.parent)}
            cell |= {"metadata": {"tags": [MARK], "trusted": True}} | ({"id": MARK} if notebook.nbformat_minor >= 5 else {})
            cells.insert(tagged[0] + 1 if tagged else 0, nbformat.from_dict(cell))  # type: ignore[no-untyped-call]

    def _record(self, file: Path) -> Any:
        found = self._task(file)
        page = ipynb_of(found[1].record) if found else None
        if page and page.is_file():
            record = nbformat.read(page, as_version=4)  # type: ignore[no-untyped-call]
            self.mark_trusted_cells(record, str(page))
            return record
        what = f"Build it: `proveout build --only {found[1].name}`" if found else "It is no task of this pipeline"
        said = f"`{file.name}` is a marimo notebook without a record here. {what}."
        cell = {"cell_type": "markdown", "metadata": {}, "source": said}
        return nbformat.from_dict({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4})  # type: ignore[no-untyped-call]

    def _task(self, file: Path) -> tuple[Spec, Task] | None:
        try:
            return place(file)
        except ProveoutError as error:
            self.log.info(f"{file.name} opens without a pipeline's context: {error}")
            return None


def context_of(spec: Spec, task: Task, folder: Path) -> str:
    """The cell that says what a build would: `upstream`, `product` and the parameters, with paths as seen from the notebook."""

    def near(value: Any) -> Any:
        return os.path.relpath(value, folder) if isinstance(value, Path) else value

    upstream = {name: {key: near(path) for key, path in spec.tasks[name].product.items()} for name in task.upstream}
    said = {name: near(value) for name, value in task.params.items()}
    said |= {"upstream": upstream or None, "product": {key: near(path) for key, path in task.product.items()}}
    lines = (f"{name} = {value!r}" for name, value in said.items())
    return "\n".join([f"# `{task.name}` as {spec.path.name} has it; this cell is not saved", *lines])


def _is_marimo(file: Path) -> bool:
    return file.suffix == ".py" and file.is_file() and is_marimo(file)
