"""Search: cases similar to this one, and the policy's passages about a question.

`Memory` holds past cases (append-only, with a position), `Passages` the mission's policy; `retrievers` offers both as
LangChain's `BaseRetriever`. `Encoder` turns texts into vectors, Chroma stores them, and search ranks by meaning and by words.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.retrieval.encoder import Encoder
    from proveout.retrieval.memory import Memory, MemoryRecord, NoMemory, without_numbers
    from proveout.retrieval.passages import Passage, Passages

_MODULES = {  # each is imported by the first that uses it: a product search needs the encoder alone
    "encoder": ("Encoder",),
    "memory": ("Memory", "MemoryRecord", "NoMemory", "without_numbers"),
    "passages": ("Passage", "Passages"),
}
__all__ = ["Encoder", "Memory", "MemoryRecord", "NoMemory", "Passage", "Passages", "without_numbers"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
