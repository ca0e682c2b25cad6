"""Side effects: recorded before they happen and after, and never twice under one key.

An intention is in the ledger before its effect, the outcome after it. A process that is killed in between leaves an
intention without an outcome; whoever comes next asks the connector whether it happened, and only then acts.
`carry_out` is that one way, for a first try as for a restart.
Covered: SIGKILL at any instant, two processes at the same intention, an original that changed since it was decided.
Not covered: whether the action may happen (`control`), and counterparties that cannot be asked what they did.
"""

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from proveout.errors import BadInput
from proveout.records import Action

UNDO = "undo:"


@dataclass(frozen=True, slots=True)
class Intention:
    """An allowed action, in the ledger, of which no outcome is known."""

    case: str
    action: Action
    run: str  # whose budget it spends
    cents: int = 0


class State(StrEnum):
    DONE = "done"
    REFUSED = "refused"  # for good: it did not happen and never will under this key
    HELD = "held"  # the stop switch is on; still an intention
    UNKNOWN = "unknown"  # it could not be tried or asked; still an intention, tried again by the next run


@dataclass(frozen=True, slots=True)
class Outcome:
    state: State
    because: str  # where the effect is to be found, or why there is none


class Connector(Protocol):
    """The outside world behind one action. `perform` is asked only after `done` said None."""

    @property
    def action(self) -> str:
        """The name of the action that it performs."""

    def cents(self, action: Action) -> int:
        """What the action would spend, from its own arguments. Raises BadInput when they do not say."""

    def done(self, case: str, action: Action) -> str | None:
        """Where the effect of this key is to be found, or None: it has not happened."""

    def perform(self, case: str, action: Action) -> Outcome:
        """Make the effect exist, at most once under this key even when two do it at once. OSError: try again later."""


class Ledger(Protocol):
    """Where intentions and outcomes are written down. `journal.Journal` is one."""

    def pending(self) -> list[Intention]:
        """Intentions without an outcome, oldest first."""

    def settle(self, intention: Intention, outcome: Outcome) -> bool:
        """Record DONE or REFUSED; False when somebody else already did."""

    def spent(self, run: str) -> tuple[int, int]:
        """Effects that a run intended, and their cents."""


def carry_out(
    ledger: Ledger,
    connectors: Mapping[str, Connector],
    stopped: Callable[[], str],
    progress: Callable[[], None] | None = None,
    keys: Collection[str] | None = None,
) -> list[tuple[Intention, Outcome]]:
    """Bring every pending intention, or those of these keys, to its outcome.

    `stopped` is asked before each effect and gives the reason, or "".
    """
    results = []
    for intention in ledger.pending():
        if keys is not None and intention.action.key not in keys:
            continue
        outcome = _effect(intention, connectors.get(intention.action.name), stopped)
        if outcome.state in (State.DONE, State.REFUSED):
            ledger.settle(intention, outcome)
        results.append((intention, outcome))
        if progress:
            progress()
    return results


def _effect(intention: Intention, connector: Connector | None, stopped: Callable[[], str]) -> Outcome:
    case, action = intention.case, intention.action
    if connector is None:
        return Outcome(State.UNKNOWN, f"no connector performs {action.name!r}")
    try:
        if (where := connector.done(case, action)) is not None:
            return Outcome(State.DONE, where)
        if reason := stopped():
            return Outcome(State.HELD, reason)
        return connector.perform(case, action)
    except BadInput as error:
        return Outcome(State.REFUSED, str(error))
    except (OSError, ValueError, LookupError) as error:
        return Outcome(State.UNKNOWN, f"{action.name} could not be done: {error}")


def undo(action: Action) -> Action:
    """The action that takes this one back, under a key of its own.

    >>> undo(Action("pay_invoice", {}, "k1", compensation="recall_payment"))
    Action(name='recall_payment', arguments={'undoes': 'k1'}, key='undo:k1', compensation=None)
    """
    if action.compensation is None:
        raise BadInput(f"{action.name} cannot be undone: the mission names no `undone_by` for it")
    return Action(action.compensation, {**action.arguments, "undoes": action.key}, UNDO + action.key)


class NoSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class FileDocument:
    """Copies the original to `archive/<class>/<SHA-256><suffix>`."""

    archive: Path
    original: Callable[[str], Path]  # case id to the file that was decided on
    action: str = "file_document"
    Settings: ClassVar = NoSettings
    takes: ClassVar[Mapping[str, str]] = {"folder": "text"}
    defaults: ClassVar[Mapping[str, str]] = {"folder": "class"}
    reversible: ClassVar[bool] = True

    def cents(self, action: Action) -> int:
        return 0

    def done(self, case: str, action: Action) -> str | None:
        return _first(self._folder(action).glob(f"{case}*"))

    def perform(self, case: str, action: Action) -> Outcome:
        source = self.original(case)
        target = self._folder(action) / f"{case}{source.suffix.lower()}"
        with _aside(target) as aside:
            found = _copy(source, aside)
            if found != case:
                return Outcome(
                    State.REFUSED, f"{source.name} changed since it was decided: SHA-256 {found[:12]}, not {case[:12]}"
                )
            _publish(aside, target)
        return Outcome(State.DONE, str(target))

    def _folder(self, action: Action) -> Path:
        return self.archive / _plain_name(action.arguments.get("folder", ""))


