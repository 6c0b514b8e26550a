"""MaxSim: every peer in float32, torch in bfloat16, and every dtype by every kernel of ours that this CPU runs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.page.data import write_random
from benchmarks.page.methods.maxsim import RERANK
from benchmarks.page.part import Part, Table
from benchmarks.page.turns import Bench, Entry, Outcome, take_turns
from vectorplug.maxsim.choosing import supported_paths
from vectorplug.maxsim.kernels import KERNELS

__all__ = ["measure"]

DOCUMENTS = 1000
QUERIES = (1, 32)
ROUNDS = {"1": 15, "32": 5, RERANK: 31}
DTYPES = ("float32", "float16", "bfloat16", "int8", "int4")
PEERS = {
    "maxsim-cpu": "maxsim_cpu",
    "numpy": "numpy",
    "sentence-transformers": "sentence_transformers",
    "colbert-ai": "colbert_ai",
    "pylate": "pylate",
    "qdrant-client": "qdrant_client",
}
NAMES = {"numpy": "NumPy, product and reduceat", "qdrant-client": "qdrant-client, local mode, its ten best"}
SAID = (
    "Queries of 32 tokens of 128 numbers, 1,000 documents of 20 to 300 tokens. Everybody has the documents at hand in "
    "the form that they ask for: making it (PyLate's padding, Qdrant's collection) is not timed. *sgemm* is the "
    "product alone, without a maximum: what plain matrix multiplication leaves to be won."
)
DIFFERENCE = "largest difference of the ten best scores"


def measure(bench: Bench, room: Path) -> Part:
    """One query of 32 tokens and 32 of them against 1,000 documents of 20 to 300 tokens of 128 numbers."""
    write_random(room, np.random.default_rng(0).integers(20, 301, DOCUMENTS), max(QUERIES))
    outcomes = take_turns(bench, list(_entries()), room, ROUNDS, results=["best"])
    tables = [
        _table(f"{kind}-{queries}", title, queries, group)
        for kind, title, group in (
            ("float32", "MaxSim, float32", _of(outcomes, "float32", whole=False)),
            ("bfloat16", "MaxSim, bfloat16", _of(outcomes, "bfloat16", whole=False)),
            ("dtypes", "MaxSim by dtype and kernel", _of(outcomes, None, whole=True)),
        )
        for queries in QUERIES
    ]
    by_id = [each for each in outcomes if each.entry.takes_part(RERANK)]
    title = "MaxSim of 100 candidates, float32: ours by their ids, the peer with their tokens in a list"
    tables.append(Table.of("maxsim-rerank", title, 100, "documents", by_id, RERANK))
    return Part.of("maxsim", bench, outcomes, tables=tables, said=SAID)


def _entries() -> Iterator[Entry]:
    queries = {"queries": QUERIES}
    works = [*map(str, QUERIES), "best"]
    for dtype in DTYPES:
        paths = [path for path in supported_paths() if path != "plain" and (path, dtype) in KERNELS] or ["plain"]
        for path in paths:
            # One query of such documents takes another path.
            here = works if KERNELS[path, dtype].pieces == 1 else [str(max(QUERIES))]
            yield Entry(
                f"vectorplug {dtype}, {path}",
                "maxsim:vectorplug",
                options={**queries, "dtype": dtype},
                works=[*works, RERANK] if (dtype, path) == ("float32", paths[0]) else here,
                environment={"VECTORPLUG_MAXSIM": path},
            )
    for dtype in ("float32", "bfloat16"):
        name = f"torch {dtype}, product and segment_reduce"
        yield Entry(name, "maxsim:torch", "torch", {**queries, "dtype": dtype}, works)
    for peer, function in PEERS.items():
        ranks = [*works, RERANK] if peer == "maxsim-cpu" else works
        yield Entry(NAMES.get(peer, peer), f"maxsim:{function}", peer, queries, ranks)
    yield Entry("sgemm of the same size alone", "maxsim:product", "numpy", queries, works[:-1], rival=False)


def _of(outcomes: list[Outcome], dtype: str | None, *, whole: bool) -> list[Outcome]:
    """Ours of all dtypes, or of one its newest kernel with the peers of that dtype."""
    ours = [each for each in outcomes if each.entry.method == "maxsim:vectorplug"]
    if whole:
        return ours
    peers = [each for each in outcomes if each not in ours and each.entry.options.get("dtype", "float32") == dtype]
    return [next(each for each in ours if each.entry.options["dtype"] == dtype), *peers]


def _table(name: str, title: str, queries: int, outcomes: list[Outcome]) -> Table:
    asked = "one query" if queries == 1 else f"{queries} queries"
    table = Table.of(f"maxsim-{name}", f"{title}, {asked}", queries * DOCUMENTS, "documents", outcomes, str(queries))
    first = outcomes[0].results.get("best")
    best = {each.entry.name: each.results["best"] for each in outcomes if "best" in each.results}
    rows = [
        row.model_copy(update={"facts": {DIFFERENCE: float(np.abs(np.subtract(best[row.name], first)).max())}})
        if first and row.name in best
        else row
        for row in table.rows
    ]
    return table.model_copy(update={"rows": tuple(rows), "facts": (DIFFERENCE,), "compared": "dtypes" not in name})
