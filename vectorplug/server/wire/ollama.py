"""Ollama's embeddings and what its clients ask about models: https://github.com/ollama/ollama/blob/main/docs/api.md.

`options` and `keep_alive` are read and change nothing: which models stay in memory is the model cache's to decide, and
the operator's. Of a model only that is said which is known of it.
"""

import time
from typing import Annotated, Any

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from vectorplug import __version__
from vectorplug.errors import ModelNotFoundError
from vectorplug.models.catalog import CatalogEntry, catalog
from vectorplug.server.engine import Embeddings, Engine
from vectorplug.server.held import held_engine
from vectorplug.server.problems import Problem, RefusedError
from vectorplug.server.vendor import Vendor, answer, router_of

__all__ = ["VENDOR", "EmbedRequest", "EmbeddingsRequest", "error_body", "router", "shared"]


def error_body(problem: Problem, _: str) -> dict[str, Any]:
    """`{"error": message}`; a text that is too long is told in Ollama's words, then in ours."""
    told = "the input length exceeds the context length: " if problem.kind == "too_long" else ""
    return {"error": told + problem.message}


VENDOR = Vendor(name="ollama", body=error_body, statuses={"overloaded": 503})
router = router_of(VENDOR)
shared = router_of(VENDOR)


class EmbedRequest(BaseModel):
    """Texts to embed. Without any, the model is loaded and no vector returned, as Ollama does."""

    model: str
    input: str | Annotated[list[str], Field(fail_fast=True)] | None = None
    truncate: bool | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    options: dict[str, Any] | None = None
    keep_alive: float | str | None = None


class Embedded(BaseModel):
    """The answer: one vector a text; durations in nanoseconds, `load_duration` until the model could be asked."""

    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class EmbeddingsRequest(BaseModel):
    """One text to embed, in the older form, which always cuts what is too long."""

    model: str
    prompt: str | None = None
    options: dict[str, Any] | None = None
    keep_alive: float | str | None = None


class EmbeddedPrompt(BaseModel):
    """The answer in the older form; empty for an empty prompt."""

    embedding: list[float]


class NameRequest(BaseModel):
    """A model's name."""

    model: str


class Details(BaseModel):
    """What the catalogue knows of a model."""

    family: str | None = None
    families: list[str] | None = None


class ListedModel(BaseModel):
    """A model that can be named in a request."""

    name: str
    model: str
    digest: str | None = None
    details: Details


class ModelList(BaseModel):
    """All of them, the default first."""

    models: list[ListedModel]


class RunningModel(ListedModel):
    """A model that is in memory now: bytes, those of them on a GPU, and how many tokens of a text it reads."""

    size: int
    size_vram: int
    context_length: int | None = None


class RunningList(BaseModel):
    """All of them."""

    models: list[RunningModel]


class ShownModel(BaseModel):
    """One model."""

    details: Details
    model_info: dict[str, str | int]
    capabilities: list[str]


class Version(BaseModel):
    """The server's version, which is not one of Ollama's."""

    version: str


class Status(BaseModel):
    """How it went."""

    status: str


Held = Annotated[Engine, Depends(held_engine)]


@router.post("/api/embed", response_model=Embedded)
async def embed(body: EmbedRequest, engine: Held) -> Response:
    """Dense vectors of texts."""
    started = time.perf_counter_ns()
    await opened(body.model, engine)
    loaded = time.perf_counter_ns()
    texts = body.input if isinstance(body.input, list) else [body.input] if body.input else []
    truncate = body.truncate is not False
    embedded = await dense(body.model, texts, engine, dimensions=body.dimensions, truncate=truncate)
    answered = {
        "model": body.model,
        "embeddings": embedded.vectors,
        "total_duration": time.perf_counter_ns() - started,
        "load_duration": loaded - started,
        "prompt_eval_count": embedded.tokens,
    }
    return answer(answered, truncated=embedded.truncated)


