"""The only file that touches Ploomber's classes and their private parts: `Step`, `StepExecutor`, `run_script`, `register`.

Ploomber orders the steps and asks each product whether it is outdated. The bridge answers, so `ploomber build` and
`proveout build` agree. Ploomber never gets a marimo file, because it would rewrite it.
A DAG has the attribute `_proveout`, a function that returns its build state (`dag.DagBuildState`).
Covered: Ploomber 0.23, with statistics and version check off; tests/pipeline/test_internals.py has a test per private symbol.
Not covered: Ploomber's clients, hooks and grids.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("PLOOMBER_STATS_ENABLED", "false")
os.environ.setdefault("PLOOMBER_VERSION_CHECK_DISABLED", "1")

from ploomber import DAG  # type: ignore[import-untyped]
from ploomber.constants import TaskStatus  # type: ignore[import-untyped]
from ploomber.exceptions import DAGBuildError  # type: ignore[import-untyped]
from ploomber.executors.abc import Executor  # type: ignore[import-untyped]
from ploomber.products import File  # type: ignore[import-untyped]
from ploomber.sources.abc import Source  # type: ignore[import-untyped]
from ploomber.tasks import NotebookRunner  # type: ignore[import-untyped]
from ploomber.tasks.abc import Task as PloomberTask  # type: ignore[import-untyped]
from ploomber.validators import string  # type: ignore[import-untyped]

from proveout.bridge.context import Context
from proveout.bridge.spec import Kind, Spec, Task
from proveout.bridge.worker import stop_all

__all__ = ["DAG", "FORCED", "DAGBuildError", "Step", "StepExecutor", "register", "run_script"]

FORCED = "forced"  # the reason of a step that runs although nothing changed


class Code(Source):  # type: ignore[misc]
    """A step's source as text, which Ploomber displays and compares."""

    def __init__(self, primitive: Any, hot_reload: bool = False) -> None:
        self._primitive = primitive

    @property
    def primitive(self) -> Any:
        return self._primitive

    @property
    def variables(self) -> set[str]:
        return set()

    def render(self, params: Any) -> "Code":
        return self

    @property
    def loc(self) -> str:
        return str(self._primitive)

    def __str__(self) -> str:
        return self._primitive.read_text(encoding="utf-8") if isinstance(self._primitive, Path) else str(self._primitive)

    @property
    def doc(self) -> str:
        return ""

    @property
    def extension(self) -> str | None:
        return None  # no normalisation: `__str__` is compared as it is

    def _post_render_validation(self, rendered_value: Any, params: Any) -> None:
        pass

    def _post_init_validation(self, value: Any) -> None:
        pass

    @property
    def name(self) -> str:
        return self._primitive.stem if isinstance(self._primitive, Path) else str(self._primitive).rpartition(".")[2]


class Product(File):  # type: ignore[misc]
    """A file or folder that is outdated exactly if the bridge says so. Ploomber writes no metadata beside it."""

    def fetch_metadata(self) -> dict[str, Any]:
        noted = self.task.dag._proveout().noted(self.task.name)
        return {"timestamp": noted, "stored_source_code": "recorded by the bridge" if noted else None, "params": {}}

    def save_metadata(self, metadata: Any) -> None:
        pass  # the bridge has recorded the run

    def _outdated_code_dependency(self) -> bool:
        return self.task.dag._proveout().reason(self.task.name) is not None

    def _outdated_data_dependencies(self) -> bool:
        return any(other.product._is_outdated() for other in self.task.upstream.values())


class Step(PloomberTask):  # type: ignore[misc]
    """A step that the bridge runs."""

    PRODUCT_CLASSES_ALLOWED = (File,)
    product_class: type[File] = Product
    kind: Kind = "function"

    def __init__(
        self,
        source: Path | str,
        product: Any,
        dag: DAG,
        name: str | None = None,
        params: Mapping[str, Any] | None = None,
        files: Sequence[str | Path] = (),
        data: Sequence[str | Path] = (),
        timeout: float | None = None,
    ) -> None:
        self._source = self._init_source(source, {})
        self._declared = ({str(path): Path(path) for path in files}, {str(path): Path(path) for path in data}, timeout)
        self.forced = False
        paths = product if isinstance(product, Mapping) else {"product": product}
        super().__init__({key: self.product_class(str(path)) for key, path in paths.items()}, dag, name, dict(params or {}))

    @staticmethod
    def _init_source(source: Any, kwargs: Any) -> Code:
        return Code(source)

    def render(self, force: bool = False, outdated_by_code: bool = True, remote: bool = False) -> None:
        self.forced = force
        super().render(force=force, outdated_by_code=outdated_by_code, remote=remote)

    def run(self) -> None:
        state = self.dag._proveout()
        why = state.reason(self.name) or (FORCED if self.forced else None)
        if why is not None:  # upstream products may have come out the same
            state.run(state.spec.tasks[self.name], why)

    def as_task(self) -> Task:
        """The task of a step that was written in Python."""
        primitive = self.source.primitive
        files, data, timeout = self._declared
        product = {name: Path(str(file)).resolve() for name, file in self.product.products.products.items()}
        declared = {**data, **files}
        params = {name: value for name, value in self.params.to_dict().items() if name not in ("upstream", "product")}
        return Task(
            name=self.name,
            source=str(primitive),
            kind=self.kind,
            file=primitive.resolve() if isinstance(primitive, Path) else None,
            params={name: declared.get(str(value), value) for name, value in params.items()},
            upstream=tuple(self.upstream),
            product=product,
            files={name: path.resolve() for name, path in files.items()},
            data={name: path.resolve() for name, path in data.items()},
            timeout=timeout,
            line=1,
            record=next(iter(product.values())).parent / f"{self.name}.record.html",
        )


