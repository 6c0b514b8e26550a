"""Jina's format over plain HTTP: as its documentation has it, and as Weaviate's modules send and read it."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from serving import Running, serving

from vectorplug import MultiVectors, Vectorizer, maxsim
from vectorplug.errors import OverloadedError

TEXTS = ["a cat sat on the mat, and sat.", "Überlandflug über Köln", "x"]
PARTS = [{"text": text} for text in TEXTS]
# The size of a token vector of the tiny ColBERT.
TINY = 16


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/jina", headers={"authorization": "Bearer jina_x"}) as client:
        yield client


def post(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    reply = client.post(path, json={"model": "minilm", "input": TEXTS, **body})
    assert reply.status_code == 200, reply.text
    answered: dict[str, Any] = reply.json()
    return answered


def singles(answered: Mapping[str, Any]) -> list[Any]:
    assert [(row["object"], row["index"]) for row in answered["data"]] == [
        ("embedding", i) for i in range(len(answered["data"]))
    ]
    return [row["embedding"] for row in answered["data"]]


def multis(answered: Mapping[str, Any]) -> list[Any]:
    assert [(row["object"], row["index"]) for row in answered["data"]] == [
        ("embeddings", i) for i in range(len(answered["data"]))
    ]
    return [row["embeddings"] for row in answered["data"]]


def same(found: Sequence[Any], own: MultiVectors | None) -> None:
    assert own is not None
    assert [len(tokens) for tokens in found] == own.lengths.tolist()
    for tokens, expected in zip(found, own, strict=True):
        np.testing.assert_allclose(tokens, expected, atol=1e-5)


def as_weaviate_reads(answered: Mapping[str, Any]) -> list[Any]:
    """The vectors by their index; each of Weaviate's modules takes `embedding`, and `embeddings` where it is none."""
    found: list[Any] = [None] * len(answered["data"])
    for row in answered["data"]:
        found[row["index"]] = row.get("embedding") or row.get("embeddings")
    return found


def test_single_vectors_are_the_models_own_and_count_its_tokens(client: httpx.Client, minilm: Vectorizer) -> None:
    answered = post(client, "/v1/embeddings")
    own = minilm.encode_document(TEXTS)
    assert own.token_counts is not None
    np.testing.assert_allclose(singles(answered), own.dense, atol=1e-5)
    assert answered["object"] == "list"
    assert answered["model"] == "minilm"
    assert answered["usage"] == {"prompt_tokens": own.token_counts.sum(), "total_tokens": own.token_counts.sum()}


@pytest.mark.parametrize("given", [TEXTS[0], {"text": TEXTS[0]}, [TEXTS[0]], [{"text": TEXTS[0]}]])
def test_an_input_is_a_text_an_object_or_a_list(client: httpx.Client, minilm: Vectorizer, given: Any) -> None:
    answered = post(client, "/v1/embeddings", input=given, normalized=False, embedding_type=None, truncate=None)
    np.testing.assert_allclose(singles(answered), minilm.encode_document(TEXTS[:1]).dense, atol=1e-5)


def test_dimensions_keep_the_first_numbers_at_unit_norm(client: httpx.Client, minilm: Vectorizer) -> None:
    answered = post(client, "/v1/embeddings", dimensions=64)
    np.testing.assert_allclose(singles(answered), minilm.encode_document(TEXTS, dimensions=64).dense, atol=1e-5)


def test_embedding_types_of_single_vectors(client: httpx.Client, minilm: Vectorizer) -> None:
    own = minilm.encode_document(TEXTS).dense
    assert own is not None
    packed = singles(post(client, "/v1/embeddings", embedding_type="base64"))
    np.testing.assert_allclose([np.frombuffer(base64.b64decode(v), "<f4") for v in packed], own, atol=1e-5)
    bits = np.packbits(own > 0, axis=1)
    assert singles(post(client, "/v1/embeddings", embedding_type="ubinary")) == bits.tolist()
    assert singles(post(client, "/v1/embeddings", embedding_type="binary")) == (bits.astype(int) - 128).tolist()
    assert singles(post(client, "/v1/embeddings", embedding_type=["ubinary"])) == bits.tolist()
    both = singles(post(client, "/v1/embeddings", embedding_type=["float", "ubinary"]))
    assert [v["ubinary"] for v in both] == bits.tolist()
    np.testing.assert_allclose([v["float"] for v in both], own, atol=1e-5)


