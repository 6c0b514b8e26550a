"""What a database that finds by words, too, must do. Subclass it beside `store_suite`, with the same fixtures."""

from typing import Any, ClassVar

import numpy as np
import pytest
from corpus import WordVectorizer
from store_suite import OpenStore, assert_same

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.maxsim import maxsim

VECTORIZER = WordVectorizer()
# The word of the last but one has no vector near the question's: only BM25 finds it.
TEXTS = [f"{first} {second}" for first in ("sea", "ship", "wave") for second in ("salt", "shore", "wind", "wing")]
TEXTS += ["zanzibar bread flour oven", "bread flour oven yeast"]
ODD = len(TEXTS) - 2
HYBRID = ("hybrid", "hybrid+rerank")


class HybridSuite:
    within: ClassVar[int] = 3
    """As many hits hold one that its words alone have found."""

    @pytest.mark.parametrize("mode", HYBRID)
    def test_words_find_what_the_vectors_do_not(self, open_store_under_test: OpenStore, mode: Any) -> None:
        store = open_store_under_test(vectorizer=VECTORIZER, mode=mode)
        store.add(TEXTS, ids=range(len(TEXTS)), payloads=[{"group": i % 3} for i in range(len(TEXTS))])
        by_vectors = VECTORIZER.encode_query(["sea salt zanzibar"], outputs=("tokens", "fde"), show_progress_bar=False)
        alone = store.search_encoded(by_vectors, limit=self.within, candidates=self.within, mode="fde")
        assert ODD not in [hit.id for hit in alone]
        hits = store.search("sea salt zanzibar", limit=self.within, candidates=self.within)
        assert ODD in [hit.id for hit in hits]
        assert 0 in [hit.id for hit in hits]  # "sea salt", which both ways find
        assert [hit.payload["text"] for hit in hits] == [TEXTS[hit.id] for hit in hits if isinstance(hit.id, int)]

    def test_reranked_scores_are_exact_maxsim(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(vectorizer=VECTORIZER, mode="hybrid+rerank")
        store.add(TEXTS, ids=range(len(TEXTS)))
        hits = store.search("sea wind oven", limit=len(TEXTS))
        query = VECTORIZER.encode_query(["sea wind oven"], outputs=("tokens",), show_progress_bar=False).tokens
        documents = VECTORIZER.encode_document(TEXTS, outputs=("tokens",), show_progress_bar=False).tokens
        assert query is not None
        assert documents is not None
        exact = maxsim(query[0], documents)
        assert len(hits) == len(TEXTS)
        np.testing.assert_allclose([hit.score for hit in hits], [exact[hit.id] for hit in hits], rtol=1e-4)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    @pytest.mark.parametrize("mode", HYBRID)
    def test_a_filter_holds_for_both(self, open_store_under_test: OpenStore, mode: Any) -> None:
        store = open_store_under_test(vectorizer=VECTORIZER, mode=mode)
        store.add(TEXTS, ids=range(len(TEXTS)), payloads=[{"group": i % 3} for i in range(len(TEXTS))])
        hits = store.search("sea salt zanzibar", limit=len(TEXTS), filter=self.group_is(1))
        assert {hit.payload["group"] for hit in hits} == {1}
        assert ODD % 3 == 0  # else the filter would have had nothing to keep out
        assert len(hits) == sum(i % 3 == 1 for i in range(len(TEXTS)))

    def test_explained(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(vectorizer=VECTORIZER, mode="hybrid+rerank")
        store.add(TEXTS, ids=range(len(TEXTS)))
        # More than two would not always be the same: ranks of two lists tie in the fusion.
        hits = store.search("sea salt zanzibar", limit=2, candidates=5, explain=True)
        assert [stage.name for stage in hits.stages] == ["encode", "fde+words", "rerank"]
        candidates = [found for found, _ in hits.stages[1].candidates]
        assert len(candidates) == 5
        assert ODD in candidates
        assert_same(hits, store.search("sea salt zanzibar", limit=2, candidates=5))

    def test_the_vector_modes_work_beside_it(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(vectorizer=VECTORIZER, mode="hybrid+rerank")
        store.add(TEXTS, ids=range(len(TEXTS)))
        by_fde = store.search("sea salt", limit=2, mode="fde+rerank")  # the third and the fourth score the same
        assert_same(by_fde, store.search("sea salt", limit=2, mode="native"))

    def test_changed_texts_are_found_by_their_new_words(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(vectorizer=VECTORIZER, mode="hybrid")
        store.add(TEXTS, ids=range(len(TEXTS)))
        store.add(["bread flour oven yeast", "timbuktu bread"], ids=[ODD, 1])
        found = [hit.payload["text"] for hit in store.search("timbuktu zanzibar", limit=3, candidates=3)]
        assert "timbuktu bread" in found
        assert "zanzibar bread flour oven" not in found

    def test_documents_without_a_text(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(vectorizer=VECTORIZER, mode="hybrid+rerank")
        texts = ["sea salt", "ship wind"]
        encoded = VECTORIZER.encode_document(texts, outputs=("tokens", "fde"), show_progress_bar=False)
        store.add_encoded(encoded, ids=[1, 2], payloads=[{"name": "no text"}, {"name": "none either"}])
        assert [hit.id for hit in store.search("sea salt", limit=2)] == [1, 2]

    def test_vectors_alone_are_not_enough(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(vectorizer=VECTORIZER, mode="hybrid")
        store.add(TEXTS, ids=range(len(TEXTS)))
        query = VECTORIZER.encode_query(["sea salt"], outputs=("fde",), show_progress_bar=False)
        with pytest.raises(InputError, match="text="):
            store.search_encoded(query)
        # Further down are equal scores, in any order.
        assert_same(store.search_encoded(query, text="sea salt", limit=2), store.search("sea salt", limit=2))

    def group_is(self, number: int) -> Any:
        """As in StoreSuite; a static method of the subclass."""
        raise AssertionError(f"the suite's subclass says what group == {number} is")


class WordsAreChosenSuite:
    """Of a database that has words only in collections made for them."""

    def test_a_collection_without_words_says_so(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(vectorizer=VECTORIZER, mode="fde+rerank")
        store.add(TEXTS, ids=range(len(TEXTS)))
        with pytest.raises(ConfigurationError, match=r"hybrid.*needs the words of the text"):
            store.search("sea", mode="hybrid")
