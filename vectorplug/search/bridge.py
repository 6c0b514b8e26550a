"""One way to call a database's client, whether it answers at once or has to be awaited."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["Call", "call_directly", "calls_on"]

T = TypeVar("T")
Call = Callable[[Callable[[], T | Awaitable[T]]], T]


def call_directly(function: Callable[[], T | Awaitable[T]]) -> T:
    """What a synchronous client's method returns."""
    result = function()
    assert not inspect.isawaitable(result)
    return result


def calls_on(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], T | Awaitable[T]]], T]:
    """Calls of an asynchronous client, which lives on `loop`, made from other threads: they block until it answers."""

    async def awaited(function: Callable[[], T | Awaitable[T]]) -> T:
        result = function()
        return await result if inspect.isawaitable(result) else result

    def call(function: Callable[[], T | Awaitable[T]]) -> T:
        return asyncio.run_coroutine_threadsafe(awaited(function), loop).result()

    return call
