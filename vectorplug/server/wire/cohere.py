"""Placeholder of the contract: a vendor, its own paths (`router`) and those it shares (`shared`)."""

from typing import Any

from vectorplug.server.problems import Problem
from vectorplug.server.vendor import Vendor, router_of

__all__ = ["VENDOR", "router", "shared"]


def error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """The error."""
    return {"error": problem.message, "request_id": request_id}


VENDOR = Vendor(name="cohere", body=error_body)
router = router_of(VENDOR)
shared = router_of(VENDOR)
