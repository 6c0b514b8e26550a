"""What a store must do that can be given another FDE: searches go on, and who is stopped in between goes on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from corpus import DIM, WordVectorizer, sentences
from fit_suite import QUESTION, SMALL, TEXTS
from store_suite import OpenStore

from vectorplug.errors import ConfigurationError, StoreError
from vectorplug.lemur import Lemur
from vectorplug.maxsim import maxsim
from vectorplug.search import Store

WORDS = WordVectorizer()
UNFITTED = WORDS.with_fde(Lemur(dim=DIM, **SMALL))
LATER = [f"{text} later" for text in sentences(300)]


def found_by(store: Store[Any], count: int) -> dict[Any, float]:
    return {hit.id: hit.score for hit in store.search(QUESTION, limit=count, mode="fde")}


def assert_searches(store: Store[Any], texts: list[str]) -> None:
    """It finds all documents, in the order of its own FDE."""
    vectorizer = store.vectorizer
    asked = vectorizer.encode_query([QUESTION], outputs=("fde",), show_progress_bar=False).fde
    documents = vectorizer.encode_document(texts, outputs=("fde",), show_progress_bar=False).fde
    assert asked is not None
    assert documents is not None
    found = found_by(store, len(texts))
    assert sorted(found) == list(range(len(texts)))
    np.testing.assert_allclose([found[i] for i in range(len(texts))], documents @ asked[0], rtol=1e-4, atol=1e-5)


class RefitSuite:
    def test_a_refit_replaces_all(self, open_store_under_test: OpenStore) -> None:
        with open_store_under_test(vectorizer=UNFITTED, mode="fde+rerank") as store:
            store.fit(TEXTS)
            store.add(TEXTS, ids=range(300))
            store.add(LATER, ids=range(300, 600))
            before = store.vectorizer.fde
            report = store.refit(show_progress_bar=False)
            assert (report.switched, report.filling.documents, report.filling.filled) == (True, 600, 600)
            assert report.fit is not None
            assert (report.fit.texts, report.fit.sampled) == (600, 600)
            after = store.vectorizer.fde
            assert before is not None
            assert after is not None
            assert before.fingerprint != after.fingerprint == report.fde
            assert_searches(store, [*TEXTS, *LATER])
            again = store.refit(show_progress_bar=False)
            assert (again.switched, again.filling.filled, again.fde) == (False, 0, report.fde)
            kept = [store._database.read_fit(each.fingerprint) is not None for each in (before, after)]
            assert kept == [False, True]
        with open_store_under_test(vectorizer=UNFITTED) as store:
            assert store.vectorizer.fde == after
            assert_searches(store, [*TEXTS, *LATER])
            assert store.add(["wind and wave and more"], ids=["new"]).added == 1
            assert "new" in found_by(store, 601)
            assert store.add(["the salt"], ids=[0]).added == 1
            tokens = store.vectorizer.encode_document(["the salt"], outputs=("tokens",), show_progress_bar=False).tokens
            query = store.vectorizer.encode_query([QUESTION], outputs=("tokens",), show_progress_bar=False).tokens
            assert tokens is not None
            assert query is not None
            found = {hit.id: hit.score for hit in store.search(QUESTION, limit=601, candidates=601)}
            assert found[0] == pytest.approx(float(maxsim(query[0], tokens)[0]), rel=1e-4)
            assert store.refit(show_progress_bar=False).switched

    def test_from_one_family_to_another(self, open_store_under_test: OpenStore) -> None:
        with open_store_under_test(vectorizer=WORDS) as store:
            store.add(TEXTS, ids=range(300))
            with pytest.raises(ConfigurationError, match=r"muvera1:.*, which is not fitted: name the FDE"):
                store.refit()
            lemur = Lemur(dim=DIM, **SMALL)
            assert store.refit(lemur, show_progress_bar=False).switched
            assert store.info is not None
            assert store.info.dims["fde"] == 8
            assert_searches(store, TEXTS)
            assert store.refit(WORDS.fde, show_progress_bar=False).switched
        with open_store_under_test(vectorizer=WORDS) as store:
            assert_searches(store, TEXTS)

    @pytest.mark.parametrize("call", ["keep_fit", "extend", "fill", "second extend", "drop_vectors", "drop_fit"])
    @pytest.mark.parametrize("done", [False, True])
    def test_stopped_in_between_it_answers_and_goes_on(
        self, open_store_under_test: OpenStore, call: str, done: bool
    ) -> None:
        store = open_store_under_test(vectorizer=UNFITTED)
        store.fit(TEXTS[:100])
        store.add([*TEXTS, *LATER], ids=range(600))
        old = found_by(store, 10)
        database = store._database
        name = call.removeprefix("second ")
        stopped = stopping(getattr(database, name), at=1 + call.startswith("second"), done=done)
        setattr(database, name, stopped)
        reached = database.has_one_user or not call.startswith("drop")
        if reached:
            with pytest.raises(ConnectionResetError):
                store.refit(show_progress_bar=False)
        else:
            store.refit(show_progress_bar=False)
        store.close()
        with open_store_under_test(vectorizer=UNFITTED) as again:
            assert again.info is not None
            switched = again.info.fde_vector is not None
            assert switched == (call.startswith("drop") or (call == "second extend" and done))
            if not switched:
                assert found_by(again, 10) == old
            assert_searches(again, [*TEXTS, *LATER])
            again.refit(show_progress_bar=False)
            assert again.info.fde_vector is not None
            assert again.info.refit is None
            assert_searches(again, [*TEXTS, *LATER])
            assert again.refit(show_progress_bar=False).filling.documents == 0
            assert again.info.former is None

    def test_a_document_without_a_text_is_not_lost(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(vectorizer=UNFITTED)
        store.fit(TEXTS[:50])
        store.add(TEXTS, ids=range(300))
        bare = ["no text beside it"]
        encoded = store.vectorizer.encode_document(bare, outputs=("tokens", "fde"), show_progress_bar=False)
        store.add_encoded(encoded, ids=["bare"])
        report = store.refit(show_progress_bar=False)
        assert not report.switched
        assert report.filling.failed == [("bare", "the field holds no text")]
        assert "bare" in found_by(store, 301)
        store.delete(["bare"])
        assert store.refit(show_progress_bar=False).switched
        assert_searches(store, TEXTS)


def stopping(function: Callable[..., Any], *, at: int, done: bool) -> Callable[..., Any]:
    """Raises at the call of that number, after it has done its work or before."""
    calls = iter(range(1, 1000))

    def stopped(*given: Any, **named: Any) -> Any:
        if next(calls) != at:
            return function(*given, **named)
        if done:
            function(*given, **named)
        raise ConnectionResetError

    return stopped


class SharedRefitSuite(RefitSuite):
    """Of a database in which several may have a collection open."""

    def test_who_has_it_open_at_a_refit_goes_on(self, open_store_under_test: OpenStore) -> None:
        with open_store_under_test(vectorizer=UNFITTED) as first:
            first.fit(TEXTS[:50])
            first.add(TEXTS, ids=range(300))
            other = open_store_under_test(vectorizer=UNFITTED)
            assert first.refit(show_progress_bar=False).switched
            assert_searches(other, TEXTS)
            assert other.add(LATER[:5], ids=range(300, 305)).added == 5
            assert_searches(other, [*TEXTS, *LATER[:5]])
            other.close()
            assert_searches(first, TEXTS)
        with open_store_under_test(vectorizer=UNFITTED) as again:
            assert again.backfill(outputs=("fde",), show_progress_bar=False).filled == 5
            assert_searches(again, [*TEXTS, *LATER[:5]])


def assert_refuses_a_refit(store: Store[Any], texts: list[str]) -> None:
    """And changes nothing; the store holds `texts`."""
    info = store.info
    with pytest.raises(StoreError, match="cannot be given another FDE: index into a new collection"):
        store.refit(show_progress_bar=False)
    assert store.info == info
    assert_searches(store, texts)


class NoRefitSuite:
    def test_a_refit_is_refused_and_changes_nothing(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(vectorizer=UNFITTED)
        with pytest.raises(StoreError, match="does not exist yet"):
            store.refit()
        store.fit(TEXTS[:50])
        store.add(TEXTS[:50], ids=range(50))
        assert_refuses_a_refit(store, TEXTS[:50])
