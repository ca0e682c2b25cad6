import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="One decision")

with app.setup:
    from proveout.agent import steps
    from proveout.records import Route


@app.cell(hide_code=True)
def the_verdict(case, decision, mo, replay):
    if case.decided is None:
        _text = f"# A case of the calibration split\n\n**{decision.route.value}**: {' '.join(decision.because)}"
    else:
        _then = case.decided.decision
        _differs = [f"- {each}" for each in replay.differences(_then, decision)]
        _now = f"**With the cells of this notebook: {decision.route.value}.** {' '.join(decision.because)}"
        _same = "**Decided again with the cells of this notebook: the same, bit for bit.**"
        _text = (
            f"# Case {_then.case[:12]}, {case.decided.case.path}\n\n"
            f"Release {_then.release[:12]} decided on {case.decided.at[:10]}: **{_then.route.value}**. "
            f"{' '.join(_then.because)}\n\n" + "\n".join([_now, "", *_differs[:12]] if _differs else [_same])
        )
    mo.md(_text)
    return


@app.cell(hide_code=True)
def about_the_cells(mo):
    mo.md("""
    Every step is a cell below, then what it makes of this case. The functions `recall`, `score`, `check`, `route` and `propose`
    **are** the pipeline's: edit one, and everything after it runs again on this case. Saving the notebook saves the step; the
    next `proveout build` puts it into a release. A release that is promoted already keeps its own.
    """)
    return


@app.cell(hide_code=True)
def the_case_control(case_picker, mo):
    case_picker if len(case_picker.options) > 1 else mo.md("")
    return


@app.cell(hide_code=True)
def the_pages(case, decision, mo, space):
    _pages = case.agent.kind.show(decision, case.files[-1], space.cache)
    mo.Html(f'<div style="max-height: 520px; overflow: auto" tabindex="0" role="region" aria-label="the case">{_pages}</div>')
    return


@app.cell(hide_code=True)
def about_read(mo):
    mo.md("""
    ## Read

    What the file says. How a document is read is no cell: train, calibrate and decide read alike.
    """)
    return


@app.cell(hide_code=True)
def what_was_read(Draft, case, mo):
    _all = case.agent.read(case.files)  # with the cases before it in its batch: one of them may be the same business
    mo.stop(not isinstance(_all[-1], Draft), mo.md(f"**It cannot be read:** {getattr(_all[-1], 'because', '')}"))
    read = [draft for draft in _all if isinstance(draft, Draft)]
    _about = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in read[-1].descriptors.items())
    mo.md(f"{_about}. It begins: *{read[-1].content.text[:300]}*")
    return (read,)


@app.cell(hide_code=True)
def about_recall(mo):
    mo.md("""
    ## Recall

    Past cases that resemble it, from the memory as it was. Checks compare with them, and a language model reads answered ones.
    """)
    return


@app.function
def recall(contents, memory, position):
    return memory.search_many(contents, k=5, position=position)


@app.cell(hide_code=True)
def what_was_recalled(case, mo, read):
    recalled = case.agent.after("recall", read, recall=recall)
    _rows = [{"case": one.case[:12], "similarity": f"{one.similarity:.2f}", **one.fields} for one in recalled[-1].similar]
    mo.ui.table(_rows, selection=None, label=f"memory position {recalled[-1].memory_position}") if _rows else mo.md("*none*")
    return (recalled,)


@app.cell(hide_code=True)
def about_prompt(mo):
    mo.md("""
    ## Prompt

    What each field is looked for by, and what a language model is asked, if the mission has one. To change it: `proveout edit
    prompts`, or try other texts on all recorded cases: `proveout what-if --all --with prompt=FOLDER`.
    """)
    return


