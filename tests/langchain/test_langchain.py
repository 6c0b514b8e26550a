import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from qdrant_edge import FieldCondition, Filter, MatchValue
from vectorplug_langchain import VectorplugEmbeddings, VectorplugReranker, VectorplugVectorStore

from vectorplug import Vectorizer, maxsim, open_store
from vectorplug.errors import ConfigurationError, InputError, PartialFailureError, StoreError

TEXTS = ["the sea is salt", "bread of flour and yeast", "a wing has lift and drag", "wind and wave on the shore"]
METADATAS = [{"n": i, "group": i % 2} for i in range(4)]
QUERY = "wind on the sea"


@pytest.fixture(scope="module")
def vectorizer(tiny_colbert: Path) -> Vectorizer:
    return Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def exact(vectorizer: Vectorizer) -> Any:
    """MaxSim of QUERY with each of TEXTS."""
    query, documents = vectorizer.encode_query(QUERY).tokens, vectorizer.encode_document(TEXTS).tokens
    assert query is not None
    assert documents is not None
    return maxsim(query[0], documents)


@pytest.fixture(params=["memory:", "edge:"])
def vectorstore(request: pytest.FixtureRequest, tmp_path: Path, vectorizer: Vectorizer) -> Iterator[Any]:
    url = request.param if request.param == "memory:" else f"edge:{tmp_path / 'index'}"
    with open_store(url, vectorizer=vectorizer, mode="fde+rerank") as store:
        yield VectorplugVectorStore(store)


def filled(vectorstore: VectorplugVectorStore) -> VectorplugVectorStore:
    assert vectorstore.add_texts(TEXTS, METADATAS, ids=["a", "b", "c", "d"]) == ["a", "b", "c", "d"]
    return vectorstore


class TestEmbeddings:
    def test_vectors_are_the_dense_ones_of_each_role(self, vectorizer: Vectorizer) -> None:
        embeddings = VectorplugEmbeddings(vectorizer)
        documents, query = vectorizer.encode_document(TEXTS).dense, vectorizer.encode_query(QUERY).dense
        assert query is not None
        np.testing.assert_allclose(embeddings.embed_documents(TEXTS), documents, atol=1e-5)
        np.testing.assert_allclose(embeddings.embed_query(QUERY), query[0], atol=1e-5)
        assert embeddings.embed_documents([]) == []

    def test_asynchronously(self, vectorizer: Vectorizer) -> None:
        embeddings = VectorplugEmbeddings(vectorizer)
        assert asyncio.run(embeddings.aembed_query(QUERY)) == embeddings.embed_query(QUERY)