@router.post("/api/embeddings", response_model=EmbeddedPrompt)
async def embed_prompt(body: EmbeddingsRequest, engine: Held) -> Response:
    """The dense vector of one text, in the older form."""
    await opened(body.model, engine)
    embedded = await dense(body.model, [body.prompt] if body.prompt else [], engine)
    return answer({"embedding": embedded.vectors[0] if body.prompt else []}, truncated=embedded.truncated)


@router.get("/api/tags", response_model=ModelList)
async def tags(engine: Held) -> Response:
    """The models that can be named."""
    return answer({"models": [listed(name, engine) for name in engine.names.served()]})


@router.get("/api/ps", response_model=RunningList)
async def running(engine: Held) -> Response:
    """The models that are in memory."""
    cache, _ = engine.stats()
    bytes_of = {model.model: model.device_bytes for model in cache.models if model.state == "resident"}
    models = []
    for name in engine.names.served():
        wanted = engine.names.wanted(name)
        if wanted.model in bytes_of:
            size = bytes_of[wanted.model]
            on_gpu = (await engine.open(wanted)).facts.device.type != "cpu"
            known = {"context_length": entry.document_tokens} if (entry := entry_of(wanted.model)) else {}
            models.append({**listed(name, engine), "size": size, "size_vram": size if on_gpu else 0, **known})
    return answer({"models": models})


@router.post("/api/show", response_model=ShownModel)
async def show(body: NameRequest, engine: Held) -> Response:
    """What is known of one model; loads it."""
    wanted = engine.names.wanted(body.model)
    served = await engine.open(wanted)
    entry = entry_of(wanted.model)
    family = (entry and entry.family) or "vectorplug"
    info = {
        "general.architecture": family,
        f"{family}.embedding_length": served.dims(wanted.output or "dense"),
        f"{family}.context_length": entry and entry.document_tokens,
        "vectorplug.token_embedding_length": served.dims("tokens"),
        "vectorplug.fingerprint": served.facts.fingerprint,
    }
    known = {name: value for name, value in info.items() if value is not None}
    return answer({"details": details_of(entry), "model_info": known, "capabilities": ["embedding"]})


@router.post("/api/pull", response_model=Status)
async def pull(body: NameRequest, engine: Held) -> Response:
    """Success for a model that is served; nothing is ever downloaded for a request."""
    try:
        engine.names.wanted(body.model)
    except ModelNotFoundError as error:
        raise RefusedError(
            "model_not_found",
            f"this server pulls no models for its clients: run `vectorplug models pull {body.model}` where it runs, "
            "and start it with --allow-models where the catalogue does not hold it.",
            param="model",
        ) from error
    return answer({"status": "success"})


@router.get("/api/version", response_model=Version)
async def version() -> Response:
    """The server's version."""
    return answer({"version": __version__})


async def opened(name: str, engine: Engine) -> None:
    """Load the model; RefusedError where its name asks for what this format cannot hold."""
    wanted = engine.names.wanted(name)
    if wanted.output == "tokens":
        raise RefusedError(
            "invalid",
            f"{name!r} asks for one vector a token, and this format holds one a text: leave `:tokens` out, or ask at "
            "/v1/encode or /jina/v1/multi-vector.",
            param="model",
        )
    await engine.open(wanted)


async def dense(name: str, texts: list[str], engine: Engine, **options: Any) -> Embeddings:
    """The vectors of n texts, of none as well."""
    if not texts:
        return Embeddings(name, "dense", [], 0, 0)
    return await engine.embed(name, texts, output="dense", role="document", **options)


def entry_of(model: str) -> CatalogEntry | None:
    """What the catalogue says of a model; of a folder, nothing."""
    return next((entry for entry in catalog().values() if entry.id == model), None)


def details_of(entry: CatalogEntry | None) -> dict[str, Any]:
    """The part of it that Ollama has a place for."""
    return {"family": entry.family, "families": [entry.family]} if entry is not None and entry.family else {}


def listed(name: str, engine: Engine) -> dict[str, Any]:
    """One model of a list."""
    entry = entry_of(engine.names.wanted(name).model)
    known = {"digest": entry.sha256} if entry is not None and entry.sha256 else {}
    return {"name": name, "model": name, **known, "details": details_of(entry)}
