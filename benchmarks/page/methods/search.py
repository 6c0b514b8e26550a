"""A collection's tokens made searchable; `search` asks ten queries, one at a time, `found` all there are."""

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.page.methods import tokens

__all__ = ["exact", "maxsim_cpu", "plaid", "qdrant_client", "two_stages"]

TOP = 10
CANDIDATES = 100
ASKED = 10


def exact(folder, dtype):
    """MaxSim of every document by our kernel."""
    from vectorplug import maxsim

    began = time.perf_counter()
    held = _ours(folder).astype(dtype)
    seconds = time.perf_counter() - began
    return _works(folder, lambda query: _best(maxsim(query, held)), seconds, held.nbytes)


def two_stages(folder, compressor, dtype):
    """One float32 vector a document, "muvera" or "lemur", all of them scored; MaxSim of the 100 best."""
    from vectorplug import MultiVectors, maxsim
    from vectorplug.lemur import Lemur
    from vectorplug.vectorizer import default_fde

    given = _ours(folder)
    began = time.perf_counter()
    fde = default_fde(given.dim) if compressor == "muvera" else Lemur(dim=given.dim).fit(given)
    vectors, held = fde.encode_documents(given), given.astype(dtype)
    seconds = time.perf_counter() - began
    kept = min(CANDIDATES, len(vectors))

    def search(query):
        (asked,) = fde.encode_queries(MultiVectors.from_list([query]))
        candidates = np.argpartition(vectors @ asked, -kept)[-kept:]
        return candidates[_best(maxsim(query, held, candidates=candidates))]

    return _works(folder, search, seconds, held.nbytes + vectors.nbytes)


def maxsim_cpu(folder):
    import maxsim_cpu as peer

    documents = tokens.documents(folder)
    size = tokens.values(folder).nbytes
    return _works(folder, lambda query: _best(peer.maxsim_scores_variable(query, documents)), 0.0, size)


def plaid(folder, **settings):
    """fast-plaid's index on a disk, searched with `settings` of its own."""
    import torch
    from fast_plaid import search

    place = tempfile.mkdtemp(dir=folder)
    index = search.FastPlaid(index=place, device="cpu")
    documents = [torch.from_numpy(each) for each in tokens.documents(folder)]
    began = time.perf_counter()
    index.create(documents_embeddings=documents)
    seconds = time.perf_counter() - began
    size = sum(each.stat().st_size for each in Path(place).rglob("*") if each.is_file())

    def ask(query):
        (found,) = index.search(
            queries_embeddings=[torch.from_numpy(query)], top_k=TOP, show_progress=False, **settings
        )
        return [document for document, _ in found]

    return _works(folder, ask, seconds, size)


def qdrant_client(folder):
    """Its local mode: every document by NumPy."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    documents = tokens.documents(folder)
    kind = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    params = models.VectorParams(size=documents[0].shape[1], distance=models.Distance.DOT, multivector_config=kind)
    began = time.perf_counter()
    client.create_collection("docs", vectors_config=params)
    client.upload_collection("docs", vectors=documents, ids=range(len(documents)))
    seconds = time.perf_counter() - began
    size = tokens.values(folder).nbytes
    return _works(
        folder, lambda query: [hit.id for hit in client.query_points("docs", query, limit=TOP).points], seconds, size
    )


def _works(folder, search, seconds, size):
    queries = tokens.queries(folder)
    works = {
        "search": lambda: [search(query) for query in queries[:ASKED]],
        "found": lambda: [[int(place) for place in search(query)] for query in queries],
    }
    return works, {"index_seconds": seconds, "bytes": size / len(tokens.lengths(folder))}


def _best(scores):
    return np.argsort(-scores, kind="stable")[:TOP]


def _ours(folder):
    from vectorplug import MultiVectors

    return MultiVectors(tokens.values(folder), tokens.offsets(folder))
