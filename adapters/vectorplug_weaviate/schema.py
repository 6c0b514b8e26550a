"""How a collection lies in Weaviate: its name, its vectors, its own properties; and whether an existing one fits."""

import json
import re
from collections.abc import Mapping
from typing import Any

from weaviate.classes.config import VectorDistances
from weaviate.collections.classes.config import CollectionConfig

from vectorplug.encoded import Output
from vectorplug.errors import ConfigurationError, StoreError
from vectorplug.search.fingerprint import CollectionInfo

__all__ = ["CONTENT", "ID", "PART", "PARTS", "PAYLOAD", "class_name", "definition", "info_of"]

ID = "_vectorplug_id"
CONTENT = "_vectorplug_content"
PAYLOAD = "_vectorplug_payload"
# Every document is in one of PARTS equal parts, by its key: what is too much for one request is asked part by part.
PART = "_vectorplug_part"
PARTS = 4096

MAX_NUMBERS = 65_535  # a vector's length is kept in 16 bits
NAME = re.compile(r"[A-Z][_0-9A-Za-z]{0,254}")
EVERYTHING = 2**31 - 1

# Weaviate's breadth is factor x limit within these bounds; its own upper bound of 500 would leave hundreds of
# candidates with no breadth beyond themselves.
BREADTH = {"ef": -1, "dynamicEfFactor": 4, "dynamicEfMin": 128, "dynamicEfMax": 100_000}
# Exact MaxSim by the server needs an index over the tokens, and the server scans rather than walks wherever a filter
# stands. So this index is never walked and is as small as can be: two numbers a document, by Weaviate's MUVERA. Beside
# none at all it costs no time that could be measured; an index with a node a token costs 27 times as much.
UNWALKED = {
    "skipDefaultQuantization": True,
    "maxConnections": 4,
    "efConstruction": 4,
    "flatSearchCutoff": EVERYTHING,
    "multivector": {"enabled": True, "muvera": {"enabled": True, "ksim": 1, "dprojections": 1, "repetitions": 1}},
}


def class_name(collection: str) -> str:
    """The name in Weaviate: a capital first, hyphens as underscores; ConfigurationError where that is no name."""
    name = collection[:1].upper() + collection[1:].replace("-", "_")
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"collection {collection!r} is no name for Weaviate: expected a letter, then letters, digits and "
            "underscores, 255 at most."
        )
    return name


def definition(name: str, info: CollectionInfo, *, tenants: bool) -> dict[str, Any]:
    """The schema of a new collection, as Weaviate's REST takes it; its description is `info`."""
    for output, numbers in info.dims.items():
        if numbers > MAX_NUMBERS:
            raise ConfigurationError(
                f"{output} vectors have {numbers:,} numbers, Weaviate takes at most {MAX_NUMBERS:,}"
                + (": use an FDE with fewer repetitions, a smaller ksim or a final_dim." if output == "fde" else ".")
            )
    hidden = {"indexFilterable": False, "indexSearchable": False}
    return {
        "class": name,
        "description": info.model_dump_json(),
        "multiTenancyConfig": {"enabled": tenants, "autoTenantActivation": tenants},
        "vectorConfig": {output: _vector(output) for output in info.dims},
        "properties": [
            *({"name": each, "dataType": ["text"], **hidden} for each in (ID, CONTENT, PAYLOAD)),
            {"name": PART, "dataType": ["int"], "indexFilterable": False, "indexRangeFilters": True},
        ],
    }


def info_of(config: CollectionConfig, *, tenant: str | None) -> CollectionInfo:
    """What an existing collection was made with; StoreError with what differs where it is not one of vectorplug's."""
    source = f"collection {config.name!r} in Weaviate"
    if not _described(config.description):
        raise StoreError(
            f"{source} was not made by vectorplug: its description says nothing of a model. Nothing was written; "
            "choose another name for the collection."
        )
    info = CollectionInfo.from_json(config.description or "", source)
    if config.multi_tenancy_config.enabled != (tenant is not None):
        raise ConfigurationError(
            f"{source} has tenants, and none is named: open it with tenant=..."
            if tenant is None
            else f"{source} has no tenants, and tenant {tenant!r} is named: open it without."
        )
    wrong = [f"vector {name!r} {said}" for name in info.dims if (said := _misfit(config, name))]
    wrong += [f"property {name!r} is missing" for name in {ID, CONTENT, PAYLOAD, PART} - _names(config)]
    if wrong:
        raise StoreError(
            f"{source} was changed since it was made: {'; '.join(wrong)}. Nothing was written; index into a new "
            "collection."
        )
    return info


def _vector(output: Output) -> dict[str, Any]:
    index: Mapping[str, Any] = UNWALKED if output == "tokens" else {"distance": "dot", **BREADTH}
    return {
        "vectorizer": {"none": {}},
        "vectorIndexType": "hnsw",
        "vectorIndexConfig": dict(index),
    }


def _misfit(config: CollectionConfig, name: Output) -> str | None:
    """What is wrong with the vector `name` of an existing collection."""
    vector = (config.vector_config or {}).get(name)
    if vector is None:
        return "is missing"
    index: Any = vector.vector_index_config
    multi = getattr(index, "multi_vector", None)
    if name == "tokens":
        return None if multi is not None and multi.encoding is not None else "is no multi-vector with MUVERA"
    if multi is not None:
        return "is a multi-vector"
    if index.distance_metric != VectorDistances.DOT:
        return f"compares by {index.distance_metric.value}, expected dot"
    return None


def _names(config: CollectionConfig) -> set[str]:
    return {prop.name for prop in config.properties}


def _described(description: str | None) -> bool:
    try:
        found = json.loads(description or "")
    except ValueError:
        return False
    return isinstance(found, dict) and "dims" in found
