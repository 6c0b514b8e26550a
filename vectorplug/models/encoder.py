"""A loaded checkpoint that gives token vectors and a dense vector of each text from one forward pass."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
import torch

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import ConfigurationError
from vectorplug.models.catalog import resolve
from vectorplug.models.library import LibraryEncoder
from vectorplug.models.loading import Checkpoint, load, quiet
from vectorplug.models.packed import PackedEncoder
from vectorplug.models.piece import Piece
from vectorplug.models.tokenizing import Role
from vectorplug.multivectors import MultiVectors

__all__ = ["Encoder", "choose_device", "choose_dtype"]

# Small budgets beat big batches on a CPU: the activations of 4,096 tokens stay near the cores.
CPU_BATCH_TOKENS = 4_096
GPU_BATCH_TOKENS = 32_768


class Encoder:
    """`token_dim` and `dense_dim` numbers a vector; `fingerprint` pins model, revision and recipe in one line.

    `is_packed` says whether the fast path took the checkpoint over.
    """

    def __init__(self, name: str, *, device: str = "auto", dtype: str = "auto") -> None:
        source = resolve(name)
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        with quiet():
            checkpoint = load(source, self.device)
            packed = PackedEncoder.of(checkpoint, self.dtype)
        self._runner = packed or LibraryEncoder(checkpoint)
        self.is_packed = packed is not None
        self.is_multi_vector = checkpoint.is_multi_vector
        self.name = source.name
        self.fingerprint = _fingerprint(checkpoint)
        probe = next(iter(self._runner.pieces(["a"], "document", 1)))
        self.token_dim, self.dense_dim = probe.tokens.shape[1], probe.dense.shape[1]

    def encode(
        self,
        texts: Sequence[str],
        role: Role,
        outputs: Sequence[Output],
        *,
        batch_tokens: int | None,
        progress: Callable[[int], Any],
    ) -> Encoded:
        """n texts in their order; of `outputs`, "tokens" and "dense". `progress` hears how many texts are done."""
        budget = batch_tokens or (CPU_BATCH_TOKENS if self.device.type == "cpu" else GPU_BATCH_TOKENS)
        pieces = []
        for piece in self._runner.pieces(texts, role, budget):
            pieces.append(piece)
            progress(len(piece.positions))
        return self._in_order(pieces, outputs)

    def _in_order(self, pieces: list[Piece], outputs: Sequence[Output]) -> Encoded:
        if not pieces:
            return Encoded(
                tokens=MultiVectors.from_list([], dim=self.token_dim) if "tokens" in outputs else None,
                dense=np.empty((0, self.dense_dim), np.float32) if "dense" in outputs else None,
                truncated=np.zeros(0, np.int64),
            )
        order = np.argsort(np.concatenate([piece.positions for piece in pieces]))
        tokens = None
        if "tokens" in outputs:
            texts = [part for piece in pieces for part in np.split(piece.tokens, np.cumsum(piece.lengths)[:-1])]
            tokens = MultiVectors.from_list([texts[i] for i in order])
        return Encoded(
            tokens=tokens,
            dense=np.concatenate([piece.dense for piece in pieces])[order] if "dense" in outputs else None,
            truncated=np.concatenate([piece.truncated for piece in pieces])[order],
        )


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
    settings = json.dumps([recipe, model.prompts, checkpoint.dense_dim], sort_keys=True, default=str)
    digest = hashlib.blake2b(settings.encode(), digest_size=4).hexdigest()
    source = checkpoint.source
    shown = Path(source.name).name if source.folder and not source.name.startswith("package:") else source.name
    kind = "multi-vector" if checkpoint.is_multi_vector else "encoder"
    return f"{shown}@{checkpoint.revision}#{kind}-{digest}"
