import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="The corpus")


@app.cell(hide_code=True)
def introduction(mo):
    mo.md("""
    # The corpus

    A folder of documents and a `labels.csv` become one version of a data set:
    words with boxes, labels, splits, near-duplicates.
    It determines what a model can learn and how far its test results can be trusted.
    """)
    return


@app.cell(hide_code=True)
def what_the_data_set_holds(dataset, mo):
    cases = dataset.chosen()
    _days = [entry.case.day for entry in cases if entry.case.day]
    mo.md(
        f"**{len(cases)} cases** in {len(dataset.entries)} files, {dataset.pages:,} pages and {dataset.words:,} words, "
        f"{dataset.ocr_share:.1%} of them by OCR; **{sum(bool(entry.refused) for entry in cases)} refused**; "
        + (f"from {min(_days)} to {max(_days)}." if _days else "no case has a day.")
        + f" Version `{dataset.version}`."
        + (
            f" **{dataset.notes['answers']}** training documents have labels from live answers."
            if dataset.notes["answers"]
            else ""
        )
    )
    return (cases,)


@app.cell(hide_code=True)
def stream_controls(mo):
    by_picker = mo.ui.dropdown(["split", "class", "segment", "layout"], value="split", label="colour by")
    width_picker = mo.ui.slider(7, 60, value=14, step=1, label="days a bar", show_value=True)
    mo.hstack([by_picker, width_picker], justify="start")
    return by_picker, width_picker


@app.cell(hide_code=True)
def the_stream(SPLIT_COLOURS, by_picker, mo, pd, plt, table, width_picker):
    _dated = table.dropna(subset="day")
    mo.stop(_dated.empty, mo.md("*No case has a day, so there is no stream to show.*"))
    _top = _dated[by_picker.value].value_counts().index[:9]  # more colours are hard to tell apart
    _group = _dated[by_picker.value].where(_dated[by_picker.value].isin(_top), "others")
    _first = _dated["day"].min()
    _bin = _first + pd.to_timedelta((_dated["day"] - _first).dt.days // width_picker.value * width_picker.value, unit="D")
    _counts = _dated.assign(group=_group, bin=_bin).groupby(["bin", "group"]).size().unstack(fill_value=0)
    assert int(_counts.to_numpy().sum()) == len(_dated), "every dated case stands in one bar"
    _figure, _axes = plt.subplots(figsize=(9, 3.2))
    _bottom = 0
    for _number, _name in enumerate([name for name in [*_top, "others"] if name in _counts]):
        _color = SPLIT_COLOURS.get(_name, plt.get_cmap("tab10")(_number))
        _axes.bar(_counts.index, _counts[_name], width_picker.value * 0.9, _bottom, label=_name, color=_color)
        _bottom = _bottom + _counts[_name].to_numpy()
    _axes.set(xlabel=f"the case's day; a bar is {width_picker.value} days", ylabel="cases")
    _axes.spines[["top", "right"]].set_visible(False)
    _axes.legend(frameon=False, fontsize=8, ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1))
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def about_the_stream(mo):
    mo.md("""
    A test split should come after the training data, or hold layouts that training lacks. Colour the stream by any column.
    """)
    return


@app.cell
def the_data_set(build_dataset, Path, Workspace, context, missions):
    mission = missions.load(context.params["mission"])
    _home = Workspace.find(mission.mission, start=Path(__file__).parent)
    dataset = build_dataset(  # the cache avoids reading a file twice
        context.params["data"], mission, context.product["dataset"], cache=_home.cache, answers=context.params["answers"]
    )
    return dataset, mission


@app.cell
def every_case_counts_once(cases, dataset, mission, mo):
    assert len({entry.case.id for entry in cases}) == len(cases), "identical files are one case"
    assert all(entry.split for entry in cases), "every case belongs to a split"
    assert {name for entry in cases for name in entry.labels} <= set(mission.fields), "labels belong to fields of the mission"
    assert len(dataset.documents()) == sum(not entry.refused for entry in cases), "every file that is not refused was read"
    mo.md("**Every case counts once:** one split, one document, and only labels of the mission's fields.")
    return


@app.cell
def the_table(cases, pd):
    table = pd.DataFrame(
        {
            "day": [entry.case.day for entry in cases],
            "split": [entry.split for entry in cases],
            "class": [entry.document_class or "unknown" for entry in cases],
            "segment": [entry.case.segment or "unknown" for entry in cases],
            "layout": [entry.layout or "unknown" for entry in cases],
            "labels": [len(entry.labels) for entry in cases],
            "refused": [bool(entry.refused) for entry in cases],
        }
    ).astype({"day": "datetime64[s]"})
    return (table,)


@app.cell(hide_code=True)
def about_layouts(mo):
    mo.md("""
    ## Layouts

    What the tests show that training never saw. A layout with one case teaches nothing that lasts.
    """)
    return


