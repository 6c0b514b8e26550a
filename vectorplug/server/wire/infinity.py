"""Infinity: https://github.com/michaelfeil/infinity. OpenAI's embeddings, and a reranker."""

import time
import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from vectorplug.server.engine import Engine
from vectorplug.server.held import held_engine
from vectorplug.server.scoring import rank
from vectorplug.server.vendor import Vendor, answer, router_of
from vectorplug.server.wire import openai

__all__ = ["VENDOR", "RerankRequest", "health", "rerank", "router", "shared"]

VENDOR = Vendor(name="infinity", body=openai.error_body)
router = router_of(VENDOR)
shared = router_of(VENDOR)
probes = APIRouter()

# What its clients send where nobody chose a model.
UNNAMED = "default/not-specified"


class EmbeddingRequest(openai.EmbeddingRequest):
    """Texts to embed."""

    model: str = UNNAMED
    dimensions: Annotated[int, Field(ge=0)] | None = None
    modality: Literal["text"] = "text"


class Stamped(BaseModel):
    """What every answer has."""

    id: str
    created: int


class EmbeddingList(openai.EmbeddingList, Stamped):
    """The vectors; nested, one a token, where the model's name ends in `:tokens`."""


class RerankRequest(BaseModel):
    """A query and documents. `raw_scores` are MaxSim, else MaxSim a query token."""

    query: str
    documents: Annotated[list[str], Field(min_length=1, max_length=2048)]
    model: str = UNNAMED
    top_n: Annotated[int, Field(ge=1)] | None = None
    raw_scores: bool = False
    return_documents: bool = False


class Ranked(BaseModel):
    """One document's score."""

    index: int
    relevance_score: float
    document: str | None = None


class RerankResponse(Stamped):
    """The documents, the best first."""

    object: Literal["rerank"] = "rerank"
    results: list[Ranked]
    model: str
    usage: openai.Usage


class Model(openai.Model):
    """One model, and what may be asked of it."""

    capabilities: tuple[str, ...] = ("embed", "rerank")


class ModelList(BaseModel):
    """All of them, the default first."""

    object: Literal["list"] = "list"
    data: list[Model]


@router.post("/embeddings", response_model=EmbeddingList)
async def embeddings(body: EmbeddingRequest, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """Dense vectors of texts."""
    embedded = await engine.embed(
        _named(body.model),
        await openai.texts_of(body.input),
        output="dense",
        role="document",
        dimensions=body.dimensions or None,
    )
    content = openai.embedding_list(embedded, body.encoding_format) | _stamp()
    return answer(content, truncated=embedded.truncated)


@shared.post("/rerank", response_model=RerankResponse)
async def rerank_documents(body: RerankRequest, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """Documents by MaxSim, the best first."""
    return await rerank(body, engine)


@router.get("/models", response_model=ModelList)
async def models(engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """The models that can be named."""
    return answer(ModelList(data=[Model(id=name) for name in engine.names.served()]).model_dump())


@probes.get("/health")
async def healthy() -> Response:
    """The time, as long as the server answers; asks for no key."""
    return health()


async def rerank(body: RerankRequest, engine: Engine) -> Response:
    """The answer to one request."""
    ranking = await rank(engine, _named(body.model), body.query, body.documents)
    scores = ranking.maxsim if body.raw_scores else ranking.relevance
    results = [
        {
            "index": i,
            "relevance_score": scores[i],
            "document": body.documents[i] if body.return_documents else None,
        }
        for i in ranking.best(body.top_n)
    ]
    usage = {"prompt_tokens": ranking.tokens, "total_tokens": ranking.tokens}
    content = {"object": "rerank", "results": results, "model": ranking.model, "usage": usage} | _stamp()
    return answer(content, truncated=ranking.truncated)


def health() -> Response:
    """Seconds of Unix time."""
    return answer({"unix": time.time()})


def _named(model: str) -> str | None:
    return None if model == UNNAMED else model


def _stamp() -> dict[str, Any]:
    return {"id": f"infinity-{uuid.uuid4()}", "created": int(time.time())}


shared.include_router(probes)
