"""A collection that exists: what its modes find there, against exact MaxSim."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import ConfigurationError, InputError, StoreError
from vectorplug.evaluation.collections import Collection, Qrels
from vectorplug.evaluation.corpus import Document
from vectorplug.evaluation.losers import query_results, worst
from vectorplug.evaluation.measuring import measure, search_workload
from vectorplug.evaluation.metrics import Judge
from vectorplug.evaluation.questions import draw_questions
from vectorplug.evaluation.rankings import Rankings
from vectorplug.evaluation.results import Evaluation
from vectorplug.evaluation.workload import Workload, encode_workload
from vectorplug.multivectors import MultiVectors
from vectorplug.search import MODES, Mode, Store
from vectorplug.search.ingest import TEXT
from vectorplug.search.modes import plan_of

__all__ = ["evaluate_store", "read_stored"]

READ = 10_000
# Of documents that are read only for their size and to draw questions from.
SAMPLED = 1_000
POOL = 1_000
POOLED_HITS = 200
# Of every token of so many documents a search takes seconds.
MOST_NATIVE = 100_000


def evaluate_store(
    store: Store[Any],
    modes: Sequence[str] | None = None,
    *,
    field: str = TEXT,
    queries: Mapping[str, str] | None = None,
    qrels: Qrels | None = None,
    documents: int = READ,
    questions: int = 200,
    candidates: int | None = None,
    cache: Path | None = None,
    losers: int = 10,
    seed: int = 0,
    show_progress_bar: bool | None = None,
) -> Evaluation:
    """Search what `store` holds, in `modes` (by default all that its vectors allow), and measure; nothing is written.

    Of at most `documents` documents the payload's `field` is read. Where these are all, they are encoded again, with
    the collection's own model, and the target is exact MaxSim over all of them. Of a larger collection 1,000 are read
    and encoded, for questions and sizes, and the target is what the store's own exact MaxSim ranks first: native over
    everything up to 100,000 documents, beyond that among the 1,000 candidates of each +rerank mode. What none of these
    finds is missing there, and so every overlap is an upper bound; `target` says which it was.
    `queries` {id: text} are asked, at most `questions` of them; without, they are drawn from the documents that were
    read. `qrels` as in a Collection, of ids as the store has them; `candidates` are by default those that the
    collection was made with, else 100; the rest as for `evaluate`.

    StoreError where there is no such collection; InputError where the field holds no text, and where a collection is
    too large to be read and has no tokens.
    """
    if store.info is None:
        store.count()  # raises where the collection is somebody else's
        raise StoreError(f"collection {store.collection!r} does not exist: there is nothing to evaluate.")
    if qrels:
        Judge(qrels)
    count = store.count()
    whole = count <= documents
    checked = _checked_modes(store, modes, count)
    collection = read_stored(store, field, documents if whole else min(documents, SAMPLED))
    collection = _asked(collection, queries, qrels or {}, questions, seed)
    kinds = [kind for kind in store.info.dims if any(kind in plan_of(mode).outputs for mode in checked)]
    if not whole:
        _check_tokens(store, count)
        kinds = list(store.info.dims)  # for the store's own exact MaxSim, whatever finds its candidates
    workload = encode_workload(
        collection,
        store.vectorizer,
        cache=cache,
        seed=seed,
        queries=questions,
        outputs=kinds,
        token_dtype="float32",  # as the store has them: of near neighbours float16 orders some the other way
        show_progress_bar=show_progress_bar,
    )
    whole = whole and len(workload.documents) == len(collection.documents)
    collection = workload.collection
    candidates = candidates or store.info.candidates or 100
    # tqdm's None means: quiet unless this is a terminal.
    hidden = None if show_progress_bar is None else not show_progress_bar
    found = {
        mode: search_workload(store, workload, mode, candidates, hidden, deep=bool(workload.collection.qrels))
        for mode in checked
    }
    ids = [document.id for document in collection.documents]
    exact, target = workload.exact, f"exact MaxSim over all {count:,} documents, encoded again"
    if not whole:
        exact, ids, target = _pooled(store, workload, count, hidden)
    sizes = _bytes(workload.documents)
    by_mode = {mode: {kind: sizes[kind] for kind in plan_of(mode).outputs} for mode in checked}
    measured = measure(found, exact, ids, list(collection.queries), collection.qrels, by_mode)
    results = query_results(measured, found, exact, ids, collection.queries)
    lost = worst(measured, results, partial(_texts, store, field), collection.qrels, losers)
    return Evaluation(
        collection=store.collection,
        model=workload.model,
        fingerprint=store.info.fingerprint,
        store=store.collection,
        target=f"people's judgements; overlap and RBO: {target}"
        if collection.qrels
        else f"{target}; nothing is judged",
        compared=measured.compared,
        documents=count,
        queries=len(collection.queries),
        documents_per_second=workload.documents_per_second,
        truncated=workload.truncated,
        ms_per_query_encoding=workload.ms_per_query_encoding,
        modes=measured.results,
        losers=lost,
        per_query=results,
        notes=workload.notes,
    )


def _checked_modes(store: Store[Any], modes: Sequence[str] | None, count: int) -> list[Mode]:
    """Those named, else those that the collection's vectors and words allow, native only where it is not too slow."""
    info = store.info
    assert info is not None
    for mode in modes or ():
        info.check_mode(mode, store.collection)
    if modes:
        return [mode for mode in MODES if mode in modes]
    able = [
        mode for mode in MODES if {*plan_of(mode).outputs} <= info.dims.keys() and plan_of(mode).words <= info.words
    ]
    return [mode for mode in able if mode != "native" or count <= MOST_NATIVE] or able


