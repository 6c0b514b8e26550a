"""How a collection lies in Weaviate: its vectors, our own properties, the options of a new one."""

from collections.abc import Mapping
from typing import Any, TypedDict

from weaviate.classes.config import Configure, VectorDistances
from weaviate.collections.classes.config_base import _QuantizerConfigCreate
from weaviate.collections.classes.config_vector_index import _MultiVectorEncodingConfigCreate

from vectorplug.encoded import OUTPUTS, Output
from vectorplug.errors import ConfigurationError, StoreError
from vectorplug.search.fingerprint import CollectionInfo, StoredDtypes
from vectorplug_weaviate.schema import CONTENT, ID, PART, PAYLOAD, described, description_of, vectors_in

__all__ = ["Creation", "check_creation", "definition", "extended", "lacking_properties"]

MAX_NUMBERS = 65_535  # a vector's length is kept in 16 bits
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
_hidden = {"indexFilterable": False, "indexSearchable": False}
PROPERTIES: tuple[dict[str, Any], ...] = (
    *({"name": each, "dataType": ["text"], **_hidden} for each in (ID, PAYLOAD)),
    {"name": CONTENT, "dataType": ["uuid"], **_hidden},
    {"name": PART, "dataType": ["int"], "indexFilterable": False, "indexRangeFilters": True},
)


class Creation(TypedDict, total=False):
    """How the vectors of a new collection are made, or those that one gets by `backfill`; what is there stays.
    What is said here goes before what an `IndexConfig` says.

    fde_quantizer   such as Configure.VectorIndex.Quantizer.rq(): finds candidates, whose scores come from whole FDEs
    token_encoding  Configure.VectorIndex.MultiVector.Encoding.muvera(...): the tokens have an index of Weaviate's own
                    MUVERA, too, and `native` is a search of it: approximate, with exact MaxSim of what it finds
    replication_factor, shards   as replicationConfig.factor and shardingConfig.desiredCount
    """

    fde_quantizer: _QuantizerConfigCreate | None
    token_encoding: _MultiVectorEncodingConfigCreate | None
    replication_factor: int | None
    shards: int | None


def check_creation(creation: Mapping[str, Any]) -> None:
    """TypeError for an unknown name, as any call has it."""
    unknown = sorted(set(creation) - Creation.__annotations__.keys())
    if unknown:
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}; expected {', '.join(Creation.__annotations__)}")


def definition(name: str, info: CollectionInfo, creation: Creation, *, tenants: bool) -> dict[str, Any]:
    """The schema of a new collection, as Weaviate's REST takes it; its description is `info`."""
    made: dict[str, Any] = {
        "class": name,
        "description": described("", info),
        "multiTenancyConfig": {"enabled": tenants, "autoTenantActivation": tenants},
        "vectorConfig": _vectors(info, creation),
        "properties": [dict(each) for each in PROPERTIES],
    }
    if (factor := creation.get("replication_factor")) is not None:
        made["replicationConfig"] = {"factor": factor}
    if (shards := creation.get("shards")) is not None:
        made["shardingConfig"] = {"desiredCount": shards}
    return made


def extended(schema: Mapping[str, Any], info: CollectionInfo, creation: Creation) -> dict[str, Any]:
    """The schema of a collection that is there, with the vectors that `info` has beyond what it was made with.

    Those of a refit have the same index as the FDEs that are there, unless `creation` says another. StoreError where it
    has vectors of such a name that are somebody else's.
    """
    vectors = dict(schema.get("vectorConfig") or {})
    theirs, before = description_of(schema.get("description"), f"collection {schema['class']!r} in Weaviate")
    ours = before.dims if before is not None else {}
    if taken := [name for name in OUTPUTS if name in info.dims and name in vectors and name not in ours]:
        raise StoreError(
            f"collection {schema['class']!r} has a vector {taken[0]!r} of its own, and vectorplug's would have that "
            "name. Nothing was changed; copy the collection without it, or index into a new one."
        )
    made = {name: vector for name, vector in _vectors(info, creation).items() if name not in vectors}
    searched = vectors.get(info.vector_names.get("fde", "fde"))
    if info.refit is not None and info.refit.vector in made and searched and not creation.get("fde_quantizer"):
        made[info.refit.vector] = searched
    return {**schema, "vectorConfig": vectors | made, "description": described(theirs, info)}


def lacking_properties(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Our properties that a collection lacks; no module of its makes vectors of them."""
    there = {each["name"] for each in schema.get("properties") or ()}
    vectorizers = {name for each in (schema.get("vectorConfig") or {}).values() for name in each["vectorizer"]}
    vectorizers |= {schema.get("vectorizer") or "none"}
    skipped = {name: {"skip": True} for name in sorted(vectorizers - {"none"})}
    modules = {"moduleConfig": skipped} if skipped else {}
    return [{**each, **modules} for each in PROPERTIES if each["name"] not in there]


def _vectors(info: CollectionInfo, creation: Creation) -> dict[str, Any]:
    vectors = vectors_in(info)
    for output, numbers in vectors.values():
        if numbers > MAX_NUMBERS:
            raise ConfigurationError(
                f"{output} vectors have {numbers:,} numbers, Weaviate takes at most {MAX_NUMBERS:,}"
                + (": use an FDE with fewer repetitions, a smaller ksim or a final_dim." if output == "fde" else ".")
            )
    own = _quantizer(info.dtypes)
    return {
        name: {
            "vectorizer": {"none": {}},
            "vectorIndexType": "hnsw",
            "vectorIndexConfig": _index(output, own, creation),
        }
        for name, (output, _) in vectors.items()
    }


def _quantizer(dtypes: StoredDtypes) -> _QuantizerConfigCreate | None:
    """Of the FDE's index; ConfigurationError for numbers in which Weaviate does not keep vectors."""
    if dtypes.tokens != "float32":
        raise ConfigurationError(f"tokens.dtype is {dtypes.tokens!r}, and Weaviate keeps tokens in float32 only.")
    if dtypes.fde == "float16":
        raise ConfigurationError("store.fde_dtype is 'float16', and Weaviate has float32, int8 and bit for FDEs.")
    # Rotated before they are rounded, and so 1 bit says something of a sparse FDE, too, as BQ's signs do not.
    bits = {"int8": 8, "bit": 1}.get(dtypes.fde)
    return None if bits is None else Configure.VectorIndex.Quantizer.rq(bits=bits)


def _index(output: Output, own: _QuantizerConfigCreate | None, creation: Creation) -> dict[str, Any]:
    encoding = creation.get("token_encoding")
    if output == "tokens" and encoding is None:
        return dict(UNWALKED)
    quantizer = (creation.get("fde_quantizer") or own) if output == "fde" else None
    index = Configure.VectorIndex.hnsw(distance_metric=VectorDistances.DOT, quantizer=quantizer)
    multi: dict[str, Any] = {}
    if output == "tokens" and encoding is not None:
        multi = {"multivector": {"enabled": True, encoding.encoding_name(): encoding._to_dict()}}
    return {**index._to_dict(), **BREADTH, **multi}
