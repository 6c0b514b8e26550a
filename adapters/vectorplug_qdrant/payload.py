"""What a point holds beside vectors: the caller's fields as they are, and one field of ours, which others' have not."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vectorplug.errors import InputError
from vectorplug.search.backfill import Unfilled
from vectorplug.search.hits import Hit, Id, Row
from vectorplug.search.ingest import TEXT

__all__ = [
    "CONTENT",
    "ID",
    "RESERVED",
    "content_of",
    "decode",
    "encode",
    "hit_of",
    "point_id",
    "steps_of",
    "unfilled",
    "words_of",
]

RESERVED = "_vectorplug"
CONTENT = f"{RESERVED}.content"
ID = f"{RESERVED}.id"
# A path in Qdrant's way: names with dots between them, in quotes where they hold other letters.
STEP = r'[\w-]+|"[^"]+"'
PATH = re.compile(rf"(?:{STEP})(?:\.(?:{STEP}))*")


def encode(row: Row) -> dict[str, Any]:
    """The payload to store."""
    return {**row.payload, RESERVED: {"id": row.id, "content": row.content}}


def decode(point: Any, payload: Mapping[str, Any] | None) -> tuple[Id, dict[str, Any]]:
    """The caller's id and fields; a point that another program wrote has its own id."""
    fields = dict(payload or {})
    ours = fields.pop(RESERVED, None)
    if ours is not None:
        return ours["id"], fields
    return point if isinstance(point, int) else str(point), fields


def hit_of(found: Any) -> Hit:
    """The hit of a point that was found, with its id, score and payload."""
    document_id, fields = decode(found.id, found.payload)
    return Hit(document_id, found.score, fields)


def content_of(payload: Mapping[str, Any] | None) -> str:
    """The content hash, "" of a point that another program wrote; enough of the payload is the field CONTENT."""
    content: str = (payload or {}).get(RESERVED, {}).get("content", "")
    return content


def words_of(row: Row) -> str | None:
    """The text whose words find the document; None where its payload has none."""
    text = row.payload.get(TEXT)
    return text if isinstance(text, str) else None


def point_id(key: str) -> int | str:
    """Qdrant's own id for a key: a UUID, or in a collection of somebody else also an unsigned integer."""
    return int(key) if key.isdecimal() else key


def steps_of(field: str) -> list[str]:
    """The names on the path to a field; InputError for one that leads to no single text."""
    if not PATH.fullmatch(field):
        raise InputError(
            f"field {field!r} is no path to a text: write names with dots between them, a.b, in quotes where they hold "
            'other letters, "my field".b; elements of lists cannot be named.'
        )
    return [step.strip('"') for step in re.findall(STEP, field)]


def unfilled(record: Any, steps: Sequence[str]) -> Unfilled:
    """A record that lacks vectors, with the text in the field at the end of `steps`."""
    document_id, fields = decode(record.id, record.payload)
    found: Any = fields
    for step in steps:
        found = found.get(step) if isinstance(found, dict) else None
    return Unfilled(str(record.id), document_id, found if isinstance(found, str) else None)
