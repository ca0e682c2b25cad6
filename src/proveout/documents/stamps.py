"""Stamps on a page: VOID, PAID, COPY and their like, in the languages of the larger trading countries.

A stamp says that a document must not be paid, or not again. It is a word of the list in letters far larger than the page's,
alone on its line, or in a picture.
Covered: text of any direction, pictures and scans as far as OCR reads them, phrases of two words.
Not covered: the same words in a sentence or at the head of a column, and stamps whose words are not in the list.
"""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from proveout.documents.columns import PageColumns
from proveout.records import Anomaly, AnomalyKind, Box, Place

LARGE = 1.8  # of the median height of the page's words
ALONE = 1.15  # of the same, for a word alone on its line
LEAST = 14.0  # points; the height of a stamp's letters
WORDS = """
void voided paid copy cancelled canceled duplicate draft specimen sample superseded expired rejected reversed unpaid overdue
non-payable proforma pro-forma
bezahlt storniert storno kopie entwurf duplikat ungültig muster zweitschrift abschrift annulliert beglichen
payé payée acquitté acquittée annulé annulée copie duplicata brouillon spécimen réglé réglée périmé
pagado pagada anulado anulada cancelado cancelada copia duplicado borrador muestra nulo
pago paga cópia rascunho amostra quitado
pagato pagata annullato annullata duplicato bozza campione saldato
betaald geannuleerd duplicaat concept vervallen
zapłacono opłacono anulowano kopia duplikat szkic nieważne nieważny
betald makulerad utkast betalt annulleret kopi kladde makulert maksettu mitätöity kopio luonnos
zaplaceno neplatné návrh plătit anulat fizetve érvénytelen másolat törölve
оплачено аннулировано копия дубликат черновик погашено отменено сплачено анульовано копія дублікат чернетка скасовано
πληρωθηκε εξοφληθη ακυρο ακυρωθηκε αντιγραφο προσχεδιο
ödendi iptal kopya taslak
支払済 支払済み 済 控 写し 写 無効 見本 複写 取消 下書き
已付 已付款 付讫 付訖 作废 作廢 副本 复印件 複印件 草稿 样本 樣本 已取消
지급완료 결제완료 취소 취소됨 사본 무효 초안 견본
مدفوع مدفوعة ملغى ملغي ملغاة نسخة مسودة باطل
שולם מבוטל העתק טיוטה בטל
रद्द भुगतान प्रतिलिपि प्रति मसौदा
"""
PHRASES = """
not payable; do not pay; not valid; nicht zahlbar; non payable; no pagar; já pago; già pagato; já paga; segunda via; 2a via;
niet betalen; wersja robocza; nie płacić; pro forma; paid in full; file copy; customer copy; office copy; not an invoice
"""


@lru_cache(1 << 15)  # documents repeat their words
def _form(text: str) -> str:
    """A word as it is compared: without case, accents and punctuation.

    >>> _form("PAYÉ!"), _form("« Void »")
    ('paye', 'void')
    """
    if text.isascii():
        return "".join(filter(str.isalnum, text.lower()))
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if letter.isalnum() or unicodedata.category(letter) == "Mc")


_WORDS = frozenset(map(_form, WORDS.split()))
_PHRASES = tuple({_form(phrase) for phrase in PHRASES.split(";")})
_BEGINNINGS = _WORDS | {phrase[:end] for phrase in _PHRASES for end in range(1, len(phrase) + 1)}
_LONGEST = 4  # words of a phrase


def stamps(words: PageColumns, number: int, in_picture: npt.NDArray[np.bool_] | None = None) -> Iterator[Anomaly]:
    """The stamps among the words of a page; `in_picture`: which of them were read in a picture that is only part of it."""
    forms = list(map(_form, words.texts))
    starts = [at for at, form in enumerate(forms) if form in _BEGINNINGS and _begins_stamp(forms[at : at + _LONGEST])]
    if not starts:
        return
    heights = words.boxes[:, 3] - words.boxes[:, 1]
    median = float(np.median(heights))
    for start, end in _candidates(forms, starts, words.lines):
        box = words.boxes[start:end]
        line = np.flatnonzero(words.lines == words.lines[start])
        alone = all(start <= i < end or not forms[i] for i in line.tolist())
        height = float(heights[start:end].min())
        large = height >= max(LARGE * median, LEAST)
        capitals = " ".join(words.texts[start:end]).isupper() or not any(t.islower() for t in words.texts[start:end])
        pictured = in_picture is not None and bool(in_picture[start:end].all())
        if large or pictured or (alone and capitals and height >= min(ALONE * median, LEAST) and len(forms) > _LONGEST):
            text = " ".join(words.texts[start:end])
            (x0, y0), (x1, y1) = box[:, :2].min(axis=0).tolist(), box[:, 2:].max(axis=0).tolist()
            yield Anomaly(
                AnomalyKind.STAMP, f"{text!r} is stamped on page {number + 1}", text, Place(number, Box(x0, y0, x1, y1))
            )


def _begins_stamp(forms: list[str]) -> bool:
    return forms[0] in _WORDS or "".join(forms).startswith(_PHRASES)


def _candidates(forms: list[str], starts: list[int], lines: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Start and end of the words and phrases of the lists."""
    for start in starts:
        for end in range(min(start + _LONGEST, len(forms)), start, -1):
            if lines[start] != lines[end - 1]:
                continue
            form = "".join(forms[start:end])
            if form in _PHRASES or (end == start + 1 and form in _WORDS):
                yield start, end
                break
