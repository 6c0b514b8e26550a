"""Reranking: one query against many texts, by exact MaxSim over the tokens of both."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vectorplug.errors import InputError
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors
from vectorplug.server.engine import Engine, counts

__all__ = ["Ranking", "rank"]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """`maxsim` float32 [n], one score a document in their order; `query` [q, dim] and `documents` are the tokens.

    `tokens` is how many the model read of all texts; `truncated` how many it cut off.
    """

    model: str
    maxsim: npt.NDArray[np.float32]
    query: npt.NDArray[np.float32]
    documents: MultiVectors
    tokens: int
    truncated: int

    @property
    def relevance(self) -> npt.NDArray[np.float32]:
        """float32 [n]: MaxSim a query token, which is at most 1, whatever the query's length."""
        return self.maxsim / np.float32(len(self.query))

    def best(self, count: int | None = None) -> list[int]:
        """Places of the `count` best documents, the best first; all of them without."""
        order = np.argsort(-self.maxsim, kind="stable")
        return [int(place) for place in order[:count]]


async def rank(
    engine: Engine, name: str | None, query: str, documents: Sequence[str], *, truncate: bool = True
) -> Ranking:
    """Score each of n documents against the query; both are encoded in the same batches as everybody's texts."""
    wanted = engine.names.wanted(name)
    if wanted.output not in (None, "tokens"):
        raise InputError(f"{name!r} asks for {wanted.output} vectors, and a reranker needs tokens: leave that out.")
    asked, given = await asyncio.gather(
        engine.encode(wanted, [query], "query", ["tokens"], truncate=truncate),
        engine.encode(wanted, documents, "document", ["tokens"], truncate=truncate),
    )
    assert asked.tokens is not None
    assert given.tokens is not None
    read, cut = np.add(counts(asked), counts(given)).tolist()
    scores = await asyncio.to_thread(maxsim, asked.tokens[0], given.tokens)
    return Ranking(
        model=name or engine.names.default,
        maxsim=scores,
        query=asked.tokens[0],
        documents=given.tokens,
        tokens=read,
        truncated=cut,
    )
