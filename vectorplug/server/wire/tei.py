"""Text Embeddings Inference: https://huggingface.github.io/text-embeddings-inference.

Its requests name no model: the default one answers. Weaviate's text2vec-huggingface speaks it, too.
"""

import math
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from vectorplug import __version__
from vectorplug.models.tokenizing import Role
from vectorplug.server.cutting import Cut, cut
from vectorplug.server.engine import Engine
from vectorplug.server.held import held_engine
from vectorplug.server.problems import Kind, Problem, RefusedError
from vectorplug.server.scoring import rank
from vectorplug.server.vendor import Vendor, answer, router_of
from vectorplug.server.wire import openai

__all__ = ["VENDOR", "RerankRequest", "health", "rerank", "router", "shared"]

STATUSES: dict[Kind, int] = {"invalid": 422, "too_long": 422, "internal": 424}
TYPES: dict[Kind, str] = {
    "empty": "Empty",
    "overloaded": "Overloaded",
    "timeout": "Overloaded",
    "unavailable": "Unhealthy",
    "internal": "Backend",
}
# Other names stand in checkpoints, too, and say nothing of what the text is for.
ROLES: dict[str | None, Role] = {None: "document", "query": "query", "document": "document", "passage": "document"}


def error_body(problem: Problem, _: str) -> dict[str, Any]:
    """`{"error": message, "error_type"}`."""
    message = problem.message
    if problem.kind == "too_long":
        message = f"`inputs` must have less than {problem.limit} tokens. Given: {problem.tokens}"
    return {"error": message, "error_type": TYPES.get(problem.kind, "Validation")}


VENDOR = Vendor(name="tei", body=error_body, statuses=STATUSES)
router = router_of(VENDOR)
shared = router_of(VENDOR)
probes = APIRouter()

Text = Annotated[str, Field(min_length=1)]


class Reading(BaseModel):
    """How texts are read. `truncation_direction` is followed where `truncate` is true."""

    truncate: bool | None = None
    truncation_direction: Literal["left", "right", "Left", "Right"] = "right"
    prompt_name: str | None = None

    @property
    def role(self) -> Role:
        """What the prompt's name says; RefusedError for one that is unknown."""
        if self.prompt_name not in ROLES:
            known = ", ".join(name for name in ROLES if name)
            raise RefusedError("invalid", f"`prompt_name` is {self.prompt_name!r}, expected one of {known}.")
        return ROLES[self.prompt_name]


class EmbedAllRequest(Reading):
    """Texts whose token vectors are wanted."""

    inputs: Text | Annotated[list[Text], Field(min_length=1)]

    @property
    def texts(self) -> list[str]:
        """As many as were sent."""
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs


class EmbedRequest(EmbedAllRequest):
    """Texts to embed. With `normalize` at unit norm, without it as the checkpoint's own recipe leaves them."""

    normalize: bool = True
    dimensions: Annotated[int, Field(ge=1)] | None = None


class Compared(BaseModel):
    """One text, and those that it is compared with."""

    source_sentence: Text
    sentences: Annotated[list[Text], Field(min_length=1)]


class SimilarityRequest(BaseModel):
    """What to compare, and how to read it."""

    inputs: Compared
    parameters: Reading | None = None


class RerankRequest(Reading):
    """A query and texts that may answer it. `raw_scores` are MaxSim, else MaxSim a query token."""

    query: Text
    texts: Annotated[list[Text], Field(min_length=1)]
    raw_scores: bool = False
    return_text: bool = False


class Rank(BaseModel):
    """One text's score."""

    index: int
    text: str | None = None
    score: float


class Info(BaseModel):
    """The default model and this server. Null is no limit, or not known."""

    model_id: str
    model_sha: str
    model_dtype: str
    served_model_name: str
    model_type: dict[str, dict[str, str]]
    max_concurrent_requests: int | None = None
    max_input_length: int | None
    max_batch_tokens: int
    max_batch_requests: int | None = None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int = 1
    version: str = __version__
    sha: str | None = None


