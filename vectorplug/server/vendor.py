"""A vendor's manner: how its errors look and which headers it sends; its routes differ in nothing else."""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from vectorplug.server.auth import Keys, check_key
from vectorplug.server.problems import Kind, Problem, RefusedError, problem_of
from vectorplug.server.seen import current
from vectorplug.server.telemetry import count_problem

__all__ = ["Vendor", "answer", "router_of"]

logger = logging.getLogger(__name__)

CLIENT_GONE = 499
STOPPING = Problem("unavailable", "this server is stopping: ask another one, or this one later.", retry_after=5.0)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """`body` draws an error as the vendor does, given the request's id; `statuses` are the vendor's own HTTP statuses.

    `headers` are sent with every answer. `key_in_body` is the field of the body that may hold the key, where a client
    has no header for it.
    """

    name: str
    body: Callable[[Problem, str], Mapping[str, Any]]
    statuses: Mapping[Kind, int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    key_in_body: str | None = None

    def refusal(self, problem: Problem, request_id: str) -> Response:
        """The error as this vendor's SDKs read it."""
        status = self.statuses.get(problem.kind, problem.status)
        response = answer(self.body(problem, request_id), status=status)
        if problem.retry_after is not None:
            response.headers["retry-after"] = str(math.ceil(problem.retry_after))
            response.headers["retry-after-ms"] = str(math.ceil(problem.retry_after * 1000))
        if problem.kind == "unauthorized":
            response.headers["www-authenticate"] = "Bearer"
        return response


def answer(content: Any, *, status: int = 200, truncated: int | None = None) -> Response:
    """JSON with NumPy arrays as lists; `truncated` tokens were cut off the texts, which a header says."""
    headers = {} if truncated is None else {"x-vectorplug-truncated": str(truncated)}
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def router_of(vendor: Vendor) -> APIRouter:
    """A router whose routes check the key, keep the time, and answer every error in the vendor's format."""
    return APIRouter(route_class=type(f"{vendor.name.title()}Route", (VendorRoute,), {"vendor": vendor}))


class BoundedRequest(Request):
    """A request whose body has a limit, and whose JSON is parsed by orjson: faster, and bounded in depth."""

    async def body(self) -> bytes:
        """All of it; RefusedError where it is too large, before it is in memory."""
        # FastAPI has such a limit, and answers in plain text where the length is announced; SDKs want their own JSON.
        if not hasattr(self, "_body"):
            most = self.app.state.limits.body_bytes
            if int(self.headers.get("content-length", "0")) > most:
                raise _too_large(most)
            held = bytearray()
            async for chunk in self.stream():
                held += chunk
                if len(held) > most:
                    raise _too_large(most)
            self._body = bytes(held)
        return self._body

    async def json(self) -> Any:
        """The body; json.JSONDecodeError where it is none."""
        return orjson.loads(await self.body())


class VendorRoute(APIRoute):
    """One route in a vendor's manner."""

    vendor: Vendor

    def get_route_handler(self) -> Handler:
        """FastAPI's own handler, guarded."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            if (seen := current.get()) is not None:
                seen.format = self.vendor.name
            try:
                response = await _answered(handle, BoundedRequest(request.scope, request.receive), self.vendor)
            except Exception as error:  # every error becomes an answer, the unforeseen ones with a log
                problem = problem_of(error)
                count_problem(request, problem)
                if problem.kind == "internal":
                    logger.exception("a request failed", exc_info=error)
                response = self.vendor.refusal(problem, request.scope["state"]["request_id"])
            except asyncio.CancelledError:
                # The time that running requests have after SIGTERM is over; this one still gets its answer.
                response = self.vendor.refusal(STOPPING, request.scope["state"]["request_id"])
            response.headers.update(self.vendor.headers)
            return response

        return guarded


def _too_large(most: int) -> RefusedError:
    return RefusedError("too_large", f"the body is larger than the {most:,} bytes that this server takes at once.")


async def _answered(handle: Handler, request: BoundedRequest, vendor: Vendor) -> Response:
    """The handler's answer, in time and while the client is there; what it began is cancelled otherwise."""
    limits = request.app.state.limits
    async with asyncio.timeout(limits.request_timeout):
        await _check_key(request, limits.keys, vendor.key_in_body)
        if request.headers.get("content-encoding", "identity") != "identity":
            raise RefusedError("media_type", "compressed bodies are not read here: send it without Content-Encoding.")
        await request.body()
        work = asyncio.ensure_future(handle(request))
        # Once the body is read, the next message says that the client has gone.
        gone = asyncio.ensure_future(request.receive())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            # Nobody reads the answer to one who has gone; the status is for the log.
            return work.result() if work.done() else Response(status_code=CLIENT_GONE)
        finally:
            work.cancel()
            gone.cancel()


async def _check_key(request: BoundedRequest, keys: Keys, field: str | None) -> None:
    """RefusedError where no header holds a key and the body does not either; it is read only if it may hold one."""
    try:
        check_key(request, keys)
    except RefusedError:
        if field is None:
            raise
        check_key(request, keys, await _strings_at(request, field))


async def _strings_at(request: BoundedRequest, field: str) -> list[str]:
    """The string in this field of the body, if there is one."""
    try:
        body = await request.json()
    except ValueError:
        return []
    value = body.get(field) if isinstance(body, dict) else None
    return [value] if isinstance(value, str) else []
