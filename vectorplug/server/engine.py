"""Texts of many requests in, vectors out, on asyncio: each served model has a batcher over one model cache."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy.typing as npt

from vectorplug.compressor import Compressor, is_fitted
from vectorplug.encoded import Encoded, Output
from vectorplug.errors import InputError, ModelError
from vectorplug.models.encoder import Facts
from vectorplug.models.options import check_options, shaped
from vectorplug.models.tokenizing import Role
from vectorplug.residency.batcher import Batcher, BatcherStats
from vectorplug.residency.cache import ModelCache
from vectorplug.residency.events import CacheStats
from vectorplug.server.fdes import fde_of
from vectorplug.server.limits import Limits
from vectorplug.server.names import Names, Wanted
from vectorplug.server.seen import saw

__all__ = ["Embeddings", "Engine", "Served", "counts"]

Result = TypeVar("Result")

MOVING_THREADS = 4


@dataclass(frozen=True, slots=True)
class Served:
    """A model that requests have asked for: its facts, its FDE, and the batcher in front of it."""

    facts: Facts
    fde: Compressor
    batcher: Batcher

    def dims(self, output: Output) -> int:
        """Numbers of one such vector (of one token for "tokens")."""
        return {"tokens": self.facts.token_dim, "fde": self.fde.size, "dense": self.facts.dense_dim}[output]


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """One kind of vector of n texts: float32 [D] each, or [tokens, dim] each where `output` is "tokens".

    `model` is the name that the request used. `tokens` is how many the model read of all texts, which is what a
    vendor bills, and `truncated` how many it cut off.
    """

    model: str
    output: Output
    vectors: Sequence[npt.NDArray[Any]]
    tokens: int
    truncated: int


def counts(encoded: Encoded) -> tuple[int, int]:
    """Tokens read and tokens cut off, of all texts of what a batcher has encoded."""
    assert encoded.token_counts is not None
    assert encoded.truncated is not None
    return int(encoded.token_counts.sum()), int(encoded.truncated.sum())


class Engine:
    """What every vendor's format is made of. Methods raise the package's own errors; cancelling one frees its place.

    A model is loaded by the first request that names it, which waits for it; the event loop goes on meanwhile.
    `fdes` are those of models, by what `names` calls them, that have another than the default one.
    """

    def __init__(
        self, cache: ModelCache, names: Names, limits: Limits, fdes: Mapping[str, Compressor] | None = None
    ) -> None:
        self.names = names
        self._fdes = fdes or {}
        self._cache = cache
        self._limits = limits
        self._served: dict[str, asyncio.Future[Served]] = {}
        # Loads wait for each other, for memory and for disks: whoever ranks with a loaded model must not wait behind.
        self._moving = ThreadPoolExecutor(MOVING_THREADS, "vectorplug-moving")
        self._closed = False

    async def embed(
        self,
        name: str | None,
        texts: Sequence[str],
        *,
        output: Output,
        role: Role,
        dimensions: int | None = None,
        truncate: bool = True,
    ) -> Embeddings:
        """One vector, or one row of tokens, of each text. What the name's suffix says goes before `output` and `role`.

        `dimensions` keeps the first numbers of each, at unit norm. Without `truncate` a text that the model would cut
        is a TooLongError.
        """
        wanted = self.names.wanted(name)
        output, role = wanted.output or output, wanted.role or role
        encoded = await self.encode(wanted, texts, role, [output], dimensions=dimensions, truncate=truncate)
        vectors = dict(encoded.vectors())[output]
        return Embeddings(name or self.names.default, output, list(vectors), *counts(encoded))

    async def encode(
        self,
        wanted: Wanted,
        texts: Sequence[str],
        role: Role,
        outputs: Sequence[Output],
        *,
        dimensions: int | None = None,
        pool_factor: float | None = None,
        token_dtype: str = "float32",
        truncate: bool = True,
    ) -> Encoded:
        """All `outputs` of each text from one forward pass, each different text once; options as in `Vectorizer`."""
        if len(texts) > self._limits.texts:
            raise InputError(f"the request holds {len(texts)} texts, this server takes {self._limits.texts} at once.")
        truncate = truncate or self._limits.truncate
        served = await self.open(wanted)
        check_options({o: served.dims(o) for o in outputs if o != "fde"}, dimensions, pool_factor)
        encoded = await asyncio.wrap_future(served.batcher.submit(texts, role, outputs, truncate=truncate))
        tokens, truncated = counts(encoded)
        saw(texts=len(texts), tokens=tokens, truncated=truncated)
        if dimensions is None and pool_factor is None and token_dtype == "float32":
            return encoded
        return await asyncio.to_thread(shaped, encoded, dimensions, pool_factor, token_dtype)

    async def open(self, wanted: Wanted) -> Served:
        """The model behind its batcher; loaded and given one where it has none yet, once for all who wait."""
        saw(model=wanted.model)
        if self._closed:
            raise ModelError("this server is shutting down: ask another one.")
        opening = self._served.get(wanted.model)
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception() is not None)):
            opening = asyncio.ensure_future(self._moved(self._open, wanted.model))
            self._served[wanted.model] = opening
        # Shielded: one who no longer waits must not end the load for the others.
        return await asyncio.shield(opening)

    async def with_model(self, wanted: Wanted, use: Callable[[Any], Result]) -> Result:
        """What `use` makes of the leased `Encoder`, in a thread."""

        def leased() -> Result:
            with self._cache.lease(wanted.model) as encoder:
                return use(encoder)

        return await self._moved(leased)

    async def load(self, wanted: Wanted) -> None:
        """Bring the model to the device."""
        await self.open(wanted)
        await self._moved(self._cache.preload, wanted.model)

    async def unload(self, wanted: Wanted) -> bool:
        """One step down, as `ModelCache.evict`; its batcher stays and brings it back when a request names it."""
        return await self._moved(self._cache.evict, wanted.model)

    async def pin(self, wanted: Wanted, *, pinned: bool = True) -> None:
        """Keep the model on the device, or let it be evicted again."""
        if pinned:
            await self.open(wanted)
        await self._moved(self._cache.pin if pinned else self._cache.unpin, wanted.model)

    def fde_for(self, dim: int) -> Compressor | None:
        """The FDE that the default model was given, if it is one for tokens of `dim` numbers."""
        given = self._fdes.get(self.names.wanted(None).model)
        return given if given is not None and given.dim == dim else None

    def fit(self, fingerprint: str) -> Compressor | None:
        """The fitted FDE of that fingerprint, where a model of this server was given it."""
        return next((fde for fde in self._fdes.values() if fde.fingerprint == fingerprint and is_fitted(fde)), None)

    def stats(self) -> tuple[CacheStats, Mapping[str, BatcherStats]]:
        """The cache and the batchers now; never waits."""
        return self._cache.stats(), {name: served.batcher.stats() for name, served in self.opened().items()}

    def opened(self) -> Mapping[str, Served]:
        """The models that have a batcher, by what `names` calls them."""
        return {
            name: opening.result()
            for name, opening in self._served.items()
            if opening.done() and not opening.cancelled() and opening.exception() is None
        }

    async def close(self) -> None:
        """Take nothing new, let running batches end, drop the models."""
        self._closed = True
        for served in self.opened().values():
            await asyncio.to_thread(served.batcher.close)
        self._cache.close()
        self._moving.shutdown(wait=False, cancel_futures=True)

    async def _moved(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """What may bring a model to the device, in a thread for that."""
        return await asyncio.get_running_loop().run_in_executor(self._moving, work, *arguments)

    def _open(self, model: str) -> Served:
        facts = self._cache.facts(model)
        fde = fde_of(facts, self._fdes.get(model))
        batcher = Batcher(
            lambda: self._cache.lease(model),
            fde=fde,
            queue_tokens=self._limits.queue_tokens,
            request_tokens=self._limits.request_tokens,
        )
        return Served(facts, fde, batcher)
