"""Some requests to a database at once, and none left behind."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

__all__ = ["InFlight"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class InFlight(Generic[Item, Result]):
    """Calls `work` with each item, `at_once` at a time, each in a thread; with one at once in the caller's own.

    Their results reach `done`, in the order of the items, in the caller's thread. Items between two `wait`s may reach
    the database in any order. Leaving the block waits for what was begun, also where an error ends it.
    """

    def __init__(self, work: Callable[[Item], Result], at_once: int, done: Callable[[Result], None]) -> None:
        self._work = work
        self._at_once = at_once
        self._done = done
        self._running: deque[Future[Result]] = deque()
        self._threads = ThreadPoolExecutor(at_once, "vectorplug-writing") if at_once > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            if self._threads is not None:
                self._threads.shutdown()

    def submit(self, item: Item) -> None:
        """Begin with an item; blocks while as many as allowed are on their way. Raises what one before raised."""
        if self._threads is None:
            self._done(self._work(item))
            return
        while len(self._running) >= self._at_once:
            self._done(self._running.popleft().result())
        self._running.append(self._threads.submit(self._work, item))

    def wait(self) -> None:
        """Until everything that was begun is done. Raises what one of them raised."""
        while self._running:
            self._done(self._running.popleft().result())