@router.post("/embed", response_model=list[list[float]])
@router.post("/", response_model=list[list[float]])
@shared.post("", response_model=list[list[float]], include_in_schema=False)
async def embed(body: EmbedRequest, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """Dense vectors."""
    started = time.perf_counter()
    texts, dropped = await _readable(engine, body.texts, body.role, body)
    embedded = await engine.embed(
        None, texts, output="dense", role=body.role, dimensions=body.dimensions, truncate=bool(body.truncate)
    )
    vectors = [_at_unit_norm(vector) for vector in embedded.vectors] if body.normalize else embedded.vectors
    return _timed(answer(vectors, truncated=dropped + embedded.truncated), started, body.texts, embedded.tokens)


@router.post("/embed_all", response_model=list[list[list[float]]])
async def embed_all(body: EmbedAllRequest, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """Token vectors, at unit norm."""
    started = time.perf_counter()
    texts, dropped = await _readable(engine, body.texts, body.role, body)
    embedded = await engine.embed(None, texts, output="tokens", role=body.role, truncate=bool(body.truncate))
    return _timed(
        answer(embedded.vectors, truncated=dropped + embedded.truncated), started, body.texts, embedded.tokens
    )


@router.post("/similarity", response_model=list[float])
async def similarity(body: SimilarityRequest, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """Cosines of dense vectors."""
    started = time.perf_counter()
    reading = body.parameters or Reading()
    given = [body.inputs.source_sentence, *body.inputs.sentences]
    texts, dropped = await _readable(engine, given, reading.role, reading)
    embedded = await engine.embed(None, texts, output="dense", role=reading.role, truncate=bool(reading.truncate))
    source, *others = [_at_unit_norm(vector) for vector in embedded.vectors]
    return _timed(
        answer(np.stack(others) @ source, truncated=dropped + embedded.truncated), started, given, embedded.tokens
    )


@shared.post("/rerank", response_model=list[Rank])
async def rerank_texts(body: RerankRequest, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """MaxSim of each text, the best first."""
    return await rerank(body, engine)


@shared.post("/v1/embeddings", response_model=openai.EmbeddingList)
@shared.post("/embeddings", response_model=openai.EmbeddingList)
async def openai_embeddings(body: openai.EmbeddingRequest, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """OpenAI's format, by the default model whatever the request names."""
    return await openai.embed(body.model_copy(update={"model": engine.names.default}), engine)


@router.get("/info", response_model=Info)
async def info(request: Request, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """What is served, and within which limits."""
    wanted, limits = engine.names.wanted(None), request.app.state.limits
    facts = (await engine.open(wanted)).facts
    # Of a folder its name alone: where it lies is not the client's.
    name, _, revision = facts.fingerprint.partition("#")[0].rpartition("@")
    length, batch_tokens = await engine.with_model(wanted, lambda e: (e.limit("document"), e.batch_tokens))
    return answer(
        Info(
            model_id=name,
            model_sha=revision,
            model_dtype=str(facts.dtype).removeprefix("torch."),
            served_model_name=engine.names.default,
            model_type={"embedding": {}},
            max_input_length=length or None,
            max_batch_tokens=batch_tokens,
            max_client_batch_size=limits.texts,
            auto_truncate=limits.truncate,
        ).model_dump()
    )


@probes.get("/health")
async def healthy(request: Request) -> Response:
    """200 with an empty body, or 503; asks for no key."""
    return health(request)


async def rerank(body: RerankRequest, engine: Engine) -> Response:
    """The answer to one request."""
    started = time.perf_counter()
    (query,), of_query = await _readable(engine, [body.query], "query", body)
    texts, dropped = await _readable(engine, body.texts, "document", body)
    ranking = await rank(engine, None, query, texts, truncate=bool(body.truncate))
    scores = ranking.maxsim if body.raw_scores else ranking.relevance
    ranks = [
        {"index": i, "score": scores[i]} | ({"text": body.texts[i]} if body.return_text else {}) for i in ranking.best()
    ]
    response = answer(ranks, truncated=of_query + dropped + ranking.truncated)
    return _timed(response, started, [body.query, *body.texts], ranking.tokens)


def health(request: Request) -> Response:
    """Whether requests should come here."""
    if request.app.state.readiness.reason is None:
        return Response()
    return answer({"error": request.app.state.readiness.reason, "error_type": "Unhealthy"}, status=503)


async def _readable(engine: Engine, texts: Sequence[str], role: Role, reading: Reading) -> Cut:
    """The texts, or those ends of them that the model reads whole."""
    ends = None
    if reading.truncate and reading.truncation_direction.lower() == "left":
        ends = await cut(engine, engine.names.wanted(None), texts, role, keep="end")
    return ends or Cut(list(texts), dropped=0)


def _at_unit_norm(vector: Any) -> Any:
    return vector / max(float(np.linalg.norm(vector)), np.finfo(np.float32).tiny)


def _timed(response: Response, started: float, texts: Sequence[str], tokens: int) -> Response:
    """With the vendor's headers: milliseconds since `started`, and how much was read."""
    milliseconds = str(math.ceil((time.perf_counter() - started) * 1000))
    response.headers["x-compute-time"] = response.headers["x-total-time"] = milliseconds
    response.headers["x-compute-characters"] = str(sum(map(len, texts)))
    response.headers["x-compute-tokens"] = str(tokens)
    return response


shared.include_router(probes)
