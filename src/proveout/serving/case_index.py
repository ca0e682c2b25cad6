"""Every case of a workspace and where it stands: waiting in the inbox, decided, or labelled by a person. One door: `CaseIndex`.

It follows the journal and the inbox, so that listing, counting and paging read nothing twice.
Covered: what other processes decide, answer and hand in meanwhile.
Not covered: more cases than fit in memory; a case takes about a kilobyte.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from proveout.cases import CaseKind
from proveout.journal import APPROVAL, ATTEMPTED, DECISION, INTENDED, LABEL, RETRIED, SETTLED, Event, Journal
from proveout.journal.intentions import UNDO
from proveout.live import documents_in
from proveout.records import Role, Route, turn_key


class CaseStatus(StrEnum):
    WAITING = "waiting"  # in the inbox, not decided yet
    DECIDED = "decided"
    LABELLED = "labelled"  # decided, and a person said what is right


@dataclass(slots=True)
class CaseSummary:
    """One case as a list shows it."""

    case: str
    path: str
    at: str  # ISO 8601, UTC: when it was decided; of a waiting one, when it was handed in
    status: CaseStatus = CaseStatus.WAITING
    day: date | None = None
    segment: str = ""
    document_class: str = ""
    route: Route | None = None
    release: str = ""
    effects: dict[str, str] = field(default_factory=dict)  # action to its state: waiting, done, refused, taken back
    escalated_to: str = ""  # the role whose approval an action waits for

    @property
    def asks(self) -> bool:
        """Whether it waits for a person."""
        return bool(self.escalated_to) or (self.status is CaseStatus.DECIDED and self.route is not Route.ACT)

    @property
    def document(self) -> str:
        """What people call it, without the id that `intake` puts before a name."""
        return self.path.removeprefix(f"{self.case}-")


class CaseIndex:
    def __init__(self, journal: Journal, inbox: Path, kind: CaseKind) -> None:
        self._journal, self._inbox, self._kind = journal, inbox, kind
        self._lock = threading.Lock()
        self._position = 0
        self._decided: dict[str, CaseSummary] = {}  # in the order of their decisions
        self._names: dict[str, str] = {}  # of an effect's key, its action
        self._turns: set[str] = set()  # that are decided, as `turn_key` names them
        self._files: dict[Path, tuple[tuple[int, int], tuple[str, int]]] = {}  # size and change of each file to case and turn
        self._waiting: dict[str, CaseSummary] = {}

    def find(self, case: str) -> CaseSummary | None:
        with self._lock:
            self._follow_journal()
            if case in self._decided:
                return self._decided[case]
            if case not in self._waiting:
                self._follow_inbox()
            return self._waiting.get(case)

    def file(self, case: str) -> Path | None:
        """Where its document lies in the inbox, if it still does."""
        with self._lock:
            self._follow_inbox()
            return next((path for path, (_, (id, _)) in self._files.items() if id == case), None)

    def newest(self, status: CaseStatus | None = None, route: Route | None = None) -> list[CaseSummary]:
        """Those that stand so, the newest first; what waits is newer than what is decided."""
        with self._lock:
            self._follow_journal()
            self._follow_inbox()
            waiting = sorted(self._waiting.values(), key=lambda entry: entry.at, reverse=True)
            entries = [*waiting, *reversed(self._decided.values())]
        return [one for one in entries if status in (None, one.status) and route in (None, one.route)]

    def _follow_journal(self) -> None:
        for event in self._journal.events(after=self._position):
            self._note(event)
            self._position = event.position

    def _note(self, event: Event) -> None:
        said = event.payload
        if event.kind == DECISION:
            case, decision = said["case"], said["decision"]
            self._waiting.pop(event.case, None)
            self._turns.add(event.key)
            self._decided[event.case] = CaseSummary(
                case=event.case,
                path=case["path"],
                at=event.at,
                status=CaseStatus.DECIDED,
                day=date.fromisoformat(case["day"]) if case["day"] else None,
                segment=case["segment"],
                document_class=decision["document_class"],
                route=Route(decision["route"]),
                release=decision["release"],
                escalated_to=_escalated(said["verdicts"]),
            )
        elif (entry := self._decided.get(event.case)) is None:
            return
        elif event.kind == INTENDED:
            self._names[event.key] = said["action"]["name"]
            if not event.key.startswith(UNDO):
                entry.effects[said["action"]["name"]] = "waiting"
        elif event.kind in (ATTEMPTED, RETRIED) and said["key"].startswith(UNDO):
            return
        elif event.kind == ATTEMPTED:
            entry.effects[said["name"]] = "dead" if said["dead"] else said["state"]
        elif event.kind == RETRIED:
            entry.effects[said["name"]] = "waiting"
        elif event.kind == SETTLED:
            if not event.key.startswith(UNDO):
                entry.effects[said["name"]] = said["state"]
            elif said["state"] == "done" and (undone := self._names.get(event.key.removeprefix(UNDO))):
                entry.effects[undone] = "taken back"
        elif event.kind == APPROVAL:
            entry.escalated_to = _escalated(said["verdicts"])
        elif event.kind == LABEL:
            entry.status = CaseStatus.LABELLED

    def _follow_inbox(self) -> None:
        files: dict[Path, tuple[tuple[int, int], tuple[str, int]]] = {}
        waiting: dict[str, CaseSummary] = {}
        for path, stamp in self._stamped():
            known = self._files.get(path)
            case, turn = known[1] if known and known[0] == stamp else self._kind.identify(path)
            files[path] = (stamp, (case, turn))
            if turn_key(case, turn) not in self._turns:
                at = datetime.fromtimestamp(stamp[1] / 1e9, UTC).isoformat(timespec="microseconds")
                waiting.setdefault(case, CaseSummary(case, path.relative_to(self._inbox).as_posix(), at))
        self._files, self._waiting = files, waiting

    def _stamped(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for path in documents_in(self._inbox):
            with suppress(FileNotFoundError):  # taken away a moment ago
                about = path.stat()
                yield path, (about.st_size, about.st_mtime_ns)


def _escalated(verdicts: Iterable[Mapping[str, Any]]) -> str:
    """The lowest role that one of these was left to."""
    roles = {Role(said["escalate_to"]) for said in verdicts if said.get("escalate_to")}
    return next((role.value for role in Role if role in roles), "")
