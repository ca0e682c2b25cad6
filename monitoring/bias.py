import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Bias by segment")


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
    # Whom it hurts

    Each segment against all other cases: how often no person is needed, how often a value is wrong, how often an
    automated one is, and by how much confidence promises more than it keeps. Errors count where a label has arrived.
    A group that is too small is not judged, and its numbers are not shown.
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
    monitoring.write_bias(found, context.product["html"], context.product["json"])
    return


@app.cell
def every_alarm_is_in_the_harmful_direction(found, mo):
    for one in found.worse_off:
        assert one.p <= found.alerts.bias.false_alarm_rate
        assert (one.difference < 0) == (one.measure == "automation rate")
        assert one.interval[0] <= one.difference <= one.interval[1]
    alarms = [
        {"segment": one.segment, "measure": one.measure, "because": one.because, "p": f"{one.p:.1g}"} for one in found.worse_off
    ]
    mo.ui.table(alarms, selection=None) if alarms else mo.md("No segment is surely treated worse.")
    return


@app.cell
def small_groups_stay_unseen(found):
    smallest = found.alerts.bias.smallest_group
    for judged in found.disparities:
        assert min(judged.cases, judged.other_cases) >= smallest or judged.value != judged.value
    return


@app.cell
def _(found, mo):
    mo.stop(not found.disparities, mo.md("The log names fewer than two segments: there is nobody to compare with."))
    from proveout.monitoring.bias import MEASURES

    measure_choice = mo.ui.dropdown(["all", *MEASURES], value="all", label="measure")
    smallest_slider = mo.ui.slider(
        5, 100, step=5, value=min(100, max(5, found.alerts.bias.smallest_group)), label="smallest group"
    )
    mo.hstack([measure_choice, smallest_slider], justify="start")
    return measure_choice, smallest_slider


@app.cell
def _(alerts, log, mission, monitoring, reference, smallest_slider):
    other_bias = alerts.bias.model_copy(update={"smallest_group": smallest_slider.value})
    seen = monitoring.compare(reference, log, mission, alerts.model_copy(update={"bias": other_bias}))
    return (seen,)


@app.cell
def differences_with_intervals_that_hold_together(measure_choice, mo, seen):
    from proveout.monitoring.page import bias_plot

    rows = [one for one in seen.disparities if measure_choice.value in ("all", one.measure)]
    plot = bias_plot(rows)
    mo.Html(plot) if plot else mo.md("No group is large enough.")
    return (rows,)


@app.cell
def _(mo, rows):
    table = [
        {
            "segment": one.segment,
            "measure": one.measure,
            "it": "" if one.value != one.value else round(one.value, 3),
            "all others": "" if one.other != one.other else round(one.other, 3),
            "cases": one.cases,
            "p": "" if one.p != one.p else f"{one.p:.2g}",
            "said": one.because,
        }
        for one in rows
    ]
    mo.ui.table(table, selection=None)
    return


if __name__ == "__main__":
    app.run()
