"""One collection, one model, every mode: encode once, search every query, compare."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from vectorplug.encoded import OUTPUTS, Encoded, Output
from vectorplug.errors import ConfigurationError, InputError, StoreError
from vectorplug.evaluation.collections import BeirCollection
from vectorplug.evaluation.corpus import Document
from vectorplug.evaluation.exact import ExactTop
from vectorplug.evaluation.metrics import Judge, overlap
from vectorplug.evaluation.results import Evaluation, ModeResult, Times
from vectorplug.search import MODES, VECTOR_MODES, Mode, Store, open_store
from vectorplug.search.ingest import TEXT
from vectorplug.search.modes import plan_of
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["Evaluation", "evaluate"]

# Encoded at once and handed to the store before the next: all that is held beside the store.
CHUNK_DOCUMENTS = 256
RANKED = 100
COMPARED = 10


def evaluate(
    collection: BeirCollection,
    vectorizer: TextVectorizer,
    modes: Sequence[str] = VECTOR_MODES,
    *,
    store_url: str = "memory:",
    candidates: int = 100,
    show_progress_bar: bool | None = None,
) -> Evaluation:
    """Encode `collection` once, put it into a store, search every query in every mode, and measure.

    `store_url` is as for `open_store`; the store's collection is `eval-` and the name of `collection`, and stays
    there where the store outlives the process. `candidates` is how many documents the +rerank modes rank by exact
    MaxSim, and so the most that they return: with fewer than 100, their Recall@100 is of that many. The overlap is
    with exact MaxSim over all documents, computed here and not by the store. The first query is encoded, and in each
    mode searched, once untimed. The bars show on a terminal unless `show_progress_bar` says.

    ConfigurationError for a mode that the vectorizer has no vectors for, and where pytrec_eval is not installed;
    InputError for a text that cannot be encoded; PartialFailureError where the store refuses documents; StoreError
    where it holds others as well.
    """
    if candidates < 1:
        raise ConfigurationError(f"candidates is {candidates}, expected at least 1.")
    judge = Judge(collection.qrels)
    checked = _checked_modes(modes, vectorizer)
    stored = tuple(kind for kind in OUTPUTS if any(kind in plan_of(mode).outputs for mode in checked))
    # Exact MaxSim, to which every mode is compared, needs the tokens even where none of the modes does.
    outputs: tuple[Output, ...] = stored if "tokens" in stored else ("tokens", *stored)
    # tqdm's None means: quiet unless this is a terminal.
    hidden = None if show_progress_bar is None else not show_progress_bar
    queries, encoding_seconds = _encode_queries(collection, vectorizer, outputs, hidden)
    assert queries.tokens is not None
    exact = ExactTop(queries.tokens, COMPARED)
    name = f"eval-{collection.name}"
    # Only a collection that was made for a mode with words keeps an index of them.
    first = next((mode for mode in checked if plan_of(mode).words), checked[0])
    with open_store(store_url, collection=name, vectorizer=vectorizer, mode=first, outputs=stored) as store:
        ingest = _add_documents(collection, vectorizer, store, outputs, exact, hidden)
        results = {}
        for mode in checked:
            plan = plan_of(mode)
            ranked = None if plan.rerank is None else candidates
            found, seconds = _search_all(store, queries, list(collection.queries.values()), mode, ranked, hidden)
            ndcg, recall = judge.ndcg_and_recall(dict(zip(collection.queries, found, strict=True)))
            results[mode] = ModeResult(
                ndcg_at_10=ndcg,
                recall_at_100=recall,
                overlap_at_10=float(np.mean([overlap(*pair) for pair in zip(found, exact.rankings(), strict=True)])),
                bytes_by_vectors={kind: ingest.bytes[kind] / len(collection.documents) for kind in plan.outputs},
                ms_per_query=Times.of(seconds),
                candidates=ranked,
            )
        return Evaluation(
            collection=collection.name,
            model=vectorizer.model,
            fingerprint=store.info.fingerprint if store.info else vectorizer.fingerprint,
            store=store_url,
            documents=len(collection.documents),
            queries=len(collection.queries),
            documents_per_second=len(collection.documents) / ingest.encoding_seconds,
            truncated=ingest.truncated,
            ms_per_query_encoding=Times.of(encoding_seconds),
            modes=results,
            notes=collection.notes,
        )


def _checked_modes(modes: Sequence[str], vectorizer: TextVectorizer) -> list[Mode]:
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


def _encode_queries(
    collection: BeirCollection, vectorizer: TextVectorizer, outputs: tuple[Output, ...], hidden: bool | None
) -> tuple[Encoded, list[float]]:
    """Encoded of all queries, and the seconds of each, one at a time as users ask them."""
    encoded, seconds = [], []
    texts = list(collection.queries.items())
    _encode_query(*texts[0], vectorizer, outputs)
    for query, text in tqdm(texts, desc="Encoding queries", unit="query", disable=hidden):
        start = time.perf_counter()
        encoded.append(_encode_query(query, text, vectorizer, outputs))
        seconds.append(time.perf_counter() - start)
    return Encoded.concatenate(encoded), seconds


def _encode_query(query: str, text: str, vectorizer: TextVectorizer, outputs: tuple[Output, ...]) -> Encoded:
    try:
        return vectorizer.encode_query([text], outputs=outputs, show_progress_bar=False)
    except InputError as error:
        raise InputError(f"query {query!r}: {error}") from error


@dataclass(slots=True)
class _Ingest:
    """What was learnt while the documents went in; `bytes` of all documents together."""

    encoding_seconds: float = 0.0
    truncated: int = 0
    bytes: Counter[Output] = field(default_factory=Counter)


def _add_documents(
    collection: BeirCollection,
    vectorizer: TextVectorizer,
    store: Store[Any],
    outputs: tuple[Output, ...],
    exact: ExactTop,
    hidden: bool | None,
) -> _Ingest:
    """Encode the documents in chunks; `exact` sees their tokens, the store keeps those `outputs` that it wants."""
    ingest = _Ingest()
    total = len(collection.documents)
    with tqdm(total=total, desc="Encoding documents", unit="document", disable=hidden) as bar:
        for begin in range(0, total, CHUNK_DOCUMENTS):
            chunk = collection.documents[begin : begin + CHUNK_DOCUMENTS]
            ids = [document.id for document in chunk]
            start = time.perf_counter()
            encoded = _encode_documents(chunk, vectorizer, outputs)
            ingest.encoding_seconds += time.perf_counter() - start
            assert encoded.tokens is not None
            exact.see(ids, encoded.tokens)
            for kind, vectors in encoded.vectors():
                ingest.bytes[kind] += vectors.nbytes
            if encoded.truncated is not None:
                ingest.truncated += int((encoded.truncated > 0).sum())
            # Words are found in the payload's text; without such a mode it is left out, so that nothing indexes it.
            payloads = [{TEXT: document.text} for document in chunk] if plan_of(store.mode).words else None
            store.add_encoded(encoded, ids=ids, payloads=payloads).raise_failed()
            bar.update(len(chunk))
    if store.count() != total:
        raise StoreError(
            f"collection {store.collection!r} holds {store.count()} documents where {total} were written: there are "
            "others as well. Evaluate in an empty store."
        )
    return ingest


def _encode_documents(
    documents: Sequence[Document], vectorizer: TextVectorizer, outputs: tuple[Output, ...]
) -> Encoded:
    texts = [document.text for document in documents]
    try:
        return vectorizer.encode_document(texts, outputs=outputs, show_progress_bar=False)
    except InputError as error:
        if error.index is None:
            raise
        raise InputError(f"document {documents[error.index].id!r}: {error}") from error


def _search_all(
    store: Store[Any], queries: Encoded, texts: Sequence[str], mode: Mode, candidates: int | None, hidden: bool | None
) -> tuple[list[list[str]], list[float]]:
    """The ids found for each query, best first, and the seconds of each search."""
    # Exactly `candidates` are ranked: a store asked for more hits would rank more.
    limit = RANKED if candidates is None else min(RANKED, candidates)
    store.search_encoded(queries[:1], text=texts[0], limit=limit, candidates=candidates, mode=mode)
    found, seconds = [], []
    for i, text in enumerate(tqdm(texts, desc=f"Searching ({mode})", unit="query", disable=hidden)):
        query = queries[i : i + 1]
        start = time.perf_counter()
        hits = store.search_encoded(query, text=text, limit=limit, candidates=candidates, mode=mode)
        seconds.append(time.perf_counter() - start)
        found.append([str(hit.id) for hit in hits])
    return found, seconds
