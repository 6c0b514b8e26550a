"""Rankings of every kind, judged alike: against exact MaxSim and against people's judgements."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vectorplug.evaluation.metrics import Judge
from vectorplug.evaluation.rankings import Rankings, recall_of
from vectorplug.evaluation.statistics import Interval, interval, paired
from vectorplug.evaluation.workload import Workload

__all__ = ["Quality", "Row"]

DEPTH = 100
RERANKED = (50, 100)


@dataclass(frozen=True)
class Row:
    """One way to search, by query: shares of exact MaxSim's ten best, and nDCG@10 alone and with a rerank of so many.

    `ndcg` has a column for the way alone, then one for each of `RERANKED`.
    """

    name: str
    bytes: float
    within_10: npt.NDArray[np.float64]
    within_100: npt.NDArray[np.float64]
    ndcg: tuple[npt.NDArray[np.float64], ...]

    @property
    def shares(self) -> tuple[Interval, Interval]:
        return interval(self.within_10), interval(self.within_100)

    def against(self, other: "Row") -> tuple[float, float | None]:
        """How much more of exact MaxSim's ten best are within 100, and p of that."""
        return float(self.within_100.mean() - other.within_100.mean()), paired(self.within_100, other.within_100)


class Quality:
    """What exact MaxSim finds in a workload, and what anything else keeps of it."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self._judge = Judge(workload.collection.qrels)
        self._ids = [document.id for document in workload.collection.documents]
        self.exact = self._ndcg(workload.exact.positions[:, :10])

    def row(self, name: str, size: float, scores: npt.NDArray[np.float32]) -> Row:
        """`scores` float32 [queries, documents], which is changed; `size` are bytes a document."""
        found = self.workload.rank(scores, DEPTH)
        kept = [self._ndcg(found.positions[:, :10])]
        kept += [self._ndcg(self._reranked(found, count)) for count in RERANKED]
        exact = self.workload.exact
        return Row(name, size, recall_of(found, exact, 10, 10), recall_of(found, exact, 10, DEPTH), tuple(kept))

    def _reranked(self, found: Rankings, candidates: int) -> npt.NDArray[np.int32]:
        """int32 [queries, 10]: the candidates in the order of exact MaxSim; those beyond its first 1,000 come last."""
        ranked = np.full((len(found), 10), -1, np.int32)
        for i, (mine, best) in enumerate(zip(found.positions, self.workload.exact.positions, strict=True)):
            mine = mine[:candidates]
            known = best[np.isin(best, mine) & (best >= 0)]
            order = np.concatenate([known, mine[~np.isin(mine, known) & (mine >= 0)]])[:10]
            ranked[i, : len(order)] = order
        return ranked

    def _ndcg(self, positions: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        found = {
            query: [self._ids[place] for place in places if place >= 0]
            for query, places in zip(self.workload.collection.queries, positions.tolist(), strict=True)
        }
        return self._judge.measure(found)["ndcg@10"]
