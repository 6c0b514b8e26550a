"""A Qdrant server does what every store must, by gRPC and by REST; and what only a server does."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from corpus import DIM, FDE, random_texts
from fit_suite import TEXTS, KeptFitSuite
from hybrid_suite import HybridSuite, WordsAreChosenSuite
from qdrant_client import QdrantClient, models
from qdrant_client.qdrant_remote import QdrantRemote
from qdrant_server import RunningQdrant, qdrant_server
from refit_suite import UNFITTED, SharedRefitSuite
from store_suite import DOCUMENTS, PAYLOADS, QUERIES, KeptStoreSuite, OpenStore, assert_same, filled, plain_store
from vectorplug_qdrant import QdrantStore, indexing, server, writing
from vectorplug_qdrant.layout import METADATA

from vectorplug import open_store
from vectorplug.encoded import OUTPUTS, Encoded
from vectorplug.errors import ConfigurationError, InputError, StoreError, StoreUnavailableError
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors
from vectorplug.search import IndexConfig
from vectorplug.search.brute import BruteStore
from vectorplug.search.hits import key_of


@pytest.fixture(scope="module")
def qdrant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningQdrant]:
    with qdrant_server(tmp_path_factory.mktemp("qdrant")) as running:
        yield running


@pytest.fixture(scope="module")
def client(qdrant: RunningQdrant) -> Iterator[QdrantClient]:
    """Our own eyes: not the client of the store under test."""
    client = QdrantClient(qdrant.url, timeout=60, check_compatibility=False)
    yield client
    client.close()


@pytest.fixture
def prefix(client: QdrantClient) -> Iterator[str]:
    """Begins the names of a test's collections, which end with it."""
    prefix = uuid.uuid4().hex[:8]
    yield prefix
    for each in client.get_collections().collections:
        if each.name.startswith(prefix):
            client.delete_collection(each.name)


@pytest.fixture
def url(qdrant: RunningQdrant) -> str:
    return f"qdrant+{qdrant.url}?grpc_port={qdrant.grpc_port}"


class ServerSuite(KeptStoreSuite, KeptFitSuite, SharedRefitSuite, HybridSuite, WordsAreChosenSuite):
    @pytest.fixture
    def open_store_under_test(self, url: str, prefix: str) -> Iterator[OpenStore]:
        with ExitStack() as opened:

            def open_one(collection: str = "docs", **options: Any) -> QdrantStore:
                return opened.enter_context(QdrantStore(url, f"{prefix}-{collection}", **options))

            yield open_one

    def lose_fit(self, store: Any) -> None:
        store._database._client.delete_collection(f"{store.collection}.fits")

    @staticmethod
    def group_is(number: int) -> models.Filter:
        return models.Filter(must=[models.FieldCondition(key="group", match=models.MatchValue(value=number))])


class TestByGrpc(ServerSuite):
    pass


class TestByRest(ServerSuite):
    @pytest.fixture
    def url(self, qdrant: RunningQdrant) -> str:
        return qdrant.url


@pytest.fixture
def name(prefix: str) -> str:
    return f"{prefix}-docs"


def test_open_store_finds_it(url: str, name: str) -> None:
    with open_store(url, collection=name, mode="native") as store:
        assert isinstance(store, QdrantStore)
        assert filled(store).count() == 60


def test_a_fit_is_found_by_an_alias(url: str, name: str, client: QdrantClient) -> None:
    with QdrantStore(url, name, vectorizer=UNFITTED) as store:
        store.fit(TEXTS)
        store.add(TEXTS[:20], ids=range(20))
        fitted = store.vectorizer.fde
    alias = models.CreateAlias(collection_name=name, alias_name=f"{name}-alias")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    with QdrantStore(url, f"{name}-alias", vectorizer=UNFITTED) as store:
        assert store.vectorizer.fde == fitted
        assert store.count() == 20
    beside = client.get_collection(f"{name}.fits").config
    assert not beside.params.vectors
    assert client.count(f"{name}.fits").count == 1


def test_a_collection_of_somebody_s_is_no_place_for_a_fit(url: str, name: str, client: QdrantClient) -> None:
    client.create_collection(f"{name}.fits", {})
    with QdrantStore(url, name, vectorizer=UNFITTED) as store:
        store.fit(TEXTS)
        with pytest.raises(StoreError, match=r"\.fits' is there .* and is somebody else's"):
            store.add(TEXTS[:20])
    assert not client.collection_exists(name)
    assert client.count(f"{name}.fits").count == 0


