"""What a notebook asks for: parameters, upstream products, its own products. One door: `open_context(__file__)`.

The same in the editor, in a build and in a test. In a build the products are written aside and moved when the step is
whole; anywhere else they are the pipeline's real paths, found in the spec that names the notebook.
`PROVEOUT_SPEC` names another spec (and `PROVEOUT_TASK` the task, if several use the notebook); `PROVEOUT_ENV` overrides
the environment: inline YAML, such as `{data: /elsewhere, out: /tmp/out}`, or the path of a YAML file.
Not covered: whether an upstream product is up to date. `freshness` decides that.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from proveout.errors import BadInput, BadSpec

if TYPE_CHECKING:
    from proveout.bridge.spec import Spec, Task

T = TypeVar("T")


class Named(Mapping[str, T]):
    """A read-only mapping whose unknown key is answered with the nearest known one."""

    def __init__(self, what: str, values: Mapping[str, T]) -> None:
        self._what = what
        self._values = dict(values)

    def __getitem__(self, name: str) -> T:
        if name not in self._values:
            from proveout.bridge.spec import nearest

            raise BadSpec(f"{self._what} `{name}` is not in the spec; {nearest(name, list(self._values))}")
        return self._found(name, self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return repr(self._values)

    def _found(self, name: str, value: T) -> T:
        return value


class _Made(Named[Path]):
    """Upstream products; one that does not exist yet is answered with the command that builds it."""

    def __init__(self, task: str, values: Mapping[str, Path]) -> None:
        super().__init__(f"product of `{task}`", values)
        self._task = task

    def _found(self, name: str, value: Path) -> Path:
        if not value.exists():
            raise BadInput(
                f"product `{name}` of `{self._task}` does not exist yet ({value}); build it: proveout build --only {self._task}"
            )
        return value


class _Own(Named[Path]):
    """Own products; the folder of a product exists before it is written."""

    def _found(self, name: str, value: Path) -> Path:
        value.parent.mkdir(parents=True, exist_ok=True)
        return value


@dataclass(frozen=True)
class Context:
    task: str
    params: Mapping[str, Any]
    upstream: Mapping[str, Mapping[str, Path]]  # task -> product -> path
    product: Mapping[str, Path]
    spec: str = ""  # where the parameters stand; empty in a build

    def offer(self, **values: Any) -> str:
        """What to change in the spec so that the pipeline uses these values, such as `here.offer(k=k_slider.value)`.

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
        """A context that answers unknown names, and products that do not exist, with what to do."""
        made = {name: _Made(name, paths) for name, paths in upstream.items()}
        return Context(task, Named("parameter", params), Named("upstream", made), _Own("product", product), spec)


_acting: dict[Path, Context] = {}  # notebook -> the context of the run under way


@contextmanager
def acting_as(notebook: Path | str, context: Context) -> Iterator[None]:
    """Within the block, `open_context(notebook)` is this one. Builds use it, and tests that run a notebook by hand."""
    file = Path(notebook).resolve()
    before = _acting.get(file)
    _acting[file] = context
    try:
        yield
    finally:
        if before is None:
            del _acting[file]
        else:
            _acting[file] = before


def open_context(notebook: str | Path) -> Context:
    """The parameters and paths of the pipeline's task that this notebook is; call it as `open_context(__file__)`.

    Raises BadSpec if no spec, or more than one, names the notebook.
    """
    file = Path(notebook).resolve()
    if file in _acting:
        return _acting[file]
    spec, task = place(file)
    upstream = {other: spec.tasks[other].product for other in task.upstream}
    return Context.of(task.name, task.params, upstream, task.product, _shown(spec.path))


def place(notebook: Path) -> "tuple[Spec, Task]":
    """The pipeline's task that a notebook is. Raises BadSpec if no spec, or more than one, names it."""
    from proveout.bridge.spec import load

    path, name = _place(notebook.resolve())
    spec = load(path, environment())
    return spec, spec.tasks[name]


def environment() -> dict[str, Any]:
    """What PROVEOUT_ENV says."""
    text = os.environ.get("PROVEOUT_ENV", "").strip()
    if not text:
        return {}
    import yaml

    given = yaml.safe_load(text if text.startswith("{") else Path(text).read_text(encoding="utf-8"))
    if not isinstance(given, dict):
        raise BadSpec(
            f"PROVEOUT_ENV: expected names and values such as {{data: /elsewhere}}, or a file of them; found {text!r}"
        )
    return given


def variables(spec: Path, task: str, env: Mapping[str, Any]) -> dict[str, str]:
    """The variables by which a notebook that another process opens finds its place in a pipeline."""
    import json

    given = {name: str(value.resolve()) if isinstance(value, Path) else value for name, value in env.items()}
    return {"PROVEOUT_SPEC": str(spec), "PROVEOUT_TASK": task, "PROVEOUT_ENV": json.dumps(given)}


def _place(file: Path) -> tuple[Path, str]:
    """The spec and the task that use this notebook."""
    from proveout.bridge.spec import sources

    if given := os.environ.get("PROVEOUT_SPEC"):
        specs = [Path(given).resolve()]
    else:
        folders = [file.parent, *file.parents[1:]]
        specs = [
            spec
            for folder in folders
            for pattern in ("pipeline*.yaml", "pipelines/*/pipeline*.yaml")
            for spec in sorted(folder.glob(pattern))
        ]
    found = [(spec, name) for spec in dict.fromkeys(specs) for name, source in sources(spec) if source == file]
    if wanted := os.environ.get("PROVEOUT_TASK"):
        found = [(spec, name) for spec, name in found if name == wanted]
    namesakes = [(spec, name) for spec, name in found if spec.parent.name == file.parent.name]
    found = namesakes or found  # notebooks/invoices/ belongs to pipelines/invoices/, whichever missions use it too
    if not found:
        raise BadSpec(
            f"no spec names {file.name}; add a task with this `source:` to pipelines/<mission>/pipeline.<name>.yaml, "
            f"or set PROVEOUT_SPEC. Looked at: {', '.join(map(_shown, specs)) or 'no spec found above the notebook'}"
        )
    if len(found) > 1:
        uses = ", ".join(f"{_shown(spec)} ({name})" for spec, name in found)
        raise BadSpec(f"{file.name} is used {len(found)} times: {uses}; choose with PROVEOUT_SPEC and PROVEOUT_TASK")
    return found[0]


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
