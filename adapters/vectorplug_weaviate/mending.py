"""Objects that Weaviate stored and did not index, so that no search finds them: who wrote them was cut off in between.

Weaviate stores an object first and indexes its vectors then. Where the request or the server ends in between, the same
object written again changes nothing, and is never indexed: it has to be deleted first, or to get other vectors.
A server that is killed also loses what it had put into its indexes last, of writes that it had confirmed.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from weaviate.classes.query import Filter

from vectorplug_weaviate.connection import GoneError
from vectorplug_weaviate.payload import NO_CONTENT, Content
from vectorplug_weaviate.place import Place, in_parts
from vectorplug_weaviate.schema import CONTENT

__all__ = ["mend", "queued", "turned", "unindexed", "update"]


def unindexed(place: Place, contents: Mapping[str, Content], dims: Mapping[str, int]) -> set[str]:
    """Those of the keys that lack in the index of one of the vectors that they have, as their `contents` say.

    None where the server indexes in the background and is not done: it cannot be told then.
    """
    lacking: set[str] = set()
    for name, dim in dims.items():
        holders = [key for key, content in contents.items() if content.has(name)]
        lacking |= set(holders) - _indexed(place, name, dim, holders)
    return set() if lacking and queued(place) else lacking


def mend(place: Place, keys: Sequence[str]) -> None:
    """Have the objects indexed, by the vectors that they have; all else of them stays."""
    for some in in_parts(keys):
        wanted = Filter.by_id().contains_any(some)
        reply = place.call(
            "Reading",
            lambda wanted=wanted, some=some: place.handle.query.fetch_objects(
                filters=wanted, limit=len(some), include_vector=True, return_properties=[CONTENT]
            ),
        )
        for each in reply.objects:
            content = Content.of(each.properties)
            ours = {name: vector for name, vector in each.vector.items() if content.has(name)}
            # Whoever is cut off in between leaves an object without content: the next `add` writes it anew.
            update(place, str(each.uuid), {CONTENT: NO_CONTENT}, turned(ours))
            update(place, str(each.uuid), {CONTENT: str(content)}, ours)


def update(place: Place, key: str, properties: Mapping[str, Any], vectors: Mapping[str, Any] | None) -> None:
    """Change an object's properties and vectors, those that are named; one that is gone is left alone."""
    with suppress(GoneError):  # Weaviate makes no object of a change
        place.call("Writing", lambda: place.handle.data.update(key, properties, vector=vectors))


def turned(vectors: Mapping[str, Any]) -> dict[str, Any]:
    """The same vectors, the other way round."""
    return {name: (-np.asarray(vector, np.float32)).tolist() for name, vector in vectors.items()}


def _indexed(place: Place, name: str, dim: int, keys: Sequence[str]) -> set[str]:
    """Those that a search for any vector finds among the keys."""
    vector: npt.NDArray[np.float32] = np.ones((1, dim) if name == "tokens" else dim, np.float32)
    found: set[str] = set()
    for some in in_parts(keys):
        reply = place.call(
            "Reading",
            lambda some=some: place.handle.query.near_vector(
                vector,
                target_vector=name,
                limit=len(some),
                filters=Filter.by_id().contains_any(some),
                return_properties=[],
            ),
        )
        found |= {str(each.uuid) for each in reply.objects}
    return found


def queued(place: Place) -> bool:
    """Whether vectors wait to be indexed."""
    nodes = place.call("Reading", lambda: place.connection.client.cluster.nodes(place.name, output="verbose"))
    return any(shard.vector_queue_length for node in nodes for shard in node.shards or ())
