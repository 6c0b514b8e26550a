"""From a URL to a client of the server there, and from a client to what speaks with the server."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_client import grpc as qdrant_grpc
from qdrant_client.async_qdrant_remote import AsyncQdrantRemote
from qdrant_client.qdrant_remote import QdrantRemote

from vectorplug.errors import ConfigurationError

__all__ = ["channel_of", "connected", "remote_of"]

EXPECTED = "expected qdrant+http://HOST:6333 or qdrant+https://HOST:6333, with ?grpc_port=6334 where that is another"
REST_PORT, GRPC_PORT = 6333, 6334
# Some seconds are little for a chunk of a load on a server that is busy.
TIMEOUT = 60
PROBE_SECONDS = 2
# gRPC by itself waits up to two minutes before it tries a server again that was away.
GRPC_OPTIONS = {"grpc.max_reconnect_backoff_ms": 2000}


def connected(url: str, api_key: str | None = None) -> QdrantClient:
    """A client of the server at [qdrant+]http[s]://HOST[:PORT][/PREFIX][?grpc_port=N].

    gRPC is used on `grpc_port`; without it on 6334 where REST has its usual port and gRPC answers; else REST.
    """
    bare = url.removeprefix("qdrant+")
    try:
        parts, port = urlsplit(bare), urlsplit(bare).port
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        grpc_port = int(query.pop("grpc_port")[0]) if "grpc_port" in query else None
    except ValueError as error:
        raise ConfigurationError(f"url {url!r} cannot be read ({error}), {EXPECTED}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or query or parts.fragment:
        raise ConfigurationError(f"url {url!r} names no server, {EXPECTED}.")
    if parts.username or parts.password:
        raise ConfigurationError(
            "the url holds a user or a password, which a Qdrant does not ask for: give an API key as api_key=..."
        )
    rest = bare.partition("?")[0]
    if grpc_port is None and port in (None, REST_PORT) and parts.path in ("", "/"):
        client = _client(rest, GRPC_PORT, api_key)
        if _answers(client):
            return client
        client.close()
    return _client(rest, grpc_port, api_key)


def _client(url: str, grpc_port: int | None, api_key: str | None) -> QdrantClient:
    # What we need of a server is checked when a collection is opened; the client's own check warns from a thread.
    return QdrantClient(
        url,
        grpc_port=grpc_port or GRPC_PORT,
        prefer_grpc=grpc_port is not None,
        api_key=api_key,
        timeout=TIMEOUT,
        grpc_options=dict(GRPC_OPTIONS),
        check_compatibility=False,
    )


def _answers(client: QdrantClient) -> bool:
    try:
        remote_of(client).grpc_root.HealthCheck(qdrant_grpc.HealthCheckRequest(), timeout=PROBE_SECONDS)
    except grpc.RpcError as error:
        # A server that wants another key is there.
        return error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    return True


def remote_of(
    client: QdrantClient | AsyncQdrantClient, expected: type[QdrantClient] | type[AsyncQdrantClient] = QdrantClient
) -> Any:
    """The part of a client that speaks with its server, a QdrantRemote or an AsyncQdrantRemote.

    It has the client's methods, without the client's own inference: a Document reaches the server.
    ConfigurationError for another object, or a client without a server.
    """
    if not isinstance(client, expected):
        raise ConfigurationError(
            f"client is a {type(client).__name__}, expected a qdrant_client.{expected.__name__} (QdrantStore takes a "
            "QdrantClient, AsyncQdrantStore an AsyncQdrantClient)."
        )
    remote = client._client
    if not isinstance(remote, QdrantRemote | AsyncQdrantRemote):
        raise ConfigurationError(
            "client runs in this process and has no server: open QdrantStore('edge:FOLDER', ...) instead, "
            "the same engine as the server's."
        )
    return remote


def channel_of(remote: Any) -> tuple[Any, float] | None:
    """The client's own gRPC channel (TLS, key, headers and token as it has them) and its time-out in seconds.

    None for a client that prefers REST, whose server may have no gRPC within reach.
    """
    if not remote._prefer_grpc:
        return None
    # The client shows its stubs, which take messages of their classes only, not the channels behind them.
    try:
        remote._init_grpc_channel()
        return remote._grpc_channel_pool[0], remote._timeout
    except (AttributeError, IndexError):
        return None
