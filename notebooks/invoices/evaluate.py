import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Evaluation")


@app.cell(hide_code=True)
def introduction(mo):
    mo.md("""
    # Evaluation: the release on held-out documents

    The test splits were fixed in advance. Nothing here feeds back into training, calibration or prompts, so do not tune to
    these numbers.
    """)
    return


@app.cell(hide_code=True)
def the_verdict(metrics, mission, mo, splits):
    def _callout(split):
        _all, _automated = (metrics[split][which]["fields"]["micro"] for which in ("all", "automated"))
        if not _automated["coverage"]:
            return mo.callout(mo.md(f"**{split}**: nothing is automated"), kind="neutral")
        _precision, _target = _automated["precision"], mission.slo.precision
        _text = f"**{split}**: {_automated['coverage']:.0%} of the values are automated, **{_precision:.1%}** of them right "
        _text += f"(target {mission.slo.precision_text}); F1 of all answers {_all['f1']:.3f}."
        return mo.callout(mo.md(_text), kind="success" if _precision >= _target else "danger")

    mo.vstack([_callout(split) for split in splits])
    return


@app.cell(hide_code=True)
def group_controls(mo, splits):
    split_picker = mo.ui.dropdown(splits, value=splits[0], label="split")
    group_picker = mo.ui.dropdown(["layout", "segment", "document class", "field"], value="field", label="by")
    mo.hstack([split_picker, group_picker], justify="start")
    return group_picker, split_picker


@app.cell(hide_code=True)
def right_by_group(SPLIT_COLOURS, answers, evaluation, group_picker, plt, split_picker):
    _part = answers[answers["split"] == split_picker.value]
    _groups = _part.groupby(group_picker.value)["right"].agg(["sum", "count"]).sort_values("count").tail(25)
    _figure, _axes = plt.subplots(figsize=(8, 0.32 * len(_groups) + 1))
    _lowest = 1.0
    for _at, (_name, _row) in enumerate(_groups.iterrows()):
        _low, _high = evaluation.interval(int(_row["sum"]), int(_row["count"]))
        _lowest = min(_lowest, _low)
        _axes.plot([_low, _high], [_at, _at], color="#a0aec0", lw=3, solid_capstyle="round")
        _axes.plot(_row["sum"] / _row["count"], _at, "o", color=SPLIT_COLOURS[split_picker.value])
    _axes.set_yticks(range(len(_groups)), [f"{name} ({int(count)})" for name, count in _groups["count"].items()])
    _axes.set_xlim(_lowest - 0.05 * (1 - _lowest), 1 + 0.05 * (1 - _lowest))
    _axes.set_xlabel(f"share of right values, {split_picker.value}")
    _axes.spines[["top", "right"]].set_visible(False)
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def about_where_it_is_wrong(mo):
    mo.md("""
    The dots show the share of right answers, the bars 95 % intervals. Work next on a group whose bar is entirely left of the
    others.
    """)
    return


@app.cell
def the_release(Dataset, Memory, Parts, Path, Workspace, assemble, context, missions):
    mission = missions.load(context.params["mission"])
    dataset = Dataset.load(context.upstream["curate"]["dataset"])
    _parts = Parts(
        context.params["mission"],
        context.upstream["prompts"]["prompts"],
        context.upstream["models"]["model"],
        context.upstream["calibrate"]["calibration"],
        context.upstream["decide"]["steps"],
    )
    _memory = Memory.open(context.upstream["retrieval"]["index"], store="")
    _home = Workspace.find(mission.mission, start=Path(__file__).parent)
    agent = assemble(_parts, _memory, cache=_home.cache, original=dataset.original)
    return agent, dataset, mission


