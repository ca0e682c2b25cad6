"""What people are asked and what they answer: the cases that the agent left to a person become labels with an author.

Three answers: approve (every value as shown), correct (some otherwise), reject (no case for this mission). An answer teaches
the extractor from the next run on, joins the training documents of the next build, and counts in the reports.
Covered: a value that is none of its field's kind is refused before anything is written; answering twice says it once.
Not covered: who may answer (`identity`), and what follows from an answer: `approvals`.
"""

from collections.abc import Mapping
from itertools import islice

from proveout.errors import BadInput
from proveout.evaluation import verdicts
from proveout.journal import APPROVAL, Event, Journal, rulings_of
from proveout.mission import Mission
from proveout.records import Answer, Decided, Role, Route, Ruling, turn_key
from proveout.values import value_of

ENOUGH = 500  # waiting cases that are listed; a person answers about a hundred an hour


def waiting(journal: Journal, role: Role = Role.OPERATOR) -> list[Decided]:
    """Cases that wait for a person of this role, those that wait longest first, at most 500.

    They go to a person and nobody answered, or an action of theirs was left to this role, by the agent's proposal or by the
    approval of somebody who may less.
    """
    answered = journal.answers()
    approved = {turn_key(event.case, event.turn): event for event in journal.of_kind(APPROVAL)}

    def asked(one: Decided) -> bool:
        left = escalations(approved.get(one.case.key), one)
        if any(role.includes(Role(ruling.verdict.escalate_to)) for ruling in left):
            return True
        return one.decision.route is Route.REVIEW and one.case.key not in answered

    return list(islice(filter(asked, journal.decisions()), ENOUGH))


def escalations(approval: Event | None, decided: Decided) -> tuple[Ruling, ...]:
    """What the last proposal for a case, a person's or else the agent's, left to another role."""
    rulings = rulings_of(approval.payload) if approval else decided.rulings
    return tuple(one for one in rulings if one.verdict.escalate_to)


def answer(decided: Decided, mission: Mission, values: Mapping[str, str], by: str, document_class: str = "") -> Answer:
    """What a person says a case's fields and class are; "" where the document has none. Unchanged, it approves the decision.

    Raises BadInput for a field or a class that the mission lacks, and for a value that is none of its kind.
    """
    document_class = document_class or decided.decision.document_class
    if document_class not in mission.classes:
        raise BadInput(f"no class {document_class!r} in {mission.mission}; there are: {', '.join(mission.classes)}")
    if unknown := sorted(set(values) - set(mission.fields)):
        raise BadInput(
            f"no field {', '.join(unknown)} in mission {mission.mission}; its fields are {', '.join(mission.fields)}"
        )
    said = {name: " ".join(text.split()) for name, text in values.items()}
    for name, text in [(name, text) for name, text in said.items() if text]:
        try:
            value_of(mission.kinds[name], text)
        except ValueError as error:
            raise BadInput(f"{name}: {error}; write the value as it is printed, or nothing if the document has none") from error
    right = verdicts(said, decided.decision, mission.kinds)
    return Answer(decided.case.id, said, by, document_class, right, turn=decided.case.turn)


def rejection(decided: Decided, mission: Mission, by: str) -> Answer:
    """A person says that a case is none of the mission's: it is of the first class that is never acted on, if there is one."""
    return Answer(decided.case.id, {}, by, next(iter(mission.never_act_on), ""), turn=decided.case.turn)
