"""Features of candidates that need no training: place, neighbours, and role in the document.

Entry point: `document_features`, one matrix for each kind of field. `layout_statistics` adds what labelled documents taught.
Not covered: title, received, layout, file name. A Document has none of them.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from proveout.mission import Mission
from proveout.models.candidates import Candidate, candidates_of, continued
from proveout.models.label_phrases import LabelPhrases, compact
from proveout.models.text_segments import NOWHERE, TextSegments, text_segments
from proveout.records import DateOrder, Document, Kind
from proveout.values import NONE, Conventions, conventions
from proveout.values.names import has_company_form

Floats = npt.NDArray[np.float64]

SLOTS = ("near", "left", "above", "heading", "row", "right", "below")  # where a neighbour is
CASH = 5  # cents of the smallest coin in many countries
FAR = 10.0  # lines; the next one is at least as far, or there is none
_PREFIX = 40  # characters before and after the value in its own segment that are used
_DIGITS = re.compile(r"\d+")
_SHAPELESS = re.compile(r"[^a-z0#$%]")
_JOINS_RANGE = re.compile(r"\s*(?:-|–|—|to|thru|through|/)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Printing:
    """How a mission says that its values are printed."""

    deductions: tuple[float, ...] = ()  # shares that are deducted from an amount, such as 0.15 for an agency's commission
    dates: DateOrder = "inferred"  # order of days in numbers
    lines: int = 2  # that a name may run over

    @classmethod
    def of(cls, mission: Mission) -> "Printing":
        deductions = sorted({share for spec in mission.fields.values() for share in spec.deductions})
        return cls(tuple(deductions), mission.dates, mission.lines)


@dataclass(frozen=True)
class CandidateFeatures:
    """The candidates of one kind in one document, and their features."""

    candidates: list[Candidate]
    names: tuple[str, ...]  # of the columns of `base`
    base: Floats  # (candidates, columns)
    neighbours: list[tuple[str, ...]]  # text in each of SLOTS, "" where there is none
    similar: Floats  # (candidates, SLOTS, groups of label phrases)


@dataclass(frozen=True)
class DocumentFeatures:
    """The features of one document, for every kind."""

    sha256: str
    segments: TextSegments
    marks: frozenset[str]  # wordy texts of the first page, which identify the layout
    kinds: Mapping[Kind, CandidateFeatures]
    conventions: Conventions = NONE  # by which the values of its candidates are read


@lru_cache(maxsize=100_000)  # labels repeat on every page
def shape(text: str) -> str:
    """A text as a key: lower-case letters, with every run of digits as one 0.

    >>> shape("Flight Dates:"), shape("12/30/19 -"), shape("Order # 2313")
    ('flightdates', '000', 'order#0')
    """
    return _SHAPELESS.sub("", _DIGITS.sub("0", text.lower()))[:40]


def document_features(
    document: Document,
    kinds: Sequence[Kind],
    labels: LabelPhrases,
    phrases: Sequence[str],
    name_labels: Sequence[str],
    printing: Printing = Printing(),
) -> DocumentFeatures:
    """`phrases` cut the page into segments; `name_labels` and `printing` are those of `candidate_features`."""
    segments = text_segments(document, phrases)
    front = np.flatnonzero((segments.page == 0) & segments.wordy).tolist()
    marks = frozenset(compact(segments.texts[at]) for at in front) - {""}
    printed = conventions(document, printing.dates)
    of_kind = {
        kind: candidate_features(segments, kind, labels, name_labels, printing, printed) for kind in dict.fromkeys(kinds)
    }
    return DocumentFeatures(document.sha256, segments, marks, of_kind, printed)


def candidate_features(
    segments: TextSegments,
    kind: Kind,
    labels: LabelPhrases,
    name_labels: Sequence[str],
    printing: Printing = Printing(),
    printed: Conventions = NONE,
) -> CandidateFeatures:
    """`name_labels` are cut off a name in the same segment; `printed`: the conventions of the document."""
    candidates = candidates_of(segments, kind, name_labels, printed, printing.lines)
    neighbours = [_neighbours(segments, candidate) for candidate in candidates]
    columns: dict[str, Floats] = {**_place(segments, candidates), **_repetition(candidates)}
    columns |= _amounts(segments, candidates, printing.deductions) if kind == "amount" else _OWN[kind](segments, candidates)
    base = np.stack(list(columns.values()), axis=1) if candidates else np.zeros((0, len(columns)))
    similar = np.array([[labels.similarity(text) for text in texts] for texts in neighbours])
    similar = similar.reshape(len(candidates), len(SLOTS), len(labels.groups))
    for at, candidate in enumerate(candidates):  # "Advertiser | Name: | One Nation": two segments, one label
        before = _label_before(segments, candidate.segment)
        if before and neighbours[at][0] != before:
            np.maximum(similar[at, 0], labels.similarity(f"{before} {neighbours[at][0]}"), out=similar[at, 0])
    return CandidateFeatures(candidates, tuple(columns), base.astype(np.float64), neighbours, similar)


def _label_before(segments: TextSegments, at: int) -> str:
    """The label to the left of the nearest label on the left."""
    near = int(segments.label_left[at])
    before = int(segments.label_left[near]) if near != NOWHERE else NOWHERE
    return segments.texts[before] if before != NOWHERE else ""


def _neighbours(segments: TextSegments, candidate: Candidate) -> tuple[str, ...]:
    at, text = candidate.segment, segments.texts[candidate.segment]
    before, after = text[: candidate.start].strip()[-_PREFIX:], text[candidate.end :].strip()[:_PREFIX]

    def of(index: int) -> str:
        return segments.texts[index] if index != NOWHERE else ""

    return (
        before if sum(map(str.isalpha, before)) >= 3 else of(int(segments.label_left[at])),
        before or of(int(segments.left[at])),
        of(int(segments.above[at])),
        of(int(segments.heading[at])),
        of(int(segments.row[at])),
        after or of(int(segments.right[at])),
        of(int(segments.below[candidate.last])),
    )


def _place(segments: TextSegments, candidates: Sequence[Candidate]) -> dict[str, Floats]:
    at = np.array([candidate.segment for candidate in candidates], dtype=int)
    sizes = segments.sizes[at]
    pages = float(segments.page.max() + 1) if len(segments.page) else 1.0
    heights = segments.boxes[:, 3] - segments.boxes[:, 1]
    usual = float(np.median(heights)) if len(heights) else 1.0
    own = np.array([(c.box.x0, c.box.y0, c.box.x1, c.box.y1) for c in candidates]).reshape(-1, 4)
    page = segments.page[at]
    line, lines = segments.line[at], float(segments.line.max() + 1) if len(segments.line) else 1.0
    in_line = Counter(line.tolist())
    right_edge = np.round(own[:, 2] / 3)
    in_column = Counter(zip(page.tolist(), right_edge.tolist(), strict=True))
    left_gap = np.where(segments.left[at] != NOWHERE, own[:, 0] - segments.boxes[segments.left[at], 2], 999.0)
    above_gap = np.where(segments.above[at] != NOWHERE, own[:, 1] - segments.boxes[segments.above[at], 3], 999.0)
    heading_gap = np.where(segments.heading[at] != NOWHERE, own[:, 1] - segments.boxes[segments.heading[at], 3], 999.0)
    return {
        "page": page.astype(float),
        "pages_left": pages - 1 - page,
        "pages": np.full(len(at), pages),
        "x": own[:, 0] / sizes[:, 0],
        "right_x": own[:, 2] / sizes[:, 0],
        "y": own[:, 1] / sizes[:, 1],
        "through_document": line / lines,
        "height": (own[:, 3] - own[:, 1]) / max(usual, 0.1),
        "starts_at": np.array([float(c.start) for c in candidates]),
        "ends_before": np.array([float(len(segments.texts[c.segment]) - c.end) for c in candidates]),
        "left_gap": np.minimum(left_gap / max(usual, 0.1), 50),
        "above_gap": np.minimum(above_gap / max(usual, 0.1), 50),
        "heading_gap": np.minimum(heading_gap / max(usual, 0.1), 80),
        "left_edge": (segments.left[at] == NOWHERE).astype(float),
        "right_edge": (segments.right[at] == NOWHERE).astype(float),
        "in_line": np.array([float(in_line[n]) for n in line.tolist()]),
        "in_column": np.array([float(in_column[c]) for c in zip(page.tolist(), right_edge.tolist(), strict=True)]),
    }


def _repetition(candidates: Sequence[Candidate]) -> dict[str, Floats]:
    times = Counter(candidate.key for candidate in candidates)
    pages: dict[str, set[int]] = {}
    for candidate in candidates:
        pages.setdefault(candidate.key, set()).add(candidate.page)
    seen: Counter[str] = Counter()
    order = []
    for candidate in candidates:
        order.append(float(seen[candidate.key]))
        seen[candidate.key] += 1
    return {
        "times": np.array([float(times[c.key]) for c in candidates]),
        "on_pages": np.array([float(len(pages[c.key])) for c in candidates]),
        "occurrence": np.array(order),
        "different": np.full(len(candidates), float(len(times))),
        "nth": np.arange(len(candidates), dtype=float),
    }


def _dates(segments: TextSegments, candidates: Sequence[Candidate]) -> dict[str, Floats]:
    days = np.array([date.fromisoformat(c.key).toordinal() for c in candidates], dtype=float)
    partner = np.full(len(candidates), np.nan)
    role = np.zeros(len(candidates))
    for at in range(len(candidates) - 1):
        if _is_range(segments, candidates[at], candidates[at + 1]) and days[at] <= days[at + 1] and role[at] != 2:
            role[at], role[at + 1] = 1, 2
            partner[at], partner[at + 1] = days[at + 1], days[at]
    length = np.where(role > 0, np.abs(partner - days), -1.0)
    low, high = np.fmin(days, partner), np.fmax(days, partner)
    inside = np.array([np.mean((days >= a) & (days <= b)) for a, b in zip(low, high, strict=True)])
    pairs = Counter((a, b) for a, b, r in zip(low, high, role, strict=True) if r == 1)
    different = np.unique(days)
    rank = np.searchsorted(different, days).astype(float)
    span = max(float(days.max() - days.min()), 1.0) if len(days) else 1.0
    return {
        "role": role,
        "length": length,
        "covers": np.where(role > 0, inside, -1.0),
        "same_range": np.array([float(pairs[(a, b)]) if r else 0.0 for a, b, r in zip(low, high, role, strict=True)]),
        "rank": rank,
        "rank_from_last": len(different) - 1 - rank,
        "position": (days - days.min()) / span if len(days) else days,
        "earlier": (days[None, :] < days[:, None]).mean(axis=1) if len(days) else days,
        "later": (days[None, :] > days[:, None]).mean(axis=1) if len(days) else days,
        "weekday": (days - 1) % 7,
        "since_first": days - days[0] if len(days) else days,
    }


def _is_range(segments: TextSegments, first: Candidate, last: Candidate) -> bool:
    if first.segment == last.segment:
        return bool(_JOINS_RANGE.fullmatch(segments.texts[first.segment][first.end : last.start]))
    adjacent = segments.right[first.segment] == last.segment
    between = segments.texts[first.segment][first.end :] + segments.texts[last.segment][: last.start]
    return bool(adjacent and _JOINS_RANGE.fullmatch(between))


def _amounts(segments: TextSegments, candidates: Sequence[Candidate], deductions: Sequence[float]) -> dict[str, Floats]:
    cents = np.round([abs(float(c.key)) * 100 for c in candidates], 1)
    money = np.array(
        [("$" in c.text) or ("." in c.text and len(c.text.rsplit(".", 1)[-1].rstrip(")")) == 2) for c in candidates]
    )
    real = np.unique(cents[money]) if money.any() else np.unique(cents)
    high = real.max() if len(real) else 1.0
    amounts = {int(value) for value in real}

    def is_printed(value: float) -> bool:
        return any(round(value) + d in amounts for d in (-1, 0, 1))

    def share_printed(shares: Sequence[float]) -> Floats:
        """Whether one of these shares of each amount is printed too, within a cent."""
        return np.array([any(is_printed(share * v) for share in shares) and v > 100 for v in cents], dtype=float)

    net_of, deducted = share_printed([1 - share for share in deductions]), share_printed(deductions)
    gross = [[v / (1 - share) + d for share in deductions for d in (0, -0.5, 0.5)] for v in cents]
    is_net = np.array([any(map(is_printed, g)) and v > 100 for g, v in zip(gross, cents, strict=True)], dtype=float)
    rank = len(real) - np.searchsorted(real, cents, side="right").astype(float)
    column, total, before = _sums(candidates, cents)
    return {
        "log": np.log10(cents + 1),
        "of_largest": cents / max(high, 1.0),
        "rank": rank,
        "dollar": np.array([float("$" in c.text) for c in candidates]),
        "has_cents": np.array([float(bool(re.search(r"\.\d\d\)?$", c.text))) for c in candidates]),
        "negative": np.array([float(c.key.startswith("-")) for c in candidates]),
        "net_of": net_of,
        "is_net": is_net,
        "deducted": deducted,
        "both": net_of * deducted,
        "column_sum": column,
        "document_sum": total,
        "amounts_before": before,
        "round": np.array([float(c.key.endswith("00")) for c in candidates]),
        "cash": _cash(cents),
    }


def _cash(cents: Floats) -> Floats:
    """1 for an amount that another one was rounded to, as cash is where the smallest coin is five cents; -1 for that other one.

    >>> _cash(np.array([6031.0, 6030.0, 500.0])).tolist()
    [-1.0, 1.0, 0.0]
    """
    is_cash = cents % CASH == 0
    near = np.abs(cents[:, None] - cents[None, :]) < CASH
    other = (near & (is_cash[:, None] != is_cash[None, :])).any(axis=1) & (cents > CASH)
    return np.where(other, np.where(is_cash, 1.0, -1.0), 0.0)


def _sums(candidates: Sequence[Candidate], cents: Floats) -> tuple[Floats, Floats, Floats]:
    """How many amounts directly above add up to each amount, whether all above do, and their number; columns span pages."""
    columns: dict[int, list[int]] = {}
    exact, total, before = np.zeros(len(cents)), np.zeros(len(cents)), np.zeros(len(cents))
    for at, candidate in enumerate(candidates):
        edge = round(candidate.box.x1)
        above = sorted((n for x in range(edge - 3, edge + 4) for n in columns.get(x, ())), reverse=True)
        running = 0.0
        for n, other in enumerate(above):
            running += cents[other]
            if abs(running - cents[at]) < 1.5 and n >= 1:
                exact[at] = n + 1
                break
            if running > cents[at] + 1.5:
                break
        everything = sum(cents[other] for other in above)
        total[at] = float(len(above) > 1 and cents[at] > 0 and abs(everything - cents[at]) < 1.5)
        before[at] = len(above)
        columns.setdefault(edge, []).append(at)
    return exact, total, before


def _numbers(segments: TextSegments, candidates: Sequence[Candidate]) -> dict[str, Floats]:
    keys = {candidate.key for candidate in candidates}
    stems = Counter(candidate.text.rsplit("-", 1)[0].lower() for candidate in candidates if "-" in candidate.text)
    suffix = [bool(re.search(r"\d-(\d{1,3})$", c.text)) for c in candidates]
    bare = [re.sub(r"-\d{1,3}$", "", c.text).lower() for c in candidates]
    return {
        "digits": np.array([float(sum(map(str.isdigit, c.text))) for c in candidates]),
        "letters": np.array([float(sum(map(str.isalpha, c.text))) for c in candidates]),
        "suffix": np.array(suffix, dtype=float),
        "stem_known": np.array([float(s and stem in keys) for s, stem in zip(suffix, bare, strict=True)]),
        "extended": np.array([float(stems[c.key]) for c in candidates]),
        "year": np.array([float(bool(re.fullmatch(r"(?:19|20)\d\d", c.text))) for c in candidates]),
        "zero_first": np.array([float(c.text[0] == "0") for c in candidates]),
        "after_state": np.array([float(bool(re.search(r"[A-Z]{2}\s*$", _before(segments, c)))) for c in candidates]),
        "dashes": np.array([float(c.text.count("-")) for c in candidates]),
        "letter_first": np.array([float(c.text[0].isalpha()) for c in candidates]),
        "bracket": np.array([float(_before(segments, c).endswith("(")) for c in candidates]),
    }


def _before(segments: TextSegments, candidate: Candidate) -> str:
    text = segments.texts[candidate.segment][: candidate.start]
    left = int(segments.left[candidate.segment])
    return text if text.strip() or left == NOWHERE else segments.texts[left]


_OPEN_END = re.compile(r"(?:\b(?:for|to|of|the|and|in|by|on|at|a|de|la|re)|[&/,+-])\s*$", re.IGNORECASE)
_ADDRESS = re.compile(r"\b[A-Z]{2}\s+\d{5}|\b(?:street|st|ave|avenue|suite|ste|floor|fl|box|blvd|road|rd)\b\.?", re.IGNORECASE)


def _names(segments: TextSegments, candidates: Sequence[Candidate]) -> dict[str, Floats]:
    tokens = [frozenset(re.findall(r"[a-z]{3,}", c.text.lower())) for c in candidates]
    wordy = [text.lower() for text, is_wordy in zip(segments.texts, segments.wordy, strict=True) if is_wordy]
    frequency = Counter(token for text in wordy for token in set(re.findall(r"[a-z]{4,}", text)))  # in segments
    shared = [max((frequency[t] for t in own if len(t) > 3), default=0) for own in tokens]
    mean = [float(np.mean([frequency[t] for t in own if len(t) > 3] or [0])) for own in tokens]
    letters = [max(sum(map(str.isalpha, c.text)), 1) for c in candidates]
    pages: dict[str, set[int]] = {}
    for text, page in zip(segments.texts, segments.page.tolist(), strict=True):
        pages.setdefault(text, set()).add(page)
    return {
        "on_pages": np.array([float(len(pages[segments.texts[c.segment]])) for c in candidates]),
        "characters": np.array([float(len(c.text)) for c in candidates]),
        "words": np.array([float(c.text.count(" ") + 1) for c in candidates]),
        "capitals": np.array([sum(map(str.isupper, c.text)) / n for c, n in zip(candidates, letters, strict=True)]),
        "digits": np.array([float(sum(map(str.isdigit, c.text))) for c in candidates]),
        "bracket_id": np.array([float(bool(re.search(r"\(\d+\)\s*$", c.text))) for c in candidates]),
        "slashes": np.array([float(c.text.count("/")) for c in candidates]),
        "address": np.array([float(bool(_ADDRESS.search(c.text))) for c in candidates]),
        "colon": np.array([float(":" in c.text or "#" in c.text) for c in candidates]),
        "shared_words": np.array([math.log1p(n) for n in shared]),
        "mean_shared": np.array([math.log1p(n) for n in mean]),
        "open_end": np.array([float(bool(_OPEN_END.search(c.text))) for c in candidates]),
        "open_fold": np.array([float(bool(_OPEN_END.search(segments.texts[c.segment]))) for c in candidates]),
        "company_form": np.array([float(has_company_form(c.text)) for c in candidates]),
        **_lines(segments, candidates),
    }


def _lines(segments: TextSegments, candidates: Sequence[Candidate]) -> dict[str, Floats]:
    """Where a name begins and ends among the lines of its block."""
    boxes, beneath = segments.boxes, {c.last: continued(segments, c.last) for c in candidates}
    follows = {line for lines in map(partial(continued, segments), {c.segment for c in candidates}) for line in lines}
    rows = []
    for c in candidates:
        below = int(segments.below[c.last])
        height = max(boxes[c.last, 3] - boxes[c.last, 1], 0.1)
        following = (FAR, 0.0, 0.0, 0)  # gap, height, width, digits
        if below != NOWHERE:
            gap, taller = (boxes[below, 1] - boxes[c.last, 3]) / height, (boxes[below, 3] - boxes[below, 1]) / height
            wider = (boxes[below, 2] - boxes[below, 0]) / max(boxes[c.last, 2] - boxes[c.last, 0], 0.1)
            following = min(gap, FAR), taller, min(wider, FAR), sum(map(str.isdigit, segments.texts[below]))
        rows.append((1 + len(c.more), len(beneath[c.last]), c.segment in follows, *following))
    columns = ("lines", "lines_left", "follows", "next_gap", "next_height", "next_width", "next_digits")
    return dict(zip(columns, np.array(rows, dtype=np.float64).reshape(-1, len(columns)).T, strict=True))


_OWN = {"date": _dates, "number": _numbers, "name": _names}
