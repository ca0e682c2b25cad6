"""The memory: past cases, searched by the form and the words of their documents. Entry point: `Memory.open`.

`records.jsonl` is authoritative: append-only, one record on each line; the line is its position. The id of a memory at a
position is a hash over the records before it, in order, never over a store's files. Vectors are derived data: a Chroma
collection that disagrees with the records is rebuilt. In an encrypted workspace a line holds its record and vector, encrypted
with the key of the case, and there is no collection. The line of an erased case keeps its position and hash, for the others.
`follows.json` says how far the memory follows what it is filled from, so that nothing of that is read twice.
Covered: a search sees only records before its position and returns the same whatever was added since; for each case, a
person's record takes precedence over the agent's, then the newest; a repeated record is not added; a torn last line.
Not covered: which values are right. `origin` tells a person's label from the agent's decision.
"""

import base64
import hashlib
import json
import os
import shutil
from array import array
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from proveout.errors import StaleIndex
from proveout.files import lock, read_object, replacing, write_whole
from proveout.records import Content, SimilarCase, Value, case_of
from proveout.retrieval.duplicates import Duplicates
from proveout.retrieval.encoder import WIDTH, Encoder, Vectors
from proveout.retrieval.index import BOTH, Hit, Index, IndexedText, Method
from proveout.values import key as key_of
from proveout.values import written
from proveout.vault import Vault

FOLLOWS = "follows.json"
CACHED = 4096  # vectors of recent queries, 6 MB: each batch is searched for similar cases, then for duplicates


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """The fields and class of a case, from a person (a label) or from the agent (a decision)."""

    case: str
    text: str  # of the case's content
    fields: Mapping[str, str] = field(default_factory=dict)  # as `written`
    document_class: str = ""
    origin: Literal["label", "decision"] = "decision"
    document: str = ""  # SHA-256 of the file


