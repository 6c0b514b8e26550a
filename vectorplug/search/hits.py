"""What goes into a store and what comes out of it."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vectorplug.encoded import Encoded
from vectorplug.errors import InputError

__all__ = ["AddReport", "Hit", "Id", "Row", "Rows", "content_hash", "key_of"]

Id = str | int
_namespace = uuid.UUID("6f0c1f0e-8d0b-5a53-9a6c-5b0f2f6c7a11")


@dataclass(frozen=True, slots=True)
class Hit:
    """One found document: the caller's own id, its score (exact MaxSim in native and rerank modes), its payload."""

    id: Id
    score: float
    payload: dict[str, Any]


@dataclass(slots=True)
class AddReport:
    """How an `add` went: documents written, documents that were there already, and (id, reason) of the refused."""

    added: int = 0
    skipped: int = 0
    failed: list[tuple[Id, str]] = field(default_factory=list)
    truncated: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One document beside its vectors. `key` is the database's UUID, `content` the hash that tells a change."""

    id: Id
    key: str
    payload: dict[str, Any]
    content: str


@dataclass(frozen=True, slots=True)
class Rows:
    """`rows[i]` belongs to text i of `encoded`."""

    rows: list[Row]
    encoded: Encoded


def key_of(document_id: Id) -> str:
    """UUIDv5 of an id, the same on every machine; 1 and "1" differ. InputError for other types than str and int."""
    if isinstance(document_id, bool) or not isinstance(document_id, str | int):
        raise InputError(f"id {document_id!r} is a {type(document_id).__name__}, expected a str or an int.")
    return str(uuid.uuid5(_namespace, json.dumps(document_id)))


def content_hash(text: str, payload: Mapping[str, Any]) -> str:
    """16 hex digits of a text and its payload: equal where nothing has to be written again."""
    try:
        body = json.dumps([text, payload], sort_keys=True, ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the payload cannot be written as JSON ({error}).") from error
    return hashlib.blake2b(body.encode(), digest_size=8).hexdigest()
