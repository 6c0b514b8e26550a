"""Milliseconds a query: an engine's own parts, timed on this machine at a few sizes, and a model in between."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vectorplug.encoded import Encoded
from vectorplug.evaluation.tuning.storage import Storage
from vectorplug.evaluation.workload import Workload
from vectorplug.search import open_store
from vectorplug.search.modes import Mode
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["Line", "Sizes", "Speed", "needs_graph", "speed_of"]

MEGA = 1e6
# Where the embedded engine begins to build a graph; below, it scans.
GRAPH_BYTES = 256 * 2**20
EF_A_CANDIDATE, MIN_EF = 4, 128
REPEATS = 9


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is timed: scans of so many MB in vectors of `numbers`, and MaxSim of so many `candidates`."""

    numbers: int = 4096
    megabytes: tuple[float, ...] = (16, 48, 128)
    candidates: tuple[int, ...] = (50, 200, 500)
    graph_megabytes: float = 272


@dataclass(frozen=True, slots=True)
class Line:
    """ms = `fixed` + `slope` x what it is given."""

    fixed: float
    slope: float

    @classmethod
    def through(cls, x: Sequence[float], ms: Sequence[float]) -> "Line":
        """By least squares, nothing below zero."""
        if len(x) == 1:
            return cls(0.0, ms[0] / max(x[0], 1e-9))
        slope, fixed = np.polyfit(np.asarray(x, np.float64), np.asarray(ms, np.float64), 1)
        return cls(max(float(fixed), 0.0), max(float(slope), 0.0))

    def at(self, x: float) -> float:
        """Milliseconds."""
        return self.fixed + self.slope * x


@dataclass(frozen=True, slots=True)
class Speed:
    """`scan` of megabytes, `rerank` of thousands of document tokens, `graph` of ef x numbers x log2(documents) / 1e6.

    `graph` None: all is scanned. `basis` says in sentences what was timed.
    """

    scan: Line
    rerank: Line
    graph: Line | None
    basis: tuple[str, ...]

    def ms(self, numbers: int, number_bytes: float, documents: int, candidates: int, tokens: float) -> float:
        """Of a search among `documents` vectors of so many `numbers`, then MaxSim of `candidates` with `tokens` each.

        The cheaper of graph and scan where there is a graph: that is what the engine is built to choose.
        """
        find = self.scan.at(documents * numbers * number_bytes / MEGA)
        if self.graph is not None and needs_graph(documents, numbers):
            ef = max(MIN_EF, EF_A_CANDIDATE * candidates)
            find = min(find, self.graph.at(_hops(ef, numbers, documents)))
        return find + self.rerank.at(candidates * tokens / 1000)


def needs_graph(documents: int, numbers: int) -> bool:
    """Whether the embedded engine builds one for so many float32 vectors."""
    return documents * numbers * 4 >= GRAPH_BYTES


