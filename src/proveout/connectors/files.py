"""Effects that are files: an archive of documents, and folders of payment orders and requests for others to carry out.

Covered: a file appears complete and only once under its final name, with any number of writers; an original that changed
after the decision.
Not covered: a file system without hard links (raises an error that says so), and executing the orders.
"""

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, Field

from proveout.connectors.effects import Connector, amount_in_cents
from proveout.errors import BadInput
from proveout.files import sync_folder
from proveout.journal.intentions import Outcome, State
from proveout.records import Action


class ArchiveSettings(BaseModel, extra="forbid"):
    """Settings of `FileDocument`."""

    folder: str = Field(default="archive", min_length=1)  # under <home>/effects, or absolute


class OrderSettings(BaseModel, extra="forbid"):
    """Settings of `PayInvoice`."""

    folder: str = Field(default="payments", min_length=1)  # under <home>/effects, or absolute


class _Archive(Connector):
    def _filed(self, case: str, action: Action) -> Iterator[Path]:
        return self._folder(action).glob(f"{case}*")

    def _folder(self, action: Action) -> Path:
        return Path(self.place, self.settings.folder) / _plain_name(action.arguments.get("folder", ""))


class FileDocument(_Archive):
    """Copies the original to `archive/<class>/<SHA-256><suffix>`. Refused if it changed after the decision."""

    Settings: ClassVar = ArchiveSettings
    takes: ClassVar[Mapping[str, str]] = {"folder": "text"}
    defaults: ClassVar[Mapping[str, str]] = {"folder": "class"}

    @classmethod
    def reversible(cls, settings: ArchiveSettings) -> bool:
        return True

    def compensation(self) -> Connector:
        return UnfileDocument(self.settings, self.place, self.original)

    def done(self, case: str, action: Action) -> str | None:
        return _first(self._filed(case, action))

    def perform(self, case: str, action: Action) -> Outcome:
        source = self.original(case)
        target = self._folder(action) / f"{case}{source.suffix.lower()}"
        with _aside(target) as aside:
            if (digest := _copy(source, aside)) != case:
                change = f"SHA-256 {digest[:12]}, not {case[:12]}"
                return Outcome(State.REFUSED, f"{source.name} changed after the decision: {change}")
            _publish(aside, target)
        return Outcome(State.DONE, str(target))


class UnfileDocument(_Archive):
    """Removes a filed copy from the archive. The original stays."""

    def done(self, case: str, action: Action) -> str | None:
        return None if _first(self._filed(case, action)) else "no copy in the archive"

    def perform(self, case: str, action: Action) -> Outcome:
        for path in self._filed(case, action):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
        return Outcome(State.DONE, "removed from the archive")


class _Orders(Connector):
    def _order(self, key: str) -> Path:
        return Path(self.place, self.settings.folder) / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.json"


class PayInvoice(_Orders):
    """Writes one payment order, `payments/<key's hash>.json`, for the system that executes orders."""

    Settings: ClassVar = OrderSettings
    takes: ClassVar[Mapping[str, str]] = {"amount": "amount"}

    @classmethod
    def reversible(cls, settings: OrderSettings) -> bool:
        return True

    def compensation(self) -> Connector:
        return RecallPayment(self.settings, self.place, self.original)

    def cents(self, action: Action) -> int:
        return amount_in_cents(action)

    def done(self, case: str, action: Action) -> str | None:
        path = self._order(action.key)
        return str(path) if path.exists() and json.loads(path.read_bytes())["cents"] == self.cents(action) else None

    def perform(self, case: str, action: Action) -> Outcome:
        path = self._order(action.key)
        order = {"key": action.key, "case": case, "cents": self.cents(action), "for": dict(sorted(action.arguments.items()))}
        if not _create_once(path, order) and self.done(case, action) is None:
            return Outcome(State.REFUSED, f"{path.name} already orders another amount under this key")
        return Outcome(State.DONE, str(path))


class RecallPayment(_Orders):
    """Writes one recall beside the payment order, `<key's hash>.recalled.json`."""

    def done(self, case: str, action: Action) -> str | None:
        path = self._recall(action)
        return str(path) if path.exists() else None

    def perform(self, case: str, action: Action) -> Outcome:
        if not self._order(action.arguments.get("undoes", "")).exists():
            return Outcome(State.REFUSED, "there is no payment order to recall")
        _create_once(self._recall(action), {"key": action.key, "case": case, "recalls": action.arguments.get("undoes", "")})
        return Outcome(State.DONE, str(self._recall(action)))

    def _recall(self, action: Action) -> Path:
        return self._order(action.arguments.get("undoes", "")).with_suffix(".recalled.json")


class RequestSettings(BaseModel, extra="forbid"):
    """Settings of `RequestFile`."""

    folder: str = Field(default="requests", min_length=1)  # under <home>/effects, or absolute


class RequestFile(_Orders):
    """Writes one request to other people, `requests/<key's hash>.json`: the action's arguments, and the text of the case.

    For cases whose file is a text.
    """

    Settings: ClassVar = RequestSettings

    @classmethod
    def reversible(cls, settings: RequestSettings) -> bool:
        return True

    def compensation(self) -> Connector:
        return WithdrawRequest(self.settings, self.place, self.original)

    def done(self, case: str, action: Action) -> str | None:
        return str(self._order(action.key)) if self._order(action.key).exists() else None

    def perform(self, case: str, action: Action) -> Outcome:
        about = {"key": action.key, "case": case, "asks": action.name, "for": dict(sorted(action.arguments.items()))}
        path = self._order(action.key)
        _create_once(path, about | {"text": self.original(case).read_text(encoding="utf-8")})
        return Outcome(State.DONE, str(path))


class WithdrawRequest(_Orders):
    """Removes a request that nobody has taken away yet."""

    def done(self, case: str, action: Action) -> str | None:
        return None if self._order(action.arguments.get("undoes", "")).exists() else "no such request any longer"

    def perform(self, case: str, action: Action) -> Outcome:
        path = self._order(action.arguments.get("undoes", ""))
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
        return Outcome(State.DONE, "withdrawn")


def _plain_name(text: str) -> str:
    """The name of a folder, checked so that the path cannot leave its parent. Raises BadInput."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", text):
        raise BadInput(f"the folder is {text!r}, expected lower-case letters, digits, - and _")
    return text


def _first(paths: Iterable[Path]) -> str | None:
    return next((str(path) for path in sorted(paths)), None)


def _create_once(path: Path, content: Mapping[str, object]) -> bool:
    """Create a complete JSON file. False if the path exists."""
    with _aside(path) as aside:
        aside.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
        return _publish(aside, path)


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A hidden temporary file beside its target, deleted at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=target.parent)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _publish(aside: Path, target: Path) -> bool:
    """Link a finished file to its name, durably. False if the name is taken. Unlike a rename, a link never overwrites."""
    with aside.open("rb") as handle:
        os.fsync(handle.fileno())
    try:
        os.link(aside, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            reason = f"{target.parent} is on a file system without hard links; use another one for effects"
            raise OSError(error.errno, reason) from error
        raise
    sync_folder(target.parent)
    return True


def _copy(source: Path, target: Path) -> str:
    """Copy a file and return the SHA-256 of its content."""
    digest = hashlib.sha256()
    with source.open("rb") as original, target.open("wb") as copy:
        while chunk := original.read(1 << 20):
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()
