"""Hold an e-invoice against the printed pages. Entry points: `contradictions` and `place_of`.

A term contradicts the pages if they print its label with other values only, or if they print its value nowhere.
Values are compared, not texts: a date in any usual form, an amount with any marks, a number without its separators, a name as
`values.same` does. `05.03.2018` is 5 March; `05/03/2018` may be either day. A credit note may print its amounts without a sign.
Covered: labels in English, German, French, Spanish, Italian and Dutch; amounts and days as `values` reads them.
Not covered: line items; a due date or an account that no page prints.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import islice, product
from unicodedata import normalize

from proveout.documents.columns import lines
from proveout.documents.e_invoice import source_of, words_of
from proveout.records import E_INVOICE_TERMS, Anomaly, AnomalyKind, Box, Document, EInvoice, Kind, Page, Place, Word
from proveout.values import same
from proveout.values.amounts import amounts_in
from proveout.values.dates import days_in

MUST_BE_PRINTED = ("invoice_number", "issue_date", "seller", "buyer", "total", "amount_due")
MOST = 3  # values of the pages that are quoted
MOST_LABELS = 50  # of a term on a page; a table of bills has about as many

# Before a value, as regular expressions over text in lower case. The value follows at once, or stands below.
LABELS: Mapping[str, str] = {
    "invoice_number": r"(?:rechnungs|gutschrifts?)-?(?:nummer|nr\b\.?)|rechnung nr\.?|invoice (?:number|no\b\.?|nr\b\.?|#)|"
    r"credit note (?:number|no\b\.?)|(?:num[ée]ro de |n° (?:de )?)facture|facture n°|n[úu]mero de factura|factura n[.º°o]*|"
    r"numero (?:della )?fattura|fattura n[.°]*|factuurnummer",
    "issue_date": r"(?:rechnungs|beleg|ausstellungs)datum|invoice date|date of (?:issue|invoice)|issue date|"
    r"date d['’]émission|date de (?:la )?facture|fecha de (?:la )?(?:factura|emisión)|data (?:della )?fattura|factuurdatum",
    "due_date": r"fällig(?:keit(?:sdatum)?)?(?: am)?|zahlbar bis(?: zum)?|due date|payment due(?: by)?|date d['’]échéance|"
    r"fecha de vencimiento|scadenza|vervaldatum",
    "total": r"gesamtbetrag|gesamtsumme|rechnungsbetrag|rechnungssumme|bruttobetrag|bruttosumme|endbetrag|grand total|"
    r"invoice total|total incl(?:\.|uding)? (?:vat|tax)|total (?:ttc|brutto|factura|fattura)|montant ttc|"
    r"importe total|totaal incl\.? btw",
    "amount_due": r"zahlbetrag|zu zahlen(?:der betrag)?|offener betrag|amount due|balance due|total due|amount payable|"
    r"net à payer|montant à payer|total a pagar|totale da pagare|te betalen",
    "seller": r"verkäufer|lieferant|rechnungssteller|seller|vendor|supplier|vendeur|fournisseur|vendedor|proveedor|venditore",
    "buyer": r"käufer|rechnungsempfänger|buyer|bill to|sold to|customer|acheteur|client|comprador|cliente|acquirente",
}
# Weaker ones, where a page has none of the above: a date only before a colon, and a total only if it is more than is stated,
# because a sum without tax may be called a total, too.
WEAK_LABELS: Mapping[str, str] = {
    "issue_date": r"(?:datum|date|fecha|data)(?= ?:)",
    "total": r"total|totale|totaal|summe|gesamt|importe",
}
_CURRENCIES = dict.fromkeys(("CHF", "SEK", "NOK", "DKK", "HUF", "PLN", "CZK"), "")
_CURRENCIES |= {"EUR": "€", "GBP": "£", "INR": "₹", "JPY": "¥", "CNY": "¥"}
_CURRENCIES |= dict.fromkeys(("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN"), "$")
_GAP = re.compile(r"(?: ?\([^)\n]{1,12}\))? ?[:.#]? ?[-−–(]?(?:(?:eur|usd|gbp|chf|[€$£¥]) ?)?[-−–]?")  # unit, colon, currency
_BETWEEN = re.compile(r"(?:[ \-−–€$£¥]|eur|usd|gbp|chf)*")  # amounts of one line
_SPACED = re.compile(r"\d \d")  # one amount, or two
_CENTS = re.compile(r"\d{1,3}(?:[.,'’ ]?\d{3})*[.,]\d\d")
_NUMBER = re.compile(r"[^\s:]*\d[^\s]*")
_LINE = re.compile(r"[^\n]{2,80}")
_IBAN = re.compile(r"\b[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?\b")


@dataclass(frozen=True, eq=False)
class _Text:
    """The words of a page as one text in lower case, by which a match in the text finds its words."""

    page: Page
    text: str  # words after a space, lines after a line break
    starts: tuple[int, ...]  # of each word

    @classmethod
    def of(cls, page: Page) -> "_Text":
        text, starts = "", []
        for line in lines(page):
            for word in line:
                starts.append(len(text))
                text += normalize("NFKC", word.text).casefold() + " "
            text = text[:-1] + "\n"
        return cls(page, text, tuple(starts))

    def place(self, start: int, end: int) -> Place:
        return Place(self.page.number, Box.around(self._words(start, end)))

    def quote(self, start: int, end: int) -> str:
        return " ".join(word.text for word in self._words(start, end))

    def _words(self, start: int, end: int) -> Sequence[Word]:
        return self.page.words[bisect_right(self.starts, start) - 1 : bisect_right(self.starts, end - 1)]

    def stands_apart(self, start: int, end: int, left: bool, right: bool) -> bool:
        """Whether the words of a match keep a distance from the word before and after them in their line, as in a column."""
        first, last = bisect_right(self.starts, start) - 1, bisect_right(self.starts, end - 1) - 1
        height = self.page.words[first].box.y1 - self.page.words[first].box.y0
        neighbours = [(first - 1, first)] * left + [(last, last + 1)] * right
        return all(self._gap(before, after) > 0.8 * height for before, after in neighbours)

    def _gap(self, before: int, after: int) -> float:
        words = self.page.words
        if before < 0 or after >= len(words) or words[before].line != words[after].line:
            return math.inf
        return words[after].box.x0 - words[before].box.x1


@dataclass(frozen=True)
class _Span:
    """A value that a page prints."""

    text: _Text
    start: int
    end: int
    agrees: bool  # with the e-invoice
    exceeds: bool = False  # an amount that is more than the e-invoice states

    @property
    def place(self) -> Place:
        return self.text.place(self.start, self.end)

    @property
    def quote(self) -> str:
        return self.text.quote(self.start, self.end)


def contradictions(e_invoice: EInvoice, document: Document) -> Iterator[Anomaly]:
    """Where the pages say something else than the e-invoice: for each term at most one anomaly, which says both."""
    texts = [_Text.of(page) for page in document.pages if page.words]
    for term in (*MUST_BE_PRINTED, "due_date"):
        stated = e_invoice.term(term)
        if stated and not (term == "amount_due" and (not Decimal(stated) or stated == e_invoice.term("total"))):
            yield from _contradiction(term, e_invoice, texts)
    yield from _other_currency(e_invoice, texts)
    yield from _other_account(e_invoice, texts)


def place_of(term: str, e_invoice: EInvoice, document: Document) -> Place | None:
    """Where the value of a term is printed, beside its label if it is printed there; None if no page prints it."""
    texts = [_Text.of(page) for page in document.pages if page.words]
    spans = [span for text in texts for span in _spans(term, e_invoice, text)]
    labelled = [span for span, _ in _labelled(term, spans, texts)]
    return next((span.place for span in (*labelled, *spans) if span.agrees), None)


def _contradiction(term: str, e_invoice: EInvoice, texts: Sequence[_Text]) -> Iterator[Anomaly]:
    spans = [span for text in texts for span in _spans(term, e_invoice, text)]
    labelled = _labelled(term, spans, texts)
    if any(span.agrees for span, _ in labelled):
        return
    kind = E_INVOICE_TERMS[term]
    if any(span.agrees for span in spans) and (kind == "name" or not labelled):
        return
    if labelled:
        span, label = labelled[0]
        yield _anomaly(term, e_invoice, f"page {span.text.page.number + 1} prints {f'{label} {span.quote}'!r}", span)
    elif term in MUST_BE_PRINTED:
        quoted = list(dict.fromkeys(span.quote for span in spans if _is_plain(kind, span)))[:MOST]
        others = f"; they print {', '.join(map(repr, quoted))}" if quoted else ""
        yield _anomaly(term, e_invoice, f"the pages print it nowhere{others}", None)


def _anomaly(term: str, e_invoice: EInvoice, pages: str, span: _Span | None) -> Anomaly:
    stated = " ".join(e_invoice.term(term).split())
    because = f"as {words_of(term)} {e_invoice.attachment} states {stated!r} ({source_of(term)}), but {pages}"
    return Anomaly(AnomalyKind.CONTRADICTION, because, span.quote if span else stated, span.place if span else None)


def _spans(term: str, e_invoice: EInvoice, text: _Text) -> list[_Span]:
    """Every date or amount of a page, or every number or name that agrees with the term."""
    kind, stated = E_INVOICE_TERMS[term], e_invoice.term(term)
    if kind == "date":
        day = date.fromisoformat(stated)
        return [_Span(text, start, end, day in days) for start, end, days in _days(text.text)]
    if kind == "amount":
        amount = Decimal(stated)
        wanted = {amount, -amount} if e_invoice.is_credit_note else {amount}
        printed = _amounts(text.text)
        return [_Span(text, start, end, bool(wanted & read), min(read) > abs(amount)) for start, end, read in printed]
    if kind == "number":
        return [_Span(text, *match.span(), True) for match in _number_pattern(stated).finditer(text.text)]
    names = [stated, e_invoice.term("seller_trading_name")] if term == "seller" else [stated]
    return [_Span(text, start, end, True) for name in filter(None, names) for start, end in _names(name, text)]


def _labelled(term: str, spans: Sequence[_Span], texts: Sequence[_Text]) -> list[tuple[_Span, str]]:
    """The values after or below the labels of a term, each with its label as printed; weak labels only without others."""
    by_text = {text: [span for span in spans if span.text is text] for text in texts}
    strong = [pair for text in texts for pair in _after_labels(term, LABELS.get(term, ""), by_text[text], text)]
    if strong or term not in WEAK_LABELS:
        return strong
    weak = (pair for text in texts for pair in _after_labels(term, WEAK_LABELS[term], by_text[text], text, apart=True))
    return [(span, label) for span, label in weak if span.agrees or span.exceeds or term != "total"]


def _after_labels(
    term: str, labels: str, spans: Sequence[_Span], text: _Text, apart: bool = False
) -> Iterator[tuple[_Span, str]]:
    kind = E_INVOICE_TERMS[term]
    for label in islice(re.finditer(rf"\b(?:{labels})(?!\w)", text.text), MOST_LABELS) if labels else ():
        if apart and not text.stands_apart(*label.span(), left=True, right=False):
            continue
        after = _GAP.match(text.text, label.end()).end()  # type: ignore[union-attr]  # it matches the empty text, too
        value = _value_at(after, kind, spans, text) or _value_below(label.span(), kind, spans, text)
        if value:
            yield value, text.quote(*label.span())


def _value_at(position: int, kind: Kind, spans: Sequence[_Span], text: _Text) -> _Span | None:
    if kind in ("date", "amount"):
        beside = [span for span in spans if span.start == position and _is_plain(kind, span)]
        if kind == "amount" and beside:  # a line of sums, such as net, tax and gross
            beside += _following(beside[0], spans)
        return next((span for span in beside if span.agrees), beside[0] if beside else None)
    if agreeing := next((span for span in spans if span.start == position), None):
        token = _NUMBER.match(text.text, position) if kind == "number" else None
        if token is None or token.end() <= agreeing.end + 1:  # a full stop may follow
            return agreeing
    pattern = _NUMBER if kind == "number" else _LINE
    match = pattern.match(text.text, position)
    return _Span(text, *match.span(), False) if match else None


def _following(first: _Span, spans: Sequence[_Span]) -> Iterator[_Span]:
    """The amounts after an amount in its line, with nothing but currencies between them."""
    end = first.end
    for span in spans:
        if span.start >= end:
            if not _BETWEEN.fullmatch(first.text.text, end, span.start):
                return
            yield span
            end = span.end


def _value_below(label: tuple[int, int], kind: Kind, spans: Sequence[_Span], text: _Text) -> _Span | None:
    if not text.stands_apart(*label, left=True, right=True):
        return None
    heading = text.place(*label).box
    if kind == "number":
        agreeing = {span.start: span for span in spans}
        tokens = [m.span() for m in re.finditer(r"\S+", text.text) if any(map(str.isdigit, m[0]))]
        spans = [agreeing.get(start, _Span(text, start, end, False)) for start, end in tokens]
    height = heading.y1 - heading.y0
    for span in spans:
        box = span.place.box
        is_below = -0.2 * height < box.y0 - heading.y1 < 1.5 * height and box.x0 < heading.x1 and heading.x0 < box.x1
        if is_below and _is_plain(kind, span):
            return span
    return None


def _is_plain(kind: Kind, span: _Span) -> bool:
    """Whether a span is surely of its kind: an amount has cents, so it is no quantity and no date."""
    return kind != "amount" or bool(_CENTS.fullmatch(span.text.text, span.start, span.end))


def _days(text: str) -> Iterator[tuple[int, int, set[date]]]:
    """Every date of a text with the days that it may mean; with dots the day is first.

    >>> [sorted(map(str, days)) for _, _, days in _days("05.03.2018 3/5/18 5. märz 2018 2018-03-05")]
    [['2018-03-05'], ['2018-03-05', '2018-05-03'], ['2018-03-05'], ['2018-03-05']]
    """
    for start, line in _lines(text):
        for day in days_in(line):
            likely = day.readings.get(day.suggests)
            yield start + day.start, start + day.end, {likely} if likely else day.days


def _amounts(text: str) -> Iterator[tuple[int, int, set[Decimal]]]:
    """Every number of a text, from its first to its last digit, with the amounts that it may be.

    >>> [sorted(map(str, amounts)) for _, _, amounts in _amounts("1.880,00 -5.5 18 310,63 423.923")]
    [['1880.00'], ['-5.5'], ['18310.63'], ['18'], ['310.63'], ['423.923', '423923']]
    """
    for start, line in _lines(text):
        printed = line.upper() if len(line.upper()) == len(line) else line  # currencies and CR are written in capitals
        every = {amount for spaced in {True, not _SPACED.search(line)} for amount in amounts_in(printed, spaced, bare=True)}
        for amount in sorted(every, key=lambda amount: (amount.start, -amount.end)):
            digits = [at for at in range(amount.start, amount.end) if line[at].isdigit()]
            yield (
                start + digits[0],
                start + digits[-1] + 1,
                {amount.value} | ({amount.other} if amount.other is not None else set()),
            )


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text, each with its place."""
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


