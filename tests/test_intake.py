"""What comes in: each file is decided once, from one copy, or is named with the reason; the same business is paid once."""

import io
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reportlab.pdfgen.canvas import Canvas

from frozen import frozen
from proveout import documents, plugins
from proveout import mission as missions
from proveout.bridge.contents import Contents
from proveout.cases import kind_of
from proveout.cli.acting import in_one_line
from proveout.corpus import build_dataset
from proveout.documents import Originals, batch, originals
from proveout.documents.boundaries import boundaries
from proveout.errors import BadInput, NoDocuments, StillWritten, UnreadableDocument
from proveout.journal import Journal
from proveout.live import Live, listed
from proveout.live import inbox as inboxes
from proveout.models import tiers
from proveout.prompts import Prompts
from proveout.records import AnomalyKind
from proveout.release import Release
from proveout.retrieval.duplicates import Duplicates
from proveout.serving.case_index import CaseIndex, CaseStatus, Search
from proveout.serving.intake import aside, hand_in

PACKAGE = '''
import json, re
from datetime import date
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel

from proveout.connectors import Connector, Outcome, State
from proveout.models.tiers import Extraction, ScoredValue

PATTERNS = {
    "reference": r"Invoice no:? (\\\\S+)",
    "total": r"Total due:? \\\\$ ?([\\\\d,]+\\\\.\\\\d\\\\d)",
    "due": r"Pay before:? (\\\\d{4}-\\\\d\\\\d-\\\\d\\\\d)",
}
PARSED = {"reference": str, "total": lambda text: Decimal(text.replace(",", "")), "due": date.fromisoformat}


class Labels:
    """Reads what follows three labels."""

    @classmethod
    def load(cls, parts):
        return cls()

    def extract(self, contents, configs=None):
        return [self._read(document) for document in contents]

    def _read(self, document):
        text = " ".join(word.text for word in document.words)
        values = {}
        for name, pattern in PATTERNS.items():
            if match := re.search(pattern, text, re.IGNORECASE):
                values[name] = ScoredValue(match[1], PARSED[name](match[1]), 0.95)
        return Extraction(document.id, "bill", 0.95, values)


class Ledger(Connector):
    class Settings(BaseModel):
        model_config = {"extra": "forbid"}
        file: str

    takes = {"amount": "amount"}

    def done(self, case, action):
        path = Path(self.settings.file)
        return str(path) if path.exists() and action.key in path.read_text() else None

    def perform(self, case, action):
        with Path(self.settings.file).open("a") as file:
            file.write(json.dumps([action.key, action.arguments["amount"]]) + "\\\\n")
        return Outcome(State.DONE, self.settings.file)
'''.replace("\\\\", "\\")
ENTRY_POINTS = """[proveout.tiers]
labels = slips:Labels
[proveout.connectors]
ledger = slips:Ledger
"""
MISSION = """
mission: slips
purpose: Pay a bill once.
case: document
classes: [bill, other]
never_act_on: [other]
fields:
  reference: {kind: number}
  total: {kind: amount}
  due: {kind: date}
slo: {precision: 0.9, confidence: 0.9}
tiers: [labels, person]
checks: {duplicate_on: [reference, total, due]}
actions:
  pay: {connector: ledger, settings: {file: LEDGER}, arguments: {amount: total}}
"""
POLICY = """permit (principal is Release, action == Action::"pay", resource)
when { resource.known.automated.containsAll(resource.known.required) && resource.known.passed.contains("not a duplicate") };"""
ITEMS = ["Valve 14 mm", "Gasket 88", "Pipe 2.5 m", "Flange DN50", "Hours 3.5", "Travel 42 km", "Sealant 310 ml", "Disposal"]


