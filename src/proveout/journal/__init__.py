"""Everything that happened to every case: append-only, each event hash-chained to the one before.

One door: `Journal(url)`, on SQLite by a path, on PostgreSQL by a URL. What is appended together is there whole or not at all.
A case is decided once, an effect intended once and settled once, whoever else writes at the same time. In between it may be
attempted several times, in vain.
Covered: two processes at one journal, a kill at any instant, a changed, lost or invented event (`verify` places it).
Not covered: who may write, and encryption. A forger who can rewrite the whole chain and its tip is not found by hashes alone.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.errors import BadInput, BadJournal, Changed
from proveout.journal.codec import (
    action_from_json,
    action_to_json,
    canonical,
    decision_from_json,
    decision_to_json,
    parse,
)
from proveout.journal.intentions import UNDO, Intention, Outcome, State, due
from proveout.records import Action, Answer, Case, Decided, Person, Ruling, Verdict, turn_key

if TYPE_CHECKING:
    from sqlalchemy import Row, Select
    from sqlalchemy.engine import Connection

    from proveout.mission import Mission

DECISION, LABEL = "decision", "label"
INTENDED, ATTEMPTED, RETRIED, SETTLED = "effect intended", "effect attempted", "effect retried", "effect settled"
APPROVAL, UNDOING = "approval", "undo"  # what a person proposed, with the verdicts; a rejection is an approval of nothing
TOLD = (DECISION, LABEL, APPROVAL, UNDOING, INTENDED, SETTLED)  # what a person sees of a case; who saw less saw something else
GENESIS = "0" * 64
SEPARATOR = "\x1f"
CHUNK = 10_000  # rows read at a time
NAMES = 500  # names in one question; SQLite takes 32,766
MOST_TURNS = 1000  # of one case


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. What the journal adds when it is appended stands after the blank line."""

    case: str  # its id; "" for an event of no case
    kind: str
    payload: Mapping[str, Any]  # what JSON can say
    key: str = ""  # one event of this kind a key; "" may happen again
    turn: int = 0  # of the case; kept in the payload

    position: int = 0  # from 1, without a gap
    at: str = ""  # ISO 8601, UTC
    previous: str = ""
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    whole: bool
    events: int  # that were checked
    bad: int | None  # position of the first event that does not fit
    because: str


