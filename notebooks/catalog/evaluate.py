import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Evaluation")


@app.cell(hide_code=True)
def the_verdict(metrics, mo):
    _precision = "–" if metrics["no_result_precision"] is None else f"{metrics['no_result_precision']:.1%}"
    _low, _high = metrics["no_result_interval"]
    mo.md(f"""
    # Evaluation

    - **nDCG@10 {metrics["ndcg"]:.3f}** over {metrics["answerable"]} answerable queries; keywords alone
      {metrics["ndcg_of_keywords"]:.3f}, as answered by the routes {metrics["ndcg_of_answers"]:.3f}
    - **{metrics["zero_results"]:.1%} of them have no result**; if every word must match,
      {metrics["zero_results_of_every_word"]:.1%}
    - **no result is right in {_precision}** of {metrics["no_result"]} ({_low:.1%} to {_high:.1%}): the shop has nothing that
      fits; for {metrics["no_result_withheld_a_fit"]} of them, one of the ten products withheld would have fitted
    - keywords alone answer **{metrics["keywords_alone"]:.0%}** of all {metrics["queries"]} queries
    - no person has to judge **{metrics["judged"]["no_person_touches"]:.0%}**, whose answers are certified

    Scores and thresholds for a query come from queries that share no word with it.
    """)
    return


@app.cell(hide_code=True)
def share_control(mo):
    share_slider = mo.ui.slider(0, 100, value=20, step=1, label="% answered by keywords alone", show_value=True)
    share_slider
    return (share_slider,)


@app.cell(hide_code=True)
def quality_against_the_share_of_the_cheap_route(mixed, plt, scores, share_slider):
    _at = round(share_slider.value / 100 * len(scores))
    _figure, _axes = plt.subplots(figsize=(8, 3))
    _axes.plot([100 * at / len(scores) for at in range(len(mixed))], mixed, color="#2b6cb0")
    _axes.plot(100 * _at / len(scores), mixed[_at], "D", color="#dd6b20")
    _axes.set_xlabel("% of answerable queries by keywords alone, those with most words in titles nearby first")
    _axes.set_ylabel("nDCG@10")
    _axes.spines[["top", "right"]].set_visible(False)
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def cost_of_the_mixture(milliseconds, mixed, mo, scores, share_slider):
    _at = round(share_slider.value / 100 * len(scores))
    _share = _at / len(scores)
    _cost = _share * milliseconds["keywords"] + (1 - _share) * milliseconds["ranked"]
    mo.md(f"""
    At {_share:.0%}: nDCG@10 **{mixed[_at]:.3f}**, **{_cost:.1f} ms** a query on this machine (keywords
    {milliseconds["keywords"]:.1f} ms, ranked {milliseconds["ranked"]:.1f} ms, medians of one query after another).
    """)
    return


@app.cell(hide_code=True)
def by_class(Route, classes, mo, ndcg, np, routes):
    _rows = []
    for _name in sorted({classes[one.example.query] for one, _ in routes}):
        _part = [(one, route) for one, route in routes if classes[one.example.query] == _name]
        _scores = [ndcg(one.ranking, one.example.judged) for one, _ in _part if max(one.example.judged.values())]
        _shares = {str(route): f"{sum(other == route for _, other in _part) / len(_part):.0%}" for route in Route}
        _rows.append(
            {"class": _name, "queries": len(_part), "nDCG@10": f"{np.mean(_scores):.3f}" if _scores else "–", **_shares}
        )
    mo.ui.table(_rows, selection=None)
    return


@app.cell(hide_code=True)
def query_control(context, mo, search, shop_of):
    _shop = shop_of(search.index.products, context.upstream["curate"]["judgements"])
    classes = _shop.classes
    _examples = {f"{name}: {query}": query for query, name in sorted(classes.items(), key=lambda item: (item[1], item[0]))}
    query_picker = mo.ui.dropdown(_examples, value=next(iter(_examples)), label="judged query", searchable=True)
    query_box = mo.ui.text(value="", placeholder="or type another", label="query", full_width=True)
    mo.hstack([query_picker, query_box], justify="start")
    return classes, query_box, query_picker


