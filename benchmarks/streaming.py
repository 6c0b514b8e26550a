"""A corpus larger than memory goes through `store.add`: what the writing process needs of it.

    python -m benchmarks.streaming [--only qdrant|weaviate] [--documents N]

Documents of 160 x 128 tokens and an FDE of 10,240 numbers (123 KB each: 100,000 are 12 GB) come from a generator, their
vectors from a vectorizer of seeded random numbers, which takes next to no memory and whose CPU is not counted. Qdrant,
which keeps them on its disk, takes 100,000; Weaviate 10,000, since it builds its graph while they come. Exit code 1
where the process needed 1.5 GB or more.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from vectorplug_qdrant import QdrantStore
from vectorplug_weaviate import WeaviateStore

from benchmarks.rounds import console
from benchmarks.servers import SERVERS, memory_of
from vectorplug.encoded import Encoded, Output
from vectorplug.multivectors import MultiVectors
from vectorplug.search import Store

TOKENS, DIM, FDE_SIZE = 160, 128, 10_240
DOCUMENTS = {"qdrant": 100_000, "weaviate": 10_000}
REPORTED = (1_000, 2_000, 5_000, 10_000, 50_000, 100_000)
MOST_MB = 1500
# What Linux takes for the peak of a process to begin anew.
FORGET_PEAK = "5"


class RandomVectorizer:
    """Seeded random vectors in place of a model's; `seconds` of CPU went into making them."""

    model = "random"
    fingerprint = "random:1"
    fde = None
    dims: Mapping[Output, int] = {"tokens": DIM, "fde": FDE_SIZE}

    def __init__(self) -> None:
        self.seconds = 0.0

    def encode_document(
        self, texts: Sequence[str], *, outputs: Sequence[Output], show_progress_bar: bool | None = None
    ) -> Encoded:
        assert set(outputs) == set(self.dims)
        assert show_progress_bar is False
        began = time.thread_time()
        rng = np.random.default_rng(int(texts[0]))
        tokens = rng.random((len(texts) * TOKENS, DIM), np.float32)
        fde = rng.random((len(texts), FDE_SIZE), np.float32)
        encoded = Encoded(MultiVectors(tokens, np.arange(len(texts) + 1) * TOKENS), fde)
        self.seconds += time.thread_time() - began
        return encoded

    def encode_query(
        self, texts: Sequence[str], *, outputs: Sequence[Output], show_progress_bar: bool | None = None
    ) -> Encoded:
        return self.encode_document(texts, outputs=outputs, show_progress_bar=show_progress_bar)


class Progress:
    """Texts for the store, and what it took to come so far."""

    def __init__(self, documents: int, vectorizer: RandomVectorizer) -> None:
        self._documents, self._vectorizer = documents, vectorizer
        self.rows: list[tuple[int, float, float, float]] = []

    def texts(self) -> Iterator[str]:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        for i in range(self._documents):
            if i in REPORTED:
                self.note(i)
            yield str(i)

    def note(self, documents: int) -> None:
        """(documents, documents a second, client CPU ms a document, MB at the most) until now."""
        wall = time.perf_counter() - self._wall
        cpu = time.process_time() - self._cpu - self._vectorizer.seconds
        row = (documents, documents / wall, 1000 * cpu / documents, memory_of(os.getpid()))
        console.print("{:>9,} documents: {:,.0f}/s, client CPU {:.2f} ms each, peak {:,.0f} MB".format(*row))
        self.rows.append(row)


def opened(database: str, url: str, vectorizer: RandomVectorizer) -> Store[Any]:
    if database == "qdrant":
        return QdrantStore(url, "stream", vectorizer=vectorizer, mode="fde+rerank", on_disk=True)
    return WeaviateStore(url, "stream", vectorizer=vectorizer, mode="fde+rerank")


def streamed(database: str, documents: int) -> list[tuple[int, float, float, float]]:
    vectorizer = RandomVectorizer()
    progress = Progress(documents, vectorizer)
    Path("/proc/self/clear_refs").write_text(FORGET_PEAK)
    with SERVERS[database]() as server:
        console.print(f"{database}:")
        with opened(database, server.url, vectorizer) as store:
            report = store.add(progress.texts(), ids=iter(range(documents)))
            progress.note(documents)
            assert report.added == store.count() == documents
        console.print(f"the server's own peak was {memory_of(server.pid):,.0f} MB")
    return progress.rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SERVERS, help="one database (default both)")
    parser.add_argument("--documents", type=int, help="default 100,000 into Qdrant, 10,000 into Weaviate")
    asked = parser.parse_args()
    table = Table(title=f"Documents of {TOKENS} x {DIM} + {FDE_SIZE:,}", title_justify="left", box=None)
    for column in ("database", "documents", "GB of vectors", "documents/s", "client CPU ms each", "peak MB"):
        table.add_column(column, justify="left" if column == "database" else "right")
    peak = 0.0
    for database in [asked.only] if asked.only else SERVERS:
        for documents, rate, cpu, memory in streamed(database, asked.documents or DOCUMENTS[database]):
            size = documents * 4 * (TOKENS * DIM + FDE_SIZE) / 1e9
            table.add_row(database, f"{documents:,}", f"{size:.1f}", f"{rate:,.0f}", f"{cpu:.2f}", f"{memory:,.0f}")
            peak = max(peak, memory)
    console.print(table)
    return 1 if peak >= MOST_MB else 0


if __name__ == "__main__":
    sys.exit(main())
