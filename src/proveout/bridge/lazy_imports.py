"""Ploomber's imports take ten seconds and more. What no build uses of them, a third, is put off or left out."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import LazyLoader, find_spec, module_from_spec

PLOTS = "matplotlib.pyplot"  # of a task's memory
GRAMMAR = "rfc3987_syntax"  # of international addresses, for schemas; jsonschema does without where it is not installed


@contextmanager
def lighter() -> Iterator[None]:
    """Import Ploomber in here. Whoever else imports the same later gets it whole."""
    put_in = [name for name in (PLOTS, GRAMMAR) if name not in sys.modules]
    if PLOTS in put_in and (spec := find_spec(PLOTS)) and spec.loader:
        spec.loader = LazyLoader(spec.loader)
        sys.modules[PLOTS] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[PLOTS])
    if GRAMMAR in put_in:
        sys.modules[GRAMMAR] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in put_in:
            sys.modules.pop(name, None)
