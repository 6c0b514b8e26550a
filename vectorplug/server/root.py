"""Paths that several vendors have, at the root: the fields of a request tell whose it is."""

from typing import Any

from vectorplug.server.problems import Problem
from vectorplug.server.vendor import Vendor, router_of
from vectorplug.server.wire import openai

__all__ = ["MERGED", "router"]


def error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """What OpenAI's, Cohere's, Voyage's and Jina's SDKs all read: each finds its own key."""
    return {
        **openai.error_body(problem, request_id),
        "detail": problem.message,
        "message": problem.message,
        "request_id": request_id,
    }


MERGED = Vendor(name="merged", body=error_body, headers=openai.UNLIMITED)
router = router_of(MERGED)
