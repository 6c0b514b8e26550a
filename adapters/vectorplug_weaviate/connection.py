"""The way to a Weaviate server: an URL or the caller's own client, and what its failures mean."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx
import stamina
import weaviate
from weaviate.classes.init import Auth
from weaviate.config import AdditionalConfig, GrpcConfig
from weaviate.connect.v4 import _ExpectedStatusCodes
from weaviate.exceptions import (
    UnexpectedStatusCodeError,
    WeaviateBaseError,
    WeaviateConnectionError,
    WeaviateQueryError,
    WeaviateRetryError,
    WeaviateTimeoutError,
)
from weaviate.proto.v1 import batch_pb2

from vectorplug.errors import ConfigurationError, StoreError, StoreUnavailableError
from vectorplug.search.bridge import call_directly, calls_on

__all__ = ["Connection", "GoneError"]

Answer = TypeVar("Answer")

EXPECTED = "expected weaviate+http://HOST:8080 or weaviate+https://HOST:443, with ?grpc_port=50051 if that is another"
REST_PORT, GRPC_PORT = 8080, 50051
# A node that restarts is back within this.
PATIENCE = 60.0
LONGEST_WAIT = 5.0
TRANSIENT_CODES = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
TRANSIENT_STATUSES = {429, 502, 503, 504}
# What the server says of an object for which it has no memory just now.
OVERLOADED = "not enough memory"
NOT_FOUND = 404
# gRPC by itself waits up to two minutes before it tries a server again that was away.
CHANNEL = [("grpc.max_reconnect_backoff_ms", 2000)]
# What a server says of every collection that it has not opened yet since it was started.
STARTING = "non-existing index"
BATCH_OBJECTS = "/weaviate.v1.Weaviate/BatchObjects"
DEFAULT_MESSAGE_BYTES = 104_858_000


class GoneError(StoreError):
    """What was asked for is not there, or not any more."""


class OverloadedServerError(Exception):
    """The server refused objects that it would take a little later."""


class Connection:
    """A connected client of Weaviate; its authentication, TLS, headers and timeouts hold for every call.

    A `weaviate.WeaviateAsyncClient` lives on `loop`, and is called from other threads.
    """

    def __init__(
        self,
        client: weaviate.WeaviateClient | weaviate.WeaviateAsyncClient,
        *,
        owned: bool,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        expected = weaviate.WeaviateClient if loop is None else weaviate.WeaviateAsyncClient
        if not isinstance(client, expected):
            raise ConfigurationError(
                f"client is a {type(client).__name__}, expected a weaviate.{expected.__name__}"
                + (" (an asynchronous one goes to AsyncWeaviateStore)." if loop is None else ".")
            )
        if not client.is_connected():
            raise ConfigurationError("client is not connected: call client.connect() first.")
        # Both clients have the same methods; one's answers are awaited by `_ask`.
        self.client: Any = client
        self._owned = owned
        self._ask: Any = call_directly if loop is None else calls_on(loop)
        # The client has no public way to send a message that was built already.
        self._wire: Any = client._connection

    @classmethod
    def to(cls, url: str, api_key: str | None = None, loop: asyncio.AbstractEventLoop | None = None) -> "Connection":
        """Connect to `[weaviate+]http(s)://HOST[:8080][?grpc_port=50051]`; StoreUnavailableError where nobody is."""
        address = _address(url)
        options: Any = {
            **address,
            "auth_credentials": None if api_key is None else Auth.api_key(api_key),
            "additional_config": AdditionalConfig(grpc_config=GrpcConfig(channel_options=CHANNEL)),
            "skip_init_checks": True,  # they ask the package index for the client's newest version
        }
        try:
            if loop is None:
                return cls(weaviate.connect_to_custom(**options), owned=True)
            client = weaviate.use_async_with_custom(**options)
            ask: Any = calls_on(loop)
            try:
                ask(client.connect)
            except BaseException:
                ask(client.close)
                raise
            return cls(client, owned=True, loop=loop)
        except UnexpectedStatusCodeError as error:
            raise ConfigurationError(
                f"Weaviate at {url} does not let us in ({error}): give its key as api_key=..., or "
                "VECTORPLUG_STORE_API_KEY."
            ) from error
        except (WeaviateBaseError, httpx.HTTPError) as error:
            raise StoreUnavailableError(
                f"no Weaviate answers at {url}: {error}. Check that it runs there; one that has gRPC on another host "
                "is opened with WeaviateStore.from_client."
            ) from error

    @property
    def url(self) -> str:
        """Where REST is."""
        return str(self._wire.url)

    @property
    def message_bytes(self) -> int:
        """The largest gRPC message that the server takes, as it says itself."""
        return int(self._wire._grpc_max_msg_size or DEFAULT_MESSAGE_BYTES)

    def call(self, doing: str, function: Callable[[], Answer | Awaitable[Answer]]) -> Answer:
        """What `function` of the client answers; it is called again for a minute while the server does not, or is full.

        Raises StoreUnavailableError after that, StoreError for what the server refuses, GoneError for what is not
        there.
        """
        answer: Answer = self._repeated(doing, lambda: self._ask(function))
        return answer

    def _repeated(self, doing: str, function: Callable[[], Answer]) -> Answer:
        try:
            for attempt in stamina.retry_context(
                on=_transient, attempts=None, timeout=PATIENCE, wait_max=LONGEST_WAIT, wait_jitter=1.0
            ):
                with attempt:
                    return function()
        except (WeaviateBaseError, grpc.RpcError, httpx.HTTPError, OverloadedServerError) as error:
            raise self._error(doing, error) from error
        raise AssertionError("stamina ends with an answer or an error")

    def batch_objects(self, message: bytes, *, before_repeating: Callable[[], None]) -> dict[int, str]:
        """Send a serialised `BatchObjectsRequest`; position -> the reason, of the objects that the server refused."""
        attempts = itertools.count()

        def send() -> Any:
            method = self._wire._grpc_channel.unary_unary(
                BATCH_OBJECTS, response_deserializer=batch_pb2.BatchObjectsReply.FromString
            )
            return method(message, metadata=self._wire.grpc_headers(), timeout=self._wire.timeout_config.insert)

        def sent() -> dict[int, str]:
            if next(attempts):
                before_repeating()
            errors = {error.index: error.error for error in self._ask(send).errors}
            if overloaded := [said for said in errors.values() if OVERLOADED in said]:
                raise OverloadedServerError(overloaded[0])
            return errors

        return self._repeated("Writing", sent)

    def rest(self, doing: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that REST answers: what the client has no method for."""
        options: dict[str, Any] = {} if body is None else {"weaviate_object": body}
        expected = _ExpectedStatusCodes(ok_in=200, error=doing)
        send = getattr(self._wire, method)
        return self.call(doing, lambda: send(path=path, error_msg=doing, status_codes=expected, **options)).json()

    def close(self) -> None:
        """Close the client if it was made here; the caller's own stays open."""
        if self._owned:
            self._ask(self.client.close)

    def _error(self, doing: str, error: Exception) -> StoreError:
        said = error.details() if isinstance(error, grpc.Call | grpc.aio.AioRpcError) else str(error)
        where = f"Weaviate at {self.url} (gRPC {self._wire._connection_params._grpc_target})"
        if isinstance(error, OverloadedServerError):
            return StoreUnavailableError(
                f"{doing} failed: {where} is full: {said}. Give it more memory, or load more slowly. What was added is "
                "safe: the same add goes on where it stopped."
            )
        if _transient(error):
            return StoreUnavailableError(
                f"{doing} failed: {where} does not answer: {said}. Check that it runs and that both ports are right "
                "(?grpc_port=...). What was added is safe: the same add goes on where it stopped."
            )
        refused = f"{doing} failed, Weaviate at {self.url} says: {said}"
        gone = isinstance(error, UnexpectedStatusCodeError) and error.status_code == NOT_FOUND
        return GoneError(refused) if gone else StoreError(refused)


