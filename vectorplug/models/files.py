"""The small files of a checkpoint: in a folder, or on the hub at one revision."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from sentence_transformers.util import load_file_path

from vectorplug.models.catalog import Source

__all__ = ["find", "is_here", "reach", "read_json"]

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


def reach(source: Source) -> None:
    """Ask the hub for the checkpoint once, so that a failure is the hub's own: missing, gated, unreachable.

    What loads models later turns each of them into an OSError of many lines.
    """
    if source.hub_id is None:
        return
    try:
        hf_hub_download(source.hub_id, "config.json", revision=source.revision)
    except LocalEntryNotFoundError:  # an EntryNotFoundError too, but it means: not cached, and no hub
        raise
    except EntryNotFoundError:
        pass  # some checkpoints have a modules.json alone


def is_here(model: str) -> bool:
    """Whether a hub id or `package:NAME` loads without a download: the package is installed, the weights cached."""
    if model.startswith("package:"):
        return importlib.util.find_spec(model.removeprefix("package:")) is not None
    return any(isinstance(try_to_load_from_cache(model, name), str) for name in WEIGHTS)


def find(source: Source, name: str) -> Path | None:
    """Where the file `name` is on this machine, fetched if need be; None where the checkpoint has none."""
    path = load_file_path(source.place, name, revision=source.revision)
    return None if path is None else Path(path)


def read_json(source: Source, name: str) -> Any:
    """The content of a JSON file; an empty dict where the checkpoint has none."""
    path = find(source, name)
    return {} if path is None else json.loads(path.read_text("utf-8"))
