"""A Qdrant server: one collection of it."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as qdrant_grpc

from vectorplug.encoded import Encoded
from vectorplug.errors import InputError, StoreError, StoreUnavailableError
from vectorplug.search.database import Database
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.hits import Hit, Question, Rows
from vectorplug.search.modes import Plan
from vectorplug_qdrant import indexing, payload, wire
from vectorplug_qdrant.connecting import channel_of, url_of
from vectorplug_qdrant.layout import METADATA, Creation, check_creation, check_layout, parameters_of
from vectorplug_qdrant.patience import CLOSING, READING, WRITING, NotThereError, patiently
from vectorplug_qdrant.schema import Stage, refusals, stages_of

__all__ = ["ServerCollection"]

log = logging.getLogger("vectorplug")
T = TypeVar("T")

LEAST_VERSION = (1, 16)  # the first with metadata of collections
# Of one request, as it is sent. REST takes 32 MiB; gRPC takes anything, and more at once is no faster.
REQUEST_BYTES = 16 * 2**20
# A float32 of 4 bytes is up to 24 letters in JSON.
JSON_FACTOR = 6
POINT_BYTES = 200
KEYS_AT_ONCE = 10_000
# Candidates by quantized FDEs a candidate that is asked for; the whole FDEs choose among them.
OVERSAMPLING = 2.0


class ServerCollection(Database[models.Filter]):
    """One collection of the server that `client` speaks with, there or yet to be made; many may use it at once.

    With gRPC points are written as bytes made from arrays, over the client's own channel; else by the client.
    """

    def __init__(
        self, client: QdrantClient, collection: str, creation: Creation, *, close: Callable[[], None] | None = None
    ) -> None:
        check_creation(creation)
        self._client = client
        self._url = url_of(client)
        self._name = collection
        self._creation = creation
        self._close_client = close
        self._most_points: int | None = None
        self._paused = False
        self._unpaused_bytes = 0
        self._send: Callable[[bytes], object] | None = None
        if (found := channel_of(client)) is not None:
            channel, timeout = found
            upsert = channel.unary_unary(
                wire.UPSERT, response_deserializer=qdrant_grpc.PointsOperationResponse.FromString
            )
            self._send = lambda message: upsert(message, timeout=timeout)

    def open(self) -> CollectionInfo | None:
        """What the collection was made with; None where there is none."""
        try:
            self._check_version()
            try:
                config = self._config()
            except NotThereError:
                return None
            info = self._info_of(config)
            if indexing.is_paused(config):
                self._set_indexing("Resuming the indexing of", indexing.resume)
        except BaseException:
            self.close()
            raise
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
                    shard_number=self._creation.get("shard_number"),
                    replication_factor=self._creation.get("replication_factor"),
                    write_consistency_factor=self._creation.get("write_consistency_factor"),
                    metadata={METADATA: info.model_dump(mode="json")},
                ),
                seconds=WRITING,
            )
        except StoreUnavailableError:
            raise
        except StoreError:
            # An attempt whose answer was lost, or another store, may have made it.
            try:
                made = self._info_of(self._config())
            except NotThereError:
                made = None
            if made is None:
                raise
            if made != info:
                raise StoreUnavailableError(
                    f"collection {self._name!r} was made by another store just now, with [{made.fingerprint}]: "
                    "open it again."
                ) from None
        self._pause_indexing()

    def upsert(self, rows: Rows) -> None:
        """Write points; when this returns the server has them in its log and in the collection."""
        for part in self._requests(rows):
            self._ask("Writing to", self._written_by(part), seconds=WRITING)
        self._unpaused_bytes += int(rows.encoded.nbytes().sum())
        if self._unpaused_bytes >= indexing.BULK_BYTES:
            self._pause_indexing()

    def finish(self) -> None:
        """Have the server index what is new, in the background."""
        self._unpaused_bytes = 0
        if self._paused:
            self._set_indexing("Resuming the indexing of", indexing.resume)

    def contents(self, keys: Sequence[str]) -> dict[str, str]:
        """key -> content hash of the points that are there."""
        return {str(r.id): payload.content_of(r.payload or {}) for r in self._records(keys, [payload.CONTENT], WRITING)}

    def payloads(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """key -> the caller's fields of the points that are there."""
        return {str(r.id): payload.decode(r.payload or {})[1] for r in self._records(keys, True, READING)}

    def refusals(self, rows: Rows) -> dict[int, str]:
        """Position -> the reason, of documents that Qdrant does not take."""
        return refusals(rows)

    def search(
        self, question: Question, plan: Plan, limit: int, filter: models.Filter | None, candidates: int
    ) -> list[Hit]:
        """The best `limit`, best first; all stages are one request."""
        stages, query = stages_of(plan, limit, candidates), question.encoded
        if filter is not None and not isinstance(filter, models.Filter):
            raise InputError(f"filter is a {type(filter).__name__}, expected a qdrant_client.models.Filter.")
        prefetch: models.Prefetch | None = None
        for stage in stages[:-1]:
            prefetch = models.Prefetch(
                query=_vector(stage, query),
                using=stage.using,
                limit=stage.limit,
                filter=filter,
                params=_params(stage),
                prefetch=prefetch,
            )
        last = stages[-1]
        response = self._ask(
            "Searching",
            lambda: self._client.query_points(
                self._name,
                query=_vector(last, query),
                using=last.using,
                limit=last.limit,
                query_filter=filter,
                search_params=_params(last),
                prefetch=prefetch,
                with_payload=True,
            ),
        )
        return [payload.hit_of(point.payload or {}, point.score) for point in response.points]

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
        if self._paused:
            self._set_indexing("Resuming the indexing of", indexing.resume, seconds=CLOSING)
        if self._close_client is not None:
            self._close_client()

    def _ask(self, doing: str, call: Callable[[], T], *, seconds: float = READING) -> T:
        return patiently(f"{doing} collection {self._name!r}", self._url, call, seconds=seconds)

    def _check_version(self) -> None:
        version = self._ask("Opening", self._client.info).version
        major_minor = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if major_minor < LEAST_VERSION:
            raise StoreError(
                f"the Qdrant at {self._url} has version {version}, expected {'.'.join(map(str, LEAST_VERSION))} or "
                "newer, which keep metadata of a collection: upgrade it."
            )

    def _config(self, seconds: float = READING) -> models.CollectionConfig:
        config = self._ask("Reading", lambda: self._client.get_collection(self._name), seconds=seconds).config
        strict = config.strict_mode_config
        self._most_points = strict.upsert_max_batchsize if strict is not None and strict.enabled else None
        return config

    def _info_of(self, config: models.CollectionConfig) -> CollectionInfo:
        described = (config.metadata or {}).get(METADATA)
        if described is None:
            raise StoreError(
                f"collection {self._name!r} is there at {self._url} and was not made by vectorplug (its metadata has "
                f"no {METADATA!r}): choose another name, and a collection is made. Nothing was written."
            )
        info = CollectionInfo.from_json(json.dumps(described), f"the metadata of collection {self._name!r}")
        check_layout(info, config, self._name)
        return info

    def _pause_indexing(self) -> None:
        self._unpaused_bytes = 0
        self._set_indexing("Pausing the indexing of", indexing.pause)

    def _set_indexing(
        self,
        doing: str,
        change: Callable[[QdrantClient, str, models.CollectionConfig], bool],
        *,
        seconds: float = READING,
    ) -> None:
        try:
            config = self._config(seconds)
            self._paused = self._ask(doing, lambda: change(self._client, self._name, config), seconds=seconds)
        except StoreError as error:
            # A key may be allowed to write points or to read them, and no more: searches are right either way.
            log.warning("%s Indexing stays as it is.", error)

    def _requests(self, rows: Rows) -> Iterator[Rows]:
        """`rows` in requests that the server takes."""
        vectors = sum(4 * _numbers(name, part) for name, part in rows.encoded.vectors())
        sizes = vectors * (1 if self._send else JSON_FACTOR)
        sizes += [POINT_BYTES + len(json.dumps(row.payload)) for row in rows.rows]
        start, held = 0, 0
        for i, size in enumerate(sizes.tolist()):
            if i > start and (held + size > REQUEST_BYTES or i - start == self._most_points):
                yield Rows(rows.rows[start:i], rows.encoded[start:i])
                start, held = i, 0
            held += size
        yield Rows(rows.rows[start:], rows.encoded[start:])

    def _written_by(self, rows: Rows) -> Callable[[], object]:
        if self._send is None:
            points = list(_points(rows))
            return lambda: self._client.upsert(self._name, points, wait=True)
        send, message = self._send, wire.upsert_message(self._name, rows)
        return lambda: send(message)

    def _records(self, keys: Sequence[str], fields: list[str] | bool, seconds: float) -> Iterator[models.Record]:
        for part in _parts(keys):
            yield from self._ask(
                "Reading", partial(self._client.retrieve, self._name, part, with_payload=fields), seconds=seconds
            )


def _parts(keys: Sequence[str]) -> Iterator[list[Any]]:
    return (list(keys[at : at + KEYS_AT_ONCE]) for at in range(0, len(keys), KEYS_AT_ONCE))


def _numbers(name: str, part: Any) -> Any:
    """int64 [n]: the numbers of each text's vectors."""
    return part.lengths * part.dim if name == "tokens" else np.full(len(part), part.shape[1])


def _points(rows: Rows) -> Iterator[models.PointStruct]:
    columns: Mapping[str, Any] = dict(rows.encoded.vectors())
    for i, row in enumerate(rows.rows):
        vector = {name: _floats(part[i]) for name, part in columns.items()}
        yield models.PointStruct(id=row.key, payload=payload.encode(row), vector=vector)


def _floats(array: Any) -> Any:
    return np.asarray(array, np.float32).tolist()


def _vector(stage: Stage, query: Encoded) -> Any:
    return _floats(getattr(query, stage.using)[0])


def _params(stage: Stage) -> models.SearchParams:
    if stage.ef is None:
        return models.SearchParams(exact=True)
    # Says nothing to a collection without quantization.
    quantization = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
    return models.SearchParams(hnsw_ef=stage.ef, quantization=quantization)
