"""Candidates: every text of a document that could be the value of a field of one kind.

Entry point: `candidates_of`. It aims at recall; choosing comes later.
Covered: ranges ("1/27/20 - 2/04/20" gives two dates), ids with a suffix, names that run over two lines or follow their label.
Not covered: values that are not printed, and dates without a year.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proveout.models.text_segments import NOWHERE, TextSegments, box_around
from proveout.records import Box, Kind, Word
from proveout.values import cents_of, day_of, plain, plain_name

FIRST, LAST = 4, 2  # occurrences of one value that are kept, from the start and from the end of the document
FEW_NAMES = 5  # a first page with fewer is a cover page, so the names of later pages count too
_LONGEST_NAME = 80  # characters
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_DATE = re.compile(
    r"(?<![\d/.])(?:"
    r"\d{4}-\d{1,2}-\d{1,2}(?!\d)"
    r"|\d{1,2}([/.-])\d{1,2}\1(?:\d{4}(?!\d)|\d{2}(?![.,]\d))"
    rf"|{_MONTH}\s*\d{{1,2}},?\s+\d{{4}}(?!\d)"
    rf"|\d{{1,2}}[\s-]*{_MONTH}[\s,-]*(?:\d{{4}}|\d{{2}})(?!\d)"
    r")",
    re.IGNORECASE,
)
_AMOUNT = re.compile(
    r"(?<![\d.,/:-])(?:\(\s*)?(?:-\s*)?(?:[$€£]\s*)?(?:-\s*)?"
    r"(?:\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d{1,3}(?:\.\d{3})+,\d{2}|\d+[.,]\d{2}|(?<=[$€£])\d+|(?<=[$€£] )\d+)"
    r"(?![\d%/:-]|[.,]\d|\s%)\)?"
)
_NUMBER = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{0,5}[-#]?\d[A-Za-z0-9]*(?:[-–][A-Za-z0-9]+)*(?![A-Za-z0-9])")
_PHONE = re.compile(r"\(?\d{3}\)?[\s.-]*\d{3}[.-]\d{4}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One occurrence of a possible value."""

    text: str  # as printed
    key: str  # equal for candidates with the same value
    segment: int  # index into the segments
    start: int  # characters of the segment's text
    end: int
    page: int
    box: Box


def candidates_of(segments: TextSegments, kind: Kind, label_phrases: Sequence[str] = ()) -> list[Candidate]:
    """Candidates in reading order. For a value that is printed often, the first and the last occurrences are kept.

    `label_phrases` are cut off the start of a name in the same segment.
    """
    finders = {"date": _dates, "amount": _amounts, "number": _numbers}
    spans = _names(segments, label_phrases) if kind == "name" else finders[kind](segments)
    return _thinned([_candidate(segments, *span) for span in spans])


Span = tuple[int, int, int, str, str]  # segment, start, end, text, key


def _dates(segments: TextSegments) -> Iterator[Span]:
    for at, text in enumerate(segments.texts):
        if sum(map(str.isdigit, text)) < 3:
            continue
        for match in _DATE.finditer(text):
            day = day_of(match[0])
            if day is not None and 1980 <= day.year <= 2079:
                yield at, match.start(), match.end(), match[0], day.isoformat()


def _amounts(segments: TextSegments) -> Iterator[Span]:
    for at, text in enumerate(segments.texts):
        if not any(map(str.isdigit, text)):
            continue
        for match in _AMOUNT.finditer(text):
            cents = cents_of(match[0])
            if cents is not None:
                yield at, match.start(), match.end(), match[0].strip(), str(cents)


def _numbers(segments: TextSegments) -> Iterator[Span]:
    for at, text in enumerate(segments.texts):
        if sum(map(str.isdigit, text)) < 3:
            continue
        taken = [match.span() for pattern in (_DATE, _PHONE, _AMOUNT) for match in pattern.finditer(text)]
        for match in _NUMBER.finditer(text):
            start, end = match.span()
            if sum(map(str.isdigit, match[0])) >= 3 and not any(a < end and start < b for a, b in taken):
                yield at, start, end, match[0], plain(match[0])


def _names(segments: TextSegments, label_phrases: Sequence[str]) -> Iterator[Span]:
    """Names on the first page, because that is where a document names its parties."""
    leading = _leading(label_phrases)
    named = [
        at for at, text in enumerate(segments.texts) if segments.wordy[at] and len(text) <= _LONGEST_NAME and text[-1] != ":"
    ]
    front = [at for at in named if segments.page[at] == 0]
    for at in front if len(front) >= FEW_NAMES else named[: FEW_NAMES * 10]:
        text = segments.texts[at]
        start = label.end() if (label := leading.match(text)) else 0
        key = plain_name(text[start:])
        if len(key) < 3:
            continue
        yield at, start, len(text), text[start:], key
        below = int(segments.below[at])
        if below != NOWHERE and _continues(segments, at, below):
            whole = f"{text[start:]} {segments.texts[below]}"
            yield at, start, len(text), whole, plain_name(whole)


def _leading(label_phrases: Sequence[str]) -> re.Pattern[str]:
    phrases = "|".join(re.escape(phrase) for phrase in sorted(label_phrases, key=len, reverse=True))
    return re.compile(rf"(?:{phrases})(?:\s*[:#]\s*|\s+)(?=\S)" if phrases else r"(?!)", re.IGNORECASE)


def _continues(segments: TextSegments, at: int, below: int) -> bool:
    """Whether the segment below continues this one: close to it, at the same left edge or further left, short and no label."""
    x0, y0, _, y1 = segments.boxes[at]
    height = y1 - y0
    text = segments.texts[below]
    left, top = segments.boxes[below][:2]
    aligned = abs(left - x0) < height or left <= x0 + 1
    return bool(aligned and top - y1 < 0.6 * height and len(text) <= 40 and not text.endswith(":"))


def _candidate(segments: TextSegments, segment: int, start: int, end: int, text: str, key: str) -> Candidate:
    return Candidate(text, key, segment, start, end, int(segments.page[segment]), _box(segments.words[segment], start, end))


def _box(words: tuple[Word, ...], start: int, end: int) -> Box:
    """The box around the words that contain these characters of the segment's text (words joined by one space)."""
    inside, at = [], 0
    for word in words:
        if at < end and at + len(word.text) > start:
            inside.append(word)
        at += len(word.text) + 1
    return box_around(inside or words[:1])


def _thinned(candidates: list[Candidate]) -> list[Candidate]:
    places: dict[str, list[int]] = {}
    for at, candidate in enumerate(candidates):
        places.setdefault(candidate.key, []).append(at)
    kept = {at for occurrences in places.values() for at in (*occurrences[:FIRST], *occurrences[-LAST:])}
    return [candidate for at, candidate in enumerate(candidates) if at in kept]
