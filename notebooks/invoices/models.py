import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Models")


@app.cell(hide_code=True)
def introduction(mo):
    mo.md("""
    # The extractor

    Everything on a page that could be a value is a candidate; the text around it, the labels in the prompts and other documents
    with the same layout make it more or less likely. Would more documents help, or better settings? If the curve still climbs
    at its right end, label more; if it is flat, look at the mistakes below.
    """)
    return


@app.cell(hide_code=True)
def the_verdict(curve, mo):
    _points = next(iter(curve.values()))
    (_fewer, _before), (_more, _after) = _points[0], _points[-1]
    mo.md(
        f"**F1 {_after.f1:.3f} on layouts that were held out**, from {_more} documents; {_before.f1:.3f} from {_fewer}. "
        "The released model learns from all of them."
    )
    return


@app.cell(hide_code=True)
def curve_controls(mo):
    rounds_picker = mo.ui.dropdown({"20 trees": 20, "60 trees": 60, "200 trees": 200}, value="200 trees", label="boosting")
    leaves_picker = mo.ui.dropdown({"7 leaves": 7, "15 leaves": 15}, value="15 leaves", label="tree size")
    mo.hstack([rounds_picker, leaves_picker], justify="start")
    return leaves_picker, rounds_picker


@app.cell(hide_code=True)
def learning_curve(curve, evaluation, plt):
    _figure, _axes = plt.subplots(figsize=(8, 3))
    for (_variant, _points), _color in zip(curve.items(), ("#2b6cb0", "#dd6b20", "#2f855a", "#805ad5"), strict=False):
        _sizes, _f1 = [size for size, _ in _points], [counts.f1 for _, counts in _points]
        _low, _high = zip(*(evaluation.interval(counts.right, counts.labelled) for _, counts in _points), strict=True)
        _axes.fill_between(_sizes, _low, _high, color=_color, alpha=0.2, linewidth=0, label=f"{_variant}, 95 % of recall")
        _axes.plot(_sizes, _f1, "o-", color=_color, label=f"{_variant}, micro-F1")
        assert _f1[-1] > 0, "the extractor learns something"
    _axes.set_xlabel("training documents")
    _axes.set_ylabel("F1 on unseen layouts")
    _axes.legend(frameon=False, loc="lower right")
    _axes.spines[["top", "right"]].set_visible(False)
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def about_the_curve(mo):
    mo.md("""
    A third of the training layouts is held out (of the documents, if there is only one layout); the curve shows F1 on
    those by the number of training documents, with and without the layout encoder if the mission has that tier.
    """)
    return


