"""What a running server holds, for the routes that need it."""

from starlette.requests import Request

from vectorplug.server.engine import Engine

__all__ = ["held_engine"]


async def held_engine(request: Request) -> Engine:
    """The engine of the server that this request came to."""
    engine: Engine = request.app.state.engine
    return engine
