"""A loaded checkpoint that gives token vectors and a dense vector of each text from one forward pass."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
import numpy.typing as npt
import torch

from vectorplug.compressor import Compressor
from vectorplug.encoded import Encoded, Output
from vectorplug.errors import ConfigurationError, ModelError
from vectorplug.models.catalog import resolve
from vectorplug.models.landing import Fold, Landing, device_fold, lands
from vectorplug.models.library import LibraryEncoder
from vectorplug.models.loading import Checkpoint, load, quiet
from vectorplug.models.packed import PackedEncoder
from vectorplug.models.piece import Piece
from vectorplug.models.received import attention_received
from vectorplug.models.spans import merges_tokens, no_spans, spans, tails
from vectorplug.models.tokenizing import Role, TokenizedText, limit, limited, tokenize
from vectorplug.models.weights import HostWeights, empty, weight_bytes

__all__ = ["Encoder", "Facts", "Forward", "choose_device", "choose_dtype"]

# Small budgets beat big batches on a CPU: the activations of 4,096 tokens stay near the cores.
CPU_BATCH_TOKENS = 4_096
GPU_BATCH_TOKENS = 32_768
# Texts that are tokenized together: enough to fill many batches of like length.
WINDOW_TEXTS = 512


Forward = Callable[[Sequence[TokenizedText]], Piece]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a checkpoint once it was loaded, and stays true when its weights have left memory."""

    name: str
    fingerprint: str
    token_dim: int
    dense_dim: int
    device: torch.device
    dtype: torch.dtype
    is_packed: bool
    is_multi_vector: bool
    document_limit: int = 0
    query_limit: int = 0
    """The most tokens of a text; 0 where the checkpoint does not say."""


