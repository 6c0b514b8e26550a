"""Requests of any size, from many threads or tasks, become full batches of one model: nobody is starved."""

import atexit
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, Self

from vectorplug.compressor import Compressor
from vectorplug.encoded import Encoded, Output
from vectorplug.errors import ConfigurationError
from vectorplug.models.piece import Piece
from vectorplug.models.tokenizing import Role, TokenizedText
from vectorplug.multivectors import MultiVectors
from vectorplug.residency.isolation import isolate
from vectorplug.residency.request import Request, Vectors
from vectorplug.residency.trace import Span, Trace
from vectorplug.residency.waiting_room import Raw, Ready, WaitingRoom

__all__ = ["Batcher", "BatcherStats", "Leased"]

# 64 batches on a CPU: about half a minute of MiniLM on two cores.
QUEUE_TOKENS = 262_144
# Batches between the forward pass and the FDE; when they are full, the forward pass waits.
BATCHES_BEHIND = 2


class Leased(Protocol):
    """What a lease gives; an `Encoder` is one."""

    @property
    def batch_tokens(self) -> int:
        """Tokens of one forward pass."""

    def tokenize(self, texts: Sequence[str], role: Role) -> list[TokenizedText]:
        """n texts as the model reads them, in order."""

    def forward(self, texts: Sequence[TokenizedText]) -> Piece:
        """One forward pass over texts of one role."""


@dataclass(frozen=True, slots=True)
class BatcherStats:
    """What waits, how many batches ran, and the rates of the last of them (0.0 before the first).

    `queue_tokens` is exact for tokenized texts, others count as many tokens as a text has on average. `queue_seconds`
    is how long the oldest text waits. `forward_busy` is the share of the time, from the first to the last of these
    batches, that forward passes took.
    """

    queue_texts: int
    queue_tokens: int
    queue_seconds: float
    batches: int
    tokens_a_batch: float
    tokens_a_second: float
    forward_busy: float


