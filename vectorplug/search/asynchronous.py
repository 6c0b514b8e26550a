"""A store for an event loop: the same methods, awaited."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from vectorplug.compressor import Compressor
from vectorplug.encoded import Encoded, Output
from vectorplug.lemur import Drift
from vectorplug.search.backfill import BackfillReport
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.fitting import FitReport
from vectorplug.search.hits import AddReport, Hits, Id
from vectorplug.search.ingest import TEXT
from vectorplug.search.modes import Mode
from vectorplug.search.refitting import RefitReport
from vectorplug.search.store import Store

__all__ = ["AsyncStore"]

Filter = TypeVar("Filter")
T = TypeVar("T")

# Searches that wait for the database at the same time; encoding takes its own turns.
THREADS = 32


class AsyncStore(Generic[Filter]):
    """What a `Store` does, without blocking the event loop: `store = await AsyncStore.opened(lambda: ...)`.

    The work runs in threads. A store over an asynchronous client makes its requests on the loop that opened it, with
    that client's connections, so it is used on that loop alone. A method that is cancelled ends its request, not the
    thread's work before it; nothing is left half written.
    """

    def __init__(self, store: Store[Filter], threads: ThreadPoolExecutor) -> None:
        self._store = store
        self._threads = threads

    @classmethod
    async def opened(cls, open_it: Callable[[], Store[Filter]]) -> Self:
        """The store that `open_it` opens, in a thread, since that may ask the database."""
        threads = ThreadPoolExecutor(THREADS, "vectorplug-store")
        try:
            return cls(await asyncio.get_running_loop().run_in_executor(threads, open_it), threads)
        except BaseException:
            threads.shutdown(wait=False)
            raise

    @property
    def collection(self) -> str:
        """Its name."""
        return self._store.collection

    @property
    def mode(self) -> Mode:
        """How it is searched unless a search says otherwise."""
        return self._store.mode

    @property
    def info(self) -> CollectionInfo | None:
        """What the collection was made with; None before the first document is written."""
        return self._store.info

    async def add(
        self,
        texts: Iterable[str],
        ids: Iterable[Id] | None = None,
        payloads: Iterable[Mapping[str, Any] | None] | None = None,
        *,
        show_progress_bar: bool | None = None,
    ) -> AddReport:
        """As `Store.add`; the iterables are read in a thread."""
        return await self._run(partial(self._store.add, texts, ids, payloads, show_progress_bar=show_progress_bar))

    async def add_encoded(
        self,
        encoded: Encoded,
        *,
        ids: Sequence[Id],
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> AddReport:
        """As `Store.add_encoded`."""
        return await self._run(partial(self._store.add_encoded, encoded, ids=ids, payloads=payloads))

    async def fit(self, texts: Iterable[str], *, show_progress_bar: bool | None = None) -> FitReport | None:
        """As `Store.fit`; the texts are read in a thread."""
        return await self._run(partial(self._store.fit, texts, show_progress_bar=show_progress_bar))

    async def drift(self, texts: Sequence[str]) -> Drift | None:
        """As `Store.drift`."""
        return await self._run(partial(self._store.drift, texts))

    async def backfill(
        self,
        field: str = TEXT,
        *,
        outputs: Sequence[Output] | None = None,
        dry_run: bool = False,
        show_progress_bar: bool | None = None,
    ) -> BackfillReport:
        """As `Store.backfill`."""
        shown = show_progress_bar
        call = partial(self._store.backfill, field, outputs=outputs, dry_run=dry_run, show_progress_bar=shown)
        return await self._run(call)

    async def refit(
        self, fde: Compressor | None = None, *, field: str = TEXT, show_progress_bar: bool | None = None
    ) -> RefitReport:
        """As `Store.refit`."""
        return await self._run(partial(self._store.refit, fde, field=field, show_progress_bar=show_progress_bar))

    async def search(
        self,
        text: str,
        *,
        limit: int = 10,
        filter: Filter | None = None,
        candidates: int | None = None,
        mode: Mode | None = None,
        explain: bool = False,
    ) -> Hits:
        """As `Store.search`."""
        asked: dict[str, Any] = {"limit": limit, "filter": filter, "candidates": candidates, "mode": mode}
        return await self._run(partial(self._store.search, text, explain=explain, **asked))

    async def search_encoded(
        self,
        encoded: Encoded,
        *,
        text: str = "",
        limit: int = 10,
        filter: Filter | None = None,
        candidates: int | None = None,
        mode: Mode | None = None,
        explain: bool = False,
    ) -> Hits:
        """As `Store.search_encoded`."""
        asked: dict[str, Any] = {"limit": limit, "filter": filter, "candidates": candidates, "mode": mode}
        return await self._run(partial(self._store.search_encoded, encoded, text=text, explain=explain, **asked))

    async def delete(self, ids: Sequence[Id]) -> None:
        """As `Store.delete`."""
        await self._run(partial(self._store.delete, ids))

    async def payloads(self, ids: Sequence[Id]) -> dict[Id, dict[str, Any]]:
        """As `Store.payloads`."""
        return await self._run(partial(self._store.payloads, ids))

    async def count(self) -> int:
        """As `Store.count`."""
        return await self._run(self._store.count)

    async def close(self) -> None:
        """As `Store.close`; an asynchronous client that was given stays open."""
        await asyncio.get_running_loop().run_in_executor(None, self._store.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, call: Callable[[], T]) -> T:
        self._store._check_not_closed()  # whose threads take no more work
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
