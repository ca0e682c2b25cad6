import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Retrieval")


@app.cell(hide_code=True)
def the_verdict(depth_slider, mo, np, quality, results, shop):
    _answerable = [query for query, judged in shop.judgements.items() if max(judged.values())]
    _zero = [query for query in _answerable if not results["every word, as typed"][query]]
    _best = max(quality, key=lambda name: np.mean(quality[name]))
    mo.md(f"""
    # Retrieval

    If every word must match as typed, **{len(_zero)} of {len(_answerable)} answerable queries have no result**.
    The best order without learning is by **{_best}**: mean nDCG@{depth_slider.value} over the classes
    {np.mean(quality[_best]):.2f}.
    """)
    return


@app.cell(hide_code=True)
def depth_control(DEPTH, mo):
    depth_slider = mo.ui.slider(1, DEPTH, value=10, label="products a query", show_value=True)
    depth_slider
    return (depth_slider,)


@app.cell(hide_code=True)
def settings_against_ndcg_and_zero_results(classes, depth_slider, np, plt, quality, zero):
    _figure, _axes = plt.subplots(1, 2, figsize=(10, 3.6), sharex=True)
    _width = 0.8 / len(quality)
    for _at, _name in enumerate(quality):
        for _ax, _values in zip(_axes, (quality[_name], zero[_name]), strict=True):
            _ax.bar(np.arange(len(classes)) + _at * _width, _values, _width, label=_name)
    for _ax, _title in zip(_axes, (f"nDCG@{depth_slider.value}", "share without a result"), strict=True):
        _ax.set_title(_title, fontsize=9)
        _ax.set_xticks(np.arange(len(classes)) + 0.4 - _width / 2, classes, fontsize=8, rotation=20)
        _ax.set_ylim(0, 1.03)
        _ax.spines[["top", "right"]].set_visible(False)
    _axes[0].legend(frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def query_control(mo):
    query_box = mo.ui.text(value="", placeholder="a query", label="try", full_width=True)
    query_box
    return (query_box,)


@app.cell(hide_code=True)
def one_query(depth_slider, index, mo, query_box, settings, shop):
    _text = query_box.value.strip() or next(iter(shop.judgements))
    _query = index.vocabulary.understand(_text)
    _rows = {name: [index.products[row].title for row in rank(_text)[: depth_slider.value]] for name, rank in settings.items()}
    _longest = max(map(len, _rows.values()))
    _table = [{name: titles[at] if at < len(titles) else "" for name, titles in _rows.items()} for at in range(_longest)]
    mo.vstack([mo.md(f"**{_text}**, searched as {_query.corrected!r}"), mo.ui.table(_table, selection=None)])
    return


@app.cell
def the_index(ProductIndex, context, read_catalogue):
    index = ProductIndex.build(read_catalogue(context.upstream["curate"]["products"]))
    index.save(context.product["index"])
    return (index,)


@app.cell
def results_of_each_setting(as_typed, by_keywords, context, fused, index, shop_of):
    DEPTH = 20
    shop = shop_of(index.products, context.upstream["curate"]["judgements"])
    _understand = index.vocabulary.understand
    settings = {
        "every word, as typed": lambda text: index.with_words(as_typed(text), DEPTH, every=True)[0],
        "every word, corrected": lambda text: index.with_words(_understand(text), DEPTH, every=True)[0],
        "corrected, then some words": lambda text: by_keywords(index, _understand(text), DEPTH),
        "meaning": lambda text: index.nearest(index.encode(_understand(text).corrected), DEPTH),
        "words and meaning": lambda text: fused(index, _understand(text), DEPTH),
    }
    results = {
        name: {query: [index.products[row].id for row in rank(query)] for query in shop.judgements}
        for name, rank in settings.items()
    }
    return DEPTH, results, settings, shop


@app.cell(hide_code=True)
def by_class(depth_slider, ndcg, np, results, shop):
    classes = sorted({name for query, name in shop.classes.items() if max(shop.judgements[query].values())})

    def _mean(name, query_class, value):
        _queries = [
            query for query in shop.judgements if shop.classes[query] == query_class and max(shop.judgements[query].values())
        ]
        return float(np.mean([value(results[name][query], shop.judgements[query]) for query in _queries]))

    quality = {
        name: [_mean(name, each, lambda ranking, judged: ndcg(ranking, judged, depth_slider.value)) for each in classes]
        for name in results
    }
    zero = {name: [_mean(name, each, lambda ranking, judged: not ranking) for each in classes] for name in results}
    return classes, quality, zero


@app.cell(hide_code=True)
def more_words_that_may_match_leave_fewer_queries_without_a_result(classes, mo, quality, zero):
    assert all(
        some <= every for some, every in zip(zero["corrected, then some words"], zero["every word, corrected"], strict=True)
    )
    _rows = [
        {"setting": name, **{each: f"{value:.2f}" for each, value in zip(classes, quality[name], strict=True)}}
        for name in quality
    ]
    mo.ui.table(_rows, selection=None, label="nDCG; products that nobody judged count as 0")
    return


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def imports_of_the_step():
    from proveout.search import ProductIndex, read_catalogue

    return ProductIndex, read_catalogue


@app.cell(hide_code=True)
def imports_of_the_view():
    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np

    from proveout.search.judgements import ndcg
    from proveout.search.layers import as_typed, by_keywords, fused
    from proveout.search.shop import shop_of

    return as_typed, by_keywords, fused, mo, ndcg, np, plt, shop_of


if __name__ == "__main__":
    app.run()
