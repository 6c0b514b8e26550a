"""The ways of a model between disk, host memory and device: booked first, moved without the lock, booked again."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from vectorplug.errors import ModelError, OutOfMemoryError
from vectorplug.models.encoder import Encoder
from vectorplug.residency.books import Books
from vectorplug.residency.costs import Activations
from vectorplug.residency.entry import Entry, Failure, State, choose_victims, worth
from vectorplug.residency.events import Event
from vectorplug.residency.ladder import Ladder
from vectorplug.residency.loader import Loader
from vectorplug.residency.memory import DeviceMemory, forget_frames, ran_out
from vectorplug.residency.room import Room

__all__ = ["Mover"]

Outcome = TypeVar("Outcome")

# Its forward pass tells the activations before the first lease; short, because nothing is booked for it. Longer passes
# correct the figure as they come.
FIRST_TEXT = "the sea and the shore " * 4


class Mover:
    """Loads, restores and evicts the entries of `books` within two budgets, in bytes.

    Every public method but `evict_idle` is called within `books.locked()`, and may let go of the lock in between.
    """

    def __init__(
        self, loader: Loader, memory: DeviceMemory, books: Books, *, budget: int, host_budget: int, cool_down: float
    ) -> None:
        self._loader = loader
        self._memory = memory
        self._books = books
        self._cool_down = cool_down
        self.host_budget = host_budget
        self.room = Room(budget, memory, books, self.evict)
        self.last_swap_seconds = 0.0

    def take_activations(self, entry: Entry, deadline: float, check: Callable[[], None]) -> bool:
        """Book what a forward pass of the model takes, beside whatever else runs. False: it left memory meanwhile."""

        def need() -> int:
            check()
            booked = entry.leases > 0 or entry.state is not State.RESIDENT
            return 0 if booked else self.room.activation_bytes(entry) - entry.in_flight

        entry.in_flight += self.room.wait_for(entry, need, deadline, arriving=False)
        return entry.state is State.RESIDENT

    def bring(self, entry: Entry, deadline: float, check: Callable[[], None]) -> None:
        """Move a model from disk or the host onto the device. `check` raises where it is not wanted any more.

        OutOfMemoryError, or what loading raised; the model is then where it was before.
        """
        before = State.OFFLOADED if entry.state is State.OFFLOADED else State.ABSENT
        entry.state = State.LOADING
        try:
            asked = self._asked(entry, before)

            def need() -> int:
                check()
                return asked

            entry.held = self.room.wait_for(entry, need, deadline, arriving=True)
            if before is State.OFFLOADED:
                self._restore(entry)
            else:
                self._load(entry)
            # The rest is free again before anyone else can look, and taken first by the lease's activations.
            entry.held = entry.weights
            entry.state = State.RESIDENT
            entry.last_used = self._books.clock()
        except BaseException:
            entry.held = 0
            if entry.state is State.LOADING:
                entry.state = before
            raise
        finally:
            self._books.notify()

    def evict(self, leaving: Sequence[Entry], *, to_host: bool = True) -> None:
        """Move resident models to the host tier where it has room for them, else drop them; drop offloaded ones."""
        if not leaving:
            return
        parks = [to_host and entry.state is State.RESIDENT and self._takes_host(entry) for entry in leaving]
        for entry in leaving:
            entry.state = State.LEAVING
        seconds = dict.fromkeys(leaving, 0.0)
        try:
            with self._books.unlocked():
                for entry, park in zip(leaving, parks, strict=True):
                    seconds[entry] = self._move_out(entry, park)
        finally:
            for entry, taken in seconds.items():
                if entry.model is not None and entry.model.weight_bytes:  # interrupted before its turn
                    entry.state, entry.host = State.RESIDENT, 0
                else:
                    entry.evictions += entry.held > 0
                    self._note_out(entry, entry.held or entry.host, taken)
            self._books.notify()

    def evict_idle(self, but: Entry) -> int:
        """Evict every idle model except one, and say how many; called without the lock."""
        with self._books.locked():
            idle = [entry for entry in self._books.entries.values() if entry.is_idle and entry is not but]
            self.evict(idle)
            return len(idle)

    def _asked(self, entry: Entry, before: State) -> int:
        """Bytes of the device that the way back takes at its height, activations afterwards included."""
        running = entry.weights + self.room.activation_bytes(entry)
        if before is State.OFFLOADED:
            return running
        if entry.asked is None:
            with self._books.unlocked():
                estimate = self._loader.load_bytes(entry.name)
            entry.asked = estimate or 0
        return max(entry.asked, running)

    def _load(self, entry: Entry) -> None:
        try:
            with self._books.unlocked():
                started = time.perf_counter()
                model = self._retried(entry, partial(self._loader.load, entry.name))
                seconds = time.perf_counter() - started
                activations = self._prepare(entry, model)
        except Exception as error:
            entry.failures += 1
            entry.failure = Failure.of(entry.name, error, self._books.clock() + self._cool_down)
            entry.state = State.FAILED
            self._books.note(Event("load failed", entry.name, detail=str(error)))
            if isinstance(error, ModelError):
                raise
            raise entry.failure.error() from error
        entry.weights = model.weight_bytes
        if entry.weights > entry.held:
            self._keep_or_unload(entry, model)
        entry.model, entry.facts, entry.failure = model, model.facts, None
        entry.activations, entry.batch_tokens = activations, model.batch_tokens
        entry.asked = max(entry.asked or 0, entry.weights)
        entry.load_seconds = seconds
        entry.loads += 1
        self._books.note(Event("loaded", entry.name, entry.weights, seconds))

    def _prepare(self, entry: Entry, model: Encoder) -> Activations:
        """Put the ladder round the model's forward passes, and learn from a first one what they take."""
        known = entry.facts is not None and entry.facts.fingerprint == model.facts.fingerprint
        activations = entry.activations if known and entry.activations is not None else Activations(self._memory)
        ladder = Ladder(
            entry.name,
            self._memory,
            partial(activations.run, model.forward_once),
            evict_idle=partial(self.evict_idle, entry),
            compact=partial(model.compact, self._memory.release_cached),
            holders=self._holders,
            on_rung=partial(self._ran_out, entry.name),
        )
        model.forward_by(ladder.forward)
        if not activations.bytes_per_token:
            try:
                model.forward(model.tokenize([FIRST_TEXT], "document"))
            except BaseException:
                model.unload()  # whoever keeps the exception would keep the weights
                raise
        return activations

    def _keep_or_unload(self, entry: Entry, model: Encoder) -> None:
        """The model is larger than was asked for: make room for the rest now, or let it go."""
        more = entry.weights - entry.held
        try:
            entry.held += self.room.wait_for(entry, lambda: more, time.monotonic(), arriving=False)
        except OutOfMemoryError:
            with self._books.unlocked():
                model.unload()
            raise

    def _restore(self, entry: Entry) -> None:
        model = entry.model
        assert model is not None
        with self._books.unlocked():
            started = time.perf_counter()
            self._retried(entry, model.restore)
            seconds = time.perf_counter() - started
        entry.host = 0
        entry.swaps += 1
        entry.swap_seconds = self.last_swap_seconds = seconds
        self._books.note(Event("restored", entry.name, entry.weights, seconds))

    def _retried(self, entry: Entry, move: Callable[[], Outcome]) -> Outcome:
        """`move()`; where the device runs out, once more when everything that is idle has left it."""
        said = ""
        for attempt in range(2):
            if attempt:
                self._ran_out(entry.name, "it came short while loading: idle models are evicted")
                self._memory.release_cached()
                self.evict_idle(entry)
            try:
                return move()
            except Exception as error:
                if not ran_out(error):
                    raise
                forget_frames(error)
                said = str(error)
        with self._books.locked():
            numbers = self.room.numbers(entry.held)
        raise OutOfMemoryError(f"{entry.name} does not fit into the device ({said}): {numbers}")

    def _move_out(self, entry: Entry, park: bool) -> float:
        """Seconds that it took; a host that is short of memory is no reason to keep the device's."""
        started = time.perf_counter()
        model = entry.model
        assert model is not None
        try:
            if park:
                model.offload(pinned=self._memory.pins_host)
        except (RuntimeError, MemoryError) as error:
            self._ran_out(entry.name, f"the host has no room for it, it is dropped ({error})")
        if not model.host_bytes or not park:
            model.unload()
        return time.perf_counter() - started

    def _note_out(self, entry: Entry, freed: int, seconds: float) -> None:
        """Book that a model has left the device, or the host, too."""
        entry.held = entry.in_flight = 0
        entry.host = entry.model.host_bytes if entry.model is not None else 0
        entry.state = State.OFFLOADED if entry.host else State.ABSENT
        if not entry.host:
            entry.model = None
        self._books.note(Event("offloaded" if entry.host else "dropped", entry.name, freed, seconds))

    def _takes_host(self, entry: Entry) -> bool:
        """Whether the host tier has room for the model; what is worth less is dropped from it. Books what it takes."""
        needed = _host_bytes(entry.weights) if self._memory.pins_host else entry.weights
        offloaded = [other for other in self._books.entries.values() if other.host]
        missing = sum(other.host for other in offloaded) + needed - self.host_budget
        now = self._books.clock()
        if missing > 0:
            lesser = [o for o in offloaded if o.state is State.OFFLOADED and worth(o, now) < worth(entry, now)]
            dropped = choose_victims(lesser, missing, now, lambda other: other.host)
            if not dropped:
                return False
            for other in dropped:
                freed = other.host
                assert other.model is not None
                # Frees one block of host memory, which is neither a load nor a copy.
                other.model.unload()
                self._note_out(other, freed, 0.0)
        entry.host = needed
        return True

    def _holders(self) -> str:
        with self._books.locked():
            return self.room.holders()

    def _ran_out(self, name: str, detail: str) -> None:
        with self._books.locked():
            self._books.note(Event("out of memory", name, detail=detail))


def _host_bytes(size: int) -> int:
    """torch rounds page-locked blocks up to a power of two."""
    return 1 << (size - 1).bit_length()
