"""Fine-tune a local language model on labelled documents, with LoRA (arXiv:2106.09685), and merge the result.

Entry points: `examples_of`, `tune`, `merge`. The model learns to write the answer that the tier asks for, given the prompt that
the tier sends; only the answer counts in the loss. `tune` writes a folder with the adapter, a few MB. `merge` adds it to the
base model's weights and writes a folder that `local:` in model.yaml takes. Both hold `fine_tuning.json`: what was learned from
what.
Covered: the same documents, labels, prompts, settings and number of threads give the same adapter on one CPU; a GPU where torch
finds one; bf16 where the processor computes in it; a GPU without enough memory gets fewer examples at once.
Not covered: whether it helps, which `calibrate` tells, on documents that were not learned from; examples from past cases.
"""

import json
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from proveout import progress
from proveout.errors import BadModel, NoDocuments
from proveout.mission import Mission
from proveout.models.language_model import messages_about, printed_values
from proveout.models.local_chat import ABOUT, INSTALL, LocalChatModel, learned_from, located, weights_of
from proveout.prompts import Prompts
from proveout.records import Document
from proveout.values import conventions, has_value, same, value_of

IGNORED = -100  # the target of a token that does not count in the loss


@dataclass(frozen=True)
class TuningSettings:
    """Defaults as usual for models of this size; nothing was tuned on tests."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    epochs: int = 3  # at most; an epoch after which the loss on held-back examples rises is the last
    learning_rate: float = 3e-4
    examples_a_step: int = 8
    at_once: int = 4  # examples on a GPU; on a CPU one
    held_back: float = 0.1  # share of the examples
    tokens: int = 4_096  # of prompt and answer; a longer example is left out
    seed: int = 7


@dataclass(frozen=True)
class TuningExample:
    """What the model reads, (role, content) pairs, and what it should answer."""

    document: str  # its id
    messages: Sequence[tuple[str, str]]
    answer: str  # JSON
    counts_from: int = 0  # characters of the answer before these teach nothing


@dataclass(frozen=True)
class Tuned:
    """The outcome of a training. Losses: per token of the answers, in nats, by epoch."""

    examples: int
    left_out: int  # longer than `TuningSettings.tokens`
    losses: Sequence[float]
    held_back_losses: Sequence[float]


def examples_of(
    documents: Sequence[Document],
    labels: Mapping[str, Mapping[str, str]],
    classes: Mapping[str, str],
    mission: Mission,
    prompts: Prompts,
) -> list[TuningExample]:
    """An example for each document with labels. `classes` may know none of it: then its class is not learned.

    A value is written as it is printed. A field whose value the model does not see is null: nothing is there to be read.
    """
    examples = []
    for document in documents:
        if not labels.get(document.id):
            continue
        messages = messages_about(document, prompts, mission)
        visible, read = messages[-1][1], conventions(document, mission.dates)
        printed, values = printed_values(document, mission, prompts), {}
        for name, kind in mission.kinds.items():
            label = labels[document.id].get(name, "")
            right = (text for text in printed.get(name, ()) if text in visible and same(kind, label, text, read))
            of_flag = kind == "flag" and has_value(kind, label)
            values[name] = value_of(kind, label) if of_flag else next(right, None)
        document_class = classes.get(document.id, "")
        answer = {"document_class": document_class or mission.classes[0], "fields": values}
        text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
        examples.append(TuningExample(document.id, messages, text, 0 if document_class else text.index('"fields"')))
    return examples


def tune(
    base: Path | str,
    examples: Sequence[TuningExample],
    folder: Path,
    settings: TuningSettings | None = None,
    copies: Sequence[str] = (),
) -> Tuned:
    """Train an adapter for the model `base` (as in model.yaml's `local`) and write it to a folder.

    `copies`: ids of near-duplicates of the examples, by which the model must not be judged either. Raises NoDocuments with
    fewer than two usable examples, BadModel for what is no model or learns nothing.
    """
    import torch

    settings = settings or TuningSettings()
    peft = _peft()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = LocalChatModel.load(base)
    encoded = [_encoded(model, example) for example in examples]
    usable = [one for one in encoded if len(one[0]) <= settings.tokens]
    if len(usable) < 2:
        raise NoDocuments(
            f"{len(usable)} of {len(examples)} examples have at most {settings.tokens:,} tokens; at least 2 are needed: "
            "more documents with labels, or fewer `characters` in model.yaml"
        )
    drawn = random.Random(settings.seed)
    drawn.shuffle(usable)
    held_back = usable[: max(1, round(settings.held_back * len(usable)))]
    learned = usable[len(held_back) :]
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        wanted = peft.LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        network = peft.get_peft_model(model.network, wanted).to(device)
        optimizer = torch.optim.AdamW((p for p in network.parameters() if p.requires_grad), settings.learning_rate)
        batches = _Batches(settings.at_once if device == "cuda" else 1)
        losses: list[float] = []
        held_back_losses: list[float] = []
        best: dict[str, Any] = {}
        with progress.bar("fine-tuning, examples", settings.epochs * len(learned)) as advance:
            for _ in range(settings.epochs):
                drawn.shuffle(learned)
                losses.append(_epoch(network, learned, optimizer, settings, batches, advance))
                held_back_losses.append(_mean_loss(network, held_back, batches))
                if not held_back_losses[-1] <= min(held_back_losses):  # not a number either
                    break
                best = {name: weight.detach().clone() for name, weight in peft.get_peft_model_state_dict(network).items()}
    if not best:
        raise BadModel(f"{base}: the loss is not a number after the first epoch; try a lower `learning_rate`")
    peft.set_peft_model_state_dict(network, best)
    network.save_pretrained(folder)
    tuned = Tuned(len(usable), len(examples) - len(usable), losses, held_back_losses)
    about = {"base": str(base), "base_sha256": model.weights, "settings": asdict(settings), **asdict(tuned)}
    about["learned_from"] = sorted({*learned_from(base), *copies, *(example.document for example in examples)})
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return tuned


def merge(adapter: Path, folder: Path) -> None:
    """Add an adapter to the weights of its base model and write the sum, with the tokenizer, to a folder.

    Raises BadModel if the folder holds no adapter, or the base model is another one by now.
    """
    import torch

    try:
        about = json.loads((adapter / ABOUT).read_text(encoding="utf-8"))
        base, sha256 = about["base"], about["base_sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise BadModel(f"{adapter}: not an adapter of a fine-tuning ({error}); expected a folder that `tune` wrote") from error
    model = LocalChatModel.load(base, sha256=sha256)
    try:
        network = _peft().PeftModel.from_pretrained(model.network, adapter)
    except Exception as error:  # of damaged weights, safetensors and peft raise errors of their own
        raise BadModel(f"{adapter}: its weights do not fit {base} ({str(error).splitlines()[0]}); train it again") from error
    network.merge_and_unload().to(torch.bfloat16).save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    origin = about | {"adapter_sha256": weights_of(adapter), "base_file": located(base).name}
    (folder / ABOUT).write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")


def merged(product: Mapping[str, Path], upstream: Mapping[str, Mapping[str, Path]]) -> None:
    """The second step of the pipeline `tune`."""
    product["model"].mkdir(parents=True, exist_ok=True)
    merge(upstream["fine_tune"]["adapter"], product["model"])


Encoded = tuple[list[int], list[int]]  # the tokens of an example, and the same as targets


def _encoded(model: LocalChatModel, example: TuningExample) -> Encoded:
    prompt, end = model.prompt_ids(example.messages), model.tokenizer.eos_token_id
    answer = model.tokenizer(example.answer, add_special_tokens=False, return_offsets_mapping=True)
    pairs = zip(answer.input_ids, answer.offset_mapping, strict=True)
    targets = [id if start >= example.counts_from else IGNORED for id, (start, _) in pairs]
    return [*prompt, *answer.input_ids, end], [IGNORED] * len(prompt) + [*targets, end]


class _Batches:
    """Batches of examples of similar length; smaller ones once a GPU's memory was not enough."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once

    def of(self, examples: Sequence[Encoded]) -> Iterator[tuple[Any, Any, Any]]:
        """Tokens, targets and which of them are no padding, each (examples, tokens)."""
        import torch

        by_length = sorted(examples, key=lambda one: len(one[0]))
        for at in range(0, len(by_length), self.at_once):
            batch = by_length[at : at + self.at_once]
            longest = max(len(ids) for ids, _ in batch)
            ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in batch])
            targets = torch.tensor([targets + [IGNORED] * (longest - len(targets)) for _, targets in batch])
            yield ids, targets, torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in batch])

    def halve(self, error: Exception) -> None:
        """Raises BadModel if an example at a time is too much already."""
        if self.at_once == 1:
            raise BadModel(
                "the GPU's memory is not enough for one example at a time; fewer `characters` in model.yaml"
            ) from error
        self.at_once //= 2
        warnings.warn(f"the GPU's memory was not enough; from now on {self.at_once} examples at once", stacklevel=2)


