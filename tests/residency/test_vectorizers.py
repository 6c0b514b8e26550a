"""Vectorizers that share a cache."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checkpoints
import numpy as np
import pytest

import vectorplug
from vectorplug import ModelCache, Vectorizer
from vectorplug.errors import ConfigurationError, FingerprintError, ModelLoadError
from vectorplug.settings import settings

TEXTS = ["the sea", "bread and flour", "a ship on the sea"]


def test_several_vectorizers_share_one_loaded_model(tiny_colbert: Path) -> None:
    alone = Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")
    with ModelCache(budget="50%", device="cpu", dtype="float32") as cache:
        one, two = Vectorizer(str(tiny_colbert), cache=cache), Vectorizer(str(tiny_colbert), fde=None, cache=cache)
        assert (one.fingerprint, one.dims, one.model) == (alone.fingerprint, alone.dims, alone.model)
        assert repr(one) == repr(alone)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda vectorizer: vectorizer.encode_document(TEXTS), [one, two] * 4))
        expected = alone.encode_document(TEXTS)
        assert all(np.array_equal(part.tokens.values, expected.tokens.values) for part in found)
        assert np.array_equal(one.encode_query("the sea").fde, alone.encode_query("the sea").fde)
        assert (cache.stats().loads, cache.stats().leased) == (1, ())


def test_dims_need_no_model_in_memory_and_encoding_brings_it_back(tiny_colbert: Path) -> None:
    with ModelCache(budget=10**9, host_budget=10**8, device="cpu", dtype="float32") as cache:
        vectorizer = Vectorizer(str(tiny_colbert), cache=cache)
        before = vectorizer.encode_document(TEXTS)
        for state in ("offloaded", "absent"):
            cache.evict(str(tiny_colbert))
            assert cache.stats().models[0].state == state
            assert vectorizer.dims["tokens"] == 16
            assert Vectorizer(str(tiny_colbert), cache=cache).fingerprint == vectorizer.fingerprint
            assert cache.stats().models[0].state == state
            if state == "offloaded":
                assert np.array_equal(vectorizer.encode_document(TEXTS).tokens.values, before.tokens.values)
                assert cache.stats().swaps == 1
                cache.evict(str(tiny_colbert))
        assert np.array_equal(vectorizer.encode_document(TEXTS).dense, before.dense)
        assert cache.stats().loads == 2


def test_a_checkpoint_that_changed_under_a_vectorizer_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.write_tiny_colbert(tmp_path / "model")
    with ModelCache(budget=10**9, device="cpu", dtype="float32") as cache:
        vectorizer = Vectorizer(str(folder), cache=cache)
        checkpoints.write_tiny_colbert(folder, seed=1)
        vectorizer.encode_query("the sea")  # still the one in memory
        cache.evict(str(folder))
        with pytest.raises(FingerprintError, match=f"it was {vectorizer.fingerprint}"):
            vectorizer.encode_query("the sea")
        assert cache.stats().leased == ()


def test_a_real_load_that_fails_cools_down(tmp_path: Path) -> None:
    folder = checkpoints.write_tiny_dense(tmp_path / "model")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:1000])
    with ModelCache(budget=10**9, device="cpu", dtype="float32") as cache:
        for also in ("", "not tried again for"):
            with pytest.raises(ModelLoadError, match=f"damaged or cut short.*{also}"):
                Vectorizer(str(folder), cache=cache)
        assert cache.stats().failures == 1
        assert cache.stats().used_bytes == 0


def test_device_and_dtype_are_the_cache_s(tiny_colbert: Path) -> None:
    with (
        ModelCache(budget=10**9, device="cpu", dtype="bfloat16") as cache,
        pytest.raises(ConfigurationError, match="beside a cache"),
    ):
        Vectorizer(str(tiny_colbert), dtype="float32", cache=cache)
    assert vectorplug.ModelCache is ModelCache


def test_the_budget_comes_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.cache_clear()
    monkeypatch.setenv("VECTORPLUG_MEMORY_BUDGET", "123456")
    monkeypatch.setenv("VECTORPLUG_HOST_BUDGET", "1000")
    try:
        stats = ModelCache(device="cpu").stats()
        assert (stats.budget_bytes, stats.host_budget_bytes) == (123_456, 1_000)
        settings.cache_clear()
        monkeypatch.setenv("VECTORPLUG_MEMORY_BUDGET", "half")
        with pytest.raises(ConfigurationError, match="'half', expected bytes"):
            ModelCache(device="cpu")
    finally:
        settings.cache_clear()
