"""PDFium's functions for a page of a thousand objects: called with integers for pointers, at half the cost of ctypes pointers.

Covered: functions of handles, numbers and addresses of output. An address is valid while its page is open.
Not covered: everything that pypdfium2 offers at its ordinary speed.
"""

import ctypes
from functools import cache
from typing import Any

_HANDLE, _INT = ctypes.c_size_t, ctypes.c_int
_SIGNATURES = {
    "FPDFPage_GetObject": (_HANDLE, _HANDLE, _INT),
    "FPDFPageObj_GetType": (_INT, _HANDLE),
    "FPDFPageObj_GetBounds": (_INT, _HANDLE, _HANDLE, _HANDLE, _HANDLE, _HANDLE),
    "FPDFPageObj_GetFillColor": (_INT, _HANDLE, _HANDLE, _HANDLE, _HANDLE, _HANDLE),
    "FPDFPageObj_SetIsActive": (_INT, _HANDLE, _INT),
    "FPDFPageObj_CountMarks": (_INT, _HANDLE),
    "FPDFPageObj_GetClipPath": (_HANDLE, _HANDLE),
    "FPDFPageObj_HasTransparency": (_INT, _HANDLE),
    "FPDFPageObj_GetStrokeWidth": (_INT, _HANDLE, _HANDLE),
    "FPDFPageObj_GetMatrix": (_INT, _HANDLE, _HANDLE),
    "FPDFPageObj_GetMark": (_HANDLE, _HANDLE, _INT),
    "FPDFPageObjMark_GetName": (_INT, _HANDLE, _HANDLE, ctypes.c_ulong, _HANDLE),
    "FPDFFormObj_CountObjects": (_INT, _HANDLE),
    "FPDFFormObj_GetObject": (_HANDLE, _HANDLE, _INT),
    "FPDFClipPath_CountPaths": (_INT, _HANDLE),
    "FPDFClipPath_CountPathSegments": (_INT, _HANDLE, _INT),
    "FPDFClipPath_GetPathSegment": (_HANDLE, _HANDLE, _INT, _INT),
    "FPDFPath_CountSegments": (_INT, _HANDLE),
    "FPDFPath_GetPathSegment": (_HANDLE, _HANDLE, _INT),
    "FPDFPathSegment_GetType": (_INT, _HANDLE),
    "FPDFPathSegment_GetPoint": (_INT, _HANDLE, _HANDLE, _HANDLE),
    "FPDFPage_CountObjects": (_INT, _HANDLE),
    "FPDFPath_GetDrawMode": (_INT, _HANDLE, _HANDLE, _HANDLE),
    "FPDFText_GetTextObject": (_HANDLE, _HANDLE, _INT),
    "FPDFText_GetLooseCharBox": (_INT, _HANDLE, _INT, _HANDLE),
    "FPDFText_GetCharAngle": (ctypes.c_float, _HANDLE, _INT),
    "FPDFText_HasUnicodeMapError": (_INT, _HANDLE, _INT),
    "FPDFTextObj_GetText": (ctypes.c_ulong, _HANDLE, _HANDLE, _HANDLE, ctypes.c_ulong),
    "FPDFTextObj_GetTextRenderMode": (_INT, _HANDLE),
}


@cache
def function(name: str) -> Any:
    """A function of PDFium that takes and returns integers."""
    from pypdfium2 import raw  # type: ignore[import-untyped]

    result, *arguments = _SIGNATURES[name]
    return ctypes.PYFUNCTYPE(result, *arguments)(address(getattr(raw, name)))


def address(pointer: Any) -> int:
    """The address behind a ctypes pointer, such as `page.raw`."""
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0
