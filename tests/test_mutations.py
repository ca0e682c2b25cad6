"""Whatever is done to a journal behind its back is found and placed: by the chain, a signed checkpoint or the witness.

`pytest -m slow tests/test_mutations.py` tries 10,000 mutations of all kinds in turn, half of them on an encrypted journal.
"""

import hashlib
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proveout.errors import BadInput
from proveout.journal import GENESIS, SEPARATOR, Event, Journal
from proveout.journal.checkpoints import Checkpoints, Signer
from proveout.vault import Vault

COLUMNS = ("case", "kind", "key", "at", "payload", "previous", "hash")  # after the position
PAYLOAD, PREVIOUS = COLUMNS.index("payload"), COLUMNS.index("previous")
SIZES = (7, 19, 30)  # of the journal at its checkpoints
EVENTS = 36
Row = list[str | bytes]
Expected = tuple[int | None, str]  # the position that is named, or None where it is a file; what else the reason says


def fill(home: Path, who: str, signer: Signer | None = None) -> None:
    """A journal of 36 events of twelve cases, signed three times."""
    with Journal(home / "journal.db") as journal:
        for n in range(EVENTS):
            case = hashlib.sha256(f"{who} {n % 12}".encode()).hexdigest()
            journal.append([Event(case, "label", {"labels": {"total": f"{n}.50", "who": who}}, key=f"{who} {n}")])
            if signer and n + 1 in SIZES:
                kept(home).add(journal, signer)


def kept(home: Path) -> Checkpoints:
    return Checkpoints(home / "checkpoints", "proveout/invoices", [home / "witness"])


def rows_of(file: sqlite3.Connection) -> list[Row]:
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    return [list(row) for row in file.execute(f"SELECT {names} FROM events ORDER BY position")]


def chained(rows: list[Row]) -> tuple[list[Row], tuple[int, str]]:
    """The rows with hashes that fit, and the tip that fits them."""
    previous, fitting = GENESIS, list[Row]()
    for position, row in enumerate(rows, 1):
        line = SEPARATOR.join([previous, str(position), *map(str, row[:PREVIOUS])])
        fitting.append([*row[:PREVIOUS], previous, previous := hashlib.sha256(line.encode()).hexdigest()])
    return fitting, (len(rows), previous)


def first_other(before: list[Row], after: list[Row]) -> int:
    """The position of the first row that is another."""
    pairs = enumerate(zip(before, after, strict=False), 1)
    return next((at for at, (old, new) in pairs if old != new), min(len(before), len(after)) + 1)


