"""How a product search grows: `python -m tests.benchmarks search_growth`, sizes from 10^3 to 10^6, each in a new process.

Products with titles of eight words whose frequencies follow Zipf, descriptions of sixteen, a brand and a category, and vectors
in clusters, which are given, because encoding takes the same for every title (`encoder`). Building is everything else: terms,
vocabulary, keyword index, nearest products. A query is what proposes candidates and their columns, without encoder and trees,
which do not grow. Seconds of processor time, so that a busy machine changes little; memory is the process's largest.
Writes build/search_growth.json and .png. SIZES in the environment names other sizes: SIZES=1000,10000.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from tests.benchmarks.retrieval import _clustered, _written

from proveout.retrieval.encoder import Encoder
from proveout.search import Product, ProductIndex
from proveout.search.layers import EVERY_WORD, NEAREST, Candidates, by_keywords
from proveout.search.product_index import TITLE_TOKENS

SIZES = [int(size) for size in os.environ.get("SIZES", "1000,10000,100000,1000000").split(",")]
QUERIES = 50
MEASURES = {"build": "build, s", "query": "a query, s", "memory": "memory, GB"}
OUT = Path("build")


def run() -> dict[str, dict[str, Any]]:
    rows = []
    for size in SIZES:
        command = [sys.executable, "-m", "tests.benchmarks.search_growth", str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"    {rows[-1]}", flush=True)
        OUT.mkdir(exist_ok=True)
        (OUT / "search_growth.json").write_text(json.dumps(rows, indent=1))
    _draw(rows)
    first, last = rows[0], rows[-1]
    return {
        f"search_growth_{name}": {
            "ours": last[name], "peer": first[name], "unit": f"{text}, {last['products']:,} products",
            "ratio": last[name] / first[name] / (last["products"] / first["products"]),
            "peer_name": f"the same at {first['products']:,}; ratio 1 is linear",
        }
        for name, text in MEASURES.items()
    }  # fmt: skip


def of_size(size: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    titles, descriptions = _written(rng, size, 8), _written(rng, size, 16)
    products = [
        Product(str(row), title, f"brand{row % 97}", f"category{row % 31}", description)
        for row, (title, description) in enumerate(zip(titles, descriptions, strict=True))
    ]
    vectors, encoder = _clustered(rng, size), Encoder.load(tokens=TITLE_TOKENS)
    began = time.process_time()
    index = ProductIndex.build(products, encoder, vectors)
    built = time.process_time() - began
    asked, questions, times = _written(rng, QUERIES, 3), _clustered(rng, QUERIES), []
    for text, vector in zip(asked, questions, strict=True):
        began = time.process_time()
        query = index.vocabulary.understand(text)
        rows = [*by_keywords(index, query, EVERY_WORD), *index.nearest(vector, NEAREST)]
        candidates = Candidates(query, list(dict.fromkeys(rows)), vector, 1)
        candidates.columns(index, candidates.rows)
        times.append(time.process_time() - began)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"products": size, "build": built, "query": statistics.median(times), "memory": memory}


def _draw(rows: list[dict[str, float]]) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(MEASURES), figsize=(10, 3), layout="constrained")
    sizes = [row["products"] for row in rows]
    for ax, (name, text) in zip(axes, MEASURES.items(), strict=True):
        ax.loglog(sizes, [row[name] for row in rows], "o-", color="#2b6cb0")
        ax.loglog(sizes, [rows[-1][name] * size / sizes[-1] for size in sizes], "--", color="#a0aec0", label="linear")
        ax.set(title=text, xlabel="products")
        ax.legend(frameon=False, fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(OUT / "search_growth.png", dpi=120)


if __name__ == "__main__":
    print(json.dumps(of_size(int(sys.argv[1]))))
