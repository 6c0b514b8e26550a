"""Which queries a mode answers worse than native does, and what it missed."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vectorplug.evaluation.collections import Qrels
from vectorplug.evaluation.measuring import COMPARED, Found, Measured
from vectorplug.evaluation.rankings import Rankings
from vectorplug.evaluation.results import Loser, Missed, QueryResult
from vectorplug.search import Mode

__all__ = ["query_results", "worst"]

SNIPPET = 160

TextsOf = Callable[[Sequence[str]], Mapping[str, str]]


def query_results(
    measured: Measured, found: Mapping[Mode, Found], exact: Rankings, ids: Sequence[str], queries: Mapping[str, str]
) -> tuple[QueryResult, ...]:
    """Every query with its figures in each mode."""
    results = []
    for i, (query, text) in enumerate(queries.items()):
        best = tuple(ids[place] for place in exact.positions[i, :COMPARED].tolist() if place >= 0)
        results.append(
            QueryResult(
                id=query,
                text=text,
                exact=best,
                figures={
                    mode: {name: float(each[i]) for name, each in values.items()}
                    for mode, values in measured.values.items()
                },
                missed={
                    mode: tuple(document for document in best if document not in each.ids[i][:COMPARED])
                    for mode, each in found.items()
                },
            )
        )
    return tuple(results)


def worst(
    measured: Measured, results: Sequence[QueryResult], texts_of: TextsOf, qrels: Qrels, most: int
) -> dict[Mode, tuple[Loser, ...]]:
    """By mode at most `most` of the queries that lose against native, most first; native itself has none.

    Of equal losses the one whose ranking differs more (by rank-biased overlap) comes first. `texts_of` gives the texts
    of documents by their ids, of those that it has.
    """
    native = measured.native[measured.compared]
    lost: dict[Mode, list[int]] = {}
    for mode, values in measured.values.items():
        if mode != "native":
            losses = native - values[measured.compared]
            order = np.lexsort((values["rbo"], -losses))[:most].tolist()
            lost[mode] = [i for i in order if losses[i] > 0]
    missed = {document for mode, places in lost.items() for i in places for document in results[i].missed[mode]}
    texts = texts_of(sorted(missed)) if missed else {}
    return {
        mode: tuple(
            Loser(
                id=results[i].id,
                text=results[i].text,
                value=float(measured.values[mode][measured.compared][i]),
                native=float(native[i]),
                missed=_missed(results[i], mode, texts, qrels.get(results[i].id, {})),
            )
            for i in places
        )
        for mode, places in lost.items()
    }


def _missed(result: QueryResult, mode: Mode, texts: Mapping[str, str], grades: Mapping[str, int]) -> tuple[Missed, ...]:
    ranks = {document: rank for rank, document in enumerate(result.exact, start=1)}
    return tuple(
        Missed(id=each, rank=ranks[each], grade=grades.get(each), text=_first_words(texts.get(each, "")))
        for each in sorted(result.missed[mode], key=lambda each: (-grades.get(each, 0), ranks[each]))
    )


def _first_words(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SNIPPET else text[: SNIPPET - 1].rsplit(" ", 1)[0] + "…"
