"""What a call may ask: `dimensions` and `pool_factor` as sentence-transformers makes them, and `token_dtype`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

from vectorplug import Vectorizer
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.vectorizer import TokenDtype

TEXTS = ["the sea, and the ship on the salt wave", "bread", "", "wave wind salt shore " * 5]


@pytest.fixture(scope="module")
def colbert(tiny_colbert: Path) -> Vectorizer:
    return Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def dense(tiny_dense: Path) -> Vectorizer:
    return Vectorizer(str(tiny_dense), device="cpu", dtype="float32")


@pytest.mark.parametrize("pool_factor", [1, 1.5, 2, 5])
def test_pooled_tokens_are_the_library_s(tiny_colbert: Path, colbert: Vectorizer, pool_factor: float) -> None:
    model = MultiVectorEncoder(str(tiny_colbert), device="cpu")
    pooling = HierarchicalTokenPooling(pool_factor)
    expected = model.encode_document(TEXTS, token_pooling=pooling, convert_to_numpy=True)
    found = colbert.encode_document(TEXTS, pool_factor=pool_factor)
    assert found.tokens.lengths.tolist() == [len(tokens) for tokens in expected]
    assert max(np.abs(ours - theirs).max() for ours, theirs in zip(found.tokens, expected, strict=True)) < 1e-5


def test_cut_dense_vectors_are_the_library_s(tiny_dense: Path, dense: Vectorizer) -> None:
    model = SentenceTransformer(str(tiny_dense), device="cpu")
    for encode in ("encode_query", "encode_document"):
        expected = getattr(model, encode)(TEXTS, truncate_dim=8, normalize_embeddings=True)
        found = getattr(dense, encode)(TEXTS, dimensions=8).dense
        assert found.shape == (4, 8)
        assert np.abs(found - expected).max() < 1e-5


def test_tokens_are_cut_to_unit_norm_and_then_pooled(colbert: Vectorizer) -> None:
    whole = colbert.encode_document(TEXTS).tokens
    cut = colbert.encode_document(TEXTS, dimensions=6)
    expected = whole.values[:, :6] / np.linalg.norm(whole.values[:, :6], axis=1, keepdims=True)
    assert np.abs(cut.tokens.values - expected).max() < 1e-5
    assert cut.dense.shape == (4, 6)
    both = colbert.encode_document(TEXTS, dimensions=6, pool_factor=2).tokens
    pooled = HierarchicalTokenPooling(2).pool([torch.from_numpy(tokens.copy()) for tokens in cut.tokens])
    assert all(np.abs(ours - theirs.numpy()).max() < 1e-5 for ours, theirs in zip(both, pooled, strict=True))
    assert np.linalg.norm(both.values, axis=1) == pytest.approx(1, abs=1e-5)


def test_the_fde_is_folded_from_the_whole_tokens(colbert: Vectorizer) -> None:
    whole = colbert.encode_document(TEXTS)
    shaped = colbert.encode_document(TEXTS, dimensions=6, pool_factor=2)
    assert np.array_equal(shaped.fde, whole.fde)
    assert colbert.encode_document(TEXTS, outputs=["fde"], dimensions=6, pool_factor=2).tokens is None


def test_no_document_may_be_shaped(colbert: Vectorizer) -> None:
    assert colbert.encode_document([], dimensions=6, pool_factor=2).tokens.dim == 6


@pytest.mark.parametrize("dimensions", [0, -1, 17])
def test_dimensions_that_the_model_has_not(colbert: Vectorizer, dimensions: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"dimensions is {dimensions}, expected 1 to 16"):
        colbert.encode_query("the sea", dimensions=dimensions)


def test_a_pool_factor_below_one(colbert: Vectorizer) -> None:
    with pytest.raises(ConfigurationError, match=r"pool_factor is 0.5, expected at least 1"):
        colbert.encode_document("the sea", pool_factor=0.5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_tokens_come_in_the_dtype_that_is_asked_for(tiny_colbert: Path, dtype: TokenDtype) -> None:
    vectorizer = Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")
    full = vectorizer.encode_document(TEXTS)
    small = vectorizer.encode_document(TEXTS, token_dtype=dtype)
    assert small.tokens.dtype.name == dtype
    assert (small.tokens.scales is not None) == (dtype == "int8")
    assert np.abs(small.tokens.astype("float32").values - full.tokens.values).max() < 0.01
    assert np.array_equal(small.fde, full.fde)
    assert vectorizer.encode_query(TEXTS, token_dtype=dtype).tokens.dtype.name == dtype
    with pytest.raises(InputError, match="dtype 'int4' is not one of"):
        vectorizer.encode_document(TEXTS, token_dtype="int4")