class StepExecutor(Executor):  # type: ignore[misc]
    """Runs the steps of a DAG as they become ready, up to `workers` of them in parallel. `failure` is the first error."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.failure: BaseException | None = None

    def __call__(self, dag: Any, show_progress: bool) -> list[Any]:
        super().__call__(dag)
        left = {task.name: task for task in dag.values() if task.exec_status != TaskStatus.Skipped}
        if self.workers == 1:
            for task in left.values():
                self._finish(task, partial(task._build, catch_exceptions=False))
            return []
        running: dict[Future[Any], Any] = {}
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                while left or running:
                    waiting = {*left, *(task.name for task in running.values())}
                    for name in [name for name, task in left.items() if not waiting & set(task.upstream)]:
                        task = left.pop(name)
                        running[pool.submit(task._build, catch_exceptions=False)] = task
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        with suppress(DAGBuildError):
                            self._finish(running.pop(future), future.result)
                    if self.failure:
                        left.clear()  # running steps finish, no new one starts
            except BaseException:
                stop_all()
                raise
        if self.failure:
            raise DAGBuildError(str(self.failure)) from self.failure
        return []

    def _finish(self, task: Any, result: Callable[[], Any]) -> None:
        try:
            result()
        except BaseException as error:
            self.failure = self.failure or error
            task.exec_status = TaskStatus.Errored
            raise DAGBuildError(str(error)) from error
        task.exec_status = TaskStatus.Executed


_QUIET = {"static_analysis": "disable", "executor_params": {"progress_bar": False}}


def run_script(spec: Spec, task: Task, context: Context) -> None:
    """Run an .ipynb or a percent script with Ploomber's NotebookRunner; its products go to the context's paths."""
    dag = DAG(executor=StepExecutor())
    for name in task.upstream:
        _FinishedStep(name, spec.tasks[name].product, dag, name)
    assert task.file is not None
    product = {name: File(str(path)) for name, path in context.product.items()}
    params = {name: str(value) if isinstance(value, Path) else value for name, value in task.params.items()}
    runner = NotebookRunner(task.file, product=product, dag=dag, name=task.name, params=params, **{**_QUIET, **task.others})
    for name in task.upstream:
        runner.set_upstream(dag[name])
    dag.render(show_progress=False)
    runner._build(catch_exceptions=False)
    names = {str(path): task.product[name].name for name, path in context.product.items()}
    names |= {
        str(path): os.path.relpath(path, spec.folder) for name in task.upstream for path in spec.tasks[name].product.values()
    }
    for path in context.product.values():
        _replace_paths(path, names)


class _FinishedProduct(Product):
    def fetch_metadata(self) -> dict[str, Any]:
        return {"timestamp": 0, "stored_source_code": "", "params": {}}

    def _is_outdated(self, outdated_by_code: bool = True) -> bool:
        return False


class _FinishedStep(Step):
    """An upstream step that has run already."""

    product_class = _FinishedProduct


def _replace_paths(product: Path, names: Mapping[str, str]) -> None:
    """Remove the absolute paths of this machine and of the staging folder from an executed notebook."""
    if product.suffix not in (".ipynb", ".html") or not product.is_file():
        return
    text = product.read_text(encoding="utf-8")
    for path, name in names.items():
        text = text.replace(path, name)
    product.write_text(text, encoding="utf-8")


def register(name: str, kind: type[Step]) -> None:
    """Allow `class: <name>` in a spec that Ploomber itself reads."""
    string._KEY2CLASS_TASKS[name] = kind
    string._KEY2CLASS[name] = kind
