"""Names and numbers as a person compares them, in any script. Entry points: `plain`, `plain_name`, `same_name`.

Normal form: Unicode NFKC and case folding, letters and digits only. An accent counts where it makes another letter (й, が, क्)
and not where people leave it out: on Latin, Greek, Hebrew and Arabic letters.
Covered: `Müller` is `Muller` and `Mueller`, but these two differ as keys; forms of companies in some forty countries.
Not covered: transliteration (`Иванов` is not `Ivanov`) and translation.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

NAMES_AGREE_ABOVE = 0.9  # share of equal characters; VRDU's string match, arXiv:2211.15421
WORDS_AGREE_ABOVE = 0.7  # of the words that differ: "rn" for "m" is noise, another word is not

_BRACKETS = re.compile(r"\([^)]*\)")
_DIGITS = re.compile(r"\d+")
_ACCENTED = ("LATIN", "GREEK", "HEBREW", "ARABIC")  # scripts whose marks people leave out
# Letters with a stroke or a ligature, which Unicode does not decompose
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ё": "е", "ـ": ""})
_TRANSCRIBED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae"})
# Scripts in which one letter is a syllable or a word, so that another letter is never noise
_SYLLABLES = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")

# Company forms. Those of the second list are also words or initials in small letters, so they count as they are written only.
_FORM = (
    r"inc|incorporated|llc|l\.l\.c|llp|l\.l\.p|ltd|limited|corp|corporation|co|plc|committee|pty|pvt|sdn\.? bhd|bhd|pte|"
    r"gmbh(?: ?& ?co\.? ?(?:kg(?:aa)?|ohg))?|mbh|kgaa|ohg|e\.? ?v|e\.? ?k|ug(?: ?\(haftungsbeschränkt\))?|"
    r"s\.a\.r\.l|sarl|s\.a\.s|sasu|eurl|s\.a|s\.l\.u|s\.l|s\.r\.l|srl|s\.p\.a|s\.n\.c|s\.a\. de c\.v|sa de cv|"
    r"ltda|lda|eireli|s/a|b\.v|n\.v|v\.o\.f|bvba|cvba|oyj|a/s|aps|asa|aktiebolag|"
    r"sp\.? ?z ?o\.? ?o|spółka z o\.? ?o|s\.r\.o|spol\. s r\.o|a\.s|kft|zrt|nyrt|d\.o\.o|d\.d|eood|ood|"
    r"ооо|оао|зао|пао|тов|еоод|оод|α\.?ε|ε\.?π\.?ε|ι\.?κ\.?ε|a\.ş|ltd\.? ?şti|ש\.?מ|בע[\"״]מ|ش\.?م\.?م|ذ\.?م\.?م"
)
_WRITTEN_FORM = r"AG|KG|SE|UG|SA|SAS|SL|SLU|SpA|BV|NV|AB|AS|Oy|OY|LP|JSC|АО|ИП|PT|CV"
_ASIAN_FORM = re.compile(
    r"株式会社|有限会社|合同会社|合名会社|合資会社|股份有限公司|有限责任公司|有限公司|주식회사|유한회사|[（(][株有合주유][）)]|[㈱㈲]"
)
_ENDS = re.compile(rf"[\s,]+(?:(?i:{_FORM})|{_WRITTEN_FORM})\.?(?=[\s,]*$)")
_BEGINS = re.compile(r"^\s*(?:(?i:ооо|оао|зао|пао|тов)|АО|ИП|PT)\b\.?[\s\"«“]+(?=\w)")


@lru_cache(4096)
def plain(text: str) -> str:
    """Letters and digits only, of any script, case-folded and without the accents that people leave out.

    >>> plain("PQ-152 3915/a"), plain("Café Zoë"), plain("ＡＢＣ東京"), plain("Straße"), plain("#")
    ('pq1523915a', 'cafezoe', 'abc東京', 'strasse', '')
    """
    if text.isascii():
        return "".join(filter(str.isalnum, text.lower()))
    return "".join(_letters(text))


def _letters(text: str) -> Iterator[str]:
    base = ""
    folded = unicodedata.normalize("NFKC", text).casefold()
    for character in unicodedata.normalize("NFC", folded):
        whole = unicodedata.normalize("NFD", character)
        base = whole[0] if not unicodedata.combining(whole[0]) else base
        if unicodedata.name(base[:1] or " ", "").startswith(_ACCENTED):
            whole = "" if unicodedata.combining(whole[0]) else whole[0]
        else:
            whole = character
        for letter in whole.translate(_LETTERS):
            if letter.isdigit():
                yield str(unicodedata.digit(letter))
            elif letter.isalnum() or unicodedata.category(letter)[0] == "M":
                yield letter


def plain_name(text: str) -> str:
    """A name as a key: without brackets and company form, unless nothing else is left.

    >>> plain_name("Mike Bloomberg 2020, Inc. (33528)"), plain_name("(A)"), plain_name("(株)東京電力"), plain_name("Day Spa")
    ('mikebloomberg2020', 'a', '東京電力', 'dayspa')
    """
    return plain(_bare(text)) or plain(text)


def has_company_form(text: str) -> bool:
    """Whether a name has the form of a company, such as `Ltd` or `Sdn Bhd`.

    >>> has_company_form("AIK HUAT HARDWARE SDN. BHD."), has_company_form("Day Spa")
    (True, False)
    """
    return _bare(text) != _BRACKETS.sub(" ", text).strip()


@lru_cache(maxsize=10_000)  # a label is compared with every candidate of its document
def _bare(text: str) -> str:
    name = _BRACKETS.sub(" ", _ASIAN_FORM.sub(" ", text)).strip()
    name = _BEGINS.sub("", name)
    while (shorter := _ENDS.sub("", name)) != name:
        name = shorter
    return name


def same_name(a: str, b: str) -> bool:
    """Whether a person takes two printed names for one, allowing for the noise of OCR.

    The same letters and digits, or the same up to misread letters: at least 90 % of the characters agree, every number agrees,
    and no word is missing, added or another one. A text without letters and digits is no name.

    >>> same_name("Müller GmbH & Co. KG", "MUELLER"), same_name("Mike Bloornberg 2020", "Mike Bloomberg 2020, Inc.")
    (True, True)
    >>> same_name("Cl Vote Yes on 18", "Vote Yes on 18"), same_name("Yes on 16", "Yes on 18"), same_name("東京電力", "大阪ガス")
    (False, False, False)
    """
    x, y = plain_name(a), plain_name(b)
    if x == y or _transcribed(a) == _transcribed(b):
        return x != ""
    return _DIGITS.findall(x) == _DIGITS.findall(y) and _alike(x, y, NAMES_AGREE_ABOVE) and _same_words(_bare(a), _bare(b))


def _transcribed(text: str) -> str:
    folded = unicodedata.normalize("NFKC", _bare(text)).casefold()
    return plain(unicodedata.normalize("NFC", folded).translate(_TRANSCRIBED))


def _same_words(a: str, b: str) -> bool:
    x, y = ([word for each in re.split(r"[\s/,;]+", text) if (word := plain(each))] for text in (a, b))
    matcher = difflib.SequenceMatcher(None, x, y, autojunk=False)
    for tag, i, k, m, n in matcher.get_opcodes():
        if tag != "equal" and not _noise("".join(x[i:k]), "".join(y[m:n])):
            return False
    return True


def _noise(x: str, y: str) -> bool:
    """Whether two different spellings may be one word, read badly or with other spaces."""
    if any(unicodedata.name(letter, "").startswith(_SYLLABLES) for letter in {*x} ^ {*y}):
        return False
    return x == y or (min(len(x), len(y)) > 2 and _alike(x, y, WORDS_AGREE_ABOVE))


def _alike(x: str, y: str, above: float) -> bool:
    matcher = difflib.SequenceMatcher(None, x, y, autojunk=False)
    return matcher.real_quick_ratio() >= above and matcher.quick_ratio() >= above and matcher.ratio() >= above
