"""The best documents by exact MaxSim, found while the corpus streams by."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vectorplug.evaluation.rankings import Rankings
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors

__all__ = ["ExactTop"]


class ExactTop:
    """Of each of `queries`, the `limit` documents that score best by exact MaxSim among all seen so far.

    Holds ids and scores, no token vectors, so that it costs the same beside any store. Of equal scores the document
    that came first counts as better, as in the plain store. `left_out` int [queries] is the place, counted as the
    documents come, of one document that is not ranked for that query; -1 for none.
    """

    def __init__(self, queries: MultiVectors, limit: int, left_out: npt.NDArray[np.int32] | None = None) -> None:
        self._queries = queries
        self._limit = limit
        self._left_out = np.full(len(queries), -1, np.int32) if left_out is None else left_out
        self._ids: list[str] = []
        self._scores = np.empty((len(queries), 0), np.float32)
        self._positions = np.empty((len(queries), 0), np.int32)

    def see(self, ids: Sequence[str], tokens: MultiVectors) -> None:
        """Rank n more documents, `tokens` of n, among those seen."""
        first = len(self._ids)
        self._ids.extend(ids)
        scored = maxsim(self._queries, tokens)
        here = np.flatnonzero((self._left_out >= first) & (self._left_out < first + len(ids)))
        scored[here, self._left_out[here] - first] = -np.inf
        scores = np.hstack([self._scores, scored])
        places = np.broadcast_to(np.arange(first, first + len(ids), dtype=np.int32), scored.shape)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self._limit]
        self._scores = np.take_along_axis(scores, best, axis=1)
        self._positions = np.take_along_axis(np.hstack([self._positions, places]), best, axis=1)

    def top(self) -> Rankings:
        """The same by the places at which the documents came."""
        return Rankings(np.where(self._scores == -np.inf, -1, self._positions).astype(np.int32), self._scores)

    def rankings(self) -> list[list[str]]:
        """The ids for each query, best first."""
        return [[self._ids[place] for place in ranked if place >= 0] for ranked in self.top().positions]
