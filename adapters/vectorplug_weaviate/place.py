"""One collection of a Weaviate server, or one tenant of it: where it is, and how its objects are read."""

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any

from weaviate.classes.config import ConsistencyLevel
from weaviate.classes.query import Filter

from vectorplug_weaviate.connection import Connection

__all__ = ["Place", "in_parts"]

# Ids in one filter.
KEYS_AT_ONCE = 1_000
# Objects of a page that is read for its texts.
PAGE = 500


class Place:
    """A collection's address; every call may raise StoreUnavailableError or StoreError."""

    def __init__(
        self, connection: Connection, name: str, *, tenant: str | None, consistency_level: ConsistencyLevel | None
    ) -> None:
        self.connection = connection
        self.name = name
        self.tenant = tenant
        self._tenant_there = tenant is None
        self._making = Lock()
        handle = connection.client.collections.use(name)
        if consistency_level is not None:
            handle = handle.with_consistency_level(consistency_level)
        self.handle = handle if tenant is None else handle.with_tenant(tenant)

    def call(self, doing: str, function: Any) -> Any:
        """What a method of the client returns, repeated while the server does not answer."""
        return self.connection.call(f"{doing} collection {self.name!r}", function)

    def exists(self) -> bool:
        """Whether there is such a collection, or an alias."""
        return bool(self.call("Opening", lambda: self.connection.client.collections.exists(self.name)))

    def there(self) -> bool:
        """Whether the tenant is there; it is made with its first document, by whoever writes that."""
        if not self._tenant_there:
            self._tenant_there = self.call("Reading", lambda: self.handle.tenants.exists(self.tenant or ""))
        return self._tenant_there

    def ensure_tenant(self) -> None:
        """Make the tenant that is not there yet."""
        with self._making:
            if not self.there():
                self.call("Making a tenant in", lambda: self.handle.tenants.create(self.tenant or ""))
                self._tenant_there = True

    def read(self, keys: Sequence[str], names: list[str] | None) -> Iterator[tuple[str, dict[str, Any]]]:
        """The key and some properties (None: all) of those objects that are there."""
        for some in in_parts(keys) if self.there() else ():
            wanted = Filter.by_id().contains_any(some)
            reply = self.call(
                "Reading",
                lambda wanted=wanted, some=some: self.handle.query.fetch_objects(
                    filters=wanted, limit=len(some), return_properties=names
                ),
            )
            yield from ((str(each.uuid), dict(each.properties)) for each in reply.objects)

    def pages(self, names: list[str] | None) -> Iterator[list[tuple[str, dict[str, Any]]]]:
        """The key and some properties (None: all) of all objects, by their keys; one that comes meanwhile or not."""
        after = None
        while self.there():
            reply = self.call(
                "Reading",
                lambda after=after: self.handle.query.fetch_objects(limit=PAGE, after=after, return_properties=names),
            )
            if not reply.objects:
                return
            yield [(str(each.uuid), dict(each.properties)) for each in reply.objects]
            after = reply.objects[-1].uuid

    def count(self) -> int:
        """Objects in the collection or in the tenant."""
        if not self.there():
            return 0
        return self.call("Counting", lambda: self.handle.aggregate.over_all(total_count=True)).total_count or 0


def in_parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many keys at a time as go into one filter."""
    return (keys[i : i + KEYS_AT_ONCE] for i in range(0, len(keys), KEYS_AT_ONCE))
