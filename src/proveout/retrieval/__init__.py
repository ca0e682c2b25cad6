"""Search: cases similar to this one, and the policy's passages about a question.

`Memory` holds past cases (append-only, with a position), `Passages` the mission's policy; `retrievers` offers both as
LangChain's `BaseRetriever`. `Encoder` turns texts into vectors, Chroma stores them, and search ranks by meaning and by words.
"""

from proveout.retrieval.encoder import Encoder
from proveout.retrieval.memory import Memory, MemoryRecord, NoMemory, without_numbers
from proveout.retrieval.passages import Passage, Passages

__all__ = ["Encoder", "Memory", "MemoryRecord", "NoMemory", "Passage", "Passages", "without_numbers"]
