"""Exact MaxSim of one question and some texts, all of which are encoded now."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vectorplug.maxsim import maxsim
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["best", "scores_of"]


def scores_of(vectorizer: TextVectorizer, question: str, texts: Sequence[str]) -> tuple[npt.NDArray[np.float32], int]:
    """float32 [n], the MaxSim of each text, and the number of the question's tokens (no score is above it)."""
    asked = vectorizer.encode_query([question], outputs=("tokens",), show_progress_bar=False).tokens
    assert asked is not None
    if not texts:
        return np.empty(0, np.float32), len(asked[0])
    given = vectorizer.encode_document(texts, outputs=("tokens",), show_progress_bar=False).tokens
    assert given is not None
    return maxsim(asked[0], given), len(asked[0])


def best(scores: npt.NDArray[np.float32], count: int | None) -> list[int]:
    """Places of the `count` highest scores, best first, the earlier of equals first; of all where it is None."""
    return [int(place) for place in np.argsort(-scores, kind="stable")[:count]]
