"""Qdrant's engine in process: one collection, its write-ahead log and its index."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from qdrant_edge import (
    Bm25,
    CountRequest,
    EdgeShard,
    Filter,
    Fusion,
    Point,
    PointVectors,
    Prefetch,
    QuantizationSearchParams,
    Query,
    QueryRequest,
    ScrollRequest,
    SearchParams,
    UpdateOperation,
)

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import InputError, StoreError
from vectorplug.search.backfill import Unfilled
from vectorplug.search.database import NO_NAMES, Database
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.hits import Hit, Id, Question, Rows
from vectorplug.search.modes import Plan
from vectorplug_qdrant import edge_filling, payload
from vectorplug_qdrant.edge_layout import config_of
from vectorplug_qdrant.failures import engine_errors, no_room
from vectorplug_qdrant.folder import CollectionFolder
from vectorplug_qdrant.schema import (
    OVERSAMPLING,
    WORDS,
    Stage,
    VectorField,
    fields_of,
    refusals,
    stages_of,
)

__all__ = ["EdgeCollection"]

log = logging.getLogger("vectorplug")

# Written vectors after which the engine syncs: a killed process's log is replayed at about 30 MB a second.
FLUSH_BYTES = 64 * 2**20
# An upsert takes its vectors' bytes once in the log (1.2 times) and once in the segment. The engine maps files with
# holes: on a full disk, touching one kills the process (SIGBUS), so room is asked for before.
ROOM_FACTOR = 3
ROOM_RESERVE = 64 * 2**20
# Vectors without a graph are scanned, exactly, at 4 to 8 GB a second: 30 to 60 ms for this many bytes. To build the
# graph of 5,183 FDEs of 10,240 numbers (212 MB) takes 30 CPU seconds with the interpreter blocked and turns a search
# of 49 ms into one of 19 ms: below this a collection is better off without. A graph once there stays, and what comes
# later is scanned beside it until it is as much again.
INDEX_BYTES = 256 * 2**20
# Of the fusion by ranks, 1 / (k + rank): the default of Qdrant's server.
FUSION_K = 2


class EdgeCollection(Database[Filter]):
    """The engine's shard of one collection, open or yet to be made; after an error of the engine it is loaded anew."""

    can_refit = True
    has_one_user: ClassVar[bool] = True

    def __init__(self, folder: CollectionFolder) -> None:
        self._folder = folder
        self._shard: EdgeShard | None = None
        self._fields: list[VectorField] = []
        self._names: Mapping[Output, str] = NO_NAMES
        self._words: Bm25 | None = None
        self._unflushed = 0
        # Of a collection that is yet to be made.
        self._fits: dict[str, bytes] = {}

    def open(self) -> CollectionInfo | None:
        """Lock and load the collection if it exists; what it was made with."""
        if not self._folder.exists():
            return None
        with self._errors("Opening"):
            self._folder.lock()
        try:
            with self._errors("Opening"):
                info = self._folder.read_info()
            self._is(info)
            self._loaded()
        except BaseException:
            self.close()
            raise
        return info

    def create(self, info: CollectionInfo) -> None:
        """Make the collection, and hold it."""
        self._is(info)
        config = config_of(info)

        def make_shard(path: Path) -> None:
            _check_room(path.parent, 0)
            EdgeShard.create(str(path), config).close()

        with self._errors("Making"):
            self._folder.create(info, make_shard, self._fits)
        self._fits.clear()
        try:
            self._loaded()
        except BaseException:
            self.close()
            raise

    def keep_fit(self, fingerprint: str, data: bytes) -> None:
        """A file in the collection's folder; of one that is yet to be made, it comes with it."""
        if not self._folder.exists():
            self._fits[fingerprint] = data
            return
        _check_room(self._folder.path, len(data))
        with self._errors("Writing to"):
            self._folder.write_fit(fingerprint, data)

    def read_fit(self, fingerprint: str) -> bytes | None:
        """What was kept."""
        if fingerprint in self._fits:
            return self._fits[fingerprint]
        with self._errors("Reading"):
            return self._folder.read_fit(fingerprint)

    def upsert(self, rows: Rows) -> None:
        """Write points; when this returns they are in the log, and so survive the end of the process."""
        size = _bytes(rows.encoded)
        _check_room(self._folder.path, ROOM_FACTOR * size)
        operation = UpdateOperation.upsert_points(list(_points(rows, self._words, self._names)))
        with self._engine("Writing to") as shard:
            shard.update(operation)
        self._written(size)

    def finish(self) -> None:
        """Sync to the disk; index what is new once that is much."""
        self._flush()
        if self._unindexed_bytes() < INDEX_BYTES:
            return
        needed = sum(file.stat().st_blocks * 512 for file in self._folder.shard.rglob("*") if file.is_file())
        try:
            _check_room(self._folder.path, needed)
        except StoreError as error:
            log.warning("the index of collection %s is not built, searches scan instead: %s", self._folder.path, error)
            return
        with self._engine("Indexing") as shard:
            shard.optimize()
            shard.flush()

    def contents(self, keys: Sequence[str]) -> dict[str, str]:
        """key -> content hash of the points that are there."""
        with self._engine("Reading") as shard:
            records = shard.retrieve(list(keys), [payload.CONTENT], False)
        return {str(record.id): payload.content_of(record.payload) for record in records}

    def payloads(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """key -> the caller's fields of the points that are there."""
        with self._engine("Reading") as shard:
            records = shard.retrieve(list(keys), True, False)
        return {str(record.id): payload.decode(record.id, record.payload)[1] for record in records}

    def scan(self, most: int) -> Iterator[tuple[Id, dict[str, Any]]]:
        """The caller's id and payload of the first `most` points, in the order of their own ids."""
        left, offset = most, None
        while left > 0:
            page = ScrollRequest(
                offset=offset, limit=min(edge_filling.PAGE, left), with_payload=True, with_vector=False
            )
            with self._engine("Reading") as shard:
                records, offset = shard.scroll(page)
            yield from (payload.decode(record.id, record.payload) for record in records)
            left -= len(records)
            if offset is None:
                return

    def refusals(self, rows: Rows) -> dict[int, str]:
        """Position -> the reason, of documents that Qdrant does not take."""
        return refusals(rows)

    def search(self, question: Question, plan: Plan, limit: int, filter: Filter | None, candidates: int) -> list[Hit]:
        """The best `limit`, best first; all stages are one request."""
        if filter is not None and not isinstance(filter, Filter):
            raise InputError(f"filter is a {type(filter).__name__}, expected a qdrant_edge.Filter.")
        steps = stages_of(plan, limit, candidates)
        prefetches: list[Prefetch] = []
        for step in steps[:-1]:
            prefetches = [
                Prefetch(stage.limit, self._query(stage, question), prefetches, _search_params(stage), filter)
                for stage in step
            ]
        (last,) = steps[-1]
        request = QueryRequest(
            last.limit,
            query=self._query(last, question),
            prefetches=prefetches,
            filter=filter,
            params=_search_params(last),
            with_payload=True,
        )
        with self._engine("Searching") as shard:
            return [payload.hit_of(point) for point in shard.query(request)]

    def delete(self, keys: Sequence[str]) -> None:
        """Remove points, synced to the disk."""
        with self._engine("Deleting from") as shard:
            shard.update(UpdateOperation.delete_points(list(keys)))
        self._flush()

    def count(self) -> int:
        """Points in the collection."""
        with self._engine("Counting") as shard:
            return shard.count(CountRequest(exact=True))

    def extend(self, info: CollectionInfo) -> None:
        """Add the vectors that the collection lacks."""
        if info.refit is not None:
            # First what is being made: the engine loads no shard that has a vector nobody knows of.
            with self._errors("Writing to"):
                self._folder.write_info(info)
        with self._engine("Adding vectors to") as shard:
            edge_filling.add_vectors(shard, info)
        self._changed(info)

    def drop_vectors(self, name: str, info: CollectionInfo) -> None:
        """Remove the vectors of that name."""
        with self._engine("Dropping vectors of") as shard:
            shard.update(UpdateOperation.delete_vector_name(name))
            shard.flush()
        self._changed(info)

    def drop_fit(self, fingerprint: str) -> None:
        """Remove a fit that was kept."""
        with self._errors("Dropping a fit of"):
            self._folder.drop_fit(fingerprint)

    def _changed(self, info: CollectionInfo) -> None:
        self._drop()
        with self._errors("Opening"):
            # How a graph is built, or not, is said when a shard is loaded.
            self._shard = EdgeShard.load(str(self._folder.shard), config_of(info))
            self._folder.write_info(info)
        self._is(info)

    def unfilled(self, field: str, names: Sequence[str]) -> Iterator[Sequence[Unfilled]]:
        """Pages of the points that lack one of the vectors."""
        offset, steps = None, payload.steps_of(field)
        while True:
            with self._engine("Reading") as shard:
                records, offset = shard.scroll(edge_filling.lacking(names, field, offset))
            yield [payload.unfilled(record, steps) for record in records]
            if offset is None:
                return

    def fill(
        self, field: str, documents: Sequence[Unfilled], encoded: Encoded, names: Mapping[Output, str] = NO_NAMES
    ) -> None:
        """Write the vectors of those points whose text is still the one that was encoded, and nothing else."""
        _check_room(self._folder.path, ROOM_FACTOR * _bytes(encoded))
        with self._engine("Writing to") as shard:
            there = {str(record.id) for record in shard.retrieve([each.key for each in documents], False, False)}
            vectors = zip(documents, _named_vectors(encoded, names), strict=True)
            points = [PointVectors(each.key, named) for each, named in vectors if each.key in there]
            shard.update(UpdateOperation.update_vectors(points, edge_filling.unchanged(field, documents)))
        self._written(_bytes(encoded))

    def close(self) -> None:
        """Let go of the shard and of the lock."""
        try:
            self._drop()
        finally:
            self._folder.unlock()

    def _is(self, info: CollectionInfo) -> None:
        self._fields = fields_of(info)
        self._names = info.vector_names
        self._words = Bm25() if info.words else None

    def _query(self, stage: Stage, question: Question) -> Any:  # Fusion's kinds are no Fusion to the stubs
        if stage.using == "fusion":
            return Fusion.Rrf(FUSION_K)
        if stage.using == WORDS:
            assert self._words is not None
            return Query.Nearest(self._words.embed_query(question.text), using=WORDS)
        one = Encoded(**{stage.using: getattr(question.encoded, stage.using)})
        ((name, vector),) = next(_named_vectors(one, self._names)).items()
        return Query.Nearest(vector, using=name)

    def _written(self, size: int) -> None:
        self._unflushed += size
        if self._unflushed >= FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        with self._engine("Syncing") as shard:
            shard.flush()
        self._unflushed = 0

    def _unindexed_bytes(self) -> float:
        """Bytes that one search by a single vector has to scan."""
        with self._engine("Reading") as shard:
            info = shard.info()
        unindexed = info.points_count - info.indexed_vectors_count / len(self._fields)
        return unindexed * 4 * max((field.size for field in self._fields if not field.multi), default=0)

    def _errors(self, doing: str) -> Any:
        return engine_errors(self._folder.path, doing)

    @contextmanager
    def _engine(self, doing: str) -> Iterator[EdgeShard]:
        try:
            with self._errors(doing):
                yield self._loaded()
        except StoreError:
            # "Not recovered from previous error" is all that a shard answers after a failed write.
            self._drop()
            raise

    def _loaded(self) -> EdgeShard:
        if self._shard is None:
            # Left by a process that was killed while it built an index; the engine never looks at it again.
            shutil.rmtree(self._folder.shard / "temp_segments", ignore_errors=True)
            with self._errors("Opening"):
                self._shard = EdgeShard.load(str(self._folder.shard))
        return self._shard

    def _drop(self) -> None:
        shard, self._shard = self._shard, None
        if shard is not None:
            with suppress(StoreError), self._errors("Closing"):
                shard.close()


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + ROOM_RESERVE:
        raise no_room(folder, f"{free:,} bytes free, {needed + ROOM_RESERVE:,} needed")


def _bytes(encoded: Encoded) -> int:
    """Of the vectors as the engine keeps them: in float32."""
    return sum(4 * (part.values if name == "tokens" else part).size for name, part in encoded.vectors())


def _points(rows: Rows, words: Bm25 | None, names: Mapping[Output, str]) -> Iterator[Point]:
    for row, vectors in zip(rows.rows, _named_vectors(rows.encoded, names), strict=True):
        if words is not None and (text := payload.words_of(row)) is not None:
            vectors[WORDS] = words.embed_document(text)
        yield Point(row.key, vectors, payload.encode(row))


def _named_vectors(encoded: Encoded, names: Mapping[Output, str]) -> Iterator[dict[str, Any]]:
    """The vectors of each text as the engine reads them: a memoryview a vector, twice as fast as lists of floats."""
    columns: dict[str, Any] = {}
    for output, part in encoded.vectors():
        name = names.get(output, output)
        if output == "tokens":
            tokens = part.astype("float32")
            flat, dim = memoryview(tokens.values.reshape(-1)), tokens.dim
            columns[name] = (
                [flat[at : at + dim] for at in range(begin * dim, end * dim, dim)]
                for begin, end in zip(tokens.offsets[:-1].tolist(), tokens.offsets[1:].tolist(), strict=True)
            )
        else:
            columns[name] = map(memoryview, np.ascontiguousarray(part, np.float32))
    return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))


def _search_params(stage: Stage) -> SearchParams:
    # Says nothing to a collection without quantization.
    quantization = QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
    return SearchParams(hnsw_ef=stage.ef, exact=stage.ef is None, quantization=quantization)
