"""What Weaviate's modules ask of their containers and services: vectors of one text, embeddings, reranking.

Modules that speak another vendor's format (Jina, Cohere, OpenAI, ...) are served by that vendor's routes.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from vectorplug.server.engine import Engine
from vectorplug.server.held import held_engine
from vectorplug.server.problems import Kind, Problem
from vectorplug.server.scoring import rank
from vectorplug.server.vendor import Vendor, answer, router_of

__all__ = ["VENDOR", "RerankRequest", "rerank", "router", "shared"]

# What the module shows to its user: of a 422 the list, of a 403 the text, of any other status the number alone.
NVIDIA_STATUSES: dict[Kind, int] = {
    "invalid": 422,
    "empty": 422,
    "too_long": 422,
    "model_not_found": 422,
    "unauthorized": 403,
    "overloaded": 503,
}


def error_body(problem: Problem, _: str) -> dict[str, Any]:
    """`error` is what containers say, `detail` what Weaviate's embedding service says."""
    return {"error": problem.message, "detail": problem.message}


def nvidia_error_body(problem: Problem, _: str) -> dict[str, Any]:
    """`detail`, as a list with a 422."""
    refused = NVIDIA_STATUSES.get(problem.kind) == 422
    return {"detail": [{"msg": problem.message}] if refused else problem.message}


VENDOR = Vendor(name="weaviate", body=error_body, statuses={"overloaded": 503})
NVIDIA = Vendor(name="nvidia", body=nvidia_error_body, statuses=NVIDIA_STATUSES)
router = router_of(VENDOR)
shared = router_of(VENDOR)
nvidia = router_of(NVIDIA)
probes = APIRouter()


class VectorConfig(BaseModel):
    """How a text is meant. `pooling_strategy` is not here: the checkpoint's own recipe pools."""

    task_type: Literal["passage", "query"] = "passage"
    dimensions: Annotated[int, Field(ge=1)] | None = None


class VectorsRequest(BaseModel):
    """One text, or `texts`."""

    text: str = ""
    texts: list[str] | None = None
    config: VectorConfig = VectorConfig()


class OneVector(BaseModel):
    """The answer to one text."""

    text: str
    vector: list[float]
    dims: int


class ManyVectors(BaseModel):
    """The answer to several."""

    texts: list[str]
    vectors: list[list[float]]
    dims: int


class EmbedRequest(BaseModel):
    """Texts to embed."""

    input: list[str]
    model: str
    is_search_query: bool = False
    dimensions: Annotated[int, Field(ge=1)] | None = None


class Metadata(BaseModel):
    """How much was done. Without tokens: the module would count them against a limit that is not ours."""

    model: str
    num_embeddings_inferred: int


class EmbedResponse(BaseModel):
    """The vectors, in the texts' order."""

    embeddings: list[list[float]]
    metadata: Metadata


class RerankRequest(BaseModel):
    """A query and what may answer it; `property` is always sent, and empty."""

    query: str
    documents: list[str]
    property: str = ""


class DocumentScore(BaseModel):
    """One document's relevance."""

    document: str
    score: float


class RerankResponse(BaseModel):
    """The scores, in the documents' order."""

    query: str
    scores: list[DocumentScore]


class Passage(BaseModel):
    """A text in NVIDIA's format."""

    text: str


class NvidiaRequest(BaseModel):
    """A query and passages; Weaviate sends no `truncate`, and could not tell its user of a text that is too long."""

    model: str
    query: Passage
    passages: Annotated[list[Passage], Field(min_length=1)]
    truncate: Literal["NONE", "END"] = "END"


class NvidiaRank(BaseModel):
    """MaxSim of one passage."""

    index: int
    logit: float


class NvidiaResponse(BaseModel):
    """The passages, the best first."""

    rankings: list[NvidiaRank]


@probes.get("/.well-known/live", status_code=204, response_class=Response)
async def live() -> Response:
    """204 as long as the server answers."""
    return Response(status_code=204)


@probes.get("/.well-known/ready", status_code=204, response_class=Response)
async def ready(request: Request) -> Response:
    """204 once the default model is there; Weaviate's start waits for it."""
    return Response(status_code=204 if request.app.state.readiness.reason is None else 503)


@router.get("/meta")
async def meta(engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """What the default model is: Weaviate shows it in its own `/v1/meta`."""
    facts = (await engine.open(engine.names.wanted(None))).facts
    return answer(
        {
            "model": engine.names.default,
            "fingerprint": facts.fingerprint,
            "dense_dim": facts.dense_dim,
            "token_dim": facts.token_dim,
            "device": str(facts.device),
            "dtype": str(facts.dtype).removeprefix("torch."),
        }
    )


@router.post("/vectors", response_model=OneVector | ManyVectors)
@router.post("/vectors/", response_model=OneVector | ManyVectors, include_in_schema=False)
async def vectors(body: VectorsRequest, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """Dense vectors by the default model (text2vec-transformers, text2vec-model2vec)."""
    embedded = await engine.embed(
        None,
        [body.text] if body.texts is None else body.texts,
        output="dense",
        role="query" if body.config.task_type == "query" else "document",
        dimensions=body.config.dimensions,
    )
    dims = len(embedded.vectors[0]) if embedded.vectors else 0
    content: dict[str, Any]
    if body.texts is None:
        content = {"text": body.text, "vector": embedded.vectors[0], "dims": dims}
    else:
        content = {"texts": body.texts, "vectors": embedded.vectors, "dims": dims}
    return answer(content, truncated=embedded.truncated)


@router.post("/v1/embeddings/embed", response_model=EmbedResponse)
async def embed(body: EmbedRequest, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """Dense vectors (text2vec-weaviate)."""
    embedded = await engine.embed(
        body.model,
        body.input,
        output="dense",
        role="query" if body.is_search_query else "document",
        dimensions=body.dimensions,
    )
    metadata = {"model": embedded.model, "num_embeddings_inferred": len(body.input)}
    return answer({"embeddings": embedded.vectors, "metadata": metadata}, truncated=embedded.truncated)


@shared.post("/rerank", response_model=RerankResponse)
async def rerank_documents(body: RerankRequest, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """Relevance by the default model (reranker-transformers)."""
    return await rerank(body, engine)


@nvidia.post("/v1/retrieval/nvidia/reranking", response_model=NvidiaResponse)
async def rerank_passages(body: NvidiaRequest, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """MaxSim of each passage (reranker-nvidia)."""
    ranking = await rank(
        engine, body.model, body.query.text, [p.text for p in body.passages], truncate=body.truncate == "END"
    )
    rankings = [{"index": place, "logit": ranking.maxsim[place]} for place in ranking.best()]
    return answer({"rankings": rankings}, truncated=ranking.truncated)


async def rerank(body: RerankRequest, engine: Engine) -> Response:
    """The answer to one request of reranker-transformers."""
    ranking = await rank(engine, None, body.query, body.documents)
    scores = [
        {"document": document, "score": score}
        for document, score in zip(body.documents, ranking.relevance, strict=True)
    ]
    return answer({"query": body.query, "scores": scores}, truncated=ranking.truncated)


router.include_router(probes)
router.include_router(nvidia)
