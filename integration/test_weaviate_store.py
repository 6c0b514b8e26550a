"""A real Weaviate does what every store must."""

from contextlib import ExitStack
from typing import Any

import grpc
import numpy as np
import pytest
import stamina
from corpus import FDE
from fit_suite import TEXTS, KeptFitSuite
from refit_suite import LATER, UNFITTED, SharedRefitSuite, assert_refuses_a_refit, assert_searches
from store_suite import DOCUMENTS, PAYLOADS, QUERIES, KeptStoreSuite, OpenStore, assert_same, filled, plain_store
from vectorplug_weaviate import WeaviateStore, batch, collection, connection, layout, place, searching
from vectorplug_weaviate.collection import WeaviateCollection
from weaviate.classes.config import Configure, ConsistencyLevel, DataType, Property
from weaviate.classes.query import Filter
from weaviate.proto.v1 import base_pb2, batch_pb2
from weaviate_server import WeaviateServer

from vectorplug.encoded import OUTPUTS
from vectorplug.errors import ConfigurationError, InputError, StoreError, StoreUnavailableError
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.hits import key_of


class TestWeaviate(KeptStoreSuite, KeptFitSuite, SharedRefitSuite):
    @pytest.fixture
    def open_store_under_test(self, open_weaviate: OpenStore) -> OpenStore:
        return open_weaviate

    def lose_fit(self, store: Any) -> None:
        store._database._connection.client.collections.delete(f"{store.collection}_fits")

    @staticmethod
    def group_is(number: int) -> Any:
        return Filter.by_property("group").equal(number)

    def test_tenants_share_a_fit(self, open_store_under_test: OpenStore) -> None:
        with open_store_under_test(tenant="a", vectorizer=UNFITTED) as store:
            store.fit(TEXTS)
            store.add(TEXTS[:20], ids=range(20))
            fitted = store.vectorizer.fde
        with open_store_under_test(tenant="b", vectorizer=UNFITTED) as store:
            assert store.vectorizer.fde == fitted
            assert store.add(TEXTS[:5], ids=range(5)).added == 5
            assert_searches(store, TEXTS[:5])

    def test_a_tenant_is_not_fitted_again(self, open_store_under_test: OpenStore) -> None:
        with open_store_under_test(tenant="a", vectorizer=UNFITTED) as store:
            store.fit(TEXTS[:50])
            store.add(TEXTS[:50], ids=range(50))
            assert_refuses_a_refit(store, TEXTS[:50])

    def test_a_refit_has_the_index_of_the_fdes_before(
        self, open_store_under_test: OpenStore, weaviate_under_test: WeaviateServer, prefix: str
    ) -> None:
        rq = Configure.VectorIndex.Quantizer.rq(bits=8)
        with open_store_under_test(vectorizer=UNFITTED, fde_quantizer=rq) as store:
            store.fit(TEXTS[:50])
            store.add(TEXTS, ids=range(300))
        with open_store_under_test(vectorizer=UNFITTED) as store:
            assert store.refit(show_progress_bar=False).switched
            assert store.info is not None
            name = store.info.vector_names["fde"]
            store.add(LATER[:1], ids=[300])
            assert_searches(store, [*TEXTS, LATER[0]])
        with weaviate_under_test.connect() as client:
            handle = client.collections.use(f"{prefix}docs")
            vectors = handle.config.get().vector_config or {}
            assert vectors.keys() == {"tokens", "fde", name}
            assert vectors["fde"].vector_index_config == vectors[name].vector_index_config
            lying = [handle.query.fetch_object_by_id(key_of(i), include_vector=True).vector.keys() for i in (0, 300)]
        # The vectors from before are where they were, and a new document has none.
        assert lying == [{"tokens", "fde", name}, {"tokens", name}]

    def test_vectors_that_wait_to_be_indexed_are_not_searched_yet(
        self, open_store_under_test: OpenStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_store_under_test(vectorizer=UNFITTED) as store:
            store.fit(TEXTS[:50])
            store.add(TEXTS, ids=range(300))
            before = store.vectorizer.fde
            with monkeypatch.context() as patched:
                patched.setattr(collection, "queued", lambda _: True)
                with pytest.raises(StoreUnavailableError, match="wait to be indexed"):
                    store.refit(show_progress_bar=False)
            assert store.vectorizer.fde == before
            assert_searches(store, TEXTS)
            report = store.refit(show_progress_bar=False)
            assert (report.switched, report.filling.filled) == (True, 0)
            assert_searches(store, TEXTS)

    def test_a_collection_of_somebody_s_is_no_place_for_a_fit(
        self, open_store_under_test: OpenStore, weaviate_under_test: WeaviateServer, prefix: str
    ) -> None:
        with weaviate_under_test.connect() as client:
            client.collections.create(f"{prefix}docs_fits", description="mine")
            store = open_store_under_test(vectorizer=UNFITTED)
            store.fit(TEXTS)
            with pytest.raises(StoreError, match="_fits' is there in Weaviate and is somebody else's"):
                store.add(TEXTS[:20])
            assert not client.collections.exists(f"{prefix}docs")

    def test_a_native_search_of_many_parts(
        self, open_store_under_test: OpenStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = filled(open_store_under_test(mode="native"))
        plain = plain_store()
        for at_once in (1, 7, 25, 59, 60):
            monkeypatch.setattr(searching, "SCANNED_AT_ONCE", at_once)
            for limit in (1, 5, 60):
                asked = {"limit": limit, "mode": "native"}
                assert_same(store.search_encoded(QUERIES[:1], **asked), plain.search_encoded(QUERIES[:1], **asked))

    def test_more_candidates_than_go_into_one_filter(
        self, open_store_under_test: OpenStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, plain = filled(open_store_under_test(mode="fde+rerank")), plain_store()
        monkeypatch.setattr(place, "KEYS_AT_ONCE", 7)
        for asked in ({"limit": 3, "candidates": 50}, {"limit": 20, "candidates": 33}):
            expected = plain.search_encoded(QUERIES[:1], mode="fde+rerank", **asked)
            assert_same(store.search_encoded(QUERIES[:1], **asked), expected)
        assert sorted(store.payloads(range(60))) == list(range(60))
        store.delete(range(40))
        assert store.count() == 20

    def test_payloads_by_id(self, open_store_under_test: OpenStore) -> None:
        store = filled(open_store_under_test(mode="fde"))
        assert store.payloads([3, "none", 1]) == {3: PAYLOADS[3], 1: PAYLOADS[1]}

    def test_fields_of_the_payload_are_properties(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(mode="fde")
        payloads: list[Any] = [
            {"text": "the deep sea", "topic": "deep sea", "price": 3, "tags": ["a", "b"], "sold": True},
            {"text": "the sea is deep", "topic": "sea", "price": 3.5, "tags": ["b"], "sold": False},
        ]
        assert store.add_encoded(DOCUMENTS[:2], ids=[0, 1], payloads=payloads).added == 2

        def found(filter: Any) -> set[Any]:
            return {hit.id for hit in store.search_encoded(QUERIES[:1], filter=filter)}

        assert found(Filter.by_property("topic").equal("sea")) == {1}
        assert found(Filter.by_property("text").equal("sea")) == {0, 1}
        assert found(Filter.by_property("price").greater_than(3)) == {1}
        assert found(Filter.by_property("tags").contains_any(["a"])) == {0}
        assert found(Filter.by_property("sold").equal(True) & Filter.by_property("price").equal(3)) == {0}
        with pytest.raises(InputError, match="expected a weaviate"):
            found({"topic": "sea"})
        with pytest.raises(StoreError, match="no such prop"):
            found(Filter.by_property("unknown").equal(1))

    def test_a_field_of_two_types_fails_alone(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(mode="fde")
        payloads = [{"year": 1999}, {"year": "unknown"}, {"year": None}]
        report = store.add_encoded(DOCUMENTS[:1], ids=[0], payloads=payloads[:1])
        report = store.add_encoded(DOCUMENTS[:3], ids=[0, 1, 2], payloads=payloads)
        assert (report.added, store.count()) == (2, 2)
        ((failed, reason),) = report.failed
        assert failed == 1
        assert "'year' is text, in this collection number" in reason

    def test_two_writers_bring_the_same_new_field(self, open_store_under_test: OpenStore) -> None:
        one = open_store_under_test(mode="fde")
        one.add_encoded(DOCUMENTS[:1], ids=[0])
        two = open_store_under_test()
        assert one.add_encoded(DOCUMENTS[1:2], ids=[1], payloads=[{"year": 1}]).added == 1
        assert two.add_encoded(DOCUMENTS[2:3], ids=[2], payloads=[{"year": 2}]).added == 1
        assert two.add_encoded(DOCUMENTS[3:4], ids=[3], payloads=[{"year": "x"}]).failed
        assert two.count() == 3

    def test_a_document_larger_than_a_message_fails_alone(
        self, open_store_under_test: OpenStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection.Connection, "message_bytes", 20_000)
        store = open_store_under_test(mode="fde")
        payloads = [{"text": "x" * (10_000 if i == 3 else 1)} for i in range(60)]
        report = store.add_encoded(DOCUMENTS, ids=list(range(60)), payloads=payloads)
        assert [failed for failed, _ in report.failed] == [3]
        assert "this server takes 15,904 in a message" in report.failed[0][1]
        assert report.added == store.count() == 59

    def test_what_the_server_refuses_is_named_and_the_others_go_in(
        self,
        open_store_under_test: OpenStore,
        weaviate_under_test: WeaviateServer,
        prefix: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(batch, "MESSAGE_BYTES", 4 * FDE.size)  # each document has a message of its own
        store = filled(open_store_under_test(mode="fde"))
        with weaviate_under_test.connect() as client:
            when = Property(name="when", data_type=DataType.DATE)
            client.collections.use(f"{prefix}docs").config.add_property(when)
        payloads = [{"when": "yesterday"} if i == 2 else {} for i in range(5)]
        report = store.add_encoded(DOCUMENTS[:5], ids=list("abcde"), payloads=payloads)
        assert [failed for failed, _ in report.failed] == ["c"]
        assert "yesterday" in report.failed[0][1]
        assert report.added == 4
        assert store.count() == 64

    def test_vectors_lie_there_as_they_were_given(
        self, open_store_under_test: OpenStore, weaviate_under_test: WeaviateServer, prefix: str
    ) -> None:
        filled(open_store_under_test(mode="fde+rerank", outputs=OUTPUTS))
        assert DOCUMENTS.tokens is not None
        assert DOCUMENTS.fde is not None
        assert DOCUMENTS.dense is not None
        with weaviate_under_test.connect() as client:
            handle = client.collections.use(f"{prefix}docs")
            for i in (0, 59):
                lying = handle.query.fetch_object_by_id(key_of(i), include_vector=True)
                np.testing.assert_array_equal(lying.vector["tokens"], DOCUMENTS.tokens[i])
                np.testing.assert_array_equal(lying.vector["fde"], DOCUMENTS.fde[i])
                np.testing.assert_array_equal(lying.vector["dense"], DOCUMENTS.dense[i])

    def test_somebody_elses_collection_is_left_alone(
        self, open_store_under_test: OpenStore, weaviate_under_test: WeaviateServer, prefix: str
    ) -> None:
        with weaviate_under_test.connect() as client:
            handle = client.collections.create(f"{prefix}docs", description="mine")
            store = open_store_under_test(mode="fde")
            with pytest.raises(StoreError, match=r"was not made by vectorplug.*store.backfill"):
                store.add_encoded(DOCUMENTS[:1], ids=[1])
            assert handle.config.get().properties == []

    def test_a_collection_that_was_changed_is_refused(
        self, open_store_under_test: OpenStore, weaviate_under_test: WeaviateServer, prefix: str
    ) -> None:
        info = CollectionInfo(dims={"tokens": 16, "fde": 256}, mode="fde+rerank")
        changed = layout.definition(f"{prefix}docs", info, {}, tenants=False)
        changed["vectorConfig"]["fde"]["vectorIndexConfig"]["distance"] = "cosine"
        del changed["vectorConfig"]["tokens"], changed["properties"][0]
        with weaviate_under_test.connect() as client:
            client.collections.create_from_dict(changed)
        with pytest.raises(StoreError) as caught:
            open_store_under_test()
        for said in ("'tokens' is missing", "by cosine, expected dot", "'_vectorplug_id' is missing"):
            assert said in str(caught.value)


def test_tenants_are_apart(weaviate_under_test: WeaviateServer, prefix: str) -> None:
    with weaviate_under_test.connect() as client, ExitStack() as opened:

        def tenant(name: str | None) -> WeaviateStore:
            store = WeaviateStore.from_client(client, f"{prefix}shared", tenant=name, mode="fde+rerank")
            return opened.enter_context(store)

        one = tenant("one")
        assert one.add_encoded(DOCUMENTS[:3], ids=[1, 2, 3]).added == 3
        two = tenant("two")
        reader = tenant("two")
        assert (one.count(), two.count(), reader.count()) == (3, 0, 0)
        assert two.search_encoded(QUERIES[:1]) == []
        assert two.payloads([1]) == {}
        two.delete([1])
        assert two.add_encoded(DOCUMENTS[3:4], ids=[1]).added == 1
        assert reader.count() == 1
        assert [len(tenant(name).search_encoded(QUERIES[:1])) for name in ("one", "two", "three")] == [3, 1, 0]
        two.delete([1])
        assert (one.count(), two.count()) == (3, 0)
        with pytest.raises(ConfigurationError, match="has tenants, and none is named"):
            tenant(None)


def test_writes_at_once_bring_a_tenant_and_new_fields(
    weaviate_under_test: WeaviateServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WeaviateCollection, "writes_at_once", 8)
    monkeypatch.setattr(WeaviateStore, "chunk_bytes", 1)  # each document is a write of its own
    fields = [{f"field{i // 4}": i} for i in range(60)]
    with (
        weaviate_under_test.connect() as client,
        WeaviateStore.from_client(client, f"{prefix}docs", tenant="new", mode="fde") as store,
    ):
        report = store.add_encoded(DOCUMENTS, ids=list(range(60)), payloads=fields)
        assert (report.added, report.failed, store.count()) == (60, [], 60)
        assert store.payloads(range(60)) == dict(enumerate(fields))
        hits = store.search_encoded(QUERIES[:1], filter=Filter.by_property("field14").greater_than(57))
        assert {hit.id for hit in hits} == {58, 59}


def test_a_tenant_of_a_collection_without_any(weaviate_under_test: WeaviateServer, prefix: str) -> None:
    with weaviate_under_test.connect() as client:
        with WeaviateStore.from_client(client, f"{prefix}plain", mode="fde") as store:
            store.add_encoded(DOCUMENTS[:3], ids=[1, 2, 3])
        with pytest.raises(ConfigurationError, match="has no tenants, and tenant 'one' is named"):
            WeaviateStore.from_client(client, f"{prefix}plain", tenant="one")


def test_the_callers_client_is_used_and_stays_open(
    weaviate_under_test: WeaviateServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with weaviate_under_test.connect(headers={"X-Mine": "yes"}) as client:
        sent: list[tuple[Any, Any]] = []
        channel = client._connection._grpc_channel
        method_of = channel.unary_unary

        def recorded(method: str, **options: Any) -> Any:
            call = method_of(method, **options)

            def send(message: bytes, *, metadata: Any, timeout: Any) -> Any:
                level = batch_pb2.BatchObjectsRequest.FromString(message).consistency_level
                sent.append((level, dict(metadata)["x-mine"], timeout))
                return call(message, metadata=metadata, timeout=timeout)

            return send

        monkeypatch.setattr(channel, "unary_unary", recorded)
        level = ConsistencyLevel.QUORUM
        options: Any = {"consistency_level": level, "mode": "fde+rerank"}
        with WeaviateStore.from_client(client, f"{prefix}docs", **options) as store:
            store.add_encoded(DOCUMENTS[:3], ids=[1, 2, 3])
            assert len(store.search_encoded(QUERIES[:1])) == 3
        assert sent == [(base_pb2.CONSISTENCY_LEVEL_QUORUM, "yes", 90)]
        assert client.is_connected()
        assert client.collections.exists(f"{prefix}docs")
    with pytest.raises(ConfigurationError, match="not connected"):
        WeaviateStore.from_client(client)


def test_a_server_that_does_not_answer_is_asked_again(
    weaviate_under_test: WeaviateServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = RefusedError(grpc.StatusCode.UNAVAILABLE, "away")
    with (
        stamina.set_testing(True, attempts=3),
        weaviate_under_test.connect() as client,
        WeaviateStore.from_client(client, f"{prefix}docs", mode="fde") as store,
    ):
        channel = client._connection._grpc_channel
        method_of = channel.unary_unary
        faults = [away, away]

        def sometimes_away(method: str, **options: Any) -> Any:
            return method_of(method, **options) if not faults else lambda *_, **__: _give(faults.pop())

        monkeypatch.setattr(channel, "unary_unary", sometimes_away)
        assert store.add_encoded(DOCUMENTS[:3], ids=[1, 2, 3]).added == 3
        faults += [away] * 3
        with pytest.raises(StoreUnavailableError, match=r"does not answer: away.*goes on where it stopped"):
            store.add_encoded(DOCUMENTS[3:5], ids=[4, 5])
        assert store.count() == 3


def test_a_server_without_memory_is_given_time(
    weaviate_under_test: WeaviateServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        stamina.set_testing(True, attempts=3),
        weaviate_under_test.connect() as client,
        WeaviateStore.from_client(client, f"{prefix}docs", mode="fde") as store,
    ):
        channel = client._connection._grpc_channel
        method_of = channel.unary_unary
        full = batch_pb2.BatchObjectsReply(
            errors=[batch_pb2.BatchObjectsReply.BatchError(index=1, error="cannot process: not enough memory")]
        )
        replies: list[Any] = [full, RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")]

        def sometimes_full(method: str, **options: Any) -> Any:
            return method_of(method, **options) if not replies else lambda *_, **__: _give(replies.pop())

        monkeypatch.setattr(channel, "unary_unary", sometimes_full)
        assert store.add_encoded(DOCUMENTS[:3], ids=[1, 2, 3]).failed == []
        assert (replies, store.count()) == ([], 3)
        replies += [full] * 3
        with pytest.raises(StoreUnavailableError, match=r"is full: cannot process: not enough memory.*goes on where"):
            store.add_encoded(DOCUMENTS[3:5], ids=[4, 5])
        # As large the next time: not tried again.
        replies[:] = [RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "received message larger than max")]
        with pytest.raises(StoreError, match="larger than max"):
            store.add_encoded(DOCUMENTS[3:5], ids=[4, 5])
        assert (replies, store.count()) == ([], 3)


class RefusedError(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    """As grpc raises it."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


RefusedError.__abstractmethods__ = frozenset()


def _give(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply
