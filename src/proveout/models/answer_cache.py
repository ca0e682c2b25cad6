"""Answers of language models, kept in files: the same model, prompt and settings are asked once.

LangChain asks the cache before a call and tells it every answer; on a hit it sets the cost to 0.
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

from proveout.files import replacing

_KEPT = ("content", "usage_metadata", "response_metadata")


class AnswerCache(BaseCache):
    """One file for each answer, under the hash of what was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._path(prompt, llm_string).read_text(encoding="utf-8"))
            return [ChatGeneration(message=AIMessage(**{name: each[name] for name in _KEPT})) for each in kept]
        return None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        messages = [each.message for each in return_val if isinstance(each, ChatGeneration)]
        kept = json.dumps([{name: getattr(message, name) for name in _KEPT} for message in messages], default=str)
        with replacing(self._path(prompt, llm_string), sync=False) as part:
            part.touch(0o600)  # an answer is as private as the document that it was read from
            part.write_text(kept, encoding="utf-8")

    def clear(self, **kwargs: Any) -> None:
        for entry in self.folder.glob("*.json"):
            entry.unlink(missing_ok=True)

    def _path(self, prompt: str, llm_string: str) -> Path:
        return self.folder / f"{hashlib.sha256(json.dumps([prompt, llm_string]).encode()).hexdigest()}.json"