class Forger:
    """Somebody who can write every file of a workspace, but has neither the signing key nor the witness."""

    def __init__(self, home: Path, other: Path) -> None:
        self.home, self.rng = home, random.Random(7)
        self.file = sqlite3.connect(home / "journal.db", isolation_level=None)
        self.file.executescript(
            "PRAGMA synchronous = OFF; DROP TRIGGER events_refuse_UPDATE; DROP TRIGGER events_refuse_DELETE;"
            "DROP INDEX one_event_a_key"
        )
        self.rows, self.tip = rows_of(self.file), self.file.execute("SELECT position, hash FROM tip").fetchone()
        database = sqlite3.connect(other / "journal.db")
        self.others = rows_of(database)
        database.close()
        self.notes = {file: file.read_bytes() for file in home.glob("*/*.checkpoint")}

    def write(self, rows: list[Row], tip: tuple[int, str] | None = None, positions: list[int] | None = None) -> None:
        """Put rows in place of all, by default from position 1 on."""
        self.file.execute("BEGIN")
        self.file.execute("DELETE FROM events")
        values = ", ".join(["CAST(? AS TEXT)"] * len(COLUMNS))
        numbered = zip(positions or range(1, len(rows) + 1), rows, strict=True)
        self.file.executemany(f"INSERT INTO events VALUES (?, {values})", [[at, *row] for at, row in numbered])
        self.file.execute("UPDATE tip SET position = ?, hash = ?", tip or self.tip)
        self.file.execute("COMMIT")

    def restore(self) -> None:
        self.write(self.rows)
        for file, content in self.notes.items():
            file.write_bytes(content)

    def flipped(self, content: bytes) -> bytes:
        """One bit of it is another."""
        changed = bytearray(content)
        changed[self.rng.randrange(len(changed))] ^= 1 << self.rng.randrange(8)
        return bytes(changed)

    def flip(self) -> Expected:
        rows, at, column = [list(row) for row in self.rows], self.rng.randrange(EVENTS), self.rng.randrange(len(COLUMNS))
        rows[at][column] = self.flipped(str(rows[at][column]).encode())
        self.write(rows)
        return at + 1, ""

    def flip_tip(self) -> Expected:
        position, digest = self.tip
        if self.rng.random() < 0.5:
            self.write(self.rows, (position, self.flipped(bytes.fromhex(digest)).hex()))
            return EVENTS, "does not match the recorded tip"
        position ^= 1 << self.rng.randrange(6)
        self.write(self.rows, (position, digest))
        return min(position, EVENTS) + 1, ""

    def flip_checkpoint(self) -> Expected:
        file = self.rng.choice(sorted(self.notes))
        file.write_bytes(self.flipped(file.read_bytes()))
        return None, str(file)

    def delete(self) -> Expected:
        """One to four events; those after them stay at their positions, or move up."""
        at, many = self.rng.randrange(EVENTS), self.rng.randint(1, 4)
        stay = [position for position in range(1, EVENTS + 1) if not at < position <= at + many]
        self.write(self.rows[:at] + self.rows[at + many :], positions=stay if self.rng.random() < 0.5 else None)
        return at + 1, ""

    def empty(self) -> Expected:
        """Remove the content of an event, as only an erasure may."""
        rows, at = [list(row) for row in self.rows], self.rng.randrange(EVENTS)
        rows[at][PAYLOAD] = ""
        self.write(rows)
        return at + 1, "no erasure says so"

    def reorder(self) -> Expected:
        """Two events change places, or up to three move elsewhere."""
        rows, (first, second) = list(self.rows), sorted(self.rng.sample(range(EVENTS), 2))
        if self.rng.random() < 0.5:
            rows[first], rows[second] = rows[second], rows[first]
        else:
            moved, rest = rows[first : first + 3], rows[:first] + rows[first + 3 :]
            place = self.rng.choice([place for place in range(len(rest) + 1) if place != first])
            rows = rest[:place] + moved + rest[place:]
        self.write(rows)
        return first_other(self.rows, rows), ""

    def truncate(self) -> Expected:
        length = self.rng.randrange(EVENTS)
        self.write(self.rows[:length])
        return length + 1, "the last ones, are missing"

    def splice(self) -> Expected:
        """Put events of another journal, or from elsewhere in this one, between or in place of others."""
        rows, at, many, start = list(self.rows), self.rng.randrange(EVENTS + 1), self.rng.randint(1, 5), 0
        while rows == self.rows:
            start = self.rng.randrange(1, EVENTS)
            rows[at : at + self.rng.choice([0, many])] = self.rng.choice([self.others, self.rows])[start : start + many]
        self.write(rows)
        return first_other(self.rows, rows), ""

    def invent(self) -> Expected:
        """An event after the last one, with a hash that fits."""
        self.write(chained([*self.rows, self.rng.choice(self.rows)])[0])
        return EVENTS + 1, "were not written by Proveout"

    def forge(self) -> Expected:
        """Change the past, and make all hashes and the tip fit: only a checkpoint shows it, and between which two it lies."""
        rows, content = [list(row) for row in self.rows], [row[:PREVIOUS] for row in self.rows]
        first = EVENTS
        while first > SIZES[-1]:  # what came after the last checkpoint was not signed yet
            at, other = self.rng.randrange(SIZES[-1]), self.rng.randrange(EVENTS)
            match self.rng.randrange(5):
                case 0:
                    payload = str(rows[at][PAYLOAD])
                    place = self.rng.randrange(len(payload))
                    rows[at][PAYLOAD] = payload[:place] + chr(ord(payload[place]) ^ 1) + payload[place + 1 :]
                case 1:
                    del rows[at]
                case 2:
                    rows[at], rows[other] = rows[other], rows[at]
                case 3:
                    rows.insert(at, self.others[other])
                case _:
                    rows = list(self.others)
            first = first_other(content, [row[:PREVIOUS] for row in rows])
        self.write(*chained(rows))
        return 1 + max(size for size in (0, *SIZES) if size < first), "rewritten after"

    def roll_back(self) -> Expected:
        """Put an older copy in place, whose chain and tip fit, with the checkpoints of then or those of now."""
        size = self.rng.randrange(SIZES[-1])
        self.write(*chained(self.rows[:size]))
        if self.rng.random() < 0.5:
            for file in (self.home / "checkpoints").iterdir():
                if int(file.stem) > size:
                    file.unlink()
        return size + 1, "an older copy was put back"


KINDS: tuple[Callable[[Forger], Expected], ...] = (
    Forger.flip,
    Forger.flip_tip,
    Forger.flip_checkpoint,
    Forger.delete,
    Forger.empty,
    Forger.reorder,
    Forger.truncate,
    Forger.splice,
    Forger.invent,
    Forger.forge,
    Forger.roll_back,
)


@pytest.fixture(params=["plain", "encrypted"])
def forger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Forger, Signer]]:
    home, other = tmp_path / "home", tmp_path / "other"
    (home / "witness").mkdir(parents=True)
    if request.param == "encrypted":
        assert Vault.create(home) and Vault.create(other)
    signer = Signer.create(tmp_path / "key.pem", "archive.example.com")
    fill(home, "Zoë", signer)
    fill(other, "Ada")
    forger = Forger(home, other)
    yield forger, signer
    forger.file.close()


@pytest.mark.parametrize("mutations", [len(KINDS) * 30, pytest.param(5000, marks=pytest.mark.slow)])
def test_every_mutation_is_found_and_placed(forger: tuple[Forger, Signer], mutations: int) -> None:
    somebody, signer = forger
    with Journal(somebody.home / "journal.db") as journal:

        def check() -> tuple[bool, int | None, str]:
            try:
                result = kept(somebody.home).check(journal, [signer.verifier])
            except BadInput as error:  # a file that is no checkpoint
                return False, None, str(error)
            return result.whole, result.bad, result.because

        for number in range(mutations):
            assert check()[0], "nothing was changed"
            does = KINDS[number % len(KINDS)]
            bad, because = does(somebody)
            whole, found_at, reason = check()
            assert not whole and found_at == bad and because in reason, (number, does.__name__, bad, because, reason)
            somebody.restore()


def test_an_index_that_leads_past_a_case_is_found(tmp_path: Path) -> None:
    """The chain holds, and a question about the case finds nothing: only SQLite's own check sees it."""
    fill(tmp_path, "ada")
    file = tmp_path / "journal.db"
    with Journal(file) as journal:
        case = next(journal.events()).case
        assert journal.damage() == ""
    whole, hidden = file.read_bytes(), []
    for match in re.finditer(case.encode(), whole):
        file.write_bytes(whole[: match.start()] + bytes([whole[match.start()] ^ 1]) + whole[match.start() + 1 :])
        with Journal(file) as journal:
            if journal.verify().whole:
                hidden.append(journal.damage())
    assert hidden and all("index" in damage for damage in hidden)
