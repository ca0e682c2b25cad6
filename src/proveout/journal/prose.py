"""A decision and its consequences as text for people: in the terminal, from the server, on the review page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from proveout.journal import (
    APPROVAL,
    ASSIGNMENT,
    ATTEMPTED,
    BATCH,
    CONCLUSION,
    DECISION,
    ERASED,
    ERASURE,
    INTENDED,
    LIFTED,
    PROMOTION,
    REGRESSION,
    REPORT,
    RESTRICTED,
    RETRIED,
    SECOND_READING,
    SETTLED,
    SIGNATURE,
    TRIAL,
    UNDOING,
    Event,
    rulings_of,
)
from proveout.journal.intentions import Intention
from proveout.records import FLAGS, Decision, Output, Ruling
from proveout.values.rankings import SEPARATOR

DEAD_LISTED = 5
MARK = {True: "✓", False: "✗", None: "–"}


def printed(decision: Decision, rulings: Sequence[Ruling] = ()) -> str:
    """Route and reasons, each field with its evidence, the checks, and the ruling on each proposed action."""
    lines = [f"{decision.document_class or 'unreadable'} → {decision.route.upper()}"]
    lines += [f"  {sentence}" for sentence in decision.because]
    if decision.fields:
        lines += ["", "fields"]
    for name, value in decision.fields.items():
        lines += _field(name, value, name in decision.automated)
    if decision.checks:
        lines += ["", "checks"]
    lines += [f"  {MARK[check.passed]} {check.name}: {check.because}" for check in decision.checks]
    if decision.similar:
        lines += ["", "similar cases"]
    for similar in decision.similar[:3]:
        fields = ", ".join(f"{name}: {text}" if text in FLAGS else text for name, text in similar.fields.items())
        lines.append(f"  {similar.case[:12]}  {similar.similarity:.2f}  {fields}")
    if rulings:
        lines += ["", "proposed actions"]
    lines += [f"  {MARK[ruling.verdict.allowed]} {reasoned_line(ruling)}" for ruling in rulings]
    lines += ["", f"case {decision.case[:12]}, release {decision.release[:12]}, memory position {decision.memory_position}"]
    return "\n".join(lines)


def history(events: Iterable[Event]) -> str:
    """The events of a case under a heading, one line each."""
    return "\n".join(["history (UTC)", *(f"  {dated_line(event)}" for event in events)])


def dated_line(event: Event) -> str:
    """An event in one line, with its time."""
    return f"{event.at[:16].replace('T', ' ')}  {event_line(event)}"


def ruling_line(ruling: Ruling) -> str:
    """An action, its amount, and whether it is allowed, refused, or needs another role.

    >>> from proveout.records import Action, Verdict
    >>> pay = Action("pay_invoice", {}, "k")
    >>> ruling_line(Ruling(pay, Verdict(True, ""), 1250)), ruling_line(Ruling(pay, Verdict(False, "", "operator"), 1934000))
    ('pay_invoice of $12.50 allowed', 'pay_invoice of $19,340.00 needs an operator')
    """
    what = f"{ruling.action.name} of ${ruling.cents / 100:,.2f}" if ruling.cents else ruling.action.name
    if role := ruling.verdict.escalate_to:
        return f"{what} needs {'an' if role[0] in 'aeiou' else 'a'} {role}"
    return f"{what} {'allowed' if ruling.verdict.allowed else 'refused'}"


def reasoned_line(ruling: Ruling) -> str:
    """The same with the policy's reason."""
    return f"{ruling_line(ruling)}: {ruling.verdict.because}"


def effect(intention: Intention) -> str:
    """An effect without an outcome in one line: its state, the attempts so far, the reason, the next attempt."""
    after = f" after {intention.attempts} attempt{'s' * (intention.attempts > 1)}" if intention.attempts else ""
    because = f": {intention.because}" if intention.because else ""
    retry = f"; next attempt after {intention.due[:16].replace('T', ' ')} UTC" if after and not intention.dead else ""
    state = f"dead ({intention.state.value})" if intention.dead else intention.state.value
    return f"{intention.action.name} for case {intention.case[:12]} is {state}{after}{because}{retry}"


def dead_letters(unsettled: Iterable[Intention]) -> list[str]:
    """The effects that need a person, with the command to retry them; no lines if there are none."""
    dead = [intention for intention in unsettled if intention.dead]
    lines = [f"  {effect(intention)}" for intention in dead[:DEAD_LISTED]]
    lines += [f"  and {len(dead) - DEAD_LISTED} more: proveout effects"] if len(dead) > DEAD_LISTED else []
    return [f"dead letters: {len(dead)}; to retry: proveout effects --retry KEY (or all)", *lines] if dead else []