def test_embedding_types_of_multi_vectors(client: httpx.Client, minilm: Vectorizer) -> None:
    own = minilm.encode_document(TEXTS).tokens
    assert own is not None
    packed = multis(post(client, "/v1/multi-vector", embedding_type="base64"))
    same([[np.frombuffer(base64.b64decode(token), "<f4") for token in text] for text in packed], own)
    bits = multis(post(client, "/v1/multi-vector", embedding_type="ubinary"))
    assert bits == [np.packbits(tokens > 0, axis=1).tolist() for tokens in own]


@pytest.mark.parametrize("path", ["/jina/v1/multi-vector", "/v1/multi-vector"])
def test_multi_vectors_are_the_models_tokens(server: Running, minilm: Vectorizer, path: str) -> None:
    with httpx.Client(base_url=server.url) as client:
        same(multis(post(client, path)), minilm.encode_document(TEXTS).tokens)


@pytest.fixture(scope="module")
def tiny(server: Running) -> Vectorizer:
    """The tiny ColBERT in process: another recipe for queries than for documents."""
    engine = server.app.state.engine
    return Vectorizer(engine.names.wanted("tiny-colbert").model, device="cpu", dtype="float32")


@pytest.mark.parametrize(
    ("asked", "role"),
    [
        ({}, "document"),
        ({"task": "retrieval.query"}, "query"),
        ({"task": "code.query"}, "query"),
        ({"task": "retrieval.passage"}, "document"),
        ({"task": "text-matching"}, "document"),
        ({"input_type": "query"}, "query"),
        ({"input_type": "document"}, "document"),
        ({"model": "tiny-colbert:query"}, "query"),
        ({"model": "tiny-colbert:document", "task": "retrieval.query"}, "document"),
        ({"return_multivector": True}, "document"),
    ],
)
def test_the_role_at_multi_vector(client: httpx.Client, tiny: Vectorizer, asked: dict[str, Any], role: str) -> None:
    answered = post(client, "/v1/multi-vector", **{"model": "tiny-colbert", **asked})
    own = tiny.encode_query(TEXTS) if role == "query" else tiny.encode_document(TEXTS)
    same(multis(answered), own.tokens)


@pytest.mark.parametrize(
    ("asked", "role"),
    [
        ({"input": TEXTS}, "query"),
        ({"input": PARTS}, "document"),
        ({"input": [TEXTS[0], *PARTS[1:]]}, "document"),
        ({"input": TEXTS, "task": "retrieval.passage"}, "document"),
        ({"input": TEXTS, "input_type": "document"}, "document"),
        ({"input": TEXTS, "model": "tiny-colbert:document"}, "document"),
        ({"input": PARTS, "task": "retrieval.query"}, "query"),
    ],
)
def test_plain_strings_with_return_multivector_are_queries_unless_told(
    client: httpx.Client, tiny: Vectorizer, asked: dict[str, Any], role: str
) -> None:
    body = {"model": "tiny-colbert", "return_multivector": True, "truncate": True, **asked}
    answered = post(client, "/v1/embeddings", **body)
    own = tiny.encode_query(TEXTS) if role == "query" else tiny.encode_document(TEXTS)
    same(multis(answered), own.tokens)


@pytest.mark.parametrize(
    ("asked", "is_multi"),
    [
        ({"model": "tiny-colbert"}, False),
        ({"model": "tiny-colbert", "input_type": "document"}, True),
        ({"model": "tiny-colbert", "input_type": "query", "return_multivector": False}, False),
        ({"model": "tiny-colbert:dense", "input_type": "document"}, False),
        ({"model": "minilm", "input_type": "document"}, False),
        ({"model": "minilm", "return_multivector": True}, True),
        ({"model": "minilm:tokens"}, True),
        ({"model": "minilm:fde", "return_multivector": True}, False),
    ],
)
def test_which_vectors_embeddings_gives(client: httpx.Client, asked: dict[str, Any], is_multi: bool) -> None:
    answered = post(client, "/v1/embeddings", **asked)
    (multis if is_multi else singles)(answered)


