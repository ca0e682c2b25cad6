"""Find where another document begins in a file, and where pages of a document are missing. Entry point: `boundaries`.

A document begins where the page numbering starts again, where the header bears another document number or another title, where
the same kind of total is another amount, and where a title follows a blank page or stands under another letterhead. Pages that
number themselves as the continuation of one document ("page 2 of 3" after "page 1 of 3") are believed.
A file that ends before the last page that it announces, or does not begin with page 1, is part of a document.
Covered: page numbers in the major European languages, several documents on one page of plain text, blank pages within one
document, headers and column titles that repeat on each page.
Not covered: two documents of one sender without titles, numbers or page numbers; those look like one.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from proveout.documents.columns import Floats, PageColumns
from proveout.records import Anomaly, AnomalyKind

HEADER = 0.4  # share of a page's height, from the top, in which a document says what it is
LETTERHEAD = 0.15  # share in which its sender is printed, unless a title stands below it
SAME_SENDER = 0.2  # share of a letterhead's words from which two letterheads are of one sender
MAX_BARE = 12  # characters of a line that is nothing but a page number

# all patterns are matched against lines in lower case without accents
_PAGE_WORDS = ("page", "pg", "seite", "blatt", "pagina", "sida", "side", "strona", "sivu")
_PAGE = re.compile(
    r"(?<!\w)(?P<before>(?:see|on|siehe|auf|voir|vgl\.?|refer to) )?"
    rf"(?:{'|'.join(_PAGE_WORDS)})\.?\s*(?:no\.?|nr\.?)?\s*[:#]?\s*"
    r"(?P<number>\d{1,3})\s*(?:of|/|von|de|sur|di|van|av|z|out of)\s*(?P<total>\d{1,3})(?!\d)"
)
_BARE_PAGE = re.compile(r"-?\s*(?P<number>\d{1,3})\s*(?:of|von|sur|/)\s*(?P<total>\d{1,3})\s*-?")
_ID_WORDS = ("invoice", "credit", "bill", "rechnung", "gutschrift", "factur", "fattura", "avoir")
_LABEL = (
    r"(?<!\w)(?:invoice|credit (?:note|memo)|bill|rechnungs?|gutschrifts?|facture|factura|fattura|factuur|avoir)"
    r"[ -]*(?:number|numero|nummer|num|no|nr|n[°º]|id|#)(?!\w)\.?"
)
_ID = r"(?P<number>(?=[\w/.-]*\d)[a-z0-9][\w/.-]*)"
_NUMBER = re.compile(rf"{_LABEL}\s*[:#.]?\s*{_ID}?")
_CONTINUED = ("continued", "cont.", "fortsetzung", "continuacion", "continuazione", "vervolg")
_TOTAL_WORDS = ("total", "due", "payable", "owing", "betrag", "payer", "betalen")
_TOTAL = re.compile(
    r"(?<!\w)(?P<label>(?:grand |invoice )total|total (?:amount )?(?:due|payable)|(?:amount|balance) (?:due|payable)|now owing|"
    r"gesamtbetrag|rechnungsbetrag|zahlbetrag|(?:total|net) a payer|total ttc|importe total|total a pagar|"
    r"totale (?:fattura|documento)|te betalen)\b[^\d]{0,20}(?P<amount>\d[\d.,' ]*[.,]\d{2,3}(?!\d))"
)
_TITLES = {
    "invoice": "invoice|tax invoice|sales invoice|proforma invoice|rechnung|facture|factura|fattura|factuur|faktura",
    "credit note": "credit note|credit memo|credit invoice|gutschrift|rechnungskorrektur|avoir|nota de credito|nota di credito",
    "order": "order|purchase order|sales order|order confirmation|bestellung|auftragsbestatigung|bon de commande|pedido",
    "contract": "contract|agreement|vertrag|contrat|contrato|contratto",
    "delivery note": "delivery note|packing slip|packing list|lieferschein|bon de livraison|albaran",
    "receipt": "receipt|sales receipt|quittung|recu|recibo|ricevuta",
    "statement": "statement|account statement|statement of account|kontoauszug|releve de compte",
    "quotation": "quote|quotation|estimate|angebot|devis|presupuesto|preventivo|offerte",
    "affidavit": "affidavit|affidavit of performance|proof of performance",
    "reminder": "reminder|payment reminder|mahnung|zahlungserinnerung|rappel",
}
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_TITLE = {wording: title for title, wordings in _TITLES.items() for wording in wordings.split("|")}


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page says about the document that it belongs to."""

    at: int  # from 0
    numbers: tuple[tuple[int, int], ...]  # page and number of pages, as printed
    ids: frozenset[str]  # document numbers in the header
    title: str  # "" if it has none
    totals: dict[str, str]  # label to amount in digits; a label with several amounts is left out
    sender: frozenset[str]  # the words of its letterhead
    has_header: bool  # a document does not begin in the middle of a page
    continued: bool  # says that it continues the page before
    blank: bool


