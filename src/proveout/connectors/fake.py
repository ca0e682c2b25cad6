"""A connector for tests, with effects in memory. It keeps the contract of the real ones.

Faults are passed in: `FakeConnector(faults=[RuntimeError("a bug")])` fails once and then works.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock

from proveout.connectors.effects import Connector, NoSettings, amount_in_cents
from proveout.journal.intentions import Outcome, State
from proveout.records import Action


class FakeConnector(Connector):
    """Keeps the effects of each key in `effects`, and the order of performed keys in `performed`."""

    may_take = {"amount": "amount"}  # noqa: RUF012

    def __init__(
        self,
        settings: NoSettings | None = None,
        place: Path = Path(),
        original: Callable[[str], Path] = Path,
        faults: Iterable[Exception | Outcome] = (),
    ) -> None:
        super().__init__(settings or NoSettings(), place, original)
        self.effects: dict[str, tuple[str, Action]] = {}  # key to the case and the action; removed by an undo
        self.performed: list[str] = []  # the key of every effect that was performed, in order
        self.faults = list(faults)  # what the next calls of `perform` raise or return instead of an effect
        self._lock = Lock()

    @classmethod
    def reversible(cls, settings: NoSettings) -> bool:
        return True

    def compensation(self) -> Connector:
        return _Undo(self)

    def cents(self, action: Action) -> int:
        return amount_in_cents(action) if "amount" in action.arguments else 0

    def done(self, case: str, action: Action) -> str | None:
        return f"memory, {action.key}" if action.key in self.effects else None

    def perform(self, case: str, action: Action) -> Outcome:
        self.cents(action)
        with self._lock:
            if self.faults:
                fault = self.faults.pop(0)
                if isinstance(fault, Outcome):
                    return fault
                raise fault
            if action.key not in self.effects:
                self.effects[action.key] = (case, action)
                self.performed.append(action.key)
            if self.cents(self.effects[action.key][1]) != self.cents(action):
                return Outcome(State.REFUSED, f"{action.key} already happened with another amount")
        return Outcome(State.DONE, f"memory, {action.key}")


class _Undo(Connector):
    def __init__(self, fake: FakeConnector) -> None:
        super().__init__(fake.settings, fake.place, fake.original)
        self.fake = fake

    def done(self, case: str, action: Action) -> str | None:
        return None if action.arguments.get("undoes", "") in self.fake.effects else "nothing to undo"

    def perform(self, case: str, action: Action) -> Outcome:
        self.fake.effects.pop(action.arguments.get("undoes", ""), None)
        return Outcome(State.DONE, "undone")
