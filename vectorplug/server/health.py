"""Whether the server lives, whether it is ready, and its metrics."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from vectorplug.server.auth import check_key
from vectorplug.server.vendor import answer

__all__ = ["open_router"]

open_router = APIRouter(tags=["operations"])


@open_router.get("/livez")
async def livez() -> Response:
    """200 as long as the event loop turns, while a model loads, too."""
    return answer({"status": "alive"})


@open_router.get("/health", include_in_schema=False)
@open_router.get("/readyz")
async def readyz(request: Request) -> Response:
    """200 once the models that are loaded at the start are there and until the server is told to stop."""
    reason = request.app.state.readiness.reason
    return answer(
        {"status": "ready"} if reason is None else {"status": "not ready", "reason": reason},
        status=200 if reason is None else 503,
    )


@open_router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus's text format; takes a key as every other path does."""
    check_key(request, request.app.state.limits.keys)
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