def test_dimensions_above_the_models_own(client: httpx.Client, tiny: Vectorizer) -> None:
    # Weaviate always asks for 128, and a small model has fewer.
    most = multis(post(client, "/v1/multi-vector", model="tiny-colbert", dimensions=128))
    same(most, tiny.encode_document(TEXTS).tokens)
    fewer = multis(post(client, "/v1/multi-vector", model="tiny-colbert", dimensions=8))
    same(fewer, tiny.encode_document(TEXTS, dimensions=8).tokens)
    refused = client.post("/v1/embeddings", json={"model": "tiny-colbert", "input": "x", "dimensions": TINY + 1})
    assert refused.status_code == 400
    assert "expected 1 to 16" in refused.json()["detail"]


def test_tokenized_input_stands_beside_its_vectors(client: httpx.Client) -> None:
    answered = post(client, "/v1/multi-vector", return_tokenized_input=True)
    for row, text in zip(answered["data"], TEXTS, strict=True):
        assert len(row["tokenized_input"]) == len(row["embeddings"])
        assert "".join(row["tokenized_input"]) == text.replace(" ", "")
    # This checkpoint gives punctuation no vector.
    row = post(client, "/v1/multi-vector", model="tiny-colbert", return_tokenized_input=True)["data"][0]
    assert len(row["tokenized_input"]) == len(row["embeddings"])
    assert "".join(row["tokenized_input"]) == "acatsatonthematandsat"
    # The 16 tokens of a query: its expansion stands for no characters.
    row = post(client, "/v1/multi-vector", model="tiny-colbert:query", return_tokenized_input=True)["data"][2]
    assert len(row["tokenized_input"]) == len(row["embeddings"]) == 16
    assert sorted(row["tokenized_input"]) == [""] * 15 + ["x"]
    refused = client.post("/v1/embeddings", json={"model": "minilm", "input": "x", "return_tokenized_input": True})
    assert refused.status_code == 400
    assert "return_multivector" in refused.json()["detail"]


def test_rerank_is_maxsim_a_query_token(client: httpx.Client, minilm: Vectorizer) -> None:
    query, documents = "where did the cat sit?", [*TEXTS, ""]
    reply = client.post("/v1/rerank", json={"model": "minilm", "query": query, "documents": [*PARTS, ""]})
    asked, given = minilm.encode_query(query), minilm.encode_document(documents)
    assert asked.tokens is not None
    assert given.tokens is not None
    assert asked.token_counts is not None
    assert given.token_counts is not None
    own = maxsim(asked.tokens[0], given.tokens) / len(asked.tokens[0])
    answered = reply.json()
    assert [row["index"] for row in answered["results"]] == np.argsort(-own).tolist()
    np.testing.assert_allclose([row["relevance_score"] for row in answered["results"]], np.sort(own)[::-1], atol=1e-5)
    assert [row["document"]["text"] for row in answered["results"]] == [documents[i] for i in np.argsort(-own)]
    assert answered["usage"]["total_tokens"] == asked.token_counts.sum() + given.token_counts.sum()


def test_rerank_returns_the_best_without_documents_if_asked(client: httpx.Client) -> None:
    asked = {"model": "minilm", "query": "cat", "documents": TEXTS, "top_n": 2, "return_documents": False}
    answered = client.post("/v1/rerank", json=asked).json()
    assert answered["object"] == "list"
    assert [set(row) for row in answered["results"]] == [{"index", "relevance_score"}] * 2
    assert answered["results"][0]["index"] == 0


def test_rerank_cuts_unless_told_not_to(client: httpx.Client) -> None:
    asked = {"model": "minilm", "query": "cat", "documents": [" word" * 400]}
    cut = client.post("/v1/rerank", json=asked)
    assert cut.status_code == 200
    assert cut.headers["x-vectorplug-truncated"] == "146"
    assert client.post("/v1/rerank", json={**asked, "truncation": False}).status_code == 400


