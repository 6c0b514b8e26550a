"""Fewer documents and queries than there are, the same ones in every run."""

from dataclasses import replace

import numpy as np

from vectorplug.errors import ConfigurationError
from vectorplug.evaluation.collections import Collection

__all__ = ["sample_documents", "sample_queries"]


def sample_queries(collection: Collection, most: int | None, seed: int) -> Collection:
    """At most `most` of the queries, in their order, and their judgements."""
    _check("queries", most)
    if most is None or len(collection.queries) <= most:
        return collection
    chosen = np.sort(np.random.default_rng(seed).permutation(len(collection.queries))[:most])
    ids = [list(collection.queries)[i] for i in chosen]
    return replace(
        collection,
        queries={query: collection.queries[query] for query in ids},
        qrels={query: collection.qrels[query] for query in ids} if collection.qrels else {},
        drawn_from={query: collection.drawn_from[query] for query in ids if query in collection.drawn_from},
        notes=(*collection.notes, f"{most:,} of {len(collection.queries):,} queries were drawn (seed {seed})."),
    )


def sample_documents(collection: Collection, most: int | None, seed: int, *, why: str = "") -> Collection:
    """At most `most` of the documents, in their order; the judged ones of the queries always stay."""
    _check("documents", most)
    total = len(collection.documents)
    if most is None or total <= most:
        return collection
    judged = {document for grades in collection.qrels.values() for document in grades}
    kept = {i for i, document in enumerate(collection.documents) if document.id in judged}
    stay = len(kept)
    for i in np.random.default_rng(seed).permutation(total).tolist():
        if len(kept) >= most:
            break
        kept.add(i)
    said = f"{len(kept):,} of {total:,} documents were drawn (seed {seed}{why})"
    if stay:
        said += f", the {stay:,} judged ones among them: with fewer others to find, quality looks better than it is"
    documents = tuple(collection.documents[i] for i in sorted(kept))
    return replace(collection, documents=documents, notes=(*collection.notes, f"{said}."))


def _check(what: str, most: int | None) -> None:
    if most is not None and most < 1:
        raise ConfigurationError(f"{what} is {most}, expected at least 1.")
