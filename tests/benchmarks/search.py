"""Product search on a judged electronics catalogue (chorus: 19,406 products, 68 queries), and its speed beside Chroma.

`search_ndcg`: nDCG@10 over the queries that have a fitting product; unjudged products count as 0. Five folds over groups of
queries, queries that share a word in one group; the ranker's settings are chosen, and its routes calibrated, within the folds
that it learns from. Several seeds of folds and trees; intervals: 95 % of 2,000 bootstrap samples of queries. The peer is BM25
over title, description, brand and model with stemming, as tantivy ranks it.
`search_zero_results`: queries without a result, all and those that some product fits, and without a fitting one among the first
ten, beside keywords of which every one must match, in three sets of fields (`FIELDS`); each query as judged and with one typing
error (two letters changed places). Shares of the peers have exact intervals.
`search_no_result`: precision of "no result", with its exact interval. `search_cheap_route`: share of queries that keywords
answer alone. `search_text_to_results`: warm in one process, cold with a new process; the peer is sentence-transformers with
Chroma, and all seconds from text to results.
build/search.json keeps every number. A quarter of an hour.
"""

import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.benchmarks import commit
from tests.benchmarks.search_speed import speed

from proveout.calibration.thresholds import precision_bounds
from proveout.mission import SLO
from proveout.search import Product, ProductIndex, read_catalogue, read_judgements
from proveout.search.judgements import Judgements, condensed, fits, groups_of, ndcg
from proveout.search.learning import Example, calibrate, cross_fitted, examples, learn, train
from proveout.search.product_search import KEYWORDS_SUFFICE, says_nothing_fits
from proveout.search.ranker import Settings

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("PROVEOUT_DATA", ROOT.parent / "shared" / "data")) / "chorus"
OUT = Path("build/search.json")
FOLDS, SEEDS, SAMPLES = 5, (1, 2, 3), 2000
SETTINGS = {  # the ranker's, among which the inner folds choose
    "5 leaves": Settings(),
    "7 leaves, most columns": Settings(leaves=7, rounds=300, columns_share=0.7),
}
USUAL = "title, description, brand, model"
FIELDS: Mapping[str, Callable[[Product], str]] = {  # of the peers
    "title": lambda product: product.title,
    USUAL: lambda product: f"{product.title} {product.description} {product.brand} {product.attributes.get('model', '')}",
    "all, with attributes": lambda product: " ".join(
        (product.title, product.description, product.brand, product.category, product.attribute_text)
    ),
}
PROMISE = SLO(precision=0.9, confidence=0.9, lowest_confidence=0.5)


@dataclass(frozen=True)
class Outcome:
    """One query, answered by a search that did not learn from its group."""

    seed: int
    query: str
    answerable: bool  # some product was judged above 0
    ndcg: float
    condensed: float
    keywords: float  # nDCG@10 of keywords alone
    settings: str
    nothing: bool  # the answer was "no result"
    right: bool  # one of the first ten fits
    cheap: bool  # keywords are certified to suffice
    cheap_at_equal: bool  # they suffice on the learned-from queries, though it may not be certified


def run() -> dict[str, dict[str, Any]]:
    if not DATA.exists():
        sys.exit(f"{DATA}: the judged catalogue is not here; set PROVEOUT_DATA to the folder that contains `chorus`")
    products, judgements = read_catalogue(DATA), read_judgements(DATA / "ratings.csv")
    began = time.perf_counter()
    index = ProductIndex.build(products)
    print(f"    index of {len(index):,} products: {time.perf_counter() - began:.0f} s")
    peers = {name: plain_bm25(products, text) for name, text in FIELDS.items()}
    judged = examples(index, judgements)
    outcomes = [outcome for seed in SEEDS for outcome in of_seed(judged, seed)]
    ranked = {query: ndcg(peers[USUAL](query, False, 10), judgements[query]) for query in judgements}
    quality = {
        "search_ndcg": of_ndcg(outcomes, ranked),
        "search_zero_results": of_zero_results(index, outcomes, peers, judgements),
        "search_no_result": of_no_result(outcomes),
        "search_cheap_route": of_cheap_route(outcomes),
    }
    with tempfile.TemporaryDirectory() as folder:
        learn(index, judged, PROMISE).save(Path(folder) / "ours")
        quality |= speed(Path(folder), products, list(judgements))
    OUT.write_text(json.dumps({"commit": commit(), "outcomes": [vars(each) for each in outcomes], **quality}, indent=1))
    return quality


