"""How good a ranking is: by people's judgements, and by exact MaxSim."""

from collections.abc import Mapping, Sequence

from vectorplug.errors import ConfigurationError

__all__ = ["Judge", "overlap"]


class Judge:
    """nDCG@10 and Recall@100 as trec_eval computes them, against `qrels` {query id: {document id: grade}}.

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
        self._queries = len(qrels)
        self._evaluator = RelevanceEvaluator(
            {query: dict(judged) for query, judged in qrels.items()}, {"ndcg_cut.10", "recall.100"}
        )

    def ndcg_and_recall(self, rankings: Mapping[str, Sequence[str]]) -> tuple[float, float]:
        """Means over all judged queries, from 0 to 1, of `rankings` {query id: document ids, best first}.

        A query without a ranking, or with no answer among its judgements, counts as 0, as in BEIR.
        """
        # trec_eval sorts by a float32 score and puts the greater id first where scores are equal. Ranks as scores
        # leave it nothing to sort: what is measured is the order in which the store gave the documents.
        run = {
            query: {document: float(-rank) for rank, document in enumerate(ranking)}
            for query, ranking in rankings.items()
        }
        measured = self._evaluator.evaluate(run).values()
        ndcg = sum(query["ndcg_cut_10"] for query in measured) / self._queries
        recall = sum(query["recall_100"] for query in measured) / self._queries
        return ndcg, recall


def overlap(ranking: Sequence[str], exact: Sequence[str]) -> float:
    """The share of `exact`, the ids of the best few documents by exact MaxSim, among as many of `ranking`."""
    return len(set(ranking[: len(exact)]) & set(exact)) / len(exact)
