import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Performance, and the page that people read first")


@app.cell
def _():
    from proveout import mission as missions
    from proveout import monitoring
    from proveout.bridge import open_context

    context = open_context(__file__)
    return context, missions, monitoring


@app.cell
def _():
    import marimo as mo

    return (mo,)


@app.cell
def _(mo):
    mo.md("""
    # Is the promise kept?

    What the mission promised, with the error budget that is left of it. Precision is that of automated values, as labels
    arrive late; a window without labels has no precision.
    Where only reviewed cases get labels, the numbers speak of those.
    """)
    return


@app.cell
def _(context, missions, monitoring):
    mission = missions.load(context.params["mission"])
    alerts = monitoring.load(context.params["alerts"])
    reference = monitoring.read(context.params["reference"])
    log = monitoring.read(context.params["logs"])
    return alerts, log, mission, reference


@app.cell
def _(alerts, log, mission, monitoring, reference):
    found = monitoring.compare(reference, log, mission, alerts)
    return (found,)


@app.cell
def _(found, context, monitoring):
    links = {"Every column, by Evidently": "drift/drift.html", "Every segment, by Evidently": "bias/bias.html"}
    monitoring.write_page(found, context.product["page"], context.product["json"], links)
    return


@app.cell
def the_objectives(found, mo):
    recent = found.service[0]
    for _one in recent.objectives:
        assert not _one.missed or _one.burn > 1, "what is missed burns its budget faster than it lasts"
    _table = [
        {
            "objective": one.name,
            "target": one.bound,
            "measured": one.format(one.measured),
            "cases": one.cases,
            "budget left": "" if one.left != one.left else f"{one.left:.0%}",
            "burn rate": "" if one.burn != one.burn else f"{one.burn:.2f}",
            "verdict": one.verdict(found.sure_below),
        }
        for one in recent.objectives
    ]
    mo.ui.table(_table, selection=None, label=f"the last {recent.days} days, {recent.cases} cases")
    return


@app.cell
def no_labels_no_precision(found):
    for one in found.performance:
        assert (one.precision != one.precision) == (one.labelled == 0)
        assert one.right <= one.labelled <= one.automated
    return


@app.cell
def the_windows_add_up_to_the_log(found):
    for total in (one for one in found.performance if one.window is None):
        windows = [one for one in found.performance if one.field == total.field and one.window is not None]
        assert sum(one.labelled for one in windows) == total.labelled
        assert sum(one.right for one in windows) == total.right
    return


@app.cell
def _(found, mo):
    field_choice = mo.ui.dropdown(["all", *dict.fromkeys(one.field for one in found.performance)], value="all", label="field")
    field_choice
    return (field_choice,)


@app.cell
def precision_by_window(field_choice, found, mo):
    from dataclasses import replace

    from proveout.monitoring.page import performance_plot

    chosen = [one for one in found.performance if field_choice.value in ("all", one.field)]
    plot = performance_plot(replace(found, performance=tuple(chosen)))
    mo.Html(plot) if plot else mo.md("No automated value has a label yet.")
    return (chosen,)


@app.cell
def _(chosen, mo):
    table = [
        {
            "field": one.field,
            "automated": one.automated,
            "labelled": one.labelled,
            "right": one.right,
            "precision": "" if one.precision != one.precision else f"{one.precision:.1%}",
            "promise": "broken" if one.broken else "",
        }
        for one in chosen
        if one.window is None
    ]
    mo.ui.table(table, selection=None)
    return


@app.cell
def what_to_do(found, mo):
    mo.md("## What to do\n\n" + "\n".join(f"- {one}" for one in found.advice))
    return


if __name__ == "__main__":
    app.run()
