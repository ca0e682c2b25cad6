"""Receipts of shops and restaurants, with a mission and prompts and no code of their own (tests/data/receipts).

`receipts_f1`: micro-F1 of company, date, address and total, each of the 626 receipts of SROIE (ICDAR 2019, training part) read
by a model that learned from the other four folds; values compared as in VRDU (vrdu.py). The words are those of the data set's
own OCR, which gives lines; words are cut out of a line by their share of its characters. The peer's number is the one that its
authors published for the test part of the data set, with the same OCR: LayoutLMv2-base (arXiv:2012.14740).
`python -m tests.benchmarks.receipts layout_encoder` takes another tier than the mission's, here with half an hour of training.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tests.benchmarks import vrdu

from proveout.records import Document, Source

ROOT = Path(__file__).parents[2]
MISSION = ROOT / "tests" / "data" / "receipts"
DATA = Path(os.environ.get("PROVEOUT_DATA", ROOT.parent / "shared" / "data")) / "sroie"
FOLDS, SEED = 5, 0
PEER = 0.9625
GAP = 0.25  # of a line's height, between words of a line


def run(tier: str = "ranker") -> dict[str, dict[str, object]]:
    right, answered, labelled = Counter[str](), Counter[str](), Counter[str]()
    for name, outcome in outcomes(tier=tier):
        right[name] += outcome is True
        answered[name] += outcome is not None
        labelled[name] += 1
    for name in labelled:
        print(f"    {name}: {right[name]} of {labelled[name]} right, {answered[name]} answered")
    f1 = 2 * right.total() / (answered.total() + labelled.total())
    return {
        "receipts_f1": {"ours": f1, "peer": PEER, "unit": "F1", "ratio": PEER / f1, "peer_name": "LayoutLMv2-base, published"}
    }


def outcomes(most: int | None = None, tier: str = "ranker") -> Iterator[tuple[str, bool | None]]:
    """Of each labelled field of each receipt: whether the answer is right, None without an answer. `most`: receipts."""
    from proveout import mission as missions
    from proveout.models import Extractor
    from proveout.prompts import Prompts

    mission = missions.load(MISSION / "mission.yaml").model_copy(update={"tiers": (tier, "person")})
    prompts = Prompts.load(MISSION / "prompts", mission)
    labels = {path.stem: json.loads(path.read_text(errors="replace")) for path in sorted((DATA / "key").glob("*.json"))}
    documents = [document(path) for path in sorted((DATA / "box").iterdir()) if path.stem in labels][:most]
    fold = np.random.default_rng(SEED).permutation(len(documents)) % FOLDS
    for number in range(FOLDS):
        learned = [one for one, its in zip(documents, fold, strict=True) if its != number]
        held = [one for one, its in zip(documents, fold, strict=True) if its == number]
        for read in Extractor.train(learned, labels, mission, prompts).extract(held):
            for name, label in labels[read.document].items():
                kind, value = mission.kinds[name], read.fields.get(name)
                if vrdu.same(kind, label, label, day_first=True):  # a label that can be compared
                    yield name, vrdu.same(kind, label, value.text, day_first=True) if value else None


def document(path: Path) -> Document:
    """A receipt from its lines: eight coordinates in pixels, and the text."""
    from proveout.documents import columns

    texts: list[str] = []
    boxes: list[tuple[float, float, float, float]] = []
    for line in path.read_text(errors="replace").splitlines():
        *corners, text = line.split(",", 8)
        if len(corners) == 8 and text.strip():
            x, y = np.array(corners, dtype=np.float64).reshape(4, 2).T
            texts += text.split()
            boxes += [(left, y.min(), right, y.max()) for left, right in _words(text, x.min(), x.max(), GAP * np.ptp(y))]
    array = np.array(boxes).reshape(-1, 4)
    width, height = array[:, 2:].max(axis=0).tolist()
    return columns.document(path.stem, [columns.page_columns(width, height, texts, array, source=Source.OCR)])


def _words(text: str, left: float, right: float, gap: float) -> list[tuple[float, float]]:
    """Left and right edge of each word of a line; a line of OCR is one run of text, however wide its letters are."""
    starts, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        starts.append(left + (right - left) * at / len(text))
        at += len(word)
    return list(zip(starts, [*(start - gap for start in starts[1:]), right], strict=True))


if __name__ == "__main__":
    print(run(*sys.argv[1:]))
