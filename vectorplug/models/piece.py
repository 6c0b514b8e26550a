"""What one forward pass gives."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Piece"]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """b texts: `tokens` float32 [total, token_dim], the next `lengths[i]` of text i; `dense` float32 [b, D]."""

    tokens: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]
    dense: npt.NDArray[Any]

    def split(self) -> list[npt.NDArray[Any]]:
        """The token vectors of each text, float32 [tokens_i, token_dim], as views."""
        return np.split(self.tokens, np.cumsum(self.lengths)[:-1])
