"""Writes to a real Weaviate that were cut off after it stored an object and before it indexed it.

It answers as if nothing were wrong, and finds such an object by its id, and never by a vector.
"""

import contextlib
import uuid
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from corpus import WordVectorizer, random_texts, sentences
from store_suite import OpenStore
from vectorplug_weaviate import batch
from vectorplug_weaviate.mending import unindexed
from vectorplug_weaviate.payload import Content
from vectorplug_weaviate.schema import CONTENT
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.data import DataObject
from weaviate_server import WeaviateServer

from vectorplug.encoded import Encoded
from vectorplug.search.hits import Row, Rows, row_of

COUNT = 100
# Long enough that indexing takes the server a while.
FDE_SIZE = 8192
ATTEMPTS = 20


def documents(seed: int) -> tuple[list[Row], Encoded]:
    rng = np.random.default_rng(seed)
    rows = [row_of(f"{seed}-{i}", "", {}) for i in range(COUNT)]
    return rows, Encoded(random_texts(COUNT, seed=seed).tokens, rng.standard_normal((COUNT, FDE_SIZE), np.float32))


def lost(store: Any, keys: list[str]) -> set[str]:
    """Those of the keys that are stored and in no index."""
    database = store._database
    contents = {key: Content.of(found) for key, found in database._place.read(keys, [CONTENT])}
    return unindexed(database._place, contents, database._searched())


def cut_off_write(store: Any) -> tuple[list[Row], Encoded]:
    """Documents that were sent, and the call given up before the answer, so that some are half written."""
    connection = store._database._connection
    send = connection._wire._grpc_channel.unary_unary("/weaviate.v1.Weaviate/BatchObjects")
    for attempt in range(ATTEMPTS):
        rows, encoded = documents(attempt + 1)
        objects = batch.objects_of(Rows(rows, encoded), store._database._place.name, None)
        count, message = next(batch.messages(objects, connection.message_bytes, None))
        assert count == COUNT
        with pytest.raises(grpc.RpcError):
            send(message, metadata=connection._wire.grpc_headers(), timeout=0.03 * (attempt + 1))
        if lost(store, [row.key for row in rows]):
            return rows, encoded
    raise AssertionError(f"{ATTEMPTS} writes that were cut off left nothing half written")


def found_by(store: Any, mode: Any, encoded: Encoded) -> set[Any]:
    query = Encoded(encoded.tokens[:1] if encoded.tokens is not None else None, encoded.fde[:1])  # type: ignore[index]
    return {hit.id for hit in store.search_encoded(query, limit=10 * COUNT, candidates=10 * COUNT, mode=mode)}


def test_the_same_documents_again_are_whole(open_weaviate: OpenStore) -> None:
    store = open_weaviate(mode="fde+rerank")
    rows, encoded = documents(0)
    store.add_encoded(encoded, ids=[row.id for row in rows])
    rows, encoded = cut_off_write(store)
    ids = [row.id for row in rows]
    assert lost(store, [row.key for row in rows])
    # To whoever asks which of them are there already, those that no search finds are not.
    there = store._database.contents([row.key for row in rows])
    assert not lost(store, list(there))
    assert store.add_encoded(encoded, ids=ids).added == COUNT
    assert lost(store, [row.key for row in rows]) == set()
    for mode in ("native", "fde"):
        assert set(ids) <= found_by(store, mode, encoded)


def test_a_batch_that_is_repeated_is_whole(open_weaviate: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = open_weaviate(mode="fde+rerank")
    rows, encoded = documents(0)
    store.add_encoded(encoded, ids=[row.id for row in rows])
    connection = store._database._connection
    ask, timeouts = connection._ask, connection._wire.timeout_config
    attempts = []

    def given_up_first(function: Any) -> Any:
        """The first attempts of a write have too little time: the store itself repeats them."""
        if function.__name__ != "send":
            return ask(function)
        attempts.append(function)
        with monkeypatch.context() as patch:
            if len(attempts) <= 3:
                patch.setattr(timeouts, "insert", 0.01 * len(attempts))
            return ask(function)

    monkeypatch.setattr(connection, "_ask", given_up_first)
    rows, encoded = documents(1)
    assert store.add_encoded(encoded, ids=[row.id for row in rows]).added == COUNT
    assert len(attempts) > 1
    assert lost(store, [row.key for row in rows]) == set()
    assert {row.id for row in rows} <= found_by(store, "fde", encoded)


def test_what_was_written_is_looked_for_at_the_end_of_an_add(open_weaviate: OpenStore) -> None:
    store: Any = open_weaviate(mode="fde+rerank")
    rows, encoded = documents(0)
    store.add_encoded(encoded, ids=[row.id for row in rows])
    rows, encoded = cut_off_write(store)
    keys = [row.key for row in rows]
    there = [key for key, _ in store._database._place.read(keys, [CONTENT])]
    before = store._database.contents(there) | dict.fromkeys(lost(store, keys), rows[0].content)
    # As if the server had confirmed them, and lost their places in the index after that.
    store._database._written.extend(keys)
    store._database.finish()
    assert lost(store, keys) == set()
    assert store._database.contents(keys) == before
    assert {row.id for row in rows if row.key in there} <= found_by(store, "native", encoded)


def test_a_fill_that_was_cut_off_is_done_again(
    weaviate_under_test: WeaviateServer, open_weaviate: OpenStore, prefix: str
) -> None:
    texts, name = sentences(40), f"{prefix}theirs"
    ids = [str(uuid.uuid5(uuid.NAMESPACE_URL, text)) for text in texts]
    with weaviate_under_test.connect() as client:
        client.collections.create(
            name,
            properties=[Property(name="body", data_type=DataType.TEXT)],
            vector_config=Configure.Vectors.self_provided(name="theirs"),
        )
        objects = [
            DataObject({"body": text}, each, {"theirs": [1.0, i]})
            for i, (text, each) in enumerate(zip(texts, ids, strict=True))
        ]
        assert not client.collections.use(name).data.insert_many(objects).errors
    store: Any = open_weaviate(collection="theirs", vectorizer=WordVectorizer(), mode="fde+rerank")
    store.backfill("body", show_progress_bar=False)
    assert not lost(store, ids)
    right = WordVectorizer().encode_document(texts, outputs=("fde",), show_progress_bar=False).fde
    assert right is not None
    # What a change of an object that is cut off leaves: the right vectors stored, and none in an index.
    for attempt in range(ATTEMPTS * 10):
        each, vector = ids[attempt % len(ids)], right[attempt % len(ids)]
        place = f"{weaviate_under_test.url}/v1/objects/{name}/{each}"
        body = {"class": name, "id": each}
        httpx.patch(place, json={**body, "vectors": {"fde": (-vector).tolist()}}).raise_for_status()
        time_out = httpx.Timeout(5, read=0.0005 * (1 + attempt % 20))
        with contextlib.suppress(httpx.ReadTimeout):
            httpx.patch(place, json={**body, "vectors": {"fde": vector.tolist()}}, timeout=time_out)
        if lost(store, ids):
            break
    else:
        raise AssertionError("no change that was cut off left an object half written")
    assert lost(store, ids)
    assert store.backfill("body", show_progress_bar=False).filled >= 1
    assert not lost(store, ids)
    assert {hit.id for hit in store.search("sea", limit=40, candidates=40)} == set(ids)
