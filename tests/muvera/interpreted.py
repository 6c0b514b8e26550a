"""The fused blocks in Triton's interpreter, against plain torch: run by test_triton.py.

A program of its own, because triton has to be imported with TRITON_INTERPRET set.
"""

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vectorplug.muvera.torch import EMPTY, plain_blocks
from vectorplug.muvera.triton import fused_blocks


@settings(deadline=None, max_examples=6, derandomize=True, database=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(1, 40), max_size=2),
    repetitions=st.integers(1, 3),
    ksim=st.integers(0, 6),
    width=st.integers(1, 70),
    average=st.booleans(),
    broadcast=st.booleans(),
)
@example(seed=0, lengths=[1, 32, 65], repetitions=2, ksim=5, width=16, average=True, broadcast=False)
@example(seed=0, lengths=[33, 3], repetitions=2, ksim=7, width=65, average=True, broadcast=True)
@example(seed=0, lengths=[33, 3], repetitions=2, ksim=0, width=64, average=False, broadcast=False)
def blocks(seed, lengths, repetitions, ksim, width, average, broadcast):
    """Sums, averages and first tokens of every block, of parts that are a view for all repetitions or not."""
    random = torch.Generator().manual_seed(seed)
    total = sum(lengths)
    # Whole numbers, some of them zero: products on a hyperplane belong to the block of bit 0.
    products = torch.randint(-1, 2, (total, repetitions, ksim), generator=random).double()
    shape = (total, 1 if broadcast else repetitions, width)
    parts = torch.randn(shape, generator=random).expand(-1, repetitions, -1)
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    found, firsts = fused_blocks(products, parts, offsets, average)
    expected, expected_firsts = plain_blocks(products, parts, offsets, average)
    assert torch.equal(firsts.long(), expected_firsts)
    assert ((firsts == EMPTY) == (expected == 0).all(dim=3)).all()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)


if __name__ == "__main__":
    blocks()
    print("equal")
