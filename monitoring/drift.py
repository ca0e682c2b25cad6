import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Drift")


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
    # What changed, and since when

    Every window of the live log is held against the release's reference: the decisions over its calibration split.
    The columns are what a log tells without anybody reading it: inputs (pages, words, OCR), confidence, routes, the shape
    of values, how far dates lie from the case's day, whether a name was seen before.
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
    monitoring.write_drift(found, context.product["html"], context.product["json"])
    return


@app.cell
def an_alarm_is_sure_and_large_enough_to_matter(found, mo):
    settings = found.alerts.drift
    assert all(one.p <= settings.false_alarm_rate for one in found.drifted)
    assert all(
        test.p > settings.false_alarm_rate or test.effect < settings.smallest_change
        for test in found.tests
        if test.column not in {one.what for one in found.drifted}
    )
    alarms = [
        {"what": one.sentence, "p": f"{one.p:.1g}", "first alarm": str(one.alarmed), "cases": one.cases_after}
        for one in found.drifted
    ]
    mo.ui.table(alarms, selection=None) if alarms else mo.md("No column alarmed.")
    return


@app.cell
def the_shares_are_what_a_plain_count_gives(found):
    for one in found.drifted:
        last = one.until or found.case_days[-1]
        inside = [one.since <= day <= last for day in found.case_days]
        counted = one.event.holds(found.features[inside]).mean()
        assert abs(counted - one.after) < 1e-9, (one.what, counted, one.after)
    return


@app.cell
def _(mo):
    mo.md("""
    ## Look at one column

    Choose a column and other windows. Nothing here changes the report: its windows are set in `alerts.yaml`.
    """)
    return


@app.cell
def _(found, mo):
    column_choice = mo.ui.dropdown(
        sorted(found.columns), value=found.drifted[0].what if found.drifted else found.columns[0], label="column"
    )
    by_choice = mo.ui.dropdown(["day", "week", "count"], value=found.alerts.window.by, label="windows by")
    at_least_slider = mo.ui.slider(
        5, 100, step=5, value=min(100, max(5, found.alerts.window.at_least)), label="at least, cases"
    )
    mo.hstack([column_choice, by_choice, at_least_slider], justify="start")
    return at_least_slider, by_choice, column_choice


@app.cell
def _(alerts, at_least_slider, by_choice, log, mission, monitoring, reference):
    other_windows = alerts.window.model_copy(
        update={
            "by": by_choice.value,
            "at_least": at_least_slider.value,
            "count": max(at_least_slider.value, alerts.window.count),
        }
    )
    seen = monitoring.compare(reference, log, mission, alerts.model_copy(update={"window": other_windows}))
    return (seen,)


@app.cell
def the_share_that_moved_most(column_choice, mo, seen):
    from proveout.monitoring.page import share_plot

    column = column_choice.value
    looks = sorted((test for test in seen.tests if test.column == column), key=lambda test: (test.p, -test.effect))
    alarm = next((one for one in seen.drifted if one.what == column), None)
    asked = seen.alerts.window
    verdict = alarm.sentence if alarm else "no alarm" if looks else "no window is large enough, or the column is empty"
    windows = f"{sum(window.tested for window in seen.windows)} windows by {asked.by}, of at least {asked.at_least} cases"
    plot = [mo.Html(share_plot(seen, looks[0].event, alarm and alarm.since))] if looks else []
    mo.vstack([mo.md(f"**{column}**: {verdict}. Compared: {windows}."), *plot])
    return alarm, column


@app.cell
def the_distributions(alarm, column, seen):
    import matplotlib.pyplot as plt

    before, after = seen.reference_features[column].dropna(), seen.since(alarm and alarm.since)[column].dropna()
    figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
    if before.dtype.kind == "f":
        for values, name in ((before, "reference"), (after, "since then" if alarm else "log")):
            ordered = values.sort_values().to_numpy()
            axes.step(ordered, [(i + 1) / len(ordered) for i in range(len(ordered))], where="post", label=name)
        axes.set_ylabel("share at or below")
        if len(before) and before.min() > 0 and before.max() > 100 * before.median():
            axes.set_xscale("log")
    else:
        shares = [values.value_counts(normalize=True) for values in (before, after)]
        names = list(dict.fromkeys([*shares[0].index, *shares[1].index]))[:12]
        places = range(len(names))
        axes.bar([x - 0.2 for x in places], [shares[0].get(name, 0) for name in names], 0.4, label="reference")
        axes.bar(
            [x + 0.2 for x in places], [shares[1].get(name, 0) for name in names], 0.4, label="since then" if alarm else "log"
        )
        axes.set_xticks(list(places), names, rotation=20)
    axes.set_title(column, loc="left")
    axes.legend(frameon=False)
    figure
    return


if __name__ == "__main__":
    app.run()
