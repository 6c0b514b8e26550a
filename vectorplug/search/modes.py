"""How a collection is searched: which vectors find the candidates and which rank them."""

from dataclasses import dataclass
from typing import Literal, get_args

from vectorplug.encoded import Output
from vectorplug.errors import ConfigurationError

__all__ = ["MODES", "VECTOR_MODES", "Mode", "Plan", "default_candidates", "plan_of"]

Mode = Literal["native", "fde", "fde+rerank", "dense", "dense+rerank", "hybrid", "hybrid+rerank"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class Plan:
    """`find` names the vectors that find; `rerank`, where not None, those whose exact MaxSim ranks the candidates.

    With `words` documents are found by BM25 of their text, too, and the database fuses both rankings.
    """

    find: Output
    rerank: Literal["tokens"] | None
    words: bool = False

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The vectors that such a search needs, of documents and of the query."""
        return (self.find,) if self.rerank is None else (self.rerank, self.find)


_plans: dict[str, Plan] = {
    "native": Plan("tokens", None),
    "fde": Plan("fde", None),
    "fde+rerank": Plan("fde", "tokens"),
    "dense": Plan("dense", None),
    "dense+rerank": Plan("dense", "tokens"),
    "hybrid": Plan("fde", None, words=True),
    "hybrid+rerank": Plan("fde", "tokens", words=True),
}
# Those that any store has; the others need a database that keeps an index of words.
VECTOR_MODES: tuple[Mode, ...] = tuple(mode for mode in MODES if not _plans[mode].words)


def plan_of(mode: str) -> Plan:
    """The plan of a mode; ConfigurationError for an unknown one."""
    if mode not in _plans:
        raise ConfigurationError(f"mode {mode!r} is not one of {', '.join(MODES)}.")
    return _plans[mode]


def default_candidates(limit: int, stored: int | None = None) -> int:
    """How many candidates are ranked by exact MaxSim where the caller does not say: 10 a hit, at least 100.

    `stored` is what the collection says, no less than `limit`.
    """
    return max(100, 10 * limit) if stored is None else max(stored, limit)
