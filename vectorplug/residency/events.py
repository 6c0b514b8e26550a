"""What a cache tells: an event when something moves, and the state of everything when asked."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vectorplug.residency.memory import Reading

__all__ = ["CacheStats", "Event", "EventKind", "ModelStats"]

EventKind = Literal["loaded", "restored", "load failed", "offloaded", "dropped", "out of memory"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to one model. `seconds` it took and `bytes` it moved or freed; 0 where that means nothing.

    loaded       from disk, onto the device
    restored     from host memory, onto the device
    load failed  `detail` says why; it is not tried again for the cool-down
    offloaded    from the device to host memory
    dropped      from the device or from host memory: the next use loads it from disk
    out of memory  a forward pass or a load ran out; `detail` says what is done about it
    """

    kind: EventKind
    model: str
    bytes: int = 0
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ModelStats:
    """One model. Bytes are those accounted for; `swap_ms` are the milliseconds of its last way back from the host."""

    model: str
    state: str
    leases: int
    pinned: bool
    device_bytes: int
    host_bytes: int
    activation_bytes_per_token: int
    hits: int
    loads: int
    swaps: int
    evictions: int
    load_seconds: float
    swap_ms: float
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class CacheStats:
    """A cache at one moment; `as_dict` is ready for JSON.

    `used_bytes` is what the accounting holds of `budget_bytes`: weights, loads under way and the activations of leased
    models. `device` is what the system says of the same device, other processes' share apart.
    `hits`: leases of a model that was resident; `swap_ms`: the last way back of any model from the host.
    """

    budget_bytes: int
    used_bytes: int
    host_budget_bytes: int
    host_bytes: int
    device: Reading
    models: tuple[ModelStats, ...]
    hits: int
    loads: int
    failures: int
    evictions: int
    swaps: int
    swap_ms: float

    def _names(self, wanted: Callable[[ModelStats], bool]) -> tuple[str, ...]:
        return tuple(model.model for model in self.models if wanted(model))

    @property
    def resident(self) -> tuple[str, ...]:
        """Models on the device, ready to run."""
        return self._names(lambda model: model.state == "resident")

    @property
    def leased(self) -> tuple[str, ...]:
        """Models in use."""
        return self._names(lambda model: model.leases > 0)

    @property
    def pinned(self) -> tuple[str, ...]:
        """Models that stay until they are unpinned."""
        return self._names(lambda model: model.pinned)

    @property
    def offloaded(self) -> tuple[str, ...]:
        """Models of the host tier."""
        return self._names(lambda model: model.state == "offloaded")

    def as_dict(self) -> dict[str, Any]:
        """Every field and the four lists, of plain types."""
        lists = {name: list(getattr(self, name)) for name in ("resident", "leased", "pinned", "offloaded")}
        return {**asdict(self), "models": [asdict(model) for model in self.models], **lists}
