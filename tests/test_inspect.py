"""`proveout inspect`: what it says of every kind of finding, in the terminal, on the page, as JSON, and on the review page.

Findings are put into the reader's cache, so that these tests hold for whatever the readers notice.
"""

import base64
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas
from typer.testing import CliRunner

from proveout import inspection
from proveout.cli import app, inspecting
from proveout.documents import batch, columns, files
from proveout.documents.case import DocumentCase
from proveout.documents.marked import marked_pages
from proveout.documents.pictures import Places, cutouts, read_once
from proveout.errors import NoDocuments, UnreadableDocument
from proveout.inspection import Inspected, Inspection, as_json, page
from proveout.inspection.formats import formats_of
from proveout.live.inbox import Inbox, InboxFile
from proveout.records import Anomaly, AnomalyKind, Box, Decision, Output, Page, Place, Route
from proveout.values import conventions_of

ROWS = ("Invoice 4711-2", "Harbor Paper Ltd", "Due 02/19/2026", "Net 1,100.00", "Total $1,250.00")
TOTAL = Box(72, 200, 180, 216)
ON_PAGE_1 = Place(0, TOTAL)
KEYS = {
    "file", "id", "needs_a_look", "refused", "anomalies", "pages", "words", "ocr_share", "formats", "same_bytes_as",
    "near_duplicate_of",
}  # fmt: skip


def pdf(path: Path, rows: Iterable[str] = ROWS, pages: int = 1) -> Path:
    canvas = Canvas(str(path), pagesize=(400, 300), invariant=1)
    for _ in range(pages):
        canvas.setFont("Helvetica", 14)
        for number, row in enumerate(rows):
            canvas.drawString(72, 250 - 32 * number, row)
        canvas.showPage()
    canvas.save()
    return path


def noticed(path: Path, cache: Path, *anomalies: Anomaly) -> Path:
    """Let the reader find these anomalies in a file."""
    data = path.read_bytes()
    id = hashlib.sha256(data).hexdigest()
    payload = columns.to_json(id, list(files.pages(data)), anomalies)
    entry = batch.cache_entry(cache, path)
    assert entry is not None
    batch.keep(entry, payload)
    return path


def anomaly(kind: AnomalyKind, place: Place | None = ON_PAGE_1) -> Anomaly:
    return Anomaly(kind, f"'$9.00' on page 1: {kind.value}", "$9.00", place)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, whose reader has the cache work/cache; the working directory."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inspect(*words: object, code: int = 0) -> str:
    run = CliRunner().invoke(app, ["inspect", *map(str, words)])
    assert run.exit_code == code, run.output
    return run.output


@pytest.mark.parametrize("kind", AnomalyKind)
def test_every_kind_of_anomaly_is_named_with_its_reason_and_its_place(project: Path, kind: AnomalyKind) -> None:
    finding = anomaly(kind)
    noticed(pdf(project / "in" / "a.pdf"), project / "work" / "cache", finding)
    table = inspect("in", "--html", "r.html", "--json", "r.json")
    assert kind.value.upper() in table and finding.because in table
    assert "1 of 1 files needs a look" in table
    report = (project / "r.html").read_text(encoding="utf-8")
    assert finding.because.replace("'", "&#39;") in report and kind.value in report
    assert report.count("data:image/jpeg;base64,") == 1
    (row,) = json.loads((project / "r.json").read_text())["files"]
    assert row["anomalies"] == [
        {"kind": kind.name.lower(), "because": finding.because, "text": "$9.00", "page": 1, "box": [72, 200, 180, 216]}
    ]


