"""What a point's payload holds: the caller's fields as they are, and one field of ours."""

from collections.abc import Mapping
from typing import Any

from vectorplug.search.hits import Hit, Id, Row

__all__ = ["CONTENT", "RESERVED", "content_of", "decode", "encode", "hit_of"]

RESERVED = "_vectorplug"
CONTENT = f"{RESERVED}.content"


def encode(row: Row) -> dict[str, Any]:
    """The payload to store."""
    return {**row.payload, RESERVED: {"id": row.id, "content": row.content}}


def decode(payload: Mapping[str, Any]) -> tuple[Id, dict[str, Any]]:
    """The caller's id and fields."""
    fields = dict(payload)
    return fields.pop(RESERVED)["id"], fields


def hit_of(payload: Mapping[str, Any], score: float) -> Hit:
    """The hit of a point that was found."""
    document_id, fields = decode(payload)
    return Hit(document_id, score, fields)


def content_of(payload: Mapping[str, Any]) -> str:
    """The content hash; enough of the payload is the field CONTENT."""
    content: str = payload[RESERVED]["content"]
    return content
