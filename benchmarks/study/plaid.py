"""PLAID (fast-plaid) on the same tokens, in an environment of its own, and our two stages beside it."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.study.quality import Quality, Row
from vectorplug import maxsim
from vectorplug.lemur import Lemur
from vectorplug.vectorizer import default_fde

__all__ = ["Timed", "plaid", "two_stages"]

CANDIDATES = 100
TOP = 10
# Of the queries, for a median.
TIMED = 60


@dataclass(frozen=True)
class Timed:
    """A way to search with its median milliseconds a query, one at a time, and seconds to make its index of all."""

    row: Row
    ms: float
    index_seconds: float


def plaid(quality: Quality, python: str) -> list[Timed]:
    """A row for each setting of PLAID; the tokens travel in a file."""
    documents, queries = quality.workload.documents.tokens, quality.workload.queries.tokens
    assert documents is not None
    assert queries is not None
    child = Path(__file__).with_name("plaid_child.py")
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "tokens.npz"), Path(folder, "found.npz")
        np.savez(
            given,
            documents_values=documents.values,
            documents_offsets=documents.offsets,
            queries_values=queries.values,
            queries_offsets=queries.offsets,
        )
        subprocess.run([python, str(child), str(given), str(made)], check=True)
        with np.load(made) as arrays:
            facts = json.loads(str(arrays["facts"]))
            found = {name: arrays[name] for name in facts["ms"]}
    rows = []
    for name, positions in found.items():
        scores = np.full((len(queries), len(documents)), -np.inf, np.float32)
        ranks = -np.arange(positions.shape[1], dtype=np.float32)
        for i, places in enumerate(positions):
            there = places >= 0
            scores[i, places[there]] = ranks[there]
        row = quality.row(f"PLAID, {name}", facts["bytes"], scores)
        rows.append(Timed(row, facts["ms"][name], facts["index_seconds"]))
    return rows


def two_stages(quality: Quality) -> list[Timed]:
    """Exact MaxSim by our kernel, and one vector with a rerank of 100 by int8 tokens, in memory."""
    documents, queries = quality.workload.documents.tokens, quality.workload.queries.tokens
    assert documents is not None
    assert queries is not None
    began = time.perf_counter()
    small = documents.astype("int8")
    coded = time.perf_counter() - began
    per_document = small.nbytes / len(documents)
    exact = quality.row("exact MaxSim, tokens float16", documents.nbytes / len(documents), maxsim(queries, documents))
    rows = [Timed(exact, _median(lambda i: maxsim(queries[i : i + 1], documents), len(queries)), 0.0)]
    for name, compressor in (
        ("MUVERA without fill", default_fde(documents.dim)),
        ("Lemur 512", Lemur(dim=documents.dim, size=512)),
    ):
        began = time.perf_counter()
        fitted = compressor.fit(documents) if isinstance(compressor, Lemur) else compressor
        vectors = fitted.encode_documents(documents)
        seconds = time.perf_counter() - began + coded
        asked = fitted.encode_queries(queries)

        def ask(i: int, vectors: Any = vectors, asked: Any = asked) -> Any:
            best = np.argpartition(vectors @ asked[i], -CANDIDATES)[-CANDIDATES:]
            return best, maxsim(queries[i : i + 1], small.take(np.sort(best)))[0]

        scores = np.full((len(queries), len(documents)), -np.inf, np.float32)
        for i in range(len(queries)):
            best, ranked = ask(i)
            scores[i, np.sort(best)] = ranked
        size = per_document + 4 * vectors.shape[1]
        row = quality.row(f"{name}, then MaxSim of 100 in int8", size, scores)
        rows.append(Timed(row, _median(ask, len(queries)), seconds))
    return rows


def _median(ask: Callable[[int], object], queries: int) -> float:
    ask(0)
    seconds = []
    for i in range(min(TIMED, queries)):
        began = time.perf_counter()
        ask(i)
        seconds.append(time.perf_counter() - began)
    return 1000 * float(np.median(seconds))
