"""One collection, one model, every mode: encode once, search every query, compare."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from vectorplug.encoded import OUTPUTS, Encoded, Output
from vectorplug.errors import ConfigurationError, StoreError
from vectorplug.evaluation.collections import Collection
from vectorplug.evaluation.losers import query_results, worst
from vectorplug.evaluation.measuring import COMPARED, Found, measure, search_workload
from vectorplug.evaluation.metrics import Judge
from vectorplug.evaluation.questions import draw_questions
from vectorplug.evaluation.results import Evaluation
from vectorplug.evaluation.workload import Workload, encode_workload, memory_share
from vectorplug.search import MODES, VECTOR_MODES, Mode, Store, open_store
from vectorplug.search.ingest import TEXT
from vectorplug.search.modes import plan_of
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["Evaluation", "evaluate"]

# Handed to the store before the next: all that is held beside the store.
CHUNK_DOCUMENTS = 256
# A store in memory holds float32, twice while its parts are joined: four times the bytes of the float16 tokens.
SHARE_IN_MEMORY = 0.2


def evaluate(
    collection: Collection,
    vectorizer: TextVectorizer,
    modes: Sequence[str] = VECTOR_MODES,
    *,
    store_url: str = "memory:",
    candidates: int = 100,
    cache: Path | None = None,
    documents: int | None = None,
    queries: int | None = None,
    losers: int = 10,
    seed: int = 0,
    show_progress_bar: bool | None = None,
) -> Evaluation:
    """Encode `collection` once, put it into a store, search every query in every mode, and measure.

    Where nothing is judged, the target is exact MaxSim alone; where there are no queries, 200 are drawn from the
    documents. At most so many `documents` and `queries` are taken, drawn by `seed`, and no more than fit into memory;
    the notes say so. `cache` keeps what is encoded (see `encode_workload`).
    `store_url` is as for `open_store`; the store's collection is `eval-` and the name of `collection`, and stays
    there where the store outlives the process. `candidates` is how many documents the +rerank modes rank by exact
    MaxSim, and so the most that they return: with fewer than 100, their Recall@100 is of that many. The overlap is
    with exact MaxSim over all documents, computed here, of tokens in float16, and not by the store. The first query is
    encoded, and in each mode searched, once untimed. The bars show on a terminal unless `show_progress_bar` says.
    `losers` queries of each mode are told with what they missed.

    ConfigurationError for a mode that the vectorizer has no vectors for, and where pytrec_eval is not installed;
    InputError for a text that cannot be encoded; PartialFailureError where the store refuses documents; StoreError
    where it holds others as well.
    """
    if candidates < 1:
        raise ConfigurationError(f"candidates is {candidates}, expected at least 1.")
    if collection.qrels:
        Judge(collection.qrels)  # what it needs is missing now, not after an hour of encoding
    checked = checked_modes(modes, vectorizer)
    if not collection.queries:
        collection = draw_questions(collection, queries or 200, seed)
    stored = tuple(kind for kind in OUTPUTS if any(kind in plan_of(mode).outputs for mode in checked))
    workload = encode_workload(
        collection,
        vectorizer,
        cache=cache,
        documents=documents,
        queries=queries,
        seed=seed,
        memory=memory_share(SHARE_IN_MEMORY) if store_url == "memory:" else None,
        outputs=stored,
        show_progress_bar=show_progress_bar,
    )
    collection = workload.collection
    ids = [document.id for document in collection.documents]
    # tqdm's None means: quiet unless this is a terminal.
    hidden = None if show_progress_bar is None else not show_progress_bar
    # Only a collection that was made for a mode with words keeps an index of them.
    first = next((mode for mode in checked if plan_of(mode).words), checked[0])
    name = f"eval-{collection.name}"
    with open_store(store_url, collection=name, vectorizer=vectorizer, mode=first, outputs=stored) as store:
        sizes = _add_documents(workload, store, stored, hidden)
        found = {mode: _search(store, workload, mode, candidates, store_url, hidden) for mode in checked}
        fingerprint = store.info.fingerprint if store.info else vectorizer.fingerprint
    by_mode = {mode: {kind: sizes[kind] for kind in plan_of(mode).outputs} for mode in checked}
    measured = measure(found, workload.exact, ids, list(collection.queries), collection.qrels, by_mode)
    results = query_results(measured, found, workload.exact, ids, collection.queries)
    texts = {document.id: document.text for document in collection.documents}
    return Evaluation(
        collection=collection.name,
        model=vectorizer.model,
        fingerprint=fingerprint,
        store=store_url,
        target=_target(collection),
        compared=measured.compared,
        documents=len(ids),
        queries=len(collection.queries),
        documents_per_second=workload.documents_per_second,
        truncated=workload.truncated,
        ms_per_query_encoding=workload.ms_per_query_encoding,
        modes=measured.results,
        losers=worst(
            measured, results, lambda wanted: {each: texts[each] for each in wanted}, collection.qrels, losers
        ),
        per_query=results,
        notes=(*workload.notes, *_few(len(ids), len(collection.queries))),
    )


def checked_modes(modes: Sequence[str], vectorizer: TextVectorizer) -> list[Mode]:
    """The modes by name; ConfigurationError for one that is unknown or that `vectorizer` gives no vectors for."""
    if not modes:
        raise ConfigurationError(f"there is no mode to evaluate; expected some of {', '.join(MODES)}.")
    for mode in modes:
        missing = [kind for kind in plan_of(mode).outputs if kind not in vectorizer.dims]
        if missing:
            raise ConfigurationError(
                f"mode {mode!r} needs {' and '.join(missing)}, the vectorizer gives {', '.join(vectorizer.dims)}: "
                "leave the mode out, or make the vectorizer with fde='default'."
            )
    return [mode for mode in MODES if mode in modes]


def _add_documents(
    workload: Workload, store: Store[Any], stored: Sequence[Output], hidden: bool | None
) -> dict[Output, float]:
    """Write the documents; bytes a document of each kind of vector that is given to the store."""
    sizes = dict.fromkeys(stored, 0)
    documents, total = workload.collection.documents, len(workload.documents)
    with tqdm(total=total, desc="Adding documents", unit="document", disable=hidden) as bar:
        for begin in range(0, total, CHUNK_DOCUMENTS):
            chunk = documents[begin : begin + CHUNK_DOCUMENTS]
            encoded = _as_encoded(workload.documents[begin : begin + CHUNK_DOCUMENTS], stored)
            for kind, vectors in encoded.vectors():
                sizes[kind] += vectors.nbytes
            # Words are found in the payload's text; without such a mode it is left out, so that nothing indexes it.
            payloads = [{TEXT: document.text} for document in chunk] if plan_of(store.mode).words else None
            store.add_encoded(encoded, ids=[each.id for each in chunk], payloads=payloads).raise_failed()
            bar.update(len(chunk))
    if store.count() != total:
        raise StoreError(
            f"collection {store.collection!r} holds {store.count()} documents where {total} were written: there are "
            "others as well. Evaluate in an empty store."
        )
    return {kind: size / total for kind, size in sizes.items()}


def _as_encoded(kept: Encoded, stored: Sequence[Output]) -> Encoded:
    """The vectors `stored` in float32, as a vectorizer gives them to a store."""
    parts: dict[str, Any] = {kind: vectors for kind, vectors in kept.vectors() if kind in stored}
    if kept.tokens is not None and "tokens" in stored:
        parts["tokens"] = kept.tokens.astype("float32")
    return Encoded(**parts)


def _search(store: Store[Any], workload: Workload, mode: Mode, candidates: int, url: str, hidden: bool | None) -> Found:
    collection = workload.collection
    # The plain store's native search is exact MaxSim: what it would find deeper down is known.
    known = mode == "native" and url == "memory:"
    deep = bool(collection.qrels) and not known
    found = search_workload(store, workload, mode, candidates, hidden, deep=deep)
    if not known:
        return found
    ids = [document.id for document in collection.documents]
    exact = workload.exact.positions.tolist()
    return replace(found, deep=[[ids[place] for place in ranked if place >= 0] for ranked in exact])


def _target(collection: Collection) -> str:
    exact = f"exact MaxSim over all {len(collection.documents):,} documents"
    return f"people's judgements; overlap and RBO: {exact}" if collection.qrels else f"{exact}; nothing is judged"


def _few(documents: int, queries: int) -> list[str]:
    notes = []
    if documents <= COMPARED:
        notes.append(f"there are {documents} documents: whoever asks for {COMPARED} finds them all, in any mode.")
    if queries == 1:
        notes.append("there is one query: it has no interval and no p-value.")
    return notes
