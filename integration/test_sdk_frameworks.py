"""Frameworks' own OpenAI embedders, unmodified, pointed at our server.

They are imported inside the tests: Haystack reads at import whether it may report home.
"""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
from serving import Running

from vectorplug import Vectorizer

TEXTS = ["a cat sat on the mat", "Überlandflug über Köln", "x"]
# A vocabulary of single bytes.
BYTES = {bytes([i]): i for i in range(256)}
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing but this machine may be asked; whoever tries fails the test, also where the error is swallowed."""
    tried: list[Any] = []
    find, connect = socket.getaddrinfo, socket.socket.connect

    def find_here(host: Any, *rest: Any, **options: Any) -> Any:
        if host not in LOOPBACK:
            tried.append(host)
            raise OSError(f"{host} is not this machine")
        return find(host, *rest, **options)

    def connect_here(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOOPBACK:
            tried.append(address)
            raise OSError(f"{address} is not this machine")
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", find_here)
    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    yield
    assert not tried


@pytest.fixture
def documents(minilm: Vectorizer) -> Any:
    return minilm.encode_document(TEXTS).dense


@pytest.fixture
def base_url(server: Running) -> str:
    return f"{server.url}/openai/v1"


class TestLangChain:
    @staticmethod
    def embedder(base_url: str, **options: Any) -> Any:
        from langchain_openai import OpenAIEmbeddings

        return OpenAIEmbeddings(base_url=base_url, api_key="anything", max_retries=0, **{"model": "minilm", **options})

    def test_documents_and_queries(self, base_url: str, documents: Any) -> None:
        embedder = self.embedder(base_url, check_embedding_ctx_length=False)
        np.testing.assert_allclose(embedder.embed_documents(TEXTS), documents, atol=1e-5)
        np.testing.assert_allclose(embedder.embed_documents(TEXTS, chunk_size=2), documents, atol=1e-5)
        np.testing.assert_allclose(embedder.embed_query(TEXTS[1]), documents[1], atol=1e-5)

    def test_a_name_makes_an_embedder_of_queries(self, base_url: str, minilm: Vectorizer) -> None:
        embedder = self.embedder(base_url, model="minilm:fde:query", check_embedding_ctx_length=False)
        own = minilm.encode_query(TEXTS[1]).fde
        assert own is not None
        np.testing.assert_allclose(embedder.embed_query(TEXTS[1]), own[0], atol=1e-4)

    def test_dimensions(self, base_url: str, minilm: Vectorizer) -> None:
        embedder = self.embedder(base_url, dimensions=64, check_embedding_ctx_length=False)
        own = minilm.encode_document(TEXTS, dimensions=64).dense
        np.testing.assert_allclose(embedder.embed_documents(TEXTS), own, atol=1e-5)

    def test_asynchronously(self, base_url: str, documents: Any) -> None:
        embedder = self.embedder(base_url, check_embedding_ctx_length=False)

        async def asked() -> Any:
            many, one = await asyncio.gather(embedder.aembed_documents(TEXTS), embedder.aembed_query(TEXTS[1]))
            await embedder.async_client._client.close()
            return many, one

        many, one = asyncio.run(asked())
        np.testing.assert_allclose(many, documents, atol=1e-5)
        np.testing.assert_allclose(one, documents[1], atol=1e-5)

    def test_without_the_flag_the_error_names_it(self, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        # By default it sends ids of a vocabulary that tiktoken downloads. Here it has another one, and the server none.
        import tiktoken

        held = [tiktoken.Encoding("held", pat_str=r"\S+|\s+", mergeable_ranks=BYTES, special_tokens={})]

        def one_vocabulary(_: str) -> Any:
            if held:  # the client's; the server asks next
                return held.pop()
            raise OSError("no network")

        def no_model(name: str) -> None:
            raise KeyError(name)

        monkeypatch.setattr(tiktoken, "encoding_for_model", no_model)
        monkeypatch.setattr(tiktoken, "get_encoding", one_vocabulary)
        with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
            self.embedder(base_url).embed_documents(TEXTS)


class TestLlamaIndex:
    @pytest.fixture
    def embedder(self, base_url: str) -> Any:
        from llama_index.embeddings.openai_like import OpenAILikeEmbedding

        return OpenAILikeEmbedding(model_name="minilm", api_base=base_url, api_key="anything", max_retries=0)

    def test_a_text_a_query_and_a_batch(self, embedder: Any, documents: Any) -> None:
        np.testing.assert_allclose(embedder.get_text_embedding(TEXTS[0]), documents[0], atol=1e-5)
        np.testing.assert_allclose(embedder.get_query_embedding(TEXTS[1]), documents[1], atol=1e-5)
        np.testing.assert_allclose(embedder.get_text_embedding_batch(TEXTS), documents, atol=1e-5)

    def test_asynchronously(self, embedder: Any, documents: Any) -> None:
        async def asked() -> Any:
            one = await embedder.aget_text_embedding(TEXTS[0])
            query = await embedder.aget_query_embedding(TEXTS[1])
            many = await embedder.aget_text_embedding_batch(TEXTS)
            await embedder._aclient.close()
            return one, query, many

        one, query, many = asyncio.run(asked())
        np.testing.assert_allclose(one, documents[0], atol=1e-5)
        np.testing.assert_allclose(query, documents[1], atol=1e-5)
        np.testing.assert_allclose(many, documents, atol=1e-5)


class TestHaystack:
    @pytest.fixture
    def options(self, base_url: str) -> dict[str, Any]:
        from haystack.utils import Secret

        return {"api_key": Secret.from_token("anything"), "model": "minilm", "api_base_url": base_url, "max_retries": 0}

    def test_a_text(self, options: dict[str, Any], documents: Any) -> None:
        from haystack.components.embedders import OpenAITextEmbedder

        reply = OpenAITextEmbedder(**options).run(TEXTS[0])
        np.testing.assert_allclose(reply["embedding"], documents[0], atol=1e-5)
        assert reply["meta"]["model"] == "minilm"

    def test_documents(self, options: dict[str, Any], documents: Any, minilm: Vectorizer) -> None:
        from haystack import Document
        from haystack.components.embedders import OpenAIDocumentEmbedder

        embedder = OpenAIDocumentEmbedder(**options, batch_size=2, progress_bar=False)
        reply = embedder.run([Document(content=text) for text in TEXTS])
        np.testing.assert_allclose([one.embedding for one in reply["documents"]], documents, atol=1e-5)
        counts = minilm.encode_document(TEXTS).token_counts
        assert counts is not None
        assert reply["meta"]["usage"]["total_tokens"] == counts.sum()

    def test_it_sends_nothing_home(self) -> None:
        from haystack.telemetry import _telemetry

        assert _telemetry.telemetry is None
