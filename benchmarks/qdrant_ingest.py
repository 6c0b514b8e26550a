"""Documents into a Qdrant server: client CPU and wall a document, four ways in turns, in one run.

python -m benchmarks.qdrant_ingest [DOCUMENTS]

The server is VECTORPLUG_TEST_QDRANT_URL's (gRPC one port above), or a `qdrant` program on PATH, started here.
"""

import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient, models
from rich.table import Table
from vectorplug_qdrant import QdrantStore

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from qdrant_server import RunningQdrant, qdrant_server

from benchmarks.rounds import console
from vectorplug.encoded import Encoded
from vectorplug.multivectors import MultiVectors

TOKENS, DIM, FDE_SIZE = 160, 128, 10_240
ROUNDS = 3
# Of one request: as many of these documents as REST takes (32 MiB) with some room.
AT_ONCE = 32
VECTORS = {
    "tokens": models.VectorParams(
        size=DIM,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        hnsw_config=models.HnswConfigDiff(m=0),
    ),
    "fde": models.VectorParams(size=FDE_SIZE, distance=models.Distance.DOT),
}
NO_INDEXING = models.OptimizersConfigDiff(indexing_threshold=0)


class Ways:
    """The same documents, each way that a client has, into a new collection that is not indexed meanwhile."""

    def __init__(self, running: RunningQdrant, count: int) -> None:
        rng = np.random.default_rng(0)
        tokens = rng.standard_normal((count * TOKENS, DIM), np.float32)
        self.encoded = Encoded(
            MultiVectors(tokens, np.arange(count + 1) * TOKENS), rng.standard_normal((count, FDE_SIZE), np.float32)
        )
        self.keys = [str(uuid.uuid4()) for _ in range(count)]
        self.url, self.count = f"{running.url}?grpc_port={running.grpc_port}", count
        options = {"grpc_port": running.grpc_port, "timeout": 600, "check_compatibility": False}
        self.rest = QdrantClient(running.url, **options)
        self.grpc = QdrantClient(running.url, prefer_grpc=True, **options)

    def new(self) -> str:
        name = f"bench-{uuid.uuid4().hex[:8]}"
        self.rest.create_collection(name, VECTORS, optimizers_config=NO_INDEXING)
        return name

    def by_lists(self, client: QdrantClient, name: str) -> None:
        for at in range(0, self.count, AT_ONCE):
            part = self.encoded[at : at + AT_ONCE]
            points = [
                models.PointStruct(id=key, vector={"tokens": tokens.tolist(), "fde": fde.tolist()}, payload={"n": at})
                for key, tokens, fde in zip(self.keys[at : at + AT_ONCE], part.tokens, part.fde, strict=True)
            ]
            client.upsert(name, points, wait=True)

    def by_arrays(self, name: str) -> None:
        vectors = (
            {"tokens": tokens, "fde": fde} for tokens, fde in zip(self.encoded.tokens, self.encoded.fde, strict=True)
        )
        payloads = ({"n": i} for i in range(self.count))
        self.grpc.upload_collection(name, vectors, payloads, ids=self.keys, batch_size=AT_ONCE, wait=True)

    def by_store(self, name: str) -> None:
        with QdrantStore.from_client(self.grpc, name) as store:
            store.add_encoded(self.encoded, ids=self.keys, payloads=[{"n": i} for i in range(self.count)])

    def made_by_store(self) -> str:
        name = f"bench-{uuid.uuid4().hex[:8]}"
        with QdrantStore(self.url, name, mode="fde+rerank") as store:
            store.add_encoded(self.encoded[:1], ids=self.keys[:1])
        self.rest.update_collection(name, optimizers_config=NO_INDEXING)
        return name


def measured(way: Callable[[str], None], name: str) -> tuple[float, float]:
    """Seconds of this process's CPU and of the clock."""
    wall, cpu = time.perf_counter(), time.process_time()
    way(name)
    return time.process_time() - cpu, time.perf_counter() - wall


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder, qdrant_server(Path(folder)) as running:
        ways = Ways(running, count)
        methods: dict[str, tuple[Callable[[str], None], Callable[[], str]]] = {
            "vectorplug's QdrantStore": (ways.by_store, ways.made_by_store),
            "upload_collection, arrays, gRPC": (ways.by_arrays, ways.new),
            "upsert, lists, gRPC": (lambda name: ways.by_lists(ways.grpc, name), ways.new),
            "upsert, lists, REST": (lambda name: ways.by_lists(ways.rest, name), ways.new),
        }
        taken: dict[str, list[tuple[float, float]]] = {method: [] for method in methods}
        for turn in range(ROUNDS + 1):  # the first warms up
            for method, (way, new) in methods.items():
                name = new()
                seconds = measured(way, name)
                assert ways.rest.count(name).count == count
                ways.rest.delete_collection(name)
                if turn:
                    taken[method].append(seconds)
        ways.rest.close()
        ways.grpc.close()
    show(taken, count)


def show(taken: dict[str, list[tuple[float, float]]], count: int) -> None:
    medians = {m: tuple(statistics.median(column) for column in zip(*turns, strict=True)) for m, turns in taken.items()}
    ours = next(iter(medians.values()))
    table = Table(title=f"{count} documents of {TOKENS}x{DIM} + {FDE_SIZE:,}", title_justify="left", box=None)
    for column in ("method", "client CPU ms", "times ours", "wall ms", "times ours"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for method, (cpu, wall) in medians.items():
        each = (
            f"{1000 * cpu / count:.2f}",
            f"{cpu / ours[0]:.1f}",
            f"{1000 * wall / count:.2f}",
            f"{wall / ours[1]:.1f}",
        )
        table.add_row(method, *each)
    console.print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
