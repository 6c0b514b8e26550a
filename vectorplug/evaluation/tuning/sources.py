"""What is tuned for, brought to documents and queries: a folder, or a collection that a store holds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vectorplug.errors import StoreError
from vectorplug.evaluation.collections import Collection, read_collection, read_queries
from vectorplug.evaluation.questions import draw_questions
from vectorplug.evaluation.stored import read_stored
from vectorplug.search import Store

__all__ = ["from_folder", "from_store"]


def from_folder(folder: Path, *, queries: Path | None, qrels: Path | None, questions: int, seed: int) -> Collection:
    """`read_collection`, with questions drawn from its documents where there are none."""
    collection = read_collection(folder, queries=queries, qrels=qrels)
    return collection if collection.queries else draw_questions(collection, questions, seed)


def from_store(
    store: Store[Any], *, field: str, documents: int, queries: Path | None, questions: int, seed: int
) -> Collection:
    """At most `documents` texts of the payloads' `field`, in the database's order, and queries; nothing is written.

    StoreError where the collection does not exist; InputError where none of them has a text.
    """
    store.count()  # raises where the collection is somebody else's
    if store.info is None:
        raise StoreError(f"collection {store.collection!r} does not exist: there is nothing to tune for.")
    collection = read_stored(store, field, documents)
    if queries is not None:
        return replace(collection, queries=read_queries(queries))
    return draw_questions(collection, questions, seed)
