"""The cases that wait for a person, and people's answers: labels with an author.

Three answers: approve (all values as they are), correct (change some), reject (not a case for this mission). An answer improves
extraction from the next run on, joins the training documents of the next build, and counts in the reports.
Covered: a value of the wrong kind is refused before anything is written; a repeated answer is recorded once.
Not covered: who may answer (`identity`), and the actions that follow from an answer (`approvals`).
"""

from collections.abc import Mapping
from itertools import islice

from proveout.errors import BadInput
from proveout.evaluation import verdicts
from proveout.journal import APPROVAL, BATCH, Event, Journal, rulings_of
from proveout.mission import Mission
from proveout.records import Answer, Decided, Role, Route, Ruling, turn_key
from proveout.review.batches import batches
from proveout.values import NONE, doubt, value_of

ENOUGH = 500  # waiting cases to list; a person answers about a hundred per hour


def waiting(journal: Journal, role: Role = Role.OPERATOR) -> list[Decided]:
    """Cases that wait for a person with this role, longest wait first, at most 500.

    Either the case is routed to review or sought by a labelling batch, and has no answer, or one of its actions was escalated
    to this role, whether the agent proposed it or a person with a lower role approved it.
    """
    sought = {case for batch in batches(journal.of_kind(BATCH)) for case in batch.cases}
    answered = journal.answers()
    approved = {turn_key(event.case, event.turn): event for event in journal.of_kind(APPROVAL)}

    def waits(decided: Decided) -> bool:
        rulings = escalations(approved.get(decided.case.key), decided)
        escalated = any(role.includes(Role(ruling.verdict.escalate_to)) for ruling in rulings)
        asked = decided.decision.route is Route.REVIEW or decided.case.key in sought
        return escalated or (asked and decided.case.key not in answered)

    return list(islice(filter(waits, journal.decisions()), ENOUGH))


def escalations(approval: Event | None, decided: Decided) -> tuple[Ruling, ...]:
    """The rulings that need another role: from the last proposal by a person, or else from the agent's."""
    rulings = rulings_of(approval.payload) if approval else decided.rulings
    return tuple(ruling for ruling in rulings if ruling.verdict.escalate_to)


def answer(decided: Decided, mission: Mission, values: Mapping[str, str], by: str, document_class: str = "") -> Answer:
    """A person's answer: values by field, "" if the document has none. Without changes it approves the decision.

    Raises BadInput for an unknown field or class, and for a value that is not of its field's kind.
    """
    document_class = document_class or decided.decision.document_class
    if document_class not in mission.classes:
        raise BadInput(f"no class {document_class!r} in {mission.mission}; expected one of: {', '.join(mission.classes)}")
    if unknown := sorted(set(values) - set(mission.fields)):
        raise BadInput(f"no field {', '.join(unknown)} in {mission.mission}; expected: {', '.join(mission.fields)}")
    fields = {name: " ".join(text.split()) for name, text in values.items()}
    for name, text in [(name, text) for name, text in fields.items() if text]:
        try:
            value_of(mission.kinds[name], text)
        except ValueError as error:
            raise BadInput(f"{name}: {error}; enter the value as printed, or nothing if the document has none") from error
        output = decided.decision.fields.get(name)
        unclear = doubt(mission.kinds[name], text, NONE.declaring(mission.dates))
        if unclear and (output is None or " ".join(output.text.split()) != text):
            raise BadInput(f"{name}: {unclear.partition(':')[0]}; enter a day as 2026-12-31, an amount as 1234.00")
    right = verdicts(fields, decided.decision, mission.kinds)
    return Answer(decided.case.id, fields, by, document_class, right, turn=decided.case.turn)


def rejection(decided: Decided, mission: Mission, by: str) -> Answer:
    """The answer that a case does not belong to the mission: the first class in `never_act_on`, if any, and no values."""
    return Answer(decided.case.id, {}, by, next(iter(mission.never_act_on), ""), turn=decided.case.turn)
