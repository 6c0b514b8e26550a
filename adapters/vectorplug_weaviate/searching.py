"""Searches of one collection: which requests a plan is, and what the server's answers mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
from weaviate.classes.query import Filter, FilterReturn, HybridFusion, MetadataQuery

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import InputError
from vectorplug.search.database import NO_NAMES
from vectorplug.search.hits import Hit, Question
from vectorplug.search.modes import Plan
from vectorplug_weaviate.payload import decode
from vectorplug_weaviate.place import Place, in_parts
from vectorplug_weaviate.properties import Properties
from vectorplug_weaviate.schema import ID, PART, PARTS, PAYLOAD

__all__ = ["Searching"]

LARGEST_ANSWER = 10_000  # QUERY_MAXIMUM_RESULTS, unless the server says otherwise
# Weaviate ranks twice as many objects as it answers with. Parts are equal but for chance: this leaves them room.
SCANNED_AT_ONCE = 8_000
RANKED_AN_ANSWER = 2


@dataclass(frozen=True, slots=True)
class Found:
    """An object of an answer: its key, its score (the larger the nearer), its properties where they were asked for."""

    key: str
    score: float
    properties: dict[str, Any]


class Searching:
    """Searches at a place; `properties` say whether there are words, and whose documents these are."""

    def __init__(self, place: Place, properties: Properties) -> None:
        self._place = place
        self._properties = properties
        self.names: Mapping[Output, str] = NO_NAMES
        """Under which the vectors lie, where that is not their own."""

    def hits(
        self, question: Question, plan: Plan, limit: int, filter: FilterReturn | None, candidates: int
    ) -> list[Hit]:
        """The best `limit`, best first."""
        if filter is not None and not isinstance(filter, FilterReturn):
            raise InputError(f"filter is a {type(filter).__name__}, expected a weaviate.classes.query.Filter.")
        hits = []
        for found in self._found(question, plan, limit, filter, candidates):
            document_id, payload = decode(found.key, found.properties)
            hits.append(Hit(document_id, found.score, payload))
        return hits

    def _found(
        self, question: Question, plan: Plan, limit: int, filter: FilterReturn | None, candidates: int
    ) -> list[Found]:
        if not self._place.there():
            return []
        query = question.encoded
        if plan.find == "tokens":
            if self._properties.tokens_are_walked:
                asked = max(limit, ceil(candidates / RANKED_AN_ANSWER))
                return self._nearest("tokens", query, asked, filter, properties=True)[:limit]
            return self._rank(query, self._scan(query, limit, filter), limit)
        wanted = limit if plan.rerank is None else candidates
        if plan.words and self._properties.words():
            found = self._fused(plan.find, question, wanted, filter, properties=plan.rerank is None)
        else:
            found = self._nearest(plan.find, query, wanted, filter, properties=plan.rerank is None)
        return found if plan.rerank is None else self._rank(query, [each.key for each in found], limit)

    def _rank(self, query: Encoded, keys: Sequence[str], limit: int) -> list[Found]:
        """The best `limit` of the objects `keys` by exact MaxSim, which the server computes."""
        ranked: list[Found] = []
        for some in in_parts(keys):
            asked = max(min(limit, len(some)), ceil(len(some) / RANKED_AN_ANSWER))
            ranked += self._nearest("tokens", query, asked, Filter.by_id().contains_any(some), properties=True)
        return _best(ranked, limit)

    def _scan(self, query: Encoded, limit: int, filter: FilterReturn | None) -> list[str]:
        """Keys of the best `limit` of all objects by exact MaxSim, part by part."""
        count = self._place.count()
        parts = ceil(count / SCANNED_AT_ONCE) or 1
        asked = max(limit, ceil(min(count, SCANNED_AT_ONCE * 5 / 4) / RANKED_AN_ANSWER))
        best: list[Found] = []
        for part in range(parts):
            begin, end = (PARTS * each // parts for each in (part, part + 1))
            within = Filter.by_property(PART).greater_or_equal(begin) & Filter.by_property(PART).less_than(end)
            allowed = within if filter is None else within & filter
            best = _best(best + self._nearest("tokens", query, asked, allowed, properties=False), limit)
        return [each.key for each in best]

    def _nearest(
        self, name: Output, query: Encoded, limit: int, filter: FilterReturn | None, *, properties: bool
    ) -> list[Found]:
        vector: Any = _query_vector(name, query)

        def nearest(limit: int) -> list[Found]:
            reply = self._place.call(
                "Searching",
                lambda: self._place.handle.query.near_vector(
                    vector,
                    target_vector=self.names.get(name, name),
                    limit=limit,
                    filters=filter,
                    return_metadata=MetadataQuery(distance=True),
                    return_properties=self._returned(properties),
                ),
            )
            return [
                Found(str(each.uuid), -(each.metadata.distance or 0.0), dict(each.properties)) for each in reply.objects
            ]

        found = nearest(limit)
        more = min(2 * limit, LARGEST_ANSWER)
        if self._properties.adopted and name != "tokens" and len(found) < limit < more:
            # An object that others write anew leaves its old vector in the graph, which takes the place of a hit.
            found = nearest(more)[:limit]
        return found

    def _fused(
        self, name: Output, question: Question, limit: int, filter: FilterReturn | None, *, properties: bool
    ) -> list[Found]:
        """By the vector and by BM25 of every searchable text, fused by their ranks, which loses fewest answers.

        Weaviate's default gives words a weight of 0.3: what they alone find hardly comes in front.
        """
        vector: Any = _query_vector(name, question.encoded)
        reply = self._place.call(
            "Searching",
            lambda: self._place.handle.query.hybrid(
                question.text,
                vector=vector,
                target_vector=self.names.get(name, name),
                alpha=0.5,
                fusion_type=HybridFusion.RANKED,
                limit=limit,
                filters=filter,
                return_metadata=MetadataQuery(score=True),
                return_properties=self._returned(properties),
            ),
        )
        return [Found(str(each.uuid), each.metadata.score or 0.0, dict(each.properties)) for each in reply.objects]

    def _returned(self, properties: bool) -> list[str] | None:
        """What makes a hit; in an adopted collection that is everything."""
        if not properties:
            return []
        return None if self._properties.adopted else [ID, PAYLOAD]


def _query_vector(name: Output, query: Encoded) -> npt.NDArray[np.float32]:
    if name == "tokens":
        assert query.tokens is not None
        return np.ascontiguousarray(query.tokens.astype("float32")[0])
    return np.asarray(getattr(query, name)[0], np.float32)


def _best(found: list[Found], limit: int) -> list[Found]:
    return sorted(found, key=lambda each: -each.score)[:limit]