@app.cell(hide_code=True)
def one_query_step_by_step(layers, mo, query_box, query_picker, routes, search):
    _text = query_box.value.strip() or query_picker.value
    _query = search.index.vocabulary.understand(_text)
    _judged = next((one.example.judged for one, _ in routes if one.example.query == _text), {})
    _answer = search.search(_text)
    _keywords = layers.by_keywords(search.index, _query, 10)
    _nearest = search.index.nearest(search.index.encode(_query.corrected), 10)
    _titles = [
        {
            "by keywords": search.index.products[_keywords[at]].title if at < len(_keywords) else "",
            "by meaning": search.index.products[_nearest[at]].title if at < len(_nearest) else "",
            "answer": _answer.hits[at].product.title if at < len(_answer.hits) else "",
            "score": round(_answer.hits[at].score, 3) if at < len(_answer.hits) else "",
            "rated": _judged.get(_answer.hits[at].product.id, "–") if at < len(_answer.hits) else "",
        }
        for at in range(10)
    ]
    _needs = "; ".join(" or ".join(sorted(need)) for need in _query.needs) or "none"
    _steps = f"""
    1. Words: {_needs}{f"; corrected to **{_query.corrected}**" if _query.corrections else ""}.
    2. Route: **{_answer.route}** ({_answer.because}), with {_answer.confidence:.0%} confidence.
    3. Products:
    """
    mo.vstack([mo.md(_steps), mo.ui.table(_titles, selection=None)])
    return


@app.cell
def the_search(ProductSearch, context, load, read_scored, routed, unattended):
    mission = load(context.params["mission"])
    search = ProductSearch.load(context.upstream["calibrate"]["search"])
    _scored = read_scored(context.upstream["models"]["scored"])
    routes, alone = routed(_scored, mission.slo), unattended(_scored, mission.slo)
    return alone, mission, routes, search


@app.cell
def the_decisions(LabelledQueries, NoMemory, Parts, assemble, context, mission, write_labelled_log):
    _queries = LabelledQueries(context.upstream["curate"]["queries"])
    _built = context.upstream["calibrate"]
    _agent = assemble(Parts(context.params["mission"], None, _built["search"], _built["calibration"]), NoMemory())
    _ = write_labelled_log(_agent.batch(_queries.paths), _queries, context.product["decisions"], mission)
    return


@app.cell
def the_metrics(Route, alone, as_typed, context, json, math, ndcg, np, precision_bounds, routes, search):
    def _answer(one, route):
        """The ids that the route answers with."""
        return {Route.KEYWORDS: one.example.by_keywords, Route.RANKED: one.ranking, Route.NOTHING: ()}[route]

    _answerable = [(one, route) for one, route in routes if max(one.example.judged.values())]
    _nothing = [one for one, route in routes if route == Route.NOTHING]
    _withheld = [max(one.example.judged.values()) == 0 for one in _nothing]
    _low, _high = precision_bounds(len(_withheld), _withheld.count(False), 0.975) if _withheld else (0.0, 1.0)
    _typed = [search.index.with_words(as_typed(one.example.query), 1, every=True)[1] for one, _ in _answerable]
    metrics = {
        "queries": len(routes),
        "answerable": len(_answerable),
        "ndcg": float(np.mean([ndcg(one.ranking, one.example.judged) for one, _ in _answerable])),
        "ndcg_of_answers": float(np.mean([ndcg(_answer(one, route), one.example.judged) for one, route in _answerable])),
        "ndcg_of_keywords": float(np.mean([ndcg(one.example.by_keywords, one.example.judged) for one, _ in _answerable])),
        "zero_results": sum(route == Route.NOTHING for _, route in _answerable) / len(_answerable),
        "zero_results_of_every_word": sum(not count for count in _typed) / len(_answerable),
        "no_result": len(_withheld),
        "no_result_precision": sum(_withheld) / len(_withheld) if _withheld else None,
        "no_result_interval": [_low, _high],  # Clopper-Pearson, 95 %
        "no_result_withheld_a_fit": sum(one.something_fits for one in _nothing),  # one of the first ten would have fitted
        "keywords_alone": sum(route == Route.KEYWORDS for _, route in routes) / len(routes),
    }
    _share, _right = len(alone) / len(routes), [right for _, right in alone]
    _automated = {"coverage": _share, "precision": float(np.mean(_right)) if _right else None}
    metrics["judged"] = {"no_person_touches": _share, "automated": {"fields": {"results": _automated}}}
    assert not math.isnan(metrics["ndcg"]), "some query is answerable"
    _precision = "–" if not _withheld else f"{metrics['no_result_precision']:.1%}"
    metrics["headline"] = (
        f"nDCG@10 {metrics['ndcg']:.3f}, no result right {_precision}, keywords alone {metrics['keywords_alone']:.0%}"
    )
    _ = context.product["metrics"].write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return (metrics,)


