import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Label audit")


@app.cell(hide_code=True)
def introduction(mo):
    mo.md("""
    # Which labels are wrong?

    Read each value on the page and answer by one key. The questions are labels that a model trained without them
    contradicts, and values drawn at random on which both agree; you cannot tell one from the other, so that your answers
    also show how often label and model are wrong alike. Nothing changes in `labels.csv`: the answers are in `audit.csv`
    beside it, with your name, and the next `proveout build` uses them.
    """)
    return


@app.cell(hide_code=True)
def progress(audit, mission, mo, open_questions, question, readings):
    _blind = audit.blind_sample(readings, mission)
    _verdicts = [reading.verdict(mission) for reading in readings]
    _counts = ", ".join(f"{_verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(_verdicts))
    _end = (
        f"## All questions are answered\n\n{_counts}. Of {_blind.read} values drawn at random, label and model were wrong "
        f"alike on {_blind.wrong}. Use the answers: `proveout build`."
    )
    mo.md(f"**{len(readings)}** answered, **{len(open_questions)}** open." if question else _end)
    return


@app.cell(hide_code=True)
def the_page(Mark, dataset, keys, mo, name_box, options, other, pages_with, prompts, question, reason_box, space):
    mo.stop(question is None)
    _judged = question.judged
    _marks = [Mark(str(key), option.place) for key, option in enumerate(options, 1) if option.place]
    _pages = pages_with(_marks, dataset.path_of(_judged.case), dataset.document(_judged.case), space.cache)
    _asked = mo.md(f"### {_judged.field}\n{prompts.fields[_judged.field].description}\n\n`{_judged.file_id}`")
    mo.hstack(
        [mo.Html(_pages), mo.vstack([_asked, *keys, other, reason_box, name_box], align="stretch")],
        widths=[7, 4],
        align="start",
        gap=2,
    )
    return


@app.cell
def the_answers(
    audit,
    date,
    folder,
    mission,
    mo,
    name_box,
    options,
    previous,
    question,
    reason_box,
    set_again,
    set_previous,
    set_readings_made,
):
    mo.stop(question is None)

    def _answer(text):
        audit.record(folder, mission, [question.reading(text, name_box.value, date.today(), reason_box.value)])
        set_previous(question)
        set_again(None)
        set_readings_made(lambda count: count + 1)

    _texts = [option.text for option in options]
    keys = [  # marimo drops a button that no variable holds
        *(
            mo.ui.button(label=f"{key} · {text}", keyboard_shortcut=str(key), on_change=lambda _, text=text: _answer(text))
            for key, text in enumerate(_texts, 1)
        ),
        mo.ui.button(label="0 · the document has none", keyboard_shortcut="0", on_change=lambda _: _answer("")),
        mo.ui.button(label="9 · I cannot tell", keyboard_shortcut="9", on_change=lambda _: _answer(audit.CANNOT_TELL)),
    ]
    other = mo.ui.text(placeholder="as printed, then Enter", label="another value").form(
        submit_button_label="Answer", bordered=False, on_change=lambda text: _answer(text) if text else None
    )
    keys.append(
        mo.ui.button(label="back to the last one · b", keyboard_shortcut="b", on_change=lambda _: set_again(previous()))
    )
    return keys, other


@app.cell
def the_labels(Dataset, Prompts, Workspace, environment, label_audit, mo, tiers):
    space = Workspace.from_environment()
    mission, folder = space.mission, environment(space)["data"]
    mo.stop(
        not (space.build / "calibrate" / "calibration.json").exists(),
        mo.md(f"**{space.name} was never built.** Models that did not learn from a label judge it: first `proveout build`."),
    )
    dataset = Dataset.load(space.build / "curate" / "dataset")
    prompts = Prompts.load(space.build / "prompts" / "prompts")
    _models = space.build / "models" / "folds"
    with mo.status.spinner("Reading every labelled document with a model that did not learn from it ..."):
        labels = label_audit.judged(
            tiers.load(tiers.Parts(mission, prompts, _models, cache=space.cache)), dataset, tiers.read_folds(_models), mission
        )
    return dataset, folder, labels, mission, prompts, space


@app.cell(hide_code=True)
def what_it_is_worth(label_audit, labels, mission, mo):
    _rows = [
        {
            "field": each.field,
            "labels to read": each.labels or "none would help",
            "automated now": f"{each.now:.0%}",
            "if all of them are wrong": f"{each.then:.0%}",
        }
        for each in label_audit.worth(labels, mission.slo)
    ]
    mo.accordion({"What the answers are worth": mo.ui.table(_rows, selection=None)})
    return


@app.cell
def who_reads(mo, os):
    name_box = mo.ui.text(os.environ.get("USER", "somebody"), label="read by")
    reason_box = mo.ui.text(placeholder="optional, kept with the next answer", label="reason", full_width=True)
    readings_made, set_readings_made = mo.state(0)
    previous, set_previous = mo.state(None)  # the question that was answered last
    again, set_again = mo.state(None)  # the one to answer anew
    return again, name_box, previous, readings_made, reason_box, set_again, set_previous, set_readings_made


@app.cell
def the_question(again, audit, dataset, folder, label_audit, labels, mission, prompts, readings_made):
    readings_made()
    readings = audit.latest(audit.read_audit(folder, mission))
    open_questions = label_audit.questions(labels, mission, readings, mission.slo)
    question = again() or (open_questions[0] if open_questions else None)
    options = label_audit.options(question.judged, dataset.document(question.judged.case), mission, prompts) if question else ()
    return open_questions, options, question, readings


@app.cell(hide_code=True)
def imports():
    import os
    from datetime import date

    import marimo as mo

    from proveout.agent import label_audit
    from proveout.cli.designing import environment
    from proveout.corpus import Dataset, audit
    from proveout.documents.marked import Mark, pages_with
    from proveout.models import tiers
    from proveout.prompts import Prompts
    from proveout.workspace import Workspace

    return Dataset, Mark, Prompts, Workspace, audit, date, environment, label_audit, mo, os, pages_with, tiers


if __name__ == "__main__":
    app.run()
