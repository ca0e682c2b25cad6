"""Every case of a workspace and its status: waiting in the inbox, decided, labelled, or erased. Entry point: `CaseIndex`.

It follows the journal and the inbox, so that listing, searching and paging read nothing twice.
Covered: cases that other processes submit, decide and answer meanwhile.
Not covered: more cases than fit in memory; a case takes about a kilobyte.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from proveout.cases import CaseKind
from proveout.errors import UnreadableDocument
from proveout.files import printable
from proveout.journal import (
    APPROVAL,
    ATTEMPTED,
    BATCH,
    DECISION,
    ERASURE,
    INTENDED,
    LABEL,
    REPORT,
    RETRIED,
    SECOND_READING,
    SETTLED,
    Event,
    Journal,
)
from proveout.journal.intentions import UNDO
from proveout.live import cases_in, documents_in
from proveout.records import Role, Route, turn_key
from proveout.review.assignments import Assignment, after
from proveout.serving import operations
from proveout.serving.operations import RunSummary

Stamp = tuple[int, int]  # size and time of the last change of a file
Held = list[tuple[str, int, str]]  # each case in a file, its turn, and its name there; "" for the whole file


class CaseStatus(StrEnum):
    WAITING = "waiting"  # in the inbox, not decided yet
    DECIDED = "decided"
    LABELLED = "labelled"  # decided, and answered by a person
    ERASED = "erased"  # its content


class Order(StrEnum):
    """Which of the waiting cases comes first."""

    WAIT = "wait"  # the longest wait
    AMOUNT = "amount"  # the largest amount among its values: the most to lose
    DOUBT = "doubt"  # the least certain value: the most to learn for the next build


@dataclass(slots=True)
class CaseSummary:
    """One row in a list of cases."""

    case: str
    path: str
    at: str  # ISO 8601, UTC: when it was decided or, while it waits, when its file was last changed
    status: CaseStatus = CaseStatus.WAITING
    day: date | None = None
    segment: str = ""
    document_class: str = ""
    route: Route | None = None
    release: str = ""
    effects: dict[str, str] = field(default_factory=dict)  # action to its state: waiting, done, refused, taken back
    escalated_to: str = ""  # the role whose approval an action waits for
    values: dict[str, str] = field(default_factory=dict)  # field to its text: a person's answer, or else the agent's
    words: str = field(init=False)  # its file name and values without case, to search in
    amount: float = 0.0  # the largest among its values, without its sign
    confidence: float = 0.0  # of its least certain value
    answered_by: str = ""  # who approved or rejected it last
    assignment: Assignment | None = None  # the last one, also if its time is over
    sought: bool = False  # by a labelling batch
    again: bool = False  # to be read again, blind, because of a report
    second: tuple[int, int] | None = None  # of a blind second reading: values that agree, values

    def __post_init__(self) -> None:
        self.say(self.values)

    def say(self, values: Mapping[str, str]) -> None:
        """Take over these values."""
        self.values |= values
        self.words = "\n".join((self.document, *self.values.values())).casefold()

    @property
    def asks(self) -> bool:
        """Whether it waits for a person's answer or approval. A refusal with values, such as no result, is an answer."""
        unanswered = self.sought or self.route is Route.REVIEW or (self.route is Route.REFUSE and not self.values)
        return bool(self.escalated_to) or (self.status is CaseStatus.DECIDED and unanswered)

    @property
    def holder(self) -> Assignment | None:
        """Who has the case now, if anybody does."""
        return self.assignment if self.assignment and self.assignment.holds() else None

    def waits_for(self, role: Role) -> bool:
        """Whether a person with this role may answer it or approve its action."""
        if self.escalated_to:
            return role.includes(Role(self.escalated_to))
        return self.status is CaseStatus.DECIDED and (self.sought or self.route is Route.REVIEW)

    @property
    def answered_with(self) -> Role:
        """The lowest role of those who may answer it."""
        return Role(self.escalated_to) if self.escalated_to else Role.REVIEWER

    def may_be_read_again(self, person: str, share: float) -> bool:
        """Whether this person may give the case its blind second reading; a share of the answered ones, drawn by their ids, and
        those that a report asks for."""
        others = self.answered_by not in ("", person) and not (self.second or self.escalated_to)
        return others and (self.again or int(self.case[:8], 16) < share * 2**32)

    @property
    def document(self) -> str:
        """The file name, without the case id that `intake` puts before it."""
        return self.path.removeprefix(f"{self.case}-")


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for among the cases; an empty part excludes none."""

    text: str = ""  # in the file name, in a value, or at the start of the id; case does not matter
    status: CaseStatus | None = None
    route: Route | None = None
    document_class: str = ""
    segment: str = ""
    since: date | None = None  # of the day on which it was received
    until: date | None = None

    def matches(self, summary: CaseSummary) -> bool:
        day = summary.day
        return (
            self.status in (None, summary.status)
            and self.route in (None, summary.route)
            and self.document_class in ("", summary.document_class)
            and self.segment in ("", summary.segment)
            and (self.since is None or (day is not None and day >= self.since))
            and (self.until is None or (day is not None and day <= self.until))
            and self._in_text(summary)
        )

    def among(self, summaries: list[CaseSummary]) -> list[CaseSummary]:
        """Those that are looked for, in the same order."""
        return summaries if self == EVERYTHING else list(filter(self.matches, summaries))

    def _in_text(self, summary: CaseSummary) -> bool:
        text = self.text.strip().casefold()
        return not text or text in summary.words or summary.case.startswith(text)


EVERYTHING = Search()


@dataclass(frozen=True)
class Week:
    """The cases that arrived in one week, or, without a day, were decided in it."""

    monday: date
    cases: int
    acted: int  # that no person had to touch


@dataclass(frozen=True)
class Overview:
    """All cases in a few numbers."""

    waiting: int
    decided: int
    to_answer: int
    longest: str  # since when the one that waits longest for a person does; ISO 8601, UTC; "" if none waits
    last: str  # when the last case was decided; "" if none was
    second: tuple[int, int]  # values that agree in blind second readings, values
    weeks: tuple[Week, ...]  # the last ones with cases, in order

    @classmethod
    def of(cls, summaries: Iterable[CaseSummary], weeks: int = 12) -> "Overview":
        """Counts them in one pass; the newest first."""
        waiting = decided = to_answer = agreeing = read = 0
        longest = last = ""
        days: dict[date | str, list[int]] = {}
        for summary in summaries:
            if summary.status is CaseStatus.WAITING:
                waiting += 1
                continue
            if summary.status is CaseStatus.ERASED:
                continue
            decided += 1
            last = last or summary.at
            counts = days.setdefault(summary.day or summary.at[:10], [0, 0])
            counts[0] += 1
            counts[1] += summary.route is Route.ACT
            if summary.second:
                agreeing, read = agreeing + summary.second[0], read + summary.second[1]
            if summary.asks:
                to_answer += 1
                longest = min(longest or summary.at, summary.at)
        by_week: dict[date, list[int]] = {}
        for moment, counts in days.items():
            day = moment if isinstance(moment, date) else date.fromisoformat(moment)
            week = by_week.setdefault(day - timedelta(day.weekday()), [0, 0])
            week[0] += counts[0]
            week[1] += counts[1]
        ordered = tuple(Week(monday, *counts) for monday, counts in sorted(by_week.items()))
        return cls(waiting, decided, to_answer, longest, last, (agreeing, read), ordered[-weeks:])


class CaseIndex:
    """Thread-safe; each call first reads what is new."""

    def __init__(self, journal: Journal, inbox: Path, kind: CaseKind) -> None:
        self._journal, self._inbox, self.kind = journal, inbox, kind
        self._lock = threading.Lock()
        self._position = 0
        self._decided: dict[str, CaseSummary] = {}  # in the order of the decisions
        self._names: dict[str, str] = {}  # key of an effect to the name of its action
        self._runs: dict[str, RunSummary] = {}
        self._turns: set[str] = set()  # `turn_key` of each decided turn
        self._files: dict[Path, tuple[Stamp, Held]] = {}  # what each file of the inbox held when it was last changed
        self._waiting: dict[str, CaseSummary] = {}

    def find(self, case: str) -> CaseSummary | None:
        """The case with this id; None if there is none."""
        with self._lock:
            self._follow_journal()
            if case in self._decided:
                return self._decided[case]
            if case not in self._waiting:
                self._follow_inbox()
            return self._waiting.get(case)

    def file(self, case: str) -> Path | None:
        """The case's file in the inbox, if it is still there."""
        with self._lock:
            self._follow_inbox()
            return next((path for path, (_, held) in self._files.items() if any(id == case for id, _, _ in held)), None)

    def newest(self, search: Search = EVERYTHING) -> list[CaseSummary]:
        """The cases that are looked for, newest first; waiting cases count as newer than decided ones."""
        with self._lock:
            self._follow_journal()
            self._follow_inbox()
            waiting = sorted(self._waiting.values(), key=lambda summary: summary.at, reverse=True)
            summaries = [*waiting, *reversed(self._decided.values())]
        return search.among(summaries)

    def last_runs(self, most: int) -> list[RunSummary]:
        """The runs that decided or did something, the one that began last first."""
        with self._lock:
            self._follow_journal()
            return sorted(self._runs.values(), key=lambda run: run.began, reverse=True)[:most]

    def waiting_for(self, role: Role, order: Order = Order.WAIT) -> list[CaseSummary]:
        """The cases that wait for a person with this role; those that are equal in the order come as long as they wait.

        Those that a labelling batch asks for come first.
        """
        with self._lock:
            self._follow_journal()
            summaries = [summary for summary in self._decided.values() if summary.waits_for(role)]
        match order:
            case Order.AMOUNT:
                summaries.sort(key=lambda summary: -summary.amount)
            case Order.DOUBT:
                summaries.sort(key=lambda summary: summary.confidence)
        summaries.sort(key=lambda summary: not summary.sought)
        return summaries

    def to_read_again(self, person: str, share: float) -> list[CaseSummary]:
        """The answered cases that this person may read again, blind."""
        with self._lock:
            self._follow_journal()
            return [summary for summary in self._decided.values() if summary.may_be_read_again(person, share)]

    def _follow_journal(self) -> None:
        for event in self._journal.events(after=self._position):
            self._apply(event)
            self._position = event.position

    def _apply(self, event: Event) -> None:
        payload = event.payload
        operations.count(self._runs, event)
        if event.kind == DECISION:
            case, decision = payload["case"], payload["decision"]
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
                escalated_to=_escalated(payload["verdicts"]),
                values={name: value["text"] for name, value in decision["fields"].items()},
                amount=max((_amount(value["value"]) for value in decision["fields"].values()), default=0.0),
                confidence=min((_confidence(value["confidence"]) for value in decision["fields"].values()), default=0.0),
            )
            return
        if event.kind == ERASURE:
            self._waiting.pop(event.case, None)
            self._decided[event.case] = CaseSummary(event.case, f"erased {event.case[:12]}", event.at, CaseStatus.ERASED)
            return
        if event.kind == BATCH:
            for key in (*payload["teach"], *payload["judge"]):
                if sought := self._decided.get(key.partition("#")[0]):
                    sought.sought = True
        if event.kind == REPORT:
            for case in payload.get("again", ()):
                if asked := self._decided.get(case):
                    asked.again = True
        if (summary := self._decided.get(event.case)) is None or summary.status is CaseStatus.ERASED:
            return
        summary.assignment = after(event, summary.assignment)
        if event.kind == INTENDED:
            self._names[event.key] = payload["action"]["name"]
            if not event.key.startswith(UNDO):
                summary.effects[payload["action"]["name"]] = "waiting"
        elif event.kind in (ATTEMPTED, RETRIED) and payload["key"].startswith(UNDO):
            return
        elif event.kind == ATTEMPTED:
            summary.effects[payload["name"]] = "dead" if payload["dead"] else payload["state"]
        elif event.kind == RETRIED:
            summary.effects[payload["name"]] = "waiting"
        elif event.kind == SETTLED:
            if not event.key.startswith(UNDO):
                summary.effects[payload["name"]] = payload["state"]
            elif payload["state"] == "done" and (undone := self._names.get(event.key.removeprefix(UNDO))):
                summary.effects[undone] = "taken back"
        elif event.kind == APPROVAL:
            summary.escalated_to = _escalated(payload["verdicts"])
            summary.answered_by = payload["by"]
        elif event.kind == SECOND_READING:
            summary.second = sum(payload["agrees"].values()), len(payload["agrees"])
        elif event.kind == LABEL:
            summary.status = CaseStatus.LABELLED
            summary.say(payload["labels"])

    def _follow_inbox(self) -> None:
        files: dict[Path, tuple[Stamp, Held]] = {}
        waiting: dict[str, CaseSummary] = {}
        for file in documents_in(self._inbox):
            stamp, before = (file.size, file.modified), self._files.get(file.path)
            try:
                held = before[1] if before and before[0] == stamp else _held(self.kind, file.path)
            except (OSError, UnreadableDocument):  # a run names it, with the reason
                continue
            files[file.path] = (stamp, held)
            for case, turn, name in held:
                decided = self._decided.get(case)
                if turn_key(case, turn) not in self._turns and not (decided and decided.status is CaseStatus.ERASED):
                    name = printable(f"{file.name}:{name}" if name else file.name)
                    waiting.setdefault(case, CaseSummary(case, name, _moment(file.modified)))
        self._files, self._waiting = files, waiting


def _held(kind: CaseKind, path: Path) -> Held:
    return [(case, turn, part.name if part else "") for case, turn, part in cases_in(kind, path)]


def _moment(modified: int) -> str:
    """A file's time stamp in nanoseconds as ISO 8601; one outside the years 1970 to 2999 is moved to the nearest of them."""
    seconds = min(max(modified / 1e9, 0.0), 32_503_679_999.0)
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def _amount(value: Any) -> float:
    """The size of an amount, as the journal writes it; 0 for other values."""
    return abs(float(value["decimal"])) if isinstance(value, dict) and "decimal" in value else 0.0


def _confidence(number: float | str) -> float:
    """A confidence as the journal writes it; 0 if it is not calibrated."""
    return number if isinstance(number, float | int) else 0.0


def _escalated(verdicts: Iterable[Mapping[str, Any]]) -> str:
    """The lowest role that one of these verdicts escalates to; "" for none."""
    roles = {Role(verdict["escalate_to"]) for verdict in verdicts if verdict.get("escalate_to")}
    return next((role.value for role in Role if role in roles), "")
