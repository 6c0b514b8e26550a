"""A finder, the tokens that rank again, and the number of candidates: how much of exact MaxSim's top ten comes out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vectorplug.evaluation.tuning.depths import WANTED
from vectorplug.evaluation.tuning.finders import Finder, Found
from vectorplug.evaluation.tuning.growth import Growth
from vectorplug.evaluation.tuning.kept_tokens import KeptTokens, Scored

__all__ = ["CANDIDATES", "Pair", "pairs_of", "recall_of_pair"]

CANDIDATES = (10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One two-stage search. `recall` float64 [queries]: the share of exact MaxSim's ten best among its ten best.

    `tokens` a document has, and `share` of the queries' tokens are read. `candidates` is for the whole collection;
    `measured_with` how many were taken in the one at hand, which has as much in them.
    """

    finder: Finder
    kept: KeptTokens
    tokens: float
    share: float
    candidates: int
    measured_with: int
    recall: npt.NDArray[np.float64]


def pairs_of(
    found: Found, scored: Scored, wanted: npt.NDArray[np.bool_], growth: Growth, factor: float
) -> Iterator[Pair]:
    """A pair for each number of candidates, the ones that find no more than fewer do left out.

    `wanted` bool [queries, n] marks exact MaxSim's ten best. The collection is `factor` times as large as this one.
    """
    documents = wanted.shape[1]
    seen = 0
    for candidates in _counts(documents * factor):
        here = min(documents, max(WANTED, round(growth.shrunk(candidates, factor))))
        # As many documents as there are, or as many as were found: more candidates change nothing.
        if here == seen:
            continue
        seen = here
        recall = recall_of_pair(found, scored, wanted, here)
        yield Pair(found.finder, scored.kept, scored.tokens, scored.share, candidates, here, recall)


def _counts(documents: float) -> Sequence[int]:
    """Numbers of candidates, no more than there are documents."""
    fewer = [count for count in CANDIDATES if count < documents]
    return fewer if len(fewer) == len(CANDIDATES) else [*fewer, int(documents)]


def recall_of_pair(
    found: Found, scored: Scored, wanted: npt.NDArray[np.bool_], candidates: int
) -> npt.NDArray[np.float64]:
    """float64 [queries]; 1 for a query that wants nothing."""
    chosen = found.candidates(candidates)
    there = chosen >= 0
    places = np.maximum(chosen, 0)
    right = np.take_along_axis(wanted, places, axis=1) & there
    if scored.scores is not None and chosen.shape[1] > WANTED:
        scores = np.where(there, np.take_along_axis(scored.scores, places, axis=1), -np.inf)
        top = np.argpartition(-scores, WANTED - 1, axis=1)[:, :WANTED]
        right = np.take_along_axis(right, top, axis=1)
    total = wanted.sum(axis=1)
    shares: npt.NDArray[np.float64] = np.where(total == 0, 1.0, right.sum(axis=1) / np.maximum(total, 1))
    return shares
