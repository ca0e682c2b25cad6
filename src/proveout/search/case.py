"""A query as a kind of case, and the files in which queries come. Entry points: `QueryCase`, `read_queries`, `case_file`.

A .txt has a query on each line; a .csv or .jsonl has the column `query` and, where they are known, `id` (of the request), `day`
and `segment`. Each query is a case, kept in a file of its own: its text or, with an id, JSON with both. So the same text is one
case, unless requests have ids.
Covered: empty lines, a byte order mark, a file without a query, a day that is none; each error names the line.
Not covered: sessions. A query is decided by its words alone.
"""

import csv
import hashlib
import html
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from proveout.cases import Part
from proveout.errors import UnreadableDocument
from proveout.files import open_file
from proveout.journal.log import utf8
from proveout.mission import measured_percent
from proveout.records import Check, Content, Decision, Output, Route
from proveout.search.terms import words_of
from proveout.values.rankings import NOTHING, items_of, titles_of

if TYPE_CHECKING:
    from proveout.calibration import Calibrations
    from proveout.mission import Mission

RESULTS = "results"  # the field with the answer
LONGEST = 2_000  # characters of a query
TABLES = (".csv", ".jsonl")
NAMED = 60  # characters of a query in a list of cases


@dataclass(frozen=True, slots=True)
class QueryText:
    """A kind of `Content`: what somebody typed."""

    id: str
    text: str


class QueryCase:
    """Implements `cases.CaseKind` for queries. `sentences`, `parts` and `case_file` are those that a kind may have."""

    descriptors: ClassVar[Mapping[str, type[int] | type[float]]] = {
        "words": int,
        "unknown_words": int,  # that no product has, as they are searched for
        "corrected_words": int,
        "products": int,  # in the answer
        "store_down": int,  # 1 if the vector store did not answer
    }
    plural: ClassVar[str] = "queries"
    own_checks: ClassVar[tuple[str, ...]] = ()  # the same query twice is no duplicate, and it has no amounts and days

    def identify(self, path: Path) -> tuple[str, int]:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), 0

    def read(self, paths: Sequence[Path], cache: Path | None = None) -> list[Content | UnreadableDocument]:
        return [_content(path) for path in paths]

    def describe(self, content: Content) -> dict[str, float]:
        return {"words": len(words_of(content.text))}

    def check(self, content: Content) -> Iterator[Check]:
        return iter(())

    def confirm(self, cases: Sequence[tuple[Content, Path, Sequence[Output]]], cache: Path | None = None) -> list[Content]:
        return [content for content, _, _ in cases]

    def show(self, decision: Decision, path: Path, cache: Path | None = None) -> str:
        """The query with its results, as the shopper got them."""
        content = _content(path)
        query = html.escape(utf8(content.text)) if not isinstance(content, UnreadableDocument) else "unreadable"
        return PAGE.format(query=query, results=_listed(decision))

    def parts(self, path: Path) -> list[Part]:
        return [
            Part(f"{number}: {query.text[:NAMED]}", case_file(query.text, query.request), query.day, query.segment)
            for number, query in read_queries(path)
        ]

    def case_file(self, text: str, request: str) -> bytes:
        return case_file(text, request)

    def sentences(
        self,
        route: Route,
        document_class: str,
        fields: Mapping[str, Output],
        automated: frozenset[str],
        checks: tuple[Check, ...],
        mission: "Mission",
        calibrations: "Calibrations",
    ) -> tuple[str, str]:
        """What the answer is and which layer gave it, then why it may stand, or why a person judges it."""
        results = fields[RESULTS]
        sure = f"{measured_percent(results.confidence)} sure" if results.calibrated else "not calibrated"
        count = len(items_of(results.text))
        answer = f"{count} product{'s' if count != 1 else ''}" if count else "No result"
        first = f"{answer}, by the layer {results.tier}, {sure}: {results.speaks_for[0]}."
        doubts = [*results.speaks_against, *(f"{check.name}: {check.because}" for check in checks if check.passed is False)]
        if route is not Route.REVIEW:
            return first, f"That layer is certified at {mission.slo.precision_text} precision above this confidence."
        if not doubts:
            floor = calibrations.floor(results.tier, RESULTS)
            proven = calibrations.by_tier[results.tier].certificates[RESULTS].because.split(";")[0]
            doubts = [proven if floor is None else f"certified from {floor:.0%} on"]
        return first, f"The shopper got this answer; a person judges it, because it is not certified ({doubts[0]})."