@cache
def _number_pattern(number: str) -> re.Pattern[str]:
    """A number as it may be printed: other marks between its parts, at most one mark inside a part."""
    parts = re.findall(r"[^\W_]+", normalize("NFKC", number).casefold())
    inside = ("[-/._]?".join(map(re.escape, part)) for part in parts)
    before = r"(?<!\d)" if parts and parts[0][0].isdigit() else r"(?<![^\W_])"
    after = r"(?!\d)" if parts and parts[-1][-1].isdigit() else r"(?![^\W_])"
    return re.compile(before + r"[\W_]{0,3}".join(inside) + after) if parts else re.compile(re.escape(number.casefold()))


def _names(name: str, text: _Text) -> Iterator[tuple[int, int]]:
    """Where a name is printed: as a whole, in parts where it has several lines, or nearly so in one line."""
    whole = _letters(name).search(text.text)
    parts = [_letters(line).search(text.text) for line in name.splitlines()]
    if whole or all(parts):
        match = whole or parts[-1]
        yield match.span()  # type: ignore[union-attr]  # a name has at least one line
        return
    words, first = name.split(), 0
    for line in lines(text.page):
        starts = [at for at, word in enumerate(line) if word.text[:1].casefold() == name[:1].casefold()]
        for at, size in product(starts, {max(1, len(words) - 1), len(words), len(words) + 1}):
            printed = " ".join(word.text for word in line[at : at + size])
            if at + size <= len(line) and same("name", " ".join(words), printed):
                yield text.starts[first + at], text.starts[first + at + size - 1] + 1
        first += len(line)


