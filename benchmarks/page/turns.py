"""Processes that take turns, so that what else the machine does falls on all of them alike."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page.asking import Child, ChildError
from benchmarks.page.peers import OURS, install, packages
from benchmarks.rounds import console

__all__ = ["Bench", "Entry", "Outcome", "take_turns"]

METHODS = "benchmarks.page.methods"
# Seconds for an answer: an index or a compiled extension takes minutes, a turn does not.
PREPARING, TURN = 300.0, 90.0
# Threads of OpenMP and OpenBLAS wait for their next work by spinning, some hundredths of a second; then it is quiet.
SETTLE = 0.05


@dataclass(frozen=True)
class Bench:
    """How everything is run: `interpreters` by peer (others run in ours), `threads` for everybody.

    `collection` is a folder in BEIR's layout.
    """

    interpreters: Mapping[str, str]
    threads: int
    collection: Path

    def with_threads(self, threads: int) -> "Bench":
        return replace(self, threads=threads)


@dataclass(frozen=True)
class Entry:
    """A row: `method` is MODULE:FUNCTION of benchmarks.page.methods, which gets the `options`; `peer` whose it is.

    With `works` it takes part in these only. A turn does `items` pieces of work, of which one is told. A `rival` does
    the same work as the first of its table.
    """

    name: str
    method: str
    peer: str = OURS
    options: Mapping[str, Any] = field(default_factory=dict)
    works: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    items: int = 1
    rival: bool = True

    def takes_part(self, work: str) -> bool:
        return self.works is None or work in self.works


@dataclass
class Outcome:
    """What an entry came to: seconds by work, or why it is missing."""

    entry: Entry
    seconds: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    peak_mb: float | None = None
    missing: str | None = None


def take_turns(
    bench: Bench, entries: Sequence[Entry], folder: Path, rounds: Mapping[str, int], results: Sequence[str] = ()
) -> list[Outcome]:
    """Every entry in a process of its own; for each work a turn that is not counted, then so many `rounds`.

    Of the works in `results` what they give is kept, once and untimed. The order within a round is shuffled, by a
    fixed seed.
    """
    outcomes = [Outcome(entry) for entry in entries]
    children: dict[int, Child] = {}
    rng = np.random.default_rng(0)

    def ask(i: int, limit: float, **request: Any) -> Any:
        return children[i].ask(request, limit)

    def taking_part(work: str) -> list[int]:
        there = [i for i, each in enumerate(outcomes) if not each.missing and each.entry.takes_part(work)]
        return [there[k] for k in rng.permutation(len(there))]

    try:
        for i, outcome in enumerate(outcomes):
            entry, began = outcome.entry, time.monotonic()
            with _telling(outcome):
                python = bench.interpreters.get(entry.peer, sys.executable)
                children[i] = Child(python, bench.threads, entry.environment)
                method, asked = f"{METHODS}.{entry.method}", dict(entry.options)
                said = ask(
                    i,
                    PREPARING,
                    do="prepare",
                    method=method,
                    folder=str(folder),
                    options=asked,
                    packages=packages(entry.peer),
                )
                outcome.facts, outcome.versions = said["facts"], said["versions"]
                console.print(f"  {entry.name}: ready in {time.monotonic() - began:.0f} s", style="dim")
        for work, count in rounds.items():
            began = time.monotonic()
            for turn in range(count + 1):
                for i in taking_part(work):
                    with _telling(outcomes[i]):
                        time.sleep(SETTLE)
                        seconds = ask(i, TURN, do="turn", work=work)["seconds"]
                        if turn:
                            outcomes[i].seconds.setdefault(work, []).append(seconds / outcomes[i].entry.items)
            console.print(f"  {work}: {count} rounds in {time.monotonic() - began:.0f} s", style="dim")
        for work in results:
            for i in sorted(taking_part(work)):
                with _telling(outcomes[i]):
                    outcomes[i].results[work] = ask(i, PREPARING, do="result", work=work)["result"]
        for i, outcome in enumerate(outcomes):
            if not outcome.missing:
                with _telling(outcome):
                    outcome.peak_mb = ask(i, TURN, do="peak")["peak_mb"]
    finally:
        for child in children.values():
            child.close()
    return outcomes


@contextmanager
def _telling(outcome: Outcome) -> Iterator[None]:
    """A child that breaks is a row that says so, and has no other figures."""
    try:
        yield
    except ChildError as broken:
        said = str(broken)
        absent = "ModuleNotFoundError" in said or "PackageNotFoundError" in said
        outcome.missing = f"missing: {install(outcome.entry.peer)}" if absent else said
        outcome.seconds.clear()
        console.print(f"  {outcome.entry.name}: {outcome.missing}", style="yellow", markup=False)
