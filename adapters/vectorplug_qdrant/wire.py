"""An upsert as the bytes of its gRPC message, written from arrays: no list and no object a number."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from qdrant_client import grpc
from qdrant_client.conversions.conversion import RestToGrpc

from vectorplug.encoded import Encoded
from vectorplug.multivectors import MultiVectors
from vectorplug.search.hits import Rows
from vectorplug.search.records import record_start
from vectorplug_qdrant import payload

__all__ = ["UPSERT", "upsert_message"]

UPSERT = "/qdrant.Points/Upsert"
# Numbers of the fields in Qdrant's points.proto; every one of them is a record: key, length, content.
ENTRY_KEY, ENTRY_VALUE = 1, 2  # of any map
DENSE_DATA = 1  # DenseVector.data, packed floats
MULTI_VECTORS = 1  # MultiDenseVector.vectors, a DenseVector a token
VECTOR_DENSE, VECTOR_MULTI = 101, 103
NAMED_VECTORS = 1  # NamedVectors.vectors, a map
VECTORS_NAMED = 2
POINT_VECTORS = 4
UPSERT_POINTS = 3

_Entry = tuple[bytes, memoryview]


def upsert_message(collection: str, rows: Rows) -> bytes:
    """The bytes of qdrant.UpsertPoints for `rows`, with wait: what their class would serialize, in float32."""
    parts: list[bytes | memoryview] = [grpc.UpsertPoints(collection_name=collection, wait=True).SerializeToString()]
    for row, entries in zip(rows.rows, _entries(rows.encoded), strict=True):
        # What is small is left to their own classes: messages are joined by joining their bytes.
        point = grpc.PointStruct(
            id=grpc.PointId(uuid=row.key), payload=RestToGrpc.convert_payload(payload.encode(row))
        ).SerializeToString()
        named = sum(len(prefix) + len(body) for prefix, body in entries)
        vectors = record_start(VECTORS_NAMED, named)
        point += record_start(POINT_VECTORS, len(vectors) + named) + vectors
        parts += [record_start(UPSERT_POINTS, len(point) + named), point]
        for entry in entries:
            parts += entry
    return b"".join(parts)


def _entries(encoded: Encoded) -> Iterator[tuple[_Entry, ...]]:
    """Of each text, the entries of NamedVectors.vectors: what stands before the numbers, and the numbers."""
    columns = [
        _token_entries(name, part) if isinstance(part, MultiVectors) else _dense_entries(name, part)
        for name, part in encoded.vectors()
    ]
    return zip(*columns, strict=True)


def _dense_entries(name: str, vectors: npt.NDArray[Any]) -> Iterator[_Entry]:
    floats = np.ascontiguousarray(vectors, "<f4")
    size = floats.shape[1] * floats.itemsize
    data = record_start(DENSE_DATA, size)
    prefix = _entry_prefix(name, VECTOR_DENSE, len(data) + size) + data
    return ((prefix, row) for row in _byte_rows(floats, np.arange(len(floats) + 1)))


def _token_entries(name: str, tokens: MultiVectors) -> Iterator[_Entry]:
    """Every token is a record of the same length, so those of all texts are one matrix of bytes."""
    size = tokens.dim * 4
    data = record_start(DENSE_DATA, size)
    header = record_start(MULTI_VECTORS, len(data) + size) + data
    records = np.empty((len(tokens.values), len(header) + size), np.uint8)
    records[:, : len(header)] = np.frombuffer(header, np.uint8)
    floats = np.ascontiguousarray(tokens.astype("float32").values, "<f4")
    records[:, len(header) :] = floats.view(np.uint8)
    return ((_entry_prefix(name, VECTOR_MULTI, len(rows)), rows) for rows in _byte_rows(records, tokens.offsets))


def _byte_rows(array: npt.NDArray[Any], offsets: Sequence[int] | npt.NDArray[np.int64]) -> Iterator[memoryview]:
    """Bytes of the rows from each offset to the next, as views."""
    data, width = array.reshape(-1).view(np.uint8).data, array.shape[1] * array.itemsize
    bounds = (np.asarray(offsets) * width).tolist()
    return (data[begin:end] for begin, end in pairwise(bounds))


def _entry_prefix(name: str, field: int, size: int) -> bytes:
    """Of the map's entry name -> Vector{field: `size` bytes}, all that stands before those bytes."""
    key = record_start(ENTRY_KEY, len(name)) + name.encode()
    vector = record_start(field, size)
    key += record_start(ENTRY_VALUE, len(vector) + size) + vector
    return record_start(NAMED_VECTORS, len(key) + size) + key
