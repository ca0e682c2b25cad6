"""Documents: every kind of file, every rotation of a page, and hostile files."""

import io
import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pypdfium2
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from proveout import documents
from proveout.documents import batch, columns, files, ocr, text_layer
from proveout.errors import BadModel, UnreadableDocument
from proveout.records import CUT_OFF, Anomaly, AnomalyKind, Box, Document, Place, Source

ROWS = (
    "Invoice 4711-2",
    "Advertiser Harbor for Senate",
    "Flight 02/03/20 - 02/09/20",
    "Gross Total $1,250.00",
    "Net Amount $1,062.50",
)
WORDS = [word for row in ROWS for word in row.split()]


LETTER, SLIP = (612, 792), (350, 260)  # points; a smaller page is recognised faster


def draw(canvas: Canvas) -> None:
    canvas.setFont("Helvetica", 14)
    for number, row in enumerate(ROWS):
        canvas.drawString(72, canvas._pagesize[1] - 92 - 32 * number, row)


def pdf(
    path: Path,
    drawing: Callable[[Canvas], None] = draw,
    *,
    size: tuple[float, float] = LETTER,
    rotate: int = 0,
    crop: str = "",
    pages: int = 1,
    encrypt: str | None = None,
) -> Path:
    canvas = Canvas(str(path), pagesize=size, invariant=1, encrypt=encrypt)
    for _ in range(pages):
        drawing(canvas)
        canvas.showPage()
    canvas.save()
    if rotate or crop:
        with pypdfium2.PdfDocument(path.read_bytes()) as whole:
            whole[0].set_rotation(rotate)
            whole[0].set_cropbox(*map(float, (crop or "0 0 612 792").split()))
            whole.save(path)
    return path


def scan(path: Path, turn: float = 0.0, dpi: int = 130) -> Path:
    """The page as a picture, turned counter-clockwise."""
    page = pypdfium2.PdfDocument(pdf(path.with_suffix(".original"), size=SLIP))[0]
    image = page.render(scale=dpi / 72).to_pil().convert("RGB")
    image.rotate(turn, expand=turn % 90 == 0, fillcolor="white").save(path, dpi=(dpi, dpi))
    return path


def test_anomalies_survive_the_cache() -> None:
    anomalies = (
        Anomaly(AnomalyKind.STAMP, "VOID is stamped on page 1", "VOID", Place(0, Box(1.0, 2.0, 3.5, 4.0))),
        Anomaly(AnomalyKind.SEVERAL, "page 2 begins another document"),
    )
    assert columns.from_json(columns.to_json("ab", [], anomalies)) == Document("ab", (), anomalies)


def texts(document: Document) -> list[str]:
    return [word.text for word in document.words]


def ink_under(path: Path, document: Document, scale: float = 2.0) -> float:
    """Share of the ink of `page_image` that is inside the boxes of the page's words."""
    page = document.pages[0]
    ink = np.asarray(documents.page_image(path, page, scale).convert("L")) < 128
    under = np.zeros_like(ink)
    for word in page.words:
        x0, y0, x1, y1 = (round(v * scale) for v in (word.box.x0, word.box.y0, word.box.x1, word.box.y1))
        under[y0 : y1 + 1, x0 : x1 + 1] = True
    return float((ink & under).sum() / ink.sum())


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableDocument) as caught:
        documents.read(path)
    return str(caught.value)


def test_a_text_layer_gives_words_in_reading_order_with_their_lines(tmp_path: Path) -> None:
    document = documents.read(pdf(tmp_path / "a.pdf"))
    assert texts(document) == WORDS
    assert [" ".join(word.text for word in line) for line in documents.lines(document.pages[0])] == list(ROWS)
    assert {word.source for word in document.words} == {Source.TEXT_LAYER}
    assert {word.document for word in document.words} == {documents.sha256_of(tmp_path / "a.pdf")}


