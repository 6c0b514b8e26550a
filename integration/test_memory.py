"""The plain store in memory does what every store must."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fit_suite import FitSuite
from refit_suite import NoRefitSuite
from store_suite import OpenStore, StoreSuite

from vectorplug.search.brute import BruteStore


class TestMemory(StoreSuite, FitSuite, NoRefitSuite):
    @pytest.fixture
    def open_store_under_test(self) -> OpenStore:
        return BruteStore

    @staticmethod
    def group_is(number: int) -> Callable[[Mapping[str, Any]], bool]:
        return lambda payload: payload["group"] == number
