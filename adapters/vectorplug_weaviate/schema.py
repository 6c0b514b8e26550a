"""What a collection in Weaviate says of itself: its name, what it was made with, and whether it is as it was made."""

import json
import re
from typing import Any

from weaviate.classes.config import VectorDistances
from weaviate.collections.classes.config import CollectionConfig

from vectorplug.encoded import Output
from vectorplug.errors import ConfigurationError, StoreError
from vectorplug.search.fingerprint import CollectionInfo, NotOursError

__all__ = [
    "CONTENT",
    "ID",
    "PART",
    "PARTS",
    "PAYLOAD",
    "class_name",
    "described",
    "description_of",
    "info_of",
    "is_walked",
    "vectors_in",
]

ID = "_vectorplug_id"
CONTENT = "_vectorplug_content"
PAYLOAD = "_vectorplug_payload"
# Every document is in one of PARTS equal parts, by its key: what is too much for one request is asked part by part.
PART = "_vectorplug_part"
PARTS = 4096

NAME = re.compile(r"[A-Z][_0-9A-Za-z]{0,254}")
# Between somebody's own description and ours.
MARK = "\n\nvectorplug: "


def class_name(collection: str) -> str:
    """The name in Weaviate: a capital first, hyphens as underscores; ConfigurationError where that is no name."""
    name = collection[:1].upper() + collection[1:].replace("-", "_")
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"collection {collection!r} is no name for Weaviate: expected a letter, then letters, digits and "
            "underscores, 255 at most."
        )
    return name


def described(theirs: str, info: CollectionInfo) -> str:
    """A collection's description: what its owner says of it, if anything, and what it was made with."""
    return f"{theirs}{MARK}{info.model_dump_json()}" if theirs else info.model_dump_json()


def description_of(description: str | None, source: str) -> tuple[str, CollectionInfo | None]:
    """Both parts of a description again; None where vectorplug wrote none."""
    theirs, mark, ours = (description or "").rpartition(MARK)
    if not mark and not _is_ours(ours):
        return ours, None
    return theirs, CollectionInfo.from_json(ours, source)


def vectors_in(info: CollectionInfo) -> dict[str, tuple[Output, int]]:
    """Name -> which output it is, and its numbers (of one token for "tokens"): all that are in use or being made."""
    vectors = {info.vector_names.get(output, output): (output, dim) for output, dim in info.dims.items()}
    if info.refit is not None:
        vectors[info.refit.vector] = ("fde", info.refit.size)
    return vectors


def info_of(config: CollectionConfig, *, tenant: str | None) -> CollectionInfo:
    """What an existing collection was made with.

    NotOursError where it is not one of vectorplug's, StoreError with what differs from how it was made.
    """
    source = f"collection {config.name!r} in Weaviate"
    if config.multi_tenancy_config.enabled != (tenant is not None):
        raise ConfigurationError(
            f"{source} has tenants, and none is named: open it with tenant=..."
            if tenant is None
            else f"{source} has no tenants, and tenant {tenant!r} is named: open it without."
        )
    _, info = description_of(config.description, source)
    if info is None:
        raise NotOursError(
            f"{source} was not made by vectorplug: its description says nothing of a model. Nothing was written; "
            "store.backfill(field) gives its objects the vectors that they lack, or choose another name."
        )
    searched = [(output, info.vector_names.get(output, output)) for output in info.dims]
    wrong = [f"vector {name!r} {said}" for output, name in searched if (said := _misfit(config, output, name))]
    wrong += [f"property {name!r} is missing" for name in sorted({ID, CONTENT, PAYLOAD, PART} - _names(config))]
    if wrong:
        raise StoreError(
            f"{source} was changed since it was made: {'; '.join(wrong)}. Nothing was written; index into a new "
            "collection."
        )
    return info


def is_walked(config: CollectionConfig) -> bool:
    """Whether the tokens have an index that finds anything: Weaviate's MUVERA with more than two numbers."""
    vector = (config.vector_config or {}).get("tokens")
    multi: Any = getattr(vector.vector_index_config, "multi_vector", None) if vector else None
    encoding = multi.encoding if multi is not None else None
    return encoding is not None and 2**encoding.ksim * encoding.dprojections * encoding.repetitions > 2


def _misfit(config: CollectionConfig, output: Output, name: str) -> str | None:
    """What is wrong with the vector `name` of an existing collection."""
    vector = (config.vector_config or {}).get(name)
    if vector is None:
        return "is missing"
    index: Any = vector.vector_index_config
    multi = getattr(index, "multi_vector", None)
    if output == "tokens":
        return None if multi is not None and multi.encoding is not None else "is no multi-vector with MUVERA"
    if multi is not None:
        return "is a multi-vector"
    if index.distance_metric != VectorDistances.DOT:
        return f"compares by {index.distance_metric.value}, expected dot"
    return None


def _names(config: CollectionConfig) -> set[str]:
    return {prop.name for prop in config.properties}


def _is_ours(description: str) -> bool:
    try:
        found = json.loads(description)
    except ValueError:
        return False
    return isinstance(found, dict) and "dims" in found
