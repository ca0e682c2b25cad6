"""The two sides of `search_text_to_results`, ours and sentence-transformers with Chroma, each in processes of its own.

A side imports what its search needs and nothing else, because the first answer of a new process waits for imports. Beside the
seconds stands the processor time, whose ratio depends less on what else the machine does.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.search import Product

ROUNDS = 5  # of the queries, warm
STARTS = 3  # of a process, cold


def speed(folder: Path, products: "Sequence[Product]", queries: Sequence[str]) -> dict[str, Any]:
    """Both searches, each in processes of its own; the folder has ours, the peer's is made here."""
    from proveout.retrieval.encoder import _package_folder

    theirs = [str(folder / "theirs"), str(_package_folder())]
    _child("prepare", [*theirs, json.dumps([product.title or product.id for product in products])])
    results = {}
    for state in ("warm", "cold"):
        times = STARTS if state == "cold" else 1
        asked = queries if state == "warm" else queries[:1]
        pairs = [
            (_child("ours", [str(folder / "ours"), json.dumps(asked)]), _child("theirs", [*theirs, json.dumps(asked)]))
            for _ in range(times)
        ]
        ours, peer = (min(each[at][state] for each in pairs) for at in (0, 1))
        work, peers_work = (min(each[at][f"{state}_work"] for each in pairs) for at in (0, 1))
        results[f"search_text_to_results_{state}"] = {
            "ours": ours, "peer": peer, "unit": "s from text to results" + (", p50" if state == "warm" else ", new process"),
            "ratio": ours / peer, "peer_name": "sentence-transformers + Chroma",
            "processor_ratio": work / peers_work,
        }  # fmt: skip
    return results


def _child(name: str, arguments: Sequence[str]) -> dict[str, float]:
    """Run one side in a process of its own; its last line is what it measured, and `cold` the whole process."""
    began, before = time.perf_counter(), _work_of_children()
    command = [sys.executable, "-m", "tests.benchmarks.search_speed", name]
    done = subprocess.run(command, input=json.dumps(arguments), capture_output=True, text=True, check=True)
    cold = {"cold": time.perf_counter() - began, "cold_work": _work_of_children() - before}
    return {**json.loads(done.stdout.splitlines()[-1]), **cold}


def _work_of_children() -> float:
    """Seconds of processor time."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _ours(folder: str, queries: str) -> Iterator[tuple[float, float]]:
    from proveout.search.product_search import ProductSearch

    search = ProductSearch.load(Path(folder))
    for number, query in enumerate(_rounds(json.loads(queries))):
        if number:
            search.index._text_encoder._vector.cache_clear()  # every query is encoded, in every round
        began = _clocks()
        search.search(query)
        yield _since(began)


def _theirs(folder: str, model: str, queries: str) -> Iterator[tuple[float, float]]:
    import chromadb
    from sentence_transformers import SentenceTransformer

    encoder, collection = SentenceTransformer(model, device="cpu"), chromadb.PersistentClient(folder).get_collection("titles")
    for query in _rounds(json.loads(queries)):
        began = _clocks()
        vector = encoder.encode([query], normalize_embeddings=True)
        collection.query(query_embeddings=vector.tolist(), n_results=10)
        yield _since(began)


def _prepare(folder: str, model: str, titles: str) -> Iterator[tuple[float, float]]:
    import chromadb
    from sentence_transformers import SentenceTransformer

    texts = json.loads(titles)
    vectors = SentenceTransformer(model, device="cpu").encode(texts, normalize_embeddings=True, batch_size=64)
    client = chromadb.PersistentClient(folder)
    collection = client.create_collection("titles", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None)
    for at in range(0, len(texts), 2000):
        rows = range(at, min(at + 2000, len(texts)))
        collection.add(
            ids=[str(row) for row in rows], embeddings=vectors[rows.start : rows.stop], documents=texts[at : at + 2000]
        )
    yield 0.0, 0.0


def _clocks() -> tuple[float, float]:
    """Seconds, and seconds of processor time."""
    return time.perf_counter(), time.process_time()


def _since(began: tuple[float, float]) -> tuple[float, float]:
    now = _clocks()
    return now[0] - began[0], now[1] - began[1]


def _rounds(queries: Sequence[str]) -> list[str]:
    """All queries several times, or a single one once."""
    return [*queries] * (ROUNDS if len(queries) > 1 else 1)


if __name__ == "__main__":
    sides = {"ours": _ours, "theirs": _theirs, "prepare": _prepare}
    times = list(sides[sys.argv[1]](*json.load(sys.stdin)))
    seconds, work = (statistics.median(each) for each in zip(*times, strict=True))
    print(json.dumps({"warm": seconds, "warm_work": work}))