def of_seed(judged: Sequence[Example], seed: int) -> Iterator[Outcome]:
    """Every query once, from five folds of groups."""
    groups: defaultdict[int, list[Example]] = defaultdict(list)
    for example, group in zip(judged, groups_of([each.query for each in judged]).values(), strict=True):
        groups[group].append(example)
    order = [list(groups.values())[at] for at in np.random.default_rng(seed).permutation(len(groups))]
    folds: list[list[Example]] = [[] for _ in range(FOLDS)]
    for members in sorted(order, key=len, reverse=True):
        min(folds, key=len).extend(members)
    for fold in folds:
        learned = [example for other in folds if other is not fold for example in other]
        yield from of_fold(learned, fold, seed)


def of_fold(learned: Sequence[Example], fold: Sequence[Example], seed: int) -> Iterator[Outcome]:
    choices = {name: cross_fitted(learned, replace(settings, seed=seed, copies=1)) for name, settings in SETTINGS.items()}
    means = {name: _mean([ndcg(one.ranking, one.example.judged) for one in each]) for name, each in choices.items()}
    name = max(means, key=means.__getitem__)
    scored = cross_fitted(learned, replace(SETTINGS[name], seed=seed))
    calibration = calibrate(scored, PROMISE)
    equal = threshold_at_equal_ndcg(
        [(one.example.typicality, keyword_ndcg(one.example), ndcg(one.ranking, one.example.judged)) for one in scored]
    )
    ranker = train(learned, replace(SETTINGS[name], seed=seed))
    for example in fold:
        ranking, best = example.ranking(ranker)
        yield Outcome(
            seed=seed,
            query=example.query,
            answerable=max(example.judged.values()) > 0,
            ndcg=ndcg(ranking, example.judged),
            condensed=ndcg(condensed(ranking, example.judged), example.judged),
            keywords=keyword_ndcg(example),
            settings=name,
            nothing=says_nothing_fits(calibration, best),
            right=fits(ranking, example.judged),
            cheap=calibration.automates(KEYWORDS_SUFFICE, example.typicality),
            cheap_at_equal=example.typicality >= equal,
        )


def keyword_ndcg(example: Example) -> float:
    return ndcg(example.by_keywords, example.judged)


def threshold_at_equal_ndcg(scored: Sequence[tuple[float, float, float]]) -> float:
    """The lowest score above which keywords lose nothing on average; (score, nDCG of keywords, of the ranker)."""
    usable = sorted((each for each in scored if not math.isnan(each[2])), reverse=True)
    gains = np.cumsum([keywords - ranked for _, keywords, ranked in usable])
    equal = [score for (score, _, _), gain in zip(usable, gains, strict=True) if gain >= 0]
    return min(equal, default=math.inf)


def of_ndcg(outcomes: Sequence[Outcome], bm25: Mapping[str, float]) -> dict[str, Any]:
    answerable = [each for each in outcomes if each.answerable]
    ours, peer = _mean([each.ndcg for each in answerable]), _mean(list(bm25.values()))
    by_query: defaultdict[str, list[float]] = defaultdict(list)
    for each in answerable:
        by_query[each.query].append(each.ndcg)
    means = {query: statistics.mean(values) for query, values in by_query.items()}
    return {
        "ours": ours, "peer": peer, "unit": "nDCG@10", "ratio": peer / ours, "peer_name": "BM25 with stemming",
        "interval": interval(list(means.values())), "peer_interval": interval([bm25[query] for query in means]),
        "gain_interval": interval([means[query] - bm25[query] for query in means]),
        "seeds": {seed: _mean([each.ndcg for each in answerable if each.seed == seed]) for seed in SEEDS},
        "condensed": _mean([each.condensed for each in answerable]),
        "keywords_alone": _mean([each.keywords for each in answerable]),
        "with_no_result_as_0": _mean([0.0 if each.nothing else each.ndcg for each in answerable]),
        "settings": {name: sum(each.settings == name for each in outcomes) for name in SETTINGS}, "queries": len(means),
    }  # fmt: skip