def test_grpc_is_taken_where_it_is_named(url: str, qdrant: RunningQdrant, name: str) -> None:
    with QdrantStore(url, name) as by_grpc, QdrantStore(qdrant.url, name) as by_rest:
        assert by_grpc._database._writing._upsert is not None
        # On its usual port gRPC is found without being named.
        assert (by_rest._database._writing._upsert is not None) == (qdrant.url.endswith(":6333"))


def test_how_a_collection_lies(url: str, name: str, client: QdrantClient) -> None:
    with filled(QdrantStore(url, name, mode="fde+rerank", outputs=OUTPUTS)) as store:
        info = store.info
    config = client.get_collection(name).config
    assert isinstance(config.params.vectors, dict)
    assert {field: params.size for field, params in config.params.vectors.items()} == {
        "tokens": DIM,
        "fde": FDE.size,
        "dense": DIM,
    }
    graphs = {field: params.hnsw_config.m for field, params in config.params.vectors.items() if params.hnsw_config}
    assert graphs == {"tokens": 0, "fde": 16, "dense": 16}
    assert config.metadata == {METADATA: info.model_dump(mode="json")}
    point = client.retrieve(name, [key_of(3)], with_vectors=True)[0]
    assert point.payload == {
        "group": 0,
        "name": "d3",
        "_vectorplug": {"id": 3, "content": point.payload["_vectorplug"]["content"]},
    }
    assert isinstance(point.vector, dict)
    np.testing.assert_array_equal(np.float32(point.vector["tokens"]), DOCUMENTS.tokens[3])
    np.testing.assert_array_equal(np.float32(point.vector["fde"]), DOCUMENTS.fde[3])


def test_both_ways_write_the_same(url: str, qdrant: RunningQdrant, prefix: str, client: QdrantClient) -> None:
    points = []
    for i, each in enumerate((url, qdrant.url)):
        filled(QdrantStore(each, f"{prefix}-{i}", outputs=OUTPUTS)).close()
        points.append(client.scroll(f"{prefix}-{i}", limit=100, with_vectors=True)[0])
    assert len(points[0]) == 60
    assert points[0] == points[1]


@pytest.mark.parametrize("by_grpc", [True, False])
def test_two_stages_are_one_request(
    url: str, qdrant: RunningQdrant, name: str, by_grpc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(QdrantStore(url if by_grpc else qdrant.url, name, mode="fde+rerank")) as store:
        asked: list[dict[str, Any]] = []
        query_points = QdrantRemote.query_points

        def counted(self: QdrantRemote, *args: Any, **options: Any) -> Any:
            asked.append(options)
            return query_points(self, *args, **options)

        monkeypatch.setattr(QdrantRemote, "query_points", counted)
        store.search_encoded(QUERIES[:1], limit=5, candidates=20)
    assert [(each["using"], [(part.using, part.limit) for part in each["prefetch"]]) for each in asked] == [
        ("tokens", [("fde", 20)])
    ]


def test_another_database_s_filter_is_refused(url: str, name: str) -> None:
    with filled(QdrantStore(url, name)) as store, pytest.raises(InputError, match=r"qdrant_client\.models\.Filter"):
        store.search_encoded(QUERIES[:1], filter={"must": []})  # type: ignore[arg-type]


def test_a_collection_of_somebody_else_is_refused_and_untouched(url: str, name: str, client: QdrantClient) -> None:
    client.create_collection(name, {"fde": models.VectorParams(size=4, distance=models.Distance.DOT)})
    before = client.get_collection(name).config
    with QdrantStore(url, name) as store:
        for call in (store.count, lambda: filled(store), lambda: store.search_encoded(QUERIES[:1])):
            with pytest.raises(StoreError, match="was not made by vectorplug"):
                call()
    assert client.get_collection(name).config == before
    assert client.count(name).count == 0


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, "it has no sparse vector 'words'"),
        (models.SparseVectorParams(), "'words' has modifier None, expected idf"),
    ],
)
def test_other_words_than_described_are_refused(
    url: str, name: str, client: QdrantClient, made: models.SparseVectorParams | None, said: str
) -> None:
    with filled(QdrantStore(url, name, mode="hybrid")) as store:
        info = store.info
    assert info is not None
    vectors = client.get_collection(name).config.params.vectors
    client.delete_collection(name)
    sparse = {"words": made} if made is not None else None
    metadata = {METADATA: info.model_dump(mode="json")}
    client.create_collection(name, vectors, sparse_vectors_config=sparse, metadata=metadata)
    with pytest.raises(StoreError, match=said):
        QdrantStore(url, name)


