"""`POST /v1/score`: one query against documents, by exact MaxSim; texts, vectors sent, or vectors stored here."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema
from starlette.responses import Response

from vectorplug.errors import InputError
from vectorplug.maxsim import maxsim
from vectorplug.models.tokenizing import Role
from vectorplug.multivectors import MultiVectors
from vectorplug.server.engine import Engine, counts
from vectorplug.server.native_vectors import Packed, Tensors, body_of, nested_schema, vectors_of
from vectorplug.server.problems import RefusedError
from vectorplug.server.vendor import answer

__all__ = ["ScoreBody", "ScoreReply", "ScoreRequest", "score"]

TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
QuerySchema = WithJsonSchema({**nested_schema(2), "title": "The tokens of the query"})
DocumentsSchema = WithJsonSchema({"anyOf": [TEXTS, nested_schema(3)]})


class ScoreRequest(BaseModel):
    """A query, and either `documents` or the name of vectors that are `stored` on this server.

    Texts are encoded by `model`; where all comes as vectors, no model takes part. `candidates` are positions in the
    stored vectors, all of them without. `top_k` is how many of the best are returned.
    """

    model: str | None = None
    query: str | Annotated[list[Any], Field(min_length=1), QuerySchema] | Packed | Tensors
    documents: Annotated[list[Any], Field(min_length=1), DocumentsSchema] | Packed | Tensors | None = None
    stored: str | None = None
    candidates: Annotated[list[int], Field(fail_fast=True)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    truncate: bool = True


ScoreBody = Annotated[ScoreRequest, BeforeValidator(body_of("query", "documents"))]


class Scored(BaseModel):
    """One document: its place in `documents`, or in the stored vectors, and its exact MaxSim."""

    index: int
    score: float


class ScoreReply(BaseModel):
    """The best first; `model` is the one that encoded texts, if any."""

    model: str | None
    results: list[Scored]


class Encoding:
    """Texts of one request through the engine: which model, and how much was cut off."""

    def __init__(self, body: ScoreRequest, engine: Engine) -> None:
        self._body = body
        self._engine = engine
        self.model: str | None = None
        self.truncated: int | None = None

    async def tokens(self, texts: Sequence[str], role: Role) -> MultiVectors:
        """Token vectors of n texts."""
        wanted = self._engine.names.wanted(self._body.model)
        if wanted.output not in (None, "tokens"):
            raise RefusedError(
                "invalid", f"the model's name asks for {wanted.output} vectors, MaxSim needs tokens.", param="model"
            )
        self.model = self._body.model or self._engine.names.default
        encoded = await self._engine.encode(wanted, texts, role, ["tokens"], truncate=self._body.truncate)
        self.truncated = (self.truncated or 0) + counts(encoded)[1]
        assert encoded.tokens is not None
        return encoded.tokens


async def score(body: ScoreRequest, engine: Engine, stored: Mapping[str, MultiVectors]) -> Response:
    """The answer to one request."""
    encoding = Encoding(body, engine)
    places = _candidates(body, stored)
    query, documents = await asyncio.gather(_query(body, encoding), _documents(body, encoding, stored))
    if len(query) != 1:
        raise RefusedError("invalid", f"the query holds {len(query)} texts, expected one.", param="query")
    scores = await asyncio.to_thread(maxsim, query[0], documents, candidates=places)
    if not np.isfinite(scores).all():
        raise InputError("the scores are too large for float32: bring the vectors to unit norm.")
    best = np.argsort(-scores, kind="stable")[: body.top_k].tolist()
    index = range(len(scores)) if places is None else places
    results = [{"index": index[place], "score": float(scores[place])} for place in best]
    return answer({"model": encoding.model, "results": results}, truncated=encoding.truncated)


async def _query(body: ScoreRequest, encoding: Encoding) -> MultiVectors:
    match body.query:
        case str(text):
            return await encoding.tokens([text], "query")
        case list(tokens):
            return await asyncio.to_thread(vectors_of, [tokens], "query")
        case given:
            return vectors_of(given, "query")


async def _documents(body: ScoreRequest, encoding: Encoding, stored: Mapping[str, MultiVectors]) -> MultiVectors:
    match body.documents:
        case None:
            return stored[body.stored or ""]
        case list(texts) if all(isinstance(text, str) for text in texts):
            return await encoding.tokens(texts, "document")
        case given:
            return await asyncio.to_thread(vectors_of, given, "documents")


def _candidates(body: ScoreRequest, stored: Mapping[str, MultiVectors]) -> list[int] | None:
    """The stored documents to score; RefusedError where that, or where the documents are, is not clear."""
    if (body.documents is None) == (body.stored is None):
        raise RefusedError(
            "invalid", "send either documents, or stored: the name of stored vectors.", param="documents"
        )
    if body.stored is None:
        if body.candidates is not None:
            raise RefusedError("invalid", "candidates are positions in stored vectors: name them.", param="candidates")
        return None
    if body.stored not in stored:
        known = f"there are {', '.join(map(repr, stored))}" if stored else "there are none (--vectors NAME=FILE)"
        raise RefusedError("not_found", f"no stored vectors are called {body.stored!r}: {known}.", param="stored")
    return body.candidates
