"""Inspecting a folder of text layers against a bare loop of PDFium over the same files.

`inspect_files`: files/s, `inspect_pages`: pages/s, in wall time, with the worker processes that `proveout inspect` uses and a
cold cache. The peer extracts the plain text of every page in this process, and finds nothing.
"""

import tempfile
import time
from pathlib import Path

FILES = 300


def run() -> dict[str, dict[str, object]]:
    from proveout.corpus import synthetic

    with tempfile.TemporaryDirectory() as folder:
        synthetic.generate(Path(folder) / "stream", documents=FILES, seed=1)
        paths = _text_layers(Path(folder) / "stream" / "pdf", Path(folder) / "text")
        mine, theirs = min(_ours(Path(folder) / "text") for _ in range(2)), min(_peer(paths) for _ in range(2))
        pages = _pages(paths)
    peer = "pypdfium2, text alone, one process"
    return {
        f"inspect_{name}": {
            "ours": count / mine, "peer": count / theirs, "unit": f"{name}/s", "ratio": mine / theirs, "peer_name": peer,
        }
        for name, count in (("files", len(paths)), ("pages", pages))
    }  # fmt: skip


def _text_layers(folder: Path, target: Path) -> list[Path]:
    """The files whose pages all have text, moved to `target`: scans would measure OCR."""
    import pypdfium2

    from proveout.documents import text_layer

    target.mkdir()
    kept = []
    for path in sorted(folder.glob("*.pdf")):
        with pypdfium2.PdfDocument(path) as pdf:
            is_text = all(text_layer.is_usable(text_layer.read_page(page)) and not text_layer.is_scan(page) for page in pdf)
        if is_text:
            kept.append(path.rename(target / path.name))
    return kept


def _pages(paths: list[Path]) -> int:
    import pypdfium2

    return sum(len(pypdfium2.PdfDocument(path)) for path in paths)


def _ours(folder: Path) -> float:
    from proveout import inspection

    started = time.perf_counter()
    inspection.inspect(folder)
    return time.perf_counter() - started


def _peer(paths: list[Path]) -> float:
    import pypdfium2

    started = time.perf_counter()
    for path in paths:
        with pypdfium2.PdfDocument(path) as pdf:
            for page in pdf:
                page.get_textpage().get_text_bounded()
    return time.perf_counter() - started
