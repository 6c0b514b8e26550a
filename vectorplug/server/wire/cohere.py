"""Cohere's embed and rerank in both versions: https://docs.cohere.com/reference/embed, .../rerank.

A document is read as one chunk, up to the model's limit; `priority` and `max_chunks_per_doc` change nothing.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from vectorplug.models.tokenizing import Role
from vectorplug.server.cutting import cut
from vectorplug.server.engine import Engine
from vectorplug.server.formats import as_base64, as_dtype
from vectorplug.server.held import held_engine
from vectorplug.server.problems import Problem, RefusedError
from vectorplug.server.scoring import rank
from vectorplug.server.spans import relevant_spans
from vectorplug.server.vendor import Vendor, answer, router_of

__all__ = ["VENDOR", "EmbedRequest", "RerankRequest", "error_body", "list_models", "rerank", "router", "shared"]

# Cohere bills a search with so many documents as one.
SEARCH_DOCUMENTS = 100


def error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """`{"id", "message"}`."""
    return {"id": request_id, "message": problem.message}


VENDOR = Vendor(name="cohere", body=error_body, statuses={"overloaded": 503})
router = router_of(VENDOR)
shared = router_of(VENDOR)

Text = Annotated[str, Field(min_length=1)]
Kind = Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]
Endpoint = Literal["embed", "rerank"]


class Part(BaseModel):
    """A piece of an input; images are refused."""

    type: Literal["text", "image_url"]
    text: str | None = None


class Input(BaseModel):
    """Pieces that are embedded as one text, a line each."""

    content: Annotated[list[Part], Field(min_length=1)]


class EmbedRequest(BaseModel):
    """`texts` or `inputs` to embed; `max_tokens` is for each of them."""

    texts: Annotated[list[Text], Field(min_length=1, max_length=96)] | None = None
    inputs: Annotated[list[Input], Field(min_length=1, max_length=96)] | None = None
    images: list[str] | None = None
    model: str | None = None
    input_type: Literal["search_document", "search_query", "classification", "clustering", "image"] | None = None
    embedding_types: list[Kind] | None = None
    output_dimension: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    truncate: Literal["NONE", "START", "END"] | None = None


class RelevantSpans(BaseModel):
    """Whether to say which words of a document matched; without `threshold`, all that did."""

    mode: Literal["enabled", "disabled"]
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    max_spans: Annotated[int, Field(ge=1)] | None = None


class RerankRequest(BaseModel):
    """Documents to rank; of an object, the fields `rank_fields` (else `text`) are read, a line each."""

    query: Text
    documents: Annotated[list[str | dict[str, Any]], Field(min_length=1)]
    model: str | None = None
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool | None = None
    rank_fields: Annotated[list[str], Field(min_length=1)] | None = None
    max_tokens_per_doc: Annotated[int, Field(ge=1)] | None = None
    max_chunks_per_doc: Annotated[int, Field(ge=1)] | None = None
    relevant_spans: RelevantSpans | None = None


class ApiVersion(BaseModel):
    """Of the path that was asked."""

    version: Literal["1", "2"]


class BilledUnits(BaseModel):
    """Tokens as the model read them, or searches."""

    input_tokens: int | None = None
    search_units: int | None = None


class Tokens(BaseModel):
    """Tokens as the model read them."""

    input_tokens: int


class Meta(BaseModel):
    """What stands beside a result."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens | None = None


class ByType(BaseModel):
    """The kinds that were asked for; nested, a vector a token, where the model's name ends in `:tokens`."""

    float_: Annotated[list[list[float]] | list[list[list[float]]] | None, Field(alias="float")] = None
    int8: list[list[int]] | list[list[list[int]]] | None = None
    uint8: list[list[int]] | list[list[list[int]]] | None = None
    binary: list[list[int]] | list[list[list[int]]] | None = None
    ubinary: list[list[int]] | list[list[list[int]]] | None = None
    base64: list[str] | list[list[str]] | None = None


class Embedded(BaseModel):
    """Vectors; bare in version 1 unless kinds are asked for."""

    response_type: Literal["embeddings_floats", "embeddings_by_type"]
    id: str
    embeddings: ByType | list[list[float]] | list[list[list[float]]]
    texts: list[str]
    meta: Meta


class RelevantSpan(BaseModel):
    """Characters [start, end) of a document, and their share of its relevance."""

    start: int
    end: int
    score: float


class Result(BaseModel):
    """One document's place; `relevance_score` is MaxSim a query token."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None
    relevant_spans: list[RelevantSpan] | None = None


class Reranked(BaseModel):
    """The best document first."""

    id: str
    results: list[Result]
    meta: Meta


class Model(BaseModel):
    """One model that can be named in a request."""

    name: str
    is_deprecated: bool = False
    endpoints: list[Endpoint] = ["embed", "rerank"]
    default_endpoints: list[Endpoint] = []
    finetuned: bool = False


class Models(BaseModel):
    """All of them, the default first."""

    models: list[Model]


Held = Annotated[Engine, Depends(held_engine)]


@router.post("/v1/embed", response_model=Embedded)
async def embed_v1(body: EmbedRequest, engine: Held) -> Response:
    """Dense vectors of texts."""
    return await embed(body, engine, version="1")


@router.post("/v2/embed", response_model=Embedded)
async def embed_v2(body: EmbedRequest, engine: Held) -> Response:
    """Dense vectors of texts, by type."""
    return await embed(body, engine, version="2")


@shared.post("/v1/rerank", response_model=Reranked)
async def rerank_v1(body: RerankRequest, engine: Held) -> Response:
    """Rank documents by MaxSim."""
    return await rerank(body, engine)


@router.post("/v2/rerank", response_model=Reranked)
async def rerank_v2(body: RerankRequest, engine: Held) -> Response:
    """Rank documents by MaxSim."""
    return await rerank(body, engine, version="2")


@shared.get("/v1/models", response_model=Models)
async def models(engine: Held, endpoint: str | None = None, default_only: bool = False) -> Response:
    """The models that can be named."""
    return answer(list_models(engine, endpoint=endpoint, default_only=default_only))


@shared.get("/v1/models/{name:path}", response_model=Model)
async def model(name: str, engine: Held) -> Response:
    """One model."""
    engine.names.wanted(name)
    return answer(_model(name, engine).model_dump())


def list_models(engine: Engine, *, endpoint: str | None = None, default_only: bool = False) -> dict[str, Any]:
    """Cohere's list of models, those of an endpoint if one is named, in one page."""
    known = [_model(name, engine) for name in engine.names.served()]
    asked = [m for m in known if endpoint in (None, *(m.default_endpoints if default_only else m.endpoints))]
    return Models(models=asked).model_dump()


