"""What a notebook needs from its pipeline: parameters, upstream products, its own products.

Entry point: `open_context(__file__)`, the same in the editor, in a build and in a test. In a build, products are written to a
staging folder and moved into place when the step is complete. Elsewhere they are the pipeline's real paths, from the spec that
names the notebook. `PROVEOUT_SPEC` selects another spec, `PROVEOUT_TASK` the task if several use the notebook, and
`PROVEOUT_ENV` overrides the environment: inline YAML, such as `{data: /elsewhere, out: /tmp/out}`, or the path of a YAML file.
Not covered: whether an upstream product is up to date. `freshness` decides that.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from proveout.errors import BadInput, BadSpec, hint

if TYPE_CHECKING:
    from proveout.bridge.spec import Spec, Task

T = TypeVar("T")


class Named(Mapping[str, T]):
    """A read-only mapping. An unknown key raises BadSpec and suggests the nearest one; `what` says what the values are."""

    def __init__(self, what: str, values: Mapping[str, T]) -> None:
        self._what = what
        self._values = dict(values)

    def __getitem__(self, name: str) -> T:
        if name not in self._values:
            raise BadSpec(f"{self._what} `{name}` is not in the spec; {hint(name, self._values)}")
        return self._prepared(name, self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return repr(self._values)

    def _prepared(self, name: str, value: T) -> T:
        return value


class _UpstreamProducts(Named[Path]):
    """The products of an upstream task. For a missing one, the error names the command that builds it."""

    def __init__(self, task: str, values: Mapping[str, Path]) -> None:
        super().__init__(f"product of `{task}`", values)
        self._task = task

    def _prepared(self, name: str, value: Path) -> Path:
        if not value.exists():
            raise BadInput(
                f"product `{name}` of `{self._task}` does not exist yet ({value}); build it: proveout build --only {self._task}"
            )
        return value


class _OwnProducts(Named[Path]):
    """The task's own products. The folder of a product is created on access."""

    def _prepared(self, name: str, value: Path) -> Path:
        value.parent.mkdir(parents=True, exist_ok=True)
        return value


@dataclass(frozen=True)
class Context:
    task: str
    params: Mapping[str, Any]
    upstream: Mapping[str, Mapping[str, Path]]  # task -> product -> path
    product: Mapping[str, Path]
    spec: str = ""  # path of the spec that sets the parameters; empty in a build

    def offer(self, **values: Any) -> str:
        """The change in the spec that makes the pipeline use these values, such as `context.offer(k=k_slider.value)`.

        A widget changes a value for the session only. Empty if nothing differs, and in a build.
        """
        other = {name: value for name, value in values.items() if value != self.params[name]}
        if not other or not self.spec:
            return ""
        import json

        params = ", ".join(f"{name}: {json.dumps(value)}" for name, value in other.items())
        now = ", ".join(json.dumps(self.params[name], default=str) for name in other)
        return f"in {self.spec}, task `{self.task}`: `params: {{{params}}}` (now {now})"

    @staticmethod
    def of(
        task: str,
        params: Mapping[str, Any],
        upstream: Mapping[str, Mapping[str, Path]],
        product: Mapping[str, Path],
        spec: str = "",
    ) -> "Context":
        """A context whose errors say what to do about unknown names and missing products."""
        products = {name: _UpstreamProducts(name, paths) for name, paths in upstream.items()}
        return Context(task, Named("parameter", params), Named("upstream", products), _OwnProducts("product", product), spec)


_active: dict[Path, Context] = {}  # notebook -> context of the run in progress


@contextmanager
def acting_as(notebook: Path | str, context: Context) -> Iterator[None]:
    """Within the block, `open_context(notebook)` returns this context. For builds, and for tests that run a notebook."""
    file = Path(notebook).resolve()
    before = _active.get(file)
    _active[file] = context
    try:
        yield
    finally:
        del _active[file]
        if before is not None:
            _active[file] = before


def open_context(notebook: str | Path) -> Context:
    """The parameters and paths of the task that this notebook implements; call it as `open_context(__file__)`.

    Raises BadSpec if no spec, or more than one, names the notebook.
    """
    file = Path(notebook).resolve()
    if file in _active:
        return _active[file]
    spec, task = task_of(file)
    upstream = {other: spec.tasks[other].product for other in task.upstream}
    return Context.of(task.name, task.params, upstream, task.product, _relative(spec.path))


def task_of(notebook: Path) -> "tuple[Spec, Task]":
    """The spec and task that use a notebook. Raises BadSpec if no spec, or more than one, names it."""
    from proveout.bridge.spec import load

    path, name = _find_task(notebook.resolve())
    spec = load(path, environment())
    return spec, spec.tasks[name]


def environment() -> dict[str, Any]:
    """The values that PROVEOUT_ENV sets. Raises BadSpec if it is no mapping."""
    text = os.environ.get("PROVEOUT_ENV", "").strip()
    if not text:
        return {}
    import yaml

    values = yaml.safe_load(text if text.startswith("{") else Path(text).read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise BadSpec(f"PROVEOUT_ENV: expected names and values such as {{data: /elsewhere}}, or a YAML file; found {text!r}")
    return values


def variables(spec: Path, task: str, env: Mapping[str, Any]) -> dict[str, str]:
    """Environment variables that give a notebook in another process this spec, task and environment."""
    import json

    values = {name: str(value.resolve()) if isinstance(value, Path) else value for name, value in env.items()}
    return {"PROVEOUT_SPEC": str(spec), "PROVEOUT_TASK": task, "PROVEOUT_ENV": json.dumps(values)}


def _find_task(file: Path) -> tuple[Path, str]:
    """The path of the spec and the name of the task that use this notebook."""
    from proveout.bridge.spec import sources

    if path := os.environ.get("PROVEOUT_SPEC"):
        specs = [Path(path).resolve()]
    else:
        specs = [
            spec
            for folder in file.parents
            for pattern in ("pipeline*.yaml", "pipelines/*/pipeline*.yaml")
            for spec in sorted(folder.glob(pattern))
        ]
    uses = [(spec, name) for spec in dict.fromkeys(specs) for name, source in sources(spec) if source == file]
    if wanted := os.environ.get("PROVEOUT_TASK"):
        uses = [(spec, name) for spec, name in uses if name == wanted]
    same_mission = [(spec, name) for spec, name in uses if spec.parent.name == file.parent.name]
    uses = same_mission or uses  # notebooks/invoices/ belongs to pipelines/invoices/, even if other missions use it too
    if not uses:
        raise BadSpec(
            f"no spec names {file.name}; add a task with this `source:` to pipelines/<mission>/pipeline.<name>.yaml, "
            f"or set PROVEOUT_SPEC. Specs searched: {', '.join(map(_relative, specs)) or 'none found above the notebook'}"
        )
    if len(uses) > 1:
        listed = ", ".join(f"{_relative(spec)} ({name})" for spec, name in uses)
        raise BadSpec(f"{file.name} is used {len(uses)} times: {listed}; choose with PROVEOUT_SPEC and PROVEOUT_TASK")
    return uses[0]


def _relative(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
