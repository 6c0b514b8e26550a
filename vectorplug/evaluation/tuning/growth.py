"""How many more candidates a larger collection needs, learnt from parts of the one at hand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vectorplug.evaluation.rankings import Rankings
from vectorplug.evaluation.tuning.depths import depths, recall_at, wanted_among

__all__ = ["Growth", "Part", "growth_of", "parts_of"]

QUARTERS = 4
RESAMPLES = 200
EXPONENTS = np.arange(0, 1.001, 0.02)
# Where nearly all or nearly none is found, a curve says nothing about how far it has moved.
TELLING = (0.02, 0.995)
FEWEST_DOCUMENTS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Documents `members` (int64, ascending), `share` of all, and the ten `wanted` among them [queries, 10]."""

    members: npt.NDArray[np.int64]
    share: float
    wanted: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Growth:
    """Candidates for equal recall grow as documents^exponent; `low` to `high` hold 95 % of resamples of the queries."""

    exponent: float
    low: float
    high: float

    def shrunk(self, candidates: float, factor: float, exponent: float | None = None) -> float:
        """Of `candidates` in a collection `factor` times as large: how many find as much in the one at hand."""
        return float(candidates / factor ** (self.exponent if exponent is None else exponent))


def parts_of(exact: Rankings, documents: int, seed: int) -> list[Part]:
    """All documents, their two random halves and their four random quarters; all alone where they are too few."""
    everything = np.arange(documents)
    parts = [Part(everything, 1.0, wanted_among(exact, everything))]
    if documents < FEWEST_DOCUMENTS:
        return parts
    quarter = np.random.default_rng(seed).permutation(documents) % QUARTERS
    for share, groups in ((0.5, ((0, 1), (2, 3))), (0.25, ((0,), (1,), (2,), (3,)))):
        for group in groups:
            members = np.flatnonzero(np.isin(quarter, group))
            parts.append(Part(members, share, wanted_among(exact, members)))
    return parts


def growth_of(scores: npt.NDArray[np.float32], parts: Sequence[Part], seed: int) -> Growth:
    """The exponent under which the recall of halves and quarters, over candidates, falls onto that of the whole.

    `scores` [queries, n] are the finder's. A document's depth grows at most with the number of documents (exponent 1:
    the strangers above it multiply); it grows less because the ten best of more documents are better ones. Where the
    curves do not tell (all is found at once) the exponent is 1, the worst case.
    """
    whole, *others = parts
    if not others:
        return Growth(1.0, 1.0, 1.0)
    counts = np.unique(np.geomspace(1, len(whole.members), 120).astype(np.int64))
    reference = recall_at(depths(scores, whole.wanted), counts)
    curves = {
        share: np.mean(
            [recall_at(depths(scores[:, part.members], part.wanted), counts) for part in others if part.share == share],
            axis=0,
        )
        for share in sorted({part.share for part in others})
    }
    rng = np.random.default_rng(seed)
    queries = len(scores)
    everyone = _fitted(reference, curves, counts, np.arange(queries))
    drawn = [_fitted(reference, curves, counts, rng.integers(queries, size=queries)) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Growth(everyone, float(low), float(high))


def _fitted(
    reference: npt.NDArray[np.float64],
    curves: dict[float, npt.NDArray[np.float64]],
    counts: npt.NDArray[np.int64],
    queries: npt.NDArray[np.int64],
) -> float:
    """The exponent with the least squares."""
    whole = reference[queries].mean(axis=0)
    squares = np.zeros(len(EXPONENTS))
    compared = 0
    for share, curve in curves.items():
        part = curve[queries].mean(axis=0)
        telling = (part > TELLING[0]) & (part < TELLING[1]) & (counts < counts[-1] * share)
        compared += int(telling.sum())
        moved = counts[telling] * (1 / share) ** EXPONENTS[:, None]
        squares += ((np.interp(np.log(moved), np.log(counts), whole) - part[telling]) ** 2).sum(axis=1)
    return float(EXPONENTS[squares.argmin()]) if compared else 1.0
