"""A marimo notebook is a pipeline step: you edit, build and record the same file.

Entry points: `open_context` in a notebook, a script or a test; `build`, `freshness` and `why` from Python.
Covered: every name is imported on first use, so a notebook pays only for `open_context`.
Not covered: what a step does. The notebooks define that.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.bridge.builds import Built, TaskResult, build
    from proveout.bridge.context import Context, acting_as, open_context
    from proveout.bridge.spec import Spec, Task, load
    from proveout.bridge.staleness import freshness, why

_MODULES = {
    "builds": ("Built", "TaskResult", "build"),
    "context": ("Context", "acting_as", "open_context"),
    "spec": ("Spec", "Task", "load"),
    "staleness": ("freshness", "why"),
}
__all__ = ["Built", "Context", "Spec", "Task", "TaskResult", "acting_as", "build", "freshness", "load", "open_context", "why"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
