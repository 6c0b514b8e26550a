"""Voyage's embeddings and rerank: https://docs.voyageai.com/reference/embeddings-api."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Depends
from pydantic import BaseModel, BeforeValidator, Field
from starlette.responses import Response

from vectorplug.models.tokenizing import Role
from vectorplug.server.engine import Embeddings, Engine
from vectorplug.server.formats import Dtype, as_base64, as_dtype
from vectorplug.server.held import held_engine
from vectorplug.server.problems import Problem, RefusedError
from vectorplug.server.scoring import rank
from vectorplug.server.vendor import Vendor, answer, router_of

__all__ = ["VENDOR", "EmbeddingRequest", "RerankRequest", "embed", "error_body", "rerank", "router", "shared"]


def error_body(problem: Problem, _: str) -> dict[str, Any]:
    """`{"detail"}`, a string."""
    return {"detail": problem.message}


VENDOR = Vendor(name="voyage", body=error_body, statuses={"model_not_found": 400, "overloaded": 503})
router = router_of(VENDOR)
shared = router_of(VENDOR)

Text = Annotated[str, Field(min_length=1)]
Many = Annotated[list[Text], Field(min_length=1, max_length=1000)]
# A single text becomes a list first, so that an error is the list's.
Texts = Annotated[
    Many,
    BeforeValidator(lambda given: [given] if isinstance(given, str) else given, json_schema_input_type=Text | Many),
]


class Encoding(BaseModel):
    """How texts are read and their vectors sent."""

    model: str
    input_type: Role | None = None
    output_dtype: Dtype | None = None
    output_dimension: Annotated[int, Field(ge=1)] | None = None
    encoding_format: Literal["base64"] | None = None


class EmbeddingRequest(Encoding):
    """Texts to embed; without `truncation`, one that is too long is an error."""

    input: Texts
    truncation: bool | None = None


class ContextualizedRequest(Encoding):
    """Documents, each a list of one chunk."""

    inputs: Annotated[list[Annotated[list[Text], Field(min_length=1)]], Field(min_length=1, max_length=1000)]
    enable_auto_chunking: bool | None = None


class RerankRequest(BaseModel):
    """Documents to rank; without `truncation`, one that is too long is an error."""

    query: Text
    documents: Annotated[list[str], Field(min_length=1, max_length=1000)]
    model: str
    top_k: Annotated[int, Field(ge=1)] | None = None
    truncation: bool | None = None
    return_documents: bool | None = None


class Usage(BaseModel):
    """Tokens as the model read them."""

    total_tokens: int


class Embedding(BaseModel):
    """One vector; nested, one a token, where the model's name ends in `:tokens`."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | list[list[float]] | str | list[str]


class EmbeddingList(BaseModel):
    """The answer."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class Chunks(BaseModel):
    """The vectors of one document."""

    object: Literal["list"] = "list"
    index: int
    data: list[Embedding]


class ChunksList(BaseModel):
    """The answer."""

    object: Literal["list"] = "list"
    data: list[Chunks]
    model: str
    usage: Usage


class Result(BaseModel):
    """One document's place; `relevance_score` is MaxSim a query token."""

    index: int
    relevance_score: float
    document: str | None = None


class Reranked(BaseModel):
    """The best document first."""

    object: Literal["list"] = "list"
    data: list[Result]
    model: str
    usage: Usage


Held = Annotated[Engine, Depends(held_engine)]


@shared.post("/v1/embeddings", response_model=EmbeddingList)
async def embeddings(body: EmbeddingRequest, engine: Held) -> Response:
    """Dense vectors of texts."""
    return await embed(body, engine)


@router.post("/v1/contextualizedembeddings", response_model=ChunksList)
async def contextualized_embeddings(body: ContextualizedRequest, engine: Held) -> Response:
    """Dense vectors of queries and of whole documents, a list of one each.

    Several chunks in a list are to be embedded in the light of each other, which the models here do not do. Vectors
    without it would look the same and find less, so that is refused: who can do without puts each chunk in a list of
    its own, or calls `/v1/embeddings`.
    """
    if body.enable_auto_chunking or any(len(chunks) > 1 for chunks in body.inputs):
        raise RefusedError(
            "invalid",
            "chunks that see each other cannot be embedded here, nor documents be chunked: send each chunk in a list "
            "of its own, or to /v1/embeddings, and it is embedded by itself.",
            param="inputs",
        )
    texts = [chunk for chunks in body.inputs for chunk in chunks]
    embedded = await _embedded(body, texts, engine, truncate=False)
    data = [
        {"object": "list", "index": i, "data": [{"object": "embedding", "index": 0, "embedding": vector}]}
        for i, vector in enumerate(_encoded(embedded.vectors, body))
    ]
    return answer(_list(data, embedded.model, embedded.tokens), truncated=embedded.truncated)


@shared.post("/v1/rerank", response_model=Reranked)
async def reranking(body: RerankRequest, engine: Held) -> Response:
    """Rank documents by MaxSim."""
    return await rerank(body, engine)


async def embed(body: EmbeddingRequest, engine: Engine) -> Response:
    """The answer to one request for vectors."""
    embedded = await _embedded(body, body.input, engine, truncate=body.truncation is not False)
    data = [
        {"object": "embedding", "index": i, "embedding": vector}
        for i, vector in enumerate(_encoded(embedded.vectors, body))
    ]
    return answer(_list(data, embedded.model, embedded.tokens), truncated=embedded.truncated)


async def rerank(body: RerankRequest, engine: Engine) -> Response:
    """The answer to one request for a ranking."""
    ranking = await rank(engine, body.model, body.query, body.documents, truncate=body.truncation is not False)
    data: list[dict[str, Any]] = [
        {"index": i, "relevance_score": ranking.relevance[i]} for i in ranking.best(body.top_k)
    ]
    if body.return_documents:
        for result in data:
            result["document"] = body.documents[result["index"]]
    return answer(_list(data, ranking.model, ranking.tokens), truncated=ranking.truncated)


async def _embedded(body: Encoding, texts: Sequence[str], engine: Engine, *, truncate: bool) -> Embeddings:
    return await engine.embed(
        body.model,
        texts,
        output="dense",
        role=body.input_type or "document",
        dimensions=body.output_dimension,
        truncate=truncate,
    )


def _encoded(vectors: Sequence[Any], body: Encoding) -> list[Any]:
    """The vectors in the numbers and the encoding that are asked for."""
    numbers = as_dtype(vectors, body.output_dtype or "float")
    return list(numbers) if body.encoding_format is None else as_base64(numbers)


def _list(data: Sequence[Mapping[str, Any]], model: str, tokens: int) -> dict[str, Any]:
    return {"object": "list", "data": data, "model": model, "usage": {"total_tokens": tokens}}