@dataclass(frozen=True, slots=True)
class Request:
    """One query of a file."""

    text: str
    request: str = ""  # its id
    day: date | None = None
    segment: str = ""


def case_file(text: str, request: str = "") -> bytes:
    """The content of the file that holds one query.

    >>> case_file(" usb  cable "), case_file("usb", "r17"), case_file("{}")
    (b'usb cable', b'{"query": "usb", "id": "r17"}', b'{"query": "{}", "id": ""}')
    """
    text = " ".join(text.split())
    wrapped = request or text.startswith("{")  # as the JSON of a query does
    return (json.dumps({"query": text, "id": request}, ensure_ascii=False) if wrapped else text).encode("utf-8", "replace")


def case_of(text: str) -> str:
    """The case of a query without an id of its request."""
    return hashlib.sha256(case_file(text)).hexdigest()


def read_queries(path: Path) -> Iterator[tuple[int, Request]]:
    """Each query with its line. Raises UnreadableDocument, which names the line, for a file that holds none."""
    with open_file(path) as file:
        try:
            text = file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UnreadableDocument(f"not UTF-8 ({error}); expected a .txt, .csv or .jsonl with queries") from error
    if path.suffix.lower() not in TABLES:
        lines = [(number, Request(line.strip())) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    else:
        lines = list(_requests(path.suffix.lower(), text))
    if not lines:
        raise UnreadableDocument("no query in it; expected one on each line, or a table with the column query")
    for number, request in lines:
        if len(request.text) > LONGEST:
            raise UnreadableDocument(f"line {number}: a query of {len(request.text):,} characters; the limit is {LONGEST:,}")
    yield from lines


def _requests(suffix: str, text: str) -> Iterator[tuple[int, Request]]:
    number = 1
    try:
        for number, line in _rows(suffix, text):
            row = json.loads(line) if isinstance(line, str) else line
            if None in row:
                raise ValueError("more values than columns; quote values that contain a comma")
            if isinstance(row["query"], dict | list):
                raise ValueError(f"the query is {type(row['query']).__name__}")
            if query := str(row["query"] or "").strip():
                day = date.fromisoformat(str(row["day"])) if row.get("day") else None
                yield number, Request(query, str(row.get("id") or ""), day, str(row.get("segment") or ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        what = f"no column {error} among {', '.join(map(str, row))}" if isinstance(error, KeyError) else str(error)
        raise UnreadableDocument(
            f"line {number}: {what}; expected the column query and, if known, id, day (2026-11-30) and segment"
        ) from error


def _rows(suffix: str, text: str) -> Iterable[tuple[int, Mapping[str, object] | str]]:
    if suffix == ".csv":
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        return ((rows.line_num, row) for row in rows)
    return ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _content(path: Path) -> QueryText | UnreadableDocument:
    """The query of a file that holds one."""
    try:
        with open_file(path) as file:
            data = file.read()
        text = data.decode("utf-8-sig").strip()
        if text.startswith("{") and text.endswith("}"):
            text = str(json.loads(text)["query"])
    except (OSError, UnreadableDocument, ValueError, KeyError, TypeError, RecursionError) as error:
        return UnreadableDocument(f"not a query ({error}); expected its text in UTF-8")
    if not text or "\n" in text or len(text) > LONGEST:
        return UnreadableDocument(f"not a query: expected one line of at most {LONGEST:,} characters")
    return QueryText(hashlib.sha256(data).hexdigest(), text)


def _listed(decision: Decision) -> str:
    results = decision.fields.get(RESULTS)
    if results is None or results.text == NOTHING:
        return "<p>no result</p>"
    titles = titles_of(results.text)
    rows = (f"<li>{html.escape(utf8(title))} <small>{html.escape(utf8(id))}</small></li>" for id, title in titles)
    return f"<ol>{''.join(rows)}</ol>"


PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>query</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;margin:1rem 1.5rem;color:#1a202c;background:#fff}}
h1{{font-size:1.3rem}}li{{margin:.35rem 0}}small{{color:#4a5568}}</style></head>
<body><h1>{query}</h1>{results}</body></html>
"""
