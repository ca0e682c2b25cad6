import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="The agent")


@app.cell(hide_code=True)
def introduction(mo):
    mo.md("""
    # The agent, one case at a time

    The agent reads, recalls, extracts, checks, weighs, routes and proposes. Here it decides every case of the calibration
    split, each with a model that did not learn from that case. Those decisions become the **reference** that monitoring
    compares live logs with.
    """)
    return


@app.cell(hide_code=True)
def the_verdict(Route, decisions, mission, mo):
    _routes = {route: sum(decision.route is route for decision in decisions) for route in Route}
    _certified = sum(bool(decision.automated) for decision in decisions)
    mo.hstack(
        [
            mo.stat(len(decisions), label="cases of the calibration split"),
            *(mo.stat(count, label=f"routed to {route.value}") for route, count in _routes.items()),
            mo.stat(_certified, label=f"with a field certified at {mission.slo.precision_text}"),
        ],
        widths="equal",
    )
    return


@app.cell(hide_code=True)
def obstacles(Route, decisions, mission, pd, plt):
    def _obstacle(decision):
        if decision.route is Route.ACT:
            return "none: it may act"
        failed = [check.name for check in decision.checks if check.passed is False]
        if failed:
            return f"check: {failed[0]}"
        missing = [name for name in mission.fields if name not in decision.fields]
        if missing:
            return f"no value: {missing[0]}"
        unsure = [name for name in mission.fields if name not in decision.automated]
        return f"confidence too low: {unsure[0]}" if unsure else f"class: {decision.document_class}"

    _counts = pd.Series([_obstacle(decision) for decision in decisions]).value_counts().sort_values()
    assert _counts.sum() == len(decisions), "every case is counted once"
    _figure, _axes = plt.subplots(figsize=(8, 0.4 * len(_counts) + 1))
    _axes.barh(
        _counts.index, _counts.to_numpy(), color=["#2f855a" if "none: it" in name else "#718096" for name in _counts.index]
    )
    _axes.set_xlabel("cases")
    _axes.spines[["top", "right"]].set_visible(False)
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def about_obstacles(mo):
    mo.md("""
    What keeps cases from automation: each case counts once, under its first obstacle. The tallest grey bar is the next thing to
    work on.
    """)
    return


@app.cell
def the_agent(Dataset, Memory, Parts, Path, Workspace, assemble, context, missions):
    mission = missions.load(context.params["mission"])
    dataset = Dataset.load(context.upstream["curate"]["dataset"])
    _parts = Parts(
        context.params["mission"],
        context.upstream["prompts"]["prompts"],
        context.upstream["models"]["folds"],
        context.upstream["calibrate"]["calibration"],
        context.upstream["decide"]["steps"],
    )
    _memory = Memory.open(context.upstream["retrieval"]["index"], store="")
    _home = Workspace.find(mission.mission, start=Path(__file__).parent)
    agent = assemble(_parts, _memory, cache=_home.cache, original=dataset.original)
    return agent, dataset, mission


@app.cell
def the_decisions(agent, dataset):
    cases = dataset.documents("calibration")
    decisions = agent.batch(cases)
    return cases, decisions


@app.cell
def the_reference(dataset, decisions, context, mission, write_labelled_log):
    verified = write_labelled_log(decisions, dataset, context.product["reference"], mission)
    return (verified,)


@app.cell(hide_code=True)
def about_one_case(mo):
    mo.md("""
    ## One case, step by step

    Choose a case and a step. Values in green boxes are automated; those in orange boxes go to review.
    """)
    return


@app.cell(hide_code=True)
def case_controls(agent, cases, mo):
    case_picker = mo.ui.dropdown({f"case {at}": at for at in range(len(cases))}, value="case 0", label="case")
    step_picker = mo.ui.dropdown([*agent.steps, "decision"], value="decision", label="after the step")
    mo.hstack([case_picker, step_picker], justify="start")
    return case_picker, step_picker


@app.cell
def the_steps(agent, case_picker, cases, step_picker):
    chosen = cases[case_picker.value]
    steps = dict(agent.trace(chosen))
    state = steps[step_picker.value]
    return chosen, state, steps


