"""What the engine in process is asked when a collection of ours gets more vectors."""

from collections.abc import Sequence
from typing import Any

from qdrant_edge import (
    EdgeShard,
    FieldCondition,
    Filter,
    HasIdCondition,
    HasVectorCondition,
    MatchValue,
    ScrollRequest,
    UpdateOperation,
)

from vectorplug.search.backfill import Unfilled
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug_qdrant import payload
from vectorplug_qdrant.edge_layout import fields_in_shard, params_of

__all__ = ["add_vectors", "lacking", "unchanged"]

PAGE = 256


def add_vectors(shard: EdgeShard, info: CollectionInfo) -> None:
    """Have the shard know the vectors of `info`; those that it knows stay."""
    for field in fields_in_shard(info):
        params = params_of(field, info.dtypes)
        shard.update(
            UpdateOperation.create_dense_vector(
                field.name,
                field.size,
                params.distance,
                multivector_config=params.multivector_config,
                datatype=params.datatype,
            )
        )
    shard.flush()


def lacking(names: Sequence[str], field: str, offset: Any) -> ScrollRequest:
    """The next page of the points that lack one of the vectors."""
    has = Filter(must=[HasVectorCondition(name) for name in names])
    return ScrollRequest(
        offset=offset, limit=PAGE, filter=Filter(must_not=[has]), with_payload=[field, payload.ID], with_vector=False
    )


def unchanged(field: str, documents: Sequence[Unfilled]) -> Filter:
    """Lets through each of the points that has still its text."""
    return Filter(
        should=[
            Filter(must=[HasIdCondition({each.key}), FieldCondition(key=field, match=MatchValue(each.text or ""))])
            for each in documents
        ]
    )
