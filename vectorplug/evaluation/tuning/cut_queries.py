"""Queries of which fewer tokens are read: encoded anew, since a cut query's vectors are not those of a shorter one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from vectorplug.evaluation.workload import Workload
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["LONGER", "CutQueries", "cut_queries"]

LENGTHS = (8, 16, 32)
# A length is tried where so many texts are longer.
LONGER = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class CutQueries:
    """`workload` with queries of at most `length` tokens, which have `share` as many tokens as all."""

    length: int
    share: float
    workload: Workload


def cut_queries(workload: Workload, vectorizer: TextVectorizer) -> Iterator[CutQueries]:
    """One for each length that cuts half of the queries; none where the vectorizer cannot read less of a query."""
    shortened: Any = getattr(vectorizer, "with_query_length", None)
    whole = workload.queries.tokens
    assert whole is not None
    if shortened is None or not len(whole):
        return
    texts = list(workload.collection.queries.values())
    for length in LENGTHS:
        if (whole.lengths > length).mean() < LONGER:
            continue
        queries = shortened(length).encode_query(texts, outputs=("tokens",), show_progress_bar=False)
        yield CutQueries(length, len(queries.tokens.values) / len(whole.values), replace(workload, queries=queries))
