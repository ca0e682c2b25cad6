import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Retrieval")


@app.cell(hide_code=True)
def introduction(mo):
    mo.md("""
    # Retrieval: similar past cases

    The memory starts with the labelled cases of the **train** split. A new document finds past cases by *meaning* (vectors
    of its first page's words, without numbers) and by *words*, fused by reciprocal rank. The queries here are the cases of
    the **calibration** split: how often is a past case of the same layout, or of the same party, among the first k?
    """)
    return


@app.cell(hide_code=True)
def the_verdict(hits, k_slider, memory, mo, recall, shared):
    _shares = {_what: recall(hits("both, fused", _of))[k_slider.value - 1] for _what, _of in shared.items()}
    _each = [f"one of the **{_what}: {_share:.0%}**" for _what, _share in _shares.items() if _share == _share]
    mo.md(
        f"How often the first {k_slider.value} of {memory.position} past cases, by meaning and words together, hold "
        + ("; ".join(_each) + "." if _each else "a match: no query has one in memory.")
    )
    return


@app.cell(hide_code=True)
def depth_control(DEPTH, mo):
    k_slider = mo.ui.slider(1, DEPTH, value=5, label="k, past cases", show_value=True, full_width=True)
    k_slider
    return (k_slider,)


@app.cell(hide_code=True)
def recall_curves(DEPTH, hits, k_slider, np, plt, recall, shared, ways):
    _figure, _grid = plt.subplots(1, len(shared), figsize=(4.5 * len(shared), 2.9), sharey=True, squeeze=False)
    _axes = _grid[0]
    _colors = dict(zip(ways, ("#718096", "#dd6b20", "#2b6cb0"), strict=True))
    for _ax, (_what, _value_of) in zip(_axes, shared.items(), strict=True):
        for _name in ways:
            _rows = hits(_name, _value_of)
            _ax.plot(range(1, DEPTH + 1), recall(_rows), "o-", ms=3, color=_colors[_name], label=_name)
        _ax.axvline(k_slider.value, color="#a0aec0", lw=1, ls="--")
        _ax.set_title(f"{_what}: {len(_rows)} queries with a match in memory", fontsize=9)
        _ax.set_xlabel("k, past cases looked at")
        _ax.set_xticks([1, *range(5, DEPTH + 1, 5)])
        _ax.spines[["top", "right"]].set_visible(False)
        _curve = recall(_rows)
        assert np.isnan(_curve).all() or (np.diff(_curve) >= 0).all(), "recall never falls as k grows"
    _axes[0].set(ylabel="recall among the first k", ylim=(0, 1.03))
    _axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def the_choice(hits, k_slider, mo, recall, shared, ways):
    _rows = []
    for _name in ways:
        _row = {"method": _name}
        for _what, _value_of in shared.items():
            _hits = hits(_name, _value_of)
            _row[f"{_what}: among the first {k_slider.value}"] = f"{recall(_hits)[k_slider.value - 1]:.0%}"
            _row[f"{_what}: share of them"] = f"{_hits[:, : k_slider.value].mean():.0%}" if len(_hits) else "no query"
        _rows.append(_row)
    mo.ui.table(_rows, selection=None, label="the agent uses 5 past cases, by both methods")
    return


@app.cell(hide_code=True)
def about_the_memory(dataset, memory, mo):
    mo.md(f"""
    **{memory.position}** past cases; id of their records: `{memory.id()}`.
    The queries are documents of the calibration split.
    """)
    return


@app.cell(hide_code=True)
def tokens_control(mo):
    tokens_picker = mo.ui.dropdown({"32": 32, "64": 64, "128": 128, "256": 256}, value="64", label="tokens per document")
    tokens_picker
    return (tokens_picker,)


@app.cell
def the_tokens(tokens_picker):
    tokens = tokens_picker.value
    return (tokens,)


@app.cell
def the_inputs(Dataset, context, missions):
    mission = missions.load(context.params["mission"])
    dataset = Dataset.load(context.upstream["curate"]["dataset"])
    return dataset, mission


@app.cell
def the_records(MemoryRecord, dataset, mission, remembered):
    _kinds, _labels, _classes = mission.kinds, dataset.labels("train"), dataset.classes("train")
    records = [
        MemoryRecord(
            case=document.sha256,
            text=document.text,
            fields={
                name: remembered(mission.kinds[name], text) for name, text in _labels.get(document.sha256, {}).items() if text
            },
            document_class=_classes.get(document.sha256, ""),
            origin="label",
            document=document.sha256,
        )
        for document in dataset.documents("train")
    ]
    return (records,)


@app.cell
def the_index(Encoder, Memory, context, records, shutil, tokens):
    encoder = Encoder.load(tokens=tokens)
    memory = Memory.open(context.product["index"], encoder, store="")
    memory.add(records)
    memory.save(context.product["index"])
    _policy = shutil.copyfile(context.params["policy"], context.product["index"] / "policy.md")
    return (memory,)