@cache
def _letters(name: str) -> re.Pattern[str]:
    """The letters and digits of a name, whatever is printed between them."""
    letters = [re.escape(letter) for letter in normalize("NFKC", name).casefold() if letter.isalnum()]
    return re.compile(r"(?<![^\W_])" + r"[\W_]*".join(letters) + r"(?![^\W_])" if letters else r"(?!)")


def _other_currency(e_invoice: EInvoice, texts: Sequence[_Text]) -> Iterator[Anomaly]:
    stated, text = e_invoice.term("currency"), "\n".join(text.text for text in texts)
    printed = {
        code for code, symbol in _CURRENCIES.items() if re.search(rf"\b{code.lower()}\b", text) or (symbol and symbol in text)
    }
    if stated and printed and stated not in printed:
        others = sorted({_CURRENCIES[code] or code for code in printed})
        yield _anomaly("currency", e_invoice, f"the pages print {' and '.join(others)}", None)


def _other_account(e_invoice: EInvoice, texts: Sequence[_Text]) -> Iterator[Anomaly]:
    stated = e_invoice.term("account")
    if not _is_iban(stated) or any(_letters(stated).search(text.text) for text in texts):
        return
    for text in texts:
        for match in _IBAN.finditer(text.text):
            if _is_iban(match[0]):
                span = _Span(text, *match.span(), False)
                yield _anomaly("account", e_invoice, f"page {text.page.number + 1} prints {span.quote!r}", span)
                return


def _is_iban(text: str) -> bool:
    """Whether a text is an account number with the right check digits (ISO 13616).

    >>> _is_iban("DE02 1203 0000 0000 2020 51"), _is_iban("DE02 1203 0000 0000 2020 52")
    (True, False)
    """
    letters = "".join(text.split()).upper()
    moved = letters[4:] + letters[:4]
    return (
        bool(re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{10,30}", letters)) and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1
    )