MAX_SIM = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
NO_GRAPH = models.HnswConfigDiff(m=0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fde": None}, "it has no vector 'fde'"),
        ({"fde": {"size": 7}}, f"vector 'fde' has size 7, expected {FDE.size}"),
        ({"fde": {"distance": models.Distance.COSINE}}, "vector 'fde' has distance Cosine, expected Dot"),
        ({"tokens": {"hnsw_config": None}}, "vector 'tokens' has hnsw m 16, expected 0"),
        ({"tokens": {"multivector_config": None}}, "vector 'tokens' has comparator None, expected max_sim"),
    ],
)
def test_other_vectors_than_described_are_refused(
    url: str, name: str, client: QdrantClient, changed: dict[str, Any], said: str
) -> None:
    with filled(QdrantStore(url, name, mode="fde+rerank")) as store:
        info = store.info
    assert info is not None
    client.delete_collection(name)
    options: dict[str, dict[str, Any]] = {
        "fde": {"size": FDE.size},
        "tokens": {"size": DIM, "multivector_config": MAX_SIM, "hnsw_config": NO_GRAPH},
    }
    vectors = {
        field: models.VectorParams(**{"distance": models.Distance.DOT, **given, **changed.get(field, {})})
        for field, given in options.items()
        if changed.get(field, {}) is not None
    }
    client.create_collection(name, vectors, metadata={METADATA: info.model_dump(mode="json")})
    with pytest.raises(StoreError, match=said):
        QdrantStore(url, name)
    assert client.count(name).count == 0


def test_a_description_of_another_version_is_named(url: str, name: str, client: QdrantClient) -> None:
    client.create_collection(name, {}, metadata={METADATA: {"format": 2}})
    with pytest.raises(StoreError, match=f"the metadata of collection '{name}'"):
        QdrantStore(url, name)


@pytest.mark.parametrize("same", [True, False])
def test_two_stores_that_make_one_collection(url: str, name: str, same: bool) -> None:
    first, second = QdrantStore(url, name, mode="fde"), QdrantStore(url, name, mode="fde" if same else "native")
    with first, second:
        filled(first)
        if same:
            filled(second)
        else:
            with pytest.raises(StoreUnavailableError, match="made by another store"):
                filled(second)
        assert first.count() == 60


def test_many_stores_at_once(url: str, name: str) -> None:
    with QdrantStore(url, name, mode="native") as one:
        one.add_encoded(DOCUMENTS[:30], ids=list(range(30)))
        with QdrantStore(url, name) as other:
            other.add_encoded(DOCUMENTS[30:60], ids=list(range(30, 60)))
            assert (one.count(), other.count()) == (60, 60)


def test_options_of_a_new_collection(url: str, name: str, client: QdrantClient) -> None:
    scalar = models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
    )
    with filled(
        QdrantStore(
            url,
            name,
            mode="fde+rerank",
            shard_number=2,
            replication_factor=1,
            write_consistency_factor=1,
            on_disk=True,
            fde_quantization=scalar,
            token_datatype=models.Datatype.FLOAT16,
        )
    ) as store:
        params = client.get_collection(name).config.params
        assert params.shard_number == 2
        assert isinstance(params.vectors, dict)
        assert params.vectors["fde"].quantization_config == scalar
        assert params.vectors["tokens"].quantization_config is None
        assert params.vectors["tokens"].datatype == models.Datatype.FLOAT16
        assert all(each.on_disk for each in params.vectors.values())
        hits = store.search_encoded(QUERIES[:1], limit=60)
    assert DOCUMENTS.tokens is not None
    assert QUERIES.tokens is not None
    stored = maxsim(QUERIES.tokens[0].astype(np.float16).astype(np.float32), DOCUMENTS.tokens.astype("float16"))
    np.testing.assert_allclose([hit.score for hit in hits], stored[[hit.id for hit in hits]], rtol=1e-4)
    exact = maxsim(QUERIES.tokens[0], DOCUMENTS.tokens)
    np.testing.assert_allclose([hit.score for hit in hits], exact[[hit.id for hit in hits]], rtol=5e-3)


