import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Models")


@app.cell
def _():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell
def _():
    from proveout import mission as missions
    from proveout.corpus import Dataset
    from proveout.models import Extractor, Settings
    from proveout.prompts import Prompts

    return Dataset, Extractor, Prompts, Settings, missions


@app.cell
def _():
    import random

    import marimo as mo
    import matplotlib.pyplot as plt
    import pandas as pd

    from proveout import documents, evaluation
    from proveout.models.ranker import names

    return documents, evaluation, mo, names, pd, plt, random


@app.cell
def _(mo):
    mo.md("""
    # The extractor

    Everything on a page that could be a value is a candidate. What stands around it, what the prompts say of the field,
    and what other documents of the same form taught, make it more or less likely. A flag is answered from the words of the
    whole document. Here the extractor learns from the training split; the calibration split, which it never sees, says how
    sure it may be.
    """)
    return


@app.cell
def _(Dataset, Prompts, context, missions):
    mission = missions.load(context.params["mission"])
    dataset = Dataset.load(context.upstream["curate"]["dataset"])
    prompts = Prompts.load(context.upstream["prompts"]["prompts"])
    return dataset, mission, prompts


@app.cell
def the_model(Extractor, dataset, context, mission, prompts):
    extractor = Extractor.train(
        dataset.documents("train"),
        dataset.labels("train"),
        mission,
        prompts,
        classes=dataset.classes("train"),
        dataset=dataset.version,
    )
    extractor.save(context.product["model"])
    return (extractor,)


@app.cell
def _(mo):
    mo.md("""
    ## Would more documents help, or better settings?

    A third of the training layouts is held back (of the documents, where there is one layout); the curve shows F1 on
    those as more documents are learned from. If it still climbs at the right end, label more; if it is flat, look at the
    mistakes below.
    """)
    return


@app.cell
def _(mo):
    rounds_picker = mo.ui.dropdown({"20 trees": 20, "60 trees": 60, "200 trees": 200}, value="60 trees", label="boosting")
    leaves_picker = mo.ui.dropdown({"7 leaves": 7, "15 leaves": 15}, value="15 leaves", label="tree size")
    mo.hstack([rounds_picker, leaves_picker], justify="start")
    return leaves_picker, rounds_picker


