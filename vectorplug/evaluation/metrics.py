"""How good a ranking is: by people's judgements, and by exact MaxSim."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from vectorplug.errors import ConfigurationError

__all__ = ["JUDGED", "Judge", "overlap"]

# By the name that they have here, the one that trec_eval gives, and the one that it is asked for.
NAMES = {
    "ndcg@10": ("ndcg_cut_10", "ndcg_cut.10"),
    "mrr@10": ("recip_rank", "recip_rank"),
    "recall@10": ("recall_10", "recall.10"),
    "recall@100": ("recall_100", "recall.100"),
    "recall@1000": ("recall_1000", "recall.1000"),
    "success@1": ("success_1", "success.1"),
    "success@5": ("success_5", "success.5"),
    "success@10": ("success_10", "success.10"),
}
JUDGED = tuple(NAMES)


class Judge:
    """Metrics as trec_eval computes them, against `qrels` {query id: {document id: grade}}.

    A grade is a gain, discounted by log2(rank + 1); grades of 0 and less are no answers, nor are documents without
    one. ConfigurationError where pytrec_eval is not installed.
    """

    def __init__(self, qrels: Mapping[str, Mapping[str, int]]) -> None:
        try:
            from pytrec_eval import RelevanceEvaluator
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "nDCG and Recall need the package 'pytrec-eval-terrier': pip install 'vectorplug[eval]'."
            ) from error
        self._queries = list(qrels)
        self._evaluator = RelevanceEvaluator(
            {query: dict(judged) for query, judged in qrels.items()}, {asked for _, asked in NAMES.values()}
        )

    def measure(self, rankings: Mapping[str, Sequence[str]]) -> dict[str, npt.NDArray[np.float64]]:
        """float64 [queries in the order of qrels], from 0 to 1, by metric (`JUDGED`).

        `rankings` {query id: document ids, best first}. A query without a ranking, or with no answer among its
        judgements, counts as 0, as in BEIR.
        """
        # trec_eval sorts by a float32 score and puts the greater id first where scores are equal. Ranks as scores
        # leave it nothing to sort: what is measured is the order in which the store gave the documents.
        run = {
            query: {document: float(-rank) for rank, document in enumerate(ranking)}
            for query, ranking in rankings.items()
        }
        measured = self._evaluator.evaluate(run)
        values = {
            name: np.array([measured.get(query, {}).get(given, 0.0) for query in self._queries])
            for name, (given, _) in NAMES.items()
        }
        # trec_eval's reciprocal rank has no depth: 1/11 and less is an answer beyond the tenth.
        values["mrr@10"][values["mrr@10"] < 1 / 10.5] = 0.0
        return values


def overlap(ranking: Sequence[str], exact: Sequence[str]) -> float:
    """The share of `exact`, the ids of the best few documents by exact MaxSim, among as many of `ranking`."""
    return len(set(ranking[: len(exact)]) & set(exact)) / len(exact)
