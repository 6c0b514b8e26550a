"""OpenAI's own SDK, unmodified, pointed at our server."""

from collections.abc import Iterator

import numpy as np
import openai
import pytest
from serving import Running, serving

from vectorplug import Vectorizer

TEXTS = ["a cat sat on the mat", "Überlandflug über Köln", "x"]


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key="anything", max_retries=0) as opened:
        yield opened


def test_embeddings_are_the_models_own_and_count_its_tokens(client: openai.OpenAI, minilm: Vectorizer) -> None:
    reply = client.embeddings.create(model="minilm", input=TEXTS)
    own = minilm.encode_document(TEXTS)
    assert own.dense is not None
    assert own.token_counts is not None
    np.testing.assert_allclose([row.embedding for row in reply.data], own.dense, atol=1e-5)
    assert [row.index for row in reply.data] == [0, 1, 2]
    assert reply.usage.prompt_tokens == reply.usage.total_tokens == own.token_counts.sum()


def test_floats_and_base64_are_the_same_vectors(client: openai.OpenAI) -> None:
    floats = client.embeddings.create(model="minilm", input=TEXTS, encoding_format="float")
    packed = client.embeddings.create(model="minilm", input=TEXTS)
    np.testing.assert_allclose(
        [row.embedding for row in packed.data], [row.embedding for row in floats.data], atol=1e-6
    )


def test_dimensions_keep_the_first_numbers_at_unit_norm(client: openai.OpenAI, minilm: Vectorizer) -> None:
    reply = client.embeddings.create(model="minilm", input=TEXTS, dimensions=64)
    own = minilm.encode_document(TEXTS, dimensions=64).dense
    np.testing.assert_allclose([row.embedding for row in reply.data], own, atol=1e-5)


@pytest.mark.parametrize("output", ["fde", "dense"])
def test_the_name_chooses_output_and_role(client: openai.OpenAI, minilm: Vectorizer, output: str) -> None:
    reply = client.embeddings.create(model=f"minilm:{output}:query", input=TEXTS)
    own = dict(minilm.encode_query(TEXTS).vectors())[output]  # type: ignore[index]
    np.testing.assert_allclose([row.embedding for row in reply.data], own, atol=1e-4)


def test_a_bad_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="text-embedding-9", input="x")
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


@pytest.mark.parametrize(("given", "param"), [("", "input"), ([], "input"), (["a", ""], "input.1")])
def test_empty_input_is_refused(client: openai.OpenAI, given: str | list[str], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="minilm", input=given)
    assert caught.value.param == param


def test_a_text_that_is_too_long_is_refused_with_both_numbers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="maximum context length is 256 tokens, however you requested 402"):
        client.embeddings.create(model="minilm", input=" word" * 400)


def test_a_key_is_asked_for() -> None:
    with serving({"minilm": "minilm"}, keys=("first", "second")) as closed:
        for key in ("first", "second"):
            with openai.OpenAI(base_url=f"{closed.url}/openai/v1", api_key=key) as opened:
                assert len(opened.embeddings.create(model="minilm", input="x").data) == 1
        with (
            openai.OpenAI(base_url=f"{closed.url}/openai/v1", api_key="firs") as wrong,
            pytest.raises(openai.AuthenticationError) as caught,
        ):
            wrong.embeddings.create(model="minilm", input="x")
        assert caught.value.code == "invalid_api_key"


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()][:2] == ["minilm", "tiny-colbert"]
    assert client.models.retrieve("minilm").id == "minilm"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_rate_limit_headers_let_weaviate_send_batches(client: openai.OpenAI) -> None:
    headers = client.embeddings.with_raw_response.create(model="minilm", input="x").headers
    assert int(headers["x-ratelimit-remaining-requests"]) > 0
    assert int(headers["x-ratelimit-remaining-tokens"]) > 0


def test_token_ids_are_refused_with_the_fix_where_tiktoken_has_no_vocabulary(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tiktoken

    def no_network(_: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr(tiktoken, "get_encoding", no_network)
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        client.embeddings.create(model="minilm", input=[[15339, 1917]])
