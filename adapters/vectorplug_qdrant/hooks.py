"""The places of qdrant-client where FastEmbed's models come in, and ours with them.

They are private to the client: the versions that they were tried with are pinned. Classes are changed, so that clients
that exist know our models, too; what is not ours goes on to the client's own code.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from importlib.metadata import version
from itertools import groupby
from typing import Any

from qdrant_client import models
from qdrant_client.async_qdrant_fastembed import AsyncQdrantFastembedMixin
from qdrant_client.embed.model_embedder import ModelEmbedder
from qdrant_client.fastembed_common import FastEmbedMisc
from qdrant_client.qdrant_fastembed import QdrantFastembedMixin

from vectorplug.errors import ConfigurationError, InputError
from vectorplug_qdrant.inference import registry

__all__ = ["check_version", "hook"]

LEAST, BELOW = (1, 17), (1, 21)
_lock = threading.Lock()
_hooked: set[str] = set()


def check_version(found: str) -> None:
    """ConfigurationError for a qdrant-client that this was not made for."""
    match = re.match(r"(\d+)\.(\d+)", found)
    if match is None or not LEAST <= (int(match[1]), int(match[2])) < BELOW:
        raise _other_client(found)


def hook() -> None:
    """Change the client's classes, once. ConfigurationError before anything is changed."""
    with _lock:
        if _hooked:
            return
        found = version("qdrant-client")
        check_version(found)
        # Own attributes only: what a class inherits is another class's to change.
        if any(name not in vars(owner) for owner, name, _ in _HOOKS):
            raise _other_client(found)
        for owner, name, wrap in _HOOKS:
            original = vars(owner)[name]
            if isinstance(original, classmethod):
                setattr(owner, name, classmethod(wrap(original.__func__)))
            else:
                setattr(owner, name, wrap(original))
            _hooked.add(f"{owner.__name__}.{name}")


def _other_client(found: str) -> ConfigurationError:
    least, below = (".".join(map(str, bound)) for bound in (LEAST, BELOW))
    return ConfigurationError(
        f"qdrant-client is {found}, and register() was made for >={least},<{below}, whose inference it extends: "
        f"pip install 'qdrant-client>={least},<{below}'."
    )


def _apart(original: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Give each call its own state: in the client threads share it, and one may get the vectors of another's texts."""

    def embed_models_batch(
        self: ModelEmbedder, raw_models: Iterable[Any], is_query: bool = False, inference_batch_size: int = 8
    ) -> Iterator[Any]:
        yield from original(_twin(self), raw_models, is_query=is_query, inference_batch_size=inference_batch_size)

    return embed_models_batch


def _twin(embedder: ModelEmbedder) -> ModelEmbedder:
    """The same models, and nothing gathered yet."""
    twin = copy(embedder)
    twin._batch_accumulator, twin._embed_storage = {}, {}
    return twin


def _accumulated(original: Callable[..., None]) -> Callable[..., None]:
    """Encode what was gathered of our models, all vectors of a text at once."""

    def embed_accumulator(self: ModelEmbedder, is_query: bool = False, inference_batch_size: int = 8) -> None:
        gathered: dict[str, list[Any]] = self._batch_accumulator
        ours = {name: gathered.pop(name) for name in list(gathered) if registry.knows(name)}
        if gathered:
            original(self, is_query=is_query, inference_batch_size=inference_batch_size)
        # One call for all names: they share texts.
        vectors = iter(registry.vectors([each for group in ours.values() for each in group], is_query=is_query))
        storage: dict[str, list[Any]] = self._embed_storage
        storage.update({name: [next(vectors) for _ in group] for name, group in ours.items()})

    return embed_accumulator


def _resolved(original: Callable[..., Any]) -> Callable[..., Any]:
    """An `InferenceObject` that holds a text is a `Document`."""

    def resolve_inference_object(self: ModelEmbedder, data: Any) -> Any:
        if not isinstance(data, models.InferenceObject) or not registry.knows(data.model):
            return original(self, data)
        if not isinstance(data.object, str):
            raise InputError(
                f"an InferenceObject of a {type(data.object).__name__} came for {data.model!r}, which reads texts: "
                "send models.Document."
            )
        return models.Document(text=data.object, model=data.model, options=data.options)

    return resolve_inference_object


def _strict(original: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Keep what is ours from the client's worker processes, each of which would load the model again.

    They encode a point at a time; the process that holds the model uses every core for `batch_size` of them.
    """

    def embed_models_strict(
        self: ModelEmbedder, raw_models: Iterable[Any], batch_size: int = 8, parallel: int | None = None
    ) -> Iterator[Any]:
        if parallel in (None, 1):
            yield from original(self, raw_models, batch_size=batch_size, parallel=parallel)
            return
        for ours, group in groupby(raw_models, lambda raw: _has_ours(self, raw)):
            yield from original(self, group, batch_size=batch_size, parallel=None if ours else parallel)

    return embed_models_strict


def _has_ours(embedder: ModelEmbedder, raw: Any) -> bool:
    """Whether a point asks for a vector of one of our models, found as the client finds it."""
    twin = _twin(embedder)
    twin._process_model(raw, accumulating=True)
    return any(registry.knows(name) for name in twin._batch_accumulator)


def _listed(of_tokens: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Our models among FastEmbed's, those of tokens or those of one vector."""

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def list_models(cls: type[FastEmbedMisc]) -> dict[str, tuple[int, models.Distance]]:
            ours = {
                name: (size, _distance(output))
                for name, (output, size) in registry.listed().items()
                if (output == "tokens") is of_tokens
            }
            return {**original(cls), **ours}

        return list_models

    return wrap


def _sized(original: Callable[..., Any]) -> Callable[..., Any]:
    """Numbers and distance of every name that may be asked for, roles and ids among them."""

    def get_model_params(cls: type[Any], model_name: str) -> tuple[int, models.Distance]:
        if not registry.knows(model_name):
            found: tuple[int, models.Distance] = original(cls, model_name=model_name)
            return found
        output, size = registry.described(model_name)
        return size, _distance(output)

    return get_model_params


def _distance(output: str) -> models.Distance:
    # An FDE is not of unit norm, and its length counts. Tokens are: their inner product is the cheaper cosine.
    return models.Distance.COSINE if output == "dense" else models.Distance.DOT


def _unasked(_: Callable[..., Any]) -> Callable[..., Any]:
    """Local mode asks for FastEmbed before it looks at a name; a name that nobody knows is an error later, too."""

    def import_fastembed(_: type[FastEmbedMisc]) -> None:
        return None

    return import_fastembed


_HOOKS: tuple[tuple[type, str, Callable[[Callable[..., Any]], Callable[..., Any]]], ...] = (
    (ModelEmbedder, "embed_models_batch", _apart),
    (ModelEmbedder, "_embed_accumulator", _accumulated),
    (ModelEmbedder, "_resolve_inference_object", _resolved),
    (ModelEmbedder, "embed_models_strict", _strict),
    (FastEmbedMisc, "import_fastembed", _unasked),
    (FastEmbedMisc, "list_text_models", _listed(of_tokens=False)),
    (FastEmbedMisc, "list_late_interaction_text_models", _listed(of_tokens=True)),
    (QdrantFastembedMixin, "_get_model_params", _sized),
    (AsyncQdrantFastembedMixin, "_get_model_params", _sized),
)
