"""Learn from judgements: the order of products, and what the routes may rely on. Entry point: `learn`.

Every confidence rests on cross-fitting: a query is scored by a ranker that learned from none of its group, and queries that
share a word, once their spelling is corrected, are one group. The released ranker learns from all queries, as `calibration`
describes.
Not covered: bias in what was judged. Products that nobody judged count as products that do not fit.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from proveout.calibration import Calibration
from proveout.corpus.folds import folds
from proveout.documents.originals import link
from proveout.errors import BadLabels, BadModel
from proveout.files import write_whole
from proveout.mission import SLO
from proveout.models.tiers import FOLDS
from proveout.search import layers
from proveout.search.case import case_of
from proveout.search.features import Floats, typicality
from proveout.search.judgements import DEPTH, FEWEST_QUERIES, Judgements, fits, groups_of, ndcg
from proveout.search.product_index import ProductIndex
from proveout.search.product_search import (
    KEYWORDS_FIT,
    KEYWORDS_SUFFICE,
    NOTHING_FITS,
    RANKER,
    SOMETHING_FITS,
    ProductSearch,
    Route,
    says_nothing_fits,
)
from proveout.search.ranker import ProductRanker, Settings
from proveout.search.terms import terms_of

EQUAL = 0.02  # nDCG; keywords that lose no more suffice


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A judged query, and what keywords alone answer."""

    query: str
    corrected: str  # as searched for
    judged: Mapping[str, float]
    by_keywords: Sequence[str]  # ids, best first
    typicality: float  # of the first keyword results


@dataclass(frozen=True, slots=True, kw_only=True)
class Example(Judged):
    """A judged query with everything that learning and scoring need; computed once."""

    ids: Sequence[str]  # of the products: the candidates first, then others that were judged
    candidates: int
    inputs: Floats  # (products, len(features.NAMES))
    ratings: Floats  # (products,)

    def ranking(self, ranker: ProductRanker) -> tuple[list[str], float]:
        """The candidates' ids, best first, and the highest expected gain; 0 without a candidate."""
        gains = ranker.gains(self.inputs[: self.candidates])
        return [self.ids[at] for at in np.argsort(-gains, kind="stable")], float(gains.max(initial=0.0))


@dataclass(frozen=True, slots=True)
class Scored:
    """An example and how a ranker that did not learn from it ranks its candidates."""

    example: Judged
    ranking: Sequence[str]  # ids, best first
    best_gain: float  # the highest expected gain of a candidate
    fold: int  # in which it was scored

    @property
    def something_fits(self) -> bool:
        return fits(self.ranking, self.example.judged)

    @property
    def keywords_suffice(self) -> bool:
        """Whether keywords alone rank as well. Where no product fits, nothing suffices."""
        judged = self.example.judged
        mine = ndcg(self.example.by_keywords, judged)
        return fits(self.example.by_keywords, judged) and mine >= ndcg(self.ranking, judged) - EQUAL


def examples(index: ProductIndex, judgements: Judgements) -> list[Example]:
    """One of each judged query. Raises BadLabels if a judged product is not in the catalogue, or a query has no word."""
    row_of = {product.id: row for row, product in enumerate(index.products)}
    return [_example(index, query, judged, row_of) for query, judged in judgements.items()]


def _example(index: ProductIndex, text: str, judged: Mapping[str, float], row_of: Mapping[str, int]) -> Example:
    query = index.vocabulary.understand(text)
    if missing := sorted(set(judged) - set(row_of)):
        raise BadLabels(f"query {text!r} judges {missing[0]!r}, which is not in the catalogue; remove it, or add the product")
    if not query.needs:
        raise BadLabels(f"the judged query {text!r} has no word; remove it")
    candidates = layers.Candidates.of(index, query)
    rows = list(dict.fromkeys([*candidates.rows, *(row_of[id] for id in judged)]))
    keywords = layers.by_keywords(index, query, DEPTH)
    ids = [index.products[row].id for row in rows]
    return Example(
        query=text,
        corrected=query.corrected,
        judged=judged,
        ids=ids,
        candidates=len(candidates.rows),
        inputs=candidates.columns(index, rows),
        ratings=np.array([judged.get(id, 0.0) for id in ids]),
        by_keywords=[index.products[row].id for row in keywords],
        typicality=typicality(index, query, keywords),
    )


def learn(index: ProductIndex, judged: Sequence[Example], slo: SLO, settings: Settings | None = None) -> ProductSearch:
    """A search that ranks as these queries were judged. Raises BadLabels if they are fewer than two unrelated ones."""
    settings = settings or Settings()
    calibration = calibrate(cross_fitted(judged, settings), slo)  # first: it says if they are too few
    return ProductSearch(index, train(judged, settings), calibration)