def test_the_worst_file_comes_first_and_a_clean_one_last(project: Path) -> None:
    cache = project / "work" / "cache"
    pdf(project / "in" / "a clean.pdf")
    noticed(pdf(project / "in" / "b one.pdf", ["stamped once"]), cache, anomaly(AnomalyKind.STAMP))
    noticed(
        pdf(project / "in" / "c two.pdf", ["hidden and unread"]),
        cache,
        anomaly(AnomalyKind.HIDDEN),
        anomaly(AnomalyKind.UNREAD),
    )
    (project / "in" / "d broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    shutil.copy(project / "in" / "a clean.pdf", project / "in" / "e copy.pdf")
    result = inspection.inspect(project / "in", cache)
    assert [file.name[0] for file in result.files] == ["c", "b", "d", "e", "a"]
    assert result.summary == {
        "files": 5, "pages": 4, "needs_a_look": 4, "with_anomalies": 2, "refused": 1, "same_bytes": 1, "near_duplicates": 0,
        "split_formats": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.pdf", b"", "empty: 0 bytes"),
        ("cut.pdf", b"%PDF-1.4 cut", "broken PDF"),
        ("zip.pdf", b"PK\x03\x04\x00\x01", "unknown kind"),
        ("blank.txt", b" \n", "no text on any page"),
        ("cut.png", b"\x89PNG\r\n\x1a\n\x00", "broken image"),
    ],
)
def test_a_refused_file_says_why(project: Path, name: str, data: bytes, reason: str) -> None:
    (project / "in" / name).write_bytes(data)
    assert f"REFUSED: {reason}" in inspect("in", "--html", "r.html", "--json", "r.json")
    assert reason in (project / "r.html").read_text()
    (row,) = json.loads((project / "r.json").read_text())["files"]
    assert row["refused"].startswith(reason) and row["needs_a_look"] and row["pages"] == 0


def test_a_copy_names_the_first_file(project: Path) -> None:
    words = tuple(f"line {n} of the order with more words" for n in range(7))
    pdf(project / "in" / "a.pdf", words)
    shutil.copy(project / "in" / "a.pdf", project / "in" / "b.pdf")
    pdf(project / "in" / "c.pdf", (*words, "again"))
    table = inspect("in")
    assert "same bytes as a.pdf" in table and "nearly the same words as a.pdf" in table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$1,234.56\n$99.50", (2, 0, "", 0)),
        ("1.234,56\n1.880,00", (0, 2, "", 0)),
        ("1'234.50", (1, 0, "", 0)),
        ("$1,234.56\n$99,50\n$7.25", (2, 1, "", 1)),
        ("1.50\n" * 12 + "99,50", (12, 1, "", 0)),
        ("1.234\n12,000\n5", (0, 0, "", 0)),
        ("27/01/2020\n1/28/20", (0, 0, "", 1)),
        ("27.01.2020\n01.01.20", (0, 0, "day first", 0)),
        ("02/03/2020\n2020-02-03", (0, 0, "", 0)),
        ("99/99/2020 4711-2 Due", (0, 0, "", 0)),
    ],
)
def test_only_what_allows_one_reading_votes(text: str, expected: tuple[int, int, str, int]) -> None:
    formats = formats_of(conventions_of(text.splitlines()))
    assert (formats.points, formats.commas, formats.date_order, len(formats.split)) == expected


def test_a_split_vote_is_reported(project: Path) -> None:
    pdf(project / "in" / "a.pdf", ("Net 1.100,00", "Total 1,250.00", "Tax 150.00", "On 27/01/2026"))
    table = inspect("in", "--json", "r.json")
    assert "its amounts show both decimal marks: 1 a point, 1 a comma" in table
    (row,) = json.loads((project / "r.json").read_text())["files"]
    assert row["formats"] == {
        "points": 1, "commas": 1, "date_order": "day first", "because": "the day is first in '27/01/2026'",
        "split": ["its amounts show both decimal marks: 1 a point, 1 a comma"],
    }  # fmt: skip


def test_json_has_the_documented_keys(project: Path) -> None:
    pdf(project / "in" / "a.pdf", pages=2)
    inspect("in", "--json", "r.json")
    content = json.loads((project / "r.json").read_text())
    assert set(content) == {"format", "folder", "summary", "anomalies", "files"} and content["format"] == inspection.FORMAT
    (row,) = content["files"]
    assert set(row) == KEYS
    assert (row["pages"], row["words"], row["ocr_share"]) == (2, 22, 0)
    manual = (Path(__file__).parent.parent / "docs" / "inspect.md").read_text(encoding="utf-8")
    assert not [key for key in KEYS | set(content) | set(content["summary"]) | set(row["formats"]) if f"`{key}`" not in manual]
    assert not [kind for kind in AnomalyKind if f"`{kind.name.lower()}`" not in manual]


def test_fail_on_anomaly_is_an_exit_code(project: Path) -> None:
    pdf(project / "in" / "a.pdf")
    inspect("in", "--fail-on-anomaly")
    noticed(pdf(project / "in" / "b.pdf", ["stamped"]), project / "work" / "cache", anomaly(AnomalyKind.STAMP))
    inspect("in")
    inspect("in", "--fail-on-anomaly", code=1)