@app.cell
def cost_curve(ndcg, np, routes):
    _answerable = [one for one, _ in routes if max(one.example.judged.values())]
    _answerable.sort(key=lambda one: -one.example.typicality)
    _keywords = np.array([ndcg(one.example.by_keywords, one.example.judged) for one in _answerable])
    _ranked = np.array([ndcg(one.ranking, one.example.judged) for one in _answerable])
    scores = [one.example.typicality for one in _answerable]
    mixed = (np.concatenate([[0], np.cumsum(_keywords)]) + np.concatenate([np.cumsum(_ranked[::-1])[::-1], [0]])) / len(scores)
    assert np.isclose(mixed[0], _ranked.mean()) and np.isclose(mixed[-1], _keywords.mean())
    return mixed, scores


@app.cell
def time_of_a_query(layers, np, routes, search, time, typicality):
    def _seconds(answer, text):
        _began = time.perf_counter()
        answer(search.index.vocabulary.understand(text))
        return time.perf_counter() - _began

    def _by_keywords(query):
        typicality(search.index, query, layers.by_keywords(search.index, query, 10))

    def _by_ranker(query):
        _by_keywords(query)  # which is tried first
        layers.ranked(search.index, layers.Candidates.of(search.index, query), search.ranker)

    _texts = [one.example.query for one, _ in routes][:31]
    _seconds(_by_ranker, _texts[0])  # loads the text encoder
    milliseconds = {
        name: 1000 * float(np.median([_seconds(answer, text) for text in _texts[1:]]))
        for name, answer in (("keywords", _by_keywords), ("ranked", _by_ranker))
    }
    return (milliseconds,)


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def imports_of_the_step():
    import json
    import math

    import numpy as np

    from proveout.agent import Parts, assemble
    from proveout.calibration.thresholds import precision_bounds
    from proveout.evaluation.labelled_log import write_labelled_log
    from proveout.mission import load
    from proveout.retrieval import NoMemory
    from proveout.search import ProductSearch, Route
    from proveout.search.judgements import ndcg
    from proveout.search.labelled import LabelledQueries
    from proveout.search.layers import as_typed
    from proveout.search.learning import read_scored, routed, unattended

    return (
        LabelledQueries,
        NoMemory,
        Parts,
        ProductSearch,
        Route,
        as_typed,
        assemble,
        json,
        load,
        math,
        ndcg,
        np,
        precision_bounds,
        read_scored,
        routed,
        unattended,
        write_labelled_log,
    )


@app.cell(hide_code=True)
def imports_of_the_view():
    import time

    import marimo as mo
    import matplotlib.pyplot as plt

    from proveout.search import layers
    from proveout.search.features import typicality
    from proveout.search.shop import shop_of

    return layers, mo, plt, shop_of, time, typicality


if __name__ == "__main__":
    app.run()
