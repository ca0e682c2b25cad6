"""Texts as terms: what the index and a query are compared by. Entry point: `terms_of`.

A term is the stem of a word in lower case without accents, or a number with its unit. `1 TB` and `1tb` are one term, so are
`15.6"` and `15.6 inch`. Stemming is English, by tantivy's Snowball stemmer; other words stay as they are.
Not covered: conversions between units; languages that are written without spaces, where a run of letters is one term.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

UNITS = {  # as written, in lower case, to the one that stands for it
    **{
        unit: unit
        for unit in ("tb", "gb", "mb", "kb", "mbit", "gbit", "ghz", "mhz", "khz", "hz", "dpi", "mp", "fps", "rpm", "db")
    },
    **{unit: unit for unit in ("mm", "cm", "m", "ft", "kg", "g", "l", "ml", "w", "kw", "v", "a", "mah", "wh", "va", "pc")},
    **{'"': "inch", "′′": "inch", "”": "inch", "''": "inch", "inch": "inch", "inches": "inch", "zoll": "inch"},
    **{
        "terabyte": "tb",
        "gigabyte": "gb",
        "megabyte": "mb",
        "gbyte": "gb",
        "mbyte": "mb",
        "megapixel": "mp",
        "megapixels": "mp",
    },
    **{"watt": "w", "watts": "w", "volt": "v", "volts": "v", "metre": "m", "metres": "m", "meter": "m", "meters": "m"},
    **{"feet": "ft", "foot": "ft", "litre": "l", "liter": "l", "gram": "g", "grams": "g", "pcs": "pc", "pieces": "pc"},
}
_TOKEN = re.compile(r"[^\W_]+(?:[.,]\d+[^\W_]*)*|''|′′|[\"”]")  # NFKD writes ″ as ′′
_QUANTITY = re.compile(r"(\d+(?:[.,]\d+)*)([^\W\d_]*)")


def words_of(text: str) -> list[str]:
    """Words and quantities, unstemmed, in lower case without accents.

    >>> words_of('Café 15,6" 1 TB 1,000 W dv7-1211ea 2.0')
    ['cafe', '15.6inch', '1tb', '1000w', 'dv7', '1211ea', '2']
    """
    return list(_joined(_TOKEN.findall(_plain(text))))


def terms_of(text: str) -> list[str]:
    """
    >>> terms_of("Wireless Speakers, 2 x 10 watts")
    ['wireless', 'speaker', '2', 'x', '10w']
    """
    return [stem(word) for word in words_of(text)]


@lru_cache(2**17)
def stem(word: str) -> str:
    """
    >>> stem("cases"), stem("15.6inch"), stem("ノート")
    ('case', '15.6inch', 'ノート')
    """
    if not word.isascii() or not word.isalpha():
        return word
    stems: list[str] = _stemmer().analyze(word)
    return stems[0] if stems else word


@cache
def _stemmer() -> Any:
    import tantivy

    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw()).filter(tantivy.Filter.stemmer("english")).build()


def _plain(text: str) -> str:
    """Lower case, compatible forms as one, without accents on Latin letters."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", re.sub(r"(?<=[a-z])[\u0300-\u036f]+", "", decomposed))


def _joined(tokens: list[str]) -> Iterator[str]:
    """Each number joined with a unit that follows it; a mark of inches that follows no number is dropped."""
    at = 0
    while at < len(tokens):
        token, at = tokens[at], at + 1
        quantity = _QUANTITY.fullmatch(token)
        if not quantity:
            if token not in UNITS or token.isalpha():
                yield token
            continue
        number, unit = quantity[1], quantity[2]
        if not unit and at < len(tokens) and tokens[at] in UNITS:
            unit, at = tokens[at], at + 1
        yield _number(number) + UNITS.get(unit, unit)


def _number(text: str) -> str:
    """
    >>> [_number(text) for text in ("1,000", "15,6", "2.50", "007", "1.2.3")]
    ['1000', '15.6', '2.5', '007', '1.2.3']
    """
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", text):
        text = text.replace(",", "")
    text = text.replace(",", ".")
    return text.rstrip("0").rstrip(".") if text.count(".") == 1 else text
