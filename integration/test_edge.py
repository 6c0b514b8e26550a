"""The embedded Qdrant does what every store must."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from backfill_suite import BackfillSuite
from hybrid_suite import HybridSuite, WordsAreChosenSuite
from qdrant_edge import FieldCondition, Filter, MatchValue
from store_suite import KeptStoreSuite, OpenStore
from vectorplug_qdrant import QdrantStore


class TestEdge(KeptStoreSuite, HybridSuite, WordsAreChosenSuite):
    # All collections in a folder are ours.
    test_more_vectors_for_a_collection_of_ours = BackfillSuite.test_more_vectors_for_a_collection_of_ours

    @pytest.fixture
    def open_store_under_test(self, tmp_path: Path) -> Iterator[OpenStore]:
        with ExitStack() as opened:

            def open_store(**options: Any) -> QdrantStore:
                return opened.enter_context(QdrantStore(f"edge:{tmp_path / 'index'}", **options))

            yield open_store

    @staticmethod
    def group_is(number: int) -> Filter:
        return Filter(must=[FieldCondition(key="group", match=MatchValue(number))])
