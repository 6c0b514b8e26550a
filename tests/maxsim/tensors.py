"""What the tests of both paths on tensors share: documents as tensors, and how near to the reference is near enough."""

import numpy as np
import torch

from vectorplug.maxsim import reference
from vectorplug.multivectors import MultiVectors

DTYPES = ["float32", "float16", "bfloat16", "int8"]


def random_documents(seed, lengths, dim, dtype="float32", shift=0.0):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((length, dim), dtype=np.float32) + np.float32(shift) for length in lengths]
    return MultiVectors.from_list(arrays, dim=dim).astype(dtype)


def tensor(array):
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def tensors(documents):
    """tokens, offsets, scales."""
    scales = None if documents.scales is None else torch.from_numpy(documents.scales)
    return tensor(documents.values), torch.from_numpy(documents.offsets), scales


def assert_near_reference(scores, query, documents):
    """Rounding of float32 sums, and of a query in pieces, beside the sizes of what is added up."""
    sizes = MultiVectors.from_list([np.abs(d.astype(np.float32)) for d in documents], dim=documents.dim)
    bound = (sum(query.shape) + 4) * np.finfo(np.float32).eps * reference.maxsim(np.abs(query), sizes)
    expected = reference.maxsim(query, documents)
    assert scores.shape == expected.shape
    assert (np.abs(scores - expected) <= bound).all()
