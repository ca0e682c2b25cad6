"""Candidates: every text of a document that could be the value of a field of one kind.

Entry point: `candidates_of`. It aims at recall; choosing comes later.
Covered: ranges ("1/27/20 - 2/04/20" gives two dates), ids with a suffix, names and addresses that run over several lines, or
follow their label;
amounts and days as the world prints them (`values`), read by the conventions of their document.
Not covered: values that are not printed, and dates without a year.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proveout.models.text_segments import NOWHERE, TextSegments, is_wordy
from proveout.records import Box, Kind, Word
from proveout.values import NONE, Conventions, plain, plain_name, written
from proveout.values.amounts import amounts_in
from proveout.values.conventions import amount_read, day_read
from proveout.values.dates import days_in

FIRST, LAST = 4, 2  # occurrences of one value that are kept, from the start and from the end of the document
FEW_NAMES = 5  # a first page with fewer is a cover page, so the names of later pages count too
_LONGEST_NAME = 80  # characters
FEW_LETTERS = 4  # of the first line of an address, which may have more digits than letters
_LONGEST_LINE = 60  # characters, of a further line
CLOSE = 0.9  # of a line's height; a further line is no further below
_SHORTEST_NAME = 3  # letters of an alphabet; two where a letter is a syllable or a word, as in 東芝
_NUMBER = re.compile(r"(?<![^\W_])[^\W\d_]{0,5}[-#]?\d[^\W_]*(?:[-–][^\W_]+)*(?![^\W_])")
_NUMBER_AFTER = re.compile(r"\s+[(\[]?\d{5,}.*")  # a company's, behind its name
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
    more: tuple[int, ...] = ()  # the segments of its further lines

    @property
    def last(self) -> int:
        """The segment of its last line."""
        return self.more[-1] if self.more else self.segment


def candidates_of(
    segments: TextSegments, kind: Kind, label_phrases: Sequence[str] = (), conventions: Conventions = NONE, lines: int = 2
) -> list[Candidate]:
    """Candidates in reading order. For a value that is printed often, the first and the last occurrences are kept.

    `label_phrases` are cut off the start of a name in the same segment; `conventions` are those of the document;
    a name may run over so many `lines`.
    """
    finders = {"date": _dates, "amount": _amounts, "number": _numbers}
    spans = _names(segments, label_phrases, lines) if kind == "name" else finders[kind](segments, conventions)
    return _thinned([_candidate(segments, *span) for span in spans])


Span = tuple[int, int, int, str, str, tuple[int, ...]]  # segment, start, end, text, key, segments of further lines


def _dates(segments: TextSegments, conventions: Conventions) -> Iterator[Span]:
    for at, text in enumerate(segments.texts):
        for printed in days_in(text):
            day, _ = day_read(printed, conventions)
            if 1980 <= day.year <= 2079:
                yield at, printed.start, printed.end, printed.text, day.isoformat(), ()


def _amounts(segments: TextSegments, conventions: Conventions) -> Iterator[Span]:
    for at, text in enumerate(segments.texts):
        for printed in amounts_in(text, conventions.spaced):
            yield at, printed.start, printed.end, printed.text, written(amount_read(printed, conventions)[0]), ()


def _numbers(segments: TextSegments, conventions: Conventions) -> Iterator[Span]:
    for at, text in enumerate(segments.texts):
        if sum(map(str.isdigit, text)) < 3:
            continue
        taken = [match.span() for match in _PHONE.finditer(text)]
        taken += [(day.start, day.end) for day in days_in(text)]
        taken += [(amount.start, amount.end) for amount in amounts_in(text, conventions.spaced)]
        for match in _NUMBER.finditer(text):
            start, end = match.span()
            if sum(map(str.isdigit, match[0])) >= 3 and not any(a < end and start < b for a, b in taken):
                yield at, start, end, match[0], plain(match[0]), ()


def _names(segments: TextSegments, label_phrases: Sequence[str], lines: int) -> Iterator[Span]:
    """Names on the first page, because that is where a document names its parties."""
    leading = _leading(label_phrases)
    short = [at for at, text in enumerate(segments.texts) if len(text) <= _LONGEST_NAME and text[-1] != ":"]
    named = [at for at in short if segments.wordy[at] or sum(map(str.isalpha, segments.texts[at])) >= FEW_LETTERS]
    front = [at for at in named if segments.page[at] == 0]
    for at in front if len(front) >= FEW_NAMES else named[: FEW_NAMES * 10]:
        text = segments.texts[at]
        start = label.end() if (label := leading.match(text)) else 0
        key = plain_name(text[start:])
        if len(key) < (_SHORTEST_NAME if key.isascii() else 2):
            continue
        if segments.wordy[at]:
            yield at, start, len(text), text[start:], key, ()
            if number := _NUMBER_AFTER.search(text, start + 1):
                yield at, start, number.start(), text[start : number.start()], plain_name(text[start : number.start()]), ()
        more = continued(segments, at)[: lines - 1]
        for end in range(1, len(more) + 1):
            whole = " ".join([text[start:], *(segments.texts[line] for line in more[:end])])
            if is_wordy(whole):
                yield at, start, len(text), whole, plain_name(whole), more[:end]


def _leading(label_phrases: Sequence[str]) -> re.Pattern[str]:
    """A label at the start of a text, or its abbreviation before at least two words.

    >>> [_leading(["Client Name"]).sub("", text) for text in ("Client Name: Ada", "Cl. Ada for Mayor", "Cl Ada")]
    ['Ada', 'Ada for Mayor', 'Cl Ada']
    """
    if not label_phrases:
        return re.compile(r"(?!)")
    phrases = "|".join(re.escape(phrase) for phrase in sorted(label_phrases, key=len, reverse=True))
    words = {phrase.split()[0] for phrase in label_phrases}
    short = "|".join(sorted({re.escape(word[:end]) for word in words for end in range(2, len(word))}, key=len, reverse=True))
    abbreviated = rf"|(?:{short})\.?:?\s+(?=\S+\s+\S)" if short else ""
    return re.compile(rf"(?:{phrases})(?:\s*[:#]\s*|\s+)(?=\S){abbreviated}", re.IGNORECASE)


def continued(segments: TextSegments, at: int) -> tuple[int, ...]:
    """The segments of the lines that continue this one, from top to bottom."""
    lines: list[int] = []
    while (below := int(segments.below[at])) != NOWHERE and _continues(segments, at, below):
        lines.append(at := below)
    return tuple(lines)


def _continues(segments: TextSegments, at: int, below: int) -> bool:
    """Whether the segment below continues this one: close to it, at its left edge, further left or centred, and no label."""
    x0, y0, x1, y1 = segments.boxes[at]
    height = y1 - y0
    text = segments.texts[below]
    left, top, right, _ = segments.boxes[below]
    aligned = abs(left - x0) < height or left <= x0 + 1 or abs(left + right - x0 - x1) < 2 * height
    return bool(aligned and top - y1 < CLOSE * height and len(text) <= _LONGEST_LINE and not text.endswith(":"))


def _candidate(
    segments: TextSegments, segment: int, start: int, end: int, text: str, key: str, more: tuple[int, ...]
) -> Candidate:
    box = _box(segments.words[segment], start, end)
    if more:
        boxes = segments.boxes[list(more)]
        (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
        box = Box(min(box.x0, x0), min(box.y0, y0), max(box.x1, x1), max(box.y1, y1))
    return Candidate(text, key, segment, start, end, int(segments.page[segment]), box, more)


def _box(words: tuple[Word, ...], start: int, end: int) -> Box:
    """The box around the words that contain these characters of the segment's text (words joined by one space)."""
    inside, at = [], 0
    for word in words:
        if at < end and at + len(word.text) > start:
            inside.append(word)
        at += len(word.text) + 1
    return Box.around(inside or words[:1])


def _thinned(candidates: list[Candidate]) -> list[Candidate]:
    places: dict[str, list[int]] = {}
    for at, candidate in enumerate(candidates):
        places.setdefault(candidate.key, []).append(at)
    kept = {at for occurrences in places.values() for at in (*occurrences[:FIRST], *occurrences[-LAST:])}
    return [candidate for at, candidate in enumerate(candidates) if at in kept]
