import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="The report: objectives, drift, bias")


@app.cell(hide_code=True)
def the_headline(findings, mo):
    from proveout.monitoring.page import headline

    mo.md(f"""
    # {headline(findings)}

    {findings.cases} cases of the live log, compared with the release's reference: its decisions on the calibration split.
    """)
    return


@app.cell(hide_code=True)
def what_to_do(findings, mo):
    mo.md("## What to do\n\n" + "\n".join(f"- {sentence}" for sentence in findings.advice))
    return


@app.cell(hide_code=True)
def about_objectives(mo):
    mo.md("""
    ## Are the objectives met?

    The mission's objectives and the error budget left. Precision is that of automated values, from the labels so far; a
    window without labels has no precision. If only reviewed cases get labels, the numbers describe those.
    """)
    return


@app.cell(hide_code=True)
def the_objectives(findings, mo):
    _recent = findings.service[0]
    for _row in _recent.objectives:
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
        for row in _recent.objectives
    ]
    _missed = [row.name for row in _recent.objectives if row.missed]
    _count, _when = f"{len(_missed)} of {len(_recent.objectives)}", f"the last {_recent.days} days, {_recent.cases} cases"
    _verdict = f"**{_count} objectives missed** in {_when}{': ' if _missed else ''}{', '.join(_missed)}."
    _by = mo.md(f"The promised precision is {findings.promised}.")
    mo.vstack([mo.md(_verdict), mo.ui.table(_table, selection=None, wrapped_columns=["verdict"]), _by])
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
    _plot = performance_plot(replace(findings, performance=tuple(chosen)))
    mo.Html(_plot) if _plot else mo.md("No automated value has a label yet.")
    return (chosen,)


@app.cell(hide_code=True)
def every_field(chosen, mo):
    from proveout.monitoring.wording import percent_beside

    _table = [
        {
            "field": row.field,
            "automated": row.automated,
            "labelled": row.labelled,
            "right": row.right,
            "precision": percent_beside(row.precision, row.target) if row.labelled else "",
            "target": "missed, beyond chance" if row.broken else "",
        }
        for row in chosen
        if row.window is None
    ]
    mo.ui.table(_table, selection=None)
    return


@app.cell(hide_code=True)
def about_drift(mo):
    mo.md("""
    ## What changed, and since when

    No column holds raw text: the columns are inputs (pages, words, OCR), confidence, routes, printed patterns of values,
    days from the case's day to its dates, and whether a name was seen before.
    """)
    return


@app.cell(hide_code=True)
def an_alarm_is_significant_and_large_enough(findings, mo):
    _settings = findings.alerts.drift
    assert all(drift.p <= _settings.false_alarm_rate for drift in findings.drifted)
    assert all(
        test.p > _settings.false_alarm_rate or test.effect < _settings.smallest_change
        for test in findings.tests
        if test.column not in {drift.what for drift in findings.drifted}
    )
    _alarms = [
        {"finding": drift.sentence, "p-value": f"{drift.p:.1g}", "first alarm": str(drift.alarmed), "cases": drift.cases_after}
        for drift in findings.drifted
    ]
    if _alarms:
        _first = "\n".join(["", "", *(f"- {alarm['finding']}" for alarm in _alarms[:3])])
        _all = mo.ui.table(_alarms, selection=None, wrapped_columns=["finding"])
        _verdict = mo.md(f"**{len(_alarms)} changes that are no chance**, the most certain first:{_first}")
        _view = mo.vstack([_verdict, mo.accordion({"All, with their p-values": _all})])
    else:
        _view = mo.md("No significant drift.")
    _view
    return


@app.cell(hide_code=True)
def about_one_column(mo):
    mo.md("""
    Choose a column and try other windows. This does not change the report; its windows are set in `alerts.yaml`.
    """)
    return