def event_line(event: Event) -> str:
    """An event in one line, without its time."""
    payload = event.payload
    if event.kind == DECISION:
        return f"decided in run {payload['run']}"
    if event.kind == INTENDED:
        return f"{payload['action']['name']} queued"
    if event.kind == ATTEMPTED:
        end = "; no further attempts" if payload["dead"] else ""
        return f"{payload['name']} {payload['state']} on attempt {payload['attempt']}: {payload['because']}{end}"
    if event.kind == RETRIED:
        return f"retry of {payload['name']} requested by {payload['by']}"
    if event.kind == SETTLED:
        return f"{payload['name']} {payload['state']}: {payload['because']}"
    if event.kind == APPROVAL:
        changed = ", ".join(f"{name} {text or 'none'}" for name, text in payload["changed"].items())
        change = f" ({changed})" if changed else ""
        return f"{payload['what']}{change} by {payload['by']}, {payload['role']}{_rulings(event)}"
    if event.kind == UNDOING:
        return f"undo requested by {payload['by']}, {payload['role']}{_rulings(event)}"
    if event.kind == SECOND_READING:
        other = [name for name, agrees in payload["agrees"].items() if not agrees]
        result = f"another {', '.join(other)}" if other else "every value the same"
        return f"read again, blind, by {payload['by']}: {result}"
    if event.kind == ASSIGNMENT:
        return _assigned(**payload)
    if event.kind == RESTRICTED:
        about = " ".join(payload[part] for part in ("segment", "field") if payload[part]) or "everything"
        level = f" at {payload['at_least']:g}" if "at_least" in payload else ""
        return f"{payload['kind']} for {about}{level}, by {payload['by']}: {payload['because']}"
    if event.kind == BATCH:
        teach, judge = len(payload["teach"]), len(payload["judge"])
        return (
            f"{teach + judge} labels asked for by {payload['by']}, {judge} of them to judge: {', '.join(payload['findings'])}"
        )
    if event.kind == TRIAL:
        return f"trial of release {payload['release'][:12]} by {payload['by']}: {payload['sentence']}"
    if event.kind == PROMOTION:
        why = f": {because}" if (because := payload["because"]) else ""
        return f"{payload['what']} release {payload['release'][:12]} by {payload['by']}{why}"
    if event.kind == LIFTED:
        return f"restriction {event.key} lifted by {payload['by']}{f': {because}' if (because := payload['because']) else ''}"
    if event.kind == REGRESSION:
        removed = payload.get("removed")
        return f"{'no longer a' if removed else 'made a'} regression case by {payload['by']}{_why(payload)}"
    if event.kind == ERASURE:
        return f"content erased by {payload['by']}, {payload['role']}: {payload['because']}"
    if event.kind == ERASED:
        return "erasure complete"
    if event.kind == REPORT:
        return f"report {event.key[:12]} filed: {payload['headline']}"
    if event.kind == CONCLUSION:
        return f"{', '.join(payload['findings'])}: {payload['what']} by {payload['by']}, {payload['role']}"
    if event.kind == SIGNATURE:
        return f"report {payload['report'][:12]} signed by {payload['by']}, {payload['role']}: {payload['because']}"
    right = payload.get("right", {})
    return f"labelled by {payload['by']}: {sum(right.values())} of {len(right)} values correct"


def _rulings(event: Event) -> str:
    """The rulings on a person's proposal; those that are not allowed with the reason."""
    rulings = rulings_of(event.payload)
    lines = [ruling_line(ruling) + ("" if ruling.verdict.allowed else f" ({ruling.verdict.because})") for ruling in rulings]
    return f": {'; '.join(lines)}" if lines else ""


def _why(payload: Mapping[str, Any]) -> str:
    return f": {payload['because']}" if payload.get("because") else ""


def _assigned(to: str, by: str, until: str) -> str:
    if not to:
        return f"put back in the queue by {by}"
    time = f"until {until[:16].replace('T', ' ')}"
    return f"opened by {to}, who has it {time}" if to == by else f"assigned to {to} {time} by {by}"


def _field(name: str, value: Output, automated: bool) -> list[str]:
    place = f"page {value.place.page + 1} at {value.place.box.x0:.0f},{value.place.box.y0:.0f}" if value.place else ""
    confidence = f"{value.confidence:5.1%}" if value.calibrated else "    ?"
    mark = "automated" if automated else "to review"
    items = value.text.split(SEPARATOR)
    text = repr(value.text) if len(items) == 1 else f"a ranking of {len(items)}:"
    lines = [f"  {name:14} {text:32} {confidence}  {mark}  {place}".rstrip()]
    lines += [f"      {rank:2}  {item}" for rank, item in enumerate(items, 1) if len(items) > 1]
    if value.speaks_for:
        lines.append(f"      for      {'; '.join(value.speaks_for[:3])}")
    if value.speaks_against:
        lines.append(f"      against  {'; '.join(value.speaks_against[:2])}")
    return lines