PARTS = tuple(MemoryRecord.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class _Line:
    """What a line of the file holds."""

    record: MemoryRecord
    erased: str = ""  # the chain's hash up to here, of an erased one
    vector: NDArray[np.float32] | None = None  # (384,) kept with it, if this encoder made it


def without_numbers(text: str) -> str:
    """The words without a digit, which identify the form; the others identify the copy.

    >>> without_numbers("Invoice # 17 Flight 01/02/20 to 2/3/20 KXQ2-TV")
    'Invoice # Flight to'
    """
    return " ".join(word for word in text.split() if word.isalpha() or not any(map(str.isdigit, word)))


class Memory:
    """Append-only records with a position, and searches as of any position; see the module."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder = folder
        self._index = index
        self._records: list[MemoryRecord] = []
        self._chain: list[str] = []
        self._valid_to = array("q")  # record i is the answer of its case for positions i + 1 .. valid_to[i]
        self._answer: dict[str, int] = {}  # case: its current answer
        self._latest: dict[tuple[str, str], int] = {}  # (case, origin): the newest record
        self._bytes = 0  # of records.jsonl, read or written so far
        self._rows: dict[tuple[str, str], list[int]] = {}  # (field, plain value), ("", case) or ("", document): records
        self._duplicates = Duplicates()  # a row is a position
        self._recent: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._vault = Vault.at(folder.parent)

    @classmethod
    def open(
        cls, folder: Path | str, encoder: Encoder | None = None, store: Path | str | None = None, name: str = "past-cases"
    ) -> "Memory":
        """Open a memory, new if the folder has none. Raises StaleIndex if a line is not a record or no server answers.

        encoder: by default that of the folder's snapshot, else `Encoder.load()`.
        store: where Chroma keeps the vectors: a folder, by default `folder/chroma`, or a server at http://host:port; by default
        nowhere if the workspace is encrypted, whose records keep them;
        "" keeps them only in this process and writes nothing (for a snapshot that `save` made).
        name: of the collection; missions that share a server need different ones.
        """
        folder = Path(folder)
        default = "" if Vault.at(folder.parent) else folder / "chroma"
        place = default if store is None else store
        memory = cls(folder, Index(encoder or _encoder_of(folder), place, name))
        lines = memory._read()
        entries = [memory._register(line.record, line.erased) for line in lines]
        memory._index.fill(entries, saved=memory._saved_vectors(lines))
        return memory

    @property
    def position(self) -> int:
        """The number of records."""
        return len(self._records)

    def id(self, position: int | None = None) -> str:
        """Hash over the records before the position, 16 hexadecimal digits."""
        position = self.position if position is None else position
        return self._chain[position - 1][:16] if position else "0" * 16

    def records(self, position: int | None = None) -> tuple[MemoryRecord, ...]:
        """Every record before the position, in order."""
        return tuple(self._records[: self.position if position is None else position])

    def answer(self, case: str, position: int | None = None) -> MemoryRecord | None:
        """The record of a case that takes precedence at a position."""
        allowed = self._allowed(position)
        rows = [row for row in self._rows.get(("", case), ()) if row < len(allowed) and allowed[row]]
        return self._records[rows[-1]] if rows else None

    def corrections(self, position: int | None = None) -> list[tuple[MemoryRecord, frozenset[str]]]:
        """Labels that differ from the agent's earlier decision, each with the fields that differ, oldest first."""
        corrections = []
        for row in np.flatnonzero(self._allowed(position)).tolist():
            answer, decision = self._records[row], self._latest.get((self._records[row].case, "decision"), row)
            fields = self._records[decision].fields
            wrong = frozenset(name for name, text in answer.fields.items() if key_of(fields.get(name, "")) != key_of(text))
            if answer.origin == "label" and decision < row and wrong:
                corrections.append((answer, wrong))
        return corrections

    def holds(self, record: MemoryRecord) -> bool:
        """Whether it is one of the records, also if others of its case came later."""
        return any(self._records[row] == record for row in self._rows.get(("", record.case), ()))

    @property
    def follows(self) -> tuple[Any, ...]:
        """What `follow` noted last; () if nothing was, or if the records are not those of then and later ones."""
        noted = read_object(self.folder / FOLLOWS)
        position = noted.get("position", 0)
        return tuple(noted["source"]) if position <= self.position and self.id(position) == noted.get("id") else ()

    def follow(self, *source: str | int) -> None:
        """Note how far the memory follows what it is filled from."""
        note = {"source": source, "position": self.position, "id": self.id()}
        write_whole(self.folder / FOLLOWS, json.dumps(note) + "\n")

    def add(self, records: Iterable[MemoryRecord]) -> int:
        """Append new records, on disk before a search sees them; return the position. Safe to repeat after a crash."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "records.jsonl").open("a+b") as file:
            lock(file)
            self._catch_up()
            entries: list[IndexedText] = []
            for record in records:
                previous = self._latest.get((record.case, record.origin))
                erased = self._vault is not None and self._vault.erased(case_of(record.case))
                if not erased and (previous is None or self._records[previous] != record):
                    entries.append(self._register(record))
            if entries:
                vectors = self._index.encode(entries)
                new = zip(self._records[-len(entries) :], entries, vectors, strict=True)
                lines = [self._written(record, entry.chain, vector) for record, entry, vector in new]
                os.ftruncate(file.fileno(), self._bytes)  # a line torn by a crash was never a record
                self._bytes += file.write(b"".join(line + b"\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
                self._index.add(entries, vectors)
        return self.position

    def search(
        self, text: str | Content, k: int = 5, position: int | None = None, ways: Sequence[Method] = BOTH
    ) -> tuple[SimilarCase, ...]:
        """The k most similar past cases, best first. A document's own records are left out."""
        return self.search_many([text], k, position, ways)[0]

    def search_many(
        self,
        texts: Sequence[str | Content],
        k: int = 5,
        position: int | None = None,
        ways: Sequence[Method] = BOTH,
    ) -> list[tuple[SimilarCase, ...]]:
        """`search` for each text; a result does not depend on the other texts."""
        allowed = self._allowed(position)
        queries = [_query(text) for text in texts]
        results = []
        for text, query, vector in zip(texts, queries, self._vectors_of(queries), strict=True):
            others = self._others(text, allowed)
            hits = self._index.rank(vector, query, k, others, ways) if others.any() else []
            results.append(tuple(self._similar(hit) for hit in hits))
        return results

    def answered(
        self,
        contents: Sequence[Content],
        k: int,
        position: int | None = None,
        without: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> list[tuple[MemoryRecord, ...]]:
        """For each content, the k cases that a person answered whose documents have the most similar form, best first.

        A document's own records are left out. `without`: the id of a content to ids of others that are left out for it, too.
        """
        allowed = self._allowed(position)
        allowed &= np.array([record.origin == "label" and bool(record.fields) for record in self.records(len(allowed))], bool)
        results = []
        for content, vector in zip(contents, self._vectors_of([_query(content) for content in contents]), strict=True):
            others = self._others(content, allowed)
            rows = (row for id in without.get(content.id, ()) for row in self._rows.get(("", id), ()))
            others[[row for row in rows if row < len(others)]] = False
            hits = self._index.rank(vector, "", k, others, ("vectors",)) if others.any() else []
            results.append(tuple(self._records[hit.row] for hit in hits))
        return results

    def duplicate(
        self, text: str | Content, values: Mapping[str, Value], on: Sequence[str], position: int | None = None
    ) -> str:
        """Which past case this one duplicates and why, in words; "" if none.

        See `duplicates` for what makes one.
        """
        printed = text if isinstance(text, str) else text.text
        allowed = self._others(text, self._allowed(position))
        past = self._duplicates.find(printed, {name: written(value) for name, value in values.items()}, on, allowed)
        return f"case {self._records[past[0]].case[:12]} {past[1]}" if past else ""

    def agreeing(self, values: Mapping[str, Value], position: int | None = None) -> tuple[MemoryRecord, ...]:
        """Past cases with all of these values, oldest first; only letters and digits are compared."""
        rows = self._rows_with({name: written(value) for name, value in values.items()}, self._allowed(position))
        return tuple(self._records[row] for row in rows)

    def save(self, folder: Path | str) -> None:
        """Write a snapshot of the records and their vectors: the same bytes for the same records."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "records.jsonl").write_bytes(b"".join(_line(record) + b"\n" for record in self._records))
        np.save(folder / "vectors.npy", self._index.vectors)
        encoder = self._index.encoder
        header = {"id": self.id(), "position": self.position, "encoder": encoder.id, "tokens": encoder.tokens}
        (folder / "index.json").write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")

    def encrypt(self) -> None:
        """Encrypt the records that were added before the workspace was encrypted, and remove their collection.

        Only while no other process uses the memory.
        """
        rows = zip(
            self._records,
            self._chain,
            self._index.vectors,
            (self.folder / "records.jsonl").read_bytes().split(b"\n")[:-1],
            strict=True,
        )
        lines = [
            line if "sealed" in json.loads(line) else self._written(record, chain, vector)
            for record, chain, vector, line in rows
        ]
        write_whole(self.folder / "records.jsonl", b"".join(line + b"\n" for line in lines))
        shutil.rmtree(self.folder / "chroma", ignore_errors=True)
        (self.folder / "vectors.npy").unlink(missing_ok=True)

    def _rows_with(self, texts: Mapping[str, str], allowed: NDArray[np.bool_]) -> list[int]:
        lists = [self._rows.get((name, key_of(value)), []) for name, value in texts.items()]
        rows = set(lists[0]).intersection(*lists[1:]) if lists else set()
        return sorted(row for row in rows if row < len(allowed) and allowed[row])

    def _allowed(self, position: int | None) -> NDArray[np.bool_]:
        """(position,) which records take precedence in their case at that position."""
        position = self.position if position is None else position
        if not 0 <= position <= self.position:
            raise StaleIndex(f"{self.folder}: there is no position {position}; the memory has {self.position} records")
        return np.array(self._valid_to[:position], dtype=np.int64) >= position

    def _others(self, text: str | Content, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The allowed records without those of the content itself."""
        own = [] if isinstance(text, str) else [row for row in self._rows.get(("", text.id), ()) if row < len(allowed)]
        others = allowed.copy()
        others[own] = False
        return others

    def _similar(self, hit: Hit) -> SimilarCase:
        record = self._records[hit.row]
        return SimilarCase(record.case, hit.similarity, dict(record.fields))

    def _vectors_of(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        new = [text for text in dict.fromkeys(texts) if text not in self._recent]
        self._recent.update(zip(new, self._index.encoder.encode(new), strict=True))
        vectors = [self._recent[text] for text in texts]
        while len(self._recent) > CACHED:
            self._recent.popitem(last=False)
        return vectors

    def _register(self, record: MemoryRecord, erased: str = "") -> IndexedText:
        """Append a record in memory, and return its entry for the index. `erased`: its hash, if it was."""
        row = len(self._records)
        if erased:
            self._valid_to.append(row)  # at no position
            self._chain.append(erased)
            self._records.append(record)
            self._duplicates.add("", {})
            return IndexedText("", "", erased, {"case": record.case, "origin": record.origin})
        current = self._answer.get(record.case)
        outranked = current is not None and self._records[current].origin == "label" and record.origin == "decision"
        self._valid_to.append(row if outranked else np.iinfo(np.int64).max)
        if not outranked:
            if current is not None:
                self._valid_to[current] = row
            self._answer[record.case] = row
        for key in {("", record.case), ("", record.document), *((n, key_of(v)) for n, v in record.fields.items())}:
            self._rows.setdefault(key, []).append(row)
        previous = self._chain[-1] if self._chain else ""
        self._chain.append(hashlib.sha256(previous.encode() + _line(record)).hexdigest())
        self._latest[record.case, record.origin] = row
        self._records.append(record)
        self._duplicates.add(record.text, record.fields)
        metadata = {"case": record.case, "document_class": record.document_class, "origin": record.origin}
        metadata["fields"] = json.dumps(dict(record.fields), ensure_ascii=False)
        words = " ".join([record.text, *record.fields.values()])
        return IndexedText(without_numbers(record.text), words, self._chain[-1], metadata)

    def _read(self) -> list[_Line]:
        """The lines of the file that were not read yet; whole ones only."""
        path = self.folder / "records.jsonl"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._bytes)
            lines = file.read().split(b"\n")[:-1]
        self._bytes += sum(len(line) + 1 for line in lines)
        try:
            parsed = [json.loads(line) for line in lines]
            if self._vault:
                self._vault.ciphers({case_of(data["case"]) for data in parsed})  # in one query
            return [self._opened(data) for data in parsed]
        except (ValueError, TypeError, KeyError) as error:
            raise StaleIndex(f"{path}: a line is not a record ({error}); restore the file") from error

    def _written(self, record: MemoryRecord, chain: str, vector: NDArray[np.float32]) -> bytes:
        """A line of the file."""
        if self._vault is None:
            return _line(record)
        sealed = self._vault.seal(case_of(record.case), vector.tobytes() + _line(record), f"memory {chain}")
        head = {"case": record.case, "origin": record.origin, "document": record.document, "chain": chain}
        return json.dumps(head | {"encoder": self._index.encoder.id, "sealed": base64.b64encode(sealed).decode()}).encode()

    def _opened(self, data: dict[str, Any]) -> _Line:
        if "sealed" not in data:
            return _Line(MemoryRecord(**data))
        if data["sealed"] and self._vault is None:
            raise StaleIndex(f"{self.folder}: the memory is encrypted, and the workspace's keys.db is missing; put it back")
        sealed = base64.b64decode(data["sealed"])
        content = self._vault.open(case_of(data["case"]), sealed, f"memory {data['chain']}") if sealed and self._vault else None
        if content is None:
            return _Line(MemoryRecord(data["case"], "", origin=data["origin"], document=data["document"]), data["chain"])
        vector = np.frombuffer(content[: 4 * WIDTH], dtype=np.float32)
        kept = vector if data["encoder"] == self._index.encoder.id else None
        return _Line(MemoryRecord(**json.loads(content[4 * WIDTH :])), vector=kept)

    def _catch_up(self) -> None:
        """Read what another process appended."""
        entries = [self._register(line.record, line.erased) for line in self._read()]
        if entries:
            self._index.add(entries)

    def _saved_vectors(self, lines: Sequence[_Line]) -> Vectors | None:
        """Vectors of the first records: of a snapshot, if they belong to them and to this encoder, then those in the lines."""
        saved = np.empty((0, WIDTH), dtype=np.float32)
        if (self.folder / "vectors.npy").exists():
            header = json.loads((self.folder / "index.json").read_text(encoding="utf-8"))
            position = header["position"]
            own = header["encoder"] == self._index.encoder.id and position <= self.position
            if own and self.id(position) == header["id"]:
                saved = np.load(self.folder / "vectors.npy")
        nothing = np.zeros(WIDTH, dtype=np.float32)  # of an erased one, which is never compared
        kept = (nothing if line.erased else line.vector for line in lines[len(saved) :])
        further = list(takewhile(lambda vector: vector is not None, kept))
        saved = np.concatenate([saved, np.array(further, dtype=np.float32).reshape(-1, WIDTH)])
        return saved if len(saved) else None


def erase(folder: Path, case: str) -> int:
    """Remove what a memory holds of a case, but its position and hash; returns the number of records.

    Only while no other process writes to it.
    """
    path, chain, lines, gone = folder / "records.jsonl", "", [], []
    for row, line in enumerate(path.read_bytes().split(b"\n")[:-1] if path.exists() else []):
        data = json.loads(line)
        chain = data.get("chain") or hashlib.sha256(chain.encode() + _line(MemoryRecord(**data))).hexdigest()
        if case_of(data["case"]) == case:
            gone.append(row)
            data = {name: data.get(name, "") for name in ("case", "origin", "document")} | {"chain": chain, "sealed": ""}
            line = json.dumps(data).encode()
        lines.append(line + b"\n")
    if gone:
        write_whole(path, b"".join(lines))
        shutil.rmtree(folder / "chroma", ignore_errors=True)  # made again from the records
        if (folder / "vectors.npy").exists():
            vectors = np.load(folder / "vectors.npy")
            vectors[[row for row in gone if row < len(vectors)]] = 0
            with replacing(folder / "vectors.npy") as part, part.open("wb") as file:
                np.save(file, vectors)
    return len(gone)


class NoMemory(Memory):
    """For a mission whose cases tell nothing about one another: nothing is remembered, so nothing is recalled or encoded."""

    def __init__(self) -> None:
        self._records = []

    def add(self, records: Iterable[MemoryRecord]) -> int:
        return 0

    def corrections(self, position: int | None = None) -> list[tuple[MemoryRecord, frozenset[str]]]:
        return []

    def search_many(
        self, texts: Sequence[str | Content], k: int = 5, position: int | None = None, ways: Sequence[Method] = BOTH
    ) -> list[tuple[SimilarCase, ...]]:
        return [()] * len(texts)

    def answered(
        self,
        contents: Sequence[Content],
        k: int,
        position: int | None = None,
        without: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> list[tuple[MemoryRecord, ...]]:
        return [()] * len(contents)

    def duplicate(
        self, text: str | Content, values: Mapping[str, Value], on: Sequence[str], position: int | None = None
    ) -> str:
        return ""

    def agreeing(self, values: Mapping[str, Value], position: int | None = None) -> tuple[MemoryRecord, ...]:
        return ()


def _encoder_of(folder: Path) -> Encoder:
    header = folder / "index.json"
    return Encoder.load(tokens=json.loads(header.read_text(encoding="utf-8"))["tokens"]) if header.exists() else Encoder.load()


def _query(text: str | Content) -> str:
    """The text to search for: a person's words unchanged, a document's without numbers."""
    return text if isinstance(text, str) else without_numbers(text.text)


def _line(record: MemoryRecord) -> bytes:
    content = {name: getattr(record, name) for name in PARTS} | {"fields": dict(record.fields)}
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode()
