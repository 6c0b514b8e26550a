"""A process of its own that works on an embedded collection until it is killed, or until its disk is full."""

import os
import resource
import signal
import sys
from collections.abc import Iterator

from corpus import WordVectorizer, random_texts, sentences
from vectorplug_qdrant import QdrantStore

from vectorplug.errors import StoreError

COUNT = 900


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


if __name__ == "__main__":
    with QdrantStore(sys.argv[2], vectorizer=WordVectorizer(), mode="fde+rerank") as opened:
        {"add": add, "die_after_upsert": die_after_upsert, "hold": hold, "fill": fill}[sys.argv[1]](opened)