def speed_of(
    workload: Workload,
    vectorizer: TextVectorizer,
    storage: Storage,
    *,
    graph: bool,
    sizes: Sizes | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Speed:
    """Time scans and MaxSim, with `graph` searches in a graph, too, in a store in a temporary folder.

    It is the embedded Qdrant where that is installed and `storage` is Qdrant, else the plain store in memory. Vectors
    that are only found are random numbers, since they cost what others do; tokens are the workload's.
    """
    sizes = sizes or Sizes()
    embedded = storage.name == "Qdrant" and find_spec("qdrant_edge") is not None
    engine = "Qdrant's engine in this process" if embedded else "the plain store in memory"
    with tempfile.TemporaryDirectory(prefix="vectorplug-tune-") as folder:

        def timed(name: str, encoded: Encoded, mode: Mode, queries: Encoded, counts: Sequence[int]) -> list[float]:
            # A folder each, so that one is closed before the next is made.
            url = f"edge:{Path(folder) / name}" if embedded else "memory:"
            outputs = [kind for kind, _ in encoded.vectors()]
            with open_store(url, collection=name, vectorizer=vectorizer, mode=mode, outputs=outputs) as store:
                ids = [str(i) for i in range(len(encoded))]
                store.add_encoded(encoded, ids=ids).raise_failed()
                found = [_median(store, queries, mode, count) for count in counts]
            progress()
            return found

        scan = _scan(timed, sizes)
        rerank, tokens = _rerank(timed, workload, sizes, scan)
        basis = [
            f"finding: scans of {', '.join(f'{size:g}' for size in sizes.megabytes)} MB in {engine} on this machine, "
            f"linear in bytes: {scan.fixed:.2f} ms + {scan.slope:.3f} ms a MB",
            f"ranking again: MaxSim of {', '.join(map(str, tokens))} thousand document tokens there, linear: "
            f"{rerank.slope:.3f} ms a thousand",
        ]
        walked = None
        if graph and embedded:
            walked = _graph(timed, sizes)
            basis.append(
                f"finding in more than {GRAPH_BYTES / 2**20:.0f} MB: a graph of {sizes.graph_megabytes:g} MB there, "
                "linear in ef x numbers x log(documents); what the graph misses is not in the recall"
            )
    return Speed(scan, rerank, walked, tuple(basis))


Timed = Callable[[str, Encoded, Mode, Encoded, Sequence[int]], list[float]]


def _scan(timed: Timed, sizes: Sizes) -> Line:
    rng = np.random.default_rng(0)
    queries = Encoded(fde=rng.standard_normal((REPEATS, sizes.numbers), np.float32))
    ms, megabytes = [], []
    for i, size in enumerate(sizes.megabytes):
        count = max(20, int(size * MEGA / 4 / sizes.numbers))
        megabytes.append(4 * count * sizes.numbers / MEGA)
        documents = Encoded(fde=rng.standard_normal((count, sizes.numbers), np.float32))
        ms += timed(f"scan{i}", documents, "fde", queries, [10])
    return Line.through(megabytes, ms)


def _rerank(timed: Timed, workload: Workload, sizes: Sizes, scan: Line) -> tuple[Line, list[float]]:
    """The line, and at how many thousand tokens it was measured."""
    tokens, asked = workload.documents.tokens, workload.queries.tokens
    assert tokens is not None
    assert asked is not None
    counts = sorted({min(count, len(tokens)) for count in sizes.candidates})
    most, numbers = counts[-1], 16
    rng = np.random.default_rng(0)
    drawn = np.sort(rng.permutation(len(tokens))[:most])
    documents = Encoded(tokens=tokens.take(drawn), fde=rng.standard_normal((most, numbers), np.float32))
    some = np.linspace(0, len(asked) - 1, min(REPEATS, len(asked))).astype(np.int64)
    queries = Encoded(tokens=asked.take(some), fde=rng.standard_normal((len(some), numbers), np.float32))
    ms = timed("rerank", documents, "fde+rerank", queries, counts)
    assert documents.tokens is not None
    thousands = [count * float(documents.tokens.lengths.mean()) / 1000 for count in counts]
    line = Line.through(thousands, [max(0.0, each - scan.fixed) for each in ms])
    return line, [round(each, 1) for each in thousands]


def _graph(timed: Timed, sizes: Sizes) -> Line:
    rng = np.random.default_rng(0)
    count = -(-int(sizes.graph_megabytes * 2**20) // (4 * sizes.numbers))
    documents = Encoded(fde=rng.standard_normal((count, sizes.numbers), np.float32))
    queries = Encoded(fde=rng.standard_normal((REPEATS, sizes.numbers), np.float32))
    limits = [max(32, int(count * share)) for share in (0.002, 0.02)]
    ms = timed("graph", documents, "fde", queries, limits)
    hops = [_hops(max(MIN_EF, EF_A_CANDIDATE * limit), sizes.numbers, count) for limit in limits]
    return Line.through(hops, ms)


def _hops(ef: int, numbers: int, documents: int) -> float:
    return ef * numbers * float(np.log2(max(documents, 2))) / MEGA


def _median(store: Any, queries: Encoded, mode: Mode, count: int) -> float:
    """Milliseconds of a search for ten, or of `count` found; the first is not timed."""
    options = {"limit": min(10, count), "candidates": count} if mode.endswith("rerank") else {"limit": count}
    seconds: list[float] = []
    store.search_encoded(queries[:1], mode=mode, **options)
    for i in range(len(queries)):
        begin = time.perf_counter()
        store.search_encoded(queries[i : i + 1], mode=mode, **options)
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds)) * 1000