def test_boxes_are_where_the_words_were_drawn(tmp_path: Path) -> None:
    first = documents.read(pdf(tmp_path / "a.pdf")).words[0]
    assert first.box.x0 == pytest.approx(72, abs=0.5)
    assert first.box.y0 < 792 - 700 - 8 and first.box.y1 > 792 - 700  # the baseline lies 92 points below the top
    assert 8 < first.box.y1 - first.box.y0 < 20


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", ["", "36 36 580 760"], ids=["whole", "cropped"])
def test_boxes_fit_the_page_that_is_shown(tmp_path: Path, rotate: int, crop: str) -> None:
    path = pdf(tmp_path / "a.pdf", rotate=rotate, crop=crop)
    document = documents.read(path)
    page = document.pages[0]
    assert documents.page_image(path, page).size == (round(page.width), round(page.height))
    assert ink_under(path, document) > 0.99
    assert texts(document) == WORDS  # whatever /Rotate says, the page is turned until text runs left to right


def test_words_printed_outside_the_page_are_not_on_it(tmp_path: Path) -> None:
    document = documents.read(pdf(tmp_path / "a.pdf", crop="0 650 612 792"))
    assert texts(document) == [word for row in ROWS[:2] for word in row.split()]


def test_two_columns_stay_on_their_lines(tmp_path: Path) -> None:
    def form(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 9)
        for row, (left, right) in enumerate([("Contract # 81", "Agency Acme"), ("Estimate 7", "Buyer Rivera")]):
            canvas.drawString(50, 700 - 12 * row, left)
            canvas.drawString(330, 698 - 12 * row, right)  # set two points lower, as forms are
        canvas.setFont("Helvetica-Bold", 44)
        canvas.drawString(150, 682, "COPY")  # across both lines

    lines = [" ".join(w.text for w in line) for line in documents.lines(documents.read(pdf(tmp_path / "a.pdf", form)).pages[0])]
    assert "Contract # 81 Agency Acme" in lines
    assert "Estimate 7 Buyer Rivera" in lines


def test_real_text_layers_agree_with_pdfium_itself(shared_data: Path) -> None:
    compared = 0
    for path in sorted((shared_data / "adbuy" / "pdf").glob("*.pdf"))[::20]:
        for page in pypdfium2.PdfDocument(path):
            if text_layer.is_scan(page) or page.get_rotation():
                continue
            theirs = page.get_textpage().get_text_range().replace("\ufffe", "- ").replace("\x02", "- ").split()
            ours = Counter(text.removesuffix(CUT_OFF) for text in text_layer.read_page(page).texts)
            assert not ours - Counter(theirs)
            assert ours.total() >= 0.9 * len(theirs)  # the others are outside the page, or cut off by their cells
            compared += 1
    assert compared > 20


def test_reading_twice_gives_the_same_document(shared_data: Path) -> None:
    path = min((shared_data / "adbuy" / "pdf").glob("*.pdf"))
    assert documents.read(path) == documents.read(path)


@pytest.mark.parametrize("turn", [90, 180, 270, 2.5])
def test_a_scan_is_read_whichever_way_it_lies(tmp_path: Path, turn: float) -> None:
    path = scan(tmp_path / "scan.png", turn)
    document = documents.read(path)
    assert texts(document) == WORDS
    assert {word.source for word in document.words} == {Source.OCR}
    assert all(0.5 <= word.confidence <= 1 for word in document.words)
    assert len(documents.lines(document.pages[0])) == len(ROWS)
    assert ink_under(path, document) > 0.9
    assert document.pages[0].turned % 360 == pytest.approx(turn % 360, abs=0.3)


def test_a_photograph_is_read(tmp_path: Path) -> None:
    assert texts(documents.read(scan(tmp_path / "scan.jpg"))) == WORDS


def test_every_frame_of_a_tiff_is_a_page(tmp_path: Path) -> None:
    frame = Image.open(scan(tmp_path / "one.png"))
    frame.save(tmp_path / "two.tif", save_all=True, append_images=[frame], dpi=(130, 130))
    assert [page.width for page in documents.read(tmp_path / "two.tif").pages] == [pytest.approx(SLIP[0], abs=1)] * 2


def test_a_pdf_page_that_is_a_picture_is_read_by_ocr_beside_pages_that_are_text(tmp_path: Path) -> None:
    picture = scan(tmp_path / "scan.png")

    def mixed(canvas: Canvas) -> None:
        draw(canvas)
        canvas.showPage()
        canvas.drawImage(str(picture), 0, 0, *SLIP)
        hidden = canvas.beginText(50, 50)
        hidden.setTextRenderMode(3)  # the text of the scanner software
        hidden.textLine("1nvo1ce 47l1")
        canvas.drawText(hidden)

    document = documents.read(pdf(tmp_path / "a.pdf", mixed, size=SLIP))
    assert [page.words[0].source for page in document.pages] == [Source.TEXT_LAYER, Source.OCR]
    assert [word.text for word in document.pages[1].words] == WORDS


