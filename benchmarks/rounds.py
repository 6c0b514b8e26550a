"""Peers measured in turns, so that what else the machine does falls on all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table

console = Console(highlight=False)


def in_turns(methods: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each method over `rounds` turns; a first turn, not counted, compiles and warms up."""
    taken: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(rounds + 1):
        for name, method in methods.items():
            started = time.perf_counter()
            method()
            if turn:
                taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def print_ratios(title: str, seconds: Mapping[str, float], items: int, unit: str) -> None:
    """Every method beside the first, which is ours: how many times longer it takes."""
    ours = next(iter(seconds.values()))
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    table.add_column("method")
    table.add_column(f"{unit}/s", justify="right")
    table.add_column("times ours", justify="right")
    for name, taken in seconds.items():
        table.add_row(name, f"{items / taken:,.0f}", f"{taken / ours:.2f}")
    console.print(table, "")
