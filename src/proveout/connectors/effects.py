"""Side effects: recorded before and after they happen, and never performed twice under one key.

The journal holds the intention before the effect, and the outcome after it. A process killed in between leaves an intention
without an outcome. The next process first asks the connector whether the effect happened, and acts only if it did not.
`carry_out` does this, for a first try as well as after a restart.
Any failure of a connector is recorded as an attempt and retried after a pause. After `ATTEMPTS` failures the effect is a dead
letter and waits for a person. It does not hold up other effects or decisions.
Covered: SIGKILL at any instant, two processes with the same intention, an effect that is undone before it happened, a
counterparty that is down (after `IN_A_ROW` failures its other effects wait) or slow (`seconds`).
Not covered: whether an action is allowed (`control`), and counterparties with neither idempotency keys nor a lookup.
"""

import math
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from proveout.errors import BadInput
from proveout.journal import Journal
from proveout.journal.intentions import ATTEMPTS, DOWN, FINAL, IN_A_ROW, TRIED, UNDO, Intention, Outcome, State, due
from proveout.records import Action

LONGEST_REASON = 500  # characters; a counterparty may answer with a whole web page


class NoSettings(BaseModel, extra="forbid"):
    """For a connector that a mission cannot configure."""


class Connector(ABC):
    """The outside world behind one action. Packages add theirs through the entry-point group `proveout.connectors`."""

    Settings: ClassVar[type[BaseModel]] = NoSettings  # what a mission may set
    takes: ClassVar[Mapping[str, str]] = {}  # required arguments: name to kind of field, or "text" for any
    may_take: ClassVar[Mapping[str, str]] = {}  # the same for optional arguments
    defaults: ClassVar[Mapping[str, str]] = {}  # argument to the field it comes from if the mission does not say

    def __init__(self, settings: Any, place: Path, original: Callable[[str], Path]) -> None:
        """`place`: a folder for the files that it writes. `original`: case id to the file that was decided on."""
        self.settings, self.place, self.original = settings, place, original

    @classmethod
    def reversible(cls, settings: Any) -> bool:
        """Whether `compensation` is available with these settings."""
        return False

    def compensation(self) -> "Connector":
        """The connector that undoes this one's effects. It gets the effect's arguments and `undoes`, the effect's key."""
        raise BadInput(f"{type(self).__name__} cannot undo its effects")

    def cents(self, action: Action) -> int:
        """The amount that the action would spend, from its arguments. Raises BadInput if they lack a valid amount."""
        return 0

    @abstractmethod
    def done(self, case: str, action: Action) -> str | None:
        """Where to find the effect of this key; None if it has not happened, or if the counterparty has no lookup."""

    @abstractmethod
    def perform(self, case: str, action: Action) -> Outcome:
        """Perform the effect, at most once under this key, also with concurrent calls. Called only after `done` returned None.

        Raises BadInput if it can never happen, ConnectionError or TimeoutError if the counterparty cannot be reached; any
        other exception is a failed attempt of this one effect. Returns UNKNOWN if it may have happened.
        """


