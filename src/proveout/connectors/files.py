"""Effects that are files: an archive of documents, and a folder of payment orders that somebody else executes.

Covered: a file is there whole or not at all and under its final name once, however many write it; an original that changed
since it was decided.
Not covered: a file system without hard links (an error says so), and who executes the orders.
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

from pydantic import BaseModel, ConfigDict, Field

from proveout.connectors.effects import Connector, amount_in_cents
from proveout.errors import BadInput
from proveout.files import sync_folder
from proveout.journal.intentions import Outcome, State
from proveout.records import Action


class ArchiveSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    folder: str = Field(default="archive", min_length=1)  # under <home>/effects, or absolute


class OrderSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    folder: str = Field(default="payments", min_length=1)  # under <home>/effects, or absolute


class _Archive(Connector):
    def _filed(self, case: str, action: Action) -> Iterator[Path]:
        return self._folder(action).glob(f"{case}*")

    def _folder(self, action: Action) -> Path:
        return Path(self.place, self.settings.folder) / _plain_name(action.arguments.get("folder", ""))


class FileDocument(_Archive):
    """Copies the original to `archive/<class>/<SHA-256><suffix>`."""

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
            found = _copy(source, aside)
            if found != case:
                return Outcome(
                    State.REFUSED, f"{source.name} changed since it was decided: SHA-256 {found[:12]}, not {case[:12]}"
                )
            _publish(aside, target)
        return Outcome(State.DONE, str(target))


class UnfileDocument(_Archive):
    """Takes a filed copy out of the archive again. The original stays where it was."""

    def done(self, case: str, action: Action) -> str | None:
        return None if _first(self._filed(case, action)) else "no copy in the archive"

    def perform(self, case: str, action: Action) -> Outcome:
        for path in self._filed(case, action):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
        return Outcome(State.DONE, "taken out of the archive")


class _Orders(Connector):
    def _order(self, key: str) -> Path:
        return Path(self.place, self.settings.folder) / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.json"


class PayInvoice(_Orders):
    """Writes one payment order, `orders/<key's hash>.json`. Whoever executes orders reads that folder."""

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


def _plain_name(text: str) -> str:
    """A folder's name that cannot lead anywhere else."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", text):
        raise BadInput(f"the folder is {text!r}, expected small letters, digits, - and _")
    return text


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
