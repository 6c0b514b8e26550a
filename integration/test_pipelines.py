"""The packages for frameworks with a model that runs in our server."""

from typing import Any

import numpy as np
import pytest
from serving import Running

from vectorplug import Vectorizer, open_store

TEXTS = ["the sea is salt", "bread of flour and yeast", "wind and wave on the shore"]
QUERY = "wind on the sea"


def test_langchain(server: Running) -> None:
    from vectorplug_langchain import VectorplugReranker, VectorplugVectorStore

    vectorizer = Vectorizer.remote(server.url, "tiny-colbert")
    vectorstore = VectorplugVectorStore(open_store("memory:", vectorizer=vectorizer, mode="native"))
    vectorstore.add_texts(TEXTS, ids=["0", "1", "2"])
    found = vectorstore.similarity_search(QUERY, k=3)
    ranked = VectorplugReranker(vectorizer=vectorizer).compress_documents(found[::-1], QUERY)
    assert [document.id for document in ranked] == [document.id for document in found]


def test_llamaindex(server: Running, minilm: Vectorizer) -> None:
    from vectorplug_llamaindex import VectorplugEmbedding

    embedding = VectorplugEmbedding(Vectorizer.remote(server.url, "minilm"))
    np.testing.assert_allclose(
        embedding.get_text_embedding_batch(TEXTS), minilm.encode_document(TEXTS).dense, atol=1e-5
    )


def test_haystack(server: Running, minilm: Vectorizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    from haystack import Document
    from vectorplug_haystack import VectorplugDocumentStore, VectorplugRetriever, VectorplugTextEmbedder

    own: Any = minilm.encode_query(QUERY).dense
    embedder = VectorplugTextEmbedder("minilm", server_url=server.url)
    np.testing.assert_allclose(embedder.run(QUERY)["embedding"], own[0], atol=1e-5)
    store = VectorplugDocumentStore(model="tiny-colbert", server_url=server.url)
    store.write_documents([Document(content=text) for text in TEXTS])
    assert len(VectorplugRetriever(store).run(QUERY)["documents"]) == 3
