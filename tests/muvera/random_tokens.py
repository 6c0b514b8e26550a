"""Texts as random tokens, for MUVERA's tests."""

import numpy as np

from vectorplug.multivectors import MultiVectors


def gaussian_tokens(seed, lengths, dim):
    rng = np.random.default_rng(seed)
    return MultiVectors.from_list([rng.standard_normal((n, dim), dtype=np.float32) for n in lengths], dim=dim)


def repeated_tokens(seed, lengths, dim):
    """Few distinct tokens, the zero token among them: many equal codes, ties and empty blocks."""
    rng = np.random.default_rng(seed)
    vocabulary = rng.integers(-1, 2, (4, dim)).astype(np.float32)
    vocabulary[0] = 0
    return MultiVectors.from_list([vocabulary[rng.integers(4, size=n)] for n in lengths], dim=dim)
