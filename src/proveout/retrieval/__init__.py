"""What is like this case, and what the policy says of it.

`Memory` holds past cases (append-only, with a position), `Passages` the mission's policy; `retrievers` shows both as
LangChain's `BaseRetriever`. Texts become vectors by `Encoder`, live in Chroma, and are ranked by meaning and by words.
"""

from proveout.retrieval.encoder import Encoder
from proveout.retrieval.memory import Memory, MemoryRecord, without_numbers
from proveout.retrieval.passages import Passage, Passages

__all__ = ["Encoder", "Memory", "MemoryRecord", "Passage", "Passages", "without_numbers"]
