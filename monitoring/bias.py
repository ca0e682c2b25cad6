import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Bias by segment")


@app.cell(hide_code=True)
def introduction(mo):
    mo.md("""
    # Who is treated worse

    Each segment against all other cases: the share handled automatically, the share with a wrong value, the share with a
    wrong automated value, and the calibration gap (mean confidence minus share of right values). Errors count only where
    a label has arrived. Groups that are too small are neither judged nor shown.
    """)
    return


@app.cell(hide_code=True)
def every_alarm_is_in_the_harmful_direction(findings, mo):
    for alarm in findings.worse_off:
        assert alarm.p <= findings.alerts.bias.false_alarm_rate
        assert (alarm.difference < 0) == (alarm.measure == "automation rate")
        assert alarm.interval[0] <= alarm.difference <= alarm.interval[1]
    alarms = [
        {"segment": row.segment, "measure": row.measure, "finding": row.because, "p-value": f"{row.p:.1g}"}
        for row in findings.worse_off
    ]
    if alarms:
        _worse = ", ".join(dict.fromkeys(row.segment for row in findings.worse_off))
        _table = mo.ui.table(alarms, selection=None, page_size=5, wrapped_columns=["finding"])
        _view = mo.vstack([mo.md(f"**{_worse}: treated worse** than all others."), _table])
    else:
        _view = mo.md("No segment is treated significantly worse.")
    _view
    return


@app.cell(hide_code=True)
def measure_controls(findings, mo):
    mo.stop(not findings.disparities, mo.md("The log has fewer than two segments to compare."))
    from proveout.monitoring.bias import MEASURES

    measure_choice = mo.ui.dropdown(["all", *MEASURES], value="all", label="measure")
    smallest_slider = mo.ui.slider(
        5, 100, step=5, value=min(100, max(5, findings.alerts.bias.smallest_group)), label="smallest group", show_value=True
    )
    mo.hstack([measure_choice, smallest_slider], justify="start")
    return measure_choice, smallest_slider


@app.cell(hide_code=True)
def differences_with_simultaneous_intervals(measure_choice, mo, preview):
    from proveout.monitoring.page import bias_plot

    rows = [row for row in preview.disparities if measure_choice.value in ("all", row.measure)]
    plot = bias_plot(rows)
    mo.Html(plot) if plot else mo.md("No group is large enough.")
    return (rows,)


@app.cell(hide_code=True)
def every_group(mo, rows):
    table = [
        {
            "segment": row.segment,
            "measure": row.measure,
            "value": "" if row.value != row.value else round(row.value, 3),
            "all others": "" if row.other != row.other else round(row.other, 3),
            "cases": row.cases,
            "p-value": "" if row.p != row.p else f"{row.p:.2g}",
            "finding": row.because,
        }
        for row in rows
    ]
    mo.ui.table(table, selection=None)
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
    monitoring.write_bias(findings, context.product["html"], context.product["json"])
    return


@app.cell
def small_groups_are_not_shown(findings):
    smallest = findings.alerts.bias.smallest_group
    for judged in findings.disparities:
        assert min(judged.cases, judged.other_cases) >= smallest or judged.value != judged.value
    return


@app.cell
def other_groups(alerts, log, mission, monitoring, reference, smallest_slider):
    other_bias = alerts.bias.model_copy(update={"smallest_group": smallest_slider.value})
    preview = monitoring.compare(reference, log, mission, alerts.model_copy(update={"bias": other_bias}))
    return (preview,)


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