def _check_tokens(store: Store[Any], count: int) -> None:
    if store.info is None or "tokens" not in store.info.dims:
        raise InputError(
            f"collection {store.collection!r} holds {count:,} documents, more than are read and encoded again, and no "
            f"tokens: there is no exact MaxSim to compare with. Have all of them read: --documents {count} "
            "(documents=... in Python), which has to encode as many texts and to hold their tokens."
        )


def read_stored(store: Store[Any], field: str, most: int) -> Collection:
    """The first `most` documents in the database's order, those with a text in the payload's `field`; no queries.

    InputError where none has one.
    """
    documents: dict[str, Document] = {}
    read = 0
    for document_id, payload in store.scan(most):
        read += 1
        text = payload.get(field)
        if isinstance(text, str):
            title = {"title": payload["title"]} if isinstance(payload.get("title"), str) else {}
            documents[str(document_id)] = Document(str(document_id), text, title)
    if not documents:
        raise InputError(
            f"none of the {read:,} documents read from collection {store.collection!r} has a text in its payload's "
            f"field {field!r}: name the field that holds it (--field), or index the texts."
            if read
            else f"collection {store.collection!r} holds no document."
        )
    notes = []
    if read < (count := store.count()):
        notes.append(f"{read:,} of {count:,} documents were read, the first in the database's own order.")
    if len(documents) < read:
        notes.append(f"{read - len(documents):,} documents have no text in {field!r}: they are in no exact ranking.")
    return Collection(store.collection, tuple(documents.values()), {}, {}, tuple(notes))


def _asked(
    collection: Collection, queries: Mapping[str, str] | None, qrels: Qrels, questions: int, seed: int
) -> Collection:
    """The collection with the queries that were given (of judgements, those judged), else with drawn ones."""
    if not queries:
        if qrels:
            raise ConfigurationError("there are judgements and no queries: give the queries that they judge.")
        return draw_questions(collection, questions, seed)
    if not qrels:
        return replace(collection, queries=dict(queries))
    judged = {query: text for query, text in queries.items() if query in qrels}
    if not judged:
        raise InputError(f"none of the {len(queries)} queries is judged: the ids of both must agree.")
    return replace(collection, queries=judged, qrels={query: qrels[query] for query in judged})


def _pooled(store: Store[Any], workload: Workload, count: int, hidden: bool | None) -> tuple[Rankings, list[str], str]:
    """What the store's own exact MaxSim ranks first: rankings by the places in the list of ids, and what they are."""
    _check_tokens(store, count)
    assert store.info is not None
    collection = workload.collection
    able = [mode for mode in _checked_modes(store, None, count) if mode == "native" or plan_of(mode).rerank]
    places: dict[str, int] = {}
    positions, scores = [], []
    for i, (query, text) in enumerate(
        tqdm(collection.queries.items(), desc="Exact MaxSim in the store", unit="query", disable=hidden)
    ):
        pool: dict[str, float] = {}
        for mode in able:
            candidates = None if plan_of(mode).rerank is None else POOL
            hits = store.search_encoded(
                workload.queries[i : i + 1], text=text, limit=POOLED_HITS, candidates=candidates, mode=mode
            )
            for hit in hits:
                pool[str(hit.id)] = max(hit.score, pool.get(str(hit.id), hit.score))
        pool.pop(collection.drawn_from.get(query, ""), None)
        best = sorted(pool, key=lambda each: -pool[each])
        positions.append([places.setdefault(each, len(places)) for each in best])
        scores.append([pool[each] for each in best])
    where = (
        f"over all {count:,} documents, as native ranks them"
        if "native" in able
        else f"among the {POOL:,} candidates of {' and of '.join(able)} out of {count:,} documents: an upper bound"
    )
    depth = max(map(len, positions))
    return Rankings.of_lists(positions, scores, depth), list(places), f"the store's exact MaxSim {where}"


def _bytes(documents: Encoded) -> dict[Output, float]:
    """Bytes a document of each kind of vector, in float32, as a vectorizer gives them to a store."""
    sizes: dict[Output, float] = {}
    for kind, vectors in documents.vectors():
        numbers = vectors.values.size if isinstance(vectors, MultiVectors) else vectors.size
        sizes[kind] = 4.0 * numbers / len(documents)
    return sizes


def _texts(store: Store[Any], field: str, ids: Sequence[str]) -> dict[str, str]:
    """The texts of documents by their ids as str; an id may be an int in the store."""
    numbers = [int(each) for each in ids if each.removeprefix("-").isdecimal()]
    found = store.payloads([*ids, *numbers])
    return {str(each): str(payload.get(field, "")) for each, payload in found.items()}
