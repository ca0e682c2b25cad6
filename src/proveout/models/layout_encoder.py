"""The layout encoder: a small transformer that scores the candidates of a document, as a second opinion to the ranker.

A page is a sequence of text segments. Each brings the meaning of its text (MiniLM), its place, its shape and how close it comes
to the label phrases of each field; attention knows how far apart two segments are, across and down. A candidate is scored
from its segment, from the ranker's columns that need no training documents, and from the description of its field.
Entry points: `LayoutEncoder.train`, `probabilities`. The tier trusts a value less where these choose another than the ranker
(`extractor.LayoutEncoderTier`).
Covered: the same documents, labels, prompts and settings give the same weights on the same processor, also when training was
killed and goes on from its checkpoint; training on a GPU, in bf16, where torch finds one.
Not covered: the same weights from a GPU twice.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from proveout import progress
from proveout.files import replacing
from proveout.models import ranker
from proveout.models.features import DocumentFeatures
from proveout.models.ranker import Bools, Floats, Groups
from proveout.records import Kind

if TYPE_CHECKING:
    from torch import Tensor

    from proveout.models.layout_network import LayoutNetwork, PageInputs
    from proveout.retrieval.encoder import Encoder

WEIGHTS, ABOUT = "layout_encoder.safetensors", "layout_encoder.json"
TOKENS = 32  # word pieces of a segment that count
MOST_TEXTS = 200_000  # whose vectors are kept, 1.5 kB each


@dataclass(frozen=True)
class LayoutSettings:
    """Chosen on layouts held out of train and calibration."""

    width: int = 128
    heads: int = 4
    layers: int = 2
    epochs: int = 12
    documents_a_step: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.1
    hidden_texts: float = 0.3  # share of segments whose meaning is hidden in training
    hidden_values: float = 0.6  # the same for the right values, so that no name is learned by heart
    seed: int = 7


@dataclass(frozen=True)
class Field:
    """What the encoder needs to know of a field."""

    kind: Kind
    groups: Groups  # of its label phrases
    description: str
    labels: tuple[str, ...]
    not_labels: tuple[str, ...]


class LayoutEncoder:
    """A trained layout encoder. Made by `train` or `from_files`; never changed afterwards."""

    def __init__(self, fields: Mapping[str, Field], settings: LayoutSettings, network: "LayoutNetwork") -> None:
        self.fields, self.settings, self._network = dict(fields), settings, network

    @classmethod
    def train(
        cls,
        documents: Sequence[DocumentFeatures],
        right: Sequence[Mapping[str, Bools]],
        fields: Mapping[str, Field],
        settings: LayoutSettings | None = None,
        watch: Callable[[int, float], None] = lambda epoch, loss: None,
        checkpoints: Path | None = None,
    ) -> "LayoutEncoder":
        """Learn which candidates are right. `right`: per document, field to (candidates,); a field without a label is missing.

        `watch` is called after each epoch with its mean loss. `checkpoints`: a folder for the state after each epoch. Training
        that was killed goes on from there; one with other documents, labels or settings does not, and a finished one leaves
        nothing.
        """
        import torch

        settings = settings or LayoutSettings()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        inputs = [_inputs(document, fields).to(device) for document in documents]
        targets = [{name: torch.tensor(answer, device=device) for name, answer in row.items()} for row in right]
        with _reproducible(settings.seed):
            network = _network(fields, inputs[0], settings).to(device)
            _standardise(network, inputs, fields)
            optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
            steps = settings.epochs * -(-len(inputs) // settings.documents_a_step)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps, pct_start=0.15)
            checkpoint = _Checkpoint(checkpoints and checkpoints / f"{_id_of(inputs, targets, fields, settings)}.pt", device)
            done = checkpoint.load(network, optimizer, schedule)
            with progress.bar("layout encoder, epochs", settings.epochs) as advance:
                for _ in range(done):
                    advance()
                for epoch in range(done, settings.epochs):
                    total = 0.0
                    for part in torch.randperm(len(inputs)).split(settings.documents_a_step):
                        batch = part.tolist()
                        optimizer.zero_grad()
                        for at in batch:
                            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                                loss = _loss(network, _disturbed(inputs[at], targets[at], settings), targets[at])
                            (loss / len(batch)).backward()
                            total += float(loss.detach())
                        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                        optimizer.step()
                        schedule.step()
                    checkpoint.save(epoch + 1, network, optimizer, schedule)
                    advance()
                    watch(epoch, total / len(inputs))
            checkpoint.remove()
        return cls(fields, settings, network.cpu().eval())

    def probabilities(self, document: DocumentFeatures) -> dict[str, Floats]:
        """For each field, the probability of each candidate; what is missing to 1 is that of none of them."""
        import torch

        inputs = _inputs(document, self.fields)
        with torch.inference_mode(), _one_thread():
            scores = self._network(inputs)
        return {
            name: torch.softmax(of_field, 0)[:-1].numpy().astype(np.float64)
            for name, of_field in zip(self.fields, scores, strict=True)
        }

    def files(self) -> dict[str, bytes]:
        """The files from which `from_files` makes the same encoder."""
        from safetensors.torch import save

        about = {
            "settings": asdict(self.settings),
            "fields": {name: asdict(field) for name, field in self.fields.items()},
        }
        return {ABOUT: json.dumps(about, ensure_ascii=False).encode(), WEIGHTS: save(self._network.state_dict())}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "LayoutEncoder":
        """Raises KeyError, TypeError or ValueError if the files are not those of a layout encoder."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        from proveout.models.layout_network import PLACED

        about = json.loads(files[ABOUT])
        settings = LayoutSettings(**about["settings"])
        fields = {name: _field(**plain) for name, plain in about["fields"].items()}
        try:
            weights = load(files[WEIGHTS])
            network = _network_of(fields, weights["means"].shape[1], weights["shape.weight"].shape[1] - PLACED, settings)
            network.load_state_dict(weights)
        except (SafetensorError, RuntimeError) as error:
            raise ValueError(f"{WEIGHTS}: {error}") from error
        return cls(fields, settings, network.eval())


