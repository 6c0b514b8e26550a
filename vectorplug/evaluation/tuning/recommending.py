"""From what was measured to what is said: predictions, the front, one config, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vectorplug.evaluation.statistics import interval
from vectorplug.evaluation.tuning.finders import Finder
from vectorplug.evaluation.tuning.front import Budget, Option, chosen, pareto
from vectorplug.evaluation.tuning.growth import Growth
from vectorplug.evaluation.tuning.pairs import Pair
from vectorplug.evaluation.tuning.results import Choice, Predicted, Recommendation, Tuning
from vectorplug.evaluation.tuning.storage import GRAPH_BYTES, Storage
from vectorplug.evaluation.tuning.timing import Speed, needs_graph
from vectorplug.evaluation.workload import Workload
from vectorplug.search.config import IndexConfig, LemurConfig, MuveraConfig, StoreConfig, TokensConfig

__all__ = ["Facts", "config_of", "recommend"]


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What the predictions rest on. `growth` of each finder; `interrupted` names the stage that was not finished."""

    workload: Workload
    storage: Storage
    store_url: str
    speed: Speed
    documents_total: int
    growth: Mapping[Finder, Growth]
    interrupted: str | None
    seconds: Mapping[str, float]

    @property
    def factor(self) -> float:
        """How many times as large the whole collection is."""
        return self.documents_total / len(self.workload.documents)


def recommend(pairs: Sequence[Pair], facts: Facts, budget: Budget, seed: int) -> Tuning:
    """The front of `pairs` and the one to take."""
    costs = [_costs(pair, facts) for pair in pairs]
    options = [
        Option(i, float(pair.recall.mean()), size, ms)
        for i, (pair, (size, ms)) in enumerate(zip(pairs, costs, strict=True))
    ]
    best, gives = chosen(options, budget)
    # What was chosen may have a neighbour on the front that differs by nothing: it stands there itself.
    front = [best if _same(option, best) else option for option in pareto(options)]
    if best not in front:
        front = sorted([*front, best], key=lambda option: (option.bytes, option.ms))
    keep = [option for option in options if _keeps(option, budget)]
    choice = _choice(best, pairs, facts, seed)
    pair = pairs[best.number]
    why = _why(choice, budget, gives, len(keep), len(options)) + _beside(pair, keep, pairs)
    growth = facts.growth[pair.finder]
    workload = facts.workload
    return Tuning(
        collection=workload.collection.name,
        model=workload.model,
        store=facts.store_url,
        documents=len(workload.documents),
        queries=len(workload.queries),
        documents_total=facts.documents_total,
        partial=facts.interrupted is not None,
        recommendation=Recommendation(**dict(choice), why=why, met=gives is None),
        front=tuple(_choice(option, pairs, facts, seed) for option in front),
        growth=None if facts.factor == 1 else (growth.exponent, growth.low, growth.high),
        tried=len(options),
        basis=(*facts.speed.basis, *_basis(facts, pair)),
        notes=(*workload.notes, *_notes(facts, pair)),
        seconds=dict(facts.seconds),
    )


def config_of(pair: Pair, model: str) -> IndexConfig:
    """What `vectorplug index --config` takes."""
    kept = pair.kept
    pool = None if kept.pool_factor is None else float(kept.pool_factor)
    return IndexConfig(
        model=model,
        mode=pair.finder.mode,
        candidates=pair.candidates,
        fde=pair.finder.fde or MuveraConfig(),
        tokens=TokensConfig(
            dtype=kept.dtype,
            pool_factor=pool,
            document_length=kept.document_length,
            query_length=kept.query_length,
        ),
        store=StoreConfig(fde_dtype=pair.finder.dtype),
    )


def _costs(pair: Pair, facts: Facts) -> tuple[float, float]:
    """Bytes a document as stored, and milliseconds a query."""
    finder, total = pair.finder, facts.documents_total
    size = facts.storage.fde_bytes(finder.size, finder.dtype) + _token_bytes(pair, facts)
    # Codes are made with the graph: a collection too small for one is scanned in whole floats.
    scanned = facts.storage.scanned_bytes(1, finder.dtype)
    if facts.storage.keeps_whole and not needs_graph(total, finder.size):
        scanned = max(scanned, 4.0) if finder.dtype in ("int8", "bit") else scanned
    # MaxSim takes as long as there are pairs of tokens.
    return size, facts.speed.ms(finder.size, scanned, total, pair.candidates, pair.tokens * pair.share)


def _token_bytes(pair: Pair, facts: Facts) -> float:
    tokens = facts.workload.documents.tokens
    assert tokens is not None
    return facts.storage.token_bytes(tokens.dim, pair.tokens, pair.kept.dtype)