QUANTIZATIONS = {
    "scalar": models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig()),
    "turbo": models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig()),
}


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_quantized_fdes_are_scored_whole(url: str, name: str, client: QdrantClient, quantization: str) -> None:
    documents = random_texts(600, seed=8, longest=6)
    plain = BruteStore(mode="fde", outputs=("tokens", "fde"))
    plain.add_encoded(documents, ids=list(range(600)))
    with QdrantStore(url, name, outputs=("tokens", "fde"), fde_quantization=QUANTIZATIONS[quantization]) as store:
        store.add_encoded(documents, ids=list(range(600)))
        # A graph of so little, and its quantized vectors, are built only on demand.
        client.update_collection(name, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10))
        wait_until(lambda: (client.get_collection(name).indexed_vectors_count or 0) >= 500)
        found = store.search_encoded(QUERIES[:1], limit=50, mode="fde")
        exact = {hit.id: hit.score for hit in plain.search_encoded(QUERIES[:1], limit=600, mode="fde")}
        np.testing.assert_allclose([hit.score for hit in found], [exact[hit.id] for hit in found], rtol=1e-4)
        best = plain.search_encoded(QUERIES[:1], limit=50, mode="fde")
        assert len({hit.id for hit in best} & {hit.id for hit in found}) >= 25


KEPT = {
    "float32": (None, None),
    "float16": (models.Datatype.FLOAT16, None),
    "int8": (None, models.ScalarQuantization),
    "bit": (None, models.BinaryQuantization),
}


@pytest.mark.parametrize("fde_dtype", KEPT)
def test_the_numbers_of_a_config(url: str, name: str, client: QdrantClient, fde_dtype: str) -> None:
    config = IndexConfig.of({"tokens": {"dtype": "float16"}, "store": {"fde_dtype": fde_dtype}})
    documents = random_texts(600, seed=8, longest=6)
    plain = BruteStore(mode="fde", outputs=("tokens", "fde"))
    plain.add_encoded(documents, ids=list(range(600)))
    with QdrantStore(url, name, config=config) as store:
        store.add_encoded(documents, ids=list(range(600)))
        vectors = client.get_collection(name).config.params.vectors
        assert isinstance(vectors, dict)
        datatype, quantization = KEPT[fde_dtype]
        assert vectors["tokens"].datatype == models.Datatype.FLOAT16
        assert (vectors["tokens"].quantization_config, vectors["fde"].datatype) == (None, datatype)
        if quantization is None:
            assert vectors["fde"].quantization_config is None
        else:
            assert isinstance(vectors["fde"].quantization_config, quantization)
            assert (vectors["fde"].on_disk, vectors["tokens"].on_disk) == (True, None)
        client.update_collection(name, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10))
        wait_until(lambda: (client.get_collection(name).indexed_vectors_count or 0) >= 500)
    with QdrantStore(url, name) as store:
        assert store.info is not None
        assert (store.info.dtypes.tokens, store.info.dtypes.fde) == ("float16", fde_dtype)
        found = store.search_encoded(QUERIES[:1], limit=50, mode="fde")
    exact = plain.search_encoded(QUERIES[:1], limit=600)
    scores = {hit.id: hit.score for hit in exact}
    np.testing.assert_allclose([hit.score for hit in found], [scores[hit.id] for hit in found], rtol=5e-3, atol=5e-3)
    assert len({hit.id for hit in exact[:50]} & {hit.id for hit in found}) >= (30 if fde_dtype == "bit" else 45)


def test_numbers_that_qdrant_has_not(url: str, name: str, client: QdrantClient) -> None:
    config = IndexConfig.of({"tokens": {"dtype": "int8"}})
    with QdrantStore(url, name, config=config) as store, pytest.raises(ConfigurationError, match="float32 or float16"):
        filled(store)
    assert not client.collection_exists(name)


def wait_until(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < until, "not reached after 60 s"
        time.sleep(0.1)


def test_tokens_that_a_datatype_would_ruin_are_refused(url: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match="FLOAT16"):
        QdrantStore(url, name, token_datatype=models.Datatype.UINT8)
    with pytest.raises(TypeError, match="'shards'"):
        QdrantStore(url, name, shards=3)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="shard_number"):
        QdrantStore("edge:./nowhere", name, shard_number=3)


