import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Review")


@app.cell
def _():
    import os
    from contextlib import suppress

    import marimo as mo

    from proveout import documents, review
    from proveout.cases import kind_of
    from proveout.errors import Changed, ProveoutError
    from proveout.records import Person, Role
    from proveout.review import form
    from proveout.serving.worker import Worker
    from proveout.workspace import Workspace

    return Changed, Worker, Person, ProveoutError, Role, Workspace, documents, kind_of, mo, os, review, form, suppress


@app.cell
def the_reviewer(Worker, Person, Role, Workspace, documents, mo, os):
    _request = mo.app_meta().request
    _name = (getattr(_request, "user", None) or {}).get("username", "")
    _role = (getattr(_request, "meta", None) or {}).get("role", "")
    no_server = not _name and mo.app_meta().mode == "edit"  # in the editor, where no server has signed anyone in
    if no_server:
        _name, _role = os.environ.get("USER", "somebody"), Role.OPERATOR.value
    mo.stop(not (_name and _role), mo.md("You are not signed in. Open this page with `proveout review`."))
    person = Person(_name, Role(_role))
    space = Workspace.from_environment()
    mission = space.mission
    worker = Worker.at(space)
    originals = documents.Originals(space.originals)
    return worker, no_server, mission, originals, person, space


@app.cell
def _(mo):
    selected, set_selected = mo.state(mo.query_params().get("case", ""))  # id of the open case; "" means the longest waiting
    answers, set_answers = mo.state(())  # (case, outcome) in this session, the newest last
    # the cell that shows the receipt also holds the button that changes it
    receipt, set_receipt = mo.state((), allow_self_loops=True)  # results of the last approval or undo, a line each
    problem, set_problem = mo.state("")
    version, refresh = mo.state(0)  # increases when the open case has changed
    return answers, set_receipt, set_selected, refresh, version, set_answers, problem, receipt, set_problem, selected


@app.cell
def the_queue(ProveoutError, answers, worker, version, person, review, suppress, selected):
    answers(), version()
    with suppress(ProveoutError):  # without a release there is nothing to finish
        worker.approvals.finish()  # effects that a killed process left unfinished
    queue = review.waiting(worker.journal, person.role)
    _id = selected() or (queue[0].case.id if queue else "")
    try:
        case = worker.approvals.show(_id) if _id else None
    except ProveoutError:
        case = worker.approvals.show(queue[0].case.id) if queue else None
    decided = case.decided if case else None
    at = next((n for n, waiting in enumerate(queue) if decided and waiting.case.id == decided.case.id), -1)
    return at, case, decided, queue


@app.cell
def _(answers, decided, no_server, mo, person, problem, queue):
    _count = f"**{len(queue)}** {'case waits' if len(queue) == 1 else 'cases wait'} for a person."
    _last = f" Last answer: {answers()[-1][1]}." if answers() else ""
    _who = f" No server runs this page: you are {person.name}, {person.role}, by this machine's user name." if no_server else ""
    _status = f"{_count} {person.name} answered {len(answers())} in this session.{_last}{_who}"
    _end = f"## Nothing waits for you\n\n{_status}\n\nThe next `proveout run` and `proveout build` use your answers."
    _parts = [mo.md(_status if decided else _end)]
    if problem():
        _parts.append(mo.callout(mo.md(f"**Not saved.** {problem()}"), kind="danger"))
    mo.vstack(_parts)
    return


@app.cell
def undo(ProveoutError, worker, set_receipt, refresh, mo, person, set_problem):
    def undo_buttons(case, label):
        """One button if some effect of a case can be undone, else none."""

        def _undo(_):
            try:
                set_receipt(worker.approvals.undo(case.decided.case.id, person, case.digest, turn=case.decided.case.turn).lines)
                set_problem("")
            except ProveoutError as error:
                set_problem(str(error))
            refresh(lambda count: count + 1)

        names = [effect.action.name for effect in case.effects if effect.stands]
        return [mo.ui.button(label=f"{label}: {', '.join(names)}", kind="warn", on_change=_undo)] if names else []

    return (undo_buttons,)


@app.cell
def what_was_done(answers, worker, version, mo, receipt, form, space, undo_buttons):
    mo.stop(not receipt())
    version()
    _lines = mo.Html(form.lines([line.replace(f"{space.home}/", "") for line in receipt()]))
    undo_last = undo_buttons(worker.approvals.show(answers()[-1][0]), "Undo the last one") if answers() else []
    mo.hstack([_lines, *undo_last], justify="start", gap=1)
    return (undo_last,)


