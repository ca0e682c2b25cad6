import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="The shop")


@app.cell(hide_code=True)
def introduction(mo, shop):
    _unanswerable = sum(max(judged.values()) == 0 for judged in shop.judgements.values())
    mo.md(f"""
    # The shop

    **{len(shop.products):,} products, {len(shop.judgements)} judged queries**; nothing fits {_unanswerable} of
    them. What is learned from some is tried on others that share no word with them.
    """)
    return


@app.cell(hide_code=True)
def class_control(mo, shop):
    class_picker = mo.ui.dropdown(sorted(set(shop.classes.values())), value=min(shop.classes.values()), label="class of query")
    class_picker
    return (class_picker,)


@app.cell(hide_code=True)
def ratings_by_class(Counter, class_picker, plt, shop):
    _counts = {name: Counter() for name in sorted(set(shop.classes.values()), reverse=True)}
    for _query, _judged in shop.judgements.items():
        _counts[shop.classes[_query]].update(round(rating) for rating in _judged.values())
    _figure, _axes = plt.subplots(figsize=(8, 0.45 * len(_counts) + 1))
    _left = dict.fromkeys(_counts, 0)
    for _rating, _color in enumerate(("#cbd5e0", "#bee3f8", "#63b3ed", "#2b6cb0")):
        _width = [counts[_rating] for counts in _counts.values()]
        _axes.barh(list(_counts), _width, left=list(_left.values()), color=_color, label=f"rated {_rating}")
        _left = {name: _left[name] + counts[_rating] for name, counts in _counts.items()}
    assert sum(_left.values()) == sum(map(len, shop.judgements.values())), "every judgement is in one bar"
    for _label in _axes.get_yticklabels():
        _label.set_fontweight("bold" if _label.get_text() == class_picker.value else "normal")
    _axes.set_xlabel("judgements")
    _axes.spines[["top", "right"]].set_visible(False)
    _axes.legend(frameon=False, fontsize=8)
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def queries_of_the_class(class_picker, mo, shop):
    _titles = {product.id: product.title for product in shop.products}
    _rows = [
        {
            "query": query,
            "products that fit": sum(rating > 0 for rating in judged.values()),
            "best": _titles[max(judged, key=judged.get)] if max(judged.values()) else "–",
        }
        for query, judged in shop.judgements.items()
        if shop.classes[query] == class_picker.value
    ]
    mo.ui.table(_rows, selection=None)
    return


@app.cell
def the_shop(Path, context, labelled, read_shop, with_answers):
    shop = with_answers(read_shop(context.params["data"]), Path(context.params["answers"]))
    shop.save(context.product["products"], context.product["judgements"])
    labelled.save(shop, context.product["queries"])
    return (shop,)


@app.cell(hide_code=True)
def every_query_is_judged_by_products_of_the_shop(mo, shop):
    _ids = {product.id for product in shop.products}
    assert len(_ids) == len(shop.products), "every product has an id of its own"
    assert all(set(judged) <= _ids for judged in shop.judgements.values()), "every judged product is in the shop"
    mo.md(
        "**Every judgement is of a product of the shop.** What nobody judged for a query counts as a product that does not fit."
    )
    return


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def imports_of_the_step():
    from pathlib import Path

    from proveout.search import labelled
    from proveout.search.answers import with_answers
    from proveout.search.shop import read_shop

    return Path, labelled, read_shop, with_answers


@app.cell(hide_code=True)
def imports_of_the_view():
    from collections import Counter

    import marimo as mo
    import matplotlib.pyplot as plt

    return Counter, mo, plt


if __name__ == "__main__":
    app.run()
