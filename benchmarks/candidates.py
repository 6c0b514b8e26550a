"""What a rerank by id costs as a memory-mapped store grows: `python -m benchmarks.candidates [FOLDER]`.

    10,000, 100,000 and 1,000,000 documents of 30 tokens of 128 numbers in int4: at most 2 GB in FOLDER for a while.

A query of 32 tokens asks for other documents, picked by chance over the whole store, at every call. "first" is a
mapping whose pages were not touched before (the file is in the system's cache), "later" one whose pages all were.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.table import Table

from benchmarks.rounds import console
from vectorplug import MultiVectors, maxsim

SIZES = (10_000, 100_000, 1_000_000)
TOKENS, DIM = 30, 128
CANDIDATES = (100, 1_000)
CALLS = 100
DOCUMENTS_A_WRITE = 10_000


def main(folder: str | None) -> None:
    """Median milliseconds a call, for each size and number of candidates, and times those of the smallest store."""
    table = Table("documents", "MB", "candidates", "first, ms", "times", "later, ms", "times", box=None)
    least: dict[int, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=folder) as room:
        for size in SIZES:
            path = Path(room) / "codes"
            _write(path, size)
            for count in CANDIDATES:
                # The scales are one number seen everywhere, so that only the codes are read from the file.
                values = np.memmap(path, np.uint8, mode="r").reshape(-1, DIM // 2)
                store = MultiVectors(values, TOKENS * np.arange(size + 1), np.full(len(values), 0.002, np.float32))
                first = _milliseconds(store, count, 1)
                values[:: 4096 // values.shape[1]].sum()  # a number of every page
                found = [first, _milliseconds(store, count, 2)]
                ratios = [now / then for now, then in zip(found, least.setdefault(count, found), strict=True)]
                cells = [f"{number:.2f}" for pair in zip(found, ratios, strict=True) for number in pair]
                table.add_row(f"{size:,}", f"{store.nbytes / 1e6:,.0f}", f"{count:,}", *cells)
            path.unlink()
    console.print(table)


def _write(path: Path, documents: int) -> None:
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for _ in range(0, documents, DOCUMENTS_A_WRITE):
            file.write(rng.bytes(DOCUMENTS_A_WRITE * TOKENS * DIM // 2))


def _milliseconds(store: MultiVectors, count: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    query = rng.standard_normal((32, DIM), dtype=np.float32)
    maxsim(query, store, candidates=[0])  # compiles
    taken = []
    for _ in range(CALLS):
        ids = rng.integers(len(store), size=count)
        started = time.perf_counter()
        maxsim(query, store, candidates=ids)
        taken.append(time.perf_counter() - started)
    return 1e3 * statistics.median(taken)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