class Journal:
    """One journal. Cheap to open, safe to open many times, in many processes."""

    def __init__(self, url: str | Path) -> None:
        """Raises BadJournal for a newer schema and for what is no journal; BadInput for a URL that is none."""
        from proveout.journal import schema

        self._engine = schema.connect(url)
        self._writes = schema.writing(self._engine)
        self._events, self._tip = schema.events, schema.tip
        self.url = schema.shown(self._engine.url)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def position(self) -> int:
        """How many events there are."""
        with self._reading() as connection:
            return int(connection.execute(self._tip.select()).one().position)

    def positions(self) -> dict[str, int]:
        """The last position of every kind of event."""
        from sqlalchemy import func, select

        kind, position = self._events.c.kind, self._events.c.position
        with self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(select(kind, func.max(position)).group_by(kind))}

    def append(self, events: Sequence[Event]) -> list[Event]:
        """Add events in one transaction and give those that were added.

        One whose kind and key are there already is left out; if that is a decision, so is everything of its case in this call.
        """
        return self._append(events)

    def append_after(self, position: int, case: str, events: Sequence[Event]) -> list[Event]:
        """Add what follows from what somebody saw of a case when the journal was at this position; or nothing at all.

        Raises Changed where something happened to the case since, or where anybody approved anything: it may be the same
        business, or have spent the same budget.
        """
        from sqlalchemy import or_, select

        c = self._events.c
        since = select(c.case, c.kind).where(
            c.position > position, or_((c.case == case) & c.kind.in_(TOLD), c.kind == APPROVAL)
        )
        return self._append(events, since)

    def _append(self, events: Sequence[Event], since: "Select[Any] | None" = None) -> list[Event]:
        with self._writing() as connection:
            tip = connection.execute(self._tip.select().with_for_update()).one()  # first: other writers wait here
            if since is not None and (changed := connection.execute(since.limit(1)).first()):
                raise Changed(f"case {changed.case[:12]} has a new {changed.kind}; nothing was written, look at it again")
            there = self._there(connection, events)
            late = {(event.case, event.turn) for event in events if event.kind == DECISION and (event.kind, event.key) in there}
            new, seen = [], set(there)
            for event in events:
                named = (event.kind, event.key)
                if (event.case and (event.case, event.turn) in late) or (event.key and named in seen):
                    continue
                seen.add(named)
                new.append(event)
            return self._chain(connection, tip, new)

    def record(self, decided: Sequence[Decided], run: str) -> list[Decided]:
        """Write decisions with their verdicts, and an intention for every allowed action, in one transaction.

        Gives those that were new; a case that was decided before, here or in another process, keeps its first decision.
        """
        events = [event for one in decided for event in _decision_events(one, run)]
        added = {event.key: event for event in self.append(events) if event.kind == DECISION}
        recorded = []
        for one in decided:
            if event := added.pop(one.case.key, None):
                recorded.append(replace(one, at=event.at, position=event.position))
        return recorded

    def decided(self, keys: Iterable[str]) -> set[str]:
        """Those of the turns of cases (`Case.key`) that are decided already."""
        return self._known(DECISION, keys)

    def decisions(
        self, release: str | None = None, since: date | datetime | str | None = None, case: str = "", after: int = 0
    ) -> Iterator[Decided]:
        """Decisions in the order in which they were made; those decided `since` a day or an ISO 8601 moment, UTC.

        `case`: of cases whose id begins so. `after`: whose event has a later position.
        """
        c = self._events.c
        wanted = [c.position > after] if after else []
        wanted += [c.at >= _moment(since)] if since else []
        wanted += [c.case.startswith(case, autoescape=True)] if case else []
        for event in self._select(c.kind == DECISION, *wanted):
            decided = _decided(event)
            if release is None or decided.decision.release == release:
                yield decided

    def events(self, case: str | None = None, after: int = 0) -> Iterator[Event]:
        """Everything that happened to a case, or everything, in order. `after`: at a later position."""
        from sqlalchemy import and_, or_

        c = self._events.c
        if case is None:
            return self._select(c.position > after)
        turns = [turn_key(case, turn) for turn in range(MOST_TURNS)]
        decided = and_(c.key.in_(turns), c.key != "", c.kind == DECISION)  # each half has an index of its own
        return self._select(or_(decided, and_(c.case == case, c.kind != DECISION)), c.position > after)

    def answer(self, answers: Iterable[Answer]) -> int:
        """Write down what people say, and give how much of it is new: what a case's answer says already is not said twice."""
        known = self.answers()
        return len(self.append([event for one in answers for event in label_events(one, known.get(one.key))]))

    def answers(self, after: int = 0) -> dict[str, Answer]:
        """Of every case that a person answered, by `Case.key`, what counts now: of each field the last word.

        `after`: only what was said at a later position.
        """
        return answered(self._select(self._events.c.kind == LABEL, self._events.c.position > after))

    def of_kind(self, *kinds: str, after: int = 0) -> Iterator[Event]:
        """Every event of these kinds, in order. `after`: at a later position."""
        return self._select(self._events.c.kind.in_(kinds), self._events.c.position > after)

    def intend(self, case: str, action: Action, run: str, cents: int = 0) -> bool:
        """Write down one allowed action by itself, such as an undo. False when its key is there already."""
        return bool(self.append([_intention(case, action, run, cents)]))

    def unsettled(self) -> list[Intention]:
        """Intentions without an outcome, oldest first, each with what its attempts came to; dead letters too."""
        from sqlalchemy import exists, literal_column

        c, later = self._events.c, self._events.alias("later")
        keyed = later.c.key != literal_column("''")  # as the index has it, else SQLite reads every outcome for every intention
        settled = exists().where(later.c.kind == SETTLED, later.c.key == c.key, keyed)
        unsettled = {event.key: _intended(event) for event in self._select(c.kind == INTENDED, ~settled)}
        cases = sorted({intention.case for intention in unsettled.values()})
        for start in range(0, len(cases), NAMES):
            for event in self._select(c.case.in_(cases[start : start + NAMES]), c.kind.in_((ATTEMPTED, RETRIED))):
                if intention := unsettled.get(event.payload["key"]):
                    unsettled[intention.action.key] = _after(intention, event)
        return list(unsettled.values())

    def pending(self) -> list[Intention]:
        """Those that may be tried now: no dead letters, and none that waits after an attempt."""
        return due(self.unsettled())

    def attempted(self, intention: Intention, outcome: Outcome, dead: bool) -> None:
        """Record an attempt that was none; `dead`: it was the last, until somebody says `retry`."""
        payload = {"name": intention.action.name, "key": intention.action.key, "attempt": intention.attempts + 1}
        payload |= {"state": outcome.state.value, "because": outcome.because, "dead": dead}
        self.append([Event(intention.case, ATTEMPTED, payload)])

    def retry(self, name: str, by: str) -> list[Intention]:
        """Let effects that failed be tried again at once, and give them.

        `name`: a key, the beginning of a case's id, or `all`. Raises BadInput when that names none that failed.
        """
        unsettled = self.unsettled()
        undone = {key.removeprefix(UNDO) for key in self._known(INTENDED, (UNDO + each.action.key for each in unsettled))}
        failed = [each for each in unsettled if each.attempts and each.action.key not in undone]
        chosen = [each for each in failed if name in ("all", each.action.key) or each.case.startswith(name)]
        if not chosen or not name:
            raise BadInput(f"{name!r} names no effect that failed; expected `all`, a key or a case of `proveout effects`")
        payloads = [{"name": each.action.name, "key": each.action.key, "by": by} for each in chosen]
        self.append([Event(each.case, RETRIED, payload) for each, payload in zip(chosen, payloads, strict=True)])
        return chosen

    def settle(self, intention: Intention, outcome: Outcome) -> bool:
        """Record the outcome of an intention; False when it has one already."""
        if outcome.state not in (State.DONE, State.REFUSED):
            raise BadInput(f"an intention that is {outcome.state.value} stays one; only done or refused is an outcome")
        payload = {"name": intention.action.name, "state": outcome.state.value, "because": outcome.because}
        return bool(self.append([Event(intention.case, SETTLED, payload, key=intention.action.key)]))

    def spent(self, run: str) -> tuple[int, int]:
        """Effects that a run intended, and their cents."""
        c, named = self._events.c, canonical({"run": run})[1:-1]  # as it stands in the payload: only such rows are read
        found = self._select(c.kind == INTENDED, c.payload.contains(named, autoescape=True))
        mine = [event.payload["cents"] for event in found if event.payload["run"] == run]
        return len(mine), sum(mine)

    def verify(self) -> Verification:
        """Compute the whole chain again and place the first event that does not fit."""
        with self._reading(snapshot=True) as connection:
            tip = connection.execute(self._tip.select()).one()
            number, previous = 0, GENESIS.encode()
            for position, line, found in self._lines(connection):
                number += 1
                if position != number:
                    return Verification(
                        False, number - 1, number, f"event {number} is missing; the next one there is {position}"
                    )
                if not line.startswith(previous):
                    return Verification(False, number, number, f"event {number} does not follow the event before it")
                previous = hashlib.sha256(line).hexdigest().encode()
                if found != previous:
                    return Verification(False, number, number, f"event {number} is not what was written")
        if tip.position > number:
            return Verification(False, number, number + 1, f"events {number + 1} to {tip.position} are missing at the end")
        if tip.position < number:
            return Verification(False, number, tip.position + 1, f"events after {tip.position} were not written by a journal")
        if tip.hash.encode() != previous:
            return Verification(False, number, number, f"event {number} is not the one that the tip of the chain names")
        return Verification(True, number, None, f"{number} events, each as it was written")

    def to_parquet(self, folder: Path | str, mission: "Mission") -> Path:
        """Write `decisions.parquet`, one row a case, as `journal.log` describes it; labels that came later are joined."""
        from proveout.journal.log import write_log

        known = {case: {"labels": answer.fields, "right": answer.right} for case, answer in self.answers().items()}
        return write_log(self.decisions(), Path(folder) / "decisions.parquet", mission, known)

    @contextmanager
    def _reading(self, snapshot: bool = False) -> "Iterator[Connection]":
        with self._explained(), self._engine.connect() as connection:
            if snapshot and self._engine.dialect.name == "postgresql":  # SQLite reads a snapshot anyway
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def _writing(self) -> "Iterator[Connection]":
        with self._explained(), self._writes.begin() as connection:
            yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from sqlalchemy.exc import DBAPIError

        try:
            yield
        except DBAPIError as error:
            raise BadJournal(f"{self.url}: {error.orig}; nothing of this step was written. Mend that and run again") from error

    def _known(self, kind: str, keys: Iterable[str]) -> set[str]:
        """Those of these keys under which there is an event of a kind."""
        with self._reading() as connection:
            return {key for _, key in self._there(connection, [Event("", kind, {}, key=key) for key in keys])}

    def _there(self, connection: "Connection", events: Sequence[Event]) -> set[tuple[str, str]]:
        """(kind, key) of those events that the journal holds."""
        from sqlalchemy import select

        kind, key = self._events.c.kind, self._events.c.key
        wanted = {(event.kind, event.key) for event in events if event.key}
        keys = sorted({name for _, name in wanted})
        found: set[tuple[str, str]] = set()
        for start in range(0, len(keys), NAMES):
            rows = connection.execute(select(kind, key).where(key.in_(keys[start : start + NAMES]), key != ""))
            found.update((row[0], row[1]) for row in rows)
        return found & wanted

    def _chain(self, connection: "Connection", tip: "Row[Any]", events: Sequence[Event]) -> list[Event]:
        if not events:
            return []
        position, previous = tip.position, tip.hash
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        rows, chained = [], []
        for event in events:
            position += 1
            payload = canonical({**event.payload, "turn": event.turn} if event.turn else event.payload)
            names = (event.case, event.kind, event.key)
            if any(not name.isprintable() for name in names):
                raise BadInput(f"an event's case, kind and key are printable text, found {names!r}")
            if event.kind == DECISION and event.key != turn_key(event.case, event.turn):
                raise BadInput(f"a decision's key is its case and turn, found {event.key!r} for case {event.case!r}")
            if not 0 <= event.turn < MOST_TURNS:
                raise BadInput(f"case {event.case[:12]}: turn {event.turn}; a case has at most {MOST_TURNS} turns, from 0")
            line = SEPARATOR.join((previous, str(position), *names, at, payload))
            digest = hashlib.sha256(line.encode()).hexdigest()
            rows.append(
                {"position": position, "case": event.case, "kind": event.kind, "key": event.key, "at": at}
                | {"payload": payload, "previous": previous, "hash": digest}
            )
            chained.append(replace(event, position=position, at=at, previous=previous, hash=digest))
            previous = digest
        connection.execute(self._events.insert(), rows)
        connection.execute(self._tip.update().values(position=position, hash=previous))
        return chained

    def _select(self, *conditions: Any) -> Iterator[Event]:
        """Matching events in order, read in chunks so that no reader holds the journal open."""
        position, c = 0, self._events.c
        while True:
            with self._reading() as connection:
                question = self._events.select().where(c.position > position, *conditions).order_by(c.position).limit(CHUNK)
                rows = connection.execute(question).all()
            yield from map(_event, rows)
            if len(rows) < CHUNK:
                return
            position = rows[-1].position

    def _lines(self, connection: "Connection") -> Iterable[Any]:
        """(position, hashed line, hash) of every event; the last two as bytes, so that spoilt text is placed too."""
        line = f" || '{SEPARATOR}' || ".join(("previous", "CAST(position AS TEXT)", '"case"', "kind", "key", "at", "payload"))
        raw = "CAST({} AS BLOB)" if self._engine.dialect.name == "sqlite" else "convert_to({}, 'UTF8')"
        question = f"SELECT position, {raw.format(line)}, {raw.format('hash')} FROM events ORDER BY position"
        return connection.execution_options(yield_per=CHUNK).exec_driver_sql(question)


