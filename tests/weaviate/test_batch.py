"""Our messages are those that Weaviate's own client makes out of lists."""

import struct
from typing import Any

import numpy as np
import pytest
from vectorplug_weaviate import payload
from vectorplug_weaviate.batch import FRAME_BYTES, largest, messages, objects_of
from weaviate.collections.batch.grpc_batch import _BatchGRPC
from weaviate.collections.classes.batch import _BatchObject
from weaviate.proto.v1 import base_pb2, batch_pb2
from weaviate.util import _ServerVersion

from vectorplug.encoded import Encoded
from vectorplug.multivectors import MultiVectors
from vectorplug.search.hits import Rows, row_of

NAMES = ("tokens", "fde", "dense")
PAYLOADS: list[dict[str, Any]] = [
    {},
    {"text": "Zażółć\x00", "Year": 1999, "price": 3.5, "sold": True},
    {
        "tags": ["a", "ż"],
        "sizes": [1.0, 2.5],
        "counts": [1, 2],
        "flags": [True, False],
        "nested": {"a": [1]},
        "mixed": [1, "x"],
        "none": None,
    },
]


def rows(dtype: str = "float32", payloads: list[dict[str, Any]] = PAYLOADS) -> Rows:
    rng = np.random.default_rng(0)
    count = len(payloads)
    tokens = MultiVectors.from_list([rng.standard_normal((1 + i % 5, 7), dtype=np.float32) for i in range(count)])
    fde, dense = rng.standard_normal((count, 20), dtype=np.float32), rng.standard_normal((count, 3), dtype=np.float32)
    encoded = Encoded(tokens.astype(dtype), fde, dense)
    return Rows([row_of(i, "", each) for i, each in enumerate(payloads)], encoded)


def by_the_client(given: Rows, tenant: str | None) -> list[batch_pb2.BatchObject]:
    assert given.encoded.tokens is not None
    assert given.encoded.fde is not None
    assert given.encoded.dense is not None
    tokens = given.encoded.tokens.astype("float32").to_list()
    lists = [
        {"tokens": tokens[i].tolist(), "fde": given.encoded.fde[i].tolist(), "dense": given.encoded.dense[i].tolist()}
        for i in range(len(tokens))
    ]
    objects = [
        _BatchObject(
            collection="Docs", uuid=row.key, properties=payload.encode(row, NAMES), tenant=tenant, vector=vectors,
            references=None, index=i, retry_count=0,
        )
        for i, (row, vectors) in enumerate(zip(given.rows, lists, strict=True))
    ]  # fmt: skip
    return _BatchGRPC(_ServerVersion.from_string("1.36.0"), None, None).grpc_objects(objects)


def plain(message: batch_pb2.BatchObject) -> dict[str, Any]:
    """An object as Python values; a list's numbers may be doubles in bytes or integers one by one."""
    properties = message.properties
    lists: dict[str, Any] = {}
    for each in properties.number_array_properties:
        lists[each.prop_name] = [value for (value,) in struct.iter_unpack("<d", each.values_bytes)]
    for kind in ("int", "text", "boolean"):
        for each in getattr(properties, f"{kind}_array_properties"):
            lists[each.prop_name] = list(each.values)
    vectors = {each.name: (each.type, each.vector_bytes) for each in message.vectors}
    return {
        "place": (message.uuid, message.collection, message.tenant),
        "scalars": dict(properties.non_ref_properties.items()),
        "lists": lists,
        "vectors": vectors,
    }


def parsed(given: Rows, tenant: str | None = None) -> list[batch_pb2.BatchObject]:
    return [batch_pb2.BatchObject.FromString(b"".join(each)) for each in objects_of(given, "Docs", tenant)]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
@pytest.mark.parametrize("tenant", [None, "one"])
def test_objects_are_the_clients_own(dtype: str, tenant: str | None) -> None:
    given = rows(dtype)
    expected = by_the_client(given, tenant)
    assert [plain(each) for each in parsed(given, tenant)] == [plain(each) for each in expected]


def test_vectors_are_little_endian_float32() -> None:
    given = rows()
    vectors = {each.name: each for each in parsed(given)[0].vectors}
    assert vectors["tokens"].type == base_pb2.Vectors.VECTOR_TYPE_MULTI_FP32
    assert vectors["tokens"].vector_bytes[:2] == b"\x07\x00"
    assert given.encoded.tokens is not None
    np.testing.assert_array_equal(
        np.frombuffer(vectors["tokens"].vector_bytes, "<f4", offset=2).reshape(-1, 7), given.encoded.tokens[0]
    )
    assert vectors["fde"].type == base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32


@pytest.mark.parametrize("level", [None, base_pb2.CONSISTENCY_LEVEL_QUORUM])
def test_a_message_is_a_request_of_its_objects(level: base_pb2.ConsistencyLevel | None) -> None:
    given = rows(payloads=[{"text": "x" * 10**i} for i in range(6)])
    ((count, message),) = messages(objects_of(given, "Docs", None), 10**8, level)
    assert count == 6
    expected = batch_pb2.BatchObjectsRequest(objects=parsed(given), consistency_level=level)
    assert batch_pb2.BatchObjectsRequest.FromString(message) == expected


def test_a_message_never_exceeds_what_the_server_takes() -> None:
    given = rows(payloads=[{"text": "x" * 997 * i} for i in range(30)])
    expected = parsed(given)
    limit = max(each.ByteSize() for each in expected) + FRAME_BYTES + 16
    made = [(count, len(message)) for count, message in messages(objects_of(given, "Docs", None), limit, None)]
    assert sum(count for count, _ in made) == 30
    assert len(made) > 5
    assert all(size <= largest(limit) < limit for _, size in made)
    ends = np.cumsum([count for count, _ in made])
    for end, (_, size) in zip(ends[:-1], made, strict=False):
        assert size + expected[end].ByteSize() > largest(limit) - 8, "a message that could have held another"


def test_an_object_larger_than_the_limit_goes_alone() -> None:
    assert [count for count, _ in messages(objects_of(rows(), "Docs", None), 10, None)] == [1, 1, 1]
    assert list(messages([], 10, None)) == []