class Batcher:
    """One model's waiting texts and the three threads that run them: tokenize, forward, finish (FDE and results).

    `lease` gives the model for the length of one batch: `lambda: cache.lease(name)`, or, for an encoder that stays,
    `lambda: nullcontext(encoder)`. `fde` folds token vectors, off the forward thread. A forward pass takes at most
    `batch_tokens` tokens (None: as many as the model says), counted after tokenizing and truncation, or one text that
    is longer. While `queue_tokens` or more tokens wait, no request is taken; one of more than `request_tokens` fails.

    A batch is made in the moment that the forward thread is free, of what waits then: a request runs at once where
    nothing else does, and batches fill by what piles up during a forward pass. Nothing is held back to fill them.
    Which texts go first, and how long one can wait at most, is said at `FairQueue`.

    A text that cannot be run fails its own request and no other; so does running out of memory, after the batch was
    halved down to that text. Where the model cannot be leased, every request that waits fails. May be used from any
    number of threads and tasks. `close` it, or use it as a context manager.
    """

    def __init__(
        self,
        lease: Callable[[], AbstractContextManager[Leased]],
        *,
        fde: Compressor | None = None,
        batch_tokens: int | None = None,
        queue_tokens: int = QUEUE_TOKENS,
        request_tokens: int | None = None,
    ) -> None:
        limits = {"batch_tokens": batch_tokens, "queue_tokens": queue_tokens, "request_tokens": request_tokens}
        for name, value in limits.items():
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} is {value}, expected at least 1.")
        self._lease = lease
        self._fde = fde
        self._batch_tokens = batch_tokens
        self._request_tokens = request_tokens
        self._room = WaitingRoom(queue_tokens)
        self._trace = Trace()
        self._behind: queue.Queue[tuple[Sequence[Ready], Piece | BaseException] | None] = queue.Queue(BATCHES_BEHIND)
        loops = {"tokenize": self._tokenize_loop, "forward": self._forward_loop, "finish": self._finish_loop}
        # Daemons that are closed at exit: a batcher that nobody closed must not keep the interpreter from ending.
        self._threads = [
            threading.Thread(target=loop, name=f"vectorplug-{stage}", daemon=True) for stage, loop in loops.items()
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)

    def submit(
        self, texts: str | Sequence[str], role: Role, outputs: Sequence[Output], *, truncate: bool = True
    ) -> Future[Encoded]:
        """n texts (a single str is one) -> the future of Encoded of n, in order; `asyncio.wrap_future` awaits it.

        All `outputs` ("tokens", "fde", "dense") of a text come from one forward pass. `cancel()` works until the
        result is there, and removes what has not run. Raises OverloadedError at once where too much waits, InputError
        for what is no text, ModelError after `close`. The future fails with the error of its own text or of the lease,
        without `truncate` with TooLongError for a text that would be cut.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        request = Request(texts, role, outputs, truncate=truncate, max_tokens=self._request_tokens)
        if "fde" in request.outputs and self._fde is None:
            raise ConfigurationError("outputs ask for 'fde' and this batcher was made with fde=None; give it one.")
        self._room.admit(request, self._seconds_for)
        return request

    def encode(self, texts: str | Sequence[str], role: Role, outputs: Sequence[Output]) -> Encoded:
        """The result of `submit`, waited for; an interrupted wait cancels the request."""
        future = self.submit(texts, role, outputs)
        try:
            return future.result()
        finally:
            future.cancel()
            del future  # its exception's traceback holds this frame: let neither hold the other

    def close(self) -> None:
        """Take no more requests, let the running batch end, fail with ModelError what waits, end the threads.

        May be called again, and from any thread.
        """
        atexit.unregister(self.close)
        self._room.close()
        for thread in self._threads:
            if thread is not threading.current_thread():  # a future's callback may close
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stats(self) -> BatcherStats:
        """The queue now, and the rates of the last batches."""
        texts, tokens = self._room.waiting()
        a_batch, a_second, busy = self._trace.rates()
        return BatcherStats(texts, tokens, self._room.oldest_seconds(), self._trace.forwards, a_batch, a_second, busy)

    def trace(self) -> list[Span]:
        """The last 1,024 pieces of work of the three threads, in the order in which they ended."""
        return self._trace.spans()

    def _seconds_for(self, tokens: float) -> float:
        """How long so many tokens take; a second where nothing was measured yet."""
        _, a_second, _ = self._trace.rates()
        return tokens / a_second if a_second else 1.0

    # The tokenizing thread. One is enough: a fast tokenizer spreads a list of texts over the cores by itself.

    def _tokenize_loop(self) -> None:
        while self._room.wait_for_raw():
            self._tokenize_next()

    def _tokenize_next(self) -> None:
        batch: list[Raw] = []
        try:
            # First the lease, which may load for seconds, then the batch: of what waits by then.
            with self._lease() as model:
                batch = self._room.take_raw(self._batch_tokens or model.batch_tokens)
                parts = isolate(lambda items: self._tokenized(model, items), batch)
        except BaseException as error:  # noqa: BLE001 - a lease that fails ends its requests, not this thread
            self._room.fail_all(batch, error)
            return
        for items, outcome in parts:
            if isinstance(outcome, BaseException):
                self._room.fail_text(items[0], outcome)
            else:
                for item, text in zip(items, outcome, strict=True):
                    if (refusal := item.request.refusal(text)) is not None:
                        self._room.fail_text(item, refusal)
                self._room.put_ready(items, outcome)

    def _tokenized(self, model: Leased, items: Sequence[Raw]) -> list[TokenizedText]:
        with self._trace.span("tokenize", len(items)):
            return model.tokenize([item.request.texts[item.slot] for item in items], items[0].request.role)

    # The forward thread.

    def _forward_loop(self) -> None:
        while self._room.wait_for_ready():
            self._forward_next()
        self._behind.put(None)

    def _forward_next(self) -> None:
        batch: list[Ready] = []
        try:
            with self._lease() as model:
                batch = self._room.take_ready(self._batch_tokens or model.batch_tokens)
                batch.sort(key=lambda item: -len(item.text))  # neighbours of one length share an attention call
                parts = isolate(lambda items: self._forwarded(model, items), batch)
        except BaseException as error:  # noqa: BLE001 - as above
            self._room.fail_all(batch, error)
            return
        for part in parts:  # the lease is given back before anything waits for the FDE
            self._behind.put(part)

    def _forwarded(self, model: Leased, items: Sequence[Ready]) -> Piece:
        with self._trace.span("forward", len(items), sum(len(item.text) for item in items)):
            return model.forward([item.text for item in items])

    # The finishing thread.

    def _finish_loop(self) -> None:
        while (part := self._behind.get()) is not None:
            items, outcome = part
            try:
                if isinstance(outcome, BaseException):
                    self._room.fail_text(items[0], outcome)
                else:
                    self._finish(items, outcome)
            except BaseException as error:  # noqa: BLE001 - as above
                self._room.fail({item.request for item in items}, error)
            del part, items, outcome  # the next may be long in coming

    def _finish(self, items: Sequence[Ready], piece: Piece) -> None:
        with self._trace.span("finish", len(items), int(piece.lengths.sum())):
            tokens = piece.split()
            folded = self._fold(items, tokens)
            for i, (request, slot, text) in enumerate(items):
                vectors = Vectors(
                    tokens=tokens[i] if "tokens" in request.outputs else None,
                    fde=folded.get(i),
                    dense=piece.dense[i] if "dense" in request.outputs else None,
                    truncated=text.truncated,
                    token_count=len(text),
                )
                if not request.settled and request.put(slot, vectors):
                    self._room.settle(request)

    def _fold(self, items: Sequence[Ready], tokens: Sequence[Any]) -> dict[int, Any]:
        """The FDE of each item that wants one, by its place; one that can have none (NaN, say) fails."""
        wanting = [i for i, item in enumerate(items) if "fde" in item.request.outputs and not item.request.settled]
        if self._fde is None:
            return {}
        fold = self._fde.encode_queries if items[0].request.role == "query" else self._fde.encode_documents
        folded: dict[int, Any] = {}
        for part, rows in isolate(lambda places: fold(MultiVectors.from_list([tokens[i] for i in places])), wanting):
            if isinstance(rows, BaseException):
                self._room.fail_text(items[part[0]], rows)
            else:
                folded.update(zip(part, rows, strict=True))
        return folded
