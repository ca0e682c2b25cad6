"""Match misspelt column headers to the expected names. Entry point: `match_headers`.

    Contract Number -> contract_num        Gross Amt -> gross_amount        FILE_ID -> file_id

Covered: case, spaces and punctuation, abbreviations (`Amt`, `No.`), one or two extra or wrong letters, a longer name
(`advertiser_name`), and the usual headers of a file name column.
Not covered: synonyms (`client` for `advertiser`) and other languages; such a column counts as unknown.
"""

import difflib
import re
from collections.abc import Collection, Sequence

_NUMBER = re.compile(r"\b(?:number|nbr|nr|no)\b|[#№]")  # all become `num`
_FILE_ID = {"file", "filename", "fileidentifier", "id", "name", "document", "documentid", "doc", "docid", "path", "pdf"}
_MIN_RATIO = 0.8  # of difflib: about one letter in five may differ
_SHORTENED = 0.6  # an abbreviation keeps at least this share of the letters


def match_headers(columns: Sequence[str], fields: Collection[str], others: Collection[str] = ()) -> dict[str, str]:
    """Map unknown columns to the missing names they most likely stand for; each name is used once.

    A column may misspell, abbreviate or extend one of `fields`. `others` are optional, so they match only by the same letters.

    >>> fields = ("file_id", "contract_num", "gross_amount")
    >>> match_headers(["filename", "Contract Number", "Gross Amt", "mood", "Days"], fields, ("day", "split"))
    {'filename': 'file_id', 'Contract Number': 'contract_num', 'Gross Amt': 'gross_amount', 'Days': 'day'}
    """
    names = dict.fromkeys([*fields, *others])
    matches = [
        (-_similarity(column, name, name in fields), at, column, name)
        for at, column in enumerate(columns)
        for name in names
        if column not in names and name not in columns
    ]
    mapping: dict[str, str] = {}
    for negated, _, column, name in sorted(matches):
        if negated < 0 and column not in mapping and name not in mapping.values():
            mapping[column] = name
    return {column: mapping[column] for column in columns if column in mapping}


def _similarity(column: str, name: str, is_field: bool) -> float:
    """1 for the same letters, 0 for a different name."""
    header, expected = _letters(column), _letters(name)
    if header == expected or (name == "file_id" and header in _FILE_ID):
        return 1.0
    if not is_field:
        return float(sorted(header.rstrip("s")) == sorted(expected.rstrip("s")))
    if header[:1] != expected[:1]:
        return 0.0
    ratio = difflib.SequenceMatcher(None, header, expected, autojunk=False).ratio()
    short, long = sorted((header, expected), key=len)
    shortened = len(short) >= _SHORTENED * len(long) and _is_subsequence(short, long)
    return ratio if ratio >= _MIN_RATIO or shortened else 0.0


def _letters(name: str) -> str:
    """The letters to compare, in lower case.

    >>> _letters("Contract No."), _letters("contract_num"), _letters("Contract#"), _letters("ContractNumber")
    ('contractnum', 'contractnum', 'contractnum', 'contractnumber')
    """
    words = _NUMBER.sub(" num ", name.casefold().replace("_", " "))
    return re.sub(r"\W+", "", words)


def _is_subsequence(short: str, long: str) -> bool:
    """Whether the long name has all letters of the short one in the same order."""
    letters = iter(long)
    return all(letter in letters for letter in short)