@dataclass(frozen=True)
class _Checkpoint:
    """What a training needs to go on: parameters, optimizer, learning rate, random numbers. Without a path, nothing is kept."""

    path: Path | None
    device: str

    def save(self, epochs: int, *parts: Any) -> None:
        """`epochs` of the training are done."""
        import torch

        if self.path is None:
            return
        numbers = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if self.device == "cuda" else ())]
        with replacing(self.path) as part:
            torch.save({"epochs": epochs, "parts": [one.state_dict() for one in parts], "random": numbers}, part)

    def load(self, *parts: Any) -> int:
        """Set the parts as they were, and say after how many epochs. A missing or damaged file changes nothing: 0."""
        import torch

        if self.path is None or not self.path.exists():
            return 0
        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)  # nothing in the file is executed
        except Exception:  # of a damaged file, torch raises whatever its reader stumbles over
            return 0
        for one, state in zip(parts, kept["parts"], strict=True):
            one.load_state_dict(state)
        own, *of_gpus = kept["random"]
        torch.set_rng_state(own)
        if of_gpus:
            torch.cuda.set_rng_state_all(of_gpus)
        return int(kept["epochs"])

    def remove(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _id_of(
    inputs: "Sequence[PageInputs]",
    targets: "Sequence[Mapping[str, Tensor]]",
    fields: Mapping[str, Field],
    settings: LayoutSettings,
) -> str:
    """Hash of everything that a training depends on, 32 hexadecimal digits."""
    import torch

    about = [
        str(torch.__version__),
        str(inputs[0].vectors.device),
        asdict(settings),
        {name: asdict(f) for name, f in fields.items()},
    ]
    digest = hashlib.sha256(json.dumps(about).encode())
    for page, row in zip(inputs, targets, strict=True):
        candidates = [tensor for parts in page.candidates.values() for tensor in parts]
        tensors = [page.vectors, page.boxes, page.shapes, page.phrases, page.places, *page.pages, *candidates, *row.values()]
        digest.update(json.dumps([list(row), [list(tensor.shape) for tensor in tensors]]).encode())
        for tensor in tensors:
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _field(kind: Kind, groups: Mapping[str, Any], description: str, labels: Sequence[str], not_labels: Sequence[str]) -> Field:
    of_labels = Groups(groups["labels"], groups["not_labels"], tuple(groups["others"]))
    return Field(kind, of_labels, description, tuple(labels), tuple(not_labels))


def _network(fields: Mapping[str, Field], inputs: "PageInputs", settings: LayoutSettings) -> "LayoutNetwork":
    import torch

    widest = max(columns.shape[1] for _, _, columns in inputs.candidates.values())
    network = _network_of(fields, widest, inputs.shapes.shape[1], settings)
    network.descriptions.copy_(torch.from_numpy(_vectors([field.description for field in fields.values()])))
    return network


def _network_of(fields: Mapping[str, Field], columns: int, shapes: int, settings: LayoutSettings) -> "LayoutNetwork":
    from proveout.models.layout_network import LayoutNetwork
    from proveout.retrieval.encoder import WIDTH

    s = settings
    return LayoutNetwork(len(fields), columns, shapes, WIDTH, s.width, s.heads, s.layers, s.dropout)


def _standardise(network: "LayoutNetwork", inputs: "Sequence[PageInputs]", fields: Mapping[str, Field]) -> None:
    import torch

    for at, name in enumerate(fields):
        columns = torch.cat([document.candidates[name][2] for document in inputs])
        if len(columns) > 1:
            network.means[at], network.deviations[at] = columns.mean(0), columns.std(0) + 0.05


def _loss(network: "LayoutNetwork", document: "PageInputs", right: "Mapping[str, Tensor]") -> "Tensor":
    """Negative log probability of all right candidates together; of "none" where no candidate is right. Mean over fields."""
    import torch

    losses = [network.none.sum() * 0]  # of a document without labels
    for name, scores in zip(document.candidates, network(document), strict=True):
        if name in right:
            wanted = torch.cat([right[name], ~right[name].any()[None]])
            losses.append(torch.logsumexp(scores, 0) - torch.logsumexp(scores[wanted], 0))
    return torch.stack(losses).sum() / max(len(losses) - 1, 1)


def _disturbed(document: "PageInputs", right: "Mapping[str, Tensor]", settings: LayoutSettings) -> "PageInputs":
    """The same document, moved and stretched, with some texts and similarities hidden."""
    import torch

    n, device = len(document.vectors), document.vectors.device

    def rand(*size: int) -> "Tensor":
        return torch.rand(*size, device=device)

    stretch, shift = 1 + 0.15 * (rand(2) - 0.5) * 2, 0.08 * (rand(2) - 0.5) * 2
    hidden = rand(n) < settings.hidden_texts
    for name, answer in right.items():
        rows = document.candidates[name][0][answer]
        hidden[rows] |= rand(len(rows)) < settings.hidden_values
    vectors = document.vectors * ~hidden[:, None] + 0.03 * torch.randn_like(document.vectors)
    phrases = document.phrases * (rand(n, 1) > 0.1) + 0.05 * torch.randn_like(document.phrases)
    boxes, places = document.boxes * stretch.repeat(2) + shift.repeat(2), document.places * stretch
    return replace(document, vectors=vectors, phrases=phrases, boxes=boxes, places=places)


def _inputs(document: DocumentFeatures, fields: Mapping[str, Field]) -> "PageInputs":
    import torch

    from proveout.models.layout_network import PageInputs

    def tensor(values: npt.NDArray[Any]) -> "Tensor":
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))

    segments = document.segments
    vectors = _vectors(segments.texts)
    heights = segments.boxes[:, 3] - segments.boxes[:, 1]
    usual = max(float(np.median(heights)), 0.1) if len(heights) else 1.0
    places = np.stack([segments.boxes[:, 0], (segments.boxes[:, 1] + segments.boxes[:, 3]) / 2], 1) / usual
    return PageInputs(
        vectors=tensor(vectors),
        boxes=tensor(segments.boxes / np.concatenate([segments.sizes, segments.sizes], 1)),
        shapes=tensor(_shapes(document, heights / usual)),
        phrases=tensor(_closeness(vectors, fields)),
        places=tensor(places),
        pages=[torch.from_numpy(np.flatnonzero(segments.page == page)) for page in np.unique(segments.page)],
        candidates={name: _candidates(document, field, fields) for name, field in fields.items()},
    )