@dataclass(frozen=True)
class UnfileDocument:
    """Takes a filed copy out of the archive again. The original stays where it was."""

    archive: Path
    action: str = "unfile_document"

    def cents(self, action: Action) -> int:
        return 0

    def done(self, case: str, action: Action) -> str | None:
        return None if _first(self._filed(case, action)) else "no copy in the archive"

    def perform(self, case: str, action: Action) -> Outcome:
        for path in self._filed(case, action):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
        return Outcome(State.DONE, "taken out of the archive")

    def _filed(self, case: str, action: Action) -> Iterator[Path]:
        return (self.archive / _plain_name(action.arguments.get("folder", ""))).glob(f"{case}*")


@dataclass(frozen=True)
class PayInvoice:
    """Writes one payment order, `orders/<key's hash>.json`. Whoever executes orders reads that folder."""

    orders: Path
    action: str = "pay_invoice"
    Settings: ClassVar = NoSettings
    takes: ClassVar[Mapping[str, str]] = {"amount": "amount"}
    defaults: ClassVar[Mapping[str, str]] = {}
    reversible: ClassVar[bool] = True

    def cents(self, action: Action) -> int:
        """
        >>> PayInvoice(Path("orders")).cents(Action("pay_invoice", {"amount": "4125.00"}, "k"))
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

    def done(self, case: str, action: Action) -> str | None:
        path = _order(self.orders, action.key)
        return str(path) if path.exists() and json.loads(path.read_bytes())["cents"] == self.cents(action) else None

    def perform(self, case: str, action: Action) -> Outcome:
        path = _order(self.orders, action.key)
        order = {"key": action.key, "case": case, "cents": self.cents(action), "for": dict(sorted(action.arguments.items()))}
        if not _create_once(path, order) and self.done(case, action) is None:
            return Outcome(State.REFUSED, f"{path.name} already orders another amount under this key")
        return Outcome(State.DONE, str(path))


@dataclass(frozen=True)
class RecallPayment:
    """Writes one recall beside the payment order, `<key's hash>.recalled.json`."""

    orders: Path
    action: str = "recall_payment"

    def cents(self, action: Action) -> int:
        return 0

    def done(self, case: str, action: Action) -> str | None:
        path = self._recall(action)
        return str(path) if path.exists() else None

    def perform(self, case: str, action: Action) -> Outcome:
        if not _order(self.orders, action.arguments.get("undoes", "")).exists():
            return Outcome(State.REFUSED, "there is no payment order to recall")
        _create_once(self._recall(action), {"key": action.key, "case": case, "recalls": action.arguments.get("undoes", "")})
        return Outcome(State.DONE, str(self._recall(action)))

    def _recall(self, action: Action) -> Path:
        return _order(self.orders, action.arguments.get("undoes", "")).with_suffix(".recalled.json")


def connectors(folder: Path, original: Callable[[str], Path]) -> dict[str, Connector]:
    """The four that ship with Proveout, their effects under `folder`, by the action that each performs."""
    archive, orders = folder / "archive", folder / "payments"
    four: tuple[Connector, ...] = (
        FileDocument(archive, original),
        UnfileDocument(archive),
        PayInvoice(orders),
        RecallPayment(orders),
    )
    return {connector.action: connector for connector in four}


def _plain_name(text: str) -> str:
    """A folder's name that cannot lead anywhere else."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", text):
        raise BadInput(f"the folder is {text!r}, expected small letters, digits, - and _")
    return text


def _order(folder: Path, key: str) -> Path:
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.json"


def _first(paths: Iterable[Path]) -> str | None:
    return next((str(path) for path in sorted(paths)), None)


def _create_once(path: Path, content: Mapping[str, object]) -> bool:
    """Create a whole file or none; False when it exists."""
    with _aside(path) as aside:
        aside.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
        return _publish(aside, path)


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A path for a file in the making, hidden beside its target and gone at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=target.parent)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _publish(aside: Path, target: Path) -> bool:
    """Give a finished file its name, durably, unless the name is taken. A link is atomic and exclusive; a rename overwrites."""
    with aside.open("rb") as handle:
        os.fsync(handle.fileno())
    try:
        os.link(aside, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise OSError(
                error.errno, f"{target.parent} is on a file system without hard links; put effects on another"
            ) from error
        raise
    sync_folder(target.parent)
    return True


def _copy(source: Path, target: Path) -> str:
    """Copy and give the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with source.open("rb") as theirs, target.open("wb") as ours:
        while chunk := theirs.read(1 << 20):
            digest.update(chunk)
            ours.write(chunk)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