class Encoder:
    """`token_dim` and `dense_dim` numbers a vector; `fingerprint` pins model, revision and recipe in one line.

    `is_packed` says whether the fast path took the checkpoint over. `weight_bytes` is what its weights hold.
    Its weights may leave the device and come back (`offload`, `restore`); between the two it tokenizes, and `forward`
    raises ModelError.
    """

    def __init__(self, name: str, *, device: str = "auto", dtype: str = "auto") -> None:
        source = resolve(name)
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        with quiet():
            checkpoint = load(source, self.device)
            packed = PackedEncoder.of(checkpoint, self.dtype)
        self._model = checkpoint.model
        self._runner: PackedEncoder | LibraryEncoder = packed or LibraryEncoder(checkpoint)
        # Fast tokenizers are not re-entrant ("Already borrowed").
        self._tokenizing = threading.Lock()
        # Weights move between forward passes only.
        self._weights = threading.RLock()
        self._host: HostWeights | None = None
        self._is_between = False
        self._is_gone = False
        self._forward: Forward | None = None
        self.is_packed = packed is not None
        self.is_multi_vector = checkpoint.is_multi_vector or checkpoint.token_head is not None
        self.name = source.name
        self.fingerprint = _fingerprint(checkpoint)
        probe = self.forward(self.tokenize(["a"], "document"))
        self.token_dim, self.dense_dim = probe.tokens.shape[1], probe.dense.shape[1]

    @property
    def weight_bytes(self) -> int:
        """Bytes of the parameters and buffers as they are held now."""
        return weight_bytes(self._model)

    @property
    def host_bytes(self) -> int:
        """Bytes of host memory that hold the weights while they are offloaded, else 0."""
        return self._host.nbytes if self._host is not None else 0

    @property
    def facts(self) -> Facts:
        """What stays true when the weights are gone."""
        return Facts(
            name=self.name,
            fingerprint=self.fingerprint,
            token_dim=self.token_dim,
            dense_dim=self.dense_dim,
            device=self.device,
            dtype=self.dtype if self.is_packed else torch.float32,
            is_packed=self.is_packed,
            is_multi_vector=self.is_multi_vector,
            document_limit=self.limit("document"),
            query_limit=self.limit("query"),
        )

    @property
    def batch_tokens(self) -> int:
        """Tokens of one forward pass where nobody says how many."""
        return CPU_BATCH_TOKENS if self.device.type == "cpu" else GPU_BATCH_TOKENS

    def tokenize(self, texts: Sequence[str], role: Role, length: int | None = None) -> list[TokenizedText]:
        """n texts as the model reads them, in order; `len` of each is its exact cost in tokens.

        No more than `length` tokens are read of each, where that is less than the checkpoint's own limit.
        """
        with self._tokenizing:
            return tokenize(self._model, texts, role, length)

    def limit(self, role: Role) -> int:
        """The most tokens that a text of that role may have; 0 where the checkpoint does not say."""
        return limit(self._model, role)

    def spans(self, texts: Sequence[str], role: Role, length: int | None = None) -> list[npt.NDArray[np.int32]]:
        """n times int32 [tokens, 2]: characters [start, end) of the text that each of its token vectors stands for.

        In the order of `forward(...).split()`. -1, -1: none (markers, prompt, expansion), or not known. `length` is
        that of `tokenize`.
        """
        if texts and merges_tokens(self._model, role):  # how many vectors it leaves, its own numbers decide
            return [no_spans(len(tokens)) for tokens in self.forward(self.tokenize(texts, role, length)).split()]
        with self._tokenizing:
            return spans(limited(self._model, role, length), texts, role)

    def tails(self, texts: Sequence[str], role: Role) -> list[str]:
        """n texts: of each the longest end that the model reads whole; the text itself where it fits."""
        with self._tokenizing:
            return tails(self._model, texts, role)

    def forward(self, texts: Sequence[TokenizedText]) -> Piece:
        """One forward pass over texts of one role and length, which may come from different calls of `tokenize`."""
        return (self._forward or self.forward_once)(texts)

    def forward_once(self, texts: Sequence[TokenizedText]) -> Piece:
        """`forward` as the model itself does it, whatever `forward_by` put in its place."""
        with self._in_memory():
            return self._runner.forward(texts)

    def attention(self, texts: Sequence[str], length: int | None = None) -> list[npt.NDArray[np.float32]] | None:
        """n times float32 [tokens]: the attention that each token of a document receives, as `attention_received`."""
        with self._in_memory(), self._tokenizing:
            return attention_received(limited(self._model, "document", length), texts)

    @contextmanager
    def _in_memory(self) -> Iterator[None]:
        with self._weights:
            if self._is_between:
                self.restore()
            if self._host is not None or self._is_gone:
                raise ModelError(f"{self.name} is not in memory; take it from its cache again, with lease().")
            yield

    def forward_by(self, forward: Forward) -> None:
        """From now on `forward` goes through this function, which may call `forward_once` as often as it likes."""
        self._forward = forward

    def offload(self, *, pinned: bool = False) -> None:
        """Move the weights to host memory (page-locked if `pinned`): their memory on the device is free afterwards."""
        with self._weights:
            if self._host is None and not self._is_gone:
                self._host = HostWeights(self._model, pinned=pinned)
            self._is_between = False

    def restore(self) -> None:
        """Copy offloaded weights back; what `forward` gives has the same bits as before. Errors leave all as it was."""
        with self._weights:
            if self._host is not None:
                self._host.put_back()
                self._host = None
            self._is_between = False

    def compact(self, release_cached: Callable[[], None]) -> None:
        """Out and back in one piece, between two forward passes: the memory between small tensors becomes usable.

        Where there is no memory for the way back, the error of `restore`; the next forward pass tries it again.
        """
        with self._weights:
            self.offload()
            self._is_between = True
            release_cached()
            self.restore()

    def unload(self) -> None:
        """Give up the weights for good, whoever still holds this object."""
        with self._weights:
            self._is_gone = True
            self._host = self._forward = None
            empty(self._model)

    def fold(self, compressor: Compressor | None, role: Role) -> Fold | None:
        """What folds tokens into FDEs on the device, for `encode`; None where the host does it."""
        return device_fold(compressor, role) if self.is_packed and lands(self.device) else None

    def encode(
        self,
        texts: Sequence[str],
        role: Role,
        outputs: Sequence[Output],
        *,
        batch_tokens: int | None,
        progress: Callable[[int], Any],
        length: int | None = None,
        fold: Fold | None = None,
    ) -> Encoded:
        """n texts in their order; of `outputs`, "tokens", "dense" and, with `fold`, "fde".

        `progress` hears how many texts are done. `length` is that of `tokenize`.
        """
        on_device = self.is_packed and lands(self.device)
        truncated, token_counts = np.zeros((2, len(texts)), np.int64)
        by_size = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        with Landing(len(texts), outputs, self.token_dim, self.dense_dim, fold) as landing:
            for window in batched(by_size, WINDOW_TEXTS):
                tokenized = dict(zip(window, self.tokenize([texts[i] for i in window], role, length), strict=True))
                if on_device:
                    tokenized = {i: landing.ticket(text, i) for i, text in tokenized.items()}
                for batch in token_batches(tokenized, batch_tokens or self.batch_tokens):
                    piece = self.forward([tokenized[i] for i in batch])
                    if not on_device:
                        landing.keep(batch, piece)
                    truncated[batch] = [tokenized[i].truncated for i in batch]
                    token_counts[batch] = [len(tokenized[i]) for i in batch]
                    progress(len(batch))
            encoded = landing.landed()
        return replace(encoded, truncated=truncated, token_counts=token_counts)


