"""What waits for a model, under one lock: who is let in, what comes next, and how a request ends."""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from vectorplug.encoded import Encoded
from vectorplug.errors import InputError, ModelError, OverloadedError
from vectorplug.models.tokenizing import TokenizedText
from vectorplug.residency.fair_queue import FairQueue
from vectorplug.residency.isolation import isolate, own_copy
from vectorplug.residency.request import Request

__all__ = ["Raw", "Ready", "WaitingRoom"]

# Texts are tokenized this far ahead of the forward pass: it never waits for them, and they never pile up.
BATCHES_AHEAD = 4
# Tokenized in one go: milliseconds of work, so that a short text behind a large request is soon in the queue.
CHARACTERS_AT_ONCE = 32_768
# What a text counts before it is tokenized: the moving average over so many, beginning with a guess.
AVERAGED_TEXTS = 64
FIRST_GUESS_TOKENS = 128.0


class Raw(NamedTuple):
    """`request.texts[slot]`, to be tokenized."""

    request: Request
    slot: int


class Ready(NamedTuple):
    """`request.texts[slot]`, tokenized."""

    request: Request
    slot: int
    text: TokenizedText


class WaitingRoom:
    """Two fair queues, of texts and of tokenized texts; at `limit` waiting tokens the door is shut.

    The lock is never held while a model runs, nor while a future is touched: its callbacks are anybody's code.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._arrivals = itertools.count()
        self._lock = threading.Lock()
        self._to_tokenize = threading.Condition(self._lock)
        self._to_forward = threading.Condition(self._lock)
        self._raw: FairQueue[Raw] = FairQueue()
        self._ready: FairQueue[Ready] = FairQueue()
        self._tokens_a_text = FIRST_GUESS_TOKENS
        self._ahead = 1
        self._closed = False

    def admit(self, request: Request, seconds_for: Callable[[float], float]) -> None:
        """Let it wait. OverloadedError where too much waits (`seconds_for` so many tokens), ModelError once closed."""
        request.add_done_callback(self._forget)
        with self._lock:
            if self._closed:
                raise _closed_error()
            waiting = self._waiting()[1]
            if waiting < self._limit:
                request.arrival = next(self._arrivals)
                # One more than its characters: an empty text is work, too.
                raw = ((len(text) + 1, Raw(request, slot)) for slot, text in enumerate(request.texts))
                self._raw.add(request.arrival, request.role, raw)
                self._to_tokenize.notify()
                return
        # Half of the queue, so that those who were turned away find it neither full again nor empty.
        raise OverloadedError(
            f"{waiting} tokens wait, this batcher holds {self._limit}: try again later, or give it more queue_tokens.",
            retry_after=seconds_for(waiting / 2),
        )

    def waiting(self) -> tuple[int, int]:
        """(texts, tokens): exact where they are tokenized; the others count as many tokens as a text has on average."""
        with self._lock:
            return self._waiting()

    def oldest_seconds(self) -> float:
        """How long the oldest request that waits does so; 0.0 where none does."""
        with self._lock:
            first = min((request.submitted for request in self._requests()), default=None)
        return 0.0 if first is None else time.monotonic() - first

    def wait_for_raw(self) -> bool:
        """Block until there is something to tokenize and not too much is; False once closed."""
        with self._lock:
            self._to_tokenize.wait_for(lambda: self._closed or (self._raw and self._ready.cost < self._ahead))
            return not self._closed

    def take_raw(self, batch_tokens: int) -> list[Raw]:
        """The next texts to tokenize, of one role, for forward passes of so many tokens."""
        with self._lock:
            self._ahead = BATCHES_AHEAD * batch_tokens
            return self._raw.take(CHARACTERS_AT_ONCE)

    def put_ready(self, items: Sequence[Raw], texts: Sequence[TokenizedText]) -> None:
        """n items of `take_raw`, tokenized."""
        with self._lock:
            closed = self._closed
            for (request, slot), text in zip(items, texts, strict=True):
                if not request.settled and not closed:
                    self._ready.add(request.arrival, request.role, [(len(text), Ready(request, slot, text))])
                self._tokens_a_text += (len(text) - self._tokens_a_text) / AVERAGED_TEXTS
            self._to_forward.notify()
        if closed:
            self.fail({item.request for item in items}, _closed_error())

    def wait_for_ready(self) -> bool:
        """Block until a batch can be made; False once closed."""
        with self._lock:
            self._to_forward.wait_for(lambda: self._closed or self._ready)
            return not self._closed

    def take_ready(self, budget: int) -> list[Ready]:
        """The next batch: texts of one role and at most `budget` tokens, or one that is longer."""
        with self._lock:
            self._to_tokenize.notify()
            return self._ready.take(budget)

    def close(self) -> None:
        """Fail what waits, wake who waits for work."""
        with self._lock:
            self._closed = True
            waiting = self._requests()
            self._to_tokenize.notify()
            self._to_forward.notify()
        self.fail(waiting, _closed_error())

    # How a request ends: the first who decides sets its outcome, and from then on nothing of it waits.

    def settle(self, request: Request) -> None:
        """Give the request whose last vectors are there its result."""
        if not self._decide(request):
            return
        encoded = isolate(lambda _: request.assemble(), [request])[0][1]
        if not request.set_running_or_notify_cancel():
            return
        if isinstance(encoded, BaseException):
            request.set_exception(encoded)
        else:
            request.set_result(encoded)

    def fail(self, requests: Iterable[Request], error: BaseException) -> None:
        """Each of the requests gets a copy of the error of its own."""
        for request in requests:
            if self._decide(request):
                request.discard()
                if request.set_running_or_notify_cancel():
                    request.set_exception(own_copy(error))

    def fail_text(self, item: Raw | Ready, error: BaseException) -> None:
        """One text cannot be run; the error says which of its request."""
        position = item.request.position(item.slot)
        error.add_note(f"text {position} of its request")
        if isinstance(error, InputError):
            error.index = position
        self.fail([item.request], error)

    def fail_all(self, batch: Sequence[Raw | Ready], error: BaseException) -> None:
        """The model cannot be had: nothing of `batch` can run, nor of what waits."""
        with self._lock:
            waiting = self._requests() | {item.request for item in batch}
        self.fail(waiting, error)

    def _forget(self, future: Future[Encoded]) -> None:
        """A future is done; where nobody here decided that, it was cancelled."""
        if isinstance(future, Request) and self._decide(future):
            future.discard()
            future.set_running_or_notify_cancel()  # tells concurrent.futures.wait

    def _decide(self, request: Request) -> bool:
        with self._lock:
            if request.settled:
                return False
            request.settled = True
            self._raw.drop(request.arrival)
            self._ready.drop(request.arrival)
            self._to_tokenize.notify()
            return True

    def _waiting(self) -> tuple[int, int]:
        return len(self._raw) + len(self._ready), self._ready.cost + round(len(self._raw) * self._tokens_a_text)

    def _requests(self) -> set[Request]:
        return {item.request for item in self._raw} | {item.request for item in self._ready}


def _closed_error() -> ModelError:
    return ModelError("this batcher was closed before the request had run: send it to one that is open.")