async def embed(body: EmbedRequest, engine: Engine, *, version: Literal["1", "2"]) -> Response:
    """The answer to one request for vectors."""
    texts = _texts(body)
    wanted = engine.names.wanted(body.model)
    role: Role = wanted.role or ("query" if body.input_type == "search_query" else "document")
    keep: Literal["start", "end"] = "end" if body.truncate == "START" else "start"
    kept, dropped = await cut(engine, wanted, texts, role, keep=keep, tokens=body.max_tokens)
    if dropped and body.truncate == "NONE":
        message = f"a text has more than {body.max_tokens} tokens, which is max_tokens: set truncate to END or START."
        raise RefusedError("too_long", message, param="max_tokens")
    embedded = await engine.embed(
        body.model,
        kept,
        output="dense",
        role=role,
        dimensions=body.output_dimension,
        truncate=body.truncate != "NONE",
    )
    bare = version == "1" and not body.embedding_types
    kinds: Sequence[Kind] = body.embedding_types or ["float"]
    content = {
        "response_type": "embeddings_floats" if bare else "embeddings_by_type",
        "id": str(uuid.uuid4()),
        "embeddings": embedded.vectors if bare else {kind: _as_kind(embedded.vectors, kind) for kind in kinds},
        "texts": texts,
        "meta": {"api_version": {"version": version}, "billed_units": {"input_tokens": embedded.tokens}},
    }
    return answer(content, truncated=embedded.truncated + dropped)


async def rerank(body: RerankRequest, engine: Engine, *, version: Literal["1", "2"] = "1") -> Response:
    """The answer to one request for a ranking."""
    documents = [_document(i, given, body.rank_fields or ["text"]) for i, given in enumerate(body.documents)]
    wanted = engine.names.wanted(body.model)
    documents, dropped = await cut(engine, wanted, documents, "document", tokens=body.max_tokens_per_doc)
    ranking = await rank(engine, body.model, body.query, documents)
    best = ranking.best(body.top_n)
    results: list[dict[str, Any]] = [{"index": i, "relevance_score": ranking.relevance[i]} for i in best]
    if body.return_documents:
        for result, given in zip(results, (body.documents[i] for i in best), strict=True):
            result["document"] = {"text": given} if isinstance(given, str) else given
    asked = body.relevant_spans
    if asked is not None and asked.mode == "enabled":
        spans = await relevant_spans(engine, ranking, {i: documents[i] for i in best})
        for result in results:
            found = [s._asdict() for s in spans[result["index"]] if s.score >= (asked.threshold or 0.0)]
            if found:
                result["relevant_spans"] = found[: asked.max_spans]
    meta = {
        "api_version": {"version": version},
        "billed_units": {"search_units": -(-len(documents) // SEARCH_DOCUMENTS)},
        "tokens": {"input_tokens": ranking.tokens},
    }
    return answer({"id": str(uuid.uuid4()), "results": results, "meta": meta}, truncated=ranking.truncated + dropped)


def _texts(body: EmbedRequest) -> list[str]:
    if body.images or body.input_type == "image":
        raise RefusedError("invalid", "images cannot be embedded here: send texts.", param="images")
    if (body.texts is None) == (body.inputs is None):
        raise RefusedError("invalid", "expected one of texts and inputs.", param="texts")
    return body.texts if body.texts is not None else [_text(i, given) for i, given in enumerate(body.inputs or [])]


def _text(place: int, given: Input) -> str:
    texts = [part.text for part in given.content if part.type == "text" and part.text]
    if len(texts) < len(given.content):
        message = f"inputs.{place}: expected parts of type text, none of them empty; images cannot be embedded here."
        raise RefusedError("invalid", message, param=f"inputs.{place}")
    return "\n".join(texts)


def _document(place: int, given: str | Mapping[str, Any], fields: Sequence[str]) -> str:
    if isinstance(given, str):
        return given
    texts = [given[field] for field in fields if isinstance(given.get(field), str)]
    if not texts:
        message = (
            f"documents.{place} has no text in {', '.join(fields)}: say in rank_fields which of its fields to read."
        )
        raise RefusedError("invalid", message, param=f"documents.{place}")
    return "\n".join(texts)


def _as_kind(vectors: Sequence[Any], kind: Kind) -> list[Any]:
    return as_base64(vectors) if kind == "base64" else as_dtype(vectors, kind)


def _model(name: str, engine: Engine) -> Model:
    return Model(name=name, default_endpoints=["embed", "rerank"] if name == engine.names.default else [])