@app.cell(hide_code=True)
def what_was_asked(LanguageModelTier, Prompts, case, messages_about, mo, recalled):
    _prompts, _last = Prompts.load(case.prompts, case.agent.mission), recalled[-1]
    _asked = [f"**{name}**: {', '.join(prompt.labels) or '–'}" for name, prompt in _prompts.fields.items()]
    _about = {"Phrases of each field": mo.md("\n\n".join(_asked))}
    for _name, _tier in case.agent.tiers.items():
        if isinstance(_tier, LanguageModelTier):
            (_past,) = case.agent.memory.answered([_last.content], _tier.past_cases, _last.memory_position)
            _messages = messages_about(_last.content, _tier.prompts, _tier.mission, _past, _tier.settings)
            _text = "\n\n".join(f"{role}:\n{content}" for role, content in _messages)
            _about[f"What the {_name.replace('_', ' ')} is asked"] = mo.plain_text(_text)
    mo.accordion(_about)
    return


@app.cell(hide_code=True)
def about_score(mo):
    mo.md("""
    ## Score

    The tiers read values and score them; calibration turns a score into a confidence. `score` says what a value is worth and
    whether it needs no person. The certificates hold for values above their thresholds: hold values back here, but do not let
    more through. The control plane would refuse to act on them.
    """)
    return


@app.function
def score(tier, field, value, calibrations):
    return steps.score(tier, field, value, calibrations)


@app.cell(hide_code=True)
def what_was_scored(case, mo, recalled):
    scored = case.agent.after("score", recalled, score=score)
    _other = case.agent.suggest(scored[-1].content, 3)
    _rows = []
    for _name, _state in scored[-1].states.items():
        _value = _state.output
        _needed = case.agent.calibrations.floor(_value.tier, _name)
        _rows.append(
            {
                "field": _name,
                "value": _value.text,
                "confidence": f"{_value.confidence:.2%}" if _value.calibrated else "not calibrated",
                "needed": "none suffices" if _needed is None else f"{_needed:.2%}",
                "automated": _state.automated,
                "also likely": ", ".join(one.text for one in _other.get(_name, ()) if one.text != _value.text),
                "for": "; ".join(_value.speaks_for[:3]),
                "against": "; ".join(_value.speaks_against[:3]),
            }
        )
    mo.ui.table(_rows, selection=None, label=f"class {scored[-1].document_class}, {scored[-1].class_confidence:.1%} sure")
    return (scored,)


@app.cell(hide_code=True)
def about_check(mo):
    mo.md("""
    ## Check

    First whether what was read can be believed, then the checks of mission.yaml. A failed one sends the case to a person.
    """)
    return


@app.function
def check(subject, kind, rules):
    yield from kind.check(subject.content)
    for rule in rules:
        yield from rule(subject)


@app.cell(hide_code=True)
def what_was_checked(case, mo, scored):
    checked = case.agent.after("check", scored, check=check)
    _mark = {True: "passed", False: "failed", None: "nothing to compare"}
    _rows = [{"check": one.name, "result": _mark[one.passed], "because": one.because} for one in checked[-1].checks]
    mo.ui.table(_rows, selection=None)
    return (checked,)


@app.cell(hide_code=True)
def about_route(mo):
    mo.md("""
    ## Route

    Who takes the case: the agent acts, or a person reviews it.
    """)
    return


@app.function
def route(draft, mission):
    certain = mission.required <= draft.automated
    passed = all(check.passed is not False for check in draft.checks)
    if certain and passed and draft.document_class in mission.refuse:
        return Route.REFUSE
    return Route.ACT if certain and passed and steps.is_acted_on(draft, mission) else Route.REVIEW


@app.cell(hide_code=True)
def where_it_goes(case, checked, mo):
    routed = case.agent.after("route", checked, route=route)
    mo.md(f"**{routed[-1].route.value}**")
    return (routed,)


@app.cell(hide_code=True)
def about_propose(mo):
    mo.md("""
    ## Propose

    The actions that follow. The control plane allows or denies each: by the certificates, the budget and the policy.
    """)
    return


@app.function
def propose(draft, mission):
    return steps.propose(draft, mission)