def _choice(option: Option, pairs: Sequence[Pair], facts: Facts, seed: int) -> Choice:
    pair = pairs[option.number]
    finder = pair.finder
    found = interval(pair.recall, seed)
    low, high = found.low, found.high
    if facts.factor != 1 and low is not None and high is not None:
        growth = facts.growth[finder]
        low += min(0.0, _moved(pair, pairs, facts.factor, growth, growth.high) - found.mean)
        high += max(0.0, _moved(pair, pairs, facts.factor, growth, growth.low) - found.mean)
        low, high = max(low, 0.0), min(high, 1.0)
    graph = GRAPH_BYTES if needs_graph(facts.documents_total, finder.size) else 0
    return Choice(
        config=config_of(pair, facts.workload.model).model_dump(mode="json", exclude_none=True),
        label=f"{finder.label}; {pair.candidates:,} candidates; {pair.kept.label}",
        predicted=Predicted(
            recall_at_10=found.mean,
            recall_low=low,
            recall_high=high,
            bytes_per_document=option.bytes,
            memory_bytes_per_document=facts.storage.scanned_bytes(finder.size, finder.dtype),
            graph_bytes_per_document=graph,
            total_bytes=(option.bytes + graph) * facts.documents_total,
            ms_per_query=option.ms,
        ),
    )


def _moved(pair: Pair, pairs: Sequence[Pair], factor: float, growth: Growth, exponent: float) -> float:
    """The recall of `pair` if candidates grew with that exponent: read off between those that were measured."""
    same = sorted((p.measured_with, float(p.recall.mean())) for p in pairs if (p.finder, p.kept) == _same_key(pair))
    counts, recalls = zip(*same, strict=True)
    here = growth.shrunk(pair.candidates, factor, exponent)
    return float(np.interp(np.log(max(here, 1.0)), np.log(counts), recalls))


def _same_key(pair: Pair) -> tuple[object, object]:
    return pair.finder, pair.kept


def _same(first: Option, second: Option) -> bool:
    return (first.recall, first.bytes, first.ms) == (second.recall, second.bytes, second.ms)


def _keeps(option: Option, budget: Budget) -> bool:
    return (
        option.recall >= budget.recall
        and (budget.bytes is None or option.bytes <= budget.bytes)
        and (budget.ms is None or option.ms <= budget.ms)
    )


def _why(choice: Choice, budget: Budget, gives: str | None, keep: int, tried: int) -> str:
    asked = [f"recall@10 of at least {budget.recall:g}"]
    asked += [f"{budget.bytes:,.0f} bytes a document at most"] if budget.bytes is not None else []
    asked += [f"{budget.ms:g} ms a query at most"] if budget.ms is not None else []
    wanted, told = " and ".join(asked), choice.predicted
    reached = (
        f"{told.recall_at_10:.3f} at {told.bytes_per_document:,.0f} bytes a document and "
        f"{told.ms_per_query:.2g} ms a query"
    )
    if gives is None:
        return (
            f"{keep:,} of {tried:,} configs give {wanted}; of these it has the least bytes x milliseconds: {reached}."
        )
    if gives == "recall":
        return (
            f"none of {tried:,} configs gives {wanted}; the target gives way: within the budget this one finds most, "
            f"{reached}."
        )
    return f"none of {tried:,} configs keeps to the budget of {gives}; it gives way: this one is nearest, {reached}."


def _beside(pair: Pair, keep: Sequence[Option], pairs: Sequence[Pair]) -> str:
    """What the other kind of finder would cost: users ask."""
    others = [option for option in keep if pairs[option.number].finder.mode != pair.finder.mode]
    if not others:
        return ""
    best, _ = chosen(others, Budget(1e-9))
    other = pairs[best.number]
    return (
        f" By {'the dense vector' if other.finder.fde is None else f'an FDE ({other.finder.label})'} it would take "
        f"{best.bytes:,.0f} bytes and {best.ms:.2g} ms, with {other.candidates:,} candidates."
    )


def _basis(facts: Facts, pair: Pair) -> list[str]:
    workload = facts.workload
    assert workload.documents.tokens is not None
    lengths = workload.documents.tokens.lengths
    said = [
        f"bytes: {lengths.mean():.1f} tokens of {workload.documents.tokens.dim} numbers a document; in "
        f"{facts.storage.name} as stored, ids and payload not counted",
        f"recall: {len(workload.queries):,} queries on {len(workload.documents):,} documents, vectors made with the "
        "config's own matrices; the interval is over queries",
    ]
    if facts.factor != 1:
        growth = facts.growth[pair.finder]
        said.append(
            f"growth: in halves and quarters of these documents candidates grow as documents^{growth.exponent:.2f} "
            f"({growth.low:.2f} to {growth.high:.2f}), so {pair.candidates:,} candidates among "
            f"{facts.documents_total:,} documents find what {pair.measured_with:,} found here"
        )
    return said


def _notes(facts: Facts, pair: Pair) -> list[str]:
    said = []
    if facts.interrupted is not None:
        said.append(f"interrupted while {facts.interrupted.lower()}: this is the best of what was measured until then.")
    if facts.storage.name != "the plain store" and pair.finder.dtype in ("int8", "bit"):
        said.append("the codes' own rounding in the database differs a little from the one that was measured.")
    if isinstance(pair.finder.fde, LemurConfig):
        said.append("lemur was fitted to these documents; `index` fits it to a sample of those that come.")
    if pair.kept.document_length is not None:
        said.append(
            f"documents cut at {pair.kept.document_length} tokens are predicted from vectors that have seen the rest."
        )
    if pair.kept.dtype != "int8":
        said.append("tokens were measured in float16, from which float32 differs by less than 0.0005 a match.")
    return said