def carry_out(
    journal: Journal,
    connectors: Mapping[str, Connector],
    stopped: Callable[[], str],
    progress: Callable[[], None] | None = None,
    keys: Collection[str] | None = None,
    seconds: float = math.inf,
) -> list[tuple[Intention, Outcome]]:
    """Try every intention that is due, or those with these keys even if not due. Exceptions become outcomes, too.

    `stopped` is called before each effect and returns the reason to stop, or "". No effect starts after this many `seconds`.
    An effect that is to be undone and has not happened is withdrawn; its undo waits until that is known.
    """
    until = time.monotonic() + seconds
    unsettled = {intention.action.key: intention for intention in journal.unsettled()}
    undone = {_undoes(intention) for intention in unsettled.values()} - {""}
    chosen = due(unsettled.values()) if keys is None else [unsettled[key] for key in unsettled if key in keys]
    chosen += [unsettled[key] for key in map(_undoes, chosen) if key in unsettled]
    todo = {intention.action.key: intention for intention in chosen if not intention.dead}
    in_a_row: Counter[str] = Counter()
    results = []
    for intention in sorted(todo.values(), key=lambda intention: intention.action.key not in undone):
        action = intention.action
        if time.monotonic() > until:
            outcome = Outcome(State.HELD, "no time left; it is tried again after the next decisions")
        elif keys is None and in_a_row[action.name] >= IN_A_ROW:
            outcome = Outcome(State.HELD, f"{IN_A_ROW} effects of {action.name} in a row did not reach their counterparty")
        elif (original := unsettled.get(_undoes(intention))) and not original.dead:
            outcome = Outcome(State.HELD, f"it is not known yet whether {original.action.name} happened")
        else:
            outcome = _effect(intention, connectors.get(action.name), stopped, withdrawn=action.key in undone)
        if outcome.state in FINAL:
            journal.settle(intention, outcome)
            in_a_row[action.name] = 0
            del unsettled[action.key]
        if outcome.state in TRIED and State.UNKNOWN in (outcome.state, intention.state):  # in doubt until there is an answer
            outcome = Outcome(State.UNKNOWN, f"it may have happened: {outcome.because}")
        if outcome.state in TRIED:
            in_a_row[action.name] = in_a_row[action.name] + 1 if outcome.state in DOWN else 0
            dead = intention.attempts + 1 >= ATTEMPTS
            journal.attempted(intention, outcome, dead)
            outcome = Outcome(State.DEAD, outcome.because) if dead else outcome
        results.append((intention, outcome))
        if progress:
            progress()
    return results


def undo(action: Action) -> Action:
    """The action that undoes this one, under its own key. Raises BadInput if the mission names none.

    >>> undo(Action("pay_invoice", {}, "k1", compensation="recall_payment"))
    Action(name='recall_payment', arguments={'undoes': 'k1'}, key='undo:k1', compensation=None)
    """
    if action.compensation is None:
        raise BadInput(f"{action.name} cannot be undone: the mission names no `undone_by` for it")
    return Action(action.compensation, {**action.arguments, "undoes": action.key}, UNDO + action.key)


def amount_in_cents(action: Action) -> int:
    """The argument `amount` in cents. Raises BadInput unless it is positive, whole cents and below 10^13 dollars.

    >>> amount_in_cents(Action("pay_invoice", {"amount": "4125.00"}, "k"))
    412500
    """
    text = action.arguments.get("amount", "")
    try:
        cents = Decimal(text) * 100
    except InvalidOperation:
        cents = Decimal(0)
    if not cents.is_finite() or not 0 < cents < 10**15 or cents % 1:
        raise BadInput(f"{action.name}: `amount` is {text!r}, expected dollars and cents above 0")
    return int(cents)


def _undoes(intention: Intention) -> str:
    """The key of the effect that it undoes; "" if it undoes none."""
    action = intention.action
    return action.arguments.get("undoes", "") if action.key.startswith(UNDO) else ""


def _effect(intention: Intention, connector: Connector | None, stopped: Callable[[], str], withdrawn: bool) -> Outcome:
    case, action = intention.case, intention.action
    if connector is None:
        return Outcome(State.FAILED, f"no connector performs {action.name!r}: the mission has no such action")
    try:
        if (where := connector.done(case, action)) is not None:
            return Outcome(State.DONE, _short(where))
        if withdrawn:
            doubt = "; if its last attempt did happen, the undo reverses it" if intention.state is State.UNKNOWN else ""
            return Outcome(State.REFUSED, f"withdrawn before it happened{doubt}")
        if reason := stopped():
            return Outcome(State.HELD, reason)
        outcome = connector.perform(case, action)
        if outcome.state not in (*FINAL, *TRIED):
            raise TypeError(f"{type(connector).__name__}.perform: found {outcome.state!r}, expected one of {(*FINAL, *TRIED)}")
        return Outcome(outcome.state, _short(outcome.because))
    except BadInput as error:
        return Outcome(State.REFUSED, _short(error))
    except (ConnectionError, TimeoutError) as error:
        return Outcome(State.UNREACHABLE, _short(error))
    except OSError as error:
        return Outcome(State.FAILED, _short(error))
    except Exception as error:  # a bug in a connector is a failed attempt and does not end the run
        return Outcome(State.FAILED, _short(f"{type(error).__name__}: {error}"))


def _short(reason: object) -> str:
    """The reason as one line of bounded length."""
    text = " ".join(str(reason).split())
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"
