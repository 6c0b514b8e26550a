"""Explanations over a small embedded collection: what they say is what the store itself says."""

from pathlib import Path

import numpy as np
import pytest
from corpus import WordVectorizer

from vectorplug import Lemur, MultiVectors, Muvera, Vectorizer, open_store
from vectorplug.errors import InputError
from vectorplug.evaluation.explanation import Explanation, explain
from vectorplug.maxsim import reference

TEXTS = [
    "A ship on the sea with wind & salt.",
    "Flour and yeast in the oven: bread!",
    "The wing has lift and drag in the flow.",
    "Heat goes through a wall.",
    "A fox jumps over the lazy dog. " * 2 + "The wave of the sea is on the shore.",
]
QUESTION = "wind on the sea"


def explained(tiny: Path, folder: Path, document: str = "ship", **options: object) -> Explanation:
    fde = options.pop("fde", "default")
    vectorizer = Vectorizer(str(tiny), device="cpu", dtype="float32", fde=fde, **options)  # type: ignore[arg-type]
    with open_store(f"edge:{folder / 'index'}", vectorizer=vectorizer) as store:
        store.add(TEXTS, ids=["ship", "bread", "wing", "wall", "long"])
        return explain(store, QUESTION, document, candidates=3)


def test_ranks_and_scores_are_the_stores_own(tiny_colbert: Path, tmp_path: Path) -> None:
    vectorizer = Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")
    with open_store(f"edge:{tmp_path / 'index'}", vectorizer=vectorizer) as store:
        store.add(TEXTS, ids=["ship", "bread", "wing", "wall", "long"])
        by_fde = store.search(QUESTION, limit=3, mode="fde")
        last = next(i for i in ("ship", "bread", "wing", "wall", "long") if i not in [hit.id for hit in by_fde])
        exact = store.search(QUESTION, limit=3, candidates=3, mode="fde+rerank")
        for rank, hit in enumerate(by_fde, 1):
            found = explain(store, QUESTION, hit.id, candidates=3)
            assert found.by_fde is not None
            assert found.by_maxsim is not None
            assert (found.by_fde.rank, found.by_fde.ranked) == (rank, 3)
            assert found.by_fde.score == pytest.approx(hit.score, rel=1e-3)
            place = [each.id for each in exact].index(hit.id)
            assert found.by_maxsim.rank == place + 1
            assert found.by_maxsim.score == pytest.approx(exact[place].score, rel=1e-3)
            assert len(found.notes) == 1
        beyond = explain(store, QUESTION, last, candidates=3)
        assert beyond.by_fde is not None
        assert beyond.by_fde.rank is None
        assert "not among the 3 candidates" in beyond.sentence
        shares = [hit.score / (20 * next(e.score for e in exact if e.id == hit.id)) for hit in by_fde]
        assert beyond.usual == pytest.approx(float(np.median(shares)), rel=1e-3)


def test_a_payload_that_is_not_the_text_that_was_indexed_is_told(tiny_colbert: Path, tmp_path: Path) -> None:
    vectorizer = Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")
    with open_store(f"edge:{tmp_path / 'index'}", vectorizer=vectorizer) as store:
        store.add([TEXTS[1]], ids=[1], payloads=[{"text": TEXTS[0]}])
        found = explain(store, QUESTION, 1)
    assert sum("of another text than its payload's" in note for note in found.notes) == 2
    assert found.usual is None


def test_of_a_recipe_that_pools_and_cuts_the_whole_tokens_are_shown(tiny_colbert: Path, tmp_path: Path) -> None:
    whole = explained(tiny_colbert, tmp_path / "whole")
    cut = explained(tiny_colbert, tmp_path / "cut", pool_factor=2, dimensions=16)
    assert [token.label for token in cut.matches.document] == [token.label for token in whole.matches.document]
    np.testing.assert_allclose(cut.matches.similarities, whole.matches.similarities, atol=1e-5)
    assert any("keeps fewer tokens or numbers" in note for note in cut.notes)
    assert cut.by_fde is not None
    assert whole.by_fde is not None
    assert cut.by_fde.rank == whole.by_fde.rank