def test_a_folder_without_documents_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoDocuments, match="no documents in it"):
        inspection.inspect(tmp_path)
    with pytest.raises(NoDocuments, match="no such folder"):
        inspection.inspect(tmp_path / "missing")


def test_it_works_outside_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    pdf(tmp_path / "in" / "a.pdf")
    assert "All 1 files can be read as a person sees them." in inspect("in")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"], "nothing is written that was not asked for"


def test_bad_names_links_and_pipes_stop_nothing(project: Path) -> None:
    folder = project / "in"
    pdf(folder / "good.pdf")
    shutil.copy(folder / "good.pdf", os.fsencode(folder) + b"/bad\xff.pdf")
    pdf(folder / "two\nlines \x1b[31mred.pdf", ("other", "words", "here", "and there"))
    os.mkfifo(folder / "pipe.pdf")
    (folder / "dangling.pdf").symlink_to(folder / "nothing.pdf")
    (folder / "folder.pdf").mkdir()
    table = inspect("in", "--html", "r.html", "--json", "r.json")
    assert "bad\\xff.pdf" in table and "two\\nlines \\x1b[31mred.pdf" in table and "\x1b" not in table
    rows = {row["file"]: row["refused"] for row in json.loads((project / "r.json").read_text())["files"]}
    assert {"good.pdf", "bad\\xff.pdf"} <= set(rows) and not rows["good.pdf"] + rows["bad\\xff.pdf"]
    assert all(rows[name] for name in ("pipe.pdf", "dangling.pdf", "folder.pdf"))


