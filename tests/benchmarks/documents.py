"""Reading documents: our text-layer words with boxes and lines against PDFium's plain text, our OCR against rapidocr's own.

`text_layer`: pages/s of one core, the same synthetic PDFs; the peer gives text without boxes, lines or a reading order.
`ocr_page`: seconds a page of one core, the same pictures; the peer is `RapidOCR()` with words' boxes, as it comes.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

PAGES = 3  # pictures; each takes seconds


def run() -> dict[str, dict[str, object]]:
    from proveout.corpus import synthetic

    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, OMP_NUM_THREADS="1"):
        synthetic.generate(Path(folder) / "stream", documents=150, seed=1)
        files = sorted((Path(folder) / "stream" / "pdf").glob("*.pdf"))
        return {"text_layer": _text_layer(files), "ocr_page": _ocr_page(files)}


def _text_layer(files: list[Path]) -> dict[str, object]:
    import pypdfium2

    from proveout.documents import columns, text_layer

    def ours(page: object) -> object:
        return text_layer.read_page(page)

    def peer(page: object) -> object:
        return page.get_textpage().get_text_bounded()  # type: ignore[attr-defined]

    def rate(read: Callable[[object], object]) -> float:
        pages, started = 0, time.process_time()
        for path in files:
            with pypdfium2.PdfDocument(path) as pdf:
                found = [read(page) for page in pdf]
                if read is ours:
                    columns.document("", found)
                pages += len(found)
        return pages / (time.process_time() - started)

    rate(peer)  # files in memory, libraries loaded
    mine, theirs = max(rate(ours) for _ in range(3)), max(rate(peer) for _ in range(3))
    return {"ours": mine, "peer": theirs, "unit": "pages/s", "ratio": theirs / mine, "peer_name": "pypdfium2, text alone"}


def _ocr_page(files: list[Path]) -> dict[str, object]:
    import numpy as np
    import pypdfium2
    from rapidocr import RapidOCR

    from proveout.documents import ocr

    pictures = []
    for path in files[:PAGES]:
        with pypdfium2.PdfDocument(path) as pdf:
            scale = ocr.RECOGNITION_SIDE / max(pdf[0].get_size())
            pictures.append(np.ascontiguousarray(pdf[0].render(scale=scale).to_numpy()[..., :3]))
    threads = {f"EngineConfig.onnxruntime.{name}_op_num_threads": 1 for name in ("intra", "inter")}
    engine = RapidOCR(params={"Global.log_level": "critical", **threads})

    def seconds(read: Callable[[np.ndarray], object]) -> float:
        read(pictures[0][:400])  # models loaded
        started = time.process_time()
        for picture in pictures:
            read(picture)
        return (time.process_time() - started) / len(pictures)

    mine = seconds(lambda picture: ocr.read_picture(picture, 612, 792))
    theirs = seconds(lambda picture: engine(picture, return_word_box=True))
    return {"ours": mine, "peer": theirs, "unit": "s", "ratio": mine / theirs, "peer_name": "RapidOCR()"}