@app.cell(hide_code=True)
def after_the_step(mo, state, steps):
    _rows = [
        {
            "field": name,
            "value": value.text,
            "tier": value.tier,
            "confidence": f"{value.confidence:.1%}" if value.calibrated else "not calibrated",
            "automated": name in steps["decision"].automated,
            "speaks for": "; ".join(value.speaks_for[:2]),
            "speaks against": "; ".join(value.speaks_against[:2]),
        }
        for name, value in state.fields.items()
    ]
    _results = {True: "passed", False: "failed", None: "nothing to compare"}
    _checks = [{"check": check.name, "result": _results[check.passed], "because": check.because} for check in state.checks]
    mo.vstack(
        [
            mo.md(f"**{steps['decision'].because[0]}** {steps['decision'].because[1]}"),
            mo.ui.table(_rows, selection=None, label="fields") if _rows else mo.md("*no field yet at this step*"),
            mo.ui.table(_checks, selection=None, label="checks") if _checks else mo.md("*no check yet at this step*"),
        ]
    )
    return


@app.cell(hide_code=True)
def page_control(chosen, mo):
    page_picker = mo.ui.dropdown({str(page.number + 1): page for page in chosen.pages}, value="1", label="page")
    page_picker
    return (page_picker,)


@app.cell(hide_code=True)
def evidence_on_the_page(chosen, dataset, documents, page_picker, plt, state, steps):
    _page = page_picker.value
    _image = documents.page_image(dataset.path_of(chosen.sha256), _page, scale=1.5)
    _figure, _axes = plt.subplots(figsize=(8, 8 * _page.height / _page.width))
    _axes.imshow(_image, extent=(0, _page.width, _page.height, 0))
    for _name, _value in state.fields.items():
        if _value.place and _value.place.page == _page.number:
            _box, _color = _value.place.box, "#2f855a" if _name in steps["decision"].automated else "#dd6b20"
            _axes.add_patch(
                plt.Rectangle((_box.x0, _box.y0), _box.x1 - _box.x0, _box.y1 - _box.y0, fill=False, ec=_color, lw=2)
            )
            _axes.text(_box.x0, _box.y0 - 2, f"{_name} {_value.confidence:.0%}", color=_color, fontsize=8, va="bottom")
    _axes.axis("off")
    _figure.tight_layout(pad=0)
    _figure
    return


@app.cell(hide_code=True)
def about_scenarios(mo):
    mo.md("""
    ## Scenarios: the chosen case, changed on purpose

    How the agent reacts to difficult input. The table decides the chosen case again with one change at a time.
    """)
    return


@app.cell(hide_code=True)
def scenario_table(agent, chosen, mission, mo, removable, scenarios, steps):
    _fields = steps["decision"].fields
    _texts = {value.text for value in _fields.values()}
    _scenarios = scenarios(removable(mission))
    _answers = [
        agent.invoke(scenario.change(chosen, _fields)) for scenario in _scenarios
    ]  # alone: each is a copy of the others
    _rows = [
        {
            "scenario": scenario.name,
            "route": answer.route.value,
            "as expected": "yes" if answer.route in scenario.allowed else "NO",
            "because": answer.because[0],
            "proposes": ", ".join(action.name for action in answer.actions) or "nothing",
        }
        for scenario, answer in zip(_scenarios, _answers, strict=True)
    ]
    _unexpected = [
        f"- {scenario.name}: {answer.route.value}, with "
        + ", ".join(f"{name} {each.text!r}" for name, each in answer.fields.items() if each.text not in _texts)
        for scenario, answer in zip(_scenarios, _answers, strict=True)
        if answer.route not in scenario.allowed
    ]
    mo.vstack(
        [
            mo.callout(mo.md("\n".join(["**It acts where it must not**", "", *_unexpected])), kind="danger")
            if _unexpected
            else mo.md(f"All {len(_rows)} scenarios go as expected."),
            mo.ui.table(_rows, selection=None, page_size=20),
        ]
    )
    return


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def imports_of_the_step():
    from pathlib import Path

    from proveout import mission as missions
    from proveout.agent import Parts, assemble
    from proveout.corpus import Dataset
    from proveout.evaluation.labelled_log import write_labelled_log
    from proveout.retrieval import Memory
    from proveout.workspace import Workspace

    return Dataset, Memory, Parts, Path, Workspace, assemble, missions, write_labelled_log


@app.cell(hide_code=True)
def imports_of_the_view():
    import marimo as mo
    import matplotlib.pyplot as plt
    import pandas as pd

    from proveout import documents
    from proveout.agent.scenarios import removable, scenarios
    from proveout.records import Route

    return Route, documents, mo, pd, plt, removable, scenarios


if __name__ == "__main__":
    app.run()
