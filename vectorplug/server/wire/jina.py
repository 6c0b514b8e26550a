"""Jina's embeddings, multi-vectors and reranking, for its own clients and for Weaviate's modules: https://api.jina.ai/docs.

Which vectors. `/v1/multi-vector` gives one vector a token. So does `/v1/embeddings` with `return_multivector: true`,
and with `input_type` (the form of Jina's ColBERT models) where the checkpoint was trained for multi-vectors; otherwise
it gives one vector a text. A suffix of the model's name (`:tokens`, `:dense`, `:fde`) goes before all of this, and
`return_multivector: false` before `input_type`. Multi-vectors stand in `embeddings`, single ones in `embedding`, as
Jina documents them; Weaviate's modules read either key.

Which role. `input_type`, or a `task` that ends in `query`, or a suffix of the model's name (`:query`, `:document`).
Without any of them a text is a document, but for one case: Weaviate's `multi2multivec-jinaai` tells its queries by
nothing but their shape, plain strings with `return_multivector: true`, where its documents are `{"text": …}`. So plain
strings are queries there; who means documents says so by `task`, `input_type`, `{"text": …}` or `NAME:document`.
Weaviate's `text2multivec-jinaai` and `text2vec-jinaai` send a `task` only for names that hold "v3" or "clip": serve the
model by such a name (`--allow-models colbert-v3=NAME`), else its queries are encoded as documents.

What is too long is refused unless `truncate` is true. Where a client's format has no such field it is cut unless
`truncate` is false: in the form of the ColBERT models (`/v1/multi-vector`, `input_type`), whose queries are cut by
recipe, and from Weaviate, which would not store the object.

Vectors have unit norm, also where `normalized: false` asks for none of it.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

import numpy.typing as npt
from fastapi import Depends, Header
from pydantic import BaseModel, Field
from starlette.responses import Response

from vectorplug.models.tokenizing import Role
from vectorplug.server.engine import Embeddings, Engine
from vectorplug.server.formats import as_base64, as_dtype
from vectorplug.server.held import held_engine
from vectorplug.server.problems import Problem, RefusedError
from vectorplug.server.scoring import rank
from vectorplug.server.vendor import Vendor, answer, router_of
from vectorplug.server.wire import openai

__all__ = ["VENDOR", "EmbeddingRequest", "RerankRequest", "embed", "error_body", "rerank", "router", "shared"]

CODES = {
    "model_not_found": "INPUT_MODEL_NOT_FOUND",
    "too_long": "INPUT_TOKEN_LIMIT_EXCEEDED",
    "unauthorized": "AUTH_INVALID_API_KEY",
    "not_found": "RESOURCE_NOT_FOUND",
    "overloaded": "SERVICE_UNAVAILABLE",
    "unavailable": "SERVICE_UNAVAILABLE",
    "timeout": "SERVICE_TIMEOUT",
    "internal": "INTERNAL_ERROR",
}
# The client inside Weaviate says so of itself.
WEAVIATE = "Weaviate"


def error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """`{"detail", "code", "request_id"}`; Weaviate cannot read a `detail` that is not a string."""
    return {
        "detail": problem.message,
        "code": CODES.get(problem.kind, "INPUT_INVALID"),
        "request_id": request_id,
    }


VENDOR = Vendor(
    name="jina",
    body=error_body,
    # Weaviate's client sends objects again after a 503 and gives them up after a 429.
    statuses={"model_not_found": 400, "empty": 422, "overloaded": 503},
    headers={name: value for name, value in openai.UNLIMITED.items() if "remaining" in name},
)
router = router_of(VENDOR)
shared = router_of(VENDOR)

Text = Annotated[str, Field(min_length=1)]
EmbeddingType = Literal["float", "base64", "binary", "ubinary"]


class Part(BaseModel):
    """A text as an object. An image is understood and refused: no model here reads one."""

    text: Text | None = None
    image: str | None = None


class EmbeddingRequest(BaseModel):
    """Texts to embed; see the module for which vectors and which role they get.

    A list of several embedding types gives an object with one vector of each type.
    """

    model: str
    input: Text | Part | Annotated[list[Text | Part], Field(min_length=1, fail_fast=True)]
    embedding_type: EmbeddingType | Annotated[list[EmbeddingType], Field(min_length=1, fail_fast=True)] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    task: str | None = None
    input_type: Role | None = None
    normalized: bool | None = None
    late_chunking: bool | None = None
    truncate: bool | None = None
    return_multivector: bool | None = None
    return_tokenized_input: bool | None = None


class SingleEmbedding(BaseModel):
    """One vector of one text."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str | dict[EmbeddingType, list[float] | str]


