"""Which configs no other beats, and the one to take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vectorplug.errors import ConfigurationError

__all__ = ["Budget", "Option", "chosen", "pareto"]

# Differences below these are those of another sample of queries, or of another run.
RECALL_STEP = 0.005
COST_STEP = 1.05


@dataclass(frozen=True, slots=True)
class Budget:
    """`recall` from 0 to 1, the least; `bytes` a document and `ms` a query, the most, None for any."""

    recall: float = 0.95
    bytes: float | None = None
    ms: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise ConfigurationError(f"the target recall is {self.recall:g}, expected a share above 0, at most 1.")
        for name, value in (("bytes", self.bytes), ("ms", self.ms)):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ConfigurationError(f"the budget of {name} is {value:g}, expected more than 0.")


@dataclass(frozen=True, slots=True)
class Option:
    """One config by its number, and what it gives and costs."""

    number: int
    recall: float
    bytes: float
    ms: float


def pareto(options: Sequence[Option]) -> list[Option]:
    """Those that no other beats in recall, bytes and milliseconds, small ones first.

    Differences of less than half a hundredth of recall, or of 5 % of a cost, count as none: of such neighbours the
    first by (bytes x ms) stays.
    """
    cells: dict[tuple[int, int, int], Option] = {}
    for option in sorted(options, key=_cost):
        cells.setdefault(_cell(option), option)
    kept = [
        option for cell, option in cells.items() if not any(other != cell and _beats(other, cell) for other in cells)
    ]
    return sorted(kept, key=lambda option: (option.bytes, option.ms))


def chosen(options: Sequence[Option], budget: Budget) -> tuple[Option, str | None]:
    """The option to take, and what gives way for it: None, "recall", "ms", "bytes" or "bytes and ms".

    Of those that keep target and budgets the one with the least bytes x ms: a tenth fewer bytes are worth a tenth more
    milliseconds. Where none keeps all, budgets go before the target: the best recall that they allow. Where no option
    keeps the budgets, the one that exceeds them least, by the product of the factors.
    """
    affordable = [option for option in options if _excess(option, budget) == 1]
    good = [option for option in affordable if option.recall >= budget.recall]
    if good:
        return min(good, key=_cost), None
    if affordable:
        return max(affordable, key=lambda option: (round(option.recall / RECALL_STEP), -_cost(option))), "recall"
    nearest = min(options, key=lambda option: (_excess(option, budget), -option.recall))
    broken = [
        name
        for name, value, most in (("bytes", nearest.bytes, budget.bytes), ("ms", nearest.ms, budget.ms))
        if most is not None and value > most
    ]
    return nearest, " and ".join(broken)


def _cost(option: Option) -> float:
    return option.bytes * option.ms


def _excess(option: Option, budget: Budget) -> float:
    over = 1.0
    for value, most in ((option.bytes, budget.bytes), (option.ms, budget.ms)):
        if most is not None:
            over *= max(1.0, value / most)
    return over


def _cell(option: Option) -> tuple[int, int, int]:
    costs = (int(math.log(max(value, 1e-9)) / math.log(COST_STEP)) for value in (option.bytes, option.ms))
    size, time = costs
    return round(option.recall / RECALL_STEP), size, time


def _beats(first: tuple[int, int, int], second: tuple[int, int, int]) -> bool:
    return first[0] >= second[0] and first[1] <= second[1] and first[2] <= second[2]
