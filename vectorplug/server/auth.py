"""Who may ask: keys, and where the clients of each vendor put them."""

import base64
import binascii
import hmac
from collections.abc import Sequence

from starlette.requests import Request

from vectorplug.server.problems import RefusedError

__all__ = ["Keys", "check_key"]


class Keys:
    """The keys that open this server; without any, everybody may ask (the server then listens on loopback only)."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def open_to(self, offered: str) -> bool:
        """Whether `offered` is a key; takes as long for any text of its length."""
        # A sum, so that all are compared: the time must not tell which one was right.
        return sum(hmac.compare_digest(key, offered.encode()) for key in self._keys) > 0


def check_key(request: Request, keys: Keys, others: Sequence[str] = ()) -> None:
    """RefusedError as "unauthorized" where neither a header nor one of `others` is a key."""
    if keys and not any(keys.open_to(offered) for offered in [*_offered(request), *others]):
        raise RefusedError(
            "unauthorized",
            "no valid key: send one as `Authorization: Bearer KEY`, or as the password of the URL "
            "(http://any:KEY@host) where a client has no place for a header.",
        )


def _offered(request: Request) -> list[str]:
    """What a client sent as a key: bearer token, password of basic authentication, or a header `*api-key`."""
    offered = [value for name, value in request.headers.items() if name.endswith("api-key")]
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        offered.append(credentials.strip())
    elif scheme.lower() == "basic":
        try:
            offered.append(base64.b64decode(credentials, validate=True).decode().partition(":")[2])
        except (binascii.Error, UnicodeDecodeError):
            return offered
    return offered
