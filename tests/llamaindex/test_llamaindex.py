import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import (
    IndexNode,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from qdrant_edge import FieldCondition, Filter, MatchValue
from vectorplug_llamaindex import VectorplugEmbedding, VectorplugRerank, VectorplugRetriever, add_nodes

from vectorplug import Vectorizer, maxsim, open_store
from vectorplug.errors import InputError, PartialFailureError
from vectorplug.search import Store

TEXTS = ["the sea is salt", "bread of flour and yeast", "a wing has lift and drag", "wind and wave on the shore"]
QUERY = "wind on the sea"


def make_nodes() -> list[TextNode]:
    return [
        TextNode(
            id_="abcd"[i],
            text=text,
            metadata={"group": i % 2, "title": "salt" * i},
            excluded_embed_metadata_keys=["group"],
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"file-{i}")},
            start_char_idx=i,
        )
        for i, text in enumerate(TEXTS)
    ]


@pytest.fixture(scope="module")
def vectorizer(tiny_colbert: Path) -> Vectorizer:
    return Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def exact(vectorizer: Vectorizer) -> Any:
    """MaxSim of QUERY with what LlamaIndex embeds of each node."""
    contents = [node.get_content(MetadataMode.EMBED) for node in make_nodes()]
    assert contents != TEXTS
    query, documents = vectorizer.encode_query(QUERY).tokens, vectorizer.encode_document(contents).tokens
    assert query is not None
    assert documents is not None
    return maxsim(query[0], documents)


@pytest.fixture(params=["memory:", "edge:"])
def store(request: pytest.FixtureRequest, tmp_path: Path, vectorizer: Vectorizer) -> Iterator[Store[Any]]:
    url = request.param if request.param == "memory:" else f"edge:{tmp_path / 'index'}"
    with open_store(url, vectorizer=vectorizer, mode="fde+rerank") as opened:
        yield opened


class TestEmbedding:
    def test_vectors_are_the_dense_ones_of_each_role(self, vectorizer: Vectorizer) -> None:
        embedding = VectorplugEmbedding(vectorizer, embed_batch_size=3)
        documents, query = vectorizer.encode_document(TEXTS).dense, vectorizer.encode_query(QUERY).dense
        assert documents is not None
        assert query is not None
        np.testing.assert_allclose(embedding.get_text_embedding_batch(TEXTS), documents, atol=1e-5)
        np.testing.assert_allclose(embedding.get_text_embedding(TEXTS[1]), documents[1], atol=1e-5)
        np.testing.assert_allclose(embedding.get_query_embedding(QUERY), query[0], atol=1e-5)
        assert embedding.model_name == vectorizer.model

    def test_asynchronously(self, vectorizer: Vectorizer) -> None:
        embedding = VectorplugEmbedding(vectorizer)

        async def asked() -> Any:
            return (
                await embedding.aget_query_embedding(QUERY),
                await embedding.aget_text_embedding(TEXTS[0]),
                await embedding.aget_text_embedding_batch(TEXTS),
            )

        query, one, many = asyncio.run(asked())
        np.testing.assert_allclose(query, embedding.get_query_embedding(QUERY), atol=1e-5)
        np.testing.assert_allclose(one, many[0], atol=1e-5)
        np.testing.assert_allclose(many, embedding.get_text_embedding_batch(TEXTS), atol=1e-5)

    def test_it_is_a_transformation_of_nodes(self, vectorizer: Vectorizer) -> None:
        (node,) = VectorplugEmbedding(vectorizer)(make_nodes()[:1])
        assert node.embedding is not None
        assert len(node.embedding) == vectorizer.dims["dense"]


