import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Prompts")


@app.cell(hide_code=True)
def introduction(mo):
    mo.md("""
    # Prompts

    Edit the texts below and the scores update. Your edits are a draft until you save them; the step's product comes from the
    files.
    """)
    return


@app.cell(hide_code=True)
def the_draft_and_the_files(draft, mistake, mo, prompts):
    if mistake:
        _status = f"**The draft is invalid**; the scores below are those of the files. {mistake}"
    elif draft.version == prompts.version:
        _status = f"The draft equals the files: version `{draft.version}`."
    else:
        _status = f"The draft is version **`{draft.version}`**, the files are `{prompts.version}`."
    _same = bool(mistake) or draft.version == prompts.version
    save_button = mo.ui.run_button(label="save the draft to the files", disabled=_same)
    mo.hstack([mo.md(_status), save_button])
    return (save_button,)


@app.cell(hide_code=True)
def saved_to_the_files(Prompts, context, draft, examples_box, fields_box, mission, mo, own_versions, save_button):
    from proveout.bridge import freshness
    from proveout.bridge.context import environment
    from proveout.files import write_whole

    mo.stop(not save_button.value)
    _now = Prompts.load(context.params["prompts"], mission).version
    _other = f"**Not saved:** the files are version `{_now}` by now, so somebody else changed them. Open the notebook again."
    mo.stop(_now not in own_versions, mo.md(_other))
    own_versions.add(draft.version)
    write_whole(context.params["prompts"] / "fields.yaml", fields_box.value)
    write_whole(context.params["prompts"] / "examples.yaml", examples_box.value)
    _stale = {name: why for name, why in freshness(context.spec, environment()).items() if why} if context.spec else {}
    _steps = "\n".join(f"- **{name}**: {why}" for name, why in _stale.items())
    _again = "Open the notebook again to compare with it."
    mo.md(f"Saved in {context.params['prompts']}. `proveout build` now runs\n\n{_steps}\n\n{_again}")
    return


@app.cell(hide_code=True)
def scores_by_field(draft_score, mission, plt, saved_score):
    _figure, _axes = plt.subplots(figsize=(8, 2.1))
    for _at, _name in enumerate(mission.fields):
        for _offset, _score, _color in ((-0.19, saved_score, "#a0aec0"), (0.19, draft_score, "#2b6cb0")):
            _f1 = _score.fields[_name].f1 if _name in _score.fields else float("nan")
            _axes.bar(_at + _offset, 0 if _f1 != _f1 else _f1, 0.36, color=_color)
            _axes.text(_at + _offset, (0 if _f1 != _f1 else _f1) + 0.02, f"{_f1:.2f}", ha="center", fontsize=8)
    _axes.set_xticks(range(len(mission.fields)), mission.fields)
    _axes.set(ylim=(0, 1.1), ylabel="F1 of the phrases alone")
    _axes.set_title(f"files {saved_score.micro.f1:.3f} (grey), draft {draft_score.micro.f1:.3f} (blue), all fields", fontsize=9)
    _axes.spines[["top", "right"]].set_visible(False)
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def the_texts(context, mo):
    def _box(_name, _without):
        _file = context.params["prompts"] / _name
        _text = _file.read_text() if _file.exists() else _without
        return mo.ui.text_area(_text, rows=14, label=_name, full_width=True)

    fields_box, examples_box = _box("fields.yaml", ""), _box("examples.yaml", "[]\n")
    mo.hstack([fields_box, examples_box], widths="equal")
    return examples_box, fields_box


@app.cell(hide_code=True)
def about_the_scores(mo):
    mo.md("""
    ## Scores of the phrases alone

    A field's **labels** are the phrases printed beside its value; its **not_labels** are printed beside wrong answers. They
    segment the page, find candidates and are features of the ranker. Descriptions and examples go to a language model, if the
    mission has one. A flag's labels are evidence for yes, anywhere in the text, and its not_labels for no.

    The scores are those of a rule that only picks the value with the most similar label, the baseline for training. A field
    with a low score here lacks a label or a `not_label`.
    """)
    return