@app.cell
def the_searches(dataset, memory, np):
    DEPTH = 20
    ways = {"meaning": ("vectors",), "words": ("keywords",), "both, fused": ("vectors", "keywords")}
    questions = [document for document in dataset.documents("calibration") if document.words]
    questions = questions[:: max(1, len(questions) // 120)]  # enough for a curve
    results = {name: memory.search_many(questions, DEPTH, ways=way) for name, way in ways.items()}

    def hits(name, value_of):
        """(queries with a match in memory, DEPTH): whether the case at each rank has the query's value in `value_of`."""
        _values = {value_of.get(record.case) for record in memory.records()} - {None, ""}
        _queries = [at for at, document in enumerate(questions) if value_of.get(document.sha256) in _values]
        rows = np.zeros((len(_queries), DEPTH), dtype=bool)
        for row, at in enumerate(_queries):
            same = [value_of.get(similar.case) == value_of[questions[at].sha256] for similar in results[name][at]]
            rows[row, : len(same)] = same
        return rows

    def recall(rows):
        """(DEPTH,): share of queries with a match among the first k; nan without queries."""
        return np.logical_or.accumulate(rows, axis=1).mean(axis=0) if len(rows) else np.full(DEPTH, np.nan)

    return DEPTH, hits, questions, recall, results, ways


@app.cell
def what_should_be_shared(dataset, mission):
    def _bare(name):
        return "".join(filter(str.isalnum, name.lower()))

    shared = {"same layout": {entry.case.id: entry.layout for entry in dataset.entries}}
    for _name, _kind in mission.kinds.items():
        if _kind == "name":
            shared[f"same {_name}"] = {entry.case.id: _bare(entry.labels.get(_name, "")) for entry in dataset.entries}
    return (shared,)


@app.cell(hide_code=True)
def about_one_query(mo):
    mo.md("""
    ## One query

    Choose a document to see the most similar past cases. A document is never similar to itself.
    """)
    return


@app.cell(hide_code=True)
def query_control(mo, questions):
    question_picker = mo.ui.slider(0, max(0, len(questions) - 1), value=0, label="case", show_value=True, full_width=True)
    question_picker
    return (question_picker,)


@app.cell(hide_code=True)
def neighbours(dataset, results, k_slider, mo, question_picker, questions):
    if questions:
        _query = questions[question_picker.value]
        _rows = [
            {
                "similarity": f"{similar.similarity:.3f}",
                "file": dataset.entry(similar.case).case.path,
                "layout": dataset.entry(similar.case).layout,
                **similar.fields,
            }
            for similar in results["both, fused"][question_picker.value][: k_slider.value]
        ]
        _entry = dataset.entry(_query.sha256)
        _title = mo.md(f"Most similar to **{_entry.case.path}**, layout {_entry.layout or 'unknown'}:")
        assert all(similar.case != _query.sha256 for similar in results["both, fused"][question_picker.value])
        _view = mo.vstack([_title, mo.ui.table(_rows, selection=None)])
    else:
        _view = mo.md("*no document in the calibration split*")
    _view
    return


@app.cell
def a_search_at_a_past_position_sees_only_earlier_cases(memory, questions):
    if questions and memory.position > 1:
        _half = memory.position // 2
        _earlier = {record.case for record in memory.records(_half)}
        _similar = {similar.case for similar in memory.search(questions[0], 10, position=_half)}
        assert _similar <= _earlier, "a search at a position sees only the records before it"
    return


@app.cell(hide_code=True)
def about_the_policy(mo):
    mo.md("""
    ## What does the policy say?

    Ask in plain words. The passages are shown next to decisions; Cedar enforces the rules.
    """)
    return


@app.cell(hide_code=True)
def question_control(mo):
    question_box = mo.ui.text("May it pay an order?", label="question", full_width=True)
    question_box
    return (question_box,)


@app.cell(hide_code=True)
def policy_passages(Encoder, Passages, context, mo, question_box):
    _passages = Passages.read(context.params["policy"], Encoder.load())
    _results = _passages.search(question_box.value or "policy", 3)
    mo.ui.table(
        [{"similarity": f"{score:.2f}", "section": passage.heading, "text": passage.text} for passage, score in _results],
        selection=None,
    )
    return


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def imports_of_the_step():
    import shutil

    from proveout import mission as missions
    from proveout.corpus import Dataset
    from proveout.retrieval import Encoder, Memory, MemoryRecord, Passages
    from proveout.values import remembered

    return Dataset, Encoder, Memory, Passages, MemoryRecord, missions, remembered, shutil


@app.cell(hide_code=True)
def imports_of_the_view():
    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np

    return mo, np, plt


if __name__ == "__main__":
    app.run()
