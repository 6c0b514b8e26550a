"""Text Embeddings Inference and Infinity: by huggingface_hub's client, by OpenAI's, and by plain HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import checkpoints
import httpx
import numpy as np
import openai
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from serving import Running, serving

import vectorplug
from vectorplug import Vectorizer

TEXTS = ["a cat sat on the mat", "Überlandflug über Köln", "x"]
LONG = "the beginning is of cats" + " word" * 400 + " and the end is of ships"


@pytest.fixture
def tei(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/tei") as client:
        yield client


@pytest.fixture
def infinity(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/infinity") as client:
        yield client


@pytest.fixture
def hub(server: Running) -> InferenceClient:
    return InferenceClient(f"{server.url}/tei", token="anything")


def maxsim(model: Vectorizer, query: str, texts: list[str]) -> np.ndarray:
    asked, given = model.encode_query(query).tokens, model.encode_document(texts).tokens
    assert asked is not None
    assert given is not None
    return vectorplug.maxsim(asked[0], given)


# Text Embeddings Inference


def test_the_hubs_client_embeds(hub: InferenceClient, minilm: Vectorizer) -> None:
    np.testing.assert_allclose(hub.feature_extraction(TEXTS), minilm.encode_document(TEXTS).dense, atol=1e-5)
    np.testing.assert_allclose(hub.feature_extraction("x"), minilm.encode_document("x").dense, atol=1e-5)


def test_dimensions(hub: InferenceClient, minilm: Vectorizer) -> None:
    own = minilm.encode_document(TEXTS, dimensions=64).dense
    np.testing.assert_allclose(hub.feature_extraction(TEXTS, dimensions=64), own, atol=1e-5)


def test_the_hubs_client_compares(server: Running, minilm: Vectorizer) -> None:
    client = InferenceClient(f"{server.url}/tei/similarity", token="anything")
    source, *others = minilm.encode_document(["a kitten", *TEXTS]).dense  # type: ignore[misc]
    np.testing.assert_allclose(client.sentence_similarity("a kitten", TEXTS), np.stack(others) @ source, atol=1e-5)


def test_the_prompts_name_chooses_the_role(tiny_model: Path) -> None:
    own = Vectorizer(str(tiny_model), device="cpu", dtype="float32")
    with serving({"tiny": str(tiny_model)}) as running, httpx.Client(base_url=running.url) as client:
        for name, encode in {
            "query": own.encode_query,
            "document": own.encode_document,
            None: own.encode_document,
        }.items():
            given = client.post("/embed_all", json={"inputs": ["a cat", "x"], "prompt_name": name}).json()
            tokens = encode(["a cat", "x"]).tokens
            assert tokens is not None
            assert [len(row) for row in given] == tokens.lengths.tolist()
            np.testing.assert_allclose(np.concatenate(given), tokens.values, atol=1e-5)


def test_an_unknown_prompt_is_refused(hub: InferenceClient) -> None:
    with pytest.raises(HfHubHTTPError, match="expected one of query") as caught:
        hub.feature_extraction("x", prompt_name="s2p_query")
    assert caught.value.response.status_code == 422


def test_vectors_are_normalized_unless_the_request_says_no(tmp_path: Path) -> None:
    folder = checkpoints.write_tiny_dense(tmp_path)
    types = {"": "sentence_transformers.models.Transformer", "1_Pooling": "sentence_transformers.models.Pooling"}
    checkpoints.write_modules(folder, types)
    with serving({"tiny": str(folder)}) as running, httpx.Client(base_url=running.url) as client:
        unit, raw = (client.post("/embed", json={"inputs": TEXTS, "normalize": n}).json() for n in (True, False))
    norms = np.linalg.norm(raw, axis=1)
    assert not np.allclose(norms, 1)
    np.testing.assert_allclose(unit, raw / norms[:, None], atol=1e-5)


@pytest.mark.parametrize("path", ["/tei", "/tei/", "/", "/embed"])
def test_the_addresses_of_embed(server: Running, path: str) -> None:
    assert len(httpx.post(server.url + path, json={"inputs": "x"}).json()[0]) == 384


def test_a_text_that_is_too_long_is_refused_unless_it_may_be_cut(hub: InferenceClient, tei: httpx.Client) -> None:
    with pytest.raises(HfHubHTTPError, match=r"`inputs` must have less than 256 tokens\. Given: 413") as caught:
        hub.feature_extraction(LONG)
    assert caught.value.response.status_code == 422
    answered = tei.post("/embed", json={"inputs": LONG, "truncate": True})
    assert answered.headers["x-vectorplug-truncated"] == "157"
    assert answered.headers["x-compute-tokens"] == "256"


def test_the_end_is_kept_where_the_request_says_so(hub: InferenceClient, tei: httpx.Client, minilm: Vectorizer) -> None:
    end = " ".join(["word"] * 248 + ["and", "the", "end", "is", "of", "ships"])
    left = hub.feature_extraction(LONG, truncate=True, truncation_direction="left")
    np.testing.assert_allclose(left, minilm.encode_document(end).dense, atol=1e-5)
    right = hub.feature_extraction(LONG, truncate=True, truncation_direction="right")
    np.testing.assert_allclose(right, minilm.encode_document(LONG).dense, atol=1e-5)
    answered = tei.post("/embed", json={"inputs": LONG, "truncate": True, "truncation_direction": "Left"})
    assert answered.headers["x-vectorplug-truncated"] == "157"


@pytest.mark.parametrize("inputs", ["", [], ["a", ""]])
def test_empty_input(tei: httpx.Client, inputs: Any) -> None:
    refused = tei.post("/embed", json={"inputs": inputs})
    assert refused.status_code == 400
    assert refused.json()["error_type"] == "Empty"


def test_too_many_texts(tei: httpx.Client) -> None:
    most = tei.get("/info").json()["max_client_batch_size"]
    refused = tei.post("/embed", json={"inputs": ["x"] * (most + 1)})
    assert refused.status_code == 422
    assert refused.json()["error_type"] == "Validation"
    assert str(most) in refused.json()["error"]


def test_rerank(tei: httpx.Client, minilm: Vectorizer) -> None:
    asked = {"query": "where is the cat?", "texts": TEXTS}
    scores = maxsim(minilm, "where is the cat?", TEXTS)
    tokens = minilm.encode_query("where is the cat?").tokens
    assert tokens is not None
    raw = tei.post("/rerank", json=asked | {"raw_scores": True, "return_text": True}).json()
    assert [row["index"] for row in raw] == np.argsort(-scores).tolist()
    np.testing.assert_allclose([row["score"] for row in raw], np.sort(scores)[::-1], atol=1e-4)
    assert [row["text"] for row in raw] == [TEXTS[row["index"]] for row in raw]
    relevance = tei.post("/rerank", json=asked).json()
    np.testing.assert_allclose([r["score"] * len(tokens[0]) for r in relevance], [r["score"] for r in raw], atol=1e-4)
    assert "text" not in relevance[0]


def test_rerank_may_keep_the_end_of_a_text(tei: httpx.Client) -> None:
    asked = {"query": "ships at the end", "texts": [LONG], "truncate": True}
    left, right = (tei.post("/rerank", json=asked | {"truncation_direction": d}) for d in ("left", "right"))
    assert left.json()[0]["score"] > right.json()[0]["score"]
    assert left.headers["x-vectorplug-truncated"] == right.headers["x-vectorplug-truncated"] == "157"


def test_info_says_what_is_true(tei: httpx.Client, minilm: Vectorizer) -> None:
    told = tei.get("/info").json()
    assert told["served_model_name"] == "minilm"
    assert minilm.fingerprint.startswith(f"{told['model_id']}@{told['model_sha']}#")
    assert (told["max_input_length"], told["model_dtype"], told["auto_truncate"]) == (256, "float32", False)
    assert told["version"] == vectorplug.__version__


def test_headers_tell_time_and_size(tei: httpx.Client, minilm: Vectorizer) -> None:
    headers = tei.post("/embed", json={"inputs": TEXTS}).headers
    counted = minilm.encode_document(TEXTS).token_counts
    assert counted is not None
    assert int(headers["x-compute-tokens"]) == counted.sum()
    assert int(headers["x-compute-characters"]) == sum(map(len, TEXTS))
    assert int(headers["x-total-time"]) >= int(headers["x-compute-time"]) > 0


def test_openais_client_may_name_any_model(server: Running, minilm: Vectorizer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/tei/v1", api_key="-", max_retries=0) as client:
        reply = client.embeddings.create(model="tei", input=TEXTS)
    np.testing.assert_allclose([row.embedding for row in reply.data], minilm.encode_document(TEXTS).dense, atol=1e-5)


def test_health_asks_for_no_key_and_the_rest_does() -> None:
    with serving({"minilm": "minilm"}, keys=("secret",)) as closed:
        assert httpx.get(f"{closed.url}/tei/health").status_code == 200
        assert "unix" in httpx.get(f"{closed.url}/infinity/health").json()
        for path, body in {"/tei/embed": {"inputs": "x"}, "/infinity/embeddings": {"input": "x"}}.items():
            assert httpx.post(closed.url + path, json=body).status_code == 401
        allowed = InferenceClient(f"{closed.url}/tei", token="secret")
        assert allowed.feature_extraction("x").shape == (1, 384)


# Infinity


def test_infinity_embeds_and_needs_no_name(infinity: httpx.Client, minilm: Vectorizer) -> None:
    own = minilm.encode_document(TEXTS)
    assert own.token_counts is not None
    for named in ({}, {"model": "minilm"}, {"model": "default/not-specified", "dimensions": 0}):
        reply = infinity.post("/embeddings", json={"input": TEXTS} | named).json()
        np.testing.assert_allclose([row["embedding"] for row in reply["data"]], own.dense, atol=1e-5)
        assert reply["usage"]["total_tokens"] == own.token_counts.sum()
        assert reply["model"] == "minilm"
        assert reply["id"].startswith("infinity-")


def test_infinity_gives_token_vectors_by_name(infinity: httpx.Client, minilm: Vectorizer) -> None:
    reply = infinity.post("/embeddings", json={"input": TEXTS, "model": "minilm:tokens"}).json()
    own = minilm.encode_document(TEXTS).tokens
    assert own is not None
    np.testing.assert_allclose(np.concatenate([r["embedding"] for r in reply["data"]]), own.values, atol=1e-5)


def test_infinity_cuts_a_text_that_is_too_long(infinity: httpx.Client) -> None:
    assert infinity.post("/embeddings", json={"input": LONG}).headers["x-vectorplug-truncated"] == "157"


def test_infinity_reranks(infinity: httpx.Client, minilm: Vectorizer) -> None:
    asked = {"query": "where is the cat?", "documents": TEXTS, "top_n": 2, "return_documents": True}
    scores = maxsim(minilm, "where is the cat?", TEXTS)
    tokens = minilm.encode_query("where is the cat?").tokens
    assert tokens is not None
    reply = infinity.post("/rerank", json=asked).json()
    best = np.argsort(-scores)[:2]
    assert [row["index"] for row in reply["results"]] == best.tolist()
    assert [row["document"] for row in reply["results"]] == [TEXTS[i] for i in best]
    np.testing.assert_allclose(
        [row["relevance_score"] for row in reply["results"]], scores[best] / len(tokens[0]), atol=1e-4
    )
    raw = infinity.post("/rerank", json=asked | {"raw_scores": True, "return_documents": False}).json()["results"]
    np.testing.assert_allclose([row["relevance_score"] for row in raw], scores[best], atol=1e-4)
    assert raw[0]["document"] is None


def test_infinity_lists_models_and_refuses_as_openai_does(infinity: httpx.Client) -> None:
    assert [row["id"] for row in infinity.get("/models").json()["data"]][:2] == ["minilm", "tiny-colbert"]
    refused = infinity.post("/embeddings", json={"input": "x", "model": "gpt-4"})
    assert refused.status_code == 404
    assert refused.json()["error"]["code"] == "model_not_found"
