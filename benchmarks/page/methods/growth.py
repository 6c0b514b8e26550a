"""Searches of stores that grow: each work is its name, so many documents, so many tokens each."""

import itertools

import numpy as np

from benchmarks.page.methods import tokens

__all__ = ["exact", "found_first", "maxsim_cpu", "numpy", "rerank"]

CANDIDATES = 100
# Of random codes, so that only the codes are read from the file.
SCALE = 0.002


def exact(folder, sizes, dtype):
    """MaxSim of all of them."""
    from vectorplug import maxsim

    query = tokens.queries(folder)[0]
    return _works(sizes, lambda *size: (lambda held: lambda: maxsim(query, held))(_store(folder, dtype, *size))), {}


def rerank(folder, sizes, calls):
    """MaxSim of 100 documents by their ids, others at every call, so many calls a turn."""
    from vectorplug import maxsim

    query = tokens.queries(folder)[0]
    rng = np.random.default_rng(1)

    def ranker(documents, each):
        held = _store(folder, "int4", documents, each)
        return lambda: [maxsim(query, held, candidates=rng.integers(documents, size=CANDIDATES)) for _ in range(calls)]

    return _works(sizes, ranker), {}


def found_first(folder, sizes):
    """One vector of 8-bit numbers a document, all of them scored; MaxSim of the 100 best."""
    from vectorplug import maxsim
    from vectorplug.codes import FdeCodes

    query, vectors = tokens.queries(folder)[0], np.load(folder / "vectors.npy", mmap_mode="r")
    asked = np.random.default_rng(2).standard_normal(vectors.shape[1], dtype=np.float32)

    def searcher(documents, each):
        held = _store(folder, "int4", documents, each)
        codes = FdeCodes("int8", vectors.shape[1], vectors[:documents], np.full(documents, SCALE, np.float32))

        def search():
            best = np.argpartition(codes.scores(asked), -CANDIDATES)[-CANDIDATES:]
            return maxsim(query, held, candidates=best)

        return search

    return _works(sizes, searcher), {}


def maxsim_cpu(folder, sizes):
    import maxsim_cpu as peer

    query = tokens.queries(folder)[0]

    def scorer(documents, each):
        held = list(tokens.values(folder)[: documents * each].reshape(documents, each, -1))
        return lambda: peer.maxsim_scores_variable(query, held)

    return _works(sizes, scorer), {}


def numpy(folder, sizes):
    query = tokens.queries(folder)[0]

    def scorer(documents, each):
        held, starts = tokens.values(folder)[: documents * each], each * np.arange(documents)
        return lambda: np.maximum.reduceat(held @ query.T, starts).sum(axis=1)

    return _works(sizes, scorer), {}


def _works(sizes, make):
    return dict(itertools.starmap(lambda name, *size: (name, make(*size)), sizes))


def _store(folder, dtype, documents, each):
    from vectorplug import MultiVectors

    offsets = each * np.arange(documents + 1)
    if dtype != "int4":
        return MultiVectors(tokens.values(folder)[: offsets[-1]], offsets).astype(dtype)
    codes = np.load(folder / "codes.npy", mmap_mode="r")[: offsets[-1]]
    return MultiVectors(codes, offsets, np.full(len(codes), SCALE, np.float32))
