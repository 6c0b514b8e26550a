"""What giving vectors to a collection of somebody else must do: all of theirs stays, and they go on writing.

A database's test module subclasses it, and its fixture `theirs` makes such a collection the way that its users do.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pytest
from corpus import DIM, FDE, WordVectorizer, sentences
from store_suite import OpenStore

from vectorplug.encoded import OUTPUTS, Encoded, Output
from vectorplug.errors import ConfigurationError, FingerprintError, InputError, StoreError
from vectorplug.lemur import Lemur
from vectorplug.maxsim import maxsim
from vectorplug.search import Store

COUNT = 600
TEXTS = sentences(COUNT)
QUESTION = "wind and wave salt"


class Theirs(Protocol):
    """A collection with a vector "theirs", a text in the field "body" and a number in "n" of every document.

    `ids` are the database's own. `open_store_under_test(collection=theirs.collection, ...)` opens it.
    """

    collection: str
    ids: list[Any]

    def read(self) -> dict[Any, Any]:
        """id -> everything of theirs: payload, the vector "theirs"; comparable with ==, ours left out."""

    def write(self, document_id: Any, text: str | None) -> None:
        """Write a document anew, as a whole, as their own program does; without "body" where text is None."""

    def change(self, document_id: Any, text: str) -> None:
        """Change "body" alone."""

    def delete(self, document_id: Any) -> None:
        """Remove one."""


class Meddling(WordVectorizer):
    """Something happens beside each window that is encoded."""

    def __init__(self, *doings: Any) -> None:
        self.doings = list(doings)
        self.encoded: list[str] = []

    def encode_document(
        self, texts: Sequence[str], *, outputs: Sequence[Output], show_progress_bar: bool | None = None
    ) -> Encoded:
        encoded = super().encode_document(texts, outputs=outputs, show_progress_bar=show_progress_bar)
        self.encoded += texts
        if self.doings:
            self.doings.pop(0)()
        return encoded


def assert_exact(store: Store[Any], texts: dict[Any, str]) -> None:
    """The ranking of all documents is exact MaxSim of these texts, under these ids."""
    ids = list(texts)
    tokens = WordVectorizer().encode_document(list(texts.values()), outputs=("tokens",), show_progress_bar=False).tokens
    query = WordVectorizer().encode_query([QUESTION], outputs=("tokens",), show_progress_bar=False).tokens
    assert tokens is not None
    assert query is not None
    exact = dict(zip(ids, maxsim(query[0], tokens).tolist(), strict=True))
    hits = store.search(QUESTION, limit=len(ids), candidates=len(ids))
    assert {hit.id for hit in hits} == set(ids)
    np.testing.assert_allclose([hit.score for hit in hits], [exact[hit.id] for hit in hits], rtol=1e-4, atol=1e-5)


class BackfillSuite:
    def test_a_collection_of_theirs_becomes_searchable(self, open_store_under_test: OpenStore, theirs: Theirs) -> None:
        before = theirs.read()
        store = open_store_under_test(collection=theirs.collection, vectorizer=WordVectorizer(), mode="fde+rerank")
        report = store.backfill("body", show_progress_bar=False)
        assert (report.documents, report.filled, report.remaining, report.failed) == (COUNT, COUNT, 0, [])
        assert report.nbytes > COUNT * 4 * FDE.size
        assert theirs.read() == before
        assert store.count() == COUNT
        assert_exact(store, dict(zip(theirs.ids, TEXTS, strict=True)))
        hit = store.search(TEXTS[5], limit=1)[0]
        assert (hit.id, hit.payload["body"], hit.payload["n"]) == (theirs.ids[5], TEXTS[5], 5)
        assert not any("vectorplug" in name for name in hit.payload)
        assert store.payloads([theirs.ids[5]]) == {theirs.ids[5]: hit.payload}

    def test_a_collection_of_theirs_gets_fitted_fdes(self, open_store_under_test: OpenStore, theirs: Theirs) -> None:
        before = theirs.read()
        unfitted = WordVectorizer().with_fde(Lemur(dim=DIM, size=8, features=32, samples=64))
        with open_store_under_test(collection=theirs.collection, vectorizer=unfitted, mode="fde+rerank") as store:
            with pytest.raises(ConfigurationError, match="is not fitted, and nothing was written"):
                store.backfill("body", show_progress_bar=False)
            assert theirs.read() == before
            report = store.fit(TEXTS[:100])
            assert report is not None
            assert store.backfill("body", show_progress_bar=False).filled == COUNT
        with open_store_under_test(collection=theirs.collection, vectorizer=unfitted) as store:
            assert store.info is not None
            assert (store.info.fde, store.info.dims["fde"]) == (report.fingerprint, 8)
            assert_exact(store, dict(zip(theirs.ids, TEXTS, strict=True)))
        assert theirs.read() == before

    def test_nothing_is_written_before(self, open_store_under_test: OpenStore, theirs: Theirs) -> None:
        before = theirs.read()
        store = open_store_under_test(collection=theirs.collection, vectorizer=WordVectorizer(), mode="fde+rerank")
        for call in (lambda: store.add(["x"]), lambda: store.search("x"), lambda: store.delete([theirs.ids[0]])):
            with pytest.raises(StoreError, match=r"was not made by vectorplug.*backfill"):
                call()
        assert store.info is None
        planned = store.backfill("body", dry_run=True)
        assert (planned.documents, planned.filled) == (COUNT, 0)
        with pytest.raises(InputError, match=r"'text'.*Nothing was changed"):
            store.backfill()
        assert theirs.read() == before
        again = open_store_under_test(collection=theirs.collection)
        with pytest.raises(StoreError, match="was not made by vectorplug"):
            again.count()

    def test_a_dry_run_says_what_is_to_come(self, open_store_under_test: OpenStore, theirs: Theirs) -> None:
        store = open_store_under_test(collection=theirs.collection, vectorizer=WordVectorizer(), mode="fde+rerank")
        planned = store.backfill("body", dry_run=True)
        done = store.backfill("body", show_progress_bar=False)
        assert planned.documents == done.documents == COUNT
        assert planned.nbytes == pytest.approx(done.nbytes, rel=0.1)
        assert planned.minutes > 0

    def test_opened_again_it_is_whole_and_goes_on(self, open_store_under_test: OpenStore, theirs: Theirs) -> None:
        with open_store_under_test(collection=theirs.collection, vectorizer=WordVectorizer(), mode="fde+rerank") as one:
            one.backfill("body", show_progress_bar=False)
        theirs.write(theirs.ids[3], "sea sea sea")
        with open_store_under_test(collection=theirs.collection, vectorizer=WordVectorizer()) as store:
            assert store.mode == "fde+rerank"
            report = store.backfill("body", show_progress_bar=False)
            assert (report.documents, report.filled) == (1, 1)
            assert_exact(store, dict(zip(theirs.ids, TEXTS, strict=True)) | {theirs.ids[3]: "sea sea sea"})
            assert store.backfill("body", show_progress_bar=False).filled == 0
        other = Meddling()
        other.fingerprint = "words:2"
        with pytest.raises(FingerprintError):
            open_store_under_test(collection=theirs.collection, vectorizer=other)

    def test_beside_writers(self, open_store_under_test: OpenStore, theirs: Theirs) -> None:
        texts = dict(zip(theirs.ids, TEXTS, strict=True))
        first, second, third = theirs.ids[0], theirs.ids[1], theirs.ids[COUNT - 1]

        def meddle() -> None:
            theirs.write(first, "bread bread oven")
            theirs.change(second, "wing lift drag")
            theirs.delete(theirs.ids[2])
            theirs.write(third, "yeast flour")

        store = open_store_under_test(collection=theirs.collection, vectorizer=Meddling(meddle), mode="fde+rerank")
        report = store.backfill("body", show_progress_bar=False)
        assert (report.remaining, report.failed) == (0, [])
        del texts[theirs.ids[2]]
        assert store.count() == COUNT - 1
        assert_exact(store, texts | {first: "bread bread oven", second: "wing lift drag", third: "yeast flour"})

    def test_a_writer_who_never_rests_is_said(self, open_store_under_test: OpenStore, theirs: Theirs) -> None:
        turn = iter(range(1000))

        def meddle() -> None:
            theirs.write(theirs.ids[0], f"sea {next(turn)}")

        store = open_store_under_test(
            collection=theirs.collection, vectorizer=Meddling(*[meddle] * 1000), mode="fde+rerank"
        )
        report = store.backfill("body", show_progress_bar=False)
        assert report.remaining == 1
        store.vectorizer.doings.clear()  # type: ignore[attr-defined]
        assert store.backfill("body", show_progress_bar=False).filled == 1
        assert store.backfill("body", show_progress_bar=False).documents == 0

    def test_documents_without_a_text_are_named(self, open_store_under_test: OpenStore, theirs: Theirs) -> None:
        theirs.write(theirs.ids[7], None)
        store = open_store_under_test(collection=theirs.collection, vectorizer=WordVectorizer(), mode="fde+rerank")
        report = store.backfill("body", show_progress_bar=False)
        assert report.failed == [(theirs.ids[7], "the field holds no text")]
        assert report.filled == COUNT - 1

    def test_what_was_done_is_not_done_again(self, open_store_under_test: OpenStore, theirs: Theirs) -> None:
        def fail() -> None:
            raise ConnectionResetError

        broken = open_store_under_test(
            collection=theirs.collection, vectorizer=Meddling(lambda: None, fail), mode="fde+rerank"
        )
        with pytest.raises(ConnectionResetError):
            broken.backfill("body", show_progress_bar=False)
        watching = Meddling()
        store = open_store_under_test(collection=theirs.collection, vectorizer=watching)
        report = store.backfill("body", show_progress_bar=False)
        assert 0 < report.documents < COUNT
        assert len(watching.encoded) == report.filled == report.documents
        assert_exact(store, dict(zip(theirs.ids, TEXTS, strict=True)))

    def test_an_adopted_collection_is_a_store(self, open_store_under_test: OpenStore, theirs: Theirs) -> None:
        store = open_store_under_test(collection=theirs.collection, vectorizer=WordVectorizer(), mode="fde+rerank")
        store.backfill("body", show_progress_bar=False)
        assert store.add(["ship ship"], ids=["mine"], payloads=[{"body": "ship ship"}]).added == 1
        assert store.count() == COUNT + 1
        assert "mine" in [hit.id for hit in store.search("ship", limit=COUNT + 1)]
        store.delete([theirs.ids[0], "mine"])
        assert store.count() == COUNT - 1
        assert store.payloads([theirs.ids[0], "mine"]) == {}

    def test_more_vectors_for_a_collection_of_ours(self, open_store_under_test: OpenStore) -> None:
        vectorizer = WordVectorizer()
        with open_store_under_test(collection="ours", vectorizer=vectorizer, mode="dense") as store:
            store.add(TEXTS[:300], ids=range(300))
            report = store.backfill(outputs=OUTPUTS, show_progress_bar=False)
            assert (report.documents, report.filled) == (300, 300)
            assert store.info is not None
            assert set(store.info.dims) == set(OUTPUTS)
            assert store.mode == "dense"
        with open_store_under_test(collection="ours", vectorizer=vectorizer, mode="fde+rerank") as store:
            assert_exact(store, dict(enumerate(TEXTS[:300])))
            assert store.add(TEXTS[:300], ids=range(300)).skipped == 300
        other = WordVectorizer()
        other.fde = replace(FDE, seed=43)  # type: ignore[misc]
        with pytest.raises(FingerprintError):
            open_store_under_test(collection="ours", vectorizer=other, mode="fde+rerank")
