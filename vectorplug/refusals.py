"""A server's refusal as the error that the same call raises locally."""

from typing import Any

import httpx

import vectorplug.errors as errors
from vectorplug.errors import (
    ConfigurationError,
    InputError,
    OverloadedError,
    PartialFailureError,
    TooLongError,
    VectorplugError,
)

__all__ = ["error_of"]

# Where a refusal names no class: it is not about a model or a text, or comes from a proxy.
CLASSES: dict[int, type[VectorplugError]] = {
    400: InputError,
    401: ConfigurationError,
    403: ConfigurationError,
    404: ConfigurationError,
    413: InputError,
}
RETRY_SECONDS = 1.0


def error_of(answer: httpx.Response, url: str) -> VectorplugError:
    """Of the class that the server names, with its message; else of the class that the status stands for."""
    told = _told(answer)
    if told is None:
        message = f"{url} answers {answer.status_code} {answer.reason_phrase}: is that a `vectorplug serve`?"
        told = {"message": message}
    kind = _kind(told, answer.status_code)
    message = str(told["message"])
    if kind is None:
        return VectorplugError(message)
    if issubclass(kind, TooLongError):
        return kind(
            message, index=_int(told, "index"), tokens=_int(told, "tokens") or 0, limit=_int(told, "limit") or 0
        )
    if issubclass(kind, OverloadedError):
        return kind(message, retry_after=_retry_after(answer, told))
    if issubclass(kind, InputError):
        return kind(message, index=_int(told, "index"))
    return kind(message)


def _told(answer: httpx.Response) -> dict[str, Any] | None:
    """The `error` of the body; None where this is no answer of ours."""
    try:
        body = answer.json()
    except ValueError:
        return None
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) and "message" in error else None


def _kind(told: dict[str, Any], status: int) -> type[VectorplugError] | None:
    if (name := told.get("exception")) in errors.__all__:
        kind: type[VectorplugError] = getattr(errors, name)
        return None if issubclass(kind, PartialFailureError) else kind
    # 503 with a class is a model that cannot be loaded; without one it is a proxy that has nobody to ask.
    return OverloadedError if status in (429, 503) else CLASSES.get(status)


def _retry_after(answer: httpx.Response, told: dict[str, Any]) -> float:
    for value in (told.get("retry_after"), answer.headers.get("retry-after")):
        try:
            return float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue  # none, or a date
    return RETRY_SECONDS


def _int(told: dict[str, Any], name: str) -> int | None:
    value = told.get(name)
    return value if isinstance(value, int) else None
