"""A device and models that weigh what a test says, and memory that runs out where a test says."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vectorplug.errors import ModelError
from vectorplug.models.encoder import Facts
from vectorplug.models.piece import Piece
from vectorplug.models.tokenizing import TokenizedText
from vectorplug.residency.memory import Reading


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeMemory:
    """A device that counts what its models allocate, and refuses what a test says, as torch does."""

    pins_host = False

    def __init__(self, size: int) -> None:
        self.size = size
        self.others = 0
        self.cached = 0
        self.released = 0
        self.high_water = 0
        # What is refused: a test's own function of (bytes asked, bytes held).
        self.refuses: Callable[[int, int], bool] = lambda _asked, _held: False
        self._lock = threading.Lock()
        self._held = 0
        self._own = threading.local()

    @property
    def held(self) -> int:
        return self._held

    def allocate(self, size: int) -> None:
        with self._lock:
            if self._held + size + self.others > self.size or self.refuses(size, self._held):
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.")
            self._held += size
            self.high_water = max(self.high_water, self._held)
            self._own.peak = max(getattr(self._own, "peak", 0), size)

    def free(self, size: int) -> None:
        with self._lock:
            self._held -= size
            assert self._held >= 0

    def read(self) -> Reading:
        held = self._held
        return Reading(self.size, held, self.cached, self.others, self.size - held - self.cached - self.others)

    def release_cached(self) -> None:
        self.released += 1
        self.cached = 0

    def peak_of(self, run: Callable[[], Any]) -> tuple[Any, int]:
        self._own.peak = 0
        return run(), self._own.peak


class FakeModel:
    """`weight_bytes` on the device, `per_token` bytes more while a forward pass runs; its vectors tell its seed."""

    batch_tokens = 100

    def __init__(self, name: str, memory: FakeMemory, weights: int, *, per_token: int = 0, version: int = 0) -> None:
        self.facts = Facts(
            name, f"{name}@{version}", 2, 2, torch.device("cpu"), torch.float32, is_packed=True, is_multi_vector=True
        )
        self.name, self.fingerprint = name, self.facts.fingerprint
        self.per_token = per_token
        self.host_bytes = 0
        self.compacted = 0
        self.batches: list[int] = []
        self.during: Callable[[], None] = lambda: None
        self._memory = memory
        self._weights = weights
        self._on_device, self._is_between = True, False
        self._forward: Callable[[Sequence[TokenizedText]], Piece] | None = None
        memory.allocate(weights)

    @property
    def weight_bytes(self) -> int:
        return self._weights if self._on_device else 0

    def tokenize(self, texts: Sequence[str], role: Any) -> list[TokenizedText]:
        return [words(text, role) for text in texts]

    def forward(self, texts: Sequence[TokenizedText]) -> Piece:
        return (self._forward or self.forward_once)(texts)

    def forward_by(self, forward: Callable[[Sequence[TokenizedText]], Piece]) -> None:
        self._forward = forward

    def forward_once(self, texts: Sequence[TokenizedText]) -> Piece:
        if self._is_between:
            self.restore()
        if not self._on_device:
            raise ModelError(f"{self.name} is not in memory")
        lengths = np.array([len(text) for text in texts])
        taken = int(lengths.sum()) * self.per_token
        self._memory.allocate(taken)
        try:
            self.batches.append(int(lengths.sum()))
            self.during()
        finally:
            self._memory.free(taken)
        ids = np.concatenate([text.ids.numpy() for text in texts]).astype(np.float32)
        rows = np.stack([ids, np.full_like(ids, len(self.name))], axis=1)
        return Piece(rows, lengths, np.array([[text.ids.sum(), len(text)] for text in texts], np.float32))

    def offload(self, *, pinned: bool = False) -> None:
        assert not pinned
        if self._on_device:
            self._on_device, self.host_bytes = False, self._weights
            self._memory.free(self._weights)

    def restore(self) -> None:
        if self.host_bytes:
            self._memory.allocate(self._weights)
            self._on_device, self.host_bytes, self._is_between = True, 0, False

    def compact(self, release_cached: Callable[[], None]) -> None:
        self.compacted += 1
        self.offload()
        self._is_between = True
        release_cached()
        self.restore()

    def unload(self) -> None:
        if self._on_device:
            self._memory.free(self._weights)
        self._on_device, self.host_bytes, self._forward = False, 0, None


def words(text: str, role: Any = "document") -> TokenizedText:
    """One token a word."""
    ids = torch.tensor([len(word) for word in text.split()] or [0])
    return TokenizedText(text, role, ids, None, attended=len(ids), truncated=0, prompt_length=None)


class FakeLoader:
    """Models by name: what each weighs, and what happens when it loads."""

    device = torch.device("cpu")

    def __init__(self, memory: FakeMemory, weights: dict[str, int], **options: Any) -> None:
        self.memory = memory
        self.weights = weights
        self.options = options
        self.unknown: set[str] = set()
        self.hooks: dict[str, Callable[[], None]] = {}
        self.loaded: list[str] = []
        self.models: dict[str, FakeModel] = {}

    def canonical(self, name: str) -> str:
        return Path(name).name

    def load_bytes(self, name: str) -> int | None:
        return None if name in self.unknown else self.weights[name]

    def load(self, name: str) -> Any:
        self.loaded.append(name)
        self.hooks.get(name, lambda: None)()
        self.models[name] = FakeModel(name, self.memory, self.weights[name], **self.options)
        return self.models[name]