_BLANK = _Page(0, (), frozenset(), "", {}, frozenset(), has_header=False, continued=False, blank=True)


def boundaries(pages: Sequence[PageColumns]) -> list[Anomaly]:
    """The anomalies of a file that does not hold exactly one whole document."""
    if len(pages) == 1:
        described = [replace(_BLANK, numbers=_page_numbers(_lines(pages[0])[0]))]  # all that can be wrong with one page
    else:
        described = [_described(at, page) for at, page in enumerate(pages)]
    starts = [(0, ""), *_starts(described)]
    anomalies = [
        Anomaly(AnomalyKind.SEVERAL, f"another document begins on page {at + 1} of the file: {because}")
        for at, because in starts[1:]
    ]
    ends = [*(at for at, _ in starts[1:]), len(described)]
    for (start, _), end in zip(starts, ends, strict=True):
        if missing := _missing(described[start : max(end, start + 1)]):
            anomalies.append(Anomaly(AnomalyKind.INCOMPLETE, missing))
    return anomalies


def _starts(pages: Sequence[_Page]) -> Iterator[tuple[int, str]]:
    """Where another document begins, with the reason."""
    if not pages:
        return
    current = _Document(pages[0])
    for before, after in pairwise(pages[0].numbers):
        if _restarts(before, after):
            yield 0, f"{_spoken(after)} comes after {_spoken(before)}"
    for previous, page in pairwise(pages):
        if because := current.ends_before(page, previous.blank):
            yield page.at, because
            current = _Document(page)
        else:
            current.take(page)


class _Document:
    """What is known of a document from its pages so far."""

    def __init__(self, first: _Page) -> None:
        self.number: tuple[int, int] | None = None
        self.ids: frozenset[str] = frozenset()
        self.title, self.sender, self.totals = "", frozenset[str](), dict[str, str]()
        self.take(first)

    def take(self, page: _Page) -> None:
        self.number = page.numbers[-1] if page.numbers else self.number
        self.ids |= page.ids
        self.title = self.title or page.title
        self.sender = self.sender or page.sender
        self.totals |= page.totals

    def ends_before(self, page: _Page, after_blank: bool) -> str:
        """Why a page begins another document; "" if it does not."""
        if not page.has_header:
            return ""
        if page.ids and self.ids and not page.ids & self.ids:
            return f"its number is {min(page.ids)}, the one before is {min(self.ids)}"
        if self.number and page.numbers:
            first = page.numbers[0]
            return f"{_spoken(first)} comes after {_spoken(self.number)}" if _restarts(self.number, first) else ""
        if page.ids & self.ids or page.continued:
            return ""
        if page.title and self.title and page.title != self.title:
            return f"its title is {page.title}, the one before is {self.title}"
        for label in page.totals.keys() & self.totals.keys():
            if page.totals[label] != self.totals[label]:
                return f"{label} is another amount"
        if page.title and after_blank:
            return f"the title {page.title} follows a blank page"
        if page.title and page.sender and self.sender:
            shared = len(page.sender & self.sender) / min(len(page.sender), len(self.sender))
            return "a title under another letterhead" if shared < SAME_SENDER else ""
        return ""


