"""The embedded Qdrant does what every store must; and in which numbers it keeps vectors."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backfill_suite import BackfillSuite
from corpus import random_texts
from fit_suite import KeptFitSuite
from hybrid_suite import HybridSuite, WordsAreChosenSuite
from qdrant_edge import FieldCondition, Filter, MatchValue
from refit_suite import RefitSuite
from store_suite import DOCUMENTS, QUERIES, KeptStoreSuite, OpenStore, filled, plain_store
from vectorplug_qdrant import QdrantStore, edge

from vectorplug.encoded import OUTPUTS
from vectorplug.errors import ConfigurationError
from vectorplug.muvera import Muvera
from vectorplug.search import IndexConfig
from vectorplug.search.brute import BruteStore


class TestEdge(KeptStoreSuite, KeptFitSuite, RefitSuite, HybridSuite, WordsAreChosenSuite):
    # All collections in a folder are ours.
    test_more_vectors_for_a_collection_of_ours = BackfillSuite.test_more_vectors_for_a_collection_of_ours

    @pytest.fixture
    def open_store_under_test(self, tmp_path: Path) -> Iterator[OpenStore]:
        with ExitStack() as opened:

            def open_store(**options: Any) -> QdrantStore:
                return opened.enter_context(QdrantStore(f"edge:{tmp_path / 'index'}", **options))

            yield open_store

    def lose_fit(self, store: Any) -> None:
        for file in (store._database._folder.path / "fits").iterdir():
            file.unlink()

    @staticmethod
    def group_is(number: int) -> Filter:
        return Filter(must=[FieldCondition(key="group", match=MatchValue(number))])


def layout(folder: Path) -> dict[str, Any]:
    """The vectors as the engine itself wrote them down."""
    (file,) = folder.rglob("edge_config.json")
    vectors: dict[str, Any] = json.loads(file.read_text())["vectors"]
    return vectors


def kept_in(tokens: str, fde: str) -> IndexConfig:
    return IndexConfig.of({"tokens": {"dtype": tokens}, "store": {"fde_dtype": fde}})


def test_half_the_bytes(tmp_path: Path) -> None:
    config = kept_in("float16", "float16")
    with filled(QdrantStore(f"edge:{tmp_path}", outputs=OUTPUTS, config=config)):
        pass
    vectors = layout(tmp_path)
    assert (vectors["tokens"]["datatype"], vectors["fde"]["datatype"]) == ("float16", "float16")
    assert "datatype" not in vectors["dense"]
    plain = BruteStore(outputs=OUTPUTS, config=config)
    plain.add_encoded(DOCUMENTS, ids=list(range(60)))
    with QdrantStore(f"edge:{tmp_path}") as store:
        for mode in ("native", "fde"):
            found = {hit.id: hit.score for hit in store.search_encoded(QUERIES[:1], limit=60, mode=mode)}
            for each, tolerance in ((plain, 1e-3), (plain_store(), 5e-3)):
                expected = {hit.id: hit.score for hit in each.search_encoded(QUERIES[:1], limit=60, mode=mode)}
                np.testing.assert_allclose(
                    [found[i] for i in range(60)], [expected[i] for i in range(60)], rtol=tolerance, atol=tolerance
                )


@pytest.mark.parametrize(("fde_dtype", "quantization"), [("int8", "scalar"), ("bit", "binary")])
def test_codes_of_the_fdes_find_and_the_whole_ones_score(
    tmp_path: Path, fde_dtype: str, quantization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    muvera = Muvera(dim=16, repetitions=8, ksim=4, dproj=8)
    documents = random_texts(2600, seed=8, fde=muvera, longest=6)  # 10 MB, of which the engine makes a graph
    query = random_texts(1, seed=9, fde=muvera, role="query", longest=6)
    monkeypatch.setattr(edge, "INDEX_BYTES", 0)
    plain = BruteStore(mode="fde")
    config = kept_in("float32", fde_dtype)
    with QdrantStore(f"edge:{tmp_path}", mode="fde", config=config) as store:
        for each in (store, plain):
            each.add_encoded(documents, ids=list(range(2600)))
    vectors = layout(tmp_path)
    assert list(vectors["fde"]["quantization_config"]) == [quantization]
    assert vectors["fde"]["memory"] == "cold"
    codes = sum(file.stat().st_size for file in tmp_path.rglob("quantized.data"))
    assert codes == pytest.approx(2600 * muvera.size * (1 if fde_dtype == "int8" else 1 / 8), rel=0.1)
    with QdrantStore(f"edge:{tmp_path}") as store:
        found = store.search_encoded(query, limit=50)
    exact = plain.search_encoded(query, limit=2600)
    scores = {hit.id: hit.score for hit in exact}
    np.testing.assert_allclose([hit.score for hit in found], [scores[hit.id] for hit in found], rtol=1e-4)
    best = {hit.id for hit in exact[:50]}
    assert len(best & {hit.id for hit in found}) >= (48 if fde_dtype == "int8" else 30)


def test_more_vectors_come_in_the_numbers_of_the_collection(tmp_path: Path, vectorizer: Any) -> None:
    config = kept_in("float16", "bit")
    with QdrantStore(f"edge:{tmp_path}", vectorizer=vectorizer, mode="dense", config=config) as store:
        store.add(["the sea", "the shore"])
        assert store.backfill(outputs=["tokens", "fde"]).filled == 2
    vectors = layout(tmp_path)
    assert vectors["tokens"]["datatype"] == "float16"
    assert list(vectors["fde"]["quantization_config"]) == ["binary"]
    with QdrantStore(f"edge:{tmp_path}") as store:
        assert len(store.search("the sea", mode="fde+rerank")) == 2


def test_tokens_in_int8_are_refused(tmp_path: Path) -> None:
    with (
        QdrantStore(f"edge:{tmp_path}", config=kept_in("int8", "float32")) as store,
        pytest.raises(
            ConfigurationError, match=r"tokens\.dtype is 'int8', and Qdrant keeps tokens in float32 or float16"
        ),
    ):
        filled(store)
    assert not list(tmp_path.rglob("edge_config.json"))
