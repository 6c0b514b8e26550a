"""What one batch gives, before its texts are put back into the caller's order."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Piece"]


@dataclass(frozen=True, slots=True)
class Piece:
    """b texts: `positions` int64 [b] in the caller's list, `tokens` float32 [total, token_dim], `lengths` int64 [b].

    `dense` float32 [b, D]; `truncated` int64 [b] counts the tokens that the model's limit cut off.
    """

    positions: npt.NDArray[np.int64]
    tokens: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]
    dense: npt.NDArray[Any]
    truncated: npt.NDArray[np.int64]
