"""Milliseconds and bytes of single pieces of work, from which the cost sheet is reckoned."""

from pathlib import Path

import numpy as np

from benchmarks.page.data import write_random
from benchmarks.page.methods.cost import WORKS
from benchmarks.page.part import Part
from benchmarks.page.turns import Bench, Entry, take_turns

__all__ = ["TOKENS", "measure"]

DOCUMENTS = 3000
TOKENS = 160
ROUNDS = 7


def measure(bench: Bench, room: Path) -> Part:
    """Of documents of 160 tokens of 128 numbers and a query of 32: `costs` in milliseconds, or bytes, of one each."""
    write_random(room, np.full(DOCUMENTS, TOKENS), 1)
    entry = Entry("vectorplug, single pieces of work", "cost:vectorplug")
    (outcome,) = take_turns(bench, [entry], room, dict.fromkeys(WORKS, ROUNDS))
    if outcome.missing:
        return Part.of("cost", bench, [outcome], said=f"Not measured: {outcome.missing}.")
    items, costs = outcome.facts["items"], {}
    for work, seconds in outcome.seconds.items():
        costs[work] = 1000 * float(np.median(seconds)) / items[work]
    return Part.of("cost", bench, [outcome], costs=costs | outcome.facts["bytes"])
