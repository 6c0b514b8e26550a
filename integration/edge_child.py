"""A process of its own that works on an embedded collection until it is killed, or until its disk is full."""

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from corpus import DIM, WordVectorizer, random_texts, sentences
from vectorplug_qdrant import QdrantStore

from vectorplug.encoded import OUTPUTS
from vectorplug.errors import StoreError
from vectorplug.lemur import Lemur
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.ingest import WINDOW_DOCUMENTS

COUNT = 900
FIRST = WINDOW_DOCUMENTS


def add(store: QdrantStore) -> None:
    """Say how far the texts were read."""

    def spoken() -> Iterator[str]:
        for i, text in enumerate(sentences(COUNT)):
            print(i, flush=True)
            yield text

    store.add(spoken(), ids=range(COUNT))


def die_after_upsert(store: QdrantStore) -> None:
    """Be killed as soon as the first upsert has returned: nothing was flushed, nothing closed."""
    upsert = store._database.upsert

    def upsert_and_die(rows: object) -> None:
        upsert(rows)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGKILL)

    store._database.upsert = upsert_and_die  # type: ignore[method-assign]
    store.add_encoded(random_texts(60, seed=1), ids=list(range(60)))


def before_it_is_written(store: QdrantStore) -> None:
    """Be killed when the shard has more vectors than the collection's description."""
    folder = store._database._folder
    folder.write_info = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    store.backfill(outputs=OUTPUTS, show_progress_bar=False)


def after_a_fill(store: QdrantStore) -> None:
    """Be killed as soon as the first FIRST documents have more vectors."""
    fill = store._database.fill

    def fill_and_die(*work: Any, **names: Any) -> None:
        fill(*work, **names)
        os.kill(os.getpid(), signal.SIGKILL)

    store._database.fill = fill_and_die  # type: ignore[method-assign]
    store.backfill(outputs=OUTPUTS, show_progress_bar=False)


def mid_refit(store: QdrantStore) -> None:
    """Be killed as soon as the first FIRST documents have the new FDEs."""
    fill = store._database.fill

    def fill_and_die(*work: Any, **names: Any) -> None:
        fill(*work, **names)
        os.kill(os.getpid(), signal.SIGKILL)

    store._database.fill = fill_and_die  # type: ignore[method-assign]
    store.refit(Lemur(dim=DIM, size=8, features=32, samples=64), show_progress_bar=False)


def before_the_switch(store: QdrantStore) -> None:
    """Be killed when all documents have the new FDEs, and the description names the old."""
    folder, write = store._database._folder, store._database._folder.write_info

    def write_or_die(info: CollectionInfo) -> None:
        if info.fde_vector is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        write(info)

    folder.write_info = write_or_die
    store.refit(Lemur(dim=DIM, size=8, features=32, samples=64), show_progress_bar=False)


def hold(store: QdrantStore) -> None:
    """Keep the collection open."""
    store.add(["the sea"])
    print("open", flush=True)
    sys.stdin.read()


def fill(store: QdrantStore) -> None:
    """Meet the end of the disk, make room, and add the same again."""
    small, large = sentences(100), [text * 100 for text in sentences(700)]
    store.add(small, ids=range(100))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        store.add(large, ids=range(700))
    except StoreError as error:
        print(f"StoreError: {error}", flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    there = store.count()
    report = store.add(large, ids=range(700))
    print(there, report.added, report.skipped, store.count(), flush=True)


TASKS: list[Callable[[QdrantStore], None]] = [
    add,
    die_after_upsert,
    before_it_is_written,
    after_a_fill,
    mid_refit,
    before_the_switch,
    hold,
    fill,
]
AS_IT_IS = (before_it_is_written, after_a_fill, mid_refit, before_the_switch)

if __name__ == "__main__":
    task = {each.__name__: each for each in TASKS}[sys.argv[1]]
    mode: Any = None if task in AS_IT_IS else "fde+rerank"
    with QdrantStore(sys.argv[2], vectorizer=WordVectorizer(), mode=mode) as opened:
        task(opened)
