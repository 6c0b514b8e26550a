"""What Weaviate's containers are asked for, without a Weaviate."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounds import bounds
from starlette.testclient import TestClient

from vectorplug import Vectorizer, maxsim
from vectorplug.residency.cache import ModelCache
from vectorplug.server.app import create_app
from vectorplug.server.engine import Engine
from vectorplug.server.names import Names

TEXTS = ["the sea", "a ship on the sea", "bread and flour"]
LONG = "sea " * 100


@contextmanager
def asking(model: Path, *keys: str) -> Iterator[TestClient]:
    limits = bounds(*keys, body_bytes=1 << 20, texts=32, request_tokens=4096, queue_tokens=4096)
    engine = Engine(ModelCache(device="cpu", dtype="float32"), Names({"colbert": str(model)}), limits)
    with TestClient(create_app(engine, limits), base_url="http://testserver/weaviate") as client:
        yield client


@pytest.fixture(scope="module")
def client(tiny_colbert: Path) -> Iterator[TestClient]:
    with asking(tiny_colbert) as opened:
        yield opened


@pytest.fixture(scope="module")
def own(tiny_colbert: Path) -> Vectorizer:
    return Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")


@pytest.mark.parametrize("path", ["/vectors", "/vectors/"])
def test_one_text(client: TestClient, own: Vectorizer, path: str) -> None:
    answered = client.post(path, json={"text": TEXTS[1], "config": {"pooling_strategy": "cls"}}).json()
    dense = own.encode_document(TEXTS[1]).dense
    assert dense is not None
    np.testing.assert_allclose(answered["vector"], dense[0], atol=1e-5)
    assert (answered["text"], answered["dims"]) == (TEXTS[1], dense.shape[1])


@pytest.mark.parametrize("task", ["query", "passage"])
def test_texts_of_a_role(client: TestClient, own: Vectorizer, task: str) -> None:
    body = {"texts": TEXTS, "config": {"task_type": task, "dimensions": 8}}
    answered = client.post("/vectors", json=body).json()
    encode = own.encode_query if task == "query" else own.encode_document
    np.testing.assert_allclose(answered["vectors"], encode(TEXTS, dimensions=8).dense, atol=1e-5)
    assert answered["dims"] == 8


@pytest.mark.parametrize("is_query", [True, False])
def test_the_embedding_service(client: TestClient, own: Vectorizer, is_query: bool) -> None:
    body: dict[str, Any] = {"input": TEXTS, "model": "colbert"} | ({"is_search_query": True} if is_query else {})
    answered = client.post("/v1/embeddings/embed", json=body).json()
    encode = own.encode_query if is_query else own.encode_document
    np.testing.assert_allclose(answered["embeddings"], encode(TEXTS).dense, atol=1e-5)
    assert answered["metadata"] == {"model": "colbert", "num_embeddings_inferred": 3}


def test_rerankers_keep_or_sort_the_order(client: TestClient, own: Vectorizer) -> None:
    asked, given = own.encode_query("ship").tokens, own.encode_document(TEXTS).tokens
    assert asked is not None
    assert given is not None
    scores = maxsim(asked[0], given)
    kept = client.post("/rerank", json={"query": "ship", "documents": TEXTS, "property": ""}).json()["scores"]
    assert [row["document"] for row in kept] == TEXTS
    np.testing.assert_allclose([row["score"] for row in kept], scores / len(asked[0]), atol=1e-4)
    body = {"model": "colbert", "query": {"text": "ship"}, "passages": [{"text": text} for text in TEXTS]}
    ranked = client.post("/v1/retrieval/nvidia/reranking", json=body).json()["rankings"]
    assert [row["index"] for row in ranked] == np.argsort(-scores).tolist()
    np.testing.assert_allclose([row["logit"] for row in ranked], np.sort(scores)[::-1], atol=1e-4)


def test_what_is_too_long_is_cut_and_counted(client: TestClient) -> None:
    nvidia = {"model": "colbert", "query": {"text": "ship"}, "passages": [{"text": LONG}]}
    for path, body in {
        "/vectors": {"text": LONG},
        "/v1/embeddings/embed": {"input": [LONG], "model": "colbert"},
        "/rerank": {"query": "ship", "documents": [LONG], "property": ""},
        "/v1/retrieval/nvidia/reranking": nvidia,
    }.items():
        answered = client.post(path, json=body)
        assert answered.is_success
        assert int(answered.headers["x-vectorplug-truncated"]) > 0
    refused = client.post("/v1/retrieval/nvidia/reranking", json=nvidia | {"truncate": "NONE"})
    assert refused.status_code == 422
    assert "shorten it" in refused.json()["detail"][0]["msg"]


def test_errors_are_text_where_weaviate_reads_them(client: TestClient) -> None:
    refused = client.post("/v1/embeddings/embed", json={"input": ["x"], "model": "absent"})
    assert refused.status_code == 404
    assert "'absent' is not served here" in refused.json()["error"]
    assert refused.json()["detail"] == refused.json()["error"]


def test_meta_is_the_default_models(client: TestClient, own: Vectorizer) -> None:
    told = client.get("/meta").json()
    assert (told["model"], told["fingerprint"]) == ("colbert", own.fingerprint)
    assert (told["token_dim"], told["dense_dim"]) == (own.dims["tokens"], own.dims["dense"])


def test_probes_ask_for_no_key_and_say_when_it_is_not_ready(tiny_colbert: Path) -> None:
    with asking(tiny_colbert, "secret") as closed:
        closed.app.state.readiness.reason = "loading"  # type: ignore[attr-defined]
        assert closed.get("/.well-known/live").status_code == 204
        assert closed.get("/.well-known/ready").status_code == 503
        closed.app.state.readiness.reason = None  # type: ignore[attr-defined]
        assert closed.get("/.well-known/ready").status_code == 204
        assert closed.post("/vectors", json={"text": "x"}).status_code == 401
        assert closed.post("/vectors", json={"text": "x"}, auth=("any", "secret")).status_code == 200
        nvidia = {"model": "colbert", "query": {"text": "ship"}, "passages": [{"text": "x"}]}
        refused = closed.post("/v1/retrieval/nvidia/reranking", json=nvidia)
        assert refused.status_code == 403  # the one status of which the module shows its user the text
        assert isinstance(refused.json()["detail"], str)
