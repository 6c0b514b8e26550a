"""What tuning found, as Python objects and as JSON (`model_dump(mode="json", by_alias=True)`)."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Choice", "Predicted", "Recommendation", "Tuning"]

_frozen = ConfigDict(frozen=True)


class Predicted(BaseModel):
    """What a search with that config will do in the whole collection.

    `recall_at_10` is the share of exact MaxSim's ten best documents among its ten best, from `recall_low` to
    `recall_high` (95 %, bootstrap over queries; None for a single query); where only a sample was measured, from the
    recall at the steep end of the growth to that at the flat one. `bytes_per_document` are its vectors as they are
    stored, `memory_bytes_per_document` those of the first stage that are searched, `graph_bytes_per_document` the
    links of a graph, on top. `ms_per_query` is the search, without encoding the query.
    """

    model_config = _frozen

    recall_at_10: float = Field(serialization_alias="recall@10")
    recall_low: float | None
    recall_high: float | None
    bytes_per_document: float
    memory_bytes_per_document: float
    graph_bytes_per_document: float
    total_bytes: float
    ms_per_query: float


class Choice(BaseModel):
    """One config of the front: what `IndexConfig.of` reads, the same in words, and what to expect of it."""

    model_config = _frozen

    config: dict[str, Any]
    label: str
    predicted: Predicted


class Recommendation(Choice):
    """The one to take, and the sentence why; `met` says whether the target and all budgets are kept."""

    why: str
    met: bool


class Tuning(BaseModel):
    """`front` holds the configs that no other beats in recall, bytes and milliseconds together, small ones first.

    `documents` and `queries` were measured, the prediction is for `documents_total`. `growth` says how candidates grow
    with the collection (exponent, low, high), None where all of it was measured. `partial` is an answer from what had
    been measured when it was interrupted. `basis` says what the predictions rest on, `notes` what was left out.
    """

    model_config = _frozen

    collection: str
    model: str
    store: str
    documents: int
    queries: int
    documents_total: int
    partial: bool
    recommendation: Recommendation
    front: tuple[Choice, ...]
    growth: tuple[float, float, float] | None
    tried: int
    basis: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: dict[str, float]
