"""The memory: past cases, found again by how their documents look and what they say. One door: `Memory.open`.

`records.jsonl` is the truth: append-only, one record a line, its position is its line. The id of a memory at a position is a
hash over the records before it, in order; never over a store's files. Vectors are derived: a Chroma collection that
disagrees with the records is built anew.
Covered: a search sees only records before its position and gives the same answer whatever was added since; of the records of
one case a person's counts before the agent's own, then the newest; saying the same twice adds nothing; a torn last line.
Not covered: which values are right. `origin` says who said so.
"""

import hashlib
import json
import os
from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from proveout.errors import StaleIndex
from proveout.files import lock
from proveout.records import Content, SimilarCase, Value
from proveout.retrieval.encoder import Encoder
from proveout.retrieval.index import BOTH, Hit, Index, IndexedText, Method
from proveout.values import written

NEARLY = 0.97  # share of words two texts have in common when they are one document; next month's order has up to 0.93
KEPT = 4096  # vectors of recent queries, 6 MB: a batch is searched for similar cases, then for duplicates


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """What was said of a case, by a person (a label) or by the agent (a decision)."""

    case: str
    text: str  # of its content
    fields: Mapping[str, str] = field(default_factory=dict)  # as `written`
    document_class: str = ""
    origin: Literal["label", "decision"] = "decision"
    document: str = ""  # SHA-256 of the file


def without_numbers(text: str) -> str:
    """The words without a digit: they say which form it is, the others which copy.

    >>> without_numbers("Invoice # 17 Flight 01/02/20 to 2/3/20 KXQ2-TV")
    'Invoice # Flight to'
    """
    return " ".join(word for word in text.split() if not any(character.isdigit() for character in word))


def word_overlap(a: str, b: str) -> float:
    """Share of the words of two texts that both have, repeated words counted; 0..1.

    >>> word_overlap("pay 5 to A", "pay 5 to B")
    0.6
    """
    x, y = Counter(a.casefold().split()), Counter(b.casefold().split())
    return (x & y).total() / max(1, (x | y).total())


