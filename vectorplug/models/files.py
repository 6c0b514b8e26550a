"""The small files of a checkpoint: in a folder, or on the hub at one revision."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from sentence_transformers.util import load_file_path

from vectorplug.models.catalog import Source

__all__ = ["find", "reach", "read_json"]


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


def find(source: Source, name: str) -> Path | None:
    """Where the file `name` is on this machine, fetched if need be; None where the checkpoint has none."""
    path = load_file_path(source.place, name, revision=source.revision)
    return None if path is None else Path(path)


def read_json(source: Source, name: str) -> Any:
    """The content of a JSON file; an empty dict where the checkpoint has none."""
    path = find(source, name)
    return {} if path is None else json.loads(path.read_text("utf-8"))
