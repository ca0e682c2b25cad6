import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Search traffic")


@app.cell(hide_code=True)
def the_traffic(Path, Traffic, asdict, context, exposures, json, math, monitoring, read_catalogue, read_clicks):
    _log = monitoring.read(context.params["logs"])
    products = {product.id: product for product in read_catalogue(context.params["products"])}
    _before = context.params["before"]
    _ids_before = [product.id for product in read_catalogue(_before)] if _before else ()
    traffic = Traffic.of(_log, read_clicks(Path(context.params["logs"])), products, _ids_before)
    _category = {id: product.category for id, product in products.items()}
    _given = set(products) - set(traffic.never_given)
    _sellers = {id: str(product.attributes.get("seller", "")) for id, product in products.items()}
    _brands = {id: product.brand for id, product in products.items()}
    exposure = {
        "category": exposures(_given, _category, {}),
        "brand": exposures(_given, _brands, _category),
        "seller": exposures(_given, _sellers, _category),
    }
    _plain = {
        name: [asdict(each) | {"p": None if math.isnan(each.p) else each.p} for each in groups]
        for name, groups in exposure.items()
    }
    _ = context.product["summary"].write_text(
        json.dumps(traffic.as_plain() | {"exposure": _plain}, indent=1) + "\n", encoding="utf-8"
    )
    return exposure, products, traffic


@app.cell
def the_headline(mo, traffic):
    mo.md(f"""
    # Search traffic

    **{traffic.headline}**
    """)
    return


@app.cell
def shares_by_week(plt, traffic):
    _figure, _axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
    _weeks = [week.monday[5:] for week in traffic.weeks]
    _axes.plot(_weeks, [100 * week.no_result for week in traffic.weeks], "o-", color="#dd6b20", label="without a result")
    _axes.plot(_weeks, [100 * week.no_click for week in traffic.weeks], "o-", color="#2b6cb0", label="answers without a click")
    assert sum(week.requests for week in traffic.weeks) > 0
    _axes.set_ylabel("% of queries")
    _axes.set_ylim(0, None)
    _axes.legend(frameon=False, fontsize=8)
    _axes.spines[["top", "right"]].set_visible(False)
    _figure
    return


@app.cell
def latency_by_layer(mo, traffic):
    _longest = max((layer.tail for layer in traffic.layers), default=0.0)
    mo.vstack(
        [
            mo.md(f"Latency by the layer that answered; the longest tail is **{_longest:.2f} s** (99 of 100 are faster)."),
            mo.ui.table(
                [
                    {
                        "layer": layer.name,
                        "queries": layer.requests,
                        "median, s": round(layer.median, 4),
                        "99 %, s": round(layer.tail, 4),
                    }
                    for layer in traffic.layers
                ],
                selection=None,
            ),
        ]
    )
    return


@app.cell
def products_that_no_answer_had(mo, products, traffic):
    _new = set(traffic.new_never_given)
    assert set(traffic.never_given) <= set(products)
    mo.ui.table(
        [
            {"id": id, "title": products[id].title, "category": products[id].category, "new": id in _new}
            for id in sorted(traffic.never_given, key=lambda id: (id not in _new, id))
        ],
        selection=None,
        label="products that no answer had, new ones first",
    )
    return


@app.cell
def whose_products_answers_leave_out(exposure, left_out, mo):
    _rows = [
        {
            "by": by,
            "group": each.group,
            "products": each.items,
            "in an answer": f"{each.given:.0%}",
            "all of their category": f"{each.expected:.0%}",
            "fewer than chance explains": left_out(each),
        }
        for by, groups in exposure.items()
        for each in groups
    ]
    assert all(0 <= each.given <= 1 for groups in exposure.values() for each in groups)
    _fewer = [f"{row['by']} {row['group']}" for row in _rows if row["fewer than chance explains"]]
    _named = f"**Left out more than chance explains: {', '.join(_fewer)}.** " if _fewer else ""
    mo.vstack(
        [
            mo.md(f"{_named}Products of a brand or seller are compared with all others of their category."),
            mo.ui.table(_rows, selection=None),
        ]
    )
    return


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def the_tools():
    import json
    import math
    from dataclasses import asdict
    from pathlib import Path

    from proveout import monitoring
    from proveout.monitoring.exposure import exposures, left_out
    from proveout.search import read_catalogue
    from proveout.search.traffic import Traffic, read_clicks

    return Path, Traffic, asdict, exposures, json, left_out, math, monitoring, read_catalogue, read_clicks


@app.cell(hide_code=True)
def imports_of_the_view():
    import marimo as mo
    import matplotlib.pyplot as plt

    return mo, plt


if __name__ == "__main__":
    app.run()
