"""An effect as the journal records it: intended, attempted, settled."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from proveout.records import Action

UNDO = "undo:"
PAUSES = (1, 5, 30, 120)  # minutes after a failed attempt: effects survive an outage of two hours
ATTEMPTS = len(PAUSES) + 1
IN_A_ROW = 3  # effects of one action in a row that did not reach their counterparty; then its other effects wait
DOWN_FOR = 5  # minutes of that wait, which costs no attempt


class State(StrEnum):
    PENDING = "pending"  # not tried yet
    DONE = "done"
    REFUSED = "refused"  # permanently: it did not happen and never will under this key
    HELD = "held"  # postponed: the stop switch, a counterparty that is down, no time left
    FAILED = "failed"  # it did not happen and will be retried
    UNREACHABLE = "unreachable"  # the same, and other effects of this action would fail too
    UNKNOWN = "unknown"  # it may have happened: the request was sent, but no answer came
    DEAD = "dead"  # an outcome only: no attempts left; a dead intention has `dead` set and the state of its last attempt


FINAL = (State.DONE, State.REFUSED)
DOWN = (State.UNREACHABLE, State.UNKNOWN)
TRIED = (State.FAILED, *DOWN)


@dataclass(frozen=True, slots=True)
class Intention:
    """An allowed action in the journal without an outcome. The fields after the blank line sum up its attempts."""

    case: str
    action: Action
    run: str  # whose budget it spends
    cents: int = 0

    state: State = State.PENDING
    attempts: int = 0
    dead: bool = False  # no attempts left: a dead letter, which waits for a person
    because: str = ""  # why the last attempt failed
    attempted_at: str = ""  # ISO 8601, UTC

    @property
    def due(self) -> str:
        """The earliest time of the next attempt, ISO 8601, UTC; "" before the first.

        >>> Intention("c1", Action("pay", {}, "k"), "r", attempts=2, attempted_at="2026-03-02T10:00:00.000000+00:00").due
        '2026-03-02T10:05:00.000000+00:00'
        """
        return _later(self.attempted_at, PAUSES[min(self.attempts, len(PAUSES)) - 1]) if self.attempts else ""


@dataclass(frozen=True, slots=True)
class Outcome:
    state: State
    because: str  # where to find the effect, or why there is none


def due(unsettled: Iterable[Intention]) -> list[Intention]:
    """The intentions to try now, those with the fewest attempts first; none of an action whose counterparty was just down."""
    unsettled, now = list(unsettled), datetime.now(UTC).isoformat(timespec="microseconds")
    waiting = [effect for effect in unsettled if effect.state in DOWN and effect.due > now]
    down = Counter(effect.action.name for effect in waiting if _later(effect.attempted_at, DOWN_FOR) > now)
    ready = [effect for effect in unsettled if not effect.dead and effect.due <= now and down[effect.action.name] < IN_A_ROW]
    return sorted(ready, key=lambda effect: effect.attempts)


def _later(at: str, minutes: float) -> str:
    return (datetime.fromisoformat(at) + timedelta(minutes=minutes)).isoformat(timespec="microseconds")
