"""How many candidates a ranking needs before the documents that matter are among them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vectorplug.evaluation.rankings import Rankings

__all__ = ["WANTED", "depths", "recall_at", "wanted_among"]

# "10R@c": the share of exact MaxSim's ten best documents among c candidates.
WANTED = 10


def wanted_among(exact: Rankings, members: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """int32 [queries, 10]: of the documents `members` (positions, ascending) the ten best by `exact`, -1 beyond.

    They are given by their places in `members`. What `exact` does not rank, which is beyond its depth, is not wanted.
    """
    places = np.full(int(max(members.max(), exact.positions.max())) + 2, -1, np.int32)
    places[members] = np.arange(len(members), dtype=np.int32)
    ranked = places[exact.positions]  # -1 looks up the last place, which no member has
    # Stable: those that are members come first, in their order.
    first = np.argsort(ranked < 0, axis=1, kind="stable")[:, :WANTED]
    return np.take_along_axis(ranked, first, axis=1)


def depths(scores: npt.NDArray[np.float32], wanted: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """int32, shaped as `wanted`: how many of `scores` [queries, n] rank before that document, the earlier of equals.

    A document of depth d is among the first c of its query exactly where d < c. -1 for a wanted -1.
    """
    places = np.arange(scores.shape[1])
    found = np.full(wanted.shape, -1, np.int32)
    for column, positions in enumerate(wanted.T):
        own = np.take_along_axis(scores, np.maximum(positions, 0)[:, None], axis=1)
        before = (scores > own) | ((scores == own) & (places < positions[:, None]))
        found[:, column] = np.where(positions < 0, -1, before.sum(axis=1))
    return found


def recall_at(found: npt.NDArray[np.int32], counts: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """float64 [queries, len(counts)] of depths [queries, 10]: the share of what is wanted that is above each count.

    1 for a query that wants nothing.
    """
    there = found >= 0
    inside = [(there & (found < count)).sum(axis=1) for count in counts]
    total = there.sum(axis=1)
    shares: npt.NDArray[np.float64] = np.where(
        total[:, None] == 0, 1.0, np.stack(inside, axis=1) / np.maximum(total, 1)[:, None]
    )
    return shares