def _candidates(document: DocumentFeatures, field: Field, fields: Mapping[str, Field]) -> "tuple[Tensor, Tensor, Tensor]":
    import torch

    features = document.kinds[field.kind]
    texts = document.segments.texts
    rows = np.array([c.segment for c in features.candidates], dtype=np.int64)
    ends = np.array([(c.start == 0, c.end == len(texts[c.segment])) for c in features.candidates], dtype=np.float32)
    widest = max(ranker.prior_width(document.kinds[other.kind]) for other in fields.values())
    columns = np.zeros((len(rows), widest), dtype=np.float32)
    prior = np.nan_to_num(ranker.prior_columns(features, field.groups))
    columns[:, : prior.shape[1]] = prior
    return torch.from_numpy(rows), torch.from_numpy(ends.reshape(-1, 2)), torch.from_numpy(columns)


def _closeness(vectors: npt.NDArray[np.float32], fields: Mapping[str, Field]) -> npt.NDArray[np.float32]:
    """Cosine of each text with the closest phrase of each field's labels and not_labels, (texts, 2 x fields)."""
    groups = [phrases for field in fields.values() for phrases in (field.labels, field.not_labels)]
    closest = [(vectors @ _vectors(phrases).T).max(axis=1) if phrases else np.zeros(len(vectors)) for phrases in groups]
    return np.stack(closest, axis=1).astype(np.float32)


