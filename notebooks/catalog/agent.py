import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="The agent")


@app.cell(hide_code=True)
def the_verdict(Counter, decisions, mission, mo):
    _routes = Counter(decision.route for decision in decisions)
    _shares = ", ".join(f"**{route.value} {count / len(decisions):.0%}**" for route, count in _routes.most_common())
    mo.md(f"""
    # The agent, one query at a time

    Of {len(decisions)} judged queries, each by a ranker that did not learn from it: {_shares}. To act is to answer with
    products, to refuse is to answer that nothing fits, both certified at {mission.slo.precision_text} precision. What goes
    to review is answered at once, too, and judged by a person later. Monitoring compares live queries with these decisions.
    """)
    return


@app.cell(hide_code=True)
def query_control(decisions, mo, queries):
    _names = {f"{decision.route.value}: {queries.entry(decision.case).case.path}": decision.case for decision in decisions}
    case_picker = mo.ui.dropdown(dict(sorted(_names.items())), value=min(_names), label="query", searchable=True)
    case_picker
    return (case_picker,)


@app.cell(hide_code=True)
def each_step_of_one_query(agent, case_picker, decisions, mo, queries):
    _steps = list(agent.trace(queries.path_of(case_picker.value)))
    _decision = _steps[-1][1]
    assert _decision == next(decision for decision in decisions if decision.case == _decision.case), "a trace decides alike"
    _rows = [
        {
            "step": name,
            "class": draft.document_class,
            "layer": draft.fields["results"].tier if draft.fields else "",
            "confidence": round(draft.fields["results"].confidence, 3) if draft.fields else "",
            "route": str(draft.route),
        }
        for name, draft in _steps[:-1]
    ]
    mo.vstack([mo.md(" ".join(_decision.because)), mo.ui.table(_rows, selection=None)])
    return


@app.cell(hide_code=True)
def layers_and_routes(Counter, decisions, mo, verified):
    _counts = Counter((decision.fields["results"].tier, decision.route.value) for decision in decisions)
    _right = Counter(
        (decision.fields["results"].tier, decision.route.value)
        for decision in decisions
        if verified[decision.case]["right"]["results"]
    )
    mo.ui.table(
        [
            {"layer": layer, "route": route, "queries": count, "right": _right[layer, route]}
            for (layer, route), count in _counts.most_common()
        ],
        selection=None,
    )
    return


@app.cell
def the_reference(LabelledQueries, NoMemory, Parts, assemble, context, load, write_labelled_log):
    mission = load(context.params["mission"])
    queries = LabelledQueries(context.upstream["curate"]["queries"])
    _built = context.upstream["calibrate"]
    agent = assemble(Parts(context.params["mission"], None, _built["folds"], _built["calibration"]), NoMemory())
    decisions = agent.batch(queries.paths)
    verified = write_labelled_log(decisions, queries, context.product["reference"], mission)
    return agent, decisions, mission, queries, verified


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def imports_of_the_step():
    from proveout.agent import Parts, assemble
    from proveout.evaluation.labelled_log import write_labelled_log
    from proveout.mission import load
    from proveout.retrieval import NoMemory
    from proveout.search.labelled import LabelledQueries

    return LabelledQueries, NoMemory, Parts, assemble, load, write_labelled_log


@app.cell(hide_code=True)
def imports_of_the_view():
    from collections import Counter

    import marimo as mo

    return Counter, mo


if __name__ == "__main__":
    app.run()
