"""A second look at values: fonts that paint other digits than their text layer says, and honest ones."""

import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from reportlab.pdfgen.canvas import Canvas

from lying_fonts import lying_font
from proveout.agent import Agent
from proveout.agent.scenarios import first_page_only
from proveout.calibration import Calibrations
from proveout.corpus import build_dataset
from proveout.documents import pictures, read
from proveout.documents.case import DocumentCase
from proveout.mission import Mission
from proveout.models.tiers import Extraction, ScoredValue
from proveout.records import AnomalyKind, Box, Content, Document, Output, Place, Route
from proveout.retrieval import Memory


def bill(folder: Path, font: str, total: str, rotation: int = 0) -> tuple[Document, Path, list[Output]]:
    """A document with this total, its file, and the total as a value of it."""
    path = folder / "a.pdf"
    canvas = Canvas(str(path), pagesize=(420, 300))
    canvas.setPageRotation(rotation)
    canvas.setFont("Helvetica", 11)
    canvas.drawString(40, 250, "Invoice of Union Gas for the month of March")
    canvas.setFont(font, 11)
    canvas.drawString(40, 200, f"Total due: {total}")
    canvas.save()
    document = read(path)
    place = next(Place(word.page, word.box) for word in document.words if word.text == total)
    return document, path, [Output(total, total, 1.0, place)]


def confirmed(case: tuple[Document, Path, list[Output]], cache: Path | None = None) -> Content:
    """The document after the second look at it."""
    (content,) = DocumentCase().confirm([case], cache)
    return content


@pytest.mark.parametrize(
    ("says", "shows", "base", "rotation"),
    [
        ("9", "1", "DejaVuSans", 0),
        ("1", "9", "DejaVuSerif", 0),
        ("3", "8", "DejaVuSans-Bold", 0),
        ("2", "5", "DejaVuSansMono", 90),
        ("0", "6", "DejaVuSerif-Bold", 0),
        ("7", "4", "DejaVuSans", 180),
    ],
)
def test_a_font_that_paints_another_digit_than_it_says_is_an_anomaly(
    tmp_path: Path, says: str, shows: str, base: str, rotation: int
) -> None:
    content = confirmed(bill(tmp_path, lying_font(tmp_path, says, shows, base), f"{says}48{says}.5{says}", rotation))
    assert isinstance(content, Document)
    (anomaly,) = content.anomalies
    assert anomaly.kind is AnomalyKind.HIDDEN and anomaly.text == f"{says}48{says}.5{says}"
    assert anomaly.because == f"page 1 shows '{shows}48{shows}.5{shows}', but its text layer says '{says}48{says}.5{says}'"
    (check,) = DocumentCase().check(content)
    assert check.passed is False


@pytest.mark.parametrize("base", ["DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10"])
@pytest.mark.parametrize("rotation", [0, 270])
def test_honest_fonts_are_believed(tmp_path: Path, base: str, rotation: int) -> None:
    content = confirmed(bill(tmp_path, lying_font(tmp_path, "0", "0", base), "1,234,567,890.25", rotation))
    assert isinstance(content, Document) and content.anomalies == ()


def test_nothing_is_said_of_a_file_that_cannot_be_drawn(tmp_path: Path) -> None:
    document, path, outputs = bill(tmp_path, lying_font(tmp_path, "9", "1", "DejaVuSans"), "998.19")
    path.write_bytes(b"%PDF-1.7 damaged")
    assert confirmed((document, path, outputs)) == document


class NoWorker:
    """In place of a worker process, where none may be asked."""

    def __init__(self, *limits: float) -> None: ...

    def ask(self, request: object) -> bytes:
        raise AssertionError(f"asked {request}")

    def stop(self) -> None: ...


