import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="The re-ranker")


@app.cell(hide_code=True)
def the_verdict(answerable, by_layer, interval, mo, np):
    _gain = np.array(by_layer["re-ranked"]) - by_layer["words and meaning"]
    _low, _high = interval(_gain)
    mo.md(f"""
    # The re-ranker

    Over {len(answerable)} answerable queries, each ranked by what was learned from queries that share no word with it,
    **nDCG@10 is {np.mean(by_layer["re-ranked"]):.3f}**. Re-ranking adds **{_gain.mean():+.3f}** to words and meaning
    ({_low:+.3f} to {_high:+.3f}).
    """)
    return


@app.cell(hide_code=True)
def class_control(class_of, mo):
    class_picker = mo.ui.dropdown(["all", *sorted(set(class_of))], value="all", label="class of query")
    class_picker
    return (class_picker,)


@app.cell(hide_code=True)
def what_each_layer_adds(by_layer, class_of, class_picker, interval, np, plt):
    _chosen = [at for at, name in enumerate(class_of) if class_picker.value in ("all", name)]
    _figure, _axes = plt.subplots(figsize=(8, 2.6))
    for _at, (_name, _values) in enumerate(by_layer.items()):
        _part = np.array(_values)[_chosen]
        _axes.plot(interval(_part), [_at, _at], color="#a0aec0", lw=4, solid_capstyle="round")
        _axes.plot(_part.mean(), _at, "o", color="#2b6cb0")
        assert ((_part >= 0) & (_part <= 1 + 1e-9)).all(), "nDCG is a share"
    _axes.set_yticks(range(len(by_layer)), list(by_layer))
    _axes.set_xlim(0, 1.02)
    _axes.set_xlabel(f"nDCG@10 of {len(_chosen)} queries, with 95 % intervals")
    _axes.spines[["top", "right"]].set_visible(False)
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def where_re_ranking_loses(answerable, by_layer, class_of, class_picker, mo):
    _rows = [
        {"query": one.example.query, "class": name, **{layer: round(values[at], 3) for layer, values in by_layer.items()}}
        for at, (one, name) in enumerate(zip(answerable, class_of, strict=True))
        if class_picker.value in ("all", name)
    ]
    _rows.sort(key=lambda row: row["re-ranked"] - row["words and meaning"])
    mo.vstack([mo.md("Where it loses most comes first."), mo.ui.table(_rows, selection=None)])
    return


@app.cell(hide_code=True)
def what_the_ranker_looks_at(mo, ranker):
    _top = sorted(ranker.importance.items(), key=lambda item: -item[1])[:10]
    mo.ui.table([{"column": name, "share of the gain": f"{share:.0%}"} for name, share in _top], selection=None)
    return


@app.cell
def the_judged_queries(ProductIndex, context, examples, shop_of):
    index = ProductIndex.load(context.upstream["retrieval"]["index"])
    shop = shop_of(index.products, context.upstream["curate"]["judgements"])
    judged = examples(index, shop.judgements)
    return index, judged, shop


@app.cell
def scored_by_what_learned_from_other_queries(LIVE, Settings, context, cross_fitted, judged, save_scored, shop):
    _rankers, _live = [], {query for query, name in shop.classes.items() if name == LIVE}
    scored = cross_fitted(judged, Settings(), _rankers, _live)
    save_scored(scored, context.product["scored"])
    for _fold, _ranker in enumerate(_rankers):
        context.product["folds"].mkdir(exist_ok=True)
        _ = (context.product["folds"] / f"{_fold}.txt").write_text(_ranker.as_text(), encoding="utf-8")
    return (scored,)


@app.cell
def the_ranker_learns_from_all(Settings, context, judged, train):
    ranker = train(judged, Settings())
    _ = context.product["ranker"].write_text(ranker.as_text(), encoding="utf-8")
    return (ranker,)


@app.cell
def layers_of_the_answerable_queries(fused, index, ndcg, np, scored, shop):
    def _of_rows(rows):
        return [index.products[row].id for row in rows]

    answerable = [one for one in scored if max(one.example.judged.values())]
    by_layer = {"keywords": [], "meaning": [], "words and meaning": [], "re-ranked": []}
    for _one in answerable:
        _query = index.vocabulary.understand(_one.example.query)
        _nearest = _of_rows(index.nearest(index.encode(_query.corrected), 10))
        _rankings = (_one.example.by_keywords, _nearest, _of_rows(fused(index, _query, 10)), _one.ranking)
        for _layer, _ranking in zip(by_layer.values(), _rankings, strict=True):
            _layer.append(ndcg(_ranking, _one.example.judged))
    class_of = [shop.classes[one.example.query] for one in answerable]

    def interval(values):
        """95 % of 2,000 bootstrap samples of queries."""
        _means = np.random.default_rng(7).choice(values, (2000, len(values))).mean(axis=1)
        return np.quantile(_means, [0.025, 0.975])

    return answerable, by_layer, class_of, interval


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def imports_of_the_step():
    from proveout.search import ProductIndex
    from proveout.search.learning import cross_fitted, examples, save_scored, train
    from proveout.search.ranker import Settings
    from proveout.search.shop import LIVE, shop_of

    return LIVE, ProductIndex, Settings, cross_fitted, examples, save_scored, shop_of, train


@app.cell(hide_code=True)
def imports_of_the_view():
    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np

    from proveout.search.judgements import ndcg
    from proveout.search.layers import fused

    return fused, mo, ndcg, np, plt


if __name__ == "__main__":
    app.run()
