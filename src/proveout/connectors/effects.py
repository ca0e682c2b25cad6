"""Side effects: recorded before they happen and after, and never twice under one key.

An intention is in the journal before its effect, the outcome after it. A process that is killed in between leaves an
intention without an outcome; whoever comes next asks the connector whether it happened, and only then acts.
`carry_out` is that one way, for a first try as for a restart.
A connector that fails, in whatever way, is an attempt: recorded, tried again after a pause, and after `ATTEMPTS` of them a
dead letter, which waits for a person. It keeps no other effect and no decision from happening.
Covered: SIGKILL at any instant, two processes at the same intention, an effect that is taken back before it happened, a
counterparty that is down (after `IN_A_ROW` failures its other effects wait) or slow (`seconds`).
Not covered: whether the action may happen (`control`), and counterparties that cannot be asked what they did and know no keys.
"""

import math
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from proveout.errors import BadInput
from proveout.journal import Journal
from proveout.journal.intentions import ATTEMPTS, DOWN, FINAL, IN_A_ROW, TRIED, UNDO, Intention, Outcome, State, due
from proveout.records import Action

LONGEST_REASON = 500  # characters; a counterparty may answer with a page


class NoSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Connector(ABC):
    """The outside world behind one action. A package brings one by the entry-point group `proveout.connectors`."""

    Settings: ClassVar[type[BaseModel]] = NoSettings  # what a mission may set
    takes: ClassVar[Mapping[str, str]] = {}  # argument to the kind of field that it needs, or "text" for any
    may_take: ClassVar[Mapping[str, str]] = {}  # the same, for arguments that may be missing
    defaults: ClassVar[Mapping[str, str]] = {}  # argument to the field that gives it where the mission says nothing

    def __init__(self, settings: Any, place: Path, original: Callable[[str], Path]) -> None:
        """`place`: a folder for what it leaves on this machine. `original`: case id to the file that was decided on."""
        self.settings, self.place, self.original = settings, place, original

    @classmethod
    def reversible(cls, settings: Any) -> bool:
        """Whether `compensation` gives one."""
        return False

    def compensation(self) -> "Connector":
        """What takes its effects back. It is asked with the arguments of the effect, and `undoes`, the effect's key."""
        raise BadInput(f"{type(self).__name__} cannot take back what it did")

    def cents(self, action: Action) -> int:
        """What the action would spend, from its own arguments. Raises BadInput when they do not say."""
        return 0

    @abstractmethod
    def done(self, case: str, action: Action) -> str | None:
        """Where the effect of this key is to be found, or None: it has not happened, or that cannot be asked."""

    @abstractmethod
    def perform(self, case: str, action: Action) -> Outcome:
        """Make the effect exist, at most once under this key even when two do it at once. Asked only after `done` said None.

        Raises BadInput for what can never happen; ConnectionError or TimeoutError where the counterparty is out of reach;
        anything else is a failed attempt of this one effect. Gives UNKNOWN where it may have happened.
        """


def carry_out(
    journal: Journal,
    connectors: Mapping[str, Connector],
    stopped: Callable[[], str],
    progress: Callable[[], None] | None = None,
    keys: Collection[str] | None = None,
    seconds: float = math.inf,
) -> list[tuple[Intention, Outcome]]:
    """Bring every intention that is due, or those of these keys whether due or not, to its outcome; an exception is an outcome.

    `stopped` is asked before each effect and gives the reason, or "". No effect is begun after so many `seconds`.
    What is to be undone and has not happened is withdrawn; its undo waits until that is known.
    """
    until = time.monotonic() + seconds
    unsettled = {intention.action.key: intention for intention in journal.unsettled()}
    undone = {_undoes(intention) for intention in unsettled.values()} - {""}
    chosen = due(unsettled.values()) if keys is None else [unsettled[key] for key in unsettled if key in keys]
    chosen += [unsettled[key] for key in map(_undoes, chosen) if key in unsettled]
    todo = {intention.action.key: intention for intention in _alive(chosen)}
    in_a_row: Counter[str] = Counter()
    results = []
    for intention in sorted(todo.values(), key=lambda one: one.action.key not in undone):
        action = intention.action
        if time.monotonic() > until:
            outcome = Outcome(State.HELD, "there was no time for it; it is tried after what is decided now")
        elif keys is None and in_a_row[action.name] >= IN_A_ROW:
            outcome = Outcome(State.HELD, f"{IN_A_ROW} other effects of {action.name} did not get through")
        elif (original := unsettled.get(_undoes(intention))) and not original.dead:
            outcome = Outcome(State.HELD, f"whether {original.action.name} happened is not known yet")
        else:
            outcome = _effect(intention, connectors.get(action.name), stopped, withdrawn=action.key in undone)
        if outcome.state in FINAL:
            journal.settle(intention, outcome)
            in_a_row[action.name] = 0
            del unsettled[action.key]
        if outcome.state in TRIED and State.UNKNOWN in (outcome.state, intention.state):  # once in doubt, until there is a word
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
    """The action that takes this one back, under a key of its own.

    >>> undo(Action("pay_invoice", {}, "k1", compensation="recall_payment"))
    Action(name='recall_payment', arguments={'undoes': 'k1'}, key='undo:k1', compensation=None)
    """
    if action.compensation is None:
        raise BadInput(f"{action.name} cannot be undone: the mission names no `undone_by` for it")
    return Action(action.compensation, {**action.arguments, "undoes": action.key}, UNDO + action.key)


def amount_in_cents(action: Action) -> int:
    """
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


def _alive(intentions: Iterable[Intention]) -> list[Intention]:
    return [one for one in intentions if not one.dead]


def _undoes(intention: Intention) -> str:
    """The key of the effect that it takes back; "" for one that takes nothing back."""
    action = intention.action
    return action.arguments.get("undoes", "") if action.key.startswith(UNDO) else ""


def _effect(intention: Intention, connector: Connector | None, stopped: Callable[[], str], withdrawn: bool) -> Outcome:
    case, action = intention.case, intention.action
    if connector is None:
        return Outcome(State.FAILED, f"no connector performs {action.name!r}: the mission names no such action")
    try:
        if (where := connector.done(case, action)) is not None:
            return Outcome(State.DONE, _short(where))
        if withdrawn:
            doubt = (
                "; its last attempt may have happened, which the undo takes back" if intention.state is State.UNKNOWN else ""
            )
            return Outcome(State.REFUSED, f"withdrawn before it happened{doubt}")
        if reason := stopped():
            return Outcome(State.HELD, reason)
        outcome = connector.perform(case, action)
        if outcome.state not in (*FINAL, *TRIED):
            raise TypeError(f"{type(connector).__name__}.perform gave {outcome.state!r}, expected one of {(*FINAL, *TRIED)}")
        return Outcome(outcome.state, _short(outcome.because))
    except BadInput as error:
        return Outcome(State.REFUSED, _short(error))
    except (ConnectionError, TimeoutError) as error:
        return Outcome(State.UNREACHABLE, _short(error))
    except OSError as error:
        return Outcome(State.FAILED, _short(error))
    except Exception as error:  # a bug in a connector is a failed attempt too, and never the end of a run
        return Outcome(State.FAILED, _short(f"{type(error).__name__}: {error}"))


def _short(reason: object) -> str:
    """One line of bounded length, whatever a connector or its counterparty said."""
    text = " ".join(str(reason).split())
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"