@app.cell
def the_predictions(agent, dataset):
    splits = sorted({entry.split for entry in dataset.chosen("test")})
    decisions = {split: agent.batch(dataset.documents(split)) for split in splits}
    predictions = {
        decision.case: {
            name: {"value": value.text, "confidence": round(value.confidence, 4), "automated": name in decision.automated}
            for name, value in decision.fields.items()
        }
        for split in splits
        for decision in decisions[split]
    }
    return decisions, predictions, splits


@app.cell
def the_decisions(dataset, decisions, context, mission, splits, write_labelled_log):
    _all = [decision for split in splits for decision in decisions[split]]
    _ = write_labelled_log(_all, dataset, context.product["decisions"], mission)
    return


@app.cell
def regression_cases(agent, context, regression):
    regressions = regression.results(agent, context.params["regression"])
    return (regressions,)


@app.cell
def removed_values(agent, dataset, decisions, removals, splits):
    removed = [each for split in splits for each in removals(agent, dataset.documents(split), decisions[split])]
    return (removed,)


@app.cell
def the_metrics(dataset, decisions, evaluation, context, json, mission, predictions, regressions, removed, splits):
    def _scored(split, automated_only):
        labels = dataset.labels(split)
        return evaluation.score(
            labels, evaluation.answers(predictions, automated_only), mission.kinds, evaluation.by_dates(mission.dates)
        ).as_plain()

    metrics = {
        split: {
            "all": _scored(split, False),
            "automated": _scored(split, True),
            "no_person_touches": evaluation.automation_rate([decision.route for decision in decisions[split]]),
        }
        for split in splits
    }
    for _split in splits:
        _answers = evaluation.answers(predictions)
        if _yes := evaluation.yes_only(dataset.labels(_split), _answers, mission.kinds):
            metrics[_split]["yes"] = {name: counts.as_plain() for name, counts in _yes.items()}

    def _headline(split):
        _all, _automated = (metrics[split][which]["fields"]["micro"] for which in ("all", "automated"))
        if _automated["coverage"] is None:
            return f"{split} has no label"
        _f1 = "–" if _all["f1"] is None else f"{_all['f1']:.3f}"
        return f"{split} F1 {_f1}, {_automated['coverage']:.0%} automated"

    _failed = [str(each) for each in regressions if each.wrong]
    if regressions:
        metrics["regressions"] = {"cases": len(regressions), "failed": _failed}
    _replaced = [str(each) for each in removed if each.replaced]
    metrics["removals"] = {"decided": len(removed), "replaced": _replaced}
    _fails = [f"fails {len(_failed)} of {len(regressions)} regression cases"] if _failed else []
    _fails += [f"replaces {len(_replaced)} of {len(removed)} removed values"] if _replaced else []
    metrics["headline"] = "; ".join([*map(_headline, splits), *_fails])
    _ = context.product["metrics"].write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    _ = context.product["predictions"].write_text(json.dumps(predictions, indent=1) + "\n", encoding="utf-8")
    return (metrics,)


@app.cell(hide_code=True)
def the_scores(metrics, mo, pd, splits):
    _tables = []
    for _split in splits:
        for _which in ("all", "automated"):
            _scores = metrics[_split][_which]
            _tables.append(mo.md(f"**{_split}**, {_which} answers, {_scores['documents']} documents"))
            _tables.append(
                mo.ui.table(pd.DataFrame(_scores["fields"], dtype=float).T.round(3).reset_index(names="field"), selection=None)
            )
    mo.vstack(_tables)
    return


@app.cell(hide_code=True)
def held_or_failed(mo, regressions):
    _failed = [f"- {each}" for each in regressions if each.wrong]
    mo.md(
        f"**{len(regressions)} regression cases**, {len(_failed)} of which fail. Promoting this release asks first."
        + "\n".join(["", "", *_failed])
    ) if regressions else mo.md("No regression case yet: open a case with `proveout open CASE` to make it one.")
    return