@app.cell(hide_code=True)
def what_training_never_saw(mo, table):
    _trained = set(table.loc[table["split"] == "train", "layout"])
    _tests = table[~table["split"].isin(["train", "calibration"])]
    _unseen = _tests[~_tests["layout"].isin(_trained)]
    _sizes = table["layout"].value_counts()
    assert int(_sizes.sum()) == len(table), "every case has a layout, or the layout `unknown`"
    mo.md(
        f"{len(_sizes)} layouts, {int((_sizes == 1).sum())} of them with a single case. **{len(_unseen)} of {len(_tests)}** "
        f"cases outside of training and calibration have one of {_unseen['layout'].nunique()} layouts that training never saw."
    )
    return


@app.cell(hide_code=True)
def layouts_by_split(SPLIT_COLOURS, plt, table):
    _counts = table.groupby(["layout", "split"]).size().unstack(fill_value=0)
    _counts = _counts.loc[_counts.sum(axis=1).sort_values(ascending=False).index]
    _top = _counts.head(40)
    _figure, _axes = plt.subplots(figsize=(9, 3.2))
    _bottom = 0
    for _name in _top:
        _axes.bar(_top.index, _top[_name], bottom=_bottom, label=_name, color=SPLIT_COLOURS[_name])
        _bottom = _bottom + _top[_name].to_numpy()
    _axes.set(xlabel=f"layout, the {len(_top)} most frequent", ylabel="cases")
    _axes.tick_params(axis="x", rotation=90, labelsize=7)
    _axes.spines[["top", "right"]].set_visible(False)
    _axes.legend(frameon=False, fontsize=8)
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def about_labels(mo):
    mo.md("""
    ## Labels

    A field with few labels can be neither learned nor certified.
    """)
    return


@app.cell(hide_code=True)
def labels_by_split(cases, mission, mo):
    _splits = sorted({entry.split for entry in cases})
    _rows = []
    for _name in mission.fields:
        _counts = {split: sum(_name in entry.labels for entry in cases if entry.split == split) for split in _splits}
        _rows.append({"field": _name, **_counts, "in all": sum(_counts.values())})
    assert sum(row["in all"] for row in _rows) == sum(len(entry.labels) for entry in cases), "every label is counted once"
    mo.ui.table(_rows, selection=None, label="labelled values")
    return


@app.cell(hide_code=True)
def what_the_audit_of_the_labels_says(cases, dataset, mo):
    _verdicts, _blind = dataset.notes["audit"], dataset.notes["blind"]
    _replaced = sum(len(entry.before_audit) for entry in cases)
    _counts = ", ".join(f"{count} {verdict}" for verdict, count in _verdicts.items())
    mo.md(
        f"**Audit of the labels:** {_counts}; {_replaced} labels are replaced. Of {_blind['read']} values drawn at random, "
        f"on which label and model agreed, both were wrong on **{_blind['wrong']}**."
        if _verdicts
        else "*Nobody has audited these labels. After a build, `proveout audit` asks the doubtful ones.*"
    )
    return


@app.cell(hide_code=True)
def about_near_duplicates(mo):
    mo.md("""
    ## Near-duplicates

    Identical files are one case. Nearly identical text in two splits inflates test results: remove such a case or move it.
    Lower the similarity to see more pairs.
    """)
    return


@app.cell(hide_code=True)
def similarity_control(mo):
    alike_picker = mo.ui.slider(
        0.5, 0.95, value=0.85, step=0.05, label="similarity at least (Jaccard of word n-grams)", show_value=True
    )
    alike_picker
    return (alike_picker,)


@app.cell(hide_code=True)
def near_duplicates(alike_picker, crossing, dataset, mo):
    _pairs = dataset.near_duplicates(alike_picker.value)
    _across = [(one, other) for one, other in _pairs if one.split != other.split]
    if alike_picker.value == 0.85:
        _kept = {(one.case.id, other.case.id) for one, other in crossing(dataset.chosen())}
        assert {(one.case.id, other.case.id) for one, other in _across} == _kept, "the data set records the same pairs"
    _rows = [
        {"case": one.case.path, "split": one.split, "similar to": other.case.path, "its split": other.split}
        for one, other in _across or _pairs
    ]
    mo.vstack(
        [
            mo.md(
                f"{sum(bool(entry.duplicate_of) for entry in dataset.entries)} identical copies. At similarity "
                f"{alike_picker.value:.2f}: {len(_pairs)} pairs of near-duplicates, **{len(_across)} of them across splits**."
            ),
            mo.ui.table(_rows, selection=None, page_size=8) if _rows else mo.md("*no near-duplicates*"),
        ]
    )
    return


