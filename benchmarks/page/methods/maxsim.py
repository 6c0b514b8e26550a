"""MaxSim of one query and of many: scores of documents that are at hand in the form that each asks for."""

import numpy as np

from benchmarks.page.methods import tokens

__all__ = [
    "RERANK",
    "colbert_ai",
    "maxsim_cpu",
    "numpy",
    "product",
    "pylate",
    "qdrant_client",
    "sentence_transformers",
    "torch",
    "vectorplug",
]

TOP = 10
RERANK = "100 by id"


def vectorplug(folder, queries, dtype):
    """`dtype` of the tokens; the environment says by which kernel."""
    from vectorplug import MultiVectors, maxsim

    held = MultiVectors(tokens.values(folder), tokens.offsets(folder)).astype(dtype)

    def scorer(asked):
        given = MultiVectors.from_list(asked)
        return lambda: maxsim(given, held)

    query, candidates = tokens.queries(folder)[0], _candidates(len(held))
    return _works(folder, queries, scorer) | {RERANK: lambda: maxsim(query, held, candidates=candidates)}, {}


def maxsim_cpu(folder, queries):
    import maxsim_cpu as peer

    documents = tokens.documents(folder)

    def scorer(asked):
        return lambda: [peer.maxsim_scores_variable(each, documents) for each in asked]

    query, picked = tokens.queries(folder)[0], [documents[i] for i in _candidates(len(documents))]
    return _works(folder, queries, scorer) | {RERANK: lambda: peer.maxsim_scores_variable(query, picked)}, {}


def numpy(folder, queries):
    values, starts = tokens.values(folder), tokens.offsets(folder)[:-1]

    def scorer(asked):
        return lambda: [np.maximum.reduceat(values @ each.T, starts).sum(axis=1) for each in asked]

    return _works(folder, queries, scorer), {}


def product(folder, queries):
    """The multiplications of MaxSim and nothing else: what a plain sgemm would take."""
    values = tokens.values(folder)

    def scorer(asked):
        given = np.concatenate(asked)
        return lambda: given @ values.T

    return {str(count): scorer(tokens.queries(folder)[:count]) for count in queries}, {}


def torch(folder, queries, dtype):
    import torch as peer

    values = peer.from_numpy(tokens.values(folder)).to(getattr(peer, dtype))
    lengths = peer.from_numpy(tokens.lengths(folder))

    def scorer(asked):
        given = [peer.from_numpy(each).to(values.dtype) for each in asked]
        return lambda: [peer.segment_reduce((values @ each.T).float(), "max", lengths=lengths).sum(1) for each in given]

    return _works(folder, queries, scorer), {}


def sentence_transformers(folder, queries):
    from sentence_transformers.util import maxsim
    from torch import from_numpy

    documents = [from_numpy(each) for each in tokens.documents(folder)]

    def scorer(asked):
        given = [from_numpy(each) for each in asked]
        return lambda: maxsim(given, documents)

    return _works(folder, queries, scorer), {}


def pylate(folder, queries):
    """Documents padded to the longest, as its own rerank has them; the padding is not timed."""
    from pylate.scores import colbert_scores
    from torch import from_numpy, zeros

    documents = tokens.documents(folder)
    longest = max(len(each) for each in documents)
    padded, mask = zeros(len(documents), longest, documents[0].shape[1]), zeros(len(documents), longest)
    for i, each in enumerate(documents):
        padded[i, : len(each)], mask[i, : len(each)] = from_numpy(each), 1

    def scorer(asked):
        given = [from_numpy(each[None]) for each in asked]
        # One query a call: all at once would hold gigabytes of products.
        return lambda: [colbert_scores(each, padded, documents_mask=mask)[0] for each in given]

    return _works(folder, queries, scorer), {}


def colbert_ai(folder, queries):
    """Its scorer on a CPU: a product, then a C++ extension that it compiles when it is first used."""
    from colbert.modeling.colbert import ColBERT, colbert_score_packed
    from torch import from_numpy

    ColBERT.try_load_torch_extensions(False)
    values, lengths = from_numpy(tokens.values(folder)), from_numpy(tokens.lengths(folder))

    def scorer(asked):
        given = [from_numpy(each[None]) for each in asked]
        return lambda: [colbert_score_packed(each, values, lengths) for each in given]

    return _works(folder, queries, scorer), {}


def qdrant_client(folder, queries):
    """Its local mode, through its own search: the ten best."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    documents = tokens.documents(folder)
    kind = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    params = models.VectorParams(size=documents[0].shape[1], distance=models.Distance.DOT, multivector_config=kind)
    client.create_collection("docs", vectors_config=params)
    client.upload_collection("docs", vectors=documents, ids=range(len(documents)))

    def scorer(asked):
        return lambda: [[hit.score for hit in client.query_points("docs", each, limit=TOP).points] for each in asked]

    return _works(folder, queries, scorer), {}


def _works(folder, queries, scorer):
    """By how many of the queries are asked; "best" gives the best scores of the first."""
    asked = tokens.queries(folder)
    works = {str(count): scorer(asked[:count]) for count in queries}
    first = scorer(asked[:1])
    return works | {"best": lambda: sorted(map(float, first()[0]), reverse=True)[:TOP]}


def _candidates(documents):
    """100 of them, picked by chance; ours gets their ids, a peer the list of their tokens."""
    return np.random.default_rng(1).permutation(documents)[:100]
