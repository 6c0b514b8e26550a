"""One model in a cache's books, and which of them should leave first."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from vectorplug.errors import ModelError, ModelLoadError, VectorplugError
from vectorplug.models.encoder import Encoder, Facts
from vectorplug.residency.costs import Activations

__all__ = ["Entry", "Failure", "State", "choose_victims", "worth"]


class State(StrEnum):
    """Where a model is. One thread at a time moves a model that is LOADING or LEAVING; the others wait for it."""

    ABSENT = "absent"
    LOADING = "loading"
    RESIDENT = "resident"
    LEAVING = "leaving"
    OFFLOADED = "offloaded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a load failed, without the exception: its traceback would keep the tensors of the load alive."""

    kind: type[VectorplugError]
    message: str
    until: float

    @classmethod
    def of(cls, name: str, error: BaseException, until: float) -> "Failure":
        """Errors of our own keep their class; any other is a ModelLoadError that names it."""
        if isinstance(error, ModelError):
            return cls(type(error), str(error), until)
        return cls(ModelLoadError, f"{name} cannot be loaded: {type(error).__name__}: {error}", until)

    def error(self, now: float | None = None) -> VectorplugError:
        """A new exception; with `now`, one that says for how long the load is not tried again."""
        wait = f" (not tried again for {max(self.until - now, 0):.0f} s)" if now is not None else ""
        return self.kind(self.message + wait)


@dataclass(slots=True, eq=False)
class Entry:
    """One model's line in the books; read and written under the cache's lock only. Bytes, seconds, and counts.

    `held` are the weights' bytes on the device, or what a load under way may take; `in_flight` the activations of
    its forward passes while it is leased (one pass runs at a time, so leases do not add up); `asked` what its next
    load asks for, once that is known.
    """

    name: str
    state: State = State.ABSENT
    model: Encoder | None = None
    facts: Facts | None = None
    activations: Activations | None = None
    failure: Failure | None = None
    leases: int = 0
    pinned: bool = False
    batch_tokens: int = 0
    held: int = 0
    in_flight: int = 0
    host: int = 0
    weights: int = 0
    asked: int | None = None
    last_used: float = 0.0
    load_seconds: float = 0.0
    swap_seconds: float = 0.0
    hits: int = 0
    loads: int = 0
    failures: int = 0
    swaps: int = 0
    evictions: int = 0

    @property
    def is_idle(self) -> bool:
        """Whether it may leave the device."""
        return self.state is State.RESIDENT and self.leases == 0 and not self.pinned

    @property
    def used(self) -> int:
        """Bytes of the device that are spoken for."""
        return self.held + self.in_flight


def worth(entry: Entry, now: float) -> float:
    """load_seconds x 1 / (1 + idle seconds) / bytes: seconds of reloading that each byte of it saves.

    `load_seconds` is measured. Of two models that are alike, the one used longer ago leaves first; a large model that
    loads fast leaves before a small one that loads slowly, though it was used a little later.
    """
    recency = 1 / (1 + max(now - entry.last_used, 0))
    return entry.load_seconds * recency / max(entry.weights, 1)


def choose_victims(idle: Iterable[Entry], missing: int, now: float, frees: Callable[[Entry], int]) -> list[Entry]:
    """The least worthy that free `missing` bytes together, and none that is not needed; nobody if all are too few."""
    chosen: list[Entry] = []
    freed = 0
    for entry in sorted(idle, key=lambda entry: worth(entry, now)):
        if freed >= missing:
            break
        chosen.append(entry)
        freed += frees(entry)
    if freed < missing:
        return []
    # A later, larger one may have made an earlier one needless: the worthiest of those stay.
    for entry in reversed(chosen[:]):
        if freed - frees(entry) >= missing:
            chosen.remove(entry)
            freed -= frees(entry)
    return chosen
