"""Who has which case, and until when, so that two people are not given the same next one. Entry point: `Assignments`.

Opening a waiting case takes it for a while; an operator may assign it to somebody. When that time is over, it is free again.
Each step is an event of the journal: it survives a restart, and of two servers only one gives a case away.
Not covered: who may answer. An assigned case can be answered by others, too; `approvals` tells the second person.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from proveout.errors import BadInput, Busy, Changed
from proveout.journal import APPROVAL, ASSIGNMENT, DECISION, LABEL, SECOND_READING, Event, Journal
from proveout.records import Person, Role

TRIES = 20  # while other cases are taken at the same time


@dataclass(frozen=True, slots=True)
class Assignment:
    """A case that somebody has."""

    to: str  # an account's name; "" if the case was put back in the queue
    by: str  # who assigned it; the same name if that person opened it
    until: str  # ISO 8601, UTC

    def holds(self, now: datetime | None = None) -> bool:
        """Whether its time is not over."""
        return datetime.fromisoformat(self.until) > (now or datetime.now(UTC))


def after(event: Event, before: Assignment | None) -> Assignment | None:
    """The assignment of a case after one of its events."""
    if event.kind == ASSIGNMENT:
        return Assignment(**event.payload) if event.payload["to"] else None
    return None if event.kind in (DECISION, LABEL, APPROVAL, SECOND_READING) else before


def current(events: Iterable[Event]) -> Assignment | None:
    """The assignment that counts now, by all events of a case."""
    assignment: Assignment | None = None
    for event in events:
        assignment = after(event, assignment)
    return assignment if assignment and assignment.holds() else None


class Assignments:
    """Takes, assigns and puts back the cases of one journal. Safe for several threads and processes."""

    def __init__(self, journal: Journal, opened: timedelta, assigned: timedelta) -> None:
        """`opened`, `assigned`: how long a case is a person's who opened it, or to whom it was assigned."""
        self.journal, self._opened, self._assigned = journal, opened, assigned

    def take(self, case: str, person: Person) -> Assignment:
        """Take a case for the person who opens it, unless somebody else has it; returns who has it now.

        Raises Busy if other cases are taken each time it tries.
        """
        for _ in range(TRIES):
            position, assignment = self.journal.position, current(self.journal.events(case))
            if assignment and (assignment.to != person.name or assignment.holds(datetime.now(UTC) + self._opened / 2)):
                return assignment
            assignment = _lasting(self._opened, person.name, person.name)
            try:
                self.journal.append_unless([ASSIGNMENT], position, [_event(case, assignment)])
            except Changed:
                continue
            return assignment
        raise Busy("other cases were taken each time; try again")

    def assign(self, case: str, to: Person, by: Person, needed: Role) -> Assignment:
        """Assign a case, whoever has it, to a person. Raises BadInput unless the person has the role that the case needs."""
        if not to.role.includes(needed):
            raise BadInput(f"this case needs the role {needed}; {to.name} has the role {to.role}")
        assignment = _lasting(self._assigned, to.name, by.name)
        self.journal.append([_event(case, assignment)])
        return assignment

    def put_back(self, case: str, by: Person) -> None:
        """Put a case back in the queue. Raises BadInput if somebody else has it and this person is no operator."""
        for _ in range(TRIES):
            position, assignment = self.journal.position, current(self.journal.events(case))
            if assignment is None:
                return
            if assignment.to != by.name and not by.role.includes(Role.OPERATOR):
                raise BadInput(f"{assignment.to} has this case; an operator may put it back in the queue")
            with suppress(Changed):
                self.journal.append_unless([ASSIGNMENT], position, [_event(case, Assignment("", by.name, ""))])
                return
        raise Busy("other cases were taken each time; try again")


def _lasting(length: timedelta, to: str, by: str) -> Assignment:
    return Assignment(to, by, (datetime.now(UTC) + length).isoformat(timespec="seconds"))


def _event(case: str, assignment: Assignment) -> Event:
    return Event(case, ASSIGNMENT, asdict(assignment))
