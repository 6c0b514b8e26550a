"""What a model costs: its weights from the headers of its files before it is loaded, its activations as it runs."""

import json
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from vectorplug.models.catalog import Source
from vectorplug.models.piece import Piece
from vectorplug.models.tokenizing import TokenizedText
from vectorplug.residency.memory import DeviceMemory

__all__ = ["Activations", "load_bytes"]

LOADED_ITEM = torch.float32.itemsize


def load_bytes(source: Source, dtype: torch.dtype) -> int | None:
    """The most bytes that loading holds on the device: every weight in float32, as loading.py reads them.

    Where the transformer is turned into a smaller `dtype` afterwards, its largest tensor is there twice for a moment.
    Read from the headers of the safetensors files that would be loaded; nothing is loaded or fetched. None where they
    are not on this machine or are no safetensors: such a model's cost is known once it is loaded.
    """
    folder = source.folder or _cached_folder(source)
    files = _weight_files(folder) if folder is not None else []
    try:
        sizes = [math.prod(shape) for file in files for shape in _shapes(file)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # damaged: the load says how
    if not sizes:
        return None
    twice = max(sizes) * dtype.itemsize if dtype.itemsize < LOADED_ITEM else 0
    return sum(sizes) * LOADED_ITEM + twice


def _cached_folder(source: Source) -> Path | None:
    """Where the hub's cache holds the checkpoint."""
    if source.hub_id is None:
        return None
    try:
        return Path(snapshot_download(source.hub_id, revision=source.revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors that the modules of the checkpoint are read from; other copies in the folder are left out."""
    listing = folder / "modules.json"
    modules = json.loads(listing.read_text("utf-8")) if listing.is_file() else [{"path": ""}]
    found = []
    for module in modules:
        place = folder / module.get("path", "")
        index = place / "model.safetensors.index.json"
        single = place / "model.safetensors"
        if single.is_file():
            found.append(single)
        elif index.is_file():
            shards = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
            found += [place / shard for shard in sorted(shards)]
    return found


def _shapes(file: Path) -> list[list[int]]:
    """Shapes of the tensors in a safetensors file: its first 8 bytes are the length of a JSON header."""
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError(f"{file} is cut short")
        header = json.loads(opened.read(length))
    return [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]


class Activations:
    """Bytes of activations a token of one model, learnt from its own forward passes.

    A pass is measured where it has twice the tokens, or a text twice as long, as any before: so a handful in a
    model's life. The figure is that of the pass with the most tokens, or of a longer text where that took more.
    """

    def __init__(self, memory: DeviceMemory) -> None:
        self._memory = memory
        self._learning = threading.Lock()
        self._tokens = 0
        self._longest = 0
        self.bytes_per_token = 0
        """0 before the first pass."""

    def run(self, forward: Callable[[Sequence[TokenizedText]], Piece], texts: Sequence[TokenizedText]) -> Piece:
        """`forward(texts)`, measured where it teaches something."""
        tokens, longest = sum(map(len, texts)), max(map(len, texts))
        if tokens < 2 * self._tokens and longest < 2 * self._longest:
            return forward(texts)
        piece, peak = self._memory.peak_of(lambda: forward(texts))
        with self._learning:
            figure = math.ceil(peak / max(tokens, 1))
            more = tokens >= 2 * self._tokens
            self.bytes_per_token = figure if more else max(figure, self.bytes_per_token)
            self._tokens, self._longest = max(tokens, self._tokens), max(longest, self._longest)
        return piece
