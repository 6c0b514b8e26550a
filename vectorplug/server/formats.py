"""Vectors as hosted APIs send them: floats, bytes, bits, or base64 of them."""

import base64
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sentence_transformers.util import quantize_embeddings

__all__ = ["Dtype", "as_base64", "as_dtype"]

Dtype = Literal["float", "int8", "uint8", "binary", "ubinary"]

# int8 spans so many standard deviations of a unit vector's numbers; what lies beyond is cut. One scale for every
# vector of a size, queries and documents, today and tomorrow: only so are their products comparable.
SPAN = 5.0


def as_dtype(vectors: Sequence[npt.NDArray[Any]], dtype: Dtype) -> list[npt.NDArray[Any]]:
    """n arrays [D] or [tokens, D] of float32 -> the same in float32, int8, uint8, or a bit a number [D / 8].

    int8 is `round(x * 127 / limit)` with `limit` = 5 / sqrt(D), at most 1, for vectors of unit norm; uint8 is 128
    more. Bits are set above 0, the first number highest; binary is ubinary - 128, as Cohere, Jina and Voyage do.
    """
    if dtype == "float":
        return list(vectors)
    return [_quantized(np.atleast_2d(vector), dtype).reshape(*vector.shape[:-1], -1) for vector in vectors]


def as_base64(vectors: Sequence[npt.NDArray[Any]]) -> list[str | list[str]]:
    """n arrays [D] -> base64 of their little-endian bytes; of one [tokens, D], a list with that of each token."""
    return [_base64(v) if v.ndim == 1 else [_base64(token) for token in v] for v in vectors]


def _base64(vector: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(vector).astype(vector.dtype.newbyteorder("<")).tobytes()).decode()


def _quantized(rows: npt.NDArray[Any], dtype: Dtype) -> npt.NDArray[Any]:
    if dtype in ("binary", "ubinary"):
        return np.asarray(quantize_embeddings(rows, precision=dtype))
    limit = min(1.0, SPAN / rows.shape[1] ** 0.5)
    scaled: npt.NDArray[Any] = np.rint(np.clip(rows, -limit, limit) * (127 / limit))
    return scaled.astype(np.int8) if dtype == "int8" else (scaled + 128).astype(np.uint8)
