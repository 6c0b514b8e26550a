"""Paths that several vendors have, at the root: the fields of a request tell whose it is.

A request goes to the vendor whose own field stands in it, and is then read and answered exactly as below that vendor's
prefix; errors come in one shape, in which every vendor's SDK finds its own key.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Header
from pydantic import Discriminator, Tag
from starlette.responses import Response

from vectorplug.server.engine import Engine
from vectorplug.server.held import held_engine
from vectorplug.server.native_models import residency
from vectorplug.server.problems import FORMAT, Problem
from vectorplug.server.vendor import Vendor, answer, router_of
from vectorplug.server.wire import cohere, infinity, jina, openai, tei, voyage, weaviate

__all__ = ["MERGED", "router"]


def error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """What OpenAI's, Cohere's, Voyage's and Jina's SDKs all read: each finds its own key."""
    return {
        **openai.error_body(problem, request_id),
        "detail": problem.message,
        "message": problem.message,
        "request_id": request_id,
    }


# 503: every SDK tries again after it, and Weaviate's client keeps the objects, which it gives up after a 429.
MERGED = Vendor(name="merged", body=error_body, statuses={"overloaded": 503}, headers=openai.UNLIMITED)
router = router_of(MERGED)

# The fields by which a format is known, in the order in which they are looked for; the last format has none.
EMBEDDINGS: Mapping[str, frozenset[str]] = {
    "voyage": frozenset({"truncation", "output_dtype", "output_dimension"}),
    "jina": frozenset(
        {
            "embedding_type", "input_type", "late_chunking", "normalized", "return_multivector",
            "return_tokenized_input", "task", "truncate",
        }
    ),
    "openai": frozenset(),
}  # fmt: skip
RERANK: Mapping[str, frozenset[str]] = {
    "voyage": frozenset({"top_k"}),
    "cohere": frozenset({"max_chunks_per_doc", "max_tokens_per_doc", "rank_fields", "relevant_spans"}),
    "jina": frozenset(),
}
BARE_RERANK: Mapping[str, frozenset[str]] = {
    "tei": frozenset({"texts"}),
    "weaviate": frozenset({"property"}),
    "infinity": frozenset(),
}


def told_by(fields: Mapping[str, frozenset[str]]) -> Discriminator:
    """Chooses the format of a body, given those formats' fields."""

    def format_of(body: Any) -> str:
        held = set(body) if isinstance(body, dict) else set()
        return FORMAT + next(name for name, own in fields.items() if own & held or not own)

    return Discriminator(format_of)


EmbeddingRequest = Annotated[
    Annotated[voyage.EmbeddingRequest, Tag(FORMAT + "voyage")]
    | Annotated[jina.EmbeddingRequest, Tag(FORMAT + "jina")]
    | Annotated[openai.EmbeddingRequest, Tag(FORMAT + "openai")],
    told_by(EMBEDDINGS),
]
RerankRequest = Annotated[
    Annotated[voyage.RerankRequest, Tag(FORMAT + "voyage")]
    | Annotated[cohere.RerankRequest, Tag(FORMAT + "cohere")]
    | Annotated[jina.RerankRequest, Tag(FORMAT + "jina")],
    told_by(RERANK),
]
BareRerankRequest = Annotated[
    Annotated[tei.RerankRequest, Tag(FORMAT + "tei")]
    | Annotated[weaviate.RerankRequest, Tag(FORMAT + "weaviate")]
    | Annotated[infinity.RerankRequest, Tag(FORMAT + "infinity")],
    told_by(BARE_RERANK),
]
Held = Annotated[Engine, Depends(held_engine)]
Source = Annotated[str | None, Header(alias="x-header-vectordb-source", include_in_schema=False)]


@router.post("/v1/embeddings", response_model=openai.EmbeddingList | jina.EmbeddingList | voyage.EmbeddingList)
async def embeddings(body: EmbeddingRequest, engine: Held, source: Source = None) -> Response:
    """OpenAI's, Jina's or Voyage's embeddings."""
    match body:
        case voyage.EmbeddingRequest():
            return await voyage.embed(body, engine)
        case jina.EmbeddingRequest():
            return await jina.embed(body, engine, source=source)
        case _:
            return await openai.embed(body, engine)


@router.post("/v1/rerank", response_model=jina.RankedList | cohere.Reranked | voyage.Reranked)
async def rerank(body: RerankRequest, engine: Held) -> Response:
    """Jina's, Cohere's (version 1) or Voyage's reranking."""
    match body:
        case voyage.RerankRequest():
            return await voyage.rerank(body, engine)
        case cohere.RerankRequest():
            return await cohere.rerank(body, engine)
        case _:
            return await jina.rerank(body, engine)


@router.post("/rerank", response_model=infinity.RerankResponse | list[tei.Rank] | weaviate.RerankResponse)
async def rerank_bare(body: BareRerankRequest, engine: Held) -> Response:
    """Infinity's, TEI's or a Weaviate container's reranking."""
    match body:
        case tei.RerankRequest():
            return await tei.rerank(body, engine)
        case weaviate.RerankRequest():
            return await weaviate.rerank(body, engine)
        case _:
            return await infinity.rerank(body, engine)


@router.get("/v1/models")
async def models(engine: Held) -> Response:
    """The models that can be named, for OpenAI's clients (`data`) and Cohere's (`models`), with where they are."""
    listed = openai.list_models(engine)
    rows = [model | row for model, row in zip(listed["data"], await residency(engine), strict=True)]
    return answer({**listed, "data": rows, **cohere.list_models(engine)})


@router.get("/v1/models/{name:path}", response_model=openai.Model)
async def model(name: str, engine: Held) -> Response:
    """One model."""
    engine.names.wanted(name)
    return answer(openai.Model(id=name).model_dump())
