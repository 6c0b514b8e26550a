"""One collection of a server, and how it is asked: patiently, through a client that answers or is awaited."""

from collections.abc import Callable
from typing import Any, TypeVar

from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client import grpc as qdrant_grpc
from qdrant_client.qdrant_remote import QdrantRemote

from vectorplug.search.bridge import Call, call_directly
from vectorplug_qdrant.connecting import channel_of, remote_of
from vectorplug_qdrant.patience import READING, patiently

__all__ = ["Connection"]

T = TypeVar("T")


class Connection:
    """The collection `name` at `url`. `client` has the methods of a QdrantClient, without its own inference.

    Whatever is asked of it goes through `ask`: an asynchronous client's methods return what `awaited` waits for.
    """

    def __init__(
        self, client: QdrantClient | AsyncQdrantClient, collection: str, awaited: Call[Any] | None = None
    ) -> None:
        self.client: QdrantRemote = remote_of(client, QdrantClient if awaited is None else AsyncQdrantClient)
        self.url = self.client.rest_uri
        self.name = collection
        self._call: Call[Any] = awaited or call_directly
        self._channel: tuple[Any, float] | None = self._call(lambda: channel_of(self.client))

    def ask(self, doing: str, function: Callable[[], T], *, seconds: float = READING) -> T:
        """What `function` of the client answers; it may be called again for `seconds`. Errors as of `patiently`."""
        call: Call[T] = self._call
        return patiently(f"{doing} collection {self.name!r}", self.url, lambda: call(function), seconds=seconds)

    def config(self, seconds: float = READING) -> models.CollectionConfig:
        """The collection's own; NotThereError where there is none."""
        return self.ask("Reading", lambda: self.client.get_collection(self.name), seconds=seconds).config

    def sender(self, method: str) -> Callable[[bytes], object] | None:
        """Sends a message as bytes to a method of the server that updates points; None where there is no gRPC."""
        if self._channel is None:
            return None
        channel, timeout = self._channel
        send = channel.unary_unary(method, response_deserializer=qdrant_grpc.PointsOperationResponse.FromString)
        return lambda message: send(message, timeout=timeout)