@app.cell(hide_code=True)
def column_controls(findings, mo):
    column_choice = mo.ui.dropdown(
        sorted(findings.columns), value=findings.drifted[0].what if findings.drifted else findings.columns[0], label="column"
    )
    by_choice = mo.ui.dropdown(["day", "week", "count"], value=findings.alerts.window.by, label="windows by")
    at_least_slider = mo.ui.slider(
        5,
        100,
        step=5,
        value=min(100, max(5, findings.alerts.window.at_least)),
        label="cases per window, at least",
        show_value=True,
    )
    like_choice = mo.ui.dropdown(["all", "weekday", "month"], value=findings.alerts.window.like, label="like with like")
    mo.hstack([column_choice, by_choice, at_least_slider, like_choice], justify="start")
    return at_least_slider, by_choice, column_choice, like_choice


@app.cell(hide_code=True)
def the_share_that_moved_most(column_choice, mo, preview):
    from proveout.monitoring.page import share_plot

    column = column_choice.value
    _tests = sorted((test for test in preview.tests if test.column == column), key=lambda test: (test.p, -test.effect))
    alarm = next((drift for drift in preview.drifted if drift.what == column), None)
    _chosen = preview.alerts.window
    _verdict = alarm.sentence if alarm else "no alarm" if _tests else "no window has enough cases, or the column is empty"
    _windows = (
        f"{sum(window.tested for window in preview.windows)} windows by {_chosen.by}, of at least {_chosen.at_least} cases"
    )
    _plot = [mo.Html(share_plot(preview, _tests[0].condition, alarm and alarm.since))] if _tests else []
    _against = "all of the reference" if _chosen.like == "all" else f"as many cases of the reference of each {_chosen.like}"
    mo.vstack([mo.md(f"**{column}**: {_verdict}. Tested: {_windows}, against {_against}."), *_plot])
    return alarm, column


@app.cell(hide_code=True)
def the_distributions(alarm, column, preview):
    import matplotlib.pyplot as plt

    before, after = preview.reference_features[column].dropna(), preview.since(alarm and alarm.since)[column].dropna()
    figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
    later = "since then" if alarm else "log"
    colours = {"reference": "#2b6cb0", later: "#c53030"}
    if before.dtype.kind == "f":
        for values, name in ((before, "reference"), (after, later)):
            if len(values):
                axes.ecdf(values, label=name, color=colours[name], compress=True)
        axes.set_ylabel("share at or below")
        if len(before) and before.min() > 0 and before.max() > 100 * before.median():
            axes.set_xscale("log")
    else:
        shares = [values.value_counts(normalize=True) for values in (before, after)]
        names = list(dict.fromkeys([*shares[0].index, *shares[1].index]))[:12]
        places = range(len(names))
        axes.bar([x - 0.2 for x in places], [shares[0].get(name, 0) for name in names], 0.4, label="reference", color="#2b6cb0")
        axes.bar([x + 0.2 for x in places], [shares[1].get(name, 0) for name in names], 0.4, label=later, color="#c53030")
        axes.set_xticks(list(places), names, rotation=20)
        axes.set_ylabel("share of cases")
    axes.set_xlabel(column)
    axes.legend(frameon=False)
    figure
    return


@app.cell(hide_code=True)
def about_bias(mo):
    mo.md("""
    ## Who is treated worse

    Each segment against all other cases: the share handled automatically, the share with a wrong value, the share with a
    wrong automated value, and the calibration gap (mean confidence minus share of right values). Errors count only where
    a label has arrived. Groups that are too small are neither judged nor shown.
    """)
    return


