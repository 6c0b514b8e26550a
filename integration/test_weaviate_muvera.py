"""`Muvera.preset("weaviate")` ranks as the server's own encoder does.

The server tells no FDE. For a limit k it ranks its 2k nearest FDEs by exact MaxSim and answers with the best k; so an
answer for a small k hangs on which few documents its FDEs found.
"""

from collections.abc import Iterator

import numpy as np
import pytest
from weaviate.classes.config import Configure, VectorDistances
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter
from weaviate_server import WeaviateServer, weaviate_server

from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera
from vectorplug.search.hits import key_of

DOCUMENTS, QUERIES, DIM = 500, 40, 32
KSIM, DPROJ, REPETITIONS = 4, 8, 10
LIMITS = (1, 2, 3, 5, 10, 25)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeaviateServer]:
    with weaviate_server(tmp_path_factory.mktemp("weaviate"), {}) as running:
        yield running


def unit_tokens(count: int, longest: int, seed: int) -> MultiVectors:
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal((n, DIM), dtype=np.float32) for n in rng.integers(2, longest, count)]
    return MultiVectors.from_list([part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts])


def test_the_same_candidates(server: WeaviateServer) -> None:
    documents, queries = unit_tokens(DOCUMENTS, 60, seed=1), unit_tokens(QUERIES, 12, seed=2)
    muvera = Muvera.preset("weaviate", dim=DIM, ksim=KSIM, dproj=DPROJ, repetitions=REPETITIONS)
    scores = muvera.encode_queries(queries) @ muvera.encode_documents(documents).T
    exact = maxsim(queries, documents)
    number_of = {key_of(i): i for i in range(DOCUMENTS)}
    same = asked = 0
    with server.connect() as client:
        handle = client.collections.create(
            "Muvera",
            vector_config=Configure.MultiVectors.self_provided(
                name="tokens",
                encoding=Configure.VectorIndex.MultiVector.Encoding.muvera(
                    ksim=KSIM, dprojections=DPROJ, repetitions=REPETITIONS
                ),
                vector_index_config=Configure.VectorIndex.hnsw(
                    distance_metric=VectorDistances.DOT, quantizer=Configure.VectorIndex.Quantizer.none()
                ),
            ),
        )
        try:
            objects = [DataObject({}, key_of(i), {"tokens": documents[i]}) for i in range(DOCUMENTS)]
            assert not handle.data.insert_many(objects).errors
            everything = Filter.by_id().contains_any(list(number_of))  # a filter makes it scan
            for query in range(QUERIES):
                nearest = np.argsort(-scores[query])
                for limit in LIMITS:
                    candidates = nearest[: 2 * limit]
                    expected = candidates[np.argsort(-exact[query, candidates])[:limit]]
                    answer = handle.query.near_vector(
                        queries[query], target_vector="tokens", limit=limit, filters=everything
                    )
                    found = {number_of[str(each.uuid)] for each in answer.objects}
                    same += len(found & set(expected.tolist()))
                    asked += limit
        finally:
            client.collections.delete("Muvera")
    assert same / asked >= 0.99