@app.cell(hide_code=True)
def descriptions_and_scores(draft, draft_score, mo, saved_score):
    _rows = []
    for _name, _prompt in draft.fields.items():
        _counts = draft_score.fields.get(_name)
        if _counts is None:
            continue
        _rows.append(
            {
                "field": _name,
                "description": _prompt.description.strip(),
                "labels": len(_prompt.labels),
                "right": _counts.right,
                "wrong": _counts.answered - _counts.right,
                "no answer": _counts.labelled - _counts.answered,
                "F1": f"{_counts.f1:.3f}",
                "change from the files": f"{_counts.f1 - saved_score.fields[_name].f1:+.3f}",
            }
        )
    mo.ui.table(_rows, selection=None)
    return


@app.cell
def the_prompts(Prompts, context, missions, pinned):
    mission = missions.load(context.params["mission"])
    prompts = Prompts.load(context.params["prompts"], mission)
    pinned(prompts).save(context.product["prompts"])
    return mission, prompts


@app.cell
def the_draft(BadPrompts, Path, Prompts, examples_box, fields_box, context, mission, prompts, shutil, tempfile):
    with tempfile.TemporaryDirectory() as _folder:
        shutil.copytree(context.params["prompts"], _folder, dirs_exist_ok=True)
        Path(_folder, "fields.yaml").write_text(fields_box.value)
        Path(_folder, "examples.yaml").write_text(examples_box.value)
        try:
            draft, mistake = Prompts.load(_folder, mission), ""
        except BadPrompts as error:
            draft, mistake = prompts, str(error).replace(f"{_folder}/", "")
    return draft, mistake


@app.cell
def versions_of_this_notebook(prompts):
    own_versions = {prompts.version}  # of the files, as this notebook has read or written them
    return (own_versions,)


@app.cell
def the_sample(Dataset, context):
    SAMPLE = 40  # documents of the train split: enough to see an effect, few enough to respond at once
    dataset = Dataset.load(context.upstream["curate"]["dataset"])
    gold = dataset.labels("train")
    sample = sorted((document for document in dataset.documents("train") if gold.get(document.sha256)), key=lambda d: d.sha256)[
        :SAMPLE
    ]
    return dataset, gold, sample


@app.cell
def a_rule_without_training(LabelPhrases, Printing, SLOTS, flags, gold, mission, np, document_features, sample, score):
    valued = {name: kind for name, kind in mission.kinds.items() if kind != "flag"}
    BESIDE = [at for at, slot in enumerate(SLOTS) if slot not in ("right", "below")]

    def by_labels_alone(prompts):
        """Score a rule that uses only the phrases: the answer is the value with the most similar label.

        A flag follows its phrases; without any it is no.
        """
        groups = {}
        for name in valued:
            groups[name], groups[f"not {name}"] = prompts.fields[name].labels, prompts.fields[name].not_labels
        unvalued = {name: prompts.fields[name] for name in mission.fields if name not in valued}
        flag_rules = {name: flags.flag_of(prompt.labels, prompt.not_labels) for name, prompt in unvalued.items()}
        labels, order = LabelPhrases(groups), list(groups)
        phrases = sorted({phrase for group in groups.values() for phrase in group})
        names = [phrase for name, kind in valued.items() if kind == "name" for phrase in prompts.fields[name].labels]
        answers, features, printing = {}, [], Printing.of(mission)
        for document in sample:
            features.append(document_features(document, list(valued.values()), labels, phrases, names, printing))
            answers[document.sha256] = {name: flag.classify(features[-1].segments)[0] for name, flag in flag_rules.items()}
            for name, kind in valued.items():
                of_kind = features[-1].kinds[kind]
                if not of_kind.candidates:
                    continue
                near = of_kind.similar[:, BESIDE, order.index(name)].max(axis=1)
                against = of_kind.similar[:, BESIDE, order.index(f"not {name}")].max(axis=1)
                taken = [candidate.text in answers[document.sha256].values() for candidate in of_kind.candidates]
                weight = near - 0.5 * against - 9 * np.array(taken)  # two fields rarely share one value
                best = int(weight.argmax()) if kind != "amount" else len(weight) - 1 - int(weight[::-1].argmax())
                if near[best] > 0.5:
                    answers[document.sha256][name] = of_kind.candidates[best].text
        return score({document.sha256: gold[document.sha256] for document in sample}, answers, mission.kinds), features

    return BESIDE, by_labels_alone