class TestRetriever:
    def test_nodes_come_back_as_they_were_ranked_by_exact_maxsim(self, store: Store[Any], exact: Any) -> None:
        nodes = make_nodes()
        assert add_nodes(store, nodes) == list("abcd")
        found = VectorplugRetriever(store, similarity_top_k=3).retrieve(QUERY)
        order = np.argsort(-exact)[:3]
        assert [hit.node for hit in found] == [nodes[i] for i in order]
        np.testing.assert_allclose([hit.score for hit in found], exact[order], rtol=1e-4)
        assert asyncio.run(VectorplugRetriever(store, similarity_top_k=3).aretrieve(QUERY)) == found

    def test_a_filter_of_the_databases_own_type(self, store: Store[Any]) -> None:
        add_nodes(store, make_nodes())
        if store.__class__.__name__ == "BruteStore":
            filter: Any = lambda payload: payload["group"] == 1  # noqa: E731
        else:
            filter = Filter(must=[FieldCondition(key="group", match=MatchValue(1))])
        found = VectorplugRetriever(store, filter=filter).retrieve(QUERY)
        assert sorted(hit.node.node_id for hit in found) == ["b", "d"]

    def test_candidates_go_to_the_search(self, store: Store[Any]) -> None:
        add_nodes(store, make_nodes())
        with pytest.raises(InputError, match="candidates 3"):
            VectorplugRetriever(store, similarity_top_k=4, candidates=3).retrieve(QUERY)

    def test_adding_again_skips_replaces_and_deletes(self, store: Store[Any]) -> None:
        nodes = make_nodes()
        add_nodes(store, nodes)
        nodes[1].metadata["group"] = 9
        add_nodes(store, nodes)
        store.delete(["a", "c"])
        found = VectorplugRetriever(store).retrieve(QUERY)
        assert {hit.node.node_id: hit.node.metadata["group"] for hit in found} == {"b": 9, "d": 1}

    def test_other_kinds_of_nodes(self, store: Store[Any]) -> None:
        node = IndexNode(text="the sea", index_id="elsewhere", id_="i")
        add_nodes(store, [node])
        assert VectorplugRetriever(store).retrieve(QUERY)[0].node == node

    def test_documents_that_were_added_without_llamaindex(self, store: Store[Any]) -> None:
        store.add(["the sea"], ids=[7], payloads=[{"n": 1}])
        (hit,) = VectorplugRetriever(store).retrieve(QUERY)
        assert (hit.node.node_id, hit.node.get_content(), hit.node.metadata) == ("7", "the sea", {"n": 1})

    def test_what_cannot_be_stored(self, store: Store[Any]) -> None:
        with pytest.raises(InputError, match="field 'text'"):
            add_nodes(store, [TextNode(text="x", metadata={"text": "y"})])
        with pytest.raises(PartialFailureError, match="64 bits"):
            add_nodes(store, [TextNode(text="x", metadata={"n": 2**70}), *make_nodes()])
        assert store.count() == 4

    def test_in_a_query_engine_with_the_reranker(self, store: Store[Any], vectorizer: Vectorizer, exact: Any) -> None:
        add_nodes(store, make_nodes())
        engine = RetrieverQueryEngine.from_args(
            VectorplugRetriever(store),
            llm=MockLLM(),
            node_postprocessors=[VectorplugRerank(vectorizer=vectorizer, top_n=2)],
        )
        response = engine.query(QUERY)
        assert [hit.node.node_id for hit in response.source_nodes] == ["abcd"[i] for i in np.argsort(-exact)[:2]]


class TestRerank:
    def test_ranks_by_exact_maxsim(self, vectorizer: Vectorizer, exact: Any) -> None:
        given = [NodeWithScore(node=node, score=0.5) for node in make_nodes()]
        order = np.argsort(-exact)
        kept = VectorplugRerank(vectorizer=vectorizer, top_n=3).postprocess_nodes(given, query_str=QUERY)
        assert [hit.node.node_id for hit in kept] == ["abcd"[i] for i in order[:3]]
        np.testing.assert_allclose([hit.score for hit in kept], exact[order[:3]], rtol=1e-5)
        assert [hit.score for hit in given] == [0.5] * 4
        rerank = VectorplugRerank(vectorizer=vectorizer)
        assert len(asyncio.run(rerank.apostprocess_nodes(given, QueryBundle(QUERY)))) == 4
        assert rerank.postprocess_nodes([], query_str=QUERY) == []

    def test_wrong_calls(self, vectorizer: Vectorizer) -> None:
        with pytest.raises(InputError, match="no question"):
            VectorplugRerank(vectorizer=vectorizer).postprocess_nodes([])
        with pytest.raises(ValueError, match="top_n"):
            VectorplugRerank(vectorizer=vectorizer, top_n=0)
