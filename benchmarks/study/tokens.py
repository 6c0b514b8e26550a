"""Exact MaxSim of smaller tokens: fewer bits a number, and fewer of them."""

from collections.abc import Iterator

import numpy as np

from benchmarks.study.quality import Quality, Row
from vectorplug import MultiVectors, maxsim
from vectorplug.evaluation.token_variants import mean, pooled

__all__ = ["FACTORS", "tokens"]

FACTORS = (2, 3, 4, 6)
DTYPES = ("int8", "int4")
DOCUMENTS_AT_ONCE = 256


def tokens(quality: Quality) -> Iterator[Row]:
    """A row for each way, over all documents."""
    documents, queries = quality.workload.documents.tokens, quality.workload.queries.tokens
    assert documents is not None
    assert queries is not None
    names = [*DTYPES, *(f"one of {factor}, pooled" for factor in FACTORS), "one of 2, pooled, int8"]
    names += ["one vector, the mean"]
    scores = {name: np.empty((len(queries), len(documents)), np.float32) for name in names}
    sizes = dict.fromkeys(names, 0)
    for begin in range(0, len(documents), DOCUMENTS_AT_ONCE):
        part = slice(begin, min(begin + DOCUMENTS_AT_ONCE, len(documents)))
        for name, kept in _variants(documents[part]):
            scores[name][:, part] = maxsim(queries, kept)
            sizes[name] += kept.nbytes
    for name in names:
        yield quality.row(name, sizes[name] / len(documents), scores[name])


def _variants(documents: MultiVectors) -> Iterator[tuple[str, MultiVectors]]:
    for dtype in DTYPES:
        yield dtype, documents.astype(dtype)
    for factor, kept in zip(FACTORS, pooled(documents, FACTORS), strict=True):
        yield f"one of {factor}, pooled", kept.astype("float16")
        if factor == 2:
            yield "one of 2, pooled, int8", kept.astype("int8")
    yield "one vector, the mean", mean(documents)
