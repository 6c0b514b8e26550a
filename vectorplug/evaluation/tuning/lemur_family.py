"""Lemur's sizes: a fit to the workload's own documents for each number of features, of which fewer numbers are the
first of more.

The axes of a fit are in the order of what they tell of the documents, and its features do not depend on the size, so
the largest size of some features gives all smaller ones. Everything but the size is Lemur's default. `index` fits to a
sample of its own: what is measured here is as good as that fit, not the fit itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from vectorplug.compressor import Compressor
from vectorplug.evaluation.workload import Workload
from vectorplug.lemur import Lemur, pseudo_queries
from vectorplug.search.config import FdeConfig, LemurConfig
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["LemurFamily"]

# Small ones before large ones.
SETTINGS = tuple(LemurConfig(size=size) for size in (128, 256, 512, 1024))
# As many pseudo-queries as `index` fits with.
PSEUDO_QUERIES = 1024


class LemurFamily:
    """The sizes of a Lemur that is fitted to the documents of `workload`, and to pseudo-queries of their texts.

    The workload's own queries judge, and have no part in the fit; nor has a pseudo-query that begins as one of them.
    """

    def __init__(self, workload: Workload, vectorizer: TextVectorizer) -> None:
        assert workload.documents.tokens is not None
        self._workload = workload
        self._vectorizer = vectorizer
        self._tokens = workload.documents.tokens
        # The largest of those with as many features comes last, and stays.
        self._largest = {self._unfitted(fde).features: self._unfitted(fde) for fde in SETTINGS}
        self._fitted: dict[int | None, Lemur] = {}

    @property
    def steps(self) -> int:
        """How often `shortlist` reports progress."""
        return len(self._largest)

    def shortlist(self, progress: Callable[[], None]) -> Sequence[FdeConfig]:
        """All sizes: each is a fraction of the cost of measuring it."""
        asked = self._stand_ins()
        queries = None
        if asked:
            queries = self._vectorizer.encode_query(asked, outputs=("tokens",), show_progress_bar=False).tokens
        for features, lemur in self._largest.items():
            self._fitted[features] = lemur.fit(self._tokens, queries)
            progress()
        return SETTINGS

    def compressor(self, fde: LemurConfig) -> Compressor:
        """The fitted one of that size."""
        fitted = self._fitted[self._unfitted(fde).features]
        assert fitted.fitted is not None
        fit = fitted.fitted
        fewer = replace(fit, projection=fit.projection[:, : fde.size].copy(), balance=fit.balance[: fde.size])
        return replace(fitted, size=fde.size, fitted=fewer)

    def _unfitted(self, fde: LemurConfig) -> Lemur:
        return fde.compressor(self._tokens.dim)

    def _stand_ins(self) -> list[str]:
        collection = self._workload.collection
        judging = [" ".join(text.split()) for text in collection.queries.values()]
        drawn = pseudo_queries([document.text for document in collection.documents], PSEUDO_QUERIES)
        return [text for text in drawn if not any(each.startswith(text) or text.startswith(each) for each in judging)]
