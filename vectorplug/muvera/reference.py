"""MUVERA in plain NumPy and float64: the oracle of every fast path, written to be read."""

import numpy as np
import numpy.typing as npt

from vectorplug.multivectors import MultiVectors
from vectorplug.muvera.dialects import Matrices

__all__ = ["encode_documents", "encode_queries"]

Floats = npt.NDArray[np.float64]


def encode_documents(matrices: Matrices, documents: MultiVectors, *, fill: bool, unit_norm: bool = False) -> Floats:
    """float64 [n, size]: a block is the average of its tokens; with `fill` an empty one takes the nearest token.

    With `unit_norm` the whole vector is divided by its norm, where that is not 0.
    Source: arXiv 2405.19504, section 2.
    """
    fdes = np.empty((len(documents), matrices.size))
    for fde, document in zip(fdes, documents, strict=True):
        fde[:] = _encode(matrices, document.astype(np.float64), average=True, fill=fill)
        norm = np.linalg.norm(fde)
        if unit_norm and norm > 0:
            fde /= norm
    return fdes


def encode_queries(matrices: Matrices, queries: MultiVectors) -> Floats:
    """float64 [n, size]: a block is the sum of its tokens, an empty one is zero."""
    fdes = np.empty((len(queries), matrices.size))
    for fde, query in zip(fdes, queries, strict=True):
        fde[:] = _encode(matrices, query.astype(np.float64), average=False, fill=False)
    return fdes


def _encode(matrices: Matrices, tokens: Floats, *, average: bool, fill: bool) -> Floats:
    parts = []
    for repetition, planes in enumerate(matrices.planes):
        codes = (tokens @ planes.T > 0) @ (1 << np.arange(len(planes)))
        blocks = np.zeros((len(matrices.places), matrices.dim))
        for code, place in enumerate(matrices.places):
            members = tokens[codes == code]
            if len(members):
                blocks[place] = members.mean(axis=0) if average else members.sum(axis=0)
            elif fill:
                blocks[place] = tokens[_nearest(codes, code, matrices.ties)]
        if matrices.projection is not None:
            blocks = blocks @ matrices.projection[repetition].astype(np.float64)
        parts.append(blocks.reshape(-1))
    fde = np.concatenate(parts)
    if matrices.final is None:
        return fde
    columns, signs, size = matrices.final
    return np.bincount(columns, weights=signs * fde, minlength=size).astype(np.float64, copy=False)


def _nearest(codes: npt.NDArray[np.int64], code: int, ties: str) -> int:
    """The token whose code differs from `code` in the fewest bits."""
    distances = np.array([int(other ^ code).bit_count() for other in codes])
    nearest = np.flatnonzero(distances == distances.min())
    if ties == "code":
        nearest = nearest[codes[nearest] == codes[nearest].min()]
    return int(nearest[0])
