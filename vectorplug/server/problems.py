"""What went wrong, before any vendor's format: one `Problem` for every error that a request can meet."""

from dataclasses import dataclass, replace
from typing import Literal

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from vectorplug.errors import (
    ConfigurationError,
    InputError,
    ModelError,
    ModelNotFoundError,
    OverloadedError,
    TooLongError,
    VectorplugError,
)

__all__ = ["FORMAT", "Kind", "Problem", "RefusedError", "problem_of"]

Kind = Literal[
    "invalid", "empty", "too_long", "too_large", "unauthorized", "model_not_found", "not_found", "method_not_allowed",
    "media_type", "not_acceptable", "conflict", "overloaded", "timeout", "unavailable", "internal",
]  # fmt: skip

STATUS: dict[Kind, int] = {
    "invalid": 400,
    "empty": 400,
    "too_long": 400,
    "too_large": 413,
    "unauthorized": 401,
    "model_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "media_type": 415,
    "not_acceptable": 406,
    "conflict": 409,
    "overloaded": 429,
    "timeout": 504,
    "unavailable": 503,
    "internal": 500,
}
# Tags of formats that share a path begin so; they stand in the places of errors and mean nothing to a client.
FORMAT = "format:"
EMPTY = ("too_short", "string_too_short")
# How soon to try again a server that cannot load a model or has no memory for it just now.
RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Problem:
    """`message` is for a person; `param` the field of the request; `retry_after` in seconds.

    `tokens` and `limit` are set for "too_long". `exception` is the class of an error of our own, `index` the text or
    document that it is about.
    """

    kind: Kind
    message: str
    param: str | None = None
    retry_after: float | None = None
    tokens: int | None = None
    limit: int | None = None
    exception: str | None = None
    index: int | None = None

    @property
    def status(self) -> int:
        """The HTTP status where a vendor has no other."""
        return STATUS[self.kind]


class RefusedError(Exception):
    """A request that breaks a rule of its format or of this server."""

    def __init__(self, kind: Kind, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(kind, message, param)


def problem_of(error: Exception) -> Problem:
    """The problem that an error is; "internal" for one that nobody foresaw, whose message is not the client's."""
    problem = _problem_of(error)
    if isinstance(error, VectorplugError):
        return replace(problem, exception=type(error).__name__, index=getattr(error, "index", None))
    return problem


def _problem_of(error: Exception) -> Problem:
    match error:
        case RefusedError():
            return error.problem
        case RequestValidationError():
            return _invalid(error)
        case TooLongError():
            return Problem("too_long", str(error), "input", tokens=error.tokens, limit=error.limit)
        case InputError() | ConfigurationError():
            return Problem("invalid", str(error))
        case ModelNotFoundError():
            return Problem("model_not_found", str(error), "model")
        case OverloadedError():
            return Problem("overloaded", str(error), retry_after=error.retry_after)
        case ModelError():
            return Problem("unavailable", str(error), retry_after=RETRY_SECONDS)
        case TimeoutError():
            return Problem("timeout", "the request took longer than this server allows; send fewer texts at once.")
        case HTTPException():
            return _of_http(error)
        case _:
            return Problem("internal", "this server has met an error of its own; its log tells more.")


def _invalid(error: RequestValidationError) -> Problem:
    """One thing that is wrong with a body, by the name of its field."""
    found = error.errors()
    # Of a union, every type that was tried complains; what is empty was of the right one.
    first = next((e for e in found if e["type"] in EMPTY), found[0])
    # Of a union, the place names the types that were tried, too: a client knows fields and positions.
    loc = [part for part in first["loc"][1:] if not str(part).startswith(FORMAT)]
    place = [str(p) for i, p in enumerate(loc) if i == 0 or isinstance(p, int)]
    if first["type"] == "json_invalid":
        return Problem("invalid", f"the body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}.")
    if first["type"] == "missing" and not place:
        return Problem("invalid", "the body is empty, expected a JSON object with Content-Type: application/json.")
    field = ".".join(place) or "the body"
    kind: Kind = "empty" if first["type"] in EMPTY else "invalid"
    return Problem(kind, f"{field}: {first['msg']}.", ".".join(place) or None)


def _of_http(error: HTTPException) -> Problem:
    match error.status_code:
        case 404:
            return Problem("not_found", "there is nothing at this path; /docs lists what this server answers.")
        case 405:
            return Problem("method_not_allowed", "this path does not take that method; /docs lists them.")
        case _:
            return Problem("invalid", str(error.detail))