@app.cell(hide_code=True)
def what_is_proposed(case, mo, routed):
    proposed = case.agent.after("propose", routed, propose=propose)
    decision = case.agent.decision(proposed[-1])
    _then = {ruling.action.key: ruling.verdict for ruling in case.decided.rulings} if case.decided else {}
    _rows = [
        {
            "action": one.name,
            **one.arguments,
            "when it was decided": f"{'allowed' if _then[one.key].allowed else 'denied'}: {_then[one.key].because}"
            if one.key in _then
            else "not proposed",
        }
        for one in decision.actions
    ]
    mo.ui.table(_rows, selection=None) if _rows else mo.md("*nothing: a person decides*")
    return (decision,)


@app.cell(hide_code=True)
def about_the_other_cases(mo):
    mo.md("""
    ## What these cells make of the other cases

    Before you ship an edit: the recorded cases of this release, decided with the cells above. Nothing is recorded.
    """)
    return


@app.cell(hide_code=True)
def the_other_cases_control(case, mo):
    others_button = mo.ui.run_button(label="decide the other cases", disabled=case.decided is None)
    others_button
    return (others_button,)


@app.cell(hide_code=True)
def the_other_cases(Change, Journal, Summary, case, mo, others_button, space, what_if):
    mo.stop(not others_button.value)
    _release = case.decided.decision.release
    with Journal(space.home / "journal.db") as _journal:
        _keys = {one.case.key for one in _journal.decisions(release=_release)}
    _change = Change(steps=steps.Steps(recall, score, check, route, propose))
    _all = list(what_if(space.home, _keys, _change, space.cache))
    _rows = [{"case": one.decided.case.id[:12], "changes": "; ".join(one.changes)} for one in _all if one.changes]
    mo.vstack(
        [
            mo.plain_text("\n".join(Summary.of(_all).lines())),
            mo.ui.table(_rows, selection=None) if _rows else mo.md("*none changes*"),
        ]
    )
    return


@app.cell(hide_code=True)
def about_regression(mo):
    mo.md("""
    ## Keep it right: a regression case

    Say what is right of this case. Every build then decides it, and promoting a release that gets it wrong asks first. Leave
    empty what does not matter.
    """)
    return


@app.cell(hide_code=True)
def the_right_answer(case, mo):
    _values = {name: output.text for name, output in case.decided.decision.fields.items()} if case.decided else {}
    _values |= {name: text for name, text in case.answer.fields.items() if text} if case.answer else {}
    right_boxes = {name: mo.ui.text(_values.get(name, ""), label=name) for name in case.agent.mission.fields}
    right_values = mo.ui.dictionary(right_boxes)
    right_class = mo.ui.dropdown(list(case.agent.mission.classes), label="class")
    right_route = mo.ui.dropdown([*map(str, Route)], label="route")
    right_because = mo.ui.text(label="what went wrong", full_width=True)
    regression_button = mo.ui.run_button(label="make it a regression case", disabled=case.decided is None)
    mo.vstack([right_values.hstack(wrap=True), mo.hstack([right_class, right_route, right_because]), regression_button])
    return regression_button, right_because, right_class, right_route, right_values


@app.cell(hide_code=True)
def the_regression_case(
    BadInput,
    Journal,
    Regression,
    case,
    mo,
    person,
    regression,
    regression_button,
    right_because,
    right_class,
    right_route,
    right_values,
    space,
):
    _fields = {name: text.strip() for name, text in right_values.value.items() if text.strip()}
    _parts = [f"{name} is {text!r}" for name, text in _fields.items()]
    _parts += [f"its class is {right_class.value}"] * bool(right_class.value)
    _parts += [f"its route is {right_route.value}"] * bool(right_route.value)
    _text = f"It would have to hold: {', '.join(_parts) or 'nothing yet'}. {right_because.value}"
    if regression_button.value and case.decided:
        _case = case.decided.case
        _right = Regression(
            _case.id, _case.sha256, _fields, right_class.value or "", right_route.value or "", person(), right_because.value
        )
        try:
            with Journal(space.home / "journal.db") as _journal:
                regression.add(_journal, _case, _right, case.agent.mission)
            _text = f"**Case {_case.id[:12]} is a regression case: {', '.join(_parts)}.** The next `proveout build` decides it."
        except BadInput as _error:
            _text = f"**Not kept:** {_error}"
    mo.md(_text)
    return


