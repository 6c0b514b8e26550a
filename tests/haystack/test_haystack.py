import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter
from haystack.core.errors import DeserializationError
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.testing.document_store import CountDocumentsTest, DeleteDocumentsTest, WriteDocumentsTest
from haystack.utils import Secret
from qdrant_edge import FieldCondition, Filter, MatchValue
from vectorplug_haystack import (
    VectorplugDocumentEmbedder,
    VectorplugDocumentStore,
    VectorplugRanker,
    VectorplugRetriever,
    VectorplugTextEmbedder,
)
from vectorplug_haystack.model import _loaded

from vectorplug import Vectorizer, maxsim, open_store
from vectorplug.errors import ConfigurationError, InputError, PartialFailureError

TEXTS = ["the sea is salt", "bread of flour and yeast", "a wing has lift and drag", "wind and wave on the shore"]
QUERY = "wind on the sea"


def make_documents() -> list[Document]:
    return [Document(id="abcd"[i], content=text, meta={"group": i % 2}) for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def model(tiny_colbert: Path) -> str:
    return str(tiny_colbert)


@pytest.fixture(scope="module", autouse=True)
def vectorizer(model: str) -> Any:
    """The one that all components share, held so that it is loaded once."""
    return VectorplugTextEmbedder(model).vectorizer


@pytest.fixture(scope="module")
def exact(vectorizer: Vectorizer) -> Any:
    """MaxSim of QUERY with each of TEXTS."""
    query, documents = vectorizer.encode_query(QUERY).tokens, vectorizer.encode_document(TEXTS).tokens
    assert query is not None
    assert documents is not None
    return maxsim(query[0], documents)


@pytest.fixture(params=["memory:", "edge:"])
def document_store(request: pytest.FixtureRequest, tmp_path: Path, model: str) -> Iterator[VectorplugDocumentStore]:
    url = request.param if request.param == "memory:" else f"edge:{tmp_path / 'index'}"
    store = VectorplugDocumentStore(url, model=model, mode="fde+rerank")
    yield store
    store.close()


def filled(document_store: VectorplugDocumentStore) -> VectorplugDocumentStore:
    assert document_store.write_documents(make_documents()) == 4
    return document_store


class TestHaystacksOwn(CountDocumentsTest, DeleteDocumentsTest, WriteDocumentsTest):
    def test_write_documents(self, document_store: VectorplugDocumentStore) -> None:
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        assert document_store.write_documents([document]) == 1
        assert document_store.count_documents() == 1

    @pytest.mark.xfail(raises=NotImplementedError, reason="a store is searched, filter_documents lists")
    def test_write_documents_duplicate_fail(self, document_store: VectorplugDocumentStore) -> None:
        super().test_write_documents_duplicate_fail(document_store)

    @pytest.mark.xfail(raises=NotImplementedError, reason="a store is searched, filter_documents lists")
    def test_write_documents_duplicate_overwrite(self, document_store: VectorplugDocumentStore) -> None:
        super().test_write_documents_duplicate_overwrite(document_store)


class TestEmbedders:
    def test_vectors_are_the_dense_ones_of_each_role(self, model: str, vectorizer: Vectorizer) -> None:
        documents, query = vectorizer.encode_document(TEXTS).dense, vectorizer.encode_query(QUERY).dense
        assert query is not None
        given = make_documents()
        embedder = VectorplugDocumentEmbedder(model)
        embedder.warm_up()
        embedded = embedder.run(given)["documents"]
        np.testing.assert_allclose([document.embedding for document in embedded], documents, atol=1e-5)
        assert [(document.id, document.meta) for document in embedded] == [(d.id, d.meta) for d in given]
        assert all(document.embedding is None for document in given)
        assert embedder.run([]) == {"documents": []}
        asked = VectorplugTextEmbedder(model)
        np.testing.assert_allclose(asked.run(QUERY)["embedding"], query[0], atol=1e-5)
        assert asyncio.run(asked.run_async(QUERY)) == asked.run(QUERY)
        assert asyncio.run(embedder.run_async(given)) == {"documents": embedded}

    def test_a_document_without_text(self, model: str) -> None:
        with pytest.raises(InputError, match="'x' has no text"):
            VectorplugDocumentEmbedder(model).run([Document(id="x", meta={"a": 1})])


class TestModels:
    def test_one_is_loaded_for_all_and_leaves_with_the_last(self, tiny_dense: Path) -> None:
        model = str(tiny_dense)
        one, other = VectorplugTextEmbedder(model), VectorplugRanker(model)
        assert one.vectorizer is other.vectorizer
        first = id(one.vectorizer)
        del one
        assert id(other.vectorizer) == first
        assert (model, None, None) in _loaded
        del other
        gc.collect()
        assert (model, None, None) not in _loaded

    def test_nothing_is_loaded_before_it_is_warm(self) -> None:
        VectorplugTextEmbedder("no such model")
        VectorplugDocumentStore("edge:/no/such/folder", model="no such model")

    @pytest.mark.parametrize("kind", [VectorplugTextEmbedder, VectorplugDocumentEmbedder, VectorplugRanker])
    def test_a_server_and_its_key_are_written_and_the_key_is_not(self, kind: Any, monkeypatch: Any) -> None:
        monkeypatch.setenv("SERVERS_KEY", "secret")
        key = Secret.from_env_var("SERVERS_KEY")
        component = kind("minilm", server_url="http://localhost:1", api_key=key)
        described = component.to_dict()
        assert "secret" not in str(described)
        again = kind.from_dict(described)
        assert (again.model, again.server_url, again.api_key) == ("minilm", "http://localhost:1", key)
        assert again.to_dict() == described


class TestRetriever:
    def test_scores_are_exact_maxsim(self, document_store: VectorplugDocumentStore, exact: Any) -> None:
        retriever = VectorplugRetriever(filled(document_store), top_k=3)
        found = retriever.run(QUERY)["documents"]
        order = np.argsort(-exact)
        documents = make_documents()
        assert [(d.id, d.content, d.meta) for d in found] == [
            (documents[i].id, documents[i].content, documents[i].meta) for i in order[:3]
        ]
        np.testing.assert_allclose([document.score for document in found], exact[order[:3]], rtol=1e-4)
        assert retriever.run(QUERY, top_k=1)["documents"] == found[:1]
        assert asyncio.run(retriever.run_async(QUERY)) == {"documents": found}

    def test_a_filter_of_the_databases_own_type(self, document_store: VectorplugDocumentStore) -> None:
        if document_store.url == "memory:":
            filters: Any = lambda payload: payload["group"] == 1  # noqa: E731
        else:
            filters = Filter(must=[FieldCondition(key="group", match=MatchValue(1))])
        found = VectorplugRetriever(filled(document_store)).run(QUERY, filters=filters)["documents"]
        assert sorted(document.id for document in found) == ["b", "d"]

    def test_candidates_go_to_the_search(self, document_store: VectorplugDocumentStore) -> None:
        with pytest.raises(InputError, match="candidates 3"):
            VectorplugRetriever(filled(document_store), top_k=4, candidates=3).run(QUERY)


class TestDocumentStore:
    def test_policies(self, document_store: VectorplugDocumentStore) -> None:
        assert document_store.write_documents(make_documents(), policy=DuplicatePolicy.FAIL) == 4
        changed = Document(id="a", content="the shore", meta={"group": 7})
        new = Document(id="e", content="an oven")
        with pytest.raises(DuplicateDocumentError, match="'a'"):
            document_store.write_documents([new, changed], policy=DuplicatePolicy.FAIL)
        assert document_store.count_documents() == 4
        assert document_store.write_documents([new, changed], policy=DuplicatePolicy.SKIP) == 1
        assert document_store.store.payloads(["a"]) == {"a": {"text": TEXTS[0], "group": 0}}
        assert document_store.write_documents([changed], policy=DuplicatePolicy.OVERWRITE) == 1
        assert document_store.store.payloads(["a"]) == {"a": {"text": "the shore", "group": 7}}
        assert document_store.count_documents() == 5

    def test_what_cannot_be_written(self, document_store: VectorplugDocumentStore) -> None:
        with pytest.raises(InputError, match="field 'text'"):
            document_store.write_documents([Document(content="x", meta={"text": "y"})])
        with pytest.raises(PartialFailureError, match="of type object"):
            document_store.write_documents([Document(id="x", content="x", meta={"n": object()}), *make_documents()])
        assert document_store.count_documents() == 4
        with pytest.raises(NotImplementedError, match="VectorplugRetriever"):
            document_store.filter_documents()

    def test_of_an_open_store(self, vectorizer: Vectorizer) -> None:
        store = open_store("memory:", vectorizer=vectorizer)
        document_store = filled(VectorplugDocumentStore.from_store(store))
        assert store.count() == document_store.count_documents() == 4
        with pytest.raises(ConfigurationError, match="make it of a URL"):
            document_store.to_dict()

    def test_a_collection_that_is_there_needs_no_model(self, model: str, tmp_path: Path) -> None:
        url = f"edge:{tmp_path / 'index'}"
        with pytest.raises(ConfigurationError, match=r"no collection 'docs' .* name a model"):
            VectorplugDocumentStore(url).count_documents()
        described = VectorplugDocumentStore(url, "notes", model=model, mode="native").to_dict()
        made = filled(VectorplugDocumentStore.from_dict(described))
        assert (made.store.collection, made.store.mode) == ("notes", "native")
        made.close()
        again = VectorplugDocumentStore(url, "notes")
        assert len(VectorplugRetriever(again).run(QUERY)["documents"]) == 4
        assert again.store.mode == "native"
        again.close()
        assert again.count_documents() == 4
        again.close()


class TestRanker:
    def test_ranks_by_exact_maxsim(self, model: str, exact: Any) -> None:
        given = make_documents()
        order = np.argsort(-exact)
        ranker = VectorplugRanker(model, top_k=3)
        ranker.warm_up()
        kept = ranker.run(QUERY, given)["documents"]
        assert [(document.id, document.meta) for document in kept] == [(given[i].id, given[i].meta) for i in order[:3]]
        np.testing.assert_allclose([document.score for document in kept], exact[order[:3]], rtol=1e-4)
        assert all(document.score is None for document in given)
        assert ranker.run(QUERY, given, top_k=1)["documents"] == kept[:1]
        assert len(VectorplugRanker(model).run(QUERY, given)["documents"]) == 4
        assert ranker.run(QUERY, []) == {"documents": []}
        assert asyncio.run(ranker.run_async(QUERY, given)) == {"documents": kept}

    def test_impossible_counts(self, model: str) -> None:
        with pytest.raises(InputError, match="top_k is 0"):
            VectorplugRanker(model, top_k=0)
        with pytest.raises(InputError, match="top_k is -1"):
            VectorplugRanker(model).run(QUERY, make_documents(), top_k=-1)


class TestPipeline:
    def test_written_to_yaml_and_run_from_it(self, model: str, tmp_path: Path, exact: Any) -> None:
        store = VectorplugDocumentStore(f"edge:{tmp_path / 'index'}", "notes", model=model, mode="fde+rerank")
        indexing = Pipeline()
        indexing.add_component("embedder", VectorplugDocumentEmbedder(model))
        indexing.add_component("writer", DocumentWriter(store))
        indexing.connect("embedder", "writer")
        searching = Pipeline()
        searching.add_component("retriever", VectorplugRetriever(store, top_k=4, candidates=50))
        searching.add_component("ranker", VectorplugRanker(model, top_k=2))
        searching.connect("retriever", "ranker")
        written = [indexing.dumps(), searching.dumps()]

        with pytest.raises(DeserializationError, match="vectorplug_haystack"):
            Pipeline.loads(written[0])
        indexing, searching = (Pipeline.loads(text, allowed_modules=["vectorplug_haystack.*"]) for text in written)
        assert [indexing.dumps(), searching.dumps()] == written
        assert indexing.run({"embedder": {"documents": make_documents()}})["writer"] == {"documents_written": 4}
        indexing.get_component("writer").document_store.close()
        found = searching.run({"retriever": {"query": QUERY}, "ranker": {"query": QUERY}})["ranker"]["documents"]
        searching.get_component("retriever").close()
        order = np.argsort(-exact)[:2]
        assert [document.id for document in found] == ["abcd"[i] for i in order]
        np.testing.assert_allclose([document.score for document in found], exact[order], rtol=1e-4)

    def test_asynchronously(self, model: str) -> None:
        store = VectorplugDocumentStore(model=model)
        pipeline = Pipeline()
        pipeline.add_component("writer", DocumentWriter(store))
        written = asyncio.run(pipeline.run_async({"writer": {"documents": make_documents()}}))
        assert written == {"writer": {"documents_written": 4}}
        pipeline = Pipeline()
        pipeline.add_component("retriever", VectorplugRetriever(store, top_k=1))
        found = asyncio.run(pipeline.run_async({"retriever": {"query": QUERY}}))["retriever"]["documents"]
        assert len(found) == 1
