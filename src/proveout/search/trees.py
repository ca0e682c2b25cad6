"""LightGBM's trees, asked through its C interface. Entry point: `Trees`.

LightGBM's own Python module imports SciPy, which takes a new process longer than its first answer; learning uses that module.
Covered: a text that holds no trees (BadModel); threads may ask at the same time.
"""

import ctypes
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proveout.errors import BadModel

LIGHTGBM = "lightgbm==4.7.0"
FLOAT64, ROWS_FIRST, NORMAL = 1, 1, 0  # C_API_DTYPE_FLOAT64, is_row_major, C_API_PREDICT_NORMAL
OPTIONS = b"num_threads=1"


class Trees:
    """One set of trees in LightGBM's text format, `text`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._handle = ctypes.c_void_p()
        _call("LGBM_BoosterLoadModelFromString", text.encode(), ctypes.byref(ctypes.c_int()), ctypes.byref(self._handle))

    def __call__(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows, columns) to (rows,), as `Booster.predict` does, bit for bit."""
        inputs = np.ascontiguousarray(inputs, dtype=np.float64)
        result, written = np.empty(len(inputs)), ctypes.c_int64()
        into = result.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        shape = FLOAT64, *map(ctypes.c_int32, inputs.shape), ROWS_FIRST
        every = NORMAL, 0, -1  # iterations: from the first to the last
        pointer = inputs.ctypes.data_as(ctypes.c_void_p)
        _call("LGBM_BoosterPredictForMat", self._handle, pointer, *shape, *every, OPTIONS, ctypes.byref(written), into)
        return result

    def __del__(self) -> None:
        if self._handle:
            _call("LGBM_BoosterFree", self._handle)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what it learned from."""
        line = next((line for line in self.text.splitlines() if line.startswith("feature_names=")), "=")
        return tuple(line.partition("=")[2].split())


def _call(name: str, *arguments: Any) -> None:
    if getattr(_library(), name)(*arguments):
        error = ctypes.cast(_library().LGBM_GetLastError(), ctypes.c_char_p).value or b""
        raise BadModel(f"the ranker's trees cannot be read ({error.decode()}); train it again: proveout build")


@cache
def _library() -> Any:
    """What `lightgbm/libpath.py` loads; that file alone is executed."""
    package = find_spec("lightgbm")
    if package is None or package.origin is None:
        raise BadModel(f"LightGBM is not installed; install it: pip install {LIGHTGBM}")
    spec = spec_from_file_location("_lightgbm_library", Path(package.origin).with_name("libpath.py"))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module._LIB.LGBM_GetLastError.restype = ctypes.c_void_p
    return module._LIB