class Memory:
    """Append-only records with a position; see the module."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder = folder
        self._index = index
        self._records: list[MemoryRecord] = []
        self._chain: list[str] = []
        self._valid_to = array("q")  # record i is its case's answer for positions i + 1 .. valid_to[i]
        self._answer: dict[str, int] = {}  # case: the record that counts now
        self._latest: dict[tuple[str, str], int] = {}  # (case, origin): the newest record
        self._bytes = 0  # of records.jsonl that were read or written
        self._with: dict[tuple[str, str], list[int]] = {}  # (field, plain value): records
        self._recent: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    @classmethod
    def open(
        cls, folder: Path | str, encoder: Encoder | None = None, store: Path | str | None = None, name: str = "past-cases"
    ) -> "Memory":
        """Open or begin a memory.

        encoder: by default the one that the folder's snapshot was made with, else the usual one.
        store: where Chroma keeps the vectors; by default `folder/chroma`, a folder, or a server at http://host:port;
        "" keeps none and writes nothing (for a snapshot that `save` made). name: the collection; a server that several
        missions share needs one for each.
        """
        folder = Path(folder)
        place = folder / "chroma" if store is None else store
        memory = cls(folder, Index(encoder or _encoder_of(folder), place, name))
        records = memory._read()
        entries = [memory._note(record) for record in records]
        memory._index.fill(entries, known=memory._saved_vectors())
        return memory

    @property
    def position(self) -> int:
        """The number of records."""
        return len(self._records)

    def id(self, position: int | None = None) -> str:
        """Hash over the records before the position, 16 hexadecimal digits."""
        position = self.position if position is None else position
        return self._chain[position - 1][:16] if position else "0" * 16

    def require(self, id: str, position: int) -> None:
        """Raises StaleIndex unless the records before the position are those that had this id."""
        if position > self.position:
            raise StaleIndex(f"{self.folder}: has {self.position} records, {position} are needed; restore its records.jsonl")
        if self.id(position) != id:
            said = f"its first {position} records have id {self.id(position)}, expected {id}"
            raise StaleIndex(f"{self.folder}: {said}; restore the records.jsonl that belongs to it")

    def records(self, position: int | None = None) -> tuple[MemoryRecord, ...]:
        """Every record before the position, in order."""
        return tuple(self._records[: self.position if position is None else position])

    def answer(self, case: str, position: int | None = None) -> MemoryRecord | None:
        """What counts of a case at a position."""
        allowed = self._allowed(position)
        found = [row for row in self._with.get(("", case), ()) if row < len(allowed) and allowed[row]]
        return self._records[found[-1]] if found else None

    def corrections(self, position: int | None = None) -> list[tuple[MemoryRecord, frozenset[str]]]:
        """What people answered otherwise than the agent had decided before, with the fields that differ, oldest first."""
        found = []
        for row in np.flatnonzero(self._allowed(position)).tolist():
            answer, decided = self._records[row], self._latest.get((self._records[row].case, "decision"), row)
            said = self._records[decided].fields
            wrong = frozenset(name for name, text in answer.fields.items() if _plain(said.get(name, "")) != _plain(text))
            if answer.origin == "label" and decided < row and wrong:
                found.append((answer, wrong))
        return found

    def add(self, records: Iterable[MemoryRecord]) -> int:
        """Append what is new and return the position. On disk before it can be found; safe to repeat after a crash."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "records.jsonl").open("a+b") as file:
            lock(file)
            self._catch_up()
            entries, lines = [], []
            for record in records:
                before = self._latest.get((record.case, record.origin))
                if before is None or self._records[before] != record:
                    lines.append(_line(record))
                    entries.append(self._note(record))
            if lines:
                os.ftruncate(file.fileno(), self._bytes)  # a line torn by a crash was never a record
                self._bytes += file.write(b"".join(line + b"\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
                self._index.add(entries)
        return self.position

    def search(
        self, text: str | Content, k: int = 5, position: int | None = None, ways: Sequence[Method] = BOTH
    ) -> tuple[SimilarCase, ...]:
        """The k most similar past cases, best first; a document is never similar to itself."""
        return self.search_many([text], k, position, ways)[0]

    def search_many(
        self,
        texts: Sequence[str | Content],
        k: int = 5,
        position: int | None = None,
        ways: Sequence[Method] = BOTH,
    ) -> list[tuple[SimilarCase, ...]]:
        """`search` for each text; an answer does not depend on the others."""
        allowed = self._allowed(position)
        said = [_query(text) for text in texts]
        found = []
        for text, words, vector in zip(texts, said, self._vectors_of(said), strict=True):
            mine = self._without(text, allowed)
            hits = self._index.rank(vector, words, k, mine, ways) if mine.any() else []
            found.append(tuple(self._similar(hit) for hit in hits))
        return found

    def duplicate(
        self, text: str | Content, values: Mapping[str, Value], on: Sequence[str], position: int | None = None
    ) -> str:
        """Which past case is the same business and why, as a sentence; "" when none is.

        It agrees on all of the fields `on`, or its text is nearly the same.
        """
        allowed = self._without(text, self._allowed(position))
        if on and all(values.get(name) not in (None, "") for name in on):
            said = {name: written(values[name]) for name in on}
            if rows := self._rows_with(said, allowed):
                agreed = ", ".join(f"{name} {value}" for name, value in said.items())
                return f"case {self._records[rows[0]].case[:12]} has the same {agreed}"
        printed = text if isinstance(text, str) else text.text
        if not printed.strip() or not allowed.any():
            return ""
        for hit in self._index.rank(self._vectors_of([_query(text)])[0], "", 20, allowed, ["vectors"]):
            past = self._records[hit.row]
            if (share := word_overlap(printed, past.text)) >= NEARLY:
                return f"case {past.case[:12]} has nearly the same text ({share:.0%} of the words)"
        return ""

    def agreeing(self, values: Mapping[str, Value], position: int | None = None) -> tuple[MemoryRecord, ...]:
        """Past cases that have all of these values, letters and digits compared, oldest first."""
        rows = self._rows_with({name: written(value) for name, value in values.items()}, self._allowed(position))
        return tuple(self._records[row] for row in rows)

    def save(self, folder: Path | str) -> None:
        """A snapshot: the records and their vectors, the same bytes for the same records."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "records.jsonl").write_bytes(b"".join(_line(record) + b"\n" for record in self._records))
        np.save(folder / "vectors.npy", self._index.vectors)
        encoder = self._index.encoder
        about = {"id": self.id(), "position": self.position, "encoder": encoder.id, "tokens": encoder.tokens}
        (folder / "index.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    def _rows_with(self, said: Mapping[str, str], allowed: NDArray[np.bool_]) -> list[int]:
        lists = [self._with.get((name, _plain(value)), []) for name, value in said.items()]
        rows = set(lists[0]).intersection(*lists[1:]) if lists else set()
        return sorted(row for row in rows if row < len(allowed) and allowed[row])

    def _allowed(self, position: int | None) -> NDArray[np.bool_]:
        """(position,) which records are their case's answer at that position."""
        position = self.position if position is None else position
        if not 0 <= position <= self.position:
            raise StaleIndex(f"{self.folder}: position {position} is asked for, the memory has {self.position} records")
        return np.array(self._valid_to[:position], dtype=np.int64) >= position

    def _without(self, text: str | Content, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if isinstance(text, str):
            return allowed
        own = [row for row in self._with.get(("", text.id), ()) if row < len(allowed)]
        if not own:
            return allowed
        others = allowed.copy()
        others[own] = False
        return others

    def _similar(self, hit: Hit) -> SimilarCase:
        record = self._records[hit.row]
        return SimilarCase(record.case, hit.similarity, dict(record.fields))

    def _vectors_of(self, said: Sequence[str]) -> list[NDArray[np.float32]]:
        new = [text for text in dict.fromkeys(said) if text not in self._recent]
        self._recent.update(zip(new, self._index.encoder.encode(new), strict=True))
        vectors = [self._recent[text] for text in said]
        while len(self._recent) > KEPT:
            self._recent.popitem(last=False)
        return vectors

    def _note(self, record: MemoryRecord) -> IndexedText:
        """Take a record into the books; what an index has to know of it comes back."""
        row = len(self._records)
        before = self._answer.get(record.case)
        outranked = before is not None and self._records[before].origin == "label" and record.origin == "decision"
        self._valid_to.append(row if outranked else np.iinfo(np.int64).max)
        if not outranked:
            if before is not None:
                self._valid_to[before] = row
            self._answer[record.case] = row
        for key in {("", record.case), ("", record.document), *((n, _plain(v)) for n, v in record.fields.items())}:
            self._with.setdefault(key, []).append(row)
        previous = self._chain[-1] if self._chain else ""
        self._chain.append(hashlib.sha256(previous.encode() + _line(record)).hexdigest())
        self._latest[record.case, record.origin] = row
        self._records.append(record)
        said = {"case": record.case, "document_class": record.document_class, "origin": record.origin}
        fields = json.dumps(dict(record.fields), ensure_ascii=False)
        words = " ".join([record.text, *record.fields.values()])
        return IndexedText(without_numbers(record.text), words, self._chain[-1], {**said, "fields": fields})

    def _read(self) -> list[MemoryRecord]:
        """The records of the file that were not read yet, whole lines only."""
        path = self.folder / "records.jsonl"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._bytes)
            lines = file.read().split(b"\n")[:-1]
        self._bytes += sum(len(line) + 1 for line in lines)
        try:
            return [MemoryRecord(**json.loads(line)) for line in lines]
        except (ValueError, TypeError) as error:
            raise StaleIndex(f"{path}: a line is not a record ({error}); restore the file") from error

    def _catch_up(self) -> None:
        """Take in what another process appended."""
        entries = [self._note(record) for record in self._read()]
        if entries:
            self._index.add(entries)

    def _saved_vectors(self) -> NDArray[np.float32] | None:
        """Vectors of a snapshot, if they belong to a beginning of these records and to this encoder."""
        if not (self.folder / "vectors.npy").exists():
            return None
        about = json.loads((self.folder / "index.json").read_text(encoding="utf-8"))
        position = about["position"]
        fits = about["encoder"] == self._index.encoder.id and position <= self.position and self.id(position) == about["id"]
        return np.load(self.folder / "vectors.npy") if fits else None


def _encoder_of(folder: Path) -> Encoder:
    about = folder / "index.json"
    return Encoder.load(tokens=json.loads(about.read_text(encoding="utf-8"))["tokens"]) if about.exists() else Encoder.load()


def _query(text: str | Content) -> str:
    """What is searched for: a person's words as they stand, a document by its words without numbers."""
    return text if isinstance(text, str) else without_numbers(text.text)


def _plain(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _line(record: MemoryRecord) -> bytes:
    return json.dumps(asdict(record), ensure_ascii=False, sort_keys=True).encode()
