"""One URL for all: the vendors' SDKs at the server's root, where a request's fields tell whose it is."""

import cohere
import httpx
import numpy as np
import openai
import pytest
import voyageai
from serving import Running

from vectorplug import Vectorizer, maxsim

TEXTS = ["a cat sat on the mat", "stock markets fell", "x"]
QUERY = "where is the cat?"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def relevance(minilm: Vectorizer) -> np.ndarray:
    query, documents = minilm.encode_query(QUERY).tokens, minilm.encode_document(TEXTS).tokens
    assert query is not None
    assert documents is not None
    return maxsim(query[0], documents) / len(query[0])


@pytest.fixture(scope="module")
def dense(minilm: Vectorizer) -> np.ndarray:
    found = minilm.encode_document(TEXTS).dense
    assert found is not None
    return found


def test_openai(server: Running, dense: np.ndarray) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:
        reply = client.embeddings.create(model="minilm", input=TEXTS)
        np.testing.assert_allclose([row.embedding for row in reply.data], dense, atol=1e-5)
        assert client.models.list().data[0].id == "minilm"
        with pytest.raises(openai.NotFoundError) as missing:
            client.embeddings.create(model="nope", input="x")
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as empty:
            client.embeddings.create(model="minilm", input=["a", ""])
        assert empty.value.param == "input.1"


def test_cohere_in_both_versions(server: Running, dense: np.ndarray, relevance: np.ndarray) -> None:
    with (
        cohere.Client(api_key="x", base_url=server.url, max_retries=0) as first,
        cohere.ClientV2(api_key="x", base_url=server.url, max_retries=0) as second,
    ):
        embedded = second.embed(
            model="minilm", texts=TEXTS, input_type="search_document", embedding_types=["float"]
        ).embeddings.float_
        np.testing.assert_allclose(embedded, dense, atol=1e-5)
        for client in (first, second):
            ranked = client.rerank(model="minilm", query=QUERY, documents=TEXTS, top_n=2).results
            assert [result.index for result in ranked] == np.argsort(-relevance)[:2].tolist()
            np.testing.assert_allclose(ranked[0].relevance_score, relevance.max(), atol=1e-5)
        assert "minilm" in [model.name for model in first.models.list().models]
        with pytest.raises(cohere.NotFoundError, match="nope"):
            first.rerank(model="nope", query=QUERY, documents=TEXTS)


def test_voyage(server: Running, dense: np.ndarray, relevance: np.ndarray) -> None:
    client = voyageai.Client(api_key="x", base_url=f"{server.url}/v1", max_retries=0)
    np.testing.assert_allclose(client.embed(TEXTS, model="minilm").embeddings, dense, atol=1e-5)
    ranked = client.rerank(QUERY, TEXTS, model="minilm").results
    assert [result.index for result in ranked] == np.argsort(-relevance).tolist()
    with pytest.raises(voyageai.error.APIError, match="nope"):
        client.embed(TEXTS, model="nope")


def test_jina_tei_infinity_and_weaviate_by_their_own_fields(
    server: Running, minilm: Vectorizer, dense: np.ndarray, relevance: np.ndarray
) -> None:
    best = np.argsort(-relevance).tolist()
    with httpx.Client(base_url=server.url) as client:
        body = {"model": "minilm", "input": [{"text": text} for text in TEXTS], "return_multivector": True}
        data = client.post("/v1/embeddings", json=body).json()["data"]
        tokens = minilm.encode_document(TEXTS).tokens
        assert tokens is not None
        for row, own in zip(data, tokens, strict=True):
            np.testing.assert_allclose(row["embeddings"], own, atol=1e-5)
        jina = client.post("/v1/rerank", json={"model": "minilm", "query": QUERY, "documents": TEXTS}).json()
        assert [result["index"] for result in jina["results"]] == best
        assert jina["results"][0]["document"]["text"] == TEXTS[best[0]]
        np.testing.assert_allclose(client.post("/embed", json={"inputs": TEXTS}).json(), dense, atol=1e-5)
        tei = client.post("/rerank", json={"query": QUERY, "texts": TEXTS}).json()
        assert [row["index"] for row in tei] == best
        container = client.post("/rerank", json={"query": QUERY, "documents": TEXTS, "property": ""}).json()
        np.testing.assert_allclose([row["score"] for row in container["scores"]], relevance, atol=1e-5)
        infinity = client.post("/rerank", json={"query": QUERY, "documents": TEXTS, "model": "minilm"}).json()
        assert [row["index"] for row in infinity["results"]] == best


def test_the_list_of_models_says_where_each_is(server: Running) -> None:
    rows = {row["id"]: row for row in httpx.get(server.url + "/v1/models").json()["data"]}
    assert rows["minilm"]["state"] == "resident"
    assert rows["minilm"]["dims"] == {"tokens": 384, "fde": 10240, "dense": 384}
    assert rows["tiny-colbert"]["object"] == "model"


@pytest.mark.parametrize("body", [[], "text", 3, None])
def test_a_body_that_is_no_object_is_refused(server: Running, body: object) -> None:
    refused = httpx.post(server.url + "/v1/embeddings", json=body)
    assert refused.status_code == 400
    assert "format:" not in refused.text
