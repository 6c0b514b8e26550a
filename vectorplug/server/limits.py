"""What one request may ask of this server."""

from dataclasses import dataclass

from vectorplug.server.auth import Keys

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The operator's settings, as routes and engine use them.

    body_bytes      in one request
    texts           in one request
    request_tokens  in one request, as the model reads them
    queue_tokens    that may wait for one model before requests are turned away
    request_timeout  seconds
    truncate        cut a text that is too long also where a vendor's format would refuse it
    """

    keys: Keys
    body_bytes: int
    texts: int
    request_tokens: int
    queue_tokens: int
    request_timeout: float
    truncate: bool