def test_document_and_query_lengths_are_obeyed(tiny_colbert: Path, tmp_path: Path) -> None:
    found = explained(tiny_colbert, tmp_path / "cut", "long", document_length=16)
    whole = explained(tiny_colbert, tmp_path / "whole", "long")
    assert 10 <= len(found.matches.document) <= 16 < len(whole.matches.document)
    assert found.matches.document[:10] == whole.matches.document[:10]
    assert any("cut at the limit" in note for note in found.notes)


@pytest.mark.parametrize("options", [{"unit_norm": True}, {"final_dim": 200}, {"fill": True}, {"dialect": "weaviate"}])
def test_of_any_muvera(tiny_colbert: Path, tmp_path: Path, options: dict[str, object]) -> None:
    def fde(dim: int) -> Muvera:
        return Muvera(dim=dim, repetitions=6, ksim=3, dproj=8, **({"fill": False} | options))  # type: ignore[arg-type]

    found = explained(tiny_colbert, tmp_path, fde=fde)
    assert found.seen is not None
    assert found.by_fde is not None
    assert found.seen.score == pytest.approx(found.by_fde.score, rel=1e-3, abs=1e-3)
    assert "It lost most at" in found.sentence


def test_of_a_lemur(tiny_colbert: Path, tmp_path: Path) -> None:
    lemur = Lemur(dim=16, size=8, features=32, samples=64)
    vectorizer = Vectorizer(str(tiny_colbert), device="cpu", dtype="float32", fde=lemur)
    with open_store(f"edge:{tmp_path / 'index'}", vectorizer=vectorizer) as store:
        store.fit(TEXTS)
        store.add(TEXTS, ids=["ship", "bread", "wing", "wall", "long"])
        found = explain(store, QUESTION, "ship", candidates=3)
        scores = {hit.id: hit.score for hit in store.search(QUESTION, limit=5, mode="fde")}
    assert found.by_fde is not None
    assert found.by_fde.score == pytest.approx(scores["ship"], rel=1e-3, abs=1e-4)
    assert found.parts is not None
    assert found.parts.shape == (len(found.matches.query),)
    assert found.parts.sum() == pytest.approx(found.by_fde.score, rel=1e-3, abs=1e-3)
    assert [row["fde"]["part"] for row in found.to_json()["tokens"]] == pytest.approx(found.parts.tolist())
    assert found.seen is None
    assert not [note for note in found.notes if "taken apart" in note]


def test_matches_are_exact_maxsim_of_what_the_vectorizer_gives(tiny_colbert: Path, tmp_path: Path) -> None:
    found = explained(tiny_colbert, tmp_path)
    vectorizer = Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")
    query, document = vectorizer.encode_query(QUESTION).tokens, vectorizer.encode_document(TEXTS[0]).tokens
    assert query is not None
    assert document is not None
    exact = reference.maxsim(query[0], MultiVectors.from_list([document[0]]))[0]
    assert found.matches.maxsim == pytest.approx(float(exact), abs=1e-3)


def test_vectors_from_elsewhere_have_nobody_to_encode_the_text_again(tmp_path: Path) -> None:
    with open_store(f"edge:{tmp_path / 'index'}", vectorizer=WordVectorizer()) as store:
        store.add(["sea wave", "bread oven"], ids=[1, 2])
        found = explain(store, "sea wave salt", 1)
        assert {token.label for token in found.matches.query} == {"(marker)"}
        assert sum("(marker)" in note for note in found.notes) == 2
        assert found.matches.best.tolist()[:2] == [0, 1]
        with pytest.raises(InputError, match="not in collection"):
            explain(store, "sea", 3)
