"""The encoder beside plain torch, and a hybrid search beside Chroma alone, in one run.

`encoder`: texts of 128 tokens; the peer is transformers' BERT in float32, batch 16, as many threads.
`hybrid_search`: 40,000 vectors of 384 in clusters, and as many texts of 12 words with the frequencies of a language; ours
ranks by both and fuses, the peer asks a Chroma folder for the ten nearest vectors. `recall_at_10` counts against the exact ten.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proveout.retrieval.encoder import WIDTH, Encoder, _package_folder, on_grid
from proveout.retrieval.index import Index, IndexedText

TEXTS, QUESTIONS, NEAREST = 40_000, 100, 10


def run() -> dict[str, dict[str, Any]]:
    return {"encoder": encoder(), "hybrid_search": hybrid_search()}


def encoder() -> dict[str, Any]:
    import torch
    from transformers import AutoTokenizer, BertModel

    texts = [f"invoice {number} for advertising on channel {number % 7} " * 24 for number in range(64)]
    ours = Encoder.load(tokens=128)
    peer = BertModel.from_pretrained(_package_folder(), add_pooling_layer=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(_package_folder())

    def our_vectors() -> Any:
        ours._vector.cache_clear()  # every text is computed in every round
        return ours.encode(texts)

    def peers_vectors() -> Any:
        found = []
        with torch.inference_mode():
            for at in range(0, len(texts), 16):
                batch = tokenizer(texts[at : at + 16], padding=True, truncation=True, max_length=128, return_tensors="pt")
                mean = peer(**batch).last_hidden_state.mean(1)  # nothing is padded: every text is cut to 128
                found.append(torch.nn.functional.normalize(mean))
        return torch.cat(found).numpy()

    cosine = float((our_vectors() * peers_vectors()).sum(1).min())
    mine, theirs = _alternating(our_vectors, peers_vectors, 3)
    rate, peer_rate = len(texts) / mine, len(texts) / theirs
    return {
        "ours": rate, "peer": peer_rate, "unit": "texts/s of 128 tokens", "ratio": peer_rate / rate,
        "peer_name": "transformers BertModel, torch fp32, batch 16", "worst_cosine": cosine,
    }  # fmt: skip


def hybrid_search() -> dict[str, Any]:
    import chromadb
    from chromadb.config import Settings

    rng = np.random.default_rng(0)
    vectors, questions = _clustered(rng, TEXTS), _clustered(rng, QUESTIONS)
    texts, asked = _written(rng, TEXTS, 12), _written(rng, QUESTIONS, 4)
    index = Index(Encoder.load())
    index.fill([IndexedText(text, text, str(at), {}) for at, text in enumerate(texts)], saved=vectors)
    everything = np.ones(TEXTS, dtype=np.bool_)
    with tempfile.TemporaryDirectory() as folder:
        client = chromadb.PersistentClient(str(Path(folder)), settings=Settings(anonymized_telemetry=False))
        collection = client.create_collection("texts", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None)
        for at in range(0, TEXTS, 2000):
            rows = range(at, at + 2000)
            collection.add(ids=[str(row) for row in rows], embeddings=vectors[rows.start : rows.stop])
        mine, theirs, right, peers_right = [], [], 0, 0
        for question, words in zip(questions, asked, strict=True):
            seconds, _ = _timed(lambda q=question, w=words: index.rank(q, w, NEAREST, everything))
            mine.append(seconds)
            seconds, answer = _timed(lambda q=question: collection.query(query_embeddings=[q], n_results=NEAREST))
            theirs.append(seconds)
            exact = set(np.argsort(-(vectors @ question), kind="stable")[:NEAREST].tolist())
            right += len(exact & {found.row for found in index.rank(question, words, NEAREST, everything, ["vectors"])})
            peers_right += len(exact & {int(name) for name in answer["ids"][0]})
    ours, peer = statistics.median(mine), statistics.median(theirs)
    return {
        "ours": ours, "peer": peer, "unit": f"s p50 at {TEXTS:,} x {WIDTH}, vectors in clusters", "ratio": ours / peer,
        "peer_name": "Chroma alone, a folder", "recall_at_10": right / QUESTIONS / NEAREST,
        "peer_recall_at_10": peers_right / QUESTIONS / NEAREST,
    }  # fmt: skip


def _clustered(rng: np.random.Generator, count: int) -> Any:
    """Unit vectors around 500 centres, about as far from their centre as a centre from another, on few main directions."""
    centres = np.random.default_rng(1).normal(size=(500, WIDTH))
    weight = np.geomspace(1, 0.1, WIDTH)
    vectors = np.empty((count, WIDTH), dtype=np.float32)
    for rows in np.array_split(np.arange(count), -(-count // TEXTS)):
        part = (centres[rng.integers(500, size=len(rows))] + 0.7 * rng.normal(size=(len(rows), WIDTH))) * weight
        vectors[rows] = on_grid((part / np.linalg.norm(part, axis=1, keepdims=True)).astype(np.float32))
    return vectors


def _written(rng: np.random.Generator, count: int, words: int) -> list[str]:
    """Texts of words whose frequencies follow Zipf."""
    numbers = np.minimum(rng.zipf(1.3, size=(count, words)), 50_000)
    return [" ".join(f"w{number}" for number in row) for row in numbers]


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    answer = work()
    return time.perf_counter() - began, answer


def _alternating(ours: Callable[[], Any], peer: Callable[[], Any], times: int) -> Sequence[float]:
    """The best of several runs of each, by turns, so that a busy moment does not fall on one of them."""
    runs = [(_timed(ours)[0], _timed(peer)[0]) for _ in range(times)]
    return [min(each) for each in zip(*runs, strict=True)]
