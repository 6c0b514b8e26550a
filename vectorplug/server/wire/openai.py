"""OpenAI's embeddings: https://platform.openai.com/docs/api-reference/embeddings."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from vectorplug.server.engine import Embeddings, Engine
from vectorplug.server.formats import as_base64
from vectorplug.server.held import held_engine
from vectorplug.server.problems import Problem, RefusedError
from vectorplug.server.vendor import Vendor, answer, router_of

__all__ = ["VENDOR", "EmbeddingRequest", "embed", "list_models", "router", "shared", "texts_of"]

# There is no limit by the minute; Weaviate's module sends one text at a time until it is told of one.
UNLIMITED = {
    "x-ratelimit-limit-requests": "1000000",
    "x-ratelimit-limit-tokens": "1000000000",
    "x-ratelimit-remaining-requests": "1000000",
    "x-ratelimit-remaining-tokens": "1000000000",
    "x-ratelimit-reset-requests": "1ms",
    "x-ratelimit-reset-tokens": "1ms",
}
CODES = {"model_not_found": "model_not_found", "unauthorized": "invalid_api_key", "too_long": "context_length_exceeded"}
TYPES = {"overloaded": "rate_limit_exceeded", "unauthorized": "authentication_error"}


def error_body(problem: Problem, _: str) -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}`."""
    message = problem.message
    if problem.kind == "too_long":
        message = (
            f"This model's maximum context length is {problem.limit} tokens, however you requested {problem.tokens} "
            "tokens. Please reduce your prompt."
        )
    if problem.kind == "overloaded":  # a phrase by which clients know that the same request may come again
        message = f"Rate limit reached: {message}"
    kind = TYPES.get(problem.kind, "invalid_request_error" if problem.status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": problem.param, "code": CODES.get(problem.kind, kind)}}


VENDOR = Vendor(name="openai", body=error_body, headers=UNLIMITED)
router = router_of(VENDOR)
shared = router_of(VENDOR)

Text = Annotated[str, Field(min_length=1)]
Several = Field(min_length=1, max_length=2048, fail_fast=True)


class EmbeddingRequest(BaseModel):
    """Texts to embed; token ids are taken where tiktoken can turn them into text again."""

    input: Text | Annotated[list[Text], Several] | Annotated[list[int], Several] | Annotated[list[list[int]], Several]
    model: str
    dimensions: Annotated[int, Field(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None


class Embedding(BaseModel):
    """One vector; nested, one a token, where the model's name ends in `:tokens`."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | list[list[float]] | str | list[str]


class Usage(BaseModel):
    """Tokens as the model read them."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The answer."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    """One model that can be named in a request."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "vectorplug"


class ModelList(BaseModel):
    """All of them, the default first."""

    object: Literal["list"] = "list"
    data: list[Model]


@shared.post("/v1/embeddings", response_model=EmbeddingList)
async def embeddings(body: EmbeddingRequest, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """Dense vectors of texts."""
    return await embed(body, engine)


@shared.get("/v1/models", response_model=ModelList)
async def models(engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """The models that can be named."""
    return answer(list_models(engine))


@shared.get("/v1/models/{name:path}", response_model=Model)
async def model(name: str, engine: Annotated[Engine, Depends(held_engine)]) -> Response:
    """One model."""
    engine.names.wanted(name)
    return answer(Model(id=name).model_dump())


async def embed(body: EmbeddingRequest, engine: Engine) -> Response:
    """The answer to one request."""
    embedded = await engine.embed(
        body.model,
        await texts_of(body.input),
        output="dense",
        role="document",
        dimensions=body.dimensions,
        truncate=False,
    )
    return answer(embedding_list(embedded, body.encoding_format), truncated=embedded.truncated)


def embedding_list(embedded: Embeddings, encoding: str) -> dict[str, Any]:
    """OpenAI's list of vectors."""
    vectors = as_base64(embedded.vectors) if encoding == "base64" else embedded.vectors
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
    return {"object": "list", "data": data, "model": embedded.model, "usage": usage}


def list_models(engine: Engine) -> dict[str, Any]:
    """OpenAI's list of models."""
    return ModelList(data=[Model(id=name) for name in engine.names.served()]).model_dump()


async def texts_of(value: str | list[str] | list[int] | list[list[int]]) -> list[str]:
    """The texts of an `input`; token ids (cl100k, as OpenAI's clients count) are decoded by tiktoken."""
    if isinstance(value, str):
        return [value]
    if isinstance(value[0], str):
        return value
    ids = cast(list[list[int]], [value] if isinstance(value[0], int) else value)
    # In a thread: the first use may wait for a network.
    return await asyncio.to_thread(lambda: [_decoded(part) for part in ids])


def _decoded(ids: Sequence[int]) -> str:
    try:
        import tiktoken

        return tiktoken.get_encoding("cl100k_base").decode(list(ids))
    except (ImportError, OSError, KeyError, ValueError, OverflowError) as error:  # OSError: it fetches its vocabulary
        raise RefusedError(
            "invalid",
            "the input is token ids, which tiktoken cannot turn into text here: send text. With LangChain that is "
            "OpenAIEmbeddings(check_embedding_ctx_length=False).",
            param="input",
        ) from error