def _epoch(
    network: Any, examples: Sequence[Encoded], optimizer: Any, settings: TuningSettings, batches: _Batches, advance: Any
) -> float:
    """The mean loss of the epoch."""
    import torch

    network.train()
    total = 0.0
    for at in range(0, len(examples), settings.examples_a_step):
        step = examples[at : at + settings.examples_a_step]
        while True:
            optimizer.zero_grad()
            try:
                loss = 0.0
                for batch in batches.of(step):
                    part = _loss(network, *batch) * (len(batch[0]) / len(step))
                    part.backward()
                    loss += float(part.detach())
                break
            except torch.OutOfMemoryError as error:
                batches.halve(error)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        total += loss * len(step)
        for _ in step:
            advance()
    return total / len(examples)


def _mean_loss(network: Any, examples: Sequence[Encoded], batches: _Batches) -> float:
    import torch

    network.eval()
    with torch.inference_mode():
        return sum(float(_loss(network, *batch)) * len(batch[0]) for batch in batches.of(examples)) / len(examples)


def _loss(network: Any, ids: Any, targets: Any, is_text: Any) -> Any:
    """Mean negative log probability of the answers' tokens. Only for those are the chances of all tokens computed."""
    import torch

    device = next(network.parameters()).device
    answers = ids.shape[1] - int((targets != IGNORED).int().argmax(dim=1).min())  # columns of answers
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()):
        logits = network(ids.to(device), attention_mask=is_text.to(device), logits_to_keep=answers + 1).logits
    each = targets[:, -answers:].to(device)
    return torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), each.flatten(), ignore_index=IGNORED)


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise BadModel(f"fine-tuning needs peft: {INSTALL}") from error
    return peft
