"""The bytes that are written from arrays are those of the message that Qdrant's own classes build from lists."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("qdrant_client", reason="pip install 'vectorplug[qdrant]' brings it")

from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from vectorplug_qdrant import payload
from vectorplug_qdrant.wire import update_vectors_message, upsert_message

from vectorplug.encoded import OUTPUTS, Encoded
from vectorplug.multivectors import MultiVectors
from vectorplug.search.hits import Rows, row_of

SIZES = st.one_of(st.integers(1, 9), st.sampled_from([31, 32, 33, 127, 128, 129, 4096, 5000]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def some_rows(draw: st.DrawFn) -> Rows:
    count = draw(st.integers(1, 5))
    names = draw(st.lists(st.sampled_from(OUTPUTS), min_size=1, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    parts: dict[str, Any] = {}
    for name in names:
        size = draw(SIZES)
        if name == "tokens":
            lengths = draw(st.lists(st.integers(1, 7), min_size=count, max_size=count))
            tokens = MultiVectors.from_list([rng.standard_normal((n, size), np.float32) for n in lengths])
            parts[name] = tokens.astype(draw(st.sampled_from(["float32", "float16", "bfloat16", "int8"])))
        else:
            dtype = draw(st.sampled_from([np.float32, np.float64, np.float16]))
            parts[name] = np.asarray(rng.standard_normal((count, size)), dtype)
    if draw(st.booleans()):  # a view, as chunks are
        count = draw(st.integers(1, count))
        parts = {name: part[:count] for name, part in parts.items()}
    ids = draw(st.lists(st.text() | st.integers(-(2**63), 2**63 - 1), min_size=count, max_size=count))
    payloads = draw(st.lists(st.dictionaries(st.text(), JSON, max_size=4), min_size=count, max_size=count))
    return Rows([row_of(i, "", p) for i, p in zip(ids, payloads, strict=True)], Encoded(**parts))


def named(rows: Rows, texts: list[str | None], i: int) -> grpc.Vectors:
    vectors: dict[str, grpc.Vector] = {}
    for name, part in rows.encoded.vectors():
        numbers = np.asarray(part[i], np.float32).tolist()
        if name == "tokens":
            tokens = [grpc.DenseVector(data=token) for token in numbers]
            vectors[name] = grpc.Vector(multi_dense=grpc.MultiDenseVector(vectors=tokens))
        else:
            vectors[name] = grpc.Vector(dense=grpc.DenseVector(data=numbers))
    if (text := texts[i]) is not None:
        vectors["words"] = grpc.Vector(document=grpc.Document(text=text, model="qdrant/bm25"))
    return grpc.Vectors(vectors=grpc.NamedVectors(vectors=vectors))


def by_lists(collection: str, rows: Rows, texts: list[str | None]) -> grpc.UpsertPoints:
    points = [
        grpc.PointStruct(
            id=grpc.PointId(uuid=row.key),
            payload=RestToGrpc.convert_payload(payload.encode(row)),
            vectors=named(rows, texts, i),
        )
        for i, row in enumerate(rows.rows)
    ]
    return grpc.UpsertPoints(collection_name=collection, wait=True, points=points)


def some_texts(data: st.DataObject, rows: Rows) -> list[str | None]:
    count = len(rows.rows)
    return data.draw(st.lists(st.none() | st.text(), min_size=count, max_size=count))


@settings(deadline=None, max_examples=150)
@given(some_rows(), st.text(min_size=1), st.data())
def test_the_bytes_are_those_of_the_message(rows: Rows, collection: str, data: st.DataObject) -> None:
    texts = some_texts(data, rows)
    written = upsert_message(collection, rows, texts)
    expected = by_lists(collection, rows, texts)
    assert grpc.UpsertPoints.FromString(written) == expected
    # Equal messages, and no byte that is read and dropped.
    assert len(written) == expected.ByteSize()


@settings(deadline=None)
@given(some_rows(), st.text(min_size=1), st.data())
def test_vectors_alone(rows: Rows, collection: str, data: st.DataObject) -> None:
    texts = some_texts(data, rows)
    numbers = data.draw(st.lists(st.integers(0, 2**64 - 1), min_size=len(texts), max_size=len(texts)))
    keys = [data.draw(st.sampled_from([row.key, str(n)])) for row, n in zip(rows.rows, numbers, strict=True)]
    only = models.Filter(must=[models.HasIdCondition(has_id=[1, rows.rows[0].key])])
    written = update_vectors_message(collection, keys, rows.encoded, texts, only)
    points = [
        grpc.PointVectors(
            id=grpc.PointId(num=int(key)) if "-" not in key else grpc.PointId(uuid=key), vectors=named(rows, texts, i)
        )
        for i, key in enumerate(keys)
    ]
    expected = grpc.UpdatePointVectors(
        collection_name=collection, wait=True, points=points, update_filter=RestToGrpc.convert_filter(only)
    )
    assert grpc.UpdatePointVectors.FromString(written) == expected
    assert len(written) == expected.ByteSize()


@settings(deadline=None)
@given(some_rows())
def test_ids_and_payloads_come_back(rows: Rows) -> None:
    message = grpc.UpsertPoints.FromString(upsert_message("docs", rows, [None] * len(rows.rows)))
    for row, point in zip(rows.rows, message.points, strict=True):
        assert point.id.uuid == row.key
        assert payload.decode(point.id.uuid, GrpcToRest.convert_payload(point.payload)) == (row.id, row.payload)


def test_rows_and_vectors_of_different_number_are_refused() -> None:
    rows = Rows([row_of(1, "", {})], Encoded(dense=np.ones((2, 3), np.float32)))
    with pytest.raises(ValueError, match="zip"):
        upsert_message("docs", rows, [None])
