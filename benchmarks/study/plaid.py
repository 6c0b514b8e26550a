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
import numpy.typing as npt

from benchmarks.study.quality import Quality, Row
from vectorplug import MultiVectors, maxsim
from vectorplug.codes import FdeCodes
from vectorplug.compressor import Compressor
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
    """Exact MaxSim by our kernel, and one vector in float32 or int8 with a rerank of 100 by small tokens, in memory."""
    documents, queries = quality.workload.documents.tokens, quality.workload.queries.tokens
    assert documents is not None
    assert queries is not None
    exact = quality.row("exact MaxSim, tokens float16", documents.nbytes / len(documents), maxsim(queries, documents))
    rows = [Timed(exact, _median(lambda i: maxsim(queries[i : i + 1], documents), len(queries)), 0.0)]
    muvera, lemur = default_fde(documents.dim), Lemur(dim=documents.dim, size=512)
    made = [_made(muvera, documents), _made(lemur, documents)]
    for name, (fitted, vectors, seconds), vector_bytes, dtype in (
        ("MUVERA without fill", made[0], 4, "int8"),
        ("Lemur 512", made[1], 4, "int8"),
        ("Lemur 512 in int8", made[1], 1, "int4"),
    ):
        began = time.perf_counter()
        small = documents.astype(dtype)  # type: ignore[arg-type]
        if vector_bytes == 1:
            vectors = FdeCodes.of(vectors, "int8").decode()
        coded = time.perf_counter() - began

        def ask(i: int, fitted: Compressor = fitted, vectors: Any = vectors, small: MultiVectors = small) -> Any:
            query = queries[i : i + 1]
            best = np.sort(np.argpartition(vectors @ fitted.encode_queries(query)[0], -CANDIDATES)[-CANDIDATES:])
            return best, maxsim(query, small, candidates=best)[0]

        scores = np.full((len(queries), len(documents)), -np.inf, np.float32)
        for i in range(len(queries)):
            best, ranked = ask(i)
            scores[i, best] = ranked
        size = small.nbytes / len(documents) + vector_bytes * vectors.shape[1]
        row = quality.row(f"{name}, MaxSim of 100 in {dtype}", size, scores)
        rows.append(Timed(row, _median(ask, len(queries)), seconds + coded))
    return rows


def _made(compressor: Compressor, documents: MultiVectors) -> tuple[Compressor, npt.NDArray[np.float32], float]:
    """What makes queries' vectors, the documents' vectors, and the seconds that fit and vectors took."""
    began = time.perf_counter()
    fitted = compressor.fit(documents) if isinstance(compressor, Lemur) else compressor
    return fitted, fitted.encode_documents(documents), time.perf_counter() - began


def _median(ask: Callable[[int], object], queries: int) -> float:
    ask(0)
    seconds = []
    for i in range(min(TIMED, queries)):
        began = time.perf_counter()
        ask(i)
        seconds.append(time.perf_counter() - began)
    return 1000 * float(np.median(seconds))