def test_the_same_places_of_the_same_bytes_are_looked_at_once(tmp_path: Path, monkeypatch) -> None:
    document, path, outputs = bill(tmp_path, lying_font(tmp_path, "9", "1", "DejaVuSans"), "998.19")
    first = confirmed((document, path, outputs), tmp_path / "cache")
    assert isinstance(first, Document) and len(first.anomalies) == 1
    (entry,) = (tmp_path / "cache").rglob("*.sealed")
    assert entry.stat().st_mode & 0o077 == 0, "the text of a document is as private as it"
    copy = shutil.copy(path, tmp_path / "b.pdf")
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "WorkerProcess", NoWorker)
        assert confirmed((document, Path(copy), outputs), tmp_path / "cache") == first
        wider = [*outputs, Output("March", "March", 1.0, Place(0, Box(0, 0, 420, 300)))]
        with pytest.raises(AssertionError, match="recognise"):
            confirmed((document, path, wider), tmp_path / "cache")
    entry.write_bytes(entry.read_bytes()[:-1])
    assert confirmed((document, path, outputs), tmp_path / "cache") == first, "a damaged entry is read again"


def test_an_answer_is_kept_only_under_the_bytes_that_were_looked_at(tmp_path: Path, monkeypatch) -> None:
    case = bill(tmp_path, lying_font(tmp_path, "9", "1", "DejaVuSans"), "998.19")
    ask = pictures.WorkerProcess.ask

    def changed_meanwhile(worker: pictures.WorkerProcess, request: object) -> object:
        answer = ask(worker, request)
        case[1].write_bytes(case[1].read_bytes() + b"\n")
        return answer

    monkeypatch.setattr(pictures.WorkerProcess, "ask", changed_meanwhile)
    confirmed(case, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.sealed"))


class Totals:
    """A tier that reads the last word of a document as its total."""

    def extract(self, contents, configs=None) -> list[Extraction]:
        words = [content.words[-1] for content in contents]
        totals = [ScoredValue(word.text, Decimal(word.text), 0.9, Place(0, word.box)) for word in words]
        return [Extraction(one.id, "bill", 0.9, {"total": total}) for one, total in zip(contents, totals, strict=True)]


class Certain(Calibrations):
    """Automates everything, so that the checks alone decide."""

    def automates(self, tier: str, field: str, score: float) -> bool:
        return True


BILLS = Mission.model_validate(
    {
        "mission": "bills",
        "purpose": "Read the total of a bill.",
        "classes": ["bill"],
        "never_act_on": [],
        "fields": {"total": {"kind": "amount"}},
        "slo": {"precision": 0.9, "confidence": 0.9},
        "tiers": ["ranker", "person"],
        "actions": {"file_document": {}},
    }
)


def test_a_document_of_a_data_set_is_looked_at_again_like_its_file(tmp_path: Path) -> None:
    (tmp_path / "bills").mkdir()
    for name, says in (("honest", "0"), ("lying", "9")):
        _, path, _ = bill(tmp_path, lying_font(tmp_path, says, "0", "DejaVuSans"), f"998.1{len(name)}")
        path.rename(tmp_path / "bills" / f"{name}.pdf")
    (tmp_path / "bills" / "labels.csv").write_text("file_id,split,total\nhonest,test,998.16\nlying,test,008.15\n")
    dataset = build_dataset(tmp_path / "bills", BILLS, tmp_path / "dataset", cache=tmp_path / "cache")
    memory = Memory.open(tmp_path / "memory", store="")
    agent = Agent(BILLS, {"ranker": Totals()}, Certain({}), memory, cache=tmp_path / "cache", original=dataset.original)
    evaluated = agent.batch(dataset.documents("test"))
    assert evaluated == agent.batch([dataset.path_of(decision.case) for decision in evaluated])
    routes = {dataset.path_of(decision.case).stem: decision.route for decision in evaluated}
    assert routes == {"honest": Route.ACT, "lying": Route.REVIEW}
    lying = next(decision.case for decision in evaluated if decision.route is Route.REVIEW)
    changed = first_page_only(dataset.document(lying), {})
    assert agent.invoke(changed).route is Route.ACT, "of a content that no file holds there is nothing to see"