@app.cell(hide_code=True)
def about_shipping(mo):
    mo.md("""
    ## Ship it

    The cells are saved with the notebook. This says which steps a build would run again, and why.
    """)
    return


@app.cell(hide_code=True)
def the_build_control(context, mo):
    stale_button = mo.ui.run_button(label="what would a build run?", disabled=not context.spec)
    stale_button
    return (stale_button,)


@app.cell(hide_code=True)
def what_a_build_would_run(context, environment, freshness, mo, os, stale_button):
    mo.stop(not stale_button.value)
    if os.environ.get("PROVEOUT_OWN_CODE"):
        _text = (
            "This notebook runs the release's own code, which is not the installed one. In a terminal: `proveout why decide`."
        )
    else:
        _stale = {name: why for name, why in freshness(context.spec, environment()).items() if why}
        _text = "\n".join(f"- **{name}**: {why}" for name, why in _stale.items()) or "Nothing: the last build has these cells."
    mo.md(_text)
    return


@app.cell(hide_code=True)
def the_steps(context):
    _functions = (recall, score, check, route, propose)  # the product depends on these, and on nothing that is displayed
    steps.Steps.save(__file__, context.product["steps"])
    return


@app.cell(hide_code=True)
def the_inputs(Dataset, Memory, Opened, Parts, Path, Workspace, assemble, context, missions, opened, os):
    _key = os.environ.get("PROVEOUT_CASE", "") if context.spec else ""  # a build shows no live case
    if _key:
        space = Workspace.from_environment()
        opened_cases = {_key: opened(space, _key)}
    else:
        _mission = missions.load(context.params["mission"])
        space = Workspace.find(_mission.mission, start=Path(__file__).parent)
        _dataset = Dataset.load(context.upstream["curate"]["dataset"])
        _prompts = context.upstream["prompts"]["prompts"]
        _model, _calibration = context.upstream["models"]["folds"], context.upstream["calibrate"]["calibration"]
        _memory = Memory.open(context.upstream["retrieval"]["index"], store="")
        _agent = assemble(Parts(context.params["mission"], _prompts, _model, _calibration), _memory, cache=space.cache)
        _files = [_dataset.path_of(document.sha256) for document in _dataset.documents("calibration")]
        opened_cases = {file.name: Opened(_agent, (file,), _prompts) for file in _files[:50]}
    return opened_cases, space


@app.cell(hide_code=True)
def the_case_choice(mo, opened_cases):
    case_picker = mo.ui.dropdown(list(opened_cases), value=next(iter(opened_cases)), label="case")
    return (case_picker,)


@app.cell(hide_code=True)
def the_case(case_picker, opened_cases):
    case = opened_cases[case_picker.value]
    return (case,)


@app.cell(hide_code=True)
def the_imports():
    import os
    from pathlib import Path

    import marimo as mo

    from proveout import mission as missions
    from proveout.agent import Draft, Parts, assemble
    from proveout.bridge import freshness
    from proveout.bridge.context import environment
    from proveout.cli.output import person
    from proveout.corpus import Dataset
    from proveout.errors import BadInput
    from proveout.evaluation import regression
    from proveout.evaluation.regression import Regression
    from proveout.journal import Journal
    from proveout.live import replay
    from proveout.live.opening import Opened, opened
    from proveout.live.what_if import Change, Summary, what_if
    from proveout.models.language_model import LanguageModelTier, messages_about
    from proveout.prompts import Prompts
    from proveout.retrieval import Memory
    from proveout.workspace import Workspace

    return (
        BadInput,
        Change,
        Dataset,
        Draft,
        Journal,
        LanguageModelTier,
        Memory,
        Opened,
        Parts,
        Path,
        Prompts,
        Regression,
        Summary,
        Workspace,
        assemble,
        environment,
        freshness,
        messages_about,
        missions,
        mo,
        opened,
        os,
        person,
        regression,
        replay,
        what_if,
    )


@app.cell(hide_code=True)
def the_context():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


if __name__ == "__main__":
    app.run()