def test_plain_text_keeps_its_columns_and_pages(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Invoice   4711\nTotal\t12,00 €\fPage two\n", encoding="utf-8")
    document = documents.read(tmp_path / "a.txt")
    invoice, number, total, amount, *_ = document.words
    assert texts(document) == ["Invoice", "4711", "Total", "12,00", "€", "Page", "two"]
    assert number.box.x0 - invoice.box.x1 == 18 and (invoice.line, total.line) == (0, 1)
    assert amount.box.x0 == invoice.box.x0 + 48  # the tab
    assert len(document.pages) == 2 and ink_under(tmp_path / "a.txt", document) > 0.9


def _cut(path: Path) -> None:
    path.write_bytes(pdf(path).read_bytes()[:300])


def _locked(path: Path) -> None:
    pdf(path, encrypt="secret")


def _claims(side: int) -> Callable[[Path], None]:
    """Write a small picture with a header that claims `side` pixels of width and height."""

    def make(path: Path) -> None:
        Image.new("L", (8, 8)).save(path, format="PNG")
        data = bytearray(path.read_bytes())
        data[16:24] = struct.pack(">II", side, side)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        path.write_bytes(data)

    return make


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "empty: 0 bytes"),
        (lambda path: None, "cannot be opened: No such file"),
        (_cut, "broken PDF"),
        (_locked, "encrypted"),
        (lambda path: pdf(path, pages=files.MAX_PAGES + 1), f"oversized: {files.MAX_PAGES + 1} pages"),
        (_claims(9_000), f"oversized: more than {files.MAX_PIXELS:,} pixels"),
        (_claims(60_000), f"oversized: more than {files.MAX_PIXELS:,} pixels"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 50), "broken image"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(range(256))), "unknown kind"),
        (lambda path: pdf(path, lambda canvas: None), "no text on any page"),
        (lambda path: path.write_text(" \n"), "no text on any page"),
    ],
    ids=["empty", "missing", "cut", "encrypted", "pages", "pixels", "bomb", "broken image", "zip", "blank", "blank text"],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    make(tmp_path / "bad")
    assert refusal(tmp_path / "bad").startswith(reason)


def test_a_file_of_too_many_bytes_is_not_even_opened(tmp_path: Path) -> None:
    with (tmp_path / "big.pdf").open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)  # a hole: takes no room
    assert refusal(tmp_path / "big.pdf").startswith("oversized: 100,000,001 bytes")


def test_a_batch_goes_on_in_order_around_bad_files(tmp_path: Path) -> None:
    good, broken = pdf(tmp_path / "good.pdf"), tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.4 nothing more")
    seen: list[tuple[int, int]] = []
    answers = list(
        documents.read_many([good, broken, tmp_path / "missing.pdf", good], progress=lambda *done: seen.append(done))
    )
    assert [type(answer) for answer in answers] == [Document, UnreadableDocument, UnreadableDocument, Document]
    assert answers[0] == answers[3] == documents.read(good)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


HOSTILE = """
import os, time
from pathlib import Path
from proveout.documents import files, worker
honest = files.content
def content(path):
    if path.stem == "crash": os.abort()
    if path.stem == "hang": time.sleep(600)
    return honest(path)
files.content = content
worker.main()
"""  # the real worker with a parser that dies on two files, because no file is known to crash PDFium


def test_a_file_that_crashes_or_hangs_the_reader_is_refused_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "WORKER", HOSTILE)
    paths = [pdf(tmp_path / f"{name}.pdf") for name in ("one", "crash", "two", "hang", "three")]
    answers = list(documents.read_many(paths, processes=1, timeout=5))
    assert [isinstance(answer, Document) for answer in answers] == [True, False, True, False, True]
    assert "the reader crashed (exit code -6)" in str(answers[1])
    assert "the reader hung: no page in 5 s" in str(answers[3])


def test_an_abandoned_batch_leaves_no_process(tmp_path: Path) -> None:
    reading = documents.read_many([pdf(tmp_path / "one.pdf")] * 3, processes=1)
    next(reading)
    (child,) = [
        process for process in psutil.Process().children() if "proveout.documents.worker" in " ".join(process.cmdline())
    ]
    reading.close()
    assert not child.is_running()