def bill(number: int, extra: str = "") -> str:
    """The text of a bill that no other number gives."""
    lines = [f"Alder Bay Heating Ltd. {extra}", "12 Quay Street, Alder Bay", f"Invoice no: AB-{7301 + 17 * number}", ""]
    prices = [(13 * number + 31 * row) % 89 + 10 for row in range(len(ITEMS))]
    lines += [f"{item:20} ${price}.{(number * 7 + price) % 90 + 10}" for item, price in zip(ITEMS, prices, strict=True)]
    lines += ["", f"Total due: ${sum(prices) + number}.00", f"Pay before: 2026-{number % 12 + 1:02}-{number % 27 + 1:02}"]
    return "\n".join([*lines, "Thank you for your order; please state the number of this invoice when you pay.", ""])


def pdf(*pages: str, title: str = "") -> bytes:
    """A PDF with these pages of text."""
    out = io.BytesIO()
    canvas = Canvas(out, invariant=1)
    canvas.setTitle(title)
    for page in pages:
        for row, line in enumerate(page.splitlines()):
            canvas.drawString(60, 790 - 16 * row, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    """A folder with a release that pays what it reads behind three labels; the package of its tier is installed."""
    folder = tmp_path_factory.mktemp("slips")
    packages = folder / "packages"
    (packages / "slips-1.0.dist-info").mkdir(parents=True)
    (packages / "slips.py").write_text(PACKAGE)
    (packages / "slips-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: slips\nVersion: 1.0\n")
    (packages / "slips-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(packages)
        plugins._points.cache_clear()
        yield folder
    plugins._points.cache_clear()


@pytest.fixture(scope="module")
def release(place: Path) -> Release:
    (place / "mission.yaml").write_text(MISSION.replace("LEDGER", str(place / "ledger.jsonl")))
    (place / "policy.cedar").write_text(POLICY)
    prompts = place / "prompts"
    prompts.mkdir()
    (prompts / "fields.yaml").write_text("".join(f"{name}: {{description: x}}\n" for name in ("reference", "total", "due")))
    (prompts / "classes.yaml").write_text("bill: {description: a bill}\nother: {description: no bill}\n")
    (prompts / "extract.md").write_text("{{ document }}\n")
    (place / "model").mkdir()
    (place / "model" / "nothing.json").write_text("{}")
    mission = missions.load(place / "mission.yaml")
    (place / "labelled").mkdir()
    for number in range(100, 160):
        (place / "labelled" / f"{number}.txt").write_text(bill(number))
    contents = [documents.read(path) for path in sorted((place / "labelled").iterdir())]
    loaded = tiers.load(tiers.Parts(mission, Prompts.load(prompts), place / "model"))
    labels = {
        extraction.document: {name: value.text for name, value in extraction.fields.items()}
        for extraction in loaded["labels"].extract(contents)
    }
    return frozen(place, mission, loaded, contents, labels).promoted()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def run(release: Release, place: Path, inbox: Path, tmp_path: Path) -> Callable[[], dict[str, Any]]:
    """Run the release over the inbox."""
    (place / "ledger.jsonl").unlink(missing_ok=True)
    return lambda: Live(release, inbox, tmp_path / "home").run()


def payments(place: Path) -> list[str]:
    ledger = place / "ledger.jsonl"
    return [json.loads(line)[1] for line in ledger.read_text().splitlines()] if ledger.exists() else []


def wait_long_ago(folder: Path) -> None:
    """Make every file of a folder old, so that no run waits for it to settle."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (1_700_000_000, 1_700_000_000))


def named(folder: Path, name: bytes) -> Path:
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name))


def fill_with_bad_names(inbox: Path, outside: Path) -> None:
    """Everything that may lie in an inbox beside ordinary files. The regular files are bills 1 to 8."""
    outside.write_text(bill(90))
    (inbox / "good.txt").write_text(bill(1))
    (inbox / ("x." + "e" * 220)).write_text(bill(2))
    named(inbox, b"n" * 251 + b".txt").write_text(bill(3))
    named(inbox, b"caf\xe9 \xff.txt").write_text(bill(4))
    (inbox / "two\nlines\x1b[31m.txt").write_text(bill(5))
    (inbox / "Case.txt").write_text(bill(6))
    (inbox / "case.TXT").write_text(bill(7))
    (inbox / "folder.pdf").mkdir()
    (inbox / "folder.pdf" / "inside.txt").write_text(bill(8))
    (inbox / "again").symlink_to(inbox / "good.txt")
    (inbox / "empty.pdf").write_bytes(b"")
    (inbox / ".hidden.txt").write_text(bill(91))
    for partial in ("a.pdf.part", "b.CRDOWNLOAD", "c.tmp", "~$d.txt"):
        (inbox / partial).write_text(bill(92))
    os.mkfifo(inbox / "pipe.pdf")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(inbox / "socket"))
    (inbox / "out.txt").symlink_to(outside)
    (inbox / "out").symlink_to(outside.parent)
    (inbox / "circle").symlink_to(inbox / "circle")
    (inbox / "nowhere.pdf").symlink_to(inbox / "gone.pdf")
    (inbox / "round").symlink_to(inbox)
    with (inbox / "huge.pdf").open("wb") as file:
        file.truncate(documents.MAX_BYTES + 1)  # a hole: takes no room


REFUSED = {
    "folder.pdf": "a folder with the name of a document",
    "pipe.pdf": "a named pipe, not a file",
    "socket": "a socket, not a file",
    "out.txt": "a link that leads out of the inbox",
    "out": "a link that leads out of the inbox",
    "circle": "a link that leads nowhere or in a circle",
    "nowhere.pdf": "a link that leads nowhere or in a circle",
    "huge.pdf": "oversized",
    "empty.pdf": "empty: 0 bytes",
}


def test_one_bad_name_never_stops_the_others(run, place: Path, inbox: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    fill_with_bad_names(inbox, tmp_path / "outside.txt")
    summary = run()
    assert len(payments(place)) == 8, "every regular file is decided"
    assert {name: REFUSED.get(name, "?") in because for name, because in summary["refused"].items()} == dict.fromkeys(
        REFUSED, True
    )
    assert set(summary["waiting"]) == {"a.pdf.part", "b.CRDOWNLOAD", "c.tmp", "~$d.txt"}
    print(in_one_line(summary))
    out = capsys.readouterr().out
    assert "4 files for the next run" in out and "refused pipe.pdf: a named pipe" in out and "\x1b" not in out
    assert json.loads(json.dumps(summary)) == summary
    with Journal(tmp_path / "home" / "journal.db") as journal:
        paths = {decided.case.path for decided in journal.decisions()}
        assert journal.verify().whole
    assert {"caf\\xe9 \\xff.txt", "two\\nlines\\x1b[31m.txt", "x." + "e" * 220, "folder.pdf/inside.txt"} <= paths
    for path in paths:
        path.encode()
    again = run()
    assert (again["decided"], again["cases"]) == (0, summary["cases"]) and len(payments(place)) == 8


def test_each_kept_file_is_named_by_its_own_bytes(run, inbox: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill_with_bad_names(inbox, tmp_path / "outside.txt")
    run()
    kept = [path for path in (tmp_path / "home" / "originals").rglob("*") if path.is_file()]
    assert len(kept) == 9 and all(path.name.startswith(documents.sha256_of(path)) for path in kept)


def test_the_servers_list_survives_what_lies_in_the_inbox(release, inbox: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill_with_bad_names(inbox, tmp_path / "outside.txt")
    os.utime(inbox / "good.txt", (2**40, 2**40))  # far outside the calendar
    with Journal(tmp_path / "journal.db") as journal:
        index = CaseIndex(journal, inbox, kind_of(release.mission))
        waiting = index.newest(Search(status=CaseStatus.WAITING))
        assert len(waiting) == 9 and all(summary.path.isprintable() for summary in waiting)


def test_a_file_that_changes_while_it_is_copied_is_not_kept(tmp_path: Path, monkeypatch) -> None:
    source = tmp_path / "a.txt"
    source.write_text(bill(1))
    kept = Originals(tmp_path / "originals")
    monkeypatch.setattr(originals, "has_writer", lambda file: bool(source.write_text(bill(2) + "more")) and False)
    with pytest.raises(StillWritten, match="it changed while it was copied"):
        kept.keep(source)
    assert [path for path in kept.folder.rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    sha256, copy = kept.keep(source)
    assert documents.sha256_of(copy) == sha256 == copy.stem


@pytest.mark.parametrize("moment", ["when it settles", "when the batch begins"])
def test_a_file_that_changes_after_it_was_listed_waits_for_the_next_run(
    run, place: Path, inbox: Path, tmp_path: Path, monkeypatch, moment: str
) -> None:
    (inbox / "steady.txt").write_text(bill(1))
    growing = inbox / "growing.txt"
    growing.write_text(bill(2)[:60])

    def finish(*_: object) -> None:
        growing.write_text(bill(2))

    if moment == "when it settles":
        monkeypatch.setattr(inboxes.time, "sleep", finish)
    else:
        agent = Live.agent
        monkeypatch.setattr(Live, "agent", lambda live: (finish(), agent(live))[1])
    first = run()
    assert first["decided"] == 1 and list(first["waiting"]) == ["growing.txt"] and len(payments(place)) == 1
    monkeypatch.undo()
    second = run()
    assert second["decided"] == 1 and not second["waiting"] and len(payments(place)) == 2
    with Journal(tmp_path / "home" / "journal.db") as journal:
        last = list(journal.decisions())[-1]
    assert last.case.id == documents.sha256_of(growing)


def test_a_file_that_a_program_has_open_for_writing_waits(run, place: Path, inbox: Path) -> None:
    (inbox / "steady.txt").write_text(bill(1))
    with (inbox / "open.txt").open("w") as file:
        file.write(bill(2)[:80])
        file.flush()
        os.utime(inbox / "open.txt", (time.time() - 60,) * 2)  # nothing was written for a minute
        if run()["waiting"] != {"open.txt": "a program still has it open for writing"}:
            pytest.skip("this system does not tell of open files")
        file.write(bill(2)[80:])
    assert run()["decided"] == 1 and len(payments(place)) == 2


def test_a_file_that_vanishes_or_may_not_be_read_is_named(run, place: Path, inbox: Path, monkeypatch) -> None:
    for number, name in enumerate(["gone", "secret", "good"], 1):
        (inbox / f"{name}.txt").write_text(bill(number))
    opened = os.open

    def guarded(path, *arguments, **more):
        if Path(path).name == "secret.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **more)

    monkeypatch.setattr(os, "open", guarded)
    agent = Live.agent
    monkeypatch.setattr(Live, "agent", lambda live: ((inbox / "gone.txt").unlink(), agent(live))[1])
    summary = run()
    assert summary["waiting"] == {"gone.txt": "it disappeared after it was listed"}
    assert summary["refused"] == {"secret.txt": "cannot be opened: Permission denied; check its permissions"}
    assert summary["decided"] == 1 == len(payments(place))


def test_an_inbox_with_nothing_to_decide_says_what_is_there(run, inbox: Path) -> None:
    with pytest.raises(NoDocuments, match="no documents in it"):
        run()
    (inbox / "a.pdf.part").write_text("half")
    summary = run()
    assert (summary["decided"], list(summary["waiting"])) == (0, ["a.pdf.part"])


@pytest.mark.parametrize(
    ("table", "because"),
    [(b"file,day\n", "missing column segment"), (b"file,day,segment\na,\xff,\n", "in UTF-8"),
     (b"file,day,segment\na,1 June,\n", "such as 2020-06-05"), (None, "a named pipe, not a file")],
)  # fmt: skip
def test_a_table_beside_the_documents_that_cannot_be_used_is_named(release, inbox: Path, table, because: str) -> None:
    (inbox / "a").write_text(bill(1))
    os.mkfifo(inbox / "inbox.csv") if table is None else (inbox / "inbox.csv").write_bytes(table)
    with pytest.raises(BadInput, match=because):
        listed(inbox, kind_of(release.mission))


def test_a_kind_of_case_that_fails_on_one_file_costs_only_that_file(inbox: Path) -> None:
    class Kind:
        def identify(self, path: Path) -> tuple[str, int]:
            return json.loads(path.read_text())["id"], 0

    (inbox / "good.json").write_text('{"id": "a"}')
    (inbox / "bad.json").write_text("[]")
    taken = listed(inbox, Kind())
    assert [arrival.case.id for arrival in taken.arrivals] == ["a"]
    assert "its case cannot be identified (TypeError" in taken.refused["bad.json"]


def test_the_digest_of_an_inbox_ends_whatever_lies_in_it(inbox: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill_with_bad_names(inbox, tmp_path / "outside.txt")
    (inbox / "out").unlink()
    contents = Contents(tmp_path / "cache.json", tmp_path)
    before = contents.digest(inbox)
    contents.save()
    named(inbox, b"\xfe.txt").write_text("new")
    assert contents.digest(inbox) != before


def test_words_are_cached_only_under_the_bytes_that_were_read(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.txt").write_text(bill(1))
    monkeypatch.setattr(batch, "content", lambda path: b"as it was before it changed")
    (document,) = documents.read_many([tmp_path / "a.txt"], cache=tmp_path / "cache", processes=1)
    assert document.sha256 == documents.sha256_of(tmp_path / "a.txt")
    assert not list((tmp_path / "cache").rglob("*.sealed"))


@pytest.mark.parametrize("read", [documents.sha256_of, documents.read])
@pytest.mark.parametrize("special", ["pipe", "folder"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, read, special: str) -> None:
    os.mkfifo(tmp_path / "x.pdf") if special == "pipe" else (tmp_path / "x.pdf").mkdir()
    with pytest.raises(UnreadableDocument, match="not a file"):
        read(tmp_path / "x.pdf")


@pytest.mark.parametrize("name", ["\U00020000" * 300 + ".pdf", "a" * 5000, "..", "x\ny\x00.pdf", "\udcff.pdf"])
def test_an_upload_of_any_name_lands_in_the_inbox(tmp_path: Path, inbox: Path, name: str) -> None:
    with aside(io.BytesIO(bill(1).encode()), tmp_path / "incoming") as upload:
        target = hand_in(upload, inbox, name)
    assert target.parent == inbox and len(os.fsencode(target.name)) <= 255
    assert documents.sha256_of(target) == upload.case


def test_an_upload_is_not_lost_to_a_file_that_only_bears_its_name(tmp_path: Path, inbox: Path) -> None:
    with aside(io.BytesIO(bill(1).encode()), tmp_path / "incoming") as upload:
        (inbox / f"{upload.case}-other.txt").write_text("other bytes")
        os.mkfifo(inbox / f"{upload.case}-pipe.txt")
        target = hand_in(upload, inbox, "march.txt")
    assert documents.sha256_of(target) == upload.case
    with aside(io.BytesIO(bill(1).encode()), tmp_path / "incoming") as upload:
        assert hand_in(upload, inbox, "april.txt") == target, "the same bytes are one case"


def test_a_labelled_folder_keeps_the_bytes_that_were_read(release, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "labelled"
    folder.mkdir()
    for number, name in enumerate([b"a.txt", b"caf\xe9.txt", b"x." + b"e" * 220, b"\xff" * 200], 1):
        named(folder, name).write_text(bill(number))
    (folder / "labels.csv").write_text("file_id,reference\na,AB-1\n")
    os.mkfifo(folder / "pipe.pdf")
    (folder / "circle.pdf").symlink_to(folder / "circle.pdf")
    (folder / "b.pdf.part").write_text("half")
    read_many = documents.read_many

    def changed_meanwhile(paths, *more):
        for path in folder.glob("*.txt"):
            path.write_text("other words")
        return read_many(paths, *more)

    monkeypatch.setattr(documents, "read_many", changed_meanwhile)
    dataset = build_dataset(folder, release.mission, tmp_path / "dataset")
    assert len(dataset.entries) == 4 and {"a.txt", "caf\\xe9.txt"} <= {entry.case.path for entry in dataset.entries}
    for entry in dataset.entries:
        assert not entry.refused and documents.sha256_of(dataset.path_of(entry.case.id)) == entry.case.id


@pytest.mark.slow
def test_twenty_thousand_files_are_listed_in_a_minute(release, inbox: Path) -> None:
    for number in range(20_000):
        (inbox / f"{number}.txt").write_text(bill(number))
    began = time.perf_counter()
    assert len(listed(inbox, kind_of(release.mission)).arrivals) > 10_000
    assert time.perf_counter() - began < 60


PLAIN = "Alder Bay Heating Ltd.\n12 Quay Street\n"


def sheet(*lines: str, sender: str = PLAIN) -> str:
    return "\n".join([sender, *lines, *ITEMS])


SEVERAL = {
    "the page numbers start again": (
        [sheet("Page 1 of 2"), sheet("Page 2 of 2"), sheet("Page 1 of 2"), sheet("Page 2 of 2")], [3],
    ),
    "the page numbers are of another document": ([sheet("page 1 / 2"), sheet("page 2 / 2"), sheet("page 1 / 1")], [3]),
    "German page numbers": ([sheet("Seite 1 von 1"), sheet("Seite 1 von 1")], [2]),
    "another number": ([bill(1), bill(2)], [2]),
    "three numbers": ([bill(1), bill(2), bill(3)], [2, 3]),
    "another German number": ([sheet("Rechnungsnummer: R-1001"), sheet("Rechnungsnummer: R-1002")], [2]),
    "a number below its label": (
        [sheet("Date          Invoice #", "1/2/2026    88123"), sheet("Date          Invoice #", "1/2/2026    88124")], [2],
    ),
    "another title": ([sheet("INVOICE"), sheet("AFFIDAVIT OF PERFORMANCE")], [2]),
    "a title in French": ([sheet("Facture"), sheet("Bon de commande")], [2]),
    "another total": ([sheet("Total due: $120.00"), sheet("Total due: $95.50")], [2]),
    "a title after a blank page": ([sheet("INVOICE"), "", sheet("INVOICE")], [3]),
    "a title under another letterhead": (
        [sheet("INVOICE"), sheet("INVOICE", sender="Northwind Traders GmbH\nHamburg Hafen Kontor")], [2],
    ),
    "a continuation, then another document": ([bill(1), sheet("Invoice no: AB-7318 continued"), bill(2)], [3]),
}  # fmt: skip


@pytest.mark.parametrize(("pages", "begins"), SEVERAL.values(), ids=SEVERAL)
def test_where_another_document_begins_is_named(pages: list[str], begins: list[int], tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(*pages))
    document = documents.read(tmp_path / "a.pdf")
    several = [anomaly.because for anomaly in document.anomalies if anomaly.kind is AnomalyKind.SEVERAL]
    assert [int(because.split("page ")[1].split()[0]) for because in several] == begins
    (same,) = documents.read_many([tmp_path / "a.pdf"], processes=1)
    assert same == document, "the worker process says the same"


ONE = {
    "one page": [bill(1)],
    "the same header on each page": [sheet("INVOICE", "Invoice no: AB-1", f"Page {page} of 3") for page in (1, 2, 3)],
    "terms on the last page": [bill(1), "Terms and conditions\nThe buyer of the goods pays within the time stated.\ncontract."],
    "blank back sides": [bill(1), "", "Invoice no: AB-7318\nmore items", ""],
    "totals of pages": [sheet("Page total: $10.00"), sheet("Page total: $20.00"), sheet("Total due: $30.00")],
    "a list of other invoices": [
        sheet("STATEMENT", "Invoice no: 1", "Invoice no: 2"), sheet("Invoice no: 2", "Invoice no: 3", "STATEMENT"),
    ],
    "pages of another document are mentioned": [sheet("Delivery see page 3 of 10 of the agreement")],
    "a title that goes on": [sheet("INVOICE"), sheet("INVOICE", "continued", sender="Items delivered since then")],
    "no numbers after the first page": [sheet("Page 1 of 3"), sheet("more"), sheet("more")],
    "header and footer number the page": [sheet("Page 1 of 2", "Page 1 of 2"), sheet("Page 2 of 2", "Page 2 of 2")],
}  # fmt: skip


@pytest.mark.parametrize("pages", ONE.values(), ids=ONE)
def test_one_document_of_several_pages_is_one(pages: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(*pages))
    assert documents.read(tmp_path / "a.pdf").anomalies == ()


PARTS = {
    "its first page": ([sheet("Page 1 of 2")], 'pages after "page 1 of 2"'),
    "its last page": ([sheet("Page 2 of 2")], "pages before it"),
    "a page in the middle": ([sheet("page 2 of 3")], "pages before it"),
    "two of three pages": ([sheet("Seite 1 von 3"), sheet("Seite 2 von 3")], 'pages after "page 2 of 3"'),
    "a bare number": ([sheet("2 / 3")], "pages before it"),
    "in French": ([sheet("Page 1 sur 2")], 'pages after "page 1 of 2"'),
}


@pytest.mark.parametrize(("pages", "missing"), PARTS.values(), ids=PARTS)
def test_a_part_of_a_document_says_what_is_missing(pages: list[str], missing: str, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(*pages))
    (anomaly,) = documents.read(tmp_path / "a.pdf").anomalies
    assert anomaly.kind is AnomalyKind.INCOMPLETE and missing in anomaly.because


def test_files_that_do_not_hold_one_document_go_to_a_person(run, place: Path, inbox: Path, tmp_path: Path) -> None:
    (inbox / "two in one.pdf").write_bytes(pdf(bill(1), bill(2)))
    (inbox / "part 1.pdf").write_bytes(pdf(bill(3) + "\nPage 1 of 2"))
    (inbox / "part 2.pdf").write_bytes(pdf(bill(3) + "\nPage 2 of 2"))
    assert run()["routes"] == {"act": 0, "review": 3, "refuse": 0} and payments(place) == []
    with Journal(tmp_path / "home" / "journal.db") as journal:
        because = {decided.case.path: " ".join(decided.decision.because) for decided in journal.decisions()}
    assert "another document begins on page 2" in because["two in one.pdf"]
    assert "are missing" in because["part 1.pdf"] and "are missing" in because["part 2.pdf"]
    assert boundaries([]) == []


BUSINESS = bill(5)


def scanned(text: str) -> bytes:
    """A page as a scanner gives it: dots, noise, half a degree askew."""
    import numpy as np
    import pypdfium2
    from PIL import Image

    with pypdfium2.PdfDocument(pdf(text)) as drawn:
        page = drawn[0].render(scale=200 / 72).to_pil().convert("L").rotate(0.5, fillcolor=255)
    noisy = np.asarray(page) + np.random.default_rng(5).normal(0, 12, (page.height, page.width))
    out = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype("uint8")).save(out, "PNG", dpi=(200, 200))
    return out.getvalue()


AGAIN = {
    "other metadata": ("pdf", pdf(BUSINESS, title="sent again")),
    "saved as another kind of file": ("txt", BUSINESS.encode()),
    "a page appended": ("pdf", pdf(BUSINESS, "Terms and conditions\nThe buyer pays within the time stated above.")),
    "a cover sheet before it": ("pdf", pdf("FAX\nTo the accounts department\nplease pay the bill that follows", BUSINESS)),
    "a reminder of it": ("pdf", pdf("Second notice\n" + BUSINESS.replace("Thank you", "Please pay now. Thank you"))),
    "its number misread as letters": ("txt", BUSINESS.replace("AB-7386", "A8-7386").encode()),
    "its number written otherwise": ("txt", BUSINESS.replace("AB-7386", "ab/7386").encode()),
    "scanned": ("png", scanned(BUSINESS)),
}


@pytest.mark.parametrize("when", ["in one batch", "in a later run"])
def test_the_same_business_is_paid_once(run, place: Path, inbox: Path, tmp_path: Path, when: str) -> None:
    (inbox / "first.pdf").write_bytes(pdf(BUSINESS))
    (inbox / "other.pdf").write_bytes(pdf(bill(6)))
    (inbox / "inbox.csv").write_text("file,day,segment\nfirst.pdf,2026-01-02,\nother.pdf,2026-01-03,\n")
    decided = run()["decided"] if when == "in a later run" else 0
    for name, (ending, content) in AGAIN.items():
        (inbox / f"{name}.{ending}").write_bytes(content)
    assert decided + run()["decided"] == 2 + len(AGAIN)
    assert len(payments(place)) == 2, "the business, and the other one"
    with Journal(tmp_path / "home" / "journal.db") as journal:
        because = {Path(one.case.path).stem: " ".join(one.decision.because) for one in journal.decisions()}
    first = documents.sha256_of(inbox / "first.pdf")[:12]
    assert [name for name in AGAIN if f"case {first}" not in because[name]] == []


@pytest.mark.parametrize("change", ["its digits are one more", "a value is missing", "another month"])
def test_a_series_of_bills_is_no_duplicate(change: str) -> None:
    on = ["reference", "total", "due"]
    values = {"reference": "AB-7386", "total": "500.00", "due": "2026-06-06"}
    others = {
        "its digits are one more": ({**values, "reference": "AB-7387"}, bill(6)),
        "a value is missing": ({"reference": "AB-7386"}, bill(7)),
        "another month": ({**values, "due": "2026-07-06"}, bill(8)),
    }
    cases = Duplicates()
    cases.add(BUSINESS, values)
    assert cases.find(others[change][1], others[change][0], on, [True]) is None


@pytest.mark.parametrize(
    ("values", "because"),
    [({"reference": "ab 7386", "total": "500.00", "due": "2026-06-06"}, "the same reference ab 7386, total 500.00, due"),
     ({"reference": "A8-7386", "total": "500.00", "due": "2026-06-06"}, "the same reference A8-7386"),
     ({"total": "500.00", "due": "2026-06-06"}, "the same total 500.00, due 2026-06-06"),
     ({}, "nearly the same text"), ({"reference": "other"}, "nearly the same text")],
)  # fmt: skip
def test_a_duplicate_says_what_is_the_same(values: dict[str, str], because: str) -> None:
    cases = Duplicates()
    for number in range(40):  # of one form; the vectors of their words are equal
        cases.add(bill(number + 10), {"reference": f"AB-{number}"})
    cases.add(BUSINESS, {"reference": "AB-7386", "total": "500.00", "due": "2026-06-06"})
    row, reason = cases.find(BUSINESS, values, ["reference", "total", "due"], [True] * 41)
    assert row == 40 and because in reason
    assert cases.find(BUSINESS, values, ["reference", "total", "due"], [True] * 40) is None, "only the first rows count"


def test_a_second_scan_is_told_by_its_numbers_and_words() -> None:
    cases = Duplicates()
    cases.add(BUSINESS, {})
    noisy = BUSINESS.replace("Heating", "Heatlng").replace("please state", "plea5e sta te").replace("Gasket", "Gaskct")
    _, reason = cases.find(noisy, {}, [], [True])
    assert "says the same again" in reason
