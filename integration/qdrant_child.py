"""A process of its own that fills a collection of a Qdrant server with vectors, until it waits to be killed."""

import sys
from collections.abc import Sequence
from typing import Any

from corpus import WordVectorizer
from vectorplug_qdrant import QdrantStore, adopting

from vectorplug.encoded import Encoded, Output


def wait_to_be_killed() -> None:
    print("there", flush=True)
    sys.stdin.read()


class Waiting(WordVectorizer):
    """Waits beside window number `last`."""

    def __init__(self, last: int) -> None:
        self._left = last

    def encode_document(
        self, texts: Sequence[str], *, outputs: Sequence[Output], show_progress_bar: bool | None = None
    ) -> Encoded:
        encoded = super().encode_document(texts, outputs=outputs, show_progress_bar=show_progress_bar)
        self._left -= 1
        if self._left == 0:
            wait_to_be_killed()
        return encoded


def before_it_is_said(*_: Any) -> None:
    wait_to_be_killed()


if __name__ == "__main__":
    _, url, collection, when = sys.argv
    if when == "extending":
        adopting.extended = before_it_is_said
    vectorizer = Waiting(0 if when == "extending" else int(when))
    with QdrantStore(url, collection, vectorizer=vectorizer, mode="fde+rerank") as store:
        store.backfill("body", show_progress_bar=False)