def _entries(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.sealed"))


def test_the_same_bytes_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = pdf(tmp_path / "a.pdf"), tmp_path / "cache"
    (first,) = documents.read_many([path], cache)
    assert [entry.stat().st_mode & 0o077 for entry in _entries(cache)] == [0], "a document's text is as private as it"
    path.rename(tmp_path / "b.pdf")
    monkeypatch.setattr(batch, "WORKER", "raise SystemExit('must not read again')")
    (second,) = documents.read_many([tmp_path / "b.pdf"], cache)
    assert second == first


@pytest.mark.parametrize("damage", ["", "{}", "changed"])
def test_a_damaged_cache_entry_is_read_again(tmp_path: Path, damage: str) -> None:
    path, cache = pdf(tmp_path / "a.pdf"), tmp_path / "cache"
    (first,) = documents.read_many([path], cache)
    (entry,) = _entries(cache)
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage == "changed" else damage.encode())
    assert list(documents.read_many([path], cache)) == [first]
    assert len(entry.read_bytes()) == len(whole) and b"4711-2" not in entry.read_bytes(), "only who has the file can read it"


def test_an_entry_of_another_reader_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = pdf(tmp_path / "a.pdf"), tmp_path / "cache"
    list(documents.read_many([path], cache))
    monkeypatch.setattr(batch, "_reader_version", lambda: "a later one")
    list(documents.read_many([path], cache))
    assert len(_entries(cache)) == 2


def test_a_document_survives_json(tmp_path: Path) -> None:
    pages = list(files.pages(files.content(scan(tmp_path / "scan.png", 1.0))))
    assert columns.from_json(columns.to_json("00", pages)) == columns.document("00", pages)


def test_a_page_image_by_number_equals_the_one_by_page(tmp_path: Path) -> None:
    path = scan(tmp_path / "scan.png", 90)
    page = documents.read(path).pages[0]
    by_page, by_number = (documents.page_image(path, which, 0.5) for which in (page, 0))
    assert by_page.tobytes() == by_number.tobytes()


def test_mutated_files_are_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    whole = bytearray(pdf(tmp_path / "a.pdf", size=SLIP).read_bytes())
    random = np.random.default_rng(5)
    paths = []
    for number in range(40):
        data = bytearray(whole)
        for _ in range(int(random.integers(1, 30))):
            data[random.integers(0, len(data))] = random.integers(0, 256)
        path = tmp_path / f"m{number}.pdf"
        path.write_bytes(bytes(data[: random.integers(1, len(data) + 1)] if number % 3 == 0 else data))
        paths.append(path)
    answers = list(documents.read_many(paths))
    assert len(answers) == 40
    for answer in answers:
        assert isinstance(answer, Document) or re.match(r"(broken|empty|unknown|no text|encrypted|oversized)", str(answer))


def test_a_page_of_too_many_letters_is_refused(tmp_path: Path) -> None:
    def flood(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 4)
        line = canvas.beginText(10, 700)
        for _ in range(text_layer.MAX_CHARACTERS // 1000 + 1):
            line.textLine("x" * 1000)
        canvas.drawText(line)

    assert "characters on a page, the limit is" in refusal(pdf(tmp_path / "flood.pdf", flood))


def test_a_transparent_image_is_read_on_white(tmp_path: Path) -> None:
    grey, clear = Image.open(scan(tmp_path / "a.png")).convert("L"), io.BytesIO()
    see_through = Image.merge("LA", (grey, grey.point(lambda v: 255 - v)))
    see_through.save(clear, format="PNG", dpi=(130, 130))
    (tmp_path / "b.png").write_bytes(clear.getvalue())
    assert texts(documents.read(tmp_path / "b.png")) == WORDS


def test_a_changed_model_for_ocr_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ocr._models().glob("*.onnx"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = tmp_path / "PP-OCRv6_rec_small.onnx"
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(ocr, "_models", lambda: tmp_path)
    ocr.check_models.cache_clear()
    with pytest.raises(BadModel, match=r"PP-OCRv6_rec_small.onnx: SHA-256 is .* nothing is read by OCR. Install it again"):
        next(documents.read_many([tmp_path / "any.pdf"]))
    monkeypatch.undo()
    ocr.check_models()