@app.cell(hide_code=True)
def replaced_values(exact_percent, mission, mo, removed):
    _replaced = [f"- {each}" for each in removed if each.replaced]
    _tried = (
        f"**{len(removed)} removed values**: a document that is acted on, decided again without one of its required values. "
    )
    _most = mission.slo.replaced_values
    _finding = f"""{len(_replaced)} are acted on again, with another value in its place; {exact_percent(_most)} may be
    (`replaced_values` in mission.yaml), or promoting this release asks first. A higher `lowest_confidence` sends more of those
    to a person."""
    _text = mo.md(_tried + (_finding if _replaced else "None is acted on with another value in its place."))
    _which = [mo.accordion({"which": mo.md("\n".join(_replaced))})] if _replaced else []
    mo.callout(mo.vstack([_text, *_which]), kind="danger" if len(_replaced) > _most * len(removed) else "neutral")
    return


@app.cell(hide_code=True)
def flags_by_their_yes(metrics, mo, splits):
    _rows = [
        {"split": split, "flag": name, "precision of yes": yes["precision"], "recall of yes": yes["recall"]}
        for split in splits
        for name, yes in metrics[split].get("yes", {}).items()
    ]
    _why = "A flag that is rarely yes is mostly right even if it always answers no. So look at the quality of its **yes**:"
    mo.vstack([mo.md(_why), mo.ui.table(_rows, selection=None)]) if _rows else None
    return


@app.cell
def answers_one_by_one(dataset, decisions, evaluation, mission, pd, splits):
    answers = pd.DataFrame(
        [
            {
                "split": split,
                "case": decision.case,
                "layout": dataset.entry(decision.case).layout or "none",
                "segment": dataset.entry(decision.case).case.segment or "none",
                "document class": decision.document_class,
                "field": name,
                "right": right,
                "confidence": decision.fields[name].confidence if name in decision.fields else 0.0,
                "answer": decision.fields[name].text if name in decision.fields else "",
                "label": dataset.entry(decision.case).labels.get(name, ""),
            }
            for split in splits
            for decision in decisions[split]
            for name, right in evaluation.verdicts(dataset.entry(decision.case).labels, decision, mission.kinds).items()
        ],
        columns=["split", "case", "layout", "segment", "document class", "field", "right", "confidence", "answer", "label"],
    ).astype({"right": bool})
    assert answers.empty or answers["right"].mean() > 0.5, (
        "more than half of the labelled fields are right; if not, check the curation first"
    )
    return (answers,)


@app.cell(hide_code=True)
def about_mistakes(mo):
    mo.md("""
    ## The most confident mistakes

    Read these first. They are wrong labels, layouts that training never saw, or real faults.
    """)
    return


@app.cell(hide_code=True)
def the_most_confident_mistakes(answers, mo, split_picker):
    _wrong = answers[(answers["split"] == split_picker.value) & ~answers["right"]].sort_values("confidence", ascending=False)
    mo.ui.table(_wrong[["case", "field", "answer", "label", "confidence", "layout"]].head(30).round(3), selection=None)
    return


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def imports_of_the_step():
    import json
    from pathlib import Path

    from proveout import evaluation
    from proveout import mission as missions
    from proveout.agent import Parts, assemble
    from proveout.agent.scenarios import removals
    from proveout.corpus import Dataset
    from proveout.evaluation import regression
    from proveout.evaluation.labelled_log import write_labelled_log
    from proveout.mission import exact_percent
    from proveout.retrieval import Memory
    from proveout.workspace import Workspace

    return (
        Dataset,
        Memory,
        Parts,
        Path,
        Workspace,
        assemble,
        evaluation,
        exact_percent,
        json,
        missions,
        regression,
        removals,
        write_labelled_log,
    )


@app.cell(hide_code=True)
def imports_of_the_view():
    import marimo as mo
    import matplotlib.pyplot as plt
    import pandas as pd

    from proveout.corpus.labels import SPLIT_COLOURS

    return SPLIT_COLOURS, mo, pd, plt


if __name__ == "__main__":
    app.run()
