"""MaxSim of tensors in plain torch, on the CPU: the oracle of the fused kernel, against the oracle of all."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from maxsim.tensors import DTYPES, assert_near_reference, random_documents, tensors

from vectorplug.errors import InputError
from vectorplug.maxsim import torch as on_device
from vectorplug.multivectors import MultiVectors

lengths = st.lists(st.integers(1, 60), max_size=6)
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=60)
@given(seed=seeds, lengths=lengths, dim=st.integers(1, 150), tokens=st.integers(1, 70), dtype=st.sampled_from(DTYPES))
@example(seed=0, lengths=[], dim=8, tokens=3, dtype="float32")
@example(seed=0, lengths=[1], dim=1, tokens=1, dtype="int8")
def test_equals_the_reference(seed, lengths, dim, tokens, dtype):
    documents = random_documents(seed, lengths, dim, dtype)
    query = random_documents([seed, 1], [tokens], dim).values
    values, offsets, scales = tensors(documents)
    scores = on_device.maxsim(torch.from_numpy(query), values, offsets, scales=scales)
    assert scores.dtype == torch.float32
    assert_near_reference(scores.numpy(), query, documents)


@pytest.mark.parametrize("at_once", [1, 700, 1 << 24])
@pytest.mark.parametrize("dtype", DTYPES)
def test_candidates_and_several_queries_in_parts_of_any_size(monkeypatch, at_once, dtype):
    monkeypatch.setattr(on_device, "PRODUCTS_AT_ONCE", at_once)
    documents = random_documents(3, [5, 1, 60, 17, 33], 19, dtype, shift=-5)
    queries = random_documents(4, [2, 40, 1], 19, shift=5)
    candidates = [4, 0, 4, 2]
    values, offsets, scales = tensors(documents)
    asked, query_offsets, _ = tensors(queries)
    scores = on_device.maxsim(
        asked, values, offsets, query_offsets=query_offsets, scales=scales, candidates=torch.tensor(candidates)
    )
    assert scores.shape == (3, 4)
    assert (scores < 0).all(), "maxima of negative products stay negative"
    for row, query in zip(scores.numpy(), queries, strict=True):
        assert_near_reference(row, query, documents.take(candidates))


def test_a_candidate_that_is_no_document_and_a_document_without_tokens_say_so():
    tokens, offsets = torch.ones(3, 2), torch.tensor([0, 2, 2, 3])
    scores = on_device.maxsim(torch.ones(1, 2), tokens, offsets, candidates=torch.tensor([0, 3, -1, 1, 2]))
    np.testing.assert_array_equal(scores, [2, np.nan, np.nan, -np.inf, 2])
    none = on_device.maxsim(torch.ones(1, 2), tokens[:0], offsets[:1], candidates=torch.tensor([0]))
    assert none.isnan().all()


def test_queries_in_the_tokens_own_dtype_score_as_stored():
    documents = random_documents(0, [9, 30], 16, "bfloat16")
    values, offsets, _ = tensors(documents)
    query = random_documents(1, [6], 16, "bfloat16")
    scores = on_device.maxsim(tensors(query)[0], values, offsets)
    assert_near_reference(scores.numpy(), query[0].astype(np.float32), documents)


TWO = MultiVectors.from_list([np.ones((2, 4), np.float32), np.ones((1, 4), np.float32)])
RIGHT = {"queries": torch.ones(3, 4), "tokens": torch.ones(3, 4), "offsets": torch.tensor([0, 2, 3])}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"queries": torch.ones(4)}, "queries are torch.float32 of shape .4,., expected .tokens, dim."),
        ({"queries": torch.ones(3, 4, dtype=torch.float64)}, "queries are torch.float64"),
        ({"queries": torch.ones(3, 4).char()}, "queries are torch.int8"),
        ({"queries": torch.ones(0, 4)}, "no token"),
        ({"queries": torch.ones(3, 5)}, "5 numbers a token, the documents have 4"),
        ({"tokens": torch.ones(3, 4).long()}, "tokens are torch.int64"),
        ({"tokens": torch.ones(3, 4).char()}, "torch.int8 with no scales"),
        ({"scales": torch.ones(3)}, "torch.float32 with scales"),
        ({"tokens": torch.ones(3, 4).char(), "scales": torch.ones(2)}, "scales are .* expected torch.float32 .3."),
        ({"offsets": torch.tensor([0, 2, 3], dtype=torch.int32)}, "offsets are torch.int32"),
        ({"offsets": torch.tensor([], dtype=torch.int64)}, "offsets are"),
        ({"query_offsets": torch.tensor([[0, 3]])}, "query_offsets are"),
        ({"candidates": torch.tensor([True, False])}, "candidates are torch.bool"),
        ({"candidates": torch.tensor([0], device="meta")}, "candidates lie on meta, the tokens on cpu"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, said):
    assert on_device.maxsim(**RIGHT).tolist() == [12, 12]
    with pytest.raises(InputError, match=said):
        on_device.maxsim(**(RIGHT | wrong))
