"""The fused kernel in Triton's interpreter, against plain torch and the reference: run by test_triton.py.

A program of its own, because triton has to be imported with TRITON_INTERPRET set.
"""

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from maxsim.tensors import DTYPES, assert_near_reference, random_documents, tensors

from vectorplug.maxsim.torch import plain_maxsim
from vectorplug.maxsim.triton import fused_maxsim

QUERY_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@settings(deadline=None, max_examples=6, derandomize=True, database=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=3),
    dim=st.integers(1, 150),
    tokens=st.integers(1, 40),
    dtype=st.sampled_from(DTYPES),
    scale=st.sampled_from([1e-9, 1.0, 1e6]),
)
@example(seed=0, lengths=[1, 64, 65], dim=128, tokens=32, dtype="float32", scale=1.0)
@example(seed=0, lengths=[1, 64, 65], dim=129, tokens=33, dtype="float16", scale=1e-9)
@example(seed=0, lengths=[1, 64, 65], dim=16, tokens=1, dtype="bfloat16", scale=1e6)
@example(seed=0, lengths=[1, 64, 65], dim=40, tokens=31, dtype="int8", scale=1.0)
def one_query(seed, lengths, dim, tokens, dtype, scale):
    """A float32 query of any size keeps float32's precision whatever the tokens are multiplied in."""
    documents = random_documents(seed, lengths, dim, dtype)
    query = random_documents([seed, 1], [tokens], dim).values * np.float32(scale)
    values, offsets, scales = tensors(documents)
    scores = fused_maxsim(torch.from_numpy(query), values, offsets, None, scales, None)
    assert_near_reference(scores[0].numpy(), query, documents)


def several_queries_and_candidates():
    """Any dtype of queries, candidates by indirection, negative maxima, and what is not there."""
    for dtype in DTYPES:
        for query_dtype in QUERY_DTYPES.values():
            values, offsets, scales = tensors(random_documents(3, [5, 1, 66, 17], 19, dtype, shift=-5))
            queries, query_offsets, _ = tensors(random_documents(4, [2, 34, 1], 19, shift=5))
            offsets = torch.cat([offsets, offsets[-1:]])  # a last document without tokens
            candidates = torch.tensor([2, 0, 2, 5, -1, 4])
            arguments = (queries.to(query_dtype), values, offsets, query_offsets, scales, candidates)
            found, expected = fused_maxsim(*arguments), plain_maxsim(*arguments)
            torch.testing.assert_close(found, expected, rtol=2e-6, atol=0, equal_nan=True)
            assert (found[:, :3] < 0).all()
            assert found[:, 3:5].isnan().all()
            assert found[:, 5].isneginf().all()


def no_score():
    """Neither documents nor queries: nothing is launched."""
    values, offsets, _ = tensors(random_documents(0, [], 8))
    assert fused_maxsim(torch.ones(2, 8), values, offsets, None, None, None).shape == (1, 0)
    assert fused_maxsim(torch.ones(0, 8), values, offsets, torch.tensor([0]), None, None).shape == (0, 0)


if __name__ == "__main__":
    one_query()
    several_queries_and_candidates()
    no_score()
    print("equal")
