"""Who may take how much of a device: what does not fit waits, sends idle models away, or is refused, with numbers."""

import time
from collections.abc import Callable, Sequence

from vectorplug.errors import OutOfMemoryError
from vectorplug.residency.books import Books
from vectorplug.residency.entry import Entry, State, choose_victims
from vectorplug.residency.memory import DeviceMemory

__all__ = ["Room"]

# Other processes free memory without telling anyone.
LOOK_AGAIN_SECONDS = 1.0


class Room:
    """The budget of one device, in bytes, over a cache's entries. Every method is called with the cache's lock held.

    `evict` sends models away and lets go of the lock while it does; what it freed is booked when it returns, so that
    nobody comes between the freeing and the taking.
    """

    def __init__(
        self,
        budget: int,
        memory: DeviceMemory,
        books: Books,
        evict: Callable[[Sequence[Entry]], None],
    ) -> None:
        self.budget = budget
        self._memory = memory
        self._books = books
        self._evict = evict

    @property
    def used(self) -> int:
        """Bytes spoken for: weights, loads under way, activations of leased models."""
        return sum(entry.used for entry in self._books.entries.values())

    def activation_bytes(self, entry: Entry) -> int:
        """What a forward pass of the model's usual batch takes, as learnt from its passes.

        Never more than the budget leaves beside its weights and the pinned models: a batch that then does not fit is
        the ladder's to halve.
        """
        if entry.activations is None:
            return 0
        wanted = entry.activations.bytes_per_token * entry.batch_tokens
        return max(min(wanted, self.budget - entry.weights - self._pinned_beside(entry)), 0)

    def wait_for(self, entry: Entry, need: Callable[[], int], deadline: float, *, arriving: bool) -> int:
        """Return `need()` once that many bytes more are free; the caller books them before it lets go of the lock.

        `need` is asked again whenever something changed, and may raise to give up. Idle models are evicted where that
        makes the room; where it does not, none is, and leases have to end before `deadline` (time.monotonic seconds).
        What is `arriving` on the device has to fit beside other processes, too; what is there already has its ladder.
        OutOfMemoryError: at once where it can never fit, else at the deadline.
        """
        while (needed := need()) > 0:
            missing = self.used + needed - self.budget
            if arriving:
                missing = max(missing, self._short_of(entry, needed))
            if missing <= 0:
                return needed
            most = self.budget - self._pinned_beside(entry)
            if needed + entry.used > most:
                raise OutOfMemoryError(
                    f"{entry.name} can never fit: {self.numbers(needed)} Unpin a model or raise the budget "
                    "(VECTORPLUG_MEMORY_BUDGET)."
                )
            idle = [other for other in self._books.entries.values() if other.is_idle and other is not entry]
            victims = choose_victims(idle, missing, self._books.clock(), lambda other: other.held)
            if victims:
                self._evict(victims)
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                raise OutOfMemoryError(
                    f"{entry.name} found no room in time: {self.numbers(needed)} Wait for leases to end, "
                    "unpin a model or raise the budget (VECTORPLUG_MEMORY_BUDGET)."
                )
            self._books.wait(min(left, LOOK_AGAIN_SECONDS))
        return 0

    def holders(self) -> str:
        """Who holds what, the largest first: "a 12,000 leased x2, b 3,000 pinned"."""
        held = sorted((entry for entry in self._books.entries.values() if entry.used), key=lambda entry: -entry.used)
        return ", ".join(f"{entry.name} {entry.used:,}{_why(entry)}" for entry in held) or "nobody"

    def _pinned_beside(self, entry: Entry) -> int:
        return sum(other.held for other in self._books.entries.values() if other.pinned and other is not entry)

    def _short_of(self, entry: Entry, needed: int) -> int:
        """Bytes that the device itself lacks, when what is promised and perhaps not yet taken is left alone."""
        beside = [other for other in self._books.entries.values() if other is not entry]
        promised = sum(e.used if e.state is State.LOADING else e.in_flight for e in beside)
        return needed + promised - self._memory.read().available

    def numbers(self, needed: int) -> str:
        """What is asked, free and held, for an error's message."""
        now = self._memory.read()
        return (
            f"it asks for {needed:,} bytes, and of the budget of {self.budget:,} bytes {self.budget - self.used:,} are "
            f"free, held by {self.holders()}. The device has {now.size:,} bytes, {now.available:,} free, "
            f"{now.others:,} held by other processes."
        )


def _why(entry: Entry) -> str:
    reasons = [entry.state.value] if entry.state is not State.RESIDENT else []
    reasons += [f"leased x{entry.leases}"] if entry.leases else []
    reasons += ["pinned"] if entry.pinned else []
    return f" ({', '.join(reasons)})" if reasons else " (idle)"
