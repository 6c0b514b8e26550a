"""A fit beside a collection of a server: in parts that every database takes, under keys made of its fingerprint."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vectorplug.search.hits import key_of

__all__ = ["Part", "joined", "keys_of", "parts_of"]

# A third more in base64: far below what any server takes in one request.
PART_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a fit as `text` (base64); `count` parts make it, of which this is `number`, from 0. `key` is a UUID."""

    key: str
    fingerprint: str
    number: int
    count: int
    text: str


def parts_of(fingerprint: str, data: bytes) -> list[Part]:
    """The parts in the order in which to write them: the first one last, so that whoever finds it finds all."""
    pieces = [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)] or [b""]
    parts = [
        Part(_key(fingerprint, number), fingerprint, number, len(pieces), base64.b64encode(piece).decode())
        for number, piece in enumerate(pieces)
    ]
    return parts[::-1]


def joined(fingerprint: str, read: Callable[[Sequence[str]], dict[str, Part]]) -> bytes | None:
    """The bytes again; `read` gives those parts that are there by their keys. None where one is missing."""
    keys = keys_of(fingerprint, read)
    found = read(keys) if keys else {}
    if not keys or found.keys() != set(keys):
        return None
    return b"".join(base64.b64decode(found[key].text) for key in keys)


def keys_of(fingerprint: str, read: Callable[[Sequence[str]], dict[str, Part]]) -> list[str]:
    """Of the parts that make the fit, as its first one says; none where that is not there."""
    first = read([_key(fingerprint, 0)]).get(_key(fingerprint, 0))
    return [] if first is None else [_key(fingerprint, number) for number in range(first.count)]


def _key(fingerprint: str, number: int) -> str:
    return key_of(json.dumps([fingerprint, number]))
