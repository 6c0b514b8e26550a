"""MaxSim in plain NumPy: slow, obvious, and the oracle of every fast path."""

import numpy as np
import numpy.typing as npt

from vectorplug.multivectors import MultiVectors

__all__ = ["maxsim"]


def maxsim(query: npt.ArrayLike, documents: MultiVectors) -> npt.NDArray[np.float32]:
    """float32 [n]: for each document, the sum over query tokens of the largest inner product with one of its tokens.

    `query` [query tokens, dim]; summed in float64. Source: Khattab & Zaharia, ColBERT, 2020, equation 3.
    """
    tokens = np.asarray(query, np.float64)
    scores = [(tokens @ document.astype(np.float64).T).max(axis=1).sum() for document in documents]
    return np.array(scores, np.float32)
