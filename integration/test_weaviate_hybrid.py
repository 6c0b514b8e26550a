"""A real Weaviate finds by words as well as by vectors."""

from typing import Any

import pytest
from corpus import WordVectorizer
from hybrid_suite import HybridSuite
from store_suite import OpenStore
from weaviate.classes.query import Filter


class TestWeaviateHybrid(HybridSuite):
    within = 5  # Weaviate weighs ranks by 1 / (60 + rank): what both ways find, however late, comes first

    @pytest.fixture
    def open_store_under_test(self, open_weaviate: OpenStore) -> OpenStore:
        return open_weaviate

    @staticmethod
    def group_is(number: int) -> Any:
        return Filter.by_property("group").equal(number)

    def test_any_collection_has_words(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(vectorizer=WordVectorizer(), mode="fde")
        store.add(["sea salt", "zanzibar oven"], ids=[1, 2])
        assert store.search("zanzibar", mode="hybrid")[0].id == 2

    def test_the_first_text_may_be_somebody_elses(self, open_store_under_test: OpenStore) -> None:
        vectorizer = WordVectorizer()
        reader = open_store_under_test(vectorizer=vectorizer, mode="hybrid")
        encoded = vectorizer.encode_document(["sea salt"], outputs=("fde",), show_progress_bar=False)
        reader.add_encoded(encoded, ids=[1])
        assert [hit.id for hit in reader.search("zanzibar wind", limit=1)] == [1]
        open_store_under_test(vectorizer=vectorizer).add(["zanzibar wind"], ids=[2])
        assert [hit.id for hit in reader.search("zanzibar wind", limit=1)] == [2]
