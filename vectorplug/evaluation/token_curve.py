"""The marginal value of tokens: quality against how many of a document's token vectors are kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from vectorplug.evaluation.metrics import Judge
from vectorplug.evaluation.rankings import Rankings, recall_of
from vectorplug.evaluation.statistics import Interval, interval
from vectorplug.evaluation.token_variants import distinctness, heaviest, leading, mean, pooled, rarity
from vectorplug.evaluation.workload import Workload
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors

__all__ = ["CurvePoint", "TokenCurve", "token_curve"]

FACTORS = (2, 3, 4, 6)
DOCUMENTS_AT_ONCE = 256
DEPTH = 10


@runtime_checkable
class _TellsSpans(Protocol):
    def token_spans(self, texts: Sequence[str], role: Any) -> list[npt.NDArray[np.int32]]: ...


@runtime_checkable
class _TellsAttention(Protocol):
    def token_attention(self, documents: Sequence[str]) -> list[npt.NDArray[np.float32]] | None: ...


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One way to keep fewer tokens: how many a document (mean), and what is found with them.

    `overlap` is the share of exact MaxSim's ten best (of all tokens) among the ten best; `ndcg` is nDCG@10, None where
    nothing is judged. Both are means over queries.
    """

    method: str
    tokens: float
    overlap: Interval
    ndcg: Interval | None


@dataclass(frozen=True, slots=True)
class TokenCurve:
    """`points` by method, many tokens first; `notes` says what was left out."""

    points: tuple[CurvePoint, ...]
    documents: int
    queries: int
    notes: tuple[str, ...]


def token_curve(
    workload: Workload,
    vectorizer: object = None,
    *,
    documents: int = 2000,
    seed: int = 0,
    show_progress_bar: bool | None = None,
) -> TokenCurve:
    """Rank at most `documents` of the workload's by exact MaxSim of 1, 1/2, 1/3, 1/4, 1/6 of their tokens, and of one.

    pooled    neighbours merged (`Vectorizer(pool_factor=...)`)
    rare      those whose characters the fewest documents have (idf); needs a `vectorizer` with `token_spans`
    attended  those that the model's last layer looks at most; needs a `vectorizer` with `token_attention`
    distinct  those least like a token before them
    first     the first of the document
    mean      one vector, the mean of all

    All keep the vectors that the whole document gave: a vector has seen its neighbours, those that are dropped
    included. Judged documents are drawn first.
    """
    assert workload.documents.tokens is not None
    chosen = _drawn(workload, documents, seed)
    tokens = workload.documents.tokens
    notes = list(_sampled(len(chosen), len(tokens)))
    weights, said = _weights(workload, vectorizer, chosen, tokens.lengths[chosen])
    notes += said
    names = ["pooled", "distinct", "first", *weights]
    methods = ["all", *(f"{name} 1/{f}" for f in FACTORS for name in names), "mean"]
    assert workload.queries.tokens is not None
    scores = {name: np.empty((len(workload.queries), len(chosen)), np.float32) for name in methods}
    counts = dict.fromkeys(methods, 0)
    hidden = None if show_progress_bar is None else not show_progress_bar
    with tqdm(total=len(chosen), desc="Keeping fewer tokens", unit="document", disable=hidden) as bar:
        for begin in range(0, len(chosen), DOCUMENTS_AT_ONCE):
            part = slice(begin, min(begin + DOCUMENTS_AT_ONCE, len(chosen)))
            own = {name: each[part] for name, each in weights.items()}
            for name, variant in _variants(tokens.take(chosen[part]), own):
                scores[name][:, part] = maxsim(workload.queries.tokens, variant)
                counts[name] += len(variant.values)
            bar.update(part.stop - part.start)
    rows, columns = np.nonzero(workload.left_out[:, None] == chosen)
    for matrix in scores.values():
        matrix[rows, columns] = -np.inf
    ranked = {name: Rankings.of_scores(matrix, DEPTH) for name, matrix in scores.items()}
    quality = _judged(workload, chosen)
    points = [
        CurvePoint(
            name.partition(" ")[0],
            counts[name] / len(chosen),
            interval(recall_of(ranked[name], ranked["all"], DEPTH, DEPTH), seed),
            None if quality is None else interval(quality(ranked[name]), seed),
        )
        for name in methods
    ]
    order = list(dict.fromkeys(point.method for point in points))
    points.sort(key=lambda point: (order.index(point.method), -point.tokens))
    return TokenCurve(tuple(points), len(chosen), len(workload.queries), tuple(notes))


