"""One collection of a Weaviate server, or one tenant of it, as a store asks for it."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, ClassVar

import numpy as np
from weaviate.classes.config import ConsistencyLevel
from weaviate.classes.query import Filter, FilterReturn
from weaviate.proto.v1 import base_pb2

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import PartialFailureError, StoreError, StoreUnavailableError
from vectorplug.multivectors import MultiVectors
from vectorplug.search.backfill import Unfilled
from vectorplug.search.database import NO_NAMES, Database
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.hits import Hit, Id, Question, Rows
from vectorplug.search.modes import Plan
from vectorplug_weaviate import payload
from vectorplug_weaviate.batch import FRAME_BYTES, largest, messages, objects_of
from vectorplug_weaviate.connection import Connection
from vectorplug_weaviate.filling import Filling
from vectorplug_weaviate.fits import Fits
from vectorplug_weaviate.layout import Creation, check_creation, definition, extended, lacking_properties
from vectorplug_weaviate.mending import mend, queued, unindexed
from vectorplug_weaviate.place import Place, in_parts
from vectorplug_weaviate.properties import Properties
from vectorplug_weaviate.schema import CONTENT, ID, PAYLOAD, class_name, info_of
from vectorplug_weaviate.searching import Searching

__all__ = ["WeaviateCollection"]

# Documents whose place in the index a server that is killed may lose: some hundred, those of the last messages.
LAST_WRITTEN = 4096
LEVELS = {
    ConsistencyLevel.ONE: base_pb2.CONSISTENCY_LEVEL_ONE,
    ConsistencyLevel.QUORUM: base_pb2.CONSISTENCY_LEVEL_QUORUM,
    ConsistencyLevel.ALL: base_pb2.CONSISTENCY_LEVEL_ALL,
}


class WeaviateCollection(Database[FilterReturn]):
    """The requests of one collection; every call may raise StoreUnavailableError or StoreError."""

    writes_at_once: ClassVar[int] = 2
    always_words: ClassVar[bool] = True

    def __init__(
        self,
        connection: Connection,
        collection: str,
        creation: Creation,
        *,
        tenant: str | None,
        consistency_level: ConsistencyLevel | None,
    ) -> None:
        check_creation(creation)
        self._connection = connection
        self._creation = creation
        self._info: CollectionInfo | None = None
        self._written: deque[str] = deque(maxlen=LAST_WRITTEN)
        self._level = None if consistency_level is None else LEVELS[consistency_level]
        self._place = Place(connection, class_name(collection), tenant=tenant, consistency_level=consistency_level)
        self._properties = Properties(self._place)
        self._searching = Searching(self._place, self._properties)
        self._filling = Filling(self._place, self._properties)
        self._fits = Fits(connection, self._place.name, creation, consistency_level)
        # The description is that of all tenants, and a store fills one.
        self.can_refit = tenant is None

    def open(self) -> CollectionInfo | None:
        """What the collection was made with; None where it is not there."""
        if not self._place.exists():
            return None
        config = self._properties.read()
        info = info_of(config, tenant=self._place.tenant)
        self._fits.of(config.name)
        self._is(info)
        return info

    def create(self, info: CollectionInfo) -> None:
        """Make the collection; its description is `info`."""
        name = self._place.name
        schema = definition(name, info, self._creation, tenants=self._place.tenant is not None)
        try:
            self._place.call("Making", lambda: self._connection.client.collections.create_from_dict(schema))
        except StoreUnavailableError:
            raise
        except StoreError:
            # An attempt whose answer was lost, or another store, may have made it.
            if not self._place.exists():
                raise
            if info_of(self._properties.read(), tenant=self._place.tenant) != info:
                raise StoreUnavailableError(
                    f"collection {name!r} was made by another store just now: open it again."
                ) from None
        self._is(info)
        self._properties.read()

    def keep_fit(self, fingerprint: str, data: bytes) -> None:
        """In a collection beside this one."""
        self._fits.keep(fingerprint, data)

    def read_fit(self, fingerprint: str) -> bytes | None:
        """What was kept."""
        return self._fits.read(fingerprint)

    def refusals(self, rows: Rows) -> dict[int, str]:
        """Position -> the reason, of documents that this server or this schema cannot take."""
        limit = largest(self._connection.message_bytes)
        refused = {}
        for i, (row, numbers) in enumerate(zip(rows.rows, _numbers(rows.encoded), strict=True)):
            size = 4 * numbers + payload.size(row) + FRAME_BYTES
            if reason := payload.conflict(row, self._properties.types):
                refused[i] = reason
            elif size > limit:
                refused[i] = (
                    f"its vectors and payload are {size:,} bytes, this server takes {limit:,} in a message: split it, "
                    "or pool its tokens"
                )
        return refused

    def upsert(self, rows: Rows) -> None:
        """Write objects, replacing those with the same key; PartialFailureError names those that were refused."""
        self._place.ensure_tenant()
        self._properties.add_missing(rows)
        self.delete(self._unindexed([row.key for row in rows.rows]))
        failed: list[tuple[object, str]] = []
        position = 0
        objects = objects_of(rows, self._place.name, self._place.tenant, self._searching.names)
        for count, message in messages(objects, self._connection.message_bytes, self._level):
            keys = [row.key for row in rows.rows[position : position + count]]
            # What a broken attempt has stored and not indexed, the next would find unchanged, and never index.
            errors = self._connection.batch_objects(message, before_repeating=partial(self.delete, keys))
            failed += [(rows.rows[position + i].id, reason) for i, reason in errors.items()]
            position += count
            self._written.extend(keys)
        if failed:
            raise PartialFailureError(
                f"Weaviate refused {len(failed)} of {position} documents, the others are in; the first: "
                f"{failed[0][0]!r}: {failed[0][1]}. The same add writes what is missing.",
                failed=failed,
            )

    def contents(self, keys: Sequence[str]) -> dict[str, str]:
        """key -> content hash of the objects that are there, "" of those that another program wrote."""
        there = dict(self._place.read(keys, [ID, CONTENT]))
        contents = {key: payload.Content.of(properties) for key, properties in there.items()}
        lost = unindexed(self._place, contents, self._searched())
        return {
            key: contents[key].hash if properties.get(ID) is not None else ""
            for key, properties in there.items()
            if key not in lost
        }

    def _unindexed(self, keys: Sequence[str]) -> list[str]:
        contents = {key: payload.Content.of(found) for key, found in self._place.read(keys, [CONTENT])}
        return sorted(unindexed(self._place, contents, self._searched()))

    def _searched(self) -> dict[str, int]:
        """Name -> numbers of the vectors that are searched."""
        dims = {} if self._info is None else self._info.dims
        return {self._searching.names.get(output, output): dim for output, dim in dims.items()}

    def payloads(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """key -> the caller's payload of the objects that are there."""
        names = None if self._properties.adopted else [ID, PAYLOAD]
        return {key: payload.decode(key, properties)[1] for key, properties in self._place.read(keys, names)}

    def scan(self, most: int) -> Iterator[tuple[Id, dict[str, Any]]]:
        """The caller's id and payload of the first `most` objects, in the order of their own ids."""
        names = None if self._properties.adopted else [ID, PAYLOAD]
        objects = chain.from_iterable(self._place.pages(names))
        return (payload.decode(key, properties) for key, properties in islice(objects, most))

    def finish(self) -> None:
        """Weaviate syncs and indexes by itself; what it has lost since, because it was killed, is indexed again."""
        # Whether it was away cannot be known: the client rides out some seconds by itself.
        for keys in in_parts(list(self._written)):
            mend(self._place, self._unindexed(keys))
        self._written.clear()

    def search(
        self, question: Question, plan: Plan, limit: int, filter: FilterReturn | None, candidates: int
    ) -> list[Hit]:
        """The best `limit`, best first."""
        return self._searching.hits(question, plan, limit, filter, candidates)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        for some in in_parts(keys) if self._place.there() else ():
            wanted = Filter.by_id().contains_any(some)
            self._place.call("Deleting", lambda wanted=wanted: self._place.handle.data.delete_many(where=wanted))

    def count(self) -> int:
        """Objects in the collection or in the tenant."""
        return self._place.count()

    def close(self) -> None:
        """Let the connection go."""
        self._connection.close()

    def extend(self, info: CollectionInfo) -> None:
        """Add our properties, then the vectors and `info` in one change of the schema."""
        if self._info is not None and self._info.refit is not None and info.refit is None and queued(self._place):
            raise StoreUnavailableError(
                f"vectors of collection {self._place.name!r} wait to be indexed (ASYNC_INDEXING), and a search would "
                "not find them yet; the former FDEs are still searched. The same call goes on when they are indexed."
            )
        doing, path = f"Extending collection {self._place.name!r}", f"/schema/{self._place.name}"
        schema = self._connection.rest(doing, "get", path)
        changed = extended(schema, info, self._creation)
        for prop in lacking_properties(schema):
            self._connection.rest(doing, "post", f"{path}/properties", prop)
        # Read again: the change has to hold the new properties.
        properties = self._connection.rest(doing, "get", path)["properties"]
        self._connection.rest(doing, "put", path, {**changed, "properties": properties})
        self._is(info)
        self._properties.read()

    def unfilled(self, field: str, names: Sequence[str]) -> Iterator[Sequence[Unfilled]]:
        """Pages of those documents that lack one of the vectors, or whose text changed since."""
        return self._filling.unfilled(field, names, self._info)

    def fill(
        self,
        field: str,
        documents: Sequence[Unfilled],
        encoded: Encoded,
        names: Mapping[Output, str] = NO_NAMES,
    ) -> None:
        """Write the vectors of those documents whose text is still that of `documents`."""
        self._filling.fill(field, documents, encoded, names, self._info)

    def drop_vectors(self, name: str, info: CollectionInfo) -> None:  # noqa: ARG002
        """Write `info`. The vectors stay: Weaviate drops some only by an endpoint that is experimental and off.

        A document that is written anew has none of them.
        """
        self.extend(info)

    def drop_fit(self, fingerprint: str) -> None:
        """Remove a fit that was kept."""
        self._fits.drop(fingerprint)

    def _is(self, info: CollectionInfo) -> None:
        self._info = info
        self._searching.names = info.vector_names
        self._properties.adopted = info.adopted


def _numbers(encoded: Encoded) -> list[int]:
    """Of each text, how many numbers its vectors hold."""
    numbers = np.zeros(len(encoded), np.int64)
    for _, part in encoded.vectors():
        numbers += part.lengths * part.dim if isinstance(part, MultiVectors) else part.shape[1]
    return [int(each) for each in numbers]
