"""Everything that happened to every case: append-only, each event hash-chained to the one before.

Entry point: `Journal(url)`, on SQLite with a path, on PostgreSQL with a URL. Every append is atomic. However many processes
write, a case is decided once, and an effect is intended once and settled once, with any number of failed attempts between.
With the keys of a workspace, which a SQLite file finds beside it, the content of every event is encrypted with its case's key
(`sealing`); an event whose key was destroyed, or that was emptied, is left out of what is read, and the chain still holds.
Covered: two processes writing to one journal, a kill at any instant, a changed, lost or invented event (`verify` locates it).
Not covered: who may write. Hashes alone do not reveal a forger who can rewrite the whole chain and its tip;
signed `checkpoints` do.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.errors import BadInput, BadJournal, Changed
from proveout.journal import sealing
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
from proveout.vault import Vault

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from sqlalchemy import ColumnElement, Row
    from sqlalchemy.engine import Connection

    from proveout.mission import Mission

DECISION, LABEL = "decision", "label"
INTENDED, ATTEMPTED, RETRIED, SETTLED = "effect intended", "effect attempted", "effect retried", "effect settled"
SECOND_READING = "second reading"  # by a person who did not see the first answer
ASSIGNMENT = "assignment"  # of a case to the person who opened it or whom somebody named; "" puts it back in the queue
REGRESSION = "regression case"  # the right answer to a case, which later releases have to give
APPROVAL, UNDOING = "approval", "undo"  # a person's proposal with the verdicts; a rejection is an approval without actions
ERASURE, ERASED = "erasure", "erased"  # of a case's content: by whom and why; that it is complete. Never encrypted
IN_THE_CLEAR = (ERASURE, ERASED)
REPORT, CONCLUSION, SIGNATURE = "report", "conclusion", "signature"  # a monitoring report; without a case
RESTRICTED, LIFTED = "restriction", "restriction lifted"  # of what the agent may do alone; without a case
BATCH = "labelling batch"  # cases that people are asked to label because of a finding; without a case
TRIAL, PROMOTION = "trial", "promotion"  # of a release, on the cases of a drift; without a case
# shown to people: a new one makes their page outdated
VISIBLE = (DECISION, LABEL, APPROVAL, UNDOING, INTENDED, SETTLED, ERASURE)
GENESIS = "0" * 64
SEPARATOR = "\x1f"
FEW, CHUNK = 100, 10_000  # rows of the first read, which often suffices, and the most
NAMES = 500  # keys per query; SQLite allows 32,766
MOST_TURNS = 1000  # per case
WHOLE = 64  # characters of a case id that is no longer the start of one


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. The journal sets the fields after the blank line when it appends the event."""

    case: str  # its id; "" for an event without a case
    kind: str
    payload: Mapping[str, Any]  # plain data for JSON
    key: str = ""  # unique per kind; "" may repeat
    turn: int = 0  # of the case; stored in the payload

    position: int = 0  # from 1, without gaps
    at: str = ""  # ISO 8601, UTC
    previous: str = ""
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of checking the hash chain."""

    whole: bool
    events: int  # checked
    bad: int | None  # position of the first event that does not match
    because: str


class Journal:
    """One journal. Cheap to open; may be open many times, in many processes."""

    def __init__(self, url: str | Path, vault: Vault | None = None) -> None:
        """Raises BadJournal for a newer schema or another kind of database, BadInput for an invalid URL.

        `vault`: the keys that encrypt what is written; by default those that lie beside a SQLite file.
        """
        from proveout.journal import schema

        self._engine = schema.connect(url)
        file = self._engine.url.database if self._engine.dialect.name == "sqlite" else None
        self._vault = vault or (Vault.at(Path(file).parent) if file and file != ":memory:" else None)
        self._writes = schema.writing(self._engine)
        self._events, self._tip = schema.events, schema.tip
        self._settled = 0  # every effect that was intended up to this position has an outcome
        self._mark = "?" if self._engine.dialect.name == "sqlite" else "%s"  # for a value, where SQLAlchemy would cost too much
        self.url = schema.without_password(self._engine.url)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def position(self) -> int:
        """The number of events."""
        with self._reading() as connection:
            return int(connection.execute(self._tip.select()).one().position)

    def append(self, events: Sequence[Event]) -> list[Event]:
        """Add events in one transaction and return those that were added.

        Skips an event whose kind and key exist already; if that is a decision, skips all events of its turn in this call.
        """
        return self._append(events)

    def append_after(self, position: int, case: str, events: Sequence[Event]) -> list[Event]:
        """Add events that follow from a case as it was at this position of the journal: all of them or none.

        Raises Changed if something happened to the case since, or if any case was approved: that may be the same business or
        have spent the same budget.
        """
        from sqlalchemy import or_

        c = self._events.c
        seen = (c.case == case) & c.kind.in_(VISIBLE)
        return self._append(events, or_(seen, c.kind == APPROVAL) & (c.position > position))

    def append_unless(self, kinds: Sequence[str], position: int, events: Sequence[Event]) -> list[Event]:
        """Add events, all of them or none. Raises Changed if an event of these kinds came after this position."""
        c = self._events.c
        return self._append(events, c.kind.in_(kinds) & (c.position > position))

    def _append(self, events: Sequence[Event], unless: "ColumnElement[bool] | None" = None) -> list[Event]:
        """The events that were added. Raises Changed if the journal has an event that meets `unless`."""
        from sqlalchemy import select

        ciphers = self._ciphers(events)
        changed = None if unless is None else select(self._events.c.case, self._events.c.kind).where(unless).limit(1)
        with self._writing() as connection:
            tip = connection.execute(self._tip.select().with_for_update()).one()  # first: other writers wait for this lock
            if changed is not None and (late := connection.execute(changed).first()):
                what = f"case {late.case[:12]}" if late.case else "the journal"
                raise Changed(f"{what} has a new {late.kind}; nothing was written, reload the page")
            taken, new = self._existing(connection, ((event.kind, event.key) for event in events)), []
            decided = {(each.case, each.turn) for each in events if each.kind == DECISION and (each.kind, each.key) in taken}
            for event in events:
                kind_and_key = (event.kind, event.key)
                if (event.case and (event.case, event.turn) in decided) or (event.key and kind_and_key in taken):
                    continue
                taken.add(kind_and_key)
                new.append(event)
            return self._chain(connection, tip, new, ciphers)

    def record(self, decided: Sequence[Decided], run: str) -> list[Decided]:
        """Write decisions with their verdicts, and an intention for every allowed action, in one transaction.

        Returns the new ones. A case that was decided before, by this process or another, keeps its first decision.
        """
        events = [event for each in decided for event in _decision_events(each, run)]
        added = {event.key: event for event in self.append(events) if event.kind == DECISION}
        pairs = ((each, added.pop(each.case.key, None)) for each in decided)
        return [replace(each, at=event.at, position=event.position, run=run) for each, event in pairs if event]

    def decided(self, keys: Iterable[str]) -> set[str]:
        """Those of these turns of cases (`Case.key`) that are decided."""
        return self._existing_keys(DECISION, keys)

    def decisions(
        self, release: str | None = None, since: date | datetime | str | None = None, case: str = "", after: int = 0
    ) -> Iterator[Decided]:
        """Decisions in the order in which they were made. `since`: from this day or ISO 8601 time (UTC) on.

        `case`: only cases whose id starts with it. `after`: only events at later positions.
        """
        c = self._events.c
        earliest = _moment(since) if since else ""
        if len(case) == WHOLE:
            events = self.events(case, after)
        else:
            wanted = [self._starting(case)] if case else []
            events = self._select(c.kind == DECISION, c.at >= earliest, *wanted, after=max(after, self._before(earliest)))
        for event in events:
            if event.kind == DECISION and event.at >= earliest:
                decided = _decided(event)
                if release is None or decided.decision.release == release:
                    yield decided

    def decisions_of(self, keys: Iterable[str]) -> Iterator[Decided]:
        """The decisions of these turns of cases (`Case.key`), as far as there are any; in order only among some of them."""
        c, names = self._events.c, sorted(set(keys))
        for start in range(0, len(names), NAMES):
            some = c.key.in_(names[start : start + NAMES]) & (c.key != "")
            yield from map(_decided, self._select(some, c.kind == DECISION))

    def events(self, case: str | None = None, after: int = 0) -> Iterator[Event]:
        """The events of a case, or of all cases, in order. `after`: only those at later positions."""
        return self._select(after=after) if case is None else self._select(self._of_case(case), after=after)

    def answer(self, answers: Iterable[Answer]) -> int:
        """Write people's answers as labels, except those that repeat what is recorded. Returns how many were written."""
        new = list(answers)
        before = self.answers(cases={answer.case for answer in new})
        return len(self.append([event for answer in new for event in label_events(answer, before.get(answer.key))]))

    def answers(self, after: int = 0, cases: Iterable[str] | None = None) -> dict[str, Answer]:
        """By `Case.key`, the answer that counts now: for each field the last one given.

        `after`: only answers at later positions. `cases`: only to these.
        """
        if cases is None:
            return answered(self._select(self._events.c.kind == LABEL, after=after))
        return {key: answer for events in self._of_cases(cases, LABEL, after=after) for key, answer in answered(events).items()}

    def of_kind(self, *kinds: str, after: int = 0) -> Iterator[Event]:
        """The events of these kinds, in order. `after`: only those at later positions."""
        return self._select(self._events.c.kind.in_(kinds), after=after)

    def intend(self, case: str, action: Action, run: str, cents: int = 0) -> bool:
        """Write one allowed action by itself, such as an undo. False if its key exists already."""
        return bool(self.append([_intention(case, action, run, cents)]))

    def unsettled(self) -> list[Intention]:
        """Intentions without an outcome, including dead letters, oldest first, each with the result of its attempts."""
        from sqlalchemy import exists, literal_column

        c, later = self._events.c, self._events.alias("later")
        keyed = later.c.key != literal_column("''")  # as in the index; otherwise SQLite reads every outcome for every intention
        settled = exists().where(later.c.kind == SETTLED, later.c.key == c.key, keyed)
        last = self.position
        intended = list(self._select(c.kind == INTENDED, ~settled, after=self._settled))
        self._settled = min((event.position - 1 for event in intended), default=last)
        unsettled = {event.key: _intended(event) for event in intended}
        for events in self._of_cases({event.case for event in intended}, ATTEMPTED, RETRIED):
            for event in events:
                if intention := unsettled.get(event.payload["key"]):
                    unsettled[intention.action.key] = _after(intention, event)
        return list(unsettled.values())

    def pending(self) -> list[Intention]:
        """The intentions to try now: no dead letters, and none that pauses after an attempt."""
        return due(self.unsettled())

    def attempted(self, intention: Intention, outcome: Outcome, dead: bool) -> None:
        """Record a failed attempt. `dead`: it was the last one until a person calls `retry`."""
        payload = {"name": intention.action.name, "key": intention.action.key, "attempt": intention.attempts + 1}
        payload |= {"state": outcome.state.value, "because": outcome.because, "dead": dead}
        self.append([Event(intention.case, ATTEMPTED, payload)])

    def retry(self, name: str, by: str) -> list[Intention]:
        """Allow failed effects to be tried again immediately, and return them.

        `name`: a key, the start of a case id, or `all`. Raises BadInput if no failed effect matches.
        """
        unsettled = self.unsettled()
        undos = self._existing_keys(INTENDED, (UNDO + effect.action.key for effect in unsettled))
        failed = [effect for effect in unsettled if effect.attempts and UNDO + effect.action.key not in undos]
        chosen = [effect for effect in failed if name in ("all", effect.action.key) or effect.case.startswith(name)]
        if not chosen or not name:
            raise BadInput(f"no failed effect matches {name!r}; expected `all`, or a key or case that `proveout effects` lists")
        payloads = ((effect.case, {"name": effect.action.name, "key": effect.action.key, "by": by}) for effect in chosen)
        self.append([Event(case, RETRIED, payload) for case, payload in payloads])
        return chosen

    def settle(self, intention: Intention, outcome: Outcome) -> bool:
        """Record the outcome of an intention. False if it has one already."""
        if outcome.state not in (State.DONE, State.REFUSED):
            raise BadInput(f"`{outcome.state.value}` does not settle an effect; expected `done` or `refused`")
        payload = {"name": intention.action.name, "state": outcome.state.value, "because": outcome.because}
        return bool(self.append([Event(intention.case, SETTLED, payload, key=intention.action.key)]))

    def spent(self, run: str) -> tuple[int, int]:
        """The number of effects that a run intended, and their sum in cents, without cases that were erased since."""
        from sqlalchemy import literal_column

        from proveout.journal.schema import run_of

        intended = self._events.c.kind == literal_column(f"'{INTENDED}'")  # as in the index; a parameter would not use it
        events = self._select(intended, run_of(self._engine) == run)
        cents = [event.payload["cents"] for event in events]
        return len(cents), sum(cents)

    def verify(self) -> Verification:
        """Recompute the whole chain and locate the first event that does not match. Needs no key."""
        emptied: list[int] = []  # events without content
        with self._reading(snapshot=True) as connection:
            tip = connection.execute(self._tip.select()).one()
            number, previous = 0, GENESIS.encode()
            for position, line, digest in self._lines(connection):
                number += 1
                if position != number:
                    return Verification(False, number - 1, number, f"event {number} is missing; the next is {position}")
                if not line.startswith(previous):
                    return Verification(False, number, number, f"event {number} does not follow the event before it")
                previous = hashlib.sha256(line).hexdigest().encode()
                if digest != previous:
                    if not line.endswith(SEPARATOR.encode()):
                        return Verification(False, number, number, f"event {number} was changed after it was written")
                    emptied.append(number)
                    previous = digest
            query = self._events.select().where(self._events.c.kind == ERASURE)
            erasures = [parse(row.payload) for row in connection.execute(query).all()]
        stated = {position for payload in erasures for position in payload.get("emptied", ())}  # by events that were verified
        if lost := next((position for position in emptied if position not in stated), None):
            return Verification(False, number, lost, f"event {lost} was emptied, and no erasure says so")
        if tip.position > number:
            return Verification(False, number, number + 1, f"events {number + 1} to {tip.position}, the last ones, are missing")
        if tip.position < number:
            return Verification(False, number, tip.position + 1, f"events after {tip.position} were not written by Proveout")
        if tip.hash.encode() != previous:
            return Verification(False, number, number, f"event {number} does not match the recorded tip of the chain")
        gone = f"; the content of {len(erasures)} case{'s' * (len(erasures) > 1)} was erased" if erasures else ""
        return Verification(True, number, None, f"{number} events, all unchanged{gone}")

    def damage(self) -> str:
        """What is wrong with the file apart from the events, such as an index that leads past some; "" if nothing is.

        Of SQLite; PostgreSQL checks its pages itself.
        """
        if self._engine.dialect.name != "sqlite":
            return ""
        with self._reading() as connection:
            (first,) = connection.exec_driver_sql("PRAGMA integrity_check(1)").first() or ("ok",)
        return "" if first == "ok" else str(first)

    def context(self, keys: Iterable[str]) -> tuple[int, int]:
        """After which and up to which position the decisions of these turns lie, and all that their run decided before them.

        (0, 0) if none of them is decided.
        """
        c, some = self._events.c, sorted(set(keys))
        positions: list[int] = []
        with self._reading() as connection:
            for start in range(0, len(some), NAMES):
                query = self._events.select().with_only_columns(c.position)
                query = query.where(c.key.in_(some[start : start + NAMES]), c.key != "", c.kind == DECISION)
                positions += connection.execute(query).scalars()
            if not positions:
                return 0, 0
            run, after = None, min(positions) + 1
            earlier = self._events.select().with_only_columns(c.position, c.payload).order_by(c.position.desc()).limit(NAMES)
            while rows := connection.execute(earlier.where(c.kind == DECISION, c.position < after)).all():
                for position, payload in rows:
                    its_run = parse(payload).get("run") if payload else run  # of an encrypted event, too
                    run = run or its_run
                    if its_run != run:
                        return position, max(positions)
                after = rows[-1].position
        return 0, max(positions)

    def erased(self) -> set[str]:
        """The cases whose content was erased."""
        return {row.case for row in self._rows(self._events.c.kind == ERASURE)}

    def first_erased(self) -> int | None:
        """The position of the first event whose content was erased; None if none was."""
        return min((next(self._rows(self._of_case(case))).position for case in self.erased()), default=None)

    def recalled(self, case: str) -> int:
        """The number of events of other cases, from before the journal was encrypted, that show something of this one."""
        c = self._events.c
        return sum(1 for _ in self._rows(c.payload.contains(f'"{case}'), c.case != case, c.kind == DECISION))

    def upgrade(self) -> None:
        """Bring an older journal to the newest schema, so that earlier code refuses it: it knows no encrypted events."""
        from proveout.journal import schema

        schema.upgrade(self._engine)

    def in_the_clear(self, case: str) -> list[int]:
        """The positions of a case's events that are not encrypted, and say something of it."""
        rows = self._rows(self._of_case(case))
        return [row.position for row in rows if sealing.is_plain(row) and row.kind not in IN_THE_CLEAR]

    def empty(self, positions: Sequence[int]) -> None:
        """Remove the content of events; their hashes stay. An erasure in the journal has to state these positions.

        Needs the newest schema, so it brings an older journal there.
        """
        from proveout.journal import schema

        self.upgrade()
        with self._writing() as connection:
            connection.execute(self._tip.select().with_for_update()).one()
            for start in range(0, len(positions), NAMES):
                some = self._events.c.position.in_(positions[start : start + NAMES])
                connection.execute(self._events.update().where(some).values(payload=""))
        with self._explained():
            schema.rewrite(self._engine)

    def hash_at(self, position: int) -> str:
        """The hash of the event at a position, in hexadecimal; "" if there is none. At 0: what the first event follows."""
        return next((digest.hex() for digest in self.hashes(position, position - 1)), "") if position else GENESIS

    def hashes(self, until: int, after: int = 0) -> Iterator[bytes]:
        """The hash of every event up to a position, in order, 32 bytes each; `verify` tells whether they are right.

        `after`: only those at later positions.
        """
        from sqlalchemy import select

        c, position = self._events.c, after
        while position < until:
            with self._reading() as connection:
                query = select(c.position, c.hash).where(c.position > position).order_by(c.position)
                rows = connection.execute(query.limit(min(CHUNK, until - position))).all()
            if not rows:
                return
            yield from (bytes.fromhex(row.hash) for row in rows)
            position = rows[-1].position

    def lines(self, case: str, until: int) -> Iterator[tuple[int, dict[str, str]]]:
        """The events of a case up to a position, also erased ones, for a receipt: position, and what proves it.

        `line`: what the event's hash is the SHA-256 of, as UTF-8: previous hash, position, case, kind, key, time and payload;
        of an encrypted event also `salt` (hexadecimal) and `payload`, which open its commitment; of one that was emptied only
        `hash`.
        """
        for row in self._rows(self._of_case(case)):
            if row.position <= until and not row.payload:
                yield row.position, {"hash": row.hash}
            elif row.position <= until:
                line = SEPARATOR.join((row.previous, str(row.position), row.case, row.kind, row.key, row.at, row.payload))
                yield row.position, {"line": line} | sealing.opening(self._vault, row)

    def to_parquet(self, folder: Path | str, mission: "Mission", until: int | None = None) -> Path:
        """Write `decisions.parquet` as `journal.log` describes it, joined with the labels that came later.

        A log that is there is brought up to date; `until`: written anew, as it was at this position of the journal.
        """
        from itertools import takewhile

        from proveout.journal import log

        path = Path(folder) / "decisions.parquet"
        latest = log.latest(path, mission) if until is None else None
        if latest and (last := next(self.decisions_of([latest.key]), None)) and last.at == latest.at:  # else another journal's
            labelled = self.answers(after=self._before(latest.answered))
            answers = _as_logged(self.answers(cases={answer.case for answer in labelled.values()}))
            revised = [each for each in self.decisions_of(labelled) if each.position <= last.position]
            revision = log.Revision(latest.file, revised, self.erased())
            with suppress(log.Damaged):
                return log.write_log(self.decisions(after=last.position), path, mission, answers, revision)
        end = self.position if until is None else until
        labels = takewhile(lambda event: event.position <= end, self.of_kind(LABEL))
        decided = takewhile(lambda each: each.position <= end, self.decisions())
        return log.write_log(decided, path, mission, _as_logged(answered(labels)))

    @contextmanager
    def _reading(self, snapshot: bool = False) -> "Iterator[Connection]":
        with self._explained(), self._engine.connect() as connection:
            if snapshot and self._engine.dialect.name == "postgresql":  # SQLite always reads a snapshot
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
            raise BadJournal(
                f"{self.url}: {error.orig}; nothing of this step was written. Fix the cause and run again"
            ) from error

    def _existing_keys(self, kind: str, keys: Iterable[str]) -> set[str]:
        """Those of these keys that have an event of this kind."""
        with self._reading() as connection:
            return {key for _, key in self._existing(connection, ((kind, key) for key in keys))}

    def _existing(self, connection: "Connection", events: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these events, as (kind, key), that are in the journal."""
        wanted = set(events)
        keys = sorted({name for _, name in wanted if name})
        stored: set[tuple[str, str]] = set()
        for start in range(0, len(keys), NAMES):
            some = tuple(keys[start : start + NAMES])
            query = f"SELECT kind, key FROM events WHERE key <> '' AND key IN ({', '.join([self._mark] * len(some))})"
            stored.update((row[0], row[1]) for row in connection.exec_driver_sql(query, some))
        return stored & wanted

    def _ciphers(self, events: Sequence[Event]) -> "Mapping[str, AESGCM | None] | None":
        """What encrypts these events; None if the journal is not encrypted."""
        if self._vault is None:
            return None
        similar = self._vault.ciphers({name for event in events for name in sealing.needed(event.payload)})
        own = {event.case or sealing.WORKSPACE for event in events if event.kind not in IN_THE_CLEAR}
        return {**similar, **self._vault.ciphers(own, create=True)}

    def _chain(
        self,
        connection: "Connection",
        tip: "Row[Any]",
        events: Sequence[Event],
        ciphers: "Mapping[str, AESGCM | None] | None",
    ) -> list[Event]:
        if not events:
            return []
        position, previous = tip.position, tip.hash
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        rows, chained = [], []
        for event in events:
            position += 1
            content = {**event.payload, "turn": event.turn} if event.turn else event.payload
            names = (event.case, event.kind, event.key)
            if any(not name.isprintable() for name in names):
                raise BadInput(f"an event's case, kind and key: expected printable text, found {names!r}")
            if event.kind == DECISION and event.key != turn_key(event.case, event.turn):
                raise BadInput(f"a decision's key: expected its case and turn, found {event.key!r} for case {event.case!r}")
            if not 0 <= event.turn < MOST_TURNS:
                raise BadInput(f"case {event.case[:12]}: expected a turn from 0 to {MOST_TURNS - 1}, found {event.turn}")
            in_the_clear = ciphers is None or event.kind in IN_THE_CLEAR
            payload = canonical(content) if in_the_clear else sealing.sealed(ciphers or {}, *names, content)
            line = SEPARATOR.join((previous, str(position), *names, at, payload))
            digest = hashlib.sha256(line.encode()).hexdigest()
            rows.append((position, *names, at, payload, previous, digest))
            chained.append(Event(event.case, event.kind, event.payload, event.key, event.turn, position, at, previous, digest))
            previous = digest
        connection.exec_driver_sql(f"INSERT INTO events VALUES ({', '.join([self._mark] * len(rows[0]))})", rows)
        connection.execute(self._tip.update().values(position=position, hash=previous))
        return chained

    def _of_case(self, case: str) -> "ColumnElement[bool]":
        """A condition that all events of a case meet."""
        from sqlalchemy import and_, or_

        c, turns = self._events.c, [turn_key(case, turn) for turn in range(MOST_TURNS)]
        decided = and_(c.key.in_(turns), c.key != "", c.kind == DECISION)  # each half of the query has its own index
        return or_(decided, and_(c.case == case, c.kind != DECISION))

    def _of_cases(self, cases: Iterable[str], *kinds: str, after: int = 0) -> Iterator[Iterator[Event]]:
        """The events of these kinds, other than decisions, of cases, for some of the cases at a time."""
        c, names = self._events.c, sorted(set(cases))
        wanted = (c.kind != DECISION) & (c.kind + "").in_(kinds)  # by the index of cases, not that of kinds
        for start in range(0, len(names), NAMES):
            yield self._select(c.case.in_(names[start : start + NAMES]), wanted, after=after)

    def _starting(self, case: str) -> "ColumnElement[bool]":
        """A condition that the decisions meet of cases whose ids start so."""
        from sqlalchemy import and_

        c = self._events.c
        query = f"SELECT position FROM events WHERE key <> '' AND key >= {self._mark} AND key < {self._mark} LIMIT {NAMES}"
        with self._reading() as connection:  # the ids' index; hexadecimal digits are less than z in every collation
            positions = [row[0] for row in connection.exec_driver_sql(query, (case, f"{case}zz"))]
        few = [c.position.in_(positions)] if len(positions) < NAMES else []
        return and_(c.case.startswith(case, autoescape=True), *few)

    def _before(self, earliest: str) -> int:
        """A position after which lies everything since this time. Clocks may have differed by a day."""
        from sqlalchemy import select

        try:
            day = (date.fromisoformat(earliest[:10]) - timedelta(days=1)).isoformat()
        except (ValueError, OverflowError):
            return 0
        first, last = 0, self.position
        with self._reading() as connection:
            while first < last:
                middle = (first + last + 1) // 2
                at = connection.execute(select(self._events.c.at).where(self._events.c.position == middle)).scalar()
                first, last = (middle, last) if at is not None and at < day else (first, middle - 1)
        return first

    def _select(self, *conditions: Any, after: int = 0) -> Iterator[Event]:
        """Matching events at later positions, in order, without those that were erased."""
        for rows in self._chunks(*conditions, after=after):
            yield from (_event(row, payload) for row, payload in sealing.opened(self._vault, rows))

    def _rows(self, *conditions: Any) -> "Iterator[Row[Any]]":
        """Matching events as they are stored, in order."""
        return (row for rows in self._chunks(*conditions) for row in rows)

    def _chunks(self, *conditions: Any, after: int = 0) -> "Iterator[Sequence[Row[Any]]]":
        """Matching events at later positions, in order, read in chunks so that no reader keeps the journal open.

        SQLite seeks only one lower bound of a column, so there is no other than `after`.
        """
        position, c, most = after, self._events.c, FEW
        while True:
            with self._reading() as connection:
                query = self._events.select().where(c.position > position, *conditions).order_by(c.position).limit(most)
                rows = connection.execute(query).all()
            yield rows
            if len(rows) < most:
                return
            position, most = rows[-1].position, min(4 * most, CHUNK)

    def _lines(self, connection: "Connection") -> Iterable[Any]:
        """(position, hashed line, hash) of every event; the last two as bytes, so that invalid text is located too."""
        line = f" || '{SEPARATOR}' || ".join(("previous", "CAST(position AS TEXT)", '"case"', "kind", "key", "at", "payload"))
        raw = "CAST({} AS BLOB)" if self._engine.dialect.name == "sqlite" else "convert_to({}, 'UTF8')"
        query = f"SELECT position, {raw.format(line)}, {raw.format('hash')} FROM events ORDER BY position"
        if self._engine.dialect.name == "sqlite":  # without a row object for each
            cursor: Iterable[Any] = connection.connection.cursor().execute(query)
            return cursor
        return connection.execution_options(yield_per=CHUNK).exec_driver_sql(query)


def _as_logged(answers: Mapping[str, Answer]) -> dict[str, dict[str, Any]]:
    return {key: {"labels": answer.fields, "right": answer.right, "at": answer.at} for key, answer in answers.items()}


def answered(events: Iterable[Event]) -> dict[str, Answer]:
    """The answers in the labels among these events, by `Case.key`: for each field the last one given."""
    answers: dict[str, Answer] = {}
    for event in events:
        if event.kind != LABEL:
            continue
        payload, empty = event.payload, Answer(event.case, {}, "", turn=event.turn)
        before = answers.get(empty.key, empty)
        answers[empty.key] = replace(
            before,
            fields={**before.fields, **payload["labels"]},
            by=payload["by"],
            document_class=payload.get("class", "") or before.document_class,
            right={**before.right, **payload["right"]},
            at=event.at,
        )
    return answers


def label_events(answer: Answer, before: Answer | None) -> list[Event]:
    """One label event, or none if the answer before says the same."""
    same_fields = before and {**before.fields, **answer.fields} == before.fields
    if before and same_fields and answer.document_class in ("", before.document_class):
        return []
    payload = {"labels": dict(answer.fields), "class": answer.document_class, "by": answer.by, "right": dict(answer.right)}
    return [Event(answer.case, LABEL, payload, turn=answer.turn)]


def verdicts_to_json(rulings: Iterable[Ruling]) -> list[dict[str, Any]]:
    """Plain data for `canonical`: the verdict on each action, by the action's key."""
    return [
        {"key": ruling.action.key, "allowed": ruling.verdict.allowed, "because": ruling.verdict.because, "cents": ruling.cents}
        | ({"escalate_to": ruling.verdict.escalate_to} if ruling.verdict.escalate_to else {})
        for ruling in rulings
    ]


def proposal_events(
    kind: str, case: Case, person: Person, rulings: Sequence[Ruling], run: str, about: Mapping[str, Any]
) -> list[Event]:
    """A person's proposal for a case (APPROVAL or UNDOING) with all verdicts, then an intention for each allowed action."""
    payload = {
        **about,
        "by": person.name,
        "role": person.role.value,
        "actions": [action_to_json(ruling.action) for ruling in rulings],
        "verdicts": verdicts_to_json(rulings),
    }
    return [Event(case.id, kind, payload, turn=case.turn), *_intentions(case, rulings, run)]


def rulings_of(payload: Mapping[str, Any]) -> tuple[Ruling, ...]:
    """The rulings in the payload of an APPROVAL or an UNDOING."""
    return _rulings([action_from_json(action) for action in payload["actions"]], payload["verdicts"])


def _intentions(case: Case, rulings: Iterable[Ruling], run: str) -> Iterator[Event]:
    for ruling in rulings:
        if ruling.verdict.allowed:
            yield replace(_intention(case.id, ruling.action, run, ruling.cents), turn=case.turn)


def _rulings(actions: Iterable[Action], verdicts: Iterable[Mapping[str, Any]]) -> tuple[Ruling, ...]:
    by_key = {action.key: action for action in actions}
    return tuple(
        Ruling(by_key[item["key"]], Verdict(item["allowed"], item["because"], item.get("escalate_to", "")), item["cents"])
        for item in verdicts
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
        run=payload["run"],
    )


def _intention(case: str, action: Action, run: str, cents: int) -> Event:
    return Event(case, INTENDED, {"action": action_to_json(action), "run": run, "cents": cents}, key=action.key)


def _intended(event: Event) -> Intention:
    payload = event.payload
    return Intention(event.case, action_from_json(payload["action"]), payload["run"], payload["cents"])


def _after(intention: Intention, event: Event) -> Intention:
    """The intention after an attempt or a person's retry."""
    payload = event.payload
    if event.kind == RETRIED:
        state = State.UNKNOWN if intention.state is State.UNKNOWN else State.PENDING
        return replace(intention, state=state, attempts=0, dead=False)
    return replace(
        intention,
        state=State(payload["state"]),
        attempts=payload["attempt"],
        dead=payload["dead"],
        because=payload["because"],
        attempted_at=event.at,
    )


def _event(row: "Row[Any]", payload: dict[str, Any]) -> Event:
    return Event(row.case, row.kind, payload, row.key, payload.get("turn", 0), row.position, row.at, row.previous, row.hash)


def _moment(since: date | datetime | str) -> str:
    """Text that compares with `at`: a day means its start; a time with a zone is converted to UTC."""
    if isinstance(since, datetime):
        return since.astimezone(UTC).isoformat(timespec="microseconds")
    return since if isinstance(since, str) else since.isoformat()