@pytest.mark.parametrize("by_grpc", [True, False])
def test_large_documents_go_in_several_requests(
    url: str, qdrant: RunningQdrant, name: str, by_grpc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """26 MB of tokens in float32 and texts of 12 MB: as JSON several times what REST takes at once."""
    rng = np.random.default_rng(3)
    tokens = MultiVectors.from_list([rng.standard_normal((2000, 256), np.float32) for _ in range(13)])
    with QdrantStore(url if by_grpc else qdrant.url, name, mode="native") as store:
        written: list[int] = []
        upserting = writing.Writing._upserting

        def counted(self: writing.Writing, rows: Any, texts: Any) -> Any:
            written.append(len(rows.rows))
            return upserting(self, rows, texts)

        monkeypatch.setattr(writing.Writing, "_upserting", counted)
        payloads = [{"text": "ü" * 2**19} for _ in range(13)]
        assert store.add_encoded(Encoded(tokens), ids=list(range(13)), payloads=payloads).added == 13
        assert store.count() == sum(written) == 13
        assert len(written) >= (3 if by_grpc else 9)


def test_a_collection_s_own_limit_of_points(url: str, name: str, client: QdrantClient) -> None:
    with QdrantStore(url, name, mode="native") as store:
        store.add_encoded(DOCUMENTS[:1], ids=["first"])
    strict = models.StrictModeConfig(enabled=True, upsert_max_batchsize=7)
    client.update_collection(name, strict_mode_config=strict)
    with QdrantStore(url, name) as store:
        filled(store)
        assert store.count() == 61


def threshold(client: QdrantClient, name: str) -> int | None:
    return client.get_collection(name).config.optimizer_config.indexing_threshold


def test_indexing_waits_for_the_first_documents_and_goes_on(
    url: str, name: str, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int | None] = []
    upserting = writing.Writing._upserting

    def watched(self: writing.Writing, rows: Any, texts: Any) -> Any:
        seen.append(threshold(client, name))
        return upserting(self, rows, texts)

    monkeypatch.setattr(writing.Writing, "_upserting", watched)
    monkeypatch.setattr(server.ServerCollection, "writes_at_once", 1)
    with QdrantStore(url, name, mode="native") as store:
        filled(store)
        usual = threshold(client, name)
        assert seen == [0]
        assert usual
        store.add_encoded(DOCUMENTS[:1], ids=["one more"])
        assert seen == [0, usual]  # a small add leaves it alone
        monkeypatch.setattr(indexing, "BULK_BYTES", 30_000)
        monkeypatch.setattr(QdrantStore, "chunk_bytes", 20_000)
        filled(store)
        assert seen[2:] == [usual, usual] + [0] * (len(seen) - 4)
        assert len(seen) > 5
        assert threshold(client, name) == usual
    assert set(client.get_collection(name).config.metadata or {}) == {METADATA}


def test_several_writers_pause_indexing_once(url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    update_collection = QdrantRemote.update_collection

    def recorded(self: QdrantRemote, *args: Any, **changes: Any) -> bool:
        diff = changes.get("optimizers_config")
        said.append(changes["metadata"] or diff.indexing_threshold)
        return update_collection(self, *args, **changes)

    with QdrantStore(url, name, mode="native") as store:
        store.add_encoded(DOCUMENTS[:1], ids=["one"])
        monkeypatch.setattr(QdrantRemote, "update_collection", recorded)
        monkeypatch.setattr(indexing, "BULK_BYTES", 60_000)
        monkeypatch.setattr(QdrantStore, "chunk_bytes", 5_000)
        filled(store)
        usual = said[0][indexing.KEPT]
        assert usual
        assert said == [{indexing.KEPT: usual}, 0, usual, {indexing.KEPT: None}]
        assert store.count() == 61


@pytest.mark.parametrize("ended_by", ["close", "kill"])
def test_indexing_goes_on_after_an_add_that_did_not_end(
    url: str, name: str, client: QdrantClient, ended_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = QdrantStore(url, name, mode="native")
    with monkeypatch.context() as patch:
        patch.setattr(server.ServerCollection, "finish", lambda _: None)
        filled(store)
    assert threshold(client, name) == 0
    if ended_by == "kill":  # then nothing is called any more
        store._database._indexing._paused = False
    store.close()
    if ended_by == "kill":
        assert threshold(client, name) == 0
        QdrantStore(url, name).close()
    assert threshold(client, name)
    assert set(client.get_collection(name).config.metadata or {}) == {METADATA}


def test_an_owner_who_keeps_indexing_off_keeps_it_off(url: str, name: str, client: QdrantClient) -> None:
    with QdrantStore(url, name, mode="native") as store:
        filled(store)
        client.update_collection(name, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0))
        store._database._indexing.pause()
        store.add_encoded(DOCUMENTS[:1], ids=["one more"])
    QdrantStore(url, name).close()
    assert threshold(client, name) == 0


def test_a_collection_that_is_deleted_meanwhile_is_an_error(url: str, name: str, client: QdrantClient) -> None:
    with filled(QdrantStore(url, name, mode="native")) as store:
        client.delete_collection(name)
        for call in (store.count, lambda: store.search_encoded(QUERIES[:1])):
            with pytest.raises(StoreError, match=name):
                call()


def test_an_alias_is_as_good_as_a_name(url: str, prefix: str, client: QdrantClient) -> None:
    filled(QdrantStore(url, f"{prefix}-v1", mode="native")).close()
    create = models.CreateAlias(collection_name=f"{prefix}-v1", alias_name=f"{prefix}-live")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    with QdrantStore(url, f"{prefix}-live") as store:
        assert_same(store.search_encoded(QUERIES[:1]), plain_store().search_encoded(QUERIES[:1], mode="native"))


@pytest.mark.parametrize("prefer_grpc", [True, False])
def test_a_client_that_exists(qdrant: RunningQdrant, name: str, prefer_grpc: bool) -> None:
    given = QdrantClient(
        qdrant.url, grpc_port=qdrant.grpc_port, prefer_grpc=prefer_grpc, timeout=60, check_compatibility=False
    )
    with filled(QdrantStore.from_client(given, name, mode="fde+rerank")) as store:
        assert (store._database._writing._upsert is not None) == prefer_grpc
        assert_same(store.search_encoded(QUERIES[:1]), plain_store().search_encoded(QUERIES[:1], mode="fde+rerank"))
    assert given.count(name).count == 60  # still open
    given.close()


def test_its_own_client_is_closed_with_it(url: str, name: str) -> None:
    store = QdrantStore(url, name, mode="native")
    assert not store._database._client.closed
    store.close()
    assert store._database._client.closed


def test_a_server_too_old_is_refused(url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = models.VersionInfo(title="qdrant", version="1.15.5")
    monkeypatch.setattr(QdrantRemote, "info", lambda _: said)
    with pytest.raises(StoreError, match=r"version 1\.15\.5, expected 1\.16"):
        QdrantStore(url, name)


@pytest.mark.parametrize("by_grpc", [True, False])
def test_keys_go_in_parts(
    url: str, qdrant: RunningQdrant, name: str, by_grpc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "KEYS_AT_ONCE", 7)
    with filled(QdrantStore(url if by_grpc else qdrant.url, name, mode="native")) as store:
        assert store.payloads([*range(20), "no such id"]) == {i: PAYLOADS[i] for i in range(20)}
        store.delete(list(range(20)))
        assert store.count() == 40


def test_clients_without_a_server_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="edge:FOLDER"):
        QdrantStore.from_client(QdrantClient(":memory:"))
    with pytest.raises(ConfigurationError, match="is a str"):
        QdrantStore.from_client("http://localhost:6333")  # type: ignore[arg-type]


def test_vectors_longer_than_qdrant_takes_are_refused(url: str, name: str, client: QdrantClient) -> None:
    with QdrantStore(url, name, mode="dense") as store:
        with pytest.raises(ConfigurationError, match="65,537 numbers"):
            store.add_encoded(Encoded(dense=np.ones((1, 65_537), np.float32)), ids=[1])
        assert not client.collection_exists(name)
        report = QdrantStore(url, name, mode="native").add_encoded(
            Encoded(MultiVectors.from_list([np.ones((n, DIM), np.float32) for n in (1, 65_536, 65_535)])), ids=[1, 2, 3]
        )
        assert [failed for failed, _ in report.failed] == [2]
        assert report.added == client.count(name).count == 2


def test_numbers_of_any_float_type(url: str, name: str) -> None:
    assert DOCUMENTS.fde is not None
    half = replace(DOCUMENTS, fde=DOCUMENTS.fde.astype(np.float16), tokens=None, dense=None)
    with QdrantStore(url, name, mode="fde") as store:
        assert store.add_encoded(half, ids=list(range(60))).added == 60
        plain = BruteStore(mode="fde")
        plain.add_encoded(half, ids=list(range(60)))
        assert [hit.id for hit in store.search_encoded(QUERIES[:1])] == [
            hit.id for hit in plain.search_encoded(QUERIES[:1])
        ]
