"""Messages of documents for Weaviate's gRPC, written from NumPy's memory: vectors are copied once, and never listed.

A `BatchObjectsRequest` is written as protobuf lays it out: what is small by the client's own classes, and the vectors
between as they lie in memory. Through those classes alone every byte of a vector is copied five times.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.struct_pb2 import Struct, Value
from weaviate.proto.v1 import base_pb2, batch_pb2

from vectorplug.encoded import Encoded, Output
from vectorplug.multivectors import MultiVectors
from vectorplug.search.database import NO_NAMES
from vectorplug.search.hits import Rows
from vectorplug.search.records import record_start
from vectorplug_weaviate.payload import encode

__all__ = ["FRAME_BYTES", "Pieces", "largest", "messages", "objects_of"]

# Of an object beside its vectors and its payload: key, names, lengths.
FRAME_BYTES = 4096
# Enough objects for the server to write side by side; a larger message costs half as much CPU again, in memory that is
# asked of the system anew each time.
MESSAGE_BYTES = 4 * 2**20

Pieces = list[bytes | memoryview]

# Field numbers of weaviate.v1: BatchObjectsRequest.objects, BatchObject.vectors, Vectors.vector_bytes; each is followed
# by its length (protobuf's wire type 2).
OBJECTS, VECTORS, VECTOR_BYTES = 1, 23, 3


def largest(message_bytes: int) -> int:
    """Bytes of objects in one message where the server takes messages of `message_bytes`."""
    return max(1, message_bytes - FRAME_BYTES)


def objects_of(
    rows: Rows, collection: str, tenant: str | None, names: Mapping[Output, str] = NO_NAMES
) -> Iterator[Pieces]:
    """The objects of `rows` one after the other, each a serialised `BatchObject` in pieces.

    Their vectors go under `names`, else under their own.
    """
    stored = [names.get(output, output) for output, _ in rows.encoded.vectors()]
    for row, vectors in zip(rows.rows, _vectors_of(rows.encoded, names), strict=True):
        head = batch_pb2.BatchObject(
            uuid=row.key, collection=collection, tenant=tenant, properties=_properties(encode(row, stored))
        )
        yield [head.SerializeToString(), *vectors]


def messages(
    objects: Iterable[Pieces], message_bytes: int, level: base_pb2.ConsistencyLevel | None
) -> Iterator[tuple[int, bytes]]:
    """How many objects, and the serialised `BatchObjectsRequest` of them, for a server that takes `message_bytes`."""
    tail = batch_pb2.BatchObjectsRequest(consistency_level=level).SerializeToString()
    limit = min(MESSAGE_BYTES, largest(message_bytes)) - len(tail)
    pieces: Pieces = []
    count = held = 0
    for each in objects:
        size = sum(map(len, each))
        start = record_start(OBJECTS, size)
        if count and held + len(start) + size > limit:
            yield count, b"".join([*pieces, tail])
            pieces, count, held = [], 0, 0
        pieces += [start, *each]
        count += 1
        held += len(start) + size
    if count:
        yield count, b"".join([*pieces, tail])


def _vectors_of(encoded: Encoded, names: Mapping[Output, str]) -> Iterator[Pieces]:
    """The named vectors of each text, as fields of its object."""
    columns = [
        _tokens(part) if output == "tokens" else _singles(names.get(output, output), part)
        for output, part in encoded.vectors()
    ]
    return (list(chain.from_iterable(fields)) for fields in zip(*columns, strict=True))


def _tokens(tokens: MultiVectors) -> Iterator[Pieces]:
    """Of each text, how many numbers a token has (uint16) and the numbers of all (float32), little-endian."""
    tokens = tokens.astype("float32")
    values = _bytes(tokens.values)
    head = base_pb2.Vectors(name="tokens", type=base_pb2.Vectors.VECTOR_TYPE_MULTI_FP32).SerializeToString()
    dim, width = struct.pack("<H", tokens.dim), 4 * tokens.dim
    for begin, end in pairwise(tokens.offsets.tolist()):
        yield _field(head, [dim, values[begin * width : end * width]])


def _singles(name: str, vectors: npt.NDArray[Any]) -> Iterator[Pieces]:
    """The numbers of each text's one vector, in float32, little-endian."""
    values = _bytes(vectors)
    head = base_pb2.Vectors(name=name, type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32).SerializeToString()
    width = 4 * vectors.shape[1]
    for i in range(len(vectors)):
        yield _field(head, [values[i * width : (i + 1) * width]])


def _bytes(numbers: npt.NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(numbers, "<f4").reshape(-1).view(np.uint8).data


def _field(head: bytes, data: Pieces) -> Pieces:
    """An object's field with the `Vectors` message of `head` and of `data` as its bytes."""
    head += record_start(VECTOR_BYTES, sum(map(len, data)))
    return [record_start(VECTORS, len(head) + sum(map(len, data))), head, *data]


def _properties(fields: Mapping[str, Any]) -> batch_pb2.BatchObject.Properties:
    scalars: dict[str, Value] = {}
    properties = batch_pb2.BatchObject.Properties()
    for name, value in fields.items():
        match value:
            case bool():
                scalars[name] = Value(bool_value=value)
            case str():
                scalars[name] = Value(string_value=value)
            case int() | float():
                scalars[name] = Value(number_value=value)
            case [bool(), *_]:
                properties.boolean_array_properties.add(prop_name=name, values=value)
            case [str(), *_]:
                properties.text_array_properties.add(prop_name=name, values=value)
            case _:
                numbers = np.asarray(value, "<f8").tobytes()
                properties.number_array_properties.add(prop_name=name, values_bytes=numbers)
    properties.non_ref_properties.CopyFrom(Struct(fields=scalars))
    return properties
