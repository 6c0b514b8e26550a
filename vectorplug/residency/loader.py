"""Where a cache gets its models from."""

import threading
from typing import Protocol

import torch

from vectorplug.models.catalog import resolve
from vectorplug.models.encoder import Encoder, choose_device, choose_dtype
from vectorplug.residency.costs import load_bytes

__all__ = ["EncoderLoader", "Loader"]

# transformers changes torch's defaults while it builds a network: two at once would build each other's.
_building = threading.Lock()


class Loader(Protocol):
    """The three things that a cache asks before it holds a model. Called from any thread, without the cache's lock."""

    @property
    def device(self) -> torch.device:
        """Where the models run."""

    def canonical(self, name: str) -> str:
        """One name for all that mean the same model; ModelNotFoundError."""

    def load_bytes(self, name: str) -> int | None:
        """The most bytes that `load` will hold on the device; None where that is not known before."""

    def load(self, name: str) -> Encoder:
        """The model, on the device; ModelNotFoundError, ModelLoadError or OutOfMemoryError."""


class EncoderLoader:
    """Encoders of one device and dtype, by any model name; see `Encoder`. ConfigurationError for an unknown device."""

    def __init__(self, *, device: str = "auto", dtype: str = "auto") -> None:
        self.device = choose_device(device)
        self._dtype = choose_dtype(dtype, self.device)

    def canonical(self, name: str) -> str:
        """The name that `resolve` gives: a short name, its hub id and a folder's spellings are one model."""
        return resolve(name).name

    def load_bytes(self, name: str) -> int | None:
        """From the headers of its safetensors files."""
        return load_bytes(resolve(name), self._dtype)

    def load(self, name: str) -> Encoder:
        """One at a time in the process."""
        with _building:
            return Encoder(name, device=str(self.device), dtype=str(self._dtype).removeprefix("torch."))
