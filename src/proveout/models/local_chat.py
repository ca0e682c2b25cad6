"""A LangChain chat model for a transformers model in a folder. It downloads nothing and runs no code from the folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult

from proveout.errors import BadModel

_ROLES = {"human": "user", "ai": "assistant", "system": "system"}


class LocalChatModel(BaseChatModel):
    """Generates on the CPU; greedily at temperature 0."""

    network: Any
    tokenizer: Any
    max_tokens: int = 600
    temperature: float = 0.0

    @classmethod
    def load(cls, folder: Path | str, max_tokens: int = 600, temperature: float = 0.0) -> "LocalChatModel":
        """Raises BadModel unless the folder holds a model with safetensors weights and a tokenizer."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = Path(folder)
        if not (folder / "config.json").exists():
            raise BadModel(f"{folder}: no config.json; expected a folder written by transformers' `save_pretrained`")
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            network: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError) as error:
            raise BadModel(f"{folder}: not a causal language model with a tokenizer ({str(error).splitlines()[0]})") from error
        return cls(network=network.eval(), tokenizer=tokenizer, max_tokens=max_tokens, temperature=temperature)

    @property
    def _llm_type(self) -> str:
        return "proveout-local"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        import torch

        ids = self.tokenizer(self._prompt(messages), return_tensors="pt", add_special_tokens=False).input_ids
        room = getattr(self.network.config, "max_position_embeddings", ids.shape[1] + self.max_tokens)
        if ids.shape[1] >= room:
            raise BadModel(f"the prompt has {ids.shape[1]} tokens, this model reads {room}; shorten it or use a larger model")
        with torch.inference_mode():
            whole = self.network.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=min(self.max_tokens, room - ids.shape[1]),
                do_sample=self.temperature > 0,
                temperature=self.temperature or None,
                pad_token_id=self.tokenizer.pad_token_id or self.tokenizer.eos_token_id or 0,
            )
        new = whole[0, ids.shape[1] :]
        text = _until(self.tokenizer.decode(new, skip_special_tokens=True), stop or [])
        usage = UsageMetadata(input_tokens=ids.shape[1], output_tokens=len(new), total_tokens=whole.shape[1])
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text, usage_metadata=usage))])

    def _prompt(self, messages: Sequence[BaseMessage]) -> str:
        turns = [{"role": _ROLES.get(message.type, "user"), "content": message.text} for message in messages]
        if self.tokenizer.chat_template:
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns) + "\nassistant:"


def _until(text: str, stops: Sequence[str]) -> str:
    """The text up to the first stop sequence.

    >>> _until("one. two. three", [". t"])
    'one'
    """
    return text[: min([text.find(stop) for stop in stops if stop in text], default=len(text))]