def answered(events: Iterable[Event]) -> dict[str, Answer]:
    """What the labels among these events say, by `Case.key`: of each field the last word."""
    found: dict[str, Answer] = {}
    for event in events:
        if event.kind != LABEL:
            continue
        key = turn_key(event.case, event.turn)
        said, before = event.payload, found.get(key)
        found[key] = Answer(
            event.case,
            {**(before.fields if before else {}), **said["labels"]},
            said["by"],
            said.get("class", "") or (before.document_class if before else ""),
            {**(before.right if before else {}), **said["right"]},
            event.at,
            event.turn,
        )
    return found


def label_events(answer: Answer, before: Answer | None) -> list[Event]:
    """One label, or none where the answer before says all of it already."""
    told = {**before.fields, **answer.fields} if before else dict(answer.fields)
    if before and told == before.fields and answer.document_class in ("", before.document_class):
        return []
    said = {"labels": dict(answer.fields), "class": answer.document_class, "by": answer.by, "right": dict(answer.right)}
    return [Event(answer.case, LABEL, said, turn=answer.turn)]


def verdicts_to_json(rulings: Iterable[Ruling]) -> list[dict[str, Any]]:
    return [
        {"key": one.action.key, "allowed": one.verdict.allowed, "because": one.verdict.because, "cents": one.cents}
        | ({"escalate_to": one.verdict.escalate_to} if one.verdict.escalate_to else {})
        for one in rulings
    ]


