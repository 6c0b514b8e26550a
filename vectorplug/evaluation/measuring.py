"""From what each mode found for each query to figures, intervals and p-values."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from vectorplug.encoded import Encoded, Output
from vectorplug.evaluation.collections import Qrels
from vectorplug.evaluation.metrics import Judge
from vectorplug.evaluation.rankings import Rankings, rank_biased_overlap, recall_of
from vectorplug.evaluation.results import ModeResult, Times
from vectorplug.evaluation.statistics import interval, paired
from vectorplug.evaluation.workload import Workload
from vectorplug.search import Mode, Store
from vectorplug.search.modes import plan_of

__all__ = ["COMPARED", "Found", "Measured", "measure", "search_all", "search_workload"]

RANKED = 100
DEEP = 1000
COMPARED = 10
OF_EXACT = ("overlap@10", "10r@100", "rbo")

Values = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Found:
    """What a mode found: by query the ids, best first, and the seconds; `deep` the ids of a longer search."""

    ids: list[list[str]]
    seconds: list[float]
    candidates: int | None
    deep: list[list[str]]


@dataclass(frozen=True, slots=True)
class Measured:
    """`results` and, by mode and for `native`, the figures float64 [queries] by their JSON names.

    `native` are those of the mode where it was searched, else of exact MaxSim itself.
    """

    compared: str
    results: dict[Mode, ModeResult]
    values: dict[Mode, Values]
    native: Values


def search_all(
    store: Store[Any],
    queries: Encoded,
    texts: Sequence[str],
    mode: Mode,
    candidates: int | None,
    *,
    left_out: Sequence[str | None],
    deep: bool,
    progress: Any,
) -> Found:
    """Search every query, the first once untimed before; its `left_out` document is taken out of what is found.

    `deep` also searches for 1,000, untimed, in modes that find so many.
    """
    # Exactly `candidates` are ranked: a store asked for more hits would rank more. What is left out takes no place.
    spare = int(any(left_out))
    limit = (RANKED if candidates is None else min(RANKED, candidates)) + spare
    ranked = None if candidates is None else candidates + spare

    def search(i: int, limit: int) -> list[str]:
        hits = store.search_encoded(queries[i : i + 1], text=texts[i], limit=limit, candidates=ranked, mode=mode)
        return [str(hit.id) for hit in hits]

    search(0, limit)
    found, seconds, longer = [], [], []
    for i in progress(range(len(texts))):
        start = time.perf_counter()
        ids = search(i, limit)
        seconds.append(time.perf_counter() - start)
        found.append(_without(ids, left_out[i])[: limit - spare])
        more = deep and candidates is None and len(ids) == limit
        longer.append(_without(search(i, DEEP + spare), left_out[i])[:DEEP] if more else found[-1])
    return Found(found, seconds, candidates, longer)


def search_workload(
    store: Store[Any], workload: Workload, mode: Mode, candidates: int, hidden: bool | None, *, deep: bool
) -> Found:
    """Search every query of `workload`; the documents that they were drawn from are left out."""
    collection = workload.collection
    return search_all(
        store,
        workload.queries,
        list(collection.queries.values()),
        mode,
        None if plan_of(mode).rerank is None else candidates,
        left_out=[collection.drawn_from.get(query) for query in collection.queries],
        deep=deep,
        progress=partial(tqdm, desc=f"Searching ({mode})", unit="query", disable=hidden),
    )


def _without(ids: list[str], left_out: str | None) -> list[str]:
    return ids if left_out is None else [document for document in ids if document != left_out]


def measure(
    found: Mapping[Mode, Found],
    exact: Rankings,
    ids: Sequence[str],
    queries: Sequence[str],
    qrels: Qrels,
    sizes: Mapping[Mode, Mapping[Output, float]],
) -> Measured:
    """Figures of each mode, against `exact`, whose positions are those of `ids`, and `qrels` where there are any.

    `queries` are the queries' ids; `sizes` the bytes a document of each kind of vector that the mode needs.
    """
    judge = Judge(qrels) if qrels else None
    compared = "ndcg@10" if judge else "overlap@10"
    places = {document: i for i, document in enumerate(ids)}
    values = {mode: _values(each, exact, places, queries, judge) for mode, each in found.items()}
    best = [[ids[place] for place in ranked if place >= 0] for ranked in exact.positions.tolist()]
    native = values.get("native") or _values(Found(best, [], None, best), exact, places, queries, judge)
    results = {
        mode: _result(each, values[mode], None if mode == "native" else native, compared, sizes[mode])
        for mode, each in found.items()
    }
    return Measured(compared, results, values, native)


def _values(
    found: Found, exact: Rankings, places: Mapping[str, int], queries: Sequence[str], judge: Judge | None
) -> Values:
    # What is not among the documents compared counts as found in vain, not as -1, which is nothing.
    beyond = len(places)
    positions = [[places.get(document, beyond) for document in ids] for ids in found.ids]
    ranked = Rankings.of_lists(positions, [[0.0] * len(ids) for ids in positions], RANKED)
    values: Values = {
        "overlap@10": recall_of(ranked, exact, COMPARED, COMPARED),
        "10r@100": recall_of(ranked, exact, COMPARED, RANKED),
        "rbo": rank_biased_overlap(ranked, exact),
    }
    if judge is not None:
        judged = judge.measure(dict(zip(queries, found.ids, strict=True)))
        judged["recall@1000"] = judge.measure(dict(zip(queries, found.deep, strict=True)))["recall@1000"]
        values = judged | values
    return values


def _result(
    found: Found, values: Values, native: Values | None, compared: str, sizes: Mapping[Output, float]
) -> ModeResult:
    intervals = {name: interval(each) for name, each in values.items()}
    fields = {name.replace("@", "_at_"): made.mean for name, made in intervals.items() if name not in OF_EXACT}
    return ModeResult(
        **fields,
        overlap_at_10=intervals["overlap@10"].mean,
        exact_10_in_100=intervals["10r@100"].mean,
        rbo=intervals["rbo"].mean,
        intervals=intervals,
        p_value=None if native is None else paired(values[compared], native[compared]),
        ms_per_query=Times.of(found.seconds),
        candidates=found.candidates,
        bytes_by_vectors=dict(sizes),
    )
