import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Performance, and the report page")


@app.cell(hide_code=True)
def introduction(mo):
    mo.md("""
    # Are the objectives met?

    The mission's objectives and the error budget left. Precision is that of automated values, from the labels so far; a
    window without labels has no precision. If only reviewed cases get labels, the numbers describe those.
    """)
    return


@app.cell(hide_code=True)
def the_objectives(findings, mo):
    recent = findings.service[0]
    for _row in recent.objectives:
        assert not _row.missed or _row.burn > 1, "a missed objective burns its budget faster than the window passes"
    _table = [
        {
            "objective": row.name,
            "target": row.bound,
            "measured": row.format(row.measured),
            "cases": row.cases,
            "budget left": "" if row.left != row.left else f"{row.left:.0%}",
            "burn rate": "" if row.burn != row.burn else f"{row.burn:.2f}",
            "verdict": row.verdict(findings.significance_level),
        }
        for row in recent.objectives
    ]
    _missed = [row.name for row in recent.objectives if row.missed]
    _verdict = (
        f"**{len(_missed)} of {len(recent.objectives)} objectives missed** in the last {recent.days} days, {recent.cases} cases"
    )
    _which = f": {', '.join(_missed)}." if _missed else "."
    mo.vstack([mo.md(_verdict + _which), mo.ui.table(_table, selection=None, wrapped_columns=["verdict"])])
    return


@app.cell(hide_code=True)
def field_control(findings, mo):
    field_choice = mo.ui.dropdown(
        ["all", *dict.fromkeys(row.field for row in findings.performance)], value="all", label="field"
    )
    field_choice
    return (field_choice,)


@app.cell(hide_code=True)
def precision_by_window(field_choice, findings, mo):
    from dataclasses import replace

    from proveout.monitoring.page import performance_plot

    chosen = [row for row in findings.performance if field_choice.value in ("all", row.field)]
    plot = performance_plot(replace(findings, performance=tuple(chosen)))
    mo.Html(plot) if plot else mo.md("No automated value has a label yet.")
    return (chosen,)


@app.cell(hide_code=True)
def every_field(chosen, mo):
    table = [
        {
            "field": row.field,
            "automated": row.automated,
            "labelled": row.labelled,
            "right": row.right,
            "precision": "" if row.precision != row.precision else f"{row.precision:.1%}",
            "target": "missed, beyond chance" if row.broken else "",
        }
        for row in chosen
        if row.window is None
    ]
    mo.ui.table(table, selection=None)
    return


@app.cell(hide_code=True)
def what_to_do(findings, mo):
    mo.md("## What to do\n\n" + "\n".join(f"- {sentence}" for sentence in findings.advice))
    return


@app.cell
def the_logs(context, missions, monitoring):
    mission = missions.load(context.params["mission"])
    alerts = monitoring.load(context.params["alerts"])
    reference = monitoring.read(context.params["reference"])
    log = monitoring.read(context.params["logs"])
    return alerts, log, mission, reference


@app.cell
def the_findings(alerts, log, mission, monitoring, reference):
    findings = monitoring.compare(reference, log, mission, alerts)
    return (findings,)


@app.cell
def the_page(findings, context, monitoring):
    links = {"Every column, by Evidently": "drift/drift.html", "Every segment, by Evidently": "bias/bias.html"}
    monitoring.write_page(findings, context.product["page"], context.product["json"], links)
    return


@app.cell
def no_labels_no_precision(findings):
    for row in findings.performance:
        assert (row.precision != row.precision) == (row.labelled == 0)
        assert row.right <= row.labelled <= row.automated
    return


@app.cell
def the_windows_add_up_to_the_log(findings):
    for total in (row for row in findings.performance if row.window is None):
        windows = [row for row in findings.performance if row.field == total.field and row.window is not None]
        assert sum(window.labelled for window in windows) == total.labelled
        assert sum(window.right for window in windows) == total.right
    return


@app.cell(hide_code=True)
def the_pipeline():
    from proveout import mission as missions
    from proveout import monitoring
    from proveout.bridge import open_context

    context = open_context(__file__)
    return context, missions, monitoring


@app.cell(hide_code=True)
def imports_of_the_view():
    import marimo as mo

    return (mo,)


if __name__ == "__main__":
    app.run()
