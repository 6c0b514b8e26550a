"""What a request's handlers tell its log line and the metrics: how much, of which model; never a text."""

from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["Seen", "current", "saw"]


@dataclass(slots=True)
class Seen:
    """Whose format it came in, and sums over its encodings."""

    format: str = "none"
    model: str | None = None
    texts: int = 0
    tokens: int = 0
    truncated: int = 0


current: ContextVar[Seen | None] = ContextVar("seen", default=None)


def saw(*, model: str | None = None, texts: int = 0, tokens: int = 0, truncated: int = 0) -> None:
    """Add to the request that is being handled; nothing outside of one."""
    if (seen := current.get()) is not None:
        seen.model = model or seen.model
        seen.texts += texts
        seen.tokens += tokens
        seen.truncated += truncated
