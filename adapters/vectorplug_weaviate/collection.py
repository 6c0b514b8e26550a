"""One collection of a Weaviate server, or one tenant of it: what is asked of the server, and in which requests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
from weaviate.classes.config import ConsistencyLevel, DataType
from weaviate.classes.query import Filter, FilterReturn, MetadataQuery
from weaviate.collections.classes.config import CollectionConfig
from weaviate.proto.v1 import base_pb2

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import InputError, PartialFailureError, StoreError, StoreUnavailableError
from vectorplug.multivectors import MultiVectors
from vectorplug.search.database import Database
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.hits import Hit, Question, Rows
from vectorplug.search.modes import Plan
from vectorplug_weaviate import payload
from vectorplug_weaviate.batch import FRAME_BYTES, largest, messages, objects_of
from vectorplug_weaviate.connection import Connection
from vectorplug_weaviate.schema import CONTENT, ID, PART, PARTS, PAYLOAD, class_name, definition, info_of

__all__ = ["WeaviateCollection"]

# Weaviate answers with at most 10,000 objects (QUERY_MAXIMUM_RESULTS) and ranks twice as many as it answers with. Parts
# are equal but for chance: this leaves them room.
SCANNED_AT_ONCE = 8_000
RANKED_AN_ANSWER = 2
# Ids in one filter.
KEYS_AT_ONCE = 1_000
LEVELS = {
    ConsistencyLevel.ONE: base_pb2.CONSISTENCY_LEVEL_ONE,
    ConsistencyLevel.QUORUM: base_pb2.CONSISTENCY_LEVEL_QUORUM,
    ConsistencyLevel.ALL: base_pb2.CONSISTENCY_LEVEL_ALL,
}


@dataclass(frozen=True, slots=True)
class Found:
    """An object of an answer: its key, its score (the larger the nearer), its properties where they were asked for."""

    key: str
    score: float
    properties: dict[str, Any]


class WeaviateCollection(Database[FilterReturn]):
    """The requests of one collection; every call may raise StoreUnavailableError or StoreError."""

    def __init__(
        self,
        connection: Connection,
        collection: str,
        *,
        tenant: str | None,
        consistency_level: ConsistencyLevel | None,
    ) -> None:
        self._connection = connection
        self._name = class_name(collection)
        self._tenant = tenant
        self._level = consistency_level
        self._types: dict[str, DataType] = {}
        self._tenant_there = tenant is None
        handle = connection.client.collections.use(self._name)
        if consistency_level is not None:
            handle = handle.with_consistency_level(consistency_level)
        self._handle = handle if tenant is None else handle.with_tenant(tenant)

    def open(self) -> CollectionInfo | None:
        """What the collection was made with; None where it is not there."""
        if not self._call("Opening", self._exists):
            return None
        config = self._call("Opening", self._handle.config.get)
        info = info_of(config, tenant=self._tenant)
        self._types = _types_of(config)
        return info

    def create(self, info: CollectionInfo) -> None:
        """Make the collection; its description is `info`."""
        schema = definition(self._name, info, tenants=self._tenant is not None)
        if self._call("Making", self._exists):
            raise StoreUnavailableError(f"collection {self._name!r} was made by another store just now: open it again.")
        self._call("Making", lambda: self._connection.client.collections.create_from_dict(schema))

    def refusals(self, rows: Rows) -> dict[int, str]:
        """Position -> the reason, of documents that this server or this schema cannot take."""
        limit = largest(self._connection.message_bytes)
        refused = {}
        for i, (row, numbers) in enumerate(zip(rows.rows, _numbers(rows.encoded), strict=True)):
            size = 4 * numbers + payload.size(row) + FRAME_BYTES
            if reason := payload.conflict(row, self._types):
                refused[i] = reason
            elif size > limit:
                refused[i] = (
                    f"its vectors and payload are {size:,} bytes, this server takes {limit:,} in a message: split it, "
                    "or pool its tokens"
                )
        return refused

    def upsert(self, rows: Rows) -> None:
        """Write objects, replacing those with the same key; PartialFailureError names those that were refused."""
        self._prepare(rows)
        level = None if self._level is None else LEVELS[self._level]
        failed: list[tuple[object, str]] = []
        position = 0
        objects = objects_of(rows, self._name, self._tenant)
        for count, message in messages(objects, self._connection.message_bytes, level):
            errors = self._connection.batch_objects(message)
            failed += [(rows.rows[position + i].id, reason) for i, reason in errors.items()]
            position += count
        if failed:
            raise PartialFailureError(
                f"Weaviate refused {len(failed)} of {position} documents, the others are in; the first: "
                f"{failed[0][0]!r}: {failed[0][1]}. The same add writes what is missing.",
                failed=failed,
            )

    def contents(self, keys: Sequence[str]) -> dict[str, str]:
        """key -> content hash of the objects that are there."""
        return {key: str(properties[CONTENT]) for key, properties in self._read(keys, [CONTENT])}

    def payloads(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """key -> the caller's payload of the objects that are there."""
        return {key: payload.decode(properties)[1] for key, properties in self._read(keys, [ID, PAYLOAD])}

    def finish(self) -> None:
        """Weaviate syncs and indexes by itself."""

    def search(
        self, question: Question, plan: Plan, limit: int, filter: FilterReturn | None, candidates: int
    ) -> list[Hit]:
        """The best `limit`, best first."""
        if filter is not None and not isinstance(filter, FilterReturn):
            raise InputError(f"filter is a {type(filter).__name__}, expected a weaviate.classes.query.Filter.")
        hits = []
        for found in self._found(question.encoded, plan, limit, filter, candidates):
            document_id, fields = payload.decode(found.properties)
            hits.append(Hit(document_id, found.score, fields))
        return hits

    def _found(
        self, query: Encoded, plan: Plan, limit: int, filter: FilterReturn | None, candidates: int
    ) -> list[Found]:
        if not self._there():
            return []
        if plan.find == "tokens":
            return self._rank(query, self._scan(query, limit, filter), limit)
        if plan.rerank is None:
            return self._nearest(plan.find, query, limit, filter, properties=True)
        found = self._nearest(plan.find, query, candidates, filter, properties=False)
        return self._rank(query, [each.key for each in found], limit)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        if not self._there():
            return
        for some in _in_parts(keys, KEYS_AT_ONCE):
            wanted = Filter.by_id().contains_any(some)
            self._call("Deleting", lambda wanted=wanted: self._handle.data.delete_many(where=wanted))

    def count(self) -> int:
        """Objects in the collection or in the tenant."""
        if not self._there():
            return 0
        return self._call("Counting", lambda: self._handle.aggregate.over_all(total_count=True)).total_count or 0

    def close(self) -> None:
        """Let the connection go."""
        self._connection.close()

    def _read(self, keys: Sequence[str], names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The key and some properties of the objects that are there."""
        for some in _in_parts(keys, KEYS_AT_ONCE) if self._there() else ():
            wanted = Filter.by_id().contains_any(some)
            reply = self._call(
                "Reading",
                lambda wanted=wanted, some=some: self._handle.query.fetch_objects(
                    filters=wanted, limit=len(some), return_properties=names
                ),
            )
            yield from ((str(each.uuid), dict(each.properties)) for each in reply.objects)

    def _rank(self, query: Encoded, keys: Sequence[str], limit: int) -> list[Found]:
        """The best `limit` of the objects `keys` by exact MaxSim, which the server computes."""
        ranked: list[Found] = []
        for some in _in_parts(keys, KEYS_AT_ONCE):
            asked = max(min(limit, len(some)), ceil(len(some) / RANKED_AN_ANSWER))
            ranked += self._nearest("tokens", query, asked, Filter.by_id().contains_any(some), properties=True)
        return _best(ranked, limit)

    def _scan(self, query: Encoded, limit: int, filter: FilterReturn | None) -> list[str]:
        """Keys of the best `limit` of all objects by exact MaxSim, part by part."""
        count = self.count()
        parts = ceil(count / SCANNED_AT_ONCE) or 1
        asked = max(limit, ceil(min(count, SCANNED_AT_ONCE * 5 / 4) / RANKED_AN_ANSWER))
        best: list[Found] = []
        for part in range(parts):
            begin, end = (PARTS * each // parts for each in (part, part + 1))
            within = Filter.by_property(PART).greater_or_equal(begin) & Filter.by_property(PART).less_than(end)
            allowed = within if filter is None else within & filter
            best = _best(best + self._nearest("tokens", query, asked, allowed, properties=False), limit)
        return [each.key for each in best]

    def _nearest(
        self, name: Output, query: Encoded, limit: int, filter: FilterReturn | None, *, properties: bool
    ) -> list[Found]:
        vector: Any = _query_vector(name, query)
        reply = self._call(
            "Searching",
            lambda: self._handle.query.near_vector(
                vector,
                target_vector=name,
                limit=limit,
                filters=filter,
                return_metadata=MetadataQuery(distance=True),
                return_properties=[ID, PAYLOAD] if properties else [],
            ),
        )
        return [
            Found(str(each.uuid), -(each.metadata.distance or 0.0), dict(each.properties)) for each in reply.objects
        ]

    def _prepare(self, rows: Rows) -> None:
        """The tenant, and the properties that these documents are the first to have."""
        if not self._there():
            self._call("Making a tenant in", lambda: self._handle.tenants.create(self._tenant or ""))
        for name, prop in payload.missing(rows.rows, self._types).items():
            try:
                self._call("Adding a property to", lambda prop=prop: self._handle.config.add_property(prop))
                self._types[name] = DataType(prop.dataType)
            except StoreError:
                self._read_types()
                if name not in self._types:  # else another writer was first
                    raise

    def _there(self) -> bool:
        """Whether the tenant is there; it is made with its first document, by whoever writes that."""
        if not self._tenant_there:
            self._tenant_there = self._call("Reading", lambda: self._handle.tenants.exists(self._tenant or ""))
        return self._tenant_there

    def _read_types(self) -> None:
        self._types = _types_of(self._call("Reading", self._handle.config.get))

    def _exists(self) -> bool:
        return self._connection.client.collections.exists(self._name)

    def _call(self, doing: str, function: Any) -> Any:
        return self._connection.call(f"{doing} collection {self._name!r}", function)


def _types_of(config: CollectionConfig) -> dict[str, DataType]:
    return {prop.name: DataType(prop.data_type) for prop in config.properties}


def _numbers(encoded: Encoded) -> list[int]:
    """Of each text, how many numbers its vectors hold."""
    numbers = np.zeros(len(encoded), np.int64)
    for _, part in encoded.vectors():
        numbers += part.lengths * part.dim if isinstance(part, MultiVectors) else part.shape[1]
    return [int(each) for each in numbers]


def _query_vector(name: Output, query: Encoded) -> npt.NDArray[np.float32]:
    if name == "tokens":
        assert query.tokens is not None
        return np.ascontiguousarray(query.tokens.astype("float32")[0])
    return np.asarray(getattr(query, name)[0], np.float32)


def _best(found: list[Found], limit: int) -> list[Found]:
    return sorted(found, key=lambda each: -each.score)[:limit]


def _in_parts(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[i : i + size] for i in range(0, len(keys), size))
