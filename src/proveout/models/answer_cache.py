"""Answers of language models, kept in files: the same model, prompt and settings are asked once.

LangChain asks the cache before a call and tells it every answer; on a hit it sets the cost to 0.
Each is encrypted with a key made of what was asked, so only who can ask the same can read it.
Covered: processes that share a folder; a damaged entry is asked again.
Not covered: the size of the folder, which can be deleted at any time.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation

from proveout.documents.batch import CacheEntry, keep, load
from proveout.vault import cipher_of

_KEPT = ("content", "usage_metadata", "response_metadata")


class AnswerCache(BaseCache):
    """One file for each answer, under the hash of what was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        with suppress(ValueError, KeyError, TypeError):
            kept = json.loads(load(self._entry(prompt, llm_string)) or "")
            return [ChatGeneration(message=AIMessage(**{name: each[name] for name in _KEPT})) for each in kept]
        return None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        messages = [each.message for each in return_val if isinstance(each, ChatGeneration)]
        kept = json.dumps([{name: getattr(message, name) for name in _KEPT} for message in messages], default=str)
        keep(self._entry(prompt, llm_string), kept.encode())

    def clear(self, **kwargs: Any) -> None:
        for entry in self.folder.glob("*.sealed"):
            entry.unlink(missing_ok=True)

    def _entry(self, prompt: str, llm_string: str) -> CacheEntry:
        asked = json.dumps([prompt, llm_string]).encode()
        return CacheEntry(self.folder / f"{hashlib.sha256(asked).hexdigest()}.sealed", cipher_of(asked))