@app.cell(hide_code=True)
def about_a_page(mo):
    mo.md("""
    ## A page as the models see it

    Words with their boxes, in reading order: nothing else of a file reaches a model. Red words have low OCR confidence.
    """)
    return


@app.cell(hide_code=True)
def page_controls(dataset, mo):
    _readable = [entry for entry in dataset.chosen() if not entry.refused]
    case_picker = mo.ui.dropdown(
        {entry.case.path: entry.case.id for entry in _readable}, value=_readable[0].case.path, label="case", searchable=True
    )
    drawn_picker = mo.ui.dropdown(["words", "lines", "nothing"], value="words", label="draw")
    find_box = mo.ui.text(label="find", placeholder="words that contain ...")
    mo.hstack([case_picker, drawn_picker, find_box], justify="start", wrap=True)
    return case_picker, drawn_picker, find_box


@app.cell(hide_code=True)
def page_control(case_picker, dataset, mo):
    _pages = dataset.document(case_picker.value).pages
    page_picker = mo.ui.dropdown({str(page.number + 1): page for page in _pages}, value="1", label="page")
    page_picker
    return (page_picker,)


@app.cell(hide_code=True)
def about_the_page(case_picker, dataset, find_box, mo, page_picker):
    _document, _entry = dataset.document(case_picker.value), dataset.entry(case_picker.value)
    _page = page_picker.value
    _sources = sorted({word.source.value for word in _page.words})
    _hits = sum(find_box.value.lower() in word.text.lower() for word in _page.words) if find_box.value else 0
    mo.md(
        f"**Page {_page.number + 1} of {len(_document.pages)}**: {len(_page.words)} words, {' and '.join(_sources) or 'none'}"
        + (f", rotated by {_page.turned:g} degrees" if _page.turned else "")
        + (f", {_hits} with {find_box.value!r}" if find_box.value else "")
        + f". Split {_entry.split}, layout {_entry.layout or 'unknown'}, class {_entry.document_class or 'unknown'}. "
        + "; ".join(f"{name}: **{value}**" for name, value in _entry.labels.items())
    )
    return


@app.cell(hide_code=True)
def words_on_the_page(Box, case_picker, dataset, documents, drawn_picker, find_box, page_picker, plt):
    _document = dataset.document(case_picker.value)
    _page = page_picker.value
    _inside = [
        -2 <= word.box.x0 <= word.box.x1 <= _page.width + 2 and word.box.y0 <= _page.height and word.box.y1 >= 0
        for word in _page.words
    ]
    assert sum(_inside) >= 0.99 * len(_inside), "words lie within their page"
    _figure, _axes = plt.subplots(figsize=(9, 9 * _page.height / _page.width))
    _image = documents.page_image(dataset.path_of(_document.sha256), _page, scale=min(1.6, 1200 / _page.width))
    _axes.imshow(_image, extent=(0, _page.width, _page.height, 0))

    def _outline(words, color, width):
        _box = Box.around(words)
        _size = _box.x1 - _box.x0, _box.y1 - _box.y0
        _axes.add_patch(plt.Rectangle((_box.x0, _box.y0), *_size, fill=False, ec=color, lw=width))

    if drawn_picker.value == "lines":
        for _line in documents.lines(_page):
            _outline(_line, "#2b6cb0", 0.8)
    if drawn_picker.value == "words":
        for _word in _page.words:
            _outline([_word], plt.get_cmap("RdYlGn")((_word.confidence - 0.5) * 2), 0.8)
    for _word in _page.words:
        if find_box.value and find_box.value.lower() in _word.text.lower():
            _outline([_word], "#d53f8c", 2.5)
    _axes.axis("off")
    _figure.tight_layout(pad=0)
    _figure
    return


@app.cell(hide_code=True)
def about_refused_files(mo):
    mo.md("""
    ## Refused files
    """)
    return


@app.cell(hide_code=True)
def refused_files(dataset, mo):
    _refused = [{"file": entry.case.path, "because": entry.refused} for entry in dataset.entries if entry.refused]
    assert all(row["because"] for row in _refused), "every refusal has a reason"
    mo.ui.table(_refused, selection=None) if _refused else mo.md("None: every file was read.")
    return


@app.cell(hide_code=True)
def the_card(dataset, mo):
    mo.accordion({"The data card": mo.md(dataset.card)})
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
    from proveout.corpus import build_dataset
    from proveout.workspace import Workspace

    return build_dataset, Path, Workspace, missions


@app.cell(hide_code=True)
def imports_of_the_view():
    import marimo as mo
    import matplotlib.pyplot as plt
    import pandas as pd

    from proveout import documents
    from proveout.corpus.card import crossing
    from proveout.corpus.labels import SPLIT_COLOURS
    from proveout.records import Box

    return SPLIT_COLOURS, Box, crossing, documents, mo, pd, plt


if __name__ == "__main__":
    app.run()
