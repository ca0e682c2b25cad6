"""Hostile files: mutated ones, bombs, structures without an end. Each is read or refused with a reason, soon, in little memory.

The originals are drawn here and the mutations are seeded, so a failure names a file that can be made again.
"""

import contextlib
import io
import random
import re
import signal
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.pdfgen.canvas import Canvas

from proveout.documents import batch, columns, limits
from proveout.errors import UnreadableDocument
from proveout.records import Document

SECONDS = 10.0  # a file's answer
MEMORY = 2 << 30  # bytes resident in the process that reads it
REASON = re.compile("broken|empty|unknown kind|no text|encrypted|oversized|an e-invoice without")
SLIP = (350, 260)  # points; a small page is recognised fast
ROWS = ("Invoice 4711-2", "Harbor Paper Ltd", "Due 02/09/2026", "Total $1,250.00")
XML = "<?xml version='1.0'?>\n<Invoice><ID>4711-2</ID>\n<Total currencyID='USD'>1250.00</Total></Invoice>\n"


def picture(dpi: int = 90) -> Image.Image:
    image = Image.new("RGB", (SLIP[0] * dpi // 72, SLIP[1] * dpi // 72), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14 * dpi // 72)
    for number, row in enumerate(ROWS[::3]):  # two rows, because recognition takes most of the time
        draw.text((40, 30 + number * 40 * dpi // 72), row, fill="black", font=font)
    return image


def image_bytes(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture().save(out, kind, dpi=(90, 90), **options)
    return out.getvalue()


def pdf_bytes(*, scanned: bool = False, form: bool = False) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=SLIP, invariant=1, pageCompression=int(form))
    if scanned:
        canvas.drawInlineImage(picture(), 0, 0, *SLIP)
    else:
        canvas.setFont("Helvetica", 14)
        for number, row in enumerate(ROWS):
            canvas.drawString(30, 210 - 32 * number, row)
    if form:
        canvas.acroForm.textfield(name="total", value="1,250.00", x=30, y=20, width=120, height=20)
    canvas.save()
    return out.getvalue()


def originals() -> dict[str, list[bytes]]:
    """By kind, one or more whole files."""
    frames = {"save_all": True, "append_images": [picture()]}
    return {
        "pdf": [pdf_bytes(), pdf_bytes(form=True), pdf_bytes(scanned=True)],
        "png": [image_bytes("PNG")],
        "tif": [image_bytes("TIFF", compression="tiff_lzw"), image_bytes("TIFF", **frames)],
        "jpg": [image_bytes("JPEG")],
        "txt": ["\n".join(ROWS).encode()],
        "xml": [XML.encode()],
    }


def mutated(data: bytes, others: Sequence[bytes], seed: random.Random) -> bytes:
    """Bits flipped, the end cut off, a part of another file put in, or a number replaced by an absurd one."""
    damaged = bytearray(data)
    match seed.randrange(4):
        case 0:
            for _ in range(seed.choice((1, 3, 10, 100))):
                damaged[seed.randrange(len(damaged))] ^= 1 << seed.randrange(8)
        case 1:
            del damaged[seed.randrange(1, len(damaged)) :]
        case 2:
            other, at = seed.choice(others), seed.randrange(len(damaged))
            start = seed.randrange(len(other))
            damaged[at : at + seed.choice((0, 50, len(damaged)))] = other[start : start + seed.choice((10, 500, len(other)))]
        case _:
            digits = [at for at, byte in enumerate(damaged) if 48 <= byte <= 57] or [0]
            for _ in range(seed.choice((1, 5))):
                at = seed.choice(digits)
                damaged[at : at + 1] = seed.choice((b"999999999", b"-1", b"0", b"2147483648", b"1e30"))
    return bytes(damaged)


def mutants(folder: Path, kind: str, count: int) -> list[Path]:
    """`count` files of one kind; the same ones every time."""
    whole = originals()
    others = [data for group in whole.values() for data in group]
    paths = []
    for number in range(count):
        seed = random.Random(f"{kind} {number}")
        path = folder / f"{number:04}.{kind}"
        path.write_bytes(mutated(seed.choice(whole[kind]), others, seed))
        paths.append(path)
    return paths


class Watched(batch.WorkerProcess):
    """A worker process that notes the memory and the computing time of each file; wall time varies with the machine's load."""

    def __init__(self) -> None:
        super().__init__(1, batch.PAGE_TIMEOUT)
        self.seconds: dict[str, float] = {}
        self.memory: dict[str, int] = {}

    def answer(self, path: Path) -> Document | UnreadableDocument:
        process = psutil.Process((self._process or self._start()).pid)
        before, done = _seconds(process), threading.Event()
        watch = threading.Thread(target=self._watch, args=(process, before, path.name, done))
        watch.start()
        try:
            payload = self.ask(str(path))
        finally:
            done.set()
            watch.join()
        return payload if isinstance(payload, UnreadableDocument) else columns.from_json(payload)

    def _watch(self, process: psutil.Process, before: float, name: str, done: threading.Event) -> None:
        self.seconds[name] = self.memory[name] = 0
        finished = False
        with contextlib.suppress(psutil.NoSuchProcess):  # a limit ended it
            while not finished:
                finished = done.wait(0.01)
                self.seconds[name] = max(self.seconds[name], _seconds(process) - before)
                self.memory[name] = max(self.memory[name], process.memory_info().rss)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@pytest.fixture(scope="module")
def worker() -> Iterator[Watched]:
    worker = Watched()
    yield worker
    worker.stop()


def check_limits(worker: Watched, names: Iterable[str]) -> None:
    assert {name: seconds for name in names if (seconds := worker.seconds[name]) > SECONDS} == {}
    assert {name: memory >> 20 for name in names if (memory := worker.memory[name]) > MEMORY} == {}


def check_mutants(worker: Watched, folder: Path, kind: str, count: int) -> None:
    """Every mutant is a Document, or refused with a reason that a person understands, and no reader crashed or hung."""
    answers = {path.name: worker.answer(path) for path in mutants(folder, kind, count)}
    odd = {
        name: str(answer)
        for name, answer in answers.items()
        if not isinstance(answer, Document) and not REASON.match(str(answer))
    }
    assert odd == {} and len(answers) == count
    check_limits(worker, answers)
    kinds = Counter("read" if isinstance(answer, Document) else REASON.match(str(answer))[0] for answer in answers.values())
    print(
        kind,
        dict(kinds),
        f"{max(worker.seconds[n] for n in answers):.1f} s, {max(worker.memory[n] for n in answers) >> 20} MiB",
    )


@pytest.mark.parametrize(("kind", "count"), {"pdf": 60, "png": 3, "tif": 3, "jpg": 3, "txt": 20, "xml": 20}.items())
def test_some_mutated_files_are_read_or_refused(tmp_path: Path, worker: Watched, kind: str, count: int) -> None:
    check_mutants(worker, tmp_path, kind, count)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), {"txt": 250, "xml": 200, "pdf": 1100, "png": 150, "tif": 150, "jpg": 150}.items())
def test_2000_mutated_files_are_read_or_refused(tmp_path: Path, worker: Watched, kind: str, count: int) -> None:
    check_mutants(worker, tmp_path, kind, count)


def raw_pdf(*objects: bytes) -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalogue."""
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out + b"trailer <</Root 1 0 R /Size %d>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))


CATALOGUE, PAGES = b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
HELLO = b"BT /F 12 Tf 20 100 Td (Invoice 4711 Total 12.50) Tj ET"


def stream(data: bytes, more: bytes = b"") -> bytes:
    return b"<<%b/Length %d>>stream\n%b\nendstream" % (more, len(data), data)


def one_page(content: bytes, resources: bytes = b"", box: bytes = b"0 0 350 260", extra: Sequence[bytes] = ()) -> bytes:
    """A PDF of one page: object 4 is its content, 5 the font F, 6 and later are `extra`."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[%b]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>%b>>>>" % (box, resources)
    return raw_pdf(CATALOGUE, PAGES, page, content, FONT, *extra)


def deflated(size: int, times: int = 1, filler: bytes = b" ") -> bytes:
    """`size` bytes of filler as Flate data, compressed again `times` - 1 times. Without a checksum, which readers ignore."""
    squeeze = zlib.compressobj(9)
    block = squeeze.compress(filler * (1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    same = squeeze.compress(filler * (1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)  # without the header
    data = block + same * (-(-size >> 20) - 1)
    for _ in range(times - 1):
        data = zlib.compress(data, 9)
    return data


def flate_bomb(gigabytes: int, times: int = 1) -> bytes:
    filters = b"/Filter[" + b"/FlateDecode" * times + b"]"
    return one_page(stream(deflated(gigabytes << 30, times), filters))


def image_bomb(side: int, bits: int = 8, colours: bytes = b"/DeviceRGB", share: int = 1) -> bytes:
    """A PDF whose page is a picture of `side` x `side` pixels, of which a part is there."""
    size = side * side * bits * (3 if colours == b"/DeviceRGB" else 1) // 8 // share
    head = b"/Type/XObject/Subtype/Image/Width %d/Height %d/BitsPerComponent %d/ColorSpace%b/Filter/FlateDecode"
    data = deflated(size + (1 << 20), filler=b"\0")
    return one_page(
        stream(b"350 0 0 260 0 0 cm /I Do"), b"/XObject<</I 6 0 R>>", extra=[stream(data, head % (side, side, bits, colours))]
    )


def laughs(levels: int = 12, each: int = 10) -> bytes:
    """A form that draws the next one ten times, and so on: 10 to the 12th words."""
    forms = []
    for level in range(levels):
        inner = b" ".join([b"/X Do"] * each) if level < levels - 1 else HELLO
        resources = b"/XObject<</X %d 0 R>>" % (7 + level) if level < levels - 1 else b"/Font<</F 5 0 R>>"
        forms.append(stream(inner, b"/Type/XObject/Subtype/Form/BBox[0 0 350 260]/Resources<<%b>>" % resources))
    return one_page(stream(b"/X Do"), b"/XObject<</X 6 0 R>>", extra=forms)


def png_bomb(width: int, height: int, depth: int, colour: int, *, whole: bool = True) -> bytes:
    """A PNG of black pixels; `colour`: 0 grey, 2 RGB, 6 RGBA."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    row = 1 + width * depth * {0: 1, 2: 3, 6: 4}[colour] // 8
    data = zlib.compress(bytes(row) * (height if whole else 9), 1)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff_bomb(side: int) -> bytes:
    out = io.BytesIO()
    Image.new("1", (side, side)).save(out, "TIFF", compression="group4")
    return out.getvalue()


def tiff_ring() -> bytes:
    """A TIFF whose first frame is followed by itself."""
    data = bytearray(image_bytes("TIFF"))
    at = struct.unpack_from("<I", data, 4)[0]
    (entries,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * entries, at)
    return bytes(data)


def many_frames(count: int) -> bytes:
    out = io.BytesIO()
    one = Image.new("1", (8, 8))
    one.save(out, "TIFF", save_all=True, append_images=[one] * (count - 1))
    return out.getvalue()


def text_pages(count: int) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=SLIP)
    for number in range(count):
        canvas.drawString(30, 100, f"Page {number}")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def shared_pages(count: int) -> bytes:
    """One page, named `count` times."""
    kids = b"<</Type/Pages/Kids[" + b"3 0 R " * count + b"]/Count %d>>" % count
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 350 260]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>"
    return raw_pdf(CATALOGUE, kids, page, stream(HELLO), FONT)


def ring_of_pages() -> bytes:
    return raw_pdf(CATALOGUE, b"<</Type/Pages/Kids[2 0 R]/Count 5>>")


def ring_of_forms() -> bytes:
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 350 260]/Resources<</XObject<</X 6 0 R>>/Font<</F 5 0 R>>>>"
    return one_page(stream(HELLO + b" /X Do"), b"/XObject<</X 6 0 R>>", extra=[stream(HELLO + b" /X Do /X Do", form)])


def ring_of_lengths() -> bytes:
    """The length of a stream is the stream itself, and the pages are their own parents."""
    content = b"<</Length 4 0 R>>stream\n" + HELLO + b"\nendstream"
    return one_page(content).replace(b"/Count 1", b"/Parent 2 0 R/Count 1")


def font_of_size(size: bytes) -> bytes:
    return one_page(stream(HELLO.replace(b" 12 Tf", b" " + size + b" Tf")))


def millions_of_strokes(count: int = 3_000_000) -> bytes:
    """Millions of strokes."""
    return one_page(stream(zlib.compress(b"0 0 m 350 260 l S\n" * count + HELLO), b"/Filter/FlateDecode"))


def tiny_tiles() -> bytes:
    """A page filled with tiny tiles."""
    tile = b"/Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]/XStep .001/YStep .001/Resources<<>>"
    body = stream(b"/Pattern cs /P scn 0 0 350 260 re f ")
    return one_page(body, b"/Pattern<</P 6 0 R>>", extra=[stream(b"0 0 1 1 re f", tile)])


def long_function() -> bytes:
    """A shading computed by a long PostScript function."""
    code = b"{" + b"dup mul 1 exch sub " * 200_000 + b"}"
    shading = b"<</ShadingType 1/ColorSpace/DeviceGray/Domain[0 1 0 1]/Matrix[350 0 0 260 0 0]/Function 7 0 R>>"
    return one_page(
        stream(b"/S sh"), b"/Shading<</S 6 0 R>>", extra=[shading, stream(code, b"/FunctionType 4/Domain[0 1 0 1]/Range[0 1]")]
    )


TOO_MUCH = r"oversized: it takes more than|oversized: it needs more than|the reader crashed .* needs more than"
READ = ""  # its words are read
CHEAP: dict[str, tuple[Callable[[], bytes], str]] = {
    "10,000 pages.pdf": (lambda: text_pages(10_000), "oversized: 10000 pages"),
    "one page 10,000 times.pdf": (lambda: shared_pages(10_000), "oversized: 10000 pages"),
    "a million points.pdf": (lambda: one_page(stream(HELLO), box=b"0 0 1000000 1000000"), "oversized: a page of 1,000,000 x"),
    "a million points, blank.pdf": (
        lambda: one_page(stream(b""), box=b"0 0 1000000 1000000"),
        "oversized: a page of 1,000,000 x",
    ),
    "a long page.pdf": (lambda: one_page(stream(b""), box=b"0 0 1 1000000"), "oversized: a page of 1 x 1,000,000 points"),
    "no size.pdf": (lambda: one_page(stream(HELLO), box=b"0 0 0 0"), READ),
    "nested arrays.pdf": (lambda: one_page(stream(HELLO), b"/Deep " + b"[" * 1_000_000 + b"]" * 1_000_000), READ),
    "nested dictionaries.pdf": (lambda: one_page(stream(HELLO), b"/A<<" * 200_000 + b">>" * 200_000), READ),
    "nested arrays in content.pdf": (lambda: one_page(stream(b"[" * 3_000_000 + HELLO)), "no text"),
    "ring of pages.pdf": (ring_of_pages, "broken PDF"),
    "ring of lengths.pdf": (ring_of_lengths, READ),
    "font of 1e9.pdf": (lambda: font_of_size(b"1000000000"), "no text"),
    "font of 1e-9.pdf": (lambda: font_of_size(b"0.000000001"), "no text"),
    "font of -1e30.pdf": (lambda: font_of_size(b"-1e30"), "no text"),
    "picture of 30,000 x 30,000.pdf": (lambda: image_bomb(30_000, share=1000), "oversized: a picture of more than"),
    "picture of 100,000 x 100,000.pdf": (
        lambda: image_bomb(100_000, 1, b"/DeviceGray", 100),
        "oversized: a picture of more than",
    ),
    "30,000 x 30,000.png": (lambda: png_bomb(30_000, 30_000, 1, 0), "oversized: more than 60,000,000 pixels"),
    "30,000 x 30,000 RGBA.png": (lambda: png_bomb(30_000, 30_000, 8, 6, whole=False), "oversized: more than 60,000,000 pixels"),
    "30,000 x 30,000.tif": (lambda: tiff_bomb(30_000), "oversized: more than 60,000,000 pixels"),
}
COSTLY: dict[str, tuple[Callable[[], bytes], str]] = {
    "a gigabyte.pdf": (lambda: flate_bomb(1), TOO_MUCH),
    "8 gigabytes, compressed twice.pdf": (lambda: flate_bomb(8, 2), TOO_MUCH),
    "16 gigabytes, compressed three times.pdf": (lambda: flate_bomb(16, 3), TOO_MUCH),
    "10 to the 12th words.pdf": (laughs, TOO_MUCH),
    "ring of forms.pdf": (ring_of_forms, TOO_MUCH),
    "millions of strokes.pdf": (millions_of_strokes, TOO_MUCH),
    "tiny tiles.pdf": (tiny_tiles, TOO_MUCH),
    "long function.pdf": (long_function, TOO_MUCH),
    "nested q.pdf": (lambda: one_page(stream(b"q " * 3_000_000 + HELLO)), READ),
    "whole picture of 30,000 x 30,000.pdf": (lambda: image_bomb(30_000), "oversized: a picture of more than"),
    "just small enough, RGBA of 16 bits.png": (lambda: png_bomb(7_700, 7_700, 16, 6), f"no text|{TOO_MUCH}"),
    "just small enough, grey of 16 bits.png": (lambda: png_bomb(7_700, 7_700, 16, 0), f"no text|{TOO_MUCH}"),
    "one row.png": (lambda: png_bomb(50_000_000, 1, 1, 0), f"no text|{TOO_MUCH}"),
    "ring of frames.tif": (tiff_ring, READ),
    "10,000 frames.tif": (lambda: many_frames(10_000), "oversized: 10000 pages"),
    "100 MB of words.txt": (lambda: b"a " * 40_000_000, TOO_MUCH),
    "90 MB of line ends.txt": (lambda: b"\n" * 90_000_000, TOO_MUCH),
    "90 MB of form feeds.txt": (lambda: b"\f" * 90_000_000, TOO_MUCH),
}


def check_bomb(worker: Watched, path: Path, make: Callable[[], bytes], reason: str) -> None:
    path.write_bytes(make())
    answer = worker.answer(path)
    print(f"{path.name}: {worker.seconds[path.name]:.1f} s, {worker.memory[path.name] >> 20} MiB: {str(answer)[:90]}")
    if reason:
        assert isinstance(answer, UnreadableDocument) and re.match(reason, str(answer)), str(answer)[:200]
    else:
        assert isinstance(answer, Document) and "4711" in " ".join(word.text for word in answer.words)
    check_limits(worker, [path.name])


@pytest.mark.parametrize("name", CHEAP)
def test_a_bomb_is_refused_soon_with_the_reason(tmp_path: Path, worker: Watched, name: str) -> None:
    check_bomb(worker, tmp_path / name, *CHEAP[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_bomb_is_refused_with_the_reason(tmp_path: Path, worker: Watched, name: str) -> None:
    check_bomb(worker, tmp_path / name, *COSTLY[name])


def test_one_bomb_in_a_batch_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    for name, data in (("a", pdf_bytes()), ("b", ring_of_forms()), ("c", pdf_bytes())):
        (tmp_path / f"{name}.pdf").write_bytes(data)
    first, bomb, last = batch.read_many(sorted(tmp_path.iterdir()), processes=1)
    assert isinstance(first, Document) and first == last
    assert re.match(TOO_MUCH, str(bomb))


def test_recognition_is_not_counted_as_time_of_the_file() -> None:
    """Outside a worker there is no clock to stop; in one, it goes on where it stood."""
    with limits.unhurried():
        assert signal.getitimer(signal.ITIMER_PROF)[0] == 0
    limits.start(50.0)
    try:
        with limits.unhurried():
            assert signal.getitimer(signal.ITIMER_PROF)[0] == 0
        assert 40 < signal.getitimer(signal.ITIMER_PROF)[0] < 51  # the kernel rounds up
        limits.extend(10.0)
        assert 50 < signal.getitimer(signal.ITIMER_PROF)[0] < 61
    finally:
        limits.start(0)
