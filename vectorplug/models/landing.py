"""Where the vectors of a call come together, and their way there from a GPU: folded on it, gathered once, copied once.

The copy goes into page-locked memory on a stream of its own, and another thread puts the vectors where they belong, so
the next batch runs meanwhile. What a CPU computes is kept as it comes.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vectorplug.compressor import Compressor
from vectorplug.encoded import Encoded, Output
from vectorplug.models.piece import Piece
from vectorplug.models.tokenizing import Role, TokenizedText
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera

__all__ = ["Fold", "Landing", "LandingText", "device_fold", "lands"]

# Apple's have the host's memory, and no float64 for the FDE.
DEVICES = {"cuda"}
# Batches whose copies are on their way while another is computed.
BATCHES_BEHIND = 2


@dataclass(frozen=True, slots=True)
class Fold:
    """tokens float32 [total, dim] and offsets int64 [n + 1] of n texts -> FDEs float32 [n, size], all on one device."""

    muvera: Muvera
    role: Role

    def __call__(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        """See `vectorplug.muvera.torch`."""
        from vectorplug.muvera.torch import encode_documents, encode_queries

        return (encode_queries if self.role == "query" else encode_documents)(self.muvera, tokens, offsets)


def lands(device: torch.device) -> bool:
    """Whether vectors of that device are better folded there and copied behind the next batch."""
    return device.type in DEVICES


def device_fold(compressor: Compressor | None, role: Role) -> Fold | None:
    """What folds tokens on their device; None for a compressor that only the host has."""
    return Fold(compressor, role) if isinstance(compressor, Muvera) else None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LandingText(TokenizedText):
    """A text whose vectors go to place `place` of `landing`; in a batch all go to the same."""

    landing: "Landing"
    place: int


class Landing:
    """What a call wants of n texts, filled batch by batch in any order; a context, left when all has landed.

    `outputs` of "tokens", "dense" and, where there is a `fold` to make it of the tokens on their device, "fde".
    """

    def __init__(self, n: int, outputs: Sequence[Output], token_dim: int, dense_dim: int, fold: Fold | None) -> None:
        self._token_dim = token_dim
        self._fold = fold
        self._tokens: list[Any] | None = [None] * n if "tokens" in outputs else None
        self._dense = np.empty((n, dense_dim), np.float32) if "dense" in outputs else None
        self._fde = None if fold is None else np.empty((n, fold.muvera.size), np.float32)
        self._behind: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vectorplug-landing")
        self._stream: torch.cuda.Stream | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def ticket(self, text: TokenizedText, place: int) -> LandingText:
        """The same text, whose vectors a forward pass has to `put`."""
        own = {field.name: getattr(text, field.name) for field in fields(text)}
        return LandingText(**own, landing=self, place=place)

    def keep(self, places: Sequence[int], piece: Piece) -> None:
        """The vectors of the texts at `places`, which are on the host; "fde" is not made of them."""
        if self._tokens is not None:
            for place, own in zip(places, piece.split(), strict=True):
                self._tokens[place] = own
        if self._dense is not None:
            self._dense[places] = piece.dense

    def put(
        self, texts: Sequence[TokenizedText], tokens: Tensor, lengths: npt.NDArray[np.int64], dense: Tensor
    ) -> Piece:
        """A batch on its device: tokens float32 [total, token_dim], the next `lengths[i]` of text i; dense [b, D].

        Returns a Piece without vectors. What the device has no memory for is raised here, and may be put again.
        """
        none = tokens.new_empty(len(texts), 0)
        fde = none
        if self._fold is not None:
            offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]))
            fde = self._fold(tokens, offsets.to(tokens.device))
        parts = [none if self._tokens is None else tokens, none if self._dense is None else dense, fde]
        host, wait = self._copied(torch.cat([part.reshape(-1) for part in parts]))
        shapes = [tuple(part.shape) for part in parts]
        places = [text.place for text in texts if isinstance(text, LandingText)]
        while len(self._behind) >= BATCHES_BEHIND:
            self._behind.popleft().result()
        self._behind.append(self._thread.submit(self._unload, host, wait, shapes, places, lengths))
        empty = np.empty((len(texts), 0), np.float32)
        return Piece(np.empty((0, self._token_dim), np.float32), np.zeros_like(lengths), empty)

    def landed(self) -> Encoded:
        """Everything that was put and kept, once it is here; what was not asked for is None."""
        while self._behind:
            self._behind.popleft().result()
        return Encoded(
            tokens=None if self._tokens is None else MultiVectors.from_list(self._tokens, dim=self._token_dim),
            fde=self._fde,
            dense=self._dense,
        )

    def _copied(self, gathered: Tensor) -> tuple[Tensor, Callable[[], object]]:
        """The copy on the host, and what waits until it is there."""
        if gathered.device.type != "cuda":
            return gathered, lambda: None
        if self._stream is None:
            self._stream = torch.cuda.Stream(gathered.device)  # type: ignore[no-untyped-call]
        host = torch.empty(gathered.shape, dtype=gathered.dtype, pin_memory=True)
        self._stream.wait_stream(torch.cuda.current_stream(gathered.device))
        with torch.cuda.stream(self._stream):
            host.copy_(gathered, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(self._stream)
        # The gathered vectors' memory may be used again once the copy has read them.
        gathered.record_stream(self._stream)
        return host, done.synchronize

    def _unload(
        self,
        host: Tensor,
        wait: Callable[[], object],
        shapes: list[tuple[int, ...]],
        places: list[int],
        lengths: npt.NDArray[np.int64],
    ) -> None:
        wait()
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
        flat = np.split(host.numpy(), ends[:-1])
        tokens, dense, fde = (part.reshape(shape) for part, shape in zip(flat, shapes, strict=True))
        # A copy: views would hold on to page-locked memory until the end.
        self.keep(places, Piece(tokens.copy(), lengths, dense))
        if self._fde is not None:
            self._fde[places] = fde