@app.cell
def _(dataset, random):
    _all = [document for document in dataset.documents("train") if dataset.labels("train").get(document.sha256)]
    _layouts = sorted({dataset.entry(document.sha256).layout for document in _all})
    random.Random(7).shuffle(_layouts)
    _held = set(_layouts[: max(1, len(_layouts) // 3)])
    random.Random(7).shuffle(_all)
    held_back = [document for document in _all if dataset.entry(document.sha256).layout in _held][:60]
    learnable = [document for document in _all if dataset.entry(document.sha256).layout not in _held]
    if not learnable:
        held_back, learnable = _all[: len(_all) // 3], _all[len(_all) // 3 :]
    sizes = sorted({max(5, len(learnable) // 8), max(5, len(learnable) // 4), max(5, len(learnable) // 2)})
    assert not {document.sha256 for document in held_back} & {document.sha256 for document in learnable}
    return held_back, learnable, sizes


@app.cell
def _(Extractor, Settings, dataset, evaluation, held_back, leaves_picker, learnable, mission, prompts, rounds_picker, sizes):
    _settings = Settings(rounds=rounds_picker.value, leaves=leaves_picker.value)
    _labels = dataset.labels("train")
    curve, last_extractions = [], []
    for _size in sizes:
        _learned = Extractor.train(learnable[:_size], _labels, mission, prompts, _settings)
        last_extractions = _learned.extract(held_back)
        _answers = {one.document: {name: value.text for name, value in one.fields.items()} for one in last_extractions}
        _score = evaluation.score({one.document: _labels[one.document] for one in last_extractions}, _answers, mission.kinds)
        curve.append((_size, _score.micro))
    return curve, last_extractions


@app.cell
def learning_curve(curve, evaluation, plt):
    _figure, _axes = plt.subplots(figsize=(7, 3.2))
    _sizes = [size for size, _ in curve]
    _f1 = [counts.f1 for _, counts in curve]
    _bands = [evaluation.interval(counts.right, counts.labelled) for _, counts in curve]
    _axes.fill_between(
        _sizes, [low for low, _ in _bands], [high for _, high in _bands], color="#bee3f8", label="95 % of recall"
    )
    _axes.plot(_sizes, _f1, "o-", color="#2b6cb0", label="micro-F1")
    _axes.set_xlabel("documents learned from")
    _axes.set_ylabel("layouts never seen")
    _axes.legend(frameon=False, loc="lower right")
    _axes.spines[["top", "right"]].set_visible(False)
    _figure.tight_layout()
    assert _f1[-1] > 0, "something is learned"
    _figure
    return


@app.cell
def _(mo):
    mo.md("""
    ## What it looks at
    """)
    return


@app.cell
def _(mission, mo):
    field_picker = mo.ui.dropdown(list(mission.fields), value=next(iter(mission.fields)), label="field")
    field_picker
    return (field_picker,)


@app.cell
def importance(dataset, extractor, field_picker, mission, mo, names, plt):
    mo.stop(
        field_picker.value not in {**extractor.rankers, **extractor.flags},
        mo.md(f"*No training document has a label for {field_picker.value}, so nothing was learned of it.*"),
    )
    if mission.kinds[field_picker.value] == "flag":
        _shares = extractor.flags[field_picker.value].log_odds("yes")
        _ranked = sorted(_shares.items(), key=lambda pair: -abs(pair[1]))
        _said = f"log odds of {field_picker.value} where it is said (orange: of no)"
    else:
        _evidence = extractor.reader.read(dataset.documents("train")[0]).kinds[mission.kinds[field_picker.value]]
        _shares = extractor.rankers[field_picker.value].importance(names(_evidence))
        _ranked, _said = list(_shares.items()), f"share of the gain, {field_picker.value}"
        assert abs(sum(_shares.values()) - 1) < 1e-6
    _top = dict(_ranked[:14][::-1])
    _figure, _axes = plt.subplots(figsize=(7, 3.8))
    _axes.barh(list(_top), list(_top.values()), color=["#2b6cb0" if share >= 0 else "#dd6b20" for share in _top.values()])
    _axes.set_xlabel(_said)
    _axes.spines[["top", "right"]].set_visible(False)
    _figure.tight_layout()
    _figure
    return


@app.cell
def _(mo):
    mo.md("""
    ## Mistakes on unseen layouts, with their place

    From the last point of the curve above. Red: what was chosen. The label stands in the title.
    """)
    return


@app.cell
def _(dataset, evaluation, last_extractions, mission):
    mistakes = [
        (one, name)
        for one in last_extractions
        for name, label in dataset.entry(one.document).labels.items()
        if name in one.fields
        and label
        and not evaluation.score({"": {name: label}}, {"": {name: one.fields[name].text}}, mission.kinds).fields[name].right
    ]
    return (mistakes,)


@app.cell
def _(mistakes, mo):
    mistake_picker = mo.ui.slider(0, max(len(mistakes) - 1, 1), value=0, label=f"mistake, of {len(mistakes)}", show_value=True)
    mistake_picker
    return (mistake_picker,)


@app.cell
def one_mistake(dataset, documents, mistake_picker, mistakes, mo, plt):
    def _drawn(one, name):
        value = one.fields[name]
        page = dataset.document(one.document).pages[value.place.page]
        figure, axes = plt.subplots(figsize=(7, 7 * page.height / page.width))
        axes.imshow(documents.page_image(dataset.path_of(one.document), page, 1.3), extent=(0, page.width, page.height, 0))
        box = value.place.box
        axes.add_patch(plt.Rectangle((box.x0, box.y0), box.x1 - box.x0, box.y1 - box.y0, fill=False, ec="#c53030", lw=2))
        axes.set_title(f"{name}: chose {value.text!r}, label {dataset.entry(one.document).labels[name]!r}", fontsize=10)
        axes.axis("off")
        figure.tight_layout(pad=0.3)
        return figure

    _drawn(*mistakes[min(mistake_picker.value, len(mistakes) - 1)]) if mistakes else mo.md(
        "*No mistake on the documents held back.*"
    )
    return


@app.cell
def _(extractor, mo, pd):
    mo.ui.table(
        pd.DataFrame([{"setting": name, "value": value} for name, value in vars(extractor.settings).items()]), selection=None
    )
    return


if __name__ == "__main__":
    app.run()
