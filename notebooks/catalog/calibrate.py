import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Routes")


@app.cell(hide_code=True)
def the_verdict(Counter, calibration, mission, mo, route_of, scored):
    _routes = Counter(str(route_of(one, calibration)) for one in scored)
    _shares = ", ".join(f"**{route} {count / len(scored):.0%}**" for route, count in _routes.most_common())
    mo.md(f"""
    # Routes: keywords, ranked, no result

    Of {len(scored)} queries: {_shares}. Keywords answer alone where they are certified to rank as well for
    {mission.slo.precision_text} of the queries, at {mission.slo.confidence_text} confidence. No result is the answer
    where something fits with less than {mission.slo.lowest_confidence:.0%} probability, and saying so was more often right than
    wrong on judged queries. Every query was scored by what learned from others.
    """)
    return


@app.cell(hide_code=True)
def precision_control(mission, mo):
    precision_slider = mo.ui.slider(0.55, 0.99, step=0.01, value=mission.slo.precision, label="precision", show_value=True)
    precision_slider
    return (precision_slider,)


@app.cell(hide_code=True)
def certificates(PROMISES, calibration, mission, mo, outlook, precision_slider):
    _slo = mission.slo.model_copy(update={"precision": precision_slider.value})
    promised = calibration.promising(_slo)
    _rows = []
    for _name, _promise in PROMISES.items():
        _certificate = promised.certificates[_name]
        _rows.append(
            {
                "promise": _promise,
                "of the queries": f"{_certificate.coverage:.0%}",
                "wrong": _certificate.errors if _certificate.threshold is not None else "–",
                "queries more": outlook(_name, calibration.evidence[_name], _slo).needs,
                "because": _certificate.because,
            }
        )
        if _certificate.threshold is not None:
            assert _certificate.bound >= precision_slider.value, f"{_name} is certified below the target"
    mo.ui.table(_rows, selection=None)
    return (promised,)


@app.cell(hide_code=True)
def reliability(PROMISES, plt, promised):
    _figure, _axes = plt.subplots(1, len(PROMISES), figsize=(12, 3.4), sharey=True)
    for _ax, (_name, _promise) in zip(_axes, PROMISES.items(), strict=True):
        _quality = promised.quality(_name)
        _ax.plot([0, 1], [0, 1], color="#a0aec0", lw=1)
        for _bin in _quality.bins:
            _ax.plot([_bin.confidence] * 2, [_bin.lower, _bin.upper], color="#90cdf4", lw=4, solid_capstyle="butt")
            _ax.plot(_bin.confidence, _bin.right, "o", color="#2b6cb0")
        if (_floor := promised.floor(_name)) is not None:
            _ax.axvline(_floor, color="#2f855a", lw=1, ls="--")
        _ax.set_title(f"{_promise}\nerror {_quality.ece:.3f}", fontsize=9)
        _ax.set_xlabel("confidence (dashed: certified from here)", fontsize=8)
        _ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
        _ax.spines[["top", "right"]].set_visible(False)
    _axes[0].set_ylabel("share right, with 95 % intervals")
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def queries_of_each_route(mo, promised, route_of, scored):
    _rows = [
        {
            "query": one.example.query,
            "route": str(route_of(one, promised)),
            "words of the query in titles nearby": round(one.example.typicality, 2),
            "highest expected gain": round(one.best_gain, 2),
            "something fits": one.something_fits,
            "keywords rank as well": one.keywords_suffice,
        }
        for one in scored
    ]
    mo.ui.table(_rows, selection=None)
    return


@app.cell
def the_search(ProductIndex, ProductRanker, ProductSearch, by_layer, calibrate, context, load, read_scored, save_folds):
    mission = load(context.params["mission"])
    scored = read_scored(context.upstream["models"]["scored"])
    calibration = calibrate(scored, mission.slo)
    _index = ProductIndex.load(context.upstream["retrieval"]["index"])
    _ranker = ProductRanker.from_text(context.upstream["models"]["ranker"].read_text(encoding="utf-8"))
    ProductSearch(_index, _ranker, calibration).save(context.product["search"])
    by_layer(calibration).save(context.product["calibration"])
    _files = sorted(context.upstream["models"]["folds"].iterdir(), key=lambda file: int(file.stem))
    _rankers = [ProductRanker.from_text(file.read_text(encoding="utf-8")) for file in _files]
    save_folds(context.product["search"], _rankers, scored, context.product["folds"])
    return calibration, mission, scored


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def imports_of_the_step():
    from proveout.mission import load
    from proveout.search import ProductIndex, ProductSearch
    from proveout.search.learning import calibrate, read_scored, save_folds
    from proveout.search.ranker import ProductRanker
    from proveout.search.tier import by_layer

    return ProductIndex, ProductRanker, ProductSearch, by_layer, calibrate, load, read_scored, save_folds


@app.cell(hide_code=True)
def imports_of_the_view():
    from collections import Counter

    import marimo as mo
    import matplotlib.pyplot as plt

    from proveout.calibration.plan import outlook
    from proveout.search.learning import route_of
    from proveout.search.product_search import KEYWORDS_FIT, KEYWORDS_SUFFICE, NOTHING_FITS, SOMETHING_FITS

    PROMISES = {
        KEYWORDS_SUFFICE: "keywords alone rank as well",
        NOTHING_FITS: "none of the first ten fits",
        SOMETHING_FITS: "one of the first ten fits",
        KEYWORDS_FIT: "store down: keywords' ten fit",
    }
    return Counter, PROMISES, mo, outlook, plt, route_of


if __name__ == "__main__":
    app.run()
