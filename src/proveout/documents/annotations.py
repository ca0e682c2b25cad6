"""Annotations and form fields of a PDF page: painted on the page in memory, so that they are read like all other text.

`paint` flattens a page; what cannot be painted, or stands otherwise in the file than on the page, is an anomaly.
Covered: values of AcroForm fields with and without an appearance, free text, stamps, strike-out marks, XFA forms.
Not covered: notes that open only on a click, and the scripts of a form.
"""

import ctypes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.documents.columns import PageColumns
from proveout.records import Anomaly, AnomalyKind, Box, Place

HIDDEN, NO_VIEW = 2, 32  # flags of an annotation that a person does not see
_OF_TEXT = {20: "a form field", 3: "a note"}  # by kind: FPDF_ANNOT_WIDGET, FPDF_ANNOT_FREETEXT
XFA = {2: "an XFA form", 3: "a form with XFA data"}  # by FPDF_GetFormType


@dataclass(frozen=True)
class Annotation:
    """A visible annotation that may say something."""

    kind: int  # raw.FPDF_ANNOT_*
    text: str  # a form field's value, or the contents of a note
    name: str  # of a stamp's picture, such as Draft
    corners: tuple[float, float, float, float]  # in page coordinates: left, bottom, right, top


def paint(pdf: Any, number: int) -> tuple[Any, list[Annotation]]:
    """Page `number` of a pypdfium2 document with its annotations painted on it, and the annotations that say something."""
    from pypdfium2 import raw  # type: ignore[import-untyped]

    page = pdf[number]
    count = raw.FPDFPage_GetAnnotCount(page.raw)
    if not count:
        return page, []
    every = list(_annotations(pdf, page, count))
    if every and raw.FPDFPage_Flatten(page.raw, raw.FLAT_NORMALDISPLAY) == raw.FLATTEN_SUCCESS:
        page.close()
        page = pdf[number]
    return page, every


def _annotations(pdf: Any, page: Any, count: int) -> Iterator[Annotation]:
    from pypdfium2 import raw

    silent = (raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP, raw.FPDF_ANNOT_TEXT, raw.FPDF_ANNOT_FILEATTACHMENT)
    for number in range(count):
        annotation = raw.FPDFPage_GetAnnot(page.raw, number)
        if not annotation:
            continue
        try:
            kind = raw.FPDFAnnot_GetSubtype(annotation)
            if kind in silent or raw.FPDFAnnot_GetFlags(annotation) & (HIDDEN | NO_VIEW):
                continue
            rectangle = raw.FS_RECTF()
            raw.FPDFAnnot_GetRect(annotation, ctypes.byref(rectangle))
            text = _string(raw.FPDFAnnot_GetStringValue, annotation, b"Contents")
            if kind == raw.FPDF_ANNOT_WIDGET:
                text = _field_value(pdf, annotation)
            name = _string(raw.FPDFAnnot_GetStringValue, annotation, b"Name")
            corners = (rectangle.left, rectangle.bottom, rectangle.right, rectangle.top)
            yield Annotation(kind, text, name, corners)
        finally:
            raw.FPDFPage_CloseAnnot(annotation)


def _field_value(pdf: Any, annotation: Any) -> str:
    """The value of a form field that holds text; "" for buttons, check boxes, and without a form."""
    from pypdfium2 import raw

    if pdf.formenv is None:
        if _string(raw.FPDFAnnot_GetStringValue, annotation, b"FT") not in ("Tx", "Ch"):
            return ""
        return _string(raw.FPDFAnnot_GetStringValue, annotation, b"V")
    of_text = (raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX)
    if raw.FPDFAnnot_GetFormFieldType(pdf.formenv.raw, annotation) not in of_text:
        return ""
    return _string(raw.FPDFAnnot_GetFormFieldValue, pdf.formenv.raw, annotation)


def _string(function: Any, *arguments: Any) -> str:
    from pypdfium2 import raw

    size = function(*arguments, None, 0)
    buffer = ctypes.create_string_buffer(max(size, 2))
    function(*arguments, ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR)), size)
    return buffer.raw.decode("utf-16-le", "replace").split("\0")[0]


def unread(annotations: Iterable[Annotation], words: PageColumns, places: Iterable[Box], number: int) -> Iterator[Anomaly]:
    """What annotations say or do and the words of their page do not tell; `places`: the box of each on the page."""
    from pypdfium2 import raw

    for annotation, box in zip(annotations, places, strict=True):
        page, place = number + 1, Place(number, box)
        if annotation.kind == raw.FPDF_ANNOT_STAMP:
            text = annotation.text or annotation.name
            because = f"a stamp{f' {text!r}' if text else ''} was put on page {page}"
            yield Anomaly(AnomalyKind.STAMP, because, text, place)
        elif annotation.kind == raw.FPDF_ANNOT_STRIKEOUT:
            yield Anomaly(AnomalyKind.HIDDEN, f"text on page {page} is struck out", _words_in(words, box), place)
        elif annotation.kind in _OF_TEXT and _letters(annotation.text) not in _letters(_words_in(words, box)):
            because = (
                f"{_OF_TEXT[annotation.kind]} on page {page} holds {annotation.text[:80]!r}, but the page does not show it"
            )
            yield Anomaly(AnomalyKind.UNREAD, because, annotation.text, place)


def of_form(form_type: int) -> Iterator[Anomaly]:
    """An XFA form keeps its values outside the pages, where only some programs show them."""
    if form_type in XFA:
        yield Anomaly(AnomalyKind.UNREAD, f"the file is {XFA[form_type]}: its values may differ from what the pages show")


def _letters(text: str) -> str:
    """
    >>> _letters("$1,250.00 due")
    '125000due'
    """
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _words_in(words: PageColumns, box: Box) -> str:
    middles = (words.boxes[:, :2] + words.boxes[:, 2:]) / 2
    low, high = np.array([box.x0 - 2, box.y0 - 2]), np.array([box.x1 + 2, box.y1 + 2])
    inside = np.flatnonzero(np.all((middles >= low) & (middles <= high), axis=1))
    return " ".join(words.texts[i] for i in inside.tolist())
