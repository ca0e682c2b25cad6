"""PDFium's functions for a page of a thousand objects, at a third of the cost of pypdfium2's.

A Handle is made once and passed as it is: converting arguments costs more than most of these functions do. Everything else that
is passed is a number of 32 bits or a ctypes object for output; `table` provides output for many calls.
Covered: functions of handles and numbers. A handle is valid while its page is open.
Not covered: everything that pypdfium2 offers at its ordinary speed, and threads: PDFium has none either.
"""

import ctypes
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

ROWS = 512  # of output at once; more have more handles, which every full garbage collection visits
Handle = ctypes.c_size_t  # from an address as PDFium returns it
_RESULTS: dict[str, Any] = {  # of functions whose result is no int
    "FPDFPage_GetObject": Handle,
    "FPDFPageObj_GetClipPath": Handle,
    "FPDFPageObj_GetMark": Handle,
    "FPDFFormObj_GetObject": Handle,
    "FPDFClipPath_GetPathSegment": Handle,
    "FPDFPath_GetPathSegment": Handle,
    "FPDFText_GetTextObject": Handle,
    "FPDFText_GetCharAngle": ctypes.c_float,
    "FPDFTextObj_GetText": ctypes.c_ulong,
}


@cache
def function(name: str) -> Any:
    """A function of PDFium; instead of a handle it returns an address."""
    from pypdfium2 import raw  # type: ignore[import-untyped]

    called = ctypes.PYFUNCTYPE(_RESULTS.get(name, ctypes.c_int))(handle(getattr(raw, name)).value)
    called.argtypes = None  # type: ignore[assignment]  # the arguments are passed as they are
    return called


def handle(pointer: Any) -> Handle:
    """The handle behind a ctypes pointer, such as `page.raw`."""
    return Handle(ctypes.cast(pointer, ctypes.c_void_p).value or 0)


def table(name: str, *arguments: Iterable[Any], count: int, dtype: Literal["f4", "u4"], outputs: int = 4) -> npt.NDArray[Any]:
    """What a function writes for each of `count` rows of arguments: four values each, (count, 4); zeros where it fails.

    `outputs`: the number of addresses that the function takes, one for each value or one for all.
    """
    result = np.empty((count, 4), dtype=dtype)
    iterators: list[Iterator[Any]] = list(map(iter, arguments))
    for start in range(0, count, ROWS):
        rows = min(ROWS, count - start)
        buffer, cells = _output(dtype)
        buffer[:rows] = 0
        inputs = (islice(iterator, rows) for iterator in iterators)
        deque(map(function(name), *inputs, *(column[:rows] for column in cells[:outputs])), maxlen=0)
        result[start : start + rows] = buffer[:rows]
    return result


@cache
def _output(dtype: str) -> tuple[npt.NDArray[Any], list[list[Handle]]]:
    """Memory for the output of one row after the other, and the address of each value, column by column."""
    buffer = np.zeros((ROWS, 4), dtype=dtype)
    start = buffer.ctypes.data
    return buffer, [list(map(Handle, range(start + 4 * column, start + buffer.nbytes, 16))) for column in range(4)]
