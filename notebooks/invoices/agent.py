import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="The agent")


@app.cell
def _():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell
def _():
    from pathlib import Path

    from proveout import mission as missions
    from proveout.agent import Parts, assemble
    from proveout.corpus import Dataset
    from proveout.evaluation.labelled_log import write_labelled_log
    from proveout.retrieval import Memory
    from proveout.workspace import Workspace

    return Dataset, Memory, Parts, Path, Workspace, assemble, missions, write_labelled_log


@app.cell
def _():
    import marimo as mo
    import matplotlib.pyplot as plt
    import pandas as pd

    from proveout.agent.scenarios import scenarios
    from proveout.records import Route

    return Route, mo, pd, plt, scenarios


@app.cell
def _(mo):
    mo.md("""
    # The agent

    The agent reads, recalls, scores, checks, routes and proposes. Here it decides every case of the calibration
    split, each with a model that did not learn from that case. Those decisions become the **reference** that monitoring
    compares live logs with.
    """)
    return


@app.cell
def _(Dataset, Memory, Parts, Path, Workspace, assemble, context, missions):
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
def _(agent, dataset):
    cases = dataset.documents("calibration")
    decisions = agent.batch(cases)
    return cases, decisions


@app.cell
def the_reference(dataset, decisions, context, mission, write_labelled_log):
    verified = write_labelled_log(decisions, dataset, context.product["reference"], mission)
    return (verified,)


@app.cell
def _(Route, decisions, mission, mo):
    _routes = {route: sum(decision.route is route for decision in decisions) for route in Route}
    _certified = sum(bool(decision.automated) for decision in decisions)
    mo.hstack(
        [
            mo.stat(len(decisions), label="cases of the calibration split"),
            *(mo.stat(count, label=f"routed to {route.value}") for route, count in _routes.items()),
            mo.stat(_certified, label=f"with a field certified at {mission.slo.precision:.0%}"),
        ],
        widths="equal",
    )
    return


@app.cell
def _(mo):
    mo.md("""
    ## What keeps cases from automation

    Each case counts once, under its first obstacle. The tallest bar is the next thing to work on.
    """)
    return


@app.cell
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


@app.cell
def _(mo):
    mo.md("""
    ## Scenarios: a case, changed on purpose

    How the agent reacts to difficult input. The table decides the chosen case again with one change at a time. The steps of one
    case are the cells of the notebook `decide`.
    """)
    return


@app.cell
def _(cases, mo):
    case_picker = mo.ui.dropdown({f"case {at}": at for at in range(len(cases))}, value="case 0", label="case")
    case_picker
    return (case_picker,)


@app.cell
def scenario_table(agent, case_picker, cases, decisions, mission, mo, scenarios):
    _chosen, _fields = cases[case_picker.value], decisions[case_picker.value].fields
    _scenarios = scenarios([name for name, kind in mission.kinds.items() if kind != "flag"])
    _answers = agent.batch([scenario.change(_chosen, _fields) for scenario in _scenarios])
    _rows = [
        {
            "scenario": scenario.name,
            "route": answer.route.value,
            "as expected": answer.route in scenario.allowed,
            "because": answer.because[0],
            "proposes": ", ".join(action.name for action in answer.actions) or "nothing",
        }
        for scenario, answer in zip(_scenarios, _answers, strict=True)
    ]
    assert _rows[-1]["route"] == "refuse", "a page without words is refused"
    mo.ui.table(_rows, selection=None, page_size=20)
    return


if __name__ == "__main__":
    app.run()
