"""A decision, and what came of it, as a person reads it: in a terminal, from the server, on the review page."""

from collections.abc import Iterable, Sequence

from proveout.journal import APPROVAL, ATTEMPTED, DECISION, INTENDED, RETRIED, SETTLED, UNDOING, Event, rulings_of
from proveout.journal.intentions import Intention
from proveout.records import FLAGS, Decision, Output, Ruling

DEAD_SHOWN = 5
TICK = {True: "✓", False: "✗", None: "–"}


def printed(decision: Decision, rulings: Sequence[Ruling] = ()) -> str:
    """Route and reasons, each field with its evidence, the checks, and what the control plane says to each action."""
    lines = [
        f"{decision.document_class or 'unreadable'} → {decision.route.upper()}",
        f"  {decision.because[0]}",
        f"  {decision.because[1]}",
    ]
    if decision.fields:
        lines += ["", "fields"]
    for name, value in decision.fields.items():
        lines += _field(name, value, name in decision.automated)
    if decision.checks:
        lines += ["", "checks"]
    lines += [f"  {TICK[check.passed]} {check.name}: {check.because}" for check in decision.checks]
    if decision.similar:
        lines += ["", "similar cases"]
    for case in decision.similar[:3]:
        known = ", ".join(f"{name}: {text}" if text in FLAGS else text for name, text in case.fields.items())
        lines.append(f"  {case.case[:12]}  {case.similarity:.2f}  {known}")
    if rulings:
        lines += ["", "proposed actions"]
    lines += [f"  {TICK[ruling.verdict.allowed]} {ruled(ruling)}: {ruling.verdict.because}" for ruling in rulings]
    lines += ["", f"case {decision.case[:12]}, release {decision.release[:12]}, memory position {decision.memory_position}"]
    return "\n".join(lines)


def history(events: Iterable[Event]) -> str:
    """What the journal holds of a case, one line an event."""
    return "\n".join(["history, UTC", *(f"  {event.at[:16].replace('T', ' ')}  {told(event)}" for event in events)])


def ruled(ruling: Ruling) -> str:
    """One action, what it would spend, and whether it may happen: allowed, refused, or who may allow it.

    >>> from proveout.records import Action, Verdict
    >>> pay = Action("pay_invoice", {}, "k")
    >>> ruled(Ruling(pay, Verdict(True, ""), 1250)), ruled(Ruling(pay, Verdict(False, "", "operator"), 1934000))
    ('pay_invoice of $12.50 allowed', 'pay_invoice of $19,340.00 needs an operator')
    """
    what = f"{ruling.action.name} of ${ruling.cents / 100:,.2f}" if ruling.cents else ruling.action.name
    if role := ruling.verdict.escalate_to:
        return f"{what} needs {'an' if role[0] in 'aeiou' else 'a'} {role}"
    return f"{what} {'allowed' if ruling.verdict.allowed else 'refused'}"


def effect(intention: Intention) -> str:
    """An effect without an outcome, in one line: what it is, how it stands, and why."""
    after = f" after {intention.attempts} attempt{'s' * (intention.attempts > 1)}" if intention.attempts else ""
    because = f": {intention.because}" if intention.because else ""
    again = f"; again from {intention.due[:16].replace('T', ' ')} UTC" if intention.attempts and not intention.dead else ""
    state = f"dead, {intention.state.value}" if intention.dead else intention.state.value
    return f"{intention.action.name} of case {intention.case[:12]} is {state}{after}{because}{again}"


def dead_letters(unsettled: Iterable[Intention]) -> list[str]:
    """What a person has to look at, and how; no line when there is nothing."""
    dead = [intention for intention in unsettled if intention.dead]
    lines = [f"  {effect(intention)}" for intention in dead[:DEAD_SHOWN]]
    lines += [f"  and {len(dead) - DEAD_SHOWN} more: proveout effects"] if len(dead) > DEAD_SHOWN else []
    return [f"dead letters: {len(dead)}; try again: proveout effects --retry KEY, or all", *lines] if dead else []


def told(event: Event) -> str:
    """One event in one line."""
    said = event.payload
    if event.kind == DECISION:
        return f"decided, in run {said['run']}"
    if event.kind == INTENDED:
        return f"{said['action']['name']} is to be done"
    if event.kind == ATTEMPTED:
        end = "; given up" if said["dead"] else ""
        return f"{said['name']} {said['state']}, attempt {said['attempt']}: {said['because']}{end}"
    if event.kind == RETRIED:
        return f"{said['name']} may be tried again, says {said['by']}"
    if event.kind == SETTLED:
        return f"{said['name']} {said['state']}: {said['because']}"
    if event.kind == APPROVAL:
        changed = ", ".join(f"{name} {text or 'none'}" for name, text in said["changed"].items())
        return f"{said['what']}{f' ({changed})' if changed else ''} by {said['by']}, {said['role']}{_proposed(event)}"
    if event.kind == UNDOING:
        return f"undo asked by {said['by']}, {said['role']}{_proposed(event)}"
    right = said.get("right", {})
    return f"labelled by {said['by']}: {sum(right.values())} of {len(right)} values are right"


def _proposed(event: Event) -> str:
    """What a person's proposal led to; of an action that may not happen, with the reason."""
    lines = [
        ruled(one) if one.verdict.allowed else f"{ruled(one)} ({one.verdict.because})" for one in rulings_of(event.payload)
    ]
    return f": {'; '.join(lines)}" if lines else ""


def _field(name: str, value: Output, automated: bool) -> list[str]:
    place = f"page {value.place.page + 1} at {value.place.box.x0:.0f},{value.place.box.y0:.0f}" if value.place else ""
    sure = f"{value.confidence:5.1%}" if value.calibrated else "    ?"
    mark = "automated" if automated else "to review"
    lines = [f"  {name:14} {value.text!r:32} {sure}  {mark}  {place}".rstrip()]
    if value.speaks_for:
        lines.append(f"      for      {'; '.join(value.speaks_for[:3])}")
    if value.speaks_against:
        lines.append(f"      against  {'; '.join(value.speaks_against[:2])}")
    return lines
