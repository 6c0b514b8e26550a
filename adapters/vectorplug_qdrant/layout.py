"""A server's collection as it has to be: how it is made, and what differs in one that is there."""

from collections.abc import Mapping
from typing import Any, TypedDict

from qdrant_client import models

from vectorplug.errors import ConfigurationError, StoreError
from vectorplug.search.fingerprint import CollectionInfo, StoredDtypes
from vectorplug_qdrant.schema import (
    FULL_SCAN_KB,
    HNSW_EF_CONSTRUCT,
    HNSW_M,
    WORDS,
    VectorField,
    check_dtypes,
    fields_of,
)

__all__ = [
    "METADATA",
    "Creation",
    "check_creation",
    "check_layout",
    "parameters_of",
    "sparse_parameters_of",
    "vectors_of",
]

# The name of our part in a collection's own metadata.
METADATA = "vectorplug"


class Creation(TypedDict, total=False):
    """How a new collection on a server is made; a collection that exists stays as it is. What is said here goes
    before what an `IndexConfig` says.

    shard_number, replication_factor, write_consistency_factor   as in Qdrant's create_collection
    on_disk           vectors are read from the disk, not held in memory
    fde_quantization  such as models.ScalarQuantization(...): finds candidates, whose scores come from the whole FDEs
    token_datatype    such as models.Datatype.FLOAT16; scores are exact MaxSim of the tokens as they are stored
    """

    shard_number: int | None
    replication_factor: int | None
    write_consistency_factor: int | None
    on_disk: bool | None
    fde_quantization: models.QuantizationConfig | None
    token_datatype: models.Datatype | None


def check_creation(creation: Mapping[str, Any]) -> None:
    """TypeError for an unknown name, as any call has it; ConfigurationError for a datatype that ruins the tokens."""
    unknown = sorted(set(creation) - Creation.__annotations__.keys())
    if unknown:
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}; expected {', '.join(Creation.__annotations__)}")
    if creation.get("token_datatype") == models.Datatype.UINT8:
        raise ConfigurationError(
            "token_datatype is uint8, in which Qdrant keeps whole numbers from 0 to 255; tokens lie between -1 and 1 "
            "and would be lost. Use models.Datatype.FLOAT16."
        )


def parameters_of(info: CollectionInfo, creation: Creation) -> dict[str, models.VectorParams]:
    """The named vectors of a new collection; ConfigurationError for what Qdrant does not keep."""
    check_dtypes(info.dtypes)
    return {field.name: _vector_params(field, info.dtypes, creation) for field in fields_of(info)}


def sparse_parameters_of(info: CollectionInfo) -> dict[str, models.SparseVectorParams]:
    """The sparse vectors of a new collection: its words, where it has them."""
    # How rare a word is in the collection is what the server knows.
    return {WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)} if info.words else {}


def vectors_of(config: models.CollectionConfig) -> dict[str, models.VectorParams]:
    """The named vectors that a collection has."""
    there = config.params.vectors
    return there if isinstance(there, dict) else {}


def _vector_params(field: VectorField, dtypes: StoredDtypes, creation: Creation) -> models.VectorParams:
    dtype = {"tokens": dtypes.tokens, "fde": dtypes.fde}.get(field.output, "float32")
    half = models.Datatype.FLOAT16 if dtype == "float16" else None
    codes = _codes(dtype)
    max_sim = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    return models.VectorParams(
        size=field.size,
        distance=models.Distance.DOT,
        multivector_config=max_sim if field.multi else None,
        hnsw_config=models.HnswConfigDiff(
            m=0 if field.multi else HNSW_M, ef_construct=HNSW_EF_CONSTRUCT, full_scan_threshold=FULL_SCAN_KB
        ),
        on_disk=creation.get("on_disk", None if codes is None else True),
        quantization_config=(creation.get("fde_quantization") or codes) if field.output == "fde" else None,
        datatype=(creation.get("token_datatype") or half) if field.multi else half,
    )


def _codes(dtype: str) -> models.QuantizationConfig | None:
    """What is kept in memory in place of the whole vectors, which are read from the disk to choose among the found."""
    match dtype:
        case "int8":
            int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
            return models.ScalarQuantization(scalar=int8)
        case "bit":
            # Bits against bits lose most of it: 0.20 of the exact top 10 among 20 where this finds 0.72, float32 0.75.
            eight = models.BinaryQuantizationQueryEncoding.SCALAR8BITS
            bits = models.BinaryQuantizationConfig(always_ram=True, query_encoding=eight)
            return models.BinaryQuantization(binary=bits)
    return None


def check_layout(info: CollectionInfo, config: models.CollectionConfig, collection: str) -> None:
    """Raise StoreError, naming each, where the vectors of a collection are not those that `info` describes.

    The user may have tuned whatever changes no score: the graph of single vectors, quantization, where they lie.
    """
    vectors = vectors_of(config)
    differences: list[str] = []
    for field in fields_of(info):
        if field.name not in vectors:
            differences.append(f"it has no vector {field.name!r}")
            continue
        for name, expected, found in _compared(field, vectors[field.name], config):
            if found != expected:
                differences.append(f"vector {field.name!r} has {name} {found}, expected {expected}")
    if info.words:
        words = (config.params.sparse_vectors or {}).get(WORDS)
        if words is None:
            differences.append(f"it has no sparse vector {WORDS!r}")
        elif words.modifier != models.Modifier.IDF:
            differences.append(f"sparse vector {WORDS!r} has modifier {words.modifier}, expected idf")
    if differences:
        raise StoreError(
            f"collection {collection!r} has other vectors than its metadata says: {'; '.join(differences)}. It was "
            "changed after vectorplug made it: put that back, or index into a new collection."
        )


def _compared(
    field: VectorField, params: models.VectorParams, config: models.CollectionConfig
) -> list[tuple[str, object, object]]:
    """(what, as expected, as found) of one vector."""
    comparator = params.multivector_config.comparator.value if params.multivector_config else None
    compared: list[tuple[str, object, object]] = [
        ("size", field.size, params.size),
        ("distance", models.Distance.DOT.value, params.distance.value),
        ("comparator", models.MultiVectorComparator.MAX_SIM.value if field.multi else None, comparator),
    ]
    if field.multi:
        own = params.hnsw_config.m if params.hnsw_config else None
        compared.append(("hnsw m", 0, config.hnsw_config.m if own is None else own))
    return compared