def proposal_events(
    kind: str, case: Case, person: Person, rulings: Sequence[Ruling], run: str, about: Mapping[str, Any]
) -> list[Event]:
    """What a person proposed of a case, an APPROVAL or an UNDOING, with every verdict; and an intention for what is allowed."""
    said = {
        **about,
        "by": person.name,
        "role": person.role.value,
        "actions": [action_to_json(one.action) for one in rulings],
        "verdicts": verdicts_to_json(rulings),
    }
    return [Event(case.id, kind, said, turn=case.turn), *_intentions(case, rulings, run)]


def rulings_of(payload: Mapping[str, Any]) -> tuple[Ruling, ...]:
    """The actions and verdicts of an APPROVAL or an UNDOING."""
    return _rulings([action_from_json(one) for one in payload["actions"]], payload["verdicts"])


def _intentions(case: Case, rulings: Iterable[Ruling], run: str) -> Iterator[Event]:
    for one in rulings:
        if one.verdict.allowed:
            yield replace(_intention(case.id, one.action, run, one.cents), turn=case.turn)


def _rulings(actions: Iterable[Action], verdicts: Iterable[Mapping[str, Any]]) -> tuple[Ruling, ...]:
    named = {action.key: action for action in actions}
    return tuple(
        Ruling(named[said["key"]], Verdict(said["allowed"], said["because"], said.get("escalate_to", "")), said["cents"])
        for said in verdicts
    )


