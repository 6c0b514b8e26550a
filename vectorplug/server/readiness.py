"""Whether requests should be sent here, and if not, why."""

from dataclasses import dataclass

__all__ = ["Readiness"]


@dataclass(slots=True)
class Readiness:
    """`reason` says why not; None is ready."""

    reason: str | None = "starting"
