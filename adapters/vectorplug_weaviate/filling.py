"""Vectors for objects that are there, while others go on writing to them.

What an object has of ours is told by its property CONTENT: the hash of what its vectors were made from, and their
names. An object that others write anew has none; one whose text they change has another text than its hash.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vectorplug.encoded import Encoded, Output
from vectorplug.search.backfill import Unfilled
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.hits import content_hash
from vectorplug_weaviate.mending import turned, unindexed, update
from vectorplug_weaviate.payload import NO_CONTENT, Content, decode, part_of, property_name, text_in
from vectorplug_weaviate.place import Place
from vectorplug_weaviate.properties import Properties
from vectorplug_weaviate.schema import CONTENT, ID, PART, PAYLOAD, vectors_in

__all__ = ["Filling"]

# An object is a request of its own.
REQUESTS_AT_ONCE = 8


class Filling:
    """The objects at a place and the vectors that they lack."""

    def __init__(self, place: Place, properties: Properties) -> None:
        self._place = place
        self._properties = properties

    def unfilled(self, field: str, names: Sequence[str], info: CollectionInfo | None) -> Iterator[list[Unfilled]]:
        """Pages of those objects that lack one of the vectors, or their place in an index, or whose text changed since.

        `info` is what the collection is by now.
        """
        self._properties.read()
        vectors = {} if info is None else vectors_in(info)
        there = {name: dim for name, (_, dim) in vectors.items() if name in names}
        for page in self._place.pages(self._names(field)):
            lost = unindexed(self._place, {key: Content.of(properties) for key, properties in page}, there)
            lacking = [
                Unfilled(key, decode(key, properties)[0], text_in(properties, field))
                for key, properties in page
                if key in lost or _lacks(properties, field, names)
            ]
            if lacking:
                yield lacking

    def fill(
        self,
        field: str,
        documents: Sequence[Unfilled],
        encoded: Encoded,
        names: Mapping[Output, str],
        info: CollectionInfo | None,
    ) -> None:
        """Write the vectors of those objects whose text is still that of `documents`, under `names`."""
        used = () if info is None else tuple(vectors_in(info))
        before = self._read(field, documents)
        same = [i for i, each in enumerate(documents) if text_in(before.get(each.key, {}), field) == each.text]

        def write(i: int) -> None:
            key = documents[i].key
            vectors = _vectors(encoded[i : i + 1], names)
            properties = _ours(key, before[key], documents[i].text or "", vectors, used)
            # The vectors that it may have already, and not in the index: only others bring it there.
            if any(map(Content.of(before[key]).has, vectors)):
                update(self._place, key, {CONTENT: NO_CONTENT}, turned(vectors))
            update(self._place, key, properties, vectors)

        with ThreadPoolExecutor(REQUESTS_AT_ONCE, "vectorplug-filling") as threads:
            list(threads.map(write, same))
        written = [documents[i] for i in same]
        after = self._read(field, written)
        for each in written:
            # Changed between: what was written is not of the text that is there now, and must not look as if it were.
            if each.key in after and not _same(before[each.key], after[each.key], field):
                update(self._place, each.key, {CONTENT: NO_CONTENT}, None)

    def _read(self, field: str, documents: Sequence[Unfilled]) -> dict[str, dict[str, Any]]:
        return dict(self._place.read([each.key for each in documents], self._names(field)))

    def _names(self, field: str) -> list[str]:
        return [name for name in (property_name(field), ID, CONTENT, PAYLOAD) if name in self._properties.types]


def _lacks(properties: Mapping[str, Any], field: str, names: Sequence[str]) -> bool:
    content = Content.of(properties)
    if not all(map(content.has, names)):
        return True
    if properties.get(PAYLOAD) is not None:  # written by `add`, whose payload nobody else changes
        return False
    return content.hash != content_hash(text_in(properties, field) or "", {})


def _ours(
    key: str, before: Mapping[str, Any], text: str, vectors: Collection[str], used: Sequence[str]
) -> dict[str, Any]:
    """Our properties of an object that gets these vectors; in the list it keeps others of the same text, if `used`."""
    content, made_of = Content.of(before), content_hash(text, {})
    if before.get(PAYLOAD) is not None:
        made_of = content.hash
    held = [name for name in used if content.has(name)] if content.hash == made_of else []
    return {CONTENT: str(Content.made(made_of, [*held, *vectors])), PART: part_of(key)}


def _same(before: Mapping[str, Any], after: Mapping[str, Any], field: str) -> bool:
    return before.get(PAYLOAD) == after.get(PAYLOAD) and text_in(before, field) == text_in(after, field)


def _vectors(encoded: Encoded, names: Mapping[Output, str]) -> dict[str, Any]:
    """Of one text, as lists: the client makes lists of an array's rows one by one."""
    return {names.get(output, output): part.astype("float32")[0].tolist() for output, part in encoded.vectors()}
