"""The server as one ASGI application."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import numpy as np
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vectorplug import __version__
from vectorplug.errors import VectorplugError
from vectorplug.kernels import compile_all
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors
from vectorplug.server import health, root
from vectorplug.server.engine import Engine
from vectorplug.server.limits import Limits
from vectorplug.server.problems import problem_of
from vectorplug.server.readiness import Readiness
from vectorplug.server.telemetry import EngineCollector, Metrics, Telemetry, count_problem
from vectorplug.server.wire import cohere, infinity, jina, native, ollama, openai, qdrant, tei, voyage, weaviate

__all__ = ["create_app"]

logger = logging.getLogger(__name__)

VENDORS = {
    "/openai": openai,
    "/cohere": cohere,
    "/jina": jina,
    "/voyage": voyage,
    "/tei": tei,
    "/infinity": infinity,
    "/ollama": ollama,
    "/weaviate": weaviate,
}
# Those whose paths nobody else has.
OWN = (native, qdrant)


def create_app(engine: Engine, limits: Limits, *, stored: Mapping[str, MultiVectors] | None = None) -> FastAPI:
    """Every format, below its vendor's prefix and merged at the root; the default model is loaded at the start.

    `stored` are the token vectors that `/v1/score` may be asked for by name.
    """
    metrics, readiness = Metrics(), Readiness()
    metrics.registry.register(EngineCollector(engine))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(warm(engine, readiness, (stored or {}).values()))
        yield
        warming.cancel()
        await engine.close()

    app = FastAPI(
        title="vectorplug",
        version=__version__,
        summary="Token vectors, FDEs, dense vectors and MaxSim reranking, in the formats of hosted APIs.",
        lifespan=lifespan,
        redirect_slashes=False,
        # Weaviate's transformers and ollama clients send JSON without saying so.
        strict_content_type=False,
    )
    app.state.engine, app.state.limits, app.state.stored = engine, limits, stored or {}
    app.state.metrics, app.state.readiness = metrics, readiness
    app.add_middleware(Telemetry, metrics=metrics)
    app.add_exception_handler(Exception, refuse)
    app.add_exception_handler(HTTPException, refuse)
    app.include_router(root.router, tags=["root"])  # first, because routes are tried in order
    app.include_router(health.open_router)
    for module in OWN:
        app.include_router(module.router, tags=[module.VENDOR.name])
    for prefix, module in VENDORS.items():
        app.include_router(module.router, tags=[module.VENDOR.name])
        app.include_router(module.router, prefix=prefix, tags=[module.VENDOR.name])
        app.include_router(module.shared, prefix=prefix, tags=[module.VENDOR.name])
    return app


async def warm(engine: Engine, readiness: Readiness, stored: Iterable[MultiVectors]) -> None:
    """Load the default model and compile every kernel, before a request has to wait for either."""
    try:
        served = await engine.open(engine.names.wanted(None))
        one = MultiVectors(np.ones((1, served.facts.token_dim), np.float32), [0, 1])

        def compile_kernels() -> None:
            compile_all()
            served.fde.encode_documents(one)
            for documents in (one, *stored):
                if len(documents):
                    maxsim(np.ones((1, documents.dim), np.float32), documents, candidates=[0])

        await asyncio.to_thread(compile_kernels)
    except VectorplugError as error:
        readiness.reason = str(error)
        logger.error("the default model cannot be served: %s", error)
    else:
        readiness.reason = None


async def refuse(request: Request, error: Exception) -> Response:
    """What no route has answered: unknown paths, and the routes that are no vendor's."""
    problem = problem_of(error)
    count_problem(request, problem)
    return root.MERGED.refusal(problem, request.scope["state"]["request_id"])
