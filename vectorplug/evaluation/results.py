"""What an evaluation found, as Python objects and as JSON (`model_dump(mode="json", by_alias=True)`)."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, computed_field

from vectorplug.encoded import Output
from vectorplug.evaluation.statistics import Interval
from vectorplug.search import Mode

__all__ = ["Evaluation", "Loser", "Missed", "ModeResult", "QueryResult", "Times"]


class Times(BaseModel):
    """Milliseconds: the median, and what 95 % stay within."""

    model_config = ConfigDict(frozen=True)

    p50: float
    p95: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """Of single measurements in seconds."""
        p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
        return cls(p50=p50, p95=p95)


class ModeResult(BaseModel):
    """One mode on one collection: qualities from 0 to 1, means over the queries.

    Those of judgements are None where nothing is judged. `overlap_at_10` is the share of the ten best documents by
    exact MaxSim among the mode's first ten, `exact_10_in_100` among its first hundred; `rbo` is the rank-biased overlap
    of both rankings (p = 0.9). `intervals` gives every one of them by its JSON name, with its 95 % interval. `p_value`
    is that of the difference from native in the evaluation's `compared`; None for native itself.
    `bytes_by_vectors` is the mean size a document of each kind of vector that the mode needs, as it is given to the
    store. `ms_per_query` is the search, without encoding the query. `candidates` were ranked by exact MaxSim; None
    in a mode that does not rank again.
    """

    model_config = ConfigDict(frozen=True)

    ndcg_at_10: float | None = Field(None, serialization_alias="ndcg@10")
    mrr_at_10: float | None = Field(None, serialization_alias="mrr@10")
    recall_at_10: float | None = Field(None, serialization_alias="recall@10")
    recall_at_100: float | None = Field(None, serialization_alias="recall@100")
    recall_at_1000: float | None = Field(None, serialization_alias="recall@1000")
    success_at_1: float | None = Field(None, serialization_alias="success@1")
    success_at_5: float | None = Field(None, serialization_alias="success@5")
    success_at_10: float | None = Field(None, serialization_alias="success@10")
    overlap_at_10: float = Field(serialization_alias="overlap@10")
    exact_10_in_100: float = Field(serialization_alias="10r@100")
    rbo: float
    intervals: dict[str, Interval]
    p_value: float | None
    ms_per_query: Times
    candidates: int | None
    bytes_by_vectors: dict[Output, float]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def bytes_per_document(self) -> float:
        """Of all vectors that the mode needs, together."""
        return sum(self.bytes_by_vectors.values())


class QueryResult(BaseModel):
    """One query: by mode its figures by their JSON names, and which of the exact top 10 are not in the first ten."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str
    exact: tuple[str, ...]
    figures: dict[Mode, dict[str, float]]
    missed: dict[Mode, tuple[str, ...]]


class Missed(BaseModel):
    """A document that exact MaxSim ranks at `rank` (from 1) and a mode has not among its first ten.

    `grade` is people's, None where they gave none.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    rank: int
    grade: int | None
    text: str


class Loser(BaseModel):
    """A query that a mode answers worse than native does: `value` and `native`, of the metric that is compared.

    Of what it `missed`, the documents with the highest grades come first, then the best by exact MaxSim.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    text: str
    value: float
    native: float
    missed: tuple[Missed, ...]


class Evaluation(BaseModel):
    """Every mode on one collection with one model in one store.

    `target` says in a sentence what the figures are compared to. `compared` is the metric of the p-values and of
    `losers`, by mode the queries that lose most; `per_query` has them all.
    `ms_per_query_encoding` is for one query at a time. `truncated` documents were longer than the model's limit.
    `fingerprint` names model, recipe and FDE; `notes` says what of the collection was left out.
    """

    model_config = ConfigDict(frozen=True)

    collection: str
    model: str
    fingerprint: str
    store: str
    target: str
    compared: str
    documents: int
    queries: int
    truncated: int
    documents_per_second: float
    ms_per_query_encoding: Times
    modes: dict[Mode, ModeResult]
    losers: dict[Mode, tuple[Loser, ...]]
    per_query: tuple[QueryResult, ...]
    notes: tuple[str, ...] = ()
