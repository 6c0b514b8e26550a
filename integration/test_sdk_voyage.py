"""Voyage's own SDK, unmodified, pointed at our server: its blocking and its async client."""

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest
import voyageai
from serving import Running, serving
from voyageai.error import AuthenticationError, InvalidRequestError, ServiceUnavailableError

from vectorplug import Vectorizer, maxsim
from vectorplug.errors import OverloadedError
from vectorplug.server.formats import as_dtype

TEXTS = ["a cat sat on the mat", "Überlandflug über Köln", "x"]
SENTENCES = [
    "Insulin lowers the level of sugar in the blood.",
    "The train to Bergen leaves at seven in the morning.",
    "Bread rises because yeast gives off gas.",
    "A magnet loses its strength when it is heated.",
]
QUESTIONS = {"why does dough become larger": 2, "which hormone controls glucose": 0, "when can I travel by rail": 1}
QUERY = "Which unbelievable kittens sleep?"
DOCUMENTS = ["The stock market fell today.", "The unbelievable kitten slept in Köln.", "", "Dogs bark at night."]
LONG = " ".join(["sea", "ship", "wind", "salt"] * 75)


@pytest.fixture
def client(server: Running) -> voyageai.Client:
    return voyageai.Client(api_key="anything", base_url=f"{server.url}/voyage/v1", max_retries=0)


def own(vectorizer: Vectorizer, texts: list[str], **asked: Any) -> np.ndarray:
    dense = vectorizer.encode_document(texts, **asked).dense
    assert dense is not None
    return dense


def test_embeddings_are_the_models_own_and_count_its_tokens(client: voyageai.Client, minilm: Vectorizer) -> None:
    reply = client.embed(TEXTS, model="minilm")
    counts = minilm.encode_document(TEXTS).token_counts
    assert counts is not None
    np.testing.assert_allclose(reply.embeddings, own(minilm, TEXTS), atol=1e-5)
    assert reply.total_tokens == counts.sum()


@pytest.mark.parametrize("asked", ["query", "document", None])
def test_the_input_type_is_the_role(client: voyageai.Client, vectorizer: Vectorizer, asked: str | None) -> None:
    query, document = vectorizer.encode_query("bread and salt"), vectorizer.encode_document("bread and salt")
    assert query.dense is not None
    assert document.dense is not None
    expected, other = (query.dense, document.dense) if asked == "query" else (document.dense, query.dense)
    found = np.array(client.embed(["bread and salt"], model="tiny-colbert", input_type=asked).embeddings)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - other).max() > 1e-3


@pytest.mark.parametrize("dtype", ["float", "int8", "uint8", "binary", "ubinary"])
def test_the_sdk_reads_every_dtype(client: voyageai.Client, minilm: Vectorizer, dtype: Any) -> None:
    found = client.embed(TEXTS, model="minilm", output_dtype=dtype, output_dimension=128).embeddings
    expected = np.array(as_dtype(list(own(minilm, TEXTS, dimensions=128)), dtype), np.float64)
    # A number on the border of two steps may fall on either side.
    np.testing.assert_allclose(found, expected, atol={"float": 1e-5, "int8": 1, "uint8": 1}.get(dtype, 0))
    assert all(isinstance(number, float if dtype == "float" else int) for number in found[0])


@pytest.mark.parametrize("dtype", ["float", "int8", "ubinary"])
def test_lists_and_base64_are_the_same_numbers(client: voyageai.Client, server: Running, dtype: str) -> None:
    body = {"input": TEXTS, "model": "minilm", "output_dtype": dtype, "encoding_format": None}
    listed = httpx.post(f"{server.url}/voyage/v1/embeddings", json=body).json()
    packed = client.embed(TEXTS, model="minilm", output_dtype=dtype).embeddings
    np.testing.assert_allclose([row["embedding"] for row in listed["data"]], packed, atol=1e-6)
    assert [row["index"] for row in listed["data"]] == [0, 1, 2]
    assert (listed["object"], listed["model"]) == ("list", "minilm")


