"""LangChain's own tests for what calls itself an embedding or a vector store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, VectorStoreIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from vectorplug_langchain import VectorplugEmbeddings, VectorplugVectorStore

from vectorplug import Vectorizer, open_store


# Of equal tokens the inner product is 1, so a text is always nearest to itself.
@pytest.fixture(scope="module")
def vectorizer(tiny_dense: Path) -> Vectorizer:
    return Vectorizer(str(tiny_dense), device="cpu", dtype="float32")


class Embeddings:
    params: dict[str, Any]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _params(cls, vectorizer: Vectorizer) -> None:
        cls.params = {"vectorizer": vectorizer}

    @property
    def embeddings_class(self) -> type[VectorplugEmbeddings]:
        return VectorplugEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return self.params


class TestEmbeddingsUnit(Embeddings, EmbeddingsUnitTests):
    pass


class TestEmbeddings(Embeddings, EmbeddingsIntegrationTests):
    pass


class TestMemory(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, vectorizer: Vectorizer) -> VectorplugVectorStore:  # type: ignore[override]
        return VectorplugVectorStore(open_store("memory:", vectorizer=vectorizer, mode="fde+rerank"))


class TestEdge(VectorStoreIntegrationTests):
    @pytest.fixture(params=["native", "fde+rerank", "dense"])
    def vectorstore(  # type: ignore[override]
        self, vectorizer: Vectorizer, tmp_path: Path, request: pytest.FixtureRequest
    ) -> Iterator[VectorplugVectorStore]:
        with open_store(f"edge:{tmp_path / 'index'}", vectorizer=vectorizer, mode=request.param) as store:
            yield VectorplugVectorStore(store)
