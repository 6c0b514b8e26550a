"""More vectors for a collection of a server, one of somebody else's, too: made, found missing, and filled in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from qdrant_client import models

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import StoreError, StoreUnavailableError
from vectorplug.search.backfill import Unfilled
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug_qdrant import payload
from vectorplug_qdrant.connection import Connection
from vectorplug_qdrant.layout import Creation, parameters_of, sparse_parameters_of, vectors_of
from vectorplug_qdrant.patience import WRITING, NotThereError
from vectorplug_qdrant.writing import Writing

__all__ = ["count_lacking", "drop", "extend", "extended", "fill", "lacking"]

# The names of vectors that are being made, in the collection's metadata until all of them are there.
EXTENDING = "vectorplug_extending"
LEAST_VERSION = (1, 18)  # the first that adds vectors to a collection
PAGE = 256


def extend(
    connection: Connection, info: CollectionInfo, had: Sequence[str], creation: Creation, version: tuple[int, ...]
) -> None:
    """Make the vectors of `info` that the collection lacks; `had` are those that are vectorplug's already.

    StoreError where one of somebody else's has the name, or the server cannot.
    """
    config = connection.config()
    there = {*vectors_of(config), *(config.params.sparse_vectors or {})}
    begun = (config.metadata or {}).get(EXTENDING, [])
    dense, sparse = parameters_of(info, creation), sparse_parameters_of(info)
    wanted = [each for each in (*dense, *sparse) if each not in had]
    if foreign := [each for each in wanted if each in there and each not in begun]:
        raise StoreError(
            f"collection {connection.name!r} has a vector {foreign[0]!r} vectorplug did not make, and needs that name: "
            "index into a new collection. Nothing was changed."
        )
    if version < LEAST_VERSION and any(each not in there for each in wanted):
        raise StoreError(
            f"the Qdrant at {connection.url} has version {'.'.join(map(str, version))}, which cannot add vectors to "
            f"a collection; {'.'.join(map(str, LEAST_VERSION))} or newer can: upgrade it, or index into a new "
            "collection. Nothing was changed."
        )
    # Who goes on after a crash knows by this that the vectors are ours.
    _update(connection, metadata={EXTENDING: wanted})
    for each in wanted:
        if each not in there:
            _make(connection, each, dense.get(each), sparse.get(each))
        if each in dense:
            # Before anything is in it: no graph of tokens is ever begun.
            _update(connection, vectors_config={each: _tuning(dense[each])})


def drop(connection: Connection, name: str) -> None:
    """Remove the vectors of that name, if they are there."""
    if name in vectors_of(connection.config()):
        remove = partial(connection.client.delete_vector_name, connection.name, name)
        connection.ask("Dropping vectors of", remove, seconds=WRITING)


def extended(connection: Connection, metadata: Mapping[str, Any]) -> None:
    """Write `metadata`; what else there is stays."""
    _update(connection, metadata={**metadata, EXTENDING: None})


def lacking(connection: Connection, field: str, names: Sequence[str]) -> Iterator[list[Unfilled]]:
    """Pages of the points that lack one of the vectors, in the order of their ids."""
    steps = payload.steps_of(field)
    fields, offset = [field, payload.ID], None
    while True:
        scroll = partial(
            connection.client.scroll,
            connection.name,
            scroll_filter=_lacks(names),
            limit=PAGE,
            offset=offset,
            with_payload=fields,
        )
        records, offset = connection.ask("Reading", scroll, seconds=WRITING)
        yield [payload.unfilled(record, steps) for record in records]
        if offset is None:
            return


def count_lacking(connection: Connection, names: Sequence[str]) -> int:
    """How many points lack one of the vectors."""
    client, name = connection.client, connection.name
    return connection.ask("Counting", lambda: client.count(name, _lacks(names), exact=True), seconds=WRITING).count


def fill(
    connection: Connection,
    writing: Writing,
    field: str,
    documents: Sequence[Unfilled],
    encoded: Encoded,
    names: Mapping[Output, str],
) -> None:
    """Write the vectors of those points whose `field` still holds the text, in one step with looking at it."""
    for part in writing.filling(documents, encoded):
        left, vectors = list(documents[part]), encoded[part]
        while left:
            try:
                writing.fill(left, vectors, _unchanged(field, left), names)
                break
            except NotThereError:
                # One of them was deleted, and so the server wrote some of the others only.
                there = _there(connection, left)
                if len(there) == len(left):
                    raise
                left, vectors = [left[i] for i in there], vectors.take(there)


def _make(
    connection: Connection, name: str, dense: models.VectorParams | None, sparse: models.SparseVectorParams | None
) -> None:
    config: models.DenseVectorNameConfig | models.SparseVectorNameConfig
    if dense is not None:
        config = models.DenseVectorNameConfig(
            dense=models.DenseVectorConfig(
                size=dense.size,
                distance=dense.distance,
                multivector_config=dense.multivector_config,
                datatype=models.VectorStorageDatatype(dense.datatype.value) if dense.datatype else None,
            )
        )
    else:
        assert sparse is not None
        config = models.SparseVectorNameConfig(sparse=models.SparseVectorConfig(modifier=sparse.modifier))
    make = partial(connection.client.create_vector_name, connection.name, name, config)
    try:
        connection.ask("Adding vectors to", make, seconds=WRITING)
    except StoreUnavailableError:
        raise
    except StoreError:
        # An attempt whose answer was lost may have made it.
        made = connection.config()
        if name not in vectors_of(made) and name not in (made.params.sparse_vectors or {}):
            raise


def _tuning(params: models.VectorParams) -> models.VectorParamsDiff:
    """What cannot be said when a vector is added."""
    return models.VectorParamsDiff(
        hnsw_config=params.hnsw_config, quantization_config=params.quantization_config, on_disk=params.on_disk
    )


def _update(connection: Connection, **changes: Any) -> None:
    update: Callable[[], bool] = partial(connection.client.update_collection, connection.name, **changes)
    connection.ask("Adding vectors to", update, seconds=WRITING)


def _lacks(names: Sequence[str]) -> models.Filter:
    has: list[models.Condition] = [models.HasVectorCondition(has_vector=name) for name in names]
    return models.Filter(must_not=[models.Filter(must=has)])


def _unchanged(field: str, documents: Sequence[Unfilled]) -> models.Filter:
    """Lets through each of the points that has still its text."""
    each: list[models.Condition] = [
        models.Filter(
            must=[
                models.HasIdCondition(has_id=[payload.point_id(document.key)]),
                models.FieldCondition(key=field, match=models.MatchValue(value=document.text or "")),
            ]
        )
        for document in documents
    ]
    return models.Filter(should=each)


def _there(connection: Connection, documents: Sequence[Unfilled]) -> list[int]:
    """Positions of the points that there still are."""
    ids = [payload.point_id(document.key) for document in documents]
    read = partial(connection.client.retrieve, connection.name, ids, with_payload=False)
    found = {str(record.id) for record in connection.ask("Reading", read, seconds=WRITING)}
    return [i for i, document in enumerate(documents) if document.key in found]