@pytest.mark.parametrize("dtype", ["float", "int8"])
def test_bytes_find_what_floats_find(client: voyageai.Client, dtype: str) -> None:
    asked, given = (
        np.array(client.embed(texts, model="minilm", input_type=role, output_dtype=dtype).embeddings, np.float64)
        for texts, role in ((list(QUESTIONS), "query"), (SENTENCES, "document"))
    )
    assert (asked @ given.T).argmax(axis=1).tolist() == list(QUESTIONS.values())


def test_long_texts_are_cut_unless_that_is_switched_off(
    client: voyageai.Client, server: Running, minilm: Vectorizer
) -> None:
    np.testing.assert_allclose(client.embed([LONG], model="minilm").embeddings, own(minilm, [LONG]), atol=1e-5)
    reply = httpx.post(f"{server.url}/voyage/v1/embeddings", json={"input": LONG, "model": "minilm"})
    assert reply.headers["x-vectorplug-truncated"] == "46"
    with pytest.raises(InvalidRequestError, match="302 tokens and the model reads 256"):
        client.embed([LONG], model="minilm", truncation=False)
    with pytest.raises(InvalidRequestError, match="302 tokens"):
        client.rerank("x", [LONG], model="minilm", truncation=False)


@pytest.mark.parametrize(
    ("texts", "message"), [([""], "input.0"), ([], "input"), (["x"] * 1001, "at most 1000"), (["x", 3], "input")]
)
def test_what_is_wrong_is_named(client: voyageai.Client, texts: list[Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message) as caught:
        client.embed(texts, model="minilm")
    assert set(caught.value.json_body) == {"detail"}


def test_lists_of_one_chunk_are_embedded(client: voyageai.Client, minilm: Vectorizer) -> None:
    for dtype in ("float", "int8"):
        reply = client.contextualized_embed([[text] for text in TEXTS], model="minilm", output_dtype=dtype)
        assert [result.index for result in reply.results] == [0, 1, 2]
        expected = np.array(as_dtype(list(own(minilm, TEXTS)), dtype), np.float64)  # type: ignore[arg-type]
        found = [result.embeddings[0] for result in reply.results]
        np.testing.assert_allclose(found, expected, atol=1e-5 if dtype == "float" else 1)
    queries = client.contextualized_embed(TEXTS, model="minilm", input_type="query")
    assert queries.total_tokens == reply.total_tokens
    with pytest.raises(InvalidRequestError, match="302 tokens"):
        client.contextualized_embed([[LONG]], model="minilm")


def test_chunks_that_should_see_each_other_are_refused(client: voyageai.Client) -> None:
    with pytest.raises(InvalidRequestError, match="send each chunk in a list of its own"):
        client.contextualized_embed([["one"], ["first", "second"]], model="minilm")
    with pytest.raises(InvalidRequestError, match="nor documents be chunked"):
        client.contextualized_embed(["one"], model="minilm", input_type="document", enable_auto_chunking=True)


@pytest.mark.parametrize("model", ["minilm", "tiny-colbert"])
def test_a_ranking_is_maxsim_a_query_token(
    client: voyageai.Client, minilm: Vectorizer, vectorizer: Vectorizer, model: str
) -> None:
    encoder = minilm if model == "minilm" else vectorizer
    query, documents = encoder.encode_query(QUERY), encoder.encode_document(DOCUMENTS)
    assert query.tokens is not None
    assert documents.tokens is not None
    assert query.token_counts is not None
    assert documents.token_counts is not None
    scores = maxsim(query.tokens[0], documents.tokens) / len(query.tokens[0])
    reply = client.rerank(QUERY, DOCUMENTS, model=model)
    order = np.argsort(-scores, kind="stable").tolist()
    assert [result.index for result in reply.results] == order
    assert [result.document for result in reply.results] == [DOCUMENTS[i] for i in order]
    np.testing.assert_allclose([result.relevance_score for result in reply.results], scores[order], atol=1e-5)
    assert reply.total_tokens == query.token_counts.sum() + documents.token_counts.sum()
    for top_k in (1, 2, 9):
        best = client.rerank(QUERY, DOCUMENTS, model=model, top_k=top_k).results
        assert [result.index for result in best] == order[:top_k]


def test_documents_come_back_where_they_are_asked_for(server: Running) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS, "model": "minilm", "top_k": 1}
    for asked in (True, False):
        reply = httpx.post(f"{server.url}/voyage/v1/rerank", json={**body, "return_documents": asked}).json()
        (result,) = reply["data"]
        assert result.get("document") == (DOCUMENTS[1] if asked else None)
        assert (reply["object"], reply["model"]) == ("list", "minilm")