def token_batches(texts: Mapping[int, TokenizedText], budget: int) -> Iterator[list[int]]:
    """Keys of `texts` in batches of at most `budget` tokens, the longest first; one text at the least."""
    batch: list[int] = []
    held = 0
    for key in sorted(texts, key=lambda key: -len(texts[key])):
        if batch and held + len(texts[key]) > budget:
            yield batch
            batch, held = [], 0
        batch.append(key)
        held += len(texts[key])
    if batch:
        yield batch


def batched(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Runs of `size` items (itertools has this from Python 3.12 on)."""
    return (items[start : start + size] for start in range(0, len(items), size))


def choose_device(name: str) -> torch.device:
    """`auto`: CUDA, else Apple's MPS, else the CPU. ConfigurationError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigurationError(
            f"device {name!r} is not one that torch knows: auto, cpu, cuda, cuda:0, mps."
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(f"device {name!r} is asked for and torch sees no CUDA device; use device='auto'.")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto`: bfloat16 where the hardware multiplies it (CUDA, CPUs with AMX), else float32."""
    if name == "auto":
        if device.type == "cpu":
            fast = bool(llvmlite.binding.get_host_cpu_features().get("amx-bf16", False))
        else:
            fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise ConfigurationError(f"dtype {name!r} is not one of auto, {', '.join(known)}.")
    return known[name]


def _fingerprint(checkpoint: Checkpoint) -> str:
    """`name@revision#recipe`; a folder goes by its files' digest alone, so that it may be moved."""
    model = checkpoint.model
    modules: Any = list(model)
    recipe = [[type(m).__name__, m.get_config_dict() if hasattr(m, "get_config_dict") else {}] for m in modules]
    if checkpoint.token_head is not None:
        recipe.append(["TokenHead", list(checkpoint.token_head.weight.shape)])
    settings = json.dumps([recipe, model.prompts, checkpoint.dense_dim], sort_keys=True, default=str)
    digest = hashlib.blake2b(settings.encode(), digest_size=4).hexdigest()
    source = checkpoint.source
    in_folder = source.folder is not None and not source.name.startswith("package:")
    shown = Path(source.name).name if in_folder else source.hub_id or source.name
    kind = "multi-vector" if checkpoint.is_multi_vector or checkpoint.token_head is not None else "encoder"
    return f"{shown}@{checkpoint.revision}#{kind}-{digest}"