def test_a_file_that_vanishes_is_a_row(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = project / "in" / "gone.pdf"
    pdf(project / "in" / "a.pdf")
    inbox = Inbox([InboxFile(name, project / "in" / name, 9, 0) for name in ("a.pdf", gone.name)])
    monkeypatch.setattr(inspection, "files_in", lambda folder: inbox)
    rows = {file.name: file for file in inspection.inspect(project / "in").files}
    assert rows["gone.pdf"].refused.startswith("cannot be opened") and rows["gone.pdf"].id == ""


def test_names_and_reasons_cannot_become_markup(project: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    finding = Anomaly(AnomalyKind.HIDDEN, f"{evil} on page 1 is white on white", evil, Place(0, TOTAL))
    noticed(pdf(project / "in" / f"{evil}.pdf"), project / "work" / "cache", finding)
    inspect("in", "--html", "r.html")
    report = (project / "r.html").read_text()
    assert evil not in report and "&lt;img src=x" in report and "<script" not in report


def test_a_long_list_is_cut_in_the_terminal_and_whole_in_the_json() -> None:
    rows = tuple(Inspected(f"{number:03}.pdf", Path(), words=5) for number in range(inspecting.ROWS + 7))
    many = Inspected("many.pdf", Path(), anomalies=tuple(anomaly(AnomalyKind.HIDDEN) for _ in range(9)))
    result = Inspection("in", (many, *rows))
    lines = inspecting.table(result)
    assert "    and 6 more" in lines and "and 8 files more, 0 of them with findings" in lines
    assert len(as_json(result)["files"]) == inspecting.ROWS + 8 and len(as_json(result)["files"][0]["anomalies"]) == 9


@pytest.mark.parametrize("turned", [0, 90, 180])
def test_a_cutout_shows_the_place_in_a_frame(tmp_path: Path, turned: int) -> None:
    path = tmp_path / "a.png"
    picture = Image.new("RGB", (800, 600), "white")
    picture.paste("black", (100, 400, 200, 420))
    picture.save(path, dpi=(144, 144))
    x0, y0, x1, y1 = {0: (50, 200, 100, 210), 90: (90, 50, 100, 100), 180: (300, 90, 350, 100)}[turned]
    width, height = (300, 400) if turned == 90 else (400, 300)
    (drawn,) = cutouts([Places(path, Page(0, width, height, (), turned), (Box(x0, y0, x1, y1),))])
    cut = Image.open(io.BytesIO(base64.b64decode(drawn[0]))).convert("RGB")
    dark = [(x, y) for x in range(cut.width) for y in range(cut.height) if max(cut.getpixel((x, y))) < 60]
    pink = [
        (x, y)
        for x in range(cut.width)
        for y in range(cut.height)
        if cut.getpixel((x, y))[0] > 130 > cut.getpixel((x, y))[1] + 60
    ]
    assert len(dark) > 50 * 10 * 1.6**2 * 0.8, "the place is on it"
    assert min(pink)[0] < min(dark)[0] and max(pink)[0] > max(dark)[0], "and the frame is around it"
    assert len(base64.b64decode(drawn[0])) < 20_000


def test_a_page_that_cannot_be_drawn_has_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 broken")
    places = Places(tmp_path / "a.pdf", Page(0, 400, 300, ()), (TOTAL,))
    good = Places(pdf(tmp_path / "b.pdf"), Page(0, 400, 300, ()), (TOTAL, TOTAL))
    assert [len(pictures) for pictures in cutouts([places, good])] == [0, 2]


def decision(**fields: Output) -> Decision:
    return Decision("c", "r", "invoice", 0.9, fields, frozenset(), (), (), Route.REVIEW, ("", ""))


def test_the_review_page_marks_anomalies_beside_values(tmp_path: Path) -> None:
    finding = Anomaly(AnomalyKind.HIDDEN, "'$9.00' on page 2 is <white>", "$9.00", Place(1, TOTAL))
    path = noticed(pdf(tmp_path / "a.pdf", pages=3), tmp_path / "cache", finding, anomaly(AnomalyKind.SEVERAL, None))
    pages = marked_pages(decision(total=Output("$1,250.00", "1", 0.5, Place(0, TOTAL))), path, tmp_path / "cache")
    assert pages.count("<img") == 2, "the page of the value and that of the anomaly"
    assert '<b style="left: 17.50%' in pages and "<span>total</span>" in pages
    assert "<span>read but not visible</span>" in pages and 'class="anomaly"' in pages
    assert "is &lt;white&gt;" in pages and "<white>" not in pages


def test_with_many_pages_the_anomalies_are_kept(tmp_path: Path) -> None:
    path = noticed(pdf(tmp_path / "a.pdf", pages=6), tmp_path / "cache", anomaly(AnomalyKind.STAMP, Place(5, TOTAL)))
    fields = {f"f{number}": Output("x", "x", 0.5, Place(number, TOTAL)) for number in range(5)}
    pages = marked_pages(decision(**fields), path, tmp_path / "cache", at_most=2)
    assert 'alt="page 6"' in pages and 'alt="page 1"' in pages and pages.count("<img") == 2


def test_the_failed_check_says_what_was_noticed(tmp_path: Path) -> None:
    path = noticed(pdf(tmp_path / "a.pdf"), tmp_path / "cache", anomaly(AnomalyKind.HIDDEN), anomaly(AnomalyKind.STAMP))
    document = read_once(path, tmp_path / "cache")
    assert not isinstance(document, UnreadableDocument)
    (check,) = DocumentCase().check(document)
    assert not check.passed and all(kind.value in check.because for kind in (AnomalyKind.HIDDEN, AnomalyKind.STAMP))


@pytest.mark.parametrize("width", [375, 768, 1300])
def test_the_report_fits_a_screen_and_its_filter_works(project: Path, chromium, width: int) -> None:
    cache = project / "work" / "cache"
    noticed(pdf(project / "in" / f"{'long-name-' * 12}.pdf"), cache, *(anomaly(kind) for kind in AnomalyKind))
    noticed(pdf(project / "in" / "b.pdf", ["stamped"]), cache, anomaly(AnomalyKind.STAMP))
    (project / "in" / "c.pdf").write_bytes(b"")
    inspect("in", "--html", "r.html")
    tab = chromium.new_page(viewport={"width": width, "height": 900})
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto((project / "r.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("article:visible").count() == 3
    tab.locator("#show-HIDDEN").check(force=True)
    assert tab.locator("article:visible").count() == 1 and tab.locator("li:visible").count() == 1
    tab.locator("#show-refused").check(force=True)
    assert tab.locator("article:visible h3").all_inner_texts() == ["c.pdf"]
    assert not [url for url in requests if not url.startswith(("file:", "data:"))]
    tab.close()


def test_the_headline_counts() -> None:
    clean = Inspected("a.pdf", Path(), words=5)
    assert page.headline(Inspection("in", (clean,))) == "All 1 files can be read as a person sees them."
