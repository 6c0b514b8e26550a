"""What is done when a forward pass runs out of memory, one rung after the other, before anyone hears of it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vectorplug.errors import OutOfMemoryError
from vectorplug.models.piece import Piece
from vectorplug.models.tokenizing import TokenizedText
from vectorplug.residency.memory import DeviceMemory, forget_frames, ran_out

__all__ = ["Ladder"]


class Ladder:
    """Forward passes of one loaded model that outlive a full device, with the same numbers in the same order.

    1. give torch's cached blocks back and try again;
    2. halve the batch; the size that ran out is remembered for texts of that length (to a power of two) as long as
       the model stays loaded, and later batches are cut below it before they run;
    3. for a single text, `evict_idle` models off the device;
    4. `compact`: this model's own weights go to the host and come back in one piece, which ends fragmentation;
    5. OutOfMemoryError with what was asked, free, and held by whom (`holders`).

    `on_rung` hears a line of each. Nothing keeps the tensors of a failed pass alive: its traceback is dropped.
    """

    def __init__(
        self,
        name: str,
        memory: DeviceMemory,
        run: Callable[[Sequence[TokenizedText]], Piece],
        *,
        evict_idle: Callable[[], int],
        compact: Callable[[], None],
        holders: Callable[[], str],
        on_rung: Callable[[str], None],
    ) -> None:
        self._name = name
        self._memory = memory
        self._run = run
        self._evict_idle = evict_idle
        self._compact = compact
        self._holders = holders
        self._on_rung = on_rung
        self._ran_out_at: dict[int, int] = {}

    def forward(self, texts: Sequence[TokenizedText]) -> Piece:
        """One Piece of all texts in their order, in as many passes as the device needs."""
        pieces = [piece for part in self._below_limit(texts) for piece in self._descend(part)]
        return pieces[0] if len(pieces) == 1 else _joined(pieces)

    def _below_limit(self, texts: Sequence[TokenizedText]) -> list[Sequence[TokenizedText]]:
        """The batch halved until each part has fewer tokens than ran out before."""
        limit = self._ran_out_at.get(_bucket(texts))
        if limit is None or len(texts) == 1 or _tokens(texts) < limit:
            return [texts]
        half = len(texts) // 2
        return [*self._below_limit(texts[:half]), *self._below_limit(texts[half:])]

    def _descend(self, texts: Sequence[TokenizedText]) -> list[Piece]:
        piece, said = self._attempt(texts)
        if piece is None:
            self._on_rung(f"{_tokens(texts)} tokens ran out of memory: cached blocks are given back")
            self._memory.release_cached()
            piece, said = self._attempt(texts)
        if piece is not None:
            return [piece]
        if len(texts) > 1:
            tokens, bucket = _tokens(texts), _bucket(texts)
            self._ran_out_at[bucket] = min(tokens, self._ran_out_at.get(bucket, tokens))
            half = len(texts) // 2
            self._on_rung(f"{tokens} tokens ran out of memory: the batch of {len(texts)} texts is halved")
            return [piece for part in (texts[:half], texts[half:]) for piece in self._descend(part)]
        self._on_rung("one text ran out of memory: idle models are evicted")
        if self._evict_idle():
            piece, said = self._attempt(texts)
        if piece is None:
            self._on_rung("one text ran out of memory: the model's weights are moved out and back in one piece")
            piece, said = self._attempt(texts, first=self._compact)
        if piece is None:
            raise OutOfMemoryError(self._numbers(texts, said))
        return [piece]

    def _attempt(
        self, texts: Sequence[TokenizedText], first: Callable[[], None] | None = None
    ) -> tuple[Piece | None, str]:
        """The Piece, or None and what the allocator said."""
        try:
            if first is not None:
                first()
            return self._run(texts), ""
        except Exception as error:
            if not ran_out(error):
                raise
            forget_frames(error)
            return None, str(error)

    def _numbers(self, texts: Sequence[TokenizedText], said: str) -> str:
        now = self._memory.read()
        return (
            f"{self._name} cannot run one text of {_tokens(texts)} tokens ({said}). The device has {now.size:,} bytes: "
            f"{now.available:,} free, {now.allocated:,} in use here ({self._holders()}), {now.others:,} held by other "
            "processes. Shorten the text, unpin or evict a model, or use a larger device."
        )


def _tokens(texts: Sequence[TokenizedText]) -> int:
    return sum(map(len, texts))


def _bucket(texts: Sequence[TokenizedText]) -> int:
    """Texts of like length: the power of two that the longest stays below."""
    return max(map(len, texts)).bit_length()


def _joined(pieces: Sequence[Piece]) -> Piece:
    columns: Any = ([getattr(piece, name) for piece in pieces] for name in ("tokens", "lengths", "dense"))
    return Piece(*(np.concatenate(column) for column in columns))
