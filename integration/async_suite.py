"""What a store for an event loop must do; `open_async(collection, **options)` opens one over an asynchronous client."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from corpus import DIM, WordVectorizer, sentences
from store_suite import DOCUMENTS, PAYLOADS, QUERIES, assert_same, plain_store

from vectorplug.errors import InputError, StoreError
from vectorplug.lemur import Lemur
from vectorplug.search import AddReport, AsyncStore, Hits, Store

OpenAsync = Callable[..., Awaitable[AsyncStore[Any]]]


class AsyncSuite:
    """Each test runs a loop of its own: fixtures give functions, the clients are made on the test's loop."""

    def test_a_life(self, open_async: OpenAsync) -> None:
        async def life() -> None:
            async with await open_async("docs", mode="fde+rerank") as store:
                report = await store.add_encoded(DOCUMENTS, ids=list(range(60)), payloads=PAYLOADS)
                assert report == AddReport(added=60)
                assert await store.count() == 60
                hits = await store.search_encoded(QUERIES[:1])
                assert_same(hits, plain_store().search_encoded(QUERIES[:1], mode="fde+rerank"))
                explained = await store.search_encoded(QUERIES[:1], explain=True)
                assert [stage.name for stage in explained.stages] == ["fde", "rerank"]
                assert await store.payloads([7]) == {7: PAYLOADS[7]}
                await store.delete(list(range(50)))
                assert await store.count() == 10
            with pytest.raises(StoreError, match="closed"):
                await store.count()
            async with await open_async("docs") as store:  # the collection knows how it was made
                assert (store.mode, await store.count()) == ("fde+rerank", 10)

        asyncio.run(life())

    def test_texts(self, open_async: OpenAsync) -> None:
        async def life() -> None:
            vectorizer = WordVectorizer()
            async with await open_async("docs", vectorizer=vectorizer, mode="fde+rerank") as store:
                texts = sentences(600)
                assert (await store.add(texts, ids=range(600))).added == 600
                assert (await store.add(texts, ids=range(600))).skipped == 600
                assert [hit.payload["text"] for hit in await store.search(texts[3], limit=1)] == [texts[3]]

        asyncio.run(life())

    def test_a_fit(self, open_async: OpenAsync) -> None:
        async def life() -> None:
            unfitted = WordVectorizer().with_fde(Lemur(dim=DIM, size=8, features=32, samples=64))
            texts = sentences(200)
            async with await open_async("fitted", vectorizer=unfitted, mode="fde+rerank") as store:
                report = await store.fit(texts[:100])
                assert report is not None
                assert (await store.add(texts, ids=range(200))).added == 200
                drift = await store.drift(texts[100:])
                assert drift is not None
                assert drift.ratio > 0
            async with await open_async("fitted", vectorizer=unfitted) as store:
                assert store.info is not None
                assert store.info.fde == report.fingerprint
                assert [hit.id for hit in await store.search(texts[7], limit=1)] == [7]

        asyncio.run(life())

    def test_many_searches_at_once_leave_the_loop_free(
        self, open_async: OpenAsync, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        turned = threading.Event()
        search = Store.search_encoded

        def searched_after_a_turn_of_the_loop(*given: Any, **options: Any) -> Hits:
            if not turned.wait(30):
                turned.set()
                pytest.fail("the event loop waits for a search")
            return search(*given, **options)

        async def life() -> list[Hits]:
            async with await open_async("docs", mode="fde+rerank") as store:
                await store.add_encoded(DOCUMENTS, ids=list(range(60)))
                monkeypatch.setattr(Store, "search_encoded", searched_after_a_turn_of_the_loop)
                searches = [asyncio.create_task(store.search_encoded(QUERIES[i % 4 : i % 4 + 1])) for i in range(100)]
                await asyncio.sleep(0)  # every search has begun, and none can end before this line has
                turned.set()
                return await asyncio.gather(*searches)

        found = asyncio.run(life())
        expected = [plain_store().search_encoded(QUERIES[i : i + 1], mode="fde+rerank") for i in range(4)]
        for i, hits in enumerate(found):
            assert [hit.id for hit in hits] == [hit.id for hit in expected[i % 4]]

    def test_errors_arrive(self, open_async: OpenAsync) -> None:
        async def life() -> None:
            async with await open_async("docs", mode="fde+rerank") as store:
                with pytest.raises(StoreError, match="does not exist yet"):
                    await store.search_encoded(QUERIES[:1])
                await store.add_encoded(DOCUMENTS, ids=list(range(60)))
                with pytest.raises(InputError, match="limit is 0"):
                    await store.search_encoded(QUERIES[:1], limit=0)

        asyncio.run(life())

    def test_a_search_that_is_given_up_harms_nobody(self, open_async: OpenAsync) -> None:
        async def life() -> None:
            async with await open_async("docs", mode="fde+rerank") as store:
                await store.add_encoded(DOCUMENTS, ids=list(range(60)))
                tasks = [asyncio.create_task(store.search_encoded(QUERIES[:1])) for _ in range(20)]
                await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
                assert all(len(result) == 10 for result in results[1::2] if isinstance(result, list))
                assert len(await store.search_encoded(QUERIES[:1])) == 10

        asyncio.run(life())