class MultiEmbedding(BaseModel):
    """One vector a token of one text; of `tokenized_input` each stands beside its vector, empty for a marker's."""

    object: Literal["embeddings"] = "embeddings"
    index: int
    embeddings: list[list[float]] | list[str] | dict[EmbeddingType, list[list[float]] | list[str]]
    tokenized_input: list[str] | None = None


class Usage(BaseModel):
    """Tokens as the model read them; in answers to Weaviate `total_tokens` is 0."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The answer."""

    object: Literal["list"] = "list"
    model: str
    data: list[SingleEmbedding] | list[MultiEmbedding]
    usage: Usage


class RerankRequest(BaseModel):
    """Documents to rank. `max_doc_length` is read and changes nothing: the model's own limit holds."""

    model: str
    query: Text
    documents: Annotated[list[str | Part], Field(min_length=1, fail_fast=True)]
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool | None = True
    truncation: bool | None = None
    max_doc_length: int | None = None


class RankedText(BaseModel):
    """A document as it was sent."""

    text: str


class Ranked(BaseModel):
    """One document; the score is MaxSim a query token, at most 1."""

    index: int
    relevance_score: float
    document: RankedText | None = None


class RankedList(BaseModel):
    """The documents, the best first."""

    object: Literal["list"] = "list"
    model: str
    results: list[Ranked]
    usage: Usage


Held = Annotated[Engine, Depends(held_engine)]
Source = Annotated[str | None, Header(alias="x-header-vectordb-source", include_in_schema=False)]


@shared.post("/v1/embeddings", response_model=EmbeddingList)
async def embeddings(body: EmbeddingRequest, engine: Held, source: Source = None) -> Response:
    """One vector a text, or one a token where the request asks for it."""
    return await embed(body, engine, source=source)


@router.post("/v1/multi-vector", response_model=EmbeddingList)
async def multi_vectors(body: EmbeddingRequest, engine: Held, source: Source = None) -> Response:
    """One vector a token. `dimensions` above the model's own are the model's own: Weaviate always asks for 128."""
    # Nothing is told by shape here: the module that does so asks at the other path.
    changes: dict[str, Any] = {"return_multivector": None}
    if body.dimensions is not None:
        wanted = engine.names.wanted(body.model)
        own = (await engine.open(wanted)).dims(wanted.output or "tokens")
        changes["dimensions"] = min(body.dimensions, own)
    return await embed(body.model_copy(update=changes), engine, as_tokens=True, source=source)


@shared.post("/v1/rerank", response_model=RankedList)
async def reranking(body: RerankRequest, engine: Held) -> Response:
    """Documents by MaxSim with the query."""
    return await rerank(body, engine)


@shared.get("/v1/models", response_model=openai.ModelList)
async def models(engine: Held) -> Response:
    """The models that can be named."""
    return answer(openai.list_models(engine))


async def embed(
    body: EmbeddingRequest, engine: Engine, *, as_tokens: bool = False, source: str | None = None
) -> Response:
    """The answer to one request; `source` is its header `x-header-vectordb-source`."""
    if body.late_chunking:
        raise RefusedError(
            "invalid",
            "late_chunking is not done here: send each chunk as a text of its own, or the whole text with "
            "return_multivector, and pool the tokens of each chunk.",
            param="late_chunking",
        )
    texts = texts_of(body.input if isinstance(body.input, list) else [body.input], "input")
    role = role_of(body)
    cannot_say = as_tokens or body.input_type is not None or source == WEAVIATE
    embedded = await engine.embed(
        body.model,
        texts,
        output="tokens" if as_tokens or await asks_for_tokens(body, engine) else "dense",
        role=role,
        dimensions=body.dimensions,
        truncate=cannot_say if body.truncate is None else body.truncate,
    )
    tokenized = await tokens_of(body, texts, role, embedded, engine) if body.return_tokenized_input else None
    # Weaviate's client holds itself to 1,000,000 tokens a minute, those of Jina's free tier, and then sends text by
    # text: it subtracts `total_tokens`, and nothing here is bought by the token.
    total = 0 if source == WEAVIATE else embedded.tokens
    answered = {
        "object": "list",
        "model": embedded.model,
        "data": data_of(embedded, body.embedding_type or "float", tokenized),
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": total},
    }
    return answer(answered, truncated=embedded.truncated)