@app.cell
def what_follows(ProveoutError, case, worker, mo, person, form):
    mo.stop(case is None)
    with mo.status.spinner("Loading the release and policy ..."):
        try:
            follows = form.follows(worker.approvals.expected(case, person), case)
        except ProveoutError as error:
            follows = form.lines([f"Cannot tell what would follow: {error}"])
    return (follows,)


@app.cell
def the_answer(
    Changed,
    ProveoutError,
    answers,
    at,
    case,
    decided,
    worker,
    set_receipt,
    set_selected,
    refresh,
    mission,
    mo,
    set_answers,
    person,
    queue,
    form,
    set_problem,
    undo_buttons,
):
    mo.stop(decided is None)

    def _beside(step):
        """Id of the waiting case before or after this one; "" if this is the last."""
        others = [waiting.case.id for waiting in queue if waiting.case.id != decided.case.id]
        return others[(max(at, 0) + min(step, 0)) % len(others)] if others else ""

    def _send(answer):
        try:
            _receipt = answer()
        except Changed as error:
            set_selected(decided.case.id)
            set_problem(str(error))
            refresh(lambda count: count + 1)
        except ProveoutError as error:
            set_problem(str(error))
        else:
            set_problem("")
            set_receipt(_receipt.lines)
            set_answers(lambda answers: (*answers, (decided.case.id, f"{decided.case.path} {_receipt.what}")))
            set_selected(_beside(0))

    def _approve(values):
        _fields = {name: values[name] for name in mission.fields}
        _send(lambda: worker.approvals.approve(decided.case.id, person, case.digest, _fields, values["class"] or ""))

    def _reject(_):
        _send(lambda: worker.approvals.reject(decided.case.id, person, case.digest))

    def _move(to):
        def _go(_):
            set_problem("")
            set_selected(to)

        return _go

    _inputs = {
        name: mo.ui.text(text, label=name, placeholder="not on this document", full_width=True)
        for name, text in case.values.items()
    }
    _class = case.document_class
    _inputs["class"] = mo.ui.dropdown(
        mission.classes, value=_class if _class in mission.classes else None, label="class", full_width=True
    )
    answer_form = (  # one form, so that all values arrive together or not at all
        mo.Html(form.template(decided.decision, list(mission.fields)))
        .batch(**_inputs)
        .form(submit_button_label="Approve with corrections · Tab, Enter", bordered=False, on_change=_approve)
    )
    _last = answers()[-1][0] if answers() else decided.case.id
    choices = [  # marimo drops a button that no variable holds
        mo.ui.button(
            label="Approve as shown · Alt+A",
            kind="success",
            keyboard_shortcut="Alt-a",
            on_change=lambda _: _approve(case.values | {"class": _class}),
        ),
        mo.ui.button(label="Reject: not our case · Alt+R", kind="danger", keyboard_shortcut="Alt-r", on_change=_reject),
        mo.ui.button(label="Later · Alt+N", keyboard_shortcut="Alt-n", on_change=_move(_beside(0))),
        mo.ui.button(label="Back · Alt+B", keyboard_shortcut="Alt-b", on_change=_move(_beside(-1))),
        mo.ui.button(label="My last answer · Alt+Z", keyboard_shortcut="Alt-z", on_change=_move(_last)),
        *undo_buttons(case, "Undo"),
    ]
    buttons = mo.hstack(choices, justify="start", wrap=True)
    return buttons, choices, answer_form


@app.cell
def the_pages(decided, kind_of, mission, mo, originals, space):
    mo.stop(decided is None)
    pages = mo.Html(
        kind_of(mission).show(decided.decision, originals.path(decided.case.sha256), space.cache)
        if decided.case.sha256 in originals
        else "<p>The original file is not stored.</p>"
    )
    return (pages,)


@app.cell
def the_case(buttons, case, decided, follows, answer_form, mo, pages, form):
    mo.stop(decided is None)
    _about = f"received {decided.case.day or 'on an unknown day'}, case `{decided.case.id[:12]}`"
    _head = mo.md(f"### {decided.case.path}\n{_about}")
    _parts = [_head, buttons, mo.Html(follows), answer_form, mo.Html(form.reasons(case))]
    mo.hstack([pages, mo.vstack(_parts)], widths=[6, 5], align="start", gap=2)
    return


if __name__ == "__main__":
    app.run()
