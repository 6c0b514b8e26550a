"""An update of points as the bytes of its gRPC message, written from arrays: no list and no object a number."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import RestToGrpc

from vectorplug.encoded import Encoded, Output
from vectorplug.multivectors import MultiVectors
from vectorplug.search.database import NO_NAMES
from vectorplug.search.hits import Rows
from vectorplug.search.records import record_start
from vectorplug_qdrant import payload
from vectorplug_qdrant.schema import WORDS, WORDS_MODEL

__all__ = ["UPDATE_VECTORS", "UPSERT", "update_vectors_message", "upsert_message"]

UPSERT = "/qdrant.Points/Upsert"
UPDATE_VECTORS = "/qdrant.Points/UpdateVectors"
# Numbers of the fields in Qdrant's points.proto; every one of them is a record: key, length, content.
ENTRY_KEY, ENTRY_VALUE = 1, 2  # of any map
DENSE_DATA = 1  # DenseVector.data, packed floats
MULTI_VECTORS = 1  # MultiDenseVector.vectors, a DenseVector a token
VECTOR_DENSE, VECTOR_MULTI = 101, 103
NAMED_VECTORS = 1  # NamedVectors.vectors, a map
VECTORS_NAMED = 2
STRUCT_VECTORS = 4  # PointStruct.vectors
POINT_VECTORS = 2  # PointVectors.vectors
MESSAGE_POINTS = 3  # UpsertPoints.points and UpdatePointVectors.points

_Bytes = bytes | memoryview


def upsert_message(
    collection: str, rows: Rows, texts: Sequence[str | None], names: Mapping[Output, str] = NO_NAMES
) -> bytes:
    """The bytes of qdrant.UpsertPoints for `rows`, with wait: what their class would serialize, in float32.

    The server itself makes the words of those `texts` that are not None. Vectors go under `names`, else their own.
    """
    # What is small is left to their own classes: messages are joined by joining their bytes.
    points = (
        grpc.PointStruct(id=_id(row.key), payload=RestToGrpc.convert_payload(payload.encode(row))) for row in rows.rows
    )
    message = grpc.UpsertPoints(collection_name=collection, wait=True)
    return _joined(message, points, STRUCT_VECTORS, rows.encoded, texts, names)


def update_vectors_message(
    collection: str,
    keys: Sequence[str],
    encoded: Encoded,
    texts: Sequence[str | None],
    only: models.Filter,
    names: Mapping[Output, str] = NO_NAMES,
) -> bytes:
    """The bytes of qdrant.UpdatePointVectors, with wait, as of `upsert_message`; for the points that pass `only`."""
    message = grpc.UpdatePointVectors(
        collection_name=collection, wait=True, update_filter=RestToGrpc.convert_filter(only)
    )
    points = (grpc.PointVectors(id=_id(key)) for key in keys)
    return _joined(message, points, POINT_VECTORS, encoded, texts, names)


def _id(key: str) -> grpc.PointId:
    converted: grpc.PointId = RestToGrpc.convert_extended_point_id(payload.point_id(key))
    return converted


def _joined(
    message: Any,
    points: Iterator[Any],
    vectors_field: int,
    encoded: Encoded,
    texts: Sequence[str | None],
    names: Mapping[Output, str],
) -> bytes:
    """`message` with its points, each of them with its vectors."""
    parts: list[_Bytes] = [message.SerializeToString()]
    for small, entries, text in zip(points, _entries(encoded, names), texts, strict=True):
        named = [*entries, _words_entry(text)]
        size = sum(map(len, named))
        vectors = record_start(VECTORS_NAMED, size)
        point = small.SerializeToString() + record_start(vectors_field, len(vectors) + size) + vectors
        parts += [record_start(MESSAGE_POINTS, len(point) + size), point, *named]
    return b"".join(parts)


def _words_entry(text: str | None) -> bytes:
    if text is None:
        return b""
    document = grpc.Document(text=text, model=WORDS_MODEL)
    named: bytes = grpc.NamedVectors(vectors={WORDS: grpc.Vector(document=document)}).SerializeToString()
    return named


def _entries(encoded: Encoded, names: Mapping[Output, str]) -> Iterator[tuple[_Bytes, ...]]:
    """Of each text, the entries of NamedVectors.vectors: what stands before the numbers, and the numbers, in turns."""
    columns: list[Iterator[_Bytes]] = []
    for output, part in encoded.vectors():
        name = names.get(output, output)
        columns += _token_entries(name, part) if isinstance(part, MultiVectors) else _dense_entries(name, part)
    return zip(*columns, strict=True)


def _dense_entries(name: str, vectors: npt.NDArray[Any]) -> tuple[Iterator[_Bytes], Iterator[_Bytes]]:
    floats = np.ascontiguousarray(vectors, "<f4")
    size = floats.shape[1] * floats.itemsize
    data = record_start(DENSE_DATA, size)
    prefix = _entry_prefix(name, VECTOR_DENSE, len(data) + size) + data
    return (prefix for _ in floats), _byte_rows(floats, np.arange(len(floats) + 1))


def _token_entries(name: str, tokens: MultiVectors) -> tuple[Iterator[_Bytes], Iterator[_Bytes]]:
    """Every token is a record of the same length, so those of all texts are one matrix of bytes."""
    size = tokens.dim * 4
    data = record_start(DENSE_DATA, size)
    header = record_start(MULTI_VECTORS, len(data) + size) + data
    records = np.empty((len(tokens.values), len(header) + size), np.uint8)
    records[:, : len(header)] = np.frombuffer(header, np.uint8)
    floats = np.ascontiguousarray(tokens.astype("float32").values, "<f4")
    records[:, len(header) :] = floats.view(np.uint8)
    sizes = (tokens.lengths * records.shape[1]).tolist()
    return (_entry_prefix(name, VECTOR_MULTI, size) for size in sizes), _byte_rows(records, tokens.offsets)


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
