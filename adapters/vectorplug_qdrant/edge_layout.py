"""The vectors of an embedded collection, in the engine's own terms."""

from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    HnswIndexConfig,
    Modifier,
    MultiVectorComparator,
    MultiVectorConfig,
)

from vectorplug.search.fingerprint import CollectionInfo
from vectorplug_qdrant.schema import FULL_SCAN_KB, HNSW_EF_CONSTRUCT, HNSW_M, WORDS, VectorField, fields_of

__all__ = ["config_of", "params_of"]


def config_of(info: CollectionInfo) -> EdgeConfig:
    """How a shard is made and loaded."""
    return EdgeConfig(
        vectors={field.name: params_of(field) for field in fields_of(info.dims)},
        sparse_vectors={WORDS: EdgeSparseVectorParams(modifier=Modifier.Idf)} if info.words else None,
        wal_enabled=True,
    )


def params_of(field: VectorField) -> EdgeVectorParams:
    """One named vector."""
    return EdgeVectorParams(
        field.size,
        Distance.Dot,
        multivector_config=MultiVectorConfig(MultiVectorComparator.MaxSim) if field.multi else None,
        hnsw_config=HnswIndexConfig(0 if field.multi else HNSW_M, HNSW_EF_CONSTRUCT, FULL_SCAN_KB),
    )
