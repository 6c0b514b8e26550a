"""What a point's payload holds: the caller's fields as they are, and one field of ours."""

from collections.abc import Mapping
from typing import Any

from vectorplug.errors import InputError
from vectorplug.search.hits import Id, Row

__all__ = ["CONTENT", "RESERVED", "check", "content_of", "decode", "encode"]

RESERVED = "_vectorplug"
CONTENT = f"{RESERVED}.content"


def check(row: Row) -> None:
    """Raise InputError where the caller's payload has our field's name."""
    if RESERVED in row.payload:
        raise InputError(
            f"the payload of document {row.id!r} has a field {RESERVED!r}, in which vectorplug keeps the id: rename it."
        )


def encode(row: Row) -> dict[str, Any]:
    """The payload to store."""
    return {**row.payload, RESERVED: {"id": row.id, "content": row.content}}


def decode(payload: Mapping[str, Any]) -> tuple[Id, dict[str, Any]]:
    """The caller's id and fields."""
    fields = dict(payload)
    return fields.pop(RESERVED)["id"], fields


def content_of(payload: Mapping[str, Any]) -> str:
    """The content hash; enough of the payload is the field CONTENT."""
    content: str = payload[RESERVED]["content"]
    return content
