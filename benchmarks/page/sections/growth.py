"""What a search takes as documents, their tokens or the queries grow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.page.data import DIM, write_random
from benchmarks.page.part import Curve, Line, Part
from benchmarks.page.turns import Bench, Entry, Outcome, take_turns

__all__ = ["measure"]

DOCUMENTS = (1_000, 10_000, 100_000, 1_000_000)
# As float32 a million documents would be 15 GB, and as much again for whoever copies them.
LARGEST_FLOAT32 = 100_000
DOCUMENT_TOKENS = 30
TOKENS = (32, 64, 128, 256, 512)
QUERIES = (1, 2, 4, 8, 16, 32, 64)
OF_TOKENS = 1000
VECTOR = 512
CALLS = 20
ROUNDS = 5
AT_ONCE = 10_000


def measure(bench: Bench, room: Path) -> Part:
    """Synthetic documents: what is found is not asked here."""
    found = [measured(bench, room) for measured in (_documents, _tokens, _queries)]
    curves = [curve for curve, _ in found]
    return Part.of("growth", bench, [each for _, outcomes in found for each in outcomes], curves=curves)


def _documents(bench: Bench, room: Path) -> tuple[Curve, list[Outcome]]:
    room = room / "documents"
    room.mkdir()
    write_random(room, np.full(min(max(DOCUMENTS), LARGEST_FLOAT32), DOCUMENT_TOKENS), 1)
    _write_bytes(room / "codes.npy", np.uint8, (max(DOCUMENTS) * DOCUMENT_TOKENS, DIM // 2))
    _write_bytes(room / "vectors.npy", np.int8, (max(DOCUMENTS), VECTOR))
    sizes = _sizes((str(count), count, DOCUMENT_TOKENS) for count in DOCUMENTS)
    floats = _sizes(each for each in sizes["sizes"] if each[1] <= LARGEST_FLOAT32)
    there = [name for name, *_ in floats["sizes"]]
    entries = [
        Entry("vectorplug, exact, int4", "growth:exact", options={**sizes, "dtype": "int4"}),
        Entry("vectorplug, 100 by id, int4", "growth:rerank", options={**sizes, "calls": CALLS}, items=CALLS),
        Entry(f"vectorplug, {VECTOR} in int8, then 100", "growth:found_first", options=sizes),
        Entry("vectorplug, exact, float32", "growth:exact", options={**floats, "dtype": "float32"}, works=there),
        Entry("maxsim-cpu, float32", "growth:maxsim_cpu", "maxsim-cpu", floats, there),
        Entry("NumPy, float32", "growth:numpy", "numpy", floats, there),
    ]
    each = DOCUMENT_TOKENS * DIM // 2
    said = (
        f"A query of 32 tokens, documents of {DOCUMENT_TOKENS} tokens of {DIM} numbers: {each:,} bytes each in int4, "
        f"{8 * each:,} in float32, mapped from a file that the system's cache holds. *100 by id* are other documents "
        f"at every call, picked by chance over the whole store; *{VECTOR} in int8, then 100* scores one vector of "
        f"every document, then 100 by MaxSim. float32 ends at {LARGEST_FLOAT32:,} documents."
    )
    return _curve(bench, room, entries, "documents", "documents", DOCUMENTS, said)


def _tokens(bench: Bench, room: Path) -> tuple[Curve, list[Outcome]]:
    room = room / "tokens"
    room.mkdir()
    write_random(room, np.full(OF_TOKENS, max(TOKENS)), 1)
    sizes = _sizes((str(count), OF_TOKENS, count) for count in TOKENS)
    entries = [
        *(
            Entry(f"vectorplug {dtype}", "growth:exact", options={**sizes, "dtype": dtype})
            for dtype in ("float32", "bfloat16", "int8")
        ),
        Entry("maxsim-cpu, float32", "growth:maxsim_cpu", "maxsim-cpu", sizes),
        Entry("NumPy, float32", "growth:numpy", "numpy", sizes),
    ]
    said = f"A query of 32 tokens, {OF_TOKENS:,} documents, every one scored."
    return _curve(bench, room, entries, "tokens", "tokens a document", TOKENS, said)


def _queries(bench: Bench, room: Path) -> tuple[Curve, list[Outcome]]:
    room = room / "queries"
    room.mkdir()
    write_random(room, np.random.default_rng(0).integers(20, 301, OF_TOKENS), max(QUERIES))
    options = {"queries": QUERIES}
    entries = [
        *(
            Entry(f"vectorplug {dtype}", "maxsim:vectorplug", options={**options, "dtype": dtype})
            for dtype in ("float32", "bfloat16", "int8")
        ),
        Entry("maxsim-cpu, float32", "maxsim:maxsim_cpu", "maxsim-cpu", options),
        Entry("NumPy, float32", "maxsim:numpy", "numpy", options),
    ]
    said = f"{OF_TOKENS:,} documents of 20 to 300 tokens; queries of 32, in one call where a library has such a call."
    return _curve(bench, room, entries, "queries", "queries", QUERIES, said)


def _curve(
    bench: Bench, room: Path, entries: list[Entry], name: str, x: str, values: Sequence[int], said: str
) -> tuple[Curve, list[Outcome]]:
    works = [str(value) for value in values]
    outcomes = take_turns(bench, entries, room, dict.fromkeys(works, ROUNDS))
    lines = tuple(Line.of(each, works) for each in outcomes)
    return Curve(name=f"growth-{name}", title=f"Time by {x}", said=said, x=x, lines=lines), outcomes


def _sizes(sizes) -> dict[str, list[tuple[str, int, int]]]:
    return {"sizes": list(sizes)}


def _write_bytes(path: Path, dtype: type, shape: tuple[int, int]) -> None:
    """Random bytes as an array on the disk, some at a time."""
    rng = np.random.default_rng(0)
    held = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    for begin in range(0, shape[0], AT_ONCE):
        part = held[begin : begin + AT_ONCE]
        part[:] = np.frombuffer(rng.bytes(part.nbytes), dtype).reshape(part.shape)
    held.flush()
