"""A marimo notebook is a step of a pipeline: the same file is designed, built and recorded.

In a notebook, a script or a test: `open_context`. From Python: `build`, `freshness`, `why`.
Covered: everything here is imported on first use, so that a notebook pays only for `open_context`.
Not covered: what a step does. That stands in the notebooks.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.bridge.builds import Built, TaskResult, build
    from proveout.bridge.context import Context, acting_as, open_context
    from proveout.bridge.spec import Spec, Task, load
    from proveout.bridge.staleness import freshness, why

_HOME = {
    "Built": "builds",
    "TaskResult": "builds",
    "build": "builds",
    "Context": "context",
    "acting_as": "context",
    "open_context": "context",
    "Spec": "spec",
    "Task": "spec",
    "load": "spec",
    "freshness": "staleness",
    "why": "staleness",
}
__all__ = ["Built", "Context", "Spec", "Task", "TaskResult", "acting_as", "build", "freshness", "load", "open_context", "why"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
