"""Which faults of a server pass by themselves, how long they are ridden out, and what the others are called here."""

from collections.abc import Callable
from typing import TypeVar

import grpc
import httpx
import stamina
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from vectorplug.errors import StoreError, StoreUnavailableError

__all__ = ["CLOSING", "READING", "WRITING", "NotThereError", "patiently"]

T = TypeVar("T")

# Seconds: a person waits for a search; a load goes on after the server was restarted, its log replayed.
CLOSING = 2.0
READING = 10.0
WRITING = 120.0

# INTERNAL is what REST calls 500. A request that was cut off by the server's end may come back as CANCELLED.
PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
}
NEVER_SENT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)
FORBIDDEN = {401, 403, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
NOT_THERE = {404, grpc.StatusCode.NOT_FOUND}
FAULTS = (ResourceExhaustedResponse, ResponseHandlingException, UnexpectedResponse, grpc.RpcError)


class NotThereError(StoreError):
    """The server has no such collection."""


def patiently(doing: str, url: str, call: Callable[[], T], *, seconds: float) -> T:
    """What `call` returns; it may be called again for `seconds`, so repeating it has to be harmless.

    Raises StoreUnavailableError once those are over, NotThereError or StoreError at once where the server says no.
    """
    try:
        for attempt in stamina.retry_context(on=_pause, attempts=None, timeout=seconds):
            with attempt:
                return call()
    except FAULTS as error:
        raise _named(error, doing, url) from error
    raise AssertionError("retry_context ends by returning or raising")


def _pause(error: Exception) -> bool | float:
    """Whether to try again; seconds where the server says how many."""
    if isinstance(error, ResourceExhaustedResponse):
        return float(error.retry_after_s)
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, httpx.TransportError) and not isinstance(error.source, NEVER_SENT)
    if isinstance(error, UnexpectedResponse):
        return error.status_code is not None and (error.status_code == 429 or error.status_code >= 500)
    return isinstance(error, grpc.RpcError) and error.code() in PASSING


def _named(error: Exception, doing: str, url: str) -> StoreError:
    said, status = _said(error)
    if _pause(error):
        return StoreUnavailableError(
            f"{doing} failed: the Qdrant at {url} does not answer as it should ({said}). See that it runs and is "
            "reachable there; the same add, once it is, goes on where it stopped."
        )
    if status in FORBIDDEN:
        return StoreError(
            f"{doing} failed: the Qdrant at {url} refuses the API key, or wants one ({said}). "
            "Give the right one: QdrantStore(url, api_key=...), or the client that from_client takes."
        )
    kind = NotThereError if status in NOT_THERE else StoreError
    return kind(f"{doing} failed: the Qdrant at {url} says: {said}")


def _said(error: Exception) -> tuple[str, object]:
    """The server's message, and its status."""
    if isinstance(error, UnexpectedResponse):
        try:
            said = str(error.structured()["status"]["error"])
        except (ValueError, KeyError, TypeError):
            said = " ".join(str(error).split())
        return f"{error.status_code}: {said}", error.status_code
    if isinstance(error, grpc.RpcError):
        return f"{error.code().name}: {error.details()}", error.code()
    if isinstance(error, ResponseHandlingException):
        return f"{type(error.source).__name__}: {error.source}", None
    return str(error), None
