"""The way to a Weaviate server: an URL or the caller's own client, and what its failures mean."""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx
import stamina
import weaviate
from weaviate.config import AdditionalConfig, GrpcConfig
from weaviate.exceptions import (
    UnexpectedStatusCodeError,
    WeaviateBaseError,
    WeaviateConnectionError,
    WeaviateRetryError,
    WeaviateTimeoutError,
)
from weaviate.proto.v1 import batch_pb2

from vectorplug.errors import ConfigurationError, StoreError, StoreUnavailableError

__all__ = ["Connection"]

Answer = TypeVar("Answer")

EXPECTED = "expected weaviate+http://HOST:8080 or weaviate+https://HOST:443, with ?grpc_port=50051 if that is another"
REST_PORT, GRPC_PORT = 8080, 50051
# A node that restarts is back within this.
PATIENCE = 60.0
LONGEST_WAIT = 5.0
TRANSIENT_CODES = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
TRANSIENT_STATUSES = {429, 502, 503, 504}
# gRPC by itself waits up to two minutes before it tries a server again that was away.
CHANNEL = [("grpc.max_reconnect_backoff_ms", 2000)]
BATCH_OBJECTS = "/weaviate.v1.Weaviate/BatchObjects"
DEFAULT_MESSAGE_BYTES = 104_858_000


class Connection:
    """A connected `weaviate.WeaviateClient`; its authentication, TLS, headers and timeouts hold for every call."""

    def __init__(self, client: weaviate.WeaviateClient, *, owned: bool) -> None:
        if not isinstance(client, weaviate.WeaviateClient):
            raise ConfigurationError(
                f"client is a {type(client).__name__}, expected a weaviate.WeaviateClient (the synchronous one)."
            )
        if not client.is_connected():
            raise ConfigurationError("client is not connected: call client.connect() first.")
        self.client = client
        self._owned = owned
        # The client has no public way to send a message that was built already.
        self._wire: Any = client._connection

    @classmethod
    def to(cls, url: str) -> "Connection":
        """Connect to `[weaviate+]http(s)://HOST[:8080][?grpc_port=50051]`; StoreUnavailableError where nobody is."""
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
                "WeaviateStore.from_client in a client's auth_credentials."
            )
        secure = parts.scheme == "https"
        try:
            client = weaviate.connect_to_custom(
                http_host=parts.hostname,
                http_port=port,
                http_secure=secure,
                grpc_host=parts.hostname,
                grpc_port=grpc_port,
                grpc_secure=secure,
                additional_config=AdditionalConfig(grpc_config=GrpcConfig(channel_options=CHANNEL)),
                skip_init_checks=True,  # they ask the package index for the client's newest version
            )
        except (WeaviateBaseError, httpx.HTTPError) as error:
            raise StoreUnavailableError(
                f"no Weaviate answers at {url}: {error}. Check that it runs there; one that wants a key or has gRPC on "
                "another host is opened with WeaviateStore.from_client."
            ) from error
        return cls(client, owned=True)

    @property
    def url(self) -> str:
        """Where REST is."""
        return str(self._wire.url)

    @property
    def message_bytes(self) -> int:
        """The largest gRPC message that the server takes, as it says itself."""
        return int(self._wire._grpc_max_msg_size or DEFAULT_MESSAGE_BYTES)

    def call(self, doing: str, function: Callable[[], Answer]) -> Answer:
        """What `function` returns; it is called again for a minute while the server does not answer.

        Raises StoreUnavailableError after that, StoreError for what the server refuses.
        """
        try:
            for attempt in stamina.retry_context(
                on=_transient, attempts=None, timeout=PATIENCE, wait_max=LONGEST_WAIT, wait_jitter=1.0
            ):
                with attempt:
                    return function()
        except (WeaviateBaseError, grpc.RpcError, httpx.HTTPError) as error:
            raise self._error(doing, error) from error
        raise AssertionError("stamina ends with an answer or an error")

    def batch_objects(self, message: bytes) -> dict[int, str]:
        """Send a serialised `BatchObjectsRequest`; position -> the reason, of the objects that the server refused."""

        def send() -> Any:
            method = self._wire._grpc_channel.unary_unary(
                BATCH_OBJECTS, response_deserializer=batch_pb2.BatchObjectsReply.FromString
            )
            return method(message, metadata=self._wire.grpc_headers(), timeout=self._wire.timeout_config.insert)

        return {error.index: error.error for error in self.call("Writing", send).errors}

    def close(self) -> None:
        """Close the client if it was made here; the caller's own stays open."""
        if self._owned:
            self.client.close()

    def _error(self, doing: str, error: Exception) -> StoreError:
        said = error.details() if isinstance(error, grpc.Call) else str(error)
        if _transient(error) or isinstance(error.__context__, WeaviateRetryError):
            return StoreUnavailableError(
                f"{doing} failed: Weaviate at {self.url} (gRPC {self._wire._connection_params._grpc_target}) does not "
                f"answer: {said}. Check that it runs and that both ports are right (?grpc_port=...). What was added "
                "is safe: the same add goes on where it stopped."
            )
        return StoreError(f"{doing} failed, Weaviate at {self.url} says: {said}")


def _transient(error: Exception) -> bool:
    """Whether the same call may succeed a little later."""
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        return error.code() in TRANSIENT_CODES
    if isinstance(error, UnexpectedStatusCodeError):
        return error.status_code in TRANSIENT_STATUSES
    return isinstance(error, WeaviateConnectionError | WeaviateTimeoutError | httpx.TransportError)