def _restarts(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether a printed page number cannot follow another in one document."""
    return after[1] != before[1] or after[0] <= before[0]


def _missing(pages: Sequence[_Page]) -> str:
    """Which pages of a document are missing, in words; "" if none is."""
    numbered = [(page.at - pages[0].at, number) for page in pages for number in page.numbers]
    if not numbered:
        return ""
    at, (first, total) = numbered[0]
    last, place = max(number for _, (number, _) in numbered), f"page {pages[0].at + at + 1} of the file"
    if first - 1 > at:
        return f"{place} is {_spoken((first, total))}: pages before it are missing"
    if last < total and len(pages) - at < total - first + 1:
        return f"{place} is {_spoken((first, total))}: pages after {_spoken((last, total))} are missing"
    return ""


def _spoken(number: tuple[int, int]) -> str:
    return f'"page {number[0]} of {number[1]}"'


def _described(at: int, page: PageColumns) -> _Page:
    lines, starts, heights = _lines(page)
    header = lines[: int(np.searchsorted(heights, HEADER))]
    totals: dict[str, set[str]] = {}
    for line in lines:
        if any(word in line for word in _TOTAL_WORDS):
            for match in _TOTAL.finditer(line):
                totals.setdefault(match["label"], set()).add(re.sub(r"\D", "", match["amount"]))
    titles = [(row, title) for row, line in enumerate(header) if (title := _TITLE.get(line.strip(" :*-"), ""))]
    above = titles[0][0] if titles and titles[0][0] else int(np.searchsorted(heights, LETTERHEAD))
    return _Page(
        at,
        _page_numbers(lines),
        frozenset(_ids(page, header, starts)),
        titles[0][1] if titles else "",
        {label: amounts.pop() for label, amounts in totals.items() if len(amounts) == 1},
        frozenset(word for line in lines[:above] for word in line.split() if word.isalpha()),
        bool(header),
        any(word in line for line in header for word in _CONTINUED),
        not lines,
    )


def _lines(page: PageColumns) -> tuple[list[str], list[int], Floats]:
    """The lines of a page in lower case without accents, where each starts among the words, and how far down it is, 0..1."""
    if not page.texts:
        return [], [], np.zeros(0)
    starts = [0, *(np.flatnonzero(np.diff(page.lines)) + 1).tolist()]
    texts = [" ".join(page.texts[start:end]) for start, end in zip(starts, [*starts[1:], None], strict=True)]
    heights = np.maximum.accumulate(page.boxes[starts, 1]) / max(page.height, 1.0)
    return _plain("\n".join(text.replace("\n", " ") for text in texts)).split("\n"), starts, heights


def _ids(page: PageColumns, header: Sequence[str], starts: Sequence[int]) -> Iterator[str]:
    """Document numbers to the right of their label, or below it as in a table."""
    labelled = ((row, line) for row, line in enumerate(header) if any(word in line for word in _ID_WORDS))
    for row, line in labelled:
        for match in _NUMBER.finditer(line):
            if match["number"]:
                yield match["number"].strip("./-")
            elif row + 1 < len(header):
                first, last = (starts[row] + line[:end].rstrip().count(" ") for end in (match.start() + 1, match.end()))
                left, right = page.boxes[first, 0], page.boxes[min(last, starts[row + 1] - 1), 2]
                end = starts[row + 2] if row + 2 < len(starts) else len(page.texts)
                below = range(starts[row + 1], end)
                words = [_plain(page.texts[i]) for i in below if page.boxes[i, 0] < right and page.boxes[i, 2] > left]
                yield from (word.strip("./-") for word in words[:1] if re.fullmatch(_ID, word))


def _page_numbers(lines: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Printed page numbers, in reading order; one that header and footer repeat counts once."""
    numbers: list[tuple[int, int]] = []
    for line in lines:
        if len(line) <= MAX_BARE and (bare := _BARE_PAGE.fullmatch(line)):
            matches = [bare]
        elif any(word in line for word in _PAGE_WORDS):
            matches = [match for match in _PAGE.finditer(line) if not match["before"]]
        else:
            continue
        for match in matches:
            number = int(match["number"]), int(match["total"])
            if 1 <= number[0] <= number[1] and numbers[-1:] != [number]:
                numbers.append(number)
    return tuple(numbers)


def _plain(text: str) -> str:
    """In lower case and without accents."""
    folded = text.casefold()
    if folded.isascii():
        return folded
    return _NOT_ASCII.sub(_without_accents, folded)


def _without_accents(match: re.Match[str]) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", match[0]) if not unicodedata.combining(letter))