def test_a_text_that_is_too_long_is_refused_unless_it_may_be_cut(client: httpx.Client) -> None:
    asked = {"model": "minilm", "input": " word" * 400}
    refused = client.post("/v1/embeddings", json=asked)
    assert refused.status_code == 400
    assert refused.json()["code"] == "INPUT_TOKEN_LIMIT_EXCEEDED"
    assert "402 tokens" in refused.json()["detail"]
    cut = client.post("/v1/embeddings", json={**asked, "truncate": True})
    assert cut.status_code == 200
    assert cut.headers["x-vectorplug-truncated"] == "146"


@pytest.mark.parametrize(
    ("path", "asked", "headers"),
    [
        ("/v1/multi-vector", {}, {}),
        ("/v1/embeddings", {"input_type": "query"}, {}),
        ("/v1/embeddings", {}, {"x-header-vectordb-source": "Weaviate"}),
    ],
)
def test_who_cannot_say_truncate_gets_it(
    client: httpx.Client, path: str, asked: dict[str, str], headers: dict[str, str]
) -> None:
    body = {"model": "minilm", "input": " word" * 400, **asked}
    assert client.post(path, json=body, headers=headers).headers["x-vectorplug-truncated"] == "146"
    assert client.post(path, json={**body, "truncate": False}, headers=headers).status_code == 400


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "said"),
    [
        ("/v1/embeddings", {"model": "jina-embeddings-v9", "input": "x"}, 400, "INPUT_MODEL_NOT_FOUND", "v9"),
        ("/v1/multi-vector", {"model": "m", "input": "x", "dimensions": 8}, 400, "INPUT_MODEL_NOT_FOUND", "'m'"),
        ("/v1/embeddings", {"model": "m", "input": "x", "input_type": "query"}, 400, "INPUT_MODEL_NOT_FOUND", "'m'"),
        ("/v1/rerank", {"model": "m", "query": "x", "documents": ["x"]}, 400, "INPUT_MODEL_NOT_FOUND", "'m'"),
        ("/v1/embeddings", {"model": "minilm", "input": ""}, 422, "INPUT_INVALID", "input"),
        ("/v1/embeddings", {"model": "minilm", "input": []}, 422, "INPUT_INVALID", "input"),
        ("/v1/embeddings", {"model": "minilm", "input": [{"text": ""}]}, 422, "INPUT_INVALID", "input"),
        ("/v1/rerank", {"model": "minilm", "query": "x", "documents": []}, 422, "INPUT_INVALID", "documents"),
        ("/v1/embeddings", {"model": "minilm", "input": ["x", {"image": "R0lGODdh"}]}, 400, "INPUT_INVALID", "input.1"),
        ("/v1/rerank", {"model": "minilm", "query": "x", "documents": [{"image": "x"}]}, 400, "INPUT_INVALID", "texts"),
        ("/v1/embeddings", {"model": "minilm", "input": [{"pdf": "x"}]}, 400, "INPUT_INVALID", "input.0"),
        ("/v1/embeddings", {"model": "minilm", "input": "x", "late_chunking": True}, 400, "INPUT_INVALID", "chunk"),
        ("/v1/embeddings", {"model": "minilm", "input": "x", "embedding_type": "int4"}, 400, "INPUT_INVALID", "embed"),
        ("/v1/embeddings", {"input": "x"}, 400, "INPUT_INVALID", "model"),
        ("/v1/nothing", {}, 404, None, "path"),
    ],
)
def test_errors(client: httpx.Client, path: str, body: Any, status: int, code: str | None, said: str) -> None:
    reply = client.post(path, json=body, headers={"x-request-id": "abc"})
    assert reply.status_code == status
    answered = reply.json()
    # Weaviate cannot parse a reply whose `detail` is not a string.
    assert isinstance(answered["detail"], str)
    assert said in answered["detail"]
    assert answered["request_id"] == "abc"
    if code is not None:
        assert answered["code"] == code


