"""What an evaluation found, as Python objects and as JSON (`model_dump(mode="json", by_alias=True)`)."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, computed_field

from vectorplug.encoded import Output
from vectorplug.search import Mode

__all__ = ["Evaluation", "ModeResult", "Times"]


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

    `overlap_at_10` is the share of the ten best documents by exact MaxSim among the mode's first ten.
    `bytes_by_vectors` is the mean size a document of each kind of vector that the mode needs, as it is given to the
    store. `ms_per_query` is the search, without encoding the query. `candidates` were ranked by exact MaxSim; None
    in a mode that does not rank again.
    """

    model_config = ConfigDict(frozen=True)

    ndcg_at_10: float = Field(serialization_alias="ndcg@10")
    recall_at_100: float = Field(serialization_alias="recall@100")
    overlap_at_10: float = Field(serialization_alias="overlap@10")
    ms_per_query: Times
    candidates: int | None
    bytes_by_vectors: dict[Output, float]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def bytes_per_document(self) -> float:
        """Of all vectors that the mode needs, together."""
        return sum(self.bytes_by_vectors.values())


class Evaluation(BaseModel):
    """Every mode on one collection with one model in one store.

    `ms_per_query_encoding` is for one query at a time. `truncated` documents were longer than the model's limit.
    `fingerprint` names model, recipe and FDE; `notes` says what of the collection was left out.
    """

    model_config = ConfigDict(frozen=True)

    collection: str
    model: str
    fingerprint: str
    store: str
    documents: int
    queries: int
    truncated: int
    documents_per_second: float
    ms_per_query_encoding: Times
    modes: dict[Mode, ModeResult]
    notes: tuple[str, ...] = ()
