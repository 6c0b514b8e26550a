"""FDEs of documents and of queries beside everybody who makes them, on one thread and on all."""

from pathlib import Path

import numpy as np

from benchmarks.page.data import write_random
from benchmarks.page.part import Part, Table
from benchmarks.page.turns import Bench, Entry, take_turns

__all__ = ["measure"]

TEXTS = 64
TOKENS = 128
ROUNDS = {"documents": 7, "queries": 7}
SIZES = {"documents": f"{TOKENS}x128", "queries": "32x128"}
PEERS = {
    "fastembed": "fastembed",
    "muvera-python": "muvera_python",
    "muvera-fde": "muvera_fde",
    "muvfde": "muvfde",
}
SAID = (
    "20 repetitions, ksim 5, dproj 16: 10,240 numbers, of tokens of 128. fastembed and we project by a dense matrix of "
    "signs, those after Google's code by its sketch. All fill empty blocks of documents but the second row. Two others "
    "install and make no such vectors: muvera-rs 0.1 is a retriever that gives none, muvera 0.2 has one repetition."
)
NAMES = {"muvera-python": "muvera-python (Rust)", "muvera-fde": "muvera-fde (C++)", "muvfde": "muvfde (C++)"}


def measure(bench: Bench, room: Path) -> Part:
    """20 repetitions, ksim 5, dproj 16: 10,240 numbers a vector."""
    write_random(room, np.full(TEXTS, TOKENS), TEXTS)
    entries = [
        Entry("vectorplug", "fde:vectorplug", options={"fill": True}),
        Entry("vectorplug without fill, its default", "fde:vectorplug", options={"fill": False}),
        *(Entry(NAMES.get(peer, peer), f"fde:{function}", peer) for peer, function in PEERS.items()),
    ]
    tables, all_outcomes = [], []
    for threads in sorted({1, bench.threads}):
        outcomes = take_turns(bench.with_threads(threads), entries, room, ROUNDS)
        all_outcomes += outcomes
        said = "one thread" if threads == 1 else f"{threads} threads"
        for work in ROUNDS:
            title = f"FDE of {work} of {SIZES[work]}, {said}"
            tables.append(Table.of(f"fde-{work}-{threads}", title, TEXTS, work, outcomes, work))
    return Part.of("fde", bench, all_outcomes, tables=tables, said=SAID)