@app.cell
def the_held_out_layouts(dataset, random):
    _all = [document for document in dataset.documents("train") if dataset.labels("train").get(document.sha256)]
    _layouts = sorted({dataset.entry(document.sha256).layout for document in _all})
    random.Random(7).shuffle(_layouts)
    _held = set(_layouts[: max(1, len(_layouts) // 3)])
    random.Random(7).shuffle(_all)
    held_out = [document for document in _all if dataset.entry(document.sha256).layout in _held][:60]
    learnable = [document for document in _all if dataset.entry(document.sha256).layout not in _held]
    if not learnable:
        held_out, learnable = _all[: len(_all) // 3], _all[len(_all) // 3 :]
    sizes = sorted({max(5, len(learnable) // 8), max(5, len(learnable) // 4), max(5, len(learnable) // 2)})
    assert not {document.sha256 for document in held_out} & {document.sha256 for document in learnable}
    return held_out, learnable, sizes


@app.cell
def the_curve(
    Extractor,
    Settings,
    cache,
    dataset,
    distilled,
    evaluation,
    held_out,
    learnable,
    leaves_picker,
    mission,
    mo,
    prompts,
    rounds_picker,
    sizes,
    teacher_of,
    time,
    unlabelled,
):
    _settings = Settings(rounds=rounds_picker.value, leaves=leaves_picker.value)
    _labels = dataset.labels("train")
    curve, costs, last_extractions = {}, {}, []
    for _size in mo.status.progress_bar(sizes, title="Training on more documents", remove_on_exit=True):
        _extractor = Extractor.train(learnable[:_size], _labels, mission, prompts, _settings)
        _variants = {"rankers": _extractor.without_encoder()}
        if _extractor.encoder:
            _variants["with the layout encoder"] = _extractor
        if mission.distil:
            if mission.distil.teacher != "layout_encoder":
                _variants[f"teacher, {mission.distil.teacher}"] = teacher_of(_extractor, mission, prompts, cache)
            _student = distilled(_extractor, learnable[:_size], _labels, unlabelled, mission, prompts, cache=cache)
            _variants["rankers that it taught"] = _student.without_encoder()
            _extractor.extract(held_out)  # so that every variant finds the documents in memory
        for _variant, _model in _variants.items():
            _start = time.perf_counter()
            last_extractions = _model.extract(held_out)
            _seconds, _dollars = time.perf_counter() - _start, sum(one.dollars for one in last_extractions)
            costs[_variant] = _seconds / len(held_out), _dollars / len(held_out)
            _answers = {e.document: {name: value.text for name, value in e.fields.items()} for e in last_extractions}
            _score = evaluation.score({e.document: _labels[e.document] for e in last_extractions}, _answers, mission.kinds)
            curve.setdefault(_variant, []).append((_size, _score.micro))
    return costs, curve, last_extractions


@app.cell(hide_code=True)
def distillation(costs, curve, mission, mo, pd, unlabelled):
    mo.stop(not mission.distil)
    _rows = [
        {
            "reader": variant,
            "F1 with the most documents": round(curve[variant][-1][1].f1, 3),
            "milliseconds a document": round(1000 * seconds, 1),
            "dollars for 1,000 documents": round(1000 * dollars, 2),
        }
        for variant, (seconds, dollars) in costs.items()
    ]
    _about = mo.md(f"""
    ## What the teacher is worth

    The rankers also learn from {len(unlabelled):,} documents without labels, as `{mission.distil.teacher}` reads them (`distil`
    in mission.yaml). What they keep of its F1, and what asking it itself would cost:
    """)
    mo.vstack([_about, mo.ui.table(pd.DataFrame(_rows), selection=None)])
    return


@app.cell(hide_code=True)
def about_the_model(mo):
    mo.md("""
    ## What is released

    If the mission lists the tier `layout_encoder`, a small
    transformer over the texts of a page and their places reads the document as well. A value that both read keeps its score,
    another loses half of it, so that it goes to a person.
    A flag is answered from the words of the whole document.
    With `distil` in mission.yaml, the rankers also learn from documents without labels, as an expensive tier reads them.
    Confidence is calibrated on documents from which the model did not learn. If the calibration split is large enough, it is
    **held out**. Otherwise the calibration is **cross-fitted**: five models are trained, each without a fifth of the labelled
    documents, and calibrated on that fifth; the released model learns from all of them (`slo: evidence` in mission.yaml).
    """)
    return


@app.cell
def what_it_learns_from(Dataset, Prompts, context, missions):
    mission = missions.load(context.params["mission"])
    dataset = Dataset.load(context.upstream["curate"]["dataset"])
    prompts = Prompts.load(context.upstream["prompts"]["prompts"])
    return dataset, mission, prompts


@app.cell
def the_model(
    AUXILIARY,
    Extractor,
    LEARN_FROM,
    Path,
    UNLABELLED,
    Workspace,
    context,
    dataset,
    distilled,
    enough_held_out,
    mission,
    mo,
    prompts,
    save_folds,
):
    cache = Workspace.find(mission.mission, start=Path(__file__).parent).cache
    _checkpoints, unlabelled, _auxiliary = cache / "checkpoints", dataset.beside(UNLABELLED), dataset.beside(AUXILIARY)

    def _train(documents):
        documents = [*documents, *_auxiliary]
        _model = Extractor.train(
            documents, _labels, mission, prompts, classes=_classes, dataset=dataset.version, checkpoints=_checkpoints
        )
        _bar.update()
        return distilled(_model, documents, _labels, unlabelled, mission, prompts, _classes, cache)

    _documents, _folds = dataset.documents(*LEARN_FROM), dataset.folds(enough_held_out(mission.slo))
    _labels, _classes = dataset.labels(*LEARN_FROM, AUXILIARY), dataset.classes(*LEARN_FROM, AUXILIARY)
    _trained = len(_folds) + (len(_folds) > 1)
    with mo.status.progress_bar(total=_trained, title="Training models", remove_on_exit=True) as _bar:
        _models = save_folds(context.product["folds"], _folds, _documents, _train)
        extractor = _models[0] if len(_models) == 1 else _train(_documents)
    extractor.save(context.product["model"])
    return cache, extractor, unlabelled


@app.cell(hide_code=True)
def the_settings(extractor, mo, pd):
    mo.ui.table(
        pd.DataFrame([{"setting": name, "value": value} for name, value in vars(extractor.settings).items()]), selection=None
    )
    return


@app.cell(hide_code=True)
def about_importance(mo):
    mo.md("""
    ## Feature importance
    """)
    return


@app.cell(hide_code=True)
def field_control(mission, mo):
    field_picker = mo.ui.dropdown(list(mission.fields), value=next(iter(mission.fields)), label="field")
    field_picker
    return (field_picker,)


@app.cell(hide_code=True)
def importance(dataset, extractor, field_picker, mission, mo, names, plt):
    mo.stop(
        field_picker.value not in {**extractor.rankers, **extractor.flags},
        mo.md(f"*No training document has a label for {field_picker.value}, so it was not learned.*"),
    )
    if mission.kinds[field_picker.value] == "flag":
        _shares = extractor.flags[field_picker.value].log_odds("yes")
        _ranked = sorted(_shares.items(), key=lambda pair: -abs(pair[1]))
        _label = f"log odds of {field_picker.value} if the phrase occurs (orange: of no)"
    else:
        _features = extractor.reader.read(dataset.documents("train")[0]).kinds[mission.kinds[field_picker.value]]
        _shares = extractor.rankers[field_picker.value].importance(names(_features))
        _ranked, _label = list(_shares.items()), f"share of the gain, {field_picker.value}"
        assert abs(sum(_shares.values()) - 1) < 1e-6
    _top = dict(_ranked[:14][::-1])
    _figure, _axes = plt.subplots(figsize=(7, 3.8))
    _axes.barh(list(_top), list(_top.values()), color=["#2b6cb0" if share >= 0 else "#dd6b20" for share in _top.values()])
    _axes.set_xlabel(_label)
    _axes.spines[["top", "right"]].set_visible(False)
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def about_mistakes(mo):
    mo.md("""
    ## Mistakes on unseen layouts

    From the last point of the curve above. Red: the extractor's choice. The title shows the label.
    """)
    return


@app.cell
def the_mistakes(dataset, evaluation, last_extractions, mission):
    mistakes = [
        (extraction, name)
        for extraction in last_extractions
        for name, label in dataset.entry(extraction.document).labels.items()
        if name in extraction.fields
        and label
        and not evaluation.score({"": {name: label}}, {"": {name: extraction.fields[name].text}}, mission.kinds)
        .fields[name]
        .right
    ]
    return (mistakes,)


@app.cell(hide_code=True)
def mistake_control(mistakes, mo):
    mistake_picker = mo.ui.slider(
        0, max(len(mistakes) - 1, 1), value=0, label=f"mistake, of {len(mistakes)}", show_value=True, full_width=True
    )
    mistake_picker
    return (mistake_picker,)


@app.cell(hide_code=True)
def one_mistake(dataset, documents, mistake_picker, mistakes, mo, plt):
    def _drawn(extraction, name):
        value, document = extraction.fields[name], extraction.document
        page = dataset.document(document).pages[value.place.page]
        figure, axes = plt.subplots(figsize=(7, 7 * page.height / page.width))
        axes.imshow(documents.page_image(dataset.path_of(document), page, 1.3), extent=(0, page.width, page.height, 0))
        box = value.place.box
        axes.add_patch(plt.Rectangle((box.x0, box.y0), box.x1 - box.x0, box.y1 - box.y0, fill=False, ec="#c53030", lw=2))
        axes.set_title(f"{name}: chose {value.text!r}, label {dataset.entry(document).labels[name]!r}", fontsize=10)
        axes.axis("off")
        figure.tight_layout(pad=0.3)
        return figure

    _drawn(*mistakes[min(mistake_picker.value, len(mistakes) - 1)]) if mistakes else mo.md(
        "*No mistake on the held-out documents.*"
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

    from proveout import mission as missions
    from proveout.calibration.thresholds import enough_held_out
    from proveout.corpus import Dataset
    from proveout.corpus.dataset import LEARN_FROM
    from proveout.corpus.labels import AUXILIARY, UNLABELLED
    from proveout.models import Extractor, Settings
    from proveout.models.distillation import distilled, teacher_of
    from proveout.models.tiers import save_folds
    from proveout.prompts import Prompts
    from proveout.workspace import Workspace

    return (
        AUXILIARY,
        Dataset,
        Extractor,
        LEARN_FROM,
        Path,
        Prompts,
        Settings,
        UNLABELLED,
        Workspace,
        distilled,
        enough_held_out,
        missions,
        save_folds,
        teacher_of,
    )


@app.cell(hide_code=True)
def imports_of_the_view():
    import random
    import time

    import marimo as mo
    import matplotlib.pyplot as plt
    import pandas as pd

    from proveout import documents, evaluation
    from proveout.models.ranker import names

    return documents, evaluation, mo, names, pd, plt, random, time


if __name__ == "__main__":
    app.run()