def _variants(
    tokens: MultiVectors, weights: Mapping[str, Sequence[npt.NDArray[np.float32]]]
) -> Iterator[tuple[str, MultiVectors]]:
    yield "all", tokens
    distinct = distinctness(tokens)
    for factor, merged in zip(FACTORS, pooled(tokens, FACTORS), strict=True):
        yield f"pooled 1/{factor}", merged
        yield f"distinct 1/{factor}", heaviest(tokens, distinct, 1 / factor)
        yield f"first 1/{factor}", leading(tokens, 1 / factor)
        for name, own in weights.items():
            yield f"{name} 1/{factor}", heaviest(tokens, own, 1 / factor)
    yield "mean", mean(tokens)


def _drawn(workload: Workload, most: int, seed: int) -> npt.NDArray[np.int64]:
    """Positions, ascending."""
    ids = [document.id for document in workload.collection.documents]
    judged = {document for grades in workload.collection.qrels.values() for document in grades}
    order = np.random.default_rng(seed).permutation(len(ids))
    first = np.array([ids[i] not in judged for i in order])
    return np.sort(order[np.argsort(first, kind="stable")][:most])


def _sampled(documents: int, whole: int) -> Iterator[str]:
    if documents < whole:
        yield f"the curve of tokens is of {documents:,} of the {whole:,} documents."


def _weights(
    workload: Workload, vectorizer: object, chosen: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> tuple[dict[str, list[npt.NDArray[np.float32]]], list[str]]:
    """What the vectorizer knows of the tokens of `chosen`, by method, and why it does not know the rest."""
    texts = [workload.collection.documents[i].text for i in chosen]
    found: dict[str, list[npt.NDArray[np.float32]]] = {}
    notes = []
    spans = vectorizer.token_spans(texts, "document") if isinstance(vectorizer, _TellsSpans) else None
    if spans is None:
        notes.append("the vectorizer does not tell which characters a vector stands for: no pruning by rarity.")
    elif [len(span) for span in spans] != lengths.tolist():
        notes.append("the vectorizer's vectors are not one for each of its tokens: no pruning by rarity.")
    elif all((span < 0).all() for span in spans):
        notes.append("the model's tokenizer does not tell characters: no pruning by rarity.")
    else:
        found["rare"] = rarity(texts, spans)
    attention = vectorizer.token_attention(texts) if isinstance(vectorizer, _TellsAttention) else None
    if attention is None:
        notes.append("the vectorizer does not tell the model's attention: no pruning by it.")
    elif [len(each) for each in attention] != lengths.tolist():
        notes.append("the vectorizer's vectors are not one for each of its tokens: no pruning by attention.")
    else:
        found["attended"] = attention
    return found, notes


def _judged(workload: Workload, chosen: npt.NDArray[np.int64]) -> Callable[[Rankings], npt.NDArray[np.float64]] | None:
    """nDCG@10 of each query, where there are judgements."""
    collection = workload.collection
    if not collection.qrels:
        return None
    ids = [collection.documents[i].id for i in chosen]
    judge = Judge(collection.qrels)

    def measured(ranked: Rankings) -> npt.NDArray[np.float64]:
        found = {
            query: [ids[place] for place in places if place >= 0]
            for query, places in zip(collection.queries, ranked.positions.tolist(), strict=True)
        }
        return judge.measure(found)["ndcg@10"]

    return measured
