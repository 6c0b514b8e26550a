"""Our own API: all vectors of a text in one answer, scores by exact MaxSim, FDEs of vectors, and which models stay."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Header
from starlette.requests import Request
from starlette.responses import Response

from vectorplug.multivectors import MultiVectors
from vectorplug.server.engine import Engine
from vectorplug.server.held import held_engine
from vectorplug.server.native_encode import EncodeReply, EncodeRequest, encode
from vectorplug.server.native_fde import FdeBody, FdeReply, compress, fit
from vectorplug.server.native_models import Action, Residency, act, residency
from vectorplug.server.native_score import ScoreBody, ScoreReply, score
from vectorplug.server.native_vectors import SAFETENSORS_BODY
from vectorplug.server.payloads import CONTENT, SAFETENSORS, accepted
from vectorplug.server.problems import Problem
from vectorplug.server.stored import held_stored
from vectorplug.server.vendor import Vendor, router_of
from vectorplug.server.wire import openai

__all__ = ["VENDOR", "error_body", "residency", "router"]


def error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """OpenAI's, and what our own client needs to raise the same error: its class and what it holds."""
    error = {
        **openai.error_body(problem, request_id)["error"],
        "message": problem.message,
        "exception": problem.exception,
        "index": problem.index,
        "tokens": problem.tokens,
        "limit": problem.limit,
        "retry_after": problem.retry_after,
    }
    return {"error": error}


VENDOR = Vendor(name="native", body=error_body)
router = router_of(VENDOR)

HeldEngine = Annotated[Engine, Depends(held_engine)]
HeldStored = Annotated[Mapping[str, MultiVectors], Depends(held_stored)]
Accept = Annotated[str | None, Header()]


@router.post("/v1/encode", response_model=EncodeReply, responses=CONTENT)
async def encodings(body: EncodeRequest, request: Request, engine: HeldEngine, accept: Accept = None) -> Response:
    """Tokens, FDE and dense vectors of texts, from one forward pass."""
    return await encode(body, engine, accepted(accept), request.app.state.limits.texts)


@router.post("/v1/score", response_model=ScoreReply, openapi_extra=SAFETENSORS_BODY)
async def scores(body: ScoreBody, engine: HeldEngine, stored: HeldStored) -> Response:
    """Documents by exact MaxSim, the best first: texts, vectors sent, or vectors stored here."""
    return await score(body, engine, stored)


@router.post("/v1/fde", response_model=FdeReply, responses=CONTENT, openapi_extra=SAFETENSORS_BODY)
async def fdes(body: FdeBody, engine: HeldEngine, accept: Accept = None) -> Response:
    """One vector of each text's token vectors."""
    return await compress(body, engine, accepted(accept))


@router.get("/v1/fits/{fingerprint}", response_class=Response, responses={200: {"content": {SAFETENSORS: {}}}})
async def fits(fingerprint: str, engine: HeldEngine) -> Response:
    """The file of a model's fitted FDE, as `Lemur.open` reads it: some megabytes."""
    return await asyncio.to_thread(fit, fingerprint, engine)


@router.post("/v1/models/{name:path}/{action}", response_model=Residency)
async def models(name: str, action: Action, engine: HeldEngine) -> Response:
    """Load, unload, pin or unpin a model."""
    return await act(name, action, engine)
