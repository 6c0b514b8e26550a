"""How a collection is made in a real Weaviate, and servers that want a key."""

from pathlib import Path
from typing import Any

import pytest
from store_suite import DOCUMENTS, QUERIES, OpenStore, assert_same, filled, plain_store
from vectorplug_weaviate import WeaviateStore
from weaviate.classes.config import Configure, VectorDistances
from weaviate.classes.query import Filter
from weaviate_server import WeaviateServer, weaviate_server

from vectorplug.errors import ConfigurationError
from vectorplug.search import IndexConfig, open_store
from vectorplug.settings import settings

MUVERA = Configure.VectorIndex.MultiVector.Encoding.muvera(ksim=3, dprojections=8, repetitions=4)
QUANTIZERS = {
    "rq": Configure.VectorIndex.Quantizer.rq(),
    "bq": Configure.VectorIndex.Quantizer.bq(),
    "sq": Configure.VectorIndex.Quantizer.sq(),
    "pq": Configure.VectorIndex.Quantizer.pq(segments=64),
}


def vectors_of(server: WeaviateServer, name: str) -> Any:
    with server.connect() as client:
        return client.collections.use(name).config.get().vector_config


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_the_index_of_the_fde_is_quantized(
    open_weaviate: OpenStore, weaviate_under_test: WeaviateServer, prefix: str, quantizer: str
) -> None:
    store = filled(open_weaviate(mode="fde+rerank", fde_quantizer=QUANTIZERS[quantizer]))
    vectors = vectors_of(weaviate_under_test, f"{prefix}docs")
    assert type(vectors["fde"].vector_index_config.quantizer).__name__.lower() == f"_{quantizer}config"
    assert vectors["fde"].vector_index_config.distance_metric == VectorDistances.DOT
    assert vectors["tokens"].vector_index_config.quantizer is None
    asked = {"limit": 10, "candidates": 60}
    assert_same(
        store.search_encoded(QUERIES[:1], **asked),
        plain_store().search_encoded(QUERIES[:1], mode="fde+rerank", **asked),
    )
    assert open_weaviate().count() == 60  # what was made so opens again


@pytest.mark.parametrize(("fde_dtype", "bits"), [("float32", None), ("int8", 8), ("bit", 1)])
def test_the_numbers_of_a_config(
    open_weaviate: OpenStore, weaviate_under_test: WeaviateServer, prefix: str, fde_dtype: str, bits: int | None
) -> None:
    config = IndexConfig.of({"candidates": 60, "store": {"fde_dtype": fde_dtype}})
    store = filled(open_weaviate(config=config))
    quantizer = vectors_of(weaviate_under_test, f"{prefix}docs")["fde"].vector_index_config.quantizer
    if bits is not None:
        assert (type(quantizer).__name__.lower(), quantizer.bits) == ("_rqconfig", bits)
    asked = plain_store().search_encoded(QUERIES[:1], mode="fde+rerank", candidates=60)
    assert_same(store.search_encoded(QUERIES[:1]), asked)
    reopened = open_weaviate()
    assert reopened.info is not None
    assert (reopened.info.dtypes.fde, reopened.info.candidates) == (fde_dtype, 60)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"tokens": {"dtype": "float16"}}, "'float16', and Weaviate keeps tokens in float32 only"),
        ({"tokens": {"dtype": "int8"}}, "'int8', and Weaviate keeps tokens in float32 only"),
        ({"store": {"fde_dtype": "float16"}}, "'float16', and Weaviate has float32, int8 and bit for FDEs"),
    ],
)
def test_numbers_that_weaviate_has_not(open_weaviate: OpenStore, said: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        filled(open_weaviate(config=IndexConfig.of(said)))
    assert open_weaviate().info is None


def test_weaviates_own_muvera(open_weaviate: OpenStore, weaviate_under_test: WeaviateServer, prefix: str) -> None:
    filled(open_weaviate(mode="native", token_encoding=MUVERA))
    encoding = vectors_of(weaviate_under_test, f"{prefix}docs")["tokens"].vector_index_config.multi_vector.encoding
    assert (encoding.ksim, encoding.dprojections, encoding.repetitions) == (3, 8, 4)
    store, plain = open_weaviate(), plain_store()
    # It ranks twice as many as it is asked for: here they all are candidates.
    for asked in ({"limit": 10}, {"limit": 3, "candidates": 60}):
        assert_same(
            store.search_encoded(QUERIES[:1], **asked), plain.search_encoded(QUERIES[:1], mode="native", **asked)
        )
    group = store.search_encoded(QUERIES[:1], filter=Filter.by_property("group").equal(1), limit=5)
    assert_same(group, plain.search_encoded(QUERIES[:1], mode="native", filter=lambda p: p["group"] == 1, limit=5))


def test_weaviates_own_muvera_looks_at_few_where_few_are_asked_for(open_weaviate: OpenStore) -> None:
    options: dict[str, Any] = {"limit": 1, "candidates": 1, "filter": Filter.by_property("group").equal(1)}
    own = filled(open_weaviate(collection="own", mode="native", token_encoding=MUVERA))
    exact = filled(open_weaviate(collection="exact", mode="native"))
    found = [each.search_encoded(QUERIES[i : i + 1], **options)[0] for i in range(4) for each in (own, exact)]
    worse = [own.score < best.score for own, best in zip(found[::2], found[1::2], strict=True)]
    assert any(worse)


def test_shards_and_copies(open_weaviate: OpenStore, weaviate_under_test: WeaviateServer, prefix: str) -> None:
    filled(open_weaviate(mode="fde", shards=3, replication_factor=1))
    with weaviate_under_test.connect() as client:
        config = client.collections.use(f"{prefix}docs").config.get()
    assert config.sharding_config is not None
    assert (config.sharding_config.desired_count, config.replication_config.factor) == (3, 1)


def test_an_unknown_option_is_named(weaviate_under_test: WeaviateServer) -> None:
    with pytest.raises(TypeError, match="'quantizer'; expected fde_quantizer"):
        WeaviateStore(weaviate_under_test.store_url, quantizer=None)  # type: ignore[call-arg]


def test_a_server_that_wants_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = {
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
        "AUTHENTICATION_APIKEY_ENABLED": "true",
        "AUTHENTICATION_APIKEY_ALLOWED_KEYS": "open-sesame",
        "AUTHENTICATION_APIKEY_USERS": "me",
    }
    with weaviate_server(tmp_path, closed) as server:
        if not server.is_ours:
            pytest.skip("needs a Weaviate that the suite starts itself")
        with WeaviateStore(server.store_url, api_key="open-sesame", mode="fde+rerank") as store:
            assert store.add_encoded(DOCUMENTS, ids=list(range(60))).added == 60
            assert len(store.search_encoded(QUERIES[:1])) == 10
        for key in (None, "another"):
            with pytest.raises(ConfigurationError, match="api_key=") as caught:
                WeaviateStore(server.store_url, api_key=key)
            assert "another" not in str(caught.value)
        monkeypatch.setenv("VECTORPLUG_STORE_API_KEY", "open-sesame")
        settings.cache_clear()
        try:
            with open_store(server.store_url) as store:
                assert store.count() == 60
        finally:
            monkeypatch.undo()
            settings.cache_clear()
