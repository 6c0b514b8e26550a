"""A Qdrant server: one collection of it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from qdrant_client import models

from vectorplug.compressor import needs_fit
from vectorplug.encoded import Encoded, Output
from vectorplug.errors import InputError, StoreError, StoreUnavailableError
from vectorplug.search.backfill import Unfilled
from vectorplug.search.database import NO_NAMES, Database
from vectorplug.search.fingerprint import CollectionInfo, NotOursError
from vectorplug.search.hits import Hit, Id, Question, Rows, own_key_of
from vectorplug.search.modes import Plan
from vectorplug_qdrant import adopting, payload
from vectorplug_qdrant.connection import Connection
from vectorplug_qdrant.fits import FITS, Fits
from vectorplug_qdrant.indexing import Indexing
from vectorplug_qdrant.layout import (
    METADATA,
    Creation,
    check_creation,
    check_layout,
    parameters_of,
    sparse_parameters_of,
)
from vectorplug_qdrant.patience import READING, WRITING, NotThereError
from vectorplug_qdrant.schema import fields_of, refusals
from vectorplug_qdrant.searching import query_of
from vectorplug_qdrant.writing import Writing

__all__ = ["ServerCollection"]

LEAST_VERSION = (1, 16)  # the first with metadata of collections
KEYS_AT_ONCE = 10_000
UNSIGNED = range(2**64)


class ServerCollection(Database[models.Filter]):
    """One collection of a server, there or yet to be made; many may use it at once.

    With gRPC points are written as bytes made from arrays, over the client's own channel; else by the client.
    """

    writes_at_once: ClassVar[int] = 4
    can_refit = True

    def __init__(self, connection: Connection, creation: Creation, *, close: Callable[[], None] | None = None) -> None:
        check_creation(creation)
        self._connection = connection
        self._client = connection.client
        self._name = connection.name
        self._ask = connection.ask
        self._creation = creation
        self._close_client = close
        self._version: tuple[int, ...] = ()
        self._info: CollectionInfo | None = None
        self._indexing = Indexing(connection)
        self._writing = Writing(connection)
        self._fits = Fits(connection, creation)

    def open(self) -> CollectionInfo | None:
        """What the collection was made with; None where there is none."""
        self._check_version()
        try:
            config = self._connection.config()
        except NotThereError:
            return None
        info = self._info_of(config)
        self._indexing.opened(config)
        self._fits.opened(config.metadata)
        self._is(info, config)
        return info

    def create(self, info: CollectionInfo) -> None:
        """Make the collection; one that was made meanwhile has to be the same."""
        parameters = parameters_of(info, self._creation)
        try:
            self._ask(
                "Making",
                lambda: self._client.create_collection(
                    self._name,
                    parameters,
                    sparse_vectors_config=sparse_parameters_of(info),
                    shard_number=self._creation.get("shard_number"),
                    replication_factor=self._creation.get("replication_factor"),
                    write_consistency_factor=self._creation.get("write_consistency_factor"),
                    metadata=self._described(info),
                ),
                seconds=WRITING,
            )
        except StoreUnavailableError:
            raise
        except StoreError:
            # An attempt whose answer was lost, or another store, may have made it.
            try:
                made = self._info_of(self._connection.config())
            except NotThereError:
                made = None
            if made is None:
                raise
            if made != info:
                raise StoreUnavailableError(
                    f"collection {self._name!r} was made by another store just now, with [{made.fingerprint}]: "
                    "open it again."
                ) from None
        self._is(info, self._connection.config())
        self._indexing.pause()

    def keep_fit(self, fingerprint: str, data: bytes) -> None:
        """In a collection beside this one."""
        self._fits.keep(fingerprint, data)

    def read_fit(self, fingerprint: str) -> bytes | None:
        """What was kept."""
        return self._fits.read(fingerprint)

    def upsert(self, rows: Rows) -> None:
        """Write points; when this returns the server has them in its log and in the collection."""
        self._writing.upsert(rows)
        self._indexing.written(int(rows.encoded.nbytes().sum()))

    def finish(self) -> None:
        """Have the server index what is new, in the background."""
        self._indexing.finish()

    def contents(self, keys: Sequence[str]) -> dict[str, str]:
        """key -> content hash of the points that are there."""
        records = self._records(keys, [payload.CONTENT], WRITING)
        return {str(record.id): payload.content_of(record.payload) for record in records}

    def payloads(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """key -> the caller's fields of the points that are there."""
        records = self._records(keys, True, READING)
        return {str(record.id): payload.decode(record.id, record.payload)[1] for record in records}

    def scan(self, most: int) -> Iterator[tuple[Id, dict[str, Any]]]:
        """The caller's id and payload of the first `most` points, in the order of their own ids."""
        left, offset = most, None
        while left > 0:
            scroll = partial(
                self._client.scroll, self._name, limit=min(adopting.PAGE, left), offset=offset, with_payload=True
            )
            records, offset = self._ask("Reading", scroll)
            yield from (payload.decode(record.id, record.payload) for record in records)
            left -= len(records)
            if offset is None:
                return

    def refusals(self, rows: Rows) -> dict[int, str]:
        """Position -> the reason, of documents that Qdrant does not take."""
        return refusals(rows)

    def search(
        self, question: Question, plan: Plan, limit: int, filter: models.Filter | None, candidates: int
    ) -> list[Hit]:
        """The best `limit`, best first; all stages are one request."""
        if filter is not None and not isinstance(filter, models.Filter):
            raise InputError(f"filter is a {type(filter).__name__}, expected a qdrant_client.models.Filter.")
        query = query_of(question, plan, limit, filter, candidates, self._writing.names)
        found = self._ask("Searching", lambda: self._client.query_points(self._name, with_payload=True, **query))
        return [payload.hit_of(point) for point in found.points]

    def delete(self, keys: Sequence[str]) -> None:
        """Remove points."""
        for part in _parts(keys):
            points = models.PointIdsList(points=part)
            self._ask("Deleting from", partial(self._client.delete, self._name, points, wait=True), seconds=WRITING)

    def count(self) -> int:
        """Points in the collection."""
        return self._ask("Counting", lambda: self._client.count(self._name, exact=True)).count

    def close(self) -> None:
        """Leave the collection indexing; close the client, where it is our own."""
        self._indexing.close()
        if self._close_client is not None:
            self._close_client()

    def own_key(self, document_id: Id) -> str:
        """As for any database, and an unsigned integer is a point's own id."""
        if isinstance(document_id, int) and not isinstance(document_id, bool) and document_id in UNSIGNED:
            return str(document_id)
        return own_key_of(document_id)

    def extend(self, info: CollectionInfo) -> None:
        """Add the vectors that the collection lacks, then write `info`; everything of theirs stays."""
        had = _names_in(self._info) if self._info is not None else []
        adopting.extend(self._connection, info, had, self._creation, self._version)
        config = self._connection.config()
        check_layout(info, config, self._name)
        adopting.extended(self._connection, self._described(info))
        self._is(info, config)

    def drop_vectors(self, name: str, info: CollectionInfo) -> None:
        """Remove the vectors of that name."""
        adopting.drop(self._connection, name)
        adopting.extended(self._connection, self._described(info))
        self._is(info, self._connection.config())

    def drop_fit(self, fingerprint: str) -> None:
        """Remove a fit that was kept."""
        self._fits.drop(fingerprint)

    def unfilled(self, field: str, names: Sequence[str]) -> Iterator[Sequence[Unfilled]]:
        """Pages of the points that lack one of the vectors."""
        return adopting.lacking(self._connection, field, names)

    def unfilled_count(self, field: str, names: Sequence[str]) -> int:  # noqa: ARG002
        """How many points lack one of the vectors."""
        return adopting.count_lacking(self._connection, names)

    def fill(
        self, field: str, documents: Sequence[Unfilled], encoded: Encoded, names: Mapping[Output, str] = NO_NAMES
    ) -> None:
        """Write the vectors of those points whose text is still the one that was encoded, and nothing else."""
        adopting.fill(self._connection, self._writing, field, documents, encoded, names)
        self._indexing.written(int(encoded.nbytes().sum()))

    def _is(self, info: CollectionInfo, config: models.CollectionConfig) -> None:
        self._info = info
        self._writing.opened(config, words=info.words, names=info.vector_names)

    def _described(self, info: CollectionInfo) -> dict[str, Any]:
        """The collection's metadata."""
        beside = {FITS: self._fits.name} if needs_fit(info.fde) or info.refit is not None else {}
        return {METADATA: info.model_dump(mode="json"), **beside}

    def _check_version(self) -> None:
        version = self._ask("Opening", self._client.info).version
        self._version = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if self._version < LEAST_VERSION:
            raise StoreError(
                f"the Qdrant at {self._connection.url} has version {version}, expected "
                f"{'.'.join(map(str, LEAST_VERSION))} or newer, which keep metadata of a collection: upgrade it."
            )

    def _info_of(self, config: models.CollectionConfig) -> CollectionInfo:
        described = (config.metadata or {}).get(METADATA)
        if described is None:
            raise NotOursError(
                f"collection {self._name!r} is there at {self._connection.url} and was not made by vectorplug (its "
                f"metadata has no {METADATA!r}): choose another name, and a collection is made, or give the documents "
                "of this one their vectors with store.backfill(FIELD_OF_THE_TEXT). Nothing was written."
            )
        info = CollectionInfo.from_json(json.dumps(described), f"the metadata of collection {self._name!r}")
        check_layout(info, config, self._name)
        return info

    def _records(self, keys: Sequence[str], fields: list[str] | bool, seconds: float) -> Iterator[models.Record]:
        for part in _parts(keys):
            yield from self._ask(
                "Reading", partial(self._client.retrieve, self._name, part, with_payload=fields), seconds=seconds
            )


def _names_in(info: CollectionInfo) -> list[str]:
    """Of the vectors that are ours."""
    return [*(field.name for field in fields_of(info)), *sparse_parameters_of(info)]


def _parts(keys: Sequence[str]) -> Iterator[list[Any]]:
    for at in range(0, len(keys), KEYS_AT_ONCE):
        yield [payload.point_id(key) for key in keys[at : at + KEYS_AT_ONCE]]