@app.cell
def the_scores(by_labels_alone, draft, prompts):
    saved_score, _ = by_labels_alone(prompts)
    draft_score, features = (saved_score, _) if draft.version == prompts.version else by_labels_alone(draft)
    return draft_score, features, saved_score


@app.cell(hide_code=True)
def about_the_phrases(mo):
    mo.md("""
    ## Which phrases help?

    For every phrase of a field: how often it is next to the right value, and how often next to a wrong one. For a flag: in how
    many documents it agrees with the label, and in how many it does not.
    """)
    return


@app.cell(hide_code=True)
def field_control(mission, mo):
    field_picker = mo.ui.dropdown(list(mission.fields), value=next(iter(mission.fields)), label="field")
    field_picker
    return (field_picker,)


@app.cell(hide_code=True)
def phrases_beside_values(BESIDE, LabelPhrases, draft, field_picker, features, flags, gold, mission, mo, same):
    _name = field_picker.value
    _kind, _prompt = mission.kinds[_name], draft.fields[_name]
    _labels = LabelPhrases({phrase: [phrase] for phrase in (*_prompt.labels, *_prompt.not_labels)})
    _beside = {phrase: [0, 0] for phrase in _labels.groups}
    for _document in features if _kind == "flag" else ():
        _flag = flags.flag_of(_prompt.labels, _prompt.not_labels)
        for _phrase in {text for _, text, _ in _flag.evidence_for(_document.segments, "yes")}:
            _beside[_phrase][gold[_document.sha256].get(_name) == ("yes" if _phrase in _prompt.labels else "no")] += 1
    for _document in features if _kind != "flag" else ():
        _label = gold[_document.sha256].get(_name, "")
        for _candidate, _texts in zip(_document.kinds[_kind].candidates, _document.kinds[_kind].neighbours, strict=True):
            _right = bool(_label) and same(_kind, _label, _candidate.text)
            for _at in BESIDE:
                if _texts[_at]:
                    _near = _labels.similarity(_texts[_at])
                    if _near.max() > 0.8:
                        _beside[_labels.groups[int(_near.argmax())]][_right] += 1
    mo.ui.table(
        [
            {
                "phrase": phrase,
                "listed as": "label" if phrase in _prompt.labels else "not a label",
                "beside right": r,
                "beside wrong": w,
            }
            for phrase, (w, r) in _beside.items()
        ],
        selection=None,
        page_size=30,
    )
    return


@app.cell(hide_code=True)
def about_training(mo):
    mo.md("""
    ## Does it help after training?

    Press to train the extractor on two thirds of the sample, with the files and with the draft, and score both on the rest.
    """)
    return


@app.cell(hide_code=True)
def training_control(mo):
    train_button = mo.ui.run_button(label="train on a fold")
    train_button
    return (train_button,)


