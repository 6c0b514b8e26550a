"""What a call may ask beyond the checkpoint's recipe: fewer numbers a vector, fewer tokens a document."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from vectorplug.encoded import Encoded, TokenDtype
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.multivectors import MultiVectors

__all__ = ["check_options", "shaped"]


def check_options(dims: Mapping[str, int], dimensions: int | None, pool_factor: float | None) -> None:
    """ConfigurationError where an option cannot be had of vectors of `dims` numbers, by output."""
    for name, dim in dims.items():
        if dimensions is not None and not 1 <= dimensions <= dim:
            raise ConfigurationError(
                f"dimensions is {dimensions}, expected 1 to {dim}: the model's {name} have no more."
            )
    if pool_factor is not None and pool_factor < 1:
        raise ConfigurationError(f"pool_factor is {pool_factor}, expected at least 1: one token is kept of so many.")


def shaped(encoded: Encoded, dimensions: int | None, pool_factor: float | None, token_dtype: str) -> Encoded:
    """Tokens and dense vectors cut to their first `dimensions` numbers, then one token kept of `pool_factor`.

    float32, at unit norm; tokens at last in `token_dtype`, int8 with a scale a token. The first token of a document,
    which stands for all of it, is never pooled.
    Source: Matryoshka (arXiv 2205.13147); Clavie et al., token pooling (arXiv 2409.14683), by sentence-transformers.
    """
    if token_dtype not in get_args(TokenDtype):
        raise InputError(f"dtype {token_dtype!r} is not one of {', '.join(get_args(TokenDtype))}.")
    tokens, dense = encoded.tokens, encoded.dense
    if dimensions is not None:
        tokens = None if tokens is None else MultiVectors(_cut(tokens.values, dimensions), tokens.offsets)
        dense = None if dense is None else _cut(dense, dimensions)
    if pool_factor is not None and tokens is not None:
        tokens = _pooled(tokens, pool_factor)
    return replace(encoded, tokens=None if tokens is None else tokens.astype(token_dtype), dense=dense)


def _cut(vectors: npt.NDArray[Any], dimensions: int) -> npt.NDArray[np.float32]:
    kept = vectors[:, :dimensions].astype(np.float32)
    norms = np.linalg.norm(kept, axis=1, keepdims=True)
    cut: npt.NDArray[np.float32] = kept / np.maximum(norms, np.finfo(np.float32).tiny)
    return cut


def _pooled(tokens: MultiVectors, pool_factor: float) -> MultiVectors:
    # Here: a client of a server cuts and checks as the server does, and waits for no torch.
    import torch
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    pooling = HierarchicalTokenPooling(pool_factor)
    documents = [torch.from_numpy(np.array(document)) for document in tokens]
    return MultiVectors.from_list([pooled.numpy() for pooled in pooling.pool(documents)], dim=tokens.dim)
