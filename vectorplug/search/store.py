"""The contract of a store: one collection of documents in one database, searched by mode."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from tqdm.auto import tqdm

from vectorplug.encoded import OUTPUTS, Encoded, Output
from vectorplug.errors import ConfigurationError, InputError, PartialFailureError, StoreError
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.hits import AddReport, Hit, Id, Row, Rows, key_of, row_of
from vectorplug.search.ingest import Window, chunks_by_bytes, windows
from vectorplug.search.modes import Mode, Plan, default_candidates, plan_of
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["Store"]

Filter = TypeVar("Filter")


class Store(ABC, Generic[Filter]):
    """One collection. An adapter writes the eight abstract methods at the end; everything else is the same for all.

    `vectorizer` and `mode` may be left out for a collection that exists: it knows what it was made with.
    `outputs` names the vectors that a new collection stores, by default those that `mode` needs.
    Raises FingerprintError where the collection was made with another model or FDE.
    """

    chunk_bytes: ClassVar[int] = 16 * 2**20
    """Bytes of vectors that are handed to the database at once."""

    def __init__(
        self,
        collection: str,
        *,
        vectorizer: TextVectorizer | None,
        mode: Mode | None,
        outputs: Sequence[Output] | None,
    ) -> None:
        self.collection = collection
        self._vectorizer = vectorizer
        self._closed = False
        self._outputs = tuple(outputs or plan_of(mode or "fde+rerank").outputs)
        unknown = [name for name in self._outputs if name not in OUTPUTS]
        if unknown:
            raise ConfigurationError(f"output {unknown[0]!r} is not one of {', '.join(OUTPUTS)}.")
        if mode is not None:
            plan_of(mode)
        self._info = self._read_info()
        self.mode: Mode = mode or (self._info.mode if self._info else "fde+rerank")
        try:
            if self._info is not None:
                self._info.check_mode(self.mode, collection)
                if vectorizer is not None:
                    self._check_vectorizer(vectorizer)
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> CollectionInfo | None:
        """What the collection was made with; None before the first document is written."""
        return self._info

    @property
    def vectorizer(self) -> TextVectorizer:
        """The one given, or the one that the collection was made with (loaded at first use)."""
        if self._vectorizer is None:
            self._vectorizer = self._stored_vectorizer()
        return self._vectorizer

    def add(
        self,
        texts: Iterable[str],
        ids: Iterable[Id] | None = None,
        payloads: Iterable[Mapping[str, Any] | None] | None = None,
        *,
        show_progress_bar: bool | None = None,
    ) -> AddReport:
        """Encode n texts and write them; any iterables, read once, so a corpus need not fit into memory.

        `ids` are str or int; without them a text's own hash is its id. The text is kept in the payload as "text"
        unless the payload has such a field. A document that is there with the same text and payload is skipped
        without encoding it, another with its id is replaced: the same call again completes one that was
        interrupted. A document that cannot be used is named in `report.failed`, the others go in.
        """
        self._check_open()
        dims = self.vectorizer.dims
        dims = {name: dims[name] for name in self._wanted(dims)}
        report = AddReport()
        total = len(texts) if isinstance(texts, Sequence) else None
        # tqdm's None means: quiet unless this is a terminal.
        with tqdm(total=total, disable=None if show_progress_bar is None else not show_progress_bar) as bar:
            bar.set_description("Adding documents")
            for window in windows(texts, ids, payloads):
                self._ensure_created(dims)
                self._add_window(window, report)
                bar.update(len(window))
        if self._info is not None:
            self._finish_adding()
        return report

    def add_encoded(
        self,
        encoded: Encoded,
        *,
        ids: Sequence[Id],
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> AddReport:
        """Write n documents whose vectors exist already; one with the same id is replaced.

        A document that cannot be used (a payload that is no JSON, NaN, too many tokens for the database) is named
        in `report.failed`, the others go in.
        """
        self._check_open()
        payloads = [None] * len(ids) if payloads is None else payloads
        if not len(encoded) == len(ids) == len(payloads):
            raise InputError(
                f"there are {len(encoded)} encoded texts, {len(ids)} ids and {len(payloads)} payloads; "
                "expected as many of each."
            )
        if not ids:
            return AddReport()
        given = {name: p.dim if name == "tokens" else p.shape[1] for name, p in encoded.vectors()}
        self._ensure_created({name: given[name] for name in self._wanted(given)})
        report = AddReport()
        rows: dict[int, Row] = {}
        for position, (document_id, payload) in enumerate(zip(ids, payloads, strict=True)):
            try:
                rows[position] = row_of(document_id, "", payload or {})
            except InputError as error:
                report.failed.append((document_id, str(error)))
        last = {row.key: position for position, row in rows.items()}
        keep = [position for position, row in rows.items() if last[row.key] == position]
        self._write([rows[k] for k in keep], _taken(encoded, keep), report)
        self._finish_adding()
        return report

    def search(
        self,
        text: str,
        *,
        limit: int = 10,
        filter: Filter | None = None,
        candidates: int | None = None,
        mode: Mode | None = None,
    ) -> list[Hit]:
        """The `limit` best documents for a question, best first; `filter` is of the database's own type.

        `candidates` documents are ranked by exact MaxSim in the +rerank modes (default: 10 a hit, at least 100).
        """
        if not isinstance(text, str):
            raise InputError(f"the question is a {type(text).__name__}, expected a str; search one question at a time.")
        plan = self._plan(mode, limit, candidates)
        encoded = self.vectorizer.encode_query([text], outputs=plan.outputs, show_progress_bar=False)
        return self._search(encoded, plan, limit, filter, candidates or default_candidates(limit))

    def search_encoded(
        self,
        encoded: Encoded,
        *,
        limit: int = 10,
        filter: Filter | None = None,
        candidates: int | None = None,
        mode: Mode | None = None,
    ) -> list[Hit]:
        """As `search`, with the vectors of one query that exist already."""
        plan = self._plan(mode, limit, candidates)
        if len(encoded) != 1:
            raise InputError(f"encoded holds {len(encoded)} queries, expected one: search encoded[i:i + 1] in turn.")
        given = {name: p.dim if name == "tokens" else p.shape[1] for name, p in encoded.vectors()}
        broken = _not_finite(encoded)
        if broken:
            raise InputError(f"the query's {broken[0]}.")
        assert self._info is not None
        for name in plan.outputs:
            if given.get(name) != self._info.dims[name]:
                raise InputError(
                    f"the query's {name} hold {given.get(name, 'no')} numbers, collection {self.collection!r} stores "
                    f"{self._info.dims[name]}: encode the query with outputs={plan.outputs} and the same model."
                )
        return self._search(encoded, plan, limit, filter, candidates or default_candidates(limit))

    def delete(self, ids: Sequence[Id]) -> None:
        """Remove documents by the caller's ids; ids that are not there are no error."""
        self._check_open()
        if isinstance(ids, str):
            raise InputError("ids is one str, expected a list of ids: [id].")
        if self._info is not None and len(ids):
            self._delete([key_of(i) for i in ids])

    def payloads(self, ids: Sequence[Id]) -> dict[Id, dict[str, Any]]:
        """The payloads of documents by the caller's ids, in their order; ids that are not there are left out."""
        self._check_open()
        if isinstance(ids, str):
            raise InputError("ids is one str, expected a list of ids: [id].")
        keys = {key_of(i): i for i in ids}
        found = self._payloads(list(keys)) if self._info is not None and keys else {}
        return {document_id: found[key] for key, document_id in keys.items() if key in found}

    def count(self) -> int:
        """How many documents the collection holds."""
        self._check_open()
        return 0 if self._info is None else self._count()

    def close(self) -> None:
        """Release the database; the collection stays. Once closed, everything else raises StoreError."""
        if not self._closed:
            self._closed = True
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"this store of collection {self.collection!r} is closed: open it again.")

    def _check_vectorizer(self, vectorizer: TextVectorizer) -> None:
        assert self._info is not None
        stored = {name: vectorizer.dims[name] for name in self._info.dims if name in vectorizer.dims}
        self._info.check_same_vectors(self._describe(stored, vectorizer), self.collection)

    def _plan(self, mode: Mode | None, limit: int, candidates: int | None) -> Plan:
        self._check_open()
        if self._info is None:
            raise StoreError(f"collection {self.collection!r} does not exist yet: add documents first.")
        if limit < 1 or (candidates is not None and candidates < limit):
            raise InputError(
                f"limit is {limit} and candidates {candidates}; expected limit >= 1 and at least as many candidates."
            )
        self._info.check_mode(mode or self.mode, self.collection)
        return plan_of(mode or self.mode)

    def _wanted(self, given: Mapping[Output, int]) -> tuple[Output, ...]:
        wanted = tuple(self._info.dims) if self._info else self._outputs
        missing = [name for name in wanted if name not in given]
        if missing:
            raise ConfigurationError(
                f"collection {self.collection!r} stores {', '.join(wanted)}, the vectors at hand are "
                f"{', '.join(given) or 'none'}: {', '.join(missing)} missing. Use a vectorizer that gives them "
                "(an fde=... for 'fde'), or another mode."
            )
        return wanted

    def _describe(self, dims: Mapping[Output, int], vectorizer: TextVectorizer | None) -> CollectionInfo:
        fde = vectorizer.fde if vectorizer is not None and "fde" in dims else None
        return CollectionInfo(
            model=vectorizer.model if vectorizer else None,
            encoder=vectorizer.fingerprint if vectorizer else None,
            fde=fde.fingerprint if fde else None,
            dims=dict(dims),
            mode=self.mode,
        )

    def _ensure_created(self, dims: Mapping[Output, int]) -> None:
        if self._info is None:
            info = self._describe(dims, self._vectorizer)
            info.check_mode(self.mode, self.collection)
            self._create(info)
            self._info = info
        elif dims != self._info.dims:
            raise InputError(
                f"the vectors have {dict(dims)} numbers, collection {self.collection!r} {self._info.dims}."
            )

    def _add_window(self, window: Window, report: AddReport) -> None:
        report.failed.extend(window.failed)
        distinct = window.unique()
        there = self._contents([row.key for row in distinct.rows])
        same = [i for i, row in enumerate(distinct.rows) if there.get(row.key) == row.content]
        report.skipped += len(same) + len(window.rows) - len(distinct.rows)
        todo = distinct.without(same)
        while todo.rows:
            try:
                encoded = self.vectorizer.encode_document(todo.texts, outputs=self._stored(), show_progress_bar=False)
            except InputError as error:
                if error.index is None:
                    raise
                report.failed.append((todo.rows[error.index].id, str(error)))
                todo = todo.without([error.index])
                continue
            if encoded.truncated is not None:
                report.truncated += int((encoded.truncated > 0).sum())
            self._write(todo.rows, encoded, report)
            return

    def _stored(self) -> tuple[Output, ...]:
        assert self._info is not None
        return tuple(self._info.dims)

    def _write(self, rows: list[Row], encoded: Encoded, report: AddReport) -> None:
        held = dict(encoded.vectors())
        stored: dict[str, Any] = {name: held[name] for name in self._stored()}
        encoded = Encoded(**stored)
        refused = {**_not_finite(encoded), **self._refusals(Rows(rows, encoded))}
        report.failed.extend((rows[i].id, reason) for i, reason in sorted(refused.items()))
        keep = [i for i in range(len(rows)) if i not in refused]
        rows, encoded = [rows[i] for i in keep], _taken(encoded, keep)
        for chunk in chunks_by_bytes(encoded, self.chunk_bytes):
            written = len(rows[chunk])
            try:
                self._upsert(Rows(rows[chunk], encoded[chunk]))
            except PartialFailureError as error:
                reasons = dict(error.failed)
                report.failed.extend((row.id, reasons[row.id]) for row in rows[chunk] if row.id in reasons)
                written -= len(reasons)
            report.added += written

    def _stored_vectorizer(self) -> TextVectorizer:
        from vectorplug.muvera import Muvera
        from vectorplug.vectorizer import Vectorizer

        if self._info is None or self._info.model is None:
            raise ConfigurationError(
                f"collection {self.collection!r} {'is new' if self._info is None else 'holds vectors made elsewhere'}: "
                "open it with vectorizer=..., or use add_encoded and search_encoded."
            )
        fde = Muvera.from_fingerprint(self._info.fde) if self._info.fde else None
        vectorizer = Vectorizer(self._info.model, fde=fde)
        self._check_vectorizer(vectorizer)
        return vectorizer

    def _refusals(self, rows: Rows) -> Mapping[int, str]:  # noqa: ARG002
        """Position -> why this database cannot hold that document; the others are written."""
        return {}

    def _payloads(self, keys: Sequence[str]) -> Mapping[str, dict[str, Any]]:  # noqa: ARG002
        """key -> the caller's payload of those documents that are there; every database has a way to read by key."""
        raise StoreError(f"{type(self).__name__} does not read documents by id; search for them.")

    def _finish_adding(self) -> None:
        """Called at the end of every `add`: where a database syncs, and builds an index when enough is new."""

    @abstractmethod
    def _close(self) -> None:
        """Release the database; called once."""

    @abstractmethod
    def _read_info(self) -> CollectionInfo | None:
        """What was written by `_create`; None where the collection does not exist."""

    @abstractmethod
    def _create(self, info: CollectionInfo) -> None:
        """Make the collection, and write `info` where `_read_info` finds it."""

    @abstractmethod
    def _contents(self, keys: Sequence[str]) -> Mapping[str, str]:
        """key -> content hash of those documents that are there."""

    @abstractmethod
    def _upsert(self, rows: Rows) -> None:
        """Write documents, replacing those with the same key; durable when it returns.

        PartialFailureError names those that the database refused where the others went in.
        """

    @abstractmethod
    def _search(self, query: Encoded, plan: Plan, limit: int, filter: Filter | None, candidates: int) -> list[Hit]:
        """The best `limit`, best first: found by `plan.find`, ranked by exact MaxSim where `plan.rerank`."""

    @abstractmethod
    def _delete(self, keys: Sequence[str]) -> None:
        """Remove documents."""

    @abstractmethod
    def _count(self) -> int:
        """Documents in the collection."""


def _taken(encoded: Encoded, keep: list[int]) -> Encoded:
    return encoded if len(keep) == len(encoded) else encoded.take(keep)


def _not_finite(encoded: Encoded) -> dict[int, str]:
    """Position -> the reason, of texts whose vectors hold NaN or infinity (MultiVectors refuses them by itself)."""
    broken: dict[int, str] = {}
    for name in ("fde", "dense"):
        if (part := getattr(encoded, name)) is None:
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            floats = part.astype(np.float32, copy=False)
            if np.isfinite(floats.sum(dtype=np.float64)):
                continue
        for i in np.flatnonzero(~np.isfinite(floats).all(axis=1)):
            broken[int(i)] = f"{name} holds NaN or infinity, every number must be finite"
    return broken