def test_a_key_is_asked_for() -> None:
    with serving({"minilm": "minilm"}, keys=("right",)) as closed:
        asked = {"model": "minilm", "input": "x"}
        url = f"{closed.url}/jina/v1/embeddings"
        assert httpx.post(url, json=asked, headers={"authorization": "Bearer right"}).status_code == 200
        refused = httpx.post(url, json=asked, headers={"authorization": "Bearer wrong"})
        assert refused.status_code == 401
        assert refused.json()["code"] == "AUTH_INVALID_API_KEY"


def test_an_overloaded_server_says_503_so_that_weaviate_asks_again(
    client: httpx.Client, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise OverloadedError("the queue is full", retry_after=1.5)

    monkeypatch.setattr(server.app.state.engine, "embed", full)
    refused = client.post("/v1/embeddings", json={"model": "minilm", "input": "x"})
    assert refused.status_code == 503
    assert refused.json()["code"] == "SERVICE_UNAVAILABLE"
    assert refused.json()["detail"] == "the queue is full"
    assert refused.headers["retry-after"] == "2"


def test_models_are_listed(client: httpx.Client) -> None:
    assert [model["id"] for model in client.get("/v1/models").json()["data"]][:2] == ["minilm", "tiny-colbert"]


class TestWeaviate:
    """The bodies of usecases/modulecomponents/clients/jinaai of Weaviate, read as its modules read the answers."""

    @pytest.fixture
    def client(self, server: Running) -> Iterator[httpx.Client]:
        headers = {"authorization": "Bearer x", "x-header-vectordb-source": "Weaviate"}
        with httpx.Client(base_url=f"{server.url}/jina", headers=headers) as client:
            yield client

    def sent(self, client: httpx.Client, path: str, body: dict[str, Any]) -> list[Any]:
        reply = client.post(path, json=body)
        assert reply.status_code == 200, reply.text
        # What is counted goes off a budget of Jina's free tier that the client keeps by itself.
        assert reply.json()["usage"]["total_tokens"] == 0
        assert reply.json()["usage"]["prompt_tokens"] > 0
        return as_weaviate_reads(reply.json())

    def test_text2multivec(self, client: httpx.Client, tiny: Vectorizer) -> None:
        body = {"input": TEXTS, "model": "tiny-colbert", "embedding_type": "float", "dimensions": 128}
        same(self.sent(client, "/v1/multi-vector", body), tiny.encode_document(TEXTS).tokens)

    def test_text2multivec_with_a_name_for_which_it_tells_the_role(self, tiny: Vectorizer, server: Running) -> None:
        with serving({"vp-colbert-v3": server.app.state.engine.names.wanted("tiny-colbert").model}) as named:
            body = {"input": TEXTS, "model": "vp-colbert-v3", "embedding_type": "float", "normalized": False}
            headers = {"x-header-vectordb-source": "Weaviate"}
            with httpx.Client(base_url=named.url, headers=headers) as client:
                body |= {"task": "retrieval.query", "dimensions": 128}
                same(self.sent(client, "/v1/multi-vector", body), tiny.encode_query(TEXTS).tokens)
                body |= {"task": "retrieval.passage"}
                same(self.sent(client, "/v1/multi-vector", body), tiny.encode_document(TEXTS).tokens)

    def test_multi2multivec(self, client: httpx.Client, tiny: Vectorizer) -> None:
        body = {"model": "tiny-colbert", "embedding_type": "float", "return_multivector": True}
        documents = self.sent(client, "/v1/embeddings", {**body, "input": PARTS[:1]})
        queries = self.sent(client, "/v1/embeddings", {**body, "input": TEXTS[:1]})
        same(documents, tiny.encode_document(TEXTS[:1]).tokens)
        same(queries, tiny.encode_query(TEXTS[:1]).tokens)

    def test_text2vec(self, client: httpx.Client, minilm: Vectorizer) -> None:
        body = {"input": TEXTS, "model": "minilm", "embedding_type": "float"}
        found = self.sent(client, "/v1/embeddings", body)
        np.testing.assert_allclose(found, minilm.encode_document(TEXTS).dense, atol=1e-5)
        colbert = self.sent(client, "/v1/embeddings", {**body, "model": "tiny-colbert"})
        assert np.shape(colbert) == (len(TEXTS), TINY)