def _address(url: str) -> dict[str, Any]:
    """Where REST and gRPC are, as the client's functions take it; ConfigurationError for anything else."""
    try:
        parts = urlsplit(url.removeprefix("weaviate+"))
        options = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        port = parts.port or (443 if parts.scheme == "https" else REST_PORT)
        grpc_port = int(options.pop("grpc_port", [str(GRPC_PORT)])[0])
    except ValueError as error:
        raise ConfigurationError(f"url {url!r} cannot be read ({error}), {EXPECTED}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or options:
        raise ConfigurationError(f"url {url!r} names no Weaviate, {EXPECTED}.")
    if parts.username or parts.password or not 0 < grpc_port < 65536 or grpc_port == port:
        raise ConfigurationError(
            f"the url of {parts.hostname} holds a user, or no gRPC port that can be: {EXPECTED}; a key goes to "
            "api_key=..., or VECTORPLUG_STORE_API_KEY."
        )
    secure = parts.scheme == "https"
    return {
        "http_host": parts.hostname,
        "http_port": port,
        "http_secure": secure,
        "grpc_host": parts.hostname,
        "grpc_port": grpc_port,
        "grpc_secure": secure,
    }


def _transient(error: Exception) -> bool:
    """Whether the same call may succeed a little later."""
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        # A message that is too large has that code, too, and is as large the next time.
        full = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" not in (error.details() or "")
        return full or error.code() in TRANSIENT_CODES
    if isinstance(error, WeaviateQueryError) and STARTING in str(error):
        return True
    if isinstance(error, WeaviateQueryError) and isinstance(error.__context__, grpc.RpcError | WeaviateRetryError):
        # The client's own error for a gRPC call, after four attempts of its own or after one.
        return isinstance(error.__context__, WeaviateRetryError) or _transient(error.__context__)
    if isinstance(error, UnexpectedStatusCodeError):
        return error.status_code in TRANSIENT_STATUSES or OVERLOADED in str(error)
    return isinstance(
        error, OverloadedServerError | WeaviateConnectionError | WeaviateTimeoutError | httpx.TransportError
    )