def _shapes(document: DocumentFeatures, heights: Floats) -> Floats:
    segments = document.segments
    texts = segments.texts

    def count(is_one: Callable[[str], bool]) -> Floats:
        return np.array([sum(map(is_one, text)) for text in texts], dtype=np.float64)

    length, letters = np.maximum(count(lambda _: True), 1), count(str.isalpha)
    marks = [np.array([mark in text for text in texts]) for mark in ("$", ".", "/")]
    columns = [
        np.log1p(length) / 3,
        count(str.isdigit) / length,
        letters / length,
        count(str.isupper) / np.maximum(letters, 1),
        np.array([text.endswith((":", "#")) for text in texts]),
        *marks,
        segments.wordy,
        segments.page == 0,
        np.minimum(segments.page, 5) / 5,
        heights - 1,
    ]
    for kind in sorted(document.kinds):  # whether a value of this kind stands in the segment
        holds = np.zeros(len(texts))
        holds[[candidate.segment for candidate in document.kinds[kind].candidates]] = 1
        columns.append(holds)
    return np.stack(columns, axis=1).astype(np.float64)


def _vectors(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """(texts, 384). Digits count as zeros: a number's shape has a meaning, the number itself has none."""
    from proveout.retrieval.encoder import WIDTH

    plain = ["".join("0" if char.isdigit() else char for char in text)[:120] for text in texts]
    cache = _cache()
    if new := [text for text in dict.fromkeys(plain) if text not in cache]:
        if len(cache) + len(new) > MOST_TEXTS:
            cache.clear()
            new = list(dict.fromkeys(plain))
        cache.update(zip(new, _text_encoder().encode(new), strict=True))
    return np.array([cache[text] for text in plain], dtype=np.float32).reshape(len(plain), WIDTH)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums on several threads depend on their number, to the last bit."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Random numbers that depend on the seed alone and leave those of the caller as they are."""
    import torch

    with torch.random.fork_rng(), _one_thread():
        torch.manual_seed(seed)
        yield


@lru_cache(1)
def _cache() -> dict[str, npt.NDArray[np.float32]]:
    return {}


@lru_cache(1)
def _text_encoder() -> "Encoder":
    from proveout.retrieval.encoder import Encoder

    return Encoder.load(tokens=TOKENS)
