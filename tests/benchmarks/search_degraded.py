"""A search without its vector store, on the log of the drawn shop: `python -m tests.benchmarks.search_degraded`, a minute.

Each different text is asked twice, with vectors and with a store that nobody runs. An answer counts as right if one of its
products fits, no result if the shop has none that does. Writes build/search_degraded.json.
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from proveout.mission import load
from proveout.search import Answer, ProductIndex
from proveout.search.judgements import fits
from proveout.search.learning import examples, learn
from proveout.search.synthetic import draw
from proveout.search.synthetic_log import draw_log
from proveout.search.vector_store import VectorStore

ROOT = Path(__file__).parents[2]


def run() -> dict[str, dict[str, object]]:
    shop, log = draw(), draw_log()
    asked = Counter(request.query for request in log.requests)
    index = ProductIndex.build(shop.products)
    search = learn(index, examples(index, shop.judgements), load(ROOT / "pipelines" / "catalog" / "mission.yaml").slo)

    def right(answer: Answer, text: str) -> bool:
        judged = log.judgements[text]
        return fits([hit.product.id for hit in answer.hits], judged) if answer.hits else not max(judged.values())

    whole = {text: search.search(text) for text in log.judgements}
    index.store = VectorStore("http://127.0.0.1:9", index.vectors, index.encoder_id)
    without = {text: search.search(text) for text in log.judgements}

    def row(answers: dict[str, Answer], chosen: Callable[[str], bool]) -> dict[str, float]:
        part = {text: answer for text, answer in answers.items() if chosen(text)}
        confidence = float(np.mean([answer.confidence for answer in part.values()]))
        each = [right(answer, text) for text, answer in part.items()]
        return {
            "queries": len(part), "confidence": confidence, "right": float(np.mean(each)),
            "right_by_request": float(np.average(each, weights=[asked[text] for text in part])),
        }  # fmt: skip

    rows = {
        f"{when}: {route}": row(answers, lambda text, answers=answers, route=route: answers[text].route == route)
        for when, answers in (("with vectors", whole), ("without", without))
        for route in sorted({answer.route for answer in answers.values()})
    }
    ranked = {text for text, answer in whole.items() if answer.route == "ranked"}
    rows |= {"ranked, without": row(without, lambda text: text in ranked)}
    for name, values in rows.items():
        right_of = f"{values['right']:.3f} of them right, {values['right_by_request']:.3f} of their requests"
        print(f"{name:36} {values['queries']:4} queries, {values['confidence']:.3f} sure, {right_of}")
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "search_degraded.json").write_text(json.dumps(rows, indent=1))
    ours, peer = rows["ranked, without"]["right"], rows["with vectors: ranked"]["right"]
    about = {"unit": "share of answers that are right", "ratio": peer / ours, "peer_name": "the same search with its vectors"}
    return {"search_degraded": {"ours": ours, "peer": peer, **about}}


if __name__ == "__main__":
    run()
