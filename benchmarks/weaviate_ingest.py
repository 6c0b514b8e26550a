"""What a document costs the client on its way into Weaviate: ours beside the client's own ways.

200 documents of 160 x 128 tokens and an FDE of 10,240 numbers go into a Weaviate whose vectors have no index
(`skip`), so that the wire is measured and not the graph; every way is tried in turn. `weaviate` has to be on PATH:

    python -m benchmarks.weaviate_ingest
"""

import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import weaviate
from rich.console import Console
from rich.table import Table
from vectorplug_weaviate import layout, payload
from vectorplug_weaviate.collection import WeaviateCollection
from vectorplug_weaviate.connection import Connection
from weaviate.classes.data import DataObject

from vectorplug.encoded import OUTPUTS, Encoded
from vectorplug.multivectors import MultiVectors
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.hits import Rows, row_of
from vectorplug.search.ingest import chunks_by_bytes

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from weaviate_server import weaviate_server

DOCUMENTS, TOKENS, DIM, FDE = 200, 160, 128, 10_240
ROUNDS = 5
CHUNK_BYTES = 16 * 2**20
console = Console(highlight=False)

Vectors = dict[str, Any]


def main() -> None:
    """Print CPU and wall milliseconds a document, and how many times ours each way takes."""
    rows = _rows()
    arrays = _vectors(rows)
    lists = _listed(arrays)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        weaviate_server(Path(folder), {}) as server,
        server.connect() as client,
    ):
        ways: dict[str, Callable[[str], object]] = {
            "vectorplug": lambda name: _ours(client, name, rows),
            "insert_many, lists made for it": lambda name: _insert_many(client, name, rows, _listed(arrays)),
            "insert_many, lists at hand": lambda name: _insert_many(client, name, rows, lists),
            "insert_many, NumPy": lambda name: _insert_many(client, name, rows, arrays),
            "batch.stream, NumPy": lambda name: _stream(client, name, rows, arrays),
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for turn in range(ROUNDS + 1):
            for name, way in ways.items():
                with NewCollection(client) as made:
                    cpu, wall = time.process_time(), time.perf_counter()
                    way(made.name)
                    measured = (time.process_time() - cpu, time.perf_counter() - wall)
                    assert len(client.collections.use(made.name)) == DOCUMENTS
                if turn:  # the first warms up
                    taken[name].append(measured)
    _print(taken)


class NewCollection:
    """A new collection for one way, gone afterwards."""

    def __init__(self, client: weaviate.WeaviateClient) -> None:
        self.name = f"B{uuid.uuid4().hex}"
        self._client = client
        info = CollectionInfo(dims={"tokens": DIM, "fde": FDE}, mode="fde+rerank")
        definition = layout.definition(self.name, info, {}, tenants=False)
        for vector in definition["vectorConfig"].values():
            vector["vectorIndexConfig"]["skip"] = True
        client.collections.create_from_dict(definition)

    def __enter__(self) -> "NewCollection":
        return self

    def __exit__(self, *error: object) -> None:
        self._client.collections.delete(self.name)


def _rows() -> Rows:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((DOCUMENTS * TOKENS, DIM), dtype=np.float32)
    tokens = MultiVectors(values, np.arange(DOCUMENTS + 1) * TOKENS)
    fde = rng.standard_normal((DOCUMENTS, FDE), dtype=np.float32)
    return Rows([row_of(i, "", {}) for i in range(DOCUMENTS)], Encoded(tokens, fde))


def _ours(client: weaviate.WeaviateClient, name: str, rows: Rows) -> None:
    collection = WeaviateCollection(Connection(client, owned=False), name, {}, tenant=None, consistency_level=None)
    for chunk in chunks_by_bytes(rows.encoded, CHUNK_BYTES):
        collection.upsert(Rows(rows.rows[chunk], rows.encoded[chunk]))


def _vectors(rows: Rows) -> list[Vectors]:
    assert rows.encoded.tokens is not None
    assert rows.encoded.fde is not None
    both = zip(rows.encoded.tokens, rows.encoded.fde, strict=True)
    return [{"tokens": tokens, "fde": fde} for tokens, fde in both]


def _listed(vectors: list[Vectors]) -> list[Vectors]:
    return [{name: vector.tolist() for name, vector in each.items()} for each in vectors]


def _insert_many(client: weaviate.WeaviateClient, name: str, rows: Rows, vectors: list[Vectors]) -> None:
    # The client puts its lists into the mapping that it is given.
    objects = [
        DataObject(payload.encode(row, OUTPUTS), row.key, dict(each))
        for row, each in zip(rows.rows, vectors, strict=True)
    ]
    for begin in range(0, DOCUMENTS, 100):
        assert not client.collections.use(name).data.insert_many(objects[begin : begin + 100]).errors


def _stream(client: weaviate.WeaviateClient, name: str, rows: Rows, vectors: list[Vectors]) -> None:
    with client.collections.use(name).batch.stream() as batch:
        for row, each in zip(rows.rows, vectors, strict=True):
            batch.add_object(payload.encode(row, OUTPUTS), uuid=row.key, vector=dict(each))


def _print(taken: dict[str, list[tuple[float, float]]]) -> None:
    medians = {
        name: tuple(1000 * statistics.median(column) / DOCUMENTS for column in zip(*turns, strict=True))
        for name, turns in taken.items()
    }
    cpu, wall = medians["vectorplug"]
    table = Table(title=f"{TOKENS} x {DIM} tokens and an FDE of {FDE:,}, a document", box=None, header_style="bold")
    for column in ("way", "client CPU ms", "times ours", "wall ms", "times ours"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for name, (its_cpu, its_wall) in medians.items():
        table.add_row(name, f"{its_cpu:.2f}", f"{its_cpu / cpu:.1f}", f"{its_wall:.2f}", f"{its_wall / wall:.1f}")
    console.print(table)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
