"""The passages of `policy.md` that answer a question. Entry point: `Passages.read`.

A passage is a paragraph under its headings. It is found by meaning and is for people to read only.
Not covered: whether an action may happen. The policy itself (`policy`) decides that, never a passage.
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

BY_MEANING: tuple[Method, ...] = ("vectors",)  # in a short text every paragraph shares common words with a question
_HEADING = re.compile(r"^(#+)\s+(.*?)\s*#*$")


@dataclass(frozen=True, slots=True)
class Passage:
    heading: str  # "Paying > Amount"
    text: str
    line: int  # of its first line in the file, from 1


def passages_of(markdown: str) -> tuple[Passage, ...]:
    """The paragraphs of a Markdown text; a list is one paragraph.

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
        if heading := _HEADING.match(row):
            close()
            del headings[len(heading[1]) - 1 :]
            headings.append(heading[2])
        elif row.strip():
            rows.append((number, row))
        else:
            close()
    close()
    return tuple(passages)


class Passages:
    """The passages of one mission, in order."""

    def __init__(self, passages: Sequence[Passage], encoder: Encoder, store: Path | str = "") -> None:
        """store: where Chroma keeps the vectors, a folder or http://host:port; "" keeps them only in this process."""
        self.passages = tuple(passages)
        self._index = Index(encoder, store, name="policy-passages")
        self._index.fill(_entries(self.passages))

    @classmethod
    def read(cls, path: Path | str, encoder: Encoder, store: Path | str = "") -> "Passages":
        """Raises BadInput if the file cannot be read or has no paragraph."""
        path = Path(path)
        try:
            passages = passages_of(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"{path}: cannot be read ({error.strerror}); expected the policy as a Markdown text") from error
        if not passages:
            raise BadInput(f"{path}: no paragraph in it; describe there when the agent may act")
        return cls(passages, encoder, store)

    @property
    def id(self) -> str:
        """Hash over the passages in order, 16 hexadecimal digits."""
        content = json.dumps([asdict(passage) for passage in self.passages], ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def search(self, question: str, k: int = 3, ways: Sequence[Method] = BY_MEANING) -> tuple[tuple[Passage, float], ...]:
        """(passage, cosine) of the k passages that answer best, best first."""
        vector = self._index.encoder.encode([question])[0]
        hits = self._index.rank(vector, question, k, np.ones(len(self.passages), dtype=np.bool_), ways)
        return tuple((self.passages[hit.row], hit.similarity) for hit in hits)


def _entries(passages: Sequence[Passage]) -> list[IndexedText]:
    entries: list[IndexedText] = []
    chain = ""
    for passage in passages:
        text = f"{passage.heading}: {passage.text}"
        chain = hashlib.sha256(f"{chain} {passage.line} {text}".encode()).hexdigest()
        entries.append(IndexedText(text, text, chain, {"heading": passage.heading}))
    return entries
