"""What goes into a store and what comes out of it."""

import hashlib
import json
import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from vectorplug.encoded import Encoded
from vectorplug.errors import InputError, PartialFailureError

__all__ = [
    "AddReport",
    "Hit",
    "Hits",
    "Id",
    "Question",
    "Row",
    "Rows",
    "StageReport",
    "content_hash",
    "key_of",
    "own_key_of",
    "row_of",
]

Id = str | int
_namespace = uuid.UUID("6f0c1f0e-8d0b-5a53-9a6c-5b0f2f6c7a11")
# What every database takes: integers of 64 bits, and fewer levels than a reader of JSON descends.
INTEGERS = range(-(2**63), 2**63)
MAX_LEVELS = 64


@dataclass(frozen=True, slots=True)
class Hit:
    """One found document: the caller's own id, its score (exact MaxSim in native and rerank modes), its payload."""

    id: Id
    score: float
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StageReport:
    """One step of a search: what it found, best first, in how many milliseconds, for how many bytes of query vectors.

    `name` is "encode", the vectors that found the candidates ("fde", with words "fde+words"), or "rerank".
    """

    name: str
    milliseconds: float
    query_bytes: int
    candidates: list[tuple[Id, float]]


class Hits(list[Hit]):
    """The found documents, best first; `stages` says how they were found where that was asked for (explain=True)."""

    def __init__(self, hits: Iterable[Hit] = (), stages: Sequence[StageReport] = ()) -> None:
        super().__init__(hits)
        self.stages = list(stages)


@dataclass(frozen=True, slots=True)
class Question:
    """One query: its vectors, an Encoded of one text, and its words, for modes that find by words too."""

    encoded: Encoded
    text: str = ""


@dataclass(slots=True)
class AddReport:
    """How an `add` went: documents written, documents that were there already, and (id, reason) of the refused.

    `sample` holds some of the texts that were written, where the FDE was fitted: `Store.drift` says how well it fits.
    """

    added: int = 0
    skipped: int = 0
    failed: list[tuple[Id, str]] = field(default_factory=list)
    truncated: int = 0
    sample: list[str] = field(default_factory=list, compare=False, repr=False)

    def raise_failed(self) -> None:
        """PartialFailureError where documents were refused, for callers who cannot go on without them."""
        if self.failed:
            refused, reason = self.failed[0]
            raise PartialFailureError(
                f"the store refused {len(self.failed)} documents, {refused!r} for example: {reason} The others are in.",
                failed=list(self.failed),
            )


@dataclass(frozen=True, slots=True)
class Row:
    """One document beside its vectors. `key` is the database's own id, `content` the hash that tells a change."""

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


def own_key_of(document_id: Id) -> str:
    """As `key_of`, except that a UUID, in any of its spellings, is its own key: that of an object of somebody else."""
    if isinstance(document_id, str):
        with suppress(ValueError):
            return str(uuid.UUID(document_id))
    return key_of(document_id)


def content_hash(text: str, payload: Mapping[str, Any]) -> str:
    """16 hex digits of a text and its payload: equal where nothing has to be written again."""
    body = json.dumps([text, payload], sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(body.encode(), digest_size=8).hexdigest()


def row_of(document_id: Id, text: str, payload: Mapping[str, Any], key: Callable[[Id], str] = key_of) -> Row:
    """The row of a document; InputError for an id or a payload that some database would refuse or change.

    A payload is JSON: names are str, numbers finite, integers of 64 bits, text Unicode, at most 64 levels deep.
    """
    its_key = key(document_id)
    _check_json(document_id, "the id", 0)
    stored = dict(payload)
    _check_json(stored, "the payload", 0)
    return Row(document_id, its_key, stored, content_hash(text, stored))


def _check_json(value: Any, place: str, level: int) -> None:
    if level > MAX_LEVELS:
        raise InputError(f"{place[:60]}... is nested more than {MAX_LEVELS} levels deep.")
    match value:
        case None | bool():
            pass
        case str():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise InputError(f"{place} holds a character that is no Unicode text ({error}).") from error
        case int():
            if value not in INTEGERS:
                raise InputError(f"{place} is {value}, expected an integer of 64 bits; write it as a str.")
        case float():
            if not math.isfinite(value):
                raise InputError(f"{place} is {value}, expected a finite number or None.")
        case list() | tuple():
            for i, item in enumerate(value):
                _check_json(item, f"{place}[{i}]", level + 1)
        case dict():
            for name, item in value.items():
                if not isinstance(name, str):
                    raise InputError(f"{place} has the name {name!r} of type {type(name).__name__}, expected a str.")
                _check_json(name, f"a name in {place}", level)
                _check_json(item, f"{place}[{name!r}]", level + 1)
        case _:
            raise InputError(f"{place} is of type {type(value).__name__}, which JSON does not have.")