@app.cell(hide_code=True)
def every_alarm_is_in_the_harmful_direction(findings, mo):
    for _alarm in findings.worse_off:
        assert _alarm.p <= findings.alerts.bias.false_alarm_rate
        assert (_alarm.difference < 0) == (_alarm.measure == "automation rate")
        assert _alarm.interval[0] <= _alarm.difference <= _alarm.interval[1]
    _alarms = [
        {"segment": row.segment, "measure": row.measure, "finding": row.because, "p-value": f"{row.p:.1g}"}
        for row in findings.worse_off
    ]
    if _alarms:
        _worse = ", ".join(dict.fromkeys(row.segment for row in findings.worse_off))
        _table = mo.ui.table(_alarms, selection=None, page_size=5, wrapped_columns=["finding"])
        _view = mo.vstack([mo.md(f"**{_worse}: treated worse** than all others."), _table])
    else:
        _view = mo.md("No segment is treated significantly worse.")
    _view
    return


@app.cell(hide_code=True)
def measure_controls(findings, mo):
    from proveout.monitoring.bias import MEASURES, ODDS

    measure_choice = mo.ui.dropdown(["all", *MEASURES, *ODDS], value="all", label="measure")
    smallest_slider = mo.ui.slider(
        5, 100, step=5, value=min(100, max(5, findings.alerts.bias.smallest_group)), label="smallest group", show_value=True
    )
    _controls = mo.hstack([measure_choice, smallest_slider], justify="start")
    _controls if findings.disparities else mo.md("The log has fewer than two segments to compare.")
    return measure_choice, smallest_slider


@app.cell(hide_code=True)
def differences_with_simultaneous_intervals(measure_choice, mo, preview):
    from proveout.monitoring.page import bias_plot

    rows = [row for row in (*preview.disparities, *preview.odds) if measure_choice.value in ("all", row.measure)]
    _plot = bias_plot(rows)
    mo.Html(_plot) if _plot else mo.md("No group is large enough.")
    return (rows,)


@app.cell(hide_code=True)
def every_group(mo, rows):
    _table = [
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
    mo.ui.table(_table, selection=None)
    return


@app.cell
def the_logs(context, missions, monitoring):
    mission = missions.load(context.params["mission"])
    alerts = monitoring.load(context.params["alerts"])
    reference = monitoring.read(context.params["reference"])
    log = monitoring.read(context.params["logs"])
    frozen = monitoring.frozen_missions(context.params["reference"], log)
    return alerts, frozen, log, mission, reference


@app.cell
def the_findings(alerts, frozen, log, mission, monitoring, reference):
    findings = monitoring.compare(reference, log, mission, alerts, frozen)
    return (findings,)


@app.cell
def the_reports(context, findings, monitoring):
    links = {"Every column, by Evidently": "drift/drift.html", "Every segment, by Evidently": "bias/bias.html"}
    monitoring.write_drift(findings, context.product["drift"], context.product["drift_json"])
    monitoring.write_bias(findings, context.product["bias"], context.product["bias_json"])
    monitoring.write_page(findings, context.product["page"], context.product["json"], links)
    return


@app.cell
def other_settings(
    alerts, at_least_slider, by_choice, findings, frozen, like_choice, log, mission, monitoring, reference, smallest_slider
):
    _windows = {
        "by": by_choice.value,
        "at_least": at_least_slider.value,
        "count": max(at_least_slider.value, alerts.window.count),
        "like": like_choice.value,
    }
    other = alerts.model_copy(
        update={
            "window": alerts.window.model_copy(update=_windows),
            "bias": alerts.bias.model_copy(update={"smallest_group": smallest_slider.value}),
        }
    )
    preview = findings if other == alerts else monitoring.compare(reference, log, mission, other, frozen)
    return (preview,)


@app.cell
def the_shares_equal_a_plain_count(findings):
    for drift in findings.drifted:
        last = drift.until or findings.case_days[-1]
        inside = [drift.since <= day <= last for day in findings.case_days]
        counted = drift.condition.holds(findings.features[inside]).mean()
        assert abs(counted - drift.after) < 1e-9, (drift.what, counted, drift.after)
    return


@app.cell
def small_groups_are_not_shown(findings):
    smallest = findings.alerts.bias.smallest_group
    for judged in findings.disparities:
        assert min(judged.cases, judged.other_cases) >= smallest or judged.value != judged.value
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
