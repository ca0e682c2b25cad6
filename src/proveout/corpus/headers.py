"""Which known name a column was meant to have. One door: `meant`.

    Contract Number -> contract_num        Gross Amt -> gross_amount        FILE_ID -> file_id

Covered: case, spaces and punctuation, abbreviations (`Amt`, `No.`), one or two letters too many or wrong, a name that goes on
(`advertiser_name`), and the usual names for the column that names the file.
Not covered: synonyms (`client` for `advertiser`) and other languages; such a column counts as unknown.
"""

import difflib
import re
from collections.abc import Collection, Sequence

_NUMBER = re.compile(r"\b(?:number|nbr|nr|no)\b|[#№]")  # all of them are `num`
_FILE_ID = {"file", "filename", "fileidentifier", "id", "name", "document", "documentid", "doc", "docid", "path", "pdf"}
_NEAR = 0.8  # difflib's ratio: one letter of five is another one
_SHORTENED = 0.6  # an abbreviation keeps so much of the word


def meant(columns: Sequence[str], fields: Collection[str], others: Collection[str] = ()) -> dict[str, str]:
    """Column to the known name that it was meant to be, of names that no column has. Each name is meant once.

    `fields` may be misspelt, abbreviated or go on. Any of `others` may be missing, so a column has to have all of its letters.

    >>> fields = ("file_id", "contract_num", "gross_amount")
    >>> meant(["filename", "Contract Number", "Gross Amt", "mood", "Days"], fields, ("day", "split"))
    {'filename': 'file_id', 'Contract Number': 'contract_num', 'Gross Amt': 'gross_amount', 'Days': 'day'}
    """
    known = {*fields, *others}
    pairs = [
        (-_likeness(column, name, name in fields), at, column, name)
        for at, column in enumerate(columns)
        for name in dict.fromkeys([*fields, *others])
        if column not in known and name not in columns
    ]
    mapping: dict[str, str] = {}
    for distance, _, column, name in sorted(pairs):
        if distance < 0 and column not in mapping and name not in mapping.values():
            mapping[column] = name
    return {column: mapping[column] for column in columns if column in mapping}


def _likeness(column: str, name: str, is_field: bool) -> float:
    """1 for the same letters, 0 for another name."""
    one, other = _letters(column), _letters(name)
    if one == other or (name == "file_id" and one in _FILE_ID):
        return 1.0
    if not is_field:
        return float(sorted(one.rstrip("s")) == sorted(other.rstrip("s")))
    if one[:1] != other[:1]:
        return 0.0
    ratio = difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
    short, long = sorted((one, other), key=len)
    shortened = len(short) >= _SHORTENED * len(long) and _inside(short, long)
    return ratio if ratio >= _NEAR or shortened else 0.0


def _letters(name: str) -> str:
    """
    >>> _letters("Contract No."), _letters("contract_num"), _letters("Contract#"), _letters("ContractNumber")
    ('contractnum', 'contractnum', 'contractnum', 'contractnumber')
    """
    words = _NUMBER.sub(" num ", name.casefold().replace("_", " "))
    return re.sub(r"\W+", "", words)


def _inside(short: str, long: str) -> bool:
    """Whether all letters of the short name stand in the long one, in their order."""
    letters = iter(long)
    return all(letter in letters for letter in short)