class TestVectorStore:
    def test_scores_are_exact_maxsim(self, vectorstore: VectorplugVectorStore, exact: Any) -> None:
        found = filled(vectorstore).similarity_search_with_score(QUERY, k=4)
        order = np.argsort(-exact)
        assert [document.id for document, _ in found] == ["abcd"[i] for i in order]
        assert [document.page_content for document, _ in found] == [TEXTS[i] for i in order]
        assert [document.metadata for document, _ in found] == [METADATAS[i] for i in order]
        np.testing.assert_allclose([score for _, score in found], exact[order], rtol=1e-4)

    def test_a_filter_of_the_databases_own_type(self, vectorstore: VectorplugVectorStore) -> None:
        if vectorstore.store.__class__.__name__ == "BruteStore":
            filter: Any = lambda payload: payload["group"] == 1  # noqa: E731
        else:
            filter = Filter(must=[FieldCondition(key="group", match=MatchValue(1))])
        found = filled(vectorstore).similarity_search(QUERY, k=4, filter=filter)
        assert sorted(document.id or "" for document in found) == ["b", "d"]
        retriever = vectorstore.as_retriever(search_kwargs={"k": 1, "filter": filter})
        assert retriever.invoke(QUERY) == found[:1]
        assert asyncio.run(retriever.ainvoke(QUERY)) == found[:1]

    def test_get_and_delete_by_id(self, vectorstore: VectorplugVectorStore) -> None:
        filled(vectorstore)
        assert vectorstore.get_by_ids(["c", "z", "a"]) == [
            Document(TEXTS[2], id="c", metadata=METADATAS[2]),
            Document(TEXTS[0], id="a", metadata=METADATAS[0]),
        ]
        assert vectorstore.delete(["c", "z"])
        assert vectorstore.get_by_ids(["c"]) == []
        assert vectorstore.store.count() == 3
        with pytest.raises(InputError, match="ids=None"):
            vectorstore.delete()

    def test_without_ids_equal_documents_are_one(self, vectorstore: VectorplugVectorStore) -> None:
        ids = vectorstore.add_texts(["the sea", "the sea", "the sea"], [{"n": 1}, {"n": 2}, {"n": 1}])
        assert ids[0] == ids[2] != ids[1]
        assert vectorstore.store.count() == 2
        assert vectorstore.add_texts(["the sea"], [{"n": 1}]) == ids[:1]
        assert vectorstore.store.count() == 2

    def test_what_is_refused_is_named_and_the_others_are_in(self, vectorstore: VectorplugVectorStore) -> None:
        with pytest.raises(PartialFailureError, match="of type object") as caught:
            vectorstore.add_texts(["one", "two"], [{"bad": object()}, {}], ids=["x", "y"])
        assert [name for name, _ in caught.value.failed] == ["x"]
        assert [document.id for document in vectorstore.get_by_ids(["x", "y"])] == ["y"]

    def test_wrong_calls(self, vectorstore: VectorplugVectorStore) -> None:
        with pytest.raises(InputError, match="field 'text'"):
            vectorstore.add_texts(["one"], [{"text": "two"}])
        with pytest.raises(InputError, match="2 texts, 2 metadatas and 1 ids"):
            vectorstore.add_texts(["one", "two"], ids=["1"])
        with pytest.raises(InputError, match="2 texts, 1 metadatas"):
            vectorstore.add_texts(["one", "two"], [{}])
        assert vectorstore.store.count() == 0
        filled(vectorstore)
        with pytest.raises(TypeError, match="colour"):
            vectorstore.similarity_search(QUERY, colour="blue")

    def test_a_document_without_its_text_says_so(self, vectorizer: Vectorizer) -> None:
        store = open_store("memory:", vectorizer=vectorizer, mode="native")
        store.add_encoded(vectorizer.encode_document(["x"], outputs=("tokens",)), ids=[7])
        with pytest.raises(StoreError, match="document 7 has no text"):
            VectorplugVectorStore(store).similarity_search("x")

    def test_ids_that_are_integers_come_back_as_digits(self, vectorizer: Vectorizer) -> None:
        store = open_store("memory:", vectorizer=vectorizer)
        store.add(["seven"], ids=[7])
        vectorstore = VectorplugVectorStore(store)
        assert vectorstore.similarity_search(QUERY) == [Document("seven", id="7")]
        assert vectorstore.get_by_ids(["7"]) == []

    def test_from_texts_and_from_documents(self, vectorizer: Vectorizer, tmp_path: Path) -> None:
        embeddings = VectorplugEmbeddings(vectorizer)
        url = f"edge:{tmp_path / 'index'}"
        with pytest.raises(PartialFailureError):
            VectorplugVectorStore.from_texts(TEXTS[:1], embeddings, [{"bad": object()}], url=url, mode="native")
        made = VectorplugVectorStore.from_texts(TEXTS, embeddings, METADATAS, ids=list("abcd"), url=url, mode="native")
        assert made.store.mode == "native"
        made.store.close()
        with open_store(url, vectorizer=vectorizer) as store:
            again = VectorplugVectorStore(store)
            assert again.get_by_ids(["b"]) == [Document(TEXTS[1], id="b", metadata=METADATAS[1])]
        documents = [Document(TEXTS[0], id="x"), Document(TEXTS[1])]
        others = VectorplugVectorStore.from_documents(documents, embeddings)
        assert others.store.count() == 2
        assert others.get_by_ids(["x"]) == [documents[0]]
        with pytest.raises(ConfigurationError, match="expected VectorplugEmbeddings"):
            VectorplugVectorStore.from_texts(TEXTS, DeterministicFakeEmbedding(size=4))


class TestReranker:
    def test_ranks_by_exact_maxsim(self, vectorizer: Vectorizer, exact: Any) -> None:
        documents = [Document(text, id=str(i), metadata={"n": i}) for i, text in enumerate(TEXTS)]
        tokens = vectorizer.encode_query(QUERY).tokens
        assert tokens is not None
        order = np.argsort(-exact)
        kept = VectorplugReranker(vectorizer=vectorizer, top_n=3).compress_documents(documents, QUERY)
        assert [document.id for document in kept] == [str(i) for i in order[:3]]
        assert [document.metadata["n"] for document in kept] == list(order[:3])
        relevance = [document.metadata["relevance_score"] for document in kept]
        np.testing.assert_allclose(relevance, exact[order[:3]] / len(tokens[0]), rtol=1e-5)
        assert all("relevance_score" not in document.metadata for document in documents)
        reranker = VectorplugReranker(vectorizer=vectorizer)
        assert len(reranker.compress_documents(documents, QUERY)) == 4
        assert reranker.compress_documents([], QUERY) == []
        assert asyncio.run(reranker.acompress_documents(documents, QUERY))[:3] == kept

    @pytest.mark.parametrize("options", [{"top_n": 0}, {"top_k": 3}])
    def test_wrong_options(self, vectorizer: Vectorizer, options: dict[str, int]) -> None:
        with pytest.raises(ValueError, match=next(iter(options))):
            VectorplugReranker(vectorizer=vectorizer, **options)
