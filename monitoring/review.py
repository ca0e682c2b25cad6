import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Review")


@app.cell
def _():
    import os

    import marimo as mo

    from proveout import documents, review
    from proveout.cases import kind_of
    from proveout.errors import BadInput
    from proveout.journal import Journal
    from proveout.review import sheet
    from proveout.workspace import Workspace

    return BadInput, Journal, Workspace, documents, kind_of, mo, os, review, sheet


@app.cell
def who_answers_where(Journal, Workspace, documents, mo, os):
    _user = getattr(mo.app_meta().request, "user", None) or {}
    person = _user.get("username") or (os.environ.get("USER", "somebody") if mo.app_meta().mode == "edit" else "")
    mo.stop(not person, mo.md("Nobody is signed in. Open this page with `proveout review`."))
    space = Workspace.here()
    mission = space.mission
    journal = Journal(space.home / "journal.db")
    originals = documents.Originals(space.originals)
    return journal, mission, originals, person, space


@app.cell
def _(mo):
    where, go = mo.state(mo.query_params().get("case", ""))  # the case that is looked at; "" the one that waits longest
    answers, note = mo.state(())  # (case, what was said) in this session, the newest last
    problem, tell = mo.state("")
    return answers, go, note, problem, tell, where


@app.cell
def the_queue(answers, journal, review, where):
    answers()
    queue = review.waiting(journal)
    _wanted = list(journal.decisions(case=where()))[:1] if where() else []
    decided = (_wanted or queue or [None])[0]
    at = next((n for n, one in enumerate(queue) if decided and one.case.id == decided.case.id), -1)
    return at, decided, queue


@app.cell
def _(answers, decided, mo, person, problem, queue):
    _count = f"**{len(queue)}** {'case waits' if len(queue) == 1 else 'cases wait'} for a person."
    _last = f" The last one: {answers()[-1][1]}." if answers() else ""
    _said = f"{_count} {person} answered {len(answers())} now.{_last}"
    _end = f"## Nothing waits for you\n\n{_said}\n\nThe next `proveout run` and `proveout build` use it."
    _shown = [mo.md(_said if decided else _end)]
    if problem():
        _shown.append(mo.callout(mo.md(f"**Not saved.** {problem()}"), kind="danger"))
    mo.vstack(_shown)
    return


@app.cell
def what_a_person_may_say(BadInput, answers, at, decided, go, journal, mission, mo, note, person, queue, review, sheet, tell):
    mo.stop(decided is None)
    _found, _class = decided.decision.fields, decided.decision.document_class
    _shown = {name: _found[name].text if name in _found else "" for name in mission.fields}

    def _beside(step):
        """The waiting case before or after this one; "" when this was the last."""
        others = [one.case.id for one in queue if one.case.id != decided.case.id]
        return others[(max(at, 0) + min(step, 0)) % len(others)] if others else ""

    def _say(answer, word):
        journal.answer([answer])
        tell("")
        note(lambda said: (*said, (decided.case.id, f"{decided.case.path} {word}")))
        go(_beside(0))

    def _save(said):
        try:
            _answer = review.answer(
                decided, mission, {name: said[name] for name in mission.fields}, person, said["class"] or ""
            )
        except BadInput as error:
            tell(str(error))
            return
        _wrong = [name for name, right in _answer.right.items() if not right]
        _wrong += ["class"] if _answer.document_class != _class else []
        _say(_answer, f"corrected ({', '.join(_wrong)})" if _wrong else "approved")

    def _reject(_):
        _say(review.rejection(decided, mission, person), "rejected")

    def _move(case):
        def _go(_):
            tell("")
            go(case)

        return _go

    _inputs = {
        name: mo.ui.text(text, label=name, placeholder="not on this document", full_width=True) for name, text in _shown.items()
    }
    _inputs["class"] = mo.ui.dropdown(
        mission.classes, value=_class if _class in mission.classes else None, label="class", full_width=True
    )
    form = (  # one form, so that what a person typed arrives whole, or not at all
        mo.Html(sheet.template(decided.decision, list(mission.fields)))
        .batch(**_inputs)
        .form(submit_button_label="Save what stands here · Tab, Enter", bordered=False, on_change=_save)
    )
    _last = answers()[-1][0] if answers() else decided.case.id
    buttons = mo.hstack(
        [
            mo.ui.button(
                label="Approve all as it was shown · Alt+A",
                kind="success",
                keyboard_shortcut="Alt-a",
                on_change=lambda _: _save(_shown | {"class": _class}),
            ),
            mo.ui.button(label="Reject: no case for us · Alt+R", kind="danger", keyboard_shortcut="Alt-r", on_change=_reject),
            mo.ui.button(label="Later · Alt+N", keyboard_shortcut="Alt-n", on_change=_move(_beside(0))),
            mo.ui.button(label="Back · Alt+B", keyboard_shortcut="Alt-b", on_change=_move(_beside(-1))),
            mo.ui.button(label="My last answer · Alt+Z", keyboard_shortcut="Alt-z", on_change=_move(_last)),
        ],
        justify="start",
        wrap=True,
    )
    return buttons, form


@app.cell
def the_pages(decided, kind_of, mission, mo, originals, space):
    mo.stop(decided is None)
    _kept = decided.case.id in originals
    pages = mo.Html(
        kind_of(mission).show(decided.decision, originals.path(decided.case.id), space.cache)
        if _kept
        else "<p>Its file is not kept.</p>"
    )
    return (pages,)


@app.cell
def the_case(buttons, decided, form, mo, pages, sheet):
    mo.stop(decided is None)
    _about = f"received {decided.case.day or 'on an unknown day'}, case `{decided.case.id[:12]}`"
    _head = mo.md(f"### {decided.case.path}\n{_about}")
    mo.hstack([pages, mo.vstack([_head, buttons, form, mo.Html(sheet.reasons(decided))])], widths=[6, 5], align="start", gap=2)
    return


if __name__ == "__main__":
    app.run()
