"""What imports cost: libraries without modules that nothing here uses, and which distribution brings a module."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import LazyLoader, find_spec, module_from_spec
from typing import Any

PLOTS = "matplotlib.pyplot"  # for plots of a task's memory use
GRAMMAR = "rfc3987_syntax"  # grammar of IRIs, for schemas; optional for jsonschema


@contextmanager
def lazy_imports() -> Iterator[None]:
    """Import them inside this block: PLOTS loads on first use, GRAMMAR is missing. Later imports get both in full."""
    replaced = PLOTS not in sys.modules
    if replaced and (spec := find_spec(PLOTS)) and spec.loader:
        spec.loader = LazyLoader(spec.loader)
        sys.modules[PLOTS] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[PLOTS])
    try:
        with _missing(GRAMMAR):
            yield
    finally:
        if replaced:
            sys.modules.pop(PLOTS, None)


@contextmanager
def _missing(name: str) -> Iterator[None]:
    """As if a module that was not imported yet were not installed."""
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            sys.modules.pop(name, None)


@cache
def lightgbm() -> Any:
    """The module `lightgbm`, imported as if scikit-learn and pandas were not installed, which saves two seconds.

    Only its own estimators need the one, and input as data frames the other; ours is arrays.
    """
    with _missing("sklearn"), _missing("pandas"):
        return import_module("lightgbm")


@cache
def openvino() -> Any:
    """The module `openvino` without its converter of models, which takes longer to import than all of the rest."""
    with _missing("openvino.tools.ovc"):
        return import_module("openvino")


@cache
def installers() -> Mapping[str, Sequence[str]]:
    """The distributions that install each top-level module. Reads all of their metadata once, in a second."""
    from importlib.metadata import packages_distributions

    return packages_distributions()
