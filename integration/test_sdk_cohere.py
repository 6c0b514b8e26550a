"""Cohere's own SDK, unmodified, pointed at our server: the clients of both versions."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import cohere
import httpx
import numpy as np
import pytest
from cohere.core.api_error import ApiError
from serving import Running, serving

from vectorplug import Vectorizer, maxsim
from vectorplug.errors import OverloadedError
from vectorplug.server.formats import as_dtype

TEXTS = ["a cat sat on the mat", "Überlandflug über Köln", "x"]
SENTENCES = [
    "Insulin lowers the level of sugar in the blood.",
    "The train to Bergen leaves at seven in the morning.",
    "Bread rises because yeast gives off gas.",
    "A magnet loses its strength when it is heated.",
    "The court has rejected the appeal.",
    "Most whales migrate to warmer water to give birth.",
]
QUESTIONS = {
    "why does dough become larger": 2,
    "which hormone controls glucose": 0,
    "where do whales have their young": 5,
    "when can I travel by rail": 1,
}
DOCUMENTS = [
    "The stock market fell today.",
    "A cat sat on the mat, purring. The unbelievable kitten slept in Köln.",
    "",
    "Dogs bark at night.",
]
QUERY = "Which unbelievable kittens sleep?"


@pytest.fixture
def client(server: Running) -> Iterator[cohere.ClientV2]:
    with cohere.ClientV2(base_url=f"{server.url}/cohere", api_key="anything", max_retries=0) as opened:
        yield opened


@pytest.fixture
def first(server: Running) -> Iterator[cohere.Client]:
    with cohere.Client(base_url=f"{server.url}/cohere", api_key="anything", max_retries=0) as opened:
        yield opened


def floats(client: cohere.ClientV2, texts: list[str], **asked: Any) -> np.ndarray:
    reply = client.embed(**{"model": "minilm", "input_type": "search_document", "texts": texts, **asked})
    return np.array(reply.embeddings.float_)


def own(vectorizer: Vectorizer, texts: list[str], **asked: Any) -> np.ndarray:
    dense = vectorizer.encode_document(texts, **asked).dense
    assert dense is not None
    return dense


def test_embeddings_are_the_models_own_and_count_its_tokens(client: cohere.ClientV2, minilm: Vectorizer) -> None:
    reply = client.embed(model="minilm", input_type="search_document", texts=TEXTS)
    counts = minilm.encode_document(TEXTS).token_counts
    assert counts is not None
    assert reply.meta is not None
    assert reply.meta.billed_units is not None
    assert reply.meta.api_version is not None
    np.testing.assert_allclose(reply.embeddings.float_, own(minilm, TEXTS), atol=1e-5)
    assert reply.texts == TEXTS
    assert reply.meta.billed_units.input_tokens == counts.sum()
    assert reply.meta.api_version.version == "2"
    assert reply.embeddings.int8 is None


@pytest.mark.parametrize("asked", ["search_query", "search_document", "classification", "clustering"])
def test_a_search_query_is_a_query_and_all_else_a_document(
    client: cohere.ClientV2, vectorizer: Vectorizer, asked: str
) -> None:
    encode = vectorizer.encode_query if asked == "search_query" else vectorizer.encode_document
    other = vectorizer.encode_document if asked == "search_query" else vectorizer.encode_query
    found = floats(client, ["bread and salt"], model="tiny-colbert", input_type=asked)
    np.testing.assert_allclose(found, encode("bread and salt").dense, atol=1e-5)  # type: ignore[arg-type]
    assert np.abs(found - other("bread and salt").dense).max() > 1e-3  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["int8", "uint8", "binary", "ubinary"])
def test_every_type_is_that_of_the_floats(client: cohere.ClientV2, minilm: Vectorizer, kind: Any) -> None:
    reply = client.embed(model="minilm", input_type="search_document", texts=TEXTS, embedding_types=[kind, "float"])
    expected = as_dtype(list(own(minilm, TEXTS)), kind)
    # A number on the border of two steps may fall on either side.
    np.testing.assert_allclose(getattr(reply.embeddings, kind), expected, atol=1 if "int8" in kind else 0)
    np.testing.assert_allclose(reply.embeddings.float_, own(minilm, TEXTS), atol=1e-5)
    assert reply.embeddings.base64 is None


def test_base64_is_the_floats_little_endian(client: cohere.ClientV2, minilm: Vectorizer) -> None:
    reply = client.embed(model="minilm", input_type="search_document", texts=TEXTS, embedding_types=["base64"])
    assert reply.embeddings.base64 is not None
    found = [np.frombuffer(base64.b64decode(packed), "<f4") for packed in reply.embeddings.base64]
    np.testing.assert_allclose(found, own(minilm, TEXTS), atol=1e-5)


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_bytes_find_what_floats_find(client: cohere.ClientV2, kind: Any) -> None:
    def vectors(texts: list[str], role: str) -> np.ndarray:
        reply = client.embed(model="minilm", input_type=role, texts=texts, embedding_types=[kind])
        return np.array(getattr(reply.embeddings, "float_" if kind == "float" else kind), np.float64)

    scores = vectors(list(QUESTIONS), "search_query") @ vectors(SENTENCES, "search_document").T
    assert scores.argmax(axis=1).tolist() == list(QUESTIONS.values())


def test_output_dimension_keeps_the_first_numbers_at_unit_norm(client: cohere.ClientV2, minilm: Vectorizer) -> None:
    np.testing.assert_allclose(floats(client, TEXTS, output_dimension=64), own(minilm, TEXTS, dimensions=64), atol=1e-5)


def test_inputs_of_text_parts_are_one_text_each(client: cohere.ClientV2, minilm: Vectorizer) -> None:
    parts = [{"type": "text", "text": "a cat sat"}, {"type": "text", "text": "on the mat"}]
    reply = client.embed(
        model="minilm",
        input_type="search_document",
        inputs=[{"content": parts}, {"content": [{"type": "text", "text": "x"}]}],  # type: ignore[list-item]
    )
    np.testing.assert_allclose(reply.embeddings.float_, own(minilm, ["a cat sat on the mat", "x"]), atol=1e-5)


def test_images_are_refused_by_name(client: cohere.ClientV2) -> None:
    for asked in (
        {"images": ["data:image/png;base64,AAAA"], "input_type": "image"},
        {"inputs": [{"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]},
        {"texts": ["x"], "input_type": "image"},
    ):
        with pytest.raises(cohere.BadRequestError) as caught:
            client.embed(**{"model": "minilm", "input_type": "search_document", **asked})
        assert "images cannot be embedded here" in caught.value.body["message"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"texts": [""]}, "texts.0"),
        ({"texts": []}, "texts"),
        ({"texts": ["x"] * 97}, "at most 96"),
        ({}, "one of texts and inputs"),
        ({"texts": ["x"], "embedding_types": ["int4"]}, "embedding_types.0"),
        ({"texts": ["x"], "output_dimension": 1000}, "dimensions is 1000"),
    ],
)
def test_what_is_wrong_is_named(client: cohere.ClientV2, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(cohere.BadRequestError) as caught:
        client.embed(**{"model": "minilm", "input_type": "search_document", **asked})
    assert message in caught.value.body["message"]
    assert set(caught.value.body) == {"id", "message"}
    assert caught.value.headers is not None
    assert caught.value.body["id"] == caught.value.headers["x-request-id"]


def numbered(count: int) -> list[str]:
    """So many words of one token each, different ones."""
    return [word for _ in range(count) for word in ("sea", "ship", "wind", "salt", "bread", "wing", "wall")][:count]


# MiniLM reads 256 tokens, two of them markers.
@pytest.mark.parametrize(
    ("asked", "kept", "dropped"),
    [
        ({}, slice(254), 46),
        ({"truncate": "END"}, slice(254), 46),
        ({"truncate": "START"}, slice(46, None), 46),
        ({"truncate": "END", "max_tokens": 10}, slice(10), 290),
        ({"truncate": "START", "max_tokens": 10}, slice(290, None), 290),
        ({"truncate": "END", "max_tokens": 280}, slice(254), 46),
    ],
)
def test_long_texts_are_cut_at_the_end_that_is_asked_for_and_the_header_says_so(
    client: cohere.ClientV2, minilm: Vectorizer, asked: dict[str, Any], kept: slice, dropped: int
) -> None:
    words = numbered(300)
    short = " ".join(words[:5])
    raw = client.with_raw_response.embed(
        model="minilm", input_type="search_document", texts=[" ".join(words), short], **asked
    )
    np.testing.assert_allclose(raw.data.embeddings.float_, own(minilm, [" ".join(words[kept]), short]), atol=1e-5)
    assert raw.headers["x-vectorplug-truncated"] == str(dropped)


@pytest.mark.parametrize(("words", "limit"), [(300, None), (20, 10)])
def test_without_truncation_a_long_text_is_refused(client: cohere.ClientV2, words: int, limit: int | None) -> None:
    asked: Any = {"truncate": "NONE", "model": "minilm", "input_type": "search_document"}
    given = {} if limit is None else {"max_tokens": limit}
    with pytest.raises(cohere.BadRequestError) as caught:
        client.embed(texts=[" ".join(numbered(words))], **asked, **given)
    assert str(limit or 256) in caught.value.body["message"]
    assert len(floats(client, [" ".join(numbered(limit or 254))], **asked, **given)) == 1


# The SDK's own, where it merges batches.
@pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute:pydantic.PydanticDeprecatedSince211")
@pytest.mark.filterwarnings("ignore:The `parse_obj` method:pydantic.PydanticDeprecatedSince20")
def test_version_1_gives_bare_floats_unless_types_are_asked_for(first: cohere.Client, minilm: Vectorizer) -> None:
    bare = first.embed(model="minilm", input_type="search_document", texts=TEXTS)
    assert bare.response_type == "embeddings_floats"
    np.testing.assert_allclose(bare.embeddings, own(minilm, TEXTS), atol=1e-5)  # type: ignore[arg-type]
    assert bare.meta is not None
    assert bare.meta.api_version is not None
    assert bare.meta.api_version.version == "1"
    typed = first.embed(model="minilm", input_type="search_document", texts=TEXTS, embedding_types=["float", "ubinary"])
    assert typed.response_type == "embeddings_by_type"
    np.testing.assert_allclose(typed.embeddings.float_, own(minilm, TEXTS), atol=1e-5)  # type: ignore[union-attr]
    assert typed.embeddings.ubinary is not None  # type: ignore[union-attr]


def test_the_first_client_sends_many_texts_in_batches_of_96(first: cohere.Client, minilm: Vectorizer) -> None:
    texts = [f"document number {i}" for i in range(200)]
    reply = first.embed(texts=texts)
    np.testing.assert_allclose(reply.embeddings, own(minilm, texts), atol=1e-5)  # type: ignore[arg-type]


def scores(vectorizer: Vectorizer, query: str, documents: list[str]) -> np.ndarray:
    asked = vectorizer.encode_query(query).tokens
    given = vectorizer.encode_document(documents).tokens
    assert asked is not None
    assert given is not None
    return maxsim(asked[0], given) / len(asked[0])


@pytest.mark.parametrize("model", ["minilm", "tiny-colbert"])
def test_a_ranking_is_maxsim_a_query_token(
    client: cohere.ClientV2, minilm: Vectorizer, vectorizer: Vectorizer, model: str
) -> None:
    own_scores = scores(minilm if model == "minilm" else vectorizer, QUERY, DOCUMENTS)
    reply = client.rerank(model=model, query=QUERY, documents=DOCUMENTS)
    assert [result.index for result in reply.results] == np.argsort(-own_scores, kind="stable").tolist()
    np.testing.assert_allclose(
        [result.relevance_score for result in reply.results], np.sort(own_scores)[::-1], atol=1e-5
    )
    assert all(result.relevant_spans is None for result in reply.results)
    assert reply.meta is not None
    assert reply.meta.billed_units is not None
    assert reply.meta.billed_units.search_units == 1


def test_top_n_are_the_best(client: cohere.ClientV2) -> None:
    whole = [result.index for result in client.rerank(model="minilm", query=QUERY, documents=DOCUMENTS).results]
    for top_n in (1, 3, 9):
        reply = client.rerank(model="minilm", query=QUERY, documents=DOCUMENTS, top_n=top_n)
        assert [result.index for result in reply.results] == whole[:top_n]


def test_searches_are_billed_by_the_hundred(client: cohere.ClientV2) -> None:
    reply = client.rerank(model="minilm", query="x", documents=["x"] * 101, top_n=1)
    assert reply.meta is not None
    assert reply.meta.billed_units is not None
    assert reply.meta.billed_units.search_units == 2


def test_version_1_ranks_objects_by_their_fields_and_returns_them(first: cohere.Client, minilm: Vectorizer) -> None:
    documents: list[Any] = [{"text": DOCUMENTS[1], "title": "Dogs", "url": "u"}, {"text": "x", "title": "Kittens"}]
    by_text = first.rerank(query=QUERY, documents=documents, return_documents=True)
    assert [result.index for result in by_text.results] == [0, 1]
    assert by_text.results[0].document is not None
    assert by_text.results[0].document.dict() == documents[0]
    fields = first.rerank(query=QUERY, documents=documents, rank_fields=["title", "text"])
    joined = scores(minilm, QUERY, [f"Dogs {DOCUMENTS[1]}", "Kittens x"])
    found = {result.index: result.relevance_score for result in fields.results}
    np.testing.assert_allclose([found[0], found[1]], joined, atol=1e-5)
    assert fields.results[0].document is None
    plain = first.rerank(query=QUERY, documents=DOCUMENTS, return_documents=True, top_n=1, max_chunks_per_doc=3)
    assert plain.results[0].document is not None
    assert plain.results[0].document.text == DOCUMENTS[1]
    with pytest.raises(cohere.BadRequestError) as caught:
        first.rerank(query=QUERY, documents=documents, rank_fields=["body"])
    assert "documents.0 has no text in body" in caught.value.body["message"]


def test_max_tokens_per_doc_cuts_documents(client: cohere.ClientV2, minilm: Vectorizer) -> None:
    reply = client.with_raw_response.rerank(
        model="minilm", query="kitten", documents=["sea ship kitten", "wind"], max_tokens_per_doc=2
    )
    found = {result.index: result.relevance_score for result in reply.data.results}
    np.testing.assert_allclose([found[0], found[1]], scores(minilm, "kitten", ["sea ship", "wind"]), atol=1e-5)
    assert reply.headers["x-vectorplug-truncated"] == "1"


def test_relevant_spans_are_the_words_that_match(client: cohere.ClientV2) -> None:
    reply = client.rerank(model="minilm", query=QUERY, documents=DOCUMENTS, relevant_spans={"mode": "enabled"})  # type: ignore[arg-type]
    best = reply.results[0]
    assert best.index == 1
    assert best.relevant_spans is not None
    top = best.relevant_spans[0]
    assert DOCUMENTS[1][top.start : top.end] == "The unbelievable kitten slept"
    assert sum(span.score for span in best.relevant_spans) < best.relevance_score
    found = [span.score for span in best.relevant_spans]
    assert found == sorted(found, reverse=True)
    empty = next(result for result in reply.results if result.index == 2)
    assert empty.relevant_spans is None
    for result in reply.results:
        for span in result.relevant_spans or []:
            assert 0 <= span.start < span.end <= len(DOCUMENTS[result.index])


def test_spans_count_characters_not_bytes(client: cohere.ClientV2) -> None:
    document = "\N{GRINNING FACE} Überlandflug: der Zug nach Köln fährt"
    reply = client.rerank(
        model="minilm",
        query="Köln",
        documents=[document],
        relevant_spans={"mode": "enabled", "max_spans": 1},  # type: ignore[arg-type]
    )
    assert reply.results[0].relevant_spans is not None
    (span,) = reply.results[0].relevant_spans
    assert document[span.start : span.end] == "Köln"


def test_spans_are_as_many_and_as_good_as_asked(client: cohere.ClientV2) -> None:
    def spans(**asked: Any) -> list[Any]:
        reply = client.rerank(model="minilm", query=QUERY, documents=[DOCUMENTS[1]], relevant_spans=asked)  # type: ignore[arg-type]
        return reply.results[0].relevant_spans or []

    everything = spans(mode="enabled")
    query = "Where did the cats sit?"
    many = client.rerank(
        model="minilm",
        query=query,
        documents=[DOCUMENTS[1]],
        relevant_spans={"mode": "enabled"},  # type: ignore[arg-type]
    )
    assert many.results[0].relevant_spans is not None
    assert len(many.results[0].relevant_spans) > 1
    fewer = client.rerank(
        model="minilm",
        query=query,
        documents=[DOCUMENTS[1]],
        relevant_spans={"mode": "enabled", "max_spans": 1},  # type: ignore[arg-type]
    )
    assert fewer.results[0].relevant_spans == many.results[0].relevant_spans[:1]
    assert len(everything) >= 1
    assert spans(mode="enabled", threshold=1.0) == []
    assert spans(mode="enabled", threshold=everything[0].score - 1e-3) == everything[:1]
    assert spans(mode="disabled") == []


def test_the_async_clients_do_the_same(server: Running, minilm: Vectorizer) -> None:
    async def both() -> None:
        async with httpx.AsyncClient(timeout=60) as connection:
            asked: Any = {"base_url": f"{server.url}/cohere", "api_key": "x", "httpx_client": connection}
            second = cohere.AsyncClientV2(**asked)
            embedded = await second.embed(model="minilm", input_type="search_document", texts=TEXTS)
            np.testing.assert_allclose(embedded.embeddings.float_, own(minilm, TEXTS), atol=1e-5)
            ranked = await second.rerank(model="minilm", query=QUERY, documents=DOCUMENTS)
            assert ranked.results[0].index == 1
            one = cohere.AsyncClient(**asked)
            bare = await one.embed(texts=TEXTS)
            np.testing.assert_allclose(bare.embeddings, own(minilm, TEXTS), atol=1e-5)  # type: ignore[arg-type]

    asyncio.run(both())


@pytest.mark.parametrize("prefix", ["", "/cohere"])
def test_weaviates_modules_are_answered(server: Running, minilm: Vectorizer, prefix: str) -> None:
    body = {
        "texts": TEXTS,
        "model": "minilm",
        "input_type": "search_document",
        "embedding_types": ["float"],
        "truncate": "END",
        "output_dimension": 384,
    }
    embedded = httpx.post(f"{server.url}{prefix}//v2/embed", json=body).json()
    np.testing.assert_allclose(embedded["embeddings"]["float"], own(minilm, TEXTS), atol=1e-5)
    asked = {"documents": DOCUMENTS, "query": QUERY, "model": "minilm", "return_documents": False}
    ranked = httpx.post(f"{server.url}{prefix}//v2/rerank", json=asked).json()
    assert sorted(result["index"] for result in ranked["results"]) == [0, 1, 2, 3]
    assert set(ranked["results"][0]) == {"index", "relevance_score"}


def test_a_bad_model_is_not_found(client: cohere.ClientV2, first: cohere.Client) -> None:
    for ask in (
        lambda: client.embed(model="embed-v9", input_type="search_query", texts=["x"]),
        lambda: client.rerank(model="embed-v9", query="x", documents=["x"]),
        lambda: first.embed(model="embed-v9", texts=["x"]),
        lambda: first.models.get("embed-v9"),
    ):
        with pytest.raises(cohere.NotFoundError) as caught:
            ask()
        assert "'embed-v9' is not served here" in caught.value.body["message"]


def test_models_are_listed(first: cohere.Client) -> None:
    assert [model.name for model in first.models.list().models][:2] == ["minilm", "tiny-colbert"]
    assert len(first.models.list(endpoint="rerank").models) >= 2
    assert first.models.list(endpoint="chat").models == []
    assert [model.name for model in first.models.list(endpoint="embed", default_only=True).models] == ["minilm"]
    assert first.models.get("tiny-colbert").endpoints == ["embed", "rerank"]


def test_a_key_is_asked_for() -> None:
    with serving({"minilm": "minilm"}, keys=("right",)) as closed:
        url = f"{closed.url}/cohere"
        with cohere.ClientV2(base_url=url, api_key="right", max_retries=0) as opened:
            assert len(floats(opened, ["x"])) == 1
        with (
            cohere.ClientV2(base_url=url, api_key="wrong", max_retries=0) as shut,
            pytest.raises(cohere.UnauthorizedError) as caught,
        ):
            floats(shut, ["x"])
        assert "no valid key" in caught.value.body["message"]


def test_an_overloaded_server_is_unavailable_for_a_while(
    server: Running, client: cohere.ClientV2, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise OverloadedError("too much is waiting", retry_after=7)

    monkeypatch.setattr(server.app.state.engine, "embed", refuse)
    with pytest.raises(ApiError) as caught:
        floats(client, ["x"])
    assert caught.value.status_code == 503
    assert caught.value.body["message"] == "too much is waiting"
    assert caught.value.headers is not None
    assert caught.value.headers["retry-after"] == "7"
