"""Many models, one device: the ones in use are in memory, the others wait in host memory or on disk."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from vectorplug.errors import ConfigurationError, ModelError
from vectorplug.models.encoder import Encoder, Facts
from vectorplug.residency.books import Books
from vectorplug.residency.entry import Entry, State
from vectorplug.residency.events import CacheStats, Event, ModelStats
from vectorplug.residency.idle import watch_idle
from vectorplug.residency.loader import EncoderLoader, Loader
from vectorplug.residency.memory import CpuMemory, DeviceMemory, budget_bytes, memory_of
from vectorplug.residency.mover import Mover
from vectorplug.settings import settings

__all__ = ["ModelCache"]

# How long a lease waits for memory where nobody says; a load itself may take longer.
ROOM_SECONDS = 60.0
# How long a model whose load failed is not tried again.
COOL_DOWN_SECONDS = 30.0


class ModelCache:
    """Models by name on one device, within `budget` bytes: loaded once, leased to any number of threads, evicted.

    budget       bytes, or a percent of the device ("80%"); None is VECTORPLUG_MEMORY_BUDGET. The size of a CPU is the
                 process's limit (cgroup), else the machine's memory
    host_budget  bytes or a percent of the host's memory for the weights of evicted models, from where they come back
                 by a copy. None is VECTORPLUG_HOST_BUDGET, else half of the host for a GPU, and nothing for a CPU:
                 there this tier is the same memory, so that it saves the way to the disk and no byte. Two models
                 that change places are both in it for a moment
    device, dtype  as for Vectorizer, the same for every model
    idle_ttl     seconds after which a model that nobody used is evicted; None is never
    on_event     called with each `Event` by the thread that caused it, without a lock; what it raises is logged. It
                 may call `stats`; leasing a model belongs into another thread
    loader, memory, clock  what the cache loads with, measures and tells the time by

    What a model takes is measured: its weights when they are loaded (before, the headers of its files are read),
    its activations a token by its own forward passes, the first of which runs right after the load. These figures
    live as long as the process: measuring them again costs one short pass. Victims are those of least
    load seconds x recency / bytes. Thread-safe; no lock is held while a model loads or moves, so `stats` always
    answers. For asyncio, use it in threads. Raises ConfigurationError.
    """

    def __init__(
        self,
        *,
        budget: int | str | None = None,
        host_budget: int | str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        idle_ttl: float | None = None,
        on_event: Callable[[Event], object] | None = None,
        loader: Loader | None = None,
        memory: DeviceMemory | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if idle_ttl is not None and idle_ttl <= 0:
            raise ConfigurationError(f"idle_ttl is {idle_ttl}, expected seconds above 0, or None for never.")
        loader = loader or EncoderLoader(device=device, dtype=dtype)
        memory = memory or memory_of(loader.device)
        bytes_, host_bytes = _budgets(budget, host_budget, memory)
        self.device = loader.device
        self._loader = loader
        self._memory = memory
        self._idle_ttl = idle_ttl
        self._books = Books(clock, on_event)
        self._mover = Mover(
            loader, memory, self._books, budget=bytes_, host_budget=host_bytes, cool_down=COOL_DOWN_SECONDS
        )
        self._is_closed = False
        if idle_ttl is not None:
            self._watching = watch_idle(self, idle_ttl)

    @contextmanager
    def lease(self, name: str, *, timeout: float = ROOM_SECONDS) -> Iterator[Encoder]:
        """The model, which stays on the device until the block ends; loaded first where it is not there.

        Waits for another thread's load of it, and up to `timeout` seconds for memory that leases hold. Raises
        OutOfMemoryError (who holds what), ModelNotFoundError, ModelLoadError (the same one, without another try, for
        30 seconds after a load that failed), or ModelError once the cache is closed.
        """
        entry = self._entry(name)
        model = self._take(entry, time.monotonic() + timeout)
        try:
            yield model
        finally:
            self._give_back(entry)

    def preload(self, name: str) -> None:
        """Load the model now, so that the first lease finds it; raises as `lease`."""
        with self.lease(name):
            pass

    def pin(self, name: str) -> None:
        """Load the model where it is not there, and keep it on the device until `unpin`; raises as `lease`."""
        entry = self._entry(name)
        with self.lease(name), self._books.locked():
            entry.pinned = not self._is_closed

    def unpin(self, name: str) -> None:
        """Let the model be evicted again; nothing happens to one that is not pinned."""
        with self._books.locked():
            if (entry := self._books.entries.get(self._loader.canonical(name))) is not None:
                entry.pinned = False
                self._books.notify()

    def evict(self, name: str) -> bool:
        """One step down: from the device to the host tier where its budget allows, from there, or else, to disk.

        True if the model moved, False if it was in no memory. ModelError where it is leased, pinned or on its way.
        """
        key = self._loader.canonical(name)
        with self._books.locked():
            entry = self._books.entries.get(key)
            if entry is None or entry.state in (State.ABSENT, State.FAILED):
                return False
            if entry.state is not State.OFFLOADED and not entry.is_idle:
                raise ModelError(
                    f"{key} cannot be evicted: it is {entry.state}, leased {entry.leases} times"
                    f"{' and pinned' if entry.pinned else ''}. Wait for its leases to end, or unpin it."
                )
            self._mover.evict([entry])
            return True

    def evict_idle(self) -> int:
        """Evict what was idle for `idle_ttl` seconds, and say how many models that were.

        With idle_ttl one daemon thread does this for all models: were it left to the next call, the memory of a
        cache that nobody calls any more would never be free.
        """
        if self._idle_ttl is None:
            return 0
        with self._books.locked():
            latest = self._books.clock() - self._idle_ttl
            idle = [entry for entry in self._books.entries.values() if entry.is_idle and entry.last_used <= latest]
            self._mover.evict(idle)
            return len(idle)

    def facts(self, name: str) -> Facts:
        """Dims and fingerprint of a model; it is loaded only if this cache never had it."""
        entry = self._entry(name)
        with self._books.locked():
            if entry.facts is not None:
                return entry.facts
        with self.lease(name) as model:
            return model.facts

    def stats(self) -> CacheStats:
        """Everything at this moment; never waits for a load or a copy."""
        device = self._memory.read()
        with self._books.locked():
            now = self._books.clock()
            entries = list(self._books.entries.values())
            return CacheStats(
                budget_bytes=self._mover.room.budget,
                used_bytes=self._mover.room.used,
                host_budget_bytes=self._mover.host_budget,
                host_bytes=sum(entry.host for entry in entries),
                device=device,
                models=tuple(_model_stats(entry, now) for entry in entries),
                hits=sum(entry.hits for entry in entries),
                loads=sum(entry.loads for entry in entries),
                failures=sum(entry.failures for entry in entries),
                evictions=sum(entry.evictions for entry in entries),
                swaps=sum(entry.swaps for entry in entries),
                swap_ms=self._mover.last_swap_seconds * 1000,
            )

    def close(self) -> None:
        """Drop every model. What is leased stays usable and is dropped when its lease ends, a load when it is done.

        Whoever waits for a model gets a ModelError. Does not wait itself; a second call does nothing.
        """
        if self._idle_ttl is not None:
            self._watching.set()
        with self._books.locked():
            self._is_closed = True
            self._books.notify()
            for entry in self._books.entries.values():
                entry.pinned = False
            self._drop_unused()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        with self._books.locked():
            used, resident = (
                self._mover.room.used,
                [e.name for e in self._books.entries.values() if e.state == "resident"],
            )
        return f"ModelCache({self.device}, {used:,} of {self._mover.room.budget:,} bytes, resident: {resident})"

    def _entry(self, name: str) -> Entry:
        key = self._loader.canonical(name)
        with self._books.locked():
            return self._books.entries.setdefault(key, Entry(key))

    def _take(self, entry: Entry, deadline: float) -> Encoder:
        """Lease the model, by bringing it or waiting for whoever moves it."""
        with self._books.locked():
            try:
                return self._taken(entry, deadline)
            finally:
                if self._is_closed:  # meanwhile: what was just brought has nobody to drop it
                    self._drop_unused()

    def _taken(self, entry: Entry, deadline: float) -> Encoder:
        hit = True
        while True:
            self._check_open()
            if entry.state is State.RESIDENT:
                if self._mover.take_activations(entry, deadline, self._check_open):
                    entry.leases += 1
                    entry.hits += hit
                    entry.last_used = self._books.clock()
                    assert entry.model is not None
                    return entry.model
            elif entry.state in (State.LOADING, State.LEAVING):
                hit = False
                self._books.wait()
            else:
                if entry.failure is not None and self._books.clock() < entry.failure.until:
                    raise entry.failure.error(self._books.clock())
                hit = False
                self._mover.bring(entry, deadline, self._check_open)

    def _give_back(self, entry: Entry) -> None:
        with self._books.locked():
            entry.leases -= 1
            entry.last_used = self._books.clock()
            if entry.leases == 0:
                entry.in_flight = 0
                self._books.notify()
                if self._is_closed:
                    self._drop_unused()

    def _drop_unused(self) -> None:
        unused = [entry for entry in self._books.entries.values() if entry.is_idle or entry.state is State.OFFLOADED]
        self._mover.evict(unused, to_host=False)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ModelError("the model cache is closed; make another.")


def _budgets(budget: int | str | None, host_budget: int | str | None, memory: DeviceMemory) -> tuple[int, int]:
    """Bytes for the device and for the host tier."""
    bytes_ = budget_bytes(settings().memory_budget if budget is None else budget, memory.size)
    host_size = CpuMemory().size if memory.pins_host else memory.size
    wanted = settings().host_budget if host_budget is None else host_budget
    if wanted is None:
        wanted = "50%" if memory.pins_host else 0
    host_bytes = budget_bytes(wanted, host_size)
    shared = 0 if memory.pins_host else bytes_
    if bytes_ > memory.size or host_bytes + shared > host_size:
        raise ConfigurationError(
            f"budget and host_budget are {bytes_:,} and {host_bytes:,} bytes; the device has {memory.size:,} and the "
            f"host {host_size:,}{'' if memory.pins_host else ', which are the same memory'}: lower them."
        )
    return bytes_, host_bytes


def _model_stats(entry: Entry, now: float) -> ModelStats:
    return ModelStats(
        model=entry.name,
        state=entry.state.value,
        leases=entry.leases,
        pinned=entry.pinned,
        device_bytes=entry.used,
        host_bytes=entry.host,
        activation_bytes_per_token=entry.activations.bytes_per_token if entry.activations else 0,
        hits=entry.hits,
        loads=entry.loads,
        swaps=entry.swaps,
        evictions=entry.evictions,
        load_seconds=entry.load_seconds,
        swap_ms=entry.swap_seconds * 1000,
        idle_seconds=max(now - entry.last_used, 0) if entry.state is State.RESIDENT and not entry.leases else 0.0,
    )
