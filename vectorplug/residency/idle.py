"""The one thread that sends idle models away."""

import threading
import weakref
from typing import Protocol

__all__ = ["watch_idle"]


class Evicting(Protocol):
    """A cache, as far as this thread knows it."""

    def evict_idle(self) -> int:
        """Send away what was idle for too long."""


def watch_idle(cache: Evicting, idle_ttl: float) -> threading.Event:
    """Call `evict_idle` four times in every `idle_ttl` seconds, in one daemon thread for all models.

    It ends with the cache, which it holds weakly, or when the event that is returned is set.
    """
    weakly = weakref.ref(cache)
    ended = threading.Event()
    weakref.finalize(cache, ended.set)

    def watch() -> None:
        while not ended.wait(idle_ttl / 4):
            if (held := weakly()) is not None:
                held.evict_idle()
            del held

    threading.Thread(target=watch, name="vectorplug-idle", daemon=True).start()
    return ended
