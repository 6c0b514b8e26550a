"""The best documents by exact MaxSim, found while the corpus streams by."""

import numpy as np

from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors

__all__ = ["ExactTop"]


class ExactTop:
    """Of each of `queries`, the `limit` documents that score best by exact MaxSim among all seen so far.

    Holds ids and scores, no token vectors, so that it costs the same beside any store. Of equal scores the document
    that came first counts as better, as in the plain store.
    """

    def __init__(self, queries: MultiVectors, limit: int) -> None:
        self._queries = queries
        self._limit = limit
        self._scores = np.empty((len(queries), 0), np.float32)
        self._ids = np.empty((len(queries), 0), object)

    def see(self, ids: list[str], tokens: MultiVectors) -> None:
        """Rank n more documents, `tokens` of n, among those seen."""
        new_ids = np.broadcast_to(np.array(ids, object), (len(self._queries), len(ids)))
        scores = np.hstack([self._scores, maxsim(self._queries, tokens)])
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self._limit]
        self._scores = np.take_along_axis(scores, best, axis=1)
        self._ids = np.take_along_axis(np.hstack([self._ids, new_ids]), best, axis=1)

    def rankings(self) -> list[list[str]]:
        """The ids for each query, best first."""
        ranked: list[list[str]] = self._ids.tolist()
        return ranked
