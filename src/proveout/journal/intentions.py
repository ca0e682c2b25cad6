"""An effect as the journal knows it: intended, attempted, settled."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from proveout.records import Action

UNDO = "undo:"
PAUSES = (1, 5, 30, 120)  # minutes after a failed attempt; an outage of two hours kills no effect
ATTEMPTS = len(PAUSES) + 1
IN_A_ROW = 3  # effects of one action that do not reach their counterparty: the others wait, and lose no attempt,
DOWN_FOR = 5  # minutes


class State(StrEnum):
    PENDING = "pending"  # not tried yet
    DONE = "done"
    REFUSED = "refused"  # for good: it did not happen and never will under this key
    HELD = "held"  # not tried now: the stop switch, a counterparty that is down, no time
    FAILED = "failed"  # it did not happen, and is tried again
    UNREACHABLE = "unreachable"  # so did this, and other effects of the action would fare no better
    UNKNOWN = "unknown"  # it may have happened: sent, and no answer came
    DEAD = "dead"  # tried often enough; of an intention, `dead` says it, and its state what the last attempt came to


FINAL = (State.DONE, State.REFUSED)
DOWN = (State.UNREACHABLE, State.UNKNOWN)
TRIED = (State.FAILED, *DOWN)


@dataclass(frozen=True, slots=True)
class Intention:
    """An allowed action in the journal, of which no outcome is known. What its attempts came to stands after the blank line."""

    case: str
    action: Action
    run: str  # whose budget it spends
    cents: int = 0

    state: State = State.PENDING
    attempts: int = 0
    dead: bool = False  # tried often enough: a dead letter, which waits for a person
    because: str = ""  # why the last attempt was none
    attempted_at: str = ""  # ISO 8601, UTC

    @property
    def due(self) -> str:
        """The moment from which it may be tried again; "" at once.

        >>> Intention("c1", Action("pay", {}, "k"), "r", attempts=2, attempted_at="2026-03-02T10:00:00.000000+00:00").due
        '2026-03-02T10:05:00.000000+00:00'
        """
        return _later(self.attempted_at, PAUSES[min(self.attempts, len(PAUSES)) - 1]) if self.attempts else ""


@dataclass(frozen=True, slots=True)
class Outcome:
    state: State
    because: str  # where the effect is to be found, or why there is none


def due(unsettled: Iterable[Intention]) -> list[Intention]:
    """Those that may be tried now, what was tried least first; none of an action whose counterparty was down just now."""
    unsettled, now = list(unsettled), datetime.now(UTC).isoformat(timespec="microseconds")
    down = Counter(
        one.action.name for one in unsettled if one.state in DOWN and one.due > now and _later(one.attempted_at, DOWN_FOR) > now
    )
    ready = [one for one in unsettled if not one.dead and one.due <= now and down[one.action.name] < IN_A_ROW]
    return sorted(ready, key=lambda one: one.attempts)


def _later(at: str, minutes: float) -> str:
    return (datetime.fromisoformat(at) + timedelta(minutes=minutes)).isoformat(timespec="microseconds")