def test_the_async_client_does_the_same(server: Running, minilm: Vectorizer) -> None:
    async def all_of_it() -> None:
        client = voyageai.AsyncClient(api_key="x", base_url=f"{server.url}/voyage/v1", max_retries=0)
        embedded, bits, chunks, ranked = await asyncio.gather(
            client.embed(TEXTS, model="minilm"),
            client.embed(TEXTS, model="minilm", output_dtype="ubinary"),
            client.contextualized_embed([[text] for text in TEXTS], model="minilm"),
            client.rerank(QUERY, DOCUMENTS, model="minilm"),
        )
        np.testing.assert_allclose(embedded.embeddings, own(minilm, TEXTS), atol=1e-5)
        np.testing.assert_array_equal(bits.embeddings, as_dtype(list(own(minilm, TEXTS)), "ubinary"))
        np.testing.assert_allclose([c.embeddings[0] for c in chunks.results], own(minilm, TEXTS), atol=1e-5)
        assert ranked.results[0].document == DOCUMENTS[1]
        with pytest.raises(InvalidRequestError, match="'voyage-9' is not served here"):
            await client.embed(TEXTS, model="voyage-9")

    asyncio.run(all_of_it())


def test_a_bad_model_is_named(client: voyageai.Client) -> None:
    for ask in (
        lambda: client.embed(TEXTS, model="voyage-9"),
        lambda: client.rerank("x", ["x"], model="voyage-9"),
        lambda: client.contextualized_embed([["x"]], model="voyage-9"),
    ):
        with pytest.raises(InvalidRequestError, match="'voyage-9' is not served here"):
            ask()


def test_a_key_is_asked_for() -> None:
    with serving({"minilm": "minilm"}, keys=("right",)) as closed:
        url = f"{closed.url}/voyage/v1"
        assert len(voyageai.Client(api_key="right", base_url=url).embed(["x"], model="minilm").embeddings) == 1
        with pytest.raises(AuthenticationError, match="no valid key"):
            voyageai.Client(api_key="wrong", base_url=url).embed(["x"], model="minilm")


def test_an_overloaded_server_is_unavailable_and_asked_again(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    embed = server.app.state.engine.embed
    asked = []

    async def refuse_once(*given: Any, **options: Any) -> Any:
        asked.append(given)
        if len(asked) % 2:
            raise OverloadedError("too much is waiting", retry_after=7)
        return await embed(*given, **options)

    monkeypatch.setattr(server.app.state.engine, "embed", refuse_once)
    base = f"{server.url}/voyage/v1"
    with pytest.raises(ServiceUnavailableError) as caught:
        voyageai.Client(api_key="x", base_url=base, max_retries=0).embed(["x"], model="minilm")
    assert "too much is waiting" in caught.value.http_body
    assert caught.value.headers["retry-after"] == "7"
    asked.clear()
    again = voyageai.Client(api_key="x", base_url=base, max_retries=2)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    assert len(again.embed(["x"], model="minilm").embeddings) == 1
    assert len(asked) == 2
