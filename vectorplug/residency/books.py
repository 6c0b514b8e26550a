"""A cache's books: one lock for every line in them, and the events that are told once it is let go."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Lock

from vectorplug.residency.entry import Entry
from vectorplug.residency.events import Event

__all__ = ["Books"]

logger = logging.getLogger("vectorplug.residency")


class Books:
    """Entries by name under one condition. Nothing that takes long is done between `locked` and its end.

    `clock` tells the seconds of idleness and cool-downs. Events are noted with the lock held and told to `listener`
    without it, in order, so that it may ask the cache; what it raises is logged and goes no further.
    """

    def __init__(self, clock: Callable[[], float], listener: Callable[[Event], object] | None) -> None:
        self.entries: dict[str, Entry] = {}
        self.clock = clock
        self._listener = listener
        self._untold: deque[Event] = deque()
        # Not re-entrant: letting go of it once has to be enough.
        self._changed = Condition(Lock())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The lock; events are told after it."""
        try:
            with self._changed:
                yield
        finally:
            self._tell()

    @contextmanager
    def unlocked(self) -> Iterator[None]:
        """Within `locked`: let go for a load or a copy, whose entry no other thread touches while it moves."""
        self._changed.release()
        try:
            self._tell()
            yield
        finally:
            self._changed.acquire()

    def wait(self, seconds: float | None = None) -> None:
        """Within `locked`: let go until something changed, or for so long."""
        self._changed.wait(seconds)

    def notify(self) -> None:
        """Within `locked`: something changed."""
        self._changed.notify_all()

    def note(self, event: Event) -> None:
        """To be told once the lock is free."""
        self._untold.append(event)

    def _tell(self) -> None:
        while self._untold:
            try:
                event = self._untold.popleft()
            except IndexError:  # another thread was faster
                return
            bad = event.kind in ("load failed", "out of memory")
            logger.log(logging.WARNING if bad else logging.INFO, "%s: %s, %s", event.model, event.kind, event)
            if self._listener is not None:
                try:
                    self._listener(event)
                except Exception:
                    logger.exception("the on_event callback failed on %s", event)
