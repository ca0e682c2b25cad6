import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Drift")


@app.cell(hide_code=True)
def introduction(mo):
    mo.md("""
    # What changed, and since when

    Every window of the live log is compared with the release's reference: its decisions on the calibration split.
    No column holds raw text: the columns are inputs (pages, words, OCR), confidence, routes, printed patterns of values,
    days from the case's day to its dates, and whether a name was seen before.
    """)
    return


@app.cell(hide_code=True)
def an_alarm_is_significant_and_large_enough(findings, mo):
    settings = findings.alerts.drift
    assert all(drift.p <= settings.false_alarm_rate for drift in findings.drifted)
    assert all(
        test.p > settings.false_alarm_rate or test.effect < settings.smallest_change
        for test in findings.tests
        if test.column not in {drift.what for drift in findings.drifted}
    )
    alarms = [
        {"finding": drift.sentence, "p-value": f"{drift.p:.1g}", "first alarm": str(drift.alarmed), "cases": drift.cases_after}
        for drift in findings.drifted
    ]
    if alarms:
        _first = "\n".join(["", "", *(f"- {alarm['finding']}" for alarm in alarms[:3])])
        _all = mo.ui.table(alarms, selection=None, wrapped_columns=["finding"])
        _verdict = mo.md(f"**{len(alarms)} changes that are no chance**, the most certain first:{_first}")
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
    mo.hstack([column_choice, by_choice, at_least_slider], justify="start")
    return at_least_slider, by_choice, column_choice


@app.cell(hide_code=True)
def the_share_that_moved_most(column_choice, mo, preview):
    from proveout.monitoring.page import share_plot

    column = column_choice.value
    tests = sorted((test for test in preview.tests if test.column == column), key=lambda test: (test.p, -test.effect))
    alarm = next((drift for drift in preview.drifted if drift.what == column), None)
    chosen = preview.alerts.window
    verdict = alarm.sentence if alarm else "no alarm" if tests else "no window has enough cases, or the column is empty"
    windows = f"{sum(window.tested for window in preview.windows)} windows by {chosen.by}, of at least {chosen.at_least} cases"
    plot = [mo.Html(share_plot(preview, tests[0].condition, alarm and alarm.since))] if tests else []
    mo.vstack([mo.md(f"**{column}**: {verdict}. Tested: {windows}."), *plot])
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
            ordered = values.sort_values().to_numpy()
            axes.step(
                ordered, [(i + 1) / len(ordered) for i in range(len(ordered))], where="post", label=name, color=colours[name]
            )
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
    monitoring.write_drift(findings, context.product["html"], context.product["json"])
    return


@app.cell
def the_shares_equal_a_plain_count(findings):
    for drift in findings.drifted:
        last = drift.until or findings.case_days[-1]
        inside = [drift.since <= day <= last for day in findings.case_days]
        counted = drift.condition.holds(findings.features[inside]).mean()
        assert abs(counted - drift.after) < 1e-9, (drift.what, counted, drift.after)
    return


@app.cell
def other_windows(alerts, at_least_slider, by_choice, log, mission, monitoring, reference):
    other_windows = alerts.window.model_copy(
        update={
            "by": by_choice.value,
            "at_least": at_least_slider.value,
            "count": max(at_least_slider.value, alerts.window.count),
        }
    )
    preview = monitoring.compare(reference, log, mission, alerts.model_copy(update={"window": other_windows}))
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
