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
def who_answers_where(Worker, Person, Role, Workspace, documents, mo, os):
    _request = mo.app_meta().request
    _name = (getattr(_request, "user", None) or {}).get("username", "")
    _role = (getattr(_request, "meta", None) or {}).get("role", "")
    here_alone = not _name and mo.app_meta().mode == "edit"  # in the editor, without a server that knows who it is
    if here_alone:
        _name, _role = os.environ.get("USER", "somebody"), Role.OPERATOR.value
    mo.stop(not (_name and _role), mo.md("Nobody is signed in. Open this page with `proveout review`."))
    person = Person(_name, Role(_role))
    space = Workspace.from_environment()
    mission = space.mission
    worker = Worker.at(space)
    originals = documents.Originals(space.originals)
    return worker, here_alone, mission, originals, person, space


@app.cell
def _(mo):
    where, go = mo.state(mo.query_params().get("case", ""))  # the case that is looked at; "" the one that waits longest
    answers, note = mo.state(())  # (case, what was said) in this session, the newest last
    # the cell that shows a receipt holds the button that changes it
    receipt, give = mo.state((), allow_self_loops=True)  # what came of the last approval or undo, a line each
    problem, tell = mo.state("")
    looks, look_again = mo.state(0)  # grows when the case that is looked at changed
    return answers, give, go, look_again, looks, note, problem, receipt, tell, where


@app.cell
def the_queue(ProveoutError, answers, worker, looks, person, review, suppress, where):
    answers(), looks()
    with suppress(ProveoutError):  # without a release there is nothing to finish
        worker.approvals.finish()  # what a kill left undone
    queue = review.waiting(worker.journal, person.role)
    _wanted = where() or (queue[0].case.id if queue else "")
    try:
        case = worker.approvals.show(_wanted) if _wanted else None
    except ProveoutError:
        case = worker.approvals.show(queue[0].case.id) if queue else None
    decided = case.decided if case else None
    at = next((n for n, one in enumerate(queue) if decided and one.case.id == decided.case.id), -1)
    return at, case, decided, queue


@app.cell
def _(answers, decided, here_alone, mo, person, problem, queue):
    _count = f"**{len(queue)}** {'case waits' if len(queue) == 1 else 'cases wait'} for a person."
    _last = f" The last one: {answers()[-1][1]}." if answers() else ""
    _who = f" No server runs this page: you are {person.name}, {person.role}, as this machine says." if here_alone else ""
    _said = f"{_count} {person.name} answered {len(answers())} now.{_last}{_who}"
    _end = f"## Nothing waits for you\n\n{_said}\n\nThe next `proveout run` and `proveout build` use it."
    _shown = [mo.md(_said if decided else _end)]
    if problem():
        _shown.append(mo.callout(mo.md(f"**Not saved.** {problem()}"), kind="danger"))
    mo.vstack(_shown)
    return


@app.cell
def taking_back(ProveoutError, worker, give, look_again, mo, person, tell):
    def undo_buttons(shown, label):
        """One button where something of a case can be taken back; none otherwise."""

        def _undo(_):
            try:
                give(worker.approvals.undo(shown.decided.case.id, person, shown.digest, turn=shown.decided.case.turn).lines)
                tell("")
            except ProveoutError as error:
                tell(str(error))
            look_again(lambda count: count + 1)

        stands = [one.action.name for one in shown.effects if one.stands]
        return [mo.ui.button(label=f"{label}: {', '.join(stands)}", kind="warn", on_change=_undo)] if stands else []

    return (undo_buttons,)


@app.cell
def what_was_done(answers, worker, looks, mo, receipt, form, space, undo_buttons):
    mo.stop(not receipt())
    looks()
    _lines = mo.Html(form.lines([line.replace(f"{space.home}/", "") for line in receipt()]))
    undo_last = undo_buttons(worker.approvals.show(answers()[-1][0]), "Undo the last one") if answers() else []
    mo.hstack([_lines, *undo_last], justify="start", gap=1)
    return (undo_last,)


@app.cell
def what_will_follow(ProveoutError, case, worker, mo, person, form):
    mo.stop(case is None)
    with mo.status.spinner("Loading what judges this case ..."):
        try:
            follows = form.follows(worker.approvals.expected(case, person), case)
        except ProveoutError as error:
            follows = form.lines([f"What would follow is not known: {error}"])
    return (follows,)


@app.cell
def what_a_person_may_say(
    Changed,
    ProveoutError,
    answers,
    at,
    case,
    decided,
    worker,
    give,
    go,
    look_again,
    mission,
    mo,
    note,
    person,
    queue,
    form,
    tell,
    undo_buttons,
):
    mo.stop(decided is None)

    def _beside(step):
        """The waiting case before or after this one; "" when this was the last."""
        others = [one.case.id for one in queue if one.case.id != decided.case.id]
        return others[(max(at, 0) + min(step, 0)) % len(others)] if others else ""

    def _say(answer):
        try:
            _receipt = answer()
        except Changed as error:
            go(decided.case.id)
            tell(str(error))
            look_again(lambda count: count + 1)
        except ProveoutError as error:
            tell(str(error))
        else:
            tell("")
            give(_receipt.lines)
            note(lambda said: (*said, (decided.case.id, f"{decided.case.path} {_receipt.what}")))
            go(_beside(0))

    def _approve(said):
        _values = {name: said[name] for name in mission.fields}
        _say(lambda: worker.approvals.approve(decided.case.id, person, case.digest, _values, said["class"] or ""))

    def _reject(_):
        _say(lambda: worker.approvals.reject(decided.case.id, person, case.digest))

    def _move(to):
        def _go(_):
            tell("")
            go(to)

        return _go

    _inputs = {
        name: mo.ui.text(text, label=name, placeholder="not on this document", full_width=True)
        for name, text in case.values.items()
    }
    _class = case.document_class
    _inputs["class"] = mo.ui.dropdown(
        mission.classes, value=_class if _class in mission.classes else None, label="class", full_width=True
    )
    answer_form = (  # one form, so that what a person typed arrives whole, or not at all
        mo.Html(form.template(decided.decision, list(mission.fields)))
        .batch(**_inputs)
        .form(submit_button_label="Approve what stands here · Tab, Enter", bordered=False, on_change=_approve)
    )
    _last = answers()[-1][0] if answers() else decided.case.id
    choices = [  # a button without a name is forgotten
        mo.ui.button(
            label="Approve all as it was shown · Alt+A",
            kind="success",
            keyboard_shortcut="Alt-a",
            on_change=lambda _: _approve(case.values | {"class": _class}),
        ),
        mo.ui.button(label="Reject: no case for us · Alt+R", kind="danger", keyboard_shortcut="Alt-r", on_change=_reject),
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
    _kept = decided.case.sha256 in originals
    pages = mo.Html(
        kind_of(mission).show(decided.decision, originals.path(decided.case.sha256), space.cache)
        if _kept
        else "<p>Its file is not kept.</p>"
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
