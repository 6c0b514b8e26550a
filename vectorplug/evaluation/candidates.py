"""Where a document stands among a store's candidates, by FDE and by exact MaxSim."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from vectorplug.evaluation.matches import Seen
from vectorplug.search import Store
from vectorplug.search.hits import Hit, Id

__all__ = ["Candidates", "Standing", "share_of"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A document's `score` by one measure, and its `rank` among the `ranked` best; None where it is not of them."""

    score: float
    rank: int | None
    ranked: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """Id -> score, best first: a store's candidates by FDE, and the same by exact MaxSim; empty where not stored."""

    by_fde: dict[Id, float]
    by_maxsim: dict[Id, float]

    @classmethod
    def of(cls, store: Store[Any], question: str, candidates: int) -> Self:
        """Searches for its best `candidates`; without FDEs, those of exact MaxSim itself."""
        stored = set(store.info.dims) if store.info is not None else set()
        by_fde: Sequence[Hit] = []
        by_maxsim: Sequence[Hit] = []
        if "fde" in stored:
            by_fde = store.search(question, limit=candidates, candidates=candidates, mode="fde")
        if {"fde", "tokens"} <= stored:
            by_maxsim = store.search(question, limit=candidates, candidates=candidates, mode="fde+rerank")
        elif "tokens" in stored:
            by_maxsim = store.search(question, limit=candidates, candidates=candidates, mode="native")
        return cls({hit.id: hit.score for hit in by_fde}, {hit.id: hit.score for hit in by_maxsim})

    def standing(self, scores: dict[Id, float], document_id: Id, own: float) -> Standing:
        """The document's rank as the store has it; `own` is its score where it was computed anew."""
        ids = list(scores)
        rank = ids.index(document_id) + 1 if document_id in scores else None
        return Standing(own, rank, len(ids))

    def usual(self, apart: Seen) -> float | None:
        """The median share that the FDE saw of the candidates' exact scores; None without both scores of any.

        At unit norm each FDE was divided by a norm that the store does not keep: no share of the exact score then.
        """
        if apart.norm != 1.0:
            return None
        shares = [
            share_of(score, exact, apart)
            for key, score in self.by_fde.items()
            if (exact := self.by_maxsim.get(key)) is not None
        ]
        known = [share for share in shares if share is not None]
        return float(np.median(known)) if known else None


def share_of(score: float, exact: float, apart: Seen) -> float | None:
    """<query FDE, document FDE> / (repetitions x MaxSim): what an FDE saw of an exact score, None of one below 0."""
    return None if exact <= 0 else score * apart.norm / (apart.repetitions * exact)