async def rerank(body: RerankRequest, engine: Engine) -> Response:
    """The answer to one request."""
    texts = texts_of(body.documents, "documents")
    ranking = await rank(engine, body.model, body.query, texts, truncate=body.truncation is not False)
    results = [
        {
            "index": place,
            "relevance_score": ranking.relevance[place],
            **({} if body.return_documents is False else {"document": {"text": texts[place]}}),
        }
        for place in ranking.best(body.top_n)
    ]
    usage = {"prompt_tokens": ranking.tokens, "total_tokens": ranking.tokens}
    answered = {"object": "list", "model": ranking.model, "results": results, "usage": usage}
    return answer(answered, truncated=ranking.truncated)


async def asks_for_tokens(body: EmbeddingRequest, engine: Engine) -> bool:
    """Whether a request at `/v1/embeddings` means one vector a token; ModelNotFoundError for a bad name."""
    if body.return_multivector is not None or body.input_type is None:
        return bool(body.return_multivector)
    return (await engine.open(engine.names.wanted(body.model))).facts.is_multi_vector


def role_of(body: EmbeddingRequest) -> Role:
    """The role that the body says, or that its shape tells."""
    if body.input_type is not None:
        return body.input_type
    if body.task is not None:
        return "query" if body.task.endswith("query") else "document"
    parts = body.input if isinstance(body.input, list) else [body.input]
    plain = all(isinstance(part, str) for part in parts)
    return "query" if body.return_multivector and plain else "document"


def texts_of(parts: Sequence[str | Part], field: str) -> list[str]:
    """The texts of a list; RefusedError where something else stands in it."""
    texts = []
    for i, part in enumerate(parts):
        text = part if isinstance(part, str) else part.text
        if isinstance(part, Part) and (part.image is not None or text is None):
            raise RefusedError(
                "invalid", f'{field}.{i} holds no text: only texts are read here, as a string or {{"text": …}}.'
            )
        texts.append(cast(str, text))
    return texts


async def tokens_of(
    body: EmbeddingRequest, texts: Sequence[str], role: Role, embedded: Embeddings, engine: Engine
) -> list[list[str]]:
    """Of each text the characters that each of its vectors stands for."""
    if embedded.output != "tokens":
        raise RefusedError(
            "invalid",
            "return_tokenized_input goes with one vector a token: ask for return_multivector, too.",
            param="return_tokenized_input",
        )
    wanted = engine.names.wanted(body.model)
    spans = await engine.with_model(wanted, lambda encoder: encoder.spans(texts, wanted.role or role))
    return [
        [text[start:end] if start >= 0 else "" for start, end in places]
        for text, places in zip(texts, spans, strict=True)
    ]


def data_of(
    embedded: Embeddings, kinds: EmbeddingType | Sequence[EmbeddingType], tokenized: Sequence[Sequence[str]] | None
) -> list[dict[str, Any]]:
    """Jina's list of vectors; several kinds of each as an object."""
    key = "embeddings" if embedded.output == "tokens" else "embedding"
    asked = [kinds] if isinstance(kinds, str) else list(kinds)
    columns = {kind: in_type(embedded.vectors, kind) for kind in asked}
    data: list[dict[str, Any]] = []
    for i in range(len(embedded.vectors)):
        of_kinds = {kind: column[i] for kind, column in columns.items()}
        vector = of_kinds if len(of_kinds) > 1 else of_kinds[asked[0]]
        data.append({"object": key, "index": i, key: vector})
        if tokenized is not None:
            data[i]["tokenized_input"] = tokenized[i]
    return data


def in_type(vectors: Sequence[npt.NDArray[Any]], kind: EmbeddingType) -> Sequence[Any]:
    """n vectors [D] or [tokens, D] in one embedding type."""
    return as_base64(vectors) if kind == "base64" else as_dtype(vectors, kind)
