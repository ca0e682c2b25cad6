"""What the policy says about a question, in the words of `policy.md`. One door: `Passages.read`.

A passage is a paragraph under its headings; it is found by meaning, and is only ever shown.
Whether an action may happen is decided by the policy itself (`policy`), never by a passage.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from proveout.errors import BadInput
from proveout.retrieval.encoder import Encoder
from proveout.retrieval.index import Index, IndexedText, Method

BY_MEANING: tuple[Method, ...] = ("vectors",)  # a question shares its small words with every paragraph of a short text
_HEADING = re.compile(r"^(#+)\s+(.*?)\s*#*$")


@dataclass(frozen=True, slots=True)
class Passage:
    heading: str  # "Paying > Amount"
    text: str
    line: int  # of its first line in the file, from 1


def passages_of(markdown: str) -> tuple[Passage, ...]:
    """The paragraphs of a Markdown text; lists stay in one piece.

    >>> for passage in passages_of("# Policy\\n## Paying\\nOnly invoices.\\n\\nUp to\\n$5.\\n"):
    ...     print(passage)
    Passage(heading='Policy > Paying', text='Only invoices.', line=3)
    Passage(heading='Policy > Paying', text='Up to $5.', line=5)
    """
    passages: list[Passage] = []
    headings: list[str] = []
    rows: list[tuple[int, str]] = []

    def close() -> None:
        if rows:
            text = " ".join(row.strip() for _, row in rows)
            passages.append(Passage(" > ".join(headings), text, rows[0][0]))
            rows.clear()

    for number, row in enumerate(markdown.splitlines(), 1):
        if found := _HEADING.match(row):
            close()
            del headings[len(found[1]) - 1 :]
            headings.append(found[2])
        elif row.strip():
            rows.append((number, row))
        else:
            close()
    close()
    return tuple(passages)


class Passages:
    """The passages of one mission, in order."""

    def __init__(self, passages: Sequence[Passage], encoder: Encoder, store: Path | str = "") -> None:
        """store: where Chroma keeps the vectors, a folder or http://host:port; "" keeps them in this process."""
        self.passages = tuple(passages)
        self._index = Index(encoder, store, name="policy-passages")
        self._index.fill(_entries(self.passages))

    @classmethod
    def read(cls, path: Path | str, encoder: Encoder, store: Path | str = "") -> "Passages":
        """Raises BadInput where the file is missing or says nothing."""
        path = Path(path)
        try:
            found = passages_of(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"{path}: cannot be read ({error.strerror}); the policy in words is a Markdown file") from error
        if not found:
            raise BadInput(f"{path}: no paragraph in it; write down in words when the agent may act")
        return cls(found, encoder, store)

    @property
    def id(self) -> str:
        """Hash over the passages in order, 16 hexadecimal digits."""
        said = json.dumps([asdict(passage) for passage in self.passages], ensure_ascii=False)
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def search(self, question: str, k: int = 3, ways: Sequence[Method] = BY_MEANING) -> tuple[tuple[Passage, float], ...]:
        """(passage, cosine) of the k passages that answer best, best first."""
        everything = np.ones(len(self.passages), dtype=np.bool_)
        vector = self._index.encoder.encode([question])[0]
        hits = self._index.rank(vector, question, k, everything, ways)
        return tuple((self.passages[hit.row], hit.similarity) for hit in hits)


def _entries(passages: Sequence[Passage]) -> list[IndexedText]:
    entries: list[IndexedText] = []
    chain = ""
    for passage in passages:
        said = f"{passage.heading}: {passage.text}"
        chain = hashlib.sha256(f"{chain} {passage.line} {said}".encode()).hexdigest()
        entries.append(IndexedText(said, said, chain, {"heading": passage.heading}))
    return entries