def _decision_events(decided: Decided, run: str) -> Iterator[Event]:
    case = decided.case
    payload = {
        "case": {"path": case.path, "day": case.day.isoformat() if case.day else None, "segment": case.segment}
        | ({"content": case.content} if case.content else {}),
        "decision": decision_to_json(decided.decision),
        "run": run,
        "seconds": decided.seconds,
        "verdicts": verdicts_to_json(decided.rulings),
    }
    yield Event(case.id, DECISION, payload, key=case.key, turn=case.turn)
    yield from _intentions(case, decided.rulings, run)


def _decided(event: Event) -> Decided:
    payload, case = event.payload, event.payload["case"]
    decision = decision_from_json(payload["decision"])
    return Decided(
        case=Case(
            event.case,
            case["path"],
            date.fromisoformat(case["day"]) if case["day"] else None,
            case["segment"],
            event.turn,
            case.get("content", ""),
        ),
        decision=decision,
        rulings=_rulings(decision.actions, payload["verdicts"]),
        seconds=payload["seconds"],
        at=event.at,
        position=event.position,
    )


def _intention(case: str, action: Action, run: str, cents: int) -> Event:
    return Event(case, INTENDED, {"action": action_to_json(action), "run": run, "cents": cents}, key=action.key)


def _intended(event: Event) -> Intention:
    payload = event.payload
    return Intention(event.case, action_from_json(payload["action"]), payload["run"], payload["cents"])


def _after(intention: Intention, event: Event) -> Intention:
    """The intention after an attempt, or after somebody said that it may be tried again."""
    said = event.payload
    if event.kind == RETRIED:
        doubt = intention.state is State.UNKNOWN
        return replace(intention, state=State.UNKNOWN if doubt else State.PENDING, attempts=0, dead=False)
    return replace(
        intention,
        state=State(said["state"]),
        attempts=said["attempt"],
        dead=said["dead"],
        because=said["because"],
        attempted_at=event.at,
    )


def _event(row: "Row[Any]") -> Event:
    payload = parse(row.payload)
    turn = payload.get("turn", 0)
    return Event(row.case, row.kind, payload, row.key, turn, row.position, row.at, row.previous, row.hash)


def _moment(since: date | datetime | str) -> str:
    """Comparable with `at`: a day is its first instant, a moment with a zone is taken to UTC."""
    if isinstance(since, datetime):
        return since.astimezone(UTC).isoformat(timespec="microseconds")
    return since if isinstance(since, str) else since.isoformat()
