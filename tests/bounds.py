"""A server's limits, wide enough not to matter but where a test says so."""

from typing import Any

from vectorplug.server.auth import Keys
from vectorplug.server.limits import Limits

__all__ = ["bounds"]


def bounds(*keys: str, **asked: Any) -> Limits:
    """`keys` are those that are let in, all if none; `asked` are fields of Limits."""
    wide: dict[str, Any] = {
        "body_bytes": 32 << 20,
        "texts": 2048,
        "request_tokens": 524_288,
        "queue_tokens": 262_144,
        "request_timeout": 60.0,
        "truncate": False,
    }
    return Limits(keys=Keys(keys), **wide | asked)