def cross_fitted(
    judged: Sequence[Example],
    settings: Settings,
    rankers: list[ProductRanker] | None = None,
    unscored: Collection[str] = (),
) -> list[Scored]:
    """Each example, ranked by what was learned from the other folds; in the order of the folds, whose `rankers` are added.

    `unscored`: queries that are learned from, but not scored. A fold learns from those that share no word with its own queries.
    """
    if not judged:
        raise BadLabels("no query is judged; judge some: a CSV with query, docid and rating")
    by_query = {example.query: example for example in judged if example.query not in unscored}
    groups = groups_of(dict.fromkeys(example.corrected for example in by_query.values()))
    parts = folds(list(by_query), (), {query: groups[one.corrected] for query, one in by_query.items()}, enough=math.inf)
    if len(parts) < FEWEST_QUERIES:
        raise BadLabels(f"{len(by_query)} judged queries that all share words; judge queries for other products, too")
    others = [example for example in judged if example.query not in by_query]
    scored: list[Scored] = []
    for fold, part in enumerate({query for group in part for query in group} for part in parts):
        words = {term for query in part for term in terms_of(by_query[query].corrected)}
        learned = [example for query, example in by_query.items() if query not in part]
        ranker = train([*learned, *(one for one in others if words.isdisjoint(terms_of(one.corrected)))], settings)
        if rankers is not None:
            rankers.append(ranker)
        scored += [Scored(by_query[query], *by_query[query].ranking(ranker), fold) for group in parts[fold] for query in group]
    return scored


def calibrate(scored: Sequence[Scored], slo: SLO) -> Calibration:
    """What the routes may rely on, certified at the precision and confidence of the SLO where these queries prove it."""
    return Calibration.fit(
        {
            KEYWORDS_SUFFICE: [(one.example.typicality, one.keywords_suffice) for one in scored],
            SOMETHING_FITS: [(one.best_gain, one.something_fits) for one in scored],
            NOTHING_FITS: [(1 - one.best_gain, not one.something_fits) for one in scored],
            KEYWORDS_FIT: [(one.example.typicality, fits(one.example.by_keywords, one.example.judged)) for one in scored],
        },
        slo,
    )


def route_of(one: Scored, calibration: Calibration) -> Route:
    """The route that `ProductSearch.search` takes with these scores."""
    if calibration.automates(KEYWORDS_SUFFICE, one.example.typicality):
        return Route.KEYWORDS
    return Route.NOTHING if says_nothing_fits(calibration, one.best_gain) else Route.RANKED


def routed(scored: Sequence[Scored], slo: SLO) -> list[tuple[Scored, Route]]:
    """Each query and its route by a calibration on the other folds, so that no query is judged by a threshold set with it.

    The scores of those folds are from rankers that learned from this one, too; only a nested cross-validation would avoid that.
    """
    calibrations = _on_other_folds(scored, slo)
    return [(one, route_of(one, calibrations[one.fold])) for one in scored]


def unattended(scored: Sequence[Scored], slo: SLO) -> list[tuple[Scored, bool]]:
    """The queries of `routed` whose answer is certified, so that no person judges it, and whether each answer is right.

    An answer is right if one of its products fits, and no result if none of the first ten would have fitted.
    """
    calibrations, result = _on_other_folds(scored, slo), []
    for one in scored:
        calibration = calibrations[one.fold]
        match route_of(one, calibration):
            case Route.KEYWORDS:
                result.append((one, fits(one.example.by_keywords, one.example.judged)))
            case Route.NOTHING if calibration.automates(NOTHING_FITS, 1 - one.best_gain):
                result.append((one, not one.something_fits))
            case Route.RANKED if calibration.automates(SOMETHING_FITS, one.best_gain):
                result.append((one, one.something_fits))
    return result


def _on_other_folds(scored: Sequence[Scored], slo: SLO) -> Mapping[int, Calibration]:
    """By fold, what the queries outside of it certify."""
    return {fold: calibrate([one for one in scored if one.fold != fold], slo) for fold in sorted({one.fold for one in scored})}


def save_scored(scored: Sequence[Scored], path: Path) -> None:
    """Write JSON that `read_scored` reads; rankings as far as a measure looks."""
    of_judged = [each.name for each in fields(Judged)]
    rows = [
        {name: getattr(one.example, name) for name in of_judged}
        | {"ranking": one.ranking[:DEPTH], "best_gain": one.best_gain, "fold": one.fold}
        for one in scored
    ]
    write_whole(path, json.dumps({"scored": rows}, ensure_ascii=False, indent=1))


def read_scored(path: Path) -> list[Scored]:
    """Raises BadModel for a file that `save_scored` did not write."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["scored"]
        of_judged = [each.name for each in fields(Judged)]
        return [
            Scored(Judged(**{name: row[name] for name in of_judged}), row["ranking"], row["best_gain"], row["fold"])
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadModel(f"{path}: not scored queries ({error}); score them again: proveout build") from error


def save_folds(search: Path, rankers: Sequence[ProductRanker], scored: Sequence[Scored], folder: Path) -> None:
    """Write the search of each fold, as `models.tiers` reads them: index and calibration of `search`, and its own ranker."""
    for fold, ranker in enumerate(rankers):
        for file in (path for path in sorted(search.rglob("*")) if path.is_file() and path.name != RANKER):
            target = folder / str(fold) / file.relative_to(search)
            target.parent.mkdir(parents=True, exist_ok=True)
            link(file, target)
        write_whole(folder / str(fold) / RANKER, ranker.as_text())
    folds = [[[case_of(one.example.query)] for one in scored if one.fold == fold] for fold in range(len(rankers))]
    write_whole(folder / FOLDS, json.dumps(folds))


def train(judged: Sequence[Example], settings: Settings) -> ProductRanker:
    return ProductRanker.train([each.inputs for each in judged], [each.ratings for each in judged], settings)
