"""What the agent may no longer do alone until a person lifts it. Entry point: `Restrictions`.

Three kinds, from mild to hard: a stricter threshold for a field, review only (a field, a segment or every case goes to a
person), and a stop of all effects. Each is an event of the journal, and so is lifting it. A restriction changes no decision and
no release: the control plane hands the actions of the cases that it covers to a reviewer, who answers them on the review page.
It holds from the next run on; a stop holds at once.
Covered: several at once; a restriction that is imposed twice; two people who lift the same one.
Not covered: who may impose or lift one (the server asks for an operator), and missions without actions, where nothing is
held back.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from proveout.control.stop import StopSwitch
from proveout.errors import BadInput
from proveout.journal import LIFTED, RESTRICTED, Event, Journal
from proveout.mission import Mission
from proveout.records import Decision


class Kind(StrEnum):
    STRICTER = "stricter threshold"
    REVIEW = "review only"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Restriction:
    """One restriction. Without a field it covers all required ones, without a segment all cases."""

    kind: Kind
    because: str
    by: str
    field: str = ""
    segment: str = ""
    at_least: float = 0.0  # confidence that a value needs to be automated, for a stricter threshold
    report: str = ""  # id of the report that led to it; "" for none
    finding: str = ""  # key of the report's finding
    id: str = ""
    at: str = ""  # ISO 8601, UTC

    def __str__(self) -> str:
        """
        >>> print(Restriction(Kind.REVIEW, "paid wrongly", "ada", segment="regional"))
        regional cases go to a person: paid wrongly (ada)
        >>> print(Restriction(Kind.STRICTER, "drift", "ada", field="total", at_least=0.995))
        cases with total under 99.5 % confidence go to a person: drift (ada)
        """
        cases = f"{self.segment} cases" if self.segment else "cases" if self.field else "all cases"
        match self.kind:
            case Kind.STOP:
                what = "all effects are stopped"
            case Kind.STRICTER:
                level = f"{100 * self.at_least:.6g} %"
                what = f"{cases} with {self.field or 'any required value'} under {level} confidence go to a person"
            case Kind.REVIEW:
                what = f"{cases}{f' with an automated {self.field}' if self.field else ''} go to a person"
        return f"{what}: {self.because} ({', '.join(filter(None, (self.by, self.at[:10])))})"

    def covers(self, decision: Decision, segment: str, required: Iterable[str]) -> bool:
        """Whether a case of this segment may not be acted on by this decision alone."""
        if self.kind is Kind.STOP or self.segment not in ("", segment):
            return False
        names = [name for name in ([self.field] if self.field else required) if name in decision.automated]
        if self.kind is Kind.REVIEW:
            return bool(names) or not self.field
        return any(not decision.fields[name].confidence >= self.at_least for name in names)


class Restrictions:
    """Those of one journal, with its stop switch. Safe for several threads and processes."""

    def __init__(self, journal: Journal, switch: StopSwitch) -> None:
        self._journal, self._switch = journal, switch

    def active(self) -> tuple[Restriction, ...]:
        """Those in force, oldest first."""
        return active(self._journal.of_kind(RESTRICTED, LIFTED))

    def impose(self, restriction: Restriction, mission: Mission) -> Restriction:
        """Put it in force; one that says the same as one in force changes nothing.

        Raises BadInput without a reason, for an unknown field, and for a threshold that is no share.
        """
        if not restriction.because.strip():
            raise BadInput("a restriction needs a reason; whoever lifts it reads it")
        if restriction.field and restriction.field not in mission.fields:
            raise BadInput(f"no field {restriction.field!r} in {mission.mission}; expected one of: {', '.join(mission.fields)}")
        if restriction.kind is Kind.STRICTER and not 0.5 < restriction.at_least < 1:
            raise BadInput(f"a threshold of {restriction.at_least:g}; expected a confidence between 0.5 and 1, such as 0.995")
        same = (restriction.kind, restriction.field, restriction.segment, restriction.at_least)
        for one in self.active():
            if (one.kind, one.field, one.segment, one.at_least) == same:
                return one
        if restriction.kind is Kind.STOP:
            self._switch.stop(restriction.by, restriction.because)
        payload = {"kind": restriction.kind.value, "because": restriction.because.strip()[:500], "by": restriction.by}
        payload |= {"field": restriction.field, "segment": restriction.segment, "report": restriction.report}
        payload |= {"finding": restriction.finding}
        about = payload | ({"at_least": restriction.at_least} if restriction.kind is Kind.STRICTER else {})
        (event,) = self._journal.append([Event("", RESTRICTED, about, key=uuid.uuid4().hex[:12])])
        return _restriction(event)

    def stop(self, by: str, because: str, mission: Mission) -> None:
        """Stop all effects."""
        self.impose(Restriction(Kind.STOP, because, by), mission)

    def lift(self, id: str, by: str, because: str = "") -> Restriction:
        """Lift the one whose id starts so. Raises BadInput unless exactly one in force does."""
        matching = [one for one in self.active() if id and one.id.startswith(id)]
        if len(matching) != 1:
            ids = ", ".join(one.id for one in self.active()) or "none"
            raise BadInput(f"no one restriction in force has an id that starts with {id[:64]!r}; in force: {ids}")
        if matching[0].kind is Kind.STOP:
            self._switch.lift()
        self._journal.append([Event("", LIFTED, {"by": by, "because": because[:500]}, key=matching[0].id)])
        return matching[0]

    def lift_stop(self, by: str) -> None:
        """Allow effects again, whoever stopped them."""
        self._switch.lift()
        for one in self.active():
            if one.kind is Kind.STOP:
                self.lift(one.id, by)


def active(events: Iterable[Event]) -> tuple[Restriction, ...]:
    """Those that are in force after these events."""
    imposed: dict[str, Restriction] = {}
    for event in events:
        if event.kind == RESTRICTED:
            imposed[event.key] = _restriction(event)
        elif event.kind == LIFTED:
            imposed.pop(event.key, None)
    return tuple(imposed.values())


def _restriction(event: Event) -> Restriction:
    payload = event.payload
    return Restriction(
        Kind(payload["kind"]),
        payload["because"],
        payload["by"],
        payload["field"],
        payload["segment"],
        payload.get("at_least", 0.0),
        payload["report"],
        payload["finding"],
        event.key,
        event.at,
    )
