"""One `add`: documents become vectors, vectors chunks, and chunks requests, while the next documents are encoded."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import InputError, PartialFailureError
from vectorplug.search.hits import AddReport, Id, Row, Rows
from vectorplug.search.inflight import InFlight
from vectorplug.search.ingest import Window, chunks_by_bytes
from vectorplug.search.sample import TextSample

__all__ = ["Adding", "not_finite"]

_Outcome = tuple[int, list[tuple[Id, str]]]


class Adding:
    """Documents on their way into a database; `report` says what became of them once the block is left.

    `contents`, `refusals` and `upsert` are those of a Store, which is asked for `at_once` upserts at the same time.
    """

    def __init__(
        self,
        stored: Sequence[Output],
        contents: Callable[[Sequence[str]], Mapping[str, str]],
        refusals: Callable[[Rows], Mapping[int, str]],
        upsert: Callable[[Rows], None],
        *,
        chunk_bytes: int,
        at_once: int,
    ) -> None:
        self.report = AddReport()
        self._stored = tuple(stored)
        self._contents = contents
        self._refusals = refusals
        self._upsert = upsert
        self._chunk_bytes = chunk_bytes
        self._writing: InFlight[Rows, _Outcome] = InFlight(self._written, at_once, self._count)
        self._on_the_way: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._writing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writing.__exit__(kind, error, trace)

    def window(
        self, window: Window, encode: Callable[[Sequence[str]], Encoded], sample: TextSample | None = None
    ) -> None:
        """Encode and write those documents of a window that are new or changed; `sample` sees their texts."""
        self.report.failed.extend(window.failed)
        distinct = window.unique()
        there = {**self._contents([row.key for row in distinct.rows]), **self._on_the_way}
        same = [i for i, row in enumerate(distinct.rows) if there.get(row.key) == row.content]
        self.report.skipped += len(same) + len(window.rows) - len(distinct.rows)
        todo = distinct.without(same)
        while todo.rows:
            try:
                encoded = encode(todo.texts)
            except InputError as error:
                if error.index is None:
                    raise
                self.report.failed.append((todo.rows[error.index].id, str(error)))
                todo = todo.without([error.index])
                continue
            if sample is not None:
                sample.see(todo.texts)
            if encoded.truncated is not None:
                self.report.truncated += int((encoded.truncated > 0).sum())
            # One document may be in two windows: the first is in before the second begins.
            self._writing.wait()
            self._on_the_way = {row.key: row.content for row in todo.rows}
            self.vectors(todo.rows, encoded)
            return

    def vectors(self, rows: list[Row], encoded: Encoded) -> None:
        """Write documents whose vectors are there; no key is twice among them."""
        held = dict(encoded.vectors())
        stored: dict[str, Any] = {name: held[name] for name in self._stored}
        encoded = Encoded(**stored)
        refused = {**not_finite(encoded), **self._refusals(Rows(rows, encoded))}
        self.report.failed.extend((rows[i].id, reason) for i, reason in sorted(refused.items()))
        if refused:
            keep = [i for i in range(len(rows)) if i not in refused]
            rows, encoded = [rows[i] for i in keep], encoded.take(keep)
        for chunk in chunks_by_bytes(encoded, self._chunk_bytes):
            self._writing.submit(Rows(rows[chunk], encoded[chunk]))

    def _written(self, rows: Rows) -> _Outcome:
        try:
            self._upsert(rows)
        except PartialFailureError as error:
            reasons = dict(error.failed)
            failed = [(row.id, reasons[row.id]) for row in rows.rows if row.id in reasons]
            return len(rows.rows) - len(failed), failed
        return len(rows.rows), []

    def _count(self, outcome: _Outcome) -> None:
        added, failed = outcome
        self.report.added += added
        self.report.failed.extend(failed)


def not_finite(encoded: Encoded) -> dict[int, str]:
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