def of_zero_results(
    index: ProductIndex,
    outcomes: Sequence[Outcome],
    peers: Mapping[str, Callable[[str, bool, int], list[str]]],
    judgements: Judgements,
) -> dict[str, Any]:
    answerable = [query for query, judged in judgements.items() if max(judged.values()) > 0]
    misspelt = {query: mistyped(query, at) for at, query in enumerate(answerable)}
    understood = [index.vocabulary.understand(query) for query in misspelt.values()]
    ours = {
        "of_all": _mean([float(each.nothing) for each in outcomes]),
        "of_answerable": _mean([float(each.nothing) for each in outcomes if each.answerable]),
        "withheld_by_seed": [sum(each.nothing for each in outcomes if each.answerable and each.seed == seed) for seed in SEEDS],
        "without_fit": _mean([float(each.nothing or not each.right) for each in outcomes if each.answerable]),
        "mistyped_without_a_keyword_result": sum(not index.with_words(query, 1)[0] for query in understood),
    }
    rows = {}
    for name, peer in peers.items():
        empty = [query for query in judgements if not peer(query, True, 1)]
        unfit = [query for query in answerable if not fits(peer(query, True, 10), judgements[query])]
        rows[name] = {
            "of_all": _exact(len(empty), len(judgements)),
            "of_answerable": _exact(len(set(empty) & set(answerable)), len(answerable)),
            "without_fit": _exact(len(unfit), len(answerable)),
            "fewer_without_fit_here": interval([_lost(outcomes, query) - (query in unfit) for query in answerable]),
            "mistyped": _exact(sum(not peer(query, True, 1) for query in misspelt.values()), len(answerable)),
        }
    peer = rows[USUAL]["of_answerable"]["share"]
    return {
        "ours": ours["of_answerable"], "peer": peer, "unit": "share of answerable queries without a result",
        "ratio": ours["of_answerable"] / peer if peer else math.nan, "peer_name": f"every word in {USUAL}",
        "queries": len(judgements), "answerable": len(answerable), "here": ours, "every_word_in": rows,
    }  # fmt: skip


def _lost(outcomes: Sequence[Outcome], query: str) -> float:
    """Share of the seeds in which a query has no fitting product among its first ten."""
    return _mean([float(each.nothing or not each.right) for each in outcomes if each.query == query])


def _exact(count: int, of: int) -> dict[str, Any]:
    """A share with its exact 95 % interval."""
    low, high = precision_bounds(of, of - count, 0.975)
    return {"count": count, "share": count / of, "interval": [low, high]}


def of_no_result(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    withheld = [each for each in outcomes if each.nothing]
    by_seed = [[each for each in withheld if each.seed == seed] for seed in SEEDS]
    wrong = [sum(each.right for each in some) for some in by_seed]
    bounds = [precision_bounds(len(some), errors, 0.975) for some, errors in zip(by_seed, wrong, strict=True)]
    unanswerable = [each for each in outcomes if not each.answerable]
    precision = 1 - sum(wrong) / len(withheld) if withheld else math.nan
    base = _mean([float(not each.right) for each in outcomes])
    return {
        "ours": precision, "peer": base, "unit": "precision of no result", "ratio": base / precision if withheld else math.nan,
        "peer_name": "saying so always", "withheld": [len(some) for some in by_seed], "wrongly": wrong, "intervals": bounds,
        "recall": _mean([float(each.nothing) for each in unanswerable]), "unanswerable": len(unanswerable) // len(SEEDS),
        "queries_withheld": sorted({each.query for each in withheld}),
    }  # fmt: skip


def of_cheap_route(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    answerable = [each for each in outcomes if each.answerable]
    mixed = _mean([each.keywords if each.cheap_at_equal else each.ndcg for each in answerable])
    return {
        "ours": mixed, "peer": _mean([each.ndcg for each in answerable]), "unit": "nDCG@10 with the cheap route",
        "ratio": _mean([each.ndcg for each in answerable]) / mixed, "peer_name": "re-ranking every query",
        "share": _mean([float(each.cheap_at_equal) for each in outcomes]),
        "share_certified": _mean([float(each.cheap) for each in outcomes]),
    }  # fmt: skip


def mistyped(query: str, seed: int) -> str:
    """Two neighbouring letters of the longest word changed places; short words stay."""
    word = max(query.split(), key=len)
    if len(word) < 4:
        return query
    at = 1 + int(np.random.default_rng(seed).integers(len(word) - 2))
    return query.replace(word, word[:at] + word[at + 1] + word[at] + word[at + 2 :])


def plain_bm25(products: Sequence[Product], text: Callable[[Product], str]) -> Callable[[str, bool, int], list[str]]:
    """The peer: (query, whether all words must match, how many) to ids; one text of each product."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("row", stored=True)
    builder.add_text_field("text", tokenizer_name="en_stem")
    peer = tantivy.Index(builder.build())
    writer = peer.writer(num_threads=1)
    for row, product in enumerate(products):
        writer.add_document(tantivy.Document(row=row, text=text(product)))
    writer.commit()
    peer.reload()
    searcher = peer.searcher()

    def ranking(query: str, every: bool, count: int) -> list[str]:
        parsed, _ = peer.parse_query_lenient(query, ["text"], conjunction_by_default=every)
        return [products[searcher.doc(address)["row"][0]].id for _, address in searcher.search(parsed, count).hits]

    return ranking


def _mean(values: Sequence[float]) -> float:
    """Of those that are defined."""
    defined = [value for value in values if not math.isnan(value)]
    return statistics.mean(defined) if defined else math.nan


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % of the means of bootstrap samples."""
    rng = np.random.default_rng(0)
    means = np.array(values)[rng.integers(len(values), size=(SAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