@app.cell(hide_code=True)
def trained_on_a_fold(Extractor, draft, gold, mission, mo, prompts, sample, score, train_button):
    def _trained(prompts):
        train, test = sample[: 2 * len(sample) // 3], sample[2 * len(sample) // 3 :]
        extractions = Extractor.train(train, gold, mission, prompts).extract(test)
        answers = {e.document: {name: proposal.text for name, proposal in e.fields.items()} for e in extractions}
        return score({document.sha256: gold[document.sha256] for document in test}, answers, mission.kinds).micro.f1

    if train_button.value:
        _files, _draft = _trained(prompts), _trained(draft)
        _view = mo.hstack(
            [mo.stat(f"{_files:.3f}", label="micro-F1, files"), mo.stat(f"{_draft:.3f}", label="micro-F1, draft")]
        )
    else:
        _view = mo.md("*not trained yet*")
    _view
    return


@app.cell(hide_code=True)
def about_the_search(mo):
    mo.md("""
    ## Search better phrases

    Proposes phrases from the training documents: texts beside right values that no label resembles, texts beside values that
    were taken wrongly, and phrases that are only beside wrong ones. Each change of the **draft** is scored by models that
    learned from no document of the same layout; "precise" is the share of the values above the best threshold for the target
    precision, "certified" what these documents could promise. Of many scores the best is too good by chance: look at how many
    values a change turned right and wrong, choose what makes sense to you, and write it into the draft above. Every score is
    kept in `prompt_trials.jsonl` of the workspace.
    """)
    return


@app.cell(hide_code=True)
def table_of_trials(mo):
    def trials_table(trials):
        """What was tried, and what it was worth."""
        mean = lambda shares: f"{sum(shares.values()) / max(1, len(shares)):.1%}"  # noqa: E731
        rows = [
            {
                "change": ", ".join(trial.changes) or "none: the draft",
                "F1": f"{trial.f1:.4f}",
                "turned right": trial.turned_right,
                "turned wrong": trial.turned_wrong,
                "precise": mean(trial.precise),
                "certified": mean(trial.certified),
                "seconds": f"{trial.seconds:.0f}",
                "tokens": f"{trial.tokens:,}",
            }
            for trial in trials
        ]
        return mo.ui.table(rows, selection=None, page_size=50, wrapped_columns=["change"])

    return (trials_table,)


@app.cell(hide_code=True)
def search_controls(mo):
    trials_slider = mo.ui.slider(2, 40, value=5, label="trials", show_value=True)
    search_button = mo.ui.run_button(label="search")
    mo.hstack([trials_slider, search_button], justify="start")
    return search_button, trials_slider


@app.cell(hide_code=True)
def phrases_that_were_tried(Path, Workspace, dataset, draft, gold, mission, mo, search_button, trials_slider, trials_table):
    from proveout.agent.prompt_search import search

    mo.stop(not search_button.value, mo.md(f"*not searched yet; {3 * trials_slider.value + 3} trainings at most*"))
    _documents = dataset.documents("train")
    _layouts = {document.sha256: dataset.entry(document.sha256).layout for document in _documents}
    _file = Workspace.find(mission.mission, start=Path(__file__).parent).home / "prompt_trials.jsonl"
    with mo.status.progress_bar(
        total=trials_slider.value + 1, title="Training with other phrases", remove_on_exit=True
    ) as _bar:
        _trials = search(_documents, gold, _layouts, mission, draft, trials_slider.value, _file, advance=lambda: _bar.update())
    trials_table(_trials)
    return


@app.cell(hide_code=True)
def about_the_language_model(mo):
    mo.md("""
    ## What a language model reads and answers

    The template filled with a document of the sample. The document's text is inside a fence that it cannot close. With
    `past_cases` in model.yaml, the examples are answered cases with a similar form, from memory. If the prompts have a
    `model.yaml`, the model answers the draft; what it has answered before is kept. A local model without a GPU takes some
    seconds for a page: you can go on typing, which withdraws the question, or cancel it.
    """)
    return


@app.cell(hide_code=True)
def document_control(mo, sample):
    document_slider = mo.ui.slider(0, max(0, len(sample) - 1), label="document", show_value=True)
    document_slider
    return (document_slider,)


@app.cell
def the_memory(context, prompts):
    wanted_cases = prompts.model.past_cases if prompts.model else 0
    memory = None
    if wanted_cases:
        from proveout.retrieval import Memory

        memory = Memory.open(context.upstream["retrieval"]["index"], store="")
    return memory, wanted_cases


@app.cell
def the_past_cases(document_slider, memory, sample, wanted_cases):
    # the answered cases that the prompt shows
    past = memory.answered([sample[document_slider.value]], wanted_cases)[0] if memory and sample else ()
    return (past,)


@app.cell(hide_code=True)
def the_filled_template(document_slider, draft, mission, mo, past, sample):
    from proveout.models.language_model import messages_about

    if sample:
        _messages = messages_about(sample[document_slider.value], draft, mission, past)
        assert [_role for _role, _ in _messages][-1] == "user", "the document comes last, as the user's message"
        _view = mo.accordion({f"{role}, {len(text):,} characters": mo.plain_text(text) for role, text in _messages})
    else:
        _view = mo.md("*no labelled document in the train split*")
    _view
    return


@app.cell(hide_code=True)
def asking_control(context, mo, prompts):
    ask_switch = mo.ui.switch(bool(prompts.model and context.spec), label="ask while you type")  # off in a build
    cancel_button = mo.ui.run_button(label="cancel")
    _without = mo.md("*The prompts have no `model.yaml`, so no language model is asked.*")
    mo.hstack([ask_switch, cancel_button], justify="start") if prompts.model else _without
    return ask_switch, cancel_button


@app.cell
def the_model(Path, Workspace, mission, mo, prompts):
    from functools import cache

    from proveout.models.language_model import Cancel, LanguageModelTier, chat_model

    @cache
    def language_model():
        """Loaded when it is asked first."""
        with mo.status.spinner("Loading the language model", remove_on_exit=True):
            return chat_model(prompts.model, Workspace.find(mission.mission, start=Path(__file__).parent).cache)

    return Cancel, LanguageModelTier, language_model


@app.cell(hide_code=True)
def table_of_answers(gold, mission, mo, same):
    def answers_table(reply, document):
        """A language model's values of one document beside the labels, and what they cost."""
        rows = ["| field | answer | raw score | label | right |", "|:---|:---|---:|:---|:---|"]
        for name, kind in mission.kinds.items():
            value, label = reply.extraction.fields.get(name), gold[document.sha256].get(name, "")
            right = "" if not label else "yes" if value and same(kind, label, value.text) else "**no**"
            cells = [name, value.text if value else "", f"{value.score:.3f}" if value else "", label, right]
            rows.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
        calls, refused = reply.calls, "".join(f"\n- {problem}" for problem in reply.extraction.refused)
        tokens, seconds = sum(call.tokens for call in calls), sum(call.seconds for call in calls)
        cost = f"calls: {len(calls)}, tokens: {tokens:,}, {seconds:.1f} s" + (f"; refused:\n{refused}" if refused else "")
        return mo.md("\n".join([f"class: {reply.extraction.document_class or 'none'}", "", *rows, "", cost]))

    return (answers_table,)


@app.cell(hide_code=True)
def what_the_model_answers(
    Cancel,
    LanguageModelTier,
    answers_table,
    ask_switch,
    cancel_button,
    document_slider,
    draft,
    language_model,
    mission,
    mo,
    past,
    sample,
):
    def _ask(document):
        thread = mo.current_thread()  # whatever this cell depends on ends it: another draft, another document, "cancel"
        cancel = {"callbacks": [Cancel(lambda: thread.should_exit)]}
        reply = LanguageModelTier(_model, draft, mission, draft.model).read(document, past, cancel)
        if not thread.should_exit:
            mo.output.replace(answers_table(reply, document))

    mo.stop(not (ask_switch.value and sample))
    mo.stop(cancel_button.value, mo.md("*Cancelled; edit the draft or choose another document to ask again.*"))
    _model = language_model()
    mo.output.replace(mo.md("*The language model reads …*"))
    mo.Thread(target=_ask, args=[sample[document_slider.value]]).start()
    return


@app.cell(hide_code=True)
def about_descriptions(mo):
    mo.md("""
    ## Search better descriptions

    The language model sees some of its own mistakes in a field and writes a better description; other numbers of past cases
    are tried as well. Each change of the **draft** is scored on documents that the model did not see for it. As above, choose
    what makes sense to you and write it into the draft, or `past_cases` into model.yaml. Half of the documents show mistakes,
    the other half scores. No trial begins that would take more tokens than you allow, by those before.
    """)
    return


@app.cell(hide_code=True)
def description_controls(mo, prompts, sample):
    described_slider = mo.ui.slider(2, 20, value=5, label="trials", show_value=True)
    asked_slider = mo.ui.slider(2, max(3, len(sample)), value=max(2, min(12, len(sample))), label="documents", show_value=True)
    tokens_slider = mo.ui.slider(50, 2000, 50, value=200, label="thousand tokens at most", show_value=True)
    describe_button = mo.ui.run_button(label="search")
    _controls = mo.hstack([described_slider, asked_slider, tokens_slider, describe_button], justify="start")
    _controls if prompts.model else mo.md("*The prompts have no `model.yaml`, so there is no language model to describe to.*")
    return asked_slider, describe_button, described_slider, tokens_slider


@app.cell(hide_code=True)
def descriptions_that_were_tried(
    LanguageModelTier,
    Path,
    Workspace,
    asked_slider,
    context,
    dataset,
    describe_button,
    described_slider,
    draft,
    gold,
    language_model,
    mission,
    mo,
    prompts,
    sample,
    tokens_slider,
    trials_table,
):
    from math import inf

    from proveout.agent.description_search import search_descriptions
    from proveout.retrieval import Memory as _Memory

    _questions = asked_slider.value * (described_slider.value + 1) // 2
    mo.stop(not prompts.model)
    mo.stop(not describe_button.value, mo.md(f"*not searched yet; about {_questions} documents are asked about, at most*"))
    _memory = _Memory.open(context.upstream["retrieval"]["index"], store="")
    _copies = {id: group for fold in dataset.folds(inf) for group in fold for id in group}
    with mo.status.progress_bar(
        total=described_slider.value, title="Asking with other descriptions", remove_on_exit=True
    ) as _bar:
        _trials = search_descriptions(
            LanguageModelTier(language_model(), draft, mission, draft.model),
            sample[: asked_slider.value],
            gold,
            described_slider.value,
            Workspace.find(mission.mission, start=Path(__file__).parent).home / "prompt_trials.jsonl",
            1000 * tokens_slider.value,
            lambda documents, k: _memory.answered(documents, k, without=_copies),
            _bar.update,
        )
    trials_table(_trials)
    return


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def imports_of_the_step():
    from proveout import mission as missions
    from proveout.models.language_model import pinned
    from proveout.prompts import Prompts

    return Prompts, missions, pinned


@app.cell(hide_code=True)
def imports_of_the_view():
    import shutil
    import tempfile
    from pathlib import Path

    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np

    from proveout.corpus import Dataset
    from proveout.errors import BadPrompts
    from proveout.evaluation import score
    from proveout.models import Extractor, flags
    from proveout.models.features import SLOTS, Printing, document_features
    from proveout.models.label_phrases import LabelPhrases
    from proveout.values import same
    from proveout.workspace import Workspace

    return (
        BadPrompts,
        Dataset,
        Extractor,
        LabelPhrases,
        Path,
        Workspace,
        Printing,
        SLOTS,
        flags,
        mo,
        np,
        plt,
        document_features,
        same,
        score,
        shutil,
        tempfile,
    )


if __name__ == "__main__":
    app.run()
